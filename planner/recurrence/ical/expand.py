"""Answers about an iCalendar file, its problems, events, spans and days; and about a lone rule.

An event's instances are those of its series: its rule and RDATEs, less its EXDATEs, with
overrides applied.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from itertools import groupby, islice
from typing import NamedTuple
from zoneinfo import ZoneInfo

from planner import timezones
from planner.errors import InputError, Lint, Problem, quote
from planner.model import EVERY_EVENT, Horizon, IcalMatch, IcsFile, IcsUse
from planner.recurrence.ical.events import CalendarParser, EventLabel, ParsedEvent, VEvent
from planner.recurrence.ical.rrule import (
    Budget,
    TooMuchWork,
    parse_rrule,
    start_problems,
    starts,
)
from planner.recurrence.ical.syntax import (
    FIRST_YEAR,
    LAST_YEAR,
    MAX_EVENTS,
    MAX_OCCURRENCES,
    MAX_PROBLEMS,
    DateOrTime,
    EventDuration,
    LineProblem,
    LineWarning,
    ignored,
    parse_tree,
    to_local,
    to_utc,
    tolerated,
)
from planner.recurrence.ical.timezones import TimezoneResolver
from workflows.contract import to_instant, to_wall

_DAY = timedelta(days=1)
_UTC = ZoneInfo("UTC")

_MARGIN = timedelta(days=2)
"""More than any two zones differ, so that the wall times of a span of instants are within it."""

_FIRST = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC)
_LAST = datetime(LAST_YEAR, 12, 31, tzinfo=UTC)


def _chosen(label: EventLabel, match: IcalMatch) -> bool:
    """Tell whether *match* chooses the event with *label*; cancelled ones never count."""
    return (
        not label.cancelled
        and (match.transparent or not label.transparent)
        and match.summary.casefold() in label.summary.casefold()
        and (not match.category or match.category in label.categories)
        and (not match.uid or match.uid == label.uid)
    )


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance of an event, ``[start, end)`` in UTC.

    *wall* is its start on its own zone's clock, also where the clock skips it. *notes* say in
    words what moved it: a clock change, an override.
    """

    start: datetime
    end: datetime
    wall: datetime
    event: VEvent
    duration: EventDuration
    notes: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """The event's SUMMARY, empty without one."""
        return self.event.label.summary

    @property
    def uid(self) -> str:
        """The event's UID, empty without one."""
        return self.event.label.uid

    @property
    def all_day(self) -> bool:
        """Whether it lasts whole days."""
        return self.event.all_day

    def is_shown_by(self, match: IcalMatch) -> bool:
        """Tell whether *match* chooses its event."""
        return _chosen(self.event.label, match)


@dataclass(frozen=True, slots=True)
class Series:
    """All events with one UID: the *master*, and the *overrides* of single instances.

    *labels* are those of every event, also of broken ones, whose *problems* are here.
    """

    master: VEvent | None
    overrides: tuple[VEvent, ...] = ()
    labels: tuple[EventLabel, ...] = ()
    problems: tuple[LineProblem, ...] = ()
    warnings: tuple[LineWarning, ...] = ()

    @property
    def events(self) -> tuple[VEvent, ...]:
        """The master and the overrides."""
        return (*([self.master] if self.master else []), *self.overrides)

    def counts(self, match: IcalMatch) -> bool:
        """Tell whether *match* chooses any of its events."""
        return any(_chosen(label, match) for label in self.labels)

    def instances(
        self, floating: tzinfo, first: datetime, last: datetime, budget: Budget
    ) -> Iterator[Instance]:
        """Yield the instances that start between two instants, inclusive, in no order.

        Cancelled ones are left out. An EXDATE excludes the override of its instance, too.
        """
        master = self.master
        exdates = (exdate.when for exdate in master.exdates) if master else ()
        excluded = _InstanceSet(exdates, master, floating) if master else None
        for override in self.overrides:
            assert override.recurrence_id is not None
            budget.spend()
            if override.label.cancelled:
                continue
            if excluded and excluded.excludes(override.recurrence_id, floating):
                continue
            instance = _instance(override, override.start.wall, floating, override.duration)
            if not first <= instance.start <= last:
                continue
            before, after = override.recurrence_id, override.start
            if before.wall == after.wall and before.tz == after.tz:
                note = "changed in the calendar for this date"
            else:
                pattern = "%Y-%m-%d" if before.is_date else "%Y-%m-%d %H:%M"
                utc = " UTC" if before.is_utc and before.tz != after.tz else ""
                note = f"moved in the calendar from {before.wall:{pattern}}{utc}"
            yield replace(instance, notes=(note, *instance.notes))
        if master and excluded:
            for instance in self._regular(master, excluded, floating, first, last, budget):
                if first <= instance.start <= last:
                    yield instance

    def _regular(
        self,
        master: VEvent,
        excluded: _InstanceSet,
        floating: tzinfo,
        first: datetime,
        last: datetime,
        budget: Budget,
    ) -> Iterator[Instance]:
        """Yield the instances without an override of their own; some outside of the span."""
        ids = (override.recurrence_id for override in self.overrides)
        overridden = _InstanceSet((when for when in ids if when), master, floating)
        later = _ThisAndFuture(self.overrides, master, floating)
        zone = master.zone(floating)
        since, until = later.widened(max(first, _FIRST), min(last, _LAST))
        for wall, duration in _walls(master, floating, since, until, budget):
            instant = to_utc(wall, zone)
            if excluded.has(instant, wall) or overridden.has(instant, wall):
                continue
            event, shift = later.of(instant)
            if not event.label.cancelled:
                yield _instance(event, wall + shift, floating, duration or event.duration)


def _walls(
    master: VEvent, floating: tzinfo, since: datetime, until: datetime, budget: Budget
) -> Iterator[tuple[datetime, EventDuration | None]]:
    """Yield the start of each instance once, with the duration that a PERIOD gives it."""
    zone = master.zone(floating)
    rdates = {
        to_local(rdate.when.instant(zone), zone)
        if rdate.when.tz
        else rdate.when.wall: rdate.duration
        for rdate in master.rdates
    }
    yield from rdates.items()
    if master.rule is None:
        found: Iterable[datetime] = [master.start.wall]
    else:
        first = to_local(max(since - _MARGIN, _FIRST), zone).date()
        last = to_local(min(until + _MARGIN, _LAST), zone).date()
        ends_in = master.naming_zone(floating)
        found = starts(master.rule, master.start.wall, first, last, ends_in, budget)
    budget.spend(len(rdates) + 1)
    for wall in found:
        if wall not in rdates:
            yield wall, None


class _InstanceSet:
    """Instances of *master* as EXDATE and RECURRENCE-ID name them; a date names all of a day."""

    def __init__(self, whens: Iterable[DateOrTime], master: VEvent, floating: tzinfo) -> None:
        self._zone = master.naming_zone(floating)
        self._by_day = master.all_day
        self._days: set[date] = set()
        self._instants: set[datetime] = set()
        for when in whens:
            if when.is_date or self._by_day:
                self._days.add(when.day(self._zone))
            else:
                self._instants.add(when.instant(self._zone))

    def has(self, instant: datetime, wall: datetime) -> bool:
        """Tell whether it has the instance at *instant*, which is *wall* on its clock."""
        return instant in self._instants or (bool(self._days) and wall.date() in self._days)

    def excludes(self, when: DateOrTime, floating: tzinfo) -> bool:
        """Tell whether it has the instance that *when* names."""
        if when.is_date or self._by_day:
            return when.day(self._zone) in self._days
        instant = when.instant(self._zone)
        return self.has(instant, to_local(instant, self._zone))


class _ThisAndFuture:
    """The overrides that apply to all later instances as well, in the order of their starts."""

    def __init__(self, overrides: tuple[VEvent, ...], master: VEvent, floating: tzinfo) -> None:
        zone = master.zone(floating)
        found = []
        for override in overrides:
            when = override.recurrence_id
            if not override.this_and_future or not when:
                continue
            if when.is_date or master.all_day:
                wall = datetime.combine(when.day(master.naming_zone(floating)), time())
                at = to_utc(wall, zone)
            else:
                at = when.instant(zone)
                wall = to_local(at, zone)
            found.append((at, override.start.wall - wall, override))
        found.sort(key=lambda item: item[0])
        self._since = [at for at, _, _ in found]
        self._choices = [(master, timedelta())] + [(event, shift) for _, shift, event in found]

    def of(self, instant: datetime) -> tuple[VEvent, timedelta]:
        """Return the event that the instance at *instant* follows, and how far it is moved."""
        return self._choices[bisect_right(self._since, instant)]

    def widened(self, first: datetime, last: datetime) -> tuple[datetime, datetime]:
        """Return the span of the instances before they were moved into *first* to *last*."""
        shifts = [shift for _, shift in self._choices]
        return (
            first - min(max(shifts), first - _FIRST),
            last - max(min(shifts), last - _LAST),
        )


def _instance(event: VEvent, wall: datetime, floating: tzinfo, duration: EventDuration) -> Instance:
    zone = event.zone(floating)
    start = to_utc(wall, zone)
    own = duration is event.duration
    end = event.end_at(wall, floating) if own else duration.end(wall, zone)
    notes: tuple[str, ...] = ()
    first, second = (wall.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    if first != second:
        shown = to_local(start, zone)
        if shown != wall:
            notes = (f"the clock skips {wall:%H:%M} that day: starts at {shown:%H:%M}",)
        else:
            notes = (f"the clock shows {wall:%H:%M} twice that day: the first counts",)
    return Instance(start, end, wall, event, duration, notes)


# Warnings -----------------------------------------------------------------------------


def unmatched_exceptions(series: Series, budget: Budget) -> Iterator[LineWarning]:
    """Yield a warning for each EXDATE and each RECURRENCE-ID that names no instance."""
    master = series.master
    if master is None:
        return
    instances = _Instances(master, budget)
    for exdate in master.exdates:
        if not instances.have(exdate.when):
            message = f"EXDATE {_written(exdate.when)} excludes nothing: the event is not on then"
            yield LineWarning(exdate.line, "exdate-excludes-nothing", message)
    for override in series.overrides:
        if override.recurrence_id and not instances.have(override.recurrence_id):
            message = (
                f"RECURRENCE-ID {_written(override.recurrence_id)} is no occurrence of the "
                "series; the event counts by itself"
            )
            yield LineWarning(override.at("RECURRENCE-ID"), "change-of-nothing", message)


def ambiguous_days(series: Series, timezone: str, tz: tzinfo) -> Iterator[LineWarning]:
    """Yield a warning for each day that a time in UTC names in a file without a zone.

    Only where the day in the window's zone isn't the one whose midnight the time may be.
    """
    master = series.master
    if master is None or not master.all_day or master.own_zone:
        return
    named = [(exdate.when, "EXDATE", exdate.line) for exdate in master.exdates]
    if master.rule and master.rule.until:
        named.append((master.rule.until, "UNTIL", master.at("RRULE")))
    named += [
        (override.recurrence_id, "RECURRENCE-ID", override.at("RECURRENCE-ID"))
        for override in series.overrides
        if override.recurrence_id
    ]
    for when, name, line in named:
        # UNTIL is compared as an instant, the others name a day.
        day = to_local(when.instant(tz), tz).date() if name == "UNTIL" else when.day(tz)
        midnight = when.midnight_day
        if when.is_utc and midnight and day != midnight:
            yield LineWarning(
                line,
                "ambiguous-day",
                f"{name} {_written(when)}Z is a time in a series of whole days, and the file names "
                f"no zone: it is read as {day}, its day in {timezone}; as a midnight of "
                f"the zone it was written in it is {midnight}; write the date "
                "alone, or X-WR-TIMEZONE",
            )


def _written(when: DateOrTime) -> str:
    return f"{when.wall:%Y%m%d}" if when.is_date else f"{when.wall:%Y%m%dT%H%M%S}"


class _Instances:
    """The instances of *master* before any is excluded."""

    def __init__(self, master: VEvent, budget: Budget) -> None:
        self._master = master
        self._budget = budget
        self._zone = master.naming_zone(_UTC)
        self._is_guess = master.own_zone is None
        written = [master.start, *(rdate.when for rdate in master.rdates)]
        self._instants = {when.instant(self._zone) for when in written}
        self._days = {to_local(instant, self._zone).date() for instant in self._instants}

    def have(self, when: DateOrTime) -> bool:
        """Tell whether *when* names one of them; true where the window's zone decides."""
        if self._is_guess and when.tz is not None:
            return True
        if when.is_date or self._master.all_day:
            day = when.day(self._zone)
            return day in self._days or any(start.date() == day for start in self._near(day))
        instant = when.instant(self._zone)
        day = to_local(instant, self._zone).date()
        return instant in self._instants or any(
            to_utc(start, self._zone) == instant for start in self._near(day)
        )

    def _near(self, day: date) -> Iterator[datetime]:
        """Yield the starts around *day*: one that the clock skips is read as a later one."""
        master = self._master
        if master.rule:
            first, last = day - _DAY, day + _DAY
            yield from starts(master.rule, master.start.wall, first, last, self._zone, self._budget)


# Files -------------------------------------------------------------------------------


_CACHED_FILES = 64
_AS_WINDOW = IcsUse()

_TOO_MUCH = "the file's rules take too much work to follow; write fewer, or simpler ones"


def check(file: IcsFile, use: IcsUse = _AS_WINDOW) -> tuple[list[Problem], list[Lint]]:
    """Return the problems and warnings of *file* for one *use*, with their lines.

    Never raises, and is bounded in time and memory whatever the text. A problem that changes
    no occurrence of this use is a warning.
    """
    checked = _checked(file.text, use)
    problems = [Problem(file.path, line, message) for line, message, _ in checked.problems]
    lints = {Lint(file.path, *warning) for warning in checked.warnings}
    return problems, sorted(lints)[:MAX_PROBLEMS]


def expand(
    file: IcsFile, match: IcalMatch, timezone: str, horizon: Horizon, *, has_length: bool = False
) -> list[Instance]:
    """Return the instances of *file* that *match* chooses and that start in *horizon*, in order.

    Cancelled ones are left out; those shown as free count where *match* says so. Floating
    times are in the calendar's own zone, else in *timezone*; whole days run between the
    midnights of *timezone*, whatever the calendar's own. With *has_length* the caller has a
    duration of its own, so that events without one are no problem and end as they start.

    Raises:
        InputError: The file has problems, or more than `MAX_OCCURRENCES` instances.
    """
    use = IcsUse("window", match, has_length, timezone)
    return sorted(
        (
            instance
            for instance in _instances(file, use, horizon.start, horizon.end)
            if instance.start in horizon and instance.is_shown_by(match)
        ),
        key=lambda one: (one.start, one.end, one.uid, one.summary),
    )


def spans(file: IcsFile, timezone: str, horizon: Horizon) -> list[tuple[datetime, datetime, str]]:
    """Return start, end and summary of each event that overlaps *horizon*, in order.

    Cancelled ones are left out; those shown as free count, since a freeze blocks no diary.
    An event without a length has no span.

    Raises:
        InputError: As `expand`.
    """
    use = IcsUse("skip", timezone=timezone)
    begin = horizon.start - longest(file)
    return sorted(
        (one.start, one.end, one.summary)
        for one in _instances(file, use, begin, horizon.end)
        if one.start < one.end and one.start < horizon.end and one.end > horizon.start
    )


def days(file: IcsFile, timezone: str, first: date, last: date) -> dict[date, str]:
    """Return the days from *first* to *last*, inclusive, that events cover, with a summary.

    The summary is that of the event that starts first. An event of whole days covers the
    days it names, wherever it is read; one with times every day it touches in *timezone*.
    Cancelled ones are left out; those shown as free count, as in most holiday calendars.

    Raises:
        InputError: As `expand`.
    """
    tz = timezones.zone(timezone)
    begin = to_instant(datetime.combine(first, time()), tz) - longest(file) - 2 * _DAY
    end = to_instant(datetime.combine(last, time()), tz) + 3 * _DAY
    found: dict[date, str] = {}
    instances = _instances(file, IcsUse("holidays", timezone=timezone), begin, end)
    for one in sorted(instances, key=lambda one: (one.start, one.end, one.summary)):
        if one.all_day:
            day, past = one.wall.date(), (one.wall + one.duration.nominal).date()
        else:
            tick = timedelta(microseconds=1)
            day = to_wall(one.start, tz).date()  # covered even where the event has no length
            past = to_wall(max(one.start, one.end - tick), tz).date() + _DAY
        while day < past:
            if first <= day <= last:
                found.setdefault(day, one.summary)
            day += _DAY
    return dict(sorted(found.items()))


def longest(file: IcsFile, match: IcalMatch = EVERY_EVENT) -> timedelta:
    """Return an upper bound of the length of the events of *file* that *match* chooses."""
    lengths = [
        duration.total
        for series in parse(file.text).series
        if series.counts(match)
        for event in series.events
        for duration in (event.duration, *(r.duration for r in event.rdates if r.duration))
    ]
    return max(lengths, default=timedelta()) + _DAY


def _instances(file: IcsFile, use: IcsUse, first: datetime, last: datetime) -> list[Instance]:
    """Return the instances that start between two instants, at most `MAX_OCCURRENCES`."""
    checked = _checked(file.text, use)
    if checked.problems:
        raise InputError(check(file, use)[0])
    floating = timezones.zone(use.timezone)
    budget = Budget()
    found: list[Instance] = []
    try:
        for series in checked.series:
            found += islice(
                series.instances(floating, first, last, budget), MAX_OCCURRENCES + 1 - len(found)
            )
    except TooMuchWork:
        raise _refused(file, "the rules take too much work to follow", first, last) from None
    if len(found) > MAX_OCCURRENCES:
        sentence = f"the events have more than {MAX_OCCURRENCES:,} occurrences"
        raise _refused(file, sentence, first, last)
    return found


def _refused(file: IcsFile, sentence: str, first: datetime, last: datetime) -> InputError:
    span = f"from {first:%Y-%m-%d} to {last:%Y-%m-%d}"
    return InputError([Problem(file.path, 0, f"{sentence} {span}; write fewer, or split the file")])


# Checking -----------------------------------------------------------------------------


class _Checked(NamedTuple):
    """The series that count for one use, with the problems and warnings of that use."""

    series: tuple[Series, ...]
    problems: tuple[LineProblem, ...]
    warnings: tuple[LineWarning, ...]


@lru_cache(maxsize=4 * _CACHED_FILES)
def _checked(text: str, use: IcsUse) -> _Checked:
    """Check the events of *text* that count for *use*, and ignore the problems of the others."""
    parsed = parse(text)
    problems, warnings = list(parsed.problems), list(parsed.warnings)
    if parsed.closed_line and use.role != "window":
        problems.append(
            LineProblem(
                parsed.closed_line,
                "X-CALENDAR-TYPE:DEFAULT_CLOSED: its events say when changes are allowed, which "
                f"is the opposite of {use.role}; use a calendar that is open by default",
            )
        )
    counted = []
    budget = Budget()
    try:
        for series in parsed.series:
            if series.counts(use.match):
                counted.append(series)
                _check(series, use, budget, problems, warnings)
            else:
                warnings += map(ignored, series.problems)
    except TooMuchWork:
        problems.append(LineProblem(0, _TOO_MUCH))
    problems = sorted(set(problems))
    if len(problems) > MAX_PROBLEMS:
        more = len(problems) - MAX_PROBLEMS
        problems[MAX_PROBLEMS:] = [LineProblem(0, f"{more:,} more problems like these")]
    return _Checked(tuple(counted), tuple(problems), tuple(warnings))


def _check(
    series: Series,
    use: IcsUse,
    budget: Budget,
    problems: list[LineProblem],
    warnings: list[LineWarning],
) -> None:
    """Add the problems and warnings of a series that counts."""
    stopped = False
    for problem in series.problems:
        if problem.concerns == "time" or (
            not use.has_length and (problem.concerns == "length" or use.role == "window")
        ):
            problems.append(problem)  # it changes an occurrence of this use
            stopped = True
        elif problem.concerns == "length":
            warnings.append(ignored(problem))
        elif problem.concerns == "missing length" and use.role != "window":
            effect = "it freezes nothing" if use.role == "skip" else "its day counts"
            warnings.append(tolerated(problem.line, f"{problem.message}; {effect}"))
    warnings += series.warnings
    if stopped:
        return
    if len(problems) < MAX_PROBLEMS:
        problems += _rule_problems(series, budget)
    if len(warnings) < MAX_PROBLEMS:
        warnings += unmatched_exceptions(series, budget)
        if use.timezone:
            warnings += ambiguous_days(series, use.timezone, timezones.zone(use.timezone))


def _rule_problems(series: Series, budget: Budget) -> Iterator[LineProblem]:
    master = series.master
    if master is None or master.rule is None or master.label.cancelled:
        return
    rule = master.rule
    zone = master.start.tz if rule.by_the_clock else master.own_zone
    sentences = start_problems(rule, master.start.wall, zone, budget)
    if sentences and not (rule.by_the_clock or rule.count or rule.until):
        # A start that an EXDATE excludes needn't be in the rule. With COUNT it would still be
        # disputed whether the start is counted.
        names_in = master.naming_zone(_UTC)
        start = master.start.instant(names_in)
        if any(exdate.when.instant(names_in) == start for exdate in master.exdates):
            return
    yield from (LineProblem(master.at("RRULE"), f"RRULE: {each}") for each in sentences)


# Parsing ------------------------------------------------------------------------------


class Parsed(NamedTuple):
    """A parsed file, whatever it is used for.

    *problems* and *warnings* are those of no event. *closed_line* is the line that says that
    the calendar is closed by default, or 0.
    """

    series: tuple[Series, ...]
    problems: tuple[LineProblem, ...]
    warnings: tuple[LineWarning, ...]
    closed_line: int = 0


@lru_cache(maxsize=_CACHED_FILES)
def parse(text: str) -> Parsed:
    """Parse a file; never raises.

    Files are at most a megabyte, which bounds what the cache holds.
    """
    tree = parse_tree(text)
    problems, warnings = list(tree.problems), list(tree.warnings)
    count = sum(len(calendar.named("VEVENT")) for calendar in tree.calendars)
    if count > MAX_EVENTS:
        message = f"the file has {count:,} events; at most {MAX_EVENTS:,} are read; split it"
        return Parsed((), (*problems, LineProblem(0, message)), tuple(warnings))
    events: list[ParsedEvent] = []
    budget = Budget()
    try:
        for calendar in tree.calendars:
            zones = TimezoneResolver(calendar, budget)
            parser = CalendarParser(calendar, zones)
            events += parser.events()
            problems += zones.problems
            warnings += parser.warnings
    except TooMuchWork:
        problems.append(LineProblem(0, _TOO_MUCH))
    if not events and not problems:
        warnings.append(LineWarning(0, "no-events", "the calendar has no events"))
    # In a calendar of AWS Change Calendar.
    kinds = [line for calendar in tree.calendars for line in calendar.all("X-CALENDAR-TYPE")]
    closed = (line.number for line in kinds if line.value.strip().upper() == "DEFAULT_CLOSED")
    by_uid: defaultdict[str, list[ParsedEvent]] = defaultdict(list)
    for event in events:  # one without a UID is a series of its own
        by_uid[event.label.uid or f"\0{event.line}"].append(event)
    found = tuple(_series(same) for _, same in sorted(by_uid.items()))
    return Parsed(found, tuple(problems), tuple(warnings), next(closed, 0))


def _series(events: list[ParsedEvent]) -> Series:
    """Assemble the events of one UID; of versions of one event the highest SEQUENCE counts."""
    versions: defaultdict[DateOrTime | None, list[VEvent]] = defaultdict(list)
    for parsed in events:
        if parsed.event:
            when = parsed.event.recurrence_id
            if when and when.tz and not when.is_date:  # the same however its time is written
                when = DateOrTime(to_local(when.instant(when.tz), _UTC), tz=_UTC)
            versions[when].append(parsed.event)
    problems = [problem for parsed in events for problem in parsed.problems]
    for same in versions.values():
        ordered = sorted(same, key=lambda event: (event.sequence, event.line))
        for _, group in groupby(ordered, key=lambda event: event.sequence):
            first, *others = group
            message = (
                f"UID {quote(first.label.uid)} is used twice, first on line {first.at('UID')}; "
                "write another one, or a higher SEQUENCE if this event replaces that one"
            )
            problems += [LineProblem(other.at("UID"), message) for other in others]
    latest = {key: max(same, key=lambda event: event.sequence) for key, same in versions.items()}
    master = latest.pop(None, None)
    return Series(
        master,
        tuple(sorted(latest.values(), key=lambda event: (event.start.wall, event.line))),
        tuple(parsed.label for parsed in events),
        tuple(problems),
        tuple(warning for parsed in events for warning in parsed.warnings),
    )


# Rules outside of any file -------------------------------------------------------------------

_RULE_TOO_MUCH = "the rule takes too much work to follow; write a simpler one"


def check_rule(rule: str, start: datetime | None, timezone: str | None = None) -> list[str]:
    """Return the problems of a rule outside of any file, in sentences.

    Args:
        rule: The RRULE value, without its name.
        start: Its first start, naive wall time, which the rule must contain; without it only
            the rule itself is checked.
        timezone: The zone of *start*; without it, a rule that depends on one is refused.
    """
    parsed, sentences = parse_rrule(rule)
    if parsed is None or start is None:
        return sentences
    if not FIRST_YEAR <= start.year <= LAST_YEAR:
        return [f"the start {start:%Y-%m-%d} is not between {FIRST_YEAR} and {LAST_YEAR}"]
    try:
        tz = timezones.zone(timezone) if timezone else None
        until = parsed.until
        if until and until.tz and tz is None:
            return [
                f"UNTIL={until.wall:%Y%m%dT%H%M%SZ} is in UTC, the start is not; "
                f"write the last day, such as UNTIL={until.wall:%Y%m%d}"
            ]
        return start_problems(parsed, start, tz, Budget())
    except TooMuchWork:
        return [_RULE_TOO_MUCH]


def expand_rule(
    rule: str, start: datetime, first: date, last: date, timezone: str | None = None
) -> list[datetime]:
    """Return the naive wall times at which *rule* starts between two local dates, inclusive.

    Args:
        rule: The RRULE value, without problems by `check_rule`.
        start: Its first start, naive wall time.
        first: The first local date.
        last: The last local date.
        timezone: The zone of *start*; only an UNTIL in UTC needs it.

    Raises:
        ValueError: The rule is wrong, or has more than `MAX_OCCURRENCES` starts.

    >>> expand_rule("FREQ=WEEKLY;INTERVAL=2", datetime(2027, 1, 8, 16), date(2027, 1, 1),
    ...             date(2027, 1, 31))
    [datetime.datetime(2027, 1, 8, 16, 0), datetime.datetime(2027, 1, 22, 16, 0)]
    """
    parsed, sentences = parse_rrule(rule)
    if parsed is None:
        raise ValueError("; ".join(sentences))
    tz = timezones.zone(timezone) if timezone else None
    found: list[datetime] = []
    try:
        for wall in starts(parsed, start, first, last, tz, Budget()):
            found.append(wall)
            if len(found) > MAX_OCCURRENCES:
                raise TooMuchWork
    except TooMuchWork:
        raise ValueError(
            f"{_RULE_TOO_MUCH}, or one with at most {MAX_OCCURRENCES:,} starts"
        ) from None
    return found
