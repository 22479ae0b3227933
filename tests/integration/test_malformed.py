"""Schedules of ours that somebody changed into what no planner writes: seen, and mended."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import binary
from google.protobuf.duration_pb2 import Duration
from planner_process import run_planner
from schedule_values import daily
from sync_helpers import QUIET_HOUR, Shop
from temporalio.api.common.v1 import Payload
from temporalio.api.schedule.v1 import IntervalSpec, StructuredCalendarSpec
from temporalio.api.schedule.v1 import Schedule as Message
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from planner.cli.request import impact_of
from planner.model import Prices
from planner.render.plan import plan_json, plan_markdown, plan_text
from planner.temporal.lifecycle import choose, pause, resume
from planner.temporal.status import fetch_statuses

pytestmark = pytest.mark.integration

Edit = Callable[[Message], object]
GOOD = {"namespace": "n.a", "window": "payroll", "tru": 2, "ttl_seconds": 7200}


@pytest.fixture
def client(own_server: WorkflowEnvironment) -> Client:
    """A client of a server whose boosts no worker takes."""
    return own_server.client


@pytest.fixture
def shop(client: Client, fresh: str) -> Shop:
    """A project that no other test has."""
    return Shop(client, fresh)


def payload(data: bytes, encoding: bytes = b"json/plain") -> Payload:
    """Return *data* as the server keeps an input."""
    return Payload(metadata={"encoding": encoding}, data=data)


def inputs(*payloads: Payload) -> Edit:
    """Return the edit that puts *payloads* in the place of the input."""

    def edit(message: Message) -> None:
        del message.action.start_workflow.input.payloads[:]
        message.action.start_workflow.input.payloads.extend(payloads)

    return edit


def request(**fields: Any) -> Edit:
    """Return the edit that makes the input a request with some odd *fields*."""
    return inputs(payload(json.dumps({**GOOD, **fields}).encode()))


def spec(**fields: Any) -> Edit:
    """Return the edit that replaces the whole spec."""

    def edit(message: Message) -> None:
        message.spec.Clear()
        for name, value in fields.items():
            if isinstance(value, list):
                getattr(message.spec, name).extend(value)
            else:
                setattr(message.spec, name, value)

    return edit


def other(**fields: str) -> Edit:
    """Return the edit that starts something else: another type, queue or id."""

    def edit(message: Message) -> None:
        start = message.action.start_workflow
        start.workflow_type.name = fields.get("type", start.workflow_type.name)
        start.task_queue.name = fields.get("queue", start.task_queue.name)
        start.workflow_id = fields.get("id", start.workflow_id)

    return edit


def every(seconds: int) -> IntervalSpec:
    """Return an interval of so many seconds."""
    found = IntervalSpec()
    found.interval.FromSeconds(seconds)
    return found


def _ages(span: Duration) -> None:
    """Make *span* as long as a Go duration can be."""
    span.FromSeconds(9_000_000_000)


EDITS: dict[str, Edit] = {
    "no input": inputs(),
    "two inputs": inputs(payload(json.dumps(GOOD).encode()), payload(b"1")),
    "an input that is no JSON": inputs(payload(b'{"namespace": ')),
    "an empty input": inputs(payload(b"")),
    "null": inputs(payload(b"null")),
    "a list": inputs(payload(b"[1, 2]")),
    "text": inputs(payload(b'"hello"')),
    "binary": inputs(payload(b"\x00\xff\xfe", b"binary/plain")),
    "an encoding that nobody knows": inputs(payload(b"\x01\x02", b"binary/encrypted")),
    "no encoding": inputs(Payload(data=b"\xff")),
    "other fields": inputs(payload(b'{"hello": "world"}')),
    "more fields than ours": request(unheard="of"),
    "numbers as text": request(tru="four", ttl_seconds="2h"),
    "no TRU": request(tru=0),
    "negative TRU": request(tru=-4),
    "more TRU than there are": request(tru=10**30),
    "no length": request(ttl_seconds=0),
    "a negative length": request(ttl_seconds=-7200),
    "a length of ages": request(ttl_seconds=10**13),
    "a negative lead": request(ahead_seconds=-600),
    "a lead of ages": request(ahead_seconds=10**13),
    "an end that no clock shows": request(until="25:99"),
    "an end that is no time": request(until="soon"),
    "a zone that there isn't": request(until="06:00", timezone="Europe/Belin"),
    "a zone out of bounds": request(until="06:00", timezone="../../etc/passwd"),
    "ends that are no times": request(ends={"x": "y"}),
    "an end before its start": request(ends={"2026-11-21T18:10:00Z": "2020-01-01T00:00:00Z"}),
    "another way to combine": request(combine="sum"),
    "another namespace": request(namespace="other.n"),
    "no allowed TRU": request(rails={"allowed": [], "max_tru": None}),
    "an odd baseline": request(baseline={"tru": -1}),
    "another workflow": other(type="Other"),
    "another task queue": other(queue="other"),
    "another workflow id": other(id="other"),
    "no time at all": spec(),
    "an interval": spec(interval=[every(3600)]),
    "every second": spec(interval=[every(1)]),
    "cron": spec(cron_string=["0 12 * * *", "@every 1h"]),
    "a calendar of text": spec(structured_calendar=[StructuredCalendarSpec(comment="[x")]),
    "a catch-up window of ages": lambda message: _ages(message.policies.catchup_window),
    "a jitter of ages": lambda message: _ages(message.spec.jitter),
    "a start in the far past": lambda message: message.spec.start_time.FromSeconds(-62135596800),
    "an end in the far future": lambda message: message.spec.end_time.FromSeconds(253402300799),
    "a zone with a cron": spec(cron_string=["CRON_TZ=Asia/Tokyo 0 12 * * *"]),
}


async def look_at(shop: Shop, *desired: Any) -> set[str]:
    """Look at the project by every command that reads; return the ids that would change."""
    now = datetime.now(UTC)
    for full in (False, True):
        found = await shop.plan(*desired, full=full)
        for brief in (True, False):
            sections = impact_of(found, desired, Prices(), now, brief=brief)
            assert plan_text(found, colour=False, sections=sections)
            assert plan_markdown(found, sections=sections)
        assert plan_json(found)
    await fetch_statuses(shop.server, now, namespace=shop.namespace)
    return {change.id for change in found.pending}


@pytest.mark.parametrize("paused", [False, True], ids=["running", "paused"])
async def test_whatever_became_of_schedules(shop: Shop, paused: bool) -> None:
    """Every command copes with each of them, a plan shows it, and a sync makes it what it was.

    All in one project: a plan that one of them broke would be no plan for any.
    """
    fired = datetime.now(UTC) - timedelta(minutes=30)  # an occurrence of each is under way
    times = {"calendars": (daily(fired.hour, fired.minute),)}
    names = {name: f"w{number}" for number, name in enumerate(EDITS)}
    kept = shop.value("kept")
    await shop.sync(*(shop.value(name, paused=True, **times) for name in names.values()), kept)
    desired = [shop.value(name, paused=paused, **times) for name in names.values()]
    ids = {one.id for one in desired}
    await asyncio.gather(
        *(shop.edit(shop.value(names[name]).id, edit) for name, edit in EDITS.items())
    )
    assert await look_at(shop, *desired, kept) == ids
    assert await look_at(shop, kept) == ids  # they are to be deleted
    chosen = await choose(shop.server, shop.namespace, shop.project)
    handled = await pause(shop.server, chosen, by="a", reason="")
    handled += await resume(shop.server, chosen, datetime.now(UTC))
    assert [one for one in handled if one.failed] == []
    await look_at(shop, *desired, kept)
    await shop.sync(*desired, kept, full=True)
    assert await look_at(shop, *desired, kept) == set()
    await shop.sync(*desired[:3], kept)
    assert await look_at(shop, *desired[:3], kept) == set()


async def test_the_command_line_drops_an_input(
    own_server: WorkflowEnvironment, shop: Shop, tmp_path: Path
) -> None:
    """After ``temporal schedule update --cron``, plan and status show it, and sync mends it."""
    home = tmp_path / "calendars"
    home.mkdir()
    (home / "planner.yaml").write_text(f"project: {shop.project}\n", encoding="utf-8")
    (home / "a.yaml").write_text(
        f"namespace: {shop.namespace}\nwindows:\n"
        f'  payroll: {{cron: "0 {QUIET_HOUR} * * *", duration: 1h, tru: 4}}\n',
        encoding="utf-8",
    )
    address = own_server.client.service_client.config.target_host
    id = f"boost/{shop.namespace}/payroll"

    env = {**os.environ, "TEMPORAL_ADDRESS": address}

    async def planner(*arguments: str) -> tuple[int, str, str]:
        done = await asyncio.to_thread(run_planner, *arguments, cwd=tmp_path, env=env)
        return done.returncode, done.stdout, done.stderr

    assert (await planner("sync"))[0] == 0
    update = (
        "--schedule-id",
        id,
        "--cron",
        f"0 {(QUIET_HOUR + 3) % 24} * * *",
        "--workflow-id",
        id,
    )
    start = ("--type", "ProvisionBoost", "--task-queue", "capacity-boost")
    command = (binary("temporal"), "schedule", "update", *update, *start)
    done = await asyncio.to_thread(
        subprocess.run, command, env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    code, out, err = await planner("plan", "--detailed-exitcode")
    assert (code, "Traceback" in err) == (2, False)
    assert "input" in out
    assert (await planner("status"))[0] == 0
    assert (await planner("sync"))[0] == 0
    assert (await planner("plan", "--detailed-exitcode"))[0] == 0
