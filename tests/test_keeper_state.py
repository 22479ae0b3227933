"""What a keeper knows: the arithmetic of leases, targets and states, without a server."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows import keeper_transitions
from workflows.contract import (
    ON_DEMAND,
    Capacity,
    Combine,
    Lease,
    LeaseRequest,
    Rails,
    ReleaseRequest,
)
from workflows.keeper_state import KeeperState, KnownOptions
from workflows.keeper_transitions import FIRST_AFTER_REFUSAL, QUICK, SLOW, Fault, delay

NOW = datetime(2027, 1, 31, 23, tzinfo=UTC)
HOUR = timedelta(hours=1)


def lease(tru: int, hours: float = 1, *, combine: Combine = "max", start: float = 0) -> Lease:
    """Return a lease from *start* hours from now on, for *hours*, as granted without rails."""
    begin = NOW + start * HOUR
    return Lease(
        key=f"w{tru}@{begin.isoformat()}",
        window=f"w{tru}",
        tru=tru,
        start=begin,
        until=begin + hours * HOUR,
        combine=combine,
        rails=Rails(),
    )


def order(one: Lease, **more: object) -> LeaseRequest:
    """Return the request for *one*."""
    return LeaseRequest(namespace="n.a", lease=one, **more)  # type: ignore[arg-type]


def state(*leases: Lease, **more: object) -> KeeperState:
    """Return a state with *leases* and an on-demand baseline."""
    values: dict[str, object] = {"baseline": ON_DEMAND} | more
    return KeeperState(namespace="n.a", leases=leases, **values)  # type: ignore[arg-type]


leases = st.builds(
    lease,
    st.integers(1, 12),
    st.floats(0.1, 9),
    combine=st.sampled_from(["max", "add"]),
    start=st.floats(-3, 3),
)
capacities = st.sampled_from([ON_DEMAND, Capacity(2), Capacity(4), Capacity(8), Capacity(12)])


@given(st.lists(leases, max_size=6), leases)
def test_asking_twice_is_asking_once(held: list[Lease], again: Lease) -> None:
    """A lease that is renewed unchanged changes nothing."""
    once = keeper_transitions.grant(state(*held), order(again), NOW)
    assert keeper_transitions.grant(once, order(again), NOW) == once


@given(st.lists(leases, max_size=6, unique_by=lambda one: one.key), st.randoms())
def test_the_order_of_asking_does_not_matter(held: list[Lease], jitter: object) -> None:
    """The same leases come to the same state, in whatever order they come."""
    shuffled = list(held)
    jitter.shuffle(shuffled)  # type: ignore[attr-defined]
    results = []
    for leases in (held, shuffled):
        known = state()
        for one in leases:
            known = keeper_transitions.grant(known, order(one), NOW)
        results.append(known)
    assert results[0] == results[1]


@given(st.lists(leases, max_size=6), capacities, st.floats(0, 4000))
def test_a_target_never_lowers(held: list[Lease], baseline: Capacity, aps: float) -> None:
    """Whatever is requested, the target is no less than the baseline."""
    known = state(*held, baseline=baseline, options=KnownOptions(on_demand_aps=aps))
    assert known.aps_of(known.target.capacity) >= known.aps_of(baseline)


@given(st.lists(leases, min_size=1, max_size=6, unique_by=lambda one: one.key), leases)
def test_an_end_takes_nothing_from_others(held: list[Lease], gone: Lease) -> None:
    """Without a lease the target is what it would be had that lease never been."""
    both = state(*(one for one in held if one.key != gone.key), gone)
    left = keeper_transitions.release(both, lambda one: one.key == gone.key)
    assert left.target == replace(both, leases=left.leases).target
    assert keeper_transitions.was_released(left, gone.key)


@given(st.lists(leases, max_size=6))
def test_ends_are_exclusive(held: list[Lease]) -> None:
    """A lease runs until its end and not in it."""
    for one in held:
        assert one not in keeper_transitions.expire(state(*held), one.until).leases
        before = one.until - timedelta(microseconds=1)
        assert one in keeper_transitions.expire(state(*held), before).leases


def test_a_released_lease_stays_released() -> None:
    """The same key does not come back before its end; another one does."""
    known = keeper_transitions.release(state(lease(8)), lambda _: True)
    assert keeper_transitions.grant(known, order(lease(8)), NOW) == known
    assert keeper_transitions.grant(known, order(lease(4)), NOW).leases == (lease(4),)


@given(st.lists(leases, max_size=6, unique_by=lambda one: one.key), leases, leases)
def test_a_replacement_is_one_step(held: list[Lease], old: Lease, new: Lease) -> None:
    """What replaces a lease begins as that one ends, and its key does not come back."""
    both = state(*(one for one in held if one.key not in (old.key, new.key)), old)
    after = keeper_transitions.grant(both, order(new, replaces=old.key), NOW)
    alone = keeper_transitions.grant(replace(both, leases=both.leases[:-1]), order(new), NOW)
    assert tuple(replace(one, replaced=()) for one in after.leases) == alone.leases
    if old.key != new.key:
        assert keeper_transitions.lease_or_successor(
            after, old.key
        ) == keeper_transitions.lease_by_key(after, new.key)
        assert old not in keeper_transitions.grant(after, order(old), NOW).leases


def test_a_renewed_lease_keeps_what_it_was_granted() -> None:
    """A retry or a doubled firing changes no lease that runs; a request that means to does."""
    twelve = replace(lease(12, 4), key="w@1")
    less = replace(lease(4, 1), key="w@1")
    known = keeper_transitions.grant(state(baseline_declared=True), order(twelve), NOW)
    assert keeper_transitions.grant(known, order(less), NOW).target.capacity == Capacity(12)
    known = keeper_transitions.grant(known, order(less, replaces="w@1"), NOW)
    assert (known.target.capacity, len(known.leases)) == (Capacity(4), 1)
    assert keeper_transitions.grant(known, order(twelve), NOW) == known


def test_a_replacement_that_is_sent_again_changes_nothing() -> None:
    """A sync that broke off after its keeper took the change sends it once more."""
    old, new = replace(lease(8), key="w@1"), replace(lease(6), key="w@2")
    known = keeper_transitions.grant(state(old), order(new, replaces="w@1"), NOW)
    assert keeper_transitions.grant(known, order(new, replaces="w@1"), NOW) == known
    back = keeper_transitions.grant(known, order(old, replaces="w@2"), NOW)
    assert [held.key for held in back.leases] == ["w@1"]


def test_a_boost_waits_for_the_lease_in_place_of_its_own() -> None:
    """The boost whose lease was moved twice is answered by, and releases, the last one."""
    first, second, third = (replace(lease(8), key=f"w@{n}") for n in (1, 2, 3))
    moved = keeper_transitions.grant(state(first), order(second, replaces="w@1"), NOW)
    moved = keeper_transitions.grant(moved, order(third, replaces="w@2"), NOW)
    assert moved.leases == (replace(third, replaced=("w@1", "w@2")),)
    for key in ("w@1", "w@2", "w@3"):
        assert keeper_transitions.lease_or_successor(moved, key) == moved.leases[0]
    assert keeper_transitions.lease_or_successor(moved, "w@4") is None


def test_what_an_operator_released_is_not_followed() -> None:
    """A boost that was released before its end does not come back under a moved start."""
    old, new = replace(lease(8), key="w@1"), replace(lease(6), key="w@2")
    known = keeper_transitions.release(state(old), lambda _: True)
    assert keeper_transitions.grant(known, order(new, replaces="w@1"), NOW) == known
    assert keeper_transitions.grant(known, order(old, replaces="w@1"), NOW) == known


def test_a_replacement_holds_where_the_old_lease_is_not_known_yet() -> None:
    """The lease that it overtakes is refused, also by a keeper that takes over later."""
    old, new = replace(lease(8), key="w@1"), replace(lease(6), key="w@2")
    known = keeper_transitions.grant(state(), order(new, replaces="w@1"), NOW)
    assert [held.key for held in keeper_transitions.grant(known, order(old), NOW).leases] == ["w@2"]
    assert [held.key for held in keeper_transitions.take_over(known, state(old)).leases] == ["w@2"]


@pytest.mark.parametrize(
    ("declared", "held", "owes"),
    [(True, (), True), (False, (), False), (True, (lease(4),), False)],
    ids=["declared", "found", "still requested"],
)
def test_the_last_end_is_looked_after(declared: bool, held: tuple[Lease, ...], owes: bool) -> None:
    """A declared baseline is settled only once it was seen without a lease."""
    known = state(*held, baseline_declared=declared, had_leases=True, in_force=ON_DEMAND)
    assert known.needs_final_observation == owes
    seen = keeper_transitions.record_observation(known, ON_DEMAND, None, NOW)
    assert not seen.needs_final_observation
    assert keeper_transitions.release(seen, lambda _: True).needs_final_observation == bool(held)


def test_an_idle_keeper_forgets_what_it_saw() -> None:
    """After an idle time only what was declared, and what was released, still counts."""
    told: dict[str, object] = {"observe_every_seconds": 7, "rails": Rails(max_tru=6)}
    idle = state(in_force=ON_DEMAND, requested=(Capacity(8),), released=(lease(8),), **told)
    known = keeper_transitions.grant(idle, order(lease(4)), NOW)
    assert (known.baseline, known.in_force, known.requested) == (None, None, ())
    assert known.released == idle.released
    assert (known.observe_every_seconds, known.rails) == (7, Rails(max_tru=6))


def test_a_successor_remembers_what_was_released() -> None:
    """A lease that a broken run had released is not held by the one that follows it."""
    old = state(lease(6), released=(lease(8),), in_force=Capacity(6))
    known = keeper_transitions.take_over(state(lease(8), lease(4)), old)
    assert known.leases == (lease(4), lease(6))
    cancelled = replace(old, leases=(), in_force=ON_DEMAND, cancelled=True)
    known = keeper_transitions.take_over(state(lease(8), baseline=None), cancelled)
    assert (known.leases, known.baseline) == ((), None)


def test_a_cancelled_keeper_grants_nothing() -> None:
    """A keeper that goes back takes no new lease."""
    known = state(cancelled=True)
    assert keeper_transitions.grant(known, order(lease(8)), NOW) == known


def test_the_newest_declaration_counts() -> None:
    """A declared baseline replaces a found one, and an earlier declaration."""
    known = keeper_transitions.grant(state(), order(lease(8), baseline=Capacity(2)), NOW)
    assert (known.baseline, known.baseline_declared) == (Capacity(2), True)
    known = keeper_transitions.grant(known, order(lease(4), baseline=Capacity(3)), NOW)
    known = keeper_transitions.grant(known, order(lease(6)), NOW)
    assert (known.baseline, known.baseline_declared) == (Capacity(3), True)


def test_a_skip_is_taken_back() -> None:
    """A lease that is refused before it comes is granted again once the refusal is undone."""
    coming = lease(8, start=1)
    skip = ReleaseRequest(key=coming.key, lease=coming)
    skipped = keeper_transitions.release_requested(state(), skip, NOW)
    assert keeper_transitions.was_released(skipped, coming.key)
    undone = keeper_transitions.release_requested(skipped, replace(skip, undo=True), NOW)
    assert undone == state()


def test_by_hand_keeps_the_rails() -> None:
    """A lease without guard rails leaves those in place that a schedule brought."""
    declared = state(baseline_declared=True)
    known = keeper_transitions.grant(declared, order(lease(8), rails=Rails(max_tru=6)), NOW)
    known = keeper_transitions.grant(known, order(lease(12)), NOW)
    assert known.target.capacity == Capacity(6)


@pytest.mark.parametrize(
    ("known", "found", "left"),
    [
        pytest.param(state(lease(8)), Capacity(12), True, id="more than due"),
        pytest.param(state(lease(8)), Capacity(4), False, id="less than due"),
        pytest.param(state(), Capacity(4), True, id="more than a found baseline"),
        pytest.param(state(requested=(Capacity(4),)), Capacity(4), False, id="our own"),
        pytest.param(state(baseline_declared=True), Capacity(4), False, id="declared"),
        pytest.param(
            state(lease(8), baseline_declared=True), Capacity(12), True, id="declared, running"
        ),
        pytest.param(state(baseline=Capacity(4)), ON_DEMAND, False, id="less than the baseline"),
    ],
)
def test_what_others_set(known: KeeperState, found: Capacity, left: bool) -> None:
    """Left alone is only what is more than due, not ours, and not against a declaration."""
    assert known.leaves_alone(found) is left


SHORT = KnownOptions(available=6.0)


@pytest.mark.parametrize(
    ("known", "state"),
    [
        pytest.param(state(in_force=ON_DEMAND), "ok", id="nothing to do"),
        pytest.param(state(lease(8), in_force=Capacity(8)), "ok", id="covered"),
        pytest.param(state(lease(8, start=0.1), in_force=ON_DEMAND), "raising", id="not open yet"),
        pytest.param(state(lease(8), in_force=ON_DEMAND), "uncovered", id="open, not covered"),
        pytest.param(state(lease(8)), "uncovered", id="open, not looked yet"),
        pytest.param(state(lease(8), in_force=Capacity(6), options=SHORT), "uncovered", id="short"),
        pytest.param(
            state(lease(4), in_force=Capacity(8), last_target=Capacity(4), target_since=NOW),
            "reverting",
            id="stepping down",
        ),
        pytest.param(
            state(in_force=Capacity(8), last_target=ON_DEMAND, target_since=NOW - HOUR),
            "overdue",
            id="down for an hour",
        ),
        pytest.param(state(lease(8), in_force=Capacity(12), foreign=True), "foreign", id="others'"),
        pytest.param(
            state(lease(8, start=-2), in_force=Capacity(8)), "overdue", id="nobody at work"
        ),
    ],
)
def test_states(known: KeeperState, state: str) -> None:
    """Each situation has its word, told by the asker's clock."""
    assert keeper_transitions.health_of(known, NOW) == state


def ending(seconds: float, tru: int = 8) -> Lease:
    """Return a lease that ends in so many seconds by the asker's clock, or has ended before."""
    return replace(lease(tru, start=-1), until=NOW + timedelta(seconds=seconds))


def going_down(since: float) -> KeeperState:
    """Return the state of a keeper without leases that has tried to go down *since* then."""
    target_since = NOW + timedelta(seconds=since)
    return state(in_force=Capacity(8), last_target=ON_DEMAND, target_since=target_since)


EIGHT = Capacity(8)
COVERED_FOR_LONG = state(
    ending(3600), in_force=EIGHT, last_target=EIGHT, target_since=NOW - HOUR, requested=(EIGHT,)
)


@pytest.mark.parametrize(
    ("known", "state"),
    [
        pytest.param(state(ending(1), in_force=EIGHT), "ok", id="open for a second more"),
        pytest.param(state(ending(0), in_force=EIGHT), "ok", id="ends now, still held"),
        pytest.param(state(ending(-29), in_force=EIGHT), "ok", id="ended, the keeper's clock lags"),
        pytest.param(state(ending(-31), in_force=EIGHT), "reverting", id="ended, it lags too much"),
        pytest.param(state(ending(-600), in_force=EIGHT), "reverting", id="ended ten minutes ago"),
        pytest.param(state(ending(-601), in_force=EIGHT), "overdue", id="ended, nobody goes down"),
        pytest.param(state(ending(1), in_force=ON_DEMAND), "uncovered", id="open, not covered"),
        pytest.param(state(ending(0), in_force=ON_DEMAND), "ok", id="ended, held, not covered"),
        pytest.param(
            state(ending(-1), in_force=Capacity(4)), "reverting", id="ended, held, covered in part"
        ),
        pytest.param(state(ending(-31), in_force=ON_DEMAND), "ok", id="down before it was let go"),
        pytest.param(going_down(20), "reverting", id="gone, the asker's clock lags"),
        pytest.param(going_down(0), "reverting", id="gone now"),
        pytest.param(going_down(-600), "reverting", id="going down for ten minutes"),
        pytest.param(going_down(-601), "overdue", id="going down for longer"),
        pytest.param(
            state(ending(-5), ending(3600, 12), in_force=EIGHT), "uncovered", id="next one is short"
        ),
        pytest.param(
            state(ending(-5, 12), ending(3600), in_force=Capacity(12)), "ok", id="next one is less"
        ),
        pytest.param(
            state(ending(-31, 12), ending(3600), in_force=Capacity(12)),
            "reverting",
            id="stepping down to the next one",
        ),
        pytest.param(
            state(ending(3600), in_force=EIGHT, last_target=EIGHT, target_since=NOW - HOUR),
            "ok",
            id="open and covered for an hour",
        ),
        pytest.param(
            replace(COVERED_FOR_LONG, needs_observation=True), "ok", id="others may have lowered it"
        ),
        pytest.param(
            replace(COVERED_FOR_LONG, pending=(EIGHT,)), "ok", id="its own change is under way"
        ),
        pytest.param(
            replace(COVERED_FOR_LONG, pending=(Capacity(12),)), "overdue", id="12 TRU may yet come"
        ),
        pytest.param(
            replace(COVERED_FOR_LONG, in_force=Capacity(12), requested=(Capacity(12),)),
            "overdue",
            id="12 TRU since an hour too long",
        ),
        pytest.param(
            replace(going_down(-601), last_target=EIGHT), "reverting", id="up for long, down now"
        ),
        pytest.param(
            replace(going_down(-600), in_force=ON_DEMAND, pending=(EIGHT,)),
            "reverting",
            id="never up, its raise may yet come",
        ),
        pytest.param(
            replace(going_down(-601), in_force=ON_DEMAND, pending=(EIGHT,)),
            "overdue",
            id="never up, its raise may yet come, for long",
        ),
    ],
)
def test_states_around_an_end_where_clocks_differ(known: KeeperState, state: str) -> None:
    """An open, covered window is never overdue, a running one never reverting, by any clock."""
    assert keeper_transitions.health_of(known, NOW) == state


@given(st.integers(1, 10_000), st.floats(0, 1), st.sampled_from(["Unauthorized", "Throttled"]))
def test_waits_grow_to_minutes(count: int, jitter: float, kind: str) -> None:
    """However often it failed, the next attempt is minutes away at most, and never at once."""
    pace = SLOW if kind == "Unauthorized" else QUICK
    first = FIRST_AFTER_REFUSAL if kind == "Unauthorized" and count == 1 else pace.first
    wait = delay(Fault(kind, "words"), count, jitter)
    assert first * 0.75 <= wait <= (first if count == 1 else pace.longest)
    told = delay(Fault(kind, "words", retry_after=HOUR), count, jitter)
    assert told == HOUR
