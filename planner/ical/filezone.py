"""Time zones that a file defines itself, by VTIMEZONE (RFC 5545, section 3.6.5).

They count only where a TZID is no name that is known: the tz database follows what
governments decide, a definition that was exported once doesn't.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo

from planner.ical.limits import LAST_YEAR, MAX_OBSERVANCES
from planner.ical.recurrence import Budget, starts
from planner.ical.ruletext import parse
from planner.ical.text import Component, Fault, Line, shown
from planner.ical.values import BadValue, parse_when

_OFFSET = re.compile(r"([+-])([0-9]{2})([0-5][0-9])([0-5][0-9])?")
_FIRST = date(1988, 1, 1)
_LAST = date(LAST_YEAR, 12, 31)


@dataclass(frozen=True, slots=True, order=True)
class Onset:
    """One change of the clock: the UTC instant, naive, and the offsets around it."""

    at: datetime
    before: timedelta
    after: timedelta


class FileZone(tzinfo):
    """A time zone made of onsets; before the first of them its earlier offset counts."""

    def __init__(self, name: str, onsets: list[Onset]) -> None:
        self.name = name
        self._onsets = sorted(onsets)
        self._at = [onset.at for onset in self._onsets]
        # A wall time in a gap or a repeat has the offset before it, with fold=1 after it.
        self._highs = [o.at + max(o.before, o.after) for o in self._onsets]
        self._lows = [o.at + min(o.before, o.after) for o in self._onsets]

    def _after(self, index: int) -> timedelta:
        """Return the offset once *index* of the onsets have passed."""
        return self._onsets[index - 1].after if index else self._onsets[0].before

    def utcoffset(self, when: datetime | None) -> timedelta:
        """Return the offset from UTC at the wall time *when*, as PEP 495 reads its fold."""
        if when is None:
            return self._onsets[0].before
        edges = self._lows if when.fold else self._highs
        return self._after(bisect_right(edges, when.replace(tzinfo=None, fold=0)))

    def dst(self, when: datetime | None) -> None:
        """Return nothing: a file's definition doesn't say what its standard time is."""

    def tzname(self, when: datetime | None) -> str:
        """Return the name that the file gives it."""
        return self.name

    def fromutc(self, when: datetime) -> datetime:
        """Return the wall time of the instant *when*, whose fields are in UTC."""
        instant = when.replace(tzinfo=None)
        wall = when + self._after(bisect_right(self._at, instant))
        first = wall.replace(tzinfo=None, fold=0) - self.utcoffset(wall.replace(fold=0))
        return wall.replace(fold=0 if first == instant else 1)

    def __repr__(self) -> str:
        return f"FileZone({self.name!r})"


def define(component: Component, budget: Budget) -> tuple[FileZone | None, list[Fault]]:
    """Return the zone that a VTIMEZONE defines, or what is wrong with it."""
    observances = component.named("STANDARD") + component.named("DAYLIGHT")
    if not observances:
        return None, [
            (component.number, "the VTIMEZONE defines no time; write STANDARD or DAYLIGHT")
        ]
    if len(observances) > MAX_OBSERVANCES:
        return None, [
            (
                component.number,
                f"the VTIMEZONE has {len(observances)} STANDARD and "
                f"DAYLIGHT parts; at most {MAX_OBSERVANCES} are read",
            )
        ]
    onsets: list[Onset] = []
    faults: list[Fault] = []
    for observance in observances:
        try:
            onsets += _onsets(observance, budget)
        except _Fault as error:
            faults.append((error.number, str(error)))
    name = next((line.value for line in component.all("TZID")), "")
    return (None, faults) if faults else (FileZone(name, onsets), [])


class _Fault(Exception):
    def __init__(self, number: int, message: str) -> None:
        self.number = number
        super().__init__(message)


def _onsets(observance: Component, budget: Budget) -> list[Onset]:
    before, after = (_offset(_only(observance, name)) for name in ("TZOFFSETFROM", "TZOFFSETTO"))
    begin = _only(observance, "DTSTART")
    start = _wall(begin, begin.value)
    walls = {
        start,
        *(_wall(line, v) for line in observance.all("RDATE") for v in line.value.split(",")),
    }
    for line in observance.all("RRULE"):
        walls |= set(_ruled(line, start, before, budget))
    return [Onset(wall - before, before, after) for wall in walls]


def _ruled(line: Line, start: datetime, before: timedelta, budget: Budget) -> list[datetime]:
    rule, faults = parse(line.value)
    if rule is None:
        raise _Fault(line.number, faults[0])
    fixed = FileZone("", [Onset(datetime(1, 1, 2), before, before)])  # noqa: DTZ001 - a wall time
    return list(starts(rule, start, _FIRST, _LAST, fixed, budget))


def _only(observance: Component, name: str) -> Line:
    lines = observance.all(name)
    if len(lines) != 1:
        raise _Fault(observance.number, f"the {observance.name} of a VTIMEZONE needs one {name}")
    return lines[0]


def _wall(line: Line, text: str) -> datetime:
    try:
        when = parse_when(text, first_year=1)
    except BadValue as error:
        raise _Fault(line.number, f"{line.name}: {error}") from None
    if when.wall.year < 2:
        raise _Fault(line.number, f"{line.name}: {shown(text)} is too early for a clock change")
    return when.wall


def _offset(line: Line) -> timedelta:
    match = _OFFSET.fullmatch(line.value.strip())
    if not match or int(match[2]) > 15:
        raise _Fault(
            line.number,
            f"{line.name}: {shown(line.value)} is no offset from UTC; write such as +0100 or -0500",
        )
    size = timedelta(hours=int(match[2]), minutes=int(match[3]), seconds=int(match[4] or 0))
    return -size if match[1] == "-" else size
