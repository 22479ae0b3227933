"""How a keeper ends: cancelled, terminated, continued as new; and what others did meanwhile."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from keeper_helpers import staged
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import CancelledError
from temporalio.testing import WorkflowEnvironment

from workflows.activity_types import STATE_QUERY, KeeperInput
from workflows.contract import KEEPER_WORKFLOW, Capacity, KeeperStart
from workflows.keeper_state import KeeperState


async def test_a_cancelled_keeper_goes_back_first(
    skipping: WorkflowEnvironment, fresh: str
) -> None:
    """A cancel ends every lease, brings the baseline back, and only then ends the keeper."""
    async with staged(skipping, fresh, capacity=Capacity(2)) as stage:
        await stage.boost(8, 5)
        await stage.keeper.cancel()
        with pytest.raises(WorkflowFailureError) as ended:
            await stage.end()
        assert isinstance(ended.value.cause, CancelledError)
        assert stage.cloud.steps == [8, 2]


async def test_a_cancel_does_not_cut_a_change(skipping: WorkflowEnvironment, fresh: str) -> None:
    """A cancel in the middle of a raise lets it end, and then goes back: one at a time."""
    async with staged(skipping, fresh, patience=30) as stage:
        stage.cloud.hold = asyncio.Event()
        await stage.start(stage.request(8, 5))
        await stage.until(lambda: stage.cloud.in_flight == 1)
        await stage.keeper.cancel()
        await stage.says(lambda status: not status.leases)
        assert stage.cloud.in_flight == 1
        stage.cloud.hold.set()
        with pytest.raises(WorkflowFailureError):
            await stage.end()
        assert (stage.cloud.steps, stage.cloud.most_in_flight) == ([8, None], 1)


async def test_a_firing_outlives_a_cancelled_keeper(
    skipping: WorkflowEnvironment, fresh: str
) -> None:
    """A firing that comes while a cancelled keeper goes back is covered by the next keeper."""
    async with staged(skipping, fresh, patience=30) as stage:
        await stage.boost(8, 5)
        stage.cloud.hold = asyncio.Event()
        await stage.keeper.cancel()
        await stage.until(lambda: stage.cloud.in_flight == 1)
        boost = await stage.start(stage.request(4, 1))
        await answered(boost)
        stage.cloud.hold.set()
        assert (await boost.result()).in_force
        await stage.end()
        assert stage.cloud.steps == [8, None, 4, None]


async def answered(boost: WorkflowHandle[Any, Any]) -> None:
    """Wait until *boost* has had an answer of its keeper."""
    completed = EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED
    while completed not in {  # noqa: ASYNC110 - a history is no event
        event.event_type for event in (await boost.fetch_history()).events
    }:
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("how", ["release", "cancel"])
async def test_a_released_lease_does_not_come_back(
    skipping: WorkflowEnvironment, fresh: str, how: str
) -> None:
    """A boost that still asks finds its lease ended, also by a keeper that knows it not."""
    async with staged(skipping, fresh, available=4.0) as stage:
        boost = await stage.start(stage.request(8, 9))
        await stage.in_force(4)
        await stage.says(lambda status: status.capacity == Capacity(4))
        await (stage.release() if how == "release" else stage.keeper.cancel())
        await stage.in_force(None)
        result = await boost.result()
        assert not result.in_force
        assert "released" in result.message
        assert stage.cloud.steps == [4, None]


async def test_an_idle_keeper_looks_afresh(skipping: WorkflowEnvironment, fresh: str) -> None:
    """What others set while nothing was requested is the next boost's baseline."""
    async with staged(skipping, fresh) as stage:
        await stage.boost(8, 20)
        await stage.release()
        await stage.in_force(None)
        await stage.says(lambda status: status.health == "ok")
        await stage.cloud.set(Capacity(3))
        await stage.boost(6, 2, window="second")
        await stage.end()
        assert stage.cloud.steps == [8, None, 3, 6, 3]


async def test_a_cancelled_boost_gives_its_lease_back(
    skipping: WorkflowEnvironment, fresh: str
) -> None:
    """Who cancels a boost that still waits doesn't want it: its lease ends at once."""
    async with staged(skipping, fresh, available=4.0) as stage:
        boost = await stage.start(stage.request(8, 20))
        await stage.in_force(4)
        await stage.says(lambda status: status.capacity == Capacity(4))
        before = await skipping.get_current_time()
        await boost.cancel()
        with pytest.raises(WorkflowFailureError):
            await boost.result()
        await stage.end()
        assert stage.cloud.steps == [4, None]
        assert stage.cloud.history[-1][0] - before < timedelta(hours=1)


@pytest.mark.parametrize("baseline", [None, Capacity(3)], ids=["found", "declared"])
async def test_the_next_firing_takes_over_from_a_terminated_keeper(
    skipping: WorkflowEnvironment, fresh: str, baseline: Capacity | None
) -> None:
    """A terminated keeper's leases and baseline live on in the next: nothing is forgotten."""
    async with staged(skipping, fresh, capacity=Capacity(3)) as stage:
        await stage.boost(8, 5, baseline=baseline)
        await stage.keeper.terminate("an operator's mistake")
        assert (await stage.boost(4, 1, window="second")).in_force
        assert {lease.window for lease in (await stage.status()).leases} == {"w8", "second"}
        assert (await stage.status()).baseline == Capacity(3)
        await stage.release()
        await stage.in_force(3)
        assert stage.cloud.steps == [8, 3]


async def test_a_terminated_keeper_is_repaired(skipping: WorkflowEnvironment, fresh: str) -> None:
    """A repair with nothing left to lease brings the found baseline back."""
    async with staged(skipping, fresh, capacity=Capacity(3)) as stage:
        await stage.boost(8, 1)
        run = (await stage.keeper.describe()).run_id
        await stage.keeper.terminate("an operator's mistake")
        await stage.client.start_workflow(
            KEEPER_WORKFLOW,
            KeeperStart(namespace=stage.namespace, broken_run=run),
            id=stage.keeper.id,
            task_queue=stage.queue,
        )
        await stage.release()
        await stage.in_force(3)
        assert stage.cloud.steps == [8, 3]


async def test_it_continues_as_new(
    skipping: WorkflowEnvironment, fresh: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that handled many leases hands everything over, and nothing is felt of it."""
    monkeypatch.setattr("workflows.keeper_state.UPDATES_PER_RUN", 3)
    async with staged(skipping, fresh) as stage:
        await stage.start(stage.request(4, 6))
        await stage.in_force(4)
        run = (await stage.keeper.describe()).run_id
        for tru in (6, 8, 10, 12):
            await stage.start(stage.request(tru, 1))
            await stage.in_force(tru)
        status = await stage.says(lambda status: status.capacity == Capacity(12))
        assert len(status.leases) == 5
        assert (await stage.keeper.describe()).run_id != run
        await stage.end()
        assert stage.cloud.steps[:5] == [4, 6, 8, 10, 12]
        assert stage.cloud.steps[-2:] == [4, None]


async def test_a_lease_wakes_a_keeper_that_continues(
    skipping: WorkflowEnvironment, fresh: str
) -> None:
    """A state handed over is looked at at once, whatever the last run was doing."""
    async with staged(skipping, fresh, capacity=Capacity(8)) as stage:
        state = KeeperState(
            namespace=stage.namespace,
            baseline=Capacity(2),
            in_force=Capacity(8),
            requested=(Capacity(8),),
        )
        await stage.client.start_workflow(
            KEEPER_WORKFLOW,
            KeeperInput(namespace=stage.namespace, state=state),
            id=stage.keeper.id,
            task_queue=stage.queue,
        )
        assert await stage.end() == "2 TRU in force, the baseline"


async def test_what_it_knows_survives_the_wire(skipping: WorkflowEnvironment, fresh: str) -> None:
    """The state that a query returns is the state, value for value."""
    async with staged(skipping, fresh, available=6.0) as stage:
        await stage.start(stage.request(8, 2, rails=replace(stage.request(1, 1).rails, max_tru=10)))
        await stage.says(lambda status: status.capacity == Capacity(6))
        known = await stage.answer(KeeperState, STATE_QUERY)
        assert known.options.available == 6
        assert known.rails is not None
        assert known.rails.max_tru == 10
        assert [lease.tru for lease in known.leases] == [8]


# What others do to the namespace ----------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "steps", "state"),
    [
        pytest.param(None, [8, 12], "left alone", id="found baseline: left alone"),
        pytest.param(Capacity(None), [8, 12, None], "the baseline", id="declared: enforced"),
    ],
)
async def test_more_than_due_set_by_others(
    skipping: WorkflowEnvironment,
    fresh: str,
    declared: Capacity | None,
    steps: list[float | None],
    state: str,
) -> None:
    """A higher capacity that somebody set stays, unless the calendar declares a baseline."""
    async with staged(skipping, fresh) as stage:
        await stage.boost(8, 2, baseline=declared)
        await stage.cloud.set(Capacity(12))
        await stage.sleep(0.6)
        assert (await stage.says(lambda status: status.health == "foreign")).capacity == Capacity(
            12
        )
        assert state in await stage.end()
        assert stage.cloud.steps == steps


@pytest.mark.parametrize(
    ("declared", "steps"), [(None, [12]), (Capacity(None), [12, None])], ids=["found", "declared"]
)
async def test_set_by_others_while_a_boost_changes_nothing(
    skipping: WorkflowEnvironment,
    fresh: str,
    declared: Capacity | None,
    steps: list[float | None],
) -> None:
    """A boost within what on-demand allows has no way down: the namespace is looked at still."""
    async with staged(skipping, fresh, on_demand_aps=1800) as stage:
        await stage.boost(3, 0.25, baseline=declared)
        await stage.cloud.set(Capacity(12))
        await stage.end()
        assert stage.cloud.steps == steps


async def test_less_than_due_set_by_others(skipping: WorkflowEnvironment, fresh: str) -> None:
    """A boost that somebody's apply resets is raised again at the next look, and reported."""
    async with staged(skipping, fresh) as stage:
        await stage.boost(8, 3)
        await stage.cloud.set(Capacity(2))
        await stage.sleep(0.6)
        await stage.in_force(8)
        status = await stage.says(lambda status: status.health == "ok")
        assert "2 TRU had been set externally" in status.details
        await stage.end()
        assert stage.cloud.steps == [8, 2, 8, None]


async def test_the_baseline_set_early_by_others(skipping: WorkflowEnvironment, fresh: str) -> None:
    """Whoever set the baseline back by hand finds nothing undone after the window's end."""
    async with staged(skipping, fresh) as stage:
        await stage.boost(8, 0.25)
        await stage.cloud.set(Capacity(None))
        await stage.end()
        assert stage.cloud.steps == [8, None]


async def test_a_lost_write_is_still_ours(skipping: WorkflowEnvironment, fresh: str) -> None:
    """What was requested without an answer is taken back, not mistaken for an external change."""
    async with staged(skipping, fresh) as stage:
        stage.cloud.loses_replies = 1
        await stage.start(stage.request(8, 1))
        await stage.in_force(8)
        await stage.release()
        await stage.end()
        assert stage.cloud.steps == [8, None]


async def test_a_keeper_without_a_lease_ends(skipping: WorkflowEnvironment, fresh: str) -> None:
    """A keeper that no lease is requested from touches nothing and ends."""
    async with staged(skipping, fresh) as stage:
        await stage.client.start_workflow(
            KEEPER_WORKFLOW,
            KeeperStart(namespace=stage.namespace),
            id=stage.keeper.id,
            task_queue=stage.queue,
        )
        assert await stage.end() == "no lease was requested, nothing was changed"
        assert stage.cloud.calls == []
        assert (await stage.keeper.describe()).status == WorkflowExecutionStatus.COMPLETED
