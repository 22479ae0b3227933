"""The instances of a series: its rule and RDATEs, less its EXDATEs, with overrides applied."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

from planner.model import IcalMatch
from planner.recurrence.ical.events import EventLabel, VEvent
from planner.recurrence.ical.rrule import Budget, starts
from planner.recurrence.ical.syntax import (
    FIRST_YEAR,
    LAST_YEAR,
    DateOrTime,
    EventDuration,
    LineProblem,
    LineWarning,
    to_local,
    to_utc,
)

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
            if first <= instance.start <= last:
                yield replace(instance, notes=(*_moved(override), *instance.notes))
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
        first, last = _dates(since, until, zone)
        ends_in = master.naming_zone(floating)
        found = starts(master.rule, master.start.wall, first, last, ends_in, budget)
    budget.spend(len(rdates) + 1)
    for wall in found:
        if wall not in rdates:
            yield wall, None


def _dates(since: datetime, until: datetime, zone: tzinfo) -> tuple[date, date]:
    """Return the local dates of the starts between two instants, with a margin."""
    return (
        to_local(max(since - _MARGIN, _FIRST), zone).date(),
        to_local(min(until + _MARGIN, _LAST), zone).date(),
    )


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
        found = []
        for override in overrides:
            if override.this_and_future and override.recurrence_id:
                at, wall = _named(override.recurrence_id, master, floating)
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


def _named(when: DateOrTime, master: VEvent, floating: tzinfo) -> tuple[datetime, datetime]:
    """Return the instant and the wall time of the instance of *master* that *when* names."""
    zone = master.zone(floating)
    if when.is_date or master.all_day:
        wall = datetime.combine(when.day(master.naming_zone(floating)), time())
        return to_utc(wall, zone), wall
    instant = when.instant(zone)
    return instant, to_local(instant, zone)


def _instance(event: VEvent, wall: datetime, floating: tzinfo, duration: EventDuration) -> Instance:
    zone = event.zone(floating)
    start = to_utc(wall, zone)
    own = duration is event.duration
    end = event.end_at(wall, floating) if own else duration.end(wall, zone)
    return Instance(start, end, wall, event, duration, _clock_notes(start, wall, zone))


def _clock_notes(start: datetime, wall: datetime, zone: tzinfo) -> tuple[str, ...]:
    first, second = (wall.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    if first == second:
        return ()
    shown = to_local(start, zone)
    if shown != wall:
        return (f"the clock skips {wall:%H:%M} that day: starts at {shown:%H:%M}",)
    return (f"the clock shows {wall:%H:%M} twice that day: the first counts",)


def _moved(override: VEvent) -> tuple[str, ...]:
    """Return the note that says what *override* did to its instance."""
    assert override.recurrence_id is not None
    before = override.recurrence_id
    if before.wall == override.start.wall and before.tz == override.start.tz:
        return ("changed in the calendar for this date",)
    pattern = "%Y-%m-%d" if before.is_date else "%Y-%m-%d %H:%M"
    utc = " UTC" if before.is_utc and before.tz != override.start.tz else ""
    return (f"moved in the calendar from {before.wall.strftime(pattern)}{utc}",)


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
