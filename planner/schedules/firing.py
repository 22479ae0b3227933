"""When a schedule fires, by our own reading of Temporal's structured calendars."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import product
from typing import Protocol
from zoneinfo import ZoneInfo

from planner.model import Horizon
from planner.schedules.ranges import numbers_of
from planner.spec import StructuredCalendar
from workflows.contract import to_instant, to_wall

_DAY = timedelta(days=1)


class Firing(Protocol):
    """What fires: a whole schedule, or its times alone."""

    @property
    def calendars(self) -> tuple[StructuredCalendar, ...]:
        """The union of these is when it fires."""

    @property
    def timezone(self) -> str:
        """The zone on whose wall they are read."""

    @property
    def start_at(self) -> datetime | None:
        """The first nominal time that counts, if bounded."""

    @property
    def end_at(self) -> datetime | None:
        """The last nominal time that counts, if bounded."""


def firings(schedule: Firing, horizon: Horizon) -> list[datetime]:
    """Return the nominal times in *horizon* at which *schedule* fires, without jitter.

    In order and without repeats. True to the server for every schedule that is compiled
    here: in UTC, or in a zone whose clock changes lie far from its times. Whether it is
    paused makes no difference.
    """
    return list(upcoming(schedule, horizon))


def upcoming(schedule: Firing, horizon: Horizon) -> Iterator[datetime]:
    """Yield what `firings` returns, one by one: for those who need the first few only."""
    tz = ZoneInfo(schedule.timezone)
    start, end = _bounds(schedule, horizon)
    calendars = [_Reading.of(calendar) for calendar in schedule.calendars]
    if start >= end or not calendars:
        return
    last = to_wall(end, tz).date()
    years = _years(calendars)
    day = to_wall(start, tz).date()
    pending: list[datetime] = []
    while day <= last:
        if years and day.year not in years:
            day = date(day.year + 1, 1, 1)
            continue
        walls = {wall for calendar in calendars for wall in calendar.times_on(day)}
        # A clock change may carry a day's last time past the next day's first one.
        pending = sorted({*pending, *(to_instant(wall, tz) for wall in walls)})
        settled = to_instant(datetime.combine(day, time(0)), tz)
        day += _DAY
        yield from (at for at in pending if start <= at < min(end, settled))
        pending = [at for at in pending if at >= settled]
    yield from (at for at in pending if start <= at < end)


def _bounds(schedule: Firing, horizon: Horizon) -> tuple[datetime, datetime]:
    """Return the half-open span in which the schedule may fire within *horizon*."""
    start, end = horizon.start, horizon.end
    if schedule.start_at:
        start = max(start, schedule.start_at)
    if schedule.end_at:
        end = min(end, schedule.end_at + timedelta(microseconds=1))  # inclusive there
    return start.astimezone(UTC), end.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class _Reading:
    """A structured calendar as sets: quick to ask, day by day."""

    years: frozenset[int]
    months: frozenset[int]
    days: frozenset[int]
    weekdays: frozenset[int]
    times: tuple[time, ...]

    @classmethod
    def of(cls, calendar: StructuredCalendar) -> _Reading:
        """Read *calendar*; numbers that no clock or month has match nothing."""
        hours = [n for n in numbers_of(calendar.hour) if 0 <= n < 24]
        minutes = [n for n in numbers_of(calendar.minute) if 0 <= n < 60]
        seconds = [n for n in numbers_of(calendar.second) if 0 <= n < 60]
        return cls(
            years=frozenset(numbers_of(calendar.year)),
            months=frozenset(numbers_of(calendar.month)),
            days=frozenset(numbers_of(calendar.day_of_month)),
            weekdays=frozenset(numbers_of(calendar.day_of_week)),
            times=tuple(time(*at) for at in product(hours, minutes, seconds)),
        )

    def times_on(self, day: date) -> Iterator[datetime]:
        """Yield the wall times of *day* that match."""
        if (
            day.month in self.months
            and day.day in self.days
            and day.isoweekday() % 7 in self.weekdays
            and (not self.years or day.year in self.years)
        ):
            yield from (datetime.combine(day, at) for at in self.times)


def _years(calendars: list[_Reading]) -> frozenset[int]:
    """Return the years in which any of *calendars* may match; empty means every year."""
    if not all(calendar.years for calendar in calendars):
        return frozenset()
    return frozenset[int]().union(*(calendar.years for calendar in calendars))
