"""The next occurrences of a schedule, and those that are under way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from planner.model import Horizon
from planner.plan.model import Live, Running
from planner.schedules.firings import ScheduleTimes, upcoming
from planner.schedules.spec import Schedule
from workflows.contract import occurrence_of

LOOK_AHEAD = timedelta(days=1300)
"""How far the next occurrences are looked for: a leap day comes round in four years."""

FURTHEST_BACK = timedelta(days=400)
"""Longer than any window with its lead; anybody may give a schedule a longer catch-up window."""

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
    """Return the nominal times of the occurrences due by *now* that haven't ended.

    None reaches back further than the catch-up window: it is as long as the longest one.
    """
    return due(schedule, Horizon(now, now))


def due(schedule: Schedule, horizon: Horizon) -> list[datetime]:
    """Return the nominal times of the occurrences that are under way anywhere in *horizon*.

    They are due by its end, that one included, and have not ended at its start.
    """
    past = Horizon(
        horizon.start - min(schedule.catchup_window, FURTHEST_BACK), horizon.end + _INSTANT
    )
    return [
        nominal
        for nominal in _upcoming(schedule, past)
        if occurrence_of(schedule.request, nominal)[1] > horizon.start
    ]


def missed(desired: Schedule, live: Live, horizon: Horizon) -> tuple[datetime, ...]:
    """Return the firings of *desired* due in *horizon* that nothing shows to have come.

    What counts is the occurrence's start: a longer lead asks for the same one again. Not
    missed is what *live* has fired or is about to, and what is asked for otherwise.
    """
    own = live.schedule or desired
    seen = {_start(own, nominal) for nominal in live.fired} | live.asked | live.awaited
    return tuple(
        nominal for nominal in due(desired, horizon) if _start(desired, nominal) not in seen
    )


def awaited(desired: Schedule, live: Live, since: datetime) -> frozenset[datetime]:
    """Return the starts of the occurrences of *desired* that the server is about to fire.

    A firing is delayed by less than the jitter. One that should have come before *since*
    will not come any more. The server tells a limited number of firings: what lies beyond
    the last one is not among these.
    """
    coming = [at for at in live.upcoming if at > since]
    if not coming:
        return frozenset()
    span = Horizon(coming[0] - desired.jitter, coming[-1] + _INSTANT)
    return frozenset(
        _start(desired, nominal)
        for nominal in _upcoming(desired, span)
        if any(nominal <= at <= nominal + desired.jitter for at in coming)
    )


def running(live: Live, now: datetime) -> tuple[Running, ...]:
    """Return the boosts that the last firings of *live* asked for and that haven't ended."""
    if live.schedule is None:
        return ()
    request = live.schedule.request
    found = []
    for nominal in dict.fromkeys(live.fired):
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
