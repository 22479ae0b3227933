"""The keepers of namespaces, as operators deal with them: boost, release, status, repair."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from temporalio.client import (
    Client,
    WorkflowExecution,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import FailureError
from temporalio.service import RPCError, RPCStatusCode

from planner.errors import Refused, ServerError
from planner.schedules.spec import schedule_id
from workflows.contract import (
    BOOST_WORKFLOW,
    KEEPER_WORKFLOW,
    RELEASE_UPDATE,
    STATUS_QUERY,
    TASK_QUEUE,
    BoostRequest,
    BoostResult,
    KeeperStart,
    KeeperStatus,
    Lease,
    ReleaseRequest,
    format_instant,
    keeper_id,
)

ANSWER_WITHIN = timedelta(seconds=10)
"""How long a keeper may take to answer: its worker may have to replay it first."""

WORKER_HINT = "is a worker running? `planner worker` starts one"

BROKEN = {
    WorkflowExecutionStatus.TERMINATED,
    WorkflowExecutionStatus.FAILED,
    WorkflowExecutionStatus.TIMED_OUT,
}


@dataclass(frozen=True, slots=True)
class Keeper:
    """A namespace's keeper, by its latest run.

    *status* is None where it did not answer. *is_broken* tells that it was terminated or
    failed, and with it everything that it was about to do.
    """

    namespace: str
    run_id: str
    is_running: bool
    is_broken: bool
    status: KeeperStatus | None


async def start_boost(
    client: Client, request: BoostRequest, now: datetime
) -> WorkflowHandle[Any, BoostResult]:
    """Start a boost by hand, and return the way to its result."""
    stamp = format_instant(now.replace(microsecond=0))
    try:
        return await client.start_workflow(
            BOOST_WORKFLOW,
            request,
            id=f"{schedule_id(request.namespace, request.window)}-{stamp}",
            task_queue=TASK_QUEUE,
            result_type=BoostResult,
            static_summary=f"{request.tru} TRU for {request.namespace}, by {request.by}",
        )
    except RPCError as error:
        raise ServerError(f"the boost could not be started: {error.message}") from error


async def result_of(boost: WorkflowHandle[Any, BoostResult]) -> BoostResult:
    """Return how *boost* ended.

    Raises:
        ServerError: It failed; the message says why and what to do.
    """
    try:
        return await boost.result()
    except WorkflowFailureError as error:
        cause = error.cause
        words = cause.message if isinstance(cause, FailureError) else str(cause)
        raise ServerError(words) from error


async def release(client: Client, namespace: str, request: ReleaseRequest) -> tuple[Lease, ...]:
    """End leases of *namespace* now, and return those that were ended.

    Raises:
        Refused: None is running there.
        ServerError: The keeper could not be asked.
    """
    handle = client.get_workflow_handle(keeper_id(namespace))
    try:
        async with asyncio.timeout(ANSWER_WITHIN.total_seconds()):
            gone: tuple[Lease, ...] = await handle.execute_update(
                RELEASE_UPDATE, request, result_type=tuple[Lease, ...]
            )
    except TimeoutError as error:
        raise ServerError(f"the keeper of {namespace} does not answer: {WORKER_HINT}") from error
    except (RPCError, WorkflowUpdateFailedError) as error:
        if isinstance(error, RPCError) and error.status != RPCStatusCode.NOT_FOUND:
            raise ServerError(f"the keeper of {namespace}: {error.message}") from error
        raise Refused(
            f"no boost is running for {namespace}: there is nothing to release"
        ) from error
    return tuple(gone)


async def fetch_keepers(client: Client, now: datetime, namespace: str = "") -> list[Keeper]:
    """Return the keepers that run or broke, by namespace: each as it says it is at *now*."""
    latest: dict[str, WorkflowExecution] = {}
    async for execution in _executions(client, namespace):
        known = latest.get(execution.id)
        if known is None or execution.start_time > known.start_time:
            latest[execution.id] = execution
    found = await asyncio.gather(*(_ask(client, execution, now) for execution in latest.values()))
    return sorted(found, key=lambda keeper: keeper.namespace)


async def _executions(client: Client, namespace: str) -> AsyncIterator[WorkflowExecution]:
    query = f"WorkflowType = '{KEEPER_WORKFLOW}'"
    if namespace:
        query += f" AND WorkflowId = '{keeper_id(namespace)}'"
    try:
        async for execution in client.list_workflows(query):
            yield execution
    except RPCError as error:
        raise ServerError(f"the keepers can't be listed: {error.message}") from error


async def _ask(client: Client, execution: WorkflowExecution, now: datetime) -> Keeper:
    """Ask one run for its status; a run that is over answers too, by a replay."""
    handle = client.get_workflow_handle(execution.id, run_id=execution.run_id)
    status: KeeperStatus | None
    try:
        status = await handle.query(
            STATUS_QUERY, format_instant(now), result_type=KeeperStatus, rpc_timeout=ANSWER_WITHIN
        )
    except (RPCError, WorkflowQueryFailedError):
        status = None
    return Keeper(
        namespace=execution.id.removeprefix(keeper_id("")),
        run_id=execution.run_id,
        is_running=execution.status == WorkflowExecutionStatus.RUNNING,
        is_broken=execution.status in BROKEN,
        status=status,
    )


async def repair(client: Client, keeper: Keeper, *, task_queue: str = TASK_QUEUE) -> None:
    """Start a keeper that takes over from a broken one: to its leases, or its baseline."""
    start = KeeperStart(namespace=keeper.namespace, broken_run=keeper.run_id)
    try:
        await client.start_workflow(
            KEEPER_WORKFLOW,
            start,
            id=keeper_id(keeper.namespace),
            task_queue=task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            static_summary=f"Capacity of {keeper.namespace}",
        )
    except RPCError as error:
        raise ServerError(f"no keeper could be started: {error.message}") from error
