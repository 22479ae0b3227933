"""A backtest of a year of minutes for many namespaces: time, memory, requests.

    python benchmarks/backtest.py [--namespaces 50] [--days 365] [--real 2] [--real-days 30]

The first part takes usage from arrays in memory, as a Prometheus without any cost: what the
backtest itself takes, beside reading the same arrays alone. The second part is a real Prometheus,
backfilled with less: the same calendars over it, beside the bare fetch. Each part runs in a
process of its own, so that peak memory is its own, too.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from planner.cli.report import backtest_over
from planner.evidence.backtest import backtest_namespace, backtest_of
from planner.model import Cron, Duration, Horizon, NamespaceCalendar, Project, Window
from planner.render.suggest import backtest_text
from planner.usage.client import Client
from planner.usage.model import MINUTE, LimitUsage, Usage
from planner.usage.prometheus import PrometheusSource

END = datetime(2026, 11, 1, tzinfo=UTC)
CRONS = ("0 9 * * 1-5", "30 22 * * *", "0 18 L * *", "15 */6 * * *", "0 5 1,15 * *")


def calendar(number: int) -> NamespaceCalendar:
    """Return the calendar of namespace *number*: five windows."""
    name = f"load-{number:03}.a1b2c"
    windows = tuple(
        Window(
            namespace=name,
            name=f"window-{at}",
            recurrence=Cron((cron,)),
            length=Duration(timedelta(minutes=90 + at * 15)),
            tru=(4, 8, 2)[at % 3],
            asked="so many TRU",
            timezone="America/New_York",
        )
        for at, cron in enumerate(CRONS)
    )
    return NamespaceCalendar(namespace=name, timezone="America/New_York", windows=windows)


def usage(name: str, start: datetime, end: datetime) -> Usage:
    """Return a usage by the seed of its name: nights at 2,000 APS, noise, gaps, throttling."""
    count = (end - start) // MINUTE
    random = np.random.default_rng([int(name[5:8]), 1])
    at = np.arange(count)
    used = 150 + 40 * np.sin(at / 1440 * 2 * np.pi) + random.normal(0, 10, count)
    used[(at // 60 % 24) == 9] = 1500.0
    seen = random.random(count) > 0.0005
    throttled = np.where(random.random(count) > 0.9995, 5.0, 0.0)

    def known(values: Any) -> Any:
        return np.where(seen, values, np.nan)

    flat = np.full(count, 500.0)
    limits = [LimitUsage(known(used), known(flat), known(throttled), known(flat)) for _ in "aro"]
    return Usage(name, start, seen, known(np.zeros(count)), *limits)


async def in_memory(namespaces: int, days: int, *, bare: bool) -> str:
    """Lay the calendars over arrays, or only make the arrays."""
    horizon = Horizon(END - timedelta(days=days), END)
    parts = []
    for number in range(namespaces):
        of = calendar(number)
        seen = usage(of.namespace, horizon.start, horizon.end)
        if not bare:
            parts.append(backtest_namespace(of, seen, horizon))
    if bare:
        return ""
    project = Project(name="bench", namespaces=())
    return backtest_text(backtest_of(parts, horizon, project.prices)).splitlines()[0]


async def real(url: str, namespaces: int, days: int, *, bare: bool) -> str:
    """Lay the calendars over a Prometheus, or only read from it."""
    horizon = Horizon(END - timedelta(days=days), END)
    calendars = tuple(map(calendar, range(namespaces)))
    settings = ("PLANNER_PROMETHEUS_URL",)
    async with PrometheusSource(Client("Prometheus", url, settings)) as source:
        if bare:
            for one in calendars:
                await source.usage(one.namespace, horizon.start, horizon.end)
            return f"{source.requests} requests"
        project = Project(name="bench", namespaces=calendars)
        found = await backtest_over(project, horizon, source)
        return f"{source.requests} requests; {backtest_text(found).splitlines()[0]}"


def measured(work: Coroutine[Any, Any, str]) -> None:
    """Run *work* and print seconds, processor seconds, peak memory, and what it returns."""
    begun, used = time.monotonic(), time.process_time()
    said = asyncio.run(work)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds, processor = time.monotonic() - begun, time.process_time() - used
    print(
        f"{seconds:7.1f} s, {processor:6.1f} s processor, {peak:5.0f} MB peak; {said}", flush=True
    )


async def serve(namespaces: int, days: int, ask: Callable[[str], None]) -> None:
    """Backfill a Prometheus and run what *ask* does with its address."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from prometheus_server import backfill, prometheus

    from planner.simulator.usage import openmetrics

    start = END - timedelta(days=days)
    with tempfile.TemporaryDirectory() as home:
        begun = time.monotonic()
        for number in range(namespaces):
            name = calendar(number).namespace
            backfill(Path(home) / "data", [openmetrics([usage(name, start, END)])])
        print(f"backfilled in {time.monotonic() - begun:.0f} s", flush=True)
        async with prometheus(Path(home)) as url:
            await asyncio.to_thread(ask, url)


def main() -> None:
    """Run the parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--namespaces", type=int, default=50)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--real", type=int, default=2)
    parser.add_argument("--real-days", type=int, default=30)
    parser.add_argument("--part", default="")
    parser.add_argument("--url", default="")
    options = parser.parse_args()
    bare = options.part.endswith("bare")
    if options.part.startswith("memory"):
        measured(in_memory(options.namespaces, options.days, bare=bare))
        return
    if options.part:
        measured(real(options.url, options.real, options.real_days, bare=bare))
        return

    def run(part: str, url: str = "") -> None:
        print(f"{part:13}", end="", flush=True)
        arguments = [*sys.argv[1:], "--part", part, "--url", url]
        subprocess.run([sys.executable, __file__, *arguments], check=True)

    print(f"{options.namespaces} namespaces, {options.days} days, from memory")
    run("memory bare")
    run("memory")
    print(f"{options.real} namespaces, {options.real_days} days, a real Prometheus")

    def ask(url: str) -> None:
        run("real bare", url)
        run("real", url)

    asyncio.run(serve(options.real, options.real_days, ask))


if __name__ == "__main__":
    main()
