"""Boosts that follow the change of their window: real keeper, real worker, simulated Cloud."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import real_server
from schedule_values import daily
from sync_helpers import Shop, eventually

from planner.plan.model import DesiredState
from planner.render.plan import plan_text
from planner.schedules.spec import Schedule
from planner.simulator import Simulator
from planner.temporal.fetch import describe
from planner.temporal.sync import SyncRequest, fetch_plan, sync
from workflows.cloud import CloudClient, OneKey
from workflows.contract import BOOST_WORKFLOW, STATUS_QUERY, KeeperStatus, keeper_id
from workflows.worker import build_worker

pytestmark = pytest.mark.integration


@dataclass
class Stage:
    """A project whose boosts are carried out, by a worker and a simulated Cloud."""

    shop: Shop
    simulator: Simulator
    fired: datetime = field(
        default_factory=lambda: (
            datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=15)
        )
    )
    """When the payroll window asked for its capacity: a quarter of an hour ago."""

    def payroll(self, tru: int, **fields: Any) -> Schedule:
        """Return a window that opened five minutes ago, and asked ten minutes ahead of that."""
        times = daily(self.fired.hour, self.fired.minute)
        return self.shop.value(tru=tru, calendars=(times,), **fields)

    @property
    def capacities(self) -> list[float | None]:
        """What was in force, one after the other; None for on-demand."""
        return [entry.tru for entry in self.simulator.history(self.shop.namespace)]

    async def reaches(self, *capacities: float | None) -> None:
        """Wait until exactly *capacities* were in force, in this order."""
        await self.simulator.until(lambda: len(self.capacities) >= len(capacities), timeout=40)
        assert self.capacities == list(capacities)

    async def boosted(self, count: int) -> None:
        """Wait until so many boosts have ended, each with its capacity in force."""

        async def ended() -> None:
            query = f"WorkflowType = '{BOOST_WORKFLOW}' AND ExecutionStatus = 'Completed'"
            assert len([one async for one in self.shop.client.list_workflows(query)]) == count

        await eventually(ended)

    async def leases(self) -> list[tuple[int, datetime]]:
        """Return the leases of the keeper: how much, and until when."""
        handle = self.shop.client.get_workflow_handle(keeper_id(self.shop.namespace))
        status = await handle.query(STATUS_QUERY, result_type=KeeperStatus)
        return [(lease.tru, lease.until) for lease in status.leases]


@asynccontextmanager
async def staged(fresh: str) -> AsyncIterator[Stage]:
    """Run a server of its own: boosts are started on the one task queue of the product."""
    async with (
        real_server() as environment,
        Simulator(provisioning=0.3, check=0.1) as simulator,
    ):
        shop = Shop(environment.client, fresh)
        await simulator.create(shop.namespace)
        async with (
            CloudClient(simulator.url, OneKey("key"), poll=0.1) as cloud,
            build_worker(environment.client, cloud, grace=timedelta(seconds=1)),
        ):
            yield Stage(shop, simulator)


async def running(stage: Stage) -> None:
    """Fail unless the server tells of the boost that it started."""
    assert len((await stage.shop.live()).fired) == 1


async def test_a_running_boost_follows_its_window(fresh: str) -> None:
    """Told to follow: up with a new demand, longer with a new end, down when it goes."""
    async with staged(fresh) as stage:
        await stage.shop.sync(stage.payroll(4))
        await stage.reaches(None, 4)
        await eventually(lambda: running(stage))
        ((_, end),) = await stage.leases()
        await stage.shop.sync(stage.payroll(8), follow=True)
        await stage.reaches(None, 4, 8)
        await stage.shop.sync(stage.payroll(8, ttl_seconds=9000), follow=True)
        assert await stage.leases() == [(8, end + timedelta(minutes=30))]
        await stage.shop.sync(follow=True)
        await stage.reaches(None, 4, 8, None)


async def test_a_running_boost_keeps_what_it_was_granted(fresh: str) -> None:
    """Not told to: the next occurrence has the new demand, the one that runs the old."""
    async with staged(fresh) as stage:
        await stage.shop.sync(stage.payroll(4))
        await stage.reaches(None, 4)
        await eventually(lambda: running(stage))
        granted = await stage.leases()
        await stage.shop.sync(stage.payroll(8))
        await stage.shop.sync()
        assert await stage.leases() == granted
        await stage.reaches(None, 4)


async def test_a_boost_follows_whenever_it_is_told_to(fresh: str) -> None:
    """A sync let it keep what it had: a later one with the option changes it, once."""
    async with staged(fresh) as stage:
        await stage.shop.sync(stage.payroll(4))
        await stage.reaches(None, 4)
        await eventually(lambda: running(stage))
        kept = await stage.shop.plan(stage.payroll(6))
        assert "in force: 4 TRU" in plan_text(kept)
        await stage.shop.sync(stage.payroll(6))
        assert (await stage.shop.plan(stage.payroll(6))).pending == ()
        later = await stage.shop.plan(stage.payroll(8))
        assert plan_text(later).count("in force: 4 TRU") == 1
        done = await stage.shop.sync(stage.payroll(6), follow=True)
        assert [one.change.action for one in done.outcomes] == ["follow"]
        await stage.reaches(None, 4, 6)
        assert (await stage.shop.sync(stage.payroll(6), follow=True)).outcomes == ()


def moved(stage: Stage, minutes: int, window: str = "payroll", **fields: Any) -> Schedule:
    """Return the payroll window with its start so many minutes from where `payroll` has it."""
    fired = stage.fired + timedelta(minutes=minutes)
    fields = {"tru": 4, "calendars": (daily(fired.hour, fired.minute),), **fields}
    return stage.shop.value(window, **fields)


@pytest.mark.parametrize("combine", ["max", "add"])
@pytest.mark.parametrize("minutes", [-2, 2, 10])
async def test_a_start_that_moves_changes_no_capacity(
    fresh: str, minutes: int, combine: str
) -> None:
    """The new lease takes the place of the old one: neither a dip nor a peak in between."""
    async with staged(fresh) as stage:
        await stage.shop.sync(moved(stage, 0, combine=combine))
        await stage.reaches(None, 4)
        await eventually(lambda: running(stage))
        ((_, end),) = await stage.leases()
        await stage.shop.sync(moved(stage, minutes, combine=combine), follow=True)
        assert await stage.leases() == [(4, end + timedelta(minutes=minutes))]
        await stage.boosted(2)
        assert await stage.leases() == [(4, end + timedelta(minutes=minutes))]
        assert stage.capacities == [None, 4]


async def test_a_start_that_moves_back_changes_no_capacity(fresh: str) -> None:
    """The lease that was given up for the moved start is taken again, in one step."""
    async with staged(fresh) as stage:
        await stage.shop.sync(moved(stage, 0))
        await stage.reaches(None, 4)
        await eventually(lambda: running(stage))
        (granted,) = await stage.leases()
        await stage.shop.sync(moved(stage, 2), follow=True)
        await stage.boosted(2)
        await stage.shop.sync(moved(stage, 0), follow=True)
        assert await stage.leases() == [granted]
        assert stage.capacities == [None, 4]


async def test_a_window_that_is_renamed_changes_no_capacity(fresh: str) -> None:
    """One window goes, another comes with the same hours: its lease is there before."""
    async with staged(fresh) as stage:
        await stage.shop.sync(moved(stage, 0))
        await stage.reaches(None, 4)
        await eventually(lambda: running(stage))
        (granted,) = await stage.leases()
        await stage.shop.sync(moved(stage, 0, "wages"), follow=True)
        await stage.boosted(2)
        assert await stage.leases() == [granted]
        assert stage.capacities == [None, 4]


async def test_a_rename_in_a_file_changes_no_capacity(fresh: str) -> None:
    """Without the option, and without a refusal: the boost's lease passes to the new name."""
    async with staged(fresh) as stage:
        shop, wages = stage.shop, moved(stage, 0, "wages")
        await shop.sync(moved(stage, 0))
        await stage.reaches(None, 4)
        await eventually(lambda: running(stage))
        (granted,) = await stage.leases()
        renamed = {wages.id: shop.value().id}
        state = DesiredState(project=shop.project, schedules=(wages,), renamed=renamed)
        done = await sync(shop.server, SyncRequest(desired=state), datetime.now(UTC))
        assert [(one.change.action, one.done) for one in done.outcomes] == [("rename", True)]
        assert await stage.leases() == [granted]
        assert (await shop.plan(wages)).pending == ()
        assert stage.capacities == [None, 4]


async def test_a_renamed_project_changes_no_capacity(fresh: str) -> None:
    """Its schedule is made anew with the new mark; the running boost keeps its lease."""
    async with staged(fresh) as stage:
        shop, value = stage.shop, stage.shop.value()
        await shop.sync(moved(stage, 0))
        await stage.reaches(None, 4)
        await eventually(lambda: running(stage))
        (granted,) = await stage.leases()
        state = DesiredState(
            project=f"{shop.project}-new", schedules=(moved(stage, 0),), former=shop.project
        )
        done = await sync(shop.server, SyncRequest(desired=state), datetime.now(UTC))
        assert [(one.change.action, one.done) for one in done.outcomes] == [("rename", True)]
        live = await describe(shop.server, value.id)
        assert live is not None
        assert live.project == state.project
        assert await stage.leases() == [granted]
        again = await fetch_plan(shop.server, SyncRequest(desired=state), datetime.now(UTC))
        assert again.pending == ()
        assert stage.capacities == [None, 4]


async def test_a_start_that_moves_out_of_reach_releases(fresh: str) -> None:
    """What is not under way any more is given back; another window of the sync comes first."""
    async with staged(fresh) as stage:
        await stage.shop.sync(moved(stage, 0))
        await stage.reaches(None, 4)
        await eventually(lambda: running(stage))
        desired = (moved(stage, 600), moved(stage, 0, "wages", tru=2))
        await stage.shop.sync(*desired, follow=True)
        await stage.reaches(None, 4, 2)
        assert [tru for tru, _ in await stage.leases()] == [2]
