"""From thresholds in planner.yaml to verdicts on boosts, by usage that a real Prometheus scrapes.

A real server with a worker at work, the simulated Cloud with a load given to it, and Debian's
Prometheus, which scrapes that Cloud while the boosts run.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_server import needs_prometheus, prometheus
from sync_helpers import eventually
from temporalio.testing import WorkflowEnvironment

from planner.cli import worker
from planner.cli.main import exit_code_of
from planner.simulator import Load, Peak, Simulator
from planner.temporal.client import free_port
from planner.usage.model import MINUTE
from planner.usage.prometheus import source_from
from workflows.contract import WatchdogInput

pytestmark = pytest.mark.integration

SECOND = timedelta(seconds=1)
LEAD, LENGTH, PEAK = 8 * SECOND, 12 * SECOND, 2 * SECOND

THROTTLED, ACCEPTED, ENOUGH = "payments.acct", "invoices.acct", "orders.acct"
ASKED = {THROTTLED: 3000, ACCEPTED: 2100, ENOUGH: 1900}
"""Actions a second in the peak of each, beside the 2,000 of 4 TRU. It lasts for two seconds: 2,000
Actions are throttled of the first, more than planner.yaml accepts, and 200 of the second."""

PLANNER = """\
project: evidence
timezone: UTC
defaults: {{lead: {lead}s, jitter: 0s}}
usage: {{max_throttled: 500}}
notices:
  - {{name: log, url: "http://127.0.0.1:{port}/json", events: [throttled, unused]}}
"""
CALENDAR = """\
namespace: {name}
windows:
  payroll: {{dates: [{{start: {start:%Y-%m-%dT%H:%M:%S}, end: {end:%Y-%m-%dT%H:%M:%S}}}], tru: 4}}
"""


Typed = Callable[..., Awaitable[str]]


@pytest.fixture
def planner(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Return what runs a command as it is typed, in this process, and returns what it prints.

    A process of its own takes seconds to begin, while the windows wait for nobody.
    """
    begun: list[Awaitable[int | None]] = []
    for module in ("sync", "report"):
        monkeypatch.setattr(f"planner.cli.{module}.run_async", begun.append)

    async def typed(*arguments: object) -> str:
        capsys.readouterr()
        assert exit_code_of([*map(str, arguments)]) == 0
        assert await begun.pop() in (0, None)
        return capsys.readouterr().out

    return typed


Notices = list[dict[str, Any]]


@asynccontextmanager
async def receiving(notices: Notices) -> AsyncIterator[int]:
    """Run a receiver on a port, which keeps all *notices* that are sent to it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        _, _, length = head.partition("content-length:")
        notices.append(json.loads(await reader.readexactly(int(length.split()[0]))))
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


@asynccontextmanager
async def at_work(metrics: str) -> AsyncIterator[None]:
    """Run a worker in this process, as ``planner worker --metrics`` does."""
    task = asyncio.create_task(worker.work("", metrics))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def cloud(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Simulator]:
    """A Cloud whose namespaces are ten minutes old, so that it has their usage of each minute."""
    ages = [timedelta(minutes=10)]
    async with Simulator(
        provisioning=0.3, key_rate=None, now=lambda: datetime.now(UTC) - sum(ages, timedelta())
    ) as simulator:
        simulator.state.usage.scrapes_an_hour = 1e9
        for name in ASKED:
            await simulator.create(name)
            simulator.load(name, Load(base=100))
        ages.clear()
        monkeypatch.setenv("PLANNER_CLOUD_URL", simulator.url)
        monkeypatch.setenv("TEMPORAL_CLOUD_API_KEY", "a-key")
        yield simulator


@pytest.fixture
async def usage_source(
    cloud: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[None]:
    """A Prometheus that scrapes the Cloud four times a second, named in the environment."""
    job = {
        "job_name": "temporal-cloud",
        "metrics_path": "/v1/metrics",
        "scrape_interval": "250ms",
        "scrape_timeout": "250ms",
        "authorization": {"credentials": "metrics"},
        "static_configs": [{"targets": [cloud.url.removeprefix("http://")]}],
    }
    async with prometheus(tmp_path, scrapes=json.dumps([job])) as url:
        monkeypatch.setenv("PLANNER_PROMETHEUS_URL", url)
        yield


@pytest.fixture
def quick(own_server: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker whose watchdog goes round all the time, and looks a window up at its end."""
    rounds = partial(WatchdogInput, for_seconds=3600, every_seconds=0.3)
    monkeypatch.setattr("planner.temporal.watchdog.WatchdogInput", rounds)
    monkeypatch.setattr("planner.temporal.watchdog.METRICS_LATE", timedelta())
    monkeypatch.setattr("workflows.contract.notices.FIRST_RETRY", timedelta(milliseconds=50))
    monkeypatch.setenv("TEMPORAL_ADDRESS", own_server.client.service_client.config.target_host)


async def loaded_once_boosted(cloud: Simulator, opens: datetime) -> None:
    """Give each namespace its peak, within its window, once its 4 TRU are in force."""
    await cloud.until(lambda: all(cloud.history(name)[-1].tru == 4 for name in ASKED), timeout=60)
    start = max(opens, datetime.now(UTC).replace(microsecond=0) + SECOND)
    if start.second > 57:  # all of it in one minute
        start = start.replace(second=0) + MINUTE
    assert start + PEAK <= opens + LENGTH, "in force too late for a peak within the window"
    for name, aps in ASKED.items():
        cloud.load(name, Load(base=100, peaks=(Peak(aps - 100, PEAK, start=start),)))
    await cloud.until(
        lambda: all(cloud.history(name)[-1].tru is None for name in ASKED), timeout=60
    )


async def scraped(cloud: Simulator, start: datetime, end: datetime) -> None:
    """Let the Cloud's metrics come to the minutes of ``[start, end)``, until all are scraped.

    They are three minutes late until then, as in earnest. What the minutes have is settled: the
    boosts are over.
    """
    source = source_from(os.environ)
    assert source
    minute = start.replace(second=0)
    async with source:
        while minute < end:

            async def seen(minute: datetime = minute) -> None:
                cloud.state.usage.late = datetime.now(UTC) - minute
                for name in ASKED:
                    assert (await source.usage(name, minute, minute + MINUTE)).coverage.is_whole

            await eventually(seen)
            minute += MINUTE


async def counted(metrics: str, **expected: list[int]) -> None:
    """Fail unless the worker's metrics have these counts of windows, in the order of `ASKED`."""
    async with httpx.AsyncClient(trust_env=False) as http:
        text = (await http.get(f"http://{metrics}/metrics")).text
    for kind, counts in expected.items():
        for name, count in zip(ASKED, counts, strict=True):
            line = f'capacity_boost_{kind}_windows{{cloud_namespace="{name}"}} {count}'
            assert line in text.splitlines()


async def in_history(planner: Typed, start: datetime) -> dict[str, Any]:
    """Return the verdict on each namespace's boost as ``planner history`` has it."""
    found = json.loads(await planner("history", "--format", "json", "--from", start.isoformat()))
    assert {one["namespace"] for one in found["boosts"]} == set(ASKED)
    assert {one["outcome"] for one in found["boosts"]} <= {"held", "late"}
    return {one["namespace"]: one["usage"] for one in found["boosts"]}


@needs_prometheus
@pytest.mark.usefixtures("quick", "usage_source")
async def test_a_boost_that_was_throttled_is_noticed_and_reported(
    cloud: Simulator, planner: Typed, tmp_path: Path
) -> None:
    """A boost wasn't enough, another was but for what is accepted, and a third was.

    The worker is unsure until their minutes are scraped. Then it sends one notice; its metrics,
    `planner history` and `planner report` say the same of all three.
    """
    calendars, metrics = tmp_path / "calendars", f"127.0.0.1:{free_port()}"
    notices: Notices = []
    calendars.mkdir()
    async with receiving(notices) as port, at_work(metrics):
        text = PLANNER.format(lead=LEAD // SECOND, port=port)
        (calendars / "planner.yaml").write_text(text, encoding="utf-8")
        opens = datetime.now(UTC).replace(microsecond=0) + LEAD + 2 * SECOND
        if opens.second * SECOND + LENGTH > MINUTE:
            # A notice on two minutes comes once what is throttled in the first is seen.
            opens = opens.replace(second=0) + MINUTE
        for name in ASKED:
            text = CALENDAR.format(name=name, start=opens, end=opens + LENGTH)
            (calendars / f"{name}.yaml").write_text(text, encoding="utf-8")
        await planner("sync", calendars)
        await loaded_once_boosted(cloud, opens)
        await eventually(partial(counted, metrics, throttled=[0, 0, 0], unverified=[1, 1, 1]))
        assert notices == [], "nothing is known yet, so nothing is said"

        await scraped(cloud, opens, opens + LENGTH)
        await eventually(partial(counted, metrics, throttled=[1, 0, 0], unverified=[0, 0, 0]))
        seen = await eventually(partial(in_history, planner, opens - MINUTE), within=60)
        report = json.loads(
            await planner(
                "report", "--format", "json", "--from", f"{opens - MINUTE:%Y-%m-%dT%H:%MZ}"
            )
        )
    words = {
        THROTTLED: "APS throttled 2,000 Actions in 1 minute; RPS not throttled; OPS not throttled",
        ACCEPTED: "APS throttled 200 Actions in 1 minute; RPS not throttled; OPS not throttled",
        ENOUGH: "APS not throttled; RPS not throttled; OPS not throttled",
    }
    assert {name: one["text"] for name, one in seen.items()} == words
    (notice,) = notices
    assert [notice[key] for key in ("event", "namespace", "status")] == [
        *("throttled", THROTTLED, "open")
    ]
    assert f"was throttled although boosted: {words[THROTTLED]}" in notice["text"]
    assert {one["namespace"]: one["verdict"] for one in report["occurrences"]} == {
        name: one["verdict"] for name, one in seen.items()
    }
    assert {one["namespace"]: one["aps"]["throttled"] for one in report["occurrences"]} == {
        THROTTLED: 2000,
        ACCEPTED: 200,
        ENOUGH: 0,
    }
