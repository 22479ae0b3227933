"""Count the billed Actions of a boost, beside the published pattern's, and of the watchdog.

Run: ``python benchmarks/actions.py``. Both boost one namespace of a simulated Cloud for a
few seconds, on a dev server of their own; the Actions are counted from the histories, and
compared with the server's own counter, which has the heartbeats, too. What a firing of a
Schedule costs is the same for both, and left out.

The published pattern for temporary rate-limit increases: an activity raises, a child
workflow that outlives its parent sleeps, and an activity lowers. It waits for nothing,
verifies nothing, and its faults are free of charge; see the decision records for the list.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from unittest.mock import patch

import httpx
from processes import BESIDE, KEY, leave, run
from temporalio import activity, workflow
from temporalio.client import Client, ScheduleActionExecutionStartWorkflow
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker
from temporalio.workflow import ParentClosePolicy

from planner.rehearsal.run import billed
from planner.simulator import Simulator
from planner.temporal.client import CACHED_NAMESPACES, STARTUP_TIMEOUT, free_port
from planner.temporal.watchdog import ensure_watchdog
from workflows.activities.watchdog import WatchdogActivities
from workflows.cloud import CloudClient, OneKey
from workflows.contract import (
    BOOST_WORKFLOW,
    TASK_QUEUE,
    WATCHDOG_ID,
    BoostRequest,
    CalendarView,
    Capacity,
    Declared,
    WatchdogInput,
    WatchdogReport,
    keeper_id,
)
from workflows.worker import build_worker

TRU = 4
WINDOW_SECONDS = 15
PATTERN_QUEUE = "published-pattern"


@dataclass(frozen=True, slots=True)
class Increase:
    """What the published pattern is told."""

    url: str
    namespace: str
    tru: float
    seconds: float


@activity.defn(name="addTRUs")
async def add_trus(increase: Increase) -> None:
    """Raise, and look no further."""
    await _write(increase, {"provisioned": {"value": increase.tru}})


@activity.defn(name="removeTRUs")
async def remove_trus(increase: Increase) -> None:
    """Go to on-demand, whatever was in force before."""
    await _write(increase, {"onDemand": {}})


async def _write(increase: Increase, capacity: dict[str, object]) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    path = f"/cloud/namespaces/{increase.namespace}"
    async with httpx.AsyncClient(base_url=increase.url, headers=headers) as http:
        found = (await http.get(path)).raise_for_status().json()["namespace"]
        spec = {**found["spec"], "capacitySpec": capacity}
        body = {"spec": spec, "resourceVersion": found["resourceVersion"]}
        (await http.post(path, json=body)).raise_for_status()


@workflow.defn(name="deprovisionTRU")
class Deprovision:
    """Waits for the end of the increase, and takes it back."""

    @workflow.run
    async def run(self, increase: Increase) -> None:
        """Sleep, and lower."""
        await workflow.sleep(increase.seconds)
        await workflow.execute_activity(
            remove_trus, increase, start_to_close_timeout=timedelta(minutes=1)
        )


@workflow.defn(name="provisionTRU")
class Provision:
    """Raises, and leaves the way back to a child that outlives it."""

    @workflow.run
    async def run(self, increase: Increase) -> None:
        """Raise, and start the child."""
        await workflow.execute_activity(
            add_trus, increase, start_to_close_timeout=timedelta(minutes=1)
        )
        await workflow.start_child_workflow(
            Deprovision.run,
            increase,
            id=f"{workflow.info().workflow_id}-deprovision",
            parent_close_policy=ParentClosePolicy.ABANDON,
        )


async def ours(
    client: Client,
    namespace: str,
    baseline: Capacity | None,
    *,
    seconds: int = WINDOW_SECONDS,
    task_queue: str = TASK_QUEUE,
) -> Counter[str]:
    """Return the Actions of one boost of ours, its keeper's included."""
    request = BoostRequest(
        namespace=namespace,
        window="count",
        tru=TRU,
        ttl_seconds=seconds,
        baseline=baseline,
    )
    boost = await client.start_workflow(
        BOOST_WORKFLOW, request, id=f"boost/{namespace}", task_queue=task_queue
    )
    await boost.result()
    keeper = client.get_workflow_handle(keeper_id(namespace))
    await keeper.result()
    return billed(await boost.fetch_history()) + billed(await keeper.fetch_history())


async def published(client: Client, url: str, namespace: str) -> Counter[str]:
    """Return the Actions of one increase by the published pattern, its child's included."""
    increase = Increase(url, namespace, TRU, WINDOW_SECONDS)
    parent = await client.start_workflow(
        Provision.run, increase, id=f"provision/{namespace}", task_queue=PATTERN_QUEUE
    )
    await parent.result()
    child = client.get_workflow_handle(f"provision/{namespace}-deprovision")
    await child.result()
    return billed(await parent.fetch_history()) + billed(await child.fetch_history())


@dataclass
class ServerCount:
    """The dev server's own counter of Actions, read from its metrics."""

    url: str
    taken: Counter[str] = field(default_factory=Counter)

    async def take(self) -> Counter[str]:
        """Return the Actions since the last call, by what the server calls them."""
        async with httpx.AsyncClient() as http:
            text = (await http.get(self.url)).raise_for_status().text
        found: Counter[str] = Counter()
        for kind, count in re.findall(ACTION, text, re.MULTILINE):
            found[kind] += round(float(count))
        new, self.taken = found - self.taken, found
        return new


ACTION = r'^action\{action_type="(?:grpc|command)_(\w+)",namespace="default",[^}]*\} (\S+)$'
"""A sample of the server's counter, for the namespace of boosts and keepers."""

HEARTBEAT = "RecordActivityTaskHeartbeat"


@asynccontextmanager
async def stage() -> AsyncIterator[tuple[Client, Simulator, ServerCount]]:
    """Run a dev server, a simulated Cloud and a worker for each of the two."""
    port = free_port()
    async with (
        Simulator(provisioning=1.0, check=0.25, auto_create=True) as simulator,
        await WorkflowEnvironment.start_local(
            dev_server_existing_path=str(BESIDE / "temporal"),
            dev_server_log_level="error",
            dev_server_extra_args=["--metrics-port", str(port), *CACHED_NAMESPACES],
            dev_server_startup_timeout=STARTUP_TIMEOUT,
        ) as environment,
    ):
        client, cloud = environment.client, CloudClient(simulator.url, OneKey(KEY))
        pattern = Worker(
            client,
            task_queue=PATTERN_QUEUE,
            workflows=[Provision, Deprovision],
            activities=[add_trus, remove_trus],
            workflow_runner=UnsandboxedWorkflowRunner(),
        )
        async with build_worker(client, cloud, grace=timedelta(seconds=1)), pattern:
            yield client, simulator, ServerCount(f"http://127.0.0.1:{port}/metrics")
        await cloud.aclose()


PROVISIONING = 100.0
"""Seconds that a change takes in Temporal Cloud, about: activities heartbeat meanwhile."""


async def slow(client: Client) -> Counter[str]:
    """Return the Actions of one boost whose capacity takes as long as in Temporal Cloud."""
    async with (
        Simulator(provisioning=PROVISIONING, check=5.0, auto_create=True) as simulator,
        CloudClient(simulator.url, OneKey(KEY)) as cloud,
        build_worker(client, cloud, task_queue="slow", grace=timedelta(seconds=1)),
    ):
        seconds = round(PROVISIONING * 1.5)
        return await ours(client, "slow.a1b2c", Capacity(), seconds=seconds, task_queue="slow")


NAMESPACES = 100
ROUNDS = 30
"""Rounds of the watchdog that are counted: as many as it makes in an hour."""

ROUND_SECONDS = 4.0
"""How far apart they are here; one takes two seconds, at the rate that the Cloud API allows."""


class Quiet:
    """Calendars of many namespaces, of which none has a window under way."""

    async def look(self, now: datetime) -> CalendarView:
        """Return the namespaces."""
        return CalendarView(
            namespaces=tuple(
                Declared(namespace=f"quiet-{number}.a1b2c", baseline=Capacity())
                for number in range(NAMESPACES)
            )
        )


async def watchdog(client: Client, cloud: CloudClient) -> Counter[str]:
    """Return the Actions of an hour of the watchdog over quiet namespaces, in as many rounds.

    Each round sends one heartbeat, which leaves no event; a firing of its schedule is two
    Actions more than the workflow that it starts.
    """
    activities = WatchdogActivities(client, cloud, Quiet(), task_queue="watchdog")
    rounds = 0
    look_around = activities._round

    async def counted(*given: Any) -> Any:
        nonlocal rounds
        rounds += 1
        return await look_around(*given)

    activities._round = counted  # type: ignore[method-assign]
    # The SDK holds back heartbeats that come within a minute; real rounds are further apart.
    at_once = partial(Worker, max_heartbeat_throttle_interval=timedelta(seconds=1))
    with patch("workflows.worker.Worker", at_once):
        worker = build_worker(
            client, cloud, task_queue="watchdog", watchdog=activities, grace=timedelta(seconds=1)
        )
    task = WatchdogInput(for_seconds=ROUNDS * ROUND_SECONDS, every_seconds=ROUND_SECONDS)
    async with worker:
        await ensure_watchdog(client, task=task, task_queue="watchdog", starts_now=True)
        (started,) = (await client.get_schedule_handle(WATCHDOG_ID).describe()).info.running_actions
        assert isinstance(started, ScheduleActionExecutionStartWorkflow)
        handle = client.get_workflow_handle(started.workflow_id, result_type=WatchdogReport)
        report = await handle.result()
        await client.get_schedule_handle(WATCHDOG_ID).delete()
    states = {one.state for one in report.namespaces}
    assert (len(report.namespaces), states) == (NAMESPACES, {"ok"}), report.problems
    billed_events = billed(await handle.fetch_history())
    return billed_events + Counter(firing=2, heartbeats=rounds)


KINDS = ("workflows", "updates", "activities", "timers")


def row(name: str, counted: Counter[str], server: Counter[str]) -> str:
    """Return a line of the table of boosts."""
    assert set(+counted) <= set(KINDS), f"a kind without a column in {counted}"
    beats = server[HEARTBEAT]
    cells = [*(counted[kind] for kind in KINDS), beats, counted.total() + beats, server.total()]
    return f"  {name:<28}" + "".join(f"{cell:>12}" for cell in cells)


async def main() -> None:
    """Count all of it, beside the server's own counter, and print it."""
    lines, hours = [], []
    async with stage() as (client, simulator, server):

        async def count(name: str, counting: Awaitable[Counter[str]]) -> None:
            await server.take()
            lines.append(row(name, await counting, await server.take()))

        await count("ours, baseline declared", ours(client, "declared.a1b2c", Capacity()))
        await count("ours, baseline found", ours(client, "found.a1b2c", None))
        await count("published pattern", published(client, simulator.url, "pattern.a1b2c"))
        await count(f"ours, {PROVISIONING:g} s up and down", slow(client))
        async with CloudClient(simulator.url, OneKey(KEY)) as cloud:
            await server.take()
            hours = [await watchdog(client, cloud), await server.take()]
    heads = (*KINDS, "heartbeats", "together", "the server's")
    print(f"{'Actions of a single boost':<30}" + "".join(f"{head:>12}" for head in heads))
    print("\n".join(lines))
    print("goal: at most 8")
    for whose, hour in zip(("by histories and rounds", "by the server"), hours, strict=True):
        parts = ", ".join(f"{number} {kind}" for kind, number in sorted((+hour).items()))
        print(f"An hour of the watchdog over {NAMESPACES} quiet namespaces, {whose}: ", end="")
        print(f"{hour.total()} ({parts})")
    days = " and ".join(str(24 * hour.total()) for hour in hours)
    print(f"A quiet day of {NAMESPACES} namespaces, 24 such hours: {days}")


if __name__ == "__main__":
    leave(run(main()))
