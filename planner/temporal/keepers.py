"""Boosts and keepers as operators use them: boost, release, status, repair."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from temporalio.api.common.v1 import WorkflowExecution as Execution
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryReverseRequest
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowExecution,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, FailureError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from planner.errors import Refused, ServerError
from planner.model import demand_words
from planner.schedules.spec import schedule_id, shortened
from planner.temporal.client import raise_if_cancelled, require_namespace
from workflows.contract import (
    BOOST_WORKFLOW,
    KEEPER_WORKFLOW,
    RECOVERABLE_STATUSES,
    RELEASE_UPDATE,
    REPEATED_REFUSALS,
    STATUS_QUERY,
    TASK_QUEUE,
    UNFINISHED_STATUSES,
    BoostRequest,
    BoostResult,
    KeeperStart,
    KeeperStatus,
    Lease,
    ReleaseRequest,
    format_instant,
    keeper_id,
    keeper_options,
)
from workflows.contract.findings import Keeper, is_stuck

T = TypeVar("T")

ANSWER_WITHIN = timedelta(seconds=10)
"""Time limit for a keeper's answer: its worker may have to replay it first."""

PICKED_UP_WITHIN = timedelta(minutes=1)
"""Time limit for a worker to pick up a boost by hand."""

IN_FORCE_WITHIN = timedelta(minutes=15)
"""Time limit for the capacity of a boost by hand: provisioning takes minutes."""

CHECK_SECONDS = 3.0
"""Seconds between two checks whether a worker has picked up a boost."""

RESENT_FOR = 10.0
"""Seconds since its begin for which the SDK sends a call again: a wait that has lasted longer ends
with the first broken connection."""

UNPICKED_EVENTS = 2
"""History length of a workflow that no worker has picked up: start, and scheduled task."""

PLAIN_NAME = re.compile(r"[A-Za-z0-9._-]+")

HAND_OVER = 0.5
"""Seconds until an update is sent again that came as a keeper handed over."""

LAST_EVENTS = 20
"""Events of a history in which the latest failure of a workflow task is searched."""

CAUSE_LENGTH = 200
"""Bytes of the failure that a stuck keeper is shown with."""

WORKER_HINT = "is a worker running? `planner worker` starts one"


async def start_boost(
    client: Client, request: BoostRequest, now: datetime
) -> WorkflowHandle[Any, BoostResult]:
    """Start a boost by hand and return its workflow handle.

    The workflow id has milliseconds, so that two boosts within one second are distinct.

    Raises:
        ServerError: It was not started, or that is uncertain; the message says which.
    """
    stamp = now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    demand = demand_words(request.tru, request.workers)
    try:
        return await client.start_workflow(
            BOOST_WORKFLOW,
            request,
            id=f"{schedule_id(request.namespace, request.window)}-{stamp}",
            task_queue=TASK_QUEUE,
            result_type=BoostResult,
            static_summary=f"{demand} for {request.namespace}, by {request.by}",
            rpc_timeout=ANSWER_WITHIN,
        )
    except WorkflowAlreadyStartedError as error:
        raise ServerError(
            f"another boost of {request.namespace} was started in the same millisecond; "
            "it goes on, and this one was not started: run it again"
        ) from error
    except RPCError as error:
        if error.status in (RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED):
            raise ServerError(
                f"the server did not answer in {ANSWER_WITHIN.seconds} s whether the boost was "
                f"started; `planner status {request.namespace}` shows it if it was"
            ) from error
        raise ServerError(f"the boost could not be started: {error.message}") from error


async def wait_for_result(
    boost: WorkflowHandle[Any, BoostResult], on_notice: Callable[[str], None]
) -> BoostResult:
    """Wait for the result of *boost*; call *on_notice* with what a long wait is for.

    Raises:
        ServerError: It failed or did not end in time; the message says why and what to do.
    """
    result = asyncio.ensure_future(_result(boost))
    try:
        return await _in_time(boost, result, on_notice)
    except WorkflowFailureError as error:
        cause = error.cause
        words = cause.message if isinstance(cause, FailureError) else str(cause)
        raise ServerError(words) from error
    except RPCError as error:
        raise ServerError(
            f"the server can't be asked about the boost ({error.message}), which goes on"
        ) from error
    finally:
        result.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await result


async def _result(boost: WorkflowHandle[Any, BoostResult]) -> BoostResult:
    """Return the result of *boost*; a wait whose connection broke goes on where the server answers.

    Raises:
        WorkflowFailureError: It failed.
        RPCError: The server refuses to say, or doesn't answer.
    """
    while True:
        began = time.monotonic()
        try:
            return await boost.result()
        except RPCError:
            # What ends sooner was sent again, all of that time.
            was_resent = time.monotonic() - began < RESENT_FOR
            if was_resent or await _history_length(boost) is None:
                raise


async def _in_time(
    boost: WorkflowHandle[Any, BoostResult],
    result: asyncio.Future[BoostResult],
    on_notice: Callable[[str], None],
) -> BoostResult:
    """Wait for a worker to pick up *boost*, then for *result*, each with its time limit."""
    for limit, waits_for in (
        (PICKED_UP_WITHIN, f"a worker to take it ({WORKER_HINT})"),
        (IN_FORCE_WITHIN, "the capacity to be in force"),
    ):
        until = time.monotonic() + limit.total_seconds()
        said = False
        while (left := until - time.monotonic()) > 0:
            done, _ = await asyncio.wait({result}, timeout=min(left, CHECK_SECONDS))
            if done:
                return result.result()
            if limit is PICKED_UP_WITHIN and (await _history_length(boost) or 0) > UNPICKED_EVENTS:
                break
            if not said:
                on_notice(f"Waiting for {waits_for}")
                said = True
        else:
            minutes = f"{limit // timedelta(minutes=1)} min"
            raise ServerError(
                f"waited {minutes} for {waits_for}; the boost {boost.id} was started, and goes "
                "on; `planner status` shows how far it is"
            )
    raise AssertionError("the second limit ends in an error")


async def _history_length(boost: WorkflowHandle[Any, BoostResult]) -> int | None:
    """Return the number of events that *boost* has had; None where the server doesn't answer."""
    try:
        return (await boost.describe(rpc_timeout=ANSWER_WITHIN)).history_length
    except RPCError:
        return None


async def release(client: Client, namespace: str, request: ReleaseRequest) -> tuple[Lease, ...]:
    """End leases of *namespace* now, and return the ended ones.

    Raises:
        Refused: No keeper is running there.
        ServerError: The keeper could not be reached.
    """
    handle = client.get_workflow_handle(keeper_id(namespace))
    try:
        async with asyncio.timeout(ANSWER_WITHIN.total_seconds()):
            return await _released(handle, request)
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
        raise ServerError(f"the keeper of {namespace} does not answer: {WORKER_HINT}") from error
    except (RPCError, WorkflowUpdateFailedError) as error:
        if isinstance(error, RPCError) and error.status != RPCStatusCode.NOT_FOUND:
            raise ServerError(f"the keeper of {namespace}: {error.message}") from error
        await require_namespace(client)
        raise Refused(await _nothing_to_release(client, namespace)) from error


async def _nothing_to_release(client: Client, namespace: str) -> str:
    """Return where no boost of *namespace* is running, and whether its keeper is known there."""
    where = place_of(client)
    try:
        await client.get_workflow_handle(keeper_id(namespace)).describe(rpc_timeout=ANSWER_WITHIN)
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return (
                f"no keeper of {namespace} is known in {where}, so there is nothing to release "
                "there; a boost in another Temporal namespace is found with TEMPORAL_NAMESPACE, "
                "on another server with TEMPORAL_ADDRESS"
            )
    return f"no boost is running for {namespace} in {where}: there is nothing to release"


def place_of(client: Client) -> str:
    """Return the Temporal namespace and the server of *client*, in words."""
    address = client.service_client.config.target_host
    return f"the Temporal namespace {client.namespace} on {address}"


async def _released(handle: WorkflowHandle[Any, Any], request: ReleaseRequest) -> tuple[Lease, ...]:
    gone = await until_taken(
        lambda: handle.execute_update(RELEASE_UPDATE, request, result_type=tuple[Lease, ...])
    )
    return tuple(gone)


async def until_taken(ask: Callable[[], Awaitable[T]]) -> T:
    """Return what *ask* makes of an update; again where it comes as the keeper hands over.

    Raises:
        WorkflowUpdateFailedError: The keeper refused it.
        WorkflowUpdateRPCTimeoutOrCancelledError: There was no answer in time.
    """
    while True:
        try:
            return await ask()
        except WorkflowUpdateRPCTimeoutOrCancelledError:
            raise_if_cancelled()  # else a time-out around it would be lost
            raise
        except WorkflowUpdateFailedError as error:
            cause = error.cause
            if not (isinstance(cause, ApplicationError) and cause.type in REPEATED_REFUSALS):
                raise
        await asyncio.sleep(HAND_OVER)


async def refuse(
    client: Client, namespace: str, request: ReleaseRequest, *, task_queue: str = TASK_QUEUE
) -> None:
    """Have the keeper of *namespace* carry out *request*; one is started where none runs.

    Raises:
        ServerError: The keeper can't go on, or could not be reached.
    """
    known = await fetch_keepers(client, datetime.now(UTC), namespace, ask=False)
    if any(keeper.stuck for keeper in known):
        raise ServerError(
            f"the keeper of {namespace} can't go on; `planner status {namespace} --repair` first"
        )
    try:
        async with asyncio.timeout(ANSWER_WITHIN.total_seconds()):
            await until_taken(lambda: _ask(client, namespace, request, task_queue))
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
        raise_if_cancelled()
        raise ServerError(f"the keeper of {namespace} does not answer: {WORKER_HINT}") from error
    except (RPCError, WorkflowUpdateFailedError) as error:
        raise ServerError(f"the keeper of {namespace}: {error}") from error


async def _ask(client: Client, namespace: str, request: ReleaseRequest, task_queue: str) -> None:
    """Make *request* of the keeper of *namespace*, which is started where none runs."""
    while True:
        start = await _start_of(client, namespace, task_queue)
        with contextlib.suppress(WorkflowAlreadyStartedError):  # it ended as it was asked
            await client.execute_update_with_start_workflow(
                RELEASE_UPDATE, request, start_workflow_operation=start
            )
            return


async def _start_of(
    client: Client, namespace: str, task_queue: str
) -> WithStartWorkflowOperation[Any, Any]:
    """Return the operation that starts the keeper of *namespace*, as a worker does.

    Where one is running, no other is started: should it fail as it takes the update, the
    server would start another that knows nothing of it. The next attempt finds it broken.

    Raises:
        RPCError: The server can't be asked for its latest run.
    """
    status, run_id = await _latest_run(client, namespace)
    broken_run = run_id if status in RECOVERABLE_STATUSES else ""
    start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
        KEEPER_WORKFLOW,
        KeeperStart(namespace=namespace, broken_run=broken_run),
        **keeper_options(namespace, task_queue),
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE
        if status == "RUNNING"
        else WorkflowIDReusePolicy.ALLOW_DUPLICATE,
    )
    asyncio.ensure_future(start.workflow_handle()).add_done_callback(_retrieve_outcome)
    return start


async def _latest_run(client: Client, namespace: str) -> tuple[str, str]:
    """Return the status and the id of the keeper's latest run; both empty without one."""
    handle = client.get_workflow_handle(keeper_id(namespace))
    try:
        described = await handle.describe(rpc_timeout=ANSWER_WITHIN)
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return "", ""
        raise
    return described.status.name if described.status else "", described.run_id


def _retrieve_outcome(started: asyncio.Future[Any]) -> None:
    """Retrieve the error of a keeper's start: the failing call has raised it, too."""
    if not started.cancelled():
        started.exception()


async def release_all(
    client: Client, request: ReleaseRequest, now: datetime
) -> AsyncIterator[tuple[str, tuple[Lease, ...] | ServerError]]:
    """End the leases of every namespace; yield each namespace with its ended leases or error.

    Includes keepers that don't answer a status query.
    """

    async def one(namespace: str) -> tuple[str, tuple[Lease, ...] | ServerError]:
        try:
            return namespace, await release(client, namespace, request)
        except Refused:  # it ended meanwhile
            return namespace, ()
        except ServerError as error:
            return namespace, error

    holding = [
        one(keeper.namespace)
        for keeper in await fetch_keepers(client, now)
        if keeper.is_running and (keeper.status is None or keeper.status.leases)
    ]
    for outcome in asyncio.as_completed(holding):
        yield await outcome


async def fetch_keepers(
    client: Client, now: datetime, namespace: str = "", *, ask: bool = True
) -> list[Keeper]:
    """Return the latest run of each keeper, sorted by namespace, with its status at *now*.

    Only where they are to be *asked* for it: without a worker nobody answers.
    """
    latest: dict[str, WorkflowExecution] = {}
    async for execution in executions(client, namespace):
        known = latest.get(execution.id)
        if known is None or execution.start_time > known.start_time:
            latest[execution.id] = execution
    found = await asyncio.gather(
        *(read_keeper(client, execution, now, ask=ask) for execution in latest.values())
    )
    return sorted(found, key=lambda keeper: keeper.namespace)


async def executions(client: Client, namespace: str) -> AsyncIterator[WorkflowExecution]:
    """Yield the runs of keepers, of one *namespace* or of all.

    Servers differ in how a query quotes special characters: a name with any is filtered
    here instead.
    """
    query = f"WorkflowType = '{KEEPER_WORKFLOW}'"
    if PLAIN_NAME.fullmatch(namespace):
        query += f" AND WorkflowId = '{keeper_id(namespace)}'"
    try:
        async for execution in client.list_workflows(query, rpc_timeout=ANSWER_WITHIN):
            if not namespace or execution.id == keeper_id(namespace):
                yield execution
    except RPCError as error:
        raise ServerError(f"the keepers can't be listed: {error.message}") from error


async def read_keeper(
    client: Client, execution: WorkflowExecution, now: datetime, *, ask: bool
) -> Keeper:
    """Return one run, with why it can't go on, else with its status at *now* where it answers."""
    handle = client.get_workflow_handle(execution.id, run_id=execution.run_id)
    is_running = execution.status == WorkflowExecutionStatus.RUNNING
    stuck = await _why_stuck(client, handle, now) if is_running else ""
    status: KeeperStatus | None = None
    if ask and not stuck:
        # A worker answers for an ended run, too, by a replay.
        with contextlib.suppress(RPCError, WorkflowQueryFailedError):
            status = await handle.query(
                STATUS_QUERY,
                format_instant(now),
                result_type=KeeperStatus,
                rpc_timeout=ANSWER_WITHIN,
            )
    return Keeper(
        namespace=execution.id.removeprefix(keeper_id("")),
        run_id=execution.run_id,
        is_running=is_running,
        is_broken=execution.status is not None and execution.status.name in UNFINISHED_STATUSES,
        status=status,
        stuck=stuck,
    )


async def _why_stuck(client: Client, handle: WorkflowHandle[Any, Any], now: datetime) -> str:
    """Return why the workflow task of a run fails again and again; empty where it doesn't.

    It is judged as by the watchdog, which gives such a run a successor.
    """
    try:
        description = await handle.describe(rpc_timeout=ANSWER_WITHIN)
        task = description.raw_description.pending_workflow_task
        since = task.original_scheduled_time.ToDatetime(tzinfo=UTC)
        if not is_stuck(task.attempt, since, now):
            return ""
        cause = await _last_failure(client, handle)
    except RPCError:
        return ""
    return f"{cause or 'its workflow task times out'} (attempt {task.attempt})"


async def _last_failure(client: Client, handle: WorkflowHandle[Any, Any]) -> str:
    """Return why the latest workflow task of a run failed, in one line; empty if it didn't.

    The server records only the first of several failures in a row.
    """
    request = GetWorkflowExecutionHistoryReverseRequest(
        namespace=client.namespace,
        execution=Execution(workflow_id=handle.id, run_id=handle.run_id or ""),
        maximum_page_size=LAST_EVENTS,
    )
    reply = await client.workflow_service.get_workflow_execution_history_reverse(
        request, timeout=ANSWER_WITHIN
    )
    for event in reply.history.events:
        if event.HasField("workflow_task_failed_event_attributes"):
            message = event.workflow_task_failed_event_attributes.failure.message
            return shortened(" ".join(message.split()), CAUSE_LENGTH)
        if event.HasField("workflow_task_completed_event_attributes"):
            return ""
    return ""


async def repair(client: Client, keeper: Keeper, *, task_queue: str = TASK_QUEUE) -> None:
    """Start a keeper that recovers the state of a broken one and reconciles from there.

    One that is stuck is terminated first.
    """
    if keeper.stuck:
        handle = client.get_workflow_handle(keeper_id(keeper.namespace), run_id=keeper.run_id)
        with contextlib.suppress(RPCError):  # it ended meanwhile
            await handle.terminate(f"stuck, and succeeded by another: {keeper.stuck}")
    start = KeeperStart(namespace=keeper.namespace, broken_run=keeper.run_id)
    try:
        await client.start_workflow(
            KEEPER_WORKFLOW,
            start,
            **keeper_options(keeper.namespace, task_queue),
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            rpc_timeout=ANSWER_WITHIN,
        )
    except RPCError as error:
        raise ServerError(f"no keeper could be started: {error.message}") from error
