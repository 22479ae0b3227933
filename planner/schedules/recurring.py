"""Windows as recurring calendars: for ever, on the wall clock of their own zone.

A window recurs when its firings follow from date, weekday and leap year alone, and none
of them, ever, comes near a clock change: Temporal reads wall times around those in its
own way (docs/decisions/0005-recurring-or-dated.md). Everything else is dated.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache, partial
from typing import NamedTuple

from planner import timezones
from planner.config.scalars import FIRST_YEAR, LAST_YEAR
from planner.model import BusinessDays, Cron, Holidays
from planner.occurrences.expand import Pattern
from planner.recurrence import cron
from planner.recurrence.business_days import BusinessCalendar
from planner.schedules.calendars import YearDays, calendars_of, index_of, year_boxes
from planner.schedules.spec import StructuredCalendar
from workflows.contract import to_instant

MARGIN = timedelta(hours=1)
"""The least distance of a firing, and of its start, from the wall times that a clock change
skips or repeats; windows with nearer ones are dated."""

SHIFT_LIMIT = 27
"""The most days between firing and start of a recurring window."""

_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_MIDNIGHT = time(0)

Times = dict[time, YearDays]
"""The days of each time of day."""


@dataclass(frozen=True, slots=True)
class Recurring:
    """Calendars on the wall clock of a zone, between the first and last nominal time."""

    calendars: tuple[StructuredCalendar, ...]
    timezone: str
    start_at: datetime | None
    end_at: datetime | None


def recurring(pattern: Pattern, ahead: timedelta, year: int) -> Recurring | None:
    """Return the calendars that fire exactly for *pattern*, from *year* on and for ever.

    None if there are none: the window must be dated.

    Args:
        pattern: The times of a window.
        ahead: How long before its start a firing is.
        year: The first year in which they must be exact.
    """
    starts = _starts(pattern)
    fires = starts and _moved_ahead(_kept(starts, pattern, year), ahead)
    if not fires:
        return None
    together: dict[YearDays, list[time]] = defaultdict(list)
    for at in sorted(fires):
        together[fires[at]].append(at)
    near = _days_to_avoid(pattern.timezone, year, ahead, *_dates(pattern))
    if any(_fires_near(days, times, near) for days, times in together.items()):
        return None
    calendars = sorted(
        calendar
        for days, times in together.items()
        for calendar in calendars_of(year_boxes(days), times)
    )
    return Recurring(tuple(calendars), pattern.timezone, *_bounds(pattern, ahead))


# Starts on the wall --------------------------------------------------------------------


def _starts(pattern: Pattern) -> Times | None:
    """Return the starts of the recurrence before roll and skip; None if not by `YearDays`."""
    match pattern.recurrence:
        case Cron(expressions, day_match):
            return _cron_starts(expressions, day_match)
        case BusinessDays(ordinals, at, months) if not _has_holidays(pattern.holidays):
            calendar = pattern.business

            def days_of(year: int, month: int) -> Iterator[int]:
                if month in months:
                    found = (calendar.nth_business_day(year, month, n) for n in ordinals)
                    yield from (day.day for day in found if day)

            return {at: YearDays.sampled(days_of)}
    return None


def _cron_starts(expressions: tuple[str, ...], day_match: cron.DayMatch | None) -> Times:
    starts: Times = {}
    for expression in expressions:
        # Expressions with equal day fields share the work of finding their days.
        days = _cron_days(cron.at_midnight(expression), day_match)
        for at in cron.parse(expression).times:
            starts[at] = starts[at] | days if at in starts else days
    return starts


@lru_cache(maxsize=1024)
def _cron_days(expression: str, day_match: cron.DayMatch | None) -> YearDays:
    return YearDays.sampled(partial(cron.days_in_month, cron.parse(expression), day_match))


def _has_holidays(holidays: Holidays) -> bool:
    return bool(holidays.regions or holidays.calendars or holidays.days)


def _kept(starts: Times, pattern: Pattern, year: int) -> Times | None:
    """Return *starts* after roll and skip; None if those depend on more than weekdays."""
    skip, holidays = pattern.skip, pattern.holidays
    if skip.days or skip.calendars or (_has_holidays(holidays) and skip.holidays):
        return None
    weekend = _weekend(pattern.business, year) if skip.weekends or pattern.roll != "none" else ()
    if weekend is None or (pattern.roll != "none" and _has_holidays(holidays)):
        return None
    week = [date(2000, 6, 4) + n * _DAY for n in range(7)]  # from a Sunday on
    shifts = tuple((pattern.business.roll(day, pattern.roll) - day).days for day in week)
    kept: Times = {}
    for at, days in starts.items():
        rolled = days if pattern.roll == "none" else _rolled(days, shifts)
        if rolled is None:
            return None
        kept[at] = rolled.on(set(range(7)).difference(weekend)) if skip.weekends else rolled
    return kept


@lru_cache(maxsize=1024)
def _rolled(days: YearDays, shifts: tuple[int, ...]) -> YearDays | None:
    """Return *days* moved by the number of days of their weekday, Sunday's first."""
    return days.rolled(dict(enumerate(shifts)))


@lru_cache(maxsize=1024)
def _weekend(calendar: BusinessCalendar, year: int) -> tuple[int, ...] | None:
    """Return the weekdays of the weekend, Sunday as 0; None if it isn't the same every week.

    A region's weekend is looked up for *year* and the two after it, the span of a dated
    schedule: a later change is seen by a later compile.
    """
    first, end = date(year, 1, 1), date(year + 3, 1, 1)
    days = [first + n * _DAY for n in range((end - first).days)]
    weekend = {day.isoweekday() % 7 for day in days if calendar.is_weekend(day)}
    steady = all(calendar.is_weekend(day) == (day.isoweekday() % 7 in weekend) for day in days)
    return tuple(sorted(weekend)) if steady else None


# Firings on the wall -------------------------------------------------------------------


def _moved_ahead(starts: Times | None, ahead: timedelta) -> Times | None:
    """Return the firings for *starts*, which are *ahead* earlier, maybe on a day before."""
    if starts is None or ahead > SHIFT_LIMIT * _DAY:
        return None
    fires: Times = {}
    for at, days in starts.items():
        wall = datetime.combine(date(2000, 6, 15), at) - ahead
        moved = days.moved((wall.date() - date(2000, 6, 15)).days)
        if moved is None:
            return None
        fires[wall.time()] = fires[wall.time()] | moved if wall.time() in fires else moved
    return fires


# From and to ---------------------------------------------------------------------------


def _bounds(pattern: Pattern, ahead: timedelta) -> tuple[datetime | None, datetime | None]:
    """Return the first and the last instant for firings within the pattern's dates."""
    first, last = _dates(pattern)
    start = _midnight(pattern, first) - ahead if first else None
    end = _midnight(pattern, last + _DAY) - ahead - _SECOND if last else None
    return start, end


def _dates(pattern: Pattern) -> tuple[date | None, date | None]:
    """Return the pattern's first and last day; None for those beyond Temporal's years."""
    first, last = pattern.not_before, pattern.not_after
    return (
        first if first and first.year >= FIRST_YEAR else None,
        last if last and last.year <= LAST_YEAR else None,
    )


def _midnight(pattern: Pattern, day: date) -> datetime:
    return to_instant(datetime.combine(day, _MIDNIGHT), pattern.tz)


# Clock changes -------------------------------------------------------------------------


class _Avoided(NamedTuple):
    """The times of one day that no firing may have: after *low* and before *high*, if bounded.

    *row* and *weekday* find the day in `YearDays.masks`.
    """

    row: int
    weekday: int
    low: time | None
    high: time | None


@lru_cache(maxsize=1024)
def _days_to_avoid(
    timezone: str, year: int, ahead: timedelta, first: date | None, last: date | None
) -> tuple[_Avoided, ...]:
    """Return the times in which no firing of a pattern may be, day by day.

    From so long before a clock change that the start would come near it, to its end. Clock
    changes outside the pattern's own dates, from *first* to *last*, are left out.
    """
    found = []
    for low, high in near_walls(timezone, year):
        if first:
            low = max(low, datetime.combine(first, _MIDNIGHT) - _SECOND)
        if last:
            high = min(high, datetime.combine(last + _DAY, _MIDNIGHT) - ahead)
        low -= ahead
        for offset in range((high.date() - low.date()).days + 1):  # none where low is after high
            day = low.date() + offset * _DAY
            after = low.time() if offset == 0 else None
            before = high.time() if day == high.date() else None
            found.append(_Avoided(index_of(day), day.isoweekday() % 7, after, before))
    return tuple(found)


def _fires_near(days: YearDays, times: list[time], near: tuple[_Avoided, ...]) -> bool:
    """Tell whether one of *times*, in order, on *days* is one to avoid."""
    masks = days.masks
    for row, weekday, low, high in near:
        if masks[row] >> weekday & 1:
            begin = bisect_right(times, low) if low else 0
            end = bisect_left(times, high) if high else len(times)
            if begin < end:
                return True
    return False


@lru_cache(maxsize=1024)
def near_walls(timezone: str, year: int) -> tuple[tuple[datetime, datetime], ...]:
    """Return the wall times within `MARGIN` of each clock change from *year* on.

    A gap over midnight takes its whole day along: Temporal derives the weekday from that
    midnight, which falls on the day before.
    """
    start, end = datetime(year, 1, 1, tzinfo=UTC), datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC)
    found = []
    for change in timezones.clock_changes(timezone, start - _DAY, end + _DAY):
        low, high = change.low - MARGIN, change.high + MARGIN
        midnight = datetime.combine(change.high, _MIDNIGHT)
        if change.is_gap and change.low <= midnight:
            low = min(low, datetime.combine(change.low, _MIDNIGHT))
            high = max(high, midnight + _DAY)
        found.append((low, high))
    return tuple(found)
