"""When a schedule fires: our own reading of Temporal's structured calendars."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import product
from typing import Protocol

from planner.model import Horizon
from planner.schedules.calendars import numbers_of
from planner.schedules.spec import Ranges, StructuredCalendar
from planner.timezones import zone, zone_clock
from workflows.contract import to_wall

FEW_TIMES = 4
"""Times of day up to which a whole year is read at once."""

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
    calendars = [
        (calendar.numbers[:4], _times_of(calendar.numbers[4:]))
        for calendar in _within(schedule.calendars, first, last)
    ]
    if not calendars:
        return
    by_month = sum(len(times) for _, times in calendars) > FEW_TIMES
    table = zone_clock(schedule.timezone, first.year, last.year)
    late: list[datetime] = []
    for year, begin, past in _parts(first, last, by_month=by_month):
        walls = {
            datetime.combine(day, at)
            for days, times in calendars
            for day in _days_in(days, year, begin, past)
            for at in times
        }
        # A clock change may carry a part's last time past the next part's first one.
        found = sorted({*late, *table.instants(sorted(walls))})
        following = date(year + past // 13, (past - 1) % 12 + 1, 1)
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


def _parts(first: date, last: date, *, by_month: bool) -> Iterator[tuple[int, int, int]]:
    """Yield the years from *first* to *last*, or their months: year, first month, month after."""
    for year in range(first.year, last.year + 1):
        begin = first.month if year == first.year else 1
        past = last.month + 1 if year == last.year else 13
        if by_month:
            yield from ((year, month, month + 1) for month in range(begin, past))
        else:
            yield year, begin, past


@lru_cache(maxsize=4096)
def _days_in(days: tuple[Ranges, ...], year: int, begin: int, past: int) -> tuple[date, ...]:
    """Return the days of *year* that a calendar selects, from the month *begin* to before *past*.

    Args:
        days: Its fields year, month, day of the month and weekday.
        year: A year of the Gregorian calendar.
        begin: The first month.
        past: The month after the last one.
    """
    years, months, numbers, weekdays = (frozenset(numbers_of(field)) for field in days)
    if years and year not in years:
        return ()
    found = []
    for month in sorted(months.intersection(range(begin, past))):
        first, length = monthrange(year, month)  # Monday is 0 here, Sunday is 0 in weekdays
        found += [
            date(year, month, day)
            for day in sorted(numbers)
            if 1 <= day <= length and (first + day) % 7 in weekdays
        ]
    return tuple(found)


@lru_cache(maxsize=4096)
def _times_of(times: tuple[Ranges, ...]) -> tuple[time, ...]:
    """Return the times of day of a calendar's hours, minutes and seconds.

    Numbers that no clock shows match nothing.
    """
    hours, minutes, seconds = (
        [number for number in numbers_of(field) if 0 <= number < limit]
        for field, limit in zip(times, (24, 60, 60), strict=True)
    )
    return tuple(time(*at) for at in product(hours, minutes, seconds))
