"""A reply that asks for hours of patience, on a real server and a simulated Cloud."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from keeper_helpers import ScriptedCloud, Stage, simulated, staged
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from planner.simulator import Simulator
from planner.simulator.api import Principal
from workflows.activities.capacity import RefusedKeys, signal_keepers
from workflows.cloud import CloudClient, KeyFile, Throttled
from workflows.contract import Capacity
from workflows.worker import build_worker

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


async def test_a_new_worker_tries_a_refused_key_at_once(
    own_server: WorkflowEnvironment, fresh: str, tmp_path: Path
) -> None:
    """The key was mended while no worker ran: nothing waits for the slow retries."""
    key, name = tmp_path / "key", f"{fresh}.acct"
    key.write_text("an-old-key", encoding="utf-8")
    client, keys = own_server.client, KeyFile(key)
    async with (
        Simulator(provisioning=0.2, check=0.1, keys={"a-new-key": Principal("ours")}) as simulator,
        CloudClient(simulator.url, keys, poll=0.1) as cloud,
    ):
        await simulator.create(name)
        stage = Stage(own_server, ScriptedCloud(clock=own_server.get_current_time), name, fresh)
        start = partial(build_worker, client, cloud, task_queue=fresh, grace=timedelta())
        async with start(workflows_in_memory=0):
            await stage.start(stage.request(8, 1))
            await twice_refused(stage)
        key.write_text("a-new-key", encoding="utf-8")
        begun = time.monotonic()
        async with start(workflows_in_memory=0):
            signalling = asyncio.create_task(signal_keepers(client, RefusedKeys(keys)))
            await stage.says(lambda status: status.capacity == Capacity(8))
            assert time.monotonic() - begun < PROMPTLY
            signalling.cancel()


async def twice_refused(stage: Stage) -> None:
    """Wait until the keeper's second attempt was refused, so that it waits for half a minute."""
    async with asyncio.timeout(30):
        while True:
            with suppress(RPCError):  # no keeper yet
                history = await stage.keeper.fetch_history()
                kinds = [event.activity_task_failed_event_attributes for event in history.events]
                if sum(bool(failed.scheduled_event_id) for failed in kinds) >= 2:
                    break
            await asyncio.sleep(0.1)
    await stage.says(lambda status: "waiting until" in status.details)
