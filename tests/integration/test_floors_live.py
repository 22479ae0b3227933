"""TRU and a fleet's floor, kept by one keeper under faults: a real server."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from keeper_helpers import Stage, staged
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from workflows.activities.floors import MARK
from workflows.activities.watchdog import WatchdogActivities
from workflows.activity_types import KeeperInput
from workflows.cloud import TemporaryError
from workflows.contract import (
    KEEPER_WORKFLOW,
    BoostRequest,
    BoostResult,
    CalendarView,
    Capacity,
    Declared,
    Fleet,
    KubernetesTarget,
)
from workflows.contract.from_code import BoostFromCode, BoostRefused

pytestmark = pytest.mark.integration

SECONDS = 1 / 3600
TARGET = KubernetesTarget(kind="HorizontalPodAutoscaler", namespace="payments", name="workers")
FLEET = Fleet(name="payments", min=2, max=30, kubernetes=TARGET)


async def begin(
    stage: Stage, seconds: float, *, tru: int = 8, replicas: int = 20, window: str = "close"
) -> WorkflowHandle[Any, BoostResult]:
    """Start a boost of TRU and workers."""
    workers: dict[str, Any] = {"workers": {"payments": replicas}, "fleets": (FLEET,)}
    request = stage.request(4, seconds * SECONDS, window=window, **workers)
    return await stage.start(replace(request, tru=tru))


async def ends_as_before(stage: Stage) -> None:
    """Wait for the keeper's end: both are as they were, and nothing of the planner is left."""
    await stage.end()
    assert (stage.cloud.capacity, stage.cluster.floor) == (Capacity(), 2)
    assert stage.cluster.annotations == {}


async def test_a_cluster_that_is_away_does_not_delay_the_tru(
    dev_server: WorkflowEnvironment, fresh: str
) -> None:
    """The TRU are up at once; the floor follows, and the page says what it waits for."""
    async with staged(dev_server, fresh, within=120) as stage:
        stage.cluster.away = True
        await begin(stage, 9)
        await stage.in_force(8)
        said = await stage.says(lambda status: "the cluster is away" in status.details)
        assert said.health == "uncovered"
        stage.cluster.away = False
        await stage.until(lambda: stage.cluster.floor == 20)
        await stage.says(lambda status: status.health == "ok")
        await ends_as_before(stage)


async def test_a_cloud_that_is_away_does_not_delay_the_floor(
    dev_server: WorkflowEnvironment, fresh: str
) -> None:
    """The floor goes up and comes back while the Cloud API refuses everything."""
    async with staged(dev_server, fresh, within=120) as stage:
        stage.cloud.faults = [TemporaryError("away")] * 1_000
        await begin(stage, 4)
        await stage.until(lambda: stage.cluster.steps == [20, 2])
        assert stage.cloud.steps == []
        stage.cloud.faults = []
        await ends_as_before(stage)


async def test_workers_alone_touch_no_tru(dev_server: WorkflowEnvironment, fresh: str) -> None:
    """A window of workers only: the Cloud API isn't called, and two windows' highest counts."""
    async with staged(dev_server, fresh, within=120) as stage:
        first = await begin(stage, 5, tru=0)
        assert (await first.result()).in_force
        await begin(stage, 3, tru=0, replicas=8, window="other")
        await stage.says(lambda status: len(status.leases) == 2)
        await ends_as_before(stage)
        assert (stage.cluster.steps, stage.cloud.calls) == ([20, 2], [])


async def test_what_others_set_above_stays(dev_server: WorkflowEnvironment, fresh: str) -> None:
    """A conflict is decided anew; another's higher floor is left alone, during and afterwards."""
    async with staged(dev_server, fresh, within=120) as stage:
        stage.cluster.conflicts = 2
        boost = await begin(stage, 4)
        assert (await boost.result()).in_force
        assert stage.cluster.annotations == {MARK: "20 before 2"}
        await stage.cluster.set(25)
        await stage.end()
        assert (stage.cluster.steps, stage.cluster.annotations) == ([20, 25], {})


@pytest.mark.parametrize("how", ["terminated", "deleted"])
async def test_a_keeper_that_was_lost_takes_no_floor_along(
    dev_server: WorkflowEnvironment, fresh: str, how: str
) -> None:
    """Its successor knows the baseline from its history; without one, from the object's mark."""
    async with staged(dev_server, fresh, within=120) as stage:
        await (await begin(stage, 8)).result()
        run = (await stage.keeper.describe()).run_id
        await stage.keeper.terminate()
        if how == "deleted":
            await _delete(stage)
            await (await begin(stage, 4, tru=4, window="next")).result()
        else:
            await stage.start_keeper(broken_run=run)
            status = await stage.says(lambda one: bool(one.leases) and one.health == "ok")
            assert "before: 2" in status.details
        await ends_as_before(stage)


@dataclass
class Declaring:
    """The calendars of one namespace, which declare its fleet; no window is under way."""

    namespace: str

    async def look(self, now: datetime) -> CalendarView:
        """Return what they declare."""
        return CalendarView(namespaces=(Declared(namespace=self.namespace, fleets=(FLEET,)),))

    async def admit(self, boost: BoostFromCode, now: datetime) -> BoostRequest:
        """Refuse each *boost*: no schedule is there."""
        raise BoostRefused(boost.namespace)


async def test_a_floor_without_a_keeper_is_given_back(
    dev_server: WorkflowEnvironment, fresh: str
) -> None:
    """A keeper was deleted, history and all, and no window comes that would start it again.

    A round of the watchdog does, once in half an hour, whose look at a cluster that is away does
    no harm; but not while the keeper is at work.
    """

    async def no_keepers(_: Client) -> set[str]:
        return set()

    async with staged(dev_server, fresh, within=120) as stage:
        watchdog = WatchdogActivities(
            *(stage.client, stage.cloud, Declaring(stage.namespace)),
            task_queue=stage.queue,
            list_keepers=no_keepers,
            cluster=stage.cluster,
        )
        stage.cluster.spec["minReplicas"] = 20
        stage.cluster.annotations[MARK] = "20 before 2"
        stage.cluster.away = True
        now = datetime.now(UTC)
        assert (await watchdog.round(now)).healed == ()
        stage.cluster.away = False
        assert (await watchdog.round(now + timedelta(minutes=29))).healed == ()
        (healed,) = (await watchdog.round(now + timedelta(minutes=30))).healed
        said = "the floor of payments, 20, was left by a boost; back to 2"
        assert (healed.what, healed.details) == ("capacity", said)
        await ends_as_before(stage)
        assert (stage.cluster.steps, stage.cloud.steps) == ([2], [])
        await (await begin(stage, 4, tru=0)).result()
        assert (await watchdog.round(now + timedelta(hours=1))).healed == ()
        await ends_as_before(stage)
        assert (await watchdog.round(now + timedelta(hours=2))).healed == ()


async def _delete(stage: Stage) -> None:
    """Delete the keeper and its history, as a person may, and wait until it is gone."""
    from temporalio.api.common.v1 import WorkflowExecution
    from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest

    execution = WorkflowExecution(workflow_id=stage.keeper.id)
    await stage.client.workflow_service.delete_workflow_execution(
        DeleteWorkflowExecutionRequest(
            namespace=stage.client.namespace, workflow_execution=execution
        )
    )
    with suppress(RPCError):
        while await stage.keeper.describe():  # noqa: ASYNC110 - the server says no more
            await asyncio.sleep(0.1)


async def test_a_run_that_hands_over_takes_the_floor_along(
    dev_server: WorkflowEnvironment, fresh: str
) -> None:
    """The next run gives back what the one before had found."""
    async with staged(dev_server, fresh, within=120) as stage:
        start = KeeperInput(namespace=stage.namespace, updates_per_run=1)
        await stage.client.start_workflow(
            KEEPER_WORKFLOW, start, id=stage.keeper.id, task_queue=stage.queue
        )
        first = (await stage.keeper.describe()).run_id
        await (await begin(stage, 5)).result()
        await begin(stage, 4, replicas=22, window="other")
        await stage.until(lambda: stage.cluster.floor == 22)
        await ends_as_before(stage)
        assert (await stage.keeper.describe()).run_id != first
