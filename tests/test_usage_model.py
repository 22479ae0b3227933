"""The usage of a namespace as minutes: spread from sparse series, cut, and counted."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from planner.usage.model import MINUTE, Coverage, LimitSamples, Samples, Usage, build_usage

NAMESPACE = "payments-prod.a1b2c"
START = datetime(2026, 9, 15, 8, tzinfo=UTC)
FIRST = START.timestamp()


def at(**minutes: float) -> Samples:
    """Return a series with a value at each minute: ``at(m0=2000, m3=1500)``."""
    return Samples.of((FIRST + 60 * int(name[1:]), value) for name, value in minutes.items())


def usage(minutes: int = 4, **series: Samples) -> Usage:
    """Return the usage of four minutes with these series of Actions."""
    tru = series.pop("tru", at())
    end = START + minutes * MINUTE
    return build_usage(NAMESPACE, START, end, actions=LimitSamples(**series), tru=tru)


def test_an_absent_series_is_zero_where_the_minute_was_seen_only() -> None:
    """Nothing happened where the limit was scraped; nothing is known where it wasn't."""
    found = usage(limit=at(m0=2000, m1=2000, m3=500), used=at(m1=1400), throttled=at(m3=7))
    assert found.seen.tolist() == [True, True, False, True]
    np.testing.assert_array_equal(found.actions.used, [0, 1400, math.nan, 0])
    np.testing.assert_array_equal(found.actions.throttled, [0, 0, math.nan, 7])
    np.testing.assert_array_equal(found.actions.limit, [2000, 2000, math.nan, 500])
    np.testing.assert_array_equal(found.actions.envelope, [math.nan] * 4)
    assert (found.start, found.end, found.minutes) == (START, START + 4 * MINUTE, 4)


def test_what_was_throttled_is_kept_in_a_minute_that_was_not_seen() -> None:
    """A sample proves what it says, whether or not its limit was scraped."""
    found = usage(limit=at(m0=500), throttled=at(m2=12))
    assert not found.seen[2]
    assert found.actions.throttled[2] == 12
    assert str(found.coverage) == "1 of 4 minutes seen"


def test_the_other_limits_are_their_own_and_none_where_the_source_has_none() -> None:
    """RPS and OPS have their limits; what was seen is a matter of the minute."""
    found = build_usage(
        NAMESPACE,
        START,
        START + 2 * MINUTE,
        actions=LimitSamples(limit=at(m0=500, m1=500)),
        requests=LimitSamples(limit=at(m0=1500), used=at(m1=90), envelope=at(m0=1600)),
    )
    assert found.operations is None
    assert found.requests is not None
    np.testing.assert_array_equal(found.requests.limit, [1500, math.nan])
    np.testing.assert_array_equal(found.requests.used, [0, 90])
    np.testing.assert_array_equal(found.requests.envelope, [1600, math.nan])


def test_samples_twice_a_minute_change_no_sum() -> None:
    """Of two in a minute the mean counts; of limits the last."""
    twice = Samples.of([(FIRST + 5, 10), (FIRST + 35, 30), (FIRST + 65, 8)])
    found = usage(2, limit=twice, used=twice, throttled=twice, tru=twice)
    assert found.actions.throttled.tolist() == [20, 8]
    assert found.actions.used.tolist() == [20, 8]
    assert found.actions.limit.tolist() == [30, 8]
    assert found.tru.tolist() == [30, 8]


def test_samples_outside_are_left_out() -> None:
    """Only what the span touches counts; a half minute touches it."""
    series = Samples.of((FIRST + 60 * minute, minute) for minute in range(-3, 9))
    half = timedelta(seconds=30)
    found = build_usage(
        NAMESPACE, START + half, START + 2 * MINUTE + half, actions=LimitSamples(limit=series)
    )
    assert found.start == START
    assert found.actions.limit.tolist() == [0, 1, 2]


WHOLE = usage(limit=at(m0=1, m1=2, m2=3, m3=4))


@pytest.mark.parametrize(
    ("first", "last", "limits", "coverage"),
    [
        pytest.param(0, 4, [1, 2, 3, 4], Coverage(4, 4), id="all of it"),
        pytest.param(1, 3, [2, 3], Coverage(2, 2), id="its middle"),
        pytest.param(1.5, 2.5, [2, 3], Coverage(2, 2), id="minutes it touches"),
        pytest.param(-2, 1, [math.nan, math.nan, 1], Coverage(1, 3), id="from before"),
        pytest.param(3, 6, [4, math.nan, math.nan], Coverage(1, 3), id="to after"),
        pytest.param(
            -1, 5, [math.nan, 1, 2, 3, 4, math.nan], Coverage(4, 6), id="from before to after"
        ),
        pytest.param(-3, -1, [math.nan] * 2, Coverage(0, 2), id="all before"),
        pytest.param(8, 10, [math.nan] * 2, Coverage(0, 2), id="all after"),
        pytest.param(2, 2, [], Coverage(0, 0), id="nothing"),
        pytest.param(3, 1, [], Coverage(0, 0), id="backwards"),
    ],
)
def test_a_part_counts_every_minute_of_its_own(
    first: float, last: float, limits: list[float], coverage: Coverage
) -> None:
    """Minutes beyond what there is are not seen, so that coverage never looks better."""
    part = WHOLE.between(START + first * MINUTE, START + last * MINUTE)
    np.testing.assert_array_equal(part.actions.limit, limits)
    assert part.coverage == coverage
    assert part.start == START + math.floor(first) * MINUTE
    assert len(part.tru) == len(part.actions.used) == part.minutes == len(limits)


@pytest.mark.parametrize(
    ("coverage", "is_whole"),
    [(Coverage(4, 4), True), (Coverage(3, 4), False), (Coverage(0, 0), False)],
)
def test_nothing_is_not_whole(coverage: Coverage, is_whole: bool) -> None:
    """A span without minutes proves nothing."""
    assert coverage.is_whole is is_whole
