"""What runs ask for together, one claim at a time: the keeper's own arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from planner.forecast.timeline import Demand
from workflows.contract import Combine, combine


@dataclass(frozen=True)
class Claim:
    """What combines."""

    tru: int
    combine: Combine


claims = st.builds(Claim, st.integers(1, 12), st.sampled_from(["max", "max", "add"]))


@given(st.data(), st.lists(claims, max_size=12))
def test_it_is_the_keepers_arithmetic_whatever_comes_and_goes(
    data: st.DataObject, coming: list[Claim]
) -> None:
    """After each claim that comes, and each that goes, in any order, `combine` says the same."""
    demand, there = Demand(), []
    for claim in coming:
        demand.come(claim.tru, claim.combine)
        there.append(claim)
        assert demand.asked == combine(there)
        if data.draw(st.booleans()):
            gone = there.pop(data.draw(st.integers(0, len(there) - 1)))
            demand.go(gone.tru, gone.combine)
            assert demand.asked == combine(there)


def test_the_highest_of_two_alike_stays_when_one_goes() -> None:
    """As long as one of them runs, what it asks for counts."""
    demand = Demand()
    for tru in (8, 8, 4):
        demand.come(tru, "max")
    demand.go(8, "max")
    assert demand.asked == 8
    demand.go(8, "max")
    assert demand.asked == 4
