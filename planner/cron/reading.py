"""Read a cron expression in the strict dialect; say what is wrong with any other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from planner.cron.fields import (
    DAY,
    HOUR,
    MINUTE,
    MONTH,
    WEEKDAY,
    Fault,
    Field,
    days,
    numbers,
    quote,
    weekdays,
)
from planner.cron.rule import CronRule, Day, DayTerm, Weekday, WeekdayTerm

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
        (numbers, minute, MINUTE),
        (numbers, hour, HOUR),
        (days, day, DAY),
        (numbers, month, MONTH),
        (weekdays, weekday, WEEKDAY),
    )
    return CronRule(
        expression=expression,
        minutes=tuple(sorted(set(numbers(minute, MINUTE)))),
        hours=tuple(sorted(set(numbers(hour, HOUR)))),
        days=tuple(sorted(set(days(day, DAY)), key=_by_kind)),
        months=tuple(sorted(set(numbers(month, MONTH)))),
        weekdays=tuple(sorted(set(weekdays(weekday, WEEKDAY)), key=_by_kind)),
        every_hour=hour == "*",
        restricts_day_of_month=day != "*",
        restricts_weekday=weekday != "*",
    )


def _split(expression: str) -> list[str]:
    """Return the five fields of *expression*, in lower case, with its macro expanded."""
    fields = _expanded(expression).split()
    shown = quote(expression)
    if "=" in fields[0]:
        raise CronError(
            f"cron {shown}: a zone isn't written in the expression; "
            f"write it as timezone: beside cron: {_GOOD!r}"
        )
    if len(fields) != 5:
        hint = " (seconds and years are not supported)" if len(fields) in (6, 7) else ""
        raise CronError(
            f"cron {shown} has {len(fields)} fields{hint}; write five, minute, hour, "
            f"day of month, month and day of week, such as {_GOOD!r}"
        )
    return fields


def _expanded(expression: str) -> str:
    """Return *expression* in lower case, a macro as what it stands for."""
    text = expression.replace("\t", " ").strip(" ").lower()
    if len(expression) > LENGTH_LIMIT or not (text.isascii() and text.isprintable() and text):
        raise CronError(
            f"cron {quote(expression)} isn't up to {LENGTH_LIMIT} plain characters; "
            f"write five fields such as {_GOOD!r}"
        )
    if text.startswith("@") and text not in MACROS:
        known = ", ".join(MACROS)
        raise CronError(f"cron {quote(expression)} is no known shorthand; write one of {known}")
    return MACROS.get(text, text)


_Reader = Callable[[str, Field], Sequence[object]]


def _refuse(expression: str, *fields: tuple[_Reader, str, Field]) -> None:
    """Raise a `CronError` that names all that is wrong with any of *fields*."""
    faults = []
    for reader, text, field in fields:
        try:
            reader(text, field)
        except Fault as fault:
            faults.append(str(fault))
    if faults:
        raise CronError(f"cron {quote(expression)}: {'; '.join(faults)}")


def _by_kind(term: DayTerm | WeekdayTerm) -> tuple[str, str]:
    """Order terms of different kinds: plain ones first, then by what they say."""
    plain = isinstance(term, Day | Weekday)
    value = f"{term.day:02}" if isinstance(term, Day) else repr(term)
    return "" if plain else type(term).__name__, value
