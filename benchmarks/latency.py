"""From a schedule's firing to the capacity request on the wire, on a dev server.

Run: ``python benchmarks/latency.py [FIRINGS]``. Each firing is for a namespace of its own:
a keeper is started, reads, and posts. Measured from the time that the schedule fired to
the arrival of the POST at the simulated Cloud. Starts its own server, simulator and
worker, each as a process.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from processes import Processes, leave, processes, run
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleIntervalSpec,
    ScheduleSpec,
)

from workflows.contract import BOOST_WORKFLOW, TASK_QUEUE, BoostRequest

FIRINGS = 100
WARM_UPS = 3
"""Firings that come first and don't count: the worker's own start isn't measured."""

APART = 1.0
"""Seconds between two firings: calendars fire one by one, seldom a thousand at once."""

GOAL = 1.0
NEVER = timedelta(days=365)
WITHIN = 60.0


@dataclass(frozen=True, slots=True)
class Way:
    """When a firing was due, its boost began, and its capacity request arrived."""

    fired: datetime
    began: datetime
    posted: datetime

    @property
    def seconds(self) -> float:
        """From the firing to the wire."""
        return (self.posted - self.fired).total_seconds()

    @property
    def ours(self) -> float:
        """From the boost's start to the wire."""
        return (self.posted - self.began).total_seconds()


async def schedule(client: Client, namespace: str, due: datetime) -> None:
    """Create a schedule that fires once within the benchmark: at *due*, in whole seconds."""
    request = BoostRequest(namespace=namespace, window="latency", tru=4, ttl_seconds=3_600)
    phase = timedelta(seconds=due.timestamp() % NEVER.total_seconds())
    await client.create_schedule(
        f"boost/{namespace}/latency",
        Schedule(
            action=ScheduleActionStartWorkflow(
                BOOST_WORKFLOW, request, id=f"boost/{namespace}/latency", task_queue=TASK_QUEUE
            ),
            spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=NEVER, offset=phase)]),
        ),
    )


async def way_of(stack: Processes, client: Client, namespace: str, due: datetime) -> Way:
    """Return the way of the firing of *namespace* at *due*."""
    async with asyncio.timeout(WITHIN + max(0, (due - datetime.now(UTC)).total_seconds())):
        await asyncio.sleep(max(0, (due - datetime.now(UTC)).total_seconds()))
        while not (posts := await stack.cloud.requests(namespace, "update")):  # noqa: ASYNC110
            await asyncio.sleep(2)
    description = await client.get_schedule_handle(f"boost/{namespace}/latency").describe()
    (action,) = description.info.recent_actions
    boost = client.get_workflow_handle(action.action.workflow_id)  # type: ignore[union-attr]
    began = (await boost.describe()).start_time
    return Way(action.scheduled_at, began, datetime.fromisoformat(posts[0]["at"]))


async def measure(stack: Processes, firings: int) -> list[Way]:
    """Have *firings* schedules fire one after the other, and return the way of each."""
    client = await stack.connect()
    names = [f"latency-{number:03}.a1b2c" for number in range(firings + WARM_UPS)]
    ahead = 10 + 0.1 * len(names)
    begin = (datetime.now(UTC) + timedelta(seconds=ahead)).replace(microsecond=0)
    due = [begin + timedelta(seconds=APART * number) for number in range(len(names))]
    for name, at in zip(names, due, strict=True):
        await stack.cloud.create(name)
        await schedule(client, name, at)
    ways = [await way_of(stack, client, name, at) for name, at in zip(names, due, strict=True)]
    return ways[WARM_UPS:]


def percentile(values: list[float], share: float) -> float:
    """Return the smallest of *values* that *share* of them don't exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


async def main(firings: int) -> None:
    """Run the benchmark and print its table."""
    with tempfile.TemporaryDirectory() as directory:
        async with processes(Path(directory), keeps_state=False) as stack:
            ways = await measure(stack, firings)
    print(f"{firings} firings, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"{'seconds':<34}{'p50':>8}{'p99':>8}{'most':>8}")
    for name, values in (
        ("firing → capacity request", [way.seconds for way in ways]),
        ("start of the boost → request", [way.ours for way in ways]),
    ):
        figures = (percentile(values, 0.5), percentile(values, 0.99), max(values))
        print(f"  {name:<32}" + "".join(f"{figure:>8.3f}" for figure in figures))
    print(f"goal: p99 < {GOAL:g} s from the firing")


if __name__ == "__main__":
    leave(run(main(int(sys.argv[1]) if len(sys.argv) > 1 else FIRINGS)))
