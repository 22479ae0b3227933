"""Instants as grouped UTC calendars: exact, and no more of them than are known to do."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from schedule_helpers import HOUR, TODAY, wanted, window

from planner.model import Cron, Holidays, Horizon, Rrule, Skip, Window
from planner.schedules.compile import CompiledTimes, compile_window, span_of
from planner.schedules.recurring import (
    date_boxes,
    dated_calendars,
    ranges_of,
    rectangles,
    time_boxes,
)
from planner.schedules.spec import Range, firings, numbers_of
from workflows.contract import BoostRequest

PROFILE = settings(max_examples=150, deadline=None)
US = Holidays(regions=("US",))


def read_back(instants: list[datetime]) -> list[datetime]:
    """Return when the calendars of *instants* fire, over all years that there are."""
    times = CompiledTimes(
        calendars=dated_calendars(instants),
        timezone="UTC",
        start_at=None,
        end_at=None,
        covers_until=None,
        longest=HOUR,
        request=BoostRequest(namespace="", window="", tru=0, ttl_seconds=0),
    )
    first = datetime(min(instants).year, 1, 1, tzinfo=UTC)
    return firings(times, Horizon(first, datetime(max(instants).year + 1, 1, 1, tzinfo=UTC)))


SOME_INSTANTS = st.lists(
    st.builds(
        lambda day, at: datetime.combine(day, at, UTC),
        st.dates(date(2026, 1, 1), date(2031, 12, 31)),
        st.sampled_from((time(0), time(0, 30), time(1), time(1, 30, 30), time(23, 59, 59))),
    ),
    min_size=1,
    max_size=60,
)


@PROFILE
@given(SOME_INSTANTS)
def test_calendars_fire_at_the_instants_and_at_nothing_else(instants: list[datetime]) -> None:
    """Grouping neither loses a firing nor invents one."""
    assert sorted(set(instants)) == read_back(instants)


@PROFILE
@given(st.randoms(use_true_random=False), SOME_INSTANTS)
def test_equal_instants_give_equal_calendars(random: object, instants: list[datetime]) -> None:
    """The order in which instants are found doesn't show."""
    shuffled = list(instants)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert dated_calendars(instants) == dated_calendars(shuffled)


@PROFILE
@given(st.sets(st.dates(date(2026, 1, 1), date(2029, 12, 31)), min_size=1, max_size=400))
@example({date(2028, 2, 29)})
@example({date(2026, 1, 1) + timedelta(days=n) for n in range(1096)})
def test_boxes_cover_dates_exactly(dates: set[date]) -> None:
    """Every date is in a box, and every day in a box is one of the dates."""
    boxes = date_boxes(dates)
    days = [date(2026, 1, 1) + timedelta(days=n) for n in range(4 * 366)]
    covered = {
        day
        for day in days
        for box in boxes
        if day.year in numbers_of(box.years)
        and day.month in box.months
        and day.day in box.days
        and day.isoweekday() % 7 in box.weekdays
    }
    assert dates == covered & {day for day in days if day.year < 2030}


@PROFILE
@given(st.sets(st.integers(0, 59), min_size=1))
def test_ranges_hold_their_numbers(numbers: set[int]) -> None:
    """Ranges hold what they were made of, each number once, in order."""
    assert sorted(numbers) == list(numbers_of(ranges_of(numbers)))


@pytest.mark.parametrize(
    ("numbers", "ranges"),
    [
        ({5}, (Range(5, 5),)),
        ({5, 7}, (Range(5, 5), Range(7, 7))),
        ({1, 2, 3, 4, 5}, (Range(1, 5),)),
        ({0, 15, 30, 45}, (Range(0, 45, 15),)),
        ({1, 3, 5, 7, 8, 10, 12}, (Range(1, 7, 2), Range(8, 12, 2))),
        ({1, 2, 15}, (Range(1, 2), Range(15, 15))),
    ],
    ids=["one", "two apart", "neighbours", "a step", "two steps", "a pair and one"],
)
def test_ranges_are_few(numbers: set[int], ranges: tuple[Range, ...]) -> None:
    """Neighbours and even distances become one range."""
    assert ranges == ranges_of(numbers)


@PROFILE
@given(st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1))
def test_rectangles_cover_pairs_exactly(pairs: set[tuple[int, int]]) -> None:
    """The products of all rectangles together are the pairs."""
    covered = {
        (row, column) for rows, columns in rectangles(pairs) for row in rows for column in columns
    }
    assert pairs == covered


@PROFILE
@given(st.sets(st.times().map(lambda at: at.replace(microsecond=0)), min_size=1, max_size=40))
def test_time_boxes_cover_times_exactly(times: set[time]) -> None:
    """Each combination of a box's hours, minutes and seconds is one of the times."""
    covered = {
        time(hour, minute, second)
        for hours, minutes, seconds in time_boxes(times)
        for hour in hours
        for minute in minutes
        for second in seconds
    }
    assert times == covered


def test_quarters_of_an_hour_that_a_lead_shifts_take_two_boxes() -> None:
    """08:48, then 9:03 to 16:48 and 17:03 to 17:33: by minutes, not by hours."""
    nine_to_five = [time(hour, minute) for hour in range(9, 18) for minute in (0, 15, 30, 45)]
    shifted = [(datetime.combine(TODAY, at) - timedelta(minutes=12)).time() for at in nine_to_five]
    assert len(time_boxes(shifted)) == 2


# Compactness ---------------------------------------------------------------------------

TO_2100 = (2027, 2101)
TEN_YEARS = (2027, 2037)
BUSINESS_DAYS = Skip(weekends=True, holidays=True)

KNOWN: dict[str, tuple[Window, tuple[int, int], int]] = {
    "daily 02:30 Berlin to 2100": (window("30 2 * * *", timezone="Europe/Berlin"), TO_2100, 40),
    "weekdays 09:00 Berlin to 2100": (
        window("0 9 * * mon-fri", timezone="Europe/Berlin"),
        TO_2100,
        99,
    ),
    "all US business days, ten years": (
        window("0 9 * * *", skip=BUSINESS_DAYS, holidays=US),
        TEN_YEARS,
        85,
    ),
    "all US business days in New York, ten years": (
        window("0 9 * * *", skip=BUSINESS_DAYS, holidays=US, timezone="America/New_York"),
        TEN_YEARS,
        85,
    ),
    "payroll, 15th and last, US holidays, ten years": (
        window("0 5 15,L * *", roll="previous", holidays=US),
        TEN_YEARS,
        53,
    ),
    "the same payroll in New York": (
        window("0 5 15,L * *", roll="previous", holidays=US, timezone="America/New_York"),
        TEN_YEARS,
        53,
    ),
    "biweekly Fridays to 2100": (
        window(Rrule("FREQ=WEEKLY;INTERVAL=2;BYDAY=FR", datetime(2026, 1, 2, 9))),
        TO_2100,
        169,
    ),
}


@pytest.mark.parametrize(("window", "years", "known"), KNOWN.values(), ids=KNOWN)
def test_dates_take_no_more_calendars_than_known(
    window: Window, years: tuple[int, int], known: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """The figures that were measured before are an upper bound; both are printed."""
    start, end = (datetime(year, 1, 1, tzinfo=UTC) for year in years)
    count = len(dated_calendars(wanted(window, Horizon(start, end))))
    with capsys.disabled():
        print(f"\n  {count:4} calendars, known {known:4}", end=" ")
    assert count <= known


SPANNED: dict[str, tuple[Window, int]] = {
    "daily 02:30 Berlin": (window("30 2 * * *", timezone="Europe/Berlin"), 13),
    "payroll with US holidays": (
        window("0 5 15,L * *", roll="previous", holidays=US, timezone="America/New_York"),
        26,
    ),
    "all US business days": (
        window("0 9 * * *", skip=BUSINESS_DAYS, holidays=US, timezone="America/New_York"),
        35,
    ),
    "every hour in Berlin": (window(Cron(("0 * * * *",)), timezone="Europe/Berlin"), 3),
    # Cuba's clocks don't go back in 2026: one stretch of dates more.
    "Sundays at noon in Havana": (window("0 12 * * sun", timezone="America/Havana"), 11),
}


@pytest.mark.parametrize(("window", "most"), SPANNED.values(), ids=SPANNED)
def test_the_dated_span_stays_compact(
    window: Window, most: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three years of dates are a few dozen calendars at most."""
    schedule = compile_window(window, "payments", TODAY)
    assert schedule is not None
    assert schedule.covers_until == span_of(TODAY).end
    with capsys.disabled():
        print(f"\n  {len(schedule.calendars):4} calendars", end=" ")
    assert len(schedule.calendars) <= most
