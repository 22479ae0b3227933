"""Read a year of many namespaces from a real Prometheus, and backtest calendars on it.

Run: ``python benchmarks/usage.py [NAMESPACES [DAYS [WRITTEN]]]``. So many namespaces are WRITTEN
into Prometheus's blocks by promtool, which takes longest (minutes for each year), and each is read
as often as it takes to make NAMESPACES. Prints what reading and backtesting took, requests and
memory; exits with 1 beyond the goals of 30 s and 400 MB for 50 namespaces and a year.

The samples are written by a process of their own: what that takes, and what its allocator keeps
afterwards, is no part of the memory of a backtest.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from dataclasses import replace

from processes import run
from prometheus_server import backfill, prometheus

from planner.config.load import read
from planner.evidence.backtest import backtest_namespace
from planner.model import Horizon
from planner.simulator import Entry, Load, Peak
from planner.simulator.usage import openmetrics, usage_of
from planner.usage.client import Client
from planner.usage.prometheus import PrometheusSource

SECONDS, MEGABYTES = 30.0, 400.0
END = datetime(2026, 11, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)

CALENDAR = """\
timezone: America/New_York
windows:
  month-end: {{cron: "0 18 L * *", duration: 4h, tru: 4, lead: 10m}}
  mondays: {{cron: "0 9 * * mon", duration: 3h, tru: 4, lead: 10m}}
namespace: {name}
"""


def processor(usage: resource.struct_rusage) -> float:
    """Return the processor time in seconds."""
    return usage.ru_utime + usage.ru_stime


def megabytes_at_most() -> float:
    """Return the most memory that this process has held."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024


def name_of(number: int) -> str:
    """Return the namespace with this *number*."""
    return f"bench{number}.a1b2c"


def written(number: int, days: int) -> object:
    """Return the usage of a namespace with peaks of a calendar, boosted at some of them."""
    load = Load(
        base=150,
        noise=0.08,
        seed=number,
        peaks=(
            Peak(1500, 4 * HOUR, cron="0 18 L * *", timezone="America/New_York"),
            Peak(700, 2 * HOUR, cron="0 9 * * mon", timezone="America/New_York"),
        ),
    )
    start = END - timedelta(days=days)
    history = [Entry(start - HOUR, None, "created")]
    for week in range(days // 7):
        at = start + timedelta(weeks=week, hours=13)
        history += [Entry(at, 4, "boost"), Entry(at + 3 * HOUR, None, "its end")]
    usage = usage_of(name_of(number), load, history, 500, start, END)
    return replace(usage, requests=None, operations=None)


def write(data: Path, days: int, distinct: int) -> None:
    """Write so many *days* of *distinct* namespaces into the blocks below *data*."""
    backfill(data, (openmetrics([written(each, days)]) for each in range(distinct)))


async def main(namespaces: int, days: int, distinct: int) -> int:
    """Return the exit code."""
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        begun = time.monotonic()
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as writer:
            writer.submit(write, home / "data", days, distinct).result()
        print(f"{distinct} x {days} days written in {time.monotonic() - begun:.0f} s", flush=True)
        calendars = home / "calendars"
        calendars.mkdir()
        (calendars / "planner.yaml").write_text("project: bench\n", encoding="utf-8")
        for number in range(distinct):
            text = CALENDAR.format(name=name_of(number))
            (calendars / f"{number}.yaml").write_text(text, encoding="utf-8")
        project = read(calendars)
        by_name = {one.namespace: one for one in project.namespaces}
        horizon = Horizon(END - timedelta(days=days), END)
        idle = megabytes_at_most()
        before, children = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        async with prometheus(home) as url:
            begun, reading, hot = time.monotonic(), 0.0, 0
            source = PrometheusSource(Client("Prometheus", url, ("PLANNER_PROMETHEUS_URL",)))
            async with source:
                for number in range(namespaces):
                    calendar = by_name[name_of(number % distinct)]
                    at = time.monotonic()
                    usage = await source.demand(calendar.namespace, horizon.start, horizon.end)
                    reading += time.monotonic() - at
                    assert usage.coverage.is_whole, usage.coverage
                    hot += backtest_namespace(calendar, usage, horizon).hot
            took = time.monotonic() - begun
    after = resource.getrusage(resource.RUSAGE_SELF)
    server = processor(resource.getrusage(resource.RUSAGE_CHILDREN)) - processor(children)
    cpu, peak = processor(after) - processor(before), megabytes_at_most()
    print(
        f"{namespaces} namespaces, {days} days each: {took:.1f} s, of which reading "
        f"{reading:.1f} s; processor time {cpu:.1f} s here and {server:.1f} s of Prometheus; "
        f"{source.requests:,} requests; peak {peak:.0f} MB, {idle:.0f} before the first; "
        f"{hot:,} hot hours; "
        f"load {os.getloadavg()[0]:.1f}"
    )
    share = namespaces * days / (50 * 365)
    return int(took > SECONDS * share or peak > MEGABYTES)


if __name__ == "__main__":
    arguments = [int(argument) for argument in sys.argv[1:]]
    sys.exit(run(main(*(arguments + [50, 365, 1][len(arguments) :]))))
