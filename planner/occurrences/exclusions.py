"""Why a start doesn't count: before its first day, after its last, or on a day skipped."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from planner.model import Horizon, IcsFile, Skip
from planner.occurrences.pattern import Pattern
from planner.recurrence import ical


class Exclusions:
    """What a pattern excludes of the starts that are written from *first* to *last*."""

    def __init__(self, pattern: Pattern, first: date, last: date) -> None:
        self._pattern = pattern
        self.any = bool(pattern.skip != Skip() or pattern.not_before or pattern.not_after)
        self._days = frozenset(pattern.skip.days)
        self._freezes = [
            freeze(file, pattern.timezone, first, last) for file in pattern.skip.calendars
        ]

    def why(self, wall: datetime, start: datetime) -> str:
        """Return in words why a start doesn't count; empty if it does.

        Args:
            wall: Its local time as written, after any roll.
            start: Its instant.
        """
        day = wall.date()
        return self._out_of_range(day) or self._skipped(day) or self._frozen(start)

    def _out_of_range(self, day: date) -> str:
        first, last = self._pattern.not_before, self._pattern.not_after
        if first and day < first:
            return f"before its first day (from: {first})"
        if last and day > last:
            return f"after its last day (to: {last})"
        return ""

    def _skipped(self, day: date) -> str:
        skip = self._pattern.skip
        if skip.weekends and self._pattern.business.is_weekend(day):
            return f"{day:%A} is of the weekend (skip: weekends)"
        if skip.holidays and (name := self._pattern.business.name_of(day)):
            return f"a holiday, {name} (skip: holidays)"
        return f"skipped by its date (skip: {day})" if day in self._days else ""

    def _frozen(self, start: datetime) -> str:
        for freeze in self._freezes:
            if name := freeze.event_at(start):
                return f"during {name!r} (skip: {freeze.path})"
        return ""


# Freezes -----------------------------------------------------------------------------

_MARGIN = timedelta(days=3)
"""Local days reach over the same days in UTC, and a skipped start comes a day later."""


@dataclass(frozen=True, slots=True)
class Freeze:
    """The events of a skip calendar, joined where they overlap: half-open, in UTC.

    Events that are shown as free count, too: calendars of holidays mark them so.
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
def freeze(file: IcsFile, timezone: str, first: date, last: date) -> Freeze:
    """Return the events of *file* that cover instants of the local days *first* to *last*."""
    horizon = Horizon(_midnight(first) - _MARGIN, _midnight(last) + _MARGIN)
    until = horizon.start
    joined: list[tuple[datetime, datetime, str]] = []
    for start, end, name in ical.spans(file, timezone, horizon):
        if end > until:  # what an earlier event covers goes by that one's name
            joined.append((max(start, until), end, name or "an event"))
            until = end
    starts, ends, names = zip(*joined, strict=True) if joined else ((), (), ())
    return Freeze(file.path, starts, ends, names)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
