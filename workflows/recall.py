"""What a broken run of a keeper knew: told by itself, else read off its history."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from temporalio import activity
from temporalio.api.common.v1 import Payloads
from temporalio.api.enums.v1 import WorkflowTaskFailedCause
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowHandle, WorkflowQueryFailedError
from temporalio.service import RPCError, RPCStatusCode

from workflows import orders
from workflows.contract import LEASE_UPDATE, Capacity, LeaseRequest, keeper_id
from workflows.ledger import Ledger
from workflows.operation_ids import is_own, origin_of
from workflows.orders import KeeperInput, Sight

ANSWERS_WITHIN = timedelta(seconds=30)
"""How long a broken run may take to be replayed and to answer."""

_RESULTS: dict[str, type] = {orders.OBSERVE: Sight, orders.RECALL: Ledger}
"""The activities whose results tell a baseline, and how they tell it."""


async def recall(client: Client, order: orders.Recall) -> Ledger | None:
    """Return what a run of a keeper knew that was terminated, cancelled or failed.

    The run answers for itself, by a query that replays it. Should it not be able to, its
    history still has the baseline: it was there before the first write. What was raised is
    not known then, so that baseline is one to be enforced. None where the run is gone.
    """
    try:
        return await _recall(client, order)
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        activity.logger.warning("run %s is gone: %s", order.run, error)
        return None


async def _recall(client: Client, order: orders.Recall) -> Ledger:
    run = client.get_workflow_handle(keeper_id(order.namespace), run_id=order.run)
    if order.is_reset:
        run = client.get_workflow_handle(run.id, run_id=await _run_that_was_reset(run))
    try:
        ledger: Ledger = await run.query(
            orders.LEDGER_QUERY, result_type=Ledger, rpc_timeout=ANSWERS_WITHIN
        )
    except (RPCError, WorkflowQueryFailedError) as error:
        activity.logger.warning("run %s does not answer: %s", order.run, error)
    else:
        return ledger
    baseline = await baseline_on_record(client, run)
    if baseline is None:
        return Ledger(namespace=order.namespace)
    return Ledger(
        namespace=order.namespace, baseline=baseline, baseline_declared=True, written=(baseline,)
    )


async def _run_that_was_reset(run: WorkflowHandle[Any, Any]) -> str:
    """Return the id of the run that *run* was made of: it says so itself."""
    base = ""
    async for event in run.fetch_history_events():
        failed = event.workflow_task_failed_event_attributes
        if failed.cause == WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW:
            base = failed.base_run_id
    return base


async def baseline_on_record(client: Client, run: WorkflowHandle[Any, Any]) -> Capacity | None:
    """Return the baseline that the history of *run* tells, None if it tells none.

    The newest declaration counts; without one, what was last found before a raise.
    """
    found, declared = None, None
    async for said in _on_record(client, run):
        if isinstance(said, Sight):
            found = _baseline_in(said, run.id.removeprefix(keeper_id("")))
        elif isinstance(said, LeaseRequest):
            declared = said.baseline or declared
        elif said.baseline_declared:
            declared = said.baseline
        elif not said.doubt:
            found = said.baseline
    return declared or found


def _baseline_in(sight: Sight, namespace: str) -> Capacity | None:
    """Return the baseline that *sight* shows, None where a keeper's own doing hides it."""
    origin = origin_of(sight.request, namespace)
    if origin is not None:
        return origin.baseline
    return None if is_own(sight.request, namespace) else sight.capacity


async def _on_record(
    client: Client, run: WorkflowHandle[Any, Any]
) -> AsyncIterator[Sight | LeaseRequest | Ledger]:
    """Yield everything in the history of *run* that may tell a baseline, in order."""
    names: dict[int, str] = {}
    async for event in run.fetch_history_events():
        scheduled = event.activity_task_scheduled_event_attributes
        names[event.event_id] = scheduled.activity_type.name
        payloads, kind = _recorded(event, names)
        if payloads.payloads:
            (said,) = await client.data_converter.decode(payloads.payloads[:1], [kind])
            said = said.ledger if isinstance(said, KeeperInput) else said
            if said is not None:
                yield said


def _recorded(event: HistoryEvent, names: dict[int, str]) -> tuple[Payloads, type]:
    """Return what *event* holds that may tell a baseline, and its type; nothing if it can't.

    *names* are those of the activities scheduled so far, by their events.
    """
    if event.HasField("workflow_execution_started_event_attributes"):
        return event.workflow_execution_started_event_attributes.input, KeeperInput
    accepted = event.workflow_execution_update_accepted_event_attributes.accepted_request.input
    if accepted.name == LEASE_UPDATE:
        return accepted.args, LeaseRequest
    completed = event.activity_task_completed_event_attributes
    kind = _RESULTS.get(names.get(completed.scheduled_event_id, ""))
    return (completed.result, kind) if kind else (Payloads(), object)
