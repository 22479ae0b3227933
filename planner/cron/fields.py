"""The five fields of a cron expression, read one by one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from planner.cron.rule import (
    Day,
    DayTerm,
    Last,
    LastWeekday,
    NearestWeekday,
    Nth,
    Weekday,
    WeekdayTerm,
)


class Fault(Exception):
    """What is wrong with one field; who reads the expression says of which one."""


@dataclass(frozen=True, slots=True)
class Field:
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
            raise Fault(f"{quote(text or item)} is no {self.name}; it takes {self.takes}")
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


def days(text: str, field: Field) -> list[DayTerm]:
    """Read the field of the days of the month."""
    return [term for item in _items(text, field) for term in _day_terms(item, field)]


def _day_terms(item: str, field: Field) -> list[DayTerm]:
    if item == "l":
        return [Last()]
    if item == "lw":
        return [NearestWeekday()]
    if before := re.fullmatch("l-([1-9][0-9]?)", item):
        if int(before[1]) > 30:
            raise Fault(f"{quote(item.upper())} is before any month begins; write L-1 to L-30")
        return [Last(int(before[1]))]
    if nearest := re.fullmatch("([0-9]{1,2})w", item):
        return [NearestWeekday(field.number(nearest[1], item))]
    if "l" in item or "w" in item:
        raise Fault(f"{quote(item.upper())} is no {field.name}; write L, L-2, LW or 15W")
    return [Day(number) for number in _span(item, field)]


def weekdays(text: str, field: Field) -> list[WeekdayTerm]:
    """Read the field of the days of the week."""
    return [term for item in _items(text, field) for term in _weekday_terms(item, field)]


def _weekday_terms(item: str, field: Field) -> list[WeekdayTerm]:
    name, hash_sign, n = item.partition("#")
    if hash_sign:
        if n not in ("1", "2", "3", "4", "5"):
            raise Fault(f"{quote(item)} is no n-th weekday; write fri#1 to fri#5, or friL")
        return [Nth(field.number(name, item) % 7, int(n))]
    if item.startswith("l"):
        raise Fault(f"{quote(item.upper())} is no {field.name}; write friL for the last Friday")
    if item.endswith("l"):
        return [LastWeekday(field.number(item[:-1], item) % 7)]
    return [Weekday(number % 7) for number in _span(item, field)]


def numbers(text: str, field: Field) -> list[int]:
    """Read a field of plain numbers."""
    return [number for item in _items(text, field) for number in _span(item, field)]


def _items(text: str, field: Field) -> Iterable[str]:
    """Return the items of a list; a lone ``*`` among others would swallow them."""
    items = text.split(",")
    if "" in items:
        raise Fault(f"the list {quote(text)} has an empty item; write it like 1,15")
    if "?" in items:
        raise Fault(f"'?' isn't used here; write * for every {field.name}")
    if len(items) > 1 and "*" in items:
        raise Fault(f"* beside others in {quote(text)} leaves nothing to list; write just *")
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
        last = _range_end(first, last_text, item, field) if dash else first
        if slash and not dash:
            last = max(first, field.high)
    if first > last:
        raise Fault(
            f"the range {body} runs backwards; write {_unwrapped(first, last, body, field)}"
        )
    return range(first, last + 1, _step(step_text, item, field) if slash else 1)


def _range_end(first: int, text: str, item: str, field: Field) -> int:
    """Return the end of a range; a Sunday by name ends the week there (fri-sun)."""
    last = field.number(text, item)
    return 7 if field is WEEKDAY and text == "sun" and first > 0 else last


def _step(text: str, item: str, field: Field) -> int:
    most = field.high - field.low
    if not re.fullmatch("[0-9]{1,2}", text) or not 1 <= int(text) <= most:
        raise Fault(
            f"the step of {quote(item)} is no whole number from 1 to {most}; write it like */2"
        )
    return int(text)


def _unwrapped(first: int, last: int, body: str, field: Field) -> str:
    """Return the two ranges that a range running backwards may have meant."""
    named = body.split("-")[0] in field.names

    def shown(number: int) -> str:
        return field.names[number - field.low] if named else str(number)

    def piece(low: int, high: int) -> str:
        return shown(low) if low == high else f"{shown(low)}-{shown(high)}"

    if first > field.high:  # 7-2: the other Sunday
        return piece(field.low, last)
    return f"{piece(first, field.high)},{piece(field.low, last)}"


def quote(text: str) -> str:
    """Quote *text* for a sentence; a long one is cut."""
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
