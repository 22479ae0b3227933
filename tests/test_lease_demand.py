"""Thousands of leases: what they come to, and how they go from one run to the next."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from temporalio.converter import DataConverter

from workflows import keeper_transitions
from workflows.contract import ON_DEMAND, Capacity, KeeperHealth, Lease, Rails, target_of_leases
from workflows.keeper_state import FEW_LEASES, MAX_LEASES, KeeperState, KnownOptions, demand_of

NOW = datetime(2027, 1, 31, 23, tzinfo=UTC)
PAYLOAD_LIMIT = 2 * 1024 * 1024
"""Bytes of a payload that the server takes."""

all_rails = st.sampled_from([None, Rails(), Rails(max_tru=6), Rails(allowed=(2, 5, 12))])


@st.composite
def leases(draw: st.DrawFn) -> Lease:
    """A lease of any kind, whose rails are an object of its own."""
    number = draw(st.integers(0, 10_000))
    rails = draw(all_rails)
    start = NOW + timedelta(minutes=draw(st.integers(-60, 60)))
    return Lease(
        key=f"w{number}@{start}",
        window=f"w{number}",
        tru=draw(st.integers(1, 14)),
        start=start,
        until=NOW + timedelta(minutes=draw(st.integers(-5, 90))),
        combine=draw(st.sampled_from(["max", "max", "add"])),
        reason=draw(st.text(max_size=5)),
        rails=None if rails is None else replace(rails),
        revision=draw(st.integers(0, 2)),
        replaced=tuple(draw(st.lists(st.text(max_size=5), max_size=2))),
    )


many = st.lists(leases(), max_size=12).map(tuple)
offers = st.builds(
    KnownOptions,
    allowed=st.just((2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 12.0)),
    available=st.sampled_from([None, 4.0]),
    on_demand_aps=st.sampled_from([500, 1800]),
)


@given(many, offers, st.sampled_from([ON_DEMAND, Capacity(3)]), st.booleans())
def test_those_that_decide_come_to_what_all_do(
    held: tuple[Lease, ...], offer: KnownOptions, baseline: Capacity, declared: bool
) -> None:
    """The target of a keeper is the target of each and every lease, also under many rails."""
    known = KeeperState(
        namespace="n.a",
        leases=held,
        baseline=baseline,
        baseline_declared=declared,
        options=offer,
    )
    everyone = target_of_leases(
        held,
        baseline,
        lambda lease: known._narrowed(lease.rails),
        declared=declared,
        on_demand_aps=offer.on_demand_aps,
    )
    assert known.full_target == everyone
    assert known.for_reconcile.target == known.target


def state_one_by_one(known: KeeperState) -> KeeperHealth | None:
    """Return what the leases that run say of the state, each looked at by itself."""
    running = replace(known, leases=tuple(one for one in known.leases if one.until > NOW))
    short = [one for one in running.leases if not running.covers(one)]
    if not short:
        return None
    return "uncovered" if any(one.start <= NOW for one in short) else "raising"


@given(many, st.sampled_from([ON_DEMAND, Capacity(4), Capacity(12)]))
def test_a_group_is_covered_as_each_of_it(held: tuple[Lease, ...], in_force: Capacity) -> None:
    """No lease that is short is overlooked, nor whether it has opened."""
    known = KeeperState(namespace="n.a", leases=held, baseline=ON_DEMAND, in_force=in_force)
    expected = state_one_by_one(known)
    assert (keeper_transitions.health_of(known, NOW) if expected else None) == expected
    if expected is None:
        assert keeper_transitions.health_of(known, NOW) not in ("uncovered", "raising")


def test_the_same_tuple_is_worked_out_once() -> None:
    """What nothing has changed in costs nothing: a replay asks again at each turn."""
    held = tuple(lease(number) for number in range(50))
    known = KeeperState(namespace="n.a", leases=held)
    assert demand_of(held) is demand_of(known.leases)
    assert keeper_transitions.expire(known, NOW) is known


def lease(number: int, reason: str = "") -> Lease:
    """Return a lease as a long calendar has them."""
    start = NOW + timedelta(seconds=number)
    return Lease(
        key=f"settlement-of-region-{number:04}@{start.isoformat()}",
        window=f"settlement-of-region-{number:04}",
        tru=4,
        start=start,
        until=start + timedelta(hours=3),
        reason=reason,
        project="payments-platform",
        replaced=(f"settlement@{number}",),
        rails=Rails(),
        revision=20_270_131,
    )


@settings(max_examples=25)  # each of them has dozens of leases, and all go the same way
@given(st.lists(leases(), min_size=FEW_LEASES // 2 + 1, max_size=FEW_LEASES).map(tuple))
def test_many_leases_survive_the_way_to_the_next_run(held: tuple[Lease, ...]) -> None:
    """A state with many leases, and released ones, arrives as it was, value for value."""
    known = KeeperState(namespace="n.a", leases=held, released=held, baseline=Capacity(2))
    assert known.to_hand_over.packed is not None
    assert on_the_wire(known.to_hand_over)[1].unpacked == known


def test_few_leases_go_as_they_are() -> None:
    """What people read in the UI stays readable."""
    known = KeeperState(namespace="n.a", leases=tuple(map(lease, range(FEW_LEASES))))
    assert known.to_hand_over is known
    assert known.unpacked is known


def test_as_many_leases_as_there_may_be_are_one_payload() -> None:
    """A full keeper can be handed over: with room to spare for long names and reasons."""
    known = KeeperState(
        namespace="n.a", leases=tuple(lease(number, "r" * 50) for number in range(MAX_LEASES))
    )
    size, arrived = on_the_wire(known.to_hand_over)
    assert size < 0.75 * PAYLOAD_LIMIT
    assert arrived.unpacked == known


def on_the_wire(known: KeeperState) -> tuple[int, KeeperState]:
    """Return the bytes that *known* takes as a payload, and what is read of them."""
    converter = DataConverter.default.payload_converter
    (payload,) = converter.to_payloads([known])
    (arrived,) = converter.from_payloads([payload], [KeeperState])
    return len(payload.data), arrived
