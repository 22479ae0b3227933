"""Cron against brute force over every minute, and against croniter and cronsim."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from itertools import takewhile

import pytest
from croniter import croniter
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.recurrence.cron import CronError, DayMatch, never_fires, parse, wall_times

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
NAMES = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]

Test = Callable[[date], bool]


# Fields as text, with what they mean said a second time, by sets and single days -----


@st.composite
def numbers(draw: st.DrawFn, low: int, high: int) -> tuple[str, frozenset[int]]:
    """A field of plain numbers, and the numbers that it means."""
    items, meant = [], set[int]()
    for _ in range(draw(st.integers(1, 3))):
        first = draw(st.integers(low, high))
        last = draw(st.integers(first, high))
        step = draw(st.integers(1, high - low))
        # A weekday's step that would meet 7 is refused: it says where it ends.
        end = "-6" if high == 6 and first and (7 - first) % step == 0 else ""
        text, values = draw(
            st.sampled_from(
                [
                    (f"{first}", range(first, first + 1)),
                    (f"{first}-{last}", range(first, last + 1)),
                    (f"{first}-{last}/{step}", range(first, last + 1, step)),
                    (f"{first}{end}/{step}", range(first, high + 1, step)),
                    (f"*/{step}", range(low, high + 1, step)),
                ]
            )
        )
        items.append(text)
        meant |= set(values)
    return ",".join(items), frozenset(meant)


def field(low: int, high: int) -> st.SearchStrategy[tuple[str, frozenset[int]]]:
    """A field: a star as often as numbers."""
    return st.just(("*", frozenset(range(low, high + 1)))) | numbers(low, high)


def nearest_weekday(n: int) -> Test:
    """Tell of a day whether it is the weekday nearest to day *n* in its own month."""

    def test(day: date) -> bool:
        month = [d for d in range(1, 32) if (day + (d - day.day) * DAY).month == day.month]
        weekdays = [d for d in month if (day + (d - day.day) * DAY).weekday() < 5]
        return n in month and day.day == min(weekdays, key=lambda d: abs(d - n))

    return test


def days_from_end(day: date) -> int:
    """Return how many days of its month come after *day*."""
    return next(n for n in range(31) if (day + (n + 1) * DAY).month != day.month)


@st.composite
def month_days(draw: st.DrawFn) -> tuple[str, Test]:
    """A field of days of the month, and what it means of a single day."""
    n, offset = draw(st.integers(1, 31)), draw(st.integers(1, 30))
    text, numbers_meant = draw(numbers(1, 31))
    return draw(
        st.sampled_from(
            [
                (text, lambda day: day.day in numbers_meant),
                ("L", lambda day: days_from_end(day) == 0),
                (f"L-{offset}", lambda day: days_from_end(day) == offset),
                (f"{n}W", nearest_weekday(n)),
                (f"{text},L", lambda day: day.day in numbers_meant or days_from_end(day) == 0),
            ]
        )
    )


@st.composite
def week_days(draw: st.DrawFn) -> tuple[str, Test]:
    """A field of days of the week, and what it means of a single day."""
    weekday, n = draw(st.integers(0, 6)), draw(st.integers(1, 5))
    name = draw(st.sampled_from([str(weekday), NAMES[weekday]]))
    text, meant = draw(numbers(0, 6))

    def is_it(day: date) -> bool:
        return day.isoweekday() % 7 == weekday

    return draw(
        st.sampled_from(
            [
                (text, lambda day: day.isoweekday() % 7 in meant),
                (name, is_it),
                (f"{name}#{n}", lambda day: is_it(day) and (day.day - 1) // 7 == n - 1),
                (f"{name}L", lambda day: is_it(day) and days_from_end(day) < 7),
            ]
        )
    )


dates = st.dates(date(2000, 1, 1), date(2098, 12, 31))
matches = st.sampled_from(["any", "all"])


@settings(max_examples=60, deadline=None)
@given(field(0, 59), field(0, 23), field(1, 12), dates)
def test_every_minute_by_brute_force(
    minute: tuple[str, frozenset[int]],
    hour: tuple[str, frozenset[int]],
    month: tuple[str, frozenset[int]],
    first: date,
) -> None:
    """A rule names exactly the minutes whose numbers are in its fields."""
    last = first + 9 * DAY
    rule = parse(f"{minute[0]} {hour[0]} * {month[0]} *")
    at = datetime(first.year, first.month, first.day)
    expected = []
    while at.date() <= last:
        if at.minute in minute[1] and at.hour in hour[1] and at.month in month[1]:
            expected.append(at)
        at += MINUTE
    assert list(wall_times(rule, None, first, last)) == expected


@settings(max_examples=120, deadline=None)
@given(month_days(), week_days(), st.booleans(), st.booleans(), matches, dates)
def test_every_day_by_brute_force(
    month_day: tuple[str, Test],
    week_day: tuple[str, Test],
    star_days: bool,
    star_weekdays: bool,
    day_match: DayMatch,
    first: date,
) -> None:
    """Day fields name exactly the days that each says, together as day_match has it."""
    day_text, by_day = ("*", None) if star_days else month_day
    week_text, by_week = ("*", None) if star_weekdays else week_day
    rule = parse(f"0 12 {day_text} * {week_text}")
    expected = []
    for day in (first + n * DAY for n in range(400)):
        answers = [test(day) for test in (by_day, by_week) if test]
        if (any(answers) or not answers) if day_match == "any" else all(answers):
            expected.append(day)
    found = wall_times(rule, day_match, first, first + 399 * DAY)
    assert [at.date() for at in found] == expected


@settings(max_examples=150, deadline=None)
@given(month_days(), field(1, 12), week_days(), matches)
def test_never_fires_is_never_wrong(
    month_day: tuple[str, Test],
    month: tuple[str, frozenset[int]],
    week_day: tuple[str, Test],
    day_match: DayMatch,
) -> None:
    """Said to fire never, a rule names no day of the century; else it names one."""
    rule = parse(f"0 12 {month_day[0]} {month[0]} {week_day[0]}")
    century = wall_times(rule, day_match, date(2001, 1, 1), date(2100, 12, 31))
    assert never_fires(rule, day_match) == (next(century, None) is None)


# The libraries, on what they and the dialect agree about ------------------------------


@st.composite
def plain(draw: st.DrawFn, low: int, high: int) -> str:
    """A field that croniter and cronsim read as we do: no range of one value, no step of one."""
    first = draw(st.integers(low, high - 1))
    last = draw(st.integers(first + 1, high if first > low else high - 1))
    step = draw(st.integers(2, (high - low) // 2))
    items = [f"{first}", f"{first}-{last}", f"{first}-{last}/{step}", f"{first},{last}"]
    return draw(st.sampled_from([*items, f"*/{step}", "*"]))


def plain_expressions() -> st.SearchStrategy[str]:
    """Five such fields."""
    return st.tuples(plain(0, 59), plain(0, 23), plain(1, 28), plain(1, 12), plain(0, 6)).map(
        " ".join
    )


COUNT = 25
LAST = date(2500, 12, 31)


def ours(expression: str, day_match: DayMatch, after: datetime) -> list[datetime]:
    """Return the next times after *after* by our own reading."""
    found = wall_times(parse(expression), day_match, after.date(), LAST)
    later = (at for at in found if at > after)
    return [at for _, at in zip(range(COUNT), later, strict=False)]


@settings(max_examples=120, deadline=None)
@given(plain_expressions(), st.datetimes(datetime(2000, 1, 1), datetime(2040, 1, 1)), matches)
def test_agrees_with_croniter(expression: str, after: datetime, day_match: DayMatch) -> None:
    """Croniter names the same naive times for plain fields, with either match of days."""
    after = after.replace(second=0, microsecond=0)
    steps = croniter(expression, after, day_or=day_match == "any", max_years_between_matches=40)
    expected = [steps.get_next(datetime) for _ in range(COUNT)]
    assert ours(expression, day_match, after) == expected


@settings(max_examples=120, deadline=None)
@given(plain_expressions(), st.datetimes(datetime(2000, 1, 1), datetime(2040, 1, 1)))
def test_agrees_with_cronsim(expression: str, after: datetime) -> None:
    """Cronsim names the same naive times, with Vixie's match of days."""
    after = after.replace(second=0, microsecond=0)
    fields = expression.split()
    both = fields[2].startswith("*") or fields[4].startswith("*")
    steps = CronSim(expression, after)
    expected = [at for _, at in zip(range(COUNT), steps, strict=False)]
    assert ours(expression, "all" if both else "any", after) == expected


SPECIAL = ["0 9 L * *", "0 9 LW * *", "0 9 * * 5L", "0 9 * * FRI#3", "0 9 * 2 0#4", "0 9 * * 7#1"]


@pytest.mark.parametrize("expression", SPECIAL)
def test_special_days_agree_with_cronsim(expression: str) -> None:
    """L, LW, weekday L and # mean the same days there, for thirty years."""
    last = datetime(2057, 1, 1)
    expected = list(
        takewhile(lambda at: at < last, CronSim(expression, datetime(2026, 12, 31, 23)))
    )
    found = wall_times(parse(expression), None, date(2027, 1, 1), date(2056, 12, 31))
    assert list(found) == expected


def test_croniter_agrees_on_the_nearest_weekday() -> None:
    """15W is the same day there for thirty years; 31W differs, in short months only."""
    steps = croniter("0 9 15W * *", datetime(2026, 12, 31))
    expected = [steps.get_next(datetime) for _ in range(360)]
    found = list(wall_times(parse("0 9 15W * *"), None, date(2027, 1, 1), date(2056, 12, 31)))
    assert found == expected


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=250) | st.text("0123456789*/-,#LWlw fri?@=", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Whatever is written, the answer is a rule or a sentence on one line."""
    try:
        rule = parse(text)
    except CronError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either outcome is right
    else:
        assert rule.minutes
        assert rule.hours
        assert rule.days
        assert rule.months
        assert rule.weekdays


def test_instants_are_not_its_business() -> None:
    """Wall times are naive: zones come later."""
    assert all(
        at.tzinfo is None
        for at in wall_times(parse("0 0 1 * *"), None, date(2027, 1, 1), date(2027, 12, 31))
    )
