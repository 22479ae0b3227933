"""Count the billed Actions of a boost, beside the published pattern's, and of the watchdog.

Run: ``python benchmarks/actions.py``. Both boost one namespace of a simulated Cloud for a
few seconds, on a dev server of their own; the Actions are counted from the histories. What
a firing of a Schedule costs is the same for both, and left out.

The published pattern for temporary rate-limit increases: an activity raises, a child
workflow that outlives its parent sleeps, and an activity lowers. It waits for nothing,
verifies nothing, and its faults are free of charge; see the decision records for the list.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx
from processes import BESIDE, KEY, leave, run
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker
from temporalio.workflow import ParentClosePolicy

from planner.rehearsal.run import billed
from planner.simulator import Simulator
from workflows.activities.watchdog import WatchdogActivities
from workflows.cloud import CloudClient, OneKey
from workflows.contract import (
    BOOST_WORKFLOW,
    TASK_QUEUE,
    WATCHDOG_ID,
    WATCHDOG_WORKFLOW,
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
WINDOW_SECONDS = 6
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


async def ours(client: Client, namespace: str, baseline: Capacity | None) -> Counter[str]:
    """Return the Actions of one boost of ours, its keeper's included."""
    request = BoostRequest(
        namespace=namespace,
        window="count",
        tru=TRU,
        ttl_seconds=WINDOW_SECONDS,
        baseline=baseline,
    )
    boost = await client.start_workflow(
        BOOST_WORKFLOW, request, id=f"boost/{namespace}", task_queue=TASK_QUEUE
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


@asynccontextmanager
async def stage() -> AsyncIterator[tuple[Client, Simulator]]:
    """Run a dev server, a simulated Cloud and a worker for each of the two."""
    async with (
        Simulator(provisioning=1.0, check=0.25, auto_create=True) as simulator,
        await WorkflowEnvironment.start_local(
            dev_server_existing_path=str(BESIDE / "temporal"), dev_server_log_level="error"
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
            yield client, simulator
        await cloud.aclose()


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
    async with build_worker(
        client, cloud, task_queue="watchdog", watchdog=activities, grace=timedelta(seconds=1)
    ):
        handle = await client.start_workflow(
            WATCHDOG_WORKFLOW,
            WatchdogInput(for_seconds=ROUNDS * ROUND_SECONDS, every_seconds=ROUND_SECONDS),
            id=WATCHDOG_ID,
            task_queue="watchdog",
            result_type=WatchdogReport,
        )
        report = await handle.result()
    states = {one.state for one in report.namespaces}
    assert (len(report.namespaces), states) == (NAMESPACES, {"ok"}), report.problems
    billed_events = billed(await handle.fetch_history())
    return billed_events + Counter(firing=2, heartbeats=rounds)


async def main() -> None:
    """Count both, and print the table; then an hour and a day of the watchdog."""
    async with stage() as (client, simulator):
        rows = {
            "ours, baseline declared": await ours(client, "declared.a1b2c", Capacity()),
            "ours, baseline found": await ours(client, "found.a1b2c", None),
            "published pattern": await published(client, simulator.url, "pattern.a1b2c"),
        }
        async with CloudClient(simulator.url, OneKey(KEY)) as cloud:
            hour = await watchdog(client, cloud)
    kinds = ("workflows", "updates", "activities", "timers")
    print(f"{'Actions of a single boost':<28}" + "".join(f"{kind:>12}" for kind in kinds), end="")
    print(f"{'together':>12}")
    for name, counted in rows.items():
        assert set(+counted) <= set(kinds), f"a kind without a column in {counted}"
        print(f"  {name:<26}" + "".join(f"{counted[kind]:>12}" for kind in kinds), end="")
        print(f"{counted.total():>12}")
    print("goal: at most 8")
    parts = ", ".join(f"{count} {kind}" for kind, count in sorted((+hour).items()))
    print(f"An hour of the watchdog over {NAMESPACES} quiet namespaces: {hour.total()} ({parts})")
    print(f"A quiet day of {NAMESPACES} namespaces: {24 * hour.total()}")


if __name__ == "__main__":
    leave(run(main()))
