"""What the lines of a VEVENT mean: entries, and every fault with its line."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta, tzinfo

from planner.ical.entry import Entry, Excluded, Extra
from planner.ical.limits import MAX_LISTED_DATES
from planner.ical.rule import Rule
from planner.ical.ruletext import parse as parse_rule
from planner.ical.text import Component, Fault, Line, shown, unescaped
from planner.ical.times import Faulty, TimeReader
from planner.ical.values import BadValue, Length, When
from planner.ical.zonenames import ZoneNames

_ONCE = (
    *("UID", "SUMMARY", "DTSTART", "DTEND", "DURATION"),
    *("STATUS", "TRANSP", "SEQUENCE", "RECURRENCE-ID"),
)
_ALL_DAY = Length(clock=timedelta(days=1))


class CalendarReader:
    """Reads the events of one VCALENDAR.

    Its floating times are read in ``X-WR-TIMEZONE`` where that is written. Times in UTC
    stay in UTC, and days are nobody's: their midnights are those of who asks.
    """

    def __init__(self, calendar: Component, zones: ZoneNames) -> None:
        self.faults: list[Fault] = []
        self._calendar = calendar
        self._zones = zones
        self._zone = self._own_zone()
        self._cancelled = any(
            line.value.strip().upper() == "CANCEL" for line in calendar.all("METHOD")
        )

    def entries(self) -> Iterator[Entry]:
        """Yield its events; those that can't be read are in `faults` instead."""
        for component in self._calendar.named("VEVENT"):
            reader = _EventReader(component, self._zones, self._zone)
            try:
                entry = reader.entry(self._cancelled)
            except Faulty as fault:
                reader.faults.append((fault.number, str(fault)))
                entry = None
            self.faults += reader.faults
            if entry and not reader.faults:
                yield entry

    def _own_zone(self) -> tzinfo | None:
        for line in self._calendar.all("X-WR-TIMEZONE"):
            try:
                return self._zones.zone(line.value)
            except BadValue:
                self.faults.append(
                    (
                        line.number,
                        f"X-WR-TIMEZONE {shown(line.value)} is no time zone "
                        "that is known; write such as Europe/Berlin",
                    )
                )
        return None


class _EventReader:
    """Reads one VEVENT."""

    def __init__(self, component: Component, zones: ZoneNames, floating: tzinfo | None) -> None:
        self.component = component
        self.faults: list[Fault] = []
        self._zone = floating
        self._times = TimeReader(zones, floating, self.faults)

    def entry(self, cancelled: bool) -> Entry:
        """Return the event; only meaningful without faults."""
        self._refuse_what_is_not_supported()
        uid = self._uid()
        start = self._start()
        cancelled = cancelled or self._word("STATUS") == "CANCELLED"
        end, length = self._end(start, cancelled)
        changes, and_later = self._changes(start)
        return Entry(
            uid=uid,
            line=self.component.number,
            start=start,
            end=end,
            length=length,
            rule=self._rule(),
            extra=tuple(self._extra(start)),
            excluded=tuple(self._excluded(start)),
            changes=changes,
            and_later=and_later,
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
            self._fault(
                line.number,
                "EXRULE is not supported (RFC 5545 dropped it); write the excluded dates as EXDATE",
            )
        for line in self.component.all("RRULE")[1:]:
            self._fault(
                line.number, "the event has a second RRULE; write an event of its own for each rule"
            )
        for name in _ONCE:
            for line in self.component.all(name)[1:]:
                self._fault(line.number, f"{name} is written twice; write it once")
        listed = [line for line in self.component.lines if line.name in ("RDATE", "EXDATE")]
        if sum(line.value.count(",") + 1 for line in listed) > MAX_LISTED_DATES:
            raise Faulty(
                listed[0].number,
                f"the event has more than {MAX_LISTED_DATES:,} dates in "
                "RDATE and EXDATE; write them as a rule",
            )

    def _uid(self) -> str:
        line = self._one("UID")
        uid = line.value.strip() if line else ""
        if not uid:
            self._fault(
                self.component.number,
                "the event has no UID; write such as UID:launch-7@example.com",
            )
        return uid

    # When -------------------------------------------------------------------------------

    def _start(self) -> When:
        line = self._one("DTSTART")
        if line is None:
            raise Faulty(
                self.component.number,
                "the event has no DTSTART; "
                "write such as DTSTART;TZID=Europe/Berlin:20270131T180000",
            )
        return self._times.when(line)

    def _end(self, start: When, cancelled: bool) -> tuple[When | None, Length]:
        """Return the written end, if there is one, and how long each occurrence lasts."""
        end, duration = self._one("DTEND"), self._one("DURATION")
        if end and duration:
            self._fault(duration.number, "the event has both DTEND and DURATION; write one of them")
        if end:
            when = self._times.when(end)
            return when, self._times.between(start, when, end)
        if duration:
            return None, self._times.duration(start, duration)
        if not start.is_date and not cancelled:
            self._fault(
                self.component.number,
                "the event has no DTEND and no DURATION, so it lasts no "
                "time; write such as DURATION:PT2H",
            )
        return None, _ALL_DAY

    # How often --------------------------------------------------------------------------

    def _rule(self) -> Rule | None:
        for line in self.component.all("RRULE")[:1]:
            rule, sentences = parse_rule(line.value)
            self.faults += [(line.number, f"RRULE: {sentence}") for sentence in sentences]
            return rule
        return None

    def _extra(self, start: When) -> Iterator[Extra]:
        for line in self.component.all("RDATE"):
            for value in line.value.split(","):
                yield self._times.extra(start, value, line)

    def _excluded(self, start: When) -> Iterator[Excluded]:
        for line in self.component.all("EXDATE"):
            for value in line.value.split(","):
                if value.strip():
                    yield Excluded(self._times.when(line, value), line.number)

    def _changes(self, start: When) -> tuple[When | None, bool]:
        line = self._one("RECURRENCE-ID")
        if line is None:
            return None, False
        reach = line.parameters.get("RANGE", "").upper()
        if reach not in ("", "THISANDFUTURE"):
            self._fault(
                line.number, f"RANGE={shown(reach)} is not supported; write THISANDFUTURE, or none"
            )
        for name in ("RRULE", "RDATE", "EXDATE"):
            for other in self.component.all(name):
                self._fault(
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
            self._fault(line.number, f"SEQUENCE {shown(value)} is no whole number; write such as 0")
            return 0
        return int(value)

    def _fault(self, number: int, message: str) -> None:
        self.faults.append((number, message))
