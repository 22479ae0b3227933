"""Where stories are played: a server whose clock skips, a simulated Cloud, a worker."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from stories import BRISK, LENGTH, Deed, Fault, Firing, Played, Story
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.api.workflowservice.v1 import (
    DeleteWorkflowExecutionRequest,
    ResetWorkflowExecutionRequest,
)
from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowUpdateRPCTimeoutOrCancelledError,
    WorkflowUpdateStage,
)
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner

from planner.forecast.timeline import CapacityRecord
from planner.rehearsal.environment import SimulatorClock, SkippingClock, connect
from planner.simulator import Refusal, Rules, Simulator
from planner.temporal.client import sdk_errors_only
from workflows.cloud import CloudClient, OneKey
from workflows.contract import (
    BOOST_WORKFLOW,
    KEEPER_WORKFLOW,
    LEASE_UPDATE,
    RELEASE_UPDATE,
    BoostResult,
    Capacity,
    KeeperStart,
    ReleaseRequest,
    keeper_id,
)
from workflows.provision import SCHEDULED_START
from workflows.worker import build_worker

KEY = "sk-story-3b1f-must-never-be-seen"
QUEUE = "stories"
PROVISIONING = 15.0
RESTARTS = (timedelta(minutes=97),)
"""When a forgetful stage's worker is stopped at whatever it is at, and another takes over.

The server takes ten real seconds to miss a worker that kept workflows in memory: so only
the forgetful one, which replays its workflows at every task, is stopped.
"""

REAL_SECONDS = {"timeout": 0.1, "slow": 0.05}
SKIPPED_SECONDS = {"stuck": 40.0}


Script = list[tuple[timedelta, Played | None, Firing | Fault | Deed | None]]
"""What happens when, and in which story."""


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

PLAYED_WITHIN = 240
"""Real seconds in which a stage's stories are played, by far: fifty take a minute. A broken
server may also creep on from time-out to time-out."""


class ClockStands(Exception):
    """The server's clock does not skip any more: the stories can't be played to their end."""


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
    ahead: timedelta = timedelta(minutes=1)
    worker: AsyncExitStack = field(default_factory=AsyncExitStack)
    boosts: list[WorkflowHandle[Any, BoostResult]] = field(default_factory=list)
    of: dict[tuple[str, str, timedelta], WorkflowHandle[Any, BoostResult]] = field(
        default_factory=dict
    )

    async def restart(self) -> None:
        """Stop the worker at whatever it is at, and start another."""
        await self.worker.aclose()
        self.worker = AsyncExitStack()
        await self.worker.enter_async_context(
            build_worker(
                self.workers,
                self.cloud,
                task_queue=QUEUE,
                grace=timedelta(),
                workflows_in_memory=0 if self.is_forgetful else 2_000,
                runner=UnsandboxedWorkflowRunner(),
            )
        )

    async def play(self, stories: Sequence[Story]) -> list[Played]:
        """Play *stories* side by side, and return what happened."""
        begin = (await self.clock.now()).replace(microsecond=0)
        begin += self.ahead
        played = {story.name: Played(story, begin) for story in stories}
        for story in stories:
            await self.simulator.create(
                story.name, tru=story.before.tru, onDemandAps=story.on_demand_aps
            )
        script = _script(played.values(), RESTARTS if self.is_forgetful else ())
        try:
            async with asyncio.timeout(PLAYED_WITHIN):
                await self._perform(script, begin)
                await self._skip_to(begin + self.length)
        except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
            raise ClockStands(f"or creeps: {PLAYED_WITHIN} s were not enough") from None
        for one in played.values():
            await self._see(one)
        return list(played.values())

    async def _perform(self, script: Script, begin: datetime) -> None:
        """Do all of *script*, one after the other: the clock stands meanwhile."""
        for at, one, event in script:
            await self._skip_to(begin + at)
            if event is None:
                await self.restart()
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

    async def _do(self, played: Played, event: Firing | Fault | Deed, now: datetime) -> None:
        if isinstance(event, Firing):
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
            with suppress(RPCError, Refusal, WorkflowAlreadyStartedError):
                at = await self.clock.now() - played.begin
                await self._deed(played, event)
                played.done.append((at, event))

    async def _fire(self, played: Played, firing: Firing) -> None:
        nominal = played.begin + firing.nominal
        id = f"boost/{played.story.name}/{firing.window}-{len(self.boosts)}"
        boost: WorkflowHandle[Any, BoostResult] = self.client.get_workflow_handle(
            id, result_type=BoostResult
        )
        self.boosts.append(boost)
        self.of[played.story.name, firing.window, firing.requested] = boost
        await self.client.start_workflow(
            BOOST_WORKFLOW,
            played.story.request(firing),
            id=id,
            task_queue=QUEUE,
            search_attributes=TypedSearchAttributes(
                [SearchAttributePair(SCHEDULED_START, nominal)]
            ),
        )

    async def _deed(self, played: Played, deed: Deed) -> None:
        story = played.story
        keeper = self.client.get_workflow_handle(keeper_id(story.name))
        if deed.what == "foreign":
            await self.simulator.foreign_change(story.name, deed.tru)
        elif deed.what == "cancel":
            await keeper.cancel()
        elif deed.what == "terminate":
            run = (await keeper.describe()).run_id
            await keeper.terminate("a story")
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
            assert deed.of is not None
            await self.of[story.name, deed.window, deed.of.requested].cancel()
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
        played.done = [entry for entry in played.done if not await self._was_late(played, entry[1])]
        await self.simulator.look()
        entries = self.simulator.history(played.story.name)
        played.history = [CapacityRecord(entry.at, Capacity(entry.tru)) for entry in entries]
        played.foreign = [entry.at for entry in entries if entry.by == "foreign"]
        with suppress(RPCError):  # never started
            keeper = self.client.get_workflow_handle(keeper_id(played.story.name))
            if (await keeper.describe()).status == WorkflowExecutionStatus.RUNNING:
                played.complaints.append("the keeper is still running")

    async def _was_late(self, played: Played, deed: Deed) -> bool:
        """Tell whether the boost that was cancelled had come to its end before."""
        if deed.what != "cancel-boost" or deed.of is None:
            return False
        boost = self.of[played.story.name, deed.window, deed.of.requested]
        return (await boost.describe()).status != WorkflowExecutionStatus.CANCELED

    async def seen(self) -> str:
        """Return everything that the histories say, as text to search in."""
        keepers = {
            boost.id.rpartition("/")[0].replace("boost/", "keeper/") for boost in self.boosts
        }
        handles = [*self.boosts, *map(self.client.get_workflow_handle, sorted(keepers))]
        texts = []
        for handle in handles:
            with suppress(RPCError):  # a keeper that never was
                texts.append((await handle.fetch_history()).to_json())
        return "\n".join(texts)


def _script(stories: Iterable[Played], restarts: Iterable[timedelta]) -> Script:
    """Return all that happens, in order; None is a restart of the worker."""
    script: Script = []
    for played in stories:
        story = played.story
        script += [(firing.requested, played, firing) for firing in story.firings]
        script += [(fault.at, played, fault) for fault in story.faults]
        script += [(deed.at, played, deed) for deed in story.deeds]
    script += [(at, None, None) for at in restarts]
    return sorted(script, key=lambda entry: entry[0])


@asynccontextmanager
async def story_stage(
    environment: WorkflowEnvironment, *, forgetful: bool = False
) -> AsyncIterator[StoryStage]:
    """Set a stage for stories on *environment*.

    A *forgetful* stage's worker replays each workflow from its beginning at every task, and
    is once replaced by another at whatever it is at.
    """
    names = {"TemporalScheduledStartTime": IndexedValueType.INDEXED_VALUE_TYPE_DATETIME}
    client = await connect(environment)
    clock = SkippingClock(client, stuck_polls=STUCK_POLLS)
    await client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(namespace="default", search_attributes=names)
    )
    simulator = Simulator(
        Rules(provisioning=PROVISIONING, check=5.0, operations_at_once=1000),
        now=clock.now if forgetful else SimulatorClock(clock).now,
        key_rate=None,
        account_rate=None,
    )
    async with simulator, sdk_errors_only():
        # A forgetful stage has the network between; it takes a third of a story's time.
        way = None if forgetful else simulator.transport
        async with CloudClient(
            simulator.url, OneKey(KEY), sleep=no_patience, transport=way
        ) as cloud:
            stage = StoryStage(
                client, await connect(environment), clock, simulator, cloud, forgetful
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
    """A stage whose clock doesn't wait for what is done: all stories go on at once."""

    async def _perform(self, script: Script, begin: datetime) -> None:
        async def one(at: timedelta, played: Played | None, event: Any) -> None:
            await self._skip_to(begin + at)
            assert played is not None
            if isinstance(event, Firing):
                played.fired[event] = await self.clock.now() - begin
            await self._do(played, event, begin + at)

        await asyncio.gather(*(one(*entry) for entry in script))

    async def _skip_to(self, instant: datetime) -> None:
        await self.clock.skip_to(instant)


@asynccontextmanager
async def brisk_stage(environment: WorkflowEnvironment) -> AsyncIterator[StoryStage]:
    """Set a stage for stories of seconds on a real server, where keepers are reset and deleted."""
    client = environment.client
    simulator = Simulator(
        Rules(provisioning=0.3, check=0.1, operations_at_once=1000),
        key_rate=None,
        account_rate=None,
    )
    async with (
        simulator,
        sdk_errors_only(),
        CloudClient(simulator.url, OneKey(KEY), poll=0.1) as cloud,
    ):
        clock: Any = RealClock()
        stage = BriskStage(
            client, client, clock, simulator, cloud, False, BRISK, ahead=timedelta(seconds=3)
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
