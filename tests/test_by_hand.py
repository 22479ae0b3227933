"""A boost by hand, held to what the namespace's schedules declare."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from schedule_values import NOW, daily, schedule

from planner.errors import Refused
from planner.plan.live import check_by_hand, coming_firings, newest_declaration, request_by_hand
from planner.plan.model import LiveSchedule
from workflows.contract import BoostRequest, Capacity, Declared, Limits, Rails
from workflows.contract.from_code import BoostFromCode, parse_boost

HOUR = timedelta(hours=1)
DECLARED = Declared(
    namespace="n.a",
    project="shop",
    revision=3,
    baseline=Capacity(2),
    rails=Rails(allowed=(2, 4, 8, 12), max_tru=8),
)


def wished(tru: int, declared: Declared | None, length: timedelta = HOUR) -> BoostRequest:
    """Return the request of a boost by ann, for an hour by default."""
    return request_by_hand("n.a", tru, length, declared, combine="max", by="ann", reason="a launch")


@pytest.mark.parametrize(
    ("tru", "rails"),
    [
        pytest.param(12, Rails(allowed=(2, 4, 8, 12), max_tru=8), id="above max_tru"),
        pytest.param(7, Rails(allowed=(2, 4, 8, 12), max_tru=6), id="rounded up above max_tru"),
        pytest.param(16, Rails(allowed=(2, 4, 8, 12)), id="above every allowed value"),
    ],
)
def test_more_than_the_rails_allow(tru: int, rails: Rails) -> None:
    """It is refused, with what would be allowed."""
    most = max(one for one in rails.allowed if one <= (rails.max_tru or 99))
    with pytest.raises(Refused, match=f"guard rails of n.a .* at most {most}"):
        check_by_hand(wished(tru, replace(DECLARED, rails=rails)), (), NOW)


@pytest.mark.parametrize(
    ("limits", "hours", "words"),
    [
        pytest.param(Limits(longest_seconds=7200), 2, "", id="as long as the longest"),
        pytest.param(
            Limits(longest_seconds=7200),
            2.01,
            r"2h36s is more than the guard rails of n\.a allow "
            r"\(longer than the guard rail max_duration: 2h\)",
            id="longer",
        ),
        pytest.param(Limits(hours_a_month=22), 2, "", id="as many hours as a month may have"),
        pytest.param(
            Limits(hours_a_month=22),
            3,
            r"23 boosted hours in 2026-11, with this boost, are more .*hours_per_month: 22\)",
            id="more hours",
        ),
        pytest.param(
            Limits(hours_a_month=240),
            24 * 25,
            "401 boosted hours in 2026-12, with this boost",
            id="the next month's",
        ),
        pytest.param(Limits(), 24 * 30, "", id="no limits"),
    ],
)
def test_longer_than_the_rails_allow(limits: Limits, hours: float, words: str) -> None:
    """The longest boost, and the hours of each month that it touches, with those of the windows.

    The window is open from 18:10 to 20:10 on the ten days that are left of November; at 9:00 on
    the first of these the boost begins, and overlaps none of them if it is short. 25 days of it
    take 369 hours of December, which has 32 more of the window after it.
    """
    window = schedule("close", namespace="n.a")
    request = wished(8, replace(DECLARED, limits=limits), timedelta(hours=hours))
    if not words:
        check_by_hand(request, [window], NOW)
        return
    with pytest.raises(Refused, match=words):
        check_by_hand(request, [window], NOW)


def test_hours_that_overlap_count_once_and_paused_windows_not_at_all() -> None:
    """As a plan counts them."""
    window = schedule("close", namespace="n.a")
    request = wished(8, replace(DECLARED, limits=Limits(hours_a_month=20)), 2 * HOUR)
    in_it = NOW + timedelta(hours=9, minutes=10)
    check_by_hand(request, [window], in_it)
    with pytest.raises(Refused, match="22 boosted hours"):
        check_by_hand(request, [window], NOW)
    check_by_hand(request, [replace(window, paused=True)], NOW)


@pytest.mark.parametrize("tru", [2, 3, 8])
def test_within_the_rails(tru: int) -> None:
    """It carries what is declared, as a window's firing does: rails, baseline, and their number."""
    made = wished(tru, DECLARED)
    assert (made.tru, made.ttl_seconds, made.by, made.reason) == (tru, 3600, "ann", "a launch")
    assert (made.baseline, made.rails) == (Capacity(2), DECLARED.rails)
    assert (made.project, made.revision) == ("shop", 3)


def test_a_namespace_that_no_calendar_knows() -> None:
    """Nothing is declared, and nothing is refused."""
    made = wished(40, None)
    assert (made.tru, made.baseline, made.rails) == (40, None, Rails())
    assert (made.project, made.revision) == ("", 0)


def test_the_newest_declaration_counts() -> None:
    """In the middle of a sync schedules of two revisions are there; without any there is none."""
    old, new = schedule("close"), schedule("payroll")
    old = replace(old, request=replace(old.request, revision=1, baseline=Capacity(2)))
    new = replace(new, request=replace(new.request, revision=2, baseline=Capacity(3)))
    for both in ((old, new), (new, old)):
        found = newest_declaration(both)
        assert found is not None
        assert (found.revision, found.baseline, found.project) == (2, Capacity(3), new.project)
    assert newest_declaration(()) is None


GOOD = {"schema": 1, "namespace": "n.a", "tru": 8, "for": "2h", "by": "shop"}


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({}, BoostFromCode(namespace="n.a", tru=8, length=2 * HOUR, by="shop")),
        ({"tru": 8.0}, BoostFromCode(namespace="n.a", tru=8, length=2 * HOUR, by="shop")),
        (
            {"tru": None, "aps": 4001},
            BoostFromCode(namespace="n.a", tru=9, length=2 * HOUR, by="shop"),
        ),
        ({"for": "1d1h30m"}, BoostFromCode(namespace="n.a", tru=8, length=25.5 * HOUR, by="shop")),
        ({"for": "31d"}, BoostFromCode(namespace="n.a", tru=8, length=744 * HOUR, by="shop")),
        (
            {"combine": "add", "reason": " a\n launch "},
            BoostFromCode(
                namespace="n.a", tru=8, length=2 * HOUR, by="shop", combine="add", reason="a launch"
            ),
        ),
    ],
)
def test_a_request_from_code(fields: dict[str, Any], wanted: BoostFromCode) -> None:
    """It is read as the page describes it; spaces in a text are one line's."""
    assert parse_boost(with_fields(fields)) == wanted


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "the input is missing, not an object"),
        ([GOOD], "not an object"),
        ({}, "schema: missing is no version that this worker reads; write 1"),
        ({"schema": 2}, "schema: 2 is no version"),
        ({"schema": True}, "schema: True is no version"),
        ({"schema": "1"}, "schema: '1' is no version"),
        ({"minutes": 5}, "minutes: no field of schema 1 has this name; they are schema, aps, name"),
        ({"namespace": None}, 'namespace: missing is no text .* write "payments-prod.a1b2c"'),
        ({"namespace": 7}, "namespace: 7 is no text"),
        ({"tru": None}, 'tru, aps: one of the two is needed; write "tru": 8'),
        ({"aps": 4000}, "tru, aps: one of the two is needed"),
        ({"tru": "four"}, "tru: 'four' can't be had; write a whole number"),
        ({"tru": 2.5}, "tru: 2.5 can't be had"),
        ({"tru": True}, "tru: True can't be had"),
        ({"tru": 0}, "tru: 0 can't be had"),
        ({"tru": float("nan")}, "tru: nan can't be had"),
        ({"tru": None, "aps": -1}, "aps: -1 can't be had; write Actions per second"),
        ({"for": None}, "for: missing is no length of time; write 30m, 2h"),
        ({"for": 7200}, "for: 7200 is no length of time"),
        ({"for": "2 hours"}, "for: '2 hours' is no length of time"),
        ({"for": "0m"}, "for: '0m' is not above 0 and at most 744h"),
        ({"for": "32d"}, "for: '32d' is not above 0"),
        ({"by": None}, "by: missing is no text"),
        ({"by": " "}, "by: ' ' is no text"),
        ({"by": "schedule"}, "by: .schedule. stands for the calendars; name the application"),
        ({"reason": "x" * 501}, "reason: 'xxx.* is no text of 1 to 500 characters"),
        ({"combine": "sum"}, "combine: 'sum' is neither; write .max."),
    ],
)
def test_a_request_from_code_that_can_t_be_read(value: Any, words: str) -> None:
    """One sentence names the field, its value, and a good one."""
    wrong = with_fields(value) if isinstance(value, dict) and value else value
    with pytest.raises(ValueError, match=words) as caught:
        parse_boost(wrong)
    assert len(str(caught.value)) < 300


def with_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the good request with other *fields*; None takes one away."""
    return {name: one for name, one in {**GOOD, **fields}.items() if one is not None}


# What a skip may take ----------------------------------------------------------------------


TEN = timedelta(minutes=10)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("nominal", "jitter", "fired", "first"),
    [
        pytest.param(NOW - TEN, HOUR, (), NOW - TEN, id="its jitter delays it"),
        pytest.param(NOW - TEN, HOUR, (NOW - DAY - TEN,), NOW - TEN, id="the one before has fired"),
        pytest.param(NOW - TEN, HOUR, (NOW - TEN,), NOW - TEN + DAY, id="it has fired early"),
        pytest.param(NOW - TEN, 0 * HOUR, (), NOW - TEN + DAY, id="missed, not delayed"),
        pytest.param(NOW - HOUR, HOUR, (), NOW - HOUR + DAY, id="its jitter is over"),
        pytest.param(NOW + TEN, HOUR, (), NOW + TEN, id="ahead"),
    ],
)
def test_the_next_firing_may_be_one_that_its_jitter_delays(
    nominal: datetime, jitter: timedelta, fired: tuple[datetime, ...], first: datetime
) -> None:
    """It comes up to the jitter after its nominal time, and only once."""
    ahead = round((jitter + TEN).total_seconds())
    times = (daily(nominal.hour, nominal.minute),)
    value = schedule(calendars=times, jitter=jitter, ahead_seconds=ahead)
    live = LiveSchedule(id=value.id, schedule=value, fired=fired)
    assert coming_firings(live, NOW, 2) == [first, first + DAY]
    assert coming_firings(replace(live, schedule=None), NOW, 2) == []
