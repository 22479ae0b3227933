"""Hundreds of leases on one keeper, whose workers are lost: the replay stays within bounds.

2,000 leases, with workers that are killed: ``make bench-leases``.
"""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any

import pytest
from keeper_helpers import ScriptedCloud, Stage, staged
from temporalio.client import WithStartWorkflowOperation, WorkflowUpdateFailedError
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.testing import WorkflowEnvironment

from workflows import keeper_state
from workflows.activities import keeper as keeper_activities
from workflows.activity_types import KeeperInput
from workflows.contract import (
    KEEPER_WORKFLOW,
    LEASE_UPDATE,
    Capacity,
    LeaseAnswer,
    LeaseRequest,
    lease_of,
)
from workflows.keeper_state import KeeperState
from workflows.worker import build_worker

pytestmark = pytest.mark.integration

MANY = 450
AT_ONCE = 8
EVENTS_AN_UPDATE = 5
"""Task scheduled, started and completed, update accepted and completed, at most."""


async def request(stage: Stage, number: int, tru: int = 4) -> LeaseAnswer:
    """Ask the keeper for a lease, as a boost's activity does."""
    now = await stage.environment.get_current_time()
    lease = lease_of(stage.request(tru, 1, window=f"w{number}"), now)
    start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
        KEEPER_WORKFLOW,
        KeeperInput(namespace=stage.namespace, updates_per_run=keeper_state.UPDATES_PER_RUN),
        id=stage.keeper.id,
        task_queue=stage.queue,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )
    answer: LeaseAnswer = await stage.client.execute_update_with_start_workflow(
        LEASE_UPDATE,
        LeaseRequest(namespace=stage.namespace, lease=lease),
        start_workflow_operation=start,
        result_type=LeaseAnswer,
    )
    return answer


async def fill(stage: Stage, count: int) -> None:
    """Ask for many leases, some at once."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with slots:
            assert (await request(stage, number)).granted

    await asyncio.gather(*map(one, range(count)))


async def test_a_run_is_bounded_by_what_its_replay_costs(
    dev_server: WorkflowEnvironment, fresh: str
) -> None:
    """However many leases come, the run that another worker would have to replay stays short."""
    async with staged(dev_server, fresh, within=120) as stage:
        await fill(stage, MANY)
        described = await stage.keeper.describe()
        most = keeper_state.UPDATES_PER_RUN * EVENTS_AN_UPDATE * 1.2
        assert described.history_length < most
        assert len((await stage.status()).leases) == MANY
    async with worker_without_memory(stage):
        begun = time.monotonic()
        assert (await request(stage, MANY, tru=8)).granted
        assert time.monotonic() - begun < 60
        await stage.in_force(8)
        assert len(await stage.release()) == MANY + 1
        await stage.in_force(None)


async def test_thousands_of_leases_are_handed_over(
    dev_server: WorkflowEnvironment, fresh: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that begins with 2,000 leases is up at once, and so are those that follow it."""
    monkeypatch.setattr(keeper_state, "UPDATES_PER_RUN", 2)
    async with staged(dev_server, fresh, capacity=Capacity(4), within=60) as stage:
        now = await dev_server.get_current_time()
        held = [lease_of(stage.request(4, 1, window=f"h{number}"), now) for number in range(2_000)]
        known = KeeperState(
            namespace=stage.namespace,
            leases=tuple(sorted(held, key=lambda lease: lease.key)),
            baseline=Capacity(None),
            in_force=Capacity(4),
            requested=(Capacity(4),),
        )
        await stage.client.start_workflow(
            KEEPER_WORKFLOW,
            KeeperInput(
                namespace=stage.namespace,
                state=known.to_hand_over,
                updates_per_run=keeper_state.UPDATES_PER_RUN,
            ),
            id=stage.keeper.id,
            task_queue=stage.queue,
        )
        first = (await stage.keeper.describe()).run_id
        for number in range(5):
            assert (await request(stage, number)).in_force
        assert (await stage.keeper.describe()).run_id != first
        assert len((await stage.status()).leases) == 2_005


async def test_a_full_run_lets_requests_come_again(
    dev_server: WorkflowEnvironment, fresh: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a change can't be handed over, what is too much is refused, and granted after it."""
    monkeypatch.setattr(keeper_state, "UPDATES_PER_RUN", 2)
    monkeypatch.setattr("workflows.activities.keeper.RETRY_INTERVAL", 0.2)
    refused = []
    is_to_be_repeated = keeper_activities._is_to_be_repeated

    def watched(error: WorkflowUpdateFailedError) -> bool:
        refused.append(error)
        return is_to_be_repeated(error)

    monkeypatch.setattr(keeper_activities, "_is_to_be_repeated", watched)
    async with staged(dev_server, fresh, patience=100, within=120) as stage:
        stage.cloud.hold = asyncio.Event()
        boosts = [await stage.start(stage.request(4, 1))]
        await stage.until(lambda: stage.cloud.in_flight == 1)
        boosts += [await stage.start(stage.request(8, 1, window=f"w{n}")) for n in range(12)]
        await stage.until(lambda: len(refused) > len(boosts))
        assert 1 < len((await stage.status()).leases) <= 2 * keeper_state.FULL_FACTOR
        stage.cloud.hold.set()
        results = await asyncio.gather(*(boost.result() for boost in boosts))
        assert all(result.in_force for result in results)
        assert len((await stage.status()).leases) == 13


def worker_without_memory(stage: Stage) -> Any:
    """Return a worker that replays the keeper at each of its tasks."""
    cloud: ScriptedCloud = stage.cloud
    return build_worker(
        stage.client,
        cloud,
        task_queue=stage.queue,
        patience=5,
        grace=timedelta(),
        workflows_in_memory=0,
    )
