"""What a broken run of a keeper knew, where it can't answer for itself: its history tells."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from keeper_helpers import Stage, staged
from temporalio.api.history.v1 import ActivityTaskScheduledEventAttributes
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment

from workflows import activity_types
from workflows.activities.keeper import KeeperStates, recoverable_state, state_on_record
from workflows.contract import KEEPER_WORKFLOW, Capacity, KeeperStart
from workflows.keeper_state import KeeperState

BEFORE = Capacity(3)
QUERY_TIMEOUT = "workflows.activities.keeper.QUERY_TIMEOUT"
RECOVERABLE_STATE = "workflows.activities.keeper.recoverable_state"
FAILURES = 12
"""Attempts that take more than two minutes together."""


@pytest.fixture
def mute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no broken run answer: there is no time to replay it."""
    monkeypatch.setattr(QUERY_TIMEOUT, timedelta(microseconds=1))


async def baseline_on_record(stage: Stage) -> Capacity | None:
    """Return the baseline that the keeper's history tells; None if it tells none."""
    state = await state_on_record(stage.client, stage.keeper, stage.namespace)
    return None if state.doubt else state.baseline


async def broken_off(stage: Stage) -> None:
    """Terminate the keeper at its work."""
    await stage.keeper.terminate("an operator's mistake")


@pytest.mark.usefixtures("mute")
@pytest.mark.parametrize("declared", [None, Capacity(2)], ids=["found", "declared"])
async def test_the_baseline_is_read_off_the_history(
    skipping: WorkflowEnvironment, fresh: str, declared: Capacity | None
) -> None:
    """What was in force before the first raise comes back, though nobody tells of it."""
    async with staged(skipping, fresh, capacity=BEFORE) as stage:
        await stage.boost(8, 5, baseline=declared)
        await broken_off(stage)
        assert (await stage.boost(4, 1, window="by hand")).in_force
        assert (await stage.status()).baseline == (declared or BEFORE)
        await stage.release()
        await stage.in_force((declared or BEFORE).tru)


async def test_a_run_that_took_over_has_it_on_record_too(
    skipping: WorkflowEnvironment, fresh: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second of two broken runs never looked for the baseline, but was told it."""
    async with staged(skipping, fresh, capacity=BEFORE) as stage:
        await stage.boost(8, 5)
        await broken_off(stage)
        await stage.boost(4, 5)
        await broken_off(stage)
        monkeypatch.setattr("workflows.activities.keeper.QUERY_TIMEOUT", timedelta(microseconds=1))
        await stage.boost(6, 1)
        assert (await stage.status()).baseline == BEFORE
        await stage.release()
        await stage.in_force(BEFORE.tru)


@pytest.mark.usefixtures("mute")
@pytest.mark.parametrize("count", [1, 2])
async def test_a_successor_that_broke_off_before_it_recovered(
    skipping: WorkflowEnvironment, fresh: str, count: int
) -> None:
    """What the run before it knew isn't lost: its lease is held on, its baseline comes back."""
    async with staged(skipping, fresh, capacity=BEFORE) as stage:
        await stage.boost(8, 5)
        for _ in range(count):
            run = (await stage.keeper.describe()).run_id
            await broken_off(stage)
            await stage.client.start_workflow(
                KEEPER_WORKFLOW,
                KeeperStart(namespace=stage.namespace, broken_run=run),
                id=stage.keeper.id,
                task_queue="nobody-polls-it",
            )
        await broken_off(stage)
        await stage.boost(4, 1)
        status = await stage.status()
        assert [lease.window for lease in status.leases] == ["w4", "w8"]
        assert (status.capacity, status.baseline) == (Capacity(8), BEFORE)
        assert stage.cloud.steps == [8]
        await stage.release()
        await stage.in_force(BEFORE.tru)


async def test_it_is_on_record_before_the_first_write(
    skipping: WorkflowEnvironment, fresh: str
) -> None:
    """A keeper that is ended at its very first write has told the baseline already."""
    async with staged(skipping, fresh, capacity=BEFORE) as stage:
        told: list[Capacity | None] = []
        write = stage.cloud.set

        async def watched(capacity: Capacity, request: str) -> None:
            told.append(await baseline_on_record(stage))
            await write(capacity, request)

        stage.cloud.set = watched  # type: ignore[method-assign]
        await stage.boost(8, 1)
        assert told == [BEFORE]


async def test_a_run_that_continued_has_it_on_record(
    skipping: WorkflowEnvironment, fresh: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was handed a state tells the baseline that is in it."""
    monkeypatch.setattr("workflows.keeper_state.UPDATES_PER_RUN", 1)
    async with staged(skipping, fresh, capacity=BEFORE) as stage:
        await stage.boost(8, 5)
        await stage.says(lambda status: bool(status.leases))
        assert await baseline_on_record(stage) == BEFORE


def as_remembered(state: KeeperState) -> KeeperState:
    """Return *state* without what only times an observation, or words it."""
    return replace(
        state,
        observed_at=None,
        target_since=None,
        last_target=None,
        note="",
        fault="",
        retry_at=None,
    )


@pytest.mark.parametrize("declared", [None, Capacity(2)], ids=["found", "declared"])
async def test_a_history_tells_all_that_the_run_would(
    skipping: WorkflowEnvironment, fresh: str, declared: Capacity | None
) -> None:
    """Leases, releases, requests and observations: rebuilt, the state is the keeper's own."""
    async with staged(skipping, fresh, capacity=BEFORE) as stage:
        states = KeeperStates(stage.client)

        async def read_on() -> KeeperState:
            described = await stage.keeper.describe()
            run = described.run_id, described.history_length
            return await states.on_record(stage.namespace, *run)

        await stage.boost(4, 9, baseline=declared)
        await read_on()
        await stage.boost(8, 5, baseline=declared)
        await read_on()
        await broken_off(stage)
        await stage.boost(6, 3, baseline=declared, combine="add")
        await read_on()
        await stage.release(window="w8")
        await stage.in_force(10)
        await read_on()
        await stage.says(lambda status: status.health == "ok")
        own = await stage.answer(KeeperState, activity_types.STATE_QUERY)
        told = await state_on_record(stage.client, stage.keeper, stage.namespace)
        assert {lease.window for lease in told.leases} == {"w4", "w6"}
        assert [lease.window for lease in told.released] == ["w8"]
        assert as_remembered(own) == as_remembered(told)
        assert await read_on() == told


@pytest.mark.usefixtures("mute")
async def test_leases_outlive_a_run_that_does_not_answer(
    skipping: WorkflowEnvironment, fresh: str
) -> None:
    """A running window keeps its capacity, and what was released stays so."""
    async with staged(skipping, fresh, capacity=BEFORE) as stage:
        await stage.boost(8, 0.4)
        await stage.boost(12, 0.4)
        await stage.release(window="w12")
        await stage.in_force(8)
        await stage.says(lambda status: status.health == "ok")  # at rest: else the clock stands
        run = (await stage.keeper.describe()).run_id
        await broken_off(stage)
        await stage.start_keeper(broken_run=run)
        status = await stage.says(lambda status: bool(status.leases))
        assert [lease.window for lease in status.leases] == ["w8"]
        await stage.end()
        assert stage.cloud.steps[-2:] == [8, 3]


async def scheduled_recovery(stage: Stage) -> ActivityTaskScheduledEventAttributes:
    """Return how the keeper has scheduled its recovery, once it has."""
    while True:
        for event in (await stage.keeper.fetch_history()).events:
            scheduled = event.activity_task_scheduled_event_attributes
            if scheduled.activity_type.name == activity_types.RECOVER_STATE:
                return scheduled
        await asyncio.sleep(0.01)


async def holds_both(stage: Stage) -> None:
    """Assert that two leases are held of which neither ever had less than 8 TRU, and end them."""
    assert [lease.window for lease in (await stage.status()).leases] == ["w4", "w8"]
    assert stage.cloud.steps == [8]
    await stage.release()
    await stage.in_force(None)


async def test_a_recovery_that_fails_is_tried_until_it_is_done(
    skipping: WorkflowEnvironment, fresh: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that can't read a history for minutes costs no window its capacity."""
    attempts: list[int] = []

    async def failing(*given: Any) -> KeeperState:
        attempts.append(len(attempts))
        if len(attempts) <= FAILURES:
            raise RPCError("the history can't be read now", RPCStatusCode.UNAVAILABLE, b"")
        return await recoverable_state(*given)

    async with staged(skipping, fresh) as stage:
        await stage.boost(8, 5)
        run = (await stage.keeper.describe()).run_id
        await broken_off(stage)
        monkeypatch.setattr(RECOVERABLE_STATE, failing)
        await stage.start_keeper(broken_run=run)
        scheduled = await scheduled_recovery(stage)
        assert scheduled.heartbeat_timeout.ToTimedelta() == activity_types.HEARTBEAT_TIMEOUT
        while len(attempts) <= FAILURES:
            await stage.sleep(30 / 3600)
        assert (await stage.boost(4, 4)).in_force
        await holds_both(stage)


async def test_a_run_that_can_not_be_recovered_keeps_no_window_waiting_for_ever(
    skipping: WorkflowEnvironment, fresh: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no attempt can read it, it is lost: what is requested after it is granted."""

    async def failing(*_: Any) -> KeeperState:
        attempts.append(len(attempts))
        raise ValueError("what is in this history can't be read")

    attempts: list[int] = []
    async with staged(skipping, fresh, capacity=BEFORE) as stage:
        await stage.boost(8, 5)
        run = (await stage.keeper.describe()).run_id
        await broken_off(stage)
        monkeypatch.setattr(RECOVERABLE_STATE, failing)
        await stage.start_keeper(broken_run=run)
        while len(attempts) < activity_types.RECOVERY_ATTEMPTS:
            await stage.sleep(30 / 3600)
        assert (await stage.boost(12, 4)).in_force
        assert [lease.window for lease in (await stage.status()).leases] == ["w12"]
        assert (await stage.status()).baseline == BEFORE
        await stage.release()
        await stage.in_force(BEFORE.tru)
