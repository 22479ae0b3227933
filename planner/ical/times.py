"""When an event is and how long it lasts, as the lines of a VEVENT write it."""

from __future__ import annotations

from datetime import timedelta, tzinfo

from planner.ical.entry import Extra
from planner.ical.limits import MAX_ALL_DAY_LENGTH, MAX_LENGTH
from planner.ical.text import Fault, Line, shown
from planner.ical.values import (
    BadValue,
    Length,
    When,
    instant_of,
    parse_length,
    parse_when,
    wall_of,
)
from planner.ical.zonenames import ZoneNames


class Faulty(Exception):
    """A fault that leaves nothing to read on with."""

    def __init__(self, number: int, message: str) -> None:
        self.number = number
        super().__init__(message)


class TimeReader:
    """Reads the times and lengths of one VEVENT; faults that leave a meaning go to *faults*.

    Floating times are read in *floating*, the calendar's own zone, where it has one.
    """

    def __init__(self, zones: ZoneNames, floating: tzinfo | None, faults: list[Fault]) -> None:
        self._zones = zones
        self._floating = floating
        self._faults = faults

    def when(self, line: Line, text: str | None = None) -> When:
        """Return the date or time of *line*, floating times in the calendar's own zone."""
        try:
            tzid = line.parameters.get("TZID")
            tz = self._zones.zone(tzid) if tzid else self._floating
            when = parse_when(line.value if text is None else text, tz)
        except BadValue as error:
            raise Faulty(line.number, f"{line.name}: {error}") from None
        if when.is_date and line.parameters.get("VALUE", "").upper() == "DATE-TIME":
            raise Faulty(
                line.number, f"{line.name}: {shown(line.value)} is a date, not a DATE-TIME"
            )
        if not when.is_date and line.parameters.get("VALUE", "").upper() == "DATE":
            raise Faulty(
                line.number,
                f"{line.name}: {shown(line.value)} is a time, not a DATE; write such as 20270131",
            )
        return when

    def between(self, start: When, end: When, line: Line) -> Length:
        """Return how long an event lasts from *start* to the *end* that *line* writes."""
        self._same_kind(start, end, line)
        if (start.tz is None) != (end.tz is None):
            raise Faulty(
                line.number, "only one of DTSTART and DTEND has a time zone; write it at both"
            )
        length = _length_between(start, end)
        if length is None:
            good = "it is the first day after the event" if start.is_date else "write a later time"
            raise Faulty(
                line.number, f"{line.name} {shown(line.value)} is not after the start; {good}"
            )
        self._not_too_long(length, start, line)
        return length

    def duration(self, start: When, line: Line) -> Length:
        """Return how long the DURATION of *line* makes an event that begins at *start*."""
        try:
            length = parse_length(line.value)
        except BadValue as error:
            raise Faulty(line.number, f"DURATION: {error}") from None
        if start.is_date and length.elapsed:
            self._fault(
                line.number,
                f"DURATION {shown(line.value)}: an event of whole days lasts "
                "whole days; write such as P1D",
            )
        self._not_too_long(length, start, line)
        return length

    def _not_too_long(self, length: Length, start: When, line: Line) -> None:
        longest = MAX_ALL_DAY_LENGTH if start.is_date else MAX_LENGTH
        if length.total > longest:
            self._fault(
                line.number,
                f"{line.name} {shown(line.value)}: the event lasts longer than "
                f"{longest.days} days; write the right end, or several events",
            )

    def _same_kind(self, start: When, other: When, line: Line) -> None:
        if start.is_date != other.is_date:
            kinds = ("a date", "a time") if start.is_date else ("a time", "a date")
            raise Faulty(
                line.number,
                f"DTSTART is {kinds[0]} but {line.name} {shown(line.value)} is "
                f"{kinds[1]}; write both in the same way",
            )

    def extra(self, start: When, value: str, line: Line) -> Extra:
        """Return one *value* of the RDATE *line* of an event that begins at *start*."""
        first, slash, last = value.partition("/")
        when = self.when(_without_kind(line) if slash else line, first)
        self._same_kind(start, when, line)
        return Extra(when, self._period(when, last, line) if slash else None)

    def _period(self, start: When, last: str, line: Line) -> Length:
        """Return the length of a PERIOD (RFC 5545, section 3.3.9), by its end or its duration."""
        if last.strip()[:1].upper() not in ("P", "+", "-"):
            return self.between(start, self.when(_without_kind(line), last), line)
        try:
            length = parse_length(last)
        except BadValue as error:
            raise Faulty(line.number, f"RDATE: {error}") from None
        self._not_too_long(length, start, line)
        return length

    def _fault(self, number: int, message: str) -> None:
        self._faults.append((number, message))


def _without_kind(line: Line) -> Line:
    """Return *line* without its VALUE: the parts of a PERIOD are times."""
    parameters = {name: value for name, value in line.parameters.items() if name != "VALUE"}
    return Line(line.number, line.name, parameters, line.value)


def _length_between(start: When, end: When) -> Length | None:
    """Return how long it is from *start* to *end* by the clock of *start*; None if not forwards.

    A start that the clock skips may be read as later than its end; then what is written
    counts. Only around a repeated hour can the clock show less than what elapses.
    """
    if start.tz is None or end.tz is None or start.tz == end.tz:
        clock = end.wall - start.wall
        if clock > timedelta():
            return Length(clock=clock)
    if start.tz is None or end.tz is None:
        return None
    elapsed = instant_of(end.wall, end.tz) - instant_of(start.wall, start.tz)
    if elapsed <= timedelta():
        return None
    clock = wall_of(instant_of(end.wall, end.tz), start.tz) - start.wall
    return Length(clock=clock) if clock > timedelta() else Length(elapsed=elapsed)
