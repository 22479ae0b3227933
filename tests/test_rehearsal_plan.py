"""How a rehearsal is cut, put together again, and told."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from itertools import pairwise

import pytest
from forecast_helpers import HOUR, START, calendar, daily, horizon, project, windows
from hypothesis import given
from hypothesis import strategies as st

from planner.model import Horizon, NamespaceCalendar, Window
from planner.rehearsal.plan import (
    AFTERWARDS,
    Difference,
    RehearsalResult,
    fired_in,
    merge_results,
    rehearsal_text,
    split,
)
from workflows.contract import ON_DEMAND, Capacity

MONTH = horizon("2027-01-01 00:00", "2027-02-01 00:00")
NS = "payments-prod.a1b2c"


def spans(calendars: Iterable[NamespaceCalendar], count: int) -> dict[str, list[Horizon]]:
    """Return each namespace's horizons in the order of time."""
    found: dict[str, list[Horizon]] = {}
    for part in split(project(*calendars), MONTH, count):
        for namespace, span in part.items():
            found.setdefault(namespace, []).append(span)
    return {name: sorted(each, key=lambda span: span.start) for name, each in found.items()}


@given(windows(), st.integers(1, 6))
def test_the_stretches_are_the_horizon_cut_where_it_is_quiet(
    drawn: list[Window], count: int
) -> None:
    """Nothing is left out, and no cut comes near a window that is asked for or runs."""
    each = calendar(*drawn)
    (horizons,) = spans([each], count).values()
    assert len(horizons) <= count
    assert (horizons[0].start, horizons[-1].end) == (MONTH.start, MONTH.end)
    for before, after in pairwise(horizons):
        assert before.end == after.start
        near = timedelta(seconds=AFTERWARDS.total_seconds() / 2 - 1)
        for run in fired_in(each, MONTH):
            assert run.end <= before.end - near or run.fires >= before.end + near


def test_the_parts_are_about_even() -> None:
    """Each part has its share of what fires, also where one namespace has most of it."""
    busy = calendar(daily("busy", "2027-01-01 08:00", 30, 1))
    calm = calendar(
        daily("calm", "2027-01-05 08:00", 6, 1, namespace="calm.a1b2c"), namespace="calm.a1b2c"
    )
    parts = split(project(busy, calm), MONTH, 3)
    fired = [
        sum(len(fired_in(each, part[each.namespace])) for each in (busy, calm)) for part in parts
    ]
    assert fired == [12, 12, 12]


def test_without_a_quiet_moment_nothing_is_cut() -> None:
    """Windows that follow each other too closely are played in one part."""
    closely = calendar(daily("closely", "2027-01-01 00:00", 31, 22.5))
    assert spans([closely], 4) == {NS: [MONTH]}


def test_what_runs_long_is_not_cut_for_a_short_one_after_it() -> None:
    """A quiet moment is after the latest end, not after the end of the latest start."""
    long = daily("long", "2027-01-02 00:00", 1, 24 * 20)
    short = daily("short", "2027-01-03 08:00", 10, 1)
    assert spans([calendar(long, short)], 2) == {NS: [MONTH]}


def result(**fields: object) -> RehearsalResult:
    """Return what a rehearsal of three firings showed."""
    plain = {"fired": 3, "failed": (), "differences": (), "changes": 6, "actions": 24}
    return RehearsalResult(**{**plain, **fields})  # type: ignore[arg-type]


def late(day: int) -> Difference:
    """Return a difference on a day of January."""
    start = START + timedelta(days=day - 1)
    return Difference(NS, start, start + HOUR, ON_DEMAND, Capacity(4), ("payroll",))


def test_the_parts_come_together_in_the_order_of_time() -> None:
    """Everything is summed up, and differences are told from the earliest on."""
    first, second = result(differences=(late(9),), failed=("a",)), result(differences=(late(2),))
    assert merge_results([first, second]) == result(
        fired=6, changes=12, actions=48, failed=("a",), differences=(late(2), late(9))
    )


@pytest.mark.parametrize(
    ("shown", "ending"),
    [
        (result(), ["The capacity history is the timeline: no difference."]),
        (
            result(failed=("boost/x: no", "boost/y: no")),
            ["2 of 3 boosts failed:", "  - boost/x: no", "  - boost/y: no"],
        ),
        (
            result(differences=(late(2),)),
            [
                "1 difference:",
                f"  - {NS}, 2027-01-02T00:00:00Z to 2027-01-02T01:00:00Z: on-demand in force, "
                "4 TRU due for payroll",
            ],
        ),
    ],
    ids=["all is well", "boosts that failed", "a difference"],
)
def test_the_end_of_the_text_says_what_was_found(shown: RehearsalResult, ending: list[str]) -> None:
    """No difference, or how many and which."""
    assert rehearsal_text(MONTH, shown).splitlines()[-len(ending) :] == ending


def test_of_many_failures_the_first_are_told_and_the_rest_counted() -> None:
    """A year that fails as a whole is still a page."""
    many = result(fired=500, failed=tuple(f"boost/{n}: no" for n in range(500)))
    lines = rehearsal_text(MONTH, many).splitlines()
    assert "500 of 500 boosts failed:" in lines
    assert "  - boost/0: no" in lines
    assert lines[-1] == "    and 480 more failed boosts"
