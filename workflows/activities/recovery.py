"""What a keeper's run knew that broke off: its own answer to a query, else its history."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio import activity
from temporalio.api.common.v1 import Payloads
from temporalio.api.enums.v1 import WorkflowTaskFailedCause
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowHandle, WorkflowQueryFailedError
from temporalio.service import RPCError

from workflows import activity_types
from workflows.activity_types import KeeperInput, Observation, ReconcileInput
from workflows.contract import (
    LEASE_UPDATE,
    RELEASE_UPDATE,
    LeaseRequest,
    ReleaseRequest,
)
from workflows.keeper_recovery import BaselineFound, Cancelled, Recorded, Recovered, rebuild
from workflows.keeper_state import KeeperState

QUERY_TIMEOUT = timedelta(seconds=30)
"""How long a broken run may take to be replayed and to answer."""

_UPDATES: dict[str, type] = {LEASE_UPDATE: LeaseRequest, RELEASE_UPDATE: ReleaseRequest}

_RESULTS: dict[str, Any] = {
    activity_types.OBSERVE: Observation,
    activity_types.RECONCILE: Observation,
    activity_types.RECOVER_STATE: KeeperState | None,
}
"""Activities whose results tell what a keeper knew, and the types of those results."""


async def state_of(client: Client, run: WorkflowHandle[Any, Any], namespace: str) -> KeeperState:
    """Return the state that *run* answers, else what its history tells.

    A run that this release can't replay doesn't answer.
    """
    try:
        state: KeeperState = await run.query(
            activity_types.STATE_QUERY, result_type=KeeperState, rpc_timeout=QUERY_TIMEOUT
        )
    except (RPCError, WorkflowQueryFailedError) as error:
        activity.logger.warning("run %s does not answer: %s", run.run_id, error)
    else:
        return state
    return (await state_on_record(client, run, namespace)).to_hand_over


async def state_on_record(
    client: Client, run: WorkflowHandle[Any, Any], namespace: str
) -> KeeperState:
    """Return the state of *run* as its history tells it; values that can't be read are left out."""
    return rebuild(namespace, [entry async for entry in _recorded(client, run)])


async def run_that_was_reset(run: WorkflowHandle[Any, Any]) -> str:
    """Return the id of the run that *run* was made from: its own history names it."""
    base = ""
    async for event in run.fetch_history_events():
        failed = event.workflow_task_failed_event_attributes
        if failed.cause == WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW:
            base = failed.base_run_id
    return base


async def _recorded(
    client: Client, run: WorkflowHandle[Any, Any]
) -> AsyncIterator[tuple[datetime, Recorded]]:
    """Yield what the history of *run* records, in order, each with its time."""
    names: dict[int, str] = {}
    async for event in run.fetch_history_events():
        scheduled = event.activity_task_scheduled_event_attributes
        names[event.event_id] = scheduled.activity_type.name
        at = event.event_time.ToDatetime(tzinfo=UTC)
        if event.HasField("workflow_execution_cancel_requested_event_attributes"):
            yield at, Cancelled()
            continue
        payloads, kind = _payloads_of(event, names)
        if not payloads.payloads:
            continue
        try:
            (value,) = await client.data_converter.decode(payloads.payloads[:1], [kind])
        except Exception as error:  # another release may have written it
            activity.logger.warning("event %s can't be read: %s", event.event_id, error)
            continue
        yield at, _as_recorded(value, names.get(_scheduled_id(event), ""))


def _payloads_of(event: HistoryEvent, names: dict[int, str]) -> tuple[Payloads, Any]:
    """Return the payloads of *event* that tell what a keeper knew, and their type; else none.

    *names* are those of the activities scheduled so far, by the ids of their events.
    """
    if event.HasField("workflow_execution_started_event_attributes"):
        return event.workflow_execution_started_event_attributes.input, KeeperInput
    accepted = event.workflow_execution_update_accepted_event_attributes.accepted_request.input
    if accepted.name in _UPDATES:
        return accepted.args, _UPDATES[accepted.name]
    scheduled = event.activity_task_scheduled_event_attributes
    if scheduled.activity_type.name == activity_types.RECONCILE:
        return scheduled.input, ReconcileInput
    kind = _RESULTS.get(names.get(_scheduled_id(event), ""))
    completed = event.activity_task_completed_event_attributes
    return (completed.result, kind) if kind else (Payloads(), object)


def _scheduled_id(event: HistoryEvent) -> int:
    return int(event.activity_task_completed_event_attributes.scheduled_event_id)


def _as_recorded(value: Any, activity_name: str) -> Recorded:
    """Return the decoded *value*; the result of an activity as what that activity is for."""
    if activity_name == activity_types.OBSERVE:
        return BaselineFound(value)
    if activity_name == activity_types.RECOVER_STATE:
        return Recovered(value)
    recorded: Recorded = value
    return recorded
