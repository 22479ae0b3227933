"""What works in a file, but can't be meant: warnings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
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
        self._zone = master.zone(_UTC)
        written = [master.start, *(extra.when for extra in master.extra)]
        self._instants = {when.instant(self._zone) for when in written}
        self._days = {wall_of(instant, self._zone).date() for instant in self._instants}

    def have(self, when: When) -> bool:
        """Tell whether *when* names one of them; true where a zone that isn't known decides."""
        master = self._master
        if master.start.tz is None and when.tz is not None and not master.all_day:
            return True
        instant = when.instant(self._zone)
        wall = when.wall if when.is_date else wall_of(instant, self._zone)
        by_day = when.is_date or master.all_day
        if (wall.date() in self._days) if by_day else (instant in self._instants):
            return True
        if master.rule is None:
            return False
        # A day around it, since a start that the clock skips is read as a later one.
        first, last = (wall - _DAY).date(), (wall + _DAY).date()
        near = starts(master.rule, master.start.wall, first, last, self._zone, self._budget)
        if by_day:
            return any(start.date() == wall.date() for start in near)
        return any(instant_of(start, self._zone) == instant for start in near)
