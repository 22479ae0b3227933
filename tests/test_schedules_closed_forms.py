"""Patterns that are said for ever: day by day to 2100, and in how few calendars."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache

import pytest
from schedule_helpers import HOUR, MINUTE, PROJECT, TO_2100, TODAY, business_days, window

from planner.model import Holidays, Skip, Window
from planner.schedules.compile import compile_window
from planner.schedules.spec import firings

DAY = timedelta(days=1)
DAYS = [date(2025, 12, 1) + n * DAY for n in range(75 * 366)]
MONDAY, FRIDAY, SATURDAY, SUNDAY = 0, 4, 5, 6

Rule = Callable[[date], bool]


def length(day: date) -> int:
    """Return how many days the month of *day* has."""
    return monthrange(day.year, day.month)[1]


def is_last(day: date, weekday: int) -> bool:
    """Tell whether *day* is the last of its weekday in its month."""
    return day.weekday() == weekday and (day + 7 * DAY).month != day.month


def nth(day: date, n: int, weekday: int) -> bool:
    """Tell whether *day* is the n-th of its weekday in its month."""
    return day.weekday() == weekday and (day.day - 1) // 7 == n - 1


def business(day: date) -> list[int]:
    """Return the days of the month of *day* from Monday to Friday."""
    days = range(1, length(day) + 1)
    return [n for n in days if day.replace(day=n).weekday() < SATURDAY]


def rolls_to(day: date, written: Rule, shifts: dict[int, int]) -> bool:
    """Tell whether a written day falls on *day* after its weekday's shift."""
    return any(
        written(day - shift * DAY) and shifts.get((day - shift * DAY).weekday(), 0) == shift
        for shift in {0, *shifts.values()}
    )


@cache
def days_of(rule: Rule) -> list[date]:
    """Return the days that *rule* means, to 2100."""
    return [day for day in DAYS if rule(day)]


PREVIOUS = {SATURDAY: -1, SUNDAY: -2}
NEXT = {SATURDAY: 2, SUNDAY: 1}
NEAREST = {SATURDAY: -1, SUNDAY: 1}

PATTERNS: dict[str, tuple[Window, Rule, int]] = {
    "every day": (window("0 12 * * *"), lambda day: True, 1),
    "weekdays": (window("0 12 * * mon-fri"), lambda day: day.weekday() < SATURDAY, 1),
    "weekdays by skip": (
        window("0 12 * * *", skip=Skip(weekends=True)),
        lambda day: day.weekday() < SATURDAY,
        1,
    ),
    "Friday and Saturday weekend": (
        window("0 12 * * *", skip=Skip(weekends=True), holidays=Holidays(weekend=(4, 5))),
        lambda day: day.weekday() not in (FRIDAY, SATURDAY),
        1,
    ),
    "month end": (window("0 12 L * *"), lambda day: day.day == length(day), 4),
    "third last day": (window("0 12 L-2 * *"), lambda day: day.day == length(day) - 2, 4),
    "quarter end": (
        window("0 12 L 3,6,9,12 *"),
        lambda day: day.day == length(day) and day.month % 3 == 0,
        2,
    ),
    "15th and last": (
        window("0 12 15,L * *"),
        lambda day: day.day in (15, length(day)),
        4,
    ),
    "29 February": (window("0 12 29 2 *"), lambda day: (day.month, day.day) == (2, 29), 1),
    "31st": (window("0 12 31 * *"), lambda day: day.day == 31, 1),
    "28th to 31st": (window("0 12 28-31 * *"), lambda day: day.day >= 28, 1),
    "third Friday": (window("0 12 * * fri#3"), lambda day: nth(day, 3, FRIDAY), 1),
    "fifth Friday": (window("0 12 * * fri#5"), lambda day: nth(day, 5, FRIDAY), 1),
    "last Friday": (window("0 12 * * friL"), lambda day: is_last(day, FRIDAY), 4),
    "Thanksgiving": (
        window("0 12 * 11 thu#4"),
        lambda day: day.month == 11 and nth(day, 4, 3),
        1,
    ),
    "first business day": (business_days(1), lambda day: day.day == business(day)[0], 2),
    "third business day": (business_days(3), lambda day: day.day == business(day)[2], 3),
    "last business day": (business_days(-1), lambda day: day.day == business(day)[-1], 8),
    "last weekday by cron": (window("0 12 LW * *"), lambda day: day.day == business(day)[-1], 8),
    "15W": (
        window("0 12 15W * *"),
        lambda day: rolls_to(day, lambda other: other.day == 15, NEAREST),
        3,
    ),
    "15th, else previous weekday": (
        window("0 12 15 * *", roll="previous"),
        lambda day: rolls_to(day, lambda other: other.day == 15, PREVIOUS),
        2,
    ),
    "15th, else next weekday": (
        window("0 12 15 * *", roll="next"),
        lambda day: rolls_to(day, lambda other: other.day == 15, NEXT),
        2,
    ),
    "15th, else nearest weekday": (
        window("0 12 15 * *", roll="nearest"),
        lambda day: rolls_to(day, lambda other: other.day == 15, NEAREST),
        3,
    ),
    "31 December, else next weekday": (
        window("0 12 31 12 *", roll="next"),
        lambda day: rolls_to(day, lambda other: (other.month, other.day) == (12, 31), NEXT),
        2,
    ),
    "1 January, else previous weekday": (
        window("0 12 1 1 *", roll="previous"),
        lambda day: rolls_to(day, lambda other: (other.month, other.day) == (1, 1), PREVIOUS),
        2,
    ),
    "last of February, else next weekday": (
        window("0 12 L 2 *", roll="next"),
        lambda day: rolls_to(
            day, lambda other: other.month == 2 and other.day == length(other), NEXT
        ),
        6,
    ),
    "13th or Friday": (
        replace(window("0 12 13 * fri"), recurrence=window("0 12 13 * fri").recurrence),
        lambda day: day.day == 13 or day.weekday() == FRIDAY,
        2,
    ),
    "Friday 13th": (
        window("0 12 13 * fri"),
        lambda day: day.day == 13 and day.weekday() == FRIDAY,
        1,
    ),
}
for name, match in (("13th or Friday", "any"), ("Friday 13th", "all")):
    plain, rule, most = PATTERNS[name]
    PATTERNS[name] = (
        replace(plain, recurrence=replace(plain.recurrence, day_match=match)),
        rule,
        most,
    )


@pytest.mark.parametrize(("window", "rule", "most"), PATTERNS.values(), ids=PATTERNS)
def test_a_closed_form_holds_day_by_day_to_2100(window: Window, rule: Rule, most: int) -> None:
    """A pattern is said for ever, in no more calendars than known, and for no other day."""
    schedule = compile_window(window, PROJECT, TODAY)
    assert schedule is not None
    assert schedule.covers_until is None
    assert len(schedule.calendars) <= most
    expected = [datetime.combine(day, time(12), UTC) for day in days_of(rule)]
    assert [at for at in expected if at in TO_2100] == firings(schedule, TO_2100)


@pytest.mark.parametrize("ahead", [12 * MINUTE, 37 * HOUR, 10 * DAY], ids=["12m", "37h", "10d"])
@pytest.mark.parametrize(("window", "rule", "most"), PATTERNS.values(), ids=PATTERNS)
def test_the_lead_moves_a_closed_form_over_days_months_and_years(
    window: Window, rule: Rule, most: int, ahead: timedelta
) -> None:
    """A firing lies the whole lead before its start, also on another day, month or year."""
    early = replace(window, recurrence=_at_five_past(window), lead=ahead)
    schedule = compile_window(early, PROJECT, TODAY)
    assert schedule is not None
    assert schedule.covers_until is None
    expected = [datetime.combine(day, time(0, 5), UTC) - ahead for day in days_of(rule)]
    assert [at for at in expected if at in TO_2100] == firings(schedule, TO_2100)


def _at_five_past(window: Window) -> object:
    """Return the recurrence of *window*, at five past midnight."""
    recurrence = window.recurrence
    if hasattr(recurrence, "at"):
        return replace(recurrence, at=time(0, 5))
    return replace(recurrence, expressions=(recurrence.expressions[0].replace("0 12", "5 0"),))


SHIFTED = {
    "the 1st at 00:05": ("5 0 1 * *", 4),
    "the 1st of January at 00:05": ("5 0 1 1 *", 1),
    "the last day at 00:05": ("5 0 L * *", 4),
    "Mondays at 00:05": ("5 0 * * mon", 1),
    "weekdays at 00:05": ("5 0 * * mon-fri", 1),
    "the first Monday at 00:05": ("5 0 * * mon#1", 5),
    "every hour at five past": ("5 * * * *", 1),
    "every quarter of an hour": ("*/15 * * * *", 1),
}


@pytest.mark.parametrize(("expression", "most"), SHIFTED.values(), ids=SHIFTED)
def test_common_shifts_stay_compact(expression: str, most: int) -> None:
    """A lead of twelve minutes over midnight costs no more calendars than it has to."""
    schedule = compile_window(window(expression, lead=12 * MINUTE), PROJECT, TODAY)
    assert schedule is not None
    assert schedule.covers_until is None
    assert len(schedule.calendars) <= most
