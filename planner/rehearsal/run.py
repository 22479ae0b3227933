"""Rehearsals run: parts side by side, each in a process of its own, and what they cost.

A part goes to its process as a pickled `Part` on stdin. Back come pickled messages, each
after its length: how many firings are done, at the end the result or an error's text. Such a
process runs this module as a program; it is no command.
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
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any, BinaryIO

from planner.errors import ServerError
from planner.forecast.timeline import CapacityRecord
from planner.model import Horizon, Project
from planner.rehearsal.environment import Environment, start_environment
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
from workflows.contract import Capacity, format_instant, keeper_id

if TYPE_CHECKING:
    from temporalio.client import Client, WorkflowHandle, WorkflowHistory


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
            _inject_fault(
                environment, {schedule.request.namespace for schedule in firing}, at, part.seed
            )
        failed += await _fire(environment, firing, at, counter)
        done += len(firing)
        progress(done)
    return failed


def _inject_fault(
    environment: Environment, namespaces: Iterable[str], at: datetime, seed: int
) -> None:
    """Inject a fault into some of *namespaces*: the same ones, however the year is cut."""
    for namespace in namespaces:
        dice = random.Random(f"{seed} {namespace} {format_instant(at)}")
        if dice.random() < FAULT_ODDS:
            environment.simulator.fault(**dice.choice(FAULTS), times=1, namespace=namespace)


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
        from planner.rehearsal.run import run_part

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
    channel = _message_channel()
    part = pickle.load(sys.stdin.buffer)
    try:
        asyncio.run(_run(part, channel))
    except (asyncio.CancelledError, KeyboardInterrupt):
        return 1
    except Exception:  # a bug of ours
        traceback.print_exc()
        return 1
    return 0


def _message_channel() -> BinaryIO:
    """Return stdout for messages alone; anything else that is printed goes to stderr."""
    channel = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return channel


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
