"""Time zones of iCalendar files: what a TZID means, and zones defined by VTIMEZONE.

A name of the tz database counts first, then a Windows name as Outlook writes it, then the
file's own VTIMEZONE (RFC 5545, section 3.6.5): the tz database follows what governments
decide, a definition that was exported once doesn't.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import available_timezones

from planner import timezones
from planner.errors import quote
from planner.recurrence.ical.rrule import parse
from planner.recurrence.ical.rrule_starts import Budget, starts
from planner.recurrence.ical.syntax import (
    LAST_YEAR,
    MAX_OBSERVANCES,
    MAX_ZONES,
    BadValue,
    Component,
    Line,
    LineError,
    LineProblem,
    parse_when,
)

_OFFSET = re.compile(r"([+-])([0-9]{2})([0-5][0-9])([0-5][0-9])?")
_FIRST = date(1988, 1, 1)
_LAST = date(LAST_YEAR, 12, 31)


@dataclass(frozen=True, slots=True, order=True)
class Onset:
    """One change of the clock: the UTC instant, naive, and the offsets around it."""

    at: datetime
    before: timedelta
    after: timedelta


class VTimezone(tzinfo):
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
        return f"VTimezone({self.name!r})"


def define(component: Component, budget: Budget) -> tuple[VTimezone | None, list[LineProblem]]:
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
    problems: list[LineProblem] = []
    for observance in observances:
        try:
            onsets += _onsets(observance, budget)
        except LineError as error:
            problems.append((error.number, str(error)))
    name = next((line.value for line in component.all("TZID")), "")
    return (None, problems) if problems else (VTimezone(name, onsets), [])


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
    rule, problems = parse(line.value)
    if rule is None:
        raise LineError(line.number, problems[0])
    fixed = VTimezone("", [Onset(datetime(1, 1, 2), before, before)])  # noqa: DTZ001 - a wall time
    return list(starts(rule, start, _FIRST, _LAST, fixed, budget))


def _only(observance: Component, name: str) -> Line:
    lines = observance.all(name)
    if len(lines) != 1:
        raise LineError(observance.number, f"the {observance.name} of a VTIMEZONE needs one {name}")
    return lines[0]


def _wall(line: Line, text: str) -> datetime:
    try:
        when = parse_when(text, first_year=1)
    except BadValue as error:
        raise LineError(line.number, f"{line.name}: {error}") from None
    if when.wall.year < 2:
        raise LineError(line.number, f"{line.name}: {quote(text)} is too early for a clock change")
    return when.wall


def _offset(line: Line) -> timedelta:
    match = _OFFSET.fullmatch(line.value.strip())
    if not match or int(match[2]) > 15:
        raise LineError(
            line.number,
            f"{line.name}: {quote(line.value)} is no offset from UTC; write such as +0100 or -0500",
        )
    size = timedelta(hours=int(match[2]), minutes=int(match[3]), seconds=int(match[4] or 0))
    return -size if match[1] == "-" else size


_GLOBAL = re.compile(r"/[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,}/(?:[0-9_]+/)?(.+)")
"""A globally unique TZID (RFC 5545, section 3.8.3.1), as Evolution and Citadel write them."""


class TimezoneResolver:
    """The zones of one VCALENDAR by their TZID; each is looked up once.

    A name of the tz database counts first, then one of Outlook's, then the file's own
    definition: what is known is kept up to date, what was exported isn't.
    """

    def __init__(self, calendar: Component, budget: Budget) -> None:
        self.problems: list[LineProblem] = []
        self._budget = budget
        self._found: dict[str, tzinfo] = {}
        components = calendar.named("VTIMEZONE")
        if len(components) > MAX_ZONES:
            self.problems.append(
                (
                    components[MAX_ZONES].number,
                    f"the calendar defines {len(components)} time zones; "
                    f"at most {MAX_ZONES} are read",
                )
            )
            components = []
        self._defined = {
            line.value.strip(): component
            for component in components
            for line in component.all("TZID")
        }

    def zone(self, tzid: str) -> tzinfo:
        """Return the zone that *tzid* names.

        Raises:
            BadValue: Nobody knows it.
        """
        tzid = tzid.strip()
        if tzid not in self._found:
            self._found[tzid] = self._look_up(tzid)
        return self._found[tzid]

    def _look_up(self, tzid: str) -> tzinfo:
        known = known_name(tzid)
        component = self._defined.get(tzid)
        if known is None and component:
            known = next(
                (known_name(line.value.strip()) for line in component.all("X-LIC-LOCATION")), None
            )
        if known is not None:
            return timezones.zone(known)
        if component:
            return self._define(component, tzid)
        raise BadValue(
            f"TZID {quote(tzid)} is no time zone that is known, and the file has no "
            "VTIMEZONE for it; write a name of the tz database such as Europe/Berlin"
        )

    def _define(self, component: Component, tzid: str) -> tzinfo:
        zone, problems = define(component, self._budget)
        if zone is None:
            self.problems += [fault for fault in problems if fault not in self.problems]
            raise BadValue(f"the VTIMEZONE of TZID {quote(tzid)} can't be used")
        return zone


def known_name(tzid: str) -> str | None:
    """Return the name in the tz database that *tzid* means, if it is known by itself."""
    if len(tzid) > 100:
        return None
    for name in _meanings(tzid):
        if name in _candidates() and timezones.timezone_problem(name) is None:
            return name
    return None


def _meanings(tzid: str) -> Iterator[str]:
    """Yield the names of the tz database that *tzid* may mean, most likely first."""
    yield tzid
    # Imported here because it takes longer than everything else, and few files need it.
    from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

    yield WINDOWS_TO_OLSON.get(tzid, "")
    if unique := _GLOBAL.fullmatch(tzid):
        yield unique[1]


@lru_cache(maxsize=1)
def _candidates() -> frozenset[str]:
    """Return what may be a known name: explaining why another isn't one costs too much here."""
    return frozenset(available_timezones())
