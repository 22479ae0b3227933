"""Windows near the present on the real dev server: none opens without having been asked for.

A few of each in every run. The whole matrix: ``make near-now``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import real_server
from planner_process import run_planner
from schedule_values import on
from sync_helpers import Shop, eventually, polling
from temporalio import workflow
from temporalio.api.workflowservice.v1 import (
    CreateScheduleRequest,
    PatchScheduleRequest,
    UpdateScheduleRequest,
)
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.worker import Worker

from planner.cli.request import desired_state
from planner.config.load import read
from planner.errors import ServerError
from planner.render.plan import plan_json, plan_markdown, plan_text
from planner.schedules.spec import Schedule
from planner.temporal.apply import Outcome, start
from planner.temporal.client import Server
from planner.temporal.fetch import boost_id, was_started
from planner.temporal.status import fetch_statuses
from planner.temporal.sync import SyncReport, sync
from workflows.contract import (
    KEEPER_WORKFLOW,
    STATUS_QUERY,
    KeeperStatus,
    Lease,
    keeper_id,
    lease_of,
)

pytestmark = pytest.mark.integration

SEED = int(os.environ.get("PLANNER_SEED", "20261121"))
ROUNDS = int(os.environ.get("PLANNER_NEAR_ROUNDS", "1"))
SIZES = [int(size) for size in os.environ.get("PLANNER_NEAR_SIZES", "20").split()]
"""How many schedules a sync writes."""

SPREAD = 15
"""Seconds ahead of a sync's begin within which its windows open."""

SETTLE = 30.0
"""Seconds after the last opening within which a server, busy as it is, fired and is looked at."""


@pytest.fixture
def shop(client: Client, fresh: str) -> Shop:
    """A project that no other test has."""
    return Shop(client, fresh)


def second() -> datetime:
    """Return the present, in whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)


def opening(shop: Shop, at: datetime, window: str = "payroll", **fields: Any) -> Schedule:
    """Return a window that is asked for at *at*, once, and again in a year."""
    calendars = (on(at), on(at + timedelta(days=365)))
    return shop.value(window, **{"calendars": calendars, "ahead_seconds": 0, **fields})


async def unasked(shop: Shop, due: Iterable[tuple[Schedule, datetime]]) -> list[str]:
    """Return which of *due* no boost was started for."""
    server = shop.server
    pairs = list(due)
    begun = await asyncio.gather(*(was_started(server, one, at) for one, at in pairs))
    return [boost_id(one, at) for (one, at), done in zip(pairs, begun, strict=True) if not done]


async def all_asked(shop: Shop, due: Iterable[tuple[Schedule, datetime]]) -> None:
    """Fail unless all of *due* were asked for."""
    assert await unasked(shop, due) == []


# While a sync writes ----------------------------------------------------------------


class Slow(Server):
    """A server to which a create or an update takes until *at* has gone by."""

    at = datetime.min.replace(tzinfo=UTC)

    async def send(self, call: Any, request: Any) -> Any:
        """Send *request*, once it is time."""
        if isinstance(request, CreateScheduleRequest | UpdateScheduleRequest):
            await asyncio.sleep(max(0.0, (self.at - datetime.now(UTC)).total_seconds()))
        return await super().send(call, request)


@pytest.mark.parametrize("kind", ["new", "changed"])
async def test_a_window_that_opens_while_the_sync_writes(shop: Shop, kind: str) -> None:
    """It opened between the plan and the write: it is started, and that is said."""
    later = second() + timedelta(days=2)
    if kind == "changed":
        await shop.sync(opening(shop, later))
    slow, at = Slow(shop.client), second() + timedelta(seconds=2)
    slow.at = at + timedelta(seconds=1)
    value = opening(shop, at)
    report = await sync(slow, shop.order(value), datetime.now(UTC))
    assert report.failed == ()
    assert await unasked(shop, [(value, at)]) == []
    assert [outcome.change.action for outcome in report.outcomes][1:] == ["start"]
    assert report.outcomes[1].message == "it became due while the sync wrote"
    assert (await shop.plan(value)).pending == ()


class Refusing(Slow):
    """A server that starts nothing."""

    async def send(self, call: Any, request: Any) -> Any:
        """Send *request*, unless it is to start something."""
        if isinstance(request, PatchScheduleRequest):
            raise ServerError("not now")
        return await super().send(call, request)


async def test_what_can_not_be_started_is_named(shop: Shop) -> None:
    """The sync fails and says which; the plan goes on saying so; the next sync starts it."""
    slow, at = Refusing(shop.client), second() + timedelta(seconds=2)
    slow.at = at + timedelta(seconds=1)
    value = opening(shop, at)
    report = await sync(slow, shop.order(value), datetime.now(UTC))
    (failed,) = report.failed
    assert (failed.change.id, failed.change.action) == (value.id, "start")
    assert "not now" in failed.message
    (change,) = (await shop.plan(value)).pending
    assert (change.action, change.starts) == ("start", (at,))
    await shop.sync(value)
    assert await unasked(shop, [(value, at)]) == []


async def test_a_window_that_is_over_before_it_could_be_started(shop: Shop) -> None:
    """It came and went while the sync wrote: the sync says which, and fails."""
    slow, at = Slow(shop.client), second() + timedelta(seconds=2)
    slow.at = at + timedelta(seconds=3)
    value = opening(shop, at, ttl_seconds=2, catchup_window=timedelta(seconds=10))
    report = await sync(slow, shop.order(value), datetime.now(UTC))
    (failed,) = report.failed
    assert failed.change.id == value.id
    assert "was over before it could be started" in failed.message


@asynccontextmanager
async def alone(fresh: str) -> AsyncIterator[Shop]:
    """Return a project on a server of its own: hundreds of schedules there disturb nobody."""
    async with real_server() as environment:
        yield Shop(environment.client, fresh)


def spread(shop: Shop, size: int, chance: random.Random) -> list[tuple[Schedule, datetime]]:
    """Return *size* windows that open within `SPREAD` seconds, with when each is due."""
    now = second()
    found = []
    for number in range(size):
        at = now + timedelta(seconds=chance.randint(0, SPREAD))
        jitter = timedelta(seconds=chance.choice([0, 0, 0, 2]))
        found.append((opening(shop, at, f"w{number:03}", jitter=jitter), at))
    return found


def reason(failed: Outcome) -> str:
    """Return why a change failed, without the times that are its own."""
    return f"{failed.change.action}: {re.sub('[0-9]{4}-[-0-9T:]+Z', '…', failed.message)}"


async def told_or_asked(
    shop: Shop, due: list[tuple[Schedule, datetime]], report: SyncReport
) -> tuple[int, list[str]]:
    """Return how many of *due* the sync named as not started, and which nobody asked for."""
    last = max(at + one.jitter for one, at in due)
    await asyncio.sleep(max(0.0, (last - datetime.now(UTC)).total_seconds()))
    named = {outcome.change.id for outcome in report.failed}
    left = [(one, at) for one, at in due if one.id not in named]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SETTLE):
            for one, at in left.copy():
                await eventually(lambda one=one, at=at: all_asked(shop, [(one, at)]), within=SETTLE)
                left.remove((one, at))
    return len(named), await unasked(shop, left)


@pytest.mark.parametrize("size", SIZES)
async def test_many_windows_that_open_within_moments(fresh: str, size: int) -> None:
    """New ones, then the same ones moved: each is asked for, or the sync says which isn't."""
    chance = random.Random(SEED)  # repeatable, that is all
    for round in range(ROUNDS):
        async with alone(fresh) as shop:
            await one_round(shop, size, round, chance)


async def one_round(shop: Shop, size: int, round: int, chance: random.Random) -> None:
    """Sync *size* new windows, then move them; fail where one is missed without a word."""
    for kind in ("new", "changed"):
        due = spread(shop, size, chance)
        begun = time.monotonic()
        order = shop.order(*(one for one, _ in due))
        report = await sync(shop.server, order, datetime.now(UTC))
        took = time.monotonic() - begun
        named, left = await told_or_asked(shop, due, report)
        late = sum(outcome.change.action == "start" for outcome in report.outcomes)
        print(
            f"{size} {kind}, round {round}: {took:.1f} s, {late} started afterwards, "
            f"{named} named as not started, {len(left)} missed"
        )
        for words, count in Counter(map(reason, report.failed)).items():
            print(f"    {count} times: {words}")
        assert left == [], f"{kind} in round {round} of seed {SEED}"


# Whoever caused it ------------------------------------------------------------------


async def test_resumed_in_the_ui_in_the_middle_of_its_window(shop: Shop) -> None:
    """The plan says that it is under way and not started, in each format; a sync starts it."""
    at = second() + timedelta(seconds=3)
    value = opening(shop, at)
    await shop.sync(value)
    await shop.pause(value.id, "Paused via UI")
    await asyncio.sleep((at - datetime.now(UTC)).total_seconds() + 0.5)
    assert (await shop.plan(value)).pending == ()
    await shop.resume(value.id, value.note)

    async def shown() -> None:
        (change,) = (await shop.plan(value)).pending
        assert (change.action, change.reason) == ("start", "under way and not started")

    await eventually(shown)
    plan = await shop.plan(value)
    assert f"\n* {shop.namespace}/payroll  under way and not started: " in plan_text(plan)
    assert "under way and not started" in plan_markdown(plan)
    assert json.loads(plan_json(plan))["changes"][0]["action"] == "start"
    async with polling(shop.client):
        (status,) = await fetch_statuses(shop.server, datetime.now(UTC), namespace=shop.namespace)
    assert (status.state, status.is_alarming) == ("uncovered", True)
    (finding,) = status.findings
    assert finding.text.startswith("payroll is under way and not started, ")
    assert finding.command == "planner sync"
    report = await shop.sync(value)
    assert [outcome.change.action for outcome in report.outcomes] == ["start"]
    assert await unasked(shop, [(value, at)]) == []
    assert (await shop.plan(value)).pending == ()
    assert (await shop.sync(value)).outcomes == ()
    async with polling(shop.client):
        (status,) = await fetch_statuses(shop.server, datetime.now(UTC), namespace=shop.namespace)
    assert (status.state, status.details) == ("ok", "")


async def test_a_firing_that_was_missed(shop: Shop) -> None:
    """A schedule that never fired for what is under way, as after a long outage, is started."""
    at = second() - timedelta(minutes=5)
    value = opening(shop, at)
    await shop.make(value)
    (change,) = (await shop.plan(value)).pending
    assert (change.action, change.starts) == ("start", (at,))
    await shop.sync(value)
    assert await unasked(shop, [(value, at)]) == []
    assert (await shop.plan(value, full=True)).pending == ()


@workflow.defn(name=KEEPER_WORKFLOW, sandboxed=False)
class HoldingKeeper:
    """A keeper that says that it holds one lease."""

    @workflow.run
    async def run(self, lease: Lease) -> None:
        """Hold *lease* for ever."""
        self.lease = lease
        await workflow.wait_condition(lambda: False)

    @workflow.query(name=STATUS_QUERY)
    def status(self, at: str = "") -> KeeperStatus:
        """Return the lease, and nothing else of interest."""
        return KeeperStatus(
            namespace="",
            health="ok",
            capacity=None,
            target=None,
            baseline=None,
            baseline_declared=False,
            leases=(self.lease,),
            details="",
        )


async def test_a_lease_counts_as_asked_for(shop: Shop) -> None:
    """However its lease came about, a window that has one is not started again."""
    at, queue = second() - timedelta(minutes=5), f"q{uuid.uuid4().hex}"
    value = opening(shop, at)
    await shop.make(value)
    async with Worker(shop.client, task_queue=queue, workflows=[HoldingKeeper]):
        lease = lease_of(value.request, at)
        keeper = await shop.client.start_workflow(
            KEEPER_WORKFLOW, lease, id=keeper_id(shop.namespace), task_queue=queue
        )
        assert (await shop.plan(value)).pending == ()
        assert (await shop.sync(value)).outcomes == ()
        other = opening(shop, at - timedelta(minutes=1), "other")
        await shop.make(other)
        (change,) = (await shop.plan(value, other)).pending
        assert (change.window, change.action) == ("other", "start")
        await keeper.terminate()


async def test_more_firings_than_the_server_remembers(shop: Shop) -> None:
    """Fifteen occurrences under way at once: those it doesn't show are known by their boosts."""
    now = second()
    times = [now - timedelta(minutes=number) for number in range(15, 0, -1)]
    value = opening(shop, now, calendars=(*map(on, times), on(now + timedelta(days=365))))
    await shop.sync(value)
    await eventually(lambda: all_asked(shop, [(value, at) for at in times]))
    assert len((await shop.live()).fired) == 10
    assert (await shop.plan(value)).pending == ()
    assert (await shop.sync(value)).outcomes == ()


async def test_a_boost_that_ended_early_is_no_gap(shop: Shop) -> None:
    """It did fire: what became of it is not the schedule's affair."""
    at = second() - timedelta(minutes=5)
    value = opening(shop, at)
    await shop.sync(value)
    await shop.end(at)
    assert (await shop.plan(value, full=True)).pending == ()


async def test_a_firing_that_its_jitter_delays_is_left_to_the_server(shop: Shop) -> None:
    """It is due, the server has it in view: neither a plan nor a sync starts it early.

    Of half a day's jitter the server picks less than what this takes once in a thousand times.
    """
    at = second() + timedelta(seconds=2)
    value = opening(shop, at, jitter=timedelta(hours=12))
    await shop.sync(value)
    await asyncio.sleep((at - datetime.now(UTC)).total_seconds() + 0.5)
    assert (await shop.plan(value)).pending == ()
    assert (await shop.sync(value)).outcomes == ()
    assert await unasked(shop, [(value, at)]) == [boost_id(value, at)]


async def test_a_doubled_start_is_one_boost(shop: Shop) -> None:
    """Started again while its boost runs: the server refuses, and nothing more runs."""
    at = second() - timedelta(minutes=5)
    value = opening(shop, at)
    await shop.sync(value)
    handle = shop.client.get_workflow_handle(boost_id(value, at))
    first = (await eventually(handle.describe)).run_id
    await start(shop.server, value, [at], lambda: None)
    await shop.live()  # answered once the server is through with it
    again = await handle.describe()
    assert (again.run_id, again.status) == (first, WorkflowExecutionStatus.RUNNING)
    await handle.terminate()


# A clock that is off ----------------------------------------------------------------

MINUTES = [-5, 5]


@pytest.mark.parametrize("off", MINUTES)
async def test_new_windows_by_a_clock_that_is_off(shop: Shop, off: int) -> None:
    """By the server's clock one is under way, one soon over, one not due yet."""
    desk = datetime.now(UTC) + timedelta(minutes=off)
    begun, soon = second() - timedelta(minutes=2), second() + timedelta(minutes=2)
    values = [
        opening(shop, begun, "under-way"),
        shop.value("last", calendars=(on(begun),), ahead_seconds=0, ttl_seconds=300),
        opening(shop, soon, "not-yet"),
    ]
    report = await sync(shop.server, shop.order(*values), desk)
    assert report.failed == ()
    assert len([one for one in report.outcomes if one.change.action == "create"]) == 3
    await eventually(lambda: all_asked(shop, [(values[0], begun), (values[1], begun)]))
    assert await unasked(shop, [(values[2], soon)]) == [boost_id(values[2], soon)]
    assert (await sync(shop.server, shop.order(*values), desk)).outcomes == ()


@pytest.mark.parametrize("off", MINUTES)
async def test_a_missed_window_by_a_clock_that_is_off(shop: Shop, off: int) -> None:
    """Nothing else is to be written, and still the sync finds what is under way."""
    at = second() - timedelta(minutes=2)
    value = opening(shop, at, ttl_seconds=300)
    await shop.make(value)
    desk = datetime.now(UTC) + timedelta(minutes=off)
    (outcome,) = (await sync(shop.server, shop.order(value), desk)).outcomes
    assert (outcome.change.action, outcome.done) == ("start", True)
    assert await unasked(shop, [(value, at)]) == []


# As commands ------------------------------------------------------------------------

CALENDAR = """
namespace: {project}.a1b2c
defaults: {{lead: 0s, jitter: 0s}}
windows:
  launch:
    dates: [{{start: {start:%Y-%m-%dT%H:%M:%S}, end: {end:%Y-%m-%dT%H:%M:%S}}}]
    tru: 4
"""


def planner(shop: Shop, *arguments: object) -> tuple[int, str]:
    """Run the planner; return its exit code and its stdout."""
    env = {**os.environ, "TEMPORAL_ADDRESS": shop.server.address, "NO_COLOR": "1"}
    done = run_planner(*arguments, env=env)
    return done.returncode, done.stdout


async def test_a_missed_window_on_the_command_line(shop: Shop, tmp_path: Path) -> None:
    """Plan and status have their exit codes for it; the sync starts it, and all is well."""
    at = second() - timedelta(minutes=5)
    (tmp_path / "planner.yaml").write_text(f"project: {shop.project}\n", encoding="utf-8")
    text = CALENDAR.format(project=shop.project, start=at, end=at + timedelta(hours=2))
    (tmp_path / "calendar.yaml").write_text(text, encoding="utf-8")
    (value,) = desired_state(read(tmp_path), tmp_path, at).schedules
    await shop.make(value)
    code, shown = await asyncio.to_thread(planner, shop, "plan", tmp_path, "--detailed-exitcode")
    assert code == 2
    assert f"\n* {shop.namespace}/launch  under way and not started: " in shown
    assert "1 to start" in shown
    status = ("status", shop.namespace, "--check")
    code, shown = await asyncio.to_thread(planner, shop, *status)
    assert code == 2
    assert "is under way and not started" in shown
    code, shown = await asyncio.to_thread(planner, shop, "sync", tmp_path)
    assert code == 0
    assert f"\n* started {shop.namespace}/launch: started at once" in shown
    async with polling(shop.client):
        assert (await asyncio.to_thread(planner, shop, *status))[0] == 0
    assert (await asyncio.to_thread(planner, shop, "plan", tmp_path, "--detailed-exitcode"))[0] == 0
