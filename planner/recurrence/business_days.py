"""Business days: holidays and weekends by date, and the day that a start rolls to.

Holidays are those of regions, of ``.ics`` files, and dates written in the calendar. Those of
regions, countries, subdivisions and markets, are of the ``holidays`` package, whose release
decides what is known of coming years. It is imported where a calendar names a region, and of it
only that region: its packages import all two hundred countries, which takes longer than to plan
a hundred windows. Holiday names are in English, whatever the machine's language.
"""

from __future__ import annotations

import sys
from calendar import isleap, monthrange
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from importlib import import_module
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from planner.errors import did_you_mean, quote
from planner.model import Holidays, Roll
from planner.recurrence.ical.expand import days as days_of_events

if TYPE_CHECKING:
    from holidays import HolidayBase


ROLL_LIMIT = 31
"""How many days a roll searches for a business day, in either direction."""

_DAY = timedelta(days=1)
_STEPS: dict[Roll, tuple[timedelta, ...]] = {
    "previous": (-_DAY,),
    "next": (_DAY,),
    "nearest": (-_DAY, _DAY),
}
_SATURDAY_AND_SUNDAY = frozenset({5, 6})


class BusinessCalendar:
    """The business days of one configuration: neither weekend nor holiday.

    The weekend is the configured one, else that of the first region in that year, less the
    weekend days on which the region works; without a region it is Saturday and Sunday.
    Markets list no holiday that falls on a weekend, countries may.

    Args:
        holidays: The configured regions, dates, ``.ics`` files and weekend.
        timezone: The zone in which timed events of ``.ics`` files fall on a day.
    """

    def __init__(self, holidays: Holidays, timezone: str = "UTC") -> None:
        self._holidays = holidays
        self._timezone = timezone
        self._years: dict[int, _DaysOff] = {}
        self._months: dict[tuple[int, int], list[date]] = {}
        self._rolled: dict[tuple[date, Roll], date] = {}

    def name_of(self, day: date) -> str | None:
        """Return the name of the holiday on *day*, such as "Memorial Day", or None."""
        return self._year(day.year).names.get(day)

    def sources_of(self, day: date) -> tuple[str, ...]:
        """Return the regions and files that make *day* a holiday, in the calendar's order."""
        return self._year(day.year).sources.get(day, ())

    def is_weekend(self, day: date) -> bool:
        """Tell whether *day* is a weekend day that the region does not work on."""
        return day in self._year(day.year).weekends

    def is_business_day(self, day: date) -> bool:
        """Tell whether *day* is neither a weekend day nor a holiday."""
        year = self._year(day.year)
        return day not in year.weekends and day not in year.names

    def why_not(self, day: date) -> str | None:
        """Return why *day* is not a business day, in words; None if it is one."""
        if name := self.name_of(day):
            return f"a holiday: {name}"
        return "of the weekend" if self.is_weekend(day) else None

    def roll(self, day: date, how: Roll) -> date:
        """Return the business day that replaces *day*; it may be in another month.

        ``nearest`` prefers the earlier of two equally near days: capacity that comes early
        covers more than capacity that comes late. Where no business day lies within
        `ROLL_LIMIT` days, *day* itself is returned: a window never vanishes.
        """
        if how == "none":
            return day
        key = day, how
        if key not in self._rolled:
            near = (day + n * step for n in range(ROLL_LIMIT + 1) for step in _STEPS[how])
            self._rolled[key] = next(filter(self.is_business_day, near), day)
        return self._rolled[key]

    def business_days(self, year: int, month: int) -> list[date]:
        """Return the business days of a month, ascending."""
        key = year, month
        if key not in self._months:
            count = monthrange(year, month)[1]
            days = (date(year, month, number) for number in range(1, count + 1))
            self._months[key] = [day for day in days if self.is_business_day(day)]
        return self._months[key]

    def nth_business_day(self, year: int, month: int, n: int) -> date | None:
        """Return the *n*-th business day of a month, from its end where *n* is negative.

        Returns None where the month has fewer, or *n* is 0.
        """
        found = self.business_days(year, month)
        return found[n - 1 if n > 0 else n] if 0 < abs(n) <= len(found) else None

    def _year(self, year: int) -> _DaysOff:
        """Return the days off of *year*; a day with several names gets each of them once."""
        if year in self._years:
            return self._years[year]
        first, last = date(year, 1, 1), date(year, 12, 31)
        found: dict[date, dict[str, None]] = {}  # a dict for its order
        sources: dict[date, dict[str, None]] = {}
        for source, days in chain(
            ((code, region_holidays(code, year)) for code in self._holidays.regions),
            (
                (file.path, days_of_events(file, self._timezone, first, last))
                for file in self._holidays.calendars
            ),
        ):
            for day, name in days.items():
                # Only events may have no name.
                found.setdefault(day, {})[name or f"an event of {source}"] = None
                sources.setdefault(day, {})[source] = None
        for day in self._holidays.days:
            if day.year == year:
                found.setdefault(day, {"listed as a holiday": None})
        names = {day: "; ".join(names) for day, names in found.items()}
        known = {day: tuple(each) for day, each in sources.items()}
        self._years[year] = _DaysOff(names, _weekends(self._holidays, year), known)
        return self._years[year]


@lru_cache(maxsize=1024)
def business_calendar(holidays: Holidays, timezone: str = "UTC") -> BusinessCalendar:
    """Return the calendar of *holidays*; equal arguments share one object and its years."""
    return BusinessCalendar(holidays, timezone)


# Years -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _DaysOff:
    """The holidays of one year, by date with their names, their sources, and its weekend days."""

    names: dict[date, str]
    weekends: frozenset[date]
    sources: dict[date, tuple[str, ...]]


def _weekends(holidays: Holidays, year: int) -> frozenset[date]:
    """Return the weekend days of *year*, less those that the first region works."""
    days = [date(year, 1, 1) + number * _DAY for number in range(365 + isleap(year))]
    if holidays.weekend or not holidays.regions:
        weekdays = frozenset(holidays.weekend) or _SATURDAY_AND_SUNDAY
        return frozenset(day for day in days if day.weekday() in weekdays)
    region = region_holidays(holidays.regions[0], year)
    worked = region.weekend_workdays
    return frozenset(day for day in days if region.is_weekend(day) and day not in worked)


# Holidays of regions -----------------------------------------------------------------


@lru_cache(maxsize=1024)
def region_holidays(code: str, year: int) -> HolidayBase:
    """Return the holidays of a country, a subdivision (``US-CA``) or a market in *year*.

    The year is explicit and ``expand`` off, since a lookup would otherwise add years; the
    language is explicit, since the machine's own would otherwise decide.
    """
    market = _entity(code, "financial")
    if market:
        return market(years=[year], expand=False, language="en_US")
    country, _, subdivision = code.partition("-")
    entity = _entity(country, "countries")
    assert entity, f"{code} is no region by `region_problem`"
    return entity(subdiv=subdivision or None, years=[year], expand=False, language="en_US")


@lru_cache(maxsize=256)
def _entity(code: str, kind: str) -> type[HolidayBase] | None:
    """Return the class of a country or market in the ``holidays`` package; None if unknown.

    Args:
        code: Two or three letters; four, too, for a market.
        kind: Its package there, ``countries`` or ``financial``.
    """
    module = _modules(kind).get(code)
    if module is None:
        return None
    package, name = f"holidays.{kind}", f"holidays.{kind}.{module}"
    if package not in sys.modules and name not in sys.modules:
        # The package itself would import all the others.
        stand_in = ModuleType(package)
        stand_in.__path__ = [str(Path(each) / kind) for each in import_module("holidays").__path__]
        sys.modules[package] = stand_in
        try:
            import_module(name)
        finally:
            del sys.modules[package]  # whoever imports it later gets the real one
    found: type[HolidayBase] = getattr(import_module(name), code)
    return found


@lru_cache(maxsize=2)
def _modules(kind: str) -> dict[str, str]:
    """Return the module of each code that the library lists as supported."""
    from holidays.registry import COUNTRIES, FINANCIAL

    found, longest = (COUNTRIES, 3) if kind == "countries" else (FINANCIAL, 4)
    return {
        code: module
        for module, (_, *codes) in found.items()
        for code in codes
        if 2 <= len(code) <= longest
    }


def region_problem(code: str) -> str | None:
    """Return why *code* is no region, in a sentence with a suggestion; None if it is one.

    >>> region_problem("US-CA") is None
    True
    >>> region_problem("Germany")
    "unknown holidays 'Germany'; did you mean 'DE'?"
    """
    country, dash, subdivision = code.partition("-")
    entity = _entity(country, "countries")
    subdivisions = entity.subdivisions if entity else None
    if _entity(code, "financial") or (entity and not dash):
        return None
    if code != code.upper() and region_problem(code.upper()) is None:
        return f"unknown holidays {quote(code, 40)}; did you mean {code.upper()!r}?"
    if subdivisions is None:
        return f"unknown holidays {quote(code, 40)}{_suggestion(code, _codes(), 'US')}"
    if subdivision in subdivisions:
        return None
    if not subdivisions:
        return f"{country} has no subdivisions in holidays {quote(code, 40)}; write {country!r}"
    known = {known.lower(): f"{country}-{known}" for known in subdivisions}
    hint = _suggestion(subdivision, known, f"{country}-{subdivisions[0]}")
    return f"unknown subdivision {quote(subdivision, 40)} in holidays {quote(code, 40)}{hint}"


def _suggestion(text: str, known: dict[str, str], example: str) -> str:
    return did_you_mean(text, known, count=3) or f"; write a code such as {example!r}"


@lru_cache(maxsize=1)
def _codes() -> dict[str, str]:
    """Map every name and code of a country or market, in lower case, to its code."""
    from holidays.registry import COUNTRIES, FINANCIAL

    found = {}
    for module, (_, code, *more) in {**COUNTRIES, **FINANCIAL}.items():
        for name in (module.replace("_", " "), code, *more):
            found[name.lower()] = code
    return found
