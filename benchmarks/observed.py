"""A worker whose watchdog looks around every second or so, with a Prometheus that scrapes it.

What the scripts `alerts.py` and `metrics_truth.py` share: server, simulated Cloud, worker and
Prometheus, each as a process, and the short times that a test can wait for.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import yaml
from processes import KEY, Process, Processes, processes
from temporalio.client import Client

from planner.simulator import Simulator
from planner.simulator.http import HttpReply, HttpRequest
from planner.temporal.client import free_port

ROOT = Path(__file__).parent.parent
RULES = ROOT / "deploy" / "prometheus" / "rules" / "capacity-boost.yaml"
BUG = "PLANNER_TEST_BUG"
"""A file whose presence makes the keeper's code of the worker fail."""

SLOTS = "PLANNER_TEST_SLOTS"
"""How many activities the worker runs at once; as many as ever without it."""

EVERY = 1.0
"""Seconds between two rounds of the watchdog here."""

OVERDUE_AFTER = timedelta(seconds=4)
MISSED_KEPT = timedelta(seconds=25)
STUCK_AFTER = timedelta(seconds=2)


AGED = "unused.a1b2c"
"""A namespace with 8 TRU since the hour before this one, where usage is scraped, too."""

USED = ("throttled.a1b2c", AGED)
"""The namespaces whose usage is scraped."""

MINUTE = timedelta(minutes=1)


def shorten() -> None:
    """Shorten the planner's times in this process: what takes minutes takes seconds."""
    import planner.temporal.status as status
    import planner.temporal.watchdog as schedule
    import workflows.activities.watchdog as rounds
    import workflows.keeper_transitions as keeper
    from workflows.contract import WatchdogInput, findings

    task: Any = partial(WatchdogInput, every_seconds=EVERY)
    vars(schedule)["WatchdogInput"] = task
    vars(schedule)["METRICS_LATE"] = timedelta()
    vars(status)["MISSED_KEPT"] = MISSED_KEPT
    vars(keeper)["REVERT_DEADLINE"] = OVERDUE_AFTER
    vars(findings)["STUCK_AFTER"] = STUCK_AFTER
    vars(rounds)["KEYS_EVERY"] = timedelta(seconds=2)
    vars(rounds)["STUCK_AFTER"] = timedelta(seconds=60)  # within which a successor was stuck, too


def have_a_bug(flag: Path) -> None:
    """Make the keeper's code fail while *flag* is there, as a bug of a release does."""
    from workflows.keeper import CapacityKeeper

    describe = CapacityKeeper._describe

    def buggy(self: CapacityKeeper) -> None:
        if flag.exists():
            raise RuntimeError("a bug of this release")
        describe(self)

    CapacityKeeper._describe = buggy  # type: ignore[method-assign]


class AgedCloud(Simulator):
    """A Cloud whose metrics go back to *first*: of two scrapes one has the newest whole minute.

    The other one has an older one, over and over, since a busy machine loses a scrape.
    """

    def __init__(self, port: int, first: datetime) -> None:
        self._age = datetime.now(UTC) - first + MINUTE  # else it lacks the first one
        super().__init__(
            provisioning=1.0, check=0.2, key_rate=None, account_rate=None, port=port,
            now=lambda: datetime.now(UTC) - self._age,
        )  # fmt: skip
        self.state.usage.scrapes_an_hour = 1e9
        self._first = self._next = first
        self._is_newest = False

    async def _handle(self, request: HttpRequest) -> HttpReply:
        self._age = timedelta()
        if request.parts[0] == "v1":
            now = datetime.now(UTC)
            newest = now.replace(second=0, microsecond=0) - MINUTE
            self._is_newest = not self._is_newest
            self.state.usage.late = now - (newest if self._is_newest else self._next)
            if not self._is_newest:
                self._next = self._next + MINUTE if self._next < newest else self._first
        return await super()._handle(request)


async def simulate(port: int) -> None:
    """Be such a Cloud on *port*."""
    first = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    cloud = AgedCloud(port, first)
    await cloud.create(AGED, tru=8)
    await cloud.start()
    await asyncio.Event().wait()


async def work(metrics: str) -> None:
    """Be the worker, as `planner worker --metrics` is."""
    import planner.cli.worker as worker
    from workflows.observability import log_to_stderr

    shorten()
    if flag := os.environ.get(BUG):
        have_a_bug(Path(flag))
    if slots := os.environ.get(SLOTS):
        import workflows.worker as settings

        vars(settings)["ACTIVITIES_AT_ONCE"] = int(slots)
    log_to_stderr()
    await worker.work("", metrics)


@dataclass
class Observed:
    """The stack, where the worker's metrics are, and the Prometheus."""

    stack: Processes
    client: Client
    metrics: str
    prometheus: Process | None
    url: str

    # One client: to make one reads all certificates, which a busy machine feels.
    http: httpx.AsyncClient = field(default_factory=lambda: httpx.AsyncClient(trust_env=False))

    async def scrape(self) -> str:
        """Return what the worker serves now.

        Raises:
            httpx.HTTPError: It doesn't answer.
        """
        reply = await self.http.get(f"http://{self.metrics}/metrics", timeout=3)
        reply.raise_for_status()
        return reply.text

    async def firing(self) -> set[str]:
        """Return the names of the alerts that fire now, by Prometheus, as soon as it answers."""
        while True:
            with suppress(httpx.TransportError):
                reply = await self.http.get(f"{self.url}/api/v1/alerts", timeout=10)
                alerts = reply.json()["data"]["alerts"]
                return {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"}


def quick_rules(text: str) -> dict[str, Any]:
    """Return the shipped rules with times that can be waited for: minutes become seconds.

    Rates are taken over 45 seconds instead of ten minutes.
    """
    rules: dict[str, Any] = yaml.safe_load(text)
    for group in rules["groups"]:
        group["interval"] = "1s"
        for rule in group["rules"]:
            if "alert" in rule:
                rule["for"] = "2s"
            rule["expr"] = re.sub(r"(\[|offset )10m", r"\g<1>45s", rule["expr"])
    return rules


def prometheus_config(targets: dict[str, str], rules: Path) -> dict[str, Any]:
    """Return a configuration that scrapes *targets* every two seconds, by job.

    On a busy machine the answer to a scrape takes more than one.
    """
    return {
        "global": {"scrape_interval": "2s", "evaluation_interval": "1s", "scrape_timeout": "2s"},
        "rule_files": [str(rules)],
        "scrape_configs": [
            {
                "job_name": job,
                "static_configs": [{"targets": [target]}],
                # The server's answer is long; a busy machine takes seconds for it.
                **({"scrape_interval": "3s", "scrape_timeout": "3s"} if job == "temporal" else {}),
            }
            for job, target in targets.items()
        ],
    }


def of_usage(cloud: str) -> dict[str, Any]:
    """Return a job that scrapes usage of the Cloud at *cloud*, twice a second."""
    return {
        "job_name": "temporal-cloud",
        "metrics_path": "/v1/metrics",
        "params": {"namespaces": [*USED]},
        "scrape_interval": "500ms",
        "scrape_timeout": "500ms",
        "authorization": {"credentials": KEY},
        "static_configs": [{"targets": [cloud.removeprefix("http://")]}],
    }


@asynccontextmanager
async def observed(directory: Path, *, with_usage: bool = False) -> AsyncIterator[Observed]:
    """Run all of it for as long as the context lasts; without Debian's Prometheus, all else.

    *with_usage* the Prometheus scrapes the Cloud's usage, too; a worker finds it there that has
    its address in the environment.
    """
    metrics = f"127.0.0.1:{free_port()}"
    own = (sys.executable, str(Path(__file__).parent / "observed.py"))
    simulator = (*own, "simulate") if with_usage else ()
    async with processes(
        directory,
        worker=(*own, "work", metrics),
        simulator=simulator,
        provisioning=1.0,
        check=0.2,
        keeps_state=False,
    ) as stack:
        port = free_port()
        rules, config = directory / "rules.yaml", directory / "prometheus.yaml"
        rules.write_text(yaml.safe_dump(quick_rules(RULES.read_text(encoding="utf-8"))))
        targets = {"planner": metrics, "temporal": stack.server_metrics}
        settings = prometheus_config(targets, rules)
        if with_usage:
            settings["scrape_configs"].append(of_usage(stack.cloud.url))
            settings["storage"] = {"tsdb": {"out_of_order_time_window": "4h"}}
        config.write_text(yaml.safe_dump(settings))
        program = shutil.which("prometheus")
        prometheus = None
        if program:
            command = (
                *(program, f"--config.file={config}", f"--web.listen-address=127.0.0.1:{port}"),
                *(f"--storage.tsdb.path={directory / 'tsdb'}", "--log.level=warn"),
            )
            prometheus = Process("prometheus", command, directory / "prometheus.log")
            await prometheus.start()
        try:
            client = await stack.connect()
            of = Observed(stack, client, metrics, prometheus, f"http://127.0.0.1:{port}")
            async with of.http:
                yield of
        finally:
            if prometheus:
                await prometheus.end()


if __name__ == "__main__":
    if sys.argv[1] == "simulate":
        asyncio.run(simulate(int(sys.argv[2])))
    else:
        asyncio.run(work(sys.argv[2]))
