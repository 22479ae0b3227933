"""Calendars over the past: hot hours by truth tables, costs by hand, and brute force."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from forecast_helpers import calendar, window
from hypothesis import given, settings
from hypothesis import strategies as st
from usage_helpers import HOUR, NAN, START, usage

from planner.evidence.backtest import (
    SCHEMES,
    Backtest,
    NamespaceBacktest,
    backtest_namespace,
    backtest_of,
)
from planner.model import VOLUME_TIERS, Horizon, NamespaceCalendar, Prices
from planner.render.suggest import backtest_json, backtest_markdown, backtest_text
from planner.usage.model import Coverage, Usage
from workflows.contract import Capacity

DAY = Horizon(START, START + timedelta(days=1))
QUIET, HOT = 100.0, 1500.0
TWO_TO_SIX = ("2026-10-15 02:00", "2026-10-15 06:00")


def levels(*hot: int, rate: float = HOT) -> list[float]:
    """Return the APS of a day's minutes: *rate* in the *hot* hours."""
    return [rate if minute // 60 in hot else QUIET for minute in range(1440)]


def payroll(tru: int = 4, **fields: Any) -> NamespaceCalendar:
    """Return a calendar with one window from 02:00 to 06:00."""
    return calendar(window("payroll", TWO_TO_SIX, tru=tru), **fields)


def backtest(of: NamespaceCalendar, seen: Usage) -> NamespaceBacktest:
    """Return the backtest of one namespace."""
    return backtest_namespace(of, seen, DAY)


def test_hours_covered_missed_and_idle() -> None:
    """Three hot hours of which two are within the window, whose other two are idle."""
    found = backtest(payroll(), usage(1440, used=levels(2, 3, 9)))
    assert (found.hot, found.covered, found.boosted, found.idle) == (3, 2, 4, 2)
    assert [(one.hour, one.minutes, one.planned) for one in found.missed] == [
        (START + 9 * HOUR, 60, 0.0)
    ]
    assert found.missed[0].needed == 4, "1,500 APS at 90 % of the limit: 2,000"
    (one,) = found.windows
    assert (one.window, one.runs, one.hours, one.hot, one.idle) == ("payroll", 1, 4, 2, 2)


@pytest.mark.parametrize(
    ("rate", "tru", "is_missed", "needed"),
    [
        (500.0, 2, False, 0.0),
        (501.0, 2, False, 2.0),
        (900.0, 2, False, 2.0),
        (901.0, 2, False, 3.0),
        (1000.0, 2, False, 3.0),
        (1001.0, 2, True, 3.0),
        (5400.0, 12, False, 12.0),
        (9000.0, 12, True, 12.0),
    ],
)
def test_a_hot_hour_is_covered_up_to_the_limit_and_needs_headroom(
    rate: float, tru: int, is_missed: bool, needed: float
) -> None:
    """On-demand's envelope is 500 APS; beyond 12 TRU nothing helps."""
    found = backtest(payroll(tru), usage(1440, used=levels(3, rate=rate)))
    assert (bool(found.missed), found.peak_needed) == (is_missed, needed)
    assert found.hot == (needed > 0)


def test_throttling_is_hot_whatever_the_mean() -> None:
    """And is covered only by more than the limit that was in force then."""
    seen = usage(1440, used=QUIET, tru=4.0, throttled={200: 967.0})
    assert backtest(payroll(4), seen).covered == 0
    assert backtest(payroll(4), seen).peak_needed == 6
    assert backtest(payroll(6), seen).covered == 1
    assert backtest(payroll(4), seen).missed[0].throttled == 58_020


def test_throttled_requests_are_hot_as_well() -> None:
    """A boost lifts all three limits."""
    seen = usage(1440, used=QUIET, tru=0.0, requests={200: 5.0})
    found = backtest(payroll(4), seen)
    assert (found.hot, found.covered, found.peak_needed) == (1, 1, 2)


def test_what_was_not_seen_is_neither_hot_nor_idle() -> None:
    """An hour with a gap that isn't known to be hot is unknown."""
    seen = usage(1440, used=levels(3), unseen=[130, 200, 800])
    found = backtest(payroll(), seen)
    assert (found.hot, found.unknown, found.boosted_unknown, found.idle) == (1, 2, 1, 2)
    assert found.coverage == Coverage(1437, 1440)
    nothing = backtest(payroll(), usage(1, unseen=[0]))
    assert (nothing.hot, nothing.unknown, nothing.idle) == (0, 24, 0)
    assert nothing.coverage == Coverage(0, 1440)


def test_a_window_that_opens_within_a_hot_hour_does_not_cover_it() -> None:
    """Every hot minute counts."""
    of = calendar(window("late", ("2026-10-15 02:10", "2026-10-15 06:00")))
    (missed,) = backtest(of, usage(1440, used=levels(2))).missed
    assert (missed.minutes, missed.planned) == (10, 0.0)


def test_a_boost_never_lowers_what_on_demand_allows() -> None:
    """An envelope above the window's limit is enough by itself."""
    seen = usage(1440, used=levels(3, rate=1800.0), envelope=2000.0)
    assert backtest(payroll(2), seen).hot == 0
    unknown = usage(1440, used=levels(3, rate=501.0), envelope=NAN)
    assert backtest(calendar(), unknown).hot == 1, "500 APS are taken where it isn't known"


def test_a_provisioned_baseline_covers() -> None:
    """Outside of windows it is in force."""
    of = replace(payroll(), baseline=Capacity(3))
    assert backtest(of, usage(1440, used=levels(9))).missed == ()
    paused = calendar(window("payroll", TWO_TO_SIX, paused=True))
    assert len(backtest(paused, usage(1440, used=levels(3))).missed) == 1


# Costs -------------------------------------------------------------------------------------


def priced(of: NamespaceCalendar, seen: Usage, prices: Prices | None = None) -> Backtest:
    """Return the backtest of one namespace with its prices."""
    return backtest_of([backtest(of, seen)], DAY, prices or Prices())


def test_the_costs_of_an_idle_day_are_the_bill() -> None:
    """4 hours of 4 TRU are 4 x 1,080,000 Actions at 50 a million."""
    found = priced(payroll(), usage(1440, used=0.0))
    assert {scheme: found.price(scheme) for scheme in SCHEMES} == {
        "as written": pytest.approx(216.0),
        "as needed": 0.0,
        "always provisioned": 0.0,
        "on-demand only": 0.0,
    }


def test_own_actions_count_against_the_minimum() -> None:
    """Two of the four hours use it up; what they lack is topped up."""
    found = priced(payroll(), usage(1440, used=levels(2, 3, rate=300.0)))
    idle = 1_080_000 - 360_000
    assert found.price("as written") == pytest.approx(2 * idle * 50 / 1_000_000)


def test_what_each_hour_needed_is_paid_in_hot_hours_only() -> None:
    """600 APS need 2 TRU, whose minimum of 100 APS they use up: needing costs nothing."""
    seen = usage(1440, used=levels(3, rate=600.0))
    found = priced(payroll(), seen)
    assert found.price("as needed") == 0
    short = [600.0 if minute == 180 else 0.0 for minute in range(1440)]
    found = priced(payroll(), usage(1440, used=short))
    assert found.price("as needed") == pytest.approx((360_000 - 36_000) * 50 / 1_000_000)
    assert found.price("always provisioned") == pytest.approx((24 * 360_000 - 36_000) * 50 / 1e6)
    assert (found.missed_by("on-demand only"), found.missed_by("as needed")) == (1, 0)


def test_own_actions_climb_the_tiers_first() -> None:
    """With 8.64 million of its own, the boost's are of the second tier, and of the third."""
    found = priced(payroll(), usage(1440, used=QUIET), Prices(VOLUME_TIERS))
    added = 4 * (1_080_000 - 360_000)
    expected = (1_360_000 * 45 + (added - 1_360_000) * 40) / 1_000_000
    assert found.price("as written") == pytest.approx(expected)


def test_the_lead_is_paid_as_well() -> None:
    """Ten minutes ahead are another hour."""
    of = calendar(window("payroll", TWO_TO_SIX, lead=timedelta(minutes=10)))
    assert priced(of, usage(1440, used=0.0)).price("as written") == pytest.approx(270.0)


@settings(max_examples=40)
@given(
    st.lists(st.sampled_from([0.0, 450.0, 700.0, 2500.0]), min_size=24, max_size=24),
    st.lists(st.integers(0, 1439), max_size=4, unique=True),
    st.sets(st.integers(0, 1439), max_size=5),
    st.integers(0, 1380),
    st.integers(1, 300),
    st.sampled_from([2, 4, 6]),
)
def test_by_brute_force(
    rates: list[float], hits: list[int], lost: set[int], begin: int, length: int, tru: int
) -> None:
    """Each minute looked at by itself."""
    used = [rates[minute // 60] for minute in range(1440)]
    throttled = {at: 1.0 for at in hits if at not in lost}
    seen = usage(1440, used=used, tru=2.0, throttled=throttled, unseen=sorted(lost))
    span = tuple(
        f"{START + timedelta(minutes=at):%Y-%m-%d %H:%M}" for at in (begin, begin + length)
    )
    found = backtest(calendar(window("w", span, tru=tru)), seen)  # type: ignore[arg-type]
    hot, missed, boosted = set(), set(), set()
    for minute in set(range(1440)) - lost:
        limit = max(tru * 500, 500) if begin <= minute < begin + length else 500
        if used[minute] > 500 or minute in throttled:
            hot.add(minute // 60)
            if limit < used[minute] or (minute in throttled and limit <= 1000):
                missed.add(minute // 60)
    boosted = {minute // 60 for minute in range(begin, min(begin + length, 1440))}
    unseen = {minute // 60 for minute in lost} - hot
    assert (found.hot, found.unknown, found.boosted) == (len(hot), len(unseen), len(boosted))
    assert {(one.hour - START) // HOUR for one in found.missed} == missed
    assert found.idle == len(boosted - hot - unseen)
    assert found.covered + len(found.missed) == found.hot
    sane = backtest_of([found], DAY, Prices())
    assert sane.price("on-demand only") == 0
    assert all(sane.price(scheme) >= 0 for scheme in SCHEMES)


# Printed -----------------------------------------------------------------------------------


def printed() -> Backtest:
    """Return a backtest with everything in it."""
    seen = usage(1440, used=levels(2, 3, 9), throttled={600: 3.0}, unseen=[130, 800])
    return backtest_of(
        [backtest(payroll(), seen)], DAY, Prices(), notes=["samples came twice"], source="a table"
    )


def test_the_text() -> None:
    """What an author reads, in 80 columns."""
    text = backtest_text(printed())
    assert text.startswith(
        """\
4 hot hours, 2 covered and 2 missed, 2026-10-15 00:00 to 2026-10-16 00:00 (UTC).
Usage: a table.
Note: samples came twice
"""
    )
    assert "9:00" in text
    assert "as written" in text
    assert all(len(line) <= 80 for line in text.splitlines())


def test_the_json() -> None:
    """Read back as JSON."""
    value = json.loads(backtest_json(printed()))
    (one,) = value["namespaces"]
    assert (one["hot_hours"], one["covered_hours"], one["unknown_hours"]) == (4, 2, 1)
    assert [each["hour"] for each in one["missed"]] == [
        "2026-10-15T09:00:00Z",
        "2026-10-15T10:00:00Z",
    ]
    assert set(value["prices"]) == set(SCHEMES)


def test_the_markdown() -> None:
    """A table for a pull request."""
    text = backtest_markdown(printed())
    table = [line for line in text.splitlines() if line.startswith("| `payments")]
    assert len(table) == 1
    assert "2 of 4" in table[0]


def test_no_usage_at_all_covers_nothing() -> None:
    """Without data there is no praise."""
    text = backtest_text(backtest_of([backtest(payroll(), usage(1, unseen=[0]))], DAY, Prices()))
    assert "0 hot hours known" in text
    assert "0 of 1,440 minutes seen" in text
    assert np.isnan(NAN)
