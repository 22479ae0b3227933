"""The facts of each namespace: its schedules, its keeper, its boosts, the workers; its history.

What follows from them is judged elsewhere: `workflows.contract.findings`. History is what the
server keeps of boosts and keepers: its lists, and histories where they must be.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import Payload, WorkflowExecution
from temporalio.api.enums.v1 import TaskQueueType, WorkflowExecutionStatus
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import (
    CountWorkflowExecutionsRequest,
    DescribeNamespaceRequest,
    DescribeTaskQueueRequest,
    GetWorkflowExecutionHistoryRequest,
    ListWorkflowExecutionsRequest,
    ListWorkflowExecutionsResponse,
)
from temporalio.service import RPCError

from planner.errors import ServerError
from planner.forecast.history import ListedBoost, Reach, recorded_firings, unexplained
from planner.model import Horizon
from planner.plan.live import firings_in, missed, pause_reason
from planner.plan.model import LiveSchedule
from planner.schedules.spec import Schedule, namespace_of, upcoming, window_key
from planner.temporal.client import Server, local_clock
from planner.temporal.convert import EntryReader, ListedTimes, read_times
from planner.temporal.fetch import describe, describe_all, fetch_evidence, list_entries
from planner.temporal.keepers import ANSWER_WITHIN, PLAIN_NAME, fetch_keepers
from workflows.contract import (
    BOOST_WORKFLOW,
    KEEPER_WORKFLOW,
    RECORD_MEMO,
    TASK_QUEUE,
    BoostRequest,
    KeeperRecord,
    WatchdogReport,
    format_instant,
    keeper_id,
    occurrence_of,
)
from workflows.contract.findings import (
    MISSED_KEPT,
    MISSED_MEMO,
    POLLING_WITHIN,
    MissedBoost,
    NamespaceFacts,
    NamespaceStatus,
    NextWindow,
    Pause,
    Pollers,
    WindowRun,
    status_of,
)
from workflows.contract.from_code import BOOSTS_QUERY

LOOK_AHEAD = timedelta(days=400)

NO_REASON = "an operator, who gave no reason"

LOOK_BACK = timedelta(days=31)
"""How long ago the firing of a window under way may be."""


async def fetch_statuses(
    server: Server, now: datetime, *, namespace: str = ""
) -> list[NamespaceStatus]:
    """Return the status of each namespace with a keeper or a schedule, sorted by name."""
    seen = await fetch_facts(server, now, await fetch_pollers(server, now), namespace=namespace)
    return [status_of(one, now) for one in seen]


async def fetch_facts(
    server: Server,
    now: datetime,
    pollers: Pollers,
    *,
    namespace: str = "",
    report: WatchdogReport | None = None,
) -> list[NamespaceFacts]:
    """Return the facts of each namespace with a keeper or a schedule, sorted by name.

    Without a worker nobody answers for a keeper, and none is asked. *report* is the latest one
    of the watchdog.
    """
    watched = {one.namespace: one for one in report.namespaces} if report else {}
    keepers, schedules, lost = await asyncio.gather(
        fetch_keepers(server.client, now, namespace, ask=pollers.count > 0),
        _fetch_schedules(server, now, namespace),
        fetch_missed(server, now, namespace),
    )
    known = {keeper.namespace: keeper for keeper in keepers}
    return [
        replace(
            schedules.get(name, NamespaceFacts(namespace=name)),
            keeper=known.get(name),
            missed=tuple(lost.get(name, ())),
            pollers=pollers,
            watched=watched.get(name),
            workers_cloud=report.cloud if report else "",
        )
        for name in sorted({*known, *schedules, *lost})
    ]


async def fetch_namespaces(server: Server) -> tuple[str, ...]:
    """Return the namespaces that have a schedule of a planner, sorted."""
    reader = EntryReader(server.converter)
    found = {
        namespace_of(entry.schedule_id)
        async for entry in list_entries(server)
        if await reader.owner(entry)
    }
    return tuple(sorted(found - {""}))


async def fetch_schedules_of(server: Server, namespace: str) -> list[Schedule]:
    """Return the schedules of planners for *namespace*, described."""
    reader = EntryReader(server.converter)
    ids = [
        entry.schedule_id
        async for entry in list_entries(server)
        if namespace_of(entry.schedule_id) == namespace and await reader.owner(entry)
    ]
    found = await describe_all(server, ids)
    return [live.schedule for live in found if live and live.schedule]


async def fetch_pollers(server: Server, now: datetime, identity: str = "") -> Pollers:
    """Return the workers of the task queue: those that poll for workflows and for activities.

    With an *identity* only that one counts.
    """
    kinds = (TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY)
    polls_by_kind = await asyncio.gather(*(_fetch_polls(server, kind) for kind in kinds))
    found = [
        {who: at for who, at in polls.items() if identity in ("", who)} for polls in polls_by_kind
    ]
    working = [{who for who, at in polls.items() if now - at <= POLLING_WITHIN} for polls in found]
    seen = [at for polls in found for at in polls.values()]
    return Pollers(min(map(len, working)), max(seen, default=None))


async def _fetch_polls(server: Server, kind: TaskQueueType.ValueType) -> dict[str, datetime]:
    """Return when each worker last polled the task queue for tasks of a *kind*, by identity."""
    request = DescribeTaskQueueRequest(
        namespace=server.namespace, task_queue=TaskQueue(name=TASK_QUEUE), task_queue_type=kind
    )
    reply = await server.send(server.service.describe_task_queue, request)
    polls: dict[str, datetime] = {}
    for poller in reply.pollers:
        at = poller.last_access_time.ToDatetime(tzinfo=UTC)
        polls[poller.identity] = max(at, polls.get(poller.identity, at))
    return polls


# Boosts that came to nothing ----------------------------------------------------------


async def fetch_missed(
    server: Server, now: datetime, namespace: str = ""
) -> Mapping[str, list[MissedBoost]]:
    """Return the boosts of the last day that ended without their capacity, by namespace."""
    query = f"{BOOSTS_QUERY} AND CloseTime > '{format_instant(now - MISSED_KEPT)}'"
    if PLAIN_NAME.fullmatch(namespace):
        query += f" AND WorkflowId STARTS_WITH 'boost/{namespace}/'"
    found: defaultdict[str, list[MissedBoost]] = defaultdict(list)
    try:
        async for execution in server.client.list_workflows(query, rpc_timeout=ANSWER_WITHIN):
            name = namespace_of(execution.id)
            if not name or namespace not in ("", name):
                continue
            if MISSED_MEMO not in execution.raw_info.memo.fields:
                continue
            if one := await execution.memo_value(MISSED_MEMO, None, type_hint=MissedBoost):
                found[name].append(one)
    except RPCError as error:
        raise ServerError(f"the boosts can't be listed: {error.message}") from error
    for boosts in found.values():
        boosts.sort(key=lambda boost: (boost.start, boost.window))
    return found


# Schedules ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ListedSchedule:
    """A schedule with an owner mark, as the server's list shows it."""

    namespace: str
    live: LiveSchedule
    times: ListedTimes


@dataclass(slots=True)
class _Listed:
    """The schedules for one namespace: those of planners, and the ids of others."""

    owned: list[ListedSchedule] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)


async def _fetch_schedules(
    server: Server, now: datetime, namespace: str
) -> dict[str, NamespaceFacts]:
    """Return what the schedules of each namespace show, or of *namespace* alone."""
    reader = EntryReader(server.converter)
    listed: defaultdict[str, _Listed] = defaultdict(_Listed)
    async for entry in list_entries(server):
        name = namespace_of(entry.schedule_id)
        if not name or namespace not in ("", name):
            continue
        if owner := await reader.owner(entry):
            one = ListedSchedule(name, reader.read(entry, owner), read_times(entry))
            listed[name].owned.append(one)
        else:
            listed[name].strangers.append(entry.schedule_id)
    names = sorted(listed)
    found = await asyncio.gather(
        *(_read_schedules(server, name, listed[name], now) for name in names)
    )
    return dict(zip(names, found, strict=True))


async def _read_schedules(
    server: Server, namespace: str, listed: _Listed, now: datetime
) -> NamespaceFacts:
    """Return what the *listed* schedules of a *namespace* show; described where that is needed."""
    first, pauses, gaps = await asyncio.gather(
        _fetch_first(server, listed.owned, now),
        asyncio.gather(*(_read_pause(server, one, now) for one in listed.owned if one.live.paused)),
        fetch_gaps(server, listed.owned, now),
    )
    return NamespaceFacts(
        namespace=namespace,
        windows=tuple(sorted(one.live.window for one in listed.owned)),
        strangers=tuple(sorted(listed.strangers)),
        pauses=tuple(sorted(pauses, key=lambda pause: pause.window)),
        unstarted=tuple(gaps),
        declared=first.schedule.request.baseline if first and first.schedule else None,
        next_window=next_window(first.schedule, now)
        if first and first.schedule and not first.paused
        else None,
    )


async def _fetch_first(
    server: Server, listed: Sequence[ListedSchedule], now: datetime
) -> LiveSchedule | None:
    """Describe the schedule that fires next; of paused ones only, any of them."""
    coming = [one.live for one in listed if one.live.upcoming and not one.live.paused]
    chosen = min(coming, key=lambda live: (live.upcoming[0], live.id), default=None)
    if chosen is None:
        chosen = next((one.live for one in listed), None)
    return await describe(server, chosen.id) if chosen else None


def next_window(schedule: Schedule, now: datetime) -> NextWindow | None:
    """Return the window that *schedule* opens next after *now*; None without one."""
    request = schedule.request
    ahead = timedelta(seconds=request.ahead_seconds)
    fires = next(upcoming(schedule, Horizon(now - ahead, now + LOOK_AHEAD)), None)
    if fires is None:
        return None
    return NextWindow(request.window, fires + ahead, request.tru, fires, request.workers)


def pause_of(live: LiveSchedule) -> Pause:
    """Return who paused the schedule *live*."""
    if not live.paused_by_operator:
        return Pause(window=live.window)
    return Pause(window=live.window, by=pause_reason(live.note) or NO_REASON)


async def _read_pause(server: Server, one: ListedSchedule, now: datetime) -> Pause:
    """Return who paused a schedule, and its occurrence under way that has no boost."""
    pause = pause_of(one.live)
    if not pause.by:
        return pause
    open_runs = await _gaps_of(server, one, now)
    return replace(pause, under_way=next(iter(open_runs), None))


async def fetch_gaps(
    server: Server, listed: Iterable[ListedSchedule], now: datetime
) -> list[WindowRun]:
    """Return the occurrences at *now* that have no boost, earliest first.

    Only schedules whose latest firings the list doesn't show are described. Paused ones
    have no gaps.
    """
    candidates = [one for one in listed if not one.live.paused and _may_have_missed(one, now)]
    found = await asyncio.gather(*(_gaps_of(server, one, now) for one in candidates))
    return sorted((gap for gaps in found for gap in gaps), key=lambda gap: (gap.start, gap.window))


def _may_have_missed(one: ListedSchedule, now: datetime) -> bool:
    """Tell whether *one* may have missed a firing, by the list.

    The list shows the last few firings; earlier ones are taken as fired.
    """
    if one.times.is_cut:
        return True
    since = min(one.live.fired, default=now - LOOK_BACK)
    due = firings_in(one.times, Horizon(since, now))
    return any(nominal not in one.live.fired for nominal in due)


async def _gaps_of(server: Server, one: ListedSchedule, now: datetime) -> list[WindowRun]:
    """Return the occurrences of a schedule at *now* that have no boost.

    What the server shows of a paused one as upcoming, its pause suppresses.
    """
    live = await describe(server, one.live.id)
    if live is None or live.schedule is None or live.paused != one.live.paused:
        return []
    desired, around = live.schedule, local_clock(now).around()
    found = await fetch_evidence(server, {live.id: desired}, {live.id: live}, around)
    there, request = found[live.id], desired.request
    if live.paused:
        there = replace(there, about_to_fire=frozenset())
    runs = (
        occurrence_of(request, nominal) for nominal in missed(desired, there, Horizon(now, now))
    )
    return [
        WindowRun(window=request.window, start=start, end=end, tru=request.tru)
        for start, end in runs
    ]


# History -----------------------------------------------------------------------------


PAGE_SIZE = 1000
"""Workflows per page of a list."""

LONGEST_WINDOW = timedelta(days=31)
"""How long before the time a boost may have been started and still be looked at.

One that waits for its capacity for longer, or fails at the end of its window, is found too."""

SURELY_KEPT = timedelta(hours=1)
"""How much longer than its retention promises the server is taken to delete what has ended."""

READ_AT_ONCE = 16
"""Histories that are read side by side."""

SCHEDULED_START = "TemporalScheduledStartTime"

_EPOCH = datetime.fromtimestamp(0, UTC)

_STAMP = re.compile(r"-(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)$")
"""What a firing's time, or the time of a start by hand, adds to a boost's workflow id."""

ReadRun = Callable[[str, str, tuple[datetime, datetime | None], datetime], Awaitable[KeeperRecord]]
"""Reads the record of a run off its history: namespace, run id, start and end, and now."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What the server keeps of a time: boosts, what keepers did, and how far back it reaches."""

    boosts: tuple[ListedBoost, ...]
    records: tuple[KeeperRecord, ...]
    reach: Reach


@dataclass(frozen=True, slots=True)
class _Run:
    """A run of a keeper as the list has it, and the record of the run before in its memo."""

    namespace: str
    run: str
    start: datetime
    end: datetime | None
    before: KeeperRecord | None


async def fetch_kept(
    server: Server,
    namespace: str,
    horizon: Horizon,
    now: datetime,
    read_run: ReadRun,
    on_progress: Callable[[str], None] = lambda _: None,
) -> Kept:
    """Return what the server keeps of the boosts around *horizon*.

    The list of workflows has most of it: a run's memo bears the record of the run before. Histories
    are read of runs whose record no other bears, and of boosts that never had a lease.

    Args:
        server: Where the workflows are.
        namespace: The Temporal Cloud namespace; empty for all.
        horizon: The time.
        now: The current time.
        read_run: Reads a run off its history.
        on_progress: Called with a sentence before what takes long.

    Raises:
        ServerError: The server refused, or what it keeps can't be listed.
    """
    retention = await _fetch_retention(server)
    kept_since = now - retention if retention else None
    counted = _Counted.of(namespace, horizon, kept_since)
    boosts, count, runs = await asyncio.gather(
        _fetch_boosts(server, namespace, horizon, counted.rest),
        counted.count(server, namespace),
        _fetch_runs(server, namespace, horizon),
    )
    histories = _Histories(server, now, read_run, on_progress)
    records = await histories.records(runs, horizon)
    known = recorded_firings(records, boosts, counted.span)
    for name in await counted.unexplained(server, count, known):
        found = await _fetch_boosts(server, name, horizon, counted.condition)
        boosts, count = boosts + found, count - len(found)
    with_request = await histories.with_requests(unexplained(boosts, records, horizon))
    by_run = {boost.run: boost for boost in (*boosts, *with_request)}
    reach = Reach(
        boosts=len(by_run) + max(0, count),
        keepers=len(runs),
        histories=histories.read,
        kept_since=kept_since,
        retention=retention,
        unread=tuple(sorted(histories.unread)),
    )
    return Kept(tuple(by_run.values()), tuple(records), reach)


@dataclass(slots=True)
class _Histories:
    """Reads histories, where lists don't have what is in them.

    *read* counts them; *unread* has a sentence for each that can't be read.
    """

    server: Server
    now: datetime
    read_run: ReadRun
    on_progress: Callable[[str], None]
    read: int = 0
    unread: list[str] = field(default_factory=list)

    async def records(self, runs: Iterable[_Run], horizon: Horizon) -> list[KeeperRecord]:
        """Return the records of *runs*: those that later runs bear, and of *horizon* the others."""
        found = {run.before.run: run.before for run in runs if run.before}
        missing = [run for run in runs if run.run not in found and run.start < horizon.end]
        if missing:
            histories = "1 history" if len(missing) == 1 else f"{len(missing)} histories"
            self.on_progress(f"Reading {histories} of keepers")
        self.read += len(missing)
        found |= {one.run: one for one in await _at_once(self._record, missing) if one}
        return list(found.values())

    async def _record(self, run: _Run) -> KeeperRecord | None:
        """Return the record of *run*; None where it can't be read."""
        try:
            return await self.read_run(run.namespace, run.run, (run.start, run.end), self.now)
        except RPCError as error:
            self.unread.append(f"run {run.run} of {keeper_id(run.namespace)}: {error.message}")
            return None

    async def with_requests(self, boosts: Sequence[ListedBoost]) -> list[ListedBoost]:
        """Return *boosts* with their input, which the first event of each history has."""
        if boosts:
            self.on_progress(f"Reading the input of {len(boosts)} boosts that had no lease")
        self.read += len(boosts)
        return await _at_once(self._with_request, boosts)

    async def _with_request(self, boost: ListedBoost) -> ListedBoost:
        request = GetWorkflowExecutionHistoryRequest(
            namespace=self.server.namespace,
            execution=WorkflowExecution(workflow_id=boost.id, run_id=boost.run),
            maximum_page_size=1,
        )
        try:
            send = self.server.service.get_workflow_execution_history
            reply = await self.server.send(send, request)
            started = reply.history.events[0].workflow_execution_started_event_attributes
            payloads = started.input.payloads[:1]
            (read,) = await self.server.converter.decode(payloads, [BoostRequest])
        except Exception as error:  # another release, or a hand, may have written it
            self.unread.append(f"{boost.id}: {error}")
            return boost
        return replace(boost, request=read)


async def _at_once(read: Callable[[Any], Awaitable[Any]], items: Iterable[Any]) -> list[Any]:
    """Return what *read* makes of *items*, a few of them at once."""
    slots = asyncio.Semaphore(READ_AT_ONCE)

    async def one(item: Any) -> Any:
        async with slots:
            return await read(item)

    return await asyncio.gather(*(one(item) for item in items))


async def _fetch_retention(server: Server) -> timedelta | None:
    """Return how long the server keeps workflows that have ended; None where it doesn't say."""
    request = DescribeNamespaceRequest(namespace=server.namespace)
    reply = await server.send(server.service.describe_namespace, request)
    return reply.config.workflow_execution_retention_ttl.ToTimedelta() or None


async def _fetch_boosts(
    server: Server, namespace: str, horizon: Horizon, condition: str
) -> list[ListedBoost]:
    """Return the boosts of *namespace* around *horizon* that meet the *condition*."""
    earliest = format_instant(horizon.start - LONGEST_WINDOW)
    query = (
        f"{_boosts_of(namespace)} AND StartTime < '{format_instant(horizon.end)}' AND "
        f"(StartTime >= '{earliest}' OR CloseTime >= '{format_instant(horizon.start)}') AND "
        f"{condition}"
    )
    found = []
    async for info in _listed(server, query):
        name = namespace_of(info.execution.workflow_id)
        if name and namespace in ("", name):
            found.append(await _boost(server, info, name))
    return found


@dataclass(frozen=True, slots=True)
class _Counted:
    """The boosts that are counted: completed ones, of firings in *span* that are still kept.

    They are listed only in namespaces where records have not as many: the list takes the server
    most of the time, and of a boost with a lease it has nothing to add.
    """

    namespace: str
    span: Horizon

    @classmethod
    def of(cls, namespace: str, horizon: Horizon, kept_since: datetime | None) -> _Counted:
        """Return those of *horizon*; none where the server doesn't say how long it keeps them."""
        since = horizon.end if kept_since is None else kept_since + SURELY_KEPT
        start = min(max(horizon.start, since), horizon.end).replace(microsecond=0)
        return cls(namespace, Horizon(start, horizon.end))

    @property
    def condition(self) -> str:
        """What the list is asked for them, beside the type and the id of boosts."""
        start, end = format_instant(self.span.start), format_instant(self.span.end)
        return (
            f"ExecutionStatus = 'Completed' AND {SCHEDULED_START} >= '{start}' "
            f"AND {SCHEDULED_START} < '{end}'"
        )

    @property
    def rest(self) -> str:
        """The same for all others."""
        start, end = format_instant(self.span.start), format_instant(self.span.end)
        return (
            f"(ExecutionStatus != 'Completed' OR {SCHEDULED_START} IS NULL OR "
            f"{SCHEDULED_START} < '{start}' OR {SCHEDULED_START} >= '{end}')"
        )

    async def count(self, server: Server, namespace: str) -> int:
        """Return how many there are of *namespace*; of all where that is empty."""
        request = CountWorkflowExecutionsRequest(
            namespace=server.namespace, query=f"{_boosts_of(namespace)} AND {self.condition}"
        )
        return int((await server.send(server.service.count_workflow_executions, request)).count)

    async def unexplained(self, server: Server, count: int, known: Mapping[str, int]) -> list[str]:
        """Return the namespaces that have other boosts than are *known*; one that is empty is all.

        Args:
            server: Where they are counted.
            count: How many there are in all.
            known: How many of each namespace the records explain.
        """
        if count == sum(known.values()):
            return []
        if self.namespace:
            return [self.namespace]
        if not all(map(PLAIN_NAME.fullmatch, known)):
            return [""]
        counts = await asyncio.gather(*(self.count(server, name) for name in known))
        if sum(counts) != count:
            return [""]
        return [name for name, own in zip(known, counts, strict=True) if own != known[name]]


def _boosts_of(namespace: str) -> str:
    """Return the query of a namespace's boosts; of all where it is empty, or no plain name."""
    named = f" AND WorkflowId STARTS_WITH 'boost/{namespace}/'"
    return f"WorkflowType = '{BOOST_WORKFLOW}'" + (named if PLAIN_NAME.fullmatch(namespace) else "")


async def _fetch_runs(server: Server, namespace: str, horizon: Horizon) -> list[_Run]:
    """Return the runs of keepers since *horizon* began: also later ones bear records of it."""
    query = (
        f"WorkflowType = '{KEEPER_WORKFLOW}' AND "
        f"(ExecutionStatus = 'Running' OR CloseTime >= '{format_instant(horizon.start)}')"
    )
    if PLAIN_NAME.fullmatch(namespace):
        query += f" AND WorkflowId = '{keeper_id(namespace)}'"
    found = []
    async for info in _listed(server, query):
        name = info.execution.workflow_id.removeprefix(keeper_id(""))
        if namespace in ("", name):
            span = _time(info.start_time), _time(info.close_time) if _is_closed(info) else None
            before = await _record(server, info.memo.fields)
            found.append(_Run(name, info.execution.run_id, *span, before))
    return found


async def _listed(server: Server, query: str) -> AsyncIterator[WorkflowExecutionInfo]:
    """Yield the workflows that *query* selects; the server makes a page while one is read."""

    def fetch(token: bytes) -> asyncio.Task[ListWorkflowExecutionsResponse]:
        request = ListWorkflowExecutionsRequest(
            namespace=server.namespace, page_size=PAGE_SIZE, next_page_token=token, query=query
        )
        return asyncio.create_task(server.send(server.service.list_workflow_executions, request))

    page: asyncio.Task[ListWorkflowExecutionsResponse] | None = fetch(b"")
    try:
        while page:
            reply = await page
            token = reply.next_page_token
            page = fetch(token) if token else None
            for info in reply.executions:
                yield info
    finally:
        if page:
            page.cancel()


async def _boost(server: Server, info: WorkflowExecutionInfo, namespace: str) -> ListedBoost:
    """Return the boost that the list has as *info*."""
    id, started = info.execution.workflow_id, _time(info.start_time)
    nominal = info.search_attributes.indexed_fields.get(SCHEDULED_START)
    named = window_key(id).partition("/")[2]
    missed = None
    if MISSED_MEMO in info.memo.fields:
        (missed,) = await server.converter.decode([info.memo.fields[MISSED_MEMO]], [MissedBoost])
    return ListedBoost(
        id=id,
        run=info.execution.run_id,
        namespace=namespace,
        window=_STAMP.sub("", named) if _STAMP.search(named) else named.rpartition("-")[0],
        fires=datetime.fromisoformat(json.loads(nominal.data)) if nominal else started,
        started=started,
        closed=_time(info.close_time) if _is_closed(info) else None,
        status=WorkflowExecutionStatus.Name(info.status).removeprefix("WORKFLOW_EXECUTION_STATUS_"),
        missed=missed,
    )


async def _record(server: Server, memo: Mapping[str, Payload]) -> KeeperRecord | None:
    """Return the record in the *memo* of a keeper's run; None without one that can be read."""
    if RECORD_MEMO not in memo:
        return None
    try:
        (plain,) = await server.converter.decode([memo[RECORD_MEMO]])
        return KeeperRecord.of_plain(plain)
    except ValueError:  # of another release: that run's history has it
        return None


def _is_closed(info: WorkflowExecutionInfo) -> bool:
    return bool(info.status != WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING)


def _time(stamp: Timestamp) -> datetime:
    return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)
