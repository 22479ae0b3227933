"""The way to the keepers: claims go there, and what a broken keeper knew comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio import activity
from temporalio.api.common.v1 import Payloads
from temporalio.api.enums.v1 import WorkflowTaskFailedCause
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from workflows import activity_types, keeper_state, observability
from workflows.activities.heartbeat import beating
from workflows.activity_types import KeeperInput, Sight
from workflows.contract import (
    KEEPER_WORKFLOW,
    LEASE_UPDATE,
    RELEASE_UPDATE,
    UNPROCESSED_UPDATE,
    Capacity,
    LeaseAnswer,
    LeaseRequest,
    keeper_id,
)
from workflows.keeper_state import LOOK_EVERY, Ledger
from workflows.operation_ids import is_own, origin_of

BROKEN = {
    WorkflowExecutionStatus.TERMINATED,
    WorkflowExecutionStatus.FAILED,
    WorkflowExecutionStatus.TIMED_OUT,
    WorkflowExecutionStatus.CANCELED,
}
"""How a keeper ends that still has something to tell: work undone, or claims released."""


COME_AGAIN = 2.0
"""Seconds until a request is made again for which a keeper had no room."""


class KeeperActivities:
    """Asks keepers, through a Temporal client of the namespace that they live in.

    Args:
        client: The client.
        look_every: How often the keepers that are started look for what others changed.
    """

    def __init__(self, client: Client, *, look_every: timedelta = LOOK_EVERY) -> None:
        self._client = client
        self._look_every = look_every

    @activity.defn(name=activity_types.ASK)
    async def ask(self, order: activity_types.Ask) -> LeaseAnswer:
        """Hand a claim to its keeper, which is started if need be, and return its answer."""
        namespace = order.request.namespace
        if activity.info().attempt == 1:
            observability.record_lateness(
                namespace, (datetime.now(UTC) - order.nominal).total_seconds()
            )
        async with beating("waiting for the keeper's answer"):
            while True:
                try:
                    return await self._request(order.request)
                except WorkflowUpdateFailedError as error:
                    if not _comes_again(error):
                        raise _refused(error) from error
                await asyncio.sleep(COME_AGAIN)

    async def _request(self, request: LeaseRequest) -> LeaseAnswer:
        answer: LeaseAnswer = await self._client.execute_update_with_start_workflow(
            LEASE_UPDATE,
            request,
            start_workflow_operation=await self._start_of(request.namespace),
            result_type=LeaseAnswer,
        )
        return answer

    @activity.defn(name=activity_types.GIVE_BACK)
    async def give_back(self, order: activity_types.GiveBack) -> None:
        """End a lease before its time, and see to it that it isn't granted later.

        The request for the lease may be in flight still: where no keeper runs, one is
        started that refuses it. Orders of an earlier release don't bring the lease; there
        is nothing to be refused then.
        """
        async with beating("waiting for the keeper's answer"):
            if order.request.lease is not None:
                await self._client.execute_update_with_start_workflow(
                    RELEASE_UPDATE,
                    order.request,
                    start_workflow_operation=await self._start_of(order.namespace),
                )
                return
            handle = self._client.get_workflow_handle(keeper_id(order.namespace))
            try:
                await handle.execute_update(RELEASE_UPDATE, order.request)
            except RPCError as error:
                if error.status != RPCStatusCode.NOT_FOUND:
                    raise

    @activity.defn(name=activity_types.RECALL)
    async def recall(self, order: activity_types.Recall) -> Ledger | None:
        """Return what a run of a keeper knew that broke off."""
        return await recall(self._client, order)

    async def _start_of(self, namespace: str) -> WithStartWorkflowOperation[Any, Any]:
        """Return the start of the keeper of *namespace*, should none be running."""
        start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
            KEEPER_WORKFLOW,
            activity_types.KeeperInput(
                namespace=namespace,
                broken_run=await self._broken_run(namespace),
                look_every_seconds=self._look_every // timedelta(seconds=1),
                updates_a_run=keeper_state.UPDATES_A_RUN,
            ),
            id=keeper_id(namespace),
            task_queue=activity.info().task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            static_summary=f"Capacity of {namespace}",
        )
        asyncio.ensure_future(start.workflow_handle()).add_done_callback(_hear)
        return start

    async def _broken_run(self, namespace: str) -> str:
        """Return the run of the keeper that broke off; empty if it ended by itself."""
        try:
            latest = await self._client.get_workflow_handle(keeper_id(namespace)).describe()
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                return ""
            raise
        return latest.run_id if latest.status in BROKEN else ""


def _hear(started: asyncio.Future[Any]) -> None:
    """Hear how the start of a keeper ended.

    The SDK tells it twice: a call that fails raises, and leaves its error in the start's
    handle, too. Unheard there, it would be logged as an error of ours, with a traceback.
    """
    if not started.cancelled():
        started.exception()


def _comes_again(error: WorkflowUpdateFailedError) -> bool:
    """Tell whether the request has to be made again, for the keeper hands over to its next run.

    It said so itself, or the server did: of a request that came in that very moment.
    """
    cause = error.cause
    return isinstance(cause, ApplicationError) and cause.type in (
        activity_types.NOT_NOW,
        UNPROCESSED_UPDATE,
    )


def _refused(error: WorkflowUpdateFailedError) -> BaseException:
    """Return the failure for a request that the keeper refused for good, in its words.

    Anything else is tried again.
    """
    cause = error.cause
    if isinstance(cause, ApplicationError) and cause.type == activity_types.REFUSED:
        return ApplicationError(cause.message, type=cause.type, non_retryable=True)
    return error


ANSWERS_WITHIN = timedelta(seconds=30)
"""How long a broken run may take to be replayed and to answer."""

_RESULTS: dict[str, type] = {activity_types.OBSERVE: Sight, activity_types.RECALL: Ledger}
"""The activities whose results tell a baseline, and how they tell it."""


async def recall(client: Client, order: activity_types.Recall) -> Ledger | None:
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


async def _recall(client: Client, order: activity_types.Recall) -> Ledger:
    run = client.get_workflow_handle(keeper_id(order.namespace), run_id=order.run)
    if order.is_reset:
        run = client.get_workflow_handle(run.id, run_id=await _run_that_was_reset(run))
    try:
        ledger: Ledger = await run.query(
            activity_types.LEDGER_QUERY, result_type=Ledger, rpc_timeout=ANSWERS_WITHIN
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
