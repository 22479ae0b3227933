"""The next occurrences of a schedule, and those that are under way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from planner.diff.plan import Live, Running
from planner.model import Horizon
from planner.schedules.firings import ScheduleTimes, upcoming
from planner.schedules.spec import Schedule
from workflows.contract import occurrence_of

LOOK_AHEAD = timedelta(days=1300)
"""How far the next occurrences are looked for: a leap day comes round in four years."""

SHOWN = 3
"""How many next occurrences a plan shows."""

_INSTANT = timedelta(microseconds=1)


def next_occurrences(
    schedule: Schedule, now: datetime, count: int = SHOWN
) -> tuple[tuple[datetime, datetime], ...]:
    """Return the first *count* occurrences that are asked for after *now*."""
    return tuple(
        occurrence_of(schedule.request, nominal) for nominal in next_firings(schedule, now, count)
    )


def occurrences(schedule: Schedule, horizon: Horizon) -> list[tuple[datetime, datetime]]:
    """Return the occurrences whose firings lie in *horizon*."""
    return [occurrence_of(schedule.request, at) for at in _upcoming(schedule, horizon)]


def firings_in(times: ScheduleTimes, horizon: Horizon) -> tuple[datetime, ...]:
    """Return the nominal times in *horizon*, of a schedule or of its times alone."""
    return tuple(_upcoming(times, horizon))


def next_firings(schedule: Schedule, now: datetime, count: int = SHOWN) -> list[datetime]:
    """Return the nominal times of the first *count* firings after *now*."""
    ahead = Horizon(now + _INSTANT, now + LOOK_AHEAD)
    return list(islice(_upcoming(schedule, ahead), count))


def under_way(schedule: Schedule, now: datetime) -> list[datetime]:
    """Return the nominal times of the occurrences asked for by *now* that haven't ended.

    None reaches back further than the catch-up window: it is as long as the longest one.
    """
    past = Horizon(now - schedule.catchup_window, now + _INSTANT)
    return [
        nominal
        for nominal in _upcoming(schedule, past)
        if occurrence_of(schedule.request, nominal)[1] > now
    ]


def unasked(desired: Schedule, live: Schedule | None, now: datetime) -> tuple[datetime, ...]:
    """Return the firings of *desired* under way that *live* has not seen to.

    What counts is the occurrence's start: a longer lead asks for the same one again.
    """
    seen = set() if live is None else {_start(live, nominal) for nominal in under_way(live, now)}
    return tuple(
        nominal for nominal in under_way(desired, now) if _start(desired, nominal) not in seen
    )


def unfired(desired: Schedule, live: Live, now: datetime) -> tuple[datetime, ...]:
    """Return the firings of *desired* under way that *live* has not had, whatever its times."""
    return tuple(nominal for nominal in under_way(desired, now) if nominal not in live.fired)


def running(live: Live, now: datetime) -> tuple[Running, ...]:
    """Return the boosts that the last firings of *live* asked for and that haven't ended."""
    if live.schedule is None:
        return ()
    request = live.schedule.request
    found = []
    for nominal in live.fired:
        start, end = occurrence_of(request, nominal)
        if nominal <= now < end:
            found.append(Running(start, end, request.tru, nominal))
    return tuple(found)


def _start(schedule: Schedule, nominal: datetime) -> datetime:
    return occurrence_of(schedule.request, nominal)[0]


def _upcoming(schedule: ScheduleTimes, horizon: Horizon) -> Iterator[datetime]:
    """Yield the firings in *horizon*; none for a zone that nobody but the server knows."""
    try:
        ZoneInfo(schedule.timezone)
    except (ZoneInfoNotFoundError, ValueError):
        return iter(())
    return upcoming(schedule, horizon)
