"""The keeper on a real server: its limits on updates, terminated runs, lost workers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from keeper_helpers import staged
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from planner.temporal.keepers import Keeper, fetch_keepers, repair
from workflows.contract import Capacity

pytestmark = pytest.mark.integration

SECONDS = 1 / 3600


async def test_many_claims_at_once(dev_server: WorkflowEnvironment, fresh: str) -> None:
    """Forty windows of one namespace opening together all get their lease and their answer."""
    async with staged(dev_server, fresh, within=40) as stage:
        requests = [stage.request(2 + number % 7, 1, window=f"w{number}") for number in range(40)]
        boosts = await asyncio.gather(*(stage.start(request) for request in requests))
        results = await asyncio.gather(*(boost.result() for boost in boosts))
        assert all(result.in_force for result in results)
        assert len((await stage.status()).leases) == 40
        assert len(await stage.release()) == 40
        await stage.in_force(None)
        assert stage.cloud.most_in_flight == 1
        assert stage.cloud.steps[-1] is None


async def test_a_terminated_keeper_is_found_and_repaired(
    dev_server: WorkflowEnvironment, fresh: str
) -> None:
    """A keeper terminated at its work is named as broken, and a repair goes back for it."""
    async with staged(dev_server, fresh, capacity=Capacity(3)) as stage:
        await stage.boost(8, 4 * SECONDS)
        await stage.keeper.terminate("an operator's mistake")
        (keeper,) = await listed(stage.client, stage.namespace, is_broken=True)
        assert keeper.status is not None
        assert keeper.status.capacity == Capacity(8)
        await repair(stage.client, keeper, task_queue=stage.queue)
        await stage.in_force(3)
        await stage.end()
        assert stage.cloud.steps == [8, 3]


async def listed(client: Client, namespace: str, *, is_broken: bool) -> list[Keeper]:
    """Wait for the list of keepers, which lags behind, to show *namespace* as it should be."""
    async with asyncio.timeout(10):
        while True:
            found = await fetch_keepers(client, datetime.now(UTC), namespace)
            if found and found[0].is_broken == is_broken:
                return found
            await asyncio.sleep(0.05)
