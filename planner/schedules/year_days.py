"""Days that recur every year, by date, weekday and leap year, and calendars for them.

Whatever a rule without holidays says of a day (the 15th, the last Friday, the weekday
nearest to the month's end) follows from the day's date, its weekday, and whether its
year is a leap year. So a rule is a finite table, which can be moved by days and be cut
into calendars that hold for ever.
"""

from __future__ import annotations

from calendar import isleap, monthrange
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from planner.schedules.boxes import DayBox, rectangles
from planner.schedules.spec import Range, Ranges

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
        return bool(self.masks[_INDEX[isleap(day.year), day.month, day.day]] >> weekday & 1)

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
        moved: YearDays | None = self
        for _ in range(abs(days)):
            moved = moved and (moved._later() if days > 0 else moved._earlier())
        return moved

    def _earlier(self) -> YearDays | None:
        common, leap = self.masks[:_COMMON], self.masks[_COMMON:]
        if common[0] != leap[0]:
            return None
        return YearDays(
            tuple(
                mask >> 1 | (mask & 1) << 6
                for year in (common, leap)
                for mask in (*year[1:], year[0])
            )
        )

    def _later(self) -> YearDays | None:
        common, leap = self.masks[:_COMMON], self.masks[_COMMON:]
        if common[-1] != leap[-1]:
            return None
        return YearDays(
            tuple(
                (mask << 1 | mask >> 6) & 0b1111111
                for year in (common, leap)
                for mask in (year[-1], *year[:-1])
            )
        )

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

    def of_month(self, month: int, *, leap: bool) -> Iterator[tuple[int, int]]:
        """Yield each day of *month* with each weekday on which it is selected, Sunday as 0."""
        for day in range(1, monthrange(_YEARS[leap], month)[1] + 1):
            mask = self.masks[_INDEX[leap, month, day]]
            yield from ((day, weekday) for weekday in range(7) if mask >> weekday & 1)


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
        years = _years(days, month, part, leap=leap)
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
        for found, weekdays in rectangles(list(days.of_month(month, leap=leap))):
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


def _years(days: YearDays, month: int, part: Part, *, leap: bool) -> Ranges:
    """Return the years in which all of *part* is selected, which *leap* years are."""
    others = set(days.of_month(month, leap=not leap))
    length = _length(not leap, month)
    wanted = {(day, weekday) for day in part[0] if day <= length for weekday in part[1]}
    if wanted <= others:
        return EVERY_YEAR
    return LEAP_YEARS if leap else COMMON_YEARS


def _length(leap: bool, month: int) -> int:
    return monthrange(_SAMPLE_YEAR[leap], month)[1]
