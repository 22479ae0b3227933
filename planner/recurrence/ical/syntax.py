"""The grammar of iCalendar (RFC 5545, section 3.1) and its value types (section 3.3).

A file becomes components and content lines, each with its line number; dates, times and
durations are parsed strictly. What the lines of an event mean is decided in `events`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from planner.errors import quote
from workflows.contract.messages import to_instant

MAX_TEXT = 1024 * 1024
"""Characters of a file: about 5,000 events as calendar programs export them."""

MAX_LINE = 64 * 1024
"""Characters of a line, once its folds are joined."""

MAX_DEPTH = 10
"""Components inside components: RFC 5545 needs three."""

MAX_EVENTS = 2_000
"""Events of a file, changed occurrences among them."""

MAX_ZONES = 20
"""VTIMEZONE components of a file."""

MAX_OBSERVANCES = 50
"""STANDARD and DAYLIGHT components of one VTIMEZONE."""

MAX_LISTED_DATES = 2_000
"""Values of RDATE and EXDATE of one event, together."""

FIRST_YEAR = 1990
LAST_YEAR = 2100
"""The years that dates may be in; Temporal's calendars end with 2100."""

MAX_LENGTH = timedelta(days=31)
"""How long an event with times may last as an occurrence of a window."""

MAX_ALL_DAY_LENGTH = timedelta(days=366)
"""How long an event of whole days, or a freeze, may last: it often spans a quarter's end."""

MAX_RULE = 1_000
"""Characters of a recurrence rule."""

MAX_COUNT = 10_000
"""The largest COUNT of a rule."""

MAX_INTERVAL = 1_000
"""The largest INTERVAL of a rule."""

MAX_TIMES_A_DAY = 288
"""Starts of one rule on one day, by BYHOUR, BYMINUTE and BYSECOND: one every five minutes."""

MAX_OCCURRENCES = 10_000
"""Occurrences of one file, or of one rule, in one answer."""

MAX_STEPS = 250_000
"""Days and times examined for one answer about a file: about a second of work."""

MAX_PROBLEMS = 100
"""Problems reported of one file; the rest are counted."""


Concern = Literal["time", "length", "missing length", "window length"]
"""What a problem makes unknown, so that only readers who need it are stopped by it.

A ``length`` matters to none who brings a duration of their own, and a ``missing length`` or
a ``window length`` (more than 31 days) to windows only.
"""


class LineProblem(NamedTuple):
    """What is wrong on a line, 0 for the whole file, in a sentence that says how to mend it."""

    line: int
    message: str
    concerns: Concern = "time"


class LineWarning(NamedTuple):
    """What deserves a look on a line: it works, and *message* says how it is read."""

    line: int
    code: str
    message: str


class LineError(Exception):
    """A problem that ends the parsing of its component."""

    def __init__(
        self,
        line: int,
        message: str,
        others: Sequence[LineProblem] = (),
        concerns: Concern = "time",
    ) -> None:
        self.problems = [*others, LineProblem(line, message, concerns)]
        super().__init__(message)


READ = frozenset(
    {
        *("BEGIN", "END", "TZID", "TZOFFSETFROM", "TZOFFSETTO", "METHOD", "X-WR-TIMEZONE"),
        *("UID", "SUMMARY", "CATEGORIES", "STATUS", "TRANSP", "SEQUENCE", "X-LIC-LOCATION"),
        *("DTSTART", "DTEND", "DURATION", "RRULE", "EXRULE", "RDATE", "EXDATE", "RECURRENCE-ID"),
        "X-CALENDAR-TYPE",
    }
)
"""The properties that say when an event is and which one it is; the others are ignored."""

_COMPONENTS = frozenset({"", "VCALENDAR", "VEVENT", "VTIMEZONE", "STANDARD", "DAYLIGHT"})
"""The components that say when an event is; others, alarms and tasks among them, are ignored."""

_NAME = re.compile(r"([A-Za-z0-9-]+)(?=[;:])")
_UPPER_WORD = re.compile(r"[A-Z-]+(?=[\s=]|$)")
_PARAMETER = re.compile(r';([A-Za-z0-9-]+)=((?:"[^"]*"|[^";:,]*)(?:,(?:"[^"]*"|[^";:,]*))*)')


@dataclass(frozen=True, slots=True)
class Line:
    """One unfolded content line; *number* is that of its first physical line, from 1."""

    number: int
    name: str
    parameters: dict[str, str]
    value: str


@dataclass(slots=True)
class Component:
    """A component, from its BEGIN to its END; *problems* are those of its own lines."""

    name: str
    number: int
    ignored: bool = False
    lines: list[Line] = field(default_factory=list)
    children: list[Component] = field(default_factory=list)
    problems: list[LineProblem] = field(default_factory=list)

    def all(self, name: str) -> list[Line]:
        """Return its own lines called *name*, in file order."""
        return [line for line in self.lines if line.name == name]

    def named(self, name: str) -> list[Component]:
        """Return its direct children called *name*, in file order."""
        return [child for child in self.children if child.name == name]


class Tree(NamedTuple):
    """The VCALENDARs of a file, with the problems and warnings that belong to no component."""

    calendars: list[Component]
    problems: list[LineProblem]
    warnings: list[LineWarning]


def parse_tree(text: str) -> Tree:
    """Parse the grammar of *text*; never raises.

    A byte order mark, any kind of line end, blank lines and lower-case names are accepted,
    since many programs write them. Broken lines are problems of their component; where the
    component or the property is ignored anyway, they are warnings.
    """
    if len(text) > MAX_TEXT:
        message = f"the file has {len(text):,} characters; at most {MAX_TEXT:,} are read"
        return Tree([], [LineProblem(0, message)], [])
    text = text.removeprefix("\ufeff")
    if text.lstrip()[:15].upper() != "BEGIN:VCALENDAR":
        begins = f"it begins with {quote(text)}, not with 'BEGIN:VCALENDAR'"
        return Tree([], [LineProblem(1, f"this is no iCalendar file: {begins}")], [])
    builder = _TreeBuilder()
    for number, content in _unfolded(text):
        builder.add(number, content)
        if len(builder.problems) >= MAX_PROBLEMS:
            break
    else:
        builder.close()
    calendars = builder.root.named("VCALENDAR")
    own = [problem for calendar in calendars for problem in calendar.problems]
    return Tree(calendars, builder.problems + own, builder.warnings)


def unescaped(value: str) -> str:
    """Return the TEXT *value* (RFC 5545, section 3.3.11) without its backslashes."""
    return re.sub(r"\\(.)", lambda m: "\n" if m[1] in "nN" else m[1], value, flags=re.DOTALL)


def _unfolded(text: str) -> Iterator[tuple[int, str]]:
    """Yield each content line with the number of its first physical line."""
    begun, parts = 0, [""]
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for number, physical in enumerate(lines, start=1):
        if physical[:1] in (" ", "\t") and begun:
            parts.append(physical[1:])
        elif physical.strip():
            if begun:
                yield begun, "".join(parts)
            begun, parts = number, [physical]
    if begun:
        yield begun, "".join(parts)


class _TreeBuilder:
    """Builds the tree of components line by line."""

    def __init__(self) -> None:
        self.root = Component("", 0)
        self.problems: list[LineProblem] = []
        self.warnings: list[LineWarning] = []
        self._open = [self.root]

    def add(self, number: int, content: str) -> None:
        """Add the next content line."""
        name = _NAME.match(content)
        if not name:
            # A problem only where it may have been meant.
            word = _UPPER_WORD.match(content)
            if word and word[0] in READ and not self._open[-1].ignored:
                self._line_problem(
                    number,
                    f"{quote(content)} is no line of iCalendar; "
                    "write NAME:value, such as 'SUMMARY:Launch'",
                )
            else:
                self._ignore(number, f"{quote(content)} is no line of iCalendar")
        elif name[1].upper() in READ:
            self._add_read(number, name[1].upper(), content, name.end())

    def close(self) -> None:
        """Report the components that are still open at the end of the file."""
        self.problems += [
            LineProblem(
                component.number,
                f"'BEGIN:{component.name}' has no 'END:{component.name}'; is the file cut off?",
            )
            for component in self._open[1:]
        ]

    def _add_read(self, number: int, name: str, content: str, at: int) -> None:
        if name not in ("BEGIN", "END") and self._open[-1].ignored:
            return
        if len(content) > MAX_LINE:
            self._line_problem(
                number, f"the line has {len(content):,} characters; at most {MAX_LINE:,} are read"
            )
            return
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(content, at):
            parameters[parameter[1].upper()] = parameter[2].replace('"', "")
            at = parameter.end()
        if content[at : at + 1] != ":":
            self._line_problem(
                number, f"{quote(content[at:])} is no parameter; write NAME;PARAMETER=value:value"
            )
            return
        value = content[at + 1 :]
        if name == "BEGIN":
            self._begin(number, value.strip().upper())
        elif name == "END":
            self._end(number, value.strip().upper())
        elif len(self._open) == 1:
            self._problem(number, f"{name} stands outside of any VCALENDAR")
        else:
            self._open[-1].lines.append(Line(number, name, parameters, value))

    def _begin(self, number: int, name: str) -> None:
        if len(self._open) > MAX_DEPTH:
            self._problem(number, f"components are nested more than {MAX_DEPTH} deep")
            return
        if len(self._open) == 1 and name != "VCALENDAR":
            self._problem(number, f"'BEGIN:{name[:40]}' stands outside of any VCALENDAR")
        ignored = self._open[-1].ignored or name not in _COMPONENTS
        component = Component(name, number, ignored)
        self._open[-1].children.append(component)
        self._open.append(component)

    def _end(self, number: int, name: str) -> None:
        current = self._open[-1]
        if len(self._open) > 1 and current.name == name:
            self._open.pop()
            return
        if len(self._open) == 1:
            self._problem(number, f"'END:{name[:40]}' ends nothing that has begun")
            return
        message = (
            f"'END:{name[:40]}' comes where 'END:{current.name[:40]}' "
            f"is due (begun on line {current.number})"
        )
        # Closes up to the component of that name, if one is open, so that parsing goes on.
        names = [component.name for component in self._open]
        closed = self._open[-names[::-1].index(name) :] if name in names[1:] else [current]
        if all(component.ignored for component in closed):
            self._ignore(number, message)
        else:
            self._problem(number, message)
        if name in names[1:]:
            del self._open[len(names) - 1 - names[::-1].index(name) :]

    def _line_problem(self, number: int, message: str) -> None:
        """Record a problem of the innermost component, with at most `MAX_PROBLEMS` of each."""
        problems = self._open[-1].problems if len(self._open) > 1 else self.problems
        if len(problems) < MAX_PROBLEMS:
            problems.append(LineProblem(number, message))

    def _problem(self, number: int, message: str) -> None:
        self.problems.append(LineProblem(number, message))

    def _ignore(self, number: int, message: str) -> None:
        if len(self.warnings) < MAX_PROBLEMS:
            self.warnings.append(ignored(LineProblem(number, message)))


def ignored(problem: LineProblem) -> LineWarning:
    """Return *problem* as a warning: nothing that counts depends on its line."""
    message = f"{problem.message}; it is ignored, since nothing that counts depends on it"
    return LineWarning(problem.line, "ics-ignored", message)


def tolerated(line: int, message: str) -> LineWarning:
    """Return the warning that a line breaks RFC 5545, and how it is read all the same."""
    return LineWarning(line, "ics-tolerated", message)


_WHEN = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})(?:T([0-9]{2})([0-9]{2})([0-9]{2})(Z)?)?")
_LENGTH = re.compile(
    r"([+-])?P(?:(\d{1,5})W|(?:(\d{1,5})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,8})M)?(?:(\d{1,9})S)?)?)",
    re.ASCII,
)


class BadValue(ValueError):
    """A value that can't be read; the message names it and a good one."""


class NoLength(BadValue):
    """A duration of zero."""


@dataclass(frozen=True, slots=True)
class DateOrTime:
    """A DATE or DATE-TIME value (RFC 5545, sections 3.3.4 and 3.3.5).

    *wall* is naive, midnight for a date. *tz* is None for a date, and for a floating time in
    a calendar without a zone.
    """

    wall: datetime
    is_date: bool = False
    tz: tzinfo | None = None

    def instant(self, floating: tzinfo) -> datetime:
        """Return its UTC instant; without a zone of its own it is taken in *floating*."""
        return to_utc(self.wall, self.tz or floating)

    def day(self, zone: tzinfo) -> date:
        """Return the day it names: the written one, or for a time in UTC its day in *zone*.

        RFC 5545 wants dates where a day of a whole-day event is named. Outlook and Exchange
        write the midnight of their own zone instead, in that zone or in UTC; Google wrote the
        midnight of UTC, whatever its zone.
        """
        if not self.is_utc:
            return self.wall.date()
        local = to_local(self.instant(zone), zone)
        is_utc_midnight = self.wall.time() == time() != local.time()
        return (self.wall if is_utc_midnight else local).date()

    @property
    def is_utc(self) -> bool:
        """Whether it is written in UTC, with a Z."""
        return self.tz is not None and str(self.tz) == "UTC"

    @property
    def midnight_day(self) -> date | None:
        """The day whose midnight this time in UTC is in a zone of UTC−12 to UTC+11:45.

        None where it is the midnight of no zone: offsets are quarters of an hour.
        """
        if self.wall.minute % 15 or self.wall.second:
            return None
        return (self.wall + timedelta(hours=12) - timedelta(microseconds=1)).date()


@dataclass(frozen=True, slots=True)
class EventDuration:
    """How long an event lasts: first *nominal* on the wall clock, then *exact* elapsed time.

    RFC 5545, section 3.3.6: days and weeks are nominal, hours, minutes and seconds exact.
    """

    nominal: timedelta = timedelta()
    exact: timedelta = timedelta()

    @property
    def total(self) -> timedelta:
        """Its length where no clock changes."""
        return self.nominal + self.exact

    def end(self, wall: datetime, tz: tzinfo) -> datetime:
        """Return the UTC instant at which an event that starts at *wall* in *tz* ends.

        Where the clock skips the start, a nominal end may come before it; the event then
        lasts its total length.
        """
        start = to_utc(wall, tz)
        end = to_utc(wall + self.nominal, tz) + self.exact
        return end if end > start else start + self.total


@lru_cache(maxsize=1024)
def to_utc(wall: datetime, tz: tzinfo) -> datetime:
    """Return `workflows.contract.to_instant` of *wall*, also for zones that a file defines.

    Cached, since a start is converted again for its end and its exceptions.
    """
    if isinstance(tz, ZoneInfo):
        return to_instant(wall, tz)
    return wall.replace(tzinfo=tz, fold=0).astimezone(UTC)


def to_local(instant: datetime, tz: tzinfo) -> datetime:
    """Return what a clock in *tz* shows at *instant*, as a naive time."""
    return instant.astimezone(tz).replace(tzinfo=None, fold=0)


def parse_when(text: str, tz: tzinfo | None = None, *, first_year: int = FIRST_YEAR) -> DateOrTime:
    """Parse a DATE or DATE-TIME; *tz* is the zone that its TZID names.

    Raises:
        BadValue: It is neither, there is no such day or time, or it is out of range.
    """
    match = _WHEN.fullmatch(text.strip())
    if not match:
        raise BadValue(
            f"{quote(text)} is no date or time; "
            "write such as 20270131, 20270131T180000 or 20270131T230000Z"
        )
    year, month, day = (int(match[group]) for group in (1, 2, 3))
    if not first_year <= year <= LAST_YEAR:
        raise BadValue(f"{quote(text)} is not between {first_year} and {LAST_YEAR}")
    try:
        found = date(year, month, day)
    except ValueError:
        raise BadValue(
            f"{quote(text)}: there is no such day; write a day that the month has"
        ) from None
    if match[4] is None:
        return DateOrTime(datetime.combine(found, time()), is_date=True)
    hour, minute, second = (int(match[group]) for group in (4, 5, 6))
    if hour == 24:
        raise BadValue(f"{quote(text)}: there is no 24 o'clock; write 000000 of the next day")
    if second == 60:
        raise BadValue(f"{quote(text)}: leap seconds are not supported; write a second up to 59")
    try:
        wall = datetime.combine(found, time(hour, minute, second))
    except ValueError:
        raise BadValue(
            f"{quote(text)}: there is no such time; the last of a day is 235959"
        ) from None
    return DateOrTime(wall, tz=ZoneInfo("UTC") if match[7] else tz)


def parse_duration(text: str) -> EventDuration:
    """Parse a DURATION (RFC 5545, section 3.3.6) that is longer than zero.

    ``P1D`` ends at the same wall time of the next day, ``PT24H`` after 24 hours, whatever
    the clock does.

    Raises:
        BadValue: It is no duration, or not longer than zero.
    """
    match = _LENGTH.fullmatch(text.strip().upper())
    if not match or not any(match.groups()[1:]) or text.strip().upper().endswith("T"):
        raise BadValue(f"{quote(text)} is no duration; write such as PT2H30M, P1D or P2W")
    weeks, days, hours, minutes, seconds = (int(group or 0) for group in match.groups()[1:])
    length = EventDuration(
        timedelta(weeks=weeks, days=days), timedelta(hours=hours, minutes=minutes, seconds=seconds)
    )
    if match[1] == "-" or not length.total:
        kind = BadValue if length.total else NoLength
        raise kind(f"{quote(text)} is not longer than nothing; write such as PT2H")
    return length
