"""What works in a file, but can't be meant: warnings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from planner.ical.entry import Entry
from planner.ical.recurrence import Budget, starts
from planner.ical.series import Series
from planner.ical.values import When, instant_of, wall_of

_UTC = ZoneInfo("UTC")
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Hint:
    """A warning, before it has a file."""

    line: int
    code: str
    message: str


def hints_of(series: Series, budget: Budget) -> Iterator[Hint]:
    """Yield a warning for each EXDATE and each RECURRENCE-ID that names no occurrence."""
    master = series.master
    if master is None:
        return
    occurrences = _Occurrences(master, budget)
    for item in master.excluded:
        if not occurrences.have(item.when):
            message = f"EXDATE {_written(item.when)} excludes nothing: the event is not on then"
            yield Hint(item.line, "exdate-excludes-nothing", message)
    for change in series.changes:
        if change.changes and not occurrences.have(change.changes):
            message = (
                f"RECURRENCE-ID {_written(change.changes)} is no occurrence of the series; "
                "the event counts by itself"
            )
            yield Hint(change.at("RECURRENCE-ID"), "change-of-nothing", message)


def _written(when: When) -> str:
    return f"{when.wall:%Y%m%d}" if when.is_date else f"{when.wall:%Y%m%dT%H%M%S}"


class _Occurrences:
    """When a series is, before anything is excluded."""

    def __init__(self, master: Entry, budget: Budget) -> None:
        self._master = master
        self._budget = budget
        self._zone = master.writer_zone(_UTC)
        self._is_guess = (master.start.tz or master.calendar_zone) is None
        written = [master.start, *(extra.when for extra in master.extra)]
        self._instants = {when.instant(self._zone) for when in written}
        self._days = {wall_of(instant, self._zone).date() for instant in self._instants}

    def have(self, when: When) -> bool:
        """Tell whether *when* names one of them; true where a zone that isn't known decides."""
        if self._is_guess and when.tz is not None:
            return True
        if when.is_date or self._master.all_day:
            day = when.day(self._zone)
            return day in self._days or any(start.date() == day for start in self._near(day))
        instant = when.instant(self._zone)
        day = wall_of(instant, self._zone).date()
        return instant in self._instants or any(
            instant_of(start, self._zone) == instant for start in self._near(day)
        )

    def _near(self, day: date) -> Iterator[datetime]:
        """Yield the starts around *day*: one that the clock skips is read as a later one."""
        master = self._master
        if master.rule:
            first, last = day - _DAY, day + _DAY
            yield from starts(master.rule, master.start.wall, first, last, self._zone, self._budget)
