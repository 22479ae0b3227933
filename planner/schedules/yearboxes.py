"""Days that come back every year as few structured calendars, for ever."""

from __future__ import annotations

from calendar import monthrange
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from planner.schedules.ranges import rectangles
from planner.schedules.yeardays import YearDays
from planner.spec import Range, Ranges

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
"""Days of a month, and the weekdays on which all of them count."""


@dataclass(frozen=True, slots=True)
class YearBox:
    """Every day whose month, day and weekday (Sunday as 0) are among these, in *years*."""

    years: Ranges
    months: frozenset[int]
    days: frozenset[int]
    weekdays: frozenset[int]


@lru_cache(maxsize=1024)
def year_boxes(days: YearDays) -> tuple[YearBox, ...]:
    """Cover *days* exactly by few boxes.

    Months with the same days go together. Where February's part holds in both kinds of
    years it isn't bound to either: "29 February" needs no list of leap years.
    """
    months: dict[tuple[Ranges, Part], set[int]] = defaultdict(set)
    for leap, month, part in _parts(days):
        years = _years(days, month, part, leap=leap)
        months[years, part].add(month)
    return tuple(YearBox(years, frozenset(group), *part) for (years, part), group in months.items())


def _parts(days: YearDays) -> Iterator[tuple[bool, int, Part]]:
    """Yield what each month of both kinds of years is made of.

    Longer months come first: a part of a shorter one that differs only by days which
    the month doesn't have is given as the longer one's.
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
    """Return the years in which all of *part* counts; it does in years that are *leap*."""
    others = set(days.of_month(month, leap=not leap))
    length = _length(not leap, month)
    wanted = {(day, weekday) for day in part[0] if day <= length for weekday in part[1]}
    if wanted <= others:
        return EVERY_YEAR
    return LEAP_YEARS if leap else COMMON_YEARS


def _length(leap: bool, month: int) -> int:
    return monthrange(_SAMPLE_YEAR[leap], month)[1]
