"""Sync 1,000 windows on a real dev server, beside the bare client doing the same requests.

Run: ``python benchmarks/sync.py [WINDOWS [ROUNDS]]``. Starts servers of its own, prints one
table: medians of rounds in which the bare client and the sync take turns, each on an empty
server. The bare client is done when the last create is answered; a first sync is done when
it has read back all that it wrote. Beside the wall clock stands the processor time of
client and server together: it depends less on what else the machine does.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleCalendarSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
    ScheduleState,
)
from temporalio.testing import WorkflowEnvironment

from planner.model import Cron, Duration, NamespaceCalendar, Project, Window
from planner.plan.model import DesiredState
from planner.schedules.compile import compile_project
from planner.schedules.spec import Ranges, StructuredCalendar
from planner.schedules.spec import Schedule as Value
from planner.temporal.client import AT_ONCE, STARTUP_TIMEOUT, Server
from planner.temporal.sync import SyncRequest, sync
from workflows.contract import BOOST_WORKFLOW, TASK_QUEUE

CHANGED = 10
READS = 5
"""Times that each read is repeated, for both sides alike; the median counts."""


@dataclass(frozen=True)
class Cost:
    """What something took: seconds on the clock, and of the processors."""

    seconds: float
    processor: float


class Counting(Server):
    """A server that counts the requests it is sent."""

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self.counts: Counter[str] = Counter()

    async def send(self, call: Any, request: Any) -> Any:
        """Count *request* and send it."""
        self.counts[type(request).__name__.removesuffix("Request")] += 1
        return await super().send(call, request)


def project(windows: int, changed: int = 0) -> Project:
    """Return a project of so many windows, ten a namespace; the first *changed* ask for more."""
    calendars = []
    for first in range(0, windows, 10):
        namespace = f"team-{first // 10:03}.a1b2c"
        calendars.append(
            NamespaceCalendar(
                namespace=namespace,
                timezone="UTC",
                windows=tuple(
                    window(namespace, number, 8 if number < changed else 4)
                    for number in range(first, min(first + 10, windows))
                ),
            )
        )
    return Project(name="benchmark", namespaces=tuple(calendars))


def window(namespace: str, number: int, tru: int) -> Window:
    """Return a window that opens once a month, at some minute of some day."""
    return Window(
        namespace=namespace,
        name=f"window-{number:04}",
        recurrence=Cron((f"{number % 60} {number % 24} {number % 28 + 1} * *",)),
        length=Duration(timedelta(hours=2)),
        tru=tru,
        asked=f"{tru} TRU",
        description="A window of the benchmark",
    )


async def timed(work: Callable[[], Awaitable[object]]) -> Cost:
    """Return what *work* costs."""
    begun, used = time.perf_counter(), processor_time()
    await work()
    return Cost(time.perf_counter() - begun, processor_time() - used)


def processor_time() -> float:
    """Return the seconds of processor that this process and its servers have used.

    Of a server only where there is a ``/proc``.
    """
    own = os.times()
    ticks = sum(ticks_of(child) for child in children())
    return own.user + own.system + ticks / os.sysconf("SC_CLK_TCK")


def children() -> list[str]:
    """Return the ids of the processes that this one has started."""
    lists = Path("/proc/self/task").glob("*/children")
    return [id for found in lists for id in found.read_text().split()]


def ticks_of(id: str) -> int:
    """Return the clock ticks that a process has spent, for itself and in the kernel."""
    fields = Path(f"/proc/{id}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


async def bare_create(client: Client, desired: tuple[Value, ...]) -> None:
    """Create the same schedules with the SDK alone, as many at once."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(value: Value) -> None:
        memo = {"planner": {"project": value.project}}
        async with slots:
            await client.create_schedule(value.id, bare(value), memo=memo)

    await asyncio.gather(*map(one, desired))


def bare(value: Value) -> Schedule:
    """Return *value* as the SDK has it."""
    return Schedule(
        action=ScheduleActionStartWorkflow(
            BOOST_WORKFLOW,
            value.request,
            id=value.id,
            task_queue=TASK_QUEUE,
            static_summary=value.summary,
        ),
        spec=ScheduleSpec(
            calendars=[bare_calendar(calendar) for calendar in value.calendars],
            time_zone_name=value.timezone,
            jitter=value.jitter,
        ),
        policy=SchedulePolicy(
            overlap=ScheduleOverlapPolicy.ALLOW_ALL, catchup_window=value.catchup_window
        ),
        state=ScheduleState(note=value.note),
    )


def bare_calendar(calendar: StructuredCalendar) -> ScheduleCalendarSpec:
    """Return *calendar* as the SDK has it."""

    def ranges(ours: Ranges) -> list[ScheduleRange]:
        return [ScheduleRange(one.start, one.end, one.step) for one in ours]

    return ScheduleCalendarSpec(
        second=ranges(calendar.second),
        minute=ranges(calendar.minute),
        hour=ranges(calendar.hour),
        day_of_month=ranges(calendar.day_of_month),
        month=ranges(calendar.month),
        year=ranges(calendar.year),
        day_of_week=ranges(calendar.day_of_week),
        comment=calendar.comment,
    )


async def bare_listed(client: Client) -> int:
    """Read the whole list with the SDK alone, and return how many schedules it shows."""
    return len([entry.id async for entry in await client.list_schedules(page_size=1000)])


def request_of(desired: Project) -> SyncRequest:
    """Return the request to sync *desired*, compiled."""
    schedules = compile_project(desired, datetime.now(UTC).date())
    return SyncRequest(desired=DesiredState(project=desired.name, schedules=schedules))


async def measure_bare(windows: int) -> Cost:
    """Return what it costs the bare client to create all."""
    desired = request_of(project(windows)).desired.schedules
    async with await server() as environment:
        return await timed(lambda: bare_create(environment.client, desired))


@dataclass
class Row:
    """What a kind of sync cost, with what requests, and the bare client beside it."""

    name: str
    cost: Cost
    counts: Counter[str]
    bare: Cost | None = None


async def measure_ours(windows: int) -> list[Row]:
    """Return what each kind of sync costs, on a server of its own.

    Passes over the list and syncs with nothing to do take turns, so that whatever else
    the machine does hits both alike.
    """
    now = datetime.now(UTC)
    async with await server() as environment:
        client = environment.client

        async def one(name: str, changed: int = 0) -> Row:
            request, ours = request_of(project(windows, changed)), Counting(client)
            return Row(name, await timed(lambda: sync(ours, request, now)), ours.counts)

        rows = [await one("first sync"), await one("again, at once")]
        idle, bare = [], []
        for _ in range(READS):
            bare.append(await timed(lambda: bare_listed(client)))
            idle.append(await one("nothing to do"))
        middle = Row("nothing to do", typical(row.cost for row in idle), idle[-1].counts)
        return [
            *rows,
            replace(middle, bare=typical(bare)),
            await one(f"{CHANGED} changed", CHANGED),
        ]


def typical(costs: Iterable[Cost]) -> Cost:
    """Return the medians of *costs*."""
    found = list(costs)
    return Cost(median(one.seconds for one in found), median(one.processor for one in found))


async def server() -> WorkflowEnvironment:
    """Start a dev server of its own, empty."""
    beside = Path(sys.executable).parent / "temporal"
    return await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(beside),
        dev_server_log_level="error",
        dev_server_startup_timeout=STARTUP_TIMEOUT,
    )


async def main(windows: int = 1000, rounds: int = 3) -> None:
    """Print the table."""
    begun = os.getloadavg()[0]
    made = [await one_round(windows, ours_first=bool(number % 2)) for number in range(rounds)]
    print(f"\n{windows} windows, {AT_ONCE} requests at once, median of {rounds} rounds, ", end="")
    print(f"{os.cpu_count()} cores, load {begun:.1f} before and {os.getloadavg()[0]:.1f} after")
    print(f"{'':<16}{'seconds':>9}{'bare':>8}{'ratio':>7}{'processor':>11}{'bare':>8}{'ratio':>7}")
    for kind in zip(*made, strict=True):
        print(line(kind))


async def one_round(windows: int, *, ours_first: bool) -> list[Row]:
    """Return the rows of one round, in one order or the other."""
    if ours_first:
        rows, bare = await measure_ours(windows), await measure_bare(windows)
    else:
        bare, rows = await measure_bare(windows), await measure_ours(windows)
    rows[0].bare = bare
    return rows


def line(kind: tuple[Row, ...]) -> str:
    """Return the line of a *kind* of sync: its medians over all rounds."""
    ours, bare = typical(row.cost for row in kind), [row.bare for row in kind if row.bare]
    beside = typical(bare) if bare else None
    words = [
        cell(ours.seconds, beside.seconds if beside else None),
        cell(ours.processor, beside.processor if beside else None, 11),
        ", ".join(f"{count} {name}" for name, count in sorted(kind[-1].counts.items())),
    ]
    return f"{kind[0].name:<16}" + "".join(words[:2]) + "  " + words[2]


def cell(ours: float, bare: float | None, width: int = 9) -> str:
    """Return three columns: ours, the bare client's, and how many times as much ours is."""
    return f"{ours:>{width}.2f}" + (f"{bare:>8.2f}{ours / bare:>7.2f}" if bare else " " * 15)


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    asyncio.run(main(*given))
    sys.stdout.flush()
    os._exit(0)
