"""Scrape a worker each second of a run with faults, and hold each gauge against the truth.

Run: ``python benchmarks/metrics_truth.py [SECONDS] [SEED]``. Boosts come and go on several
namespaces, by hand and by schedules, others set capacities, an operator pauses and resumes, the
Cloud API fails, and the worker stands still, is killed and comes back.

What was in force, and when, the simulator knows; which leases there were, the keepers' histories;
which windows there were, and when, this script, which wrote the schedules and started the boosts.
A gauge that tells a capacity must tell one that was in force at the moment at which it says it was
seen; target and leases those of a moment since the round began. What a state says has to be so at
some moment since the round began, and what was so all that time has to be told. No gauge may be
older than the documents say. Prints one line for each kind of look, and exits with 1 on any
untruth.
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
from functools import partial
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import httpx
from observed import EVERY, MISSED_KEPT, OVERDUE_AFTER, Observed, observed
from processes import leave, run
from sync_helpers import Shop, eventually
from temporalio.client import WorkflowExecution

from planner.schedules.spec import Range, StructuredCalendar
from workflows.activities.keeper import record_on_record
from workflows.contract import (
    BOOST_WORKFLOW,
    KEEPER_WORKFLOW,
    TASK_QUEUE,
    BoostRequest,
    Capacity,
    keeper_id,
)
from workflows.contract.findings import STATES
from workflows.keeper_transitions import PENDING
from workflows.metrics import SLOWEST_ROUND

SECONDS = 180.0
NAMESPACES = tuple(f"truth{number}.a1b2c" for number in range(6))
*TROUBLED, LEFT, SHORT = NAMESPACES
"""Those of which some trouble passes, and two others, each of one kind that stays."""

BASELINE = 3
SEEN_WITHIN = 5.0
"""Seconds that a look at the Cloud API may take: the value may be of any moment in them."""

OLDEST = EVERY + SLOWEST_ROUND.total_seconds()
"""Seconds: the age that docs/metrics.md states, for rounds that are this far apart."""

UP_WITHIN = 120.0
"""Seconds that a worker may take until its first round, on a machine that is busy."""

SLACK = 0.5
"""Seconds between the worker's answer and the scrape's time here."""

LISTED_WITHIN = 5.0
"""Seconds by which the server's lists are behind, of schedules and of boosts that are over."""

KNOWN_WITHIN = 5.0
"""Seconds that a busy worker takes until a keeper has seen what changed, or has begun."""

SERIES = re.compile(
    r'^capacity_boost_(\w+)(?:\{cloud_namespace="([^"]+)"(?:,(?:state|by)="([^"]+)")?\})? (\S+)$',
    re.MULTILINE,
)

SCHEDULED = {NAMESPACES[0]: 5, NAMESPACES[1]: 25, NAMESPACES[2]: 45}
"""The namespaces with a schedule, and the second of each minute at which it fires."""

LEAD, LENGTH, SCHEDULED_TRU = 10, 15, 6
BOOST_ID = re.compile(r"boost/(?P<namespace>[^/]+)/(?P<window>.+?)(-(?P<nominal>2\d{3}-\d\d-.+Z))?")
OWN = {4.0, 6.0, 8.0}
"""The TRU of windows; nobody else sets them."""


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
            found_now = SERIES.findall(text)
            values = {(f"{name}/{of}" if of else name, ns): float(value)
                      for name, ns, of, value in found_now}  # fmt: skip
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


@dataclass
class Done:
    """What the script has done, which ends at *until*: boosts by id, all else by namespace.

    A boost is there with its TRU and its seconds, a change by others with the time at which it
    began, a pause or its end with those between which it came.
    """

    until: float = 0.0
    tru: dict[str, tuple[int, int]] = field(default_factory=dict)
    foreign: dict[str, list[float]] = field(default_factory=dict)
    pauses: dict[str, list[tuple[float, float, bool]]] = field(default_factory=dict)


async def write_schedules(of: Observed) -> None:
    """Write a schedule for some namespaces: once a minute."""
    for name, second in SCHEDULED.items():
        shop = Shop(of.client, name.partition(".")[0])
        each_minute = StructuredCalendar(
            hour=(Range(0, 23),), minute=(Range(0, 59),), second=(Range(second, second),)
        )
        times = {"ahead_seconds": LEAD, "ttl_seconds": LENGTH, "calendars": (each_minute,)}
        value = shop.value("minutely", baseline=Capacity(BASELINE), tru=SCHEDULED_TRU, **times)
        await eventually(partial(shop.sync, value), within=UP_WITHIN)  # a window may end meanwhile


async def toggle(of: Observed, name: str, done: Done) -> None:
    """Pause the schedule of *name*, or resume it."""
    shop, known = Shop(of.client, name.partition(".")[0]), done.pauses.setdefault(name, [])
    is_paused, begun = not (known and known[-1][2]), time.time()
    work = shop.pause if is_paused else shop.resume
    await work(f"boost/{name}/minutely", "Paused by ann: a test" if is_paused else "resumed")
    known.append((begun, time.time(), is_paused))


async def boost(of: Observed, done: Done, name: str, window: str, tru: int, length: int) -> None:
    """Boost a namespace by hand, for *length* seconds."""
    request = BoostRequest(
        namespace=name, window=window, tru=tru, ttl_seconds=length, baseline=Capacity(BASELINE)
    )
    id = f"boost/{name}/{window}"
    done.tru[id] = (tru, length)
    await of.client.start_workflow(BOOST_WORKFLOW, request, id=id, task_queue=TASK_QUEUE)


async def break_for_good(of: Observed, done: Done) -> None:
    """Let one window never get its capacity, and another one's stay, until the end of the run."""
    await of.stack.cloud.fault(SHORT, "update", "error", times=0)
    await boost(of, done, SHORT, "short", 8, 20)
    await boost(of, done, LEFT, "left", 8, 15)
    while (await of.stack.cloud.history(LEFT))[-1][1] != 8:
        await asyncio.sleep(0.1)
        if time.time() > done.until:
            return
    await of.stack.cloud.fault(LEFT, "update", "error", times=0)


async def make_trouble(of: Observed, until: float, seed: int, done: Done) -> None:
    """Boost, change and pause by hand, and let calls fail, at random, until then."""
    chance, number = random.Random(seed), 0
    while time.time() < until:
        name, number = chance.choice(TROUBLED), number + 1
        match chance.choice(("boost", "boost", "others", "fault", "pause")):
            case "pause":
                await toggle(of, chance.choice([*SCHEDULED]), done)
            case "boost":
                tru, length = chance.choice((4, 6, 8)), chance.randint(5, 30)
                await boost(of, done, name, f"w{number}", tru, length)
            case "others":
                done.foreign.setdefault(name, []).append(time.time())
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


# What states say --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Window:
    """A window from *start* to *end*; its boost was there from *since* on, and over at *over*.

    By hand it begins with its boost, else when its schedule says. Unix seconds; *over* is infinite
    for one that goes on.
    """

    tru: float
    start: float
    end: float
    since: float
    over: float


@dataclass
class Truth:
    """What was so of a namespace, and when."""

    capacities: list[tuple[float, float]]
    windows: list[Window]
    foreign: list[float]
    failed: list[float]
    pauses: list[tuple[float, float, bool]]
    second: int | None

    def capacity(self, at: float) -> float:
        """Return what was in force then."""
        return [tru for since, tru in self.capacities if since <= at or since == 0][-1]

    def around(self, start: float, end: float) -> str:
        """Return what was so from half a minute before *start* to *end*, in seconds to *end*."""
        since = start - 30
        changes = [f"{tru:g} TRU at {at - end:.1f}" for at, tru in self.capacities
                   if since <= at <= end]  # fmt: skip
        windows = [
            f"{one.tru:g} from {one.start - end:.1f} to {one.end - end:.1f}, boost "
            f"{one.since - end:.1f} to {one.over - end:.1f}"
            for one in self.windows
            if one.end >= since and one.start <= end
        ]
        failed = [f"{at - end:.1f}" for at in self.failed if since <= at <= end]
        before = f"{self.capacity(since):g} TRU, then {changes}"
        return f"round {start - end:.1f}; {before}; windows {windows}; looks failed {failed}"

    def moments(self, start: float, end: float) -> list[float]:
        """Return a moment of each stretch between *start* and *end* in which all stays the same."""
        late = OVERDUE_AFTER.total_seconds()
        known = [at for at, _ in self.capacities]
        for one in self.windows:
            known += (one.start, one.since, one.end, one.end + late)
        margins = (0.0, CLOCK, -CLOCK, KNOWN_WITHIN)
        edges = {start, end, *(at + margin for at in known for margin in margins)}
        inside = sorted(edge for edge in edges if start <= edge <= end)
        return [*inside, *((a + b) / 2 for a, b in pairwise(inside))]

    def is_uncovered(self, at: float, *, surely: bool) -> bool:
        """Tell whether a window was open that had less; *surely* with its boost at work."""
        margin = KNOWN_WITHIN if surely else 0.0
        return any(
            max(one.start, one.since) + margin <= at < one.end
            if surely
            else one.start - CLOCK <= at < one.end + CLOCK
            for one in self.windows
            if self.capacity(at) < one.tru
        )

    def is_overdue(self, at: float, *, surely: bool) -> bool:
        """Tell whether an ended window's capacity was up for too long; *surely* with none open."""
        margin = KNOWN_WITHIN if surely else -CLOCK
        begun = [one for one in self.windows if one.since <= at]
        open_now = [one.tru for one in begun if one.start <= at < one.end + margin]
        late = OVERDUE_AFTER.total_seconds() + margin
        ended = [one.end for one in begun if one.end + late < at]
        tru = self.capacity(at)
        if surely:
            return bool(begun) and not open_now and len(ended) == len(begun) and tru in OWN
        return bool(ended) and (tru > max(open_now) if open_now else tru != BASELINE)

    def is_unseen(self, at: float, seen: float | None) -> bool:
        """Tell whether nobody, whose last look was *seen*, saw what an ended window left behind."""
        late = OVERDUE_AFTER.total_seconds() - CLOCK
        news = [one.end for one in self.windows if one.end + late < at]
        news += [since for since, _ in self.capacities if news and since <= at]
        return bool(news) and (seen is None or seen < max(news) + SLACK)

    def missed(self, start: float, end: float, kept: float) -> tuple[int, int]:
        """Return how many missed windows must be told in a round from *start* to *end*, and may."""
        must = may = 0
        for one in self.windows:
            had = self.held(one)
            is_told = one.over <= start - LISTED_WITHIN and one.over > end - kept + SLACK
            must += is_told and had == 0
            unseen = any(one.end - ENOUGH <= at <= one.end for at in self.failed)
            is_over = one.end <= end + SLACK and one.over > start - kept - SLACK
            may += is_over and (had < ENOUGH or unseen)
        return must, may

    def held(self, window: Window) -> float:
        """Return for how many seconds of *window* its capacity was in force."""
        edges = [window.start, *(at for at, _ in self.capacities), window.end]
        inside = sorted(at for at in edges if window.start <= at <= window.end)
        return sum(b - a for a, b in pairwise(inside) if self.capacity(a) >= window.tru)

    def paused(self, start: float, end: float) -> set[bool]:
        """Return whether its schedule was paused, at any moment from *start* to *end*."""
        before = [is_paused for _, done, is_paused in self.pauses if done <= start]
        found = {before[-1] if before else False}
        return found | {each for begun, done, each in self.pauses if done > start and begun <= end}

    def next_starts(self, start: float, end: float) -> set[float | None]:
        """Return when its schedule opened the next window, as it was at any of these moments."""
        paused = self.paused(start - LISTED_WITHIN, end)
        assert self.second is not None
        grid = [minute * 60 + self.second + LEAD
                for minute in range(int(start // 60) - 2, int(end // 60) + 3)]  # fmt: skip
        last = min(at for at in grid if at > end)
        found: set[float | None] = {at for at in grid if start < at <= last}
        return (found if False in paused else set()) | ({None} if True in paused else set())


CLOCK = 1.0
"""Seconds by which the clocks of server and worker may differ, and a busy worker be late."""

ENOUGH = PENDING.total_seconds() + CLOCK
"""Seconds that a window had its capacity, after which it surely isn't missed: by then its keeper
has looked at the change again, if looks don't fail."""


async def truths(of: Observed, done: Done) -> dict[str, Truth]:
    """Return what was so, of each namespace."""
    windows: dict[str, list[Window]] = {name: [] for name in NAMESPACES}
    boosts: list[WorkflowExecution] = []
    async with asyncio.timeout(UP_WITHIN):  # the list is behind
        while not done.tru.keys() <= {one.id for one in boosts}:
            listed = of.client.list_workflows(f"WorkflowType = '{BOOST_WORKFLOW}'")
            boosts = [one async for one in listed]
    for one in boosts:
        found = BOOST_ID.fullmatch(one.id)
        assert found
        since = one.start_time.timestamp()
        over = one.close_time.timestamp() if one.close_time else float("inf")
        tru, start, end = float(SCHEDULED_TRU), since, since
        if found["nominal"]:
            start = datetime.fromisoformat(found["nominal"]).timestamp() + LEAD
            end = start + LENGTH
        else:
            tru, length = done.tru[one.id]
            end = start + length
        windows[found["namespace"]].append(Window(tru, start, end, since, over))
    failed = await of.stack.cloud.failed()
    return {
        name: Truth(
            [(0.0, float(BASELINE)), *((at.timestamp(), tru or 0.0)
              for at, tru in await of.stack.cloud.history(name))],
            windows[name],
            done.foreign.get(name, []),
            failed.get(name, []),
            done.pauses.get(name, []),
            SCHEDULED.get(name),
        )
        for name in NAMESPACES
    }  # fmt: skip


def untrue_states(
    scrape: Scrape, last: float, name: str, truth: Truth, counts: Counter[str]
) -> list[str]:
    """Return what the state and the findings of a namespace say that wasn't so, or leave out."""

    def value(of: str) -> float:
        return scrape.values.get((of, name), 0.0)

    start, end = last - SLACK, scrape.at + SLACK
    moments = truth.moments(start - KNOWN_WITHIN, end)
    found = []
    must: dict[str, bool] = {}
    may: dict[str, bool] = {}
    for state, of in (("uncovered", truth.is_uncovered), ("overdue", truth.is_overdue)):
        must[state] = all(of(at, surely=True) for at in moments)
        may[state] = any(of(at, surely=False) for at in moments)
    least, most = truth.missed(last, scrape.at, MISSED_KEPT.total_seconds())
    paused = truth.paused(last - LISTED_WITHIN, end)
    must |= {"missed": least > 0, "paused": paused == {True}}
    may |= {"missed": most > 0, "paused": True in paused}
    seen = scrape.values.get(("actual_seen_timestamp_seconds", name))
    may["overdue"] |= truth.is_unseen(end, seen)
    was_foreign = any(at <= end for at in truth.foreign)
    is_beside = any(truth.capacity(at) != BASELINE for at in moments)
    just_begun = any(start - KNOWN_WITHIN <= one.since <= end for one in truth.windows)
    fails = any(start - KNOWN_WITHIN <= at <= end for at in truth.failed)
    may |= {
        "ok": True,
        "raising": any(one.since - CLOCK <= end and start <= one.end for one in truth.windows),
        "reverting": is_beside,
        "foreign": was_foreign and is_beside,
        "unknown": fails or just_begun or ("leases", name) not in scrape.values,
    }
    for state in STATES:
        told, is_state = value(f"findings/{state}"), value(f"state/{state}")
        counts["states"] += 1
        if (told or (is_state and state != "ok")) and not may.get(state, False):
            found.append(f"{name}: {state} at {scrape.at:.1f}, round {last:.1f}: it wasn't so")
        if must.get(state, False):
            counts[f"sure: {state}"] += 1
            if not told and not value("findings/unknown"):
                found.append(f"{name}: not {state} at {scrape.at:.1f}, round {last:.1f}: it was")
    if not least <= value("missed_windows") <= most:
        told = value("missed_windows")
        found.append(f"{name}: {told:g} missed at {scrape.at:.1f}, not {least} to {most}")
    urgent = [state for state in STATES if value(f"findings/{state}")]
    if [state for state in STATES if value(f"state/{state}")] != (urgent or ["ok"])[-1:]:
        found.append(f"{name}: the state isn't the most urgent of {urgent} at {scrape.at:.1f}")
    return found


def untrue_schedules(
    scrape: Scrape, last: float, name: str, truth: Truth, counts: Counter[str]
) -> list[str]:
    """Return what is told of a schedule that wasn't so: its pause, and its next firing."""
    found = []
    start, end = last - LISTED_WITHIN, scrape.at + SLACK
    counts["schedules"] += 1
    by_operator = scrape.values[("paused_schedules/operator", name)]
    if bool(by_operator) not in truth.paused(start, end) or by_operator > 1:
        found.append(f"{name}: {by_operator:g} paused at {scrape.at:.1f}: it wasn't so")
    if scrape.values[("paused_schedules/file", name)]:
        found.append(f"{name}: paused by the file: it never was")
    expected = truth.next_starts(last - SLACK, end)
    for metric, before in (("next_start", 0), ("next_firing", LEAD)):
        told = scrape.values.get((f"{metric}_timestamp_seconds", name))
        counts["next ones"] += told is not None
        if told not in {None if at is None else at - before for at in expected}:
            found.append(f"{name}: {metric} {told} at {scrape.at:.1f}, not one of {expected}")
    return found


def untruths(
    scrape: Scrape,
    truth: dict[str, list[tuple[datetime, float | None]]],
    known: dict[str, Truth],
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
    for namespace, its in known.items():
        if ("missed_windows", namespace) in scrape.values:
            lies = untrue_states(scrape, last, namespace, its, counts)
            found += (f"{lie}; {its.around(last, scrape.at)}" for lie in lies)
            if its.second is not None:
                found += untrue_schedules(scrape, last, namespace, its, counts)
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
    found, done = Run(), Done()
    with tempfile.TemporaryDirectory() as directory:
        async with observed(Path(directory)) as of:
            for name in NAMESPACES:
                await of.stack.cloud.create(name, BASELINE)
            await write_schedules(of)
            await watching(of)
            until = done.until = time.time() + length
            trouble = asyncio.gather(make_trouble(of, until, seed, done), break_for_good(of, done))
            disturbed = asyncio.create_task(disturb_worker(of, length))
            await scrape_each_second(of, found, until)
            await trouble
            with suppress(ProcessLookupError):
                await disturbed
            truth = {name: await of.stack.cloud.history(name) for name in NAMESPACES}
            leases = await leases_of(of)
            known = await truths(of, done)
    counts: Counter[str] = Counter()
    lies = [
        lie for scrape in found.scrapes for lie in untruths(scrape, truth, known, leases, counts)
    ]
    changes = sum(len(history) - 1 for history in truth.values())
    print(f"{length:g} s, seed {seed}: {changes} changes of {len(NAMESPACES)} namespaces")
    print(f"scrapes: {len(found.scrapes)} answered, {found.missed} not; {dict(counts)}")
    print(*lies[:20], f"untruths: {len(lies)}", sep="\n")
    looks = ("capacities", "leases", "target_tru", "states", "schedules", "next ones")
    enough = min(counts[one] for one in looks) > length / 2
    return 0 if enough and not lies else 1


if __name__ == "__main__":
    numbers = [float(one) for one in sys.argv[1:]]
    seed = int(numbers[1]) if numbers[1:] else int(time.time())
    leave(run(main(numbers[0] if numbers else SECONDS, seed)))
