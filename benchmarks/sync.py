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


async def bare_create(client: Client, ids: list[str], request: object) -> None:
    """Create as many schedules with the SDK alone, as many at once."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, id: str) -> None:
        at = ScheduleCalendarSpec(
            minute=[ScheduleRange(number % 60)],
            hour=[ScheduleRange(number % 24)],
            day_of_month=[ScheduleRange(number % 28 + 1)],
            comment="[0123456789ab.012345] a rule in words",
        )
        action = ScheduleActionStartWorkflow(
            BOOST_WORKFLOW, request, id=id, task_queue=TASK_QUEUE, static_summary="4 TRU"
        )
        policy = SchedulePolicy(
            overlap=ScheduleOverlapPolicy.ALLOW_ALL, catchup_window=timedelta(hours=3)
        )
        made = Schedule(
            action=action,
            spec=ScheduleSpec(calendars=[at]),
            policy=policy,
            state=ScheduleState(note="4 TRU for a window of the benchmark"),
        )
        async with slots:
            await client.create_schedule(id, made, memo={"planner": {"project": "bare"}})

    await asyncio.gather(*(one(number, id) for number, id in enumerate(ids)))


async def bare_list(client: Client, count: int) -> None:
    """Read the whole list with the SDK alone."""
    found = [entry.id async for entry in await client.list_schedules(page_size=1000)]
    assert len(found) == count, f"the list shows {len(found)} of {count}"


async def best(work: Callable[[], Awaitable[object]]) -> float:
    """Return the least seconds that *work* takes in a few rounds."""
    return min([await timed(work) for _ in range(ROUNDS)])


def order_of(wanted: Project) -> Order:
    """Return the order to have *wanted*, compiled."""
    schedules = compile_project(wanted, datetime.now(UTC).date())
    return Order(wanted=Wanted(project=wanted.name, schedules=schedules))


async def measure_bare(windows: int) -> tuple[float, float]:
    """Return the seconds that creating and listing take the bare client, on a server of its own."""
    desired = order_of(project(windows)).wanted.schedules
    async with await server() as environment:
        client = environment.client
        ids = [one.id for one in desired]
        created = await timed(lambda: bare_create(client, ids, desired[0].request))
        await settled(client, windows)
        return created, await best(lambda: bare_list(client, windows))


async def settled(client: Client, count: int) -> None:
    """Wait until the list shows *count* schedules."""
    for _ in range(100):
        if len([entry.id async for entry in await client.list_schedules()]) == count:
            return
        await asyncio.sleep(0.1)


async def measure_ours(windows: int) -> list[tuple[str, float, Counter[str]]]:
    """Return the seconds and requests of each kind of sync, on a server of its own."""
    now = datetime.now(UTC)
    rows = []
    async with await server() as environment:
        for name, changed, rounds in (
            ("first sync", 0, 1),
            ("nothing to do", 0, ROUNDS),
            (f"{CHANGED} changed", CHANGED, 1),
        ):
            order = order_of(project(windows, changed))
            taken = []
            for _ in range(rounds):
                ours = Counting(environment.client)
                taken.append(await timed(lambda: sync(ours, order, now)))  # noqa: B023
            rows.append((name, min(taken), ours.counts))
        again = environment.client
        rows.append(("bare list there", await best(lambda: bare_list(again, windows)), Counter()))
    return rows


async def server() -> WorkflowEnvironment:
    """Start a dev server of its own, empty."""
    beside = Path(sys.executable).parent / "temporal"
    return await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(beside), dev_server_log_level="error"
    )


async def main(windows: int) -> None:
    """Print the table."""
    bare_created, _ = await measure_bare(windows)
    (first, idle, few, listed) = await measure_ours(windows)
    print(f"\n{windows} windows, {AT_ONCE} requests at once, {os.cpu_count()} cores")
    print(f"{'':<28}{'seconds':>9}{'bare client':>13}{'ratio':>8}   requests")
    for row, bare in ((first, bare_created), (idle, listed[1]), (few, None)):
        name, seconds, counts = row
        requests = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
        beside = f"{bare:>13.3f}{seconds / bare:>8.2f}" if bare else f"{'':>21}"
        print(f"{name:<28}{seconds:>9.3f}{beside}   {requests}")
    rate = bare_created / first[1]
    print(f"first sync at {rate:.2f} × the bare client's rate (goal ≥ 0.9)")
    print(f"nothing to do at {idle[1] / listed[1]:.2f} × the bare list pass (goal ≤ 1.3)")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
    sys.stdout.flush()
    os._exit(0)
