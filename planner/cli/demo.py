"""``planner demo``: two windows on a real server, watched and checked in a minute.

Two windows of one namespace overlap: 4 TRU for the longer, 8 TRU for the shorter. The demo
does exactly what ``planner sync`` and ``planner worker`` do; only the Cloud is simulated,
and the windows open in seconds rather than at the end of a month. `local_stack` runs the whole
product on one machine, for ``planner dev`` as well.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Protocol

from planner.cli.app import EXIT_DONE, EXIT_ERROR, SIMULATOR_PORT, UI_PORT
from planner.forecast.timeline import CapacityRecord, level, violations
from planner.temporal.client import TemporalServer, free_port, temporal_server
from workflows.contract import Capacity

if TYPE_CHECKING:
    from temporalio.client import Client

    from planner.forecast.timeline import Step
    from planner.model import Project
    from planner.simulator import Simulator
    from workflows.cloud import CloudClient


LOCAL_KEY = "local"
"""The worker's API key; the simulator accepts any."""

PROVISIONING_SECONDS = 1.5
"""Seconds that the simulated Cloud takes to change a capacity; the real one takes minutes."""


@dataclass(frozen=True, slots=True)
class Stack:
    """The servers that run on this machine, and the address at which the worker answers."""

    temporal: TemporalServer
    simulator: Simulator
    worker: str


@asynccontextmanager
async def local_stack(
    *,
    ui_port: int = UI_PORT,
    state_file: Path | None = None,
    simulator_port: int = SIMULATOR_PORT,
    provisioning: float = PROVISIONING_SECONDS,
) -> AsyncIterator[Stack]:
    """Run server, simulator and worker, with the watchdog, for as long as the context lasts.

    Args:
        ui_port: The preferred port of the Temporal UI; a free one if it is taken.
        state_file: The file of the Temporal server's state; None keeps it in memory.
        simulator_port: The preferred port of the simulated Cloud.
        provisioning: Seconds that the simulated Cloud takes to change a capacity.
    """
    from planner.simulator import Simulator
    from workflows.cloud import CloudClient, OneKey

    async with AsyncExitStack() as stack:
        temporal = await stack.enter_async_context(
            temporal_server(ui_port=ui_port, state_file=state_file)
        )
        simulator = await stack.enter_async_context(
            Simulator(
                provisioning=provisioning,
                check=0.25,
                auto_create=True,
                port=free_port(simulator_port),
            )
        )
        cloud = await stack.enter_async_context(
            CloudClient(simulator.url, OneKey(LOCAL_KEY), poll=0.25)
        )
        worker = await stack.enter_async_context(_local_worker(temporal.client, cloud))
        yield Stack(temporal, simulator, worker)


@asynccontextmanager
async def _local_worker(client: Client, cloud: CloudClient) -> AsyncIterator[str]:
    """Run a worker with the watchdog while the context lasts; yield the URL that it answers at."""
    from planner.temporal.client import server_of
    from planner.temporal.watchdog import LiveCalendars, ensure_watchdog
    from workflows.activities.floors import Replicas
    from workflows.activities.keeper import KeeperStates
    from workflows.activities.watchdog import WatchdogActivities
    from workflows.observability import health_endpoint
    from workflows.worker import build_worker

    calendars = LiveCalendars(server_of(client))
    states = KeeperStates(client)
    watchdog = WatchdogActivities(client, cloud, calendars, states=states)
    await ensure_watchdog(client, starts_now=True)
    replicas = Replicas(client, calendars, states)
    async with (
        build_worker(client, cloud, grace=timedelta(seconds=1), watchdog=watchdog),
        health_endpoint("127.0.0.1", 0, lambda: True, replicas=replicas) as port,
    ):
        yield f"http://127.0.0.1:{port}"


NAMESPACE = "orders-prod.demo"

WARM_UP = timedelta(seconds=12)
"""From the sync to the first window: the lead, the jitter, and reading the baseline."""

SETTLE = timedelta(seconds=8)
"""The longest time after a window's end until the capacity is reverted."""

TICK = 0.25
"""Seconds between two frames."""

LEVELS = {0: "▁", 4: "▄", 8: "█"}
"""A capacity in the chart: on-demand, and the demo's two boosts."""


def calendar_text(opens: datetime) -> str:
    """Return the demo's calendar file, whose first window opens at *opens*."""

    def second(offset: int) -> str:
        return f"{opens + timedelta(seconds=offset):%Y-%m-%dT%H:%M:%S}"

    return f"""\
namespace: {NAMESPACE}
timezone: UTC
baseline: on-demand
defaults: {{lead: 5s, jitter: 1s}}
windows:
  ledger-close:
    description: Ledger close, all regions
    dates: [{{start: {second(0)}, end: {second(24)}}}]
    tru: 4
  payroll:
    description: Payroll run
    dates: [{{start: {second(8)}, end: {second(16)}}}]
    tru: 8
"""


@dataclass(frozen=True, slots=True)
class Show:
    """The interval of the demo, with the capacities of the calendar in it."""

    begins: datetime
    ends: datetime
    steps: tuple[Step, ...]

    def due(self, instant: datetime) -> Capacity:
        """Return the calendar's capacity at *instant*."""
        return next(
            (step.capacity for step in self.steps if step.start <= instant < step.end), Capacity()
        )

    def seconds(self, until: datetime) -> list[datetime]:
        """Return the whole seconds of the show up to *until*."""
        count = int((min(until, self.ends) - self.begins).total_seconds())
        return [self.begins + timedelta(seconds=second) for second in range(count)]

    def chart(self, history: Sequence[CapacityRecord], now: datetime) -> str:
        """Draw, second by second, the calendar's capacity and the one in force up to *now*."""
        plan = "".join(_glyph(self.due(second)) for second in self.seconds(self.ends))
        seen = "".join(_glyph(in_force(history, second)) for second in self.seconds(now))
        return f"  calendar  {plan}\n  in force  {seen}"


def in_force(history: Sequence[CapacityRecord], instant: datetime) -> Capacity:
    """Return the capacity of *history* in force at *instant*."""
    return next((held.capacity for held in reversed(history) if held.at <= instant), Capacity())


def _glyph(capacity: Capacity) -> str:
    return LEVELS.get(int(level(capacity)), "?")


class Display(Protocol):
    """Shows the demo as it goes on."""

    def frame(self, now: datetime, history: Sequence[CapacityRecord]) -> None:
        """Show both capacities at *now*."""


class Lines:
    """Output for a pipe: a line for each change of the calendar's capacity or the one in force."""

    def __init__(self, show: Show) -> None:
        self._show = show
        self._last: tuple[Capacity, Capacity] | None = None
        print(f"  {'time (UTC)':10}  {'calendar':10} in force", flush=True)

    def frame(self, now: datetime, history: Sequence[CapacityRecord]) -> None:
        """Print a line if it differs from the last one."""
        due, held = self._show.due(now), in_force(history, now)
        if (due, held) != self._last:
            self._last = due, held
            print(f"  {now:%H:%M:%S}    {due!s:10} {held}", flush=True)


class Screen:
    """Output for a terminal: the chart as it grows."""

    def __init__(self, show: Show) -> None:
        from rich.live import Live

        self._show = show
        self.live = Live(refresh_per_second=8, transient=True)

    def frame(self, now: datetime, history: Sequence[CapacityRecord]) -> None:
        """Draw the chart up to *now*."""
        from rich.text import Text

        due, held = self._show.due(now), in_force(history, now)
        words = f"  {now:%H:%M:%S} UTC   calendar {due!s:10} in force {held!s:10}"
        self.live.update(Text(f"{words}\n\n{self._show.chart(history, now)}\n"))


async def play(*, ui_port: int, keep: bool) -> int:
    """Run the demo and return the exit code: 0 only if everything went as planned.

    Args:
        ui_port: The preferred port of the Temporal UI.
        keep: Whether to leave the servers running until Ctrl-C.
    """
    from planner.cli.demo import local_stack

    print("Starting a Temporal server with its UI, a simulated Temporal Cloud, a worker …\n")
    async with local_stack(ui_port=ui_port) as stack:
        code = await _perform(stack)
        if keep:
            print("\nLeft running for you to look around; Ctrl-C ends it.", flush=True)
            await asyncio.Event().wait()
    return code


async def _perform(stack: Stack) -> int:
    """Sync the demo's calendar, watch its windows, and check the capacities seen."""
    from planner.forecast.timeline import timeline
    from planner.model import Horizon

    await stack.simulator.create(NAMESPACE)
    now = datetime.now(UTC).replace(microsecond=0)
    horizon = Horizon(now, now + WARM_UP + timedelta(seconds=32))
    with TemporaryDirectory() as home:
        directory = Path(home, "calendars")
        project = _read(calendar_text(now + WARM_UP), directory)
        await _sync(stack, project, directory, now)
    (calendar,) = project.namespaces
    show = Show(now, horizon.end, timeline(calendar, horizon))
    display: Display = Screen(show) if sys.stdout.isatty() else Lines(show)
    with display.live if isinstance(display, Screen) else nullcontext():
        while (instant := datetime.now(UTC)) < show.ends:
            display.frame(instant, _history(stack))
            await asyncio.sleep(TICK)
    history = _history(stack)
    print(f"\n{show.chart(history, show.ends)}\n")
    asked = timeline(calendar, horizon, "requested")
    faults = violations(history, show.steps, asked, Capacity(), settle=SETTLE)
    went = " → ".join(str(held.capacity) for held in history)
    planned = " → ".join(str(step.capacity) for step in show.steps)
    if went == planned and not faults:
        print(f"As planned: {went}.")
        return EXIT_DONE
    print(f"NOT as planned: {went}, but the calendar says {planned}.")
    for fault in faults:
        print(f"  {fault}")
    return EXIT_ERROR


def _read(text: str, directory: Path) -> Project:
    """Print the demo's calendar file, write it to *directory*, and read it."""
    from planner.config.load import read

    print("calendars/orders.yaml\n")
    print("".join(f"    {line}\n" for line in text.splitlines()))
    directory.mkdir()
    Path(directory, "planner.yaml").write_text("project: demo\n", encoding="utf-8")
    Path(directory, "orders.yaml").write_text(text, encoding="utf-8")
    return read(directory)


async def _sync(stack: Stack, project: Project, directory: Path, now: datetime) -> None:
    """Sync the demo's calendar as ``planner sync`` does."""
    from planner.cli.request import desired_state
    from planner.temporal.client import schedule_page, server_of
    from planner.temporal.sync import SyncRequest, sync

    server = server_of(stack.temporal.client)
    request = SyncRequest(desired=desired_state(project, directory, now))
    report = await sync(server, request, now)
    print("planner sync\n")
    for outcome in report.outcomes:
        print(f"    + {outcome.change.id}")
        print(f"      {schedule_page(server, outcome.change.id, stack.temporal.ui)}")
    print()


def _history(stack: Stack) -> list[CapacityRecord]:
    """Return the history of the simulated Cloud's capacity, oldest first."""
    entries = stack.simulator.history(NAMESPACE)
    return [CapacityRecord(entry.at, Capacity(entry.tru)) for entry in entries]
