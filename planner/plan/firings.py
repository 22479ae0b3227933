"""A schedule's firings and occurrences: the next ones, those under way, those missed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from planner.model import Horizon
from planner.plan.model import LiveSchedule, Running
from planner.schedules.firings import ScheduleTimes, upcoming
from planner.schedules.spec import Schedule
from workflows.contract import lease_of, occurrence_of

LOOK_AHEAD = timedelta(days=1300)
"""How far ahead the next occurrences are searched: a leap day recurs in four years."""

FURTHEST_BACK = timedelta(days=400)
"""Longer than any window with its lead. Limits the search, since an operator may have given
a schedule a longer catch-up window."""

SHOWN = 3
"""How many next occurrences a plan shows."""

LONGEST_FOLLOWED = timedelta(days=2)
"""How long ago a boost at least may have fired that still runs, since its window became
shorter meanwhile."""

_INSTANT = timedelta(microseconds=1)


def next_occurrences(
    schedule: Schedule, now: datetime, count: int = SHOWN
) -> tuple[tuple[datetime, datetime], ...]:
    """Return the first *count* occurrences whose firings come after *now*."""
    return tuple(
        occurrence_of(schedule.request, nominal) for nominal in next_firings(schedule, now, count)
    )


def occurrences(schedule: Schedule, horizon: Horizon) -> list[tuple[datetime, datetime]]:
    """Return the occurrences whose firings lie in *horizon*."""
    return [occurrence_of(schedule.request, at) for at in _upcoming(schedule, horizon)]


def firings_in(times: ScheduleTimes, horizon: Horizon) -> tuple[datetime, ...]:
    """Return the nominal times of a schedule's firings in *horizon*."""
    return tuple(_upcoming(times, horizon))


def next_firings(schedule: Schedule, now: datetime, count: int = SHOWN) -> list[datetime]:
    """Return the nominal times of the first *count* firings after *now*."""
    ahead = Horizon(now + _INSTANT, now + LOOK_AHEAD)
    return list(islice(_upcoming(schedule, ahead), count))


def under_way(schedule: Schedule, now: datetime) -> list[datetime]:
    """Return the nominal times of the occurrences due by *now* that haven't ended.

    Searches back as far as the catch-up window, which is as long as the longest occurrence.
    """
    return due(schedule, Horizon(now, now))


def due(schedule: Schedule, horizon: Horizon) -> list[datetime]:
    """Return the nominal times of the occurrences that are under way anywhere in *horizon*.

    They are due by its end, inclusive, and have not ended at its start.
    """
    past = Horizon(
        horizon.start - min(schedule.catchup_window, FURTHEST_BACK), horizon.end + _INSTANT
    )
    return [
        nominal
        for nominal in _upcoming(schedule, past)
        if occurrence_of(schedule.request, nominal)[1] > horizon.start
    ]


def missed(desired: Schedule, live: LiveSchedule, horizon: Horizon) -> tuple[datetime, ...]:
    """Return the firings of *desired* due in *horizon* for which *live* has no boost.

    Occurrences are compared by their start, since a longer lead moves the firing. Not
    missed are those that *live* has fired for, is about to fire for, or has in `requested`.
    """
    own = live.schedule or desired
    seen = {_start(own, nominal) for nominal in live.fired} | live.requested | live.about_to_fire
    return tuple(
        nominal for nominal in due(desired, horizon) if _start(desired, nominal) not in seen
    )


def about_to_fire(desired: Schedule, live: LiveSchedule, since: datetime) -> frozenset[datetime]:
    """Return the starts of the occurrences of *desired* that the server is about to fire for.

    A firing is delayed by less than the jitter. One that was due before *since* will not
    come any more. The server shows a limited number of upcoming firings; those beyond the
    last one are not returned.
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


def running(live: LiveSchedule, now: datetime) -> tuple[Running, ...]:
    """Return the boosts of the last firings of *live* whose occurrences haven't ended.

    What the keeper granted counts, where it is known: a schedule that was changed since says
    what its next boost will request. Two firings for one start are one boost.
    """
    if live.schedule is None:
        return ()
    leases = {lease.key: lease for lease in live.leases or ()}
    found = {}
    for nominal in dict.fromkeys(live.fired):
        own = lease_of(live.schedule.request, nominal)
        lease = leases.get(own.key, own)
        if nominal <= now < lease.until:
            known = None if live.leases is None else own.key in leases
            found[own.start] = Running(own.start, lease.until, lease.tru, nominal, known)
    return tuple(found.values())


def has_boost(schedule: Schedule, live: LiveSchedule, now: datetime) -> bool:
    """Tell whether *live* fired, by *schedule*, for an occurrence that may be under way."""
    reach = now - max(schedule.catchup_window, LONGEST_FOLLOWED)
    return any(reach < nominal <= now for nominal in live.fired)


def _start(schedule: Schedule, nominal: datetime) -> datetime:
    return occurrence_of(schedule.request, nominal)[0]


def _upcoming(schedule: ScheduleTimes, horizon: Horizon) -> Iterator[datetime]:
    """Yield the firings in *horizon*; none for a time zone that only the server knows."""
    try:
        ZoneInfo(schedule.timezone)
    except (ZoneInfoNotFoundError, ValueError):
        return iter(())
    return upcoming(schedule, horizon)
