"""Why a start doesn't count: before its first day, after its last, or on a day skipped."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from planner.model import Horizon, IcalMatch, IcsFile
from planner.occurrences.pattern import Pattern


class Exclusions:
    """What a pattern excludes of the starts that are written from *first* to *last*."""

    def __init__(self, pattern: Pattern, first: date, last: date) -> None:
        self._pattern = pattern
        self._days = frozenset(pattern.skip.days)
        self._freezes = [
            freeze(file, pattern.timezone, first, last) for file in pattern.skip.calendars
        ]

    def why(self, day: date, start: datetime) -> str:
        """Return in words why a start doesn't count; empty if it does.

        Args:
            day: The local date of the start as written, after any roll.
            start: Its instant.
        """
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

LONGEST_FREEZE = timedelta(days=400)
"""How long an event of a skip calendar may last and still be found by its later days."""


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
    from planner import ical  # slow to import, and few calendars need it

    start = datetime(first.year, first.month, first.day, tzinfo=UTC) - LONGEST_FREEZE
    end = datetime(last.year, last.month, last.day, tzinfo=UTC) + timedelta(days=3)
    joined: list[tuple[datetime, datetime, str]] = []
    every_event = IcalMatch(transparent=True)
    for event in ical.expand(file, every_event, timezone, Horizon(start, end)):
        name = event.summary or "an event"
        if joined and event.start < joined[-1][1]:
            if event.end > joined[-1][1]:  # the rest of it goes by its own name
                joined.append((joined[-1][1], event.end, name))
        else:
            joined.append((event.start, event.end, name))
    return Freeze(file.path, *_columns(joined))


def _columns(
    rows: list[tuple[datetime, datetime, str]],
) -> tuple[tuple[datetime, ...], tuple[datetime, ...], tuple[str, ...]]:
    return tuple(r[0] for r in rows), tuple(r[1] for r in rows), tuple(r[2] for r in rows)
