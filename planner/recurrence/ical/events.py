"""The events of a file: each VEVENT as a value, and every problem with its line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo

from planner.errors import quote
from planner.recurrence.ical.rrule import RecurrenceRule
from planner.recurrence.ical.rrule import parse as parse_rrule
from planner.recurrence.ical.syntax import (
    MAX_ALL_DAY_LENGTH,
    MAX_LENGTH,
    MAX_LISTED_DATES,
    BadValue,
    Component,
    DateOrTime,
    EventDuration,
    Line,
    LineError,
    LineProblem,
    parse_duration,
    parse_when,
    to_local,
    to_utc,
    unescaped,
)
from planner.recurrence.ical.timezones import TimezoneResolver


@dataclass(frozen=True, slots=True)
class RDate:
    """One RDATE; a PERIOD brings its own length."""

    when: DateOrTime
    length: EventDuration | None = None


@dataclass(frozen=True, slots=True)
class ExDate:
    """One EXDATE, with the line that it stands on."""

    when: DateOrTime
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VEvent:
    """One VEVENT: a single event, the master of a series, or a change of one occurrence.

    *changes* is its RECURRENCE-ID; *this_and_future* says that it changes all later occurrences,
    too. *end* is the written end of the first occurrence, where one is written.
    *calendar_zone* is the one that ``X-WR-TIMEZONE`` names; *lines* has the line number of
    each property.
    """

    uid: str
    line: int
    start: DateOrTime
    length: EventDuration
    end: DateOrTime | None = None
    rule: RecurrenceRule | None = None
    extra: tuple[RDate, ...] = ()
    excluded: tuple[ExDate, ...] = ()
    changes: DateOrTime | None = None
    this_and_future: bool = False
    sequence: int = 0
    summary: str = ""
    categories: tuple[str, ...] = ()
    cancelled: bool = False
    transparent: bool = False
    calendar_zone: tzinfo | None = None
    lines: dict[str, int] = field(default_factory=dict, compare=False)

    @property
    def all_day(self) -> bool:
        """Whether it lasts whole days."""
        return self.start.is_date

    def zone(self, floating: tzinfo) -> tzinfo:
        """Return the zone that its wall times are read in; for whole days always *floating*."""
        return self.start.tz or floating

    def calendar_or_window_zone(self, floating: tzinfo) -> tzinfo:
        """Return the zone in which times in UTC name its days: the calendar's, if it has one."""
        return self.start.tz or self.calendar_zone or floating

    def end_at(self, wall: datetime, floating: tzinfo) -> datetime:
        """Return the UTC instant at which its occurrence that starts at *wall* ends."""
        if self.end and wall == self.start.wall:
            end = self.end.instant(self.zone(floating))
            if end > self.start.instant(floating):
                return end
        return self.length.end(wall, self.zone(floating))

    def at(self, name: str) -> int:
        """Return the line of the property *name*, else where the event begins."""
        return self.lines.get(name, self.line)


class _TimeParser:
    """Reads the times and lengths of one VEVENT; problems that leave a meaning go to *problems*.

    Floating times are read in *floating*, the calendar's own zone, where it has one.
    """

    def __init__(
        self, zones: TimezoneResolver, floating: tzinfo | None, problems: list[LineProblem]
    ) -> None:
        self._zones = zones
        self._floating = floating
        self._problems = problems

    def when(self, line: Line, text: str | None = None) -> DateOrTime:
        """Return the date or time of *line*, floating times in the calendar's own zone."""
        try:
            tzid = line.parameters.get("TZID")
            tz = self._zones.zone(tzid) if tzid else self._floating
            when = parse_when(line.value if text is None else text, tz)
        except BadValue as error:
            raise LineError(line.number, f"{line.name}: {error}") from None
        if when.is_date and line.parameters.get("VALUE", "").upper() == "DATE-TIME":
            raise LineError(
                line.number, f"{line.name}: {quote(line.value)} is a date, not a DATE-TIME"
            )
        if not when.is_date and line.parameters.get("VALUE", "").upper() == "DATE":
            raise LineError(
                line.number,
                f"{line.name}: {quote(line.value)} is a time, not a DATE; write such as 20270131",
            )
        return when

    def between(self, start: DateOrTime, end: DateOrTime, line: Line) -> EventDuration:
        """Return how long an event lasts from *start* to the *end* that *line* writes."""
        self._same_kind(start, end, line)
        if (start.tz is None) != (end.tz is None):
            raise LineError(
                line.number, "only one of DTSTART and DTEND has a time zone; write it at both"
            )
        length = _length_between(start, end)
        if length is None:
            good = "it is the first day after the event" if start.is_date else "write a later time"
            raise LineError(
                line.number, f"{line.name} {quote(line.value)} is not after the start; {good}"
            )
        self._not_too_long(length, start, line)
        return length

    def duration(self, start: DateOrTime, line: Line) -> EventDuration:
        """Return how long the DURATION of *line* makes an event that begins at *start*."""
        try:
            length = parse_duration(line.value)
        except BadValue as error:
            raise LineError(line.number, f"DURATION: {error}") from None
        if start.is_date and length.elapsed:
            self._problem(
                line.number,
                f"DURATION {quote(line.value)}: an event of whole days lasts "
                "whole days; write such as P1D",
            )
        self._not_too_long(length, start, line)
        return length

    def _not_too_long(self, length: EventDuration, start: DateOrTime, line: Line) -> None:
        longest = MAX_ALL_DAY_LENGTH if start.is_date else MAX_LENGTH
        if length.total > longest:
            self._problem(
                line.number,
                f"{line.name} {quote(line.value)}: the event lasts longer than "
                f"{longest.days} days; write the right end, or several events",
            )

    def _same_kind(self, start: DateOrTime, other: DateOrTime, line: Line) -> None:
        if start.is_date != other.is_date:
            kinds = ("a date", "a time") if start.is_date else ("a time", "a date")
            raise LineError(
                line.number,
                f"DTSTART is {kinds[0]} but {line.name} {quote(line.value)} is "
                f"{kinds[1]}; write both in the same way",
            )

    def extra(self, start: DateOrTime, value: str, line: Line) -> RDate:
        """Return one *value* of the RDATE *line* of an event that begins at *start*."""
        first, slash, last = value.partition("/")
        when = self.when(_without_kind(line) if slash else line, first)
        self._same_kind(start, when, line)
        return RDate(when, self._period(when, last, line) if slash else None)

    def _period(self, start: DateOrTime, last: str, line: Line) -> EventDuration:
        """Return the length of a PERIOD (RFC 5545, section 3.3.9), by its end or its duration."""
        if last.strip()[:1].upper() not in ("P", "+", "-"):
            return self.between(start, self.when(_without_kind(line), last), line)
        try:
            length = parse_duration(last)
        except BadValue as error:
            raise LineError(line.number, f"RDATE: {error}") from None
        self._not_too_long(length, start, line)
        return length

    def _problem(self, number: int, message: str) -> None:
        self._problems.append((number, message))


def _without_kind(line: Line) -> Line:
    """Return *line* without its VALUE: the parts of a PERIOD are times."""
    parameters = {name: value for name, value in line.parameters.items() if name != "VALUE"}
    return Line(line.number, line.name, parameters, line.value)


def _length_between(start: DateOrTime, end: DateOrTime) -> EventDuration | None:
    """Return how long it is from *start* to *end* by the clock of *start*; None if not forwards.

    A start that the clock skips may be read as later than its end; then what is written
    counts. Only around a repeated hour can the clock show less than what elapses.
    """
    if start.tz is None or end.tz is None or start.tz == end.tz:
        clock = end.wall - start.wall
        if clock > timedelta():
            return EventDuration(clock=clock)
    if start.tz is None or end.tz is None:
        return None
    elapsed = to_utc(end.wall, end.tz) - to_utc(start.wall, start.tz)
    if elapsed <= timedelta():
        return None
    clock = to_local(to_utc(end.wall, end.tz), start.tz) - start.wall
    return EventDuration(clock=clock) if clock > timedelta() else EventDuration(elapsed=elapsed)


_ONCE = (
    *("UID", "SUMMARY", "DTSTART", "DTEND", "DURATION"),
    *("STATUS", "TRANSP", "SEQUENCE", "RECURRENCE-ID"),
)
_ALL_DAY = EventDuration(clock=timedelta(days=1))


class CalendarParser:
    """Reads the events of one VCALENDAR.

    Its floating times are read in ``X-WR-TIMEZONE`` where that is written. Times in UTC
    stay in UTC, and days are nobody's: their midnights are those of who asks.
    """

    def __init__(self, calendar: Component, zones: TimezoneResolver) -> None:
        self.problems: list[LineProblem] = []
        self._calendar = calendar
        self._zones = zones
        self._zone = self._own_zone()
        self._cancelled = any(
            line.value.strip().upper() == "CANCEL" for line in calendar.all("METHOD")
        )

    def events(self) -> Iterator[VEvent]:
        """Yield its events; those that can't be read are in `problems` instead."""
        for component in self._calendar.named("VEVENT"):
            reader = _EventParser(component, self._zones, self._zone)
            try:
                entry = reader.entry(self._cancelled)
            except LineError as fault:
                reader.problems.append((fault.number, str(fault)))
                entry = None
            self.problems += reader.problems
            if entry and not reader.problems:
                yield entry

    def _own_zone(self) -> tzinfo | None:
        for line in self._calendar.all("X-WR-TIMEZONE"):
            try:
                return self._zones.zone(line.value)
            except BadValue:
                self.problems.append(
                    (
                        line.number,
                        f"X-WR-TIMEZONE {quote(line.value)} is no time zone "
                        "that is known; write such as Europe/Berlin",
                    )
                )
        return None


class _EventParser:
    """Reads one VEVENT."""

    def __init__(
        self, component: Component, zones: TimezoneResolver, floating: tzinfo | None
    ) -> None:
        self.component = component
        self.problems: list[LineProblem] = []
        self._zone = floating
        self._times = _TimeParser(zones, floating, self.problems)

    def entry(self, cancelled: bool) -> VEvent:
        """Return the event; only meaningful without problems."""
        self._refuse_what_is_not_supported()
        uid = self._uid()
        start = self._start()
        cancelled = cancelled or self._word("STATUS") == "CANCELLED"
        end, length = self._end(start, cancelled)
        changes, this_and_future = self._changes(start)
        return VEvent(
            uid=uid,
            line=self.component.number,
            start=start,
            end=end,
            length=length,
            rule=self._rule(),
            extra=tuple(self._extra(start)),
            excluded=tuple(self._excluded(start)),
            changes=changes,
            this_and_future=this_and_future,
            sequence=self._sequence(),
            summary=self._text("SUMMARY"),
            categories=tuple(self._categories()),
            cancelled=cancelled,
            transparent=self._word("TRANSP") == "TRANSPARENT",
            calendar_zone=self._zone,
            lines={line.name: line.number for line in self.component.lines},
        )

    def _refuse_what_is_not_supported(self) -> None:
        for line in self.component.all("EXRULE"):
            self._problem(
                line.number,
                "EXRULE is not supported (RFC 5545 dropped it); write the excluded dates as EXDATE",
            )
        for line in self.component.all("RRULE")[1:]:
            self._problem(
                line.number, "the event has a second RRULE; write an event of its own for each rule"
            )
        for name in _ONCE:
            for line in self.component.all(name)[1:]:
                self._problem(line.number, f"{name} is written twice; write it once")
        listed = [line for line in self.component.lines if line.name in ("RDATE", "EXDATE")]
        if sum(line.value.count(",") + 1 for line in listed) > MAX_LISTED_DATES:
            raise LineError(
                listed[0].number,
                f"the event has more than {MAX_LISTED_DATES:,} dates in "
                "RDATE and EXDATE; write them as a rule",
            )

    def _uid(self) -> str:
        line = self._one("UID")
        uid = line.value.strip() if line else ""
        if not uid:
            self._problem(
                self.component.number,
                "the event has no UID; write such as UID:launch-7@example.com",
            )
        return uid

    # DateOrTime -------------------------------------------------------------------------------

    def _start(self) -> DateOrTime:
        line = self._one("DTSTART")
        if line is None:
            raise LineError(
                self.component.number,
                "the event has no DTSTART; "
                "write such as DTSTART;TZID=Europe/Berlin:20270131T180000",
            )
        return self._times.when(line)

    def _end(self, start: DateOrTime, cancelled: bool) -> tuple[DateOrTime | None, EventDuration]:
        """Return the written end, if there is one, and how long each occurrence lasts."""
        end, duration = self._one("DTEND"), self._one("DURATION")
        if end and duration:
            self._problem(
                duration.number, "the event has both DTEND and DURATION; write one of them"
            )
        if end:
            when = self._times.when(end)
            return when, self._times.between(start, when, end)
        if duration:
            return None, self._times.duration(start, duration)
        if not start.is_date and not cancelled:
            self._problem(
                self.component.number,
                "the event has no DTEND and no DURATION, so it lasts no "
                "time; write such as DURATION:PT2H",
            )
        return None, _ALL_DAY

    # How often --------------------------------------------------------------------------

    def _rule(self) -> RecurrenceRule | None:
        for line in self.component.all("RRULE")[:1]:
            rule, sentences = parse_rrule(line.value)
            self.problems += [(line.number, f"RRULE: {sentence}") for sentence in sentences]
            return rule
        return None

    def _extra(self, start: DateOrTime) -> Iterator[RDate]:
        for line in self.component.all("RDATE"):
            for value in line.value.split(","):
                yield self._times.extra(start, value, line)

    def _excluded(self, start: DateOrTime) -> Iterator[ExDate]:
        for line in self.component.all("EXDATE"):
            for value in line.value.split(","):
                if value.strip():
                    yield ExDate(self._times.when(line, value), line.number)

    def _changes(self, start: DateOrTime) -> tuple[DateOrTime | None, bool]:
        line = self._one("RECURRENCE-ID")
        if line is None:
            return None, False
        reach = line.parameters.get("RANGE", "").upper()
        if reach not in ("", "THISANDFUTURE"):
            self._problem(
                line.number, f"RANGE={quote(reach)} is not supported; write THISANDFUTURE, or none"
            )
        for name in ("RRULE", "RDATE", "EXDATE"):
            for other in self.component.all(name):
                self._problem(
                    other.number,
                    f"an event with RECURRENCE-ID changes one of a series and can't "
                    f"have {name} itself; write a series with a UID of its own",
                )
        return self._times.when(line), reach == "THISANDFUTURE"

    # What -------------------------------------------------------------------------------

    def _one(self, name: str) -> Line | None:
        return next(iter(self.component.all(name)), None)

    def _text(self, name: str) -> str:
        line = self._one(name)
        return unescaped(line.value).strip() if line else ""

    def _word(self, name: str) -> str:
        return self._text(name).upper()

    def _categories(self) -> Iterator[str]:
        for line in self.component.all("CATEGORIES"):
            # A comma that is part of a category has a backslash before it.
            protected = line.value.replace("\\\\", "\0").replace("\\,", "\1")
            for value in protected.split(","):
                yield unescaped(value.replace("\1", "\\,").replace("\0", "\\\\")).strip()

    def _sequence(self) -> int:
        line = self._one("SEQUENCE")
        if line is None:
            return 0
        value = line.value.strip()
        if not (value.isascii() and value.isdigit() and len(value) <= 10):
            self._problem(
                line.number, f"SEQUENCE {quote(value)} is no whole number; write such as 0"
            )
            return 0
        return int(value)

    def _problem(self, number: int, message: str) -> None:
        self.problems.append((number, message))
