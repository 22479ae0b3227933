"""When a window fires and how long each boost lasts: recurring if it can be, else dated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice

from planner.model import Horizon, Until, Window
from planner.occurrences import Pattern, Timing, longest, pattern_of, timings
from planner.schedules.dated import dated_calendars
from planner.schedules.firing import upcoming
from planner.schedules.recurring import Recurring, recurring
from planner.spec import StructuredCalendar
from workflows.contract import BoostRequest, format_instant, occurrence_of

YEARS = 3
"""Calendar years that dated schedules cover, this one included."""

CHECK_LIMIT = 400
"""Firings up to which a recurring form is compared with the occurrences themselves: more
than a year of days, so that lengths by the clock are seen over both of its changes."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """When a window fires, and what each firing says about the length of its boost.

    It is all that takes time to find out. Windows that differ only in whom they are for
    share it; their names and demand are missing from *request*.
    """

    calendars: tuple[StructuredCalendar, ...]
    timezone: str
    start_at: datetime | None
    end_at: datetime | None
    covers_until: datetime | None
    longest: timedelta
    request: BoostRequest


def span_of_year(year: int) -> Horizon:
    """Return the span that dated schedules cover in *year*: whole calendar years, in UTC."""
    return Horizon(datetime(year, 1, 1, tzinfo=UTC), datetime(year + YEARS, 1, 1, tzinfo=UTC))


def rhythm_of(window: Window, year: int) -> Rhythm | None:
    """Return when *window* fires; None if nothing of it lies in the span of *year*."""
    return _rhythm_of(pattern_of(window), window.ahead, year)


@lru_cache(maxsize=4096)
def _rhythm_of(pattern: Pattern, ahead: timedelta, year: int) -> Rhythm | None:
    found = recurring(pattern, ahead, year)
    return (found and _for_ever(found, pattern, ahead, year)) or _dated(pattern, ahead, year)


# Recurring -----------------------------------------------------------------------------


def _for_ever(found: Recurring, pattern: Pattern, ahead: timedelta, year: int) -> Rhythm | None:
    """Return the rhythm of a recurring form; None if it isn't what the pattern says.

    It always should be. But a wrong capacity costs more than this look at the first
    `CHECK_LIMIT` firings, or at all of the span.
    """
    span = span_of_year(year)
    fires = list(islice(upcoming(found, span), CHECK_LIMIT + 1))
    sample = Horizon(span.start, span.end if len(fires) <= CHECK_LIMIT else fires.pop())
    runs = _firing_in(sample, pattern, ahead)
    if not runs or [run.start - ahead for run in runs] != fires:
        return None
    request = _request(pattern, ahead, runs)
    if request.ends:
        return None
    return Rhythm(
        calendars=found.calendars,
        timezone=found.timezone,
        start_at=found.start_at,
        end_at=found.end_at,
        covers_until=None,
        longest=_longest(runs),
        request=request,
    )


# Dated ---------------------------------------------------------------------------------


def _dated(pattern: Pattern, ahead: timedelta, year: int) -> Rhythm | None:
    """Return the rhythm as instants: those that fire in the span, or still run in it."""
    span = span_of_year(year)
    reach = Horizon(span.start - longest(pattern) - ahead, span.end)
    runs = [run for run in _firing_in(reach, pattern, ahead) if run.end > span.start]
    if not runs:
        return None
    return Rhythm(
        calendars=dated_calendars(run.start - ahead for run in runs),
        timezone="UTC",
        start_at=None,
        end_at=None,
        covers_until=span.end,
        longest=_longest(runs),
        request=_request(pattern, ahead, runs),
    )


def _firing_in(horizon: Horizon, pattern: Pattern, ahead: timedelta) -> tuple[Timing, ...]:
    """Return the runs whose firings lie in *horizon*."""
    return timings(pattern, Horizon(horizon.start + ahead, horizon.end + ahead))


# Lengths -------------------------------------------------------------------------------


def _longest(runs: Sequence[Timing]) -> timedelta:
    return max(run.end - run.start for run in runs)


def _request(pattern: Pattern, ahead: timedelta, runs: Sequence[Timing]) -> BoostRequest:
    """Return the request from which each of *runs* gets its own start and end.

    The usual length, or the wall time, says it for most; the ends of the others are
    written out.
    """
    lengths = Counter(run.end - run.start for run in runs)
    usual = min(lengths, key=lambda length: (-lengths[length], length))
    request = BoostRequest(
        namespace="",
        window="",
        tru=0,
        ttl_seconds=_seconds(usual),
        ahead_seconds=_seconds(ahead),
        until=f"{pattern.length.wall:%H:%M}" if isinstance(pattern.length, Until) else "",
        timezone=pattern.timezone,
    )
    if len(lengths) == 1 and not request.until:
        return request
    ends = {
        format_instant(run.start): format_instant(run.end)
        for run in runs
        if occurrence_of(request, run.start - ahead) != (run.start, run.end)
    }
    return replace(request, ends=ends)


def _seconds(length: timedelta) -> int:
    return length // timedelta(seconds=1)
