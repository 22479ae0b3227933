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
    Window,
)
from planner.recurrence import ical
from planner.recurrence.business_days import BusinessCalendar, business_calendar
from planner.recurrence.cron import days, parse, wall_times
from planner.timezones import ZoneClock, zone, zone_clock
from workflows.contract import Until, to_wall

START_LIMIT = 400_000
"""Starts of one cron in one expansion: every five minutes for three years.

Events and rules have limits of their own (`planner.recurrence.ical`).
"""

EARLIEST = date(1971, 1, 1)
LATEST = date(2199, 12, 31)
"""The first and last local date with starts."""

LONGEST_NIGHT = timedelta(days=2)
"""Longer than any window up to the next wall time, whatever the clock does."""

_DAY = timedelta(days=1)


class TooManyStarts(ValueError):
    """A recurrence has more starts in the span than the limit, in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """Everything that the times of a window depend on; windows with equal ones share results."""

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
        """The zone of its wall times."""
        return zone(self.timezone)

    @property
    def business(self) -> BusinessCalendar:
        """Its business days."""
        return business_calendar(self.holidays, self.timezone)


def pattern_of(window: Window) -> Pattern:
    """Return the pattern of *window*; with its holidays only if the times depend on them."""
    # A region's holidays also say which weekdays are its weekend.
    needs_holidays = window.skip.weekends or depends_on_holidays(window)
    return Pattern(
        recurrence=window.recurrence,
        length=window.length,
        timezone=window.timezone,
        roll=window.roll,
        skip=window.skip,
        holidays=window.holidays if needs_holidays else Holidays(),
        not_before=window.not_before,
        not_after=window.not_after,
    )


def depends_on_holidays(window: Window) -> bool:
    """Tell whether the holidays of *window* decide when it runs."""
    return (
        window.roll != "none" or window.skip.holidays or isinstance(window.recurrence, BusinessDays)
    )


@dataclass(frozen=True, slots=True)
class EndsAt:
    """A length up to a naive wall time on a date; a roll moves it along with the start."""

    wall: datetime


StartLength = Duration | Until | EndsAt


class Start(NamedTuple):
    """One start as the recurrence writes it: a naive wall time, maybe with a length.

    *instant* and *end* are set where they don't follow from the wall time: in the second
    showing of a repeated hour, for an iCal event with its own zone. A roll drops them. A
    named tuple, like what it becomes, since there are hundreds of thousands of them.
    """

    wall: datetime
    length: StartLength | None = None
    instant: datetime | None = None
    end: datetime | None = None
    notes: tuple[str, ...] = ()


def starts(
    recurrence: Recurrence,
    business: BusinessCalendar,
    timezone: str,
    first: date,
    last: date,
    *,
    has_length: bool = False,
) -> tuple[Start, ...]:
    """Return the starts from the local date *first* to *last*, both included.

    Args:
        recurrence: What the window recurs by.
        business: Its business days; only `BusinessDays` depends on them.
        timezone: The zone of the wall times.
        first: The first local date.
        last: The last local date.
        has_length: The window brings its own length, so that iCal events need none.

    Raises:
        TooManyStarts: There are more than the limit.
    """
    first, last = max(first, EARLIEST), min(last, LATEST)
    if first > last:
        return ()
    match recurrence:
        case Cron():
            found = _cron(recurrence, timezone, first, last)
        case Rrule():
            found = _rrule(recurrence, timezone, first, last)
        case Ical():
            found = _ical(recurrence, timezone, first, last, has_length)
        case BusinessDays():
            found = _business_days(recurrence, business, first, last)
        case Dates(spans):
            found = (
                Start(span.start, EndsAt(span.end) if span.end else None)
                for span in spans
                if first <= span.start.date() <= last
            )
    return tuple(found)


def _cron(cron: Cron, timezone: str, first: date, last: date) -> Iterator[Start]:
    rules = [parse(expression) for expression in cron.expressions]
    # Refused before any start is made: first by the most there can be, then by the days.
    length = (last - first).days + 1
    if sum(len(rule.times) for rule in rules) * length > START_LIMIT:
        named = sum(
            len(rule.times) * sum(1 for _ in days(rule, cron.day_match, first, last))
            for rule in rules
        )
        if named > START_LIMIT:
            raise TooManyStarts(
                f"starts more than {START_LIMIT:,} times from {first} to {last}; "
                "look at fewer days, or start less often"
            )
    for rule in rules:
        walls = wall_times(rule, cron.day_match, first, last)
        if rule.every_hour:
            yield from _every_showing(walls, zone_clock(timezone, first.year, last.year))
        else:
            yield from map(Start, walls)


def _every_showing(walls: Iterable[datetime], table: ZoneClock) -> Iterator[Start]:
    """Yield the starts of a rule for every hour: twice in an hour that the clock repeats."""
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


def _ical(
    recurrence: Ical, timezone: str, first: date, last: date, has_length: bool
) -> Iterator[Start]:
    """Yield the events as starts; with a day of margin on each side, since zones differ."""
    tz = zone(timezone)
    horizon = Horizon(_midnight(first - _DAY), _midnight(last + 2 * _DAY))
    file, match = recurrence.file, recurrence.match
    for event in ical.expand(file, match, timezone, horizon, has_length=has_length):
        wall, end_wall = to_wall(event.start, tz), to_wall(event.end, tz)
        if first <= wall.date() <= last:
            length = EndsAt(end_wall) if event.all_day else Duration(event.end - event.start)
            yield Start(wall, length, event.start, event.end, event.notes)


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


def longest(pattern: Pattern) -> timedelta:
    """Return a length that no run of *pattern* exceeds.

    Dates and events are measured by the wall clock, which may change by up to a day where
    a zone skipped a date; another day allows for a roll.

    Raises:
        InputError: Its iCalendar file has problems.
    """
    lengths = [LONGEST_NIGHT]
    match pattern.length:
        case Duration(elapsed):
            lengths.append(elapsed)
        case Until(weekday=weekday, days=days):
            lengths.append(LONGEST_NIGHT + timedelta(days=days if weekday is None else 7))
    match pattern.recurrence:
        case Dates(spans):
            lengths += [span.end - span.start + LONGEST_NIGHT for span in spans if span.end]
        case Ical(file, match) if pattern.length is None:
            lengths.append(ical.longest(file, match) + LONGEST_NIGHT)
    return max(lengths)
