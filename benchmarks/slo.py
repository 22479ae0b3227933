"""Keep boosts under way on two workers, and hold their latencies against Temporal's own goals.

Run: ``python benchmarks/slo.py [BOOSTS] [SECONDS] [SETTING=VALUE …]``. So many namespaces are
boosted at once on a dev server, each again as soon as its last boost has come to its end. From the
metrics of workers and server between the first quarter of the time and its end: the 95th percentile
of the requests that start and complete, and of both waits from schedule to start, 150 ms at most;
and the share of polls that got their task at once, 99 % at least. ``pollers=2-10``,
``activity_pollers=2-50``, ``tasks=16`` and ``activities=4000`` try other settings than the worker's
own. Exits with 1 where a goal is missed.
"""

from __future__ import annotations

import asyncio
import math
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path

import httpx
from processes import UP_WITHIN, Process, Processes, leave, processes, run
from temporalio.client import Client, WorkflowFailureError
from temporalio.service import RPCError
from temporalio.worker import PollerBehaviorAutoscaling

from planner.temporal.client import free_port
from workflows import worker as settings
from workflows.contract import BOOST_WORKFLOW, TASK_QUEUE, BoostRequest, keeper_id

BOOSTS, SECONDS, WINDOW = 20, 60, 15
LATENCY, SYNC_RATE = 0.150, 0.99
SETTINGS = "PLANNER_SLO_SETTINGS"
REQUESTS = r"StartWorkflowExecution|RespondWorkflowTaskCompleted|RespondActivityTaskCompleted"

Samples = Mapping[str, float]


# The worker -------------------------------------------------------------------------------


def pollers(text: str) -> PollerBehaviorAutoscaling:
    """Return the pollers that *text* names: at least, and at most."""
    least, most = map(int, text.split("-"))
    return PollerBehaviorAutoscaling(minimum=least, maximum=most, initial=min(max(5, least), most))


def apply(changes: Iterable[str]) -> None:
    """Change the settings of this process's worker."""
    names = {
        "pollers": ("WORKFLOW_POLLERS", pollers),
        "activity_pollers": ("ACTIVITY_POLLERS", pollers),
        "tasks": ("WORKFLOW_TASKS_AT_ONCE", int),
        "activities": ("ACTIVITIES_AT_ONCE", int),
    }
    for change in changes:
        name, _, value = change.partition("=")
        constant, kind = names[name]
        vars(settings)[constant] = kind(value)


async def work(metrics: str) -> None:
    """Be a worker, as ``planner worker --metrics`` is."""
    import planner.cli.worker as worker

    apply(os.environ.get(SETTINGS, "").split())
    await worker.work("", metrics)


# The load ---------------------------------------------------------------------------------


async def keep_boosting(client: Client, namespace: str, until: float, done: Counter[str]) -> None:
    """Boost *namespace* again and again, each once the keeper of the last one has ended."""
    for number in count():
        if time.monotonic() > until:
            return
        request = BoostRequest(namespace=namespace, window=f"w{number}", tru=4, ttl_seconds=WINDOW)
        boost = await client.start_workflow(
            BOOST_WORKFLOW, request, id=f"boost/{namespace}/w{number}", task_queue=TASK_QUEUE
        )
        try:
            await boost.result()
            done["in force"] += 1
        except WorkflowFailureError:  # its window was over before its capacity was there
            done["missed"] += 1
        with suppress(RPCError):  # it has ended long ago
            await client.get_workflow_handle(keeper_id(namespace)).result()


# What came of it --------------------------------------------------------------------------


async def scrape(address: str) -> dict[str, float]:
    """Return the samples that *address* serves, by their series as it is written."""
    async with httpx.AsyncClient(timeout=UP_WITHIN, trust_env=False) as http:
        text = (await http.get(f"http://{address}/metrics")).raise_for_status().text
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if line and line[0] != "#")
    return {series: float(value) for series, value in lines}


def between(before: Samples, after: Samples) -> dict[str, float]:
    """Return how much each series has grown."""
    return {series: value - before.get(series, 0.0) for series, value in after.items()}


def quantile(share: float, samples: Iterable[tuple[str, float]]) -> float:
    """Return a quantile of histograms together, as Prometheus' ``histogram_quantile`` does."""
    buckets: Counter[float] = Counter()
    for series, value in samples:
        if found := re.search(r'le="([^"]+)"', series):
            buckets[float(found[1])] += value  # type: ignore[assignment]  # a Counter of floats
    rank, below, floor = share * buckets[math.inf], 0.0, 0.0
    if not rank:
        return math.nan
    for bound, value in sorted(buckets.items()):
        if value >= rank:
            width = 0.0 if bound == math.inf else bound - floor
            return floor + width * (rank - below) / (value - below)
        below, floor = value, bound
    return floor


def latency(name: str, grown: Iterable[Samples], label: str = "") -> float:
    """Return the 95th percentile of histogram *name*, in seconds, over all workers."""
    return quantile(
        0.95,
        (
            (series, value)
            for one in grown
            for series, value in one.items()
            if series.startswith(f"temporal_{name}_seconds_bucket") and re.search(label, series)
        ),
    )


def sync_rate(grown: Samples) -> float:
    """Return the share of polls of the planner's task queue that got their task at once."""
    queue = re.compile(r'taskqueue="capacity.boost"')
    of = {
        name: sum(
            value
            for series, value in grown.items()
            if series.startswith(f"{name}{{") and queue.search(series)
        )
        for name in ("poll_success", "poll_success_sync")
    }
    return of["poll_success_sync"] / of["poll_success"] if of["poll_success"] else math.nan


def judged(workers: list[Samples], server: Samples) -> bool:
    """Print the figures beside their goals; return whether all are held."""
    rows = [
        ("requests that start and complete, p95", latency("request_latency", workers, REQUESTS)),
        *(
            (f"{kind} tasks, schedule to start, p95", latency(name, workers, TASK_QUEUE))
            for kind, name in (
                ("workflow", "workflow_task_schedule_to_start_latency"),
                ("activity", "activity_schedule_to_start_latency"),
            )
        ),
    ]
    for what, seconds in rows:
        print(f"| {what} | {seconds * 1000:.0f} ms | {LATENCY * 1000:.0f} ms |")
    rate = sync_rate(server)
    print(f"| polls that got their task at once | {rate:.2%} | {SYNC_RATE:.0%} |")
    return all(seconds <= LATENCY for _, seconds in rows) and rate >= SYNC_RATE


async def measure(
    stack: Processes, addresses: list[str], boosts: int, seconds: float
) -> tuple[list[Samples], Samples]:
    """Keep *boosts* under way for so many *seconds*; return how the metrics have grown."""
    client, done = await stack.connect(), Counter[str]()
    names = [f"slo-{number}.a1b2c" for number in range(boosts)]
    for name in names:
        await stack.cloud.create(name)
    every = [*addresses, stack.server_metrics]
    async with asyncio.timeout(seconds + 10 * UP_WITHIN), asyncio.TaskGroup() as load:
        until = time.monotonic() + seconds
        for name in names:
            load.create_task(keep_boosting(client, name, until, done))
        await asyncio.sleep(seconds / 4)
        before = [await scrape(one) for one in every]
        await asyncio.sleep(max(0.0, until - time.monotonic()))
        after = [await scrape(one) for one in every]
    print(f"{boosts} boosts under way for {seconds:.0f} s: {dict(done)}")
    grown = [between(*pair) for pair in zip(before, after, strict=True)]
    return grown[:-1], grown[-1]


async def up(address: str) -> None:
    """Wait until a worker serves its metrics."""
    async with asyncio.timeout(UP_WITHIN):
        while True:
            try:
                await scrape(address)
                return
            except httpx.HTTPError:
                await asyncio.sleep(0.1)


async def main(arguments: list[str]) -> int:
    """Run the stack with two workers under load, and print what came of it."""
    changes = [one for one in arguments if "=" in one]
    numbers = [float(one) for one in arguments if "=" not in one]
    boosts, seconds = int(numbers[0]) if numbers else BOOSTS, (*numbers, 0, 0)[1] or SECONDS
    apply(changes)
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    own = (sys.executable, __file__, "work")
    os.environ[SETTINGS] = " ".join(changes)
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        async with processes(
            directory, worker=(*own, addresses[0]), provisioning=1.0, keeps_state=False
        ) as stack:
            second = Process(
                *("second", (*own, addresses[1]), directory / "second.log"),
                environment=stack.worker.environment,
            )
            await second.start()
            try:
                await asyncio.gather(*map(up, addresses))
                workers, server = await measure(stack, addresses, boosts, seconds)
            finally:
                await second.end()
    print(
        f"two workers, each: {settings.WORKFLOW_POLLERS}, {settings.ACTIVITY_POLLERS}, "
        f"{settings.WORKFLOW_TASKS_AT_ONCE} workflow tasks and {settings.ACTIVITIES_AT_ONCE} "
        f"activities at once; load {os.getloadavg()[0]:.1f}"
    )
    return 0 if judged(workers, server) else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        asyncio.run(work(sys.argv[2]))
    else:
        leave(run(main(sys.argv[1:])))
