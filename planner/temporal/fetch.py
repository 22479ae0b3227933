"""Fetch live schedules by the server's list or one by one, and evidence of started boosts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Container, Iterable, Mapping
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
from planner.plan.diff import ids_to_describe, is_neighbour
from planner.plan.live import Skipped, about_to_fire, missed
from planner.plan.model import DesiredState, LiveSchedule
from planner.schedules.spec import Schedule, namespace_of
from planner.temporal.client import AT_ONCE, NotFound, Server, announced
from planner.temporal.convert import EntryReader, read_description
from planner.temporal.sync_state import LastApplied, fingerprint, outdated
from workflows.contract import (
    KEEPER_WORKFLOW,
    STATUS_QUERY,
    KeeperStatus,
    Lease,
    keeper_id,
    lease_of,
    occurrence_of,
)

PAGE_SIZE = 1000
"""Schedules per page of the list; the server may send fewer."""

FEW = 5
"""Up to this many schedules are described rather than waiting for the list."""

LIST_WAITS = (0.1, 0.2, 0.4, 0.8)
"""Seconds between passes over a list that doesn't show the last writes yet."""


LATE = timedelta(seconds=10)
"""How late the server may make an upcoming firing before that counts as missed."""

KEEPER_WITHIN = timedelta(seconds=5)
"""Time limit for a keeper to report its leases. One that doesn't answer counts as holding
none; starting a boost again then only renews its lease."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """Live schedules, and what the last sync wrote that the list may not show yet.

    Attributes:
        live: By id: the project's schedules, any other under a desired id, and other
            projects' schedules for the same namespaces.
        unlisted: The part of the last-applied last that is still needed.
    """

    live: dict[str, LiveSchedule]
    unlisted: LastApplied


async def fetch(
    server: Server, state: DesiredState, last: LastApplied, *, full: bool = False
) -> Fetched:
    """Return the live schedules that *state* is compared with.

    Schedules are described where the list isn't enough to compare them, or shows them
    otherwise than the last sync left them.

    Args:
        server: Where the schedules are.
        state: What the files define.
        last: What the last sync of the project wrote.
        full: Describe every schedule, so that changes made by hand are found.
    """
    desired = {one.id for one in state.schedules}

    def shows(listed: Mapping[str, LiveSchedule]) -> bool:
        """Tell whether few enough are outdated; another pass can't complete an open record."""
        return not last.is_complete or len(outdated(last, listed)) <= FEW

    namespaces = {namespace_of(id) for id in desired}
    seen = await list_showing(
        server, state.project, desired, shows, namespaces, former=state.former
    )
    neighbours = {id: one for id, one in seen.items() if is_neighbour(one, state.names, desired)}
    listed = {id: one for id, one in seen.items() if id not in neighbours}
    stale = outdated(last, listed)
    ids = sorted(stale | set(listed if full else ids_to_describe(state, listed)))
    described = dict(zip(ids, await describe_all(server, ids), strict=True))
    there = {id: live for id, live in {**listed, **described}.items() if live}
    ours = {id: live for id, live in there.items() if live.project in state.names or id in desired}
    fingerprints = {id: fingerprint(there.get(id)) for id in last.fingerprints}
    pauses = {id: note for id, note in last.pauses.items() if id in desired - there.keys()}
    unlisted = replace(last, fingerprints=fingerprints, pauses=pauses)
    return Fetched({**neighbours, **ours}, unlisted)


async def list_showing(
    server: Server,
    project: str,
    ids: Collection[str],
    shows: Callable[[Mapping[str, LiveSchedule]], bool],
    namespaces: Collection[str] = (),
    *,
    former: str = "",
) -> dict[str, LiveSchedule]:
    """Return the list once it *shows* the last writes, or as it is after the last wait.

    Describing many schedules costs a server far more than listing them again, most of all
    right after they were created.
    """
    for wait in LIST_WAITS:
        listed = await list_schedules(server, project, ids, namespaces, former=former)
        if shows(listed):
            return listed
        await asyncio.sleep(wait)
    return await list_schedules(server, project, ids, namespaces, former=former)


async def describe_all(server: Server, ids: Iterable[str]) -> list[LiveSchedule | None]:
    """Describe the schedules *ids*; None for each that doesn't exist."""
    return await asyncio.gather(*(describe(server, id) for id in ids))


async def with_last_writes(
    server: Server,
    listed: Mapping[str, LiveSchedule],
    last: LastApplied,
    is_meant: Callable[[str], bool] = lambda _: True,
) -> dict[str, LiveSchedule]:
    """Return the *listed* schedules as they are although the list lags behind writes.

    Those whose id *is_meant* are described where *last* records them otherwise.
    """
    ids = sorted(id for id in outdated(last, listed) if is_meant(id))
    described = dict(zip(ids, await describe_all(server, ids), strict=True))
    return {id: live for id, live in {**listed, **described}.items() if live}


async def list_schedules(
    server: Server,
    project: str,
    ids: Collection[str] = (),
    namespaces: Collection[str] = (),
    *,
    former: str = "",
) -> dict[str, LiveSchedule]:
    """Return the listed schedules of *project*, those under *ids*, and any for *namespaces*.

    An empty *project* means every one with a planner's owner mark. Those of the project that it
    was *former* are returned, too.
    """
    reader = EntryReader(server.converter)
    found: dict[str, LiveSchedule] = {}
    async for entry in list_entries(server):
        owner, id = await reader.owner(entry), entry.schedule_id
        is_meant = project in ("", owner) or owner == former or namespace_of(id) in namespaces
        if (owner and is_meant) or id in ids:
            found[id] = reader.read(entry, owner)
    return found


async def list_entries(server: Server) -> AsyncIterator[ScheduleListEntry]:
    """Yield every entry of the server's list, of any owner."""
    token = b""
    while True:
        request = ListSchedulesRequest(
            namespace=server.namespace, maximum_page_size=PAGE_SIZE, next_page_token=token
        )
        reply = await server.send(server.service.list_schedules, request)
        for entry in reply.schedules:
            yield entry
        token = reply.next_page_token
        if not token:
            return


async def describe(server: Server, id: str) -> LiveSchedule | None:
    """Describe the schedule *id*; None if it doesn't exist."""
    request = DescribeScheduleRequest(namespace=server.namespace, schedule_id=id)
    try:
        reply = await server.send(server.service.describe_schedule, request)
    except NotFound:
        return None
    return await read_description(id, reply, server.converter)


async def fetch_evidence(
    server: Server,
    schedules: Mapping[str, Schedule],
    live: Mapping[str, LiveSchedule],
    around: Horizon,
) -> dict[str, LiveSchedule]:
    """Return the *live* schedules in *schedules*, with `about_to_fire` and `requested` set.

    Evidence, in this order, and each step only for occurrences that are still open: the
    server's own firings, past and upcoming; a boost under the firing's workflow id; a lease
    that the namespace's keeper holds.

    Args:
        server: Where the schedules are.
        schedules: The desired schedules that may have an occurrence under way.
        live: The live schedules by id, as listed or described.
        around: The span of the server's present time; its middle counts.
    """
    middle = around.start + (around.end - around.start) / 2
    now, since = Horizon(middle, middle), around.start - LATE
    leases = _Leases(server)

    async def one(id: str, desired: Schedule) -> tuple[str, LiveSchedule]:
        there = live[id]
        there = replace(there, about_to_fire=about_to_fire(desired, there, since))
        if missed(desired, there, now) and there.schedule is None:
            there = await describe(server, id) or there
            there = replace(there, about_to_fire=about_to_fire(desired, there, since))
        begun = await _started(server, desired, missed(desired, there, now))
        there = replace(there, requested=there.requested | begun)
        held = await leases.hold(desired, missed(desired, there, now))
        return id, replace(there, requested=there.requested | held)

    found = await asyncio.gather(*(one(id, s) for id, s in schedules.items() if id in live))
    return dict(found)


async def was_started(server: Server, schedule: Schedule, nominal: datetime) -> bool:
    """Tell whether a boost was started for the firing of *schedule* at *nominal*."""
    request = DescribeWorkflowExecutionRequest(
        namespace=server.namespace,
        execution=WorkflowExecution(workflow_id=boost_id(schedule, nominal)),
    )
    try:
        await server.send(server.service.describe_workflow_execution, request)
    except NotFound:
        return False
    return True


def boost_id(schedule: Schedule, nominal: datetime) -> str:
    """Return the workflow id that the server uses for the firing of *schedule* at *nominal*."""
    return f"{schedule.id}-{nominal.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


async def _started(
    server: Server, schedule: Schedule, firings: Iterable[datetime]
) -> frozenset[datetime]:
    """Return the starts of the occurrences for whose *firings* a boost was started."""
    return frozenset(
        [
            occurrence_of(schedule.request, nominal)[0]
            for nominal in firings
            if await was_started(server, schedule, nominal)
        ]
    )


async def fetch_leases(
    server: Server, live: Mapping[str, LiveSchedule], ids: Iterable[str]
) -> dict[str, LiveSchedule]:
    """Return the *live* schedules under *ids*, described, with the leases of their windows.

    A keeper that doesn't answer leaves them unknown.
    """
    keepers = _Leases(server)

    async def one(id: str) -> tuple[str, LiveSchedule]:
        there = live[id]
        if there.schedule is None:
            found = await describe(server, id) or there
            there = replace(found, requested=there.requested, about_to_fire=there.about_to_fire)
        leases = await keepers.of(there.namespace)
        if leases is not None:
            leases = tuple(lease for lease in leases if lease.window == there.window)
        return id, replace(there, leases=leases)

    return dict(await asyncio.gather(*map(one, ids)))


async def fetch_skips(server: Server, namespaces: Container[str], now: datetime) -> list[Skipped]:
    """Return the coming occurrences that keepers of *namespaces* have been told to refuse.

    Only keepers that run know any. Those that can't be listed, or don't answer, tell of none.
    """
    running = f"WorkflowType = '{KEEPER_WORKFLOW}' AND ExecutionStatus = 'Running'"
    try:
        found = {
            execution.id.removeprefix(keeper_id(""))
            async for execution in server.client.list_workflows(running, rpc_timeout=KEEPER_WITHIN)
        }
    except RPCError:
        return []
    keepers, names = _Leases(server), sorted(name for name in found if name in namespaces)
    statuses = await asyncio.gather(*(keepers.status(name) for name in names))
    return [
        Skipped(name, lease)
        for name, status in zip(names, statuses, strict=True)
        if status is not None
        for lease in status.released
        if lease.start > now
    ]


class _Leases:
    """The leases that keepers hold; each keeper is queried once."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._queries: dict[str, asyncio.Task[KeeperStatus | None]] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def hold(self, schedule: Schedule, firings: Iterable[datetime]) -> frozenset[datetime]:
        """Return the starts of the occurrences of *firings* that have a lease."""
        leases = {lease_of(schedule.request, nominal) for nominal in firings}
        if not leases:
            return frozenset()
        held = {lease.key for lease in await self.of(schedule.request.namespace) or ()}
        return frozenset(lease.start for lease in leases if lease.key in held)

    async def of(self, namespace: str) -> tuple[Lease, ...] | None:
        """Return the leases of *namespace*; None where no keeper tells."""
        status = await self.status(namespace)
        return None if status is None else status.leases

    async def status(self, namespace: str) -> KeeperStatus | None:
        """Return the status of the keeper of *namespace*; None where none answers."""
        if namespace not in self._queries:
            self._queries[namespace] = asyncio.create_task(self._query(namespace))
        return await self._queries[namespace]

    async def _query(self, namespace: str) -> KeeperStatus | None:
        handle = self._server.client.get_workflow_handle(keeper_id(namespace))
        try:
            words = f"waiting for the keeper of {namespace} to report its leases"
            async with self._slots:
                with announced(words, self._server.notify):
                    status: KeeperStatus = await handle.query(
                        STATUS_QUERY, result_type=KeeperStatus, rpc_timeout=KEEPER_WITHIN
                    )
        except (RPCError, WorkflowQueryFailedError):
            return None  # without a keeper, too: its first boost may be about to start it
        return status
