"""The grammar of iCalendar (RFC 5545, section 3.1) and its value types (section 3.3).

A file becomes components and content lines, each with its line number; dates, times and
durations are parsed strictly. What the lines of an event mean is decided in `events`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from planner.errors import quote
from workflows.contract import to_instant

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
"""How long an event with times may last."""

MAX_ALL_DAY_LENGTH = timedelta(days=366)
"""How long an event of whole days may last: a freeze often reaches over a quarter's end."""

MAX_RULE = 1_000
"""Characters of a recurrence rule."""

MAX_COUNT = 10_000
"""The largest COUNT of a rule."""

MAX_INTERVAL = 1_000
"""The largest INTERVAL of a rule."""

MAX_TIMES_A_DAY = 288
"""Starts of one rule on one day, by BYHOUR, BYMINUTE and BYSECOND: one every five minutes."""

MAX_OCCURRENCES = 10_000
"""Occurrences of one file, or of one rule, in what is asked for."""

MAX_STEPS = 250_000
"""Days and times looked at to answer one question about a file: a second of work."""

MAX_PROBLEMS = 100
"""Problems reported of one file; the rest is counted."""


class LineError(Exception):
    """A problem that ends the parsing of its component."""

    def __init__(self, number: int, message: str) -> None:
        self.number = number
        super().__init__(message)


LineProblem = tuple[int, str]
"""A line number, 0 for the whole file, and the sentence that mends it."""

READ = frozenset(
    {
        *("BEGIN", "END", "TZID", "TZOFFSETFROM", "TZOFFSETTO", "METHOD", "X-WR-TIMEZONE"),
        *("UID", "SUMMARY", "CATEGORIES", "STATUS", "TRANSP", "SEQUENCE", "X-LIC-LOCATION"),
        *("DTSTART", "DTEND", "DURATION", "RRULE", "EXRULE", "RDATE", "EXDATE", "RECURRENCE-ID"),
    }
)
"""The properties that say when an event is and which one it is; others are passed over."""

_NAME = re.compile(r"([A-Za-z0-9-]+)(?=[;:])")
_PARAMETER = re.compile(r';([A-Za-z0-9-]+)=((?:"[^"]*"|[^";:,]*)(?:,(?:"[^"]*"|[^";:,]*))*)')


@dataclass(frozen=True, slots=True)
class Line:
    """One unfolded content line; *number* is where it begins, counted from 1."""

    number: int
    name: str
    parameters: dict[str, str]
    value: str


@dataclass(slots=True)
class Component:
    """What stands between a BEGIN and its END."""

    name: str
    number: int
    lines: list[Line] = field(default_factory=list)
    children: list[Component] = field(default_factory=list)

    def all(self, name: str) -> list[Line]:
        """Return its own lines called *name*, in order."""
        return [line for line in self.lines if line.name == name]

    def named(self, name: str) -> list[Component]:
        """Return the components in it that are called *name*, in order."""
        return [child for child in self.children if child.name == name]


def read(text: str) -> tuple[list[Component], list[LineProblem]]:
    """Return the VCALENDARs of *text*, and what is wrong with its grammar.

    Never raises. A byte order mark, any kind of line end, blank lines and lower-case names
    are accepted: the programs that write them are many.
    """
    if len(text) > MAX_TEXT:
        return [], [(0, f"the file has {len(text):,} characters; at most {MAX_TEXT:,} are read")]
    text = text.removeprefix("\ufeff")
    if text.lstrip()[:15].upper() != "BEGIN:VCALENDAR":
        begins = f"it begins with {quote(text)}, not with 'BEGIN:VCALENDAR'"
        return [], [(1, f"this is no iCalendar file: {begins}")]
    tree = _Tree()
    for number, content in _unfolded(text):
        tree.add(number, content)
        if len(tree.problems) >= MAX_PROBLEMS:
            break
    else:
        tree.close()
    return tree.root.named("VCALENDAR"), tree.problems


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


class _Tree:
    """Components as they open and close."""

    def __init__(self) -> None:
        self.root = Component("", 0)
        self.problems: list[LineProblem] = []
        self._open = [self.root]

    def add(self, number: int, content: str) -> None:
        """Take the next content line."""
        if len(content) > MAX_LINE:
            self._problem(
                number, f"the line has {len(content):,} characters; at most {MAX_LINE:,} are read"
            )
            return
        name = _NAME.match(content)
        if not name:
            self._problem(
                number,
                f"{quote(content)} is no line of iCalendar; "
                "write NAME:value, such as 'SUMMARY:Launch'",
            )
        elif name[1].upper() in READ:
            self._add_read(number, name[1].upper(), content, name.end())

    def close(self) -> None:
        """Report what is still open at the end of the file."""
        for component in self._open[1:]:
            self._problem(
                component.number,
                f"'BEGIN:{component.name}' has no 'END:{component.name}'; is the file cut off?",
            )

    def _add_read(self, number: int, name: str, content: str, at: int) -> None:
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(content, at):
            parameters[parameter[1].upper()] = parameter[2].replace('"', "")
            at = parameter.end()
        if content[at : at + 1] != ":":
            self._problem(
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
        component = Component(name, number)
        self._open[-1].children.append(component)
        self._open.append(component)

    def _end(self, number: int, name: str) -> None:
        if len(self._open) == 1:
            self._problem(number, f"'END:{name[:40]}' ends nothing that has begun")
        elif self._open[-1].name != name:
            self._problem(
                number,
                f"'END:{name[:40]}' comes where 'END:{self._open[-1].name[:40]}' "
                f"is due (begun on line {self._open[-1].number})",
            )
            self._leave(name)
        else:
            self._open.pop()

    def _leave(self, name: str) -> None:
        """Close up to the component called *name*, if one is open, so that reading goes on."""
        names = [component.name for component in self._open]
        if name in names[1:]:
            del self._open[len(names) - 1 - names[::-1].index(name) :]

    def _problem(self, number: int, message: str) -> None:
        self.problems.append((number, message))


_WHEN = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})(?:T([0-9]{2})([0-9]{2})([0-9]{2})(Z)?)?")
_LENGTH = re.compile(
    r"([+-])?P(?:(\d{1,5})W|(?:(\d{1,5})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,8})M)?(?:(\d{1,9})S)?)?)",
    re.ASCII,
)


class BadValue(ValueError):
    """A value that can't be read; the message names it and a good one."""


@dataclass(frozen=True, slots=True)
class DateOrTime:
    """A date or a date-time as it is written.

    *wall* is midnight for a date. *tz* is None for a floating time of a calendar without
    a zone, and for a date: a day is no instant until somebody's midnights bound it.
    """

    wall: datetime
    is_date: bool = False
    tz: tzinfo | None = None

    def instant(self, floating: tzinfo) -> datetime:
        """Return its UTC instant; without a zone of its own it is read in *floating*."""
        return to_utc(self.wall, self.tz or floating)

    def day(self, zone: tzinfo) -> date:
        """Return the day that it names: as it is written, a time in UTC as the day in *zone*.

        RFC 5545 wants dates for what names a day of an event of whole days. Programs write
        times, too: midnights of their own zone, as such or in UTC.
        """
        in_utc = self.tz is not None and str(self.tz) == "UTC"
        return (to_local(self.instant(zone), zone) if in_utc else self.wall).date()


@dataclass(frozen=True, slots=True)
class EventDuration:
    """How long an event lasts: first *clock* on the wall, then *elapsed* by the stopwatch."""

    clock: timedelta = timedelta()
    elapsed: timedelta = timedelta()

    @property
    def total(self) -> timedelta:
        """Its length where no clock changes."""
        return self.clock + self.elapsed

    def end(self, wall: datetime, tz: tzinfo) -> datetime:
        """Return the UTC instant at which an event that starts at *wall* in *tz* ends.

        A start that the clock skips may fall behind an end by the clock: it then lasts
        as long as it was written.
        """
        start = to_utc(wall, tz)
        end = to_utc(wall + self.clock, tz) + self.elapsed
        return end if end > start else start + self.total


@lru_cache(maxsize=1024)
def to_utc(wall: datetime, tz: tzinfo) -> datetime:
    """Return `to_instant` of *wall*, for the zones that a file defines itself, too.

    The last ones are remembered: a start is asked for by its end and its exceptions as well.
    """
    if isinstance(tz, ZoneInfo):
        return to_instant(wall, tz)
    return wall.replace(tzinfo=tz, fold=0).astimezone(UTC)


def to_local(instant: datetime, tz: tzinfo) -> datetime:
    """Return what a clock in *tz* shows at *instant*, as a naive time."""
    return instant.astimezone(tz).replace(tzinfo=None, fold=0)


def parse_when(text: str, tz: tzinfo | None = None, *, first_year: int = FIRST_YEAR) -> DateOrTime:
    """Return the date or date-time *text*; *tz* is the zone that its TZID names.

    Raises:
        BadValue: It is neither, or there is no such day or time, or it is out of range.
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
    return DateOrTime(
        datetime.combine(found, _time(match, text)), tz=ZoneInfo("UTC") if match[7] else tz
    )


def _time(match: re.Match[str], text: str) -> time:
    hour, minute, second = (int(match[group]) for group in (4, 5, 6))
    if hour == 24:
        raise BadValue(f"{quote(text)}: there is no 24 o'clock; write 000000 of the next day")
    if second == 60:
        raise BadValue(f"{quote(text)}: leap seconds are not supported; write a second up to 59")
    try:
        return time(hour, minute, second)
    except ValueError:
        raise BadValue(
            f"{quote(text)}: there is no such time; the last of a day is 235959"
        ) from None


def parse_duration(text: str) -> EventDuration:
    """Return the DURATION *text*: days and weeks by the clock, the rest elapsed.

    RFC 5545, section 3.3.6: ``P1D`` ends at the same time of the next day, ``PT24H`` after
    24 hours, whatever the clock does.

    Raises:
        BadValue: It is none, or not longer than nothing.
    """
    match = _LENGTH.fullmatch(text.strip().upper())
    if not match or not any(match.groups()[1:]) or text.strip().upper().endswith("T"):
        raise BadValue(f"{quote(text)} is no duration; write such as PT2H30M, P1D or P2W")
    weeks, days, hours, minutes, seconds = (int(group or 0) for group in match.groups()[1:])
    length = EventDuration(
        timedelta(weeks=weeks, days=days), timedelta(hours=hours, minutes=minutes, seconds=seconds)
    )
    if match[1] == "-" or not length.total:
        raise BadValue(f"{quote(text)} is not longer than nothing; write such as PT2H")
    return length
