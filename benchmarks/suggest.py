"""`planner suggest` on random worlds, beside two baselines: what each finds at each length.

A world is a namespace with a clock, holidays, three to five true windows of every kind that the
product has, loads that vary from day to day and begin and end within a few minutes of their
windows, occurrences that are missed, days with noise, minutes and hours that weren't scraped. True
windows are expanded by the planner's own `expand`, clock changes included; the suggestions'
vocabulary (`planner.evidence.search_space`) has no part in making them.

A rule counts as found exactly where a suggested window has the same occurrences as it over the
year after the history: every start and every end. The baselines work on quarters of an hour and
on hours, and may be off by less than one. A suggested window is wrong where less than half of its
coming minutes belong to true ones.

    python benchmarks/suggest.py [WORLDS [FIRST_SEED [DAYS …]]] [-v] [METHOD_TO_LEAVE_OUT …]

Seeds below 30,000 have been looked at; the figures in docs/proofs.md are of seeds from there on.
"""

from __future__ import annotations

import sys
import time as clock
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from planner.evidence.search_space import Setting, day_rules, days_by_rule, demand_of
from planner.evidence.suggest import suggest
from planner.model import (
    BusinessDays,
    Cron,
    Duration,
    Holidays,
    Horizon,
    Recurrence,
    Skip,
    Window,
)
from planner.occurrences.expand import expand
from planner.recurrence.business_days import business_calendar
from planner.usage.model import LimitUsage, Usage

LENGTHS = (14, 30, 60, 90, 365)
HELD_OUT = 30_000

PLACES = (
    ("America/New_York", ("US",)),
    ("Europe/Berlin", ("DE",)),
    ("UTC", ()),
    ("Asia/Tokyo", ("JP",)),
    ("Australia/Sydney", ("AU",)),
    ("America/Sao_Paulo", ("BR",)),
    ("Europe/London", ("GB-ENG",)),
)
NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ENVELOPE = 500.0
Occurrences = frozenset[tuple[datetime, datetime]]


# Worlds -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Truth:
    """A true window, how often it repeats, and its usual load."""

    window: Window
    cycle: str
    load: float


@dataclass(frozen=True)
class World:
    """A namespace's setting, its true windows, and its usage."""

    seed: int
    setting: Setting
    truths: tuple[Truth, ...]
    usage: Usage
    coming: Horizon


def world(seed: int, days: int = max(LENGTHS)) -> World:
    """Return the world of *seed*, with the last *days* of its history."""
    rng = np.random.default_rng(seed)
    zone, regions = PLACES[rng.integers(len(PLACES))]
    setting = Setting(zone, Holidays(regions=regions))
    tz = ZoneInfo(zone)
    last = date(2025, 1, 1) + timedelta(days=int(rng.integers(0, 690)))
    end = datetime.combine(last, time(), tz).astimezone(UTC)
    coming = Horizon(end, end + timedelta(days=365))
    truths = _truths(rng, setting, coming)
    usage = _usage(rng, truths, end, float(rng.uniform(0.03, 0.05)))
    usage = usage.between(end - timedelta(days=days), end)
    return World(seed, setting, truths, usage, coming)


def _truths(rng: np.random.Generator, setting: Setting, coming: Horizon) -> tuple[Truth, ...]:
    wanted = ["short", "weekly", "monthly", "monthly", "any"][: int(rng.integers(3, 6))]
    truths: list[Truth] = []
    for cycle in wanted:
        for _ in range(50):
            truth = _truth(rng, setting, cycle, len(truths))
            if all(_apart(truth, other, coming) for other in truths):
                truths.append(truth)
                break
    return tuple(truths)


def _truth(rng: np.random.Generator, setting: Setting, cycle: str, number: int) -> Truth:
    step = int(rng.choice([60, 30, 15, 5], p=[0.6, 0.2, 0.1, 0.1]))
    minute = int(rng.integers(24 * 60 // step)) * step
    length = int(rng.choice([30, 45, 60, 90, 120, 150, 180, 240, 300, 360]))
    if cycle == "any":
        cycle = str(rng.choice(["short", "weekly", "monthly"]))
    recurrence, roll, skip = _recurrence(rng, cycle, time(minute // 60, minute % 60), setting)
    window = Window(
        namespace="world.a1b2c",
        name=f"truth-{number}",
        recurrence=recurrence,
        tru=2,
        asked="",
        timezone=setting.timezone,
        length=Duration(timedelta(minutes=length)),
        roll=roll,
        skip=skip,
        holidays=setting.holidays,
    )
    return Truth(
        window, "monthly" if cycle == "monthly" else "weekly", float(rng.uniform(700, 4500))
    )


def _recurrence(
    rng: np.random.Generator, cycle: str, at: time, setting: Setting
) -> tuple[Recurrence, str, Skip]:
    def cron(of_month: object, of_week: object) -> Cron:
        return Cron((f"{at.minute} {at.hour} {of_month} * {of_week}",))

    weekday = str(rng.choice(NAMES))
    if cycle == "short":
        kind = rng.choice(
            ["daily", "weekdays", "business days", "weekends"], p=[0.4, 0.3, 0.2, 0.1]
        )
        of_week = {"daily": "*", "weekends": "sat,sun"}.get(str(kind), "mon-fri")
        return cron("*", of_week), "none", Skip(holidays=kind == "business days")
    if cycle == "weekly":
        if rng.random() < 0.2:
            chosen = rng.choice(7, 2, replace=False)
            weekday = ",".join(NAMES[day] for day in sorted(chosen))
        return cron("*", weekday), "none", Skip()
    kind = rng.integers(7)
    if kind <= 1:
        number, roll = int(rng.integers(1, 29)), "none"
        if rng.random() < 0.25:
            roll = str(rng.choice(["previous", "next"]))
        return cron(number, "*"), roll, Skip()
    if kind == 2:
        return cron("L", "*"), "none", Skip()
    if kind == 3:
        return cron(f"L-{rng.integers(1, 6)}", "*"), "none", Skip()
    if kind == 4:
        return cron("*", f"{weekday}#{rng.integers(1, 5)}"), "none", Skip()
    if kind == 5:
        return cron("*", f"{weekday}L"), "none", Skip()
    number = int(rng.integers(1, 6)) * int(rng.choice([1, -1]))
    return BusinessDays((number,), at), "none", Skip()


def _apart(one: Truth, other: Truth, coming: Horizon) -> bool:
    """Tell whether two windows can be told apart: apart in time, or the rarer one far higher."""
    first, second = expand(one.window, coming), expand(other.window, coming)
    if not first or not second:
        return False
    overlap = False
    later = iter(second)
    each = next(later, None)
    for mine in first:
        while each and each.end <= mine.start:
            each = next(later, None)
        if each and each.start < mine.end:
            overlap = True
            break
    if not overlap:
        return True
    rare, common = (one, other) if len(first) < len(second) else (other, one)
    return len(first) != len(second) and rare.load >= 2.2 * common.load


def _usage(
    rng: np.random.Generator, truths: Sequence[Truth], end: datetime, missing: float
) -> Usage:
    """Return a year of minutes up to *end*."""
    most = max(LENGTHS)
    begin = end - timedelta(days=most)
    count = most * 24 * 60
    minute = np.arange(count)
    demand = 130 + 70 * np.sin(minute * 2 * np.pi / 1440 + rng.uniform(0, 6))
    demand += rng.normal(0, 12, count)
    for truth in truths:
        for occurrence in expand(truth.window, Horizon(begin - timedelta(days=2), end)):
            late, early = rng.integers(0, 3), rng.integers(0, 3)
            level = truth.load * float(rng.lognormal(0, 0.06))
            if rng.random() < missing:
                continue
            first = (occurrence.start - begin) // timedelta(minutes=1) + int(late)
            last = (occurrence.end - begin) // timedelta(minutes=1) - int(early)
            first = max(first, 0)
            if last > first:
                demand[first:last] += level * rng.normal(1, 0.03, len(demand[first:last]))
    for day in range(most):
        if rng.random() < 0.03:
            at = day * 1440 + int(rng.integers(1440))
            demand[at : at + int(rng.integers(10, 180))] += rng.uniform(700, 4000)
    seen = rng.random(count) > 0.01
    for _ in range(rng.poisson(most / 15)):
        at = int(rng.integers(count))
        seen[at : at + int(60 * rng.lognormal(0.7, 1.0))] = False
    demand = np.maximum(demand, 0)
    nothing = np.where(seen, 0.0, np.nan)
    actions = LimitUsage(
        used=np.minimum(demand, ENVELOPE) + nothing,
        limit=ENVELOPE + nothing,
        throttled=np.maximum(demand - ENVELOPE, 0) + nothing,
        envelope=ENVELOPE + nothing,
    )
    return Usage("world.a1b2c", begin, seen, nothing, actions)


# The methods: each returns the occurrences of its rules over the coming year -----------------


@dataclass(frozen=True)
class Proposed:
    """A proposed rule: its window, its occurrences over the coming year, and its name."""

    window: Window
    runs: Occurrences
    name: str = ""


def by_suggest(of: World) -> list[Proposed]:
    """The windows of `planner suggest`."""
    found = suggest(of.usage, of.setting)
    return [
        Proposed(
            each.window, _runs(each.window, of.coming), f"{each.window.name} {each.evidence.rule}"
        )
        for each in found.windows
    ]


WEEK = 7 * 24 * 60


def by_threshold(of: World) -> list[Proposed]:
    """A threshold by the quarter of an hour of the local week: hot in half of the weeks seen."""
    step = 15
    place, seen = _places(of, step)
    _, hot = demand_of(of.usage, 0.9)
    is_hot = hot.reshape(-1, step).sum(axis=1) > step / 3
    count = WEEK // step
    hots = np.bincount(place[is_hot & seen], minlength=count)
    all_seen = np.bincount(place[seen], minlength=count)
    return _as_rules(of, (hots >= 1) & (hots >= 0.5 * all_seen), step)


def by_forecast(of: World) -> list[Proposed]:
    """A forecast by MSTL (a day, a week), read as windows where it is above what on-demand has.

    Of hours, as it is used: quarters of a year take it minutes.
    """
    from statsmodels.tsa.seasonal import MSTL

    step = 60
    place, seen = _places(of, step)
    minutes, _ = demand_of(of.usage, 0.9)
    demand = minutes.reshape(-1, step).max(axis=1)
    demand = np.interp(np.arange(demand.size), np.flatnonzero(seen), demand[seen])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = MSTL(demand, periods=(24, 168)).fit()
    seasonal = fitted.seasonal.reshape(demand.size, -1)  # of 14 days a day's only
    count = WEEK // step
    week = fitted.trend[-count:].mean() + seasonal[-count:].sum(axis=1)
    hot = np.zeros(count, dtype=bool)
    hot[place[-count:]] = week > 0.9 * ENVELOPE
    return _as_rules(of, hot, step)


def _places(of: World, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Return of each *step* minutes: their number in the local week, and whether any was seen."""
    tz = ZoneInfo(of.setting.timezone)
    starts = [
        (of.usage.start + timedelta(minutes=step * n)).astimezone(tz)
        for n in range(of.usage.seen.size // step)
    ]
    place = [(s.weekday() * 1440 + s.hour * 60 + s.minute) // step for s in starts]
    return np.array(place), of.usage.seen.reshape(-1, step).any(axis=1)


def _as_rules(of: World, hot: np.ndarray, step: int) -> list[Proposed]:
    """Return weekly windows of hot times of the week; equal hours of several days are one."""
    if not hot.any() or hot.all():
        return []
    spans: dict[tuple[int, int], list[int]] = {}
    turned = int(np.flatnonzero(~hot)[0])
    rolled = np.roll(hot, -turned)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], rolled.astype(np.int8), [0]))))
    for first, last in edges.reshape(-1, 2):
        start = (int(first) + turned) % hot.size
        spans.setdefault((start * step % 1440, int(last - first)), []).append(start * step // 1440)
    found = []
    for (minute, length), days in spans.items():
        weekdays = ",".join(NAMES[day] for day in days)
        window = Window(
            namespace="world.a1b2c",
            name="x",
            recurrence=Cron((f"{minute % 60} {minute // 60} * * {weekdays}",)),
            tru=2,
            asked="",
            timezone=of.setting.timezone,
            length=Duration(timedelta(minutes=length * step)),
        )
        found.append(Proposed(window, _runs(window, of.coming)))
    return found


def _runs(window: Window, coming: Horizon) -> Occurrences:
    return frozenset((each.start, each.end) for each in expand(window, coming))


METHODS: dict[str, tuple[Callable[[World], list[Proposed]], timedelta]] = {
    "suggest": (by_suggest, timedelta()),
    "hour of week": (by_threshold, timedelta(minutes=14)),
    "MSTL forecast": (by_forecast, timedelta(minutes=59)),
}


# Judgement ----------------------------------------------------------------------------


@dataclass
class Tally:
    """What one method came to at one length, over all worlds."""

    counts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def line(self) -> str:
        """Return the figures as cells of a row."""
        of = self.counts

        def share(part: str, whole: str) -> str:
            return f"{of[part] / of[whole]:7.1%}" if of[whole] else "      –"

        worlds = of["worlds"]
        cells = [
            share("found", "rules"),
            share("found weekly", "weekly"),
            share("found monthly", "monthly"),
            share("found told", "told"),
            share("found told monthly", "told monthly"),
            share("near days", "rules"),
            share("near hours", "rules"),
            f"{of['wrong'] / worlds:7.3f}",
            share("missed minutes", "true minutes"),
            share("idle minutes", "true minutes"),
            share("unexplained", "hot"),
            f"{self.seconds / worlds:7.3f}",
        ]
        return " ".join(f"{cell:>8}" for cell in cells)


HEADS = [
    "exact",
    "weekly",
    "monthly",
    "told",
    "t-month",
    "days~",
    "hours~",
    "wrong",
    "missed",
    "idle",
    "unexpl",
    "s/world",
]


def judge(
    of: World, proposed: Sequence[Proposed], slack: timedelta, tally: Tally, loud: str
) -> None:
    """Add to *tally* how *proposed* compares with the true windows of a world."""
    truths = [(truth, _runs(truth.window, of.coming)) for truth in of.truths]
    taken: set[int] = set()
    count = tally.counts
    count["worlds"] += 1
    told = _told_apart(of)
    for (truth, runs), can_tell in zip(truths, told, strict=True):
        found = next((n for n, each in enumerate(proposed) if _same(runs, each.runs, slack)), None)
        keys = ["rules", truth.cycle]
        keys += ["told", f"told {truth.cycle}"] if can_tell else []
        count.update(keys)
        if found is not None:
            taken.add(found)
            count.update({"found", f"found {truth.cycle}"})
            count.update({"found told", f"found told {truth.cycle}"} if can_tell else ())
            continue
        days = {start.date() for start, _ in runs}
        near = [each for each in proposed if {start.date() for start, _ in each.runs} == days]
        lines = {(start.time(), end - start) for start, end in runs}
        alike = [each for each in proposed if {(s.time(), e - s) for s, e in each.runs} & lines]
        count.update(["near days"] if near else ["near hours"] if alike else [])
        if loud:
            window = truth.window
            print(
                f"  {loud} {'told' if can_tell else 'untold'}: {window.recurrence} {window.roll} "
                f"{window.skip.holidays} {window.length} {truth.load:.0f}; "
                f"near {[each.name for each in near or alike]}"
            )
    true = _minutes((runs for _, runs in truths), of.coming)
    covered = _minutes((each.runs for each in proposed), of.coming)
    for number, each in enumerate(proposed):
        own = _minutes([each.runs], of.coming)
        if number not in taken and (own & true).sum() < 0.5 * own.sum():
            count["wrong"] += 1
            if loud:
                print(f"  {loud} wrong: {each.name}")
    count["true minutes"] += int(true.sum())
    past = Horizon(of.usage.start, of.coming.start)
    _, hot = demand_of(of.usage, 0.9)
    explained = _minutes((_runs(each.window, past) for each in proposed), past)[: hot.size]
    count["hot"] += int(hot.sum())
    count["unexplained"] += int((hot & ~explained).sum())
    count["missed minutes"] += int((true & ~covered).sum())
    count["idle minutes"] += int((covered & ~true).sum())


def _same(one: Occurrences, other: Occurrences, slack: timedelta) -> bool:
    if not slack:
        return one == other
    return len(one) == len(other) and all(
        abs(a - c) <= slack and abs(b - d) <= slack
        for (a, b), (c, d) in zip(sorted(one), sorted(other), strict=True)
    )


def _minutes(runs: Iterator[Occurrences] | Sequence[Occurrences], coming: Horizon) -> np.ndarray:
    found = np.zeros((coming.end - coming.start) // timedelta(minutes=1) + 1440, dtype=bool)
    for each in runs:
        for start, end in each:
            first = (start - coming.start) // timedelta(minutes=1)
            found[first : first + (end - start) // timedelta(minutes=1)] = True
    return found


def _told_apart(of: World) -> list[bool]:
    """Tell of each true window whether its history can tell it from every other rule.

    It has run twice at least, and no other rule of the vocabulary names the same days of the
    history: else no method can know which one is meant.
    """
    tz = ZoneInfo(of.setting.timezone)
    first = of.usage.start.astimezone(tz).date()
    days = of.usage.seen.size // 1440
    rules = day_rules(has_holidays=bool(of.setting.holidays.regions))
    business = business_calendar(of.setting.holidays, of.setting.timezone)
    members = days_by_rule(rules, first, days, business)
    ahead = days_by_rule(rules, first, days + 365, business)
    found = []
    for truth in of.truths:
        own = np.zeros(days + 365, dtype=bool)
        until = of.usage.start + timedelta(days=days + 365)
        for each in expand(truth.window, Horizon(of.usage.start, until)):
            index = (each.start.astimezone(tz).date() - first).days
            if index < own.size:
                own[index] = True
        same = (members == own[:days]).all(axis=1)
        different = same & ~(ahead == own).all(axis=1)
        found.append(int(own[:days].sum()) >= 2 and not different.any())
    return found


def main(arguments: Sequence[str]) -> None:
    """Print a table of the first WORLDS worlds; after every tenth of them one so far."""
    numbers = [int(each) for each in arguments if each.isdigit()]
    worlds, seed = (*numbers, 200)[0], (*numbers[1:2], HELD_OUT)[0]
    lengths = numbers[2:] or list(LENGTHS)
    methods = {name: METHODS[name] for name in METHODS if name not in arguments}
    tallies = {(days, name): Tally() for days in lengths for name in methods}
    for number in range(seed, seed + worlds):
        whole = world(number)
        for days in lengths:
            end = whole.coming.start
            of = replace(whole, usage=whole.usage.between(end - timedelta(days=days), end))
            for name, (method, slack) in methods.items():
                begin = clock.process_time()
                proposed = method(of)
                tallies[days, name].seconds += clock.process_time() - begin
                loud = f"{number}/{days}" if "-v" in arguments and name == "suggest" else ""
                judge(of, proposed, slack, tallies[days, name], loud)
        done = number - seed + 1
        if done == worlds or done % max(1, worlds // 10) == 0:
            print(f"{done} worlds, seeds {seed} to {number}; seconds of processor a world")
            print(f"{'days':>4} {'method':<14} " + " ".join(f"{head:>8}" for head in HEADS))
            for (days, name), tally in tallies.items():
                print(f"{days:>4} {name:<14} {tally.line()}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
