"""Each defect of the published pattern and its relatives, shown absent: a test for each.

The pattern raises a namespace, sleeps, and reverts; its defects are listed in the design's
facts. Played against the simulated Cloud over HTTP, with its two levels of done.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from keeper_helpers import staged
from story_stage import no_patience
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from planner.simulator import Simulator
from workflows.cloud import CloudClient, OneKey
from workflows.contract import (
    BOOST_WORKFLOW,
    BoostRequest,
    BoostResult,
    Capacity,
    keeper_id,
    occurrence_of,
)
from workflows.worker import build_worker

PROVISIONING = timedelta(seconds=30)


@dataclass
class Scene:
    """One namespace of the simulated Cloud, on a clock that skips."""

    environment: WorkflowEnvironment
    simulator: Simulator
    namespace: str
    queue: str

    @property
    def keeper(self) -> WorkflowHandle[Any, Any]:
        """The namespace's keeper."""
        return self.environment.client.get_workflow_handle(keeper_id(self.namespace))

    async def start(
        self, tru: int, hours: float, window: str = ""
    ) -> WorkflowHandle[Any, BoostResult]:
        """Start a boost of *tru* for *hours*."""
        window = window or f"w{tru}"
        return await self.environment.client.start_workflow(
            BOOST_WORKFLOW,
            BoostRequest(
                namespace=self.namespace,
                window=window,
                tru=tru,
                ttl_seconds=round(hours * 3600),
            ),
            id=f"boost/{self.namespace}/{window}",
            task_queue=self.queue,
            result_type=BoostResult,
        )

    async def end(self) -> None:
        """Skip to the end of the keeper."""
        async with self.environment.time_skipping_unlocked():  # type: ignore[attr-defined]
            await self.keeper.result()

    async def steps(self) -> list[float | None]:
        """Return the TRU of each state of the capacity, the first one's too."""
        return [entry.tru for entry in await self.history()]

    async def history(self) -> list[Any]:
        """Return what was in force when."""
        await self.simulator.look()
        return self.simulator.history(self.namespace)


@asynccontextmanager
async def scene(
    environment: WorkflowEnvironment, name: str, *, tru: float | None = None
) -> AsyncIterator[Scene]:
    """Set a scene with a namespace at *tru*."""
    simulator = Simulator(
        provisioning=PROVISIONING.total_seconds(),
        check=5,
        now=environment.get_current_time,
        key_rate=None,
        account_rate=None,
    )
    async with (
        simulator,
        asyncio.timeout(30),
        CloudClient(simulator.url, OneKey("key"), sleep=no_patience) as cloud,
    ):
        namespace = f"{name}.acct"
        await simulator.create(namespace, tru=tru)
        async with build_worker(environment.client, cloud, task_queue=name, grace=timedelta()):
            yield Scene(environment, simulator, namespace, name)


async def test_it_reverts_to_the_original_not_to_on_demand(
    skipping: WorkflowEnvironment, fresh: str
) -> None:
    """What was provisioned before is provisioned after."""
    async with scene(skipping, fresh, tru=3) as stage:
        await (await stage.start(8, 1)).result()
        await stage.end()
        assert await stage.steps() == [3, 8, 3]


async def test_it_waits_for_the_operation_and_the_capacity(
    skipping: WorkflowEnvironment, fresh: str
) -> None:
    """A boost says that its capacity is in force when it is, not when it was accepted."""
    async with scene(skipping, fresh) as stage:
        asked = await skipping.get_current_time()
        result = await (await stage.start(8, 1)).result()
        assert result.in_force
        raised = (await stage.history())[-1]
        assert raised.tru == 8
        assert raised.at - asked >= PROVISIONING
        assert await skipping.get_current_time() >= raised.at


@pytest.mark.parametrize("on", ["get", "update", "operation", "capacity-info"])
async def test_a_lost_reply_is_not_fatal(
    skipping: WorkflowEnvironment, fresh: str, on: str
) -> None:
    """A reply that never comes is requested again, and the revert comes all the same."""
    async with scene(skipping, fresh) as stage:
        stage.simulator.fault(on, "drop-reply", times=2)
        boost = await stage.start(8, 1)
        assert (await boost.result()).in_force
        stage.simulator.fault(on, "drop-reply", times=2)
        await stage.end()
        assert await stage.steps() == [None, 8, None]


async def test_the_revert_is_secured_before_the_raise(
    skipping: WorkflowEnvironment, fresh: str
) -> None:
    """The lease with its end, and the baseline, are in the history before the first change."""
    async with staged(skipping, fresh) as stage:
        await stage.boost(8, 1)
        history = await stage.keeper.fetch_history()
        kinds = [event.event_type for event in history.events]
        driven = next(
            index
            for index, event in enumerate(history.events)
            if event.activity_task_scheduled_event_attributes.activity_type.name
            == "capacity.reconcile.v1"
        )
        leased = kinds.index(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED)
        found = kinds.index(EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED)
        assert leased < found < driven


async def test_an_overlapping_window_is_not_cut_short(
    skipping: WorkflowEnvironment, fresh: str
) -> None:
    """The first window's end takes nothing from the second, nor the other way round."""
    async with scene(skipping, fresh) as stage:
        await (await stage.start(4, 3)).result()
        await (await stage.start(8, 1)).result()
        await stage.end()
        assert await stage.steps() == [None, 4, 8, 4, None]


async def test_a_cancel_does_not_leak_capacity(skipping: WorkflowEnvironment, fresh: str) -> None:
    """A cancelled boost and a cancelled keeper both end at the baseline."""
    async with scene(skipping, fresh) as stage:
        boost = await stage.start(8, 5)
        await boost.result()
        await stage.keeper.cancel()
        with pytest.raises(WorkflowFailureError):
            await stage.end()
        assert await stage.steps() == [None, 8, None]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 429, 500, 503])
async def test_the_revert_does_not_give_up(
    skipping: WorkflowEnvironment, fresh: str, status: int
) -> None:
    """Whatever the Cloud answers, the way down is tried until it is done."""
    async with scene(skipping, fresh) as stage:
        await (await stage.start(8, 1)).result()
        stage.simulator.fault("update", "error", status=status, times=8)
        await stage.end()
        assert await stage.steps() == [None, 8, None]


async def test_actions_per_second_are_rounded_up_to_an_allowed_value(
    skipping: WorkflowEnvironment, fresh: str
) -> None:
    """A demand between two values gets the higher one: 5 TRU requested are 6."""
    async with scene(skipping, fresh) as stage:
        await (await stage.start(5, 1)).result()
        await stage.end()
        assert await stage.steps() == [None, 6, None]


async def test_a_check_that_comes_too_early_does_not_prevent_the_revert(
    skipping: WorkflowEnvironment, fresh: str
) -> None:
    """Provisioning that takes forty times as long as ever delays, and no more."""
    async with scene(skipping, fresh) as stage:
        stage.simulator.fault("update", "stuck", times=1, seconds=1200)
        assert (await (await stage.start(8, 3)).result()).in_force
        await stage.end()
        assert await stage.steps() == [None, 8, None]


def test_an_end_is_each_firing_s_own() -> None:
    """A recurring schedule's requests hold no absolute end: each firing has its own."""
    request = BoostRequest(namespace="n.a", window="w", tru=8, ttl_seconds=3600)
    first = datetime.fromisoformat("2027-01-01T05:00:00+00:00")
    for day in range(400):
        start, end = occurrence_of(request, first + timedelta(days=day))
        assert end - start == timedelta(hours=1)
        assert start == first + timedelta(days=day)


async def test_others_do_not_scale_a_boost_down_for_good(
    skipping: WorkflowEnvironment, fresh: str
) -> None:
    """What an autoscaler or an apply takes away is there again after the next look."""
    async with scene(skipping, fresh) as stage:
        await (await stage.start(8, 3)).result()
        await stage.simulator.foreign_change(stage.namespace, Capacity(2).tru)
        await stage.end()
        assert await stage.steps() == [None, 8, 2, 8, None]
