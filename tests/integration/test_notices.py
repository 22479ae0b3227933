"""Notices over a worker's death, on a real server, to a receiver that fails half of the time."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import zlib
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from keeper_helpers import ScriptedCloud
from sync_helpers import Shop, eventually
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from planner.simulator import Simulator
from planner.simulator.api import Principal
from planner.temporal.sync_state import fetch_of_projects, read_last_applied
from planner.temporal.watchdog import LiveCalendars, ensure_watchdog, fetch_report
from workflows.activities.notices import NoticeSender
from workflows.activities.watchdog import WatchdogActivities
from workflows.contract import WATCHDOG_ID, CalendarView, Capacity, Declared, WatchdogInput
from workflows.contract.findings import UsageThresholds
from workflows.contract.notices import Notice, NoticeTarget
from workflows.worker import build_worker

KEY = "cloud-key-S3CRET-0123456789"
PATH_SECRET = "T000/B000/S3CRETS3CRETS3CRET"
KILLS = int(os.environ.get("PLANNER_NOTICE_KILLS", "0"))
"""Further kills of the worker, between an event's begin and its end (`make notices`)."""

ROUTING_KEY = "S3CRET00S3CRET00S3CRET00S3CRET00"

WORKER = """
import asyncio, logging, os, sys
from datetime import timedelta

import workflows.contract.notices as notices
import workflows.watchdog
from temporalio.client import Client
from workflows.activities import notices as sending, watchdog
from workflows.cloud import CloudClient, OneKey
from workflows.observability import log_to_stderr
from workflows.worker import run_worker
from planner.temporal.client import server_of
from planner.temporal.watchdog import LiveCalendars

workflows.watchdog.SLOWEST_ROUND = timedelta(seconds=2)
notices.SETTLED_AFTER = timedelta(seconds=2)
notices.FIRST_RETRY = timedelta(milliseconds=100)
sending.PAUSE = 0

async def main(address, url, queue):
    log_to_stderr(logging.INFO)
    client = await Client.connect(address)
    async with CloudClient(url, OneKey(os.environ["KEY"])) as cloud:
        await run_worker(
            client, cloud, stop=asyncio.Event(), task_queue=queue,
            calendars=LiveCalendars(server_of(client)),
            sender=sending.NoticeSender(), key_expiries=cloud.key_expiries,
        )

asyncio.run(main(*sys.argv[1:]))
"""
"""A worker whose watchdog goes round all the time; events settle in two seconds."""


@dataclass
class Receiver:
    """An HTTP server that refuses every second request, and quotes it; keeps what it accepted."""

    port: int = 0
    count: int = 0
    accepted: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    seen: list[dict[str, object]] = field(default_factory=list)
    on_request: Callable[[], None] | None = None
    is_frozen: bool = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        with suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = next(
                int(line.partition(":")[2])
                for line in head.splitlines()
                if line.lower().startswith("content-length")
            )
            body = (await reader.readexactly(length)).decode()
            self.seen.append(json.loads(body))
            path = head.split()[1]
            self.count += 1
            if self.is_frozen:
                await reader.read()  # until the sender has gone
            elif self.on_request is not None:  # its answer comes too late
                self.on_request()
            elif self.count % 2:
                self._answer(writer, "500 Oops", f"refused {path} {body}")
            else:
                self.accepted.append((path, json.loads(body)))
                self._answer(writer, "200 OK", "ok")
            await writer.drain()
        writer.close()

    def _answer(self, writer: asyncio.StreamWriter, status: str, text: str) -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n"
        writer.write((head + text).encode())

    def statuses(self) -> list[tuple[str, str]]:
        """Return what was accepted, sorted: the first part of the path, and open or over."""
        return sorted(
            (path.split("/")[1], "over" if "over" in _words(value) else "open")
            for path, value in self.accepted
        )


def _words(value: dict[str, object]) -> str:
    """Return how a message of any form says whether it is over."""
    if "routing_key" in value:
        return "over" if value["event_action"] == "resolve" else "open"
    return str(value.get("status") or ("over" if "is over" in str(value["text"]) else "open"))


@dataclass
class Workers:
    """Workers as processes of their own, one after the other, and all that they wrote."""

    arguments: tuple[str, ...]
    environ: dict[str, str]
    process: Process | None = None
    logs: list[asyncio.Task[bytes]] = field(default_factory=list)

    async def start(self) -> None:
        """Start one."""
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-c", WORKER, *self.arguments),
            env={**os.environ, **self.environ},
            stdout=PIPE,
            stderr=STDOUT,
        )
        assert self.process.stdout is not None
        self.logs.append(asyncio.create_task(self.process.stdout.read()))

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        assert self.process is not None
        with suppress(ProcessLookupError):
            self.process.kill()

    async def end(self) -> str:
        """Kill the last one; return what all of them wrote."""
        self.kill()
        assert self.process is not None
        await self.process.wait()
        return "".join([(await log).decode() for log in self.logs])


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Run a receiver."""
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    async with server:
        yield receiver


async def written(client: Client) -> str:
    """Return all that the server has: history, memo and heartbeat of every workflow, as text."""
    texts = []
    async for one in client.list_workflows():
        handle = client.get_workflow_handle(one.id, run_id=one.run_id)
        texts += [str(one.raw_info), str((await handle.describe()).raw_description)]
        async for event in handle.fetch_history_events():
            texts.append(str(event))  # payloads as they are, which JSON would have in base 64
            for payload in event.workflow_execution_started_event_attributes.input.payloads:
                with suppress(zlib.error):
                    texts.append(zlib.decompress(payload.data).decode())
    return "".join(texts)


async def noticed(client: Client, holds: Callable[[tuple[Notice, ...]], bool]) -> datetime:
    """Wait until the notices on record are as they should be; return the time of that round."""
    async with asyncio.timeout(60):
        while True:
            report = await fetch_report(client)
            if report is not None and holds(report.notices):
                return report.at
            await asyncio.sleep(0.1)


async def noticed_after(client: Client, at: datetime) -> None:
    """Wait for a round of the worker that goes on."""
    async with asyncio.timeout(60):
        while True:
            report = await fetch_report(client)
            if report is not None and report.at > at + timedelta(seconds=2):
                return
            await asyncio.sleep(0.1)


async def accepted(receiver: Receiver, *expected: tuple[str, str]) -> None:
    """Wait until exactly this was accepted."""
    async with asyncio.timeout(60):
        while receiver.statuses() != sorted(expected):
            assert len(receiver.accepted) <= len(expected), receiver.statuses()
            await asyncio.sleep(0.05)


def targets_at(home: str, project: str, place: Path) -> tuple[NoticeTarget, ...]:
    """Return a target of each form at *home*; PagerDuty's key is put into the file *place*."""
    place.write_text(f"{ROUTING_KEY}\n")
    return (
        NoticeTarget(name="a", url=f"{home}/json", project=project),
        NoticeTarget(name="b", format="slack", secret="env SLACK", project=project),
        NoticeTarget(
            name="c",
            format="pagerduty",
            url=f"{home}/pagerduty",
            secret=f"file {place}",
            events=("foreign",),
            project=project,
        ),
    )


BEGUN = (("json", "open"), ("pagerduty", "open"), ("slack", "open"))
OVER = (("json", "over"), ("pagerduty", "over"), ("slack", "over"))


@asynccontextmanager
async def an_hour_a_second(client: Client, queue: str) -> AsyncIterator[None]:
    """Keep workflows of the watchdog coming, one after the other, each of a second or more."""
    quick = WatchdogInput(for_seconds=1, every_seconds=0.2)
    await ensure_watchdog(client, task=quick, task_queue=queue, starts_now=True)
    handle = client.get_schedule_handle(WATCHDOG_ID)

    async def follow() -> None:
        while True:
            if not (await handle.describe()).info.running_actions:
                await handle.trigger()
            await asyncio.sleep(0.2)

    following = asyncio.create_task(follow())
    try:
        yield
        assert (await handle.describe()).info.num_actions > 1, "one workflow saw all of it"
    finally:
        following.cancel()
        await handle.delete()


@dataclass
class Calendars:
    """Says what a test's schedules say: one quiet namespace with a declared baseline."""

    view: CalendarView

    async def look(self, now: datetime) -> CalendarView:
        """Return it."""
        return self.view


async def test_each_notice_is_sent_once_and_resolved_once(
    own_server: WorkflowEnvironment,
    fresh: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Every second request fails, and the attempt that sends the first one freezes in it.

    The next one sends it under the same id. The state goes from workflow to workflow. No key and
    no secret address is in a history, a memo, a log or an answer.
    """
    caplog.set_level("INFO")
    monkeypatch.setattr("workflows.watchdog.SLOWEST_ROUND", timedelta(seconds=5))
    monkeypatch.setattr("workflows.contract.notices.SETTLED_AFTER", timedelta(seconds=1))
    monkeypatch.setattr("workflows.contract.notices.FIRST_RETRY", timedelta(milliseconds=50))
    monkeypatch.setattr("workflows.activities.notices.TIMEOUT", httpx.Timeout(120))
    monkeypatch.setattr("workflows.activities.notices.SEND_WITHIN", 120)
    client, namespace = own_server.client, f"{fresh}.acct"
    cloud = ScriptedCloud(clock=own_server.get_current_time, capacity=Capacity(2))
    async with receiving() as receiver:
        home = f"http://127.0.0.1:{receiver.port}"
        declared = Declared(namespace=namespace, baseline=Capacity(2), projects=(fresh,))
        targets = targets_at(home, fresh, tmp_path / "pagerduty")
        watchdog = WatchdogActivities(
            client,
            cloud,
            Calendars(CalendarView(namespaces=(declared,), targets=targets)),
            task_queue=fresh,
            sender=NoticeSender({"SLACK": f"{home}/slack/{PATH_SECRET}"}),
        )
        worker = build_worker(client, cloud, task_queue=fresh, grace=timedelta(), watchdog=watchdog)
        receiver.is_frozen = True
        async with worker, an_hour_a_second(client, fresh):
            await cloud.set(Capacity(12))
            await until(lambda: len(receiver.seen) > 0)
            receiver.is_frozen = False
            await accepted(receiver, *BEGUN)
            await cloud.set(Capacity(2))
            await accepted(receiver, *BEGUN, *OVER)
            await noticed(client, lambda notices: notices == ())
        assert receiver.statuses() == sorted([*BEGUN, *OVER])
        assert {ident(value) for value in receiver.seen} - {""} == {ident(receiver.seen[0])}
        assert receiver.count > len(receiver.accepted) + 1, "some were refused"
    stored = await written(client)
    assert f"{fresh}/c" in stored, "notices travel with the report, by their targets' names"
    nothing_secret_in(caplog.text, stored, receiver)


async def until(holds: Callable[[], bool]) -> None:
    """Wait until it *holds*."""
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - a server's own task says so
            await asyncio.sleep(0.02)


def nothing_secret_in(logs: str, stored: str, receiver: Receiver) -> None:
    """Fail where a secret is in logs, in what the server has, or in what others were sent."""
    others = [value for path, value in receiver.accepted if not path.startswith("/pagerduty")]
    for secret in (KEY, ROUTING_KEY, "S3CRET"):
        assert secret not in logs
        assert secret not in stored
        assert secret not in str(others)
    assert "was accepted" in logs


@pytest.mark.skipif(not KILLS, reason="make notices")
async def test_each_notice_is_sent_once_and_resolved_once_over_a_killed_worker(
    own_server: WorkflowEnvironment, fresh: str, tmp_path: Path
) -> None:
    """Every second request fails, and the worker is killed as its first one is under way.

    The next worker sends it under the same id. Further kills, between begin and end, repeat
    nothing. No key and no secret address is in a history, a memo, a log or an answer.
    """
    client, shop = own_server.client, Shop(own_server.client, fresh)
    quick = WatchdogInput(for_seconds=3600, every_seconds=0.3)
    async with receiving() as receiver, Simulator() as simulator:
        await simulator.create(shop.namespace, tru=2)
        home = f"http://127.0.0.1:{receiver.port}"
        targets = targets_at(home, fresh, tmp_path / "pagerduty")
        await shop.sync(shop.value(baseline=Capacity(2)), targets=targets)
        await eventually(lambda: shows(shop, targets))
        address = client.service_client.config.target_host
        slack = f"{home}/slack/{PATH_SECRET}"
        workers = Workers((address, simulator.url, fresh), {"SLACK": slack, "KEY": KEY})
        await ensure_watchdog(client, task=quick, task_queue=fresh, starts_now=True)
        try:
            receiver.on_request = workers.kill
            await workers.start()
            await noticed(client, lambda notices: notices == ())
            await simulator.foreign_change(shop.namespace, tru=12)
            assert workers.process is not None
            await asyncio.wait_for(workers.process.wait(), 60)
            receiver.on_request = None
            (known,) = {ident(value) for value in receiver.seen if ident(value)}

            await workers.start()
            await accepted(receiver, *BEGUN)
            for _ in range(KILLS):
                at = await noticed(client, lambda notices: all_know(notices, "open"))
                workers.kill()
                await workers.start()
                await noticed_after(client, at)
            while_open = await written(client)
            assert f"{fresh}/c" in while_open, (
                "notices travel with the report, by their targets' names"
            )
            await simulator.foreign_change(shop.namespace, tru=2)
            await accepted(receiver, *BEGUN, *OVER)
            await noticed(client, lambda notices: notices == ())
            assert receiver.statuses() == sorted([*BEGUN, *OVER])
            ids = {ident(value) for _, value in receiver.accepted} - {""}
            assert ids == {known}, "one event, one id"
            assert receiver.count > len(receiver.accepted), "some were refused"
        finally:
            logs = await workers.end()
            stored = await written(client)
            await client.get_schedule_handle(WATCHDOG_ID).delete()
            await shop.sync(targets=())
    nothing_secret_in(logs, while_open + stored, receiver)


async def shows(shop: Shop, targets: tuple[NoticeTarget, ...]) -> None:
    """Fail unless the list shows exactly these targets."""
    assert set((await fetch_of_projects(shop.server)).targets) == set(targets)


def all_know(notices: tuple[Notice, ...], status: str) -> bool:
    """Tell whether there is an event whose three targets have all accepted *status*."""
    return any([sent.status for sent in one.sent] == [status] * 3 for one in notices)


def ident(value: dict[str, object]) -> str:
    """Return the id in a message; Slack's has none."""
    return str(value.get("dedup_key") or value.get("id") or "")


async def test_what_planner_yaml_says_of_notices_is_what_the_last_sync_wrote(
    own_server: WorkflowEnvironment, fresh: str
) -> None:
    """Two projects keep their own; a sync of nothing else writes a change, and a plan says so."""
    one, other = Shop(own_server.client, fresh), Shop(own_server.client, f"{fresh}-b")
    here = NoticeTarget(name="a", url="https://a.example.com", project=one.project)
    there = replace(here, project=other.project)
    value = one.value()
    try:
        await one.sync(value, targets=(here,))
        await other.sync(other.value(), targets=(there,))
        await eventually(lambda: shows(one, (here, there)))
        assert (await one.plan(value, targets=(here,))).warnings == ()
        changed = (replace(here, events=("missed",)),)
        (warning,) = (await one.plan(value, targets=changed)).warnings
        assert warning.code == "notices"
        assert (await one.sync(value, targets=changed)).outcomes == ()
        last = await read_last_applied(one.server, one.project, datetime.now(UTC))
        assert last.targets == changed
        assert (await one.sync(value, targets=changed)).plan.warnings == ()
        said = UsageThresholds(max_throttled=100, unused_share=0.5)
        (warning,) = (await one.plan(value, thresholds=said)).warnings
        assert warning.code == "usage"
        assert (await one.sync(value, targets=(), thresholds=said)).outcomes == ()
        last = await read_last_applied(one.server, one.project, datetime.now(UTC))
        assert (last.targets, last.thresholds) == ((), said)
        assert (await one.sync(value, thresholds=said)).plan.warnings == ()
        await eventually(lambda: shows(one, (there,)))
        assert (await fetch_of_projects(one.server)).thresholds == {one.project: said}
        view = await LiveCalendars(one.server).look(datetime.now(UTC))
        assert view.targets == (there,)
        await other.sync()
        assert {one.id for one in (await fetch_of_projects(one.server)).targets} == {there.id}

        async def unheard() -> None:
            assert (await LiveCalendars(one.server).look(datetime.now(UTC))).targets == ()

        await eventually(unheard)
        projects = {found.namespace: found.projects for found in view.namespaces}
        assert projects[one.namespace] == (one.project,)
    finally:
        await one.sync(targets=(), thresholds=UsageThresholds())
        await other.sync(targets=())


async def test_a_key_that_expires_soon_is_seen(own_server: WorkflowEnvironment) -> None:
    """By the simulator's who-am-I, as the real API answers; a refused key is left out."""
    from workflows.cloud import CloudClient, OneKey

    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=9)
    keys = {KEY: Principal("planner", expires=expires)}
    async with Simulator(keys=keys) as simulator:
        async with CloudClient(simulator.url, OneKey(KEY)) as cloud:
            (found,) = await cloud.key_expiries(["a.acct", "b.acct"])
        assert (found.name, found.expires) == ("planner-key", expires)
        assert found.namespaces == ("a.acct", "b.acct")
        async with CloudClient(simulator.url, OneKey("another-key-0123")) as cloud:
            assert await cloud.key_expiries(["a.acct"]) == ()


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workflows.activities.notices.PAUSE", 0)
