"""When a schedule fires: our own reading of Temporal's structured calendars."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import product
from typing import Protocol

from planner.model import Horizon
from planner.schedules.calendars import numbers_of
from planner.schedules.spec import Ranges, StructuredCalendar
from planner.timezones import zone, zone_clock
from workflows.contract import to_wall

FEW_DAYS = 8
"""Days up to which a calendar is first asked whether it has any of them."""


class ScheduleTimes(Protocol):
    """The times of a schedule: a `Schedule`, or what it is compiled from."""

    @property
    def calendars(self) -> tuple[StructuredCalendar, ...]:
        """It fires at the union of these."""

    @property
    def timezone(self) -> str:
        """The zone of the calendars' wall-clock times."""

    @property
    def start_at(self) -> datetime | None:
        """The first possible nominal time, if bounded."""

    @property
    def end_at(self) -> datetime | None:
        """The last possible nominal time, if bounded."""


def firings(schedule: ScheduleTimes, horizon: Horizon) -> list[datetime]:
    """Return the nominal times in *horizon* at which *schedule* fires, without jitter.

    In order and without repeats. Equal to the server's own for every schedule that the
    planner compiles: in UTC, or in a zone whose clock changes are far from its times. A
    paused schedule fires like any other here.
    """
    return list(upcoming(schedule, horizon))


def upcoming(schedule: ScheduleTimes, horizon: Horizon) -> Iterator[datetime]:
    """Yield the times of `firings` lazily."""
    start, end = _bounds(schedule, horizon)
    if start >= end:
        return
    tz = zone(schedule.timezone)
    first, last = to_wall(start, tz).date(), to_wall(end, tz).date()
    calendars = [_Sets.of(calendar) for calendar in _within(schedule.calendars, first, last)]
    if not calendars:
        return
    table = zone_clock(schedule.timezone, first.year, last.year)
    late: list[datetime] = []
    for year, month in _months(first, last):
        walls = {wall for calendar in calendars for wall in calendar.times_in(year, month)}
        # A clock change may carry a month's last time past the next month's first one.
        found = sorted({*late, *map(table.instant, walls)})
        following = date(year + month // 12, month % 12 + 1, 1)
        settled = table.instant(datetime.combine(following, time(0)))
        yield from (at for at in found if start <= at < min(end, settled))
        late = [at for at in found if at >= settled]
    yield from (at for at in late if start <= at < end)


def _bounds(schedule: ScheduleTimes, horizon: Horizon) -> tuple[datetime, datetime]:
    """Return the half-open span of *horizon* in which the schedule may fire."""
    start, end = horizon.start, horizon.end
    if schedule.start_at:
        start = max(start, schedule.start_at)
    if schedule.end_at:
        end = min(end, schedule.end_at + timedelta(microseconds=1))  # inclusive there
    return start.astimezone(UTC), end.astimezone(UTC)


def _within(
    calendars: tuple[StructuredCalendar, ...], first: date, last: date
) -> Iterable[StructuredCalendar]:
    """Return the *calendars* that may match a day from *first* to *last*.

    To read a calendar takes longer than to see that it has none of a few days.
    """
    count = (last - first).days + 1
    if count > FEW_DAYS:
        return calendars
    days = [first + timedelta(days=number) for number in range(count)]
    return (calendar for calendar in calendars if any(_has(calendar, day) for day in days))


def _has(calendar: StructuredCalendar, day: date) -> bool:
    """Tell whether *calendar* matches *day*, at whatever time."""
    return (
        _holds(calendar.month, day.month)
        and _holds(calendar.day_of_month, day.day)
        and (not calendar.year or _holds(calendar.year, day.year))
        and _holds(calendar.day_of_week, day.isoweekday() % 7)
    )


def _holds(ranges: Ranges, number: int) -> bool:
    return any(
        one.start <= number <= one.end and (number - one.start) % one.step == 0 for one in ranges
    )


def _months(first: date, last: date) -> Iterator[tuple[int, int]]:
    """Yield each year and month from that of *first* to that of *last*."""
    for number in range(first.year * 12 + first.month - 1, last.year * 12 + last.month):
        yield number // 12, number % 12 + 1


@dataclass(frozen=True, slots=True)
class _Sets:
    """The fields of a structured calendar as sets, for fast lookups month by month."""

    years: frozenset[int]
    months: frozenset[int]
    days: tuple[int, ...]
    weekdays: frozenset[int]
    times: tuple[time, ...]

    @classmethod
    def of(cls, calendar: StructuredCalendar) -> _Sets:
        """Return the sets of *calendar*; numbers that no clock shows match nothing."""
        hours = [n for n in numbers_of(calendar.hour) if 0 <= n < 24]
        minutes = [n for n in numbers_of(calendar.minute) if 0 <= n < 60]
        seconds = [n for n in numbers_of(calendar.second) if 0 <= n < 60]
        return cls(
            years=frozenset(numbers_of(calendar.year)),
            months=frozenset(numbers_of(calendar.month)),
            days=tuple(numbers_of(calendar.day_of_month)),
            weekdays=frozenset(numbers_of(calendar.day_of_week)),
            times=tuple(time(*at) for at in product(hours, minutes, seconds)),
        )

    def times_in(self, year: int, month: int) -> Iterator[datetime]:
        """Yield the matching wall times of a month, in any order."""
        if month not in self.months or (self.years and year not in self.years):
            return
        first, length = monthrange(year, month)  # Monday is 0 here, Sunday is 0 in weekdays
        for day in self.days:
            if 1 <= day <= length and (first + day) % 7 in self.weekdays:
                found = date(year, month, day)
                yield from (datetime.combine(found, at) for at in self.times)
