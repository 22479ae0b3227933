"""From windows to occurrences: roll, clock changes, ends, exclusions, each run once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import chain
from operator import attrgetter
from typing import NamedTuple

from planner.errors import InputError, Problem
from planner.model import Duration, Horizon, Ical, IcsFile, Occurrence, Skip, Window
from planner.occurrences.starts import (
    EARLIEST,
    LATEST,
    EndsAt,
    Pattern,
    Start,
    StartLength,
    TooManyStarts,
    pattern_of,
    starts,
)
from planner.recurrence import ical
from planner.recurrence.business_days import ROLL_LIMIT
from planner.timezones import ClockChange, ZoneClock, zone_clock
from workflows.contract import Until, end_by_clock, to_wall


def expand(window: Window, horizon: Horizon) -> list[Occurrence]:
    """Return the occurrences of *window* that start in *horizon*, in order.

    Each is longer than zero, no two start together, and two adjacent horizons give what
    their union gives. A paused window has the occurrences that it would have unpaused.

    Raises:
        InputError: It starts too often.
    """
    try:
        found = timings(pattern_of(window), horizon)
    except TooManyStarts as error:
        place = window.place
        raise InputError([Problem(place.file, place.line, f"{window.key}: {error}")]) from error
    return [Occurrence(start, end, window, notes) for start, end, notes in found]


def expand_all(windows: Iterable[Window], horizon: Horizon) -> list[Occurrence]:
    """Return the occurrences of all *windows* that start in *horizon*, in order.

    Raises:
        InputError: Windows start too often; all of them are named.
    """
    problems: list[Problem] = []
    found: list[list[Occurrence]] = []
    for window in windows:
        try:
            found.append(expand(window, horizon))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return sorted(chain.from_iterable(found), key=lambda occurrence: occurrence.order)


# Runs of a pattern -------------------------------------------------------------------


class Timing(NamedTuple):
    """One run of a pattern, ``[start, end)`` in UTC; *notes* say what moved it."""

    start: datetime
    end: datetime
    notes: tuple[str, ...] = ()


CACHED_RUNS = 500_000
"""Runs in the cache of `timings`, which drops the oldest entries."""

_FIRST = datetime(EARLIEST.year, 1, 3, tzinfo=UTC)
_LAST = datetime(LATEST.year, 12, 29, tzinfo=UTC)


class _Cache:
    """The latest results of `timings`: up to `CACHED_RUNS` runs, and always the last result."""

    def __init__(self) -> None:
        self._found: dict[tuple[Pattern, Horizon], tuple[Timing, ...]] = {}
        self._runs = 0

    def get(self, pattern: Pattern, horizon: Horizon) -> tuple[Timing, ...] | None:
        return self._found.get((pattern, horizon))

    def put(self, pattern: Pattern, horizon: Horizon, found: tuple[Timing, ...]) -> None:
        self._found[pattern, horizon] = found
        self._runs += len(found)
        while self._runs > CACHED_RUNS and len(self._found) > 1:
            self._runs -= len(self._found.pop(next(iter(self._found))))


_cache = _Cache()


def timings(pattern: Pattern, horizon: Horizon) -> tuple[Timing, ...]:
    """Return the runs of *pattern* that start in *horizon*, in order.

    Every run is longer than zero, and no two start together: of those with the same start
    the longest counts. Two adjacent horizons give what their union gives.

    Raises:
        TooManyStarts: There are more starts than the limit.
    """
    found = _cache.get(pattern, horizon)
    if found is None:
        counting = [
            candidate.timing
            for candidate in candidates(pattern, *written_days(pattern, horizon))
            if not candidate.excluded and horizon.start <= candidate.timing.start < horizon.end
        ]
        counting.sort(key=attrgetter("start"))
        found = tuple(_longest(counting))
        _cache.put(pattern, horizon, found)
    return found


def _longest(found: Iterable[Timing]) -> Iterator[Timing]:
    """Yield the longest of the runs with each start; *found* is sorted by start."""
    best: Timing | None = None
    for timing in found:
        if best and best.start == timing.start:
            best = min(best, timing, key=_rank)
            continue
        if best:
            yield best
        best = timing
    if best:
        yield best


def _rank(timing: Timing) -> tuple[timedelta, int, tuple[str, ...]]:
    """Order runs that start together: the longest first, then the least moved."""
    return timing.start - timing.end, len(timing.notes), timing.notes


def written_days(pattern: Pattern, horizon: Horizon) -> tuple[date, date]:
    """Return the first and last local date on which a start in *horizon* may be written.

    A roll moves a start by up to its limit. Two days of margin remain without one: a start
    that the clock skips comes later than written, by a day where the zone skipped a date.
    """
    margin = timedelta(days=2 if pattern.roll == "none" else 2 + ROLL_LIMIT)
    start, end = max(horizon.start, _FIRST), min(horizon.end, _LAST)
    if start >= end:
        return LATEST, EARLIEST
    first, last = to_wall(start, pattern.tz).date(), to_wall(end, pattern.tz).date()
    return first - margin, last + margin


# From a start to a run ---------------------------------------------------------------


class Candidate(NamedTuple):
    """A start as a run, and why it is *excluded*, in words; empty if it isn't.

    *written* and *wall* are its naive wall times before and after the roll.
    """

    written: datetime
    wall: datetime
    timing: Timing
    excluded: str = ""


def candidates(pattern: Pattern, first: date, last: date) -> Iterator[Candidate]:
    """Yield all starts that are written from *first* to *last*, both local and included.

    Raises:
        TooManyStarts: There are more starts than the limit.
    """
    found = starts(
        pattern.recurrence,
        pattern.business,
        pattern.timezone,
        first,
        last,
        has_length=pattern.length is not None,
    )
    if not found:
        return
    table = zone_clock(pattern.timezone, first.year, last.year)
    exclusions = _Exclusions(pattern, first, last)
    rolls = pattern.roll != "none"
    for start in found:
        rolled = _rolled(pattern, start) if rolls else start
        timing = _timing(pattern, rolled, table)
        why = exclusions.why(rolled.wall, timing.start) if exclusions.any else ""
        if timing.end <= timing.start:
            why = "ends before it starts"
        yield Candidate(start.wall, rolled.wall, timing, why)


def _rolled(pattern: Pattern, start: Start) -> Start:
    """Return *start* on the business day that stands in for its day, at the same wall time."""
    day = start.wall.date()
    rolled = pattern.business.roll(day, pattern.roll)
    if rolled == day:
        return start
    by = rolled - day
    length = EndsAt(start.length.wall + by) if isinstance(start.length, EndsAt) else start.length
    name = pattern.business.name_of(day)
    holiday = f" ({name})" if name else ""
    note = f"rolled from {day:%a %Y-%m-%d}{holiday} to {rolled:%a %Y-%m-%d}"
    return Start(start.wall + by, length, notes=(*start.notes, note))


def _timing(pattern: Pattern, start: Start, table: ZoneClock) -> Timing:
    """Return *start* as instants; `workflows.contract` defines what a clock change does."""
    wall, length, begin, end, notes = start
    if begin is None:
        begin, change = table.read(wall)
        if change:
            notes = (*notes, _moved(wall, change))
    # A window's own length replaces that of iCal events only.
    if pattern.length and (length is None or isinstance(pattern.recurrence, Ical)):
        length, end = pattern.length, None
    return Timing(begin, end or _end(begin, wall, length, pattern), notes)


def _moved(wall: datetime, change: ClockChange) -> str:
    """Return in words what *change* does to a start in it."""
    if not change.is_gap:
        return f"{wall:%H:%M} is shown twice; the first counts"
    shown = wall + (change.after - change.before)
    day = "" if shown.date() == wall.date() else f"{shown:%a %Y-%m-%d} "
    return f"{wall:%H:%M} is skipped by the clock; starts {day}{shown:%H:%M}"


def _end(begin: datetime, wall: datetime, length: StartLength | None, pattern: Pattern) -> datetime:
    """Return the end of a run that starts at *begin*, written as *wall*."""
    if isinstance(length, Duration):
        return begin + length.elapsed
    if isinstance(length, Until):
        return end_by_clock(wall, length, pattern.tz)
    if length is None:
        raise ValueError("a window without a length: say duration or until")
    # As `end_by_clock` has it, for an end on any day.
    ends = (length.wall.replace(tzinfo=pattern.tz, fold=fold) for fold in (0, 1))
    end = max(end.astimezone(UTC) for end in ends)
    return end if end > begin else begin + (length.wall - wall)


# Exclusions --------------------------------------------------------------------------

_MARGIN = timedelta(days=3)
"""Local days reach beyond the same days in UTC, and a skipped start comes up to a day later."""


class _Exclusions:
    """The exclusions of a pattern, for starts written from *first* to *last*."""

    def __init__(self, pattern: Pattern, first: date, last: date) -> None:
        self._pattern = pattern
        self.any = bool(pattern.skip != Skip() or pattern.not_before or pattern.not_after)
        self._days = frozenset(pattern.skip.days)
        self._freezes = [
            _freeze(file, pattern.timezone, first, last) for file in pattern.skip.calendars
        ]

    def why(self, wall: datetime, start: datetime) -> str:
        """Return in words why a start is excluded; empty if it isn't.

        Args:
            wall: Its local time as written, after any roll.
            start: Its instant.
        """
        pattern, skip, day = self._pattern, self._pattern.skip, wall.date()
        if pattern.not_before and day < pattern.not_before:
            return f"before its first day (from: {pattern.not_before})"
        if pattern.not_after and day > pattern.not_after:
            return f"after its last day (to: {pattern.not_after})"
        if skip.weekends and pattern.business.is_weekend(day):
            return f"{day:%A} is of the weekend (skip: weekends)"
        if skip.holidays and (name := pattern.business.name_of(day)):
            return f"a holiday, {name} (skip: holidays)"
        if day in self._days:
            return f"skipped by its date (skip: {day})"
        for freeze in self._freezes:
            if name := freeze.event_at(start):
                return f"during {name!r} (skip: {freeze.path})"
        return ""


@dataclass(frozen=True, slots=True)
class _Freeze:
    """The events of a skip calendar as disjoint half-open spans in UTC, sorted.

    Transparent events count, too: holiday calendars mark their events so.
    """

    path: str
    starts: tuple[datetime, ...]
    ends: tuple[datetime, ...]
    names: tuple[str, ...]

    def event_at(self, instant: datetime) -> str:
        """Return the name of an event that covers *instant*; empty if none does."""
        index = bisect_right(self.starts, instant) - 1
        return self.names[index] if index >= 0 and instant < self.ends[index] else ""


@lru_cache(maxsize=256)
def _freeze(file: IcsFile, timezone: str, first: date, last: date) -> _Freeze:
    """Return the events of *file* on the local days from *first* to *last*."""
    horizon = Horizon(_midnight(first) - _MARGIN, _midnight(last) + _MARGIN)
    until = horizon.start
    spans: list[tuple[datetime, datetime, str]] = []
    for start, end, name in ical.spans(file, timezone, horizon):
        if end > until:  # the part that an earlier event covers keeps that event's name
            spans.append((max(start, until), end, name or "an event"))
            until = end
    starts, ends, names = zip(*spans, strict=True) if spans else ((), (), ())
    return _Freeze(file.path, starts, ends, names)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
