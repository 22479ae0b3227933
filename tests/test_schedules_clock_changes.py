"""Which windows are said on the wall of their zone, and which are dated in UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from schedule_helpers import (
    HOUR,
    MINUTE,
    PROJECT,
    TO_2100,
    TODAY,
    business_days,
    wanted,
    window,
)

from planner.model import Dates, Holidays, Skip, Span, Window
from planner.schedules.compile import compile_window, span_of
from planner.schedules.spec import firings

NEW_YORK = {"timezone": "America/New_York"}
BERLIN = {"timezone": "Europe/Berlin"}
HAVANA = {"timezone": "America/Havana"}
US = Holidays(regions=("US",))

FOR_EVER: dict[str, Window] = {
    "midnight, an hour before the repeat": window("0 0 * * *", lead=10 * MINUTE, **NEW_YORK),
    "an hour after the gap": window("0 4 * * *", **NEW_YORK),
    "weekdays in the changed hour": window("30 2 * * mon-fri", **NEW_YORK),
    "weekdays, round the clock": window("0 */6 * * mon-fri", lead=10 * MINUTE, **NEW_YORK),
    "a Monday where the gap is on a Sunday": window("0 12 * * mon", **HAVANA),
    "a zone that gave its clock changes up": window("0 0 * * *", timezone="America/Sao_Paulo"),
    "a zone without any": window("*/20 0-3 * * *", lead=12 * MINUTE, timezone="Asia/Kathmandu"),
    "from and to between two changes": window(
        "30 2 * * *", not_before=date(2027, 4, 1), not_after=date(2027, 10, 30), **BERLIN
    ),
    "holidays that nothing asks for": window("0 9 * * *", holidays=US, **NEW_YORK),
    "a region's weekend without its holidays": window(
        "0 9 * * *", holidays=US, skip=Skip(weekends=True), **NEW_YORK
    ),
    "a roll over weekends": window("0 5 15,L * *", roll="previous", **NEW_YORK),
    "months without a change": window("30 2 * 5-9 *", **BERLIN),
}

DATED: dict[str, Window] = {
    "in the gap": window("30 2 * * *", **NEW_YORK),
    "in the repeat": window("30 1 * * *", **NEW_YORK),
    "a minute too near before": window("1 0 * * *", **NEW_YORK),
    "a minute too near after": window("59 3 * * *", **NEW_YORK),
    "a change between firing and start": window("0 6 * * sun", lead=5 * HOUR, **NEW_YORK),
    "a firing in the gap": window("0 5 * * *", lead=150 * MINUTE, **NEW_YORK),
    "every hour": window("0 * * * *", **BERLIN),
    "the day of a gap at midnight": window("0 12 * * sun", **HAVANA),
    "half an hour's gap": window("15 2 * * *", timezone="Australia/Lord_Howe"),
    "a change in the rare year only": window("0 2 28 3 *", **BERLIN),
    "to after the next change": window("30 2 * * *", not_after=date(2027, 4, 1), **BERLIN),
    "a roll over holidays": window("0 5 15 * *", roll="previous", holidays=US, **NEW_YORK),
    "holidays to skip": window("0 9 * * *", skip=Skip(holidays=True), holidays=US),
    "a day to skip": window("0 9 * * *", skip=Skip(days=(date(2027, 12, 24),))),
    "business days with holidays": business_days(1, holidays=US, **NEW_YORK),
    "a weekend that is worked now and then": window(
        "0 9 * * *", holidays=Holidays(regions=("CN",)), skip=Skip(weekends=True)
    ),
    "written dates": window(Dates((Span(datetime(2027, 3, 14, 1, 30)),)), **NEW_YORK),
    "a lead of months": window("0 9 1 * *", lead=timedelta(days=60)),
}


@pytest.mark.parametrize("window", FOR_EVER.values(), ids=FOR_EVER)
def test_far_from_clock_changes_a_window_is_said_for_ever(window: Window) -> None:
    """It is read on the wall of its own zone, and fires for its occurrences to 2100."""
    schedule = compile_window(window, PROJECT, TODAY)
    assert schedule is not None
    assert (window.timezone, None) == (schedule.timezone, schedule.covers_until)
    assert all(calendar.year == () or len(calendar.year) > 1 for calendar in schedule.calendars)
    decades = [datetime(year, 1, 1, tzinfo=UTC) for year in (2026, 2036, 2060, 2090)]
    for start in decades:
        horizon = type(TO_2100)(start, start.replace(year=start.year + 2))
        assert wanted(window, horizon) == firings(schedule, horizon)


@pytest.mark.parametrize("window", DATED.values(), ids=DATED)
def test_near_a_clock_change_or_by_dates_a_window_is_dated(window: Window) -> None:
    """It is read in UTC, in written years, up to the end of the span."""
    schedule = compile_window(window, PROJECT, TODAY)
    span = span_of(TODAY)
    assert schedule is not None
    assert ("UTC", span.end) == (schedule.timezone, schedule.covers_until)
    assert all(calendar.year for calendar in schedule.calendars)
    assert wanted(window, span) == firings(schedule, span)


def test_from_and_to_are_kept_by_instants() -> None:
    """The first firing is that of the first local day, the last that of the last one."""
    found = window(
        "0 0 * * *",
        timezone="Asia/Kolkata",
        lead=10 * MINUTE,
        not_before=date(2027, 3, 1),
        not_after=date(2027, 3, 2),
    )
    schedule = compile_window(found, PROJECT, TODAY)
    assert schedule is not None
    assert schedule.start_at == datetime(2027, 2, 28, 18, 20, tzinfo=UTC)
    assert schedule.end_at == datetime(2027, 3, 2, 18, 19, 59, tzinfo=UTC)
    assert firings(schedule, span_of(TODAY)) == [
        datetime(2027, 2, 28, 18, 20, tzinfo=UTC),
        datetime(2027, 3, 1, 18, 20, tzinfo=UTC),
    ]


def test_dates_beyond_all_calendars_bound_nothing() -> None:
    """From the year 1 to the year 9999 is for ever."""
    always = window("0 9 * * *", not_before=date.min, not_after=date.max)
    schedule = compile_window(always, PROJECT, TODAY)
    assert schedule is not None
    assert (schedule.start_at, schedule.end_at, schedule.covers_until) == (None, None, None)
