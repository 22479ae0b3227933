"""When a schedule fires, by our own reading of Temporal's calendars."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_helpers import PROJECT, TODAY, window
from window_strategies import windows

from planner.model import Horizon, Window
from planner.schedules.compile import compile_window, span_of
from planner.schedules.spec import Range, Schedule, StructuredCalendar, firings, upcoming
from workflows.contract import BoostRequest

REQUEST = BoostRequest(namespace="ns.a1", window="w", tru=4, ttl_seconds=3600)


def schedule(*calendars: StructuredCalendar, timezone: str = "UTC") -> Schedule:
    """Return a schedule of these calendars."""
    return Schedule(
        id="boost/ns.a1/w",
        project=PROJECT,
        calendars=calendars,
        request=REQUEST,
        timezone=timezone,
    )


def numbers(*found: int) -> tuple[Range, ...]:
    """Return each number as a range."""
    return tuple(Range(number, number) for number in found)


def at(text: str) -> datetime:
    """Return a UTC instant."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def between(start: str, end: str) -> Horizon:
    """Return a horizon."""
    return Horizon(at(start), at(end))


NOON = StructuredCalendar(hour=numbers(12))

READINGS = {
    "every day": (schedule(NOON), ["2027-02-27 12:00", "2027-02-28 12:00", "2027-03-01 12:00"]),
    "a day and its weekday": (
        schedule(replace(NOON, day_of_month=(Range(26, 28),), day_of_week=numbers(0))),
        ["2027-02-28 12:00"],
    ),
    "Sunday is 0": (schedule(replace(NOON, day_of_week=numbers(0))), ["2027-02-28 12:00"]),
    "a day that the month doesn't have": (schedule(replace(NOON, day_of_month=numbers(29))), []),
    "another year": (schedule(replace(NOON, year=numbers(2028))), []),
    "the same time in two calendars": (
        schedule(NOON, replace(NOON, day_of_month=numbers(1))),
        ["2027-02-27 12:00", "2027-02-28 12:00", "2027-03-01 12:00"],
    ),
    "a step": (
        schedule(replace(NOON, day_of_month=(Range(1, 31, 27),))),
        ["2027-02-28 12:00", "2027-03-01 12:00"],
    ),
    "an hour that no clock has": (schedule(replace(NOON, hour=numbers(-1, 99))), []),
    "a field without a range": (schedule(replace(NOON, day_of_month=())), []),
    "no calendar": (schedule(), []),
    "a zone ahead of UTC": (
        schedule(NOON, timezone="Asia/Kolkata"),
        ["2027-02-27 06:30", "2027-02-28 06:30", "2027-03-01 06:30"],
    ),
}


@pytest.mark.parametrize(("schedule", "times"), READINGS.values(), ids=READINGS)
def test_a_calendar_fires_where_all_of_its_fields_match(
    schedule: Schedule, times: list[str]
) -> None:
    """Calendars are conjunctions, and a schedule is their union."""
    horizon = between("2027-02-27 00:00", "2027-03-02 00:00")
    assert [at(time) for time in times] == firings(schedule, horizon)


@pytest.mark.parametrize(
    ("start_at", "end_at", "days"),
    [
        ("2027-02-28 12:00", None, [28, 1]),
        ("2027-02-28 12:00:01", None, [1]),
        (None, "2027-02-28 12:00", [27, 28]),
        (None, "2027-02-28 11:59:59", [27]),
        ("2027-03-01 13:00", "2027-02-28 12:00", []),
    ],
    ids=["from, included", "just after", "to, included", "just before", "from after to"],
)
def test_the_bounds_are_included(start_at: str | None, end_at: str | None, days: list[int]) -> None:
    """A schedule may fire at the very instants it is bounded by."""
    bounded = replace(
        schedule(NOON),
        start_at=at(start_at) if start_at else None,
        end_at=at(end_at) if end_at else None,
    )
    horizon = between("2027-02-27 00:00", "2027-03-02 00:00")
    assert days == [fires.day for fires in firings(bounded, horizon)]


def test_a_horizon_is_half_open() -> None:
    """What fires at the start of a horizon belongs to it, what fires at its end doesn't."""
    horizon = between("2027-02-27 12:00", "2027-02-28 12:00")
    assert [at("2027-02-27 12:00")] == firings(schedule(NOON), horizon)


@settings(max_examples=30, deadline=None)
@given(windows(), st.datetimes(datetime(2026, 1, 1), datetime(2028, 12, 31)))
def test_adjacent_horizons_equal_one_horizon(window: Window, cut: datetime) -> None:
    """Wherever a span is cut, the firings of both parts are those of the whole."""
    compiled = compile_window(window, PROJECT, TODAY)
    span, middle = span_of(TODAY), cut.replace(tzinfo=UTC)
    if compiled is None:
        return
    parts = [*firings(compiled, Horizon(span.start, middle))]
    parts += firings(compiled, Horizon(middle, span.end))
    assert firings(compiled, span) == parts


@settings(max_examples=30, deadline=None)
@given(
    windows(),
    st.datetimes(datetime(2026, 1, 1), datetime(2028, 12, 31)),
    st.timedeltas(timedelta(), timedelta(days=12)),
)
def test_a_few_days_are_those_of_the_whole(
    window: Window, start: datetime, length: timedelta
) -> None:
    """What is left out because none of its days can match would not have fired."""
    compiled = compile_window(window, PROJECT, TODAY)
    if compiled is None:
        return
    few = Horizon(start.replace(tzinfo=UTC), start.replace(tzinfo=UTC) + length)
    around = Horizon(few.start - timedelta(days=30), few.end + timedelta(days=30))
    assert firings(compiled, few) == [at for at in firings(compiled, around) if at in few]


def test_the_first_few_of_very_many_come_at_once() -> None:
    """A schedule for every minute until 2100 is read as far as it is asked for."""
    often = compile_window(window("* * * * *"), PROJECT, TODAY)
    assert often is not None
    horizon = between("2027-01-01 00:00", "2100-01-01 00:00")
    found = list(islice(upcoming(often, horizon), 3))
    minute = timedelta(minutes=1)
    assert [horizon.start + n * minute for n in range(3)] == found
