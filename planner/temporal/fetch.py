"""Fetch live schedules by the server's list or one by one, and evidence of started boosts.

And where the server's time zone table differs from ours, since recurring schedules fire by the
server's. A live schedule shows it without any write, as far as its own firings go. Before
schedules are written on the clock of a zone, a probe does: a paused schedule with times all over
the zone's years, whose matching times are read before it is deleted again.
"""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncIterator,
    Callable,
    Collection,
    Container,
    Iterable,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from itertools import chain, islice
from uuid import uuid4

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.schedule.v1 import ScheduleListEntry
from temporalio.api.workflowservice.v1 import (
    CreateScheduleRequest,
    DeleteScheduleRequest,
    DescribeScheduleRequest,
    DescribeWorkflowExecutionRequest,
    ListScheduleMatchingTimesRequest,
    ListSchedulesRequest,
)
from temporalio.client import WorkflowQueryFailedError
from temporalio.service import RPCError

from planner.errors import Lint, ServerError
from planner.model import Horizon
from planner.plan.diff import ids_to_describe, is_neighbour
from planner.plan.live import Skipped, about_to_fire, missed
from planner.plan.model import DesiredState, LiveSchedule
from planner.schedules.recurring import near_walls
from planner.schedules.spec import Range, Schedule, StructuredCalendar, namespace_of, upcoming
from planner.temporal.client import AT_ONCE, NoAnswer, NotFound, Server, announced
from planner.temporal.convert import EntryReader, read_description, to_message
from planner.temporal.sync_state import LastApplied, fingerprint, outdated
from planner.timezones import TABLE_VERSION, zone
from workflows.contract import (
    KEEPER_WORKFLOW,
    STATUS_QUERY,
    BoostRequest,
    KeeperStatus,
    Lease,
    format_instant,
    keeper_id,
    lease_of,
    occurrence_of,
    to_wall,
)

PAGE_SIZE = 1000
"""Schedules per page of the list; the server may send fewer."""

FEW = 5
"""Up to this many schedules are described rather than waiting for the list."""

LIST_WAITS = (0.1, 0.2, 0.4, 0.8)
"""Seconds between passes over a list that doesn't show the last writes yet."""


DESCRIBE_AGAIN = (1.0, 4.0)
"""Seconds to wait before a failed describe is retried."""

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
    server: Server,
    state: DesiredState,
    last: LastApplied,
    *,
    full: bool = False,
    entries: Sequence[ScheduleListEntry] | None = None,
) -> Fetched:
    """Return the live schedules that *state* is compared with.

    Schedules are described where the list isn't enough to compare them, or shows them
    otherwise than the last sync left them.

    Args:
        server: Where the schedules are.
        state: What the files define.
        last: What the last sync of the project wrote.
        full: Describe every schedule, so that changes made by hand are found.
        entries: The server's list, where it was read just before; None reads it.
    """
    desired = {one.id for one in state.schedules}

    def shows(listed: Mapping[str, LiveSchedule]) -> bool:
        """Tell whether few enough are outdated; another pass can't complete an open record."""
        return not last.is_complete or len(outdated(last, listed)) <= FEW

    namespaces = {namespace_of(id) for id in desired}
    seen = await list_showing(
        server, state.project, desired, shows, namespaces, former=state.former, entries=entries
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
    entries: Sequence[ScheduleListEntry] | None = None,
) -> dict[str, LiveSchedule]:
    """Return the list once it *shows* the last writes, or as it is after the last wait.

    Describing many schedules costs a server far more than listing them again, most of all
    right after they were created.
    """
    for wait in LIST_WAITS:
        listed = await list_schedules(
            server, project, ids, namespaces, former=former, entries=entries
        )
        if shows(listed):
            return listed
        entries = None
        await asyncio.sleep(wait)
    return await list_schedules(server, project, ids, namespaces, former=former)


async def describe_all(server: Server, ids: Iterable[str]) -> list[LiveSchedule | None]:
    """Describe the schedules *ids*; None for each that doesn't exist."""
    return await asyncio.gather(*(describe_patiently(server, id) for id in ids))


async def describe_patiently(server: Server, id: str) -> LiveSchedule | None:
    """Describe the schedule *id*, and retry while the server is too busy to answer in time."""
    for wait in DESCRIBE_AGAIN:
        try:
            return await describe(server, id)
        except NoAnswer:
            await asyncio.sleep(wait)
    return await describe(server, id)


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
    entries: Sequence[ScheduleListEntry] | None = None,
) -> dict[str, LiveSchedule]:
    """Return the listed schedules of *project*, those under *ids*, and any for *namespaces*.

    An empty *project* means every one with a planner's owner mark. Those of the project that it
    was *former* are returned, too. *entries* are the list, where it was read before.
    """
    if entries is None:
        entries = [entry async for entry in list_entries(server)]
    reader = EntryReader(server.converter)
    found: dict[str, LiveSchedule] = {}
    for entry in entries:
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
        firings = missed(desired, there, now)
        begun = [nominal for nominal in firings if await was_started(server, desired, nominal)]
        starts = {occurrence_of(desired.request, nominal)[0] for nominal in begun}
        there = replace(there, requested=there.requested | starts)
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


# Zones as the server reads them ------------------------------------------------------


COMPARED_YEARS = 5
"""Calendar years, this one included, over which a probe compares a zone."""

PROBES_AT_ONCE = 4
"""Zones that are compared at once: a server computes each matching time afresh."""

AHEAD = timedelta(days=400)
"""How far ahead the firings of a live schedule are compared."""

FIRINGS = 1000
"""Matching times that the server returns at once, at most."""

DAILY = 365
"""Firings a year that show a zone's changes, and that a live schedule should have."""

UNKNOWN_THERE = "unknown to the server"

_SECOND = timedelta(seconds=1)

Differences = Mapping[str, str]
"""Zones that the server reads differently, each with the first instant that differs."""


def recurring_zones(schedules: Iterable[Schedule]) -> dict[str, str]:
    """Return the zone of each of *schedules* that recurs on the clock of one, by id."""
    return {one.id: one.timezone for one in schedules if _recurs_in_a_zone(one)}


def _recurs_in_a_zone(schedule: Schedule) -> bool:
    return schedule.covers_until is None and schedule.timezone != "UTC"


def zone_warnings(zones: Differences) -> tuple[Lint, ...]:
    """Return a warning for each of *zones*."""
    return tuple(
        Lint(
            "",
            0,
            "server-time-zones",
            f"the server's table of {zone} is not the planner's ({TABLE_VERSION}): "
            + (f"{at} is the first time that differs" if at != UNKNOWN_THERE else at)
            + "; its windows are written as dates in UTC, which no table changes",
        )
        for zone, at in sorted(zones.items())
    )


async def differences_seen(
    server: Server, state: DesiredState, live: Mapping[str, LiveSchedule], now: datetime
) -> dict[str, str]:
    """Return the zones in which live schedules of *state* fire otherwise than they should.

    One schedule a zone is looked at, over `AHEAD` or its next `FIRINGS` firings. Those that
    aren't as desired say nothing, and neither does a server that doesn't answer.
    """
    by_zone: dict[str, list[Schedule]] = {}
    for one in state.schedules:
        there = live.get(one.id)
        is_ours = there is not None and there.stamp is not None and there.stamp.digest == one.digest
        if is_ours and _recurs_in_a_zone(one):
            by_zone.setdefault(one.timezone, []).append(one)
    chosen = {zone: min(each, key=_distance_from_daily) for zone, each in by_zone.items()}
    found = await asyncio.gather(*(_first_seen(server, one, now) for one in chosen.values()))
    return {zone: at for zone, at in zip(chosen, found, strict=True) if at}


def _distance_from_daily(schedule: Schedule) -> tuple[int, str]:
    """Return the sort key of schedules: first the one that fires about once a day."""
    a_year = sum(
        _count(one.month)
        * min(_count(one.day_of_month), 30)
        * _count(one.hour)
        * _count(one.minute)
        * _count(one.day_of_week)
        // 7
        for one in schedule.calendars
    )
    return abs(a_year - DAILY), schedule.id


def _count(ranges: Iterable[Range]) -> int:
    return sum((one.end - one.start) // one.step + 1 for one in ranges)


async def _first_seen(server: Server, schedule: Schedule, now: datetime) -> str:
    """Return the first firing of *schedule* that differs from ours; empty if none does."""
    ahead = Horizon(now.replace(microsecond=0) + _SECOND, now + AHEAD)
    ours = list(islice(upcoming(schedule, ahead), FIRINGS))
    if not ours:
        return ""
    try:
        theirs = await _matching(server, schedule.id, Horizon(ahead.start, ours[-1] + _SECOND))
    except ServerError:
        return ""
    jitter = schedule.jitter
    for mine, other in zip(ours, theirs, strict=False):
        if not mine <= other <= mine + jitter:
            return format_instant(mine)
    # The last ones may have been delayed past the end.
    missing = len(ours) - len(theirs)
    return format_instant(ours[len(theirs)]) if missing > 0 and not jitter else ""


async def probe(server: Server, zones: Collection[str], year: int) -> dict[str, str]:
    """Return which of *zones* the server reads differently, from *year* on.

    Creates a paused schedule for each, and deletes it again.

    Raises:
        ServerError: The server can't be asked.
    """
    ordered, slots = sorted(zones), asyncio.Semaphore(PROBES_AT_ONCE)

    async def compared(zone: str) -> str:
        async with slots:
            return await _first_difference(server, zone, year)

    found = await asyncio.gather(*map(compared, ordered))
    return {zone: at for zone, at in zip(ordered, found, strict=True) if at}


@dataclass(frozen=True, slots=True)
class _Probe:
    """The times of a probe: noon of each eighth day, and an hour before and after each change.

    A change on another day moves a noon, for as long as it isn't taken back; one at another
    hour of the day moves the time before it or the time after it.
    """

    timezone: str
    calendars: tuple[StructuredCalendar, ...]
    near: tuple[tuple[datetime, datetime], ...]
    start_at: datetime | None = None
    end_at: datetime | None = None

    @classmethod
    def of(cls, timezone: str, horizon: Horizon) -> _Probe:
        """Return the probe of *timezone*, with the clock changes in *horizon*."""
        near = tuple(
            (low, high)
            for low, high in near_walls(timezone, horizon.start.year)
            if low.year < horizon.end.year
        )
        edges: dict[tuple[int, time], set[int]] = {}
        for wall in chain.from_iterable(near):
            edges.setdefault((wall.month, wall.time()), set()).add(wall.day)
        noons = StructuredCalendar(day_of_month=(Range(1, 31, 8),), hour=(Range(12, 12),))
        changes = (
            StructuredCalendar(
                month=(Range(month, month),),
                day_of_month=tuple(Range(day, day) for day in sorted(days)),
                hour=(Range(at.hour, at.hour),),
                minute=(Range(at.minute, at.minute),),
            )
            for (month, at), days in sorted(edges.items())
        )
        return cls(timezone, (noons, *changes), near)

    def certain(self, times: Iterable[datetime]) -> set[datetime]:
        """Return those of *times* that aren't near a clock change: the others may differ."""
        tz = zone(self.timezone)
        walls = {at: to_wall(at, tz) for at in times}
        return {
            at
            for at, wall in walls.items()
            if not any(low < wall < high for low, high in self.near)
        }


async def _first_difference(server: Server, timezone: str, year: int) -> str:
    """Return the first instant at which the server's table differs from ours; empty if none."""
    horizon = Horizon(
        datetime(year, 1, 1, tzinfo=UTC), datetime(year + COMPARED_YEARS, 1, 1, tzinfo=UTC)
    )
    times = _Probe.of(timezone, horizon)
    schedule = Schedule(
        id=f"planner-time-zone/{timezone}/{uuid4().hex}",
        project="",
        calendars=times.calendars,
        request=BoostRequest(namespace="", window="", tru=0, ttl_seconds=0, ahead_seconds=0),
        timezone=timezone,
        paused=True,
        note="Compares the server's time zones with the planner's; deleted at once",
    )
    try:
        await server.send(
            server.service.create_schedule,
            CreateScheduleRequest(
                namespace=server.namespace,
                schedule_id=schedule.id,
                schedule=await to_message(schedule, server.converter),
                identity=server.identity,
                request_id=uuid4().hex,
            ),
        )
    except ServerError as error:
        if "zone" in str(error) or "location" in str(error):
            return UNKNOWN_THERE
        raise
    try:
        theirs = times.certain(await _matching(server, schedule.id, horizon))
    finally:
        await server.send(
            server.service.delete_schedule,
            DeleteScheduleRequest(
                namespace=server.namespace, schedule_id=schedule.id, identity=server.identity
            ),
        )
    differing = times.certain(upcoming(times, horizon)) ^ theirs
    return format_instant(min(differing)) if differing else ""


async def _matching(server: Server, id: str, horizon: Horizon) -> list[datetime]:
    """Return when the schedule *id* fires in *horizon* according to the server."""
    found: list[datetime] = []
    after = horizon.start - _SECOND
    while True:
        reply = await server.send(
            server.service.list_schedule_matching_times,
            ListScheduleMatchingTimesRequest(
                namespace=server.namespace,
                schedule_id=id,
                start_time=_stamp(after),  # exclusive
                end_time=_stamp(horizon.end - _SECOND),
            ),
        )
        times = [stamp.ToDatetime(tzinfo=UTC) for stamp in reply.start_time]
        found += times
        if len(times) < FIRINGS:
            return found
        after = times[-1]


def _stamp(instant: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(instant)
    return message
