"""What planner and run time agree on: doctests, and the arithmetic that both use."""

from __future__ import annotations

import doctest
import importlib
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflows.contract import (
    APS_PER_TRU,
    ON_DEMAND,
    BoostRequest,
    Capacity,
    Combine,
    Rails,
    Until,
    combine,
    end_by_clock,
    format_duration,
    format_instant,
    lease_of,
    parse_instant,
    parse_until,
    round_up,
    target_of,
    to_instant,
    to_wall,
)

ZONES = ["UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu"]

zones = st.sampled_from(ZONES).map(ZoneInfo)
instants = st.datetimes(datetime(2026, 1, 1), datetime(2032, 1, 1), timezones=st.just(UTC))
walls = st.datetimes(datetime(2026, 1, 1), datetime(2032, 1, 1)).map(
    lambda at: at.replace(second=0, microsecond=0)
)
times = st.builds(time, st.integers(0, 23), st.integers(0, 59))


@dataclass(frozen=True)
class Demanded:
    """A demand, as the combination sees it."""

    tru: int
    combine: Combine = "max"


demands = st.lists(
    st.builds(Demanded, st.integers(1, 14), st.sampled_from(["max", "add"])), max_size=6
)
rails = st.builds(
    Rails,
    st.sets(st.integers(1, 16), min_size=1).map(lambda found: tuple(sorted(found))),
    st.none() | st.integers(1, 16),
)
baselines = st.none() | st.sampled_from([1.0, 2.0, 4.0, 8.0])


@pytest.mark.parametrize("name", ["capacity", "messages"])
def test_examples_in_docstrings(name: str) -> None:
    """What a docstring shows is what happens."""
    assert doctest.testmod(importlib.import_module(f"workflows.contract.{name}")).failed == 0


@given(instants)
def test_instants_round_trip(instant: datetime) -> None:
    """What is written as text is read back as the same instant."""
    assert parse_instant(format_instant(instant)) == instant


@given(walls, zones)
def test_a_wall_time_that_exists_is_its_own(wall: datetime, tz: ZoneInfo) -> None:
    """A wall time comes back from its instant, unless the clock skips it: then later."""
    back = to_wall(to_instant(wall, tz), tz)
    assert back == wall or (back > wall and back - wall <= timedelta(hours=1))


@given(walls, times, zones)
def test_until_is_after_the_start(wall: datetime, until: time, tz: ZoneInfo) -> None:
    """A window by the clock ends after it starts, on the wall where it says, within a day."""
    start, end = to_instant(wall, tz), end_by_clock(wall, Until(until), tz)
    assert timedelta() < end - start <= timedelta(hours=25)


untils = (
    times.map(Until)
    | st.builds(Until, times, st.integers(0, 6))
    | st.builds(Until, st.none() | times, st.none(), st.integers(1, 31))
)


@given(untils)
def test_an_end_by_the_clock_round_trips(until: Until) -> None:
    """What is written as text is read back as the same end."""
    assert parse_until(str(until)) == until


@pytest.mark.parametrize(
    ("text", "until"),
    [
        ("06:00", Until(time(6))),
        ("23:59:30", Until(time(23, 59, 30))),
        ("fri 21:00", Until(time(21), weekday=4)),
        ("+7d 00:00", Until(time(0), days=7)),
        ("+31d", Until(None, days=31)),
    ],
)
def test_an_end_by_the_clock_as_text(text: str, until: Until) -> None:
    """The form on the wire, which people see in the Temporal UI."""
    assert (parse_until(text), str(until)) == (until, text)


@pytest.mark.parametrize("text", ["", "fri", "+d", "7d", "25:00", "freitag 21:00", "fri21:00x"])
def test_what_is_no_end_by_the_clock(text: str) -> None:
    """Anything else is refused: a boost never runs to a guessed end."""
    with pytest.raises(ValueError, match=r"is no end by the clock|hour must be"):
        parse_until(text)


@settings(max_examples=40, deadline=None)
@given(walls, times, st.integers(0, 6), zones)
def test_the_next_weekday_by_looking_at_every_minute(
    wall: datetime, at: time, weekday: int, tz: ZoneInfo
) -> None:
    """The end is the last minute of the first day on which the clock shows it after the start."""
    start = to_instant(wall, tz)
    minutes = (start + timedelta(minutes=n) for n in range(1, 9 * 24 * 60))
    shown = [
        (to_wall(minute, tz), minute)
        for minute in minutes
        if (local := to_wall(minute, tz)).time() == at and local.weekday() == weekday
    ]
    if not shown or to_wall(start, tz) != wall or shown[0][0] <= wall:
        return  # the clock skips the end or the start, or shows the start twice
    if shown[0][0] - wall > timedelta(days=7):
        return  # the clock skips the end on the first of two such days
    expected = max(minute for local, minute in shown if local == shown[0][0])
    assert end_by_clock(wall, Until(at, weekday), tz) == expected


@given(demands, rails, baselines, st.floats(0, 9000))
def test_a_target_is_no_less_than_what_is_there_anyway(
    held: list[Demanded], limits: Rails, tru: float | None, aps: float
) -> None:
    """Neither the baseline nor the on-demand limit is ever lowered by a boost."""
    baseline = Capacity(tru)
    target = target_of(held, baseline, limits, on_demand_aps=aps)
    if target.capacity == baseline:
        return
    assert target.capacity.tru is not None
    assert target.capacity.tru in limits.allowed
    if baseline.tru is None:
        assert target.capacity.tru * APS_PER_TRU > aps
    else:
        assert target.capacity.tru > baseline.tru


@given(demands, rails)
def test_what_falls_short_says_so(held: list[Demanded], limits: Rails) -> None:
    """Less than is requested is never given without saying so, and saying why."""
    target = target_of(held, ON_DEMAND, limits)
    given_tru = target.capacity.tru or 0
    assert target.falls_short == (given_tru < combine(held, ON_DEMAND))
    if given_tru != combine(held, ON_DEMAND):
        assert target.reason


@given(demands, demands, baselines)
def test_more_demands_never_come_to_less(
    held: list[Demanded], more: list[Demanded], tru: float | None
) -> None:
    """Another demand never takes anything away."""
    assert combine([*held, *more], Capacity(tru)) >= combine(held, Capacity(tru))


@pytest.mark.parametrize(
    ("baseline", "held", "requested", "given_tru"),
    [
        pytest.param(3, [(2, "max")], 2, 3, id="below the baseline"),
        pytest.param(3, [(2, "add")], 5, 6, id="on top of the baseline alone: 3 + 2"),
        pytest.param(4, [(2, "add")], 6, 6, id="4 + 2"),
        pytest.param(3, [(8, "max"), (2, "add")], 10, 10, id="on top of what is higher: 8 + 2"),
        pytest.param(3, [(2, "max"), (2, "add")], 5, 6, id="what is lower counts for nothing"),
        pytest.param(3, [(2, "add"), (4, "add")], 9, 10, id="both on top of it: 3 + 2 + 4"),
        pytest.param(2.5, [(2, "add")], 5, 6, id="part of a TRU counts as one"),
        pytest.param(None, [(2, "add")], 2, 2, id="on-demand is nothing to add to"),
        pytest.param(10, [(4, "add")], 14, 12, id="14 can't be had"),
        pytest.param(3, [], 0, 3, id="nothing runs"),
    ],
)
def test_what_adds_comes_on_top_of_the_baseline(
    baseline: float | None, held: list[tuple[int, Combine]], requested: int, given_tru: int
) -> None:
    """A declared baseline is part of what else runs."""
    demanded = [Demanded(*each) for each in held]
    target = target_of(demanded, Capacity(baseline), Rails())
    assert (target.requested, target.capacity) == (requested, Capacity(given_tru))


def test_what_was_found_is_not_added_to() -> None:
    """Nobody knows it when a preview is made: what adds comes to no more than is shown."""
    two = [Demanded(2, "add")]
    assert target_of(two, Capacity(3), Rails(), declared=False).capacity == Capacity(3)
    assert target_of([*two, Demanded(4)], Capacity(3), Rails(), declared=False).requested == 6


@pytest.mark.parametrize(
    ("aps", "tru"),
    [
        pytest.param(1, 2, id="the smallest"),
        pytest.param(1000, 2, id="exactly"),
        pytest.param(1200, 3, id="2.4 TRU is not a value"),
        pytest.param(2001, 6, id="above 4, the next is 6"),
    ],
)
def test_aps_are_rounded_up(aps: int, tru: int) -> None:
    """Actions per second come to an allowed value that covers them."""
    assert round_up(-(-aps // APS_PER_TRU), Rails().allowed) == tru


@given(instants, st.integers(0, 7200), st.integers(60, 90_000))
def test_a_lease_is_its_occurrence(nominal: datetime, ahead: int, length: int) -> None:
    """The same firing requests the same lease, from its window's start to its end."""
    request = BoostRequest(
        namespace="n.a", window="w", tru=8, ttl_seconds=length, ahead_seconds=ahead
    )
    lease = lease_of(request, nominal)
    assert lease == lease_of(request, nominal)
    assert lease.start == nominal + timedelta(seconds=ahead)
    assert lease.until - lease.start == timedelta(seconds=length)
    assert lease.key == f"w@{format_instant(lease.start)}"


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (timedelta(), "0s"),
        (timedelta(seconds=90), "1m30s"),
        (timedelta(minutes=10), "10m"),
        (timedelta(hours=26, minutes=5), "26h5m"),
    ],
    ids=["none", "seconds", "minutes", "more than a day"],
)
def test_durations_are_written_as_in_calendar_files(length: timedelta, words: str) -> None:
    """The unit of a day is never used: 26 hours stay 26 hours."""
    assert words == format_duration(length)
