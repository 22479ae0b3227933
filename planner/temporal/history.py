"""Read what the server keeps of boosts and keepers: its lists, and histories where they must be."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import Payload, WorkflowExecution
from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import (
    CountWorkflowExecutionsRequest,
    DescribeNamespaceRequest,
    GetWorkflowExecutionHistoryRequest,
    ListWorkflowExecutionsRequest,
    ListWorkflowExecutionsResponse,
)
from temporalio.service import RPCError

from planner.forecast.history import ListedBoost, Reach, recorded_firings, unexplained
from planner.model import Horizon
from planner.schedules.spec import namespace_of, window_key
from planner.temporal.client import Server
from planner.temporal.keepers import PLAIN_NAME
from workflows.contract import (
    BOOST_WORKFLOW,
    KEEPER_WORKFLOW,
    RECORD_MEMO,
    BoostRequest,
    KeeperRecord,
    format_instant,
    keeper_id,
)
from workflows.contract.findings import MISSED_MEMO, MissedBoost

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
            self.on_progress(f"Reading the histories of {len(missing)} runs of keepers")
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
