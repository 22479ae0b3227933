"""The combined TRU, one occurrence at a time: the keeper's own arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from planner.forecast.timeline import Demand
from workflows.contract import Combine, combine


@dataclass(frozen=True)
class Request:
    """A TRU and how it combines."""

    tru: int
    combine: Combine


requests = st.builds(Request, st.integers(1, 12), st.sampled_from(["max", "max", "add"]))


@given(st.data(), st.lists(requests, max_size=12))
def test_it_is_the_keepers_arithmetic_whatever_comes_and_goes(
    data: st.DataObject, coming: list[Request]
) -> None:
    """After each addition and removal, in any order, `combine` says the same."""
    demand, there = Demand(), []
    for request in coming:
        demand.add(request.tru, request.combine)
        there.append(request)
        assert demand.tru == combine(there)
        if data.draw(st.booleans()):
            gone = there.pop(data.draw(st.integers(0, len(there) - 1)))
            demand.remove(gone.tru, gone.combine)
            assert demand.tru == combine(there)


def test_the_highest_of_two_alike_stays_when_one_goes() -> None:
    """As long as one of them is active, its TRU counts."""
    demand = Demand()
    for tru in (8, 8, 4):
        demand.add(tru, "max")
    demand.remove(8, "max")
    assert demand.tru == 8
    demand.remove(8, "max")
    assert demand.tru == 4
