"""Boost 1,000 namespaces in the same minute, with one worker.

Run: ``python benchmarks/load.py [NAMESPACES] [sandboxed]``. Prints how long it took until
all were in force, beside the time that the account's ten operations at once make
unavoidable, and the most memory that the worker held. Starts its own server, simulator and
worker, each as a process. With ``sandboxed`` workflow code runs as in the tests.
"""

from __future__ import annotations

import asyncio
import math
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from processes import KEY, Cloud, Processes, leave, processes, run
from temporalio.client import Client
from temporalio.worker import WorkflowRunner

from planner.simulator import Rules, Simulator
from workflows.cloud import CLOUD_URL, URL_VARIABLE, CloudClient, OneKey, RateLimiter
from workflows.contract import BOOST_WORKFLOW, TASK_QUEUE, BoostRequest
from workflows.worker import RUNNER, SANDBOX, build_worker

NAMESPACES = 1_000
TRU = 8
RULES = Rules(provisioning=10.0, operation=5.0, check=0.5)
"""As quick as can be waited for; the shares are about the real ones."""

REQUESTS_PER_SECOND = 10_000.0
"""No limit, in effect: what is measured is the way to the account's operations."""

GOAL = 1.2
GOAL_MEGABYTES = 300
AT_ONCE = 50
WINDOW_SECONDS = 7_200


def unavoidable(namespaces: int) -> float:
    """Return the seconds that *namespaces* take if a slot that comes free is taken at once."""
    rounds = math.ceil(namespaces / RULES.operations_at_once)
    assert RULES.operation is not None
    return rounds * RULES.operation + (RULES.provisioning - RULES.operation)


async def simulate(port: int) -> None:
    """Be the simulated Cloud, without limits on the rate of requests."""
    async with Simulator(RULES, key_rate=None, account_rate=None, port=port):
        await asyncio.Event().wait()


async def work(runner: WorkflowRunner) -> None:
    """Be the worker, without a limit on the rate of requests."""
    cloud = CloudClient(
        os.environ.get(URL_VARIABLE, CLOUD_URL), OneKey(KEY), pace=RateLimiter(REQUESTS_PER_SECOND)
    )
    client = await Client.connect(os.environ["TEMPORAL_ADDRESS"])
    async with build_worker(client, cloud, runner=runner):
        await asyncio.Event().wait()


async def for_each(names: list[str], do: Callable[[str], Awaitable[None]]) -> None:
    """Do something for each of *names*, some at once."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def limited(name: str) -> None:
        async with slots:
            await do(name)

    await asyncio.gather(*map(limited, names))


async def boost(client: Client, namespace: str) -> None:
    """Start a boost of *namespace*, as a schedule would."""
    request = BoostRequest(namespace=namespace, window="load", tru=TRU, ttl_seconds=WINDOW_SECONDS)
    await client.start_workflow(
        BOOST_WORKFLOW, request, id=f"boost/{namespace}/load", task_queue=TASK_QUEUE
    )


async def raised(cloud: Cloud, namespace: str) -> datetime | None:
    """Return when *namespace* was raised; None if it wasn't yet."""
    return next((at for at, tru in await cloud.history(namespace) if tru == TRU), None)


async def all_raised(cloud: Cloud, names: list[str], give_up: float) -> list[datetime]:
    """Wait until all of *names* are raised, and return when each was.

    Looks at those that are missing, seldom: the simulator has other work.
    """
    times: dict[str, datetime] = {}
    while missing := [name for name in names if name not in times]:
        if time.monotonic() > give_up:
            raise TimeoutError(f"{len(missing)} of {len(names)} were not raised in time")
        await asyncio.sleep(5)
        for name in missing[:: max(1, len(missing) // 20)]:
            if await raised(cloud, name) is None:
                break
        else:
            for name in missing:
                if at := await raised(cloud, name):
                    times[name] = at
    return list(times.values())


async def warm_up(client: Client, cloud: Cloud) -> None:
    """Boost one namespace first, so that the worker's own start isn't measured."""
    await cloud.create("warm-up.a1b2c")
    await boost(client, "warm-up.a1b2c")
    await all_raised(cloud, ["warm-up.a1b2c"], time.monotonic() + 120)


async def measure(stack: Processes, namespaces: int) -> None:
    """Boost them all, wait for them all, and print the figures."""
    names = [f"load-{number:04}.a1b2c" for number in range(namespaces)]
    client, ideal = await stack.connect(), unavoidable(namespaces)
    await for_each(names, stack.cloud.create)
    await warm_up(client, stack.cloud)
    parts = (stack.worker, stack.server, stack.simulator)
    before = [part.cpu_seconds for part in parts]
    begun, give_up = datetime.now(UTC), time.monotonic() + 2 * ideal + 120
    await for_each(names, lambda name: boost(client, name))
    asked = (datetime.now(UTC) - begun).total_seconds()
    times = await all_raised(stack.cloud, names, give_up)
    first, last = ((at - begun).total_seconds() for at in (min(times), max(times)))
    print(f"{namespaces} namespaces, {RULES.operations_at_once} operations at once of ", end="")
    print(f"{RULES.operation:g} s each, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"  all boosts started after      {asked:7.1f} s")
    print(f"  first in force after          {first:7.1f} s")
    print(f"  all in force after            {last:7.1f} s")
    print(f"  unavoidable                   {ideal:7.1f} s")
    spread = (last - first) / (ideal - RULES.provisioning)
    print(f"  between first and last        {spread:7.2f} × what is unavoidable then")
    print(f"  ratio                         {last / ideal:7.2f}   (goal ≤ {GOAL})")
    used = [part.cpu_seconds - spent for part, spent in zip(parts, before, strict=True)]
    print("  processor time of             ", end="")
    print(", ".join(f"{part.name} {spent:.0f} s" for part, spent in zip(parts, used, strict=True)))
    print(f"  worker's memory, at most      {stack.worker.megabytes_at_most:7.0f} MB", end="")
    print(f"  (goal < {GOAL_MEGABYTES})")


async def main(namespaces: int, *worker: str) -> None:
    """Run the benchmark; *worker* is how the worker runs workflows, as in its usage."""
    script = (sys.executable, __file__)
    with tempfile.TemporaryDirectory() as directory:
        async with processes(
            Path(directory),
            simulator=(*script, "simulator"),
            worker=(*script, "worker", *worker),
            keeps_state=False,
        ) as stack:
            await measure(stack, namespaces)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["simulator", port]:
            asyncio.run(simulate(int(port)))
        case ["worker"]:
            asyncio.run(work(RUNNER))
        case ["worker", "sandboxed"]:
            asyncio.run(work(SANDBOX))
        case []:
            leave(run(main(NAMESPACES)))
        case [namespaces, *worker]:
            leave(run(main(int(namespaces), *worker)))
