"""Random stories of namespaces, played through the real workflows and judged.

A story is one namespace's half day: windows that overlap, boosts by hand, firings that
come late or twice, releases, changes by others, faults of the Cloud API at any call,
keepers cancelled or terminated. Many are played side by side on one server whose clock
skips, with a simulated Cloud over HTTP and a worker that is restarted now and then; what
was in force when is then held against what the leases came to, by an arithmetic of its own.

Run by hand: ``make stories STORIES=10000 STORY_SEED=1``.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal

from planner.forecast.conformance import CapacityRecord, level, violations
from planner.simulator.faults import CALLS, KINDS
from workflows.contract import ON_DEMAND, BoostRequest, Capacity, Combine

ALLOWED = (2, 3, 4, 6, 8, 10, 12)
APS_PER_TRU = 500

SETTLE = timedelta(minutes=3)
"""How long a change may take without faults: provisioning, and looking again."""

FAULT_COSTS = timedelta(minutes=6)
"""How long one fault may delay a change: the longest wait after it, and what it holds up."""

LOOK_EVERY = timedelta(minutes=30)
"""How often a keeper looks for what others changed, while it holds leases."""

LENGTH = timedelta(hours=9)
"""How long a story is played."""


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

    @property
    def start(self) -> timedelta:
        """When its window opens."""
        return self.nominal + self.ahead

    @property
    def end(self) -> timedelta:
        """When its window closes."""
        return self.start + self.length

    @property
    def asked(self) -> timedelta:
        """When it really asks."""
        return self.nominal + self.late


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of the simulated Cloud, set at a time, striking the next calls."""

    at: timedelta
    on: str
    kind: str
    times: int


@dataclass(frozen=True, slots=True)
class Deed:
    """What an operator does to a keeper, or somebody else to the namespace."""

    at: timedelta
    what: Literal["release", "release-all", "cancel", "terminate", "foreign"]
    window: str = ""
    tru: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """All that happens to one namespace; *seed* and *number* make it again."""

    seed: int
    number: int
    before: Capacity
    declared: Capacity | None
    on_demand_aps: float
    firings: tuple[Firing, ...]
    faults: tuple[Fault, ...] = ()
    deeds: tuple[Deed, ...] = ()

    @property
    def name(self) -> str:
        """The namespace, by which a story is found again."""
        return f"s{self.seed}-{self.number}.acct"

    @property
    def settle(self) -> timedelta:
        """How long a change may take, given the faults that may strike it."""
        return SETTLE + FAULT_COSTS * sum(fault.times for fault in self.faults)

    @property
    def baseline(self) -> Capacity:
        """What must be in force when nothing is claimed."""
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
        )


# Telling --------------------------------------------------------------------------------


def tell(seed: int, number: int) -> Story:
    """Return the story *number* of *seed*: always the same one."""
    luck = random.Random(f"{seed}/{number}")
    troubled = luck.random() < 0.5
    ahead = timedelta(minutes=50 if troubled else 10)
    firings = [_firing(luck, index, ahead) for index in range(luck.randint(1, 4))]
    if luck.random() < 0.3:
        firings.append(replace(luck.choice(firings), late=timedelta(minutes=luck.randint(0, 9))))
    declared = luck.choice([None, None, ON_DEMAND, Capacity(2)])
    before = declared if declared is not None else luck.choice([ON_DEMAND, Capacity(2)])
    return Story(
        seed=seed,
        number=number,
        before=before,
        declared=declared,
        on_demand_aps=luck.choice([500.0, 500.0, 1800.0]),
        firings=tuple(firings),
        faults=_faults(luck) if troubled else (),
        deeds=_deeds(luck, firings),
    )


def _minutes(luck: random.Random, low: int, high: int) -> timedelta:
    """Return a length to the second: edges that fall together are told on purpose only."""
    return timedelta(seconds=luck.randint(low * 60, high * 60))


def _firing(luck: random.Random, index: int, ahead: timedelta) -> Firing:
    by_hand = luck.random() < 0.2
    late = luck.random() < 0.2
    return Firing(
        window=f"w{index}",
        nominal=_minutes(luck, 1, 150),
        ahead=timedelta() if by_hand else ahead,
        length=timedelta(minutes=luck.choice([15, 30, 60, 61, 120, 180])),
        tru=luck.choice([2, 3, 4, 5, 6, 8, 10]),
        combine="add" if luck.random() < 0.2 else "max",
        late=_minutes(luck, 1, 240) if late else timedelta(),
        by="somebody" if by_hand else "schedule",
    )


def _faults(luck: random.Random) -> tuple[Fault, ...]:
    """Return a few faults; no more at once than the lead makes up for."""
    return tuple(
        Fault(
            at=_minutes(luck, 0, 300),
            on=luck.choice(CALLS),
            kind=luck.choice(KINDS),
            times=luck.randint(1, 2),
        )
        for _ in range(luck.randint(1, 3))
    )


def _deeds(luck: random.Random, firings: list[Firing]) -> tuple[Deed, ...]:
    if luck.random() < 0.5:
        return ()
    chosen = luck.choice(firings)
    middle = (chosen.asked + chosen.end) / 2
    what = luck.choice(["release", "release-all", "cancel", "terminate", "foreign", "foreign"])
    tru = luck.choice([None, 2.0, 12.0]) if what == "foreign" else None
    return (Deed(middle, what, chosen.window, tru),)  # type: ignore[arg-type]


# What it comes to, reckoned without the keeper ----------------------------------------


@dataclass(frozen=True, slots=True)
class Claim:
    """A lease as it should have been: asked for, running, ended."""

    asked: timedelta
    start: timedelta
    until: timedelta
    tru: int
    combine: Combine


@dataclass(frozen=True, slots=True)
class Due:
    """A span of time in which a capacity is due."""

    start: datetime
    end: datetime
    capacity: Capacity


@dataclass(slots=True)
class Played:
    """What happened: the deeds that were done, by when, and what was in force when."""

    story: Story
    begin: datetime
    history: list[CapacityRecord] = field(default_factory=list)
    done: list[tuple[timedelta, Deed]] = field(default_factory=list)
    foreign: list[datetime] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


def claims(played: Played) -> list[Claim]:
    """Return the leases of a story: by key, ended by releases and cancels."""
    found: dict[tuple[str, timedelta], Claim] = {}
    for firing in sorted(played.story.firings, key=lambda firing: firing.asked):
        key = (firing.window, firing.start)
        if firing.asked < firing.end and key not in found:
            found[key] = Claim(firing.asked, firing.start, firing.end, firing.tru, firing.combine)
    for at, deed in played.done:
        ends = {"release": deed.window, "release-all": "", "cancel": ""}.get(deed.what)
        for key, claim in found.items():
            if ends is not None and ends in ("", key[0]) and claim.asked <= at < claim.until:
                found[key] = replace(claim, until=at)
    return list(found.values())


def demand(running: list[Claim], story: Story) -> Capacity:
    """Return what *running* comes to: the highest, plus what adds, rounded up."""
    highest = max((claim.tru for claim in running if claim.combine == "max"), default=0)
    asked = highest + sum(claim.tru for claim in running if claim.combine == "add")
    if asked == 0:
        return story.baseline
    granted = next((tru for tru in ALLOWED if tru >= asked), ALLOWED[-1])
    enough = (
        story.on_demand_aps >= granted * APS_PER_TRU
        if story.baseline.tru is None
        else story.baseline.tru >= granted
    )
    return story.baseline if enough else Capacity(granted)


def dues(played: Played, spans: list[tuple[timedelta, timedelta, Claim]]) -> list[Due]:
    """Return what is due between the edges of *spans*, each with its claim."""
    edges = sorted({edge for start, end, _ in spans if start < end for edge in (start, end)})
    found = []
    for start, end in pairwise(edges):
        running = [claim for since, until, claim in spans if since <= start and end <= until]
        if running:
            capacity = demand(running, played.story)
            found.append(Due(played.begin + start, played.begin + end, capacity))
    return found


def broken_promises(played: Played) -> list[str]:
    """Return a sentence for each way in which a story's promises were broken."""
    story, all_claims = played.story, claims(played)
    settle = story.settle
    firm = [(max(claim.start, claim.asked + settle), claim.until, claim) for claim in all_claims]
    asked = dues(played, [(claim.asked, claim.until, claim) for claim in all_claims])
    promised = dues(played, firm)
    for at, deed in played.done:
        if deed.what == "foreign":
            promised = _without(promised, played.begin + at, LOOK_EVERY + settle)
        if deed.what == "terminate":  # until the repair has looked
            promised = _without(promised, played.begin + at, settle)
    bounds = violations(_own(played, all_claims), (), asked, story.baseline, settle=settle)
    # What is said without a promise is about the bounds, which the first line looks at.
    held = _limits(played)
    known = violations(held, (), (), story.baseline, settle=settle)
    short = violations(held, promised, (), story.baseline, settle=settle)[: -len(known) or None]
    return [*bounds, *short, *_not_back(played), *played.complaints]


def _limits(played: Played) -> list[CapacityRecord]:
    """Return the history with on-demand that others set counted as what it allows.

    A keeper leaves it alone where it allows more than is due.
    """
    allowed = Capacity(played.story.on_demand_aps / APS_PER_TRU)
    return [
        CapacityRecord(held.at, allowed)
        if held.at in played.foreign and held.capacity == ON_DEMAND
        else held
        for held in played.history
    ]


def _inherited(played: Played, all_claims: list[Claim], held: CapacityRecord) -> bool:
    """Tell whether *held* is what others had set, found as the baseline after a rest.

    Without a declaration it is left alone, and the next keeper comes back to it.
    """
    return played.story.declared is None and any(
        earlier.at in played.foreign
        and earlier.capacity == held.capacity
        and any(
            earlier.at < (rest := played.begin + claim.until) < held.at
            and not any(
                played.begin + other.asked <= rest < played.begin + other.until
                for other in all_claims
            )
            for claim in all_claims
        )
        for earlier in played.history
    )


def _own(played: Played, all_claims: list[Claim]) -> list[CapacityRecord]:
    """Return the history with what others set counted as the baseline.

    With a declared baseline only up to the last claim's end: then it has to go.
    """
    story, own = played.story, []
    ends = [played.begin + claim.until for claim in all_claims]
    for held in played.history:
        foreign = held.at in played.foreign or _inherited(played, all_claims, held)
        own.append(CapacityRecord(held.at, story.baseline) if foreign else held)
    if not ends or story.declared is None or not played.foreign:
        return own
    last = max(ends) + story.settle
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
    """Complain where the story does not end at the baseline, nor at what others set."""
    allowed = {played.story.baseline}
    last = max((claim.until for claim in claims(played)), default=timedelta())
    for at, deed in played.done:
        # Without a keeper nobody looks, and without a declaration nobody minds.
        if deed.what == "foreign" and (played.story.declared is None or at >= last):
            allowed.add(Capacity(deed.tru))
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
    lines += [f"  done at {at}: {deed}" for at, deed in played.done]
    lines += [f"  {held.at - played.begin} {held.capacity}" for held in played.history]
    return "\n".join(lines)


__all__ = ["Played", "Story", "broken_promises", "level", "tell", "tells"]
