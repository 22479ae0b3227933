"""Read a cron expression in the strict dialect; say what is wrong with any other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from planner.cron.rule import (
    CronRule,
    Day,
    DayTerm,
    Last,
    LastWeekday,
    NearestWeekday,
    Nth,
    Weekday,
    WeekdayTerm,
)

LENGTH_LIMIT = 200
"""Characters of an expression: every sensible one is far shorter."""

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
    """A cron expression that can't be used: a sentence with the bad value and a good one."""


class _Fault(Exception):
    """What is wrong with one field; `parse` says of which expression."""


@dataclass(frozen=True, slots=True)
class _Field:
    """One of the five fields: the numbers it takes, their names, and a good example.

    *high* ends the cycle that ``*`` means, *top* is the highest number that may be
    written: they differ for the weekdays, where 7 is Sunday once more.
    """

    name: str
    low: int
    high: int
    top: int
    example: str
    names: tuple[str, ...] = ()

    @property
    def takes(self) -> str:
        """What may stand in it, in words."""
        named = f" or {self.names[0]} to {self.names[-1]}" if self.names else ""
        return f"{self.low} to {self.top}{named}, such as {self.example}"

    def number(self, text: str, item: str) -> int:
        """Return the value that *text* names; it is a part of *item*."""
        if text in self.names:
            return self.low + self.names.index(text)
        if not re.fullmatch("[0-9]{1,2}", text) or not self.low <= int(text) <= self.top:
            raise _Fault(f"{_quote(text or item)} is no {self.name}; it takes {self.takes}")
        return int(text)


_MINUTE = _Field("minute", 0, 59, 59, "*/15")
_HOUR = _Field("hour", 0, 23, 23, "18")
_DAY = _Field("day of the month", 1, 31, 31, "15 or L")
_MONTH = _Field(
    "month",
    1,
    12,
    12,
    "3,6,9,12",
    ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
)
_WEEKDAY = _Field(
    "day of the week", 0, 6, 7, "mon-fri", ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
)


@lru_cache(maxsize=4096)
def parse(expression: str) -> CronRule:
    """Read a cron *expression*; the package's docstring says what each field may hold.

    Raises:
        CronError: It isn't of the dialect; the message names every field that isn't.

    >>> parse("0 18 15,L * *").days
    (Day(day=15), Last(offset=0))
    >>> parse("0 9 * * fri-mon")
    Traceback (most recent call last):
    planner.cron.reading.CronError: cron '0 9 * * fri-mon': the range fri-mon runs \
backwards; write fri-sat,sun-mon
    """
    minute, hour, day, month, weekday = _split(expression)
    _refuse(
        expression,
        (_numbers, minute, _MINUTE),
        (_numbers, hour, _HOUR),
        (_days, day, _DAY),
        (_numbers, month, _MONTH),
        (_weekdays, weekday, _WEEKDAY),
    )
    return CronRule(
        expression=expression,
        minutes=tuple(sorted(set(_numbers(minute, _MINUTE)))),
        hours=tuple(sorted(set(_numbers(hour, _HOUR)))),
        days=tuple(sorted(set(_days(day, _DAY)), key=_by_kind)),
        months=tuple(sorted(set(_numbers(month, _MONTH)))),
        weekdays=tuple(sorted(set(_weekdays(weekday, _WEEKDAY)), key=_by_kind)),
        every_hour=hour == "*",
        restricts_day_of_month=day != "*",
        restricts_weekday=weekday != "*",
    )


def _split(expression: str) -> list[str]:
    """Return the five fields of *expression*, in lower case, with its macro expanded."""
    text = expression.replace("\t", " ").strip(" ").lower()
    if len(expression) > LENGTH_LIMIT or not (text.isascii() and text.isprintable() and text):
        raise CronError(
            f"cron {_quote(expression)} isn't up to {LENGTH_LIMIT} plain characters; "
            f"write five fields such as {_GOOD!r}"
        )
    if text.startswith("@"):
        if text not in MACROS:
            known = ", ".join(MACROS)
            raise CronError(
                f"cron {_quote(expression)} is no known shorthand; write one of {known}"
            )
        text = MACROS[text]
    fields = text.split()
    if "=" in fields[0]:
        raise CronError(
            f"cron {_quote(expression)}: a zone isn't written in the expression; "
            f"write it as timezone: beside cron: {_GOOD!r}"
        )
    if len(fields) != 5:
        hint = " (seconds and years are not supported)" if len(fields) in (6, 7) else ""
        raise CronError(
            f"cron {_quote(expression)} has {len(fields)} fields{hint}; write five, minute, hour, "
            f"day of month, month and day of week, such as {_GOOD!r}"
        )
    return fields


_Reader = Callable[[str, _Field], Sequence[object]]


def _refuse(expression: str, *fields: tuple[_Reader, str, _Field]) -> None:
    """Raise a `CronError` that names all that is wrong with any of *fields*."""
    faults = []
    for reader, text, field in fields:
        try:
            reader(text, field)
        except _Fault as fault:
            faults.append(str(fault))
    if faults:
        raise CronError(f"cron {_quote(expression)}: {'; '.join(faults)}")


def _by_kind(term: DayTerm | WeekdayTerm) -> tuple[str, str]:
    """Order terms of different kinds: plain ones first, then by what they say."""
    plain = isinstance(term, Day | Weekday)
    value = f"{term.day:02}" if isinstance(term, Day) else repr(term)
    return "" if plain else type(term).__name__, value


# Fields ------------------------------------------------------------------------------


def _days(text: str, field: _Field) -> list[DayTerm]:
    """Read the field of the days of the month."""
    return [term for item in _items(text, field) for term in _day_terms(item, field)]


def _day_terms(item: str, field: _Field) -> list[DayTerm]:
    if item == "l":
        return [Last()]
    if item == "lw":
        return [NearestWeekday()]
    if before := re.fullmatch("l-([1-9][0-9]?)", item):
        if int(before[1]) > 30:
            raise _Fault(f"{_quote(item.upper())} is before any month begins; write L-1 to L-30")
        return [Last(int(before[1]))]
    if nearest := re.fullmatch("([0-9]{1,2})w", item):
        return [NearestWeekday(field.number(nearest[1], item))]
    if "l" in item or "w" in item:
        raise _Fault(f"{_quote(item.upper())} is no {field.name}; write L, L-2, LW or 15W")
    return [Day(number) for number in _span(item, field)]


def _weekdays(text: str, field: _Field) -> list[WeekdayTerm]:
    """Read the field of the days of the week."""
    return [term for item in _items(text, field) for term in _weekday_terms(item, field)]


def _weekday_terms(item: str, field: _Field) -> list[WeekdayTerm]:
    name, hash_sign, n = item.partition("#")
    if hash_sign:
        if n not in ("1", "2", "3", "4", "5"):
            raise _Fault(f"{_quote(item)} is no n-th weekday; write fri#1 to fri#5, or friL")
        return [Nth(field.number(name, item) % 7, int(n))]
    if item.startswith("l"):
        raise _Fault(f"{_quote(item.upper())} is no {field.name}; write friL for the last Friday")
    if item.endswith("l"):
        return [LastWeekday(field.number(item[:-1], item) % 7)]
    return [Weekday(number % 7) for number in _span(item, field)]


def _numbers(text: str, field: _Field) -> list[int]:
    """Read a field of plain numbers."""
    return [number for item in _items(text, field) for number in _span(item, field)]


def _items(text: str, field: _Field) -> Iterable[str]:
    """Return the items of a list; a lone ``*`` among others would swallow them."""
    items = text.split(",")
    if "" in items:
        raise _Fault(f"the list {_quote(text)} has an empty item; write it like 1,15")
    if "?" in items:
        raise _Fault(f"'?' isn't used here; write * for every {field.name}")
    if len(items) > 1 and "*" in items:
        raise _Fault(f"* beside others in {_quote(text)} leaves nothing to list; write just *")
    return items


def _span(item: str, field: _Field) -> range:
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
        last = _range_end(first, last_text, item, field) if dash else first
        if slash and not dash:
            last = max(first, field.high)
    if first > last:
        raise _Fault(
            f"the range {body} runs backwards; write {_unwrapped(first, last, body, field)}"
        )
    return range(first, last + 1, _step(step_text, item, field) if slash else 1)


def _range_end(first: int, text: str, item: str, field: _Field) -> int:
    """Return the end of a range; a Sunday by name ends the week there (fri-sun)."""
    last = field.number(text, item)
    return 7 if field is _WEEKDAY and text == "sun" and first > 0 else last


def _step(text: str, item: str, field: _Field) -> int:
    most = field.high - field.low
    if not re.fullmatch("[0-9]{1,2}", text) or not 1 <= int(text) <= most:
        raise _Fault(
            f"the step of {_quote(item)} is no whole number from 1 to {most}; write it like */2"
        )
    return int(text)


def _unwrapped(first: int, last: int, body: str, field: _Field) -> str:
    """Return the two ranges that a range running backwards may have meant."""
    named = body.split("-")[0] in field.names

    def shown(number: int) -> str:
        return field.names[number - field.low] if named else str(number)

    def piece(low: int, high: int) -> str:
        return shown(low) if low == high else f"{shown(low)}-{shown(high)}"

    if first > field.high:  # 7-2: the other Sunday
        return piece(field.low, last)
    return f"{piece(first, field.high)},{piece(field.low, last)}"


def _quote(text: str) -> str:
    """Quote *text* for a sentence; a long one is cut."""
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
