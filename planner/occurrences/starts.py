"""The starts of a window on the wall clock of its zone, as its recurrence writes them.

Before any roll, skip or clock change. What a new kind of recurrence starts at, and how long
it may last, goes here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from planner.model import (
    BusinessDays,
    Cron,
    Dates,
    Duration,
    Holidays,
    Horizon,
    Ical,
    Length,
    Recurrence,
    Roll,
    Rrule,
    Skip,
    Until,
    Window,
)
from planner.recurrence import ical
from planner.recurrence.business_days import BusinessCalendar, business_calendar
from planner.recurrence.cron import CronRule, days, parse, wall_times
from planner.timezones import ZoneClock, zone, zone_clock
from workflows.contract import to_wall


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """All that the times of a window depend on: windows that share it share the work."""

    recurrence: Recurrence
    length: Length | None
    timezone: str
    roll: Roll
    skip: Skip
    holidays: Holidays
    not_before: date | None
    not_after: date | None

    @property
    def tz(self) -> ZoneInfo:
        """The zone its wall times are read in."""
        return zone(self.timezone)

    @property
    def business(self) -> BusinessCalendar:
        """Its business days."""
        return business_calendar(self.holidays, self.timezone)


def pattern_of(window: Window) -> Pattern:
    """Return the pattern of *window*; its holidays only where the times depend on them."""
    return Pattern(
        recurrence=window.recurrence,
        length=window.length,
        timezone=window.timezone,
        roll=window.roll,
        skip=window.skip,
        holidays=window.holidays if _heeds_business_days(window) else Holidays(),
        not_before=window.not_before,
        not_after=window.not_after,
    )


def _heeds_business_days(window: Window) -> bool:
    return (
        window.roll != "none"
        or window.skip.weekends
        or window.skip.holidays
        or isinstance(window.recurrence, BusinessDays)
    )


START_LIMIT = 400_000
"""Starts of one cron that are looked at together: every five minutes for three years.

Events and rules have limits of their own (planner.recurrence.ical).
"""

EARLIEST = date(1971, 1, 1)
LATEST = date(2199, 12, 31)
"""The local dates between which there are starts; nothing recurs outside of them."""

_DAY = timedelta(days=1)


class TooManyStarts(ValueError):
    """A recurrence with more starts in the span than are looked at, in a sentence."""


@dataclass(frozen=True, slots=True)
class Through:
    """A length up to a written wall time, naive; it moves along with a rolled start."""

    wall: datetime


Lasts = Duration | Until | Through


class Start(NamedTuple):
    """One start as it is written: naive wall time, and how long it lasts by itself.

    A tuple, as are those it becomes: there are hundreds of thousands of them.

    *instant* and *end* are set where the wall time alone doesn't say them: the second
    showing of a repeated hour, an iCal event with its own zone. A roll drops them.
    """

    wall: datetime
    lasts: Lasts | None = None
    instant: datetime | None = None
    end: datetime | None = None
    notes: tuple[str, ...] = ()


def starts(
    recurrence: Recurrence, business: BusinessCalendar, timezone: str, first: date, last: date
) -> tuple[Start, ...]:
    """Return the starts from the local date *first* to *last*, both included.

    Args:
        recurrence: What the window recurs by.
        business: Its business days; only `BusinessDays` asks for them.
        timezone: The zone of the wall times.
        first: The first local date.
        last: The last local date.

    Raises:
        TooManyStarts: There are more than are looked at.
    """
    first, last = max(first, EARLIEST), min(last, LATEST)
    if first > last:
        return ()
    return tuple(_written(recurrence, business, timezone, first, last))


def _written(
    recurrence: Recurrence, business: BusinessCalendar, timezone: str, first: date, last: date
) -> Iterator[Start]:
    match recurrence:
        case Cron():
            return _cron(recurrence, timezone, first, last)
        case Rrule():
            return _rrule(recurrence, timezone, first, last)
        case Ical():
            return _ical(recurrence, timezone, first, last)
        case BusinessDays():
            return _business_days(recurrence, business, first, last)
        case Dates():
            return _dates(recurrence, first, last)


def _cron(cron: Cron, timezone: str, first: date, last: date) -> Iterator[Start]:
    rules = [parse(expression) for expression in cron.expressions]
    _refuse_too_many(rules, cron, first, last)
    for rule in rules:
        walls = wall_times(rule, cron.day_match, first, last)
        if rule.every_hour:
            yield from _every_showing(walls, zone_clock(timezone, first.year, last.year))
        else:
            yield from map(Start, walls)


def _refuse_too_many(rules: Iterable[CronRule], cron: Cron, first: date, last: date) -> None:
    """Raise if the rules name more than `START_LIMIT` wall times; none is made to know it."""
    most = sum(len(rule.times) for rule in rules) * ((last - first).days + 1)
    if most <= START_LIMIT:
        return
    named = sum(
        len(rule.times) * sum(1 for _ in days(rule, cron.day_match, first, last)) for rule in rules
    )
    if named > START_LIMIT:
        raise TooManyStarts(
            f"starts more than {START_LIMIT:,} times from {first} to {last}; "
            "look at fewer days, or start less often"
        )


def _every_showing(walls: Iterable[datetime], table: ZoneClock) -> Iterator[Start]:
    """Yield the starts of a rule for every hour: each time that the clock shows them."""
    for wall in walls:
        first, change = table.read(wall)
        if change is None:
            yield Start(wall, instant=first)
        elif change.is_gap:
            yield Start(wall)
        else:
            note = f"{wall:%H:%M} is shown twice; this is the"
            yield Start(wall, instant=first, notes=(f"{note} first",))
            yield Start(wall, instant=table.second_instant(wall), notes=(f"{note} second",))


def _rrule(rrule: Rrule, timezone: str, first: date, last: date) -> Iterator[Start]:
    try:
        walls = ical.expand_rule(rrule.rule, rrule.start, first, last, timezone)
    except ValueError as error:
        raise TooManyStarts(f"rrule {rrule.rule!r}: {error}") from error
    return map(Start, walls)


def _ical(recurrence: Ical, timezone: str, first: date, last: date) -> Iterator[Start]:
    """Yield the events as starts; a day of margin on each side, since zones differ."""
    tz = zone(timezone)
    horizon = Horizon(_midnight(first - _DAY), _midnight(last + 2 * _DAY))
    for event in ical.expand(recurrence.file, recurrence.match, timezone, horizon):
        wall, end_wall = to_wall(event.start, tz), to_wall(event.end, tz)
        if first <= wall.date() <= last:
            lasts = Through(end_wall) if event.all_day else Duration(event.end - event.start)
            yield Start(wall, lasts, event.start, event.end, event.notes)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _business_days(
    recurrence: BusinessDays, business: BusinessCalendar, first: date, last: date
) -> Iterator[Start]:
    year, month = first.year, first.month
    while (year, month) <= (last.year, last.month):
        for n in recurrence.ordinals if month in recurrence.months else ():
            day = business.nth_business_day(year, month, n)
            if day and first <= day <= last:
                yield Start(datetime.combine(day, recurrence.at))
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)


def _dates(recurrence: Dates, first: date, last: date) -> Iterator[Start]:
    for span in recurrence.spans:
        if first <= span.start.date() <= last:
            yield Start(span.start, Through(span.end) if span.end else None)


LONGEST_NIGHT = timedelta(days=2)
"""More than any window up to a wall time lasts, whatever the clock does."""


def longest(pattern: Pattern) -> timedelta:
    """Return a length that no run of *pattern* exceeds.

    Spans and events are measured on the wall; the clock may change in them, by up to a
    whole day where a zone skipped a date, and a day is there for a roll.

    Raises:
        InputError: Its iCalendar file has problems.
    """
    lengths = [LONGEST_NIGHT]
    if isinstance(pattern.length, Duration):
        lengths.append(pattern.length.elapsed)
    match pattern.recurrence:
        case Dates(spans):
            lengths += [span.end - span.start + LONGEST_NIGHT for span in spans if span.end]
        case Ical(file=file) if pattern.length is None:
            lengths.append(ical.longest(file) + LONGEST_NIGHT)
    return max(lengths)
