"""Random stories of namespaces, played through the real workflows and judged.

A story is one namespace's half day: windows that overlap, boosts by hand, firings that
come late or twice, releases, changes by others, faults of the Cloud API at any call,
keepers cancelled or terminated; boosts cancelled at any moment, replies that tell the keeper
to wait for up to a day, rails that change under running leases, two projects, and running
boosts that follow their window. A watchdog looks around, and finds firings that never came,
boosts and keepers that were terminated, capacity changed by hand at rest, keys refused and
mended. A fleet's floor is pushed beside the TRU, into a cluster that goes away, where others write
it too. Many are played side by side on one server whose clock skips, with a simulated Cloud
over HTTP and a worker that is restarted now and then, with other code each time; what was in
force when is then held against what the leases came to, by an arithmetic of its own, and what
the status said against what was in force.

Run by hand: ``make stories STORIES=10000 STORY_SEED=1``.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain, groupby, pairwise, permutations, product
from operator import itemgetter
from typing import Any, Literal

from planner.forecast.timeline import CapacityRecord, level, violations
from planner.simulator.http import CALLS, KINDS
from workflows.contract import (
    ON_DEMAND,
    BoostRequest,
    Capacity,
    Combine,
    Fleet,
    KubernetesTarget,
    LeaseRequest,
    Rails,
    format_instant,
    lease_of,
)

APS_PER_TRU = 500

FLEET = "payments"
BASE_FLOOR, MOST_WORKERS = 2, 30
"""The floor that a fleet has before its windows, and the most that it may have."""

Extra = Literal[
    "cancel-boost",
    "retry-after",
    "rails",
    "projects",
    "follow",
    "watchdog",
    "workers",
    "workers-in-each",
]
"""What a story may have besides, each to be had or left out by itself.

``workers`` gives half of the stories a fleet, ``workers-in-each`` all others, too.
"""

EXTRAS: frozenset[Extra] = frozenset(
    {"cancel-boost", "retry-after", "rails", "projects", "follow", "watchdog", "workers"}
)

UNDER_WAY = timedelta(minutes=3)
"""How long a change may be under way, stuck or not, when a lease comes that it takes from."""

SETTLE = timedelta(minutes=3)
"""How long a change may take without faults: provisioning, and looking again."""

FAULT_COSTS = timedelta(minutes=6)
"""How long one fault may delay a change: the longest wait after it, and what it holds up."""

OBSERVE_EVERY = timedelta(minutes=30)
"""How often a keeper looks for what others changed, while it holds leases."""

LENGTH = timedelta(hours=9)
"""How long a story is played."""

ROUND = timedelta(minutes=5)
"""How far apart the watchdog's rounds are here: further than they really are, for the time it
takes to play them."""

HEALS = ROUND + timedelta(minutes=1)
"""Within which time the watchdog has seen what broke: a round, and the time that it takes."""

FIRES_LATE = timedelta(seconds=10)
"""How late a firing may be until the watchdog takes it for missed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """One boost: nominal time and window as offsets from the story's begin."""

    window: str
    nominal: timedelta
    ahead: timedelta
    length: timedelta
    tru: int
    combine: Combine = "max"
    late: timedelta = timedelta()
    by: str = "schedule"
    rails: Rails = Rails()
    revision: int = 0
    project: str = ""
    is_lost: bool = False
    workers: int = 0

    @property
    def key(self) -> tuple[str, timedelta]:
        """What tells its occurrence from others."""
        return self.window, self.start

    @property
    def start(self) -> timedelta:
        """When its window opens."""
        return self.nominal + self.ahead

    @property
    def end(self) -> timedelta:
        """When its window closes."""
        return self.start + self.length

    @property
    def requested(self) -> timedelta:
        """When it really asks."""
        return self.nominal + self.late


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of the simulated Cloud, set at a time, striking the next calls."""

    at: timedelta
    on: str
    kind: str
    times: int
    status: int | None = None
    wait: float | None = None


@dataclass(frozen=True, slots=True)
class Deed:
    """What an operator does to a keeper, or another client to the namespace."""

    at: timedelta
    what: Literal[
        "release",
        "release-all",
        "cancel",
        "terminate",
        "foreign",
        "cancel-boost",
        "follow",
        "reset",
        "delete",
        "terminate-boost",
        "delete-boost",
        "refuse-key",
        "mend-key",
        "cluster-away",
        "cluster-back",
        "cluster-conflict",
        "patch-floor",
    ]
    window: str = ""
    tru: float | None = None
    of: Firing | None = None
    to: Firing | None = None


BREAKING = frozenset({"terminate", "terminate-boost", "delete", "delete-boost"})
"""Deeds after which nothing goes on until a round of the watchdog, where there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """All that happens to one namespace; *seed* and *number* make it again.

    *change* is how long a change may take without faults, and *under_way* how long one may
    still take from a lease that comes. *heals* is within which time the watchdog has seen what
    broke; None where none looks.
    """

    seed: int
    number: int
    before: Capacity
    declared: Capacity | None
    on_demand_aps: float
    firings: tuple[Firing, ...]
    faults: tuple[Fault, ...] = ()
    deeds: tuple[Deed, ...] = ()
    change: timedelta = SETTLE
    under_way: timedelta = UNDER_WAY
    heals: timedelta | None = None

    @property
    def name(self) -> str:
        """The namespace, by which a story is found again."""
        return f"s{self.seed}-{self.number}.acct"

    @property
    def settle(self) -> timedelta:
        """How long a change may take, given the faults that may strike it."""
        change = self.change + FAULT_COSTS * sum(fault.times for fault in self.faults)
        is_broken = any(deed.what in BREAKING for deed in self.deeds)
        return change + self.heals if self.heals and is_broken else change

    @property
    def is_watched(self) -> bool:
        """Whether a watchdog looks after its namespace."""
        return self.heals is not None

    def is_due(self, firing: Firing, at: timedelta, late: timedelta = FIRES_LATE) -> bool:
        """Tell whether *firing* should have come by *at*, *late* as it may be, for its window."""
        is_first = next(one for one in self.firings if one.key == firing.key) is firing
        is_missed = at - firing.nominal >= late and at < firing.end
        return firing.by == "schedule" and is_first and is_missed

    @property
    def baseline(self) -> Capacity:
        """What must be in force when nothing is requested."""
        return self.before if self.declared is None else self.declared

    def request(self, firing: Firing) -> BoostRequest:
        """Return what *firing* hands to its boost."""
        return BoostRequest(
            namespace=self.name,
            window=firing.window,
            tru=firing.tru,
            ttl_seconds=round(firing.length.total_seconds()),
            ahead_seconds=round(firing.ahead.total_seconds()),
            combine=firing.combine,
            baseline=self.declared,
            by=firing.by,
            rails=firing.rails,
            revision=firing.revision,
            project=firing.project,
            workers={FLEET: firing.workers} if firing.workers else {},
            fleets=(self.fleet,) if firing.workers else (),
        )

    @property
    def fleet(self) -> Fleet:
        """Its fleet, whose windows count from their requests on."""
        return Fleet(
            name=FLEET,
            min=BASE_FLOOR,
            max=MOST_WORKERS,
            lead_seconds=86_400,
            kubernetes=KubernetesTarget(
                kind="HorizontalPodAutoscaler", namespace=self.name, name=FLEET
            ),
        )

    def follows(self, of: Firing, to: Firing, begin: datetime) -> LeaseRequest:
        """Return what a sync sends whose running boost *of* follows its window's change *to*."""
        request = self.request(to)
        return LeaseRequest(
            namespace=self.name,
            lease=lease_of(request, begin + to.nominal),
            baseline=request.baseline,
            rails=request.rails,
            revision=request.revision,
            replaces=f"{of.window}@{format_instant(begin + of.start)}",
        )


# Telling --------------------------------------------------------------------------------


def tell(seed: int, number: int, extras: frozenset[Extra] = frozenset()) -> Story:
    """Return the story *number* of *seed*: always the same one for the same *extras*.

    What the extras add leaves the rest of it as it is.
    """
    story = _tell(seed, number)
    for extra, add in _ADDS.items():
        if extra in extras:
            story = add(random.Random(f"{seed}/{number}/{extra}"), story)
    return story


def _tell(seed: int, number: int) -> Story:
    rng = random.Random(f"{seed}/{number}")
    troubled = rng.random() < 0.5
    ahead = timedelta(minutes=50 if troubled else 10)
    firings = [_firing(rng, index, ahead) for index in range(rng.randint(1, 4))]
    if rng.random() < 0.3:
        firings.append(replace(rng.choice(firings), late=timedelta(minutes=rng.randint(0, 9))))
    declared = rng.choice([None, None, ON_DEMAND, Capacity(2)])
    before = declared if declared is not None else rng.choice([ON_DEMAND, Capacity(2)])
    return Story(
        seed=seed,
        number=number,
        before=before,
        declared=declared,
        on_demand_aps=rng.choice([500.0, 500.0, 1800.0]),
        firings=tuple(firings),
        faults=_faults(rng) if troubled else (),
        deeds=_deeds(rng, firings),
    )


def _minutes(rng: random.Random, low: int, high: int) -> timedelta:
    """Return a length to the second: edges that fall together are told on purpose only."""
    return timedelta(seconds=rng.randint(low * 60, high * 60))


def _firing(rng: random.Random, index: int, ahead: timedelta) -> Firing:
    by_hand = rng.random() < 0.2
    late = rng.random() < 0.2
    return Firing(
        window=f"w{index}",
        nominal=_minutes(rng, 1, 150),
        ahead=timedelta() if by_hand else ahead,
        length=timedelta(minutes=rng.choice([15, 30, 60, 61, 120, 180])),
        tru=rng.choice([2, 3, 4, 5, 6, 8, 10]),
        combine="add" if rng.random() < 0.2 else "max",
        late=_minutes(rng, 1, 240) if late else timedelta(),
        by="somebody" if by_hand else "schedule",
    )


def _faults(rng: random.Random) -> tuple[Fault, ...]:
    """Return a few faults; no more at once than the lead makes up for."""
    return tuple(
        Fault(
            at=_minutes(rng, 0, 300),
            on=rng.choice(CALLS),
            kind=rng.choice(KINDS),
            times=rng.randint(1, 2),
        )
        for _ in range(rng.randint(1, 3))
    )


def _deeds(rng: random.Random, firings: list[Firing]) -> tuple[Deed, ...]:
    if rng.random() < 0.5:
        return ()
    chosen = rng.choice(firings)
    middle = (chosen.requested + chosen.end) / 2
    what = rng.choice(["release", "release-all", "cancel", "terminate", "foreign", "foreign"])
    tru = rng.choice([None, 2.0, 12.0]) if what == "foreign" else None
    return (Deed(middle, what, chosen.window, tru),)  # type: ignore[arg-type]


RAILS = (
    Rails(),
    Rails(),
    Rails(max_tru=4),
    Rails(max_tru=8),
    Rails(allowed=(2, 4, 8, 12)),
    Rails(allowed=(3, 6, 10), max_tru=6),
)


def _change_rails(rng: random.Random, story: Story) -> Story:
    """Return *story* with other rails declared as it goes on; some schedules are updated late."""
    if rng.random() < 0.4:
        return story
    times = [timedelta(), *sorted(_minutes(rng, 1, 150) for _ in range(rng.randint(1, 3)))]
    told = [(at, rng.choice(RAILS)) for at in times]

    def declares(firing: Firing) -> Firing:
        newest = max(place for place, (at, _) in enumerate(told) if at <= firing.nominal)
        place = rng.randint(0, newest) if rng.random() < 0.3 else newest
        return replace(firing, rails=told[place][1], revision=place + 1)

    firings = [declares(firing) for firing in story.firings]
    # One schedule fires once at a time: two requests at one instant have one declaration.
    at_once = {(one.key, one.requested): one for one in reversed(firings)}
    said = [at_once[one.key, one.requested] for one in firings]
    firings = [
        replace(one, rails=first.rails, revision=first.revision)
        for one, first in zip(firings, said, strict=True)
    ]
    return replace(story, firings=tuple(firings))


def _share(rng: random.Random, story: Story) -> Story:
    """Return *story* with the windows of two projects, which declare other rails."""
    if rng.random() < 0.6:
        return story
    theirs, revision = rng.choice(RAILS), rng.randint(0, 5)
    windows = {firing.window for firing in story.firings}
    others = {window for window in sorted(windows) if rng.random() < 0.5}

    def owned(firing: Firing) -> Firing:
        if firing.by != "schedule":
            return firing
        if firing.window in others:
            return replace(firing, project="b", rails=theirs, revision=revision)
        return replace(firing, project="a")

    return replace(story, firings=tuple(owned(firing) for firing in story.firings))


def _ask_to_wait(rng: random.Random, story: Story) -> Story:
    """Return *story* with replies that ask the keeper to wait, for nothing up to a day."""
    if rng.random() < 0.6:
        return story
    told = tuple(
        Fault(
            at=_minutes(rng, 0, 300),
            on=rng.choice(CALLS),
            kind="error",
            times=rng.randint(1, 2),
            status=rng.choice([429, 503, 503]),
            wait=rng.choice([0.0, 1.0, 30.0, 600.0, 3600.0, 86400.0]),
        )
        for _ in range(rng.randint(1, 2))
    )
    return replace(story, faults=(*story.faults, *told))


def _cancel_a_boost(rng: random.Random, story: Story) -> Story:
    """Return *story* with a boost that is cancelled, mostly in the middle of its raise."""
    if rng.random() < 0.6:
        return story
    chosen = rng.choice(story.firings)
    soon = timedelta(seconds=rng.choice([0, 1, 4, 10, 16, 30, 90, 600]))
    deed = Deed(chosen.requested + soon, "cancel-boost", chosen.window, of=chosen)
    return replace(story, deeds=(*story.deeds, deed))


def _follow(rng: random.Random, story: Story) -> Story:
    """Return *story* with a sync whose running boost follows its window, the start moved too."""
    scheduled = [firing for firing in story.firings if firing.by == "schedule"]
    if not scheduled or rng.random() < 0.6:
        return story
    of = rng.choice(scheduled)
    at = of.requested + timedelta(seconds=rng.choice([2, 20, 60, 300, 900]))
    moved = timedelta(minutes=rng.choice([-20, -5, -1, 0, 0, 1, 5]))
    length = max(of.length + timedelta(minutes=rng.choice([-10, 0, 0, 30])), timedelta(minutes=15))
    to = replace(
        of,
        nominal=of.nominal + moved,
        length=length,
        tru=rng.choice([of.tru, of.tru, 4, 8]),
        rails=rng.choice([of.rails, of.rails, Rails(max_tru=6)]),
        revision=of.revision + rng.randint(0, 4),
        late=timedelta(),
    )
    said = {each.revision: each.rails for each in scheduled if each.project == of.project}
    while said.get(to.revision, to.rails) != to.rails:  # a sync numbers what it declares anew
        to = replace(to, revision=to.revision + 1)
    if not (to.nominal <= at < min(of.end, to.end)):
        return story
    return replace(story, deeds=(*story.deeds, Deed(at, "follow", of.window, of=of, to=to)))


def _watch(rng: random.Random, story: Story) -> Story:
    """Return *story* with a watchdog, mostly, and with what only that mends."""
    if rng.random() < 0.1:
        return story
    followed = {deed.of.key for deed in story.deeds if deed.what == "follow" and deed.of}
    if rng.random() < 0.4 and (lost := rng.choice(story.firings)).key not in followed:
        story = replace(
            story,
            firings=tuple(
                replace(one, is_lost=True) if one.key == lost.key and one.by == "schedule" else one
                for one in story.firings
            ),
        )
    deeds: list[Deed] = []
    chosen = rng.choice(story.firings)
    soon = timedelta(seconds=rng.choice([0, 1, 4, 10, 16, 30, 90, 600]))
    is_plain = chosen.by == "schedule" and chosen.key not in followed  # sync follows what runs
    if rng.random() < 0.3 and is_plain:
        deeds.append(Deed(chosen.requested + soon, "terminate-boost", chosen.window, of=chosen))
    if rng.random() < 0.3:
        at = chosen.end - timedelta(seconds=rng.choice([1, 60, 600, 1200]))
        deeds.append(Deed(at, "terminate"))
    if rng.random() < 0.3:
        first = min(one.nominal for one in story.firings)
        at = max(one.end for one in story.firings) + timedelta(minutes=30)
        at = first / 2 if rng.random() < 0.3 else at
        deeds.append(Deed(at, "foreign", tru=rng.choice([None, 2.0, 12.0])))
    if rng.random() < 0.25:
        at = chosen.nominal - _minutes(rng, -20, 20)
        deeds.append(Deed(max(at, timedelta()), "refuse-key"))
        deeds.append(Deed(max(at, timedelta()) + _minutes(rng, 1, 40), "mend-key"))
    return replace(story, deeds=(*story.deeds, *deeds), heals=HEALS)


def _add_workers(rng: random.Random, story: Story) -> Story:
    """Return *story*, or half of the time with a pushed fleet."""
    return story if rng.random() < 0.5 else _with_fleet(rng, story)


def _add_workers_in_each(rng: random.Random, story: Story) -> Story:
    """Return *story* with a pushed fleet, if it has none."""
    while not any(firing.workers for firing in story.firings):
        told = _with_fleet(rng, story)
        story = told if any(firing.workers for firing in told.firings) else story
    return story


def _with_fleet(rng: random.Random, story: Story) -> Story:
    """Return *story* with a pushed fleet, mostly with trouble in the cluster."""
    counts = {firing.key: rng.choice([0, 3, 8, 20, 40]) for firing in story.firings}
    firings = tuple(replace(one, workers=counts[one.key]) for one in story.firings)
    deeds: list[Deed] = []
    if rng.random() < 0.4:
        at = _minutes(rng, 0, 240)
        deeds.append(Deed(at, "cluster-away"))
        deeds.append(Deed(at + _minutes(rng, 1, 20), "cluster-back"))
    if rng.random() < 0.3:
        deeds.append(Deed(_minutes(rng, 0, 200), "cluster-conflict"))
    if rng.random() < 0.4:
        deeds.append(Deed(_minutes(rng, 5, 240), "patch-floor", tru=rng.choice([1, 2, 5, 25, 30])))
    deeds = [*story.deeds, *deeds]
    follows = {deed.of.key: deed for deed in deeds if deed.what == "follow" and deed.of and deed.to}
    told = tuple(
        replace(deed, to=replace(deed.to, workers=counts[deed.of.key]))
        if deed.what == "follow" and deed.to and deed.of and deed.of.key in follows
        else deed
        for deed in deeds
    )
    return replace(story, firings=firings, deeds=told)


_ADDS: dict[Extra, Callable[[random.Random, Story], Story]] = {
    "rails": _change_rails,
    "projects": _share,
    "retry-after": _ask_to_wait,
    "cancel-boost": _cancel_a_boost,
    "follow": _follow,
    "watchdog": _watch,
    "workers": _add_workers,
    "workers-in-each": _add_workers_in_each,
}


def upgraded(story: Story) -> Story:
    """Return *story* with a worker that is restarted with other code: a watchdog looks after it.

    A keeper that can't be replayed any more goes on after the next round.
    """
    return replace(story, heals=HEALS, change=story.change + HEALS)


BRISK = timedelta(seconds=80)
"""How long a story is played on a server whose clock doesn't skip."""


BRISK_HEALS = timedelta(seconds=5)
"""Within which time the watchdog has seen there what broke: its rounds are two seconds apart."""

LOST_TASK = timedelta(seconds=10)
"""After which the server misses a workflow task that it had handed to a worker that was stopping.
Also an orderly stop loses some: 31 of 1,101 tasks in 42 stops, and no activity."""


def tell_brisk(seed: int, number: int) -> Story:
    """Return a story of seconds, for a real server: its keeper is reset or deleted on the way.

    Its worker is restarted with code that can't replay what was begun, and its boosts are
    terminated or deleted. A last firing comes when all of that is over.
    """
    rng = random.Random(f"{seed}/{number}/brisk")
    ahead = timedelta(seconds=2)
    firings = [
        Firing(
            window=f"w{index}",
            nominal=timedelta(seconds=rng.uniform(0, 15)),
            ahead=ahead,
            length=timedelta(seconds=rng.randint(8, 35)),
            tru=rng.choice([3, 4, 6, 8, 10]),
            combine="add" if rng.random() < 0.2 else "max",
            is_lost=rng.random() < 0.15,
        )
        for index in range(rng.randint(1, 3))
    ]
    what: list[Any] = ["reset", "reset", "delete", "delete", "terminate", "terminate"]
    what += ["cancel-boost", "terminate-boost", "delete-boost"]
    deeds = []
    for at in sorted(rng.uniform(0.5, 40) for _ in range(rng.randint(1, 3))):
        kind, of = rng.choice(what), rng.choice(firings)
        if kind in ("cancel-boost", "terminate-boost", "delete-boost"):
            at = of.requested.total_seconds() + rng.uniform(0.2, 1.5)
        deeds.append(Deed(timedelta(seconds=at), kind, of.window, of=of))
    last = Firing(
        window="last",
        nominal=timedelta(seconds=52),
        ahead=ahead,
        length=ahead,
        tru=rng.choice([3, 8]),
    )
    declared = rng.choice([None, None, None, Capacity(2)])
    return Story(
        seed=seed,
        number=number,
        before=declared or rng.choice([ON_DEMAND, Capacity(2)]),
        declared=declared,
        on_demand_aps=500.0,
        firings=(*firings, last),
        deeds=tuple(deeds),
        change=timedelta(seconds=8) + BRISK_HEALS + LOST_TASK,
        under_way=timedelta(seconds=3),
        heals=BRISK_HEALS,
    )


# What it comes to, reckoned without the keeper ----------------------------------------


@dataclass(frozen=True, slots=True)
class ExpectedLease:
    """A lease as it should have been: requested, running, ended; and what it was granted under.

    *since* is since when it, or the one whose place it took, was requested.
    """

    requested: timedelta
    start: timedelta
    until: timedelta
    tru: int
    combine: Combine
    since: timedelta
    window: str = ""
    project: str = ""
    rails: Rails = Rails()
    revision: int = 0
    workers: int = 0

    def runs(self, at: timedelta) -> bool:
        """Tell whether it runs at *at*."""
        return self.requested <= at < self.until


@dataclass(frozen=True, slots=True)
class Declared:
    """What a project declares, by its order."""

    project: str
    revision: int
    rails: Rails


@dataclass(frozen=True, slots=True)
class Due:
    """A span of time in which a capacity is due."""

    start: datetime
    end: datetime
    capacity: Capacity


@dataclass(frozen=True, slots=True)
class FloorRecord:
    """A floor that was in force from *at* on; whether others than the planner had set it."""

    at: timedelta
    floor: int
    by_others: bool = False


@dataclass(slots=True)
class Played:
    """What happened: the deeds that were done, by when, and what was in force when.

    *fired* is when a firing came that was not on time, *started* when the watchdog made up for
    one, and *dropped* are those that came while a boost of theirs ran. *unready_since* is since
    when an open window has less than it requests, *missed* are the windows of boosts whose memo
    says that they never had it.
    """

    story: Story
    begin: datetime
    fired: dict[Firing, timedelta] = field(default_factory=dict)
    started: list[tuple[timedelta, Firing]] = field(default_factory=list)
    dropped: set[Firing] = field(default_factory=set)
    unready_since: timedelta | None = None
    reported: int = 0
    missed: set[str] = field(default_factory=set)
    floors: list[FloorRecord] = field(default_factory=list)
    floor_mark: str = ""
    history: list[CapacityRecord] = field(default_factory=list)
    done: list[tuple[timedelta, Deed]] = field(default_factory=list)
    foreign: list[datetime] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


class Reckoning:
    """The leases of a story, as its events come one after the other.

    Whether a keeper that has nothing to do still knows what was declared to it depends on
    the moment: so there are two, and the run time may be as either says.
    """

    def __init__(self, story: Story, *, forgets: bool) -> None:
        self.story = story
        self.forgets = forgets
        self.past: list[ExpectedLease] = []
        self.kept: dict[
            tuple[str, timedelta], ExpectedLease
        ] = {}  # what a follow may not take away
        self.now: dict[tuple[str, timedelta], ExpectedLease] = {}
        self.known: Declared | None = None
        self.other: Declared | None = None

    @property
    def all(self) -> list[ExpectedLease]:
        """Every lease, those that were replaced too."""
        return [*self.past, *self.now.values()]

    def running(self, at: timedelta, project: str | None = None) -> list[ExpectedLease]:
        """Return what runs at *at*, of *project* if that is given."""
        return [
            lease
            for lease in self.all
            if lease.runs(at) and (project is None or lease.project == project)
        ]

    def fires(self, firing: Firing, at: timedelta) -> None:
        """Count a lease in, unless it has ended or was there before.

        A firing that comes again declares again: its schedule may have been updated.
        """
        if at >= firing.end:
            return
        before = self.now.get(firing.key)
        if before is None or before.runs(at):
            self._declare(firing, at)
        if before is None:
            self._grant(firing, at)

    def _grant(self, firing: Firing, at: timedelta) -> None:
        known = self.known or Declared("", 0, Rails())
        self.now[firing.key] = ExpectedLease(
            requested=at,
            start=firing.start,
            until=firing.end,
            tru=firing.tru,
            combine=firing.combine,
            since=at,
            window=firing.window,
            project=firing.project,
            rails=known.rails,
            revision=known.revision,
            workers=firing.workers,
        )

    def ends(self, window: str, at: timedelta) -> None:
        """End the leases of *window*, or all of them."""
        for held in (self.now, self.kept):
            for key, lease in held.items():
                if window in ("", key[0]) and lease.runs(at):
                    held[key] = replace(lease, until=at)

    def follows(self, of: Firing, to: Firing, at: timedelta) -> None:
        """Put the lease of *to* in the place of the one of *of*, if that runs."""
        old = self.now.get(of.key)
        if old is None or not old.runs(at):
            return
        if at < to.end:
            self._declare(to, at)  # while the old one still runs: nobody takes over in between
        self.now[of.key] = replace(old, until=at)
        if of.key == to.key:
            self.past.append(self.now.pop(of.key))
        if at < to.end and to.key not in self.now:
            self._grant(to, at)
        new = self.now.get(to.key)
        if new and new.requested == at:
            least = replace(new, tru=min(new.tru, old.tru), since=old.since)
            under_old = replace(least, rails=old.rails, revision=old.revision)
            self.kept[to.key] = min(
                under_old, least, key=lambda lease: _height(demand([lease], self.story), self.story)
            )

    def _declare(self, firing: Firing, at: timedelta) -> None:
        self._succeed(at)
        if self.forgets and not self.running(at):
            self.known = self.other = None
        if firing.by != "schedule":
            return
        said = Declared(firing.project, firing.revision, firing.rails)
        known = self.known
        if known is None:
            self.known = said
        elif known.project and said.project and known.project != said.project:
            if self.running(at, known.project):
                # Of one project the newest counts, whichever of its boosts comes last.
                was = self.other if self.other and self.other.project == said.project else None
                self.other = said if was is None or said.revision >= was.revision else was
            else:
                self.known, self.other = said, None
        elif said.revision >= known.revision:
            self.known = replace(said, project=said.project or known.project)

    def _succeed(self, at: timedelta) -> None:
        """Let the other project's declaration hold once none but its leases ran."""
        known, other = self.known, self.other
        if known is None or other is None or self.running(at, known.project):
            return
        last = max(lease.until for lease in self.all if lease.project == known.project)
        if self.running(last, other.project):
            self.known = other
        self.other = None


def expected_leases(played: Played) -> list[ExpectedLease]:
    """Return the leases of a story: by key, ended by releases and cancels."""
    return reckon(played, forgets=False).all


def reckon(
    played: Played,
    *,
    forgets: bool,
    loses: bool = False,
    by: timedelta = timedelta.max,
    unsent: frozenset[tuple[str, timedelta]] = frozenset(),
) -> Reckoning:
    """Return the reckoning of a story *by* a time; who deletes a keeper may lose its leases.

    Of the *unsent* occurrences only the watchdog's boost sent its request.
    """
    reckoning = Reckoning(played.story, forgets=forgets)
    events: list[tuple[timedelta, Firing | Deed]] = [
        *(
            (played.fired.get(firing, firing.requested), firing)
            for firing in played.story.firings
            if not (firing.is_lost or firing in played.dropped or firing.key in unsent)
        ),
        *played.started,
        *played.done,
    ]
    known = (event for event in events if event[0] <= by)
    for at, event in sorted(known, key=lambda entry: entry[0]):
        if isinstance(event, Firing):
            reckoning.fires(event, at)
        elif event.what == "follow" and event.of and event.to:
            reckoning.follows(event.of, event.to, at)
        elif event.what in ENDING_SOME:
            reckoning.ends(event.window, at)
        elif event.what in ("release-all", "cancel") or (event.what == "delete" and loses):
            reckoning.ends("", at)
    return reckoning


ENDING_SOME = ("release", "cancel-boost")
"""The deeds that may end the leases of their window."""

ENDING_ALL = ("release-all", "cancel", "delete")
"""The deeds that may end every lease."""


def either(
    played: Played, *, loses: bool = False, by: timedelta = timedelta.max
) -> list[Reckoning]:
    """Return every reckoning that the run time may follow, the plain one first.

    A boost that was terminated at once, and that the watchdog started again, may have sent no
    request before: nothing was declared by it then. Of boosts that fire, or that a round of the
    watchdog starts, at one instant any one may be the first to reach the keeper, and to declare.
    One that fires while a deed that ends leases is at work may reach the keeper after it.
    """
    ended = ("terminate-boost", "delete-boost")
    killed = {deed.of.key for _, deed in played.done if deed.what in ended and deed.of}
    unsent = frozenset(killed & {firing.key for _, firing in played.started})
    plain = {one: played.fired.get(one, one.requested) for one in played.story.firings}
    after = {**plain, **_after_deeds(played, plain)}
    orders = [
        replace(
            played,
            story=replace(played.story, firings=tuple(one for _, one in fired)),
            fired={one: at for at, one in fired},
            started=started,
        )
        for times in ([plain] if after == plain else [plain, after])
        for fired in _orders(sorted(((at, one) for one, at in times.items()), key=itemgetter(0)))
        for started in _orders(played.started)
    ]
    return [
        reckon(order, forgets=forgets, loses=loses, by=by, unsent=keys)
        for order in orders
        for keys in dict.fromkeys([frozenset(), unsent])
        for forgets in (False, True)
    ]


def _after_deeds(played: Played, fired: dict[Firing, timedelta]) -> dict[Firing, timedelta]:
    """Return which of what *fired* may have come after a deed that ended its leases, and when."""
    return {
        firing: done + timedelta.resolution
        for done, deed in played.done
        for firing, at in fired.items()
        if deed.at <= at <= done
        and (deed.what in ENDING_ALL or (deed.what in ENDING_SOME and deed.window == firing.window))
    }


def _orders(started: list[tuple[timedelta, Firing]]) -> Iterator[list[tuple[timedelta, Firing]]]:
    """Yield *started* as it is, and in each other order of what was started at one instant.

    Those that declare the same may keep their order.
    """
    at_once = [list(group) for _, group in groupby(started, key=lambda entry: entry[0])]
    for order in product(*(permutations(each) if _differ(each) else [each] for each in at_once)):
        yield list(chain(*order))


def _differ(at_once: list[tuple[timedelta, Firing]]) -> bool:
    return len({(one.by, one.project, one.revision, one.rails) for _, one in at_once}) > 1


def demand(running: list[ExpectedLease], story: Story) -> Capacity:
    """Return what *running* comes to: the most that the leases of any declaration were granted.

    Each counts as high as its own rails let it: the highest, plus what adds on top of that or of
    a declared baseline, rounded up.
    """
    capacities = [_under(rails, counted, story) for rails, counted in _declared(running)]
    return max(capacities, key=lambda each: _height(each, story), default=story.baseline)


def _declared(running: list[ExpectedLease]) -> Iterator[tuple[Rails, list[ExpectedLease]]]:
    """Yield the rails of each declaration, and which of *running* it and older ones granted."""
    for revision, rails in {(lease.revision, lease.rails) for lease in running}:
        yield rails, [lease for lease in running if lease.revision <= revision]


def _height(capacity: Capacity, story: Story) -> float:
    """Return what orders the capacities of a story, none of which is below the baseline."""
    return 0 if capacity == story.baseline else level(capacity)


def _under(rails: Rails, counted: list[ExpectedLease], story: Story) -> Capacity:
    """Return what *counted* come to under *rails*."""
    granted = _needed(rails, counted, story)
    enough = (
        story.on_demand_aps >= granted * APS_PER_TRU
        if story.baseline.tru is None
        else story.baseline.tru >= granted
    )
    return story.baseline if enough else Capacity(granted)


def _needed(rails: Rails, counted: list[ExpectedLease], story: Story) -> int:
    """Return the TRU that *counted* come to under *rails*, whatever the baseline has."""
    highest = max((_held(lease) for lease in counted if lease.combine == "max"), default=0)
    added = sum(_held(lease) for lease in counted if lease.combine == "add")
    requested = max(highest, level(story.declared or ON_DEMAND)) + added if added else highest
    return _granted(requested, rails)


def _granted(requested: float, rails: Rails) -> int:
    """Return *requested* TRU rounded up to what *rails* let through, the most at worst."""
    usable = _usable(rails)
    return next((tru for tru in usable if tru >= requested), usable[-1])


def _held(lease: ExpectedLease) -> int:
    return min(lease.tru, _usable(lease.rails)[-1])


def _usable(rails: Rails) -> list[int]:
    return [tru for tru in rails.allowed if rails.max_tru is None or tru <= rails.max_tru]


def dues(played: Played, spans: list[tuple[timedelta, timedelta, ExpectedLease]]) -> list[Due]:
    """Return what is due between the edges of *spans*, each with its lease."""
    edges = sorted({edge for start, end, _ in spans if start < end for edge in (start, end)})
    found = []
    for start, end in pairwise(edges):
        running = [lease for since, until, lease in spans if since <= start and end <= until]
        if running:
            capacity = demand(running, played.story)
            found.append(Due(played.begin + start, played.begin + end, capacity))
    return found


def broken_promises(played: Played) -> list[str]:
    """Return a sentence for each way in which a story's promises were broken."""
    story = played.story
    both = either(played)
    requested = [
        due
        for reckoning in both
        for due in dues(played, [_longest(played, lease) for lease in reckoning.all])
    ]
    requested += [due for reckoning in both for due in _inherited_dues(played, reckoning)]
    bounds = violations(
        _own(played, both[0].all), (), requested, story.baseline, settle=story.settle
    )
    # Kept is what is kept by either reckoning.
    least = either(played, loses=True)
    short = min((_short(played, reckoning) for reckoning in least), key=len)
    floors = min((_broken_floors(played, one) for one in least), key=len)
    told = (*_not_back(played), *_unreported(played), *played.complaints)
    return [*bounds, *short, *floors, *told]


FLOOR_SETTLE = timedelta(minutes=5)
"""How long a floor may take after its cluster is back: the longest wait after a fault."""


def _workers_due(leases: Iterable[ExpectedLease]) -> int:
    """Return the floor that *leases* come to: the highest, plus what adds, within limits."""
    held = [lease for lease in leases if lease.workers]
    highest = max((one.workers for one in held if one.combine == "max"), default=0)
    added = sum(one.workers for one in held if one.combine == "add")
    return min(max(highest, BASE_FLOOR) + added, MOST_WORKERS)


def floor_changes(floors: Iterable[FloorRecord]) -> list[FloorRecord]:
    """Return *floors* without patches by others to what was there: those change no object."""
    found: list[FloorRecord] = []
    for record in floors:
        if not (record.by_others and found and found[-1].floor == record.floor):
            found.append(record)
    return found


def _broken_floors(played: Played, reckoning: Reckoning) -> list[str]:
    """Return a sentence for each promise about the fleet's floor that was not kept.

    Ready from the start on, never cut short, given back, and never worse: no write of the planner's
    is below the baseline, above what may be due, or takes what others set above.
    """
    leases = [lease for lease in reckoning.all if lease.workers]
    found = []
    for before, record in pairwise(floor_changes(played.floors)):
        if record.by_others:
            continue
        theirs = [one.floor for one in played.floors if one.by_others and one.at <= record.at]
        if record.floor < min(theirs):
            found.append(f"{record.at}: the floor is set to {record.floor}, below the baseline")
        is_theirs = before.by_others and not _is_marked(played.floors, before)
        if is_theirs and record.floor < before.floor and before.floor > BASE_FLOOR:
            found.append(f"{record.at}: {before.floor}, which others set, is lowered")
        running = [one for one in leases if one.requested <= record.at]
        if record.floor not in theirs and record.floor > _most_due(
            running, record.at - played.story.settle, record.at
        ):
            found.append(f"{record.at}: the floor is {record.floor}, more than is due")
    return [*found, *_floors_missing(played, leases), *_floor_not_back(played)]


def _is_marked(floors: Iterable[FloorRecord], record: FloorRecord) -> bool:
    """Tell whether *record* is what the planner set last: its mark says so, whoever wrote it."""
    own = [one.floor for one in floors if not one.by_others and one.at < record.at]
    return own[-1:] == [record.floor]


def _most_due(leases: list[ExpectedLease], since: timedelta, until: timedelta) -> int:
    """Return the highest floor that was due at any time from *since* to *until*."""
    edges = {since, until, *(lease.requested for lease in leases)}
    within = (edge for edge in edges if since <= edge <= until)
    return max(_workers_due(one for one in leases if one.runs(edge)) for edge in within)


def _floors_missing(played: Played, leases: list[ExpectedLease]) -> list[str]:
    """Complain of each span in which less was in force than was due, without an excuse for it."""
    settle = played.story.settle
    excused = [(at, at + settle) for at, deed in played.done if deed.what in BREAKING]
    away = [at for at, deed in played.done if deed.what in ("cluster-away", "cluster-back")]
    for at, back in zip(away[::2], away[1::2], strict=False):
        excused.append((at, back + FLOOR_SETTLE + settle))
    for at, deed in played.done:
        if deed.what in ("patch-floor", "reset"):
            excused.append((at, at + OBSERVE_EVERY + settle))
    firm = [(max(one.start, one.requested + settle), one.until, one) for one in leases]
    edges = {edge for since, until, _ in firm for edge in (since, until) if since < until}
    edges |= {record.at for record in played.floors}
    edges |= {edge for span in excused for edge in span}
    found = []
    for since, until in pairwise(sorted(edges)):
        if any(begin <= since and until <= end for begin, end in excused):
            continue
        due = [one for begin, end, one in firm if begin <= since and until <= end]
        in_force = [one.floor for one in played.floors if one.at <= since][-1:]
        if due and in_force and in_force[0] < _workers_due(due):
            found.append(f"{since} to {until}: a floor of {in_force[0]}, {_workers_due(due)} due")
    return found


def _floor_not_back(played: Played) -> list[str]:
    """Complain where the floor isn't what it was, or what others set, and nothing marks it."""
    if not played.floors:
        return []
    allowed = {BASE_FLOOR, *(one.floor for one in played.floors if one.by_others)}
    final = played.floors[-1].floor
    found = [] if final in allowed else [f"the floor ends at {final}"]
    return [
        *found,
        *([f"the floor's mark stays: {played.floor_mark}"] if played.floor_mark else []),
    ]


def is_unready(played: Played, at: timedelta, in_force: Capacity) -> bool:
    """Tell whether a window is open *at* a time and has less *in_force* than it requests.

    What doesn't add requests no more than it would alone: the rails of a newer declaration may
    round all together up to more, which none of them lacks.
    """
    due = []
    for reckoning in either(played, loses=True, by=at):
        open_ones = [one for one in reckoning.all if one.runs(at) and one.start <= at]
        needs = [[one] if one.combine == "max" else open_ones for one in open_ones]
        due.append(max((_least(played, each, at) for each in needs), default=0))
    return _allows(played.story, in_force) < min(due)


def _allows(story: Story, capacity: Capacity) -> float:
    return story.on_demand_aps / APS_PER_TRU if capacity.tru is None else capacity.tru


def _bases(played: Played, by: timedelta) -> list[tuple[timedelta, Story]]:
    """Return the story, and as it would be had each foreign capacity *by* a time been there before.

    Without a declaration what others set at rest is the next keeper's baseline; with each since
    when it may be.
    """
    story = played.story
    foreign = [(at, deed.tru) for at, deed in played.done if deed.what == "foreign" and at <= by]
    if story.declared is not None:
        foreign = []
    found = [(at, replace(story, before=Capacity(tru))) for at, tru in foreign]
    return [(timedelta(), story), *found]


def _least(played: Played, running: list[ExpectedLease], at: timedelta) -> float:
    """Return what *running* need *at* a time, on the baseline that makes it least.

    Where others had set less than on-demand allows, a window has enough with what it requests.
    """
    granted = [demand(running, story) for _, story in _bases(played, at)]
    least = min(_allows(played.story, capacity) for capacity in granted)
    if not any(deed.what == "foreign" and done <= at for done, deed in played.done):
        return least
    needed = (_needed(rails, counted, played.story) for rails, counted in _declared(running))
    return min(least, max(needed))


def _inherited_dues(played: Played, reckoning: Reckoning) -> list[Due]:
    """Return what may be due above a baseline that others set: on-demand may have been enough."""
    spans = [_longest(played, lease) for lease in reckoning.all]
    found = []
    for at, story in _bases(played, LENGTH)[1:]:
        later = [(max(since, at), until, lease) for since, until, lease in spans]
        all_dues = dues(replace(played, story=story), later)
        found += [due for due in all_dues if due.capacity != story.baseline]
    return found


def _unreported(played: Played) -> list[str]:
    """Complain of windows that never had their capacity, without a word in their boosts' memos.

    Its capacity is the least that a reckoning grants it: its keeper may have forgotten the rails.
    Of what a window requests anew once its boost has ended well, the status alone tells.
    """
    story, found = played.story, []
    known = either(played, loses=True)
    for lease in known[0].all:
        key = lease.window, lease.until
        same = [one for each in known for one in each.all if (one.window, one.until) == key]
        due = min(_least(played, [one], one.until) for one in same)
        is_whole = key in {(one.window, one.end) for one in story.firings}
        if (
            is_whole
            and lease.requested < lease.until
            and not _had(played, due, lease.requested, lease.until)
            and not _is_boosted(played, lease)
            and lease.window not in played.missed
        ):
            found.append(f"nobody says that {lease} never had its capacity")
    return found


def _had(played: Played, aps: float, since: timedelta, until: timedelta) -> bool:
    """Tell whether so many Actions per second were allowed at any time between the two."""
    begin, end = played.begin + since, played.begin + until
    gone = (*(one.at for one in played.history[1:]), end)
    return any(
        _allows(played.story, one.capacity) >= aps and one.at < end and later > begin
        for one, later in zip(played.history, gone, strict=True)
    )


def _is_boosted(played: Played, lease: ExpectedLease) -> bool:
    """Tell whether the boost of *lease*'s window had what it requested before that was changed."""
    follows = [(at, one.of) for at, one in played.done if one.what == "follow" and one.of]
    return any(
        _had(played, _least(played, [before], at), before.requested, at)
        for at, of in follows
        if at == lease.requested and of.window == lease.window
        for before in reckon(played, forgets=False, by=at).all
        if (before.window, before.until) == (lease.window, at)
    )


def _longest(played: Played, lease: ExpectedLease) -> tuple[timedelta, timedelta, ExpectedLease]:
    """Return how long *lease* may be held: past its end where its keeper was deleted.

    Nobody goes back for it before the next firing, which starts another keeper.
    """
    until = lease.until
    for refused, mended in _refusals(played):
        if refused <= lease.until + played.story.settle:
            until = max(until, mended)
    for at, deed in played.done:
        is_lost = deed.what == "delete" and not played.story.is_watched
        if is_lost and lease.requested <= at <= lease.until + played.story.settle:
            later = (firing.requested for firing in played.story.firings if firing.requested > at)
            until = max(until, min(later, default=until))
    return lease.requested, until, lease


def _short(played: Played, reckoning: Reckoning) -> list[str]:
    """Return a sentence for each promise to a lease of *reckoning* that was not kept."""
    story, settle, all_leases = played.story, played.story.settle, reckoning.all
    firm = [
        (max(lease.start, lease.requested + settle), lease.until, lease) for lease in all_leases
    ]
    promised = dues(played, firm)
    for at, deed in played.done:
        if deed.what == "foreign":
            noticed = story.heals or OBSERVE_EVERY  # by a round, else by the keeper itself
            promised = _without(promised, played.begin + at, noticed + settle)
        if deed.what == "reset" or deed.what in BREAKING:  # until the repair has looked
            promised = _without(promised, played.begin + at, settle)
    for refused, mended in _refusals(played):  # then at once, and no later
        promised = _without(promised, played.begin + refused, mended - refused + settle)
    # What is said without a promise is about the bounds, which are looked at elsewhere.
    held = _limits(played, all_leases)
    known = violations(held, (), (), story.baseline, settle=settle)
    low = violations(held, promised, (), story.baseline, settle=settle)[: -len(known) or None]
    return [*low, *_dips(played, [*all_leases, *reckoning.kept.values()])]


def _refusals(played: Played) -> list[tuple[timedelta, timedelta]]:
    """Return from when to when the key was refused."""
    edges = [at for at, deed in played.done if deed.what in ("refuse-key", "mend-key")]
    return list(zip(edges[::2], edges[1::2], strict=True))


def _dips(played: Played, all_leases: list[ExpectedLease]) -> list[str]:
    """Complain of each own write that took from a lease what it had.

    A change that was under way as it came may still take it; after that nothing of ours may,
    before its end.
    """
    found = []
    for lease in all_leases:
        due = demand([lease], played.story)
        since = played.begin + lease.since + played.story.under_way
        for at, deed in played.done:
            # Its request may not have come, and comes by the watchdog's boost then.
            if deed.what in ("terminate-boost", "delete-boost") and deed.window == lease.window:
                since = max(since, played.begin + at + played.story.settle)
        until = played.begin + lease.until
        for before, record in pairwise(_limits(played, all_leases)):
            is_own = record.at not in played.foreign and since < record.at < until
            if is_own and level(before.capacity) >= level(due) > level(record.capacity):
                found.append(f"{record.at}: {record.capacity} dips below {due} of {lease}")
    return found


def _limits(played: Played, all_leases: list[ExpectedLease]) -> list[CapacityRecord]:
    """Return the history with on-demand that others set counted as what it allows.

    A keeper leaves it alone where it allows more than is due, and comes back to it as the
    baseline that it found.
    """
    allowed = Capacity(played.story.on_demand_aps / APS_PER_TRU)
    return [
        CapacityRecord(held.at, allowed)
        if held.capacity == ON_DEMAND
        and (held.at in played.foreign or _inherited(played, all_leases, held))
        else held
        for held in played.history
    ]


def _inherited(played: Played, all_leases: list[ExpectedLease], held: CapacityRecord) -> bool:
    """Tell whether *held* is what others had set, found as the baseline after a rest.

    Without a declaration it is left alone, and the next keeper comes back to it. They may have
    set it at rest, or while a lease ran that has ended since.
    """

    def is_rest(at: datetime) -> bool:
        return not any(
            played.begin + lease.requested <= at < played.begin + lease.until
            for lease in all_leases
        )

    ends = [played.begin + lease.until for lease in all_leases]
    return played.story.declared is None and any(
        earlier.at in played.foreign
        and earlier.capacity == held.capacity
        and any(earlier.at <= rest < held.at and is_rest(rest) for rest in (earlier.at, *ends))
        for earlier in played.history
    )


def _own(played: Played, all_leases: list[ExpectedLease]) -> list[CapacityRecord]:
    """Return the history with what others set counted as the baseline.

    With a declared baseline only up to the last lease's end: then it has to go, as soon as a
    key that was refused meanwhile is mended.
    """
    story, own = played.story, []
    ends = [played.begin + lease.until for lease in all_leases]
    for held in played.history:
        foreign = held.at in played.foreign or _inherited(played, all_leases, held)
        own.append(CapacityRecord(held.at, story.baseline) if foreign else held)
    if not ends or story.declared is None or not played.foreign:
        return own
    held_for = max(_longest(played, lease)[1] for lease in all_leases)
    last = played.begin + held_for + story.settle
    in_force = [held for held in played.history if held.at <= last][-1]
    if (
        in_force.at < max(ends)
        and in_force.at in played.foreign
        and level(in_force.capacity) > level(story.baseline)
    ):
        own.append(CapacityRecord(last, in_force.capacity))
    return sorted(own, key=lambda held: held.at)


def _without(promised: list[Due], at: datetime, length: timedelta) -> list[Due]:
    """Return *promised* but for a span of *length* from *at* on."""
    until = at + length
    pieces = []
    for due in promised:
        if due.start < at:
            pieces.append(replace(due, end=min(due.end, at)))
        if due.end > until:
            pieces.append(replace(due, start=max(due.start, until)))
    return [piece for piece in pieces if piece.start < piece.end]


def _not_back(played: Played) -> list[str]:
    """Complain where the story does not end at the baseline, nor at what others set.

    The watchdog raises to a declared baseline, and leaves alone what others set above it.
    """
    allowed = {played.story.baseline}
    last = max((lease.until for lease in expected_leases(played)), default=timedelta())
    for at, deed in played.done:
        # Without a keeper nobody looks, and without a declaration nobody minds.
        if deed.what == "foreign" and (played.story.declared is None or at >= last):
            foreign, declared = Capacity(deed.tru), played.story.declared
            is_less = (
                declared is not None
                and declared.tru is not None
                and _allows(played.story, foreign) < declared.tru
            )
            if not (played.story.is_watched and is_less):
                allowed.add(foreign)
    final = played.history[-1].capacity
    if final in allowed:
        return []
    return [f"ends at {final}, not at {' or '.join(sorted(map(str, allowed)))}"]


def tells(played: Played) -> str:
    """Return a story in lines, for whoever has to find out what went wrong."""
    story = played.story
    lines = [f"story {story.seed}/{story.number}: {story.baseline}, declared {story.declared}"]
    lines += [f"  {firing}" for firing in story.firings]
    lines += [f"  {fault}" for fault in story.faults]
    lines += [
        f"  started by the watchdog at {at}: {firing.window}" for at, firing in played.started
    ]
    lines += [f"  done at {at}: {deed}" for at, deed in played.done]
    lines += [f"  {held.at - played.begin} {held.capacity}" for held in played.history]
    lines += [f"  {one}" for one in played.floors]
    return "\n".join(lines)


__all__ = ["Played", "Story", "broken_promises", "level", "tell", "tells"]
