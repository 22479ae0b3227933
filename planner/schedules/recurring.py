"""Windows as recurring calendars: for ever, on the wall clock of their own zone.

A window recurs when its firings follow from date, weekday and leap year alone, and none
of them, ever, comes near a clock change: Temporal reads wall times around those in its
own way (docs/decisions/0005-recurring-or-dated.md). Everything else is dated.

First the calendars themselves, few for a set of days and times: `calendars_of` for boxes of
days, `dated_calendars` for instants, as UTC calendars that no clock change affects, and
`YearDays` for days that recur every year.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from calendar import isleap, monthrange
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache, partial
from itertools import product
from typing import NamedTuple, TypeVar

from planner import timezones
from planner.config.scalars import FIRST_YEAR, LAST_YEAR
from planner.model import BusinessDays, Cron, Holidays
from planner.occurrences.expand import Pattern
from planner.recurrence import cron
from planner.recurrence.business_days import BusinessCalendar
from planner.schedules.spec import Range, Ranges, StructuredCalendar
from workflows.contract import to_instant

A = TypeVar("A", bound=Hashable)
B = TypeVar("B", bound=Hashable)
K = TypeVar("K", bound=Hashable)

TimeBox = tuple[frozenset[int], frozenset[int], frozenset[int]]
"""Hours, minutes and seconds; it holds every combination of them."""


@dataclass(frozen=True, slots=True)
class DayBox:
    """Every day whose year, month, day and weekday (Sunday as 0) are all among these.

    No *years* means every year.
    """

    years: Ranges
    months: frozenset[int]
    days: frozenset[int]
    weekdays: frozenset[int]


def calendars_of(boxes: Iterable[DayBox], times: Collection[time]) -> Iterator[StructuredCalendar]:
    """Yield the calendars that fire at *times* on the days of *boxes*."""
    of_day = time_boxes(times)
    for box in boxes:
        for hours, minutes, seconds in of_day:
            yield StructuredCalendar(
                year=box.years,
                month=ranges_of(box.months),
                day_of_month=ranges_of(box.days),
                day_of_week=ranges_of(box.weekdays),
                hour=ranges_of(hours),
                minute=ranges_of(minutes),
                second=ranges_of(seconds),
            )


def ranges_of(numbers: Collection[int]) -> Ranges:
    """Return *numbers* as few ranges, ascending and apart.

    Neighbours become a range, and three or more at one distance become a step.

    >>> ranges_of({0, 15, 30, 45}), ranges_of({1, 2, 3, 15, 31})
    ((Range(start=0, end=45, step=15),), (Range(start=1, end=3, step=1), \
Range(start=15, end=15, step=1), Range(start=31, end=31, step=1)))
    """
    return _ranges_of(frozenset(numbers))


@lru_cache(maxsize=4096)
def _ranges_of(numbers: frozenset[int]) -> Ranges:
    ordered = sorted(numbers)
    found = []
    index = 0
    while index < len(ordered):
        first, end = ordered[index], index + 1
        step = ordered[end] - first if end < len(ordered) else 1
        while end < len(ordered) and ordered[end] - ordered[end - 1] == step:
            end += 1
        if end - index == 2 and step > 1:  # a pair is a range only if adjacent
            end, step = index + 1, 1
        found.append(Range(first, ordered[end - 1], step))
        index = end
    return tuple(found)


def rectangles(pairs: Collection[tuple[A, B]]) -> list[tuple[frozenset[A], frozenset[B]]]:
    """Cover *pairs* exactly by rectangles, each the product of two sets.

    Groups rows with equal columns, or columns with equal rows, whichever gives fewer.
    """
    by_row = _alike(pairs)
    by_column = _alike([(column, row) for row, column in pairs])
    if len(by_column) < len(by_row):
        return [(rows, columns) for columns, rows in by_column]
    return by_row


def _alike(pairs: Iterable[tuple[A, B]]) -> list[tuple[frozenset[A], frozenset[B]]]:
    """Group the first members of *pairs* that have the same second members."""
    columns: dict[A, set[B]] = defaultdict(set)
    for row, column in pairs:
        columns[row].add(column)
    rows: dict[frozenset[B], set[A]] = defaultdict(set)
    for row, found in columns.items():
        rows[frozenset(found)].add(row)
    return [(frozenset(group), shared) for shared, group in rows.items()]


def time_boxes(times: Collection[time]) -> list[TimeBox]:
    """Cover *times* of day, to the second, exactly by few boxes."""
    return [
        (hours, minutes, seconds)
        for hours, rest in rectangles([(at.hour, (at.minute, at.second)) for at in times])
        for minutes, seconds in rectangles(rest)
    ]


# Dates -------------------------------------------------------------------------------

Month = tuple[int, int]
"""A year and a month."""

_WEEK = frozenset(range(7))
_ALL_DAYS = (1 << 31) - 1


def dated_calendars(instants: Iterable[datetime]) -> tuple[StructuredCalendar, ...]:
    """Return UTC calendars that fire at *instants* and at nothing else.

    Times of day with equal dates share calendars. Sorted, so that equal instants give equal
    calendars.

    Args:
        instants: Aware, in UTC and in whole seconds.
    """
    dates: dict[time, set[date]] = defaultdict(set)
    for instant in instants:
        dates[instant.time()].add(instant.date())
    times: dict[frozenset[date], list[time]] = defaultdict(list)
    for at, days in dates.items():
        times[frozenset(days)].append(at)
    return tuple(
        sorted(
            calendar
            for shared, group in times.items()
            for calendar in calendars_of(_date_boxes(shared), group)
        )
    )


def date_boxes(dates: Collection[date]) -> list[DayBox]:
    """Cover *dates* exactly by few boxes.

    Tries several groupings of months and takes the smallest. Months with different days can
    share a box, since days that a month doesn't have don't matter, nor do days on weekdays
    that the box leaves out (all business days of a month without a holiday are "1 to 31,
    Monday to Friday").
    """
    return list(_date_boxes(frozenset(dates)))


@lru_cache(maxsize=1024)
def _date_boxes(dates: frozenset[date]) -> tuple[DayBox, ...]:
    wanted: dict[Month, int] = defaultdict(int)  # masks of days: bit 0 is the first
    for day in sorted(dates):
        wanted[day.year, day.month] |= 1 << (day.day - 1)
    seen = frozenset(day.isoweekday() % 7 for day in dates)
    tries: list[list[DayBox]] = []
    for weekdays, filled in product(dict.fromkeys((_WEEK, seen)), (False, True)):
        masks = _canonical(wanted, weekdays, filled=filled)
        # Months with equal days are grouped by years first, and by months first.
        years = _joined(((month, days), year) for (year, month), days in masks.items())
        yearly = _joined(((days, found), month) for (month, days), found in years.items())
        months = _joined(((year, days), month) for (year, month), days in masks.items())
        monthly = _joined(((days, found), year) for (year, days), found in months.items())
        tries += (
            [
                DayBox(ranges_of(found), group, _members(days), weekdays)
                for (days, found), group in yearly.items()
            ],
            [
                DayBox(ranges_of(group), found, _members(days), weekdays)
                for (days, found), group in monthly.items()
            ],
        )
    fewest: list[DayBox] = min(tries, key=len)
    return tuple(fewest)


def _canonical(
    wanted: dict[Month, int], weekdays: frozenset[int], *, filled: bool
) -> dict[Month, int]:
    """Canonicalize day masks, so that months selecting the same days share one.

    Longer months come first, since a shorter one can take over the mask of a longer one.

    Args:
        wanted: The days of each month.
        weekdays: The weekdays that are selected at all.
        filled: Whether a new mask has every bit set that doesn't matter.
    """
    chosen: dict[Month, int] = {}
    pool: dict[int, None] = {}
    for month in sorted(wanted, key=lambda month: (-monthrange(*month)[1], month)):
        days = wanted[month]
        matters = _days_on(month, weekdays)
        alike = (mask for mask in pool if mask & matters == days)
        full = days | (_ALL_DAYS & ~matters)
        chosen[month] = next(alike, full if filled else days)
        pool.setdefault(chosen[month])
    return chosen


@lru_cache(maxsize=8192)
def _days_on(month: Month, weekdays: frozenset[int]) -> int:
    """Return the mask of the days of *month* that fall on *weekdays*."""
    first, length = monthrange(*month)  # Monday is 0 here, Sunday is 0 in weekdays
    return sum(1 << day for day in range(length) if (first + 1 + day) % 7 in weekdays)


def _joined(pairs: Iterable[tuple[K, int]]) -> dict[K, frozenset[int]]:
    """Return the set of numbers of each key."""
    groups: dict[K, set[int]] = defaultdict(set)
    for key, number in pairs:
        groups[key].add(number)
    return {key: frozenset(group) for key, group in groups.items()}


@lru_cache(maxsize=8192)
def _members(days: int) -> frozenset[int]:
    """Return the days of a mask."""
    return frozenset(day for day in range(1, 32) if days >> (day - 1) & 1)


# Days of every year ------------------------------------------------------------------
#
# Whatever a rule without holidays says of a day (the 15th, the last Friday, the weekday
# nearest to the month's end) follows from the day's date, its weekday, and whether its
# year is a leap year. So a rule is a finite table, which can be moved by days and be cut
# into calendars that hold in every year.

_COMMON = 365
_YEARS = (2001, 2000)
_INDEX = {
    (isleap(year), month, day): offset + index
    for year, offset in zip(_YEARS, (0, _COMMON), strict=True)
    for index, (month, day) in enumerate(
        (month, day) for month in range(1, 13) for day in range(1, monthrange(year, month)[1] + 1)
    )
}
"""The index of a day in a table: first a common year's days, then a leap year's."""

_SAMPLES = {
    (isleap(year), date(year, 1, 1).isoweekday() % 7): year for year in range(2027, 1999, -1)
}
"""A year of each of the fourteen kinds, by leap or not and its first weekday."""


def index_of(day: date) -> int:
    """Return the index of the date of *day* in the masks of `YearDays`."""
    return _INDEX[isleap(day.year), day.month, day.day]


@dataclass(frozen=True, slots=True)
class YearDays:
    """For each day of a common and of a leap year, the weekdays on which it is selected.

    One mask of weekdays a day; bit 0 is Sunday.
    """

    masks: tuple[int, ...]

    @classmethod
    def sampled(cls, days_of: Callable[[int, int], Iterable[int]]) -> YearDays:
        """Return the days of a rule, sampled in a year of each kind.

        Args:
            days_of: Returns the days that the rule selects in a year and month. It must
                depend on nothing but the lengths and weekdays of the year's months.
        """
        masks = [0] * len(_INDEX)
        for (leap, _), year in _SAMPLES.items():
            for month in range(1, 13):
                for day in days_of(year, month):
                    weekday = date(year, month, day).isoweekday() % 7
                    masks[_INDEX[leap, month, day]] |= 1 << weekday
        return cls(tuple(masks))

    def __contains__(self, day: date) -> bool:
        """Tell whether *day* is selected."""
        return self.has(day, day.isoweekday() % 7)

    def has(self, day: date, weekday: int) -> bool:
        """Tell whether the date of *day* is selected when it is a *weekday*, Sunday as 0."""
        return bool(self.masks[index_of(day)] >> weekday & 1)

    def __or__(self, other: YearDays) -> YearDays:
        return YearDays(tuple(a | b for a, b in zip(self.masks, other.masks, strict=True)))

    def on(self, weekdays: Collection[int]) -> YearDays:
        """Return the days that fall on *weekdays*, Sunday as 0."""
        kept = sum(1 << weekday for weekday in set(weekdays))
        return YearDays(tuple(mask & kept for mask in self.masks))

    def moved(self, days: int) -> YearDays | None:
        """Return each day moved by *days*, earlier if negative.

        None where date, weekday and leap year don't determine the result: days that only
        leap years have (or lack) can't cross the year's end, since the adjacent year may be
        of either kind.
        """
        masks = self.masks
        for _ in range(abs(days)):
            years = common, leap = masks[:_COMMON], masks[_COMMON:]
            if days > 0:
                if common[-1] != leap[-1]:
                    return None
                masks = tuple(
                    (mask << 1 | mask >> 6) & 0b1111111
                    for year in years
                    for mask in (year[-1], *year[:-1])
                )
            else:
                if common[0] != leap[0]:
                    return None
                masks = tuple(
                    mask >> 1 | (mask & 1) << 6 for year in years for mask in (*year[1:], year[0])
                )
        return YearDays(masks)

    def rolled(self, shifts: Mapping[int, int]) -> YearDays | None:
        """Return the days moved by a number of days that depends on their weekday.

        None where `moved` is.

        Args:
            shifts: The number of days for each weekday, Sunday as 0.
        """
        together: YearDays | None = YearDays((0,) * len(self.masks))
        for shift in set(shifts.values()):
            part = self.on([weekday for weekday, days in shifts.items() if days == shift])
            moved = part.moved(shift)
            together = together | moved if together and moved else None
        return together

    def of_month(self, month: int, *, leap: bool) -> tuple[int, ...]:
        """Return the mask of each day of *month*."""
        first = _INDEX[leap, month, 1]
        return self.masks[first : first + _length(leap, month)]


EVERY_YEAR: Ranges = ()
LEAP_YEARS: Ranges = (Range(2000, 2096, 4),)
COMMON_YEARS: Ranges = (
    Range(2001, 2097, 4),
    Range(2002, 2098, 4),
    Range(2003, 2099, 4),
    Range(2100, 2100),
)
"""The years that Temporal's calendars know, 2000 to 2100, by whether they have a 29 February."""

_SAMPLE_YEAR = {False: 2001, True: 2000}

Part = tuple[frozenset[int], frozenset[int]]
"""Days of a month, and the weekdays on which all of them are selected."""


@lru_cache(maxsize=1024)
def year_boxes(days: YearDays) -> tuple[DayBox, ...]:
    """Cover *days* exactly by few boxes.

    Months with equal days share boxes. February's part is bound to leap or common years only
    where it differs between them: "29 February" needs no list of leap years.
    """
    months: dict[tuple[Ranges, Part], set[int]] = defaultdict(set)
    for leap, month, part in _parts(days):
        masks = days.of_month(month, leap=not leap)
        wanted = sum(1 << weekday for weekday in part[1])
        if all(masks[day - 1] & wanted == wanted for day in part[0] if day <= len(masks)):
            years = EVERY_YEAR
        else:
            years = LEAP_YEARS if leap else COMMON_YEARS
        months[years, part].add(month)
    return tuple(DayBox(years, frozenset(group), *part) for (years, part), group in months.items())


def _parts(days: YearDays) -> Iterator[tuple[bool, int, Part]]:
    """Yield the parts of each month, in leap and in common years.

    Longer months come first: a part of a shorter month that differs only by days which the
    month doesn't have is yielded as the longer one's.
    """
    seen: dict[Part, None] = {}
    kinds = [(leap, month) for month in range(1, 13) for leap in (True, False)]
    for leap, month in sorted(kinds, key=lambda kind: -_length(*kind)):
        length = _length(leap, month)
        for found, weekdays in _parts_of(days.of_month(month, leap=leap)):
            part = next(
                (
                    (longer, same)
                    for longer, same in seen
                    if same == weekdays and {day for day in longer if day <= length} == found
                ),
                (found, weekdays),
            )
            seen.setdefault(part)
            yield leap, month, part


@lru_cache(maxsize=1024)
def _parts_of(masks: tuple[int, ...]) -> tuple[Part, ...]:
    """Return the parts of a month whose days have these *masks*, as many months have."""
    numbered = enumerate(masks, start=1)
    pairs = [(day, at) for day, mask in numbered for at in range(7) if mask >> at & 1]
    return tuple(rectangles(pairs))


def _length(leap: bool, month: int) -> int:
    return monthrange(_SAMPLE_YEAR[leap], month)[1]


# Windows that recur ------------------------------------------------------------------


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
    first, last = pattern.not_before, pattern.not_after
    if first and first.year < FIRST_YEAR:
        first = None  # Temporal's own years are the bound
    if last and last.year > LAST_YEAR:
        last = None
    near = _days_to_avoid(pattern.timezone, year, ahead, first, last)
    if any(_fires_near(days, times, near) for days, times in together.items()):
        return None
    calendars = sorted(
        calendar
        for days, times in together.items()
        for calendar in calendars_of(year_boxes(days), times)
    )
    return Recurring(
        tuple(calendars),
        pattern.timezone,
        start_at=_midnight(pattern, first) - ahead if first else None,
        end_at=_midnight(pattern, last + _DAY) - ahead - _SECOND if last else None,
    )


def _midnight(pattern: Pattern, day: date) -> datetime:
    return to_instant(datetime.combine(day, _MIDNIGHT), pattern.tz)


# Starts on the wall --------------------------------------------------------------------


def _starts(pattern: Pattern) -> Times | None:
    """Return the starts of the recurrence before roll and skip; None if not by `YearDays`."""
    match pattern.recurrence:
        case Cron(expressions, day_match):
            starts: Times = {}
            for expression in expressions:
                # Expressions with equal day fields share the work of finding their days.
                days = _cron_days(cron.at_midnight(expression), day_match)
                for at in cron.parse(expression).times:
                    starts[at] = starts[at] | days if at in starts else days
            return starts
        case BusinessDays(ordinals, at, months) if not _has_holidays(pattern.holidays):
            calendar = pattern.business

            def days_of(year: int, month: int) -> Iterator[int]:
                if month in months:
                    found = (calendar.nth_business_day(year, month, n) for n in ordinals)
                    yield from (day.day for day in found if day)

            return {at: YearDays.sampled(days_of)}
    return None


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
