"""Time zones of iCalendar files: what a TZID means, and zones defined by VTIMEZONE.

A name of the tz database counts first, then a Windows name as Outlook writes it, then the
file's own VTIMEZONE (RFC 5545, section 3.6.5): the tz database follows what governments
decide, a definition that was exported once doesn't.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo

from planner import timezones
from planner.errors import quote
from planner.recurrence.ical.rrule import Budget, parse_rrule, starts
from planner.recurrence.ical.syntax import (
    FIRST_YEAR,
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
_FIRST = date(FIRST_YEAR - 2, 1, 1)
_LAST = date(LAST_YEAR, 12, 31)

_DOMAIN = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,}")


class UnusableTimezone(BadValue):
    """A VTIMEZONE with problems, which stand at its own lines."""

    def __init__(self, tzid: str, problems: list[LineProblem]) -> None:
        self.problems = problems
        super().__init__(f"the VTIMEZONE of TZID {quote(tzid)} can't be used")


class TimezoneResolver:
    """The zones of one VCALENDAR by their TZID; each is looked up once."""

    def __init__(self, calendar: Component, budget: Budget) -> None:
        self.problems: list[LineProblem] = []
        self._budget = budget
        self._found: dict[str, tzinfo] = {}
        self._unusable: dict[str, UnusableTimezone] = {}
        components = calendar.named("VTIMEZONE")
        if len(components) > MAX_ZONES:
            message = (
                f"the calendar defines {len(components)} time zones; at most {MAX_ZONES} are read"
            )
            self.problems.append(LineProblem(components[MAX_ZONES].number, message))
            components = []
        self._defined = {
            line.value.strip(): component
            for component in components
            for line in component.all("TZID")
        }

    def zone(self, tzid: str) -> tzinfo:
        """Return the zone that *tzid* names.

        Raises:
            BadValue: It is unknown, or its VTIMEZONE can't be used.
        """
        tzid = tzid.strip()
        if tzid in self._unusable:
            raise self._unusable[tzid]
        if tzid in self._found:
            return self._found[tzid]
        known = known_name(tzid)
        component = self._defined.get(tzid)
        if known is None and component:
            known = next(
                (known_name(line.value.strip()) for line in component.all("X-LIC-LOCATION")), None
            )
        if known is not None:
            self._found[tzid] = timezones.zone(known)
        elif component is None:
            raise BadValue(
                f"TZID {quote(tzid)} is no time zone that is known, and the file has no "
                "VTIMEZONE for it; write a name of the tz database such as Europe/Berlin"
            )
        else:
            zone, problems = define(component, self._budget)
            if zone is None:
                self._unusable[tzid] = UnusableTimezone(tzid, problems)
                raise self._unusable[tzid]
            self._found[tzid] = zone
        return self._found[tzid]

    def only_defined(self) -> tzinfo | None:
        """Return the zone of the calendar's only VTIMEZONE; None where there isn't just one."""
        if len(self._defined) != 1:
            return None
        try:
            return self.zone(next(iter(self._defined)))
        except BadValue:
            return None


def known_name(tzid: str) -> str | None:
    """Return the name in the tz database that *tzid* means by itself, or None.

    A leading slash marks a globally unique TZID (RFC 5545, section 3.8.3.1): Evolution,
    Citadel and Mozilla put a domain and a version before the name.
    """
    if len(tzid) > 100:
        return None
    if timezones.is_timezone(tzid):
        return tzid
    # Imported here because it takes longer than everything else, and few files need it.
    from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

    names = [WINDOWS_TO_OLSON.get(tzid, "")]
    if tzid.startswith("/"):
        parts = tzid[1:].split("/")
        if _DOMAIN.fullmatch(parts[0]):
            parts = parts[1:]
        names += ["/".join(parts[n:]) for n in range(min(len(parts), 3))]
    return next(filter(timezones.is_timezone, names), None)


# VTIMEZONE ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, order=True)
class Onset:
    """One onset of an observance: its naive UTC instant, and the offsets around it."""

    at: datetime
    before: timedelta
    after: timedelta


class VTimezone(tzinfo):
    """A zone made of onsets; before the first of them its earlier offset counts."""

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
        """Return the UTC offset at the wall time *when*; its fold counts as in PEP 495."""
        if when is None:
            return self._onsets[0].before
        edges = self._lows if when.fold else self._highs
        return self._after(bisect_right(edges, when.replace(tzinfo=None, fold=0)))

    def dst(self, when: datetime | None) -> None:
        """Return None: a VTIMEZONE doesn't say which part of an offset is daylight saving."""

    def tzname(self, when: datetime | None) -> str:
        """Return the TZID."""
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
    """Return the zone that a VTIMEZONE defines; None with its problems if it has any."""
    observances = component.named("STANDARD") + component.named("DAYLIGHT")
    problems = list(component.problems)
    if not observances:
        message = "the VTIMEZONE defines no time; write STANDARD or DAYLIGHT"
        problems.append(LineProblem(component.number, message))
    if len(observances) > MAX_OBSERVANCES:
        message = (
            f"the VTIMEZONE has {len(observances)} STANDARD and "
            f"DAYLIGHT parts; at most {MAX_OBSERVANCES} are read"
        )
        return None, [*problems, LineProblem(component.number, message)]
    onsets: list[Onset] = []
    for observance in observances:
        problems += observance.problems
        try:
            onsets += _onsets(observance, budget)
        except LineError as error:
            problems += error.problems
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
    """Return the onsets of a rule from `_FIRST` on, and the last ones before it.

    A rule that ended before `_FIRST` still sets the offset after it: Tokyo's last onset was
    in 1951.
    """
    rule, problems = parse_rrule(line.value, first_year=1)
    if rule is None:
        raise LineError(line.number, problems[0])
    fixed = VTimezone("", [Onset(datetime(1, 1, 2), before, before)])  # noqa: DTZ001 - a wall time
    last_known = min(_FIRST, rule.until.wall.date()) if rule.until else _FIRST
    # An onset is in between: 29 February and the like may skip seven years.
    years = 8 * (rule.interval if rule.frequency == "YEARLY" else 1)
    first = last_known.replace(year=max(last_known.year - years, 2), day=1)
    found = list(starts(rule, start, max(first, start.date()), _LAST, fixed, budget))
    if found or rule.count is None:
        return found
    return list(starts(rule, start, start.date(), _LAST, fixed, budget))[-1:]  # ended long ago


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
