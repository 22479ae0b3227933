"""How many workers a fleet should have, asked over a socket: a real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from keeper_helpers import Stage, staged
from sync_helpers import Shop, eventually
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from planner.temporal.sync_state import read_last_applied
from planner.temporal.watchdog import LiveCalendars
from workflows.activities.floors import Backlogs, Replicas
from workflows.activities.keeper import KeeperStates
from workflows.contract import DeclaredFleet, Fleet
from workflows.observability import health_endpoint
from workflows.worker import RUNNER

pytestmark = pytest.mark.integration

SECONDS = 1 / 3600
FLEET = Fleet(name="payments", min=2, max=30)


@dataclass
class DeclaredFleets:
    """Live schedules that declare some fleets, or can't be read."""

    found: tuple[DeclaredFleet, ...]
    problem: str = ""

    async def fleets(self, now: datetime) -> tuple[DeclaredFleet, ...]:
        """Return them."""
        if self.problem:
            raise RuntimeError(self.problem)
        return self.found


def replicas_for(
    client: Client, namespace: str, fleet: Fleet = FLEET, **other: Any
) -> tuple[Replicas, DeclaredFleets]:
    """Return what a worker that has just started knows, and what it reads the fleets from."""
    declared = DeclaredFleets((DeclaredFleet(fleet=fleet, namespace=namespace, project="team"),))
    return Replicas(client, declared, KeeperStates(client), **other), declared


@asynccontextmanager
async def served(replicas: Replicas) -> AsyncIterator[Callable[[str], Awaitable[httpx.Response]]]:
    """Serve *replicas* as a worker does; yields how to ask for a fleet."""
    async with (
        health_endpoint("127.0.0.1", 0, lambda: True, replicas=replicas) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
    ):
        yield lambda name: http.get(f"/v1/replicas/{name}")


async def boosted(stage: Stage, seconds: float, replicas: int = 20) -> None:
    """Run a boost with workers of the fleet to its end."""
    result = await stage.boost(
        4, seconds * SECONDS, window="close", workers={"payments": replicas}, fleets=(FLEET,)
    )
    assert result.in_force


async def test_any_worker_answers_the_floor(dev_server: WorkflowEnvironment, fresh: str) -> None:
    """The minimum without a window, its floor while it runs, also by one that has just started.

    The keeper is asked nothing: what it holds is read from its history, which is no Action.
    """
    async with staged(dev_server, fresh) as stage:
        first, _ = replicas_for(stage.client, stage.namespace)
        async with served(first) as ask:
            assert (await ask("payments")).json() == {
                "replicas": 2,
                "until": None,
                "windows": [],
            }
            await boosted(stage, 4)
            during = (await ask("payments")).json()
            assert (during["replicas"], during["windows"]) == (20, ["close"])
            assert datetime.fromisoformat(during["until"]) > datetime.now(UTC)
            other, _ = replicas_for(stage.client, stage.namespace)
            async with served(other) as ask_other:
                assert (await ask_other("payments")).json() == during
            ((_, leases),) = first._leases.values()
            assert first.states.known(
                stage.namespace,
                (described := await stage.keeper.describe()).run_id,
                described.history_length,
            ), "what was read of this history is not read again"
            assert [lease.window for lease in leases] == ["close"]
            await stage.end()
            assert (await ask("payments")).json()["replicas"] == 2


async def test_what_is_not_known_is_an_error(dev_server: WorkflowEnvironment, fresh: str) -> None:
    """Never a zero: an unknown fleet, a keeper that broke off, schedules that can't be read."""
    async with staged(dev_server, fresh) as stage:
        replicas, declared = replicas_for(stage.client, stage.namespace)
        async with served(replicas) as ask:
            declared.problem = "no way"
            unread = await ask("payments")
            assert unread.status_code == 503
            assert unread.text == "the live schedules can't be read: no way\n"
            declared.problem = ""
            unknown = await ask("refunds")
            assert unknown.status_code == 404
            assert "known: payments" in unknown.text
            await boosted(stage, 60)
            await stage.keeper.terminate()
            broken = await ask("payments")
            assert broken.status_code == 503
            assert "broke off (terminated)" in broken.text


async def test_a_fleet_that_no_window_uses_is_known(
    dev_server: WorkflowEnvironment, fresh: str
) -> None:
    """Its floor is its minimum: before its first window, and after its last one was deleted.

    A plan says that a sync has something to write; a window that uses it counts before that.
    """
    shop = Shop(dev_server.client, fresh)
    fleet = replace(FLEET, name=f"{fresh}-payments")
    window = shop.value(workers={fleet.name: 20}, fleets=(replace(fleet, min=3),))
    unused = (DeclaredFleet(fleet=fleet, namespace=shop.namespace, project=shop.project),)

    async def answers(replicas: int) -> None:
        read = LiveCalendars(shop.server)
        found = Replicas(shop.client, read, KeeperStates(shop.client))
        async with served(found) as ask:
            assert (await ask(fleet.name)).json()["replicas"] == replicas

    try:
        (warning,) = (await shop.plan(fleets=unused)).warnings
        assert warning.code == "fleets"
        assert (await shop.sync(fleets=unused)).outcomes == ()
        assert (await shop.plan(fleets=unused)).warnings == ()
        await eventually(lambda: answers(2))
        await shop.sync(window, fleets=())
        last = await read_last_applied(shop.server, shop.project, datetime.now(UTC))
        assert last.fleets == ()
        await eventually(lambda: answers(3))
        await shop.sync(fleets=unused)
        await eventually(lambda: answers(2))
        # A part of the windows: what the others will use stays known meanwhile.
        await shop.sync(window, fleets=(), in_part=lambda _: False)
        last = await read_last_applied(shop.server, shop.project, datetime.now(UTC))
        assert last.fleets == unused
    finally:
        await shop.sync(fleets=())


async def test_the_last_answer_counts_for_a_minute(
    own_server: WorkflowEnvironment, fresh: str
) -> None:
    """While Temporal is away the leases of before count; then the answer says how old they are."""
    async with staged(own_server, fresh) as stage:
        await boosted(stage, 600)
        replicas, _ = replicas_for(stage.client, stage.namespace)
        now = datetime.now(UTC)
        assert (await replicas.answer("payments", now)).replicas == 20
        replicas.client = await Client.connect("127.0.0.1:1", lazy=True)
        assert (await replicas.answer("payments", now + timedelta(seconds=30))).replicas == 20
        async with served(replicas) as ask:
            replicas._leases[stage.namespace] = (
                now - timedelta(minutes=3),
                replicas._leases[stage.namespace][1],
            )
            away = await ask("payments")
        assert away.status_code == 503
        assert "what was known is 3m" in away.text


@workflow.defn(name="Work")
class Work:
    """A workflow with one activity, as a queue without workers has waiting."""

    @workflow.run
    async def run(self) -> None:
        """Do it."""
        await workflow.execute_activity("work", start_to_close_timeout=timedelta(seconds=30))


@activity.defn(name="work")
async def work() -> None:
    """Do nothing."""


async def test_a_real_backlog_counts_above_the_floor(
    own_server: WorkflowEnvironment, fresh: str
) -> None:
    """A queue without workers fills and the fleet follows; with them it comes down again."""
    client, queue = own_server.client, f"{fresh}-work"
    fleet = Fleet(name="payments", min=2, max=6, task_queue=queue, target_queue_size=5)
    address = client.service_client.config.target_host
    replicas, _ = replicas_for(
        client,
        client.namespace,
        fleet,
        backlogs=Backlogs(address, spacing=0),
        down_after=timedelta(seconds=2),
        backlog_every=timedelta(0),
    )

    async def until(count: int, backlog: int | None = None) -> dict[str, Any]:
        async with asyncio.timeout(30):
            while True:
                answer = await replicas.answer("payments", datetime.now(UTC))
                plain = answer.plain
                if answer.replicas == count and backlog in (None, plain["backlog"]):
                    return plain
                assert 2 <= answer.replicas <= 6
                await asyncio.sleep(0.1)

    assert (await until(2))["backlog"] == 0

    async def start(number: int) -> None:
        await client.start_workflow("Work", id=f"{queue}-{number}", task_queue=queue)

    for number in range(12):
        await start(number)
    assert json.loads(json.dumps(await until(3)))["backlog"] == 12  # 12 / 5, rounded up
    for number in range(12, 40):
        await start(number)
    await until(6)  # 8, and the maximum is 6
    worker = Worker(
        client, task_queue=queue, workflows=[Work], activities=[work], workflow_runner=RUNNER
    )
    async with worker:
        await until(2, backlog=0)


async def test_no_answer_from_the_queue_is_the_floor(
    dev_server: WorkflowEnvironment, fresh: str
) -> None:
    """A queue that can't be asked makes no zero: the calendar's floor stays, and says so."""
    async with staged(dev_server, fresh) as stage:
        await boosted(stage, 5)
        fleet = Fleet(name="payments", min=2, max=30, task_queue="work", target_queue_size=5)
        for backlogs, why in (
            (Backlogs(""), "PLANNER_BACKLOG_ADDRESS is not set"),
            (Backlogs("127.0.0.1:1", spacing=0), "the backlog of work is not known"),
        ):
            replicas, _ = replicas_for(stage.client, stage.namespace, fleet, backlogs=backlogs)
            plain = (await replicas.answer("payments", datetime.now(UTC))).plain
            assert (plain["replicas"], plain["floor"], plain["backlog"]) == (20, 20, None)
            assert why in plain["note"]
            assert plain["note"].endswith("this is the calendar's floor")
        await stage.end()
