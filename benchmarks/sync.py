"""Sync 1,000 windows on a real dev server, beside the bare client doing the same requests.

Run: ``python benchmarks/sync.py [WINDOWS]``. Prints one table; starts its own server.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
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

from planner.diff import Wanted
from planner.live.server import AT_ONCE, Server
from planner.live.sync import Order, sync
from planner.model import Cron, Duration, NamespaceCalendar, Project, Window
from planner.schedules import compile_project
from planner.spec import Ranges, StructuredCalendar
from planner.spec import Schedule as Value
from workflows.contract import BOOST_WORKFLOW, TASK_QUEUE

CHANGED = 10
ROUNDS = 5
"""Times that each read is repeated; the fastest counts, for both sides alike."""


class Counting(Server):
    """A server that counts the requests it is sent."""

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self.counts: Counter[str] = Counter()

    async def ask(self, call: Any, request: Any) -> Any:
        """Count *request* and send it."""
        self.counts[type(request).__name__.removesuffix("Request")] += 1
        return await super().ask(call, request)


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


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    """Return the seconds that *work* takes."""
    begun = time.perf_counter()
    await work()
    return time.perf_counter() - begun


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


async def bare_list(client: Client, count: int) -> None:
    """Read the whole list with the SDK alone."""
    found = [entry.id async for entry in await client.list_schedules(page_size=1000)]
    assert len(found) == count, f"the list shows {len(found)} of {count}"


def order_of(wanted: Project) -> Order:
    """Return the order to have *wanted*, compiled."""
    schedules = compile_project(wanted, datetime.now(UTC).date())
    return Order(wanted=Wanted(project=wanted.name, schedules=schedules))


async def measure_bare(windows: int) -> float:
    """Return the seconds that creating takes the bare client, on a server of its own."""
    desired = order_of(project(windows)).wanted.schedules
    async with await server() as environment:
        return await timed(lambda: bare_create(environment.client, desired))


@dataclass
class Row:
    """What a kind of sync took, and the bare client beside it."""

    name: str
    seconds: float
    counts: Counter[str]
    bare: float | None = None


async def measure_ours(windows: int) -> list[Row]:
    """Return what each kind of sync takes, on a server of its own.

    Passes over the list and syncs with nothing to do take turns, so that whatever else
    the machine does hits both alike.
    """
    now = datetime.now(UTC)
    async with await server() as environment:
        client = environment.client

        async def one(changed: int) -> tuple[float, Counter[str]]:
            order, ours = order_of(project(windows, changed)), Counting(client)
            return await timed(lambda: sync(ours, order, now)), ours.counts

        first = Row("first sync", *await one(0))
        idle, bare = [], []
        for _ in range(ROUNDS):
            bare.append(await timed(lambda: bare_list(client, windows)))
            idle.append(await one(0))
        few = Row(f"{CHANGED} changed", *await one(CHANGED))
        return [first, Row("nothing to do", *min(idle, key=lambda x: x[0]), min(bare)), few]


async def server() -> WorkflowEnvironment:
    """Start a dev server of its own, empty."""
    beside = Path(sys.executable).parent / "temporal"
    return await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(beside), dev_server_log_level="error"
    )


async def main(windows: int) -> None:
    """Print the table: the best of two rounds, the bare client first in each."""
    created, rounds = [], []
    for _ in range(2):
        created.append(await measure_bare(windows))
        rounds.append(await measure_ours(windows))
    rows = [min(kind, key=lambda row: row.seconds) for kind in zip(*rounds, strict=True)]
    rows[0].bare = min(created)
    print(f"\n{windows} windows, {AT_ONCE} requests at once, {os.cpu_count()} cores, ", end="")
    print(f"load {os.getloadavg()[0]:.1f}")
    print(f"{'':<16}{'seconds':>9}{'bare client':>13}{'ratio':>8}   requests")
    for row in rows:
        requests = ", ".join(f"{count} {kind}" for kind, count in sorted(row.counts.items()))
        beside = f"{row.bare:>13.3f}{row.seconds / row.bare:>8.2f}" if row.bare else " " * 21
        print(f"{row.name:<16}{row.seconds:>9.3f}{beside}   {requests}")
    print(f"first sync at {min(created) / rows[0].seconds:.2f} × the bare rate (goal ≥ 0.9)")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
    sys.stdout.flush()
    os._exit(0)
