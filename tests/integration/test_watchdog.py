"""The watchdog heals on a real server, without a person: keepers, boosts, capacity."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from keeper_helpers import ScriptedCloud, Stage
from temporalio import workflow
from temporalio.client import WorkflowExecutionStatus
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from workflows import activity_types
from workflows.activities.watchdog import WatchdogActivities
from workflows.contract import (
    CalendarView,
    Capacity,
    Healed,
    WatchdogReport,
)
from workflows.keeper import CapacityKeeper
from workflows.worker import build_worker

WITHIN = 45.0


@dataclass
class Scene:
    """One namespace on a real server: its Cloud, a watchdog, and workers that come and go."""

    stage: Stage
    watchdog: WatchdogActivities
    view: CalendarView = field(default_factory=CalendarView)
    report: WatchdogReport | None = None

    async def look(self, now: datetime) -> CalendarView:
        """Return what the test says the schedules say."""
        return self.view

    def worker(self) -> Worker:
        """Return a worker of the code as it is now; it runs while its context lasts.

        It keeps no workflow in memory: the server takes ten seconds to miss one that did.
        """
        return build_worker(
            self.stage.client,
            self.stage.cloud,
            task_queue=self.stage.queue,
            grace=timedelta(),
            workflows_in_memory=0,
        )

    async def round(self) -> list[Healed]:
        """Let the watchdog look around once, and return what it healed at this namespace."""
        now = datetime.now(UTC)
        self.report = await self.watchdog.round(now, self.report)
        assert self.report.problems == ()
        return [
            one
            for one in self.report.healed
            if one.at == now and one.namespace == self.stage.namespace
        ]

    async def attempts(self) -> int:
        """Return how often the keeper's pending workflow task was tried."""
        described = await self.stage.keeper.describe()
        return int(described.raw_description.pending_workflow_task.attempt)

    async def ends_as(self, status: WorkflowExecutionStatus) -> None:
        """Wait until the latest run of the keeper has ended with *status*."""
        async with asyncio.timeout(WITHIN):
            while True:
                if (await self.stage.keeper.describe()).status == status:
                    return
                await asyncio.sleep(0.05)

    async def heals(self, *what: str) -> None:
        """Look around until the list shows what is to be healed, which lags; then it was *what*."""
        async with asyncio.timeout(WITHIN):
            healed: list[Healed] = []
            while True:
                if healed := await self.round():
                    break
                await asyncio.sleep(0.1)
        assert [one.what for one in healed] == list(what)


@asynccontextmanager
async def scene(environment: WorkflowEnvironment, name: str, **cloud: Any) -> AsyncIterator[Scene]:
    """Set a scene, without a worker."""
    scripted = ScriptedCloud(clock=environment.get_current_time, **cloud)
    stage = Stage(environment, scripted, f"{name}.acct", name)
    watchdog = WatchdogActivities(environment.client, scripted, task_queue=name)
    made = Scene(stage, watchdog)
    watchdog.calendars = made
    async with asyncio.timeout(120):
        yield made


@contextmanager
def one_activity_more(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make the keeper's code that of another release: it observes once before all else."""
    recover = CapacityKeeper._recover

    async def and_observe(self: CapacityKeeper) -> None:
        await workflow.execute_activity(
            activity_types.OBSERVE,
            self._state.namespace,
            start_to_close_timeout=timedelta(seconds=10),
        )
        await recover(self)

    with monkeypatch.context() as patched:
        patched.setattr(CapacityKeeper, "_recover", and_observe)
        yield


@contextmanager
def as_it_is(_: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave the keeper's code as it is."""
    yield


Release = Callable[[pytest.MonkeyPatch], AbstractAsyncContextManager[None] | Any]

BOTH_WAYS = pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(as_it_is, one_activity_more, id="forwards"),
        pytest.param(one_activity_more, as_it_is, id="and back"),
    ],
)


@BOTH_WAYS
async def test_an_upgrade_in_the_middle_of_a_boost_heals_within_one_round(
    own_server: WorkflowEnvironment,
    fresh: str,
    monkeypatch: pytest.MonkeyPatch,
    before: Release,
    after: Release,
) -> None:
    """A keeper that the new code can't replay fails at once; its successor restores the baseline.

    The boost's end is what wakes it up, when nothing else would ask for it any more.
    """
    async with scene(own_server, fresh, capacity=Capacity(3)) as one:
        with before(monkeypatch):
            async with one.worker():
                assert (await one.stage.boost(8, 8 / 3600)).in_force
        with after(monkeypatch):
            async with one.worker():
                await one.ends_as(WorkflowExecutionStatus.FAILED)
                assert one.stage.cloud.capacity == Capacity(8)
                await one.heals("keeper")
                await one.ends_as(WorkflowExecutionStatus.COMPLETED)
        assert one.stage.cloud.steps == [8, 3]


@BOTH_WAYS
async def test_a_boost_takes_over_from_a_keeper_of_another_release(
    own_server: WorkflowEnvironment,
    fresh: str,
    monkeypatch: pytest.MonkeyPatch,
    before: Release,
    after: Release,
) -> None:
    """The next boost's request fails the old keeper, and its retry starts a successor.

    The lease of the window that ran is held on, so that the capacity never dips.
    """
    async with scene(own_server, fresh, capacity=Capacity(3)) as one:
        with before(monkeypatch):
            async with one.worker():
                assert (await one.stage.boost(8, 1)).in_force
        with after(monkeypatch):
            async with one.worker():
                assert (await one.stage.boost(4, 1, combine="add")).in_force
                status = await one.stage.says(lambda status: len(status.leases) == 2)
                assert status.baseline == Capacity(3)
                await one.stage.release()
                await one.stage.in_force(3)
        assert one.stage.cloud.steps == [8, 12, 3]


async def test_a_terminated_keeper_gets_a_successor(
    own_server: WorkflowEnvironment, fresh: str
) -> None:
    """Capacity is up and no further window comes: the next round sees to its way back."""
    async with scene(own_server, fresh) as one, one.worker():
        assert (await one.stage.boost(8, 2 / 3600)).in_force
        await one.stage.keeper.terminate("an operator's mistake")
        await one.heals("keeper")
        await one.ends_as(WorkflowExecutionStatus.COMPLETED)
        assert one.stage.cloud.steps == [8, None]
        assert await one.round() == []


async def test_a_stuck_keeper_is_replaced(
    own_server: WorkflowEnvironment, fresh: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug that fails the workflow task over and over: the mended code goes on at once."""
    monkeypatch.setattr("workflows.watchdog_decisions.STUCK_AFTER", timedelta())
    monkeypatch.setattr("workflows.watchdog_decisions.STUCK_ATTEMPTS", 2)

    def broken(*_: object) -> None:
        raise RuntimeError("a bug of this release")

    async with scene(own_server, fresh) as one:
        async with one.worker():
            assert (await one.stage.boost(8, 3 / 3600)).in_force
        with monkeypatch.context() as patched:
            patched.setattr(CapacityKeeper, "_describe", broken)
            async with one.worker(), asyncio.timeout(WITHIN):
                while True:
                    if await one.attempts() >= 2:
                        break
                    await asyncio.sleep(0.1)
        async with one.worker():
            await one.heals("keeper")
            await one.ends_as(WorkflowExecutionStatus.COMPLETED)
        assert one.stage.cloud.steps == [8, None]
