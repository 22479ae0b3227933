"""The events of a file: each VEVENT as a value, with its problems and their lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple

from planner.errors import quote
from planner.recurrence.ical.rrule import RecurrenceRule, parse_rrule
from planner.recurrence.ical.syntax import (
    MAX_ALL_DAY_LENGTH,
    MAX_LENGTH,
    MAX_LISTED_DATES,
    BadValue,
    Component,
    Concern,
    DateOrTime,
    EventDuration,
    Line,
    LineError,
    LineProblem,
    LineWarning,
    NoLength,
    ignored,
    parse_duration,
    parse_when,
    to_local,
    to_utc,
    tolerated,
    unescaped,
)
from planner.recurrence.ical.timezones import TimezoneResolver, UnusableTimezone

_DAY = timedelta(days=1)
_ONE_DAY = EventDuration(nominal=_DAY)
_NO_LENGTH = EventDuration()

_ONCE = (
    *("UID", "SUMMARY", "DTSTART", "DTEND", "DURATION"),
    *("STATUS", "TRANSP", "SEQUENCE", "RECURRENCE-ID"),
)
_OF_SERIES = ("RRULE", "RDATE", "EXDATE", "EXRULE")


@dataclass(frozen=True, slots=True)
class RDate:
    """One value of an RDATE; a PERIOD brings its own duration."""

    when: DateOrTime
    duration: EventDuration | None = None


@dataclass(frozen=True, slots=True)
class ExDate:
    """One value of an EXDATE, with its line."""

    when: DateOrTime
    line: int = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLabel:
    """The properties by which events are chosen; they are known of broken events, too."""

    uid: str = ""
    summary: str = ""
    categories: tuple[str, ...] = ()
    cancelled: bool = False
    transparent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VEvent:
    """One VEVENT: a single event, the master of a series, or an override of one instance.

    *recurrence_id* names the instance it overrides, with *this_and_future* all later ones as
    well. *end* is the DTEND of the first instance, where there is one. *calendar_zone* names
    the days of whole-day events that are written as times in UTC. *lines* has the line
    number of each property.
    """

    label: EventLabel
    line: int = field(compare=False)
    start: DateOrTime
    duration: EventDuration
    end: DateOrTime | None = None
    rule: RecurrenceRule | None = None
    rdates: tuple[RDate, ...] = ()
    exdates: tuple[ExDate, ...] = ()
    recurrence_id: DateOrTime | None = None
    this_and_future: bool = False
    sequence: int = 0
    calendar_zone: tzinfo | None = None
    lines: dict[str, int] = field(default_factory=dict, compare=False)

    @property
    def all_day(self) -> bool:
        """Whether it lasts whole days."""
        return self.start.is_date

    @property
    def own_zone(self) -> tzinfo | None:
        """The zone in which the file reads its times; None where the window's zone decides."""
        return self.calendar_zone if self.all_day else self.start.tz

    def zone(self, floating: tzinfo) -> tzinfo:
        """Return the zone of its wall times; whole days are always in *floating*."""
        return self.start.tz or floating

    def naming_zone(self, floating: tzinfo) -> tzinfo:
        """Return the zone in which UNTIL, EXDATE and RECURRENCE-ID name its instances."""
        return self.own_zone or floating

    def end_at(self, wall: datetime, floating: tzinfo) -> datetime:
        """Return the UTC instant at which its instance that starts at *wall* ends."""
        if self.end and wall == self.start.wall:
            end = self.end.instant(self.zone(floating))
            if end > self.start.instant(floating):
                return end
        return self.duration.end(wall, self.zone(floating))

    def at(self, name: str) -> int:
        """Return the line of the property *name*, else that of its BEGIN."""
        return self.lines.get(name, self.line)


class ParsedEvent(NamedTuple):
    """A VEVENT as far as it can be parsed; *event* is None where its times can't be."""

    label: EventLabel
    line: int
    event: VEvent | None
    problems: tuple[LineProblem, ...]
    warnings: tuple[LineWarning, ...]


class CalendarParser:
    """Parses the events of one VCALENDAR.

    Floating times are in ``X-WR-TIMEZONE`` where that is written, else in the window's zone.
    Whole days that are written as times in UTC are named in ``X-WR-TIMEZONE``, else in the
    calendar's only VTIMEZONE, as Outlook and Exchange write them.
    """

    def __init__(self, calendar: Component, zones: TimezoneResolver) -> None:
        self.warnings: list[LineWarning] = []
        self._calendar = calendar
        self._zones = zones
        self._unknown_zone: LineProblem | None = None
        self._floating: tzinfo | None = None
        for line in calendar.all("X-WR-TIMEZONE"):
            try:
                self._floating = zones.zone(line.value)
                break
            except BadValue:
                self._unknown_zone = LineProblem(
                    line.number,
                    f"X-WR-TIMEZONE {quote(line.value)} is no time zone "
                    "that is known; write such as Europe/Berlin",
                )
        self._day_zone = self._floating or zones.only_defined()
        self._cancelled = any(
            line.value.strip().upper() == "CANCEL" for line in calendar.all("METHOD")
        )

    def events(self) -> list[ParsedEvent]:
        """Return its events, in file order; never raises for what they contain."""
        found = [
            _EventParser(
                component,
                _TimeParser(self._zones, self._floating, self._unknown_zone),
                self._day_zone,
                self._cancelled,
            ).parsed()
            for component in self._calendar.named("VEVENT")
        ]
        unknown = self._unknown_zone
        if unknown and not any(unknown in event.problems for event in found):
            self.warnings.append(ignored(unknown))
        return found


class _TimeParser:
    """Parses the times and durations of one VEVENT.

    Floating times are in *floating*, the calendar's own zone, where it has one; where that
    zone is unknown they are a problem.
    """

    def __init__(
        self,
        zones: TimezoneResolver,
        floating: tzinfo | None,
        unknown_zone: LineProblem | None,
    ) -> None:
        self.problems: list[LineProblem] = []
        self.warnings: list[LineWarning] = []
        self._zones = zones
        self._floating = floating
        self._unknown_zone = unknown_zone

    def when(self, line: Line, text: str | None = None) -> DateOrTime:
        """Return the date or time *text*, by default the value of *line*."""
        text = line.value if text is None else text
        try:
            tzid = line.parameters.get("TZID")
            tz = self._zones.zone(tzid) if tzid else self._floating
            when = parse_when(text, tz)
        except UnusableTimezone as error:
            message = f"{line.name}: {error}"
            raise LineError(line.number, message, error.problems) from None
        except BadValue as error:
            raise LineError(line.number, f"{line.name}: {error}") from None
        kind = line.parameters.get("VALUE", "").upper()
        if when.is_date and kind == "DATE-TIME":
            raise LineError(
                line.number, f"{line.name}: {quote(line.value)} is a date, not a DATE-TIME"
            )
        if not when.is_date and kind == "DATE":
            raise LineError(
                line.number,
                f"{line.name}: {quote(line.value)} is a time, not a DATE; write such as 20270131",
            )
        if self._unknown_zone and not when.is_date and when.tz is None:
            raise LineError(*self._unknown_zone[:2])
        return when

    def between(self, start: DateOrTime, end: DateOrTime, line: Line) -> EventDuration:
        """Return how long an event lasts from *start* to *end*, which *line* writes."""
        self._same_kind(start, end, line)
        if (start.tz is None) != (end.tz is None):
            raise LineError(
                line.number, "only one of DTSTART and DTEND has a time zone; write it at both"
            )
        if start.is_date and end.wall == start.wall:
            self.warnings.append(
                tolerated(
                    line.number,
                    f"{line.name} {quote(line.value)} is the event's own day; RFC 5545 wants the "
                    "day after it; it is read as one day",
                )
            )
            return _ONE_DAY
        length = _length_between(start, end)
        if length is None:
            good = "it is the first day after the event" if start.is_date else "write a later time"
            same = start.instant(start.tz or UTC) == end.instant(end.tz or UTC)
            message = f"{line.name} {quote(line.value)} is not after the start; {good}"
            raise LineError(line.number, message, concerns="missing length" if same else "length")
        self._not_too_long(length, start, line)
        return length

    def duration(self, start: DateOrTime, line: Line) -> EventDuration:
        """Return the DURATION of *line* for an event that starts at *start*."""
        try:
            length = parse_duration(line.value)
        except BadValue as error:
            concerns: Concern = "missing length" if isinstance(error, NoLength) else "length"
            raise LineError(line.number, f"DURATION: {error}", concerns=concerns) from None
        if start.is_date and length.exact:
            if length.exact % _DAY:
                raise LineError(
                    line.number,
                    f"DURATION {quote(line.value)}: an event of whole days lasts "
                    "whole days; write such as P1D",
                )
            length = EventDuration(nominal=length.total)
            good = f"P{length.total.days}D"
            message = f"DURATION {quote(line.value)} of whole days is read as {good}"
            self.warnings.append(tolerated(line.number, message))
        self._not_too_long(length, start, line)
        return length

    def _not_too_long(self, length: EventDuration, start: DateOrTime, line: Line) -> None:
        """Record a length over a limit; freezes and holidays may last as long as whole days."""
        if length.total > MAX_ALL_DAY_LENGTH:
            self._too_long(MAX_ALL_DAY_LENGTH, line, LineProblem(0, "", "length"))
        elif not start.is_date and length.total > MAX_LENGTH:
            self._too_long(MAX_LENGTH, line, LineProblem(0, "", "window length"))

    def _too_long(self, longest: timedelta, line: Line, problem: LineProblem) -> None:
        message = (
            f"{line.name} {quote(line.value)}: the event lasts longer than "
            f"{longest.days} days; write the right end, or several events"
        )
        self.problems.append(problem._replace(line=line.number, message=message))

    def _same_kind(self, start: DateOrTime, other: DateOrTime, line: Line) -> None:
        if start.is_date != other.is_date:
            kinds = ("a date", "a time") if start.is_date else ("a time", "a date")
            raise LineError(
                line.number,
                f"DTSTART is {kinds[0]} but {line.name} {quote(line.value)} is "
                f"{kinds[1]}; write both in the same way",
            )

    def rdate(self, start: DateOrTime, value: str, line: Line) -> RDate:
        """Return one *value* of the RDATE *line* of an event that starts at *start*."""
        first, slash, last = value.partition("/")
        when = self.when(_without_kind(line) if slash else line, first)
        self._same_kind(start, when, line)
        if not slash:
            return RDate(when, None)
        # A PERIOD (RFC 5545, section 3.3.9) has its end or its duration.
        if last.strip()[:1].upper() not in ("P", "+", "-"):
            return RDate(when, self.between(when, self.when(_without_kind(line), last), line))
        try:
            length = parse_duration(last)
        except BadValue as error:
            raise LineError(line.number, f"RDATE: {error}") from None
        self._not_too_long(length, when, line)
        return RDate(when, length)


def _without_kind(line: Line) -> Line:
    """Return *line* without its VALUE: the parts of a PERIOD are times."""
    parameters = {name: value for name, value in line.parameters.items() if name != "VALUE"}
    return Line(line.number, line.name, parameters, line.value)


def _length_between(start: DateOrTime, end: DateOrTime) -> EventDuration | None:
    """Return the length from *start* to *end* on the clock of *start*; None if it isn't positive.

    Where the clock skips the start, its instant may be later than the end's; the written
    times count then. Around a repeated hour the clock can show less than what elapses.
    """
    if start.tz is None or end.tz is None or start.tz == end.tz:
        nominal = end.wall - start.wall
        if nominal > timedelta():
            return EventDuration(nominal=nominal)
    if start.tz is None or end.tz is None:
        return None
    exact = to_utc(end.wall, end.tz) - to_utc(start.wall, start.tz)
    if exact <= timedelta():
        return None
    nominal = to_local(to_utc(end.wall, end.tz), start.tz) - start.wall
    positive = nominal > timedelta()
    return EventDuration(nominal=nominal) if positive else EventDuration(exact=exact)


class _EventParser:
    """Parses one VEVENT and collects its problems."""

    def __init__(
        self, component: Component, times: _TimeParser, day_zone: tzinfo | None, cancelled: bool
    ) -> None:
        self._component = component
        self._times = times
        self._day_zone = day_zone
        self._cancelled = cancelled
        self._problems = times.problems
        self._warnings = times.warnings
        self._problems += component.problems

    def parsed(self) -> ParsedEvent:
        """Return the event with its problems; never raises."""
        categories = []
        for line in self._component.all("CATEGORIES"):
            # A comma that is part of a category has a backslash before it.
            protected = line.value.replace("\\\\", "\0").replace("\\,", "\1")
            for value in protected.split(","):
                category = value.replace("\1", "\\,").replace("\0", "\\\\")
                categories.append(unescaped(category).strip())
        label = EventLabel(
            uid=self._text("UID"),
            # Written twice is a problem; both then count, so that it isn't overlooked.
            summary="\n".join(
                unescaped(line.value).strip() for line in self._component.all("SUMMARY")
            ),
            categories=tuple(categories),
            cancelled=self._cancelled or self._text("STATUS").upper() == "CANCELLED",
            transparent=self._text("TRANSP").upper() == "TRANSPARENT",
        )
        event = None
        try:
            event = self._event(label)
        except LineError as error:
            self._problems += error.problems
        if any(problem.concerns == "time" for problem in self._problems):
            event = None
        return ParsedEvent(
            label, self._component.number, event, tuple(self._problems), tuple(self._warnings)
        )

    def _event(self, label: EventLabel) -> VEvent:
        """Return the event; it is only valid where no problem concerns its times."""
        recurrence_id, this_and_future = self._recurrence_id()
        self._refuse_unsupported(recurrence_id is not None and not this_and_future)
        self._check_uid(label, recurrence_id)
        dtstart = self._one("DTSTART")
        if dtstart is None:
            raise LineError(
                self._component.number,
                "the event has no DTSTART; "
                "write such as DTSTART;TZID=Europe/Berlin:20270131T180000",
            )
        start = self._times.when(dtstart)
        end, duration = self._length(start, label.cancelled)
        single = recurrence_id is not None  # what an override says of a series is ignored
        return VEvent(
            label=label,
            line=self._component.number,
            start=start,
            end=end,
            duration=duration,
            rule=None if single else self._rule(),
            rdates=()
            if single
            else tuple(
                self._times.rdate(start, value, line) for line, value in self._listed("RDATE")
            ),
            exdates=()
            if single
            else tuple(
                ExDate(self._times.when(line, value), line.number)
                for line, value in self._listed("EXDATE")
            ),
            recurrence_id=recurrence_id,
            this_and_future=this_and_future,
            sequence=self._sequence(),
            calendar_zone=self._day_zone,
            lines={line.name: line.number for line in self._component.lines},
        )

    def _refuse_unsupported(self, is_override: bool) -> None:
        component = self._component
        for line in [] if is_override else component.all("EXRULE"):
            self._problem(
                line.number,
                "EXRULE is not supported (RFC 5545 dropped it); write the excluded dates as EXDATE",
            )
        for line in [] if is_override else component.all("RRULE")[1:]:
            self._problem(
                line.number, "the event has a second RRULE; write an event of its own for each rule"
            )
        for name in _ONCE:
            for line in component.all(name)[1:]:
                problem = LineProblem(line.number, f"{name} is written twice; write it once")
                of_length = name in ("DTEND", "DURATION")
                self._problems.append(problem._replace(concerns="length") if of_length else problem)
        listed = [line for line in component.lines if line.name in ("RDATE", "EXDATE")]
        if sum(line.value.count(",") + 1 for line in listed) > MAX_LISTED_DATES:
            raise LineError(
                listed[0].number,
                f"the event has more than {MAX_LISTED_DATES:,} dates in "
                "RDATE and EXDATE; write them as a rule",
            )

    def _check_uid(self, label: EventLabel, recurrence_id: DateOrTime | None) -> None:
        if label.uid:
            return
        number = self._component.number
        if recurrence_id is None:
            message = "the event has no UID, which RFC 5545 requires; it is read as a single event"
            self._warnings.append(tolerated(number, message))
        else:
            self._problem(
                number, "the event changes a series but has no UID; write that of the series"
            )

    def _length(
        self, start: DateOrTime, cancelled: bool
    ) -> tuple[DateOrTime | None, EventDuration]:
        """Return DTEND, if there is one, and the duration of each instance.

        Problems concern the length only: a window with a `duration` doesn't need it.
        """
        end, duration = self._one("DTEND"), self._one("DURATION")
        try:
            if end and duration:
                message = "the event has both DTEND and DURATION; write one of them"
                raise LineError(duration.number, message)
            if end:
                when = self._times.when(end)
                return when, self._times.between(start, when, end)
            if duration:
                return None, self._times.duration(start, duration)
        except LineError as error:
            self._problems += [
                problem._replace(concerns="length") if problem.concerns == "time" else problem
                for problem in error.problems
            ]
            return None, _NO_LENGTH
        if start.is_date:
            return None, _ONE_DAY
        if not cancelled:
            message = (
                "the event has no DTEND and no DURATION, so it lasts no "
                "time; write such as DURATION:PT2H"
            )
            self._problems.append(LineProblem(self._component.number, message, "missing length"))
        return None, _NO_LENGTH

    # Recurrence -------------------------------------------------------------------------

    def _rule(self) -> RecurrenceRule | None:
        for line in self._component.all("RRULE")[:1]:
            if not line.value.strip():
                self._warnings.append(tolerated(line.number, "RRULE is empty and is ignored"))
                return None
            rule, sentences = parse_rrule(line.value)
            for sentence in sentences:
                self._problem(line.number, f"RRULE: {sentence}")
            return rule
        return None

    def _listed(self, name: str) -> Iterator[tuple[Line, str]]:
        for line in self._component.all(name):
            for value in line.value.split(","):
                if value.strip():
                    yield line, value

    def _recurrence_id(self) -> tuple[DateOrTime | None, bool]:
        """Return the instance that the event overrides, and whether later ones follow it."""
        line = self._one("RECURRENCE-ID")
        if line is None:
            return None, False
        reach = line.parameters.get("RANGE", "").upper()
        if reach not in ("", "THISANDFUTURE"):
            self._problem(
                line.number, f"RANGE={quote(reach)} is not supported; write THISANDFUTURE, or none"
            )
        for other in (other for name in _OF_SERIES for other in self._component.all(name)):
            message = f"an event with RECURRENCE-ID overrides one instance: {other.name}"
            if reach:
                good = "can't go with RANGE; write a series with a UID of its own"
                self._problem(other.number, f"{message} {good}")
            else:
                self._warnings.append(tolerated(other.number, f"{message} is ignored"))
        return self._times.when(line), reach == "THISANDFUTURE"

    # Other properties -------------------------------------------------------------------

    def _one(self, name: str) -> Line | None:
        return next(iter(self._component.all(name)), None)

    def _text(self, name: str) -> str:
        line = self._one(name)
        return unescaped(line.value).strip() if line else ""

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
        self._problems.append(LineProblem(number, message))
