"""The windows of a namespace combined into one step function of capacity.

It is combined by `workflows.contract.target_of`, the very function that the keeper
drives to: what a preview shows is what the run time aims for.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Literal

from planner.model import Horizon, NamespaceCalendar, Occurrence, Window
from planner.occurrences.expand import expand
from planner.occurrences.starts import longest, pattern_of
from workflows.contract import ON_DEMAND, Capacity, Combine, Rails, Target, target_of

View = Literal["promised", "asked"]
"""Which span of an occurrence counts.

- ``promised``: ``[start, end)``, when the capacity is there for sure.
- ``asked``: ``[fires, end)``, the longest that the keeper may hold it, and that is billed.
"""

RANK = attrgetter("start", "end", "window.namespace", "window.name")
"""`Occurrence.order`, quicker: there may be hundreds of thousands to be sorted."""


@dataclass(frozen=True, slots=True)
class Step:
    """A stretch of time, ``[start, end)`` in UTC, in which nothing changes.

    *claims* are the occurrences that count in it, in their order; without any the
    baseline is in force. Two steps that meet differ in their claims, though maybe not
    in their capacity.
    """

    namespace: str
    start: datetime
    end: datetime
    target: Target
    claims: tuple[Occurrence, ...] = field(default=(), repr=False)

    @property
    def capacity(self) -> Capacity:
        """What is in force."""
        return self.target.capacity

    @property
    def windows(self) -> tuple[str, ...]:
        """The names of the windows that run, sorted, each once."""
        return tuple(sorted({claim.window.name for claim in self.claims}))


def timeline(
    calendar: NamespaceCalendar, horizon: Horizon, view: View = "promised"
) -> tuple[Step, ...]:
    """Return the capacity of a namespace over *horizon*: steps that meet and fill it.

    What began before the horizon and runs into it counts; paused windows don't.
    """
    return combine_steps(calendar, running(calendar.windows, horizon, view), horizon, view)


def combine_steps(
    calendar: NamespaceCalendar,
    occurrences: Iterable[Occurrence],
    horizon: Horizon,
    view: View = "promised",
) -> tuple[Step, ...]:
    """Return the steps that *occurrences* of one namespace make over *horizon*."""
    target = targets(calendar)
    return tuple(
        Step(calendar.namespace, start, end, target(asked), claims)
        for start, end, asked, claims in _sweep(occurrences, horizon, view)
    )


def targets(calendar: NamespaceCalendar) -> Callable[[int], Target]:
    """Return `target_of` for a namespace's baseline and guard rails, remembering answers.

    All that counts of the claims is how many TRU they ask for together, and days repeat.
    """
    baseline, rails = baseline_of(calendar), rails_of(calendar)
    known: dict[int, Target] = {}

    def target(asked: int) -> Target:
        if asked not in known:
            known[asked] = target_of((_Together(asked),), baseline, rails)
        return known[asked]

    return target


@dataclass(frozen=True, slots=True)
class _Together:
    """A claim that stands for several: it asks for what they ask for together."""

    tru: int
    combine: Combine = "max"


def running(windows: Iterable[Window], horizon: Horizon, view: View) -> list[Occurrence]:
    """Return the occurrences of *windows* that have a part in *horizon*, in their order."""
    found = (
        occurrence
        for window in windows
        if not window.paused
        for occurrence in expand(window, _reach(window, horizon, view))
        if begin_of(occurrence, view) < horizon.end and occurrence.end > horizon.start
    )
    return sorted(found, key=RANK)


def begin_of(occurrence: Occurrence, view: View) -> datetime:
    """Return when *occurrence* begins to count."""
    return occurrence.start if view == "promised" else occurrence.fires


def baseline_of(calendar: NamespaceCalendar) -> Capacity:
    """Return what is in force when nothing runs; on-demand where nothing is declared."""
    return calendar.baseline or ON_DEMAND


def rails_of(calendar: NamespaceCalendar) -> Rails:
    """Return the guard rails of a namespace as the run time takes them."""
    return Rails(calendar.guard_rails.allowed_tru, calendar.guard_rails.max_tru)


def _reach(window: Window, horizon: Horizon, view: View) -> Horizon:
    """Return where the starts lie of what may have a part in *horizon*."""
    late = window.ahead if view == "asked" else timedelta()
    return Horizon(horizon.start - longest(pattern_of(window)), horizon.end + late)


def _sweep(
    occurrences: Iterable[Occurrence], horizon: Horizon, view: View
) -> Iterator[tuple[datetime, datetime, int, tuple[Occurrence, ...]]]:
    """Yield stretches with what is asked for in each, and by what; cut at each begin and end."""
    ranked = sorted(occurrences, key=RANK)
    demand = Demand()
    active: list[int] = []  # places in *ranked*, in order
    before = horizon.start
    for at, begins, place in _edges(ranked, horizon, view):
        if before < at:
            yield before, at, demand.asked, tuple([ranked[each] for each in active])
            before = at
        claim = ranked[place]
        if begins:
            insort(active, place)
            demand.come(claim.tru, claim.combine)
        else:
            del active[bisect_left(active, place)]
            demand.go(claim.tru, claim.combine)
    if before < horizon.end:
        yield before, horizon.end, demand.asked, tuple([ranked[each] for each in active])


def _edges(
    ranked: Sequence[Occurrence], horizon: Horizon, view: View
) -> list[tuple[datetime, bool, int]]:
    """Return when each run begins and ends within *horizon*, ends first, with its place."""
    edges = []
    for place, run in enumerate(ranked):
        begin, end = begin_of(run, view), run.end
        if begin < horizon.end and end > horizon.start:
            edges.append((max(begin, horizon.start), True, place))
            if end < horizon.end:
                edges.append((end, False, place))
    edges.sort()
    return edges


class Demand:
    """The TRU that claims ask for together while they come and go.

    `asked` is at any time what `workflows.contract.combine` says of those that came and
    have not gone: the keeper's own arithmetic, one claim at a time. A property in the
    tests holds the two against each other.
    """

    __slots__ = ("_added", "_highest", "_levels")

    def __init__(self) -> None:
        self._levels: dict[int, int] = {}
        self._highest = 0
        self._added = 0

    @property
    def asked(self) -> int:
        """What is asked for now; 0 where nothing runs."""
        return self._highest + self._added

    def come(self, tru: int, combine: Combine) -> None:
        """Count a claim in that begins."""
        if combine == "add":
            self._added += tru
            return
        self._levels[tru] = self._levels.get(tru, 0) + 1
        if tru > self._highest:
            self._highest = tru

    def go(self, tru: int, combine: Combine) -> None:
        """Count a claim out that came before."""
        if combine == "add":
            self._added -= tru
            return
        self._levels[tru] -= 1
        if not self._levels[tru]:
            del self._levels[tru]
            self._highest = max(self._levels, default=0)  # of few: the values that are allowed
