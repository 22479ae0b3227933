"""Instants as few UTC calendars, which no clock change affects."""

from __future__ import annotations

from calendar import monthrange
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator
from datetime import date, datetime, time
from itertools import product
from typing import TypeVar

from planner.schedules.boxes import DayBox, calendars_of, ranges_of
from planner.schedules.spec import StructuredCalendar

K = TypeVar("K", bound=Hashable)

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
            for calendar in calendars_of(date_boxes(shared), group)
        )
    )


def date_boxes(dates: Collection[date]) -> list[DayBox]:
    """Cover *dates* exactly by few boxes.

    Tries several groupings of months and takes the smallest. Months with different days can
    share a box, since days that a month doesn't have don't matter, nor do days on weekdays
    that the box leaves out (all business days of a month without a holiday are "1 to 31,
    Monday to Friday").
    """
    wanted: dict[Month, int] = defaultdict(int)  # masks of days: bit 0 is the first
    for day in sorted(dates):
        wanted[day.year, day.month] |= 1 << (day.day - 1)
    seen = frozenset(day.isoweekday() % 7 for day in dates)
    tries = (
        [DayBox(ranges_of(years), months, days, weekdays) for years, months, days in grouped]
        for weekdays, filled in product(dict.fromkeys((_WEEK, seen)), (False, True))
        for grouped in _groupings(_canonical(wanted, weekdays, filled=filled))
    )
    return min(tries, key=len)


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


def _days_on(month: Month, weekdays: frozenset[int]) -> int:
    """Return the mask of the days of *month* that fall on *weekdays*."""
    first, length = monthrange(*month)  # Monday is 0 here, Sunday is 0 in weekdays
    return sum(1 << day for day in range(length) if (first + 1 + day) % 7 in weekdays)


Group = tuple[frozenset[int], frozenset[int], frozenset[int]]
"""Years, months, days."""


def _groupings(masks: dict[Month, int]) -> Iterator[list[Group]]:
    """Yield both groupings of months with equal days: by years first, and by months first."""
    years = _joined(((month, days), year) for (year, month), days in masks.items())
    yearly = _joined(((days, found), month) for (month, days), found in years.items())
    yield [(found, group, _members(days)) for (days, found), group in yearly.items()]
    months = _joined(((year, days), month) for (year, month), days in masks.items())
    monthly = _joined(((days, found), year) for (year, days), found in months.items())
    yield [(group, found, _members(days)) for (days, found), group in monthly.items()]


def _joined(pairs: Iterable[tuple[K, int]]) -> dict[K, frozenset[int]]:
    """Return the set of numbers of each key."""
    groups: dict[K, set[int]] = defaultdict(set)
    for key, number in pairs:
        groups[key].add(number)
    return {key: frozenset(group) for key, group in groups.items()}


def _members(days: int) -> frozenset[int]:
    """Return the days of a mask."""
    return frozenset(day for day in range(1, 32) if days >> (day - 1) & 1)
