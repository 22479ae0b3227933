"""The simulated account: the API's rules as a state machine on any clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.simulator.state import Account, Entry, Fate, Refusal, Rules

NAME = "payments-prod.a1b2c"
START = datetime(2027, 1, 31, tzinfo=UTC)
ON_DEMAND: dict[str, Any] = {"onDemand": {}}


def at(seconds: float) -> datetime:
    """Return the time so many seconds after the start."""
    return START + timedelta(seconds=seconds)


def account(**rules: Any) -> Account:
    """Return an account with one namespace, on-demand; a request takes 100 seconds."""
    made = Account(Rules(provisioning=100, **rules))
    made.create(NAME, START)
    return made


def tru(value: float | None) -> dict[str, Any]:
    """Return how a spec asks for so many TRU."""
    return ON_DEMAND if value is None else {"provisioned": {"value": value}}


def ask(on: Account, value: float | None, seconds: float, **more: Any) -> Any:
    """Ask for a capacity as a careful client does."""
    namespace = on.look(NAME, at(seconds))
    body = {
        "spec": {**namespace.spec, "capacitySpec": tru(value)},
        "resourceVersion": namespace.version,
        "asyncOperationId": more.pop("operation", ""),
    }
    return on.update(NAME, body, "keeper", at(seconds), **more)


def told(on: Account, seconds: float) -> list[tuple[float, float | None, str]]:
    """Return the history as of then: seconds, TRU, by whom."""
    history = on.look(NAME, at(seconds)).history
    return [((entry.at - START).total_seconds(), entry.tru, entry.by) for entry in history]


def test_two_levels_of_done() -> None:
    """The operation is fulfilled before the capacity is in force, which comes when due."""
    sim = account()
    operation = ask(sim, 8, 10)
    states = [operation.state(at(seconds)) for seconds in (10, 20, 59.9, 60, 200)]
    assert states == [
        "STATE_PENDING",
        "STATE_IN_PROGRESS",
        "STATE_IN_PROGRESS",
        "STATE_FULFILLED",
        "STATE_FULFILLED",
    ]
    in_force = [sim.look(NAME, at(seconds)).tru for seconds in (60, 109.9, 110)]
    assert in_force == [None, None, 8]


def test_history_is_stamped_with_the_time_of_effect() -> None:
    """However late somebody looks, a change is told at the time it took effect."""
    sim = account()
    ask(sim, 8, 10)
    assert told(sim, 5000) == [(0, None, "created"), (110, 8, "keeper")]


BAD: list[Any] = [
    pytest.param(lambda b: b.update(resourceVersion="old"), 409, "version", id="a stale version"),
    pytest.param(lambda b: b.pop("resourceVersion"), 409, "version", id="no version"),
    pytest.param(
        lambda b: b.update(spec={"capacitySpec": tru(8)}), 400, "retention days: 0", id="partial"
    ),
    pytest.param(lambda b: b["spec"].pop("regions"), 400, "invalid regions", id="no regions"),
    pytest.param(lambda b: b["spec"].update(name="x"), 400, "can't be changed", id="a new name"),
    pytest.param(lambda b: b.update(spec=[]), 400, "must be an object", id="no object"),
    pytest.param(
        lambda b: b["spec"].update(capacitySpec=ON_DEMAND), 400, "nothing to change", id="the same"
    ),
    pytest.param(lambda b: b["spec"].pop("capacitySpec"), 400, "nothing to", id="the same, absent"),
    pytest.param(lambda b: b["spec"].update(capacitySpec=tru(5)), 400, "one of 2, 3", id="5 TRU"),
    pytest.param(lambda b: b["spec"].update(capacitySpec=tru(10)), 400, "8 TRU that", id="10 TRU"),
    pytest.param(lambda b: b["spec"].update(capacitySpec=tru(True)), 400, "invalid", id="a truth"),
    pytest.param(lambda b: b["spec"].update(capacitySpec="8"), 400, "invalid cap", id="a string"),
]


@pytest.mark.parametrize(("spoil", "status", "words"), BAD)
def test_refusals(spoil: Callable[[dict[str, Any]], Any], status: int, words: str) -> None:
    """Each rule refuses with its status and words, and nothing has changed then."""
    sim = account()
    namespace = sim.look(NAME, START)
    namespace.max_available_tru = 8
    before = (namespace.version, dict(namespace.spec))
    body = {
        "spec": {**namespace.spec, "capacitySpec": tru(8)},
        "resourceVersion": namespace.version,
    }
    spoil(body)
    with pytest.raises(Refusal, match=words) as caught:
        sim.update(NAME, body, "keeper", START)
    assert caught.value.status == status
    assert before == (namespace.version, namespace.spec)
    assert not sim.operations


def test_one_capacity_request_at_a_time() -> None:
    """While a request is in progress no other is taken, neither ours nor anybody's."""
    sim = account()
    ask(sim, 8, 0)
    with pytest.raises(Refusal, match="in progress"):
        ask(sim, 4, 99)
    with pytest.raises(Refusal, match="in progress"):
        sim.change_by_others(NAME, 4, at(99), "foreign")
    ask(sim, 4, 100)
    assert told(sim, 300) == [(0, None, "created"), (100, 8, "keeper"), (200, 4, "keeper")]


def test_another_field_may_change_meanwhile() -> None:
    """An edit of anything else needs no capacity request, also while one is in progress."""
    sim = account()
    ask(sim, 8, 0)
    namespace = sim.look(NAME, at(10))
    spec = {**namespace.spec, "retentionDays": 60}
    body = {"spec": spec, "resourceVersion": namespace.version}
    sim.update(NAME, body, "somebody", at(10))
    assert told(sim, 300)[1:] == [(100, 8, "keeper")]
    assert sim.look(NAME, at(300)).spec["retentionDays"] == 60


def test_ten_operations_at_once() -> None:
    """The eleventh operation is turned away until one of the ten has ended."""
    sim = account()
    for number in range(11):
        sim.create(f"ns{number}", START)

    def update(number: int, seconds: float) -> None:
        namespace = sim.look(f"ns{number}", at(seconds))
        spec = {**namespace.spec, "capacitySpec": tru(2)}
        body = {"spec": spec, "resourceVersion": namespace.version}
        sim.update(namespace.name, body, "keeper", at(seconds))

    for number in range(10):
        update(number, number)
    with pytest.raises(Refusal, match="too many concurrent operations") as caught:
        update(10, 49.9)
    assert caught.value.status == 429
    update(10, 50)
    assert sim.going(at(50)) == 10


@pytest.mark.parametrize("repeat", ["same", "refused"])
def test_an_operation_id_counts_once(repeat: Any) -> None:
    """A repeated id begins nothing: it is answered with its operation, or refused."""
    sim = account(repeat=repeat)
    first = ask(sim, 8, 0, operation="step-1")
    if repeat == "same":
        assert ask(sim, 2, 200, operation="step-1") is first
    else:
        with pytest.raises(Refusal, match="exists already"):
            ask(sim, 2, 200, operation="step-1")
    assert told(sim, 500) == [(0, None, "created"), (100, 8, "keeper")]


FATES: list[Any] = [
    pytest.param(Fate(request="FAILED"), "STATE_FULFILLED", "FAILED", id="the request fails"),
    pytest.param(
        Fate(operation="FAILED", request="FAILED"), "STATE_FAILED", "FAILED", id="both fail"
    ),
    pytest.param(
        Fate(operation="REJECTED", request=None), "STATE_REJECTED", None, id="the operation alone"
    ),
    pytest.param(
        Fate(holds_operation=True), "STATE_IN_PROGRESS", "COMPLETED", id="the operation hangs"
    ),
    pytest.param(
        Fate(holds_request=True), "STATE_FULFILLED", "IN_PROGRESS", id="the request hangs"
    ),
    pytest.param(
        Fate(holds_request=True, seconds=50), "STATE_FULFILLED", "COMPLETED", id="it takes longer"
    ),
]


@pytest.mark.parametrize(("fate", "operation_state", "request_state"), FATES)
@pytest.mark.parametrize("failed_spec", ["kept", "restored"])
def test_fates(
    fate: Fate, operation_state: str, request_state: str | None, failed_spec: Any
) -> None:
    """A request ends at each level as it was told to, and its spec with it."""
    sim = account(failed_spec=failed_spec)
    operation = ask(sim, 8, 0, fate=fate)
    namespace = sim.look(NAME, at(160))
    assert operation.state(at(160)) == operation_state
    assert (namespace.request.state if namespace.request else None) == request_state
    assert namespace.tru == (8 if request_state == "COMPLETED" else None)
    is_kept = failed_spec == "kept" or request_state != "FAILED"
    assert ("capacitySpec" in namespace.spec) == (is_kept and request_state is not None)


def test_what_is_stuck_goes_on_when_released() -> None:
    """Once the faults are gone, what hung takes its usual time from then."""
    sim = account()
    ask(sim, 8, 0, fate=Fate(holds_operation=True, holds_request=True))
    assert told(sim, 5000) == [(0, None, "created")]
    sim.release(at(5000))
    assert told(sim, 6000)[1:] == [(5100, 8, "keeper")]


def test_a_foreign_change_is_in_force_at_once() -> None:
    """Somebody else's change shows in capacity, spec, version and history, under their name."""
    sim = account()
    version = sim.look(NAME, START).version
    sim.change_by_others(NAME, 6, at(5), "console")
    namespace = sim.look(NAME, at(5))
    assert told(sim, 5)[1:] == [(5, 6, "console")]
    assert namespace.spec["capacitySpec"] == tru(6)
    assert namespace.version != version


def test_a_namespace_is_created_once() -> None:
    """A second namespace of the same name is refused."""
    with pytest.raises(Refusal, match="exists already"):
        account().create(NAME, START)


# A story: (seconds that pass, what is done then, with which value)
acts = st.lists(
    st.tuples(
        st.integers(0, 150),
        st.sampled_from(["ask", "fail", "hang", "foreign", "edit", "release"]),
        st.sampled_from([None, 2.0, 4.0, 8.0]),
    ),
    max_size=12,
)
FATE_OF = {
    "ask": Fate(),
    "fail": Fate(request="FAILED"),
    "hang": Fate(holds_request=True),
}


def play(story: list[tuple[int, str, float | None]], look_every: int, spec: Any) -> list[Entry]:
    """Play *story*, looking every so many seconds besides, and return the history at its end."""
    sim, now = account(failed_spec=spec), 0
    for seconds, act, value in story:
        for between in range(now, now + seconds, look_every):
            sim.look(NAME, at(between))
            sim.going(at(between))
        now += seconds
        try:
            if act == "foreign":
                sim.change_by_others(NAME, value, at(now), "foreign")
            elif act == "edit":
                sim.edit(NAME, at(now), {"retentionDays": now + 1})
            elif act == "release":
                sim.release(at(now))
            else:
                ask(sim, value, now, fate=FATE_OF[act])
        except Refusal:
            pass
    return sim.look(NAME, at(now + 1000)).history


@settings(max_examples=150, deadline=None)
@given(story=acts, spec=st.sampled_from(["kept", "restored"]))
def test_looking_changes_nothing(story: list[Any], spec: str) -> None:
    """The history is the same whether somebody looks all the time or only at the end."""
    assert play(story, 1000, spec) == play(story, 7, spec)


@settings(max_examples=150, deadline=None)
@given(story=acts, spec=st.sampled_from(["kept", "restored"]))
def test_a_history_is_made_of_changes(story: list[Any], spec: str) -> None:
    """Each entry differs from the one before, and none is earlier."""
    history = play(story, 1000, spec)
    for before, after in pairwise(history):
        assert before.tru != after.tru
        assert before.at <= after.at
