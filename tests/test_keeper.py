"""The keeper: what it drives to, what it survives, and when it stops."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from keeper_helpers import staged
from temporalio.client import WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.testing import WorkflowEnvironment

from workflows.activity_types import RECONCILE
from workflows.cloud import NamespaceNotFound, TemporaryError, Unauthorized
from workflows.contract import (
    LEASE_UPDATE,
    Capacity,
    Lease,
    LeaseRequest,
    Rails,
    lease_of,
)
from workflows.keeper import OTHER_PATCH
from workflows.keeper_state import KeeperState


async def test_a_boost_comes_and_goes(skipping: WorkflowEnvironment, fresh: str) -> None:
    """The capacity is raised at once and is the baseline again when the keeper has ended."""
    async with staged(skipping, fresh) as stage:
        result = await stage.boost(8, 2)
        assert (result.in_force, result.capacity) == (True, Capacity(8))
        assert await stage.end() == "on-demand in force, the baseline"
        raised, lowered = (at for at, _ in stage.cloud.history)
        assert stage.cloud.steps == [8, None]
        assert 7200 <= (lowered - raised).total_seconds() + 5 <= 7215


async def test_overlapping_windows_step_down(skipping: WorkflowEnvironment, fresh: str) -> None:
    """4 TRU for the longer, 8 for the shorter: 4, 8, 4, baseline, never baseline between."""
    async with staged(skipping, fresh) as stage:
        await stage.boost(4, 3)
        await stage.boost(8, 1)
        await stage.end()
        assert stage.cloud.steps == [4, 8, 4, None]


async def test_added_windows_come_on_top(skipping: WorkflowEnvironment, fresh: str) -> None:
    """A lease that adds raises what runs by its own, rounded up to an allowed value."""
    async with staged(skipping, fresh) as stage:
        await stage.boost(4, 3)
        await stage.boost(3, 1, combine="add")
        await stage.end()
        assert stage.cloud.steps == [4, 8, 4, None]


async def test_what_adds_comes_on_top_of_a_declared_baseline(
    skipping: WorkflowEnvironment, fresh: str
) -> None:
    """With nothing else running, 2 TRU on a baseline of 3 are 5, and 6 the next allowed value."""
    async with staged(skipping, fresh, capacity=Capacity(3)) as stage:
        await stage.boost(2, 1, combine="add", baseline=Capacity(3))
        await stage.end()
        assert stage.cloud.steps == [6, 3]


@pytest.mark.parametrize(
    ("before", "declared", "after"),
    [
        pytest.param(Capacity(3), None, 3, id="found"),
        pytest.param(Capacity(3), Capacity(2), 2, id="declared"),
        pytest.param(Capacity(3), Capacity(None), None, id="declared on-demand"),
    ],
)
async def test_the_baseline_comes_back(
    skipping: WorkflowEnvironment,
    fresh: str,
    before: Capacity,
    declared: Capacity | None,
    after: float | None,
) -> None:
    """What comes back is what was in force before, or what the calendar declares."""
    async with staged(skipping, fresh, capacity=before) as stage:
        await stage.boost(8, 1, baseline=declared)
        await stage.end()
        assert stage.cloud.steps == [8, after]


async def test_a_raise_never_lowers(skipping: WorkflowEnvironment, fresh: str) -> None:
    """Where on-demand gives more than the boost would, nothing is written at all."""
    async with staged(skipping, fresh, on_demand_aps=1800) as stage:
        result = await stage.boost(3, 1)
        assert result.in_force
        assert "on-demand already allows 1800 APS" in result.message
        await stage.end()
        assert stage.cloud.writes == []


async def test_a_higher_baseline_stays(skipping: WorkflowEnvironment, fresh: str) -> None:
    """A boost below what is provisioned anyway changes nothing."""
    async with staged(skipping, fresh, capacity=Capacity(8)) as stage:
        assert (await stage.boost(4, 1)).in_force
        await stage.end()
        assert stage.cloud.writes == []


async def test_the_rails_cap(skipping: WorkflowEnvironment, fresh: str) -> None:
    """A guard rail holds a boost down, which counts as covered and says so."""
    async with staged(skipping, fresh) as stage:
        result = await stage.boost(12, 1, rails=Rails(max_tru=6))
        assert (result.in_force, result.capacity) == (True, Capacity(6))
        assert "6 allowed at most" in result.message


async def test_the_cloud_s_values_count(skipping: WorkflowEnvironment, fresh: str) -> None:
    """What the Cloud API allows is rounded up to, whatever the documentation lists."""
    async with staged(skipping, fresh, allowed=(2.0, 5.0, 12.0)) as stage:
        assert (await stage.boost(3, 1)).capacity == Capacity(12)
        await stage.end()
        assert stage.cloud.steps == [12, None]


async def test_too_little_inventory(skipping: WorkflowEnvironment, fresh: str) -> None:
    """The best smaller value is taken, and the full one as soon as it is there."""
    async with staged(skipping, fresh, available=6.0) as stage:
        boost = await stage.start(stage.request(10, 4))
        await stage.in_force(6)
        status = await stage.says(lambda status: status.capacity == Capacity(6))
        assert status.health == "uncovered"
        stage.cloud.available = None
        result = await boost.result()
        assert (result.in_force, result.capacity) == (True, Capacity(10))
        await stage.end()
        assert stage.cloud.steps == [6, 10, None]


async def test_inventory_found_short_by_the_request(
    skipping: WorkflowEnvironment, fresh: str
) -> None:
    """A request that the Cloud refuses is made smaller; the boost ends red, with reasons."""
    async with staged(skipping, fresh, tells_available=False, available=4.0) as stage:
        boost = await stage.start(stage.request(10, 1))
        with pytest.raises(WorkflowFailureError) as red:
            await boost.result()
        assert "10 TRU requested, 4 allowed at most" in str(red.value.cause)
        await stage.end()
        assert stage.cloud.steps == [4, None]


async def test_a_way_down_that_is_refused_takes_nothing_from_what_runs(
    skipping: WorkflowEnvironment, fresh: str
) -> None:
    """Refused for want of inventory it is asked for again, never for less than the window's."""
    async with staged(skipping, fresh) as stage:
        await stage.boost(12, 1)
        await stage.boost(8, 3)
        stage.cloud.available = 6.0
        await stage.sleep(1.5)
        assert stage.cloud.steps == [12]
        await stage.says(lambda status: "not enough" in status.details)
        stage.cloud.available = None
        await stage.end()
        assert stage.cloud.steps == [12, 8, None]


async def test_one_change_in_flight(skipping: WorkflowEnvironment, fresh: str) -> None:
    """While a change is under way, another lease waits and is then driven to."""
    async with staged(skipping, fresh, patience=30) as stage:
        stage.cloud.hold = asyncio.Event()
        four = await stage.start(stage.request(4, 2))
        await stage.until(lambda: stage.cloud.in_flight == 1)
        eight = await stage.start(stage.request(8, 1))
        await stage.says(lambda status: len(status.leases) == 2)
        assert stage.cloud.in_flight == 1
        stage.cloud.hold.set()
        await four.result()
        await eight.result()
        await stage.end()
        assert stage.cloud.most_in_flight == 1
        assert stage.cloud.steps == [4, 8, 4, None]


async def test_a_boost_during_a_revert(skipping: WorkflowEnvironment, fresh: str) -> None:
    """A lease that comes while the way down is under way is driven to right after it."""
    async with staged(skipping, fresh, patience=30) as stage:
        await stage.boost(8, 1)
        stage.cloud.hold = asyncio.Event()
        await stage.release()
        await stage.until(lambda: stage.cloud.in_flight == 1)
        again = await stage.start(stage.request(8, 1, window="second"))
        await stage.says(lambda status: len(status.leases) == 1)
        stage.cloud.hold.set()
        assert (await again.result()).capacity == Capacity(8)
        await stage.end()
        assert stage.cloud.steps == [8, None, 8, None]


async def test_a_boost_while_a_revert_is_pending(skipping: WorkflowEnvironment, fresh: str) -> None:
    """What is in force still, but about to go, does not count as covering a new lease.

    What the change waits for is told in the words of whoever waits.
    """
    async with staged(skipping, fresh, patience=0.05) as stage:
        await stage.boost(4, 1)
        stage.cloud.hold = asyncio.Event()
        await stage.release()
        await stage.says(
            lambda status: "not in force yet: on-demand is held back" in status.details
        )
        again = await stage.start(stage.request(4, 4, window="second"))
        await stage.says(lambda status: len(status.leases) == 1)
        assert (await stage.status()).health == "uncovered"
        waiting = await stage.says(lambda status: "4 TRU is held back" in status.details)
        assert waiting.health == "uncovered"
        await stage.cloud.set(Capacity(None))
        stage.cloud.hold.set()
        assert (await again.result()).in_force
        assert stage.cloud.capacity == Capacity(4)


async def test_a_boost_after_a_revert_whose_reply_was_lost(
    skipping: WorkflowEnvironment, fresh: str
) -> None:
    """A way down that nobody saw the end of may have come: a new lease looks first."""
    async with staged(skipping, fresh) as stage:
        await stage.boost(4, 1)
        stage.cloud.loses_replies = 1
        await stage.release()
        await stage.in_force(None)
        assert (await stage.boost(4, 4, window="second")).in_force
        assert stage.cloud.capacity == Capacity(4)


async def test_the_same_firing_twice(skipping: WorkflowEnvironment, fresh: str) -> None:
    """A duplicate is the same lease, renewed: one lease, one raise, one end."""
    async with staged(skipping, fresh) as stage:
        request = stage.request(8, 1)
        now = await skipping.get_current_time()
        await stage.start(request)
        await stage.in_force(8)
        order = LeaseRequest(namespace=stage.namespace, lease=lease_of(request, now))
        for _ in range(3):
            await stage.keeper.execute_update(LEASE_UPDATE, order)
        assert len((await stage.status()).leases) == 2
        await stage.end()
        assert stage.cloud.steps == [8, None]


async def test_a_release_ends_it_now(skipping: WorkflowEnvironment, fresh: str) -> None:
    """Released leases are gone at once, and the same firing does not bring them back."""
    async with staged(skipping, fresh) as stage:
        boosts = [stage.request(4, 5), stage.request(8, 5)]
        for request in boosts:
            await (await stage.start(request)).result()
        eight = next(held for held in (await stage.status()).leases if held.tru == 8)
        assert await stage.release(window="w8") == ["w8"]
        await stage.in_force(4)
        order = LeaseRequest(namespace=stage.namespace, lease=eight)
        answer = await stage.keeper.execute_update(LEASE_UPDATE, order)
        assert not answer["granted"]
        assert "released" in answer["message"]
        assert await stage.release() == ["w4"]
        await stage.end()
        assert stage.cloud.steps == [4, 8, 4, None]


async def test_an_extension_holds_longer(skipping: WorkflowEnvironment, fresh: str) -> None:
    """The same key with a later end keeps the capacity until then, where a change is meant."""
    async with staged(skipping, fresh) as stage:
        await stage.boost(8, 4)
        (held,) = (await stage.status()).leases
        longer = lease_of(stage.request(8, 9), held.start)
        assert longer.key == held.key
        order = LeaseRequest(namespace=stage.namespace, lease=longer, replaces=held.key)
        await stage.keeper.execute_update(LEASE_UPDATE, order)
        await stage.sleep(5)
        assert stage.cloud.capacity == Capacity(8)
        await stage.end()
        assert stage.cloud.steps == [8, None]


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(TemporaryError("busy"), id="temporary"),
        pytest.param(TemporaryError("slow down", retry_after=30), id="told to wait"),
        pytest.param(Unauthorized("no such key"), id="key rotated"),
        pytest.param(NamespaceNotFound("no such namespace"), id="not found"),
        pytest.param(RuntimeError("a bug"), id="a bug of the client"),
    ],
)
async def test_faults_delay_but_do_not_stop(
    skipping: WorkflowEnvironment, fresh: str, fault: Exception
) -> None:
    """Whatever the Cloud answers, at whichever call, the boost comes, and goes."""
    async with staged(skipping, fresh) as stage:
        stage.cloud.faults = [fault] * 6
        assert (await stage.boost(8, 2)).in_force
        stage.cloud.faults = [fault] * 6
        await stage.end()
        assert stage.cloud.steps == [8, None]


async def test_a_revert_is_never_given_up(skipping: WorkflowEnvironment, fresh: str) -> None:
    """A key that is bad for hours delays the way down by hours, and it says so."""
    async with staged(skipping, fresh) as stage:
        await stage.boost(8, 1)
        stage.cloud.faults = [Unauthorized("the key has expired")] * 60
        await stage.sleep(1.5)
        status = await stage.says(lambda status: status.health == "overdue")
        assert "the key has expired" in status.details
        await stage.end()
        assert stage.cloud.steps == [8, None]
        raised, lowered = (at for at, _ in stage.cloud.history)
        assert (lowered - raised).total_seconds() > 4 * 3600


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"namespace": "another.acct"}, "not another.acct", id="another namespace"),
        pytest.param({"tru": 0}, "requests nothing", id="no TRU"),
        pytest.param({"key": ""}, "needs a key", id="no key"),
        pytest.param({"backwards": True}, "ends before it starts", id="backwards"),
    ],
)
async def test_bad_leases_are_refused(
    skipping: WorkflowEnvironment, fresh: str, changes: dict[str, object], words: str
) -> None:
    """A lease that makes no sense is refused with a sentence, and leaves no trace."""
    async with staged(skipping, fresh) as stage:
        await stage.boost(4, 9)
        before = await stage.status()
        order = bad_order(before.leases[0], stage.namespace, changes)
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await stage.keeper.execute_update(LEASE_UPDATE, order)
        assert words in str(refused.value.cause)
        assert (await stage.status()).leases == before.leases


async def test_nothing_is_left_to_release(skipping: WorkflowEnvironment, fresh: str) -> None:
    """A release that names nothing that runs returns nothing and changes nothing."""
    async with staged(skipping, fresh) as stage:
        await stage.boost(4, 9)
        assert await stage.release(window="other") == []
        assert len((await stage.status()).leases) == 1


def bad_order(lease: Lease, namespace: str, changes: dict[str, object]) -> LeaseRequest:
    """Return an order for *lease* with what is wrong with it."""
    wrong = dict(changes)
    namespace = str(wrong.pop("namespace", namespace))
    if wrong.pop("backwards", False):
        wrong["until"] = lease.start
    return LeaseRequest(namespace=namespace, lease=replace(lease, **wrong))


async def test_an_attempt_that_changes_nothing_is_not_repeated_at_once(
    skipping: WorkflowEnvironment, fresh: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that works out another target costs a few attempts, not thousands."""

    def without_leases(state: KeeperState) -> KeeperState:
        return replace(state, leases=(), released=())

    monkeypatch.setattr(KeeperState, "for_reconcile", property(without_leases))
    async with staged(skipping, fresh) as stage:
        with pytest.raises(WorkflowFailureError):
            await stage.boost(8, 1)
        history = await stage.keeper.fetch_history()
        attempts = [
            event
            for event in history.events
            if event.activity_task_scheduled_event_attributes.activity_type.name == RECONCILE
        ]
        assert 5 < len(attempts) < 60


@pytest.mark.parametrize("is_replayed", [False, True])
async def test_the_other_declaration_stays_but_in_runs_of_earlier_releases(
    skipping: WorkflowEnvironment,
    fresh: str,
    monkeypatch: pytest.MonkeyPatch,
    is_replayed: bool,
) -> None:
    """Another window of the first project declares again; a history without the marker forgot."""
    if is_replayed:
        monkeypatch.setattr("workflows.keeper.workflow.patched", lambda id: id != OTHER_PATCH)
    async with staged(skipping, fresh) as stage:
        for window, project, most in (("w", "b", 8), ("v", "a", 4), ("u", "b", 8)):
            rails = Rails(max_tru=most)
            await stage.boost(2, 1, window=window, project=project, rails=rails)
        assert ("project a declares" in (await stage.status()).details) is not is_replayed
