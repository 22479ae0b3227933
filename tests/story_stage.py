"""Where stories are played: a server whose clock skips, a simulated Cloud, a worker."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from unittest.mock import patch

from keeper_helpers import ScriptedCluster
from releases import KeeperWithoutPatch, KeeperWithPatch
from stories import (
    BASE_FLOOR,
    BRISK,
    FIRES_LATE,
    LENGTH,
    ROUND,
    Deed,
    Fault,
    Firing,
    FloorRecord,
    Played,
    Story,
    is_unready,
)
from temporalio import activity, workflow
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType, IndexedValueType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.api.workflowservice.v1 import (
    DeleteWorkflowExecutionRequest,
    ResetWorkflowExecutionRequest,
)
from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowHistory,
    WorkflowUpdateRPCTimeoutOrCancelledError,
    WorkflowUpdateStage,
)
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from planner.forecast.timeline import CapacityRecord
from planner.rehearsal.run import SimulatorClock, SkippingClock, connect
from planner.simulator import Refusal, Rules, Simulator
from planner.simulator.api import Principal
from planner.temporal.client import sdk_errors_only
from planner.temporal.keepers import read_keeper
from workflows.activities.capacity import RefusedKeys, signal_changed
from workflows.activities.floors import MARK
from workflows.activities.watchdog import SCHEDULED_BY, WatchdogActivities
from workflows.activity_types import RELEASE_LEASE
from workflows.cloud import CloudClient
from workflows.cloud.api import RateLimiter
from workflows.contract import (
    BOOST_WORKFLOW,
    KEEPER_WORKFLOW,
    LEASE_UPDATE,
    RELEASE_UPDATE,
    BoostResult,
    CalendarView,
    Capacity,
    Declared,
    DueBoost,
    KeeperStart,
    KubernetesTarget,
    ReleaseRequest,
    WatchdogReport,
    format_instant,
    keeper_id,
)
from workflows.contract.findings import (
    ALARMING,
    MISSED_MEMO,
    NamespaceFacts,
    Pollers,
    WindowRun,
    findings_of,
    state_of,
)
from workflows.keeper import CapacityKeeper
from workflows.provision import SCHEDULED_START
from workflows.worker import build_worker


@dataclass
class StoryCluster:
    """The Kubernetes cluster of all stories: an autoscaler for each namespace."""

    clock: SkippingClock
    scalers: dict[str, ScriptedCluster] = field(default_factory=dict)

    def of(self, name: str) -> ScriptedCluster:
        """Return what the namespace *name* has there."""
        if name not in self.scalers:
            self.scalers[name] = ScriptedCluster(clock=self.clock.now)
        return self.scalers[name]

    async def read(self, target: KubernetesTarget) -> Mapping[str, Any]:
        """Return the autoscaler as it is."""
        return await self.of(target.namespace).read(target)

    async def patch(self, target: KubernetesTarget, patch: Mapping[str, Any]) -> None:
        """Write to the autoscaler."""
        await self.of(target.namespace).patch(target, patch)


KEY = "sk-story-3b1f-must-never-be-seen"
QUEUE = "stories"
PROVISIONING = 15.0
RESTARTS: dict[timedelta, type[CapacityKeeper]] = {
    timedelta(minutes=31): KeeperWithPatch,
    timedelta(minutes=97): KeeperWithPatch,
}
"""When a forgetful stage's worker is stopped at whatever it is at, and one of which release
takes over.

It can replay what was begun: a keeper that fails leaves the test server's clock locked, so that
releases that can't are for real servers. The server takes ten real seconds to miss a worker that
kept workflows in memory: so only the forgetful one, which replays its workflows at every task, is
stopped.
"""

BRISK_RESTARTS: dict[timedelta, type[CapacityKeeper]] = {
    timedelta(seconds=9): KeeperWithoutPatch,
    timedelta(seconds=18): CapacityKeeper,
    timedelta(seconds=31): KeeperWithPatch,
    timedelta(seconds=44): KeeperWithoutPatch,
}
"""The same on a real server, where no release can replay what the one before has begun, but one."""

REAL_SECONDS = {"timeout": 0.1, "slow": 0.05}
SKIPPED_SECONDS = {"stuck": 40.0}


Happening = Firing | Fault | Deed | type[CapacityKeeper] | Literal["round"]
Script = list[tuple[timedelta, Played | None, Happening]]
"""What happens when, and in which story; what concerns all of them has none."""


ANSWERS_WITHIN = timedelta(minutes=1)
"""Real time that a keeper may take to answer: a clock that got stuck is released after 20 s."""


STANDS = 180
"""Real seconds that one skip may take before a stage is given up."""

STUCK_POLLS = 20
"""Readings of half a second after which the clock is unlocked. An update-with-start that fails
inside the test server (a null pointer, or "invalid history builder state", about once in three
hundred stories, more often where boosts are cancelled) leaves it locked for good."""


MOST_UNLOCKS = 8
"""After so many the server is broken: it answers a workflow task with "Already accepted update"
each time, and nothing but the next time-out moves its clock."""

LOOKS_EVERY, IDLE_LOOKS = 15, 3
"""Real seconds between looks whether a stage works, and how many of them see none before it is
given up: a broken server may also creep on from time-out to time-out, or wait for good."""

WORKS_FOR = 1.0
"""Processor seconds, between two looks, of a stage that works, however loaded the machine is."""


BRISK_WITHIN = 400
"""Real seconds in which a stage of brisk stories is played, by far."""

BEATS_EVERY, BEAT_STEPS = 1.0, 4
"""Seconds between two beats, which measure how slow the machine is meanwhile; and how many steps
one has, about as many as a change of a keeper's."""

LATEST_EVENTS = 20
"""How many events are told of a keeper that should have ended."""

MOST_LAG = timedelta(seconds=10)
"""How long a beat, or a worker's stop, may take before windows of seconds tell nothing any more."""


@activity.defn(name="stories.step")
async def step() -> None:
    """Do nothing, as one step of a beat."""


@workflow.defn(name="stories.Beat", sandboxed=False)
class Beat:
    """A workflow of steps that do nothing: what it takes is the server's and the machine's."""

    @workflow.run
    async def run(self) -> None:
        """Take all steps, one after the other."""
        for _ in range(BEAT_STEPS):
            await workflow.execute_activity(step, start_to_close_timeout=MOST_LAG * 3)


@dataclass
class StoryKeys:
    """A key for each namespace, which can be revoked and mended."""

    revoked: set[str] = field(default_factory=set)

    def key(self, namespace: str) -> str:
        """Return the key to use for *namespace* now."""
        return f"revoked-{KEY}" if namespace in self.revoked else KEY


class Started(set[str]):
    """The boosts that the watchdog has started, in this order, some more than once."""

    def __init__(self) -> None:
        super().__init__()
        self.latest: list[str] = []

    def add(self, id: str) -> None:
        """Count one more."""
        super().add(id)
        self.latest.append(id)


ROUND_AT: ContextVar[datetime | None] = ContextVar("ROUND_AT", default=None)
"""The time of the watchdog's round under way: the clock stands meanwhile."""


class StageClock(SimulatorClock):
    """The clock of the simulated Cloud, which isn't read anew for each call of a round."""

    async def now(self) -> datetime:
        """Return the time; never earlier than the last one returned."""
        if (at := ROUND_AT.get()) is not None:
            self._latest = max(self._latest, at)
            return self._latest
        return await super().now()


class ClockStands(Exception):
    """The server's clock does not skip any more: the stories can't be played to their end."""


class TooSlow(Exception):
    """Something was too slow for stories in real time: they would tell nothing."""

    def __init__(self, what: str, took: timedelta) -> None:
        super().__init__(f"{what} took {took}")


async def no_patience(seconds: float) -> None:
    """Give up instead of waiting: the keeper waits, on the clock that skips."""
    if seconds > 0.05:
        raise TimeoutError("the story goes on")
    await asyncio.sleep(seconds)


@dataclass
class StoryStage:
    """A server, a Cloud and a worker that stories of many namespaces share."""

    client: Client
    workers: Client
    clock: SkippingClock
    simulator: Simulator
    cloud: CloudClient
    is_forgetful: bool
    length: timedelta = LENGTH
    upgrades: Mapping[timedelta, type[CapacityKeeper]] = field(default_factory=dict)
    ahead: timedelta = timedelta(minutes=1)
    every: timedelta = ROUND
    fires_late: timedelta = FIRES_LATE
    unreported: timedelta = ROUND
    keys: StoryKeys = field(default_factory=StoryKeys)
    worker: AsyncExitStack = field(default_factory=AsyncExitStack)
    restarting: asyncio.Lock = field(default_factory=asyncio.Lock)
    played: dict[str, Played] = field(default_factory=dict)
    report: WatchdogReport | None = None
    due: dict[str, tuple[Played, Firing]] = field(default_factory=dict)
    boosts: list[WorkflowHandle[Any, BoostResult]] = field(default_factory=list)
    cancelled: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.refused = RefusedKeys(self.keys)
        self.cluster = StoryCluster(self.clock)
        self.started = Started()
        self.watchdog = WatchdogActivities(
            self.client,
            self.cloud,
            self,
            task_queue=QUEUE,
            list_keepers=self.list_keepers,
            _started=self.started,
        )

    async def restart(self, release: type[CapacityKeeper] = CapacityKeeper) -> None:
        """Stop the worker at whatever it is at, and start another, of that *release*.

        On a busy machine the next restart may come before the worker has stopped: it waits, or
        two workers of two releases would run, one of them to the end.
        """
        async with self.restarting:
            await self._stop()
            self.worker = AsyncExitStack()
            await self.worker.enter_async_context(self._worker_of(release))

    async def _stop(self) -> None:
        """Stop the worker."""
        await self.worker.aclose()

    def _worker_of(self, release: type[CapacityKeeper]) -> Worker:
        """Return a worker whose keepers are of *release*."""
        with patch("workflows.worker.CapacityKeeper", release):
            return build_worker(
                self.workers,
                self.cloud,
                task_queue=QUEUE,
                grace=timedelta(),
                workflows_in_memory=0 if self.is_forgetful else 2_000,
                runner=UnsandboxedWorkflowRunner(),
                refused_keys=self.refused,
                cluster=self.cluster,
            )

    async def play(self, stories: Sequence[Story]) -> list[Played]:
        """Play *stories* side by side, and return what happened."""
        begin = (await self.clock.now()).replace(microsecond=0)
        begin += self.ahead
        played = {story.name: Played(story, begin) for story in stories}
        self.played = played
        for story in stories:
            await self.simulator.create(
                story.name, tru=story.before.tru, onDemandAps=story.on_demand_aps
            )
        script = _script(played.values(), self.upgrades, self.every)
        try:
            await self._while_busy(self._play_script(script, begin))
        except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
            raise ClockStands("or creeps: a keeper did not answer in time") from None
        for one in played.values():
            await self._see(one)
        return list(played.values())

    async def _play_script(self, script: Script, begin: datetime) -> None:
        """Do all of *script*, and what comes after its last line."""
        await self._perform(script, begin)
        await self._skip_to(begin + self.length)

    async def _while_busy(self, playing: Coroutine[Any, Any, None]) -> None:
        """Run *playing* to its end.

        Raises:
            ClockStands: Nothing has worked for a while: the server waits for a time-out.
        """
        task = asyncio.ensure_future(playing)
        idle = 0
        while True:
            before = time.process_time()
            done, _ = await asyncio.wait({task}, timeout=LOOKS_EVERY)
            if done:
                return await task
            idle = idle + 1 if time.process_time() - before < WORKS_FOR else 0
            if idle == IDLE_LOOKS:
                task.cancel()
                await asyncio.wait({task})
                raise ClockStands("or creeps: there is no work, and no end")

    async def _perform(self, script: Script, begin: datetime) -> None:
        """Do all of *script*, one after the other: the clock stands meanwhile."""
        for at, one, event in script:
            await self._skip_to(begin + at)
            if event == "round":
                await self._round(begin)
            elif isinstance(event, type):
                await self.restart(event)
            else:
                assert one is not None
                await self._do(one, event, begin + at)

    async def _skip_to(self, instant: datetime) -> None:
        """Skip to *instant*.

        Raises:
            ClockStands: The clock did not get there, although it was unlocked.
        """
        try:
            async with asyncio.timeout(STANDS):
                await self.clock.skip_to(instant)
        except TimeoutError:
            raise ClockStands(f"on the way to {instant}") from None
        if self.clock.unlocks > MOST_UNLOCKS:
            raise ClockStands(f"again and again, before {instant}")

    # The watchdog, which knows of schedules and keepers what the stories tell

    async def look(self, now: datetime) -> CalendarView:
        """Return what the schedules of the stories that go on say at *now*."""
        self.due = {}
        watched = self._watched(now)
        for played in watched:
            followed = {deed.of.key for _, deed in played.done if deed.what == "follow" and deed.of}
            for firing in played.story.firings:
                is_due = played.story.is_due(firing, now - played.begin, self.fires_late)
                if is_due and firing.key not in followed:
                    self.due[boost_id(played, firing)] = played, firing
        return CalendarView(
            namespaces=tuple(
                Declared(namespace=played.story.name, baseline=played.story.declared)
                for played in watched
            ),
            due=tuple(
                DueBoost(
                    id=id,
                    schedule=f"boost/{played.story.name}/{firing.window}",
                    nominal=played.begin + firing.nominal,
                    request=played.story.request(firing),
                )
                for id, (played, firing) in self.due.items()
            ),
        )

    async def list_keepers(self, _: Client) -> set[str]:
        """Return the namespaces of the stories that go on; they may have a keeper."""
        return {played.story.name for played in self._watched(await self.clock.now())}

    def _watched(self, now: datetime) -> list[Played]:
        return [
            played
            for played in self.played.values()
            if played.story.is_watched and now - played.begin <= ends(played.story, self.every)
        ]

    async def _round(self, begin: datetime) -> None:
        """Let the watchdog look around, then look whether the status tells what is wrong."""
        now = await self.clock.now()
        self.started.latest.clear()
        token = ROUND_AT.set(now)
        try:
            self.report = await self.watchdog.round(now, self.report, self.every.total_seconds())
        finally:
            ROUND_AT.reset(token)
        for id in self.started.latest:
            played, firing = self.due[id]
            played.started.append((now - begin, firing))
        await self.simulator.look()
        for played in self._watched(now):
            self._find_missed(played, now)
            await self._compare_status(played, now)

    def _find_missed(self, played: Played, now: datetime) -> None:
        """Complain of a firing that was lost, and is not made up for by the round that saw it."""
        known = {firing for _, firing in played.started}
        for firing in played.story.firings:
            since = now - played.begin - firing.nominal - self.fires_late
            is_seen = since >= self.unreported and played.story.is_due(firing, now - played.begin)
            if firing.is_lost and is_seen and firing not in known:
                played.complaints.append(f"{firing} was lost, and is not started at {now}")

    async def _compare_status(self, played: Played, now: datetime) -> None:
        """Complain where a window has less than it requests for a round, and nobody says so."""
        at = now - played.begin
        await self._forget_late(played)
        tru = self.simulator.namespace(played.story.name).history[-1].tru
        if not is_unready(played, at, Capacity(tru)):
            played.unready_since = None
            return
        if played.unready_since is None:
            played.unready_since = at
        if at - played.unready_since < self.unreported:
            return
        played.reported += 1
        findings = findings_of(await self._facts(played, now), now)
        if state_of(findings) not in ALARMING:
            played.complaints.append(f"{tru} TRU in force at {now}, and the status says {findings}")

    async def _facts(self, played: Played, now: datetime) -> NamespaceFacts:
        """Return what ``planner status`` sees of a namespace, as far as this server tells it."""
        story = played.story
        seen = {one.namespace: one for one in (self.report.namespaces if self.report else ())}
        keeper = None
        with suppress(RPCError):  # never started
            described = await self.client.get_workflow_handle(keeper_id(story.name)).describe()
            keeper = await read_keeper(self.client, described, now, ask=True)
        return NamespaceFacts(
            namespace=story.name,
            windows=tuple(sorted({firing.window for firing in story.firings})),
            unstarted=tuple([run async for run in self._unstarted(played)]),
            declared=story.declared,
            keeper=keeper,
            pollers=Pollers(1, now),
            watched=seen.get(story.name),
        )

    async def _unstarted(self, played: Played) -> AsyncIterator[WindowRun]:
        for id, (of, firing) in self.due.items():
            if of is not played:
                continue
            try:
                await self.client.get_workflow_handle(id).describe()
            except RPCError:
                start, end = played.begin + firing.start, played.begin + firing.end
                yield WindowRun(window=firing.window, start=start, end=end, tru=firing.tru)

    # Firings and deeds

    async def _do(self, played: Played, event: Firing | Fault | Deed, now: datetime) -> None:
        if isinstance(event, Firing):
            if not event.is_lost:
                await self._fire(played, event)
        elif isinstance(event, Fault):
            seconds = REAL_SECONDS.get(event.kind, SKIPPED_SECONDS.get(event.kind, event.wait))
            self.simulator.fault(
                event.on,
                event.kind,
                times=event.times,
                namespace=played.story.name,
                **({} if seconds is None else {"seconds": seconds}),
                **({} if event.status is None else {"status": event.status}),
                **({"available": 2} if event.kind == "no-inventory" else {}),
            )
        else:
            with suppress(RPCError, Refusal, WorkflowAlreadyStartedError, LookupError):
                at = await self.clock.now() - played.begin
                await self._deed(played, event)
                played.done.append((at, event))

    async def _fire(self, played: Played, firing: Firing) -> None:
        nominal = played.begin + firing.nominal
        boost: WorkflowHandle[Any, BoostResult] = self.client.get_workflow_handle(
            boost_id(played, firing), result_type=BoostResult
        )
        self.boosts.append(boost)
        try:
            await self.client.start_workflow(
                BOOST_WORKFLOW,
                played.story.request(firing),
                id=boost.id,
                task_queue=QUEUE,
                search_attributes=TypedSearchAttributes(
                    [SearchAttributePair(SCHEDULED_START, nominal)]
                ),
            )
        except WorkflowAlreadyStartedError:
            if boost.id in self.started:  # not by the same firing a second time
                played.dropped.add(firing)

    def _boost(self, played: Played, deed: Deed) -> WorkflowHandle[Any, Any]:
        assert deed.of is not None
        return self.client.get_workflow_handle(boost_id(played, deed.of))

    async def _deed(self, played: Played, deed: Deed) -> None:
        story = played.story
        keeper = self.client.get_workflow_handle(keeper_id(story.name))
        cluster = self.cluster.of(story.name)
        if deed.what in ("cluster-away", "cluster-back"):
            cluster.away = deed.what == "cluster-away"
        elif deed.what == "cluster-conflict":
            cluster.conflicts += 2
        elif deed.what == "patch-floor":
            assert deed.tru is not None
            await cluster.set(int(deed.tru))
        elif deed.what == "foreign":
            await self.simulator.foreign_change(story.name, deed.tru)
        elif deed.what == "cancel":
            if (await keeper.describe()).status != WorkflowExecutionStatus.RUNNING:
                raise LookupError("the keeper was terminated, and has no successor yet")
            await keeper.cancel()
        elif deed.what == "terminate":
            run = (await keeper.describe()).run_id
            await keeper.terminate("a story")
            if story.is_watched:
                return
            await self.client.start_workflow(
                KEEPER_WORKFLOW,
                KeeperStart(namespace=story.name, broken_run=run),
                id=keeper.id,
                task_queue=QUEUE,
            )
        elif deed.what == "reset":
            await reset(keeper)
        elif deed.what == "delete":
            await delete(keeper)
        elif deed.what == "cancel-boost":
            boost = self._boost(played, deed)
            run = (await boost.describe()).run_id
            await self.client.get_workflow_handle(boost.id, run_id=run).cancel()
            self.cancelled[boost.id] = run
        elif deed.what == "terminate-boost":
            await self._boost(played, deed).terminate("a story")
        elif deed.what == "delete-boost":
            await delete(self._boost(played, deed))
        elif deed.what == "refuse-key":
            self.keys.revoked.add(story.name)
        elif deed.what == "mend-key":
            self.keys.revoked.discard(story.name)
            await signal_changed(self.client, self.refused)
        elif deed.what == "follow":
            assert deed.of is not None
            assert deed.to is not None
            await keeper.start_update(
                LEASE_UPDATE,
                story.follows(deed.of, deed.to, played.begin),
                wait_for_stage=WorkflowUpdateStage.ACCEPTED,
                rpc_timeout=ANSWERS_WITHIN,
            )
        else:
            window = deed.window if deed.what == "release" else ""
            await keeper.execute_update(
                RELEASE_UPDATE, ReleaseRequest(window=window), rpc_timeout=ANSWERS_WITHIN
            )

    async def _see(self, played: Played) -> None:
        """Note what was in force when, whether the keeper has ended, and which cancel came late."""
        await self._forget_late(played, is_over=True)
        await self.simulator.look()
        entries = self.simulator.history(played.story.name)
        played.history = [CapacityRecord(entry.at, Capacity(entry.tru)) for entry in entries]
        played.foreign = [entry.at for entry in entries if entry.by == "foreign"]
        cluster = self.cluster.of(played.story.name)
        played.floors = [FloorRecord(timedelta(), BASE_FLOOR, by_others=True)] + [
            FloorRecord(at - played.begin, floor or 0, at in cluster.foreign)
            for at, floor in cluster.floors
        ]
        played.floor_mark = cluster.annotations.get(MARK, "")
        for firing in played.story.firings:
            with suppress(RPCError):  # never started
                boost = await self.client.get_workflow_handle(boost_id(played, firing)).describe()
                if MISSED_MEMO in boost.raw_info.memo.fields:
                    played.missed.add(firing.window)
        with suppress(RPCError):  # never started
            keeper = self.client.get_workflow_handle(keeper_id(played.story.name))
            if (await keeper.describe()).status == WorkflowExecutionStatus.RUNNING:
                latest = await latest_events(keeper)
                played.complaints.append(f"the keeper is still running: {latest}")

    async def _forget_late(self, played: Played, *, is_over: bool = False) -> None:
        """Take each cancel that came too late for what was done: it ended no lease."""
        played.done = [
            (at, deed)
            for at, deed in played.done
            if not await self._was_late(played, deed, is_over=is_over)
        ]

    async def _was_late(self, played: Played, deed: Deed, *, is_over: bool) -> bool:
        """Tell whether the boost that was cancelled had come to its end before.

        The watchdog may have started another run of it since. Of one that was deleted that is
        known once the story is over: its release may be on its way.
        """
        if deed.what != "cancel-boost" or deed.of is None:
            return False
        id = boost_id(played, deed.of)
        boost = self.client.get_workflow_handle(id, run_id=self.cancelled[id])
        try:
            status = (await boost.describe()).status
            if status != WorkflowExecutionStatus.TERMINATED:
                return is_late_cancel(status)
            history = await boost.fetch_history()
        except RPCError:  # deleted since, on a real server: that one cancels only what runs
            return is_over and not await self._may_have_released(played, deed)
        return not has_released(history)

    async def _may_have_released(self, played: Played, deed: Deed) -> bool:
        """Tell whether the keeper was told to release what the deleted boost of *deed* had.

        One that is deleted a moment after it was cancelled may never learn of the cancel. Where
        the keeper was deleted, too, nobody knows.
        """
        assert deed.of is not None
        if any(other.what == "delete" for _, other in played.done):
            return True
        runs = self.client.list_workflows(f"WorkflowId = '{keeper_id(played.story.name)}'")
        async for run in runs:
            keeper = self.client.get_workflow_handle(run.id, run_id=run.run_id)
            history = await keeper.fetch_history()
            if any(releases(event, deed.of.window) for event in history.events):
                return True
        return False

    async def seen(self) -> bytes:
        """Return everything that the histories say, as it went over the wire, to search in."""
        keepers = {
            boost.id.rpartition("/")[0].replace("boost/", "keeper/") for boost in self.boosts
        }
        handles = [*self.boosts, *map(self.client.get_workflow_handle, sorted(keepers))]
        found = []
        for handle in handles:
            with suppress(RPCError):  # a keeper that never was
                history = await handle.fetch_history()
                found += [event.SerializeToString() for event in history.events]
        return b"".join(found)


async def latest_events(keeper: WorkflowHandle[Any, Any]) -> str:
    """Return when the latest events of *keeper*'s latest run came, and what they were."""
    history = await keeper.fetch_history()
    return ", ".join(
        f"{event.event_time.ToDatetime():%T.%f} {EventType.Name(event.event_type)}"
        for event in history.events[-LATEST_EVENTS:]
    )


def is_late_cancel(status: WorkflowExecutionStatus | None) -> bool:
    """Tell whether a cancel found a boost at its end: that has another *status* than it would get.

    One that still runs is about to release its lease.
    """
    return status not in (WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.CANCELED)


def releases(event: HistoryEvent, window: str) -> bool:
    """Tell whether *event* of a keeper is the request to release a lease of *window*."""
    request = event.workflow_execution_update_accepted_event_attributes.accepted_request.input
    is_meant = any(f'"{window}@'.encode() in each.data for each in request.args.payloads)
    return request.name == RELEASE_UPDATE and is_meant


def has_released(history: WorkflowHistory) -> bool:
    """Tell whether a boost that was terminated had begun to release its lease, cancelled before."""
    return any(
        event.activity_task_scheduled_event_attributes.activity_type.name == RELEASE_LEASE
        for event in history.events
    )


def boost_id(played: Played, firing: Firing) -> str:
    """Return the id of the boost of *firing*: a second one of an occurrence is another's doing."""
    first = next(one for one in played.story.firings if one.key == firing.key)
    nominal = format_instant(played.begin + firing.nominal)
    twice = "" if first is firing or first == firing else "-twice"
    return f"boost/{played.story.name}/{firing.window}-{nominal}{twice}"


def ends(story: Story, every: timedelta) -> timedelta:
    """Return when the watchdog has seen the last of *story*."""
    last = [*(firing.end for firing in story.firings), *(deed.at for deed in story.deeds)]
    return min(max(last) + story.settle + 2 * every, LENGTH)


def _script(
    stories: Iterable[Played],
    restarts: Mapping[timedelta, type[CapacityKeeper]],
    every: timedelta,
) -> Script:
    """Return all that happens, in order; rounds of the watchdog come after all else."""
    script: Script = []
    last = timedelta()
    for played in stories:
        story = played.story
        script += [(firing.requested, played, firing) for firing in story.firings]
        script += [(fault.at, played, fault) for fault in story.faults]
        script += [(deed.at, played, deed) for deed in story.deeds]
        last = max(last, ends(story, every)) if story.is_watched else last
    script += [(at, None, release) for at, release in restarts.items()]
    script += [(every * number, None, "round") for number in range(1, last // every + 1)]
    return sorted(script, key=lambda entry: entry[0])


@asynccontextmanager
async def story_stage(
    environment: WorkflowEnvironment, *, forgetful: bool = False
) -> AsyncIterator[StoryStage]:
    """Set a stage for stories on *environment*.

    A *forgetful* stage's worker replays each workflow from its beginning at every task, and
    is once replaced by another at whatever it is at.
    """
    names = {
        SCHEDULED_START.name: IndexedValueType.INDEXED_VALUE_TYPE_DATETIME,
        SCHEDULED_BY.name: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    }
    client = await connect(environment)
    clock = SkippingClock(client, stuck_polls=STUCK_POLLS)
    await client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(namespace="default", search_attributes=names)
    )
    simulator = Simulator(
        Rules(provisioning=PROVISIONING, check=5.0, operations_at_once=1000),
        now=clock.now if forgetful else StageClock(clock).now,
        keys={KEY: Principal("stories")},
        key_rate=None,
        account_rate=None,
    )
    async with simulator, sdk_errors_only():
        # A forgetful stage has the network between; it takes a third of a story's time.
        way = None if forgetful else simulator.transport
        keys = StoryKeys()
        async with CloudClient(
            simulator.url,
            keys,
            sleep=no_patience,
            transport=way,
            # A round looks at all namespaces in no time of its own.
            rate_limiter=RateLimiter(10_000),
        ) as cloud:
            stage = StoryStage(
                client,
                await connect(environment),
                clock,
                simulator,
                cloud,
                forgetful,
                keys=keys,
                upgrades=RESTARTS if forgetful else {},
            )
            await stage.restart()
            try:
                yield stage
            finally:
                await stage.worker.aclose()


class RealClock:
    """The clock of a server that doesn't skip."""

    async def now(self) -> datetime:
        """Return the time."""
        return datetime.now(UTC)

    async def skip_to(self, instant: datetime) -> None:
        """Wait until *instant*."""
        left = (instant - datetime.now(UTC)).total_seconds()
        await asyncio.sleep(max(0.0, left))


@dataclass
class BriskStage(StoryStage):
    """A stage whose clock doesn't wait for what is done: all stories go on at once.

    A beat goes on beside them: by the longest one the stories are given more time, so that a
    busy machine is not taken for a broken promise; by the longest stop of a worker, too, since
    nothing heals meanwhile, and the SDK's may wait for ever at its very end. *lag* is the longest
    of all so far, the beat under way at the end included, and *slowest* names it; that beat began
    at *beat_began*, of `time.monotonic`.
    """

    lag: timedelta = timedelta()
    slowest: str = ""
    beat_began: float = 0.0

    async def play(self, stories: Sequence[Story]) -> list[Played]:
        """Play *stories* side by side, and return what happened.

        Raises:
            TooSlow: A beat or a worker's stop took longer than `MOST_LAG`.
        """
        all_played = await super().play(stories)
        for played in all_played:
            story = played.story
            assert story.heals is not None
            played.story = replace(
                story,
                change=story.change + self.lag,
                under_way=story.under_way + self.lag,
                heals=story.heals + self.lag,
            )
        return all_played

    async def _while_busy(self, playing: Coroutine[Any, Any, None]) -> None:
        self.beat_began = time.monotonic()
        beats = asyncio.ensure_future(self._beat())
        try:
            async with asyncio.timeout(BRISK_WITHIN):  # it mostly waits, as time does not skip
                await playing
        except Exception as error:
            self._count_beat()
            if self.lag > MOST_LAG:
                raise TooSlow(self.slowest, self.lag) from error
            raise
        else:
            self._count_beat()
        finally:
            beats.cancel()
            with suppress(asyncio.CancelledError):
                await beats
        if self.lag > MOST_LAG:
            raise TooSlow(self.slowest, self.lag)

    def _count_beat(self) -> None:
        """Note how long the beat under way has taken so far, without the pause after it."""
        self._count(f"a workflow of {BEAT_STEPS} steps", self.beat_began + BEATS_EVERY)

    def _count(self, what: str, began: float) -> None:
        """Note how long *what* has taken that *began* then, of `time.monotonic`."""
        took = timedelta(seconds=time.monotonic() - began)
        if took > self.lag:
            self.lag, self.slowest = took, what

    async def _stop(self) -> None:
        began = time.monotonic()
        await super()._stop()
        self._count("a worker's stop", began)

    async def _beat(self) -> None:
        queue, at_rest = f"beats-{uuid.uuid4().hex}", self.unreported
        async with Worker(self.client, task_queue=queue, workflows=[Beat], activities=[step]):
            while True:
                self.beat_began = time.monotonic()
                with suppress(RPCError):  # after a minute without an answer
                    await self.client.execute_workflow(Beat.run, id=queue, task_queue=queue)
                await asyncio.sleep(BEATS_EVERY)  # comes late, too, where the loop is busy
                self._count_beat()
                self.unreported = at_rest + self.lag

    async def _perform(self, script: Script, begin: datetime) -> None:
        async def one(at: timedelta, played: Played | None, event: Any) -> None:
            await self._skip_to(begin + at)
            if isinstance(event, type):
                await self.restart(event)
                return
            assert played is not None
            if isinstance(event, Firing):
                played.fired[event] = await self.clock.now() - begin
            await self._do(played, event, begin + at)

        async def rounds() -> None:
            for at, _, event in script:  # the next one waits for the one before
                if event == "round":
                    await self._skip_to(begin + at)
                    await self._round(begin)

        happens = (one(*entry) for entry in script if entry[2] != "round")
        await asyncio.gather(rounds(), *happens)

    async def _skip_to(self, instant: datetime) -> None:
        await self.clock.skip_to(instant)


@asynccontextmanager
async def brisk_stage(environment: WorkflowEnvironment) -> AsyncIterator[StoryStage]:
    """Set a stage for stories of seconds on a real server, where keepers are reset and deleted."""
    client = environment.client
    simulator = Simulator(
        Rules(provisioning=0.3, check=0.1, operations_at_once=1000),
        keys={KEY: Principal("stories")},
        key_rate=None,
        account_rate=None,
    )
    keys = StoryKeys()
    async with (
        simulator,
        sdk_errors_only(),
        CloudClient(simulator.url, keys, poll=0.1) as cloud,
    ):
        clock: Any = RealClock()
        stage = BriskStage(
            *(client, client, clock, simulator, cloud, True, BRISK),
            ahead=timedelta(seconds=3),
            upgrades=BRISK_RESTARTS,
            every=timedelta(seconds=2),
            fires_late=timedelta(seconds=2),
            unreported=timedelta(seconds=6),
            keys=keys,
        )
        await stage.restart()
        try:
            yield stage
        finally:
            await stage.worker.aclose()


async def reset(keeper: WorkflowHandle[Any, Any]) -> None:
    """Reset *keeper* to its first workflow task, as an operator does."""
    described = await keeper.describe()
    async for event in keeper.fetch_history_events():
        if event.HasField("workflow_task_completed_event_attributes"):
            await keeper._client.workflow_service.reset_workflow_execution(
                ResetWorkflowExecutionRequest(
                    namespace=keeper._client.namespace,
                    workflow_execution=WorkflowExecution(
                        workflow_id=keeper.id, run_id=described.run_id
                    ),
                    reason="a story",
                    workflow_task_finish_event_id=event.event_id,
                    request_id=str(uuid.uuid4()),
                )
            )
            return


async def delete(keeper: WorkflowHandle[Any, Any]) -> None:
    """Delete the latest run of *keeper*, history and all."""
    run = (await keeper.describe()).run_id
    await keeper._client.workflow_service.delete_workflow_execution(
        DeleteWorkflowExecutionRequest(
            namespace=keeper._client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=keeper.id, run_id=run),
        )
    )
