"""The watchdog heals on a real server, without a person: keepers, boosts, capacity."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from heal import another_release
from keeper_helpers import ScriptedCloud, Stage
from schedule_values import on
from story_stage import delete
from sync_helpers import Shop, eventually
from temporalio.client import (
    Client,
    ScheduleActionExecutionStartWorkflow,
    WorkflowExecutionStatus,
    WorkflowHandle,
)
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from planner.temporal.fetch import boost_id, list_schedules
from planner.temporal.keepers import refuse
from planner.temporal.watchdog import NOTE, LiveCalendars, ensure_watchdog, fetch_report
from workflows import activity_types
from workflows.activities.watchdog import WatchdogActivities
from workflows.activity_types import KeeperInput
from workflows.cloud import ObservedCapacity, Unauthorized
from workflows.contract import (
    LOOK_SIGNAL,
    TASK_QUEUE,
    WATCHDOG_ID,
    BoostRequest,
    CalendarView,
    Capacity,
    Healed,
    KeeperStatus,
    Lease,
    NamespaceSeen,
    ReleaseRequest,
    WatchdogInput,
    WatchdogReport,
)
from workflows.contract.from_code import BoostFromCode, BoostRefused
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

    async def admit(self, boost: BoostFromCode, now: datetime) -> BoostRequest:
        """Refuse each *boost*: no schedule is there."""
        raise BoostRefused(boost.namespace)

    def worker(self, *, with_watchdog: bool = False) -> Worker:
        """Return a worker of the code as it is now; it runs while its context lasts.

        It keeps no workflow in memory: the server takes ten seconds to miss one that did.
        """
        return build_worker(
            self.stage.client,
            self.stage.cloud,
            task_queue=self.stage.queue,
            grace=timedelta(),
            workflows_in_memory=0,
            watchdog=self.watchdog if with_watchdog else None,
        )

    async def round(self, problems: tuple[str, ...] = ()) -> list[Healed]:
        """Let the watchdog look around once, and return what it healed at this namespace."""
        now = datetime.now(UTC)
        self.report = await self.watchdog.round(now, self.report)
        assert self.report.problems == problems
        return [
            one
            for one in self.report.healed
            if one.at == now and one.namespace == self.stage.namespace
        ]

    def seen(self, namespace: str = "") -> NamespaceSeen:
        """Return what the latest report says of the *namespace*; of the scene's if left out."""
        assert self.report is not None
        name = namespace or self.stage.namespace
        (found,) = [one for one in self.report.namespaces if one.namespace == name]
        return found

    async def skip(self) -> None:
        """Skip an occurrence that comes, as `planner skip` does."""
        now = datetime.now(UTC)
        lease = Lease(
            key="close@later",
            window="close",
            tru=8,
            start=now + timedelta(days=1),
            until=now + timedelta(days=2),
        )
        request = ReleaseRequest(key=lease.key, by="ann", lease=lease)
        stage = self.stage
        await refuse(stage.client, stage.namespace, request, task_queue=stage.queue)

    async def is_boosted(self) -> None:
        """Go round, and fail where it doesn't see the boost yet: the list of keepers lags."""
        await self.round()
        assert [
            one.state for one in self.report.namespaces if one.namespace == self.stage.namespace
        ] == ["boosted"]

    async def run_ends(self, id: str) -> None:
        """Wait until the latest run of the workflow *id* has ended."""
        handle = self.stage.client.get_workflow_handle(id)
        async with asyncio.timeout(WITHIN):
            while True:
                if (await handle.describe()).status != WorkflowExecutionStatus.RUNNING:
                    return
                await asyncio.sleep(0.1)

    async def gone(self) -> None:
        """Wait until nothing is left of the keeper."""
        async with asyncio.timeout(WITHIN):
            while True:
                try:
                    await self.stage.keeper.describe()
                except RPCError:
                    return
                await asyncio.sleep(0.1)

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
                await asyncio.sleep(0.1)

    async def heals(self, *what: str) -> None:
        """Look around until the list shows what is to be healed, which lags; then it was *what*."""
        async with asyncio.timeout(WITHIN):
            healed: list[Healed] = []
            while True:
                if healed := await self.round():
                    break
                await asyncio.sleep(0.3)
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


Release = Callable[[], AbstractContextManager[Any]]

BOTH_WAYS = pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(nullcontext, another_release, id="forwards"),
        pytest.param(another_release, nullcontext, id="and back"),
    ],
)


@BOTH_WAYS
async def test_an_upgrade_in_the_middle_of_a_boost_heals_within_one_round(
    own_server: WorkflowEnvironment,
    fresh: str,
    before: Release,
    after: Release,
) -> None:
    """A keeper that the new code can't replay fails at once; its successor restores the baseline.

    The boost's end is what wakes it up, when nothing else would ask for it any more.
    """
    async with scene(own_server, fresh, capacity=Capacity(3)) as one:
        with before():
            async with one.worker():
                assert (await one.stage.boost(8, 8 / 3600)).in_force
        with after():
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
    before: Release,
    after: Release,
) -> None:
    """The next boost's request fails the old keeper, and its retry starts a successor.

    The lease of the window that ran is held on, so that the capacity never dips.
    """
    async with scene(own_server, fresh, capacity=Capacity(3)) as one:
        with before():
            async with one.worker():
                assert (await one.stage.boost(8, 1)).in_force
        with after():
            async with one.worker():
                assert (await one.stage.boost(4, 1, combine="add")).in_force
                status = await one.stage.says(lambda status: len(status.leases) == 2)
                assert status.baseline == Capacity(3)
                await one.stage.release()
                await one.stage.in_force(3)
        assert one.stage.cloud.steps == [8, 12, 3]


@BOTH_WAYS
async def test_a_skip_takes_over_from_a_keeper_of_another_release(
    own_server: WorkflowEnvironment,
    fresh: str,
    before: Release,
    after: Release,
) -> None:
    """The skip fails the old keeper; the next one is started to recover it, lease and all."""
    async with scene(own_server, fresh, capacity=Capacity(3)) as one:
        with before():
            async with one.worker():
                assert (await one.stage.boost(8, 1)).in_force
                first = (await one.stage.keeper.describe()).run_id
        with after():
            async with one.worker():
                await one.skip()
                status = await one.stage.says(lambda status: bool(status.leases))
                assert [lease.window for lease in status.leases] == ["w8"]
                assert [lease.key for lease in status.released] == ["close@later"]
                start = await anext(aiter(one.stage.keeper.fetch_history_events()))
                given = start.workflow_execution_started_event_attributes.input.payloads
                (known,) = await one.stage.client.data_converter.decode(given, [KeeperInput])
                assert known.broken_run == first
                await one.stage.release()
                await one.stage.in_force(3)
        assert one.stage.cloud.steps == [8, 3]


async def test_a_skip_takes_over_from_a_terminated_keeper(
    own_server: WorkflowEnvironment, fresh: str
) -> None:
    """It needs no repair before: the lease that is still up is recovered with it."""
    async with scene(own_server, fresh) as one, one.worker():
        assert (await one.stage.boost(8, 1)).in_force
        await one.stage.keeper.terminate("an operator's mistake")
        await one.skip()
        status = await one.stage.says(lambda status: bool(status.leases))
        assert (len(status.leases), len(status.released)) == (1, 1)
        await one.stage.release()
        await one.stage.in_force(None)
        assert one.stage.cloud.steps == [8, None]


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


async def test_what_others_lower_under_a_boost_is_restored_within_a_round(
    own_server: WorkflowEnvironment, fresh: str
) -> None:
    """The round has the keeper look, once; what others set above is left alone, without a look.

    Also where no round has seen the capacity that was lowered.
    """

    async def looks(one: Scene) -> int:
        """Return how often the keeper was told to look."""
        events = [event async for event in one.stage.keeper.fetch_history_events()]
        sent = [event.workflow_execution_signaled_event_attributes for event in events]
        return sum(each.signal_name == LOOK_SIGNAL for each in sent)

    async with scene(own_server, fresh) as one, one.worker():
        assert (await one.stage.boost(8, 1)).in_force
        await eventually(one.is_boosted)
        for seen_before in (one.report, None):
            one.report = seen_before
            await one.stage.cloud.set(Capacity(3))
            async with asyncio.timeout(WITHIN):
                while one.stage.cloud.capacity != Capacity(8):
                    await one.round()
                    await asyncio.sleep(0.1)
            await one.stage.says(lambda status: status.capacity == Capacity(8))
        before = await looks(one)
        assert await one.round() == []
        await one.stage.cloud.set(Capacity(12))
        assert await one.round() == []
        assert one.seen().capacity == Capacity(12)
        assert await looks(one) == before
        await one.stage.cloud.set(Capacity(8))
        await one.stage.release()
        await one.stage.in_force(None)
        assert one.stage.cloud.steps == [8, 3, 8, 3, 8, 12, 8, None]


async def test_a_keeper_is_queried_once_for_each_news(
    own_server: WorkflowEnvironment, fresh: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A query is an Action: a round in which the keeper's history stands still makes none."""
    queried: list[str] = []
    query = WorkflowHandle.query

    async def counted(handle: WorkflowHandle[Any, Any], name: str, *a: Any, **known: Any) -> Any:
        queried.append(name)
        return await query(handle, name, *a, **known)

    async with scene(own_server, fresh) as one, one.worker():

        async def this_one(_: Client) -> set[str]:
            """Return this namespace alone: those of other tests can't all be read."""
            return {one.stage.namespace}

        async def status() -> KeeperStatus | None:
            """Return the keeper's status as the view of a round has it."""
            round, report = await one.watchdog._round(datetime.now(UTC), one.report, 0)
            keepers = {each.namespace: each.keeper for each in (await round.view_of(report)).facts}
            found = keepers.get(one.stage.namespace)
            return found.status if found else None

        async def known() -> KeeperStatus:
            """Go round until a round shows the status without a query."""
            async with asyncio.timeout(WITHIN):
                while True:
                    before = len(queried)
                    found = await status()
                    if found and len(queried) == before:
                        return found

        one.watchdog.list_keepers = this_one
        monkeypatch.setattr(WorkflowHandle, "query", counted)
        assert (await one.stage.boost(8, 1)).in_force
        first = await known()
        assert (first.capacity, first.health, len(first.leases)) == (Capacity(8), "ok", 1)
        assert queried
        assert (await one.stage.boost(12, 1)).in_force
        queried.clear()
        second = await known()
        assert (second.capacity, len(second.leases)) == (Capacity(12), 2)
        assert set(queried) == {activity_types.STATE_QUERY}


async def test_a_stuck_keeper_is_replaced(
    own_server: WorkflowEnvironment, fresh: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug that fails the workflow task over and over: the mended code goes on at once."""
    monkeypatch.setattr("workflows.contract.findings.STUCK_AFTER", timedelta())
    monkeypatch.setattr("workflows.contract.findings.STUCK_ATTEMPTS", 2)

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


@asynccontextmanager
async def with_calendar(
    environment: WorkflowEnvironment, name: str, **cloud: Any
) -> AsyncIterator[tuple[Scene, Shop]]:
    """Set a scene whose watchdog reads the live schedules of a project; they go at its end."""
    shop = Shop(environment.client, name)
    async with scene(environment, name, **cloud) as one:
        one.stage.namespace = shop.namespace
        one.stage.queue = one.watchdog.task_queue = TASK_QUEUE
        one.watchdog.calendars = LiveCalendars(shop.server)
        try:
            yield one, shop
        finally:
            async with one.worker():  # a keeper that is asked without one answers after ten seconds
                await shop.sync()


async def listed(shop: Shop, *, count: int = 1) -> None:
    """Wait until the list, which lags, shows the schedules of *shop*."""

    async def shown() -> None:
        assert len(await list_schedules(shop.server, shop.project)) == count

    await eventually(shown)


def began(ago: float = 60) -> datetime:
    """Return when a window opened that is under way."""
    return datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=ago)


async def declares(shop: Shop, policy: str) -> None:
    """Fail unless a watchdog that reads the list anew finds that *policy*."""
    view = await LiveCalendars(shop.server).look(datetime.now(UTC))
    found = [one for one in view.namespaces if one.namespace == shop.namespace]
    assert [one.baseline_policy for one in found] == [policy]


@pytest.mark.parametrize("how", ["terminated", "deleted", "failed"])
async def test_a_missed_boost_is_started_while_its_window_runs(
    own_server: WorkflowEnvironment, fresh: str, how: str
) -> None:
    """Under its own id, by the times of its schedule; the next round has nothing to do."""
    async with with_calendar(own_server, fresh) as (one, shop):
        start = began()
        value = shop.value(calendars=(on(start),), tru=8, ahead_seconds=0, ttl_seconds=3600)
        await shop.sync(value)
        boost = shop.client.get_workflow_handle(boost_id(value, start))
        if how == "deleted":
            await delete(boost)
        else:
            await boost.terminate("by mistake")
        await listed(shop)
        if how == "failed":
            await shop.client.start_workflow(
                "NoSuchBoost",
                id=boost.id,
                task_queue=f"nobody-{fresh}",
                run_timeout=timedelta(seconds=1),
            )
            await one.run_ends(boost.id)
        async with one.worker():
            await one.heals("boost")
            result = await boost.result()
            assert result["in_force"]
            assert datetime.fromisoformat(result["until"]) == start + timedelta(hours=1)
            await one.stage.in_force(8)
            assert await one.round() == []
            await one.stage.release()
            await one.stage.in_force(None)
            assert await one.round() == [], "what was released stays so"


async def test_windows_that_are_paused_or_cancelled_are_left_alone(
    own_server: WorkflowEnvironment, fresh: str
) -> None:
    """A pause and a cancelled boost are a person's wish."""
    async with with_calendar(own_server, fresh) as (one, shop):
        start = began()
        paused, cancelled = (
            shop.value(window, calendars=(on(start),), ahead_seconds=0, ttl_seconds=3600)
            for window in ("paused", "cancelled")
        )
        await shop.sync(paused, cancelled)
        await shop.pause(paused.id, "not today")
        await shop.client.get_workflow_handle(boost_id(paused, start)).terminate()
        await shop.client.get_workflow_handle(boost_id(cancelled, start)).cancel()
        await eventually(lambda: shop.listed_paused(1))
        async with one.worker():
            await one.run_ends(boost_id(cancelled, start))
            assert await one.round() == []
        assert one.stage.cloud.writes == []


async def test_a_declared_baseline_is_established_and_left_where_others_set_more(
    own_server: WorkflowEnvironment, fresh: str
) -> None:
    """It comes within a round; 12 TRU by hand stay, and are reported with their age."""
    async with with_calendar(own_server, fresh) as (one, shop):
        await shop.sync(shop.value(baseline=Capacity(2)))
        await listed(shop)
        one.watchdog.baseline = "observe"
        assert await one.round() == []
        assert one.seen().state == "below"
        one.watchdog.baseline = "enforce"
        await shop.sync(shop.value(baseline=Capacity(2), baseline_policy="observe"))
        await eventually(lambda: declares(shop, "observe"))
        assert await one.round() == []
        assert one.seen().state == "below", "as its calendar says, whatever the worker's option"
        await shop.sync(shop.value(baseline=Capacity(2)))
        await eventually(lambda: declares(shop, "enforce"))
        async with one.worker():
            await one.heals("baseline")
            await one.stage.in_force(2)
            await one.ends_as(WorkflowExecutionStatus.COMPLETED)
            assert await one.round() == []
            assert one.seen().state == "ok"
            await one.stage.cloud.set(Capacity(12))
            assert await one.round() == []
            seen = one.seen()
            assert (seen.state, seen.capacity) == ("foreign", Capacity(12))
            assert seen.details == (
                "12 TRU is in force, the calendar declares 2 TRU: set externally and left alone"
            )
        assert one.stage.cloud.steps == [2, 12]


async def test_a_skip_blinds_nobody_to_a_declared_baseline(
    own_server: WorkflowEnvironment, fresh: str
) -> None:
    """The keeper that remembers a skip runs for a day, and has neither leases nor a baseline."""
    async with with_calendar(own_server, fresh, capacity=Capacity(2)) as (one, shop):
        await shop.sync(shop.value(baseline=Capacity(2)))
        await listed(shop)
        async with one.worker():
            await one.skip()
            run = (await one.stage.keeper.describe()).run_id
            assert await one.round() == []
            assert one.seen().state == "ok"
            await one.stage.cloud.set(Capacity())
            await one.heals("baseline")
            await one.stage.in_force(2)
            status = await one.stage.says(lambda status: status.capacity == Capacity(2))
            assert (status.baseline, status.baseline_declared) == (Capacity(2), True)
            assert await one.round() == []
            assert one.seen().state == "ok"
            await one.stage.cloud.set(Capacity(12))
            assert await one.round() == []
            assert (one.seen().state, one.seen().capacity) == ("foreign", Capacity(12))
            await shop.sync(shop.value(baseline=Capacity(2), baseline_policy="observe"))
            await eventually(lambda: declares(shop, "observe"))
            await one.stage.cloud.set(Capacity())
            assert await one.round() == []
            assert one.seen().state == "below"
            described = await one.stage.keeper.describe()
            assert (described.run_id, described.status) == (run, WorkflowExecutionStatus.RUNNING)
            await one.stage.keeper.cancel()
            await one.ends_as(WorkflowExecutionStatus.CANCELED)
        assert one.stage.cloud.writes == [Capacity(2)]


async def test_what_a_lost_keeper_left_is_given_back_beside_a_skip(
    own_server: WorkflowEnvironment, fresh: str
) -> None:
    """Without a declared baseline the id of its request tells the idle keeper where to go."""
    async with with_calendar(own_server, fresh, capacity=Capacity(3)) as (one, shop):
        await shop.sync(shop.value())
        await listed(shop)
        async with one.worker():
            assert (await one.stage.boost(8, 1)).in_force
            await delete(one.stage.keeper)
            await one.gone()
            await one.skip()
            await one.heals("capacity")
            await one.stage.in_force(3)
            await one.stage.keeper.cancel()
            await one.ends_as(WorkflowExecutionStatus.CANCELED)
        assert one.stage.cloud.steps == [8, 3]


async def test_what_a_lost_keeper_left_is_given_back(
    own_server: WorkflowEnvironment, fresh: str
) -> None:
    """Nothing is left of the keeper: the id of its request tells what was there before."""
    async with with_calendar(own_server, fresh, capacity=Capacity(3)) as (one, shop):
        await shop.sync(shop.value())
        await listed(shop)
        async with one.worker():
            assert (await one.stage.boost(8, 1)).in_force
            await delete(one.stage.keeper)
            await one.gone()
            await one.heals("capacity")
            await one.stage.in_force(3)
            await one.ends_as(WorkflowExecutionStatus.COMPLETED)
            assert await one.round() == []


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        pytest.param(
            Unauthorized("no key for this namespace"), "no key for this namespace", id="no key"
        ),
        pytest.param(
            TimeoutError("not foreseen"),
            "looking at it failed; the log of the worker says why",
            id="not foreseen",
        ),
    ],
)
async def test_a_namespace_that_cant_be_read_stops_no_other(
    own_server: WorkflowEnvironment,
    fresh: str,
    monkeypatch: pytest.MonkeyPatch,
    fault: Exception,
    said: str,
) -> None:
    """Without a key it is unknown, with the reason and what was seen last; the others go on."""
    async with with_calendar(own_server, fresh) as (one, shop):
        other = f"other-{shop.namespace}"
        await shop.sync(shop.value(), shop.value(namespace=other))
        await listed(shop, count=2)
        assert await one.round() == []
        assert (one.seen().state, one.seen(other).state) == ("ok", "ok")
        observe = one.stage.cloud.observe

        async def without_key(namespace: str) -> ObservedCapacity:
            if namespace == shop.namespace:
                raise fault
            return await observe(namespace)

        monkeypatch.setattr(one.stage.cloud, "observe", without_key)
        is_foreseen = isinstance(fault, Unauthorized)
        assert await one.round(() if is_foreseen else (f"{shop.namespace}: {fault}",)) == []
        seen = one.seen()
        assert one.seen(other).state == "ok"
        assert (seen.state, seen.details) == ("unknown", said)
        assert seen.capacity == Capacity()
        assert seen.at is not None
        assert one.report is not None
        assert seen.at < one.report.at


@pytest.fixture
async def unwatched(own_server: WorkflowEnvironment) -> AsyncIterator[Client]:
    """A client of the module's server, which has no watchdog before and after the test."""
    yield own_server.client
    await unwatch(own_server.client)


async def test_the_schedule_of_the_watchdog(unwatched: Client, fresh: str) -> None:
    """Made once for all projects, brought up to date, and no project's own; a pause stays."""
    client, quick = unwatched, WatchdogInput(for_seconds=60, every_seconds=0.5)
    shop = Shop(client, fresh)
    assert await ensure_watchdog(client) == "created"
    assert await ensure_watchdog(client, task=quick, task_queue=fresh, starts_now=True) == "kept"
    handle = client.get_schedule_handle(WATCHDOG_ID)
    live = await handle.describe()
    assert live.schedule.state.note == NOTE
    assert len(live.info.running_actions) == 1
    edits = live.raw_description.info.update_time
    assert await ensure_watchdog(client, task=quick, task_queue=fresh, starts_now=True) == "kept"
    again = await handle.describe()
    assert again.raw_description.info.update_time == edits
    assert again.info.num_actions == live.info.num_actions
    await shop.sync(shop.value())
    await shop.sync()
    assert WATCHDOG_ID not in await list_schedules(shop.server, "")
    await handle.pause(note="while the Cloud is being mended")
    assert await ensure_watchdog(client) == "paused"
    assert (await handle.describe()).schedule.state.paused


async def test_the_watchdog_goes_on_from_worker_to_worker(
    own_server: WorkflowEnvironment, fresh: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its report can be read without a worker, and a stopped worker's round goes to the next."""
    # The SDK sends a heartbeat each 80 % of its time-out at most.
    monkeypatch.setattr("workflows.watchdog.SLOWEST_ROUND", timedelta(seconds=2))
    client, quick = own_server.client, WatchdogInput(for_seconds=60, every_seconds=0.2)
    async with scene(own_server, fresh) as one:
        assert await fetch_report(client) is None
        await ensure_watchdog(client, task=quick, task_queue=fresh, starts_now=True)
        try:
            async with one.worker(with_watchdog=True):
                assert (await one.stage.boost(8, 1)).in_force
                first = await reported(client, lambda report: bool(report.namespaces))
                later = await reported(client, lambda report: report.at > first.at)
                assert (later.interval, later.problems) == (0.2, ())
            await one.stage.keeper.terminate("while no worker runs")
            async with one.worker(with_watchdog=True):
                healed = await reported(client, lambda report: bool(report.healed))
                assert [each.what for each in healed.healed] == ["keeper"]
                await one.stage.says(lambda status: status.health == "ok")
        finally:
            await unwatch(client)


async def reported(client: Client, holds: Callable[[WatchdogReport], bool]) -> WatchdogReport:
    """Return the watchdog's report once it *holds*."""
    async with asyncio.timeout(WITHIN):
        while True:
            report = await fetch_report(client)
            if report is not None and holds(report):
                return report
            await asyncio.sleep(0.1)


async def unwatch(client: Client) -> None:
    """Delete the watchdog's schedule, and end what it has started.

    Its workflows are named by the second: another schedule's may not begin within the same one.
    """
    handle = client.get_schedule_handle(WATCHDOG_ID)
    started = (await handle.describe()).info.recent_actions
    await handle.delete()
    for result in started:
        assert isinstance(result.action, ScheduleActionExecutionStartWorkflow)
        with suppress(RPCError):
            await client.get_workflow_handle(result.action.workflow_id).terminate()
    began_at = int(time.time())
    while int(time.time()) == began_at:  # noqa: ASYNC110 - only the clock says so
        await asyncio.sleep(0.05)
