"""Business days: holidays and weekends by date, and the day that a start rolls to.

Holiday data come from the ``holidays`` package (its release decides what is known of coming
years), from ``.ics`` files, and from dates written in the calendar. Holiday names are in
English, whatever the machine's language.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from itertools import chain

import holidays as library
from holidays.registry import COUNTRIES, FINANCIAL

from planner.model import Holidays, IcsFile, Roll
from planner.recurrence import ical

ROLL_LIMIT = 31
"""Days that a roll looks ahead or back for a business day."""

_DAY = timedelta(days=1)
_SATURDAY_AND_SUNDAY = frozenset({5, 6})


class BusinessCalendar:
    """What is a business day: no weekend, and no holiday.

    The weekend is the one that is written, else that of the first region in the year
    asked for, with the days on which that region works all the same; else Saturday and
    Sunday. Markets list no holiday on a weekend, countries may.

    Args:
        holidays: What is written about holidays and the weekend.
        timezone: The zone in which timed events of ``.ics`` files fall on a day.
    """

    def __init__(self, holidays: Holidays, timezone: str = "UTC") -> None:
        self._holidays = holidays
        self._timezone = timezone
        self._years: dict[int, _Year] = {}

    def name_of(self, day: date) -> str | None:
        """Return the holiday's name ("Memorial Day"); None if *day* is none."""
        return self._year(day.year).names.get(day)

    def is_weekend(self, day: date) -> bool:
        """Tell whether *day* is of the weekend, and not worked all the same."""
        return day in self._year(day.year).weekends

    def is_business_day(self, day: date) -> bool:
        """Tell whether *day* is neither of the weekend nor a holiday."""
        year = self._year(day.year)
        return day not in year.weekends and day not in year.names

    def why_not(self, day: date) -> str | None:
        """Return why *day* is no business day, in words; None if it is one."""
        if name := self.name_of(day):
            return f"a holiday: {name}"
        return "of the weekend" if self.is_weekend(day) else None

    def roll(self, day: date, how: Roll) -> date:
        """Return the business day that stands in for *day*, which may be in another month.

        ``nearest`` prefers the earlier of two that are equally near: capacity that is
        there too soon covers more than one that is late. Where there is no business day
        within `ROLL_LIMIT` days, the day itself stays: a window never vanishes.
        """
        if how == "none":
            return day
        return next((other for other in _near(day, how) if self.is_business_day(other)), day)

    def business_days(self, year: int, month: int) -> list[date]:
        """Return the business days of a month, in order."""
        return [day for day in _days_of_month(year, month) if self.is_business_day(day)]

    def nth_business_day(self, year: int, month: int, n: int) -> date | None:
        """Return the *n*-th business day of a month, from its end where *n* is negative.

        None if the month has fewer, or *n* is 0.
        """
        found = self.business_days(year, month)
        return found[n - 1 if n > 0 else n] if 0 < abs(n) <= len(found) else None

    def _year(self, year: int) -> _Year:
        if year not in self._years:
            self._years[year] = _year_of(self._holidays, self._timezone, year)
        return self._years[year]


@lru_cache(maxsize=1024)
def business_calendar(holidays: Holidays, timezone: str = "UTC") -> BusinessCalendar:
    """Return the calendar of *holidays*: one object for equal arguments."""
    return BusinessCalendar(holidays, timezone)


def _near(day: date, how: Roll) -> Iterator[date]:
    """Yield the days that may stand in for *day*, best first, itself included."""
    yield day
    for distance in range(1, ROLL_LIMIT + 1):
        if how in ("previous", "nearest"):
            yield day - distance * _DAY
        if how in ("next", "nearest"):
            yield day + distance * _DAY


def _days_of_month(year: int, month: int) -> Iterator[date]:
    day = date(year, month, 1)
    while day.month == month:
        yield day
        day += _DAY


# Years -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Year:
    """The days of a year that are no business days: holidays with their names, weekends."""

    names: dict[date, str]
    weekends: frozenset[date]


def _year_of(holidays: Holidays, timezone: str, year: int) -> _Year:
    """Collect what is known of *year*; where a day has several names, each is named once."""
    found: dict[date, dict[str, None]] = {}  # a dict for its order
    for day, name in chain(
        *(_region(code, year).items() for code in holidays.regions),
        *(_ics_days(file, timezone, year).items() for file in holidays.calendars),
    ):
        found.setdefault(day, {})[name] = None
    for day in holidays.days:
        if day.year == year:
            found.setdefault(day, {"listed as a holiday": None})
    names = {day: "; ".join(names) for day, names in found.items()}
    return _Year(names, _weekends(holidays, year))


def _ics_days(file: IcsFile, timezone: str, year: int) -> dict[date, str]:
    """Return the local days of *year* that events of *file* cover, by name."""
    days = ical.days(file, timezone, date(year, 1, 1), date(year, 12, 31))
    return {day: name or f"an event of {file.path}" for day, name in days.items()}


def _weekends(holidays: Holidays, year: int) -> frozenset[date]:
    """Return the days of the weekend in *year*, without those that are worked."""
    days = [day for month in range(1, 13) for day in _days_of_month(year, month)]
    if holidays.weekend or not holidays.regions:
        weekdays = frozenset(holidays.weekend) or _SATURDAY_AND_SUNDAY
        return frozenset(day for day in days if day.weekday() in weekdays)
    region = _region(holidays.regions[0], year)
    worked = region.weekend_workdays
    return frozenset(day for day in days if region.is_weekend(day) and day not in worked)


@lru_cache(maxsize=1024)
def _region(code: str, year: int) -> library.HolidayBase:
    """Return the holidays of a country, a subdivision (``US-CA``) or a market in *year*.

    With the year said and no expanding, so that asking for a day never adds to it; with
    the language said, so that the machine's own doesn't decide.
    """
    if code in library.list_supported_financial():
        return library.financial_holidays(code, years=[year], expand=False, language="en_US")
    country, _, subdivision = code.partition("-")
    return library.country_holidays(
        country, subdivision or None, years=[year], expand=False, language="en_US"
    )


# Codes -------------------------------------------------------------------------------


def region_problem(code: str) -> str | None:
    """Return what is wrong with *code* as a region, in a sentence; None if it is one.

    >>> region_problem("US-CA") is None
    True
    >>> region_problem("Germany")
    "unknown holidays 'Germany'; did you mean 'DE'?"
    """
    country, dash, subdivision = code.partition("-")
    subdivisions = library.list_supported_countries().get(country)
    if code in library.list_supported_financial() or (subdivisions is not None and not dash):
        return None
    if code != code.upper() and region_problem(code.upper()) is None:
        return f"unknown holidays {_shown(code)}; did you mean {code.upper()!r}?"
    if subdivisions is None:
        return f"unknown holidays {_shown(code)}; {_meant(code, _codes())}"
    if subdivision in subdivisions:
        return None
    if not subdivisions:
        return f"{country} has no subdivisions in holidays {_shown(code)}; write {country!r}"
    known = {known.lower(): f"{country}-{known}" for known in subdivisions}
    near = _meant(subdivision, known, fallback=f"{country}-{subdivisions[0]}")
    return f"unknown subdivision {_shown(subdivision)} in holidays {_shown(code)}; {near}"


def _shown(code: str) -> str:
    return repr(code if len(code) <= 40 else f"{code[:37]}...")


def _meant(text: str, known: dict[str, str], fallback: str = "US") -> str:
    """Return a question with the codes that *text* comes near to, else an example."""
    wanted = text.lower()[:40]
    near = [wanted] * (wanted in known) or difflib.get_close_matches(wanted, known, 3, cutoff=0.6)
    codes = list(dict.fromkeys(known[name] for name in near))
    if not codes:
        return f"write a code such as {fallback!r}"
    return f"did you mean {' or '.join(map(repr, codes))}?"


@lru_cache(maxsize=1)
def _codes() -> dict[str, str]:
    """Return each country and market by its names and codes in lower case, as its code."""
    found = {}
    for module, (_, code, *more) in {**COUNTRIES, **FINANCIAL}.items():
        for name in (module.replace("_", " "), code, *more):
            found[name.lower()] = code
    return found
