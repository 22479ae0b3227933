"""The ids of a keeper's writes, and what a successor concludes from them."""

from __future__ import annotations

import doctest
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows import keeper_state, keeper_transitions
from workflows.contract import ON_DEMAND, Capacity
from workflows.keeper_state import KeeperState, Origin, compose_id, is_own, origin_of

NAMESPACE = "payments-prod.a1b2c"
OWN = compose_id(NAMESPACE, "payroll", Capacity(8), ON_DEMAND, "3f2a")
MUTE = compose_id(NAMESPACE, "payroll", Capacity(8), None, "3f2a")
OTHERS = "f49d28b3-cc36-4e28-89fb-4c0bc70852c3"

capacities = st.sampled_from([ON_DEMAND, Capacity(2), Capacity(2.5), Capacity(12)])


def test_examples() -> None:
    """The examples in the docstrings are right."""
    assert doctest.testmod(keeper_state).failed == 0


@given(st.text(max_size=80), capacities, capacities, st.sampled_from(["", ".0a1b2c3d"]))
def test_an_id_says_what_was_put_in(
    step: str, requested: Capacity, baseline: Capacity, repeat: str
) -> None:
    """Whatever a window is called, both capacities are read back, from repeats too."""
    operation_id = compose_id(NAMESPACE, step, requested, baseline, "3f2a") + repeat
    assert origin_of(operation_id, NAMESPACE) == Origin(requested, baseline)
    assert len(operation_id) < 120
    assert operation_id.isascii()
    assert not set(operation_id) & set("/ ?#%")


@pytest.mark.parametrize(
    ("requested", "own"),
    [
        pytest.param("", False, id="none"),
        pytest.param(OTHERS, False, id="another client's"),
        pytest.param(OWN.replace("a1b2c", "zzzzz"), False, id="of another namespace"),
        pytest.param(MUTE, True, id="baseline not known"),
        pytest.param(OWN[:-12], True, id="cut off"),
    ],
)
def test_what_cannot_be_read(requested: str, own: bool) -> None:
    """An id that says no baseline is told from one that isn't a keeper's."""
    assert origin_of(requested, NAMESPACE) is None
    assert is_own(requested, NAMESPACE) is own


NEW = KeeperState(namespace=NAMESPACE)
AFTER_A_LOSS = replace(NEW, doubt="the run before can't be read")


@pytest.mark.parametrize(
    ("known", "found", "request_id", "baseline", "doubts"),
    [
        pytest.param(NEW, Capacity(8), "", Capacity(8), False, id="never changed"),
        pytest.param(NEW, Capacity(8), OTHERS, Capacity(8), False, id="set by others"),
        pytest.param(NEW, Capacity(8), OWN, ON_DEMAND, False, id="an own boost"),
        pytest.param(NEW, Capacity(4), OWN, ON_DEMAND, False, id="below a raise that failed"),
        pytest.param(NEW, Capacity(8), MUTE, Capacity(8), True, id="own, and not said"),
        pytest.param(NEW, ON_DEMAND, MUTE, ON_DEMAND, False, id="never boosted to"),
        pytest.param(AFTER_A_LOSS, Capacity(8), OTHERS, Capacity(8), True, id="after a loss"),
        pytest.param(AFTER_A_LOSS, Capacity(8), OWN, ON_DEMAND, False, id="a loss made good"),
        pytest.param(AFTER_A_LOSS, ON_DEMAND, "", ON_DEMAND, False, id="a loss of nothing"),
    ],
)
def test_the_baseline_of_a_successor(
    known: KeeperState, found: Capacity, request_id: str, baseline: Capacity, doubts: bool
) -> None:
    """An own boost is never the baseline; where the baseline isn't known that is said."""
    learned = keeper_transitions.record_baseline(known, found, request_id)
    assert (learned.baseline, bool(learned.doubt)) == (baseline, doubts)


@pytest.mark.parametrize(
    ("request_id", "doubts"),
    [(MUTE, True), ("", True), (OTHERS, False)],
    ids=["still the same", "nothing known", "set by others since"],
)
def test_a_doubt_ends_with_somebody_s_word(request_id: str, doubts: bool) -> None:
    """What somebody else has set since is the baseline."""
    doubting = keeper_transitions.record_baseline(NEW, Capacity(8), MUTE)
    known = keeper_transitions.resolve_doubt(doubting, Capacity(3), request_id)
    assert bool(known.doubt) is doubts
    assert known.baseline == (Capacity(8) if doubts else Capacity(3))


def test_a_requested_capacity_is_recognized() -> None:
    """What a reset run has forgotten to have requested is not taken for an external change."""
    known = replace(NEW, baseline=ON_DEMAND, requested=(Capacity(4),))
    assert known.leaves_alone(Capacity(8))
    assert not keeper_transitions.recognize_request(known, Capacity(8), OWN).leaves_alone(
        Capacity(8)
    )
    assert keeper_transitions.recognize_request(known, Capacity(12), OWN) == known
    assert keeper_transitions.recognize_request(known, Capacity(8), OTHERS) == known
