"""Starts as they are looked at: rolled, read as instants, with their ends, or excluded."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import NamedTuple

from planner.model import Duration, Ical, Until
from planner.occurrences.exclusions import Exclusions
from planner.occurrences.pattern import Pattern
from planner.occurrences.starts import Lasts, Start, Through, starts
from planner.timezones import ClockChange, ZoneClock, zone_clock
from workflows.contract import end_by_clock


class Timing(NamedTuple):
    """One run of a pattern, ``[start, end)`` in UTC; *notes* say what moved it."""

    start: datetime
    end: datetime
    notes: tuple[str, ...] = ()


class Candidate(NamedTuple):
    """A start that was looked at, and in words why it doesn't count; empty if it does.

    *written* and *wall* are its naive wall times before and after the roll.
    """

    written: datetime
    wall: datetime
    timing: Timing
    excluded: str = ""


def candidates(pattern: Pattern, first: date, last: date) -> Iterator[Candidate]:
    """Yield all starts that are written from *first* to *last*, both local and included.

    Raises:
        TooManyStarts: There are more starts than can be looked at.
    """
    found = starts(pattern.recurrence, pattern.business, pattern.timezone, first, last)
    if not found:
        return
    table = zone_clock(pattern.timezone, first.year, last.year)
    excluding = Exclusions(pattern, first, last)
    rolls = pattern.roll != "none"
    for start in found:
        rolled = _rolled(pattern, start) if rolls else start
        timing = _timing(pattern, rolled, table)
        why = excluding.why(rolled.wall, timing.start) if excluding.any else ""
        if timing.end <= timing.start:
            why = "ends before it starts"
        yield Candidate(start.wall, rolled.wall, timing, why)


# Rolling -----------------------------------------------------------------------------


def _rolled(pattern: Pattern, start: Start) -> Start:
    """Return *start* on the business day that stands in for its day, at its wall time."""
    day = start.wall.date()
    rolled = pattern.business.roll(day, pattern.roll)
    if rolled == day:
        return start
    by = rolled - day
    lasts = Through(start.lasts.wall + by) if isinstance(start.lasts, Through) else start.lasts
    name = pattern.business.name_of(day)
    holiday = f" ({name})" if name else ""
    note = f"rolled from {day:%a %Y-%m-%d}{holiday} to {rolled:%a %Y-%m-%d}"
    return Start(start.wall + by, lasts, notes=(*start.notes, note))


# Instants ----------------------------------------------------------------------------


def _timing(pattern: Pattern, start: Start, table: ZoneClock) -> Timing:
    """Return *start* as instants, by the one reading of clock changes."""
    wall, lasts, begin, end, notes = start
    if begin is None:
        begin, change = table.read(wall)
        if change:
            notes = (*notes, _moved(wall, change))
    # A window's own length replaces that of iCal events only.
    if pattern.length and (lasts is None or isinstance(pattern.recurrence, Ical)):
        lasts, end = pattern.length, None
    return Timing(begin, end or _end(begin, wall, lasts, pattern), notes)


def _moved(wall: datetime, change: ClockChange) -> str:
    """Return in words what *change* does to a start in it."""
    if not change.is_gap:
        return f"{wall:%H:%M} is shown twice; the first counts"
    shown = wall + (change.after - change.before)
    day = "" if shown.date() == wall.date() else f"{shown:%a %Y-%m-%d} "
    return f"{wall:%H:%M} is skipped by the clock; starts {day}{shown:%H:%M}"


def _end(begin: datetime, wall: datetime, lasts: Lasts | None, pattern: Pattern) -> datetime:
    """Return the instant at which a start at *begin*, written as *wall*, is over."""
    if isinstance(lasts, Duration):
        return begin + lasts.elapsed
    if isinstance(lasts, Until):
        return end_by_clock(wall, lasts.wall, pattern.tz)
    if lasts is None:
        raise ValueError("a window without a length: say duration or until")
    # As `end_by_clock` has it, for an end on any day.
    ends = (lasts.wall.replace(tzinfo=pattern.tz, fold=fold) for fold in (0, 1))
    end = max(end.astimezone(UTC) for end in ends)
    return end if end > begin else begin + (lasts.wall - wall)
