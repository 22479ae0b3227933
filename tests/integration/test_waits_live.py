"""A reply that asks for hours of patience, on a real server and a simulated Cloud."""

from __future__ import annotations

import time

import pytest
from keeper_helpers import Stage, simulated, staged
from temporalio.testing import WorkflowEnvironment

from planner.simulator import Simulator
from workflows.cloud import Throttled
from workflows.contract import Capacity

pytestmark = pytest.mark.integration

SECONDS = 1 / 3600
AN_HOUR = 3600.0
PROMPTLY = 12.0
"""Real seconds, on a machine that is busy: far less than any wait of a keeper's own here."""


async def refuse_the_way_down(stage: Stage, simulator: Simulator) -> None:
    """Boost to 8 TRU, and have the first attempt to lower answered with an hour's wait."""
    await stage.boost(8, 1)
    simulator.fault(
        "update", "error", status=503, seconds=AN_HOUR, namespace=stage.namespace, times=1
    )
    await stage.release()
    await stage.says(lambda status: "503" in status.details and "waiting until" in status.details)


async def test_a_new_lease_looks_at_once(dev_server: WorkflowEnvironment, fresh: str) -> None:
    """The next window is covered although the server asked to be left alone for an hour."""
    async with simulated(dev_server, fresh) as (stage, simulator):
        await refuse_the_way_down(stage, simulator)
        begun = time.monotonic()
        assert (await stage.boost(12, 1, window="next")).capacity == Capacity(12)
        assert time.monotonic() - begun < PROMPTLY


async def test_a_release_looks_at_once(dev_server: WorkflowEnvironment, fresh: str) -> None:
    """What is released goes down at once although a raise was told to wait for an hour."""
    async with simulated(dev_server, fresh) as (stage, simulator):
        await stage.boost(4, 1)
        simulator.fault(
            "update", "error", status=503, seconds=AN_HOUR, namespace=stage.namespace, times=1
        )
        await stage.start(stage.request(8, 1))
        await stage.says(lambda status: "503" in status.details)
        begun = time.monotonic()
        await stage.release()
        await stage.says(lambda status: status.capacity == Capacity(None))
        assert time.monotonic() - begun < PROMPTLY


async def test_an_end_looks_at_once(dev_server: WorkflowEnvironment, fresh: str) -> None:
    """A window that ends in the wait of another's raise is taken back at its end."""
    async with simulated(dev_server, fresh) as (stage, simulator):
        await stage.boost(4, 1)
        assert (await stage.boost(8, 6 * SECONDS)).in_force
        simulator.fault(
            "update", "error", status=503, seconds=AN_HOUR, namespace=stage.namespace, times=1
        )
        await stage.start(stage.request(12, 1))
        await stage.says(lambda status: "503" in status.details)
        begun = time.monotonic()
        await stage.says(lambda status: status.capacity == Capacity(12))
        assert time.monotonic() - begun < PROMPTLY


async def test_nothing_wakes_the_wait_of_a_rate_limit(
    dev_server: WorkflowEnvironment, fresh: str
) -> None:
    """Who is told to ask less often does, whatever comes, and says until when."""
    async with staged(dev_server, fresh) as stage:
        await stage.boost(4, 1)
        stage.cloud.faults = [Throttled("slow down", retry_after=5.0)]
        await stage.start(stage.request(8, 1))
        await stage.says(lambda status: "slow down" in status.details)
        begun = time.monotonic()
        await stage.start(stage.request(12, 1))
        status = await stage.says(lambda status: len(status.leases) == 3)
        assert "waiting until" in status.details
        await stage.in_force(12)
        assert time.monotonic() - begun > 3
        assert stage.cloud.steps == [4, 12]
