"""A boost by hand, held to what the namespace's schedules declare."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from schedule_values import schedule

from planner.errors import Refused
from planner.plan.live import newest_declaration, request_by_hand
from workflows.contract import BoostRequest, Capacity, Declared, Rails

HOUR = timedelta(hours=1)
DECLARED = Declared(
    namespace="n.a",
    project="shop",
    revision=3,
    baseline=Capacity(2),
    rails=Rails(allowed=(2, 4, 8, 12), max_tru=8),
)


def wished(tru: int, declared: Declared | None) -> BoostRequest:
    """Return the request of a boost by ann for an hour."""
    return request_by_hand("n.a", tru, HOUR, declared, combine="max", by="ann", reason="a launch")


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
        wished(tru, replace(DECLARED, rails=rails))


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
