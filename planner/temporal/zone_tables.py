"""Where the server's time zone table differs from ours: recurring schedules fire by the server's.

A live schedule shows it without any write, as far as its own firings go. Before schedules are
written on the clock of a zone, a probe does: a paused schedule with times all over the zone's
years, whose matching times are read before it is deleted again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import chain, islice
from uuid import uuid4

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.workflowservice.v1 import (
    CreateScheduleRequest,
    DeleteScheduleRequest,
    ListScheduleMatchingTimesRequest,
)

from planner.errors import Lint, ServerError
from planner.model import Horizon
from planner.plan.model import DesiredState, LiveSchedule
from planner.schedules.recurring import near_walls
from planner.schedules.spec import Range, Schedule, StructuredCalendar, upcoming
from planner.temporal.client import Server
from planner.temporal.convert import to_message
from planner.timezones import TABLE_VERSION, zone
from workflows.contract import BoostRequest, format_instant, to_wall

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
        return {at for at in times if not self._is_near_change(to_wall(at, tz))}

    def _is_near_change(self, wall: datetime) -> bool:
        return any(low < wall < high for low, high in self.near)


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
