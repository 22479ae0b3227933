"""Live schedules, read into the same type as desired ones: by the list, and one by one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.schedule.v1 import ScheduleListEntry
from temporalio.api.workflowservice.v1 import (
    DescribeScheduleRequest,
    DescribeWorkflowExecutionRequest,
    ListSchedulesRequest,
)
from temporalio.client import WorkflowQueryFailedError
from temporalio.service import RPCError

from planner.model import Horizon
from planner.plan.diff import Wanted, is_neighbour, unsettled
from planner.plan.firings import awaited, missed
from planner.plan.model import Live
from planner.schedules.spec import Schedule, namespace_of
from planner.temporal.client import Missing, Server
from planner.temporal.convert import EntryReader, read_description
from planner.temporal.last_applied import Record, doubtful, mark
from workflows.contract import STATUS_QUERY, KeeperStatus, keeper_id, lease_of, occurrence_of

PAGE_SIZE = 1000
"""Schedules a page of the list; the server may send fewer."""

FEW = 5
"""So many are described without waiting for the list."""

LIST_WAITS = (0.1, 0.2, 0.4, 0.8)
"""Seconds between passes over a list that doesn't show yet what it should."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is live, and what of it the server's list doesn't show yet.

    Attributes:
        live: The schedules that bear the project's mark, whatever is there under a wanted
            id, and what other projects have for the namespaces that are wanted.
        left: What still holds of the last sync's record.
    """

    live: dict[str, Live]
    left: Record


async def fetch(server: Server, wanted: Wanted, record: Record, *, full: bool = False) -> Seen:
    """Return the live schedules that *wanted* is compared with.

    No other schedule is looked at further than its mark. Described are those that the
    list leaves open, and those that it shows otherwise than the last sync left them.

    Args:
        server: Where they are.
        wanted: What the files ask for.
        record: What the last sync of the project wrote.
        full: Describe every one, so that a change by hand is seen wherever it is.
    """
    desired = {one.id for one in wanted.schedules}

    def shows(listed: Mapping[str, Live]) -> bool:
        """Tell whether few enough are in doubt; of a sync that broke off, all are."""
        return not record.is_settled or len(doubtful(record, listed)) <= FEW

    namespaces = {namespace_of(id) for id in desired}
    seen = await list_showing(server, wanted.project, desired, shows, namespaces)
    neighbours = {id: one for id, one in seen.items() if is_neighbour(one, wanted.project, desired)}
    listed = {id: one for id, one in seen.items() if id not in neighbours}
    doubts = doubtful(record, listed)
    ids = sorted(doubts | set(listed if full else unsettled(wanted, listed)))
    described = dict(zip(ids, await describe_all(server, ids), strict=True))
    there = {id: live for id, live in {**listed, **described}.items() if live}
    ours = {
        id: live for id, live in there.items() if live.project == wanted.project or id in desired
    }
    marks = {id: mark(there.get(id)) for id in record.marks}
    pauses = {id: note for id, note in record.pauses.items() if id in desired - there.keys()}
    return Seen({**neighbours, **ours}, Record(marks, pauses))


async def list_showing(
    server: Server,
    project: str,
    ids: Collection[str],
    shows: Callable[[Mapping[str, Live]], bool],
    namespaces: Collection[str] = (),
) -> dict[str, Live]:
    """Return the list once it *shows* what it should, or as it is after the last wait.

    To describe many schedules costs a server far more than to list them again, most of all
    right after they were made.
    """
    for wait in LIST_WAITS:
        listed = await list_schedules(server, project, ids, namespaces)
        if shows(listed):
            return listed
        await asyncio.sleep(wait)
    return await list_schedules(server, project, ids, namespaces)


async def describe_all(server: Server, ids: Iterable[str]) -> list[Live | None]:
    """Return the schedules *ids* as the server has them now."""
    return await asyncio.gather(*(describe(server, id) for id in ids))


async def list_schedules(
    server: Server, project: str, ids: Collection[str] = (), namespaces: Collection[str] = ()
) -> dict[str, Live]:
    """Return what the server's list shows of *project*, and of anybody's under *ids*.

    An empty *project* means every one: whatever bears a planner's mark. What other projects
    have for *namespaces* is returned too.
    """
    reader = EntryReader(server.converter)
    found: dict[str, Live] = {}
    async for entry in list_entries(server):
        owner, id = await reader.owner(entry), entry.schedule_id
        is_meant = project in ("", owner) or namespace_of(id) in namespaces
        if (owner and is_meant) or id in ids:
            found[id] = reader.read(entry, owner)
    return found


async def list_entries(server: Server) -> AsyncIterator[ScheduleListEntry]:
    """Yield every entry of the server's list, whosever it is."""
    token = b""
    while True:
        request = ListSchedulesRequest(
            namespace=server.namespace, maximum_page_size=PAGE_SIZE, next_page_token=token
        )
        reply = await server.ask(server.service.list_schedules, request)
        for entry in reply.schedules:
            yield entry
        token = reply.next_page_token
        if not token:
            return


async def describe(server: Server, id: str) -> Live | None:
    """Return the schedule *id* as the server has it now; None if it isn't there."""
    request = DescribeScheduleRequest(namespace=server.namespace, schedule_id=id)
    try:
        reply = await server.ask(server.service.describe_schedule, request)
    except Missing:
        return None
    return await read_description(id, reply, server.converter)


LATE = timedelta(seconds=10)
"""How late the server may be with a firing that it has in view, before it counts as missed."""

KEEPER_WITHIN = timedelta(seconds=5)
"""How long a keeper may take to say which leases it holds. One that does not answer has
none as far as anybody knows; to start a boost again renews its lease, no more."""


async def gather_evidence(
    server: Server, schedules: Mapping[str, Schedule], live: Mapping[str, Live], around: Horizon
) -> dict[str, Live]:
    """Return those of *live* that *schedules* name, with all that was asked for of them.

    The server's own view decides first: what it fired, and what it is about to. Then
    whether a boost was started under the firing's name, and at last which leases the
    keeper of the namespace holds.

    Args:
        server: Where.
        schedules: The desired ones of which something may be under way.
        live: What is there, by the list.
        around: The span in which the server's time lies; its middle counts.
    """
    middle = around.start + (around.end - around.start) / 2
    now, since = Horizon(middle, middle), around.start - LATE
    leases = _Leases(server)

    async def one(id: str, desired: Schedule) -> tuple[str, Live]:
        there = live[id]
        there = replace(there, awaited=awaited(desired, there, since))
        if missed(desired, there, now) and there.schedule is None:
            there = await describe(server, id) or there
            there = replace(there, awaited=awaited(desired, there, since))
        begun = await _begun(server, desired, missed(desired, there, now))
        there = replace(there, asked=there.asked | begun)
        held = await leases.hold(desired, missed(desired, there, now))
        return id, replace(there, asked=there.asked | held)

    found = await asyncio.gather(*(one(id, s) for id, s in schedules.items() if id in live))
    return dict(found)


async def has_begun(server: Server, schedule: Schedule, nominal: datetime) -> bool:
    """Tell whether a boost was started for the firing of *schedule* at *nominal*."""
    request = DescribeWorkflowExecutionRequest(
        namespace=server.namespace,
        execution=WorkflowExecution(workflow_id=boost_id(schedule, nominal)),
    )
    try:
        await server.ask(server.service.describe_workflow_execution, request)
    except Missing:
        return False
    return True


def boost_id(schedule: Schedule, nominal: datetime) -> str:
    """Return the workflow id that the server gives to the firing of *schedule* at *nominal*."""
    return f"{schedule.id}-{nominal.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


async def _begun(
    server: Server, schedule: Schedule, firings: Iterable[datetime]
) -> frozenset[datetime]:
    """Return the starts of those occurrences for whose *firings* a boost was started."""
    return frozenset(
        [
            occurrence_of(schedule.request, nominal)[0]
            for nominal in firings
            if await has_begun(server, schedule, nominal)
        ]
    )


class _Leases:
    """The leases that keepers hold; each keeper is asked once."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._asked: dict[str, asyncio.Task[frozenset[str]]] = {}

    async def hold(self, schedule: Schedule, firings: Iterable[datetime]) -> frozenset[datetime]:
        """Return the starts of those occurrences of *firings* that have a lease."""
        wanted = {lease_of(schedule.request, nominal) for nominal in firings}
        if not wanted:
            return frozenset()
        namespace = schedule.request.namespace
        if namespace not in self._asked:
            self._asked[namespace] = asyncio.create_task(self._keys(namespace))
        held = await self._asked[namespace]
        return frozenset(lease.start for lease in wanted if lease.key in held)

    async def _keys(self, namespace: str) -> frozenset[str]:
        handle = self._server.client.get_workflow_handle(keeper_id(namespace))
        try:
            status: KeeperStatus = await handle.query(
                STATUS_QUERY, result_type=KeeperStatus, rpc_timeout=KEEPER_WITHIN
            )
        except (RPCError, WorkflowQueryFailedError):
            return frozenset()
        return frozenset(lease.key for lease in status.leases)
