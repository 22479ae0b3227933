"""Usage from end to end: three months of it, rules found in them, boosts, verdicts, the bill.

Run: ``python benchmarks/evidence.py``, in minutes. A namespace has a peak at the end of each month.
Three months of its minutes are written into a real Prometheus, on-demand: `planner suggest` makes a
calendar file of them, `planner validate` accepts it, and a real server gets it by `planner sync`.
Its next boost runs through the real workflows, on a server that skips time, against the simulated
Cloud, beside an idle namespace with the same calendar and a peak that no window is for. What they
used goes into a Prometheus again. The report has to say that the boost wasn't throttled, and to
name the hour of the other peak; the billing report has to cost, for the hours of the boost of the
idle namespace, what the bill foresaw, to the cent. What the way back costs, where it touches one
hour more, is printed. Exits with 1 if one of it isn't so.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from processes import dev_environment, leave, run
from prometheus_server import backfill, prometheus

from planner.config.load import read
from planner.evidence.report import Report, Sources, report_of
from planner.forecast.cost import compute_bill
from planner.forecast.history import planned_boosts
from planner.model import Horizon, Project
from planner.rehearsal.plan import Part
from planner.rehearsal.run import ActionCounter, _fire_all, start_environment
from planner.render.report import report_text
from planner.schedules.compile import compile_project
from planner.simulator import Entry, Load, Peak
from planner.simulator.usage import openmetrics, usage_of
from planner.usage.client import Client, Credentials
from planner.usage.cloud import BilledHours, BillingSource
from planner.usage.model import Usage
from planner.usage.prometheus import PrometheusSource

NAMESPACE, IDLE = "payments-prod.a1b2c", "idle-prod.a1b2c"
ZONE = ZoneInfo("America/New_York")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MONTH_END = Peak(1400, 3 * HOUR, cron="0 18 L * *", timezone="America/New_York")
LOAD = Load(base=120, noise=0.05, peaks=(MONTH_END,))
SETTINGS = ("PLANNER_PROMETHEUS_URL",)


async def planner(home: Path, *arguments: str, **environ: str) -> str:
    """Return what a command of the planner prints; it has to end with 0."""
    command = [sys.executable, "-m", "planner", *arguments]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=home, env={**os.environ, **environ}, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, f"{' '.join(arguments)}: {process.returncode}\n{out.decode()}"
    return out.decode()


async def suggested(home: Path, now: datetime) -> Project:
    """Return the project of the calendar that three months' usage asks for."""
    end = now.replace(hour=0, minute=0, second=0, microsecond=0)
    start = end - 92 * DAY
    past = usage_of(NAMESPACE, LOAD, [Entry(start - DAY, None, "created")], 500, start, end)
    backfill(home / "data", [openmetrics([replace(past, requests=None, operations=None)])])
    calendars = home / "calendars"
    calendars.mkdir()
    (calendars / "planner.yaml").write_text("project: evidence\n", encoding="utf-8")
    async with prometheus(home) as url:
        text = await planner(
            home,
            *("suggest", NAMESPACE, "--timezone", str(ZONE), "--format", "yaml"),
            *("--from", f"{start:%Y-%m-%d}", "--to", f"{end:%Y-%m-%d}"),
            PLANNER_PROMETHEUS_URL=url,
        )
    print(text)
    (calendars / "found.yaml").write_text(text, encoding="utf-8")
    (calendars / "idle.yaml").write_text(text.replace(NAMESPACE, IDLE), encoding="utf-8")
    print(await planner(home, "validate", "--strict"))
    return read(calendars)


async def synced(home: Path) -> None:
    """Sync the calendars to a real server, and look that nothing is left to do."""
    async with dev_environment() as server:
        address = server.client.service_client.config.target_host
        print(await planner(home, "sync", TEMPORAL_ADDRESS=address))
        await planner(home, "plan", "--detailed-exitcode", TEMPORAL_ADDRESS=address)


async def boosted(
    project: Project, horizon: Horizon, load: Load, key: Path
) -> tuple[Sequence[Usage], BilledHours]:
    """Return what both namespaces used in *horizon*, and were billed, with their boosts run."""

    async def at_once(_: float) -> None:
        await asyncio.sleep(0)

    horizons = {each.namespace: horizon for each in project.namespaces}
    schedules = tuple(compile_project(project, horizon.start.date()))
    part = Part(project, schedules, horizons)
    async with start_environment(project.namespaces) as environment:
        simulator = environment.simulator
        simulator.load(NAMESPACE, load)
        simulator.state.usage.billed_late = timedelta()
        counter = ActionCounter(environment.client)
        failed = await _fire_all(environment, part, part.firings(), counter, lambda _: None)
        assert not failed, failed
        await environment.skip_to(horizon.end + HOUR)
        now = await simulator.look()
        for name in horizons:
            changes = [f"{entry.at:%m-%d %H:%M} {entry.tru}" for entry in simulator.history(name)]
            print(f"in force in {name}: {', '.join(changes)}")
        usages = [
            simulator.state.usage.usage(simulator.namespace(name), horizon.start, horizon.end)
            for name in horizons
        ]
        client = Client(
            "the Cloud Operations API",
            simulator.url,
            ("PLANNER_CLOUD_URL", "PLANNER_BILLING_KEY_FILE"),
            Credentials("bearer", key),
            simulator.transport,
        )
        async with BillingSource(client, at_once) as source:
            return usages, await source.hours(now)


async def reported(
    home: Path, project: Project, horizon: Horizon, usages: Sequence[Usage], billed: BilledHours
) -> Report:
    """Return the report on *horizon*, by what a Prometheus has of *usages*."""
    backfill(home / "data", [openmetrics(usages)])
    async with (
        prometheus(home) as url,
        PrometheusSource(Client("Prometheus", url, SETTINGS)) as source,
    ):
        read_back = [
            await source.usage(each.namespace, horizon.start, horizon.end) for each in usages
        ]
        requests = source.requests
    planned = [
        boost
        for each in project.namespaces
        for boost in planned_boosts(each, horizon, project.prices)
    ]
    return report_of(
        read_back,
        [],
        planned,
        horizon,
        project.prices,
        Sources(usage=f"Prometheus, {requests} requests", billing="the simulator's report"),
        calendars={each.namespace: each for each in project.namespaces},
        billed=billed.between,
    )


def month_end_after(now: datetime) -> datetime:
    """Return the start of the next peak at a month's end."""
    spans = MONTH_END.spans(now, now + 40 * DAY)
    return next(start for start, _ in spans if start > now + 7 * HOUR)


async def main() -> int:
    """Return the exit code."""
    begun, now = time.monotonic(), datetime.now(UTC)
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        (home / "first").mkdir()
        (home / "second").mkdir()
        key = home / "key"
        key.write_text("billing", encoding="utf-8")
        project = await suggested(home / "first", now)
        await synced(home / "first")
        peak = month_end_after(now)
        other = (peak + 2 * DAY).replace(minute=0, hour=11)
        load = replace(LOAD, peaks=(*LOAD.peaks, Peak(1100, HOUR, start=other)))
        horizon = Horizon(peak - 6 * HOUR, peak + 3 * DAY)
        usages, billed = await boosted(project, horizon, load, key)
        report = await reported(home / "second", project, horizon, usages, billed)
    print(report_text(report))
    of = {each.namespace: each for each in report.namespaces}
    outcomes = {name: [str(one.outcome) for one in each.occurrences] for name, each in of.items()}
    hours = sorted({one.start for one in of[NAMESPACE].episodes})
    (boost,) = of[IDLE].occurrences
    paid = billed.between(IDLE, horizon.start, min(horizon.end, billed.until))
    assert paid is not None
    idle = [each for each in project.namespaces if each.namespace == IDLE]
    foreseen = compute_bill(idle, horizon, project.prices).price
    back = paid.cost - (boost.billed_cost or 0)
    print(f"the way back, after the end, touched hours that cost {back:.2f} more")
    checks = {
        f"the boost was enough: {outcomes}": outcomes[NAMESPACE] == ["not throttled"],
        f"the hour without a window is named: {hours}": hours == [other],
        f"billed {boost.billed_cost} for the boost's idle hours, foreseen {foreseen}": (
            foreseen > 0 and round(boost.billed_cost or 0, 2) == round(foreseen, 2)
        ),
    }
    for text, is_so in checks.items():
        print(f"{'yes' if is_so else 'NO '}  {text}")
    print(f"{time.monotonic() - begun:.0f} s")
    return int(not all(checks.values()))


if __name__ == "__main__":
    leave(run(main()))
