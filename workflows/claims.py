"""The way to the keepers: claims go there, and what a broken keeper knew comes back."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio import activity
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowUpdateFailedError,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from workflows import keeper_limits, metrics, orders
from workflows.beats import beating
from workflows.contract import (
    KEEPER_WORKFLOW,
    LEASE_UPDATE,
    RELEASE_UPDATE,
    UNFINISHED_STATUSES,
    UNPROCESSED_UPDATE,
    LeaseAnswer,
    LeaseRequest,
    keeper_id,
)
from workflows.ledger import LOOK_EVERY, Ledger
from workflows.recall import recall

RECOVERABLE_STATUSES = UNFINISHED_STATUSES | {"CANCELED"}
"""Names of the execution statuses after which the next keeper recovers the state of the last
one. A cancelled one has no work undone, but it knows which leases were released."""


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

    @activity.defn(name=orders.ASK)
    async def ask(self, order: orders.Ask) -> LeaseAnswer:
        """Hand a claim to its keeper, which is started if need be, and return its answer."""
        namespace = order.request.namespace
        if activity.info().attempt == 1:
            metrics.record_lateness(namespace, (datetime.now(UTC) - order.nominal).total_seconds())
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

    @activity.defn(name=orders.GIVE_BACK)
    async def give_back(self, order: orders.GiveBack) -> None:
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

    @activity.defn(name=orders.RECALL)
    async def recall(self, order: orders.Recall) -> Ledger | None:
        """Return what a run of a keeper knew that broke off."""
        return await recall(self._client, order)

    async def _start_of(self, namespace: str) -> WithStartWorkflowOperation[Any, Any]:
        """Return the start of the keeper of *namespace*, should none be running."""
        start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
            KEEPER_WORKFLOW,
            orders.KeeperInput(
                namespace=namespace,
                broken_run=await self._broken_run(namespace),
                look_every_seconds=self._look_every // timedelta(seconds=1),
                updates_a_run=keeper_limits.UPDATES_A_RUN,
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
        is_recoverable = latest.status is not None and latest.status.name in RECOVERABLE_STATUSES
        return latest.run_id if is_recoverable else ""


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
        orders.NOT_NOW,
        UNPROCESSED_UPDATE,
    )


def _refused(error: WorkflowUpdateFailedError) -> BaseException:
    """Return the failure for a request that the keeper refused for good, in its words.

    Anything else is tried again.
    """
    cause = error.cause
    if isinstance(cause, ApplicationError) and cause.type == orders.REFUSED:
        return ApplicationError(cause.message, type=cause.type, non_retryable=True)
    return error
