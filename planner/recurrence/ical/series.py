"""The instances of a series: its rule and RDATEs, less its EXDATEs, with overrides applied."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

from planner.recurrence.ical.events import VEvent
from planner.recurrence.ical.rrule_starts import Budget, starts
from planner.recurrence.ical.syntax import (
    FIRST_YEAR,
    LAST_YEAR,
    DateOrTime,
    EventDuration,
    to_local,
    to_utc,
)

_MARGIN = timedelta(days=2)
"""More than any two zones are apart: walls of a span of instants are within it."""

_FIRST = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC)
_LAST = datetime(LAST_YEAR, 12, 31, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Instance:
    """One occurrence: *wall* is its start as its own zone's clock shows it or should."""

    start: datetime
    end: datetime
    wall: datetime
    entry: VEvent
    length: EventDuration
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Series:
    """What has one UID: its *master*, and the *changes* of single occurrences."""

    master: VEvent | None
    changes: tuple[VEvent, ...] = ()

    @property
    def events(self) -> tuple[VEvent, ...]:
        """All of its events."""
        return (*([self.master] if self.master else []), *self.changes)

    def instances(
        self, floating: tzinfo, first: datetime, last: datetime, budget: Budget
    ) -> Iterator[Instance]:
        """Yield what starts between the instants *first* and *last*, in no order.

        Cancelled ones are left out. An excluded date takes its change with it.
        """
        seen = _InstanceSet(self.master, floating) if self.master else None
        for change in self.changes:
            assert change.changes is not None
            budget.spend()
            if change.cancelled or (seen and seen.excludes(change.changes, floating)):
                continue
            instance = _instance(change, change.start.wall, floating, change.length)
            if first <= instance.start <= last:
                yield _noted(instance, _moved(change))
        if self.master and seen:
            for instance in self._unchanged(self.master, seen, floating, first, last, budget):
                if first <= instance.start <= last:
                    yield instance

    def _unchanged(
        self,
        master: VEvent,
        excluded: _InstanceSet,
        floating: tzinfo,
        first: datetime,
        last: datetime,
        budget: Budget,
    ) -> Iterator[Instance]:
        """Yield the occurrences that have no change of their own; some outside of the span."""
        changed = _InstanceSet.of((change.changes for change in self.changes), master, floating)
        later = _ThisAndFuture(self.changes, master, floating)
        zone = master.zone(floating)
        since, until = later.widened(max(first, _FIRST), min(last, _LAST))
        for wall, length in _walls(master, floating, since, until, budget):
            instant = to_utc(wall, zone)
            if excluded.has(instant, wall) or changed.has(instant, wall):
                continue
            entry, shift = later.of(instant)
            if not entry.cancelled:
                yield _instance(entry, wall + shift, floating, length or entry.length)


def _walls(
    master: VEvent, floating: tzinfo, since: datetime, until: datetime, budget: Budget
) -> Iterator[tuple[datetime, EventDuration | None]]:
    """Yield the start of each occurrence once, with the length that a PERIOD gives it."""
    zone = master.zone(floating)
    extra = {
        to_local(e.when.instant(zone), zone) if e.when.tz else e.when.wall: e.length
        for e in master.extra
    }
    yield from extra.items()
    if master.rule is None:
        found: Iterable[datetime] = [master.start.wall]
    else:
        first, last = _dates(since, until, zone)
        ends_in = master.calendar_or_window_zone(floating)
        found = starts(master.rule, master.start.wall, first, last, ends_in, budget)
    budget.spend(len(extra) + 1)
    for wall in found:
        if wall not in extra:
            yield wall, None


def _dates(since: datetime, until: datetime, zone: tzinfo) -> tuple[date, date]:
    """Return the local dates that the starts between two instants are on, with a margin."""
    return (
        to_local(max(since - _MARGIN, _FIRST), zone).date(),
        to_local(min(until + _MARGIN, _LAST), zone).date(),
    )


class _InstanceSet:
    """A set of occurrences, by instants; those given as dates stand for all of that day."""

    def __init__(self, master: VEvent, floating: tzinfo) -> None:
        self._fill((item.when for item in master.excluded), master, floating)

    @classmethod
    def of(
        cls, whens: Iterable[DateOrTime | None], master: VEvent, floating: tzinfo
    ) -> _InstanceSet:
        """Return the occurrences of *master* that *whens* name."""
        self = cls.__new__(cls)
        self._fill((when for when in whens if when), master, floating)
        return self

    def _fill(self, whens: Iterable[DateOrTime], master: VEvent, floating: tzinfo) -> None:
        zone = master.calendar_or_window_zone(floating)
        self._by_day = master.all_day
        self._zone = zone
        self._days: set[date] = set()
        self._instants: set[datetime] = set()
        for when in whens:
            if when.is_date or master.all_day:
                self._days.add(when.day(zone))
            else:
                self._instants.add(when.instant(zone))

    def has(self, instant: datetime, wall: datetime) -> bool:
        """Tell whether the occurrence at *instant*, *wall* on the clock, is in the set."""
        return instant in self._instants or (bool(self._days) and wall.date() in self._days)

    def excludes(self, when: DateOrTime, floating: tzinfo) -> bool:
        """Tell whether the occurrence that *when* names is in the set."""
        if when.is_date or self._by_day:
            return when.day(self._zone) in self._days
        instant = when.instant(self._zone)
        return self.has(instant, to_local(instant, self._zone))


class _ThisAndFuture:
    """The changes that hold for all later occurrences, too, in the order of their starts."""

    def __init__(self, changes: tuple[VEvent, ...], master: VEvent, floating: tzinfo) -> None:
        found = []
        for change in changes:
            if change.this_and_future and change.changes:
                at, wall = _named(change.changes, master, floating)
                found.append((at, change.start.wall - wall, change))
        found.sort(key=lambda item: item[0])
        self._since = [at for at, _, _ in found]
        self._choices = [(master, timedelta())] + [(change, shift) for _, shift, change in found]

    def of(self, instant: datetime) -> tuple[VEvent, timedelta]:
        """Return the entry that the occurrence at *instant* follows, and how far it is moved."""
        return self._choices[bisect_right(self._since, instant)]

    def widened(self, first: datetime, last: datetime) -> tuple[datetime, datetime]:
        """Return the span in which the occurrences were, before they were moved."""
        shifts = [shift for _, shift in self._choices]
        return (
            first - min(max(shifts), first - _FIRST),
            last - max(min(shifts), last - _LAST),
        )


def _named(when: DateOrTime, master: VEvent, floating: tzinfo) -> tuple[datetime, datetime]:
    """Return the occurrence of *master* that *when* names: its instant and its wall time."""
    zone = master.zone(floating)
    if when.is_date or master.all_day:
        wall = datetime.combine(when.day(master.calendar_or_window_zone(floating)), time())
        return to_utc(wall, zone), wall
    instant = when.instant(zone)
    return instant, to_local(instant, zone)


def _instance(entry: VEvent, wall: datetime, floating: tzinfo, length: EventDuration) -> Instance:
    zone = entry.zone(floating)
    start = to_utc(wall, zone)
    own = length is entry.length
    end = entry.end_at(wall, floating) if own else length.end(wall, zone)
    return Instance(start, end, wall, entry, length, _clock_notes(start, wall, zone))


def _clock_notes(start: datetime, wall: datetime, zone: tzinfo) -> tuple[str, ...]:
    first, second = (wall.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    if first == second:
        return ()
    shown = to_local(start, zone)
    if shown != wall:
        return (f"the clock skips {wall:%H:%M} that day: starts at {shown:%H:%M}",)
    return (f"the clock shows {wall:%H:%M} twice that day: the first counts",)


def _moved(change: VEvent) -> tuple[str, ...]:
    """Return what a change says of the occurrence that it stands for."""
    assert change.changes is not None
    before = change.changes
    if before.wall == change.start.wall and before.tz == change.start.tz:
        return ("changed in the calendar for this date",)
    pattern = "%Y-%m-%d" if before.is_date else "%Y-%m-%d %H:%M"
    utc = " UTC" if str(before.tz) == "UTC" and before.tz != change.start.tz else ""
    return (f"moved in the calendar from {before.wall.strftime(pattern)}{utc}",)


def _noted(instance: Instance, notes: tuple[str, ...]) -> Instance:
    return replace(instance, notes=(*notes, *instance.notes))


_UTC = ZoneInfo("UTC")
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class LineWarning:
    """A warning, before it has a file."""

    line: int
    code: str
    message: str


def unmatched_exceptions(series: Series, budget: Budget) -> Iterator[LineWarning]:
    """Yield a warning for each EXDATE and each RECURRENCE-ID that names no occurrence."""
    master = series.master
    if master is None:
        return
    occurrences = _Occurrences(master, budget)
    for item in master.excluded:
        if not occurrences.have(item.when):
            message = f"EXDATE {_written(item.when)} excludes nothing: the event is not on then"
            yield LineWarning(item.line, "exdate-excludes-nothing", message)
    for change in series.changes:
        if change.changes and not occurrences.have(change.changes):
            message = (
                f"RECURRENCE-ID {_written(change.changes)} is no occurrence of the series; "
                "the event counts by itself"
            )
            yield LineWarning(change.at("RECURRENCE-ID"), "change-of-nothing", message)


def _written(when: DateOrTime) -> str:
    return f"{when.wall:%Y%m%d}" if when.is_date else f"{when.wall:%Y%m%dT%H%M%S}"


class _Occurrences:
    """DateOrTime a series is, before anything is excluded."""

    def __init__(self, master: VEvent, budget: Budget) -> None:
        self._master = master
        self._budget = budget
        self._zone = master.calendar_or_window_zone(_UTC)
        self._is_guess = (master.start.tz or master.calendar_zone) is None
        written = [master.start, *(extra.when for extra in master.extra)]
        self._instants = {when.instant(self._zone) for when in written}
        self._days = {to_local(instant, self._zone).date() for instant in self._instants}

    def have(self, when: DateOrTime) -> bool:
        """Tell whether *when* names one of them; true where a zone that isn't known decides."""
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
