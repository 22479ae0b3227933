"""Facts of a namespace: which declaration holds, and what each lease was granted under it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows import keeper_transitions, ui_text
from workflows.contract import (
    ON_DEMAND,
    Capacity,
    Combine,
    Lease,
    LeaseRequest,
    Rails,
    target_of,
    target_of_leases,
)
from workflows.keeper_state import KeeperState, KnownOptions

NOW = datetime(2027, 1, 31, 23, tzinfo=UTC)
HOUR = timedelta(hours=1)
EMPTY = KeeperState(namespace="n.a", baseline=ON_DEMAND, baseline_declared=True)
FOUR = Rails(max_tru=4)
FREE = Rails()


def lease(
    window: str, tru: int, hours: float = 1, *, combine: Combine = "max", project: str = "a"
) -> Lease:
    """Return a lease of *window* for *hours* from now on."""
    return Lease(
        key=f"{window}@1",
        window=window,
        tru=tru,
        start=NOW,
        until=NOW + hours * HOUR,
        combine=combine,
        project=project,
    )


def fires(
    state: KeeperState,
    new: Lease,
    rails: Rails | None,
    revision: int,
    baseline: Capacity | None = ON_DEMAND,
) -> KeeperState:
    """Return *state* once *new* came with a declaration."""
    request = LeaseRequest(
        namespace="n.a", lease=new, baseline=baseline, rails=rails, revision=revision
    )
    return keeper_transitions.grant(state, request, NOW)


def target(state: KeeperState) -> float | None:
    """Return the TRU that *state* drives to."""
    return state.target.capacity.tru


def test_a_narrower_newcomer_lowers_nothing() -> None:
    """A boost of 12 stays while it runs, though another window brings 4; then 4 holds."""
    known = fires(EMPTY, lease("wide", 12, 1), FREE, 1)
    known = fires(known, lease("narrow", 8, 2), FOUR, 2)
    assert target(known) == 12
    assert target(keeper_transitions.expire(known, NOW + HOUR)) == 4
    ended = keeper_transitions.release(known, lambda held: held.window == "wide")
    assert target(ended) == 4


def test_a_wider_declaration_raises_only_what_comes_under_it() -> None:
    """A boost that was granted 4 of its 12 keeps the 4; the next one is not held to that."""
    known = fires(EMPTY, lease("held", 12, 2), FOUR, 1)
    assert target(known) == 4
    known = fires(known, lease("new", 6, 1), FREE, 2)
    assert target(known) == 6
    assert target(keeper_transitions.expire(known, NOW + HOUR)) == 4


def test_a_wide_lease_lends_its_rails_to_no_other() -> None:
    """A small boost without a ceiling does not let another one past its own."""
    known = fires(EMPTY, lease("small", 3), FREE, 1)
    known = fires(known, lease("large", 12), FOUR, 2)
    assert target(known) == 4
    known = fires(known, lease("on-top", 6, combine="add"), FOUR, 2)
    assert target(known) == 4


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        pytest.param((8, FREE), (4, FOUR), 8, id="nothing on top past the new ceiling"),
        pytest.param((8, Rails(max_tru=10)), (4, Rails(max_tru=12)), 12, id="on top, allowed"),
        pytest.param((12, FOUR), (2, FREE), 6, id="on top of what was granted"),
    ],
)
def test_what_adds(first: tuple[int, Rails], second: tuple[int, Rails], together: int) -> None:
    """What comes on top counts under its own declaration, on what the others were granted."""
    known = fires(EMPTY, lease("first", first[0]), first[1], 1)
    known = fires(known, lease("second", second[0], combine="add"), second[1], 2)
    assert target(known) == together


def test_an_older_declaration_is_not_taken() -> None:
    """A schedule that was not updated yet brings its lease, and not its facts."""
    known = fires(EMPTY, lease("new", 3), FOUR, 7, baseline=Capacity(2))
    late = fires(known, lease("old", 12), FREE, 6, baseline=ON_DEMAND)
    assert (late.rails, late.revision, late.baseline) == (FOUR, 7, Capacity(2))
    assert [held.window for held in late.leases] == ["new", "old"]
    assert target(late) == 4


def test_a_newer_declaration_takes_a_baseline_back() -> None:
    """What was declared is what running boosts come back to, and is enforced no more."""
    known = fires(EMPTY, lease("one", 8), FREE, 1, baseline=Capacity(2))
    same = fires(known, lease("two", 8), FREE, 1, baseline=None)
    assert (same.baseline, same.baseline_declared) == (Capacity(2), True)
    newer = fires(known, lease("two", 8), FREE, 2, baseline=None)
    assert (newer.baseline, newer.baseline_declared) == (Capacity(2), False)


def test_by_hand_declares_nothing() -> None:
    """A boost by hand comes under what is declared, whatever its number."""
    known = fires(EMPTY, lease("w", 3), FOUR, 5)
    by_hand = replace(lease("by-hand", 12, project=""), by="ann")
    known = fires(known, by_hand, None, 0, baseline=None)
    assert (known.rails, known.revision, known.baseline) == (FOUR, 5, ON_DEMAND)
    assert target(known) == 4


def test_by_hand_before_any_declaration_keeps_what_it_has() -> None:
    """A boost by hand that nothing was declared for is not cut short by a firing's rails."""
    by_hand = replace(lease("by-hand", 12, project=""), by="ann")
    known = fires(EMPTY, by_hand, None, 0, baseline=None)
    known = fires(known, lease("w", 3, 2), FOUR, 5)
    assert target(known) == 12
    assert target(keeper_transitions.expire(known, NOW + HOUR)) == 3


def test_a_change_that_is_meant_brings_its_rails() -> None:
    """A sync whose running boosts follow changes them, rails and all."""
    known = fires(EMPTY, lease("w", 12), FREE, 1)
    request = LeaseRequest(
        namespace="n.a", lease=lease("w", 12), rails=FOUR, revision=2, replaces="w@1"
    )
    assert target(keeper_transitions.grant(known, request, NOW)) == 4


def test_another_project_declares_beside() -> None:
    """The first project's declaration holds while its windows run, then the other's."""
    known = fires(EMPTY, lease("w", 12, 1), FREE, 1, baseline=Capacity(2))
    known = fires(known, lease("v", 8, 2, project="b"), FOUR, 9)
    assert (known.rails, known.project, known.baseline) == (FREE, "a", Capacity(2))
    assert target(known) == 12
    assert "project b declares a baseline of on-demand, max_tru 4" in ui_text.keeper_details(
        known, NOW
    )
    left = keeper_transitions.expire(known, NOW + HOUR)
    assert (left.rails, left.project, left.baseline) == (FOUR, "b", ON_DEMAND)
    assert left.other is None
    assert target(left) == 8  # as it was granted
    again = fires(left, lease("u", 8, 2, project="a"), FREE, 10, baseline=Capacity(2))
    assert (again.rails, again.project) == (FOUR, "b")


def test_another_project_s_declaration_outlasts_a_repeated_one() -> None:
    """A boost that waits asks again: what the other project declared isn't forgotten by that."""
    ours = lease("w", 12, 1)
    known = fires(EMPTY, ours, FREE, 1)
    known = fires(known, lease("v", 8, 2, project="b"), FOUR, 9)
    assert fires(known, ours, FREE, 1) == known
    newer = fires(known, ours, FOUR, 2)
    assert (newer.rails, newer.project, newer.other) == (FOUR, "a", known.other)
    left = keeper_transitions.expire(newer, NOW + HOUR)
    assert (left.rails, left.project, left.other) == (FOUR, "b", None)


def test_another_project_that_says_the_same_is_not_mentioned() -> None:
    """Two projects that agree leave nothing to be said."""
    known = fires(EMPTY, lease("w", 12), FOUR, 1)
    known = fires(known, lease("v", 8, project="b"), FOUR, 9)
    assert "project b" not in ui_text.keeper_details(known, NOW)


def test_another_project_that_says_the_same_takes_over() -> None:
    """Once only its windows run, what the first project declares anew is the other one.

    Each window was granted without a ceiling: 3 on top of 6 come to 10.
    """
    known = fires(EMPTY, lease("w", 4, 1), FREE, 1)
    known = fires(known, replace(lease("v", 3, 3, project="b"), combine="add"), FREE, 9)
    known = keeper_transitions.expire(known, NOW + HOUR)
    known = fires(known, lease("u", 6, 3), FOUR, 2)
    assert (known.rails, known.project, known.other and known.other.rails) == (FREE, "b", FOUR)
    assert target(known) == 10


def test_an_other_that_has_ended_is_forgotten() -> None:
    """A declaration without a lease of its project holds for nothing."""
    known = fires(EMPTY, lease("w", 12, 2), FREE, 1)
    known = fires(known, lease("v", 8, 1, project="b"), FOUR, 9)
    known = keeper_transitions.expire(keeper_transitions.expire(known, NOW + HOUR), NOW + 2 * HOUR)
    assert (known.rails, known.project, known.other) == (FREE, "a", None)


def test_a_successor_grants_under_the_newest_declaration() -> None:
    """An old firing that starts a keeper anew is held to what the broken run knew."""
    old = fires(EMPTY, lease("w", 3), FOUR, 7, baseline=Capacity(2))
    late = fires(KeeperState(namespace="n.a"), lease("late", 12), FREE, 6)
    known = keeper_transitions.take_over(late, old)
    assert (known.rails, known.revision, known.baseline) == (FOUR, 7, Capacity(2))
    assert target(known) == 4
    newer = fires(KeeperState(namespace="n.a"), lease("new", 12), FREE, 8)
    known = keeper_transitions.take_over(newer, old)
    assert (known.rails, known.revision, known.baseline) == (FREE, 8, ON_DEMAND)
    assert target(known) == 12


@pytest.mark.parametrize(
    ("minutes", "project", "most"), [(1, "b", 4), (-1, "a", 8)], ids=["ended", "held"]
)
def test_a_lease_that_ended_while_no_keeper_ran_declares_nothing(
    minutes: int, project: str, most: int
) -> None:
    """The run broke off before its end; another project's window comes *minutes* after that."""
    free = Rails(max_tru=8)
    old = fires(EMPTY, lease("w", 12, 1), free, 1)
    late = fires(KeeperState(namespace="n.a"), lease("v", 12, 3, project="b"), FOUR, 9)
    left = keeper_transitions.without_ended(old, NOW + HOUR + timedelta(minutes=minutes))
    known = keeper_transitions.recover(late, left)
    assert (known.project, target(known)) == (project, 8 if project == "a" else 4)
    assert [held.rails for held in known.leases if held.window == "v"] == [Rails(max_tru=most)]


def test_a_successor_keeps_what_a_lease_was_granted() -> None:
    """A retry that starts a keeper anew does not lower the lease that the broken run held."""
    old = fires(EMPTY, lease("w", 12), FREE, 1)
    known = keeper_transitions.take_over(
        fires(KeeperState(namespace="n.a"), lease("w", 4), FOUR, 2), old
    )
    assert [held.tru for held in known.leases] == [12]
    assert target(known) == 12


def test_a_lease_of_an_earlier_version_goes_by_what_is_declared() -> None:
    """A lease that was stored without rails is held to those that hold for the namespace."""
    stored = replace(EMPTY, rails=FOUR, leases=(lease("w", 12),))
    assert target(stored) == 4


ceilings = st.sampled_from([None, 2, 4, 6, 8, 12])
allowed = st.sampled_from([FREE.allowed, (2, 4, 8), (3, 6, 12), (10,)])
rails = st.builds(Rails, allowed, ceilings)
capacities = st.sampled_from([ON_DEMAND, Capacity(2), Capacity(6)])
granted = st.builds(
    lambda number, tru, combine, rails, revision: replace(
        lease(f"w{number}", tru, combine=combine), rails=rails, revision=revision
    ),
    st.integers(0, 5),
    st.integers(1, 14),
    st.sampled_from(["max", "add"]),
    rails,
    st.integers(0, 4),
)


def own(held: Lease) -> Rails:
    """Return the rails of a lease that has some."""
    assert held.rails is not None
    return held.rails


def aps_of(capacity: Capacity, aps: float) -> float:
    """Return *capacity* in Actions per second."""
    return aps if capacity.tru is None else capacity.tru * 500


@given(st.lists(granted, max_size=6), granted, capacities, st.sampled_from([0, 500, 2000]))
def test_a_lease_that_comes_never_lowers(
    held: list[Lease], new: Lease, baseline: Capacity, aps: float
) -> None:
    """Whatever the rails of a newcomer, no running lease has less for it."""
    before = target_of_leases(held, baseline, own, on_demand_aps=aps)
    after = target_of_leases([*held, new], baseline, own, on_demand_aps=aps)
    assert aps_of(after.capacity, aps) >= aps_of(before.capacity, aps)
    assert after.requested >= before.requested


@given(st.lists(granted, max_size=6), granted, capacities)
def test_none_comes_above_its_own_rails(held: list[Lease], new: Lease, baseline: Capacity) -> None:
    """The newest declaration bounds what its leases make of the target."""
    last = replace(new, revision=5)
    before = target_of_leases(held, baseline, own)
    after = target_of_leases([*held, last], baseline, own)
    usable = [tru for tru in own(last).allowed if tru <= (own(last).max_tru or 99)]
    bound = max(aps_of(before.capacity, 0), max(usable, default=0) * 500, aps_of(baseline, 0))
    assert aps_of(after.capacity, 0) <= bound


@given(st.lists(granted, max_size=6), rails, capacities, st.sampled_from([0, 500, 2000]))
def test_under_one_declaration_it_is_what_a_preview_shows(
    held: list[Lease], rails: Rails, baseline: Capacity, aps: float
) -> None:
    """The timeline's arithmetic and the keeper's are one where the facts don't change."""
    same = [replace(each, rails=rails, revision=3) for each in held]
    assert target_of_leases(same, baseline, own, on_demand_aps=aps) == target_of(
        held, baseline, rails, on_demand_aps=aps
    )


@given(st.lists(granted, max_size=6, unique_by=lambda each: each.key), capacities)
def test_each_lease_has_what_it_would_have_alone(held: list[Lease], baseline: Capacity) -> None:
    """Together they come to no less than any of them by itself."""
    together = target_of_leases(held, baseline, own)
    for each in held:
        alone = target_of_leases([each], baseline, own)
        assert aps_of(together.capacity, 0) >= aps_of(alone.capacity, 0)
        known = KeeperState(
            namespace="n.a",
            leases=tuple(held),
            baseline=baseline,
            in_force=together.capacity,
            options=KnownOptions(),
        )
        assert known.covers(each)


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(1, 12), rails, st.integers(0, 5), st.booleans()),
        max_size=8,
    )
)
def test_whatever_comes_the_target_only_rises(
    firings: list[tuple[int, int, Rails, int, bool]],
) -> None:
    """No order of firings and declarations, of two projects, lowers what runs."""
    known, before = EMPTY, 0.0
    for number, tru, said, revision, is_other in firings:
        new = lease(f"w{number}{is_other}", tru, project="b" if is_other else "a")
        known = fires(known, new, said, revision)
        assert (target(known) or 0) >= before
        before = target(known) or 0
