"""What a cron expression says, as values, and which days of a month it means."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Literal

DayMatch = Literal["any", "all"]
"""What two restricted day fields mean: a day that either names, or one that both do."""

# Days of the month -------------------------------------------------------------------


@dataclass(frozen=True, slots=True, order=True)
class Day:
    """``15``: this day; months without it have none."""

    day: int

    def in_month(self, year: int, month: int) -> Iterator[int]:
        """Yield the days of the month that it means."""
        if self.day <= _length(year, month):
            yield self.day


@dataclass(frozen=True, slots=True, order=True)
class Last:
    """``L``, ``L-2``: so many days before the last day; shorter months have none."""

    offset: int = 0

    def in_month(self, year: int, month: int) -> Iterator[int]:
        """Yield the days of the month that it means."""
        if (day := _length(year, month) - self.offset) > 0:
            yield day


@dataclass(frozen=True, slots=True)
class NearestWeekday:
    """``15W``, ``LW``: the weekday (Monday to Friday) nearest to a day, in its own month.

    *day* is None for the last day. A month without the day has none, as in Quartz: 31W
    means nothing in June; LW is the last weekday of every month.
    """

    day: int | None = None

    def in_month(self, year: int, month: int) -> Iterator[int]:
        """Yield the days of the month that it means."""
        length = _length(year, month)
        day = self.day or length
        if day > length:
            return
        weekday = date(year, month, day).weekday()
        if weekday == 5:
            yield day - 1 if day > 1 else 3
        elif weekday == 6:
            yield day + 1 if day < length else day - 2
        else:
            yield day


DayTerm = Day | Last | NearestWeekday

# Days of the week: Sunday is 0, as in cron and in Temporal's calendars ----------------


@dataclass(frozen=True, slots=True, order=True)
class Weekday:
    """``fri``: every such day of the week; Sunday is 0."""

    weekday: int

    def in_month(self, year: int, month: int) -> Iterator[int]:
        """Yield the days of the month that it means."""
        yield from range(_first(year, month, self.weekday), _length(year, month) + 1, 7)


@dataclass(frozen=True, slots=True, order=True)
class Nth:
    """``fri#3``: the n-th such day of the month; months without a fifth one have none."""

    weekday: int
    n: int

    def in_month(self, year: int, month: int) -> Iterator[int]:
        """Yield the days of the month that it means."""
        day = _first(year, month, self.weekday) + 7 * (self.n - 1)
        if day <= _length(year, month):
            yield day


@dataclass(frozen=True, slots=True, order=True)
class LastWeekday:
    """``friL``: the last such day of the month."""

    weekday: int

    def in_month(self, year: int, month: int) -> Iterator[int]:
        """Yield the days of the month that it means."""
        yield max(Weekday(self.weekday).in_month(year, month))


WeekdayTerm = Weekday | Nth | LastWeekday


@lru_cache(maxsize=4096)
def _length(year: int, month: int) -> int:
    return monthrange(year, month)[1]


def _first(year: int, month: int, weekday: int) -> int:
    """Return the first day of the month that is a *weekday*, Sunday as 0."""
    return 1 + (weekday - date(year, month, 1).isoweekday()) % 7


# The rule ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class CronRule:
    """A cron expression, read: sorted values without repeats.

    *every_hour* is set where the hour field is ``*``: the rule then runs in every real
    hour, also in one the clock shows twice. Any other hour field names wall times. A day
    field that is ``*`` restricts nothing; every other one does, whatever it amounts to.
    """

    expression: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[DayTerm, ...]
    months: tuple[int, ...]
    weekdays: tuple[WeekdayTerm, ...]
    every_hour: bool = False
    restricts_day_of_month: bool = False
    restricts_weekday: bool = False

    @property
    def needs_day_match(self) -> bool:
        """Whether both day fields are restricted, which engines read in different ways."""
        return self.restricts_day_of_month and self.restricts_weekday

    @property
    def times(self) -> tuple[time, ...]:
        """The times of day it starts at, in order."""
        return tuple(time(hour, minute) for hour in self.hours for minute in self.minutes)


def days_in_month(
    rule: CronRule, day_match: DayMatch | None, year: int, month: int
) -> tuple[int, ...]:
    """Return the days of the month on which *rule* starts, in order.

    Args:
        rule: A rule that was read.
        day_match: How two restricted day fields meet; else it makes no difference.
        year: A year of the Gregorian calendar.
        month: 1 to 12.

    Raises:
        ValueError: Both day fields are restricted and *day_match* is None.
    """
    if month not in rule.months:
        return ()
    if rule.needs_day_match and day_match is None:
        raise ValueError(f"cron {rule.expression!r} restricts both day fields: say day_match")
    fields = [
        {day for term in terms for day in term.in_month(year, month)}
        for terms, restricts in (
            (rule.days, rule.restricts_day_of_month),
            (rule.weekdays, rule.restricts_weekday),
        )
        if restricts
    ]
    if not fields:
        return tuple(range(1, _length(year, month) + 1))
    meet = set.union if day_match == "any" else set.intersection
    return tuple(sorted(meet(*fields)))


def days(rule: CronRule, day_match: DayMatch | None, first: date, last: date) -> Iterator[date]:
    """Yield the days from *first* to *last*, both included, on which *rule* starts."""
    year, month = first.year, first.month
    while (year, month) <= (last.year, last.month):
        for number in days_in_month(rule, day_match, year, month):
            day = date(year, month, number)
            if first <= day <= last:
                yield day
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)


def wall_times(
    rule: CronRule, day_match: DayMatch | None, first: date, last: date
) -> Iterator[datetime]:
    """Yield the naive wall times that *rule* names from *first* to *last*, both included.

    In order and without repeats; the clock's changes are the caller's business.
    """
    times = rule.times
    for day in days(rule, day_match, first, last):
        for at in times:
            yield datetime.combine(day, at)


_CYCLE = (date(2000, 1, 1), date(2028, 1, 1) - timedelta(days=1))
"""28 years hold each kind of month there is between 1901 and 2099: length and weekdays."""


def never_fires(rule: CronRule, day_match: DayMatch | None = None) -> bool:
    """Tell whether there is no day at all on which *rule* starts: 31 April, for one.

    Two restricted day fields without a *day_match* are read as ``any``: whether they can
    be met together isn't known yet.
    """
    return next(days(rule, day_match or "any", *_CYCLE), None) is None
