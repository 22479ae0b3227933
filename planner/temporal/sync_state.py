"""What the server keeps of a project's syncs: the lock, and the last-applied record.

Of several syncs of a project, one at a time writes: the holder of the lock, a workflow execution
that no worker runs. Starting it under a fixed id is atomic on the server. Its holder signals it
every few seconds, and completes it at the end: it answers the execution's workflow task itself.
Where a holder was killed, the signals stop, and the next sync terminates the execution by its run
id, so that it can't hit a later one. A holder that can't signal stops writing well before that.

The record says what the last sync wrote, and where it came from. The server's schedule list lags
behind writes, so a sync that trusted it could take the state before the last sync for the present
one. Instead of waiting for the list, a sync records which schedules it is about to write, and
afterwards how it left each of them. The next sync describes the schedules that the list shows
otherwise. A sync that was killed leaves the first record, and the next one describes all that it
may have written. The record is the input of a workflow execution that no worker runs, like the
lock. Continuing it as new replaces the run before, and reading it never lags. It has no time-out,
so that the source it names stays known until someone terminates it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import zlib
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, get_origin

from temporalio.api.command.v1 import (
    Command,
    CompleteWorkflowExecutionCommandAttributes,
    ContinueAsNewWorkflowExecutionCommandAttributes,
)
from temporalio.api.common.v1 import Memo, Payloads, WorkflowExecution, WorkflowType
from temporalio.api.enums.v1 import CommandType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DeleteWorkflowExecutionRequest,
    DescribeWorkflowExecutionRequest,
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryReverseRequest,
    PollWorkflowTaskQueueRequest,
    RespondWorkflowTaskCompletedRequest,
)
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from planner.errors import ServerError
from planner.plan.diff import stamp_of
from planner.plan.model import Change, LiveSchedule, Plan, Source
from planner.schedules.spec import Schedule, Stamp
from planner.temporal.client import (
    REQUEST_TIMEOUT,
    NotFound,
    Server,
    ServerClock,
    read_clock,
    seconds_setting,
)
from workflows.contract.findings import USUAL_THRESHOLDS, UsageThresholds
from workflows.contract.fleets import DeclaredFleet
from workflows.contract.follow import FOLLOW_SIGNAL, FOLLOW_WORKFLOW, FollowRecord
from workflows.contract.notices import NoticeTarget

T = TypeVar("T")

LOCK_WORKFLOW = "PlannerSync"
NO_WORKER_QUEUE = "planner-sync"
"""A task queue that nobody polls, for what takes signals alone."""

ANSWER_TIMEOUT = timedelta(seconds=5)
"""Time for an execution's workflow task to come, and again for its answer. An execution that
continues as new gets its task a second later if its run before was younger than that."""

RENEW_SECONDS = 5.0
STOP_SECONDS = 15.0
"""Seconds without a renewal after which the holder stops writing."""

SILENT_SECONDS = 30.0
"""Seconds without a renewal after which the lock is taken over. Longer than `STOP_SECONDS`
and the time-out of a write that was sent just before."""

LONGEST = timedelta(hours=4)
"""Execution time-out of a lock that no other sync takes over; no sync lasts as long."""

LOCK_WAIT_SETTING = "PLANNER_LOCK_WAIT"

LOCK_WAIT_SECONDS = 900.0
"""Seconds for which another sync is waited for, by default; one of 10,000 windows takes
minutes."""

POLL_SECONDS = 0.25
SIGNAL_TIMEOUT = timedelta(seconds=5)

Handle = WorkflowHandle[object, object]


class SyncLock:
    """A lock that this sync holds, from a start *sent* at that `time.monotonic` and *sent_at*."""

    def __init__(self, client: Client, handle: Handle, sent: float, sent_at: float) -> None:
        self._client = client
        self._handle = handle
        self._sent = sent
        self._renewed = sent
        self._renewed_at = sent_at
        self._result = "nothing was changed"

    def ensure_held(self) -> None:
        """Raise unless the lock is certainly held; call it before each write.

        Raises:
            ServerError: Another sync may have taken the lock over.
        """
        if self._silence > STOP_SECONDS:
            raise ServerError(
                "the lock of this sync could not be renewed on the server, so another sync may "
                "have taken over; run it again"
            )

    @property
    def _silence(self) -> float:
        """Seconds since the last renewal, by the clock that says more.

        The monotonic one stands while the machine sleeps, the other one may be set back.
        """
        return max(time.monotonic() - self._renewed, time.time() - self._renewed_at)

    async def clock(self, server: Server) -> ServerClock:
        """Return the server's clock, read from the start time of the lock's execution.

        Raises:
            ServerError: It could not be read.
        """
        return await read_clock(server, self._handle.id, self._handle.run_id or "", self._sent)

    def set_result(self, summary: str) -> None:
        """Set the result with which the execution completes, as the Temporal UI shows it."""
        self._result = summary

    async def renew(self) -> None:
        """Signal the execution every `RENEW_SECONDS` until cancelled."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            sent, sent_at = time.monotonic(), time.time()
            try:
                await self._handle.signal("renew", rpc_timeout=SIGNAL_TIMEOUT)
            except RPCError as error:
                if error.status == RPCStatusCode.NOT_FOUND:
                    self._renewed = float("-inf")  # taken over, for good
                    return
            else:
                self._renewed, self._renewed_at = sent, sent_at

    async def release(self) -> None:
        """Complete the execution, so that the next sync gets the lock; terminate it if need be."""
        if self._silence < STOP_SECONDS:  # else the task may be that of another sync's lock
            result = await self._client.data_converter.encode([self._result])
            attributes = CompleteWorkflowExecutionCommandAttributes(
                result=Payloads(payloads=result)
            )
            command = Command(
                command_type=CommandType.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION,
                complete_workflow_execution_command_attributes=attributes,
            )
            if await _answered(self._client, self._handle.id, command):
                return
        with contextlib.suppress(RPCError):
            await self._handle.terminate(self._result, rpc_timeout=SIGNAL_TIMEOUT)


def lock_id(project: str) -> str:
    """Return the workflow id of the lock of *project*."""
    return f"planner-sync/{project}"


async def _answered(client: Client, id: str, command: Command) -> bool:
    """Answer the workflow task of *id* by *command*, as a worker would; tell whether that worked.

    No worker polls its task queue, so the task that it began with waits there. It doesn't come
    where another one took it and was killed, or where another release or a hand started *id*.
    """
    poll = PollWorkflowTaskQueueRequest(
        namespace=client.namespace, task_queue=TaskQueue(name=id), identity=client.identity
    )
    service = client.workflow_service
    try:
        task = await service.poll_workflow_task_queue(poll, timeout=ANSWER_TIMEOUT)
        if task.workflow_execution.workflow_id != id:
            return False
        answer = RespondWorkflowTaskCompletedRequest(
            namespace=client.namespace,
            task_token=task.task_token,
            identity=client.identity,
            commands=[command],
        )
        await service.respond_workflow_task_completed(answer, timeout=ANSWER_TIMEOUT)
    except RPCError:
        return False
    return True


@asynccontextmanager
async def hold_lock(
    client: Client, project: str, on_notice: Callable[[str], None]
) -> AsyncIterator[SyncLock]:
    """Wait for the lock of *project* and hold it while the context lasts.

    Args:
        client: Client of the Temporal namespace that has the project's schedules.
        project: The project to lock.
        on_notice: Called with a sentence where another sync holds the lock, and where that
            one has fallen silent.
    """
    lock = await _acquire(client, project, on_notice)
    renewing = asyncio.create_task(lock.renew())
    try:
        yield lock
    finally:
        renewing.cancel()
        await asyncio.shield(lock.release())


async def _acquire(client: Client, project: str, on_notice: Callable[[str], None]) -> SyncLock:
    """Start the lock's execution, after waiting for its holder or terminating a silent one."""
    limit = seconds_setting(LOCK_WAIT_SETTING, LOCK_WAIT_SECONDS)
    until = time.monotonic() + limit
    while True:
        sent, sent_at = time.monotonic(), time.time()
        try:
            handle = await client.start_workflow(
                LOCK_WORKFLOW,
                id=lock_id(project),
                task_queue=lock_id(project),
                execution_timeout=LONGEST,
                static_summary=f"A sync of {project} by {client.identity} writes its schedules",
                rpc_timeout=SIGNAL_TIMEOUT,
            )
            own = client.get_workflow_handle(handle.id, run_id=handle.result_run_id)
            return SyncLock(client, own, sent, sent_at)
        except RPCError as error:
            raise ServerError(f"no lock to write for {project}: {error.message}") from error
        except WorkflowAlreadyStartedError as error:
            on_notice(
                f"another sync of {project} is under way; waiting for it, {limit:g} s at most "
                f"({LOCK_WAIT_SETTING})"
            )
            holder = client.get_workflow_handle(lock_id(project), run_id=error.run_id)
            if time.monotonic() > until or (ended := await _wait_for_end(holder, until)) is None:
                raise ServerError(
                    f"another sync of {project} is still under way after {limit:g} s; run this one "
                    f"again later, or wait longer with {LOCK_WAIT_SETTING}=3600"
                ) from error
            if not ended:
                on_notice(f"that sync of {project} fell silent; its lock was taken over")


async def _wait_for_end(holder: Handle, until: float) -> bool | None:
    """Wait until *holder* ends; terminate it once it falls silent, and return False then.

    None where it still runs at *until*, on the monotonic clock.
    """
    length, since = 0, time.monotonic()
    while True:
        try:
            description = await holder.describe(rpc_timeout=SIGNAL_TIMEOUT)
        except RPCError as error:
            raise ServerError(f"the sync lock can't be read: {error.message}") from error
        if description.status != WorkflowExecutionStatus.RUNNING:
            return True
        if description.history_length != length:  # each renewal is an event
            length, since = description.history_length, time.monotonic()
        if time.monotonic() - since > SILENT_SECONDS:
            with contextlib.suppress(RPCError):
                await holder.terminate("its holder fell silent", rpc_timeout=SIGNAL_TIMEOUT)
            return False
        if time.monotonic() > until:
            return None
        await asyncio.sleep(POLL_SECONDS)


LAST_APPLIED_WORKFLOW = "PlannerLastApplied"

ABOUT_MEMO = "about"
"""The memo field of a record that says in the Temporal UI what it is."""

TARGETS_MEMO = "notices"
"""The memo field of a record with the project's notice targets."""

THRESHOLDS_MEMO = "usage"
"""The memo field of a record with what the project judges usage by, where that isn't the usual."""

FLEETS_MEMO = "fleets"
"""The memo field of a record with the fleets that no schedule of the project declares."""

ABSENT = ""
"""Fingerprint of a schedule that doesn't exist."""

UNSTAMPED = "-"
"""Fingerprint of a schedule without a stamp of ours."""

EXPIRES_AFTER = timedelta(hours=1)
"""Age after which a complete record is ignored: the list shows all of it by then. Lists lag
by seconds; the rest allows for clocks that differ."""


@dataclass(frozen=True, slots=True)
class LastApplied:
    """What the last sync wrote.

    Attributes:
        fingerprints: `fingerprint` of each schedule that it wrote, by id; None where the
            result is unknown, or the write is still to come.
        pauses: Notes of paused schedules that it set out to adopt, by id. Adopting deletes
            a schedule and creates it; where it broke off in between, the next sync creates
            it paused, with this note.
        digests: The digest of each schedule that the project has since, by id.
        source: Where the calendars of that sync came from; None where it isn't known.
        zones: Time zones that the server reads differently, as that sync found; each with the
            first instant that differs.
        targets: Where the project's notices go. They are in the record's memo, which a list of
            the records shows: the watchdog reads those of all projects at once.
        thresholds: What the project judges usage by; likewise in the memo.
        fleets: The fleets of the project that no window uses, so that no schedule declares them;
            likewise in the memo.
        commit: The commit of a followed repository whose calendars that sync applied, all of
            them; empty where another sync has written since, or one broke off.
        writer: The word of the caller whose sync wrote it; see `SyncRequest`.
        version: Identifies the record; empty where there is none.
        continues: Whether there is one that the next one can continue as new.
    """

    fingerprints: Mapping[str, str | None] = field(default_factory=dict)
    pauses: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    source: Source | None = None
    zones: Mapping[str, str] = field(default_factory=dict)
    targets: tuple[NoticeTarget, ...] = ()
    thresholds: UsageThresholds = USUAL_THRESHOLDS
    fleets: tuple[DeclaredFleet, ...] = ()
    commit: str = ""
    writer: str = ""
    version: str = ""
    continues: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether that sync ended, and knew the result of every write."""
        return None not in self.fingerprints.values()


def fingerprint(live: LiveSchedule | None) -> str:
    """Return the stamp and the pause of *live* in one word; `ABSENT` where there is none."""
    return ABSENT if live is None else _fingerprint(live.stamp, live.paused)


def outdated(last: LastApplied, listed: Mapping[str, LiveSchedule]) -> set[str]:
    """Return the ids whose *listed* state isn't the one that *last* records."""
    return {id for id, known in last.fingerprints.items() if known != fingerprint(listed.get(id))}


def before_writing(plan: Plan, last: LastApplied) -> LastApplied:
    """Return the record to write before *plan* is applied; *last* is kept where still needed."""
    adopted = {}
    for change in plan.pending:
        if change.desired is None or change.live is None:
            continue
        keeps_pause = change.action == "adopt" and change.live.paused
        if change.action == "rename" and not change.former_id:  # made anew under its id, too
            keeps_pause = change.live.paused_by_operator
        if keeps_pause:
            adopted[change.id] = change.desired.note
    ids = (id for change in plan.pending for id in (change.id, change.former_id) if id)
    unknown = dict.fromkeys(ids, None)
    return replace(
        last,
        fingerprints={**last.fingerprints, **unknown},
        pauses={**last.pauses, **adopted},
        version="",
    )


def after_writing(
    record: LastApplied, done: Iterable[Change], desired: Iterable[Schedule], there: Collection[str]
) -> LastApplied:
    """Return *record* with the results of the changes *done*.

    Args:
        record: What was recorded before.
        done: The changes that were made.
        desired: The schedules that the files define.
        there: The ids of the schedules that were there before the changes.
    """
    done = tuple(done)
    made = {change.id for change in done}
    digests = {
        one.id: stamp.digest
        for one in desired
        if (one.id in there or one.id in made) and (stamp := stamp_of(one))
    }
    written = {
        id: _fingerprint(stamp_of(one), one.paused) if one else ABSENT
        for id, one in ((change.id, change.desired) for change in done)
    }
    written |= {change.former_id: ABSENT for change in done if change.former_id}
    pauses = {id: note for id, note in record.pauses.items() if id not in written}
    return replace(
        record,
        fingerprints={**record.fingerprints, **written},
        pauses=pauses,
        digests=digests,
        version="",
    )


async def read_last_applied(server: Server, project: str, now: datetime) -> LastApplied:
    """Return the record of the last sync of *project*; an empty one where there is none.

    The fingerprints of a complete record that is older than `EXPIRES_AFTER` at *now* are
    left out.
    """
    request = GetWorkflowExecutionHistoryRequest(
        namespace=server.namespace,
        execution=WorkflowExecution(workflow_id=last_applied_id(project)),
        maximum_page_size=1,
    )
    try:
        reply = await server.send(server.service.get_workflow_execution_history, request)
    except NotFound:
        return LastApplied()
    event = reply.history.events[0]
    started = event.workflow_execution_started_event_attributes
    try:
        (packed,) = await server.converter.decode(started.input.payloads)
        value = json.loads(zlib.decompress(packed))
        fingerprints, pauses = dict(value["fingerprints"]), dict(value["pauses"])
        digests = dict(value.get("digests", {}))
        source = Source(**value["source"]) if value.get("source") else None
        zones, commit = dict(value.get("zones", {})), str(value.get("commit", ""))
        writer = str(value.get("writer", ""))
    except Exception:  # other clients may start a workflow under this id: ignore its input
        fingerprints, pauses, digests, source, zones, commit = {}, {}, {}, None, {}, ""
        writer = ""
    run = started.original_execution_run_id
    memo = await _read_memo(started.memo, server)
    continues = started.task_queue.name == last_applied_id(project)  # else of another release
    record = LastApplied(
        *(fingerprints, pauses, digests, source, zones),
        targets=memo.targets,
        thresholds=memo.thresholds,
        fleets=memo.fleets,
        commit=commit,
        writer=writer,
        version=run,
        continues=continues,
    )
    is_old = now - event.event_time.ToDatetime(tzinfo=UTC) > EXPIRES_AFTER
    return replace(record, fingerprints={}) if is_old and record.is_complete else record


@dataclass(frozen=True, slots=True)
class _InMemo:
    """What of a record is in its memo, which a list of the records shows, too."""

    targets: tuple[NoticeTarget, ...] = ()
    thresholds: UsageThresholds = USUAL_THRESHOLDS
    fleets: tuple[DeclaredFleet, ...] = ()


async def _read_memo(memo: Memo, server: Server) -> _InMemo:
    """Return what is in the *memo* of a record, as without it where it can't be read."""

    async def read(name: str, kind: type[T], default: T) -> T:
        if (payload := memo.fields.get(name)) is None:
            return default
        try:
            (found,) = await server.converter.decode([payload], [kind])
        except Exception:  # other clients may start a workflow under this id, too
            return default
        return found if isinstance(found, get_origin(kind) or kind) else default

    return _InMemo(
        tuple(await read(TARGETS_MEMO, list[NoticeTarget], [])),
        await read(THRESHOLDS_MEMO, UsageThresholds, USUAL_THRESHOLDS),
        tuple(await read(FLEETS_MEMO, list[DeclaredFleet], [])),
    )


@dataclass(frozen=True, slots=True)
class OfProjects:
    """What the syncs of every project left for the worker.

    *targets* are where their notices go, sorted; *thresholds* what each judges usage by, by
    project, where that isn't the usual; *fleets* those that no schedule of their project declares,
    of several declarations of one the newest.
    """

    targets: tuple[NoticeTarget, ...] = ()
    thresholds: Mapping[str, UsageThresholds] = field(default_factory=dict)
    fleets: tuple[DeclaredFleet, ...] = ()


async def fetch_of_projects(server: Server) -> OfProjects:
    """Return what the records of every project say besides; no Action, and one request.

    Raises:
        ServerError: The records could not be listed.
    """
    prefix, thresholds = last_applied_id(""), {}
    query = f"WorkflowType = '{LAST_APPLIED_WORKFLOW}' AND ExecutionStatus = 'Running'"
    found: dict[str, NoticeTarget] = {}
    fleets: dict[tuple[str, str], tuple[datetime, DeclaredFleet]] = {}
    try:
        async for record in server.client.list_workflows(query, rpc_timeout=REQUEST_TIMEOUT):
            memo = await _read_memo(record.raw_info.memo, server)
            own = (one for one in memo.targets if last_applied_id(one.project) == record.id)
            found |= {one.id: one for one in own}
            if memo.thresholds != USUAL_THRESHOLDS:
                thresholds[record.id.removeprefix(prefix)] = memo.thresholds
            for one in memo.fleets:
                key, written = (one.namespace, one.fleet.name), (record.start_time, one)
                if last_applied_id(one.project) == record.id:
                    fleets[key] = max(fleets.get(key, written), written, key=lambda each: each[0])
    except RPCError as error:
        raise ServerError(f"the projects' records can't be read: {error.message}") from error
    declared = tuple(fleets[key][1] for key in sorted(fleets))
    return OfProjects(tuple(found[id] for id in sorted(found)), thresholds, declared)


async def write_last_applied(server: Server, project: str, record: LastApplied) -> LastApplied:
    """Replace the record of *project* by *record*, and return it as one that can be continued.

    Raises:
        ServerError: The server refused.
    """
    packed = packed_record(record)
    about = f"What the last sync of {project} wrote, for the next one to check"
    memo: dict[str, Any] = {ABOUT_MEMO: about}
    if record.targets:
        memo[TARGETS_MEMO] = list(record.targets)
    if record.thresholds != USUAL_THRESHOLDS:
        memo[THRESHOLDS_MEMO] = record.thresholds
    if record.fleets:
        memo[FLEETS_MEMO] = list(record.fleets)
    if record.continues and await _continued(server, project, packed, memo):
        return record
    try:
        await server.client.start_workflow(
            LAST_APPLIED_WORKFLOW,
            packed,
            id=last_applied_id(project),
            task_queue=last_applied_id(project),
            id_conflict_policy=WorkflowIDConflictPolicy.TERMINATE_EXISTING,
            memo=memo,
            rpc_timeout=REQUEST_TIMEOUT,
        )
    except RPCError as error:
        raise ServerError(f"no record of what is written for {project}: {error.message}") from error
    return replace(record, continues=True)


def packed_record(record: LastApplied) -> bytes:
    """Return what of *record* isn't in its memo: for 10,000 schedules a quarter of a MB."""
    value = {
        "fingerprints": dict(record.fingerprints),
        "pauses": dict(record.pauses),
        "digests": dict(record.digests),
        "source": asdict(record.source) if record.source else None,
        "zones": dict(record.zones),
        "commit": record.commit,
        "writer": record.writer,
    }
    return zlib.compress(json.dumps(value).encode())


async def _continued(server: Server, project: str, packed: bytes, memo: Mapping[str, Any]) -> bool:
    """Continue the record of *project* as new; tell whether that worked."""
    queue = last_applied_id(project)
    fields = await server.converter.encode(list(memo.values()))
    attributes = ContinueAsNewWorkflowExecutionCommandAttributes(
        workflow_type=WorkflowType(name=LAST_APPLIED_WORKFLOW),
        task_queue=TaskQueue(name=queue),
        input=Payloads(payloads=await server.converter.encode([packed])),
        memo=Memo(fields=dict(zip(memo, fields, strict=True))),
    )
    command = Command(
        command_type=CommandType.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION,
        continue_as_new_workflow_execution_command_attributes=attributes,
    )
    return await _answered(server.client, queue, command)


async def fetch_sync_time(server: Server, project: str) -> datetime | None:
    """Return when the last sync of *project* wrote its record; None without one."""
    request = DescribeWorkflowExecutionRequest(
        namespace=server.namespace,
        execution=WorkflowExecution(workflow_id=last_applied_id(project)),
    )
    try:
        reply = await server.send(server.service.describe_workflow_execution, request)
    except NotFound:
        return None
    return reply.workflow_execution_info.start_time.ToDatetime(tzinfo=UTC)


async def delete_last_applied(server: Server, project: str) -> None:
    """Delete the record of *project*; nothing where there is none.

    Raises:
        ServerError: The server refused.
    """
    request = DeleteWorkflowExecutionRequest(
        namespace=server.namespace,
        workflow_execution=WorkflowExecution(workflow_id=last_applied_id(project)),
    )
    with contextlib.suppress(NotFound):
        await server.send(server.service.delete_workflow_execution, request)


MOST_EVENTS = 1_000
"""Events of a signal record after which it begins anew: a history of the longest records stays
below the 50 MB that it may have."""

LATEST_EVENTS = 10
"""Events that are read from the end of a signal record; the newest is nearly always the one."""


@dataclass(frozen=True, slots=True)
class SignalRecord:
    """Values that the server keeps, each as a signal to an execution that no worker runs.

    The latest counts. One execution takes them for weeks at least: the UI's list shows one row.

    Attributes:
        workflow: The type of the executions.
        signal: The name of the signals.
        kind: The type of the values.
    """

    workflow: str
    signal: str
    kind: type

    async def write(self, server: Server, id: str, value: object, summary: str) -> None:
        """Put *value* on record under *id*.

        Raises:
            ServerError: The server refused.
        """
        _, events = await self._read(server, id)
        policy = WorkflowIDConflictPolicy.USE_EXISTING
        if events > MOST_EVENTS:
            policy = WorkflowIDConflictPolicy.TERMINATE_EXISTING
        try:
            await server.client.start_workflow(
                self.workflow,
                id=id,
                task_queue=NO_WORKER_QUEUE,
                id_conflict_policy=policy,
                start_signal=self.signal,
                start_signal_args=[value],
                static_summary=summary,
                rpc_timeout=REQUEST_TIMEOUT,
            )
        except RPCError as error:
            raise ServerError(f"{id} can't be put on record: {error.message}") from error

    async def read(self, server: Server, id: str) -> object | None:
        """Return the value on record under *id*; None where there is none.

        Raises:
            ServerError: The server could not be asked.
        """
        return (await self._read(server, id))[0]

    async def _read(self, server: Server, id: str) -> tuple[object | None, int]:
        """Return the value, and how many events its execution has."""
        request = GetWorkflowExecutionHistoryReverseRequest(
            namespace=server.namespace,
            execution=WorkflowExecution(workflow_id=id),
            maximum_page_size=LATEST_EVENTS,
        )
        send = server.service.get_workflow_execution_history_reverse
        try:
            events = (await server.send(send, request)).history.events
        except NotFound:
            return None, 0
        if events[0].HasField("workflow_execution_terminated_event_attributes"):
            return None, 0
        for event in events:
            signal = event.workflow_execution_signaled_event_attributes
            if signal.signal_name == self.signal:
                with contextlib.suppress(Exception):  # of another release, or another client
                    (found,) = await server.converter.decode(signal.input.payloads, [self.kind])
                    return found, events[0].event_id
        return None, events[0].event_id

    async def delete(self, server: Server, id: str) -> None:
        """Delete what is on record under *id*; nothing where there is none."""
        request = DeleteWorkflowExecutionRequest(
            namespace=server.namespace, workflow_execution=WorkflowExecution(workflow_id=id)
        )
        with contextlib.suppress(NotFound):
            await server.send(server.service.delete_workflow_execution, request)


FOLLOWS = SignalRecord(FOLLOW_WORKFLOW, FOLLOW_SIGNAL, FollowRecord)


async def write_follow(server: Server, record: FollowRecord) -> None:
    """Put what a follower saw on record.

    Raises:
        ServerError: The server refused.
    """
    await FOLLOWS.write(server, record.id, record, f"What `planner follow` sees of {record.name}")


async def read_follow(server: Server, id: str) -> FollowRecord | None:
    """Return the record of the follower with that *id*; None where there is none."""
    found = await FOLLOWS.read(server, id)
    return found if isinstance(found, FollowRecord) else None


async def fetch_follows(server: Server) -> tuple[FollowRecord, ...]:
    """Return the record of every follower, sorted; no Action, a list and a request for each.

    Raises:
        ServerError: They could not be read.
    """
    query = f"WorkflowType = '{FOLLOW_WORKFLOW}' AND ExecutionStatus = 'Running'"
    try:
        listed = server.client.list_workflows(query, rpc_timeout=REQUEST_TIMEOUT)
        ids = sorted({one.id async for one in listed})
    except RPCError as error:
        raise ServerError(f"what is followed can't be read: {error.message}") from error
    found = await asyncio.gather(*(read_follow(server, id) for id in ids))
    return tuple(record for record in found if record)


def last_applied_id(project: str) -> str:
    """Return the workflow id of the record of *project*."""
    return f"planner-last-applied/{project}"


def _fingerprint(stamp: Stamp | None, paused: bool) -> str:
    text = UNSTAMPED if stamp is None else f"{stamp.digest}.{stamp.note}"
    return f"{text} paused" if paused else text
