"""Scrape a worker each second of a run with faults, and hold each gauge against the truth.

Run: ``python benchmarks/metrics_truth.py [SECONDS]``. Boosts come and go on several namespaces,
others set capacities, the Cloud API fails, and the worker stands still, is killed and comes back.
What was in force, and when, the simulator knows; which leases there were, the keepers' histories.
A gauge that tells a capacity must tell one that was in force at the moment at which it says it was
seen, target and leases those of a moment since the round began, and no gauge may be older than the
documents say. Prints one line for each kind of look, and exits with 1 on any untruth.
"""

from __future__ import annotations

import asyncio
import random
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
from observed import EVERY, Observed, observed
from processes import leave, run

from workflows.activities.keeper import record_on_record
from workflows.contract import (
    BOOST_WORKFLOW,
    KEEPER_WORKFLOW,
    TASK_QUEUE,
    BoostRequest,
    Capacity,
    keeper_id,
)
from workflows.metrics import SLOWEST_ROUND

SECONDS = 180.0
NAMESPACES = tuple(f"truth{number}.a1b2c" for number in range(6))
BASELINE = 3
SEEN_WITHIN = 5.0
"""Seconds that a look at the Cloud API may take: the value may be of any moment in them."""

OLDEST = EVERY + SLOWEST_ROUND.total_seconds()
"""Seconds: the age that docs/metrics.md states, for rounds that are this far apart."""

UP_WITHIN = 120.0
"""Seconds that a worker may take until its first round, on a machine that is busy."""

SLACK = 0.5
"""Seconds between the worker's answer and the scrape's time here."""

SERIES = re.compile(r'^capacity_boost_(\w+)(?:\{cloud_namespace="([^"]+)"\})? (\S+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Scrape:
    """What a scrape at *at* told: values by metric and namespace; empty without a namespace."""

    at: float
    values: dict[tuple[str, str], float]


@dataclass(frozen=True, slots=True)
class Held:
    """A lease of *tru*, and from when to when a namespace had it, in Unix seconds."""

    tru: int
    start: float
    end: float


async def leases_of(of: Observed) -> dict[str, list[Held]]:
    """Return the leases of each namespace, as the histories of its keeper's runs have them."""
    found: dict[tuple[str, str], Held] = {}
    now = datetime.now(UTC)
    async for one in of.client.list_workflows(f"WorkflowType = '{KEEPER_WORKFLOW}'"):
        name, span = one.id.removeprefix(keeper_id("")), (one.start_time, one.close_time)
        record = await record_on_record(of.client, name, one.run_id, span, now)
        for lease in record.leases:
            start = lease.granted_at.timestamp() if lease.granted_at else float("inf")
            end = lease.ended_at.timestamp() if lease.ended_at else 0.0
            known = found.get((name, lease.key), Held(lease.tru, start, end))
            held = Held(lease.tru, min(known.start, start), max(known.end, end))
            found[name, lease.key] = held
    leases: dict[str, list[Held]] = {}
    for (name, _), held in found.items():
        is_over = held.end > 0
        leases.setdefault(name, []).append(held if is_over else Held(held.tru, held.start, 1e12))
    return leases


@dataclass
class Run:
    """The scrapes of a run; *missed* counts those that had no answer."""

    scrapes: list[Scrape] = field(default_factory=list)
    missed: int = 0


async def scrape_each_second(of: Observed, found: Run, until: float) -> None:
    """Scrape each second until then."""
    while (begun := time.time()) < until:
        try:
            text = await of.scrape()
        except httpx.HTTPError:
            found.missed += 1
        else:
            values = {(name, ns): float(value) for name, ns, value in SERIES.findall(text)}
            found.scrapes.append(Scrape(time.time(), values))
        await asyncio.sleep(max(0.0, begun + 1 - time.time()))


async def watching(of: Observed) -> None:
    """Wait until the worker has the watchdog."""
    async with asyncio.timeout(UP_WITHIN):
        while True:
            with suppress(httpx.HTTPError):
                if "watchdog_last_round" in await of.scrape():
                    return
            await asyncio.sleep(0.5)


async def make_trouble(of: Observed, until: float, seed: int) -> None:
    """Boost, change by hand and let calls fail, at random, until then."""
    chance, number = random.Random(seed), 0
    while time.time() < until:
        name, number = chance.choice(NAMESPACES), number + 1
        match chance.choice(("boost", "boost", "others", "fault")):
            case "boost":
                request = BoostRequest(
                    namespace=name,
                    window=f"w{number}",
                    tru=chance.choice((4, 6, 8)),
                    ttl_seconds=chance.randint(4, 20),
                    baseline=Capacity(BASELINE),
                )
                await of.client.start_workflow(
                    BOOST_WORKFLOW, request, id=f"boost/{name}/w{number}", task_queue=TASK_QUEUE
                )
            case "others":
                with suppress(httpx.HTTPStatusError):  # one of ours is under way
                    await of.stack.cloud.change_by_others(name, chance.choice((2, BASELINE, 10)))
            case "fault":
                on = chance.choice(("get", "update", "operation"))
                kind = chance.choice(("error", "drop-reply", "unauthorized"))
                await of.stack.cloud.fault(name, on, kind, times=chance.randint(1, 4))
        await asyncio.sleep(chance.uniform(0.2, 2.0))


async def disturb_worker(of: Observed, length: float) -> None:
    """Freeze the worker for a while, later kill it, and start it again."""
    await asyncio.sleep(length * 0.3)
    assert of.stack.worker.running
    of.stack.worker.running.send_signal(signal.SIGSTOP)
    await asyncio.sleep(length * 0.15)
    of.stack.worker.running.send_signal(signal.SIGCONT)
    await asyncio.sleep(length * 0.2)
    await of.stack.worker.kill()
    await asyncio.sleep(3)
    await of.stack.worker.start()


def untrue_leases(
    scrape: Scrape, last: float, leases: dict[str, list[Held]], counts: Counter[str]
) -> list[str]:
    """Return which targets and numbers of leases were those of no moment since *last*."""
    found = []
    for (name, namespace), value in scrape.values.items():
        if name not in ("leases", "target_tru"):
            continue
        own = leases.get(namespace, [])
        start, end = last - SLACK, scrape.at + SLACK
        edges = [edge for one in own for edge in (one.start, one.end) if start <= edge <= end]
        moments = [[one for one in own if one.start <= at < one.end] for at in (start, *edges, end)]
        true = {
            float(len(held) if name == "leases" else max([BASELINE, *(one.tru for one in held)]))
            for held in moments
        }
        counts[name] += 1
        if value not in true:
            told = f"{name} {value:g} at {scrape.at:.1f}, round {last:.1f}"
            found.append(f"{namespace}: {told}: it was one of {true}")
    return found


def untruths(
    scrape: Scrape,
    truth: dict[str, list[tuple[datetime, float | None]]],
    leases: dict[str, list[Held]],
    counts: Counter[str],
) -> list[str]:
    """Return what *scrape* told that wasn't so, and count what was looked at."""
    found = []
    last = scrape.values.get(("watchdog_last_round_timestamp_seconds", ""))
    told = [name for name, _ in scrape.values if name in ("actual_tru", "leases", "schedules")]
    if last is None:
        counts["without the watchdog"] += 1
        return ["gauges without their round"] if told else []
    if scrape.at - last > OLDEST + SLACK:
        found.append(f"a round {scrape.at - last:.1f} s old is told")
    counts["with the watchdog"] += 1
    found += untrue_leases(scrape, last, leases, counts)
    for (name, namespace), value in scrape.values.items():
        if name != "actual_tru":
            continue
        seen = scrape.values[("actual_seen_timestamp_seconds", namespace)]
        counts["capacities"] += 1
        if not last - SLACK <= seen <= scrape.at + SLACK and scrape.at - seen > OLDEST + SLACK:
            found.append(f"{namespace}: seen {scrape.at - seen:.1f} s ago")
        if value not in in_force(truth[namespace], seen - SLACK, seen + SEEN_WITHIN):
            found.append(f"{namespace}: told {value:g} TRU, seen at {seen:.1f}: it wasn't so")
    return found


def in_force(history: list[tuple[datetime, float | None]], start: float, end: float) -> set[float]:
    """Return what was in force at any moment from *start* to *end*; 0 is on-demand."""
    values = set()
    for (at, tru), following in zip(history, [*history[1:], None], strict=True):
        until = following[0].timestamp() if following else float("inf")
        if at.timestamp() <= end and until >= start:
            values.add(tru or 0.0)
    return values


async def main(length: float, seed: int) -> int:
    """Run for *length* seconds, and judge; return an exit code."""
    found = Run()
    with tempfile.TemporaryDirectory() as directory:
        async with observed(Path(directory)) as of:
            for name in NAMESPACES:
                await of.stack.cloud.create(name, BASELINE)
            await watching(of)
            until = time.time() + length
            trouble = asyncio.create_task(make_trouble(of, until, seed))
            disturbed = asyncio.create_task(disturb_worker(of, length))
            await scrape_each_second(of, found, until)
            await trouble
            with suppress(ProcessLookupError):
                await disturbed
            truth = {name: await of.stack.cloud.history(name) for name in NAMESPACES}
            leases = await leases_of(of)
    counts: Counter[str] = Counter()
    lies = [lie for scrape in found.scrapes for lie in untruths(scrape, truth, leases, counts)]
    changes = sum(len(history) - 1 for history in truth.values())
    print(f"{length:g} s, seed {seed}: {changes} changes of {len(NAMESPACES)} namespaces")
    print(f"scrapes: {len(found.scrapes)} answered, {found.missed} not; {dict(counts)}")
    print(*lies[:20], f"untruths: {len(lies)}", sep="\n")
    enough = min(counts[one] for one in ("capacities", "leases", "target_tru")) > length
    return 0 if enough and not lies else 1


if __name__ == "__main__":
    leave(run(main(float(sys.argv[1]) if sys.argv[1:] else SECONDS, int(time.time()))))
