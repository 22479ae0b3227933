"""Running boosts that follow the change of their window: the keeper is told first."""

from __future__ import annotations

from datetime import datetime, timedelta

from temporalio.client import WorkflowUpdateRPCTimeoutOrCancelledError, WorkflowUpdateStage
from temporalio.service import RPCError, RPCStatusCode

from planner.diff import Change, Running, live_schedule
from planner.diff.firings import under_way
from planner.errors import ServerError
from planner.live.server import Server
from planner.schedules.spec import Schedule
from workflows.contract import (
    LEASE_UPDATE,
    RELEASE_UPDATE,
    LeaseRequest,
    ReleaseRequest,
    keeper_id,
    lease_of,
    occurrence_of,
)

KEEPER_TIMEOUT = timedelta(seconds=10)
"""How long a keeper may take to accept; without a worker none ever does."""


async def follow(server: Server, change: Change, now: datetime) -> None:
    """Tell the keeper what each running boost of *change* is to have from now on.

    To be called before the schedule is written: should the keeper not answer, the change
    is still pending, and the next sync tries again.

    Raises:
        ServerError: The keeper did not take it.
    """
    for boost in change.running:
        order = order_for(change, boost, now)
        update = RELEASE_UPDATE if isinstance(order, ReleaseRequest) else LEASE_UPDATE
        await _tell(server, change.namespace, update, order)


def order_for(change: Change, boost: Running, now: datetime) -> LeaseRequest | ReleaseRequest:
    """Return what becomes of *boost*: its claim as the changed window has it, or its end."""
    there = live_schedule(change)
    held = lease_of(there.request, boost.nominal).key
    desired = change.desired
    nominal = _same_start(desired, boost.start, now) if desired else None
    if desired is None or nominal is None or desired.paused:
        return ReleaseRequest(key=held, by="sync")
    return LeaseRequest(
        namespace=change.namespace,
        lease=lease_of(desired.request, nominal),
        baseline=desired.request.baseline,
        rails=desired.request.rails,
        revision=desired.request.revision,
        replaces=held,
    )


def _same_start(desired: Schedule, start: datetime, now: datetime) -> datetime | None:
    """Return the firing of *desired* for the occurrence that began at *start*, if it has one."""
    return next(
        (
            nominal
            for nominal in under_way(desired, now)
            if occurrence_of(desired.request, nominal)[0] == start
        ),
        None,
    )


async def _tell(
    server: Server, namespace: str, update: str, order: LeaseRequest | ReleaseRequest
) -> None:
    """Send *update* to the keeper of *namespace*; none running means nothing to tell."""
    handle = server.client.get_workflow_handle(keeper_id(namespace))
    try:
        await handle.start_update(
            update,
            order,
            wait_for_stage=WorkflowUpdateStage.ACCEPTED,
            rpc_timeout=KEEPER_TIMEOUT,
        )
    except WorkflowUpdateRPCTimeoutOrCancelledError as error:
        raise ServerError(_unanswered(namespace, "no answer in time")) from error
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise ServerError(_unanswered(namespace, error.message)) from error


def _unanswered(namespace: str, words: str) -> str:
    return (
        f"the keeper of {namespace} did not take it ({words}): is a worker running? "
        "Start one with `planner worker`, or sync with --in-flight keep"
    )
