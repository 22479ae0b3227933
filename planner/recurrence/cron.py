"""Cron in one strict dialect: parse an expression, and list the wall-clock times it names.

Five fields: minute, hour, day of month, month, day of week. Each is ``*``, a value, a
range ``1-5``, a step ``*/15``, ``8-18/2`` or ``5/15`` (from 5 to the end of the field), or
a list of them. Months and weekdays have three-letter names; 0 and 7 are both Sunday.

- Day of month: ``L`` the last day, ``L-2`` two days before it, ``15W`` the weekday nearest
  to the 15th in its month, ``LW`` the last weekday.
- Day of week: ``fri#3`` or ``5#3`` the third Friday, ``friL`` or ``5L`` the last one.
- ``@yearly``, ``@annually``, ``@monthly``, ``@weekly``, ``@daily``, ``@midnight``, ``@hourly``.

Refused, since engines disagree or the planner can't mean it: ranges that wrap
(``fri-mon``), seconds and years, a zone before the fields, ``?``, ``H``, ``@reboot``.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Literal

from planner.errors import quote

DayMatch = Literal["any", "all"]
"""How two restricted day fields combine: days in either of them, or only days in both."""

_month = lru_cache(maxsize=4096)(monthrange)
"""The weekday of a month's first day, and the month's length."""

# Days of the month -------------------------------------------------------------------


@dataclass(frozen=True, slots=True, order=True)
class Day:
    """``15``: this day; months without it have none."""

    day: int

    def in_month(self, year: int, month: int) -> Iterator[int]:
        """Yield its days in this month: 0, 1 or several numbers from 1."""
        if self.day <= _month(year, month)[1]:
            yield self.day


@dataclass(frozen=True, slots=True, order=True)
class Last:
    """``L``, ``L-2``: *offset* days before the last day; months too short for it have none."""

    offset: int = 0

    def in_month(self, year: int, month: int) -> Iterator[int]:
        """Yield its days in this month: 0, 1 or several numbers from 1."""
        if (day := _month(year, month)[1] - self.offset) > 0:
            yield day


@dataclass(frozen=True, slots=True)
class NearestWeekday:
    """``15W``, ``LW``: the weekday (Monday to Friday) nearest to a day, in its own month.

    *day* is None for the last day. A month without the day has none, as in Quartz: 31W
    means nothing in June; LW is the last weekday of every month.
    """

    day: int | None = None

    def in_month(self, year: int, month: int) -> Iterator[int]:
        """Yield its days in this month: 0, 1 or several numbers from 1."""
        length = _month(year, month)[1]
        day = self.day or length
        if day > length:
            return
        weekday = date(year, month, day).weekday()
        if weekday == 5:
            yield day - 1 if day > 1 else 3
        elif weekday == 6:
            yield day + 1 if day < length else day - 2
        else:
            yield day


DayTerm = Day | Last | NearestWeekday

# Days of the week: Sunday is 0, as in cron and in Temporal's calendars ----------------


@dataclass(frozen=True, slots=True, order=True)
class Weekday:
    """``fri``: every such day of the week; Sunday is 0."""

    weekday: int

    def in_month(self, year: int, month: int) -> Iterator[int]:
        """Yield its days in this month: 0, 1 or several numbers from 1."""
        yield from range(_first(year, month, self.weekday), _month(year, month)[1] + 1, 7)


@dataclass(frozen=True, slots=True, order=True)
class Nth:
    """``fri#3``: the n-th such day of the month; months without a fifth one have none."""

    weekday: int
    n: int

    def in_month(self, year: int, month: int) -> Iterator[int]:
        """Yield its days in this month: 0, 1 or several numbers from 1."""
        day = _first(year, month, self.weekday) + 7 * (self.n - 1)
        if day <= _month(year, month)[1]:
            yield day


@dataclass(frozen=True, slots=True, order=True)
class LastWeekday:
    """``friL``: the last such day of the month."""

    weekday: int

    def in_month(self, year: int, month: int) -> Iterator[int]:
        """Yield its days in this month: 0, 1 or several numbers from 1."""
        yield max(Weekday(self.weekday).in_month(year, month))


WeekdayTerm = Weekday | Nth | LastWeekday


def _first(year: int, month: int, weekday: int) -> int:
    """Return the first day of the month that is a *weekday*, Sunday as 0."""
    return 1 + (weekday - date(year, month, 1).isoweekday()) % 7


# The rule ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class CronRule:
    """A parsed cron expression; every field is sorted and without repeats.

    *every_hour* is set where the hour field is ``*``: the rule then runs in every elapsed
    hour, also in one that the clock shows twice. Any other hour field names wall times. A
    day field restricts unless it is ``*``, even where it lists every day.
    """

    expression: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[DayTerm, ...]
    months: tuple[int, ...]
    weekdays: tuple[WeekdayTerm, ...]
    every_hour: bool = False
    restricts_day_of_month: bool = False
    restricts_weekday: bool = False

    @property
    def needs_day_match(self) -> bool:
        """Whether both day fields restrict: cron engines differ on whether either or both count."""
        return self.restricts_day_of_month and self.restricts_weekday

    @property
    def times(self) -> tuple[time, ...]:
        """The times of day at which it starts, ascending."""
        return tuple(time(hour, minute) for hour in self.hours for minute in self.minutes)


def days_in_month(
    rule: CronRule, day_match: DayMatch | None, year: int, month: int
) -> tuple[int, ...]:
    """Return the days of the month on which *rule* starts, in order.

    Args:
        rule: A parsed expression.
        day_match: How two restricted day fields combine; ignored where only one restricts.
        year: A year of the Gregorian calendar.
        month: 1 to 12.

    Raises:
        ValueError: Both day fields are restricted and *day_match* is None.
    """
    if month not in rule.months:
        return ()
    if rule.needs_day_match and day_match is None:
        raise ValueError(f"cron {rule.expression!r} restricts both day fields: say day_match")
    fields = [
        {day for term in terms for day in term.in_month(year, month)}
        for terms, restricts in (
            (rule.days, rule.restricts_day_of_month),
            (rule.weekdays, rule.restricts_weekday),
        )
        if restricts
    ]
    if not fields:
        return tuple(range(1, _month(year, month)[1] + 1))
    meet = set.union if day_match == "any" else set.intersection
    return tuple(sorted(meet(*fields)))


def days(rule: CronRule, day_match: DayMatch | None, first: date, last: date) -> Iterator[date]:
    """Yield the days from *first* to *last*, both included, on which *rule* starts."""
    year, month = first.year, first.month
    while (year, month) <= (last.year, last.month):
        for number in days_in_month(rule, day_match, year, month):
            day = date(year, month, number)
            if first <= day <= last:
                yield day
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)


@lru_cache(maxsize=4096)
def at_midnight(expression: str) -> str:
    """Return *expression* with midnight as its only time: windows on equal days share it."""
    return " ".join(("0", "0", *split_fields(expression)[2:]))


def wall_times(
    rule: CronRule, day_match: DayMatch | None, first: date, last: date
) -> Iterator[datetime]:
    """Yield the naive wall times that *rule* names from *first* to *last*, both included.

    Ascending, without repeats. Clock changes are not considered: the caller converts.
    """
    times = rule.times
    for day in days(rule, day_match, first, last):
        for at in times:
            yield datetime.combine(day, at)


_CYCLE = (date(2000, 1, 1), date(2028, 1, 1) - timedelta(days=1))
"""28 years contain every combination of length and first weekday that a month can have."""


def never_fires(rule: CronRule, day_match: DayMatch | None = None) -> bool:
    """Tell whether *rule* has no day at all, such as 31 April.

    Two restricted day fields without a *day_match* are read as ``any``.
    """
    return next(days(rule, day_match or "any", *_CYCLE), None) is None


class _FieldError(Exception):
    """A problem of one field, in a sentence."""


@dataclass(frozen=True, slots=True)
class Field:
    """One of the five fields: its range of numbers, their names, and an example.

    *high* is the last number that ``*`` covers, *top* the highest that may be written. They
    differ for weekdays, where 7 is Sunday again.
    """

    name: str
    low: int
    high: int
    top: int
    example: str
    names: tuple[str, ...] = ()

    @property
    def takes(self) -> str:
        """Its accepted values, in words."""
        named = f" or {self.names[0]} to {self.names[-1]}" if self.names else ""
        return f"{self.low} to {self.top}{named}, such as {self.example}"

    def number(self, text: str, item: str) -> int:
        """Return the value of *text*, a number or a name; errors show *item* where it is empty."""
        if text in self.names:
            return self.low + self.names.index(text)
        if not re.fullmatch("[0-9]{1,2}", text) or not self.low <= int(text) <= self.top:
            raise _FieldError(f"{quote(text or item)} is no {self.name}; it takes {self.takes}")
        return int(text)


MINUTE = Field("minute", 0, 59, 59, "*/15")
HOUR = Field("hour", 0, 23, 23, "18")
DAY = Field("day of the month", 1, 31, 31, "15 or L")
MONTH = Field(
    "month",
    1,
    12,
    12,
    "3,6,9,12",
    ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
)
WEEKDAY = Field(
    "day of the week", 0, 6, 7, "mon-fri", ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
)


@lru_cache(maxsize=4096)
def day_terms(text: str, field: Field) -> tuple[DayTerm, ...]:
    """Parse the day-of-month field; sorted, without repeats."""
    terms: set[DayTerm] = set()
    for item in _items(text, field):
        if item == "l":
            terms.add(Last())
        elif item == "lw":
            terms.add(NearestWeekday())
        elif before := re.fullmatch("l-([1-9][0-9]?)", item):
            if int(before[1]) > 30:
                raise _FieldError(
                    f"{quote(item.upper())} is before any month begins; write L-1 to L-30"
                )
            terms.add(Last(int(before[1])))
        elif nearest := re.fullmatch("([0-9]{1,2})w", item):
            terms.add(NearestWeekday(field.number(nearest[1], item)))
        elif "l" in item or "w" in item:
            raise _FieldError(f"{quote(item.upper())} is no {field.name}; write L, L-2, LW or 15W")
        else:
            terms.update(map(Day, _span(item, field)))
    return tuple(sorted(terms, key=_by_kind))


@lru_cache(maxsize=4096)
def weekday_terms(text: str, field: Field) -> tuple[WeekdayTerm, ...]:
    """Parse the day-of-week field; sorted, without repeats."""
    terms: set[WeekdayTerm] = set()
    for item in _items(text, field):
        name, hash_sign, n = item.partition("#")
        if hash_sign:
            if n not in ("1", "2", "3", "4", "5"):
                raise _FieldError(
                    f"{quote(item)} is no n-th weekday; write fri#1 to fri#5, or friL"
                )
            terms.add(Nth(field.number(name, item) % 7, int(n)))
        elif item.startswith("l"):
            raise _FieldError(
                f"{quote(item.upper())} is no {field.name}; write friL for the last Friday"
            )
        elif item.endswith("l"):
            terms.add(LastWeekday(field.number(item[:-1], item) % 7))
        else:
            found = _span(item, field)
            # 1/2 ends on Friday where the field ends with 6 (croniter), and on Sunday where it
            # ends with 7 (cronsim, cron-parser).
            value, slash, _ = item.partition("/")
            alone = slash and value != "*" and "-" not in value
            if alone and found.start and (7 - found.start) % found.step == 0:
                first, step = found.start, found.step
                good = (
                    f"{first}-6/{step} or {first}-7/{step}" if first < 7 else f"sun or 0-6/{step}"
                )
                raise _FieldError(
                    f"{quote(item)} means other days for other engines, which count a week to 6 or "
                    f"to 7; write {good}"
                )
            terms.update(Weekday(number % 7) for number in found)
    return tuple(sorted(terms, key=_by_kind))


@lru_cache(maxsize=4096)
def numbers(text: str, field: Field) -> tuple[int, ...]:
    """Parse a field of plain numbers: minutes, hours or months; sorted, without repeats."""
    return tuple(sorted({number for item in _items(text, field) for number in _span(item, field)}))


def _items(text: str, field: Field) -> Iterable[str]:
    """Split a list into its items; refuse ``*`` beside others, since it would cover them."""
    items = text.split(",")
    if "" in items:
        raise _FieldError(f"the list {quote(text)} has an empty item; write it like 1,15")
    if "?" in items:
        raise _FieldError(f"'?' isn't used here; write * for every {field.name}")
    if len(items) > 1 and "*" in items:
        raise _FieldError(f"* beside others in {quote(text)} leaves nothing to list; write just *")
    return items


def _span(item: str, field: Field) -> range:
    """Return the numbers of ``*``, ``5``, ``1-5``, ``*/2``, ``1-5/2`` or ``5/15``.

    A single number with a step runs to the end of the field, as in Quartz, croniter and
    Go's cron (Vixie's refuses it).
    """
    body, slash, step_text = item.partition("/")
    first_text, dash, last_text = body.partition("-")
    if body == "*":
        first, last = field.low, field.high
    else:
        first = field.number(first_text, item)
        last = field.number(last_text, item) if dash else first
        if field is WEEKDAY and last_text == "sun" and first > 0:
            last = 7  # so that fri-sun runs forwards
        if slash and not dash:
            last = max(first, field.high)
    step = 1
    if slash:
        most = field.high - field.low
        if not re.fullmatch("[0-9]{1,2}", step_text) or not 1 <= int(step_text) <= most:
            raise _FieldError(
                f"the step of {quote(item)} is no whole number from 1 to {most}; write it like */2"
            )
        step = int(step_text)
    if first > last:
        raise _FieldError(
            f"the range {item} runs backwards; write {_unwrapped(first, last, step, item, field)}"
        )
    return range(first, last + 1, step)


def _unwrapped(first: int, last: int, step: int, item: str, field: Field) -> str:
    """Return what names the same values as a wrapping range, without wrapping."""
    named = item.split("-")[0] in field.names

    def shown(number: int) -> str:
        return field.names[number - field.low] if named else str(number)

    def piece(low: int, high: int) -> str:
        return shown(low) if low == high else f"{shown(low)}-{shown(high)}"

    if step > 1:  # two ranges would begin to count twice
        size = field.high - field.low + 1
        values = (field.low + (n - field.low) % size for n in range(first, last + size + 1, step))
        return ",".join(map(shown, sorted(set(values))))
    if first > field.high:  # 7-2: the other Sunday
        return piece(field.low, last)
    return f"{piece(first, field.high)},{piece(field.low, last)}"


LENGTH_LIMIT = 200
"""Most characters of an expression; a longer list costs seconds to parse."""

MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_GOOD = "0 18 L * *"


class CronError(ValueError):
    """An unusable cron expression: the message shows the bad value and a good one."""


@lru_cache(maxsize=4096)
def parse(expression: str) -> CronRule:
    """Parse a cron *expression* of the dialect that the module's docstring describes.

    Raises:
        CronError: A field is wrong; the message names every field that is.

    >>> parse("0 18 15,L * *").days
    (Day(day=15), Last(offset=0))
    >>> parse("0 9 * * fri-mon")
    Traceback (most recent call last):
    planner.recurrence.cron.CronError: cron '0 9 * * fri-mon': the range fri-mon runs \
backwards; write fri-sat,sun-mon
    """
    minute, hour, day, month, weekday = split_fields(expression)
    fields: tuple[tuple[_FieldParser, str, Field], ...] = (
        (numbers, minute, MINUTE),
        (numbers, hour, HOUR),
        (day_terms, day, DAY),
        (numbers, month, MONTH),
        (weekday_terms, weekday, WEEKDAY),
    )
    problems = []
    for parse_field, text, field in fields:
        try:
            parse_field(text, field)
        except _FieldError as error:
            problems.append(str(error))
    if problems:
        raise CronError(f"cron {quote(expression)}: {'; '.join(problems)}")
    return CronRule(
        expression=expression,
        minutes=numbers(minute, MINUTE),
        hours=numbers(hour, HOUR),
        days=day_terms(day, DAY),
        months=numbers(month, MONTH),
        weekdays=weekday_terms(weekday, WEEKDAY),
        every_hour=hour == "*",
        restricts_day_of_month=day != "*",
        restricts_weekday=weekday != "*",
    )


def split_fields(expression: str) -> list[str]:
    """Return the five fields in lower case, a shorthand such as ``@daily`` expanded.

    Raises:
        CronError: There are more or fewer than five.
    """
    text = expression.replace("\t", " ").strip(" ").lower()
    if len(expression) > LENGTH_LIMIT or not (text.isascii() and text.isprintable() and text):
        raise CronError(
            f"cron {quote(expression)} isn't up to {LENGTH_LIMIT} plain characters; "
            f"write five fields such as {_GOOD!r}"
        )
    if text.startswith("@") and text not in MACROS:
        known = ", ".join(MACROS)
        raise CronError(f"cron {quote(expression)} is no known shorthand; write one of {known}")
    fields = MACROS.get(text, text).split()
    if "=" in fields[0]:
        raise CronError(
            f"cron {quote(expression)}: a zone isn't written in the expression; "
            f"write it as timezone: beside cron: {_GOOD!r}"
        )
    if len(fields) != 5:
        hint = " (seconds and years are not supported)" if len(fields) in (6, 7) else ""
        raise CronError(
            f"cron {quote(expression)} has {len(fields)} fields{hint}; write five, minute, hour, "
            f"day of month, month and day of week, such as {_GOOD!r}"
        )
    return fields


_FieldParser = Callable[[str, Field], Sequence[object]]


def _by_kind(term: DayTerm | WeekdayTerm) -> tuple[str, str]:
    """Return a sort key for mixed terms: plain numbers first, then by kind and value."""
    plain = isinstance(term, Day | Weekday)
    value = f"{term.day:02}" if isinstance(term, Day) else repr(term)
    return "" if plain else type(term).__name__, value
