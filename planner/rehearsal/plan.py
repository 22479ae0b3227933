"""What is rehearsed, cut into independent parts; the result, held against the timeline, as text.

Namespaces never meet, and a namespace forgets: where none of its windows is requested or
runs for a while, its keeper has ended, and everything is as at the beginning. There a year
can be cut in two without anything being lost.
"""

from __future__ import annotations

import textwrap
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate, pairwise
from operator import attrgetter

from planner.forecast.timeline import CapacityRecord, Step, combine_steps, occurrences_in
from planner.model import Horizon, NamespaceCalendar, Occurrence, Project
from planner.render import format as fmt
from planner.schedules.spec import Schedule, firings
from workflows.contract import Capacity, format_instant


@dataclass(frozen=True, slots=True)
class Difference:
    """An interval in which the capacity in force was not the expected one."""

    namespace: str
    start: datetime
    end: datetime
    held: Capacity | None
    expected: Capacity
    windows: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RehearsalResult:
    """The result of a rehearsal, or of a part of one.

    Attributes:
        fired: Firings played.
        failed: A sentence for each boost that failed.
        differences: Where the capacity history isn't the timeline.
        changes: Changes of the capacity in force.
        actions: Billed Actions on Temporal Cloud, observations of a quiet namespace apart.
    """

    fired: int
    failed: tuple[str, ...]
    differences: tuple[Difference, ...]
    changes: int
    actions: int


def merge_results(results: Sequence[RehearsalResult]) -> RehearsalResult:
    """Return the *results* of several parts as one."""
    found = [difference for result in results for difference in result.differences]
    return RehearsalResult(
        fired=sum(result.fired for result in results),
        failed=tuple(failure for result in results for failure in result.failed),
        differences=tuple(sorted(found, key=attrgetter("namespace", "start"))),
        changes=sum(result.changes for result in results),
        actions=sum(result.actions for result in results),
    )


@dataclass(frozen=True, slots=True, order=True)
class Firing:
    """One nominal time of one schedule."""

    at: datetime
    schedule_id: str


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a rehearsal that is independent of the others.

    Attributes:
        project: The timeline's source.
        schedules: What fires: compiled from *project*, unless a test plants a defect.
        horizons: The interval in which the schedules of each namespace fire.
        seed: Seed of the injected faults; None for none.
    """

    project: Project
    schedules: tuple[Schedule, ...]
    horizons: Mapping[str, Horizon]
    seed: int | None = None

    @property
    def calendars(self) -> tuple[NamespaceCalendar, ...]:
        """The calendars of the namespaces in this part."""
        found = self.project.namespaces
        return tuple(calendar for calendar in found if calendar.namespace in self.horizons)

    def firings(self) -> list[Firing]:
        """Return all firings in order of time; paused schedules have none."""
        return sorted(
            Firing(at, schedule.id)
            for schedule in self.schedules
            if not schedule.paused and schedule.request.namespace in self.horizons
            for at in firings(schedule, self.horizons[schedule.request.namespace])
        )


AFTERWARDS = timedelta(hours=2)
"""How long to go on after the last end: long enough for every revert."""


def expected_steps(calendar: NamespaceCalendar, horizon: Horizon) -> tuple[Step, ...]:
    """Return the steps of the capacity while everything that fires in *horizon* runs.

    The steps go on to `AFTERWARDS` past the end of the last occurrence.
    """
    runs = fired_in(calendar, horizon)
    last = max((run.end for run in runs), default=horizon.end)
    until = max(last, horizon.end) + AFTERWARDS
    return combine_steps(calendar, runs, Horizon(horizon.start, until), "requested")


def fired_in(calendar: NamespaceCalendar, horizon: Horizon) -> list[Occurrence]:
    """Return the occurrences of a namespace whose schedules fire in *horizon*."""
    return [
        run
        for run in occurrences_in(calendar.windows, horizon, "requested")
        if run.fires in horizon
    ]


def differences(
    history: Sequence[CapacityRecord], steps: Iterable[Step], tolerance: timedelta
) -> tuple[Difference, ...]:
    """Return where *history* is not what *steps* say, each step given *tolerance* to begin.

    Args:
        history: Capacities in force, oldest first; the last entry lasts for ever.
        steps: Expected capacities, in order.
        tolerance: How long after its start a step may take to be in force.
    """
    times = [held.at for held in history]
    found = []
    for step in steps:
        start = step.start + tolerance
        while start < step.end:
            index = bisect_right(times, start)
            end = min(times[index], step.end) if index < len(times) else step.end
            held = history[index - 1].capacity if index else None
            if held != step.capacity:
                found.append(
                    Difference(step.namespace, start, end, held, step.capacity, step.windows)
                )
            start = end
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Segment:
    """An interval of one namespace's horizon, with the number of its firings."""

    namespace: str
    span: Horizon
    firings: int


def split(project: Project, horizon: Horizon, count: int) -> tuple[Mapping[str, Horizon], ...]:
    """Cut *horizon* into at most *count* parts of about as many firings each.

    Each part maps namespaces to intervals. The intervals of a namespace meet, fill the
    horizon and are cut at quiet moments only; no part has two of one namespace.
    """
    parts: list[dict[str, Horizon]] = [{} for _ in range(count)]
    loads = [0] * count
    pieces = [each for calendar in project.namespaces for each in _cut(calendar, horizon, count)]
    for piece in sorted(pieces, key=attrgetter("firings"), reverse=True):
        free = (part for part in range(count) if piece.namespace not in parts[part])
        lightest = min(free, key=loads.__getitem__)
        parts[lightest][piece.namespace] = piece.span
        loads[lightest] += piece.firings
    return tuple(part for part in parts if part) or ({},)


def _cut(calendar: NamespaceCalendar, horizon: Horizon, count: int) -> Iterator[Segment]:
    """Yield at most *count* segments of one namespace, as even as its quiet moments allow."""
    runs = sorted(fired_in(calendar, horizon), key=attrgetter("fires"))
    quiet = []  # how many runs lie before each quiet moment, and the moment
    ended = accumulate((run.end for run in runs), max)
    for place, (last, run) in enumerate(zip(ended, runs[1:], strict=False), start=1):
        if run.fires - last >= AFTERWARDS:
            quiet.append((place, (last + (run.fires - last) / 2).replace(microsecond=0)))
    wanted = [len(runs) * part / count for part in range(1, count)]
    cuts = {min(quiet, key=lambda cut: abs(cut[0] - ideal)) for ideal in wanted if quiet}
    edges = [(0, horizon.start), *sorted(cuts), (len(runs), horizon.end)]
    for (before, start), (after, end) in pairwise(edges):
        yield Segment(calendar.namespace, Horizon(start, end), after - before)


MOST_SHOWN = 20
"""Differences and failures that are printed; the rest is counted."""


COUNTING = (
    "3 a firing, 1 each for keepers, activities with their retries, timers, updates and "
    "memos; looks at quiet namespaces, one each half hour of a boost, come on top"
)
"""What the number of Actions includes."""


def rehearsal_text(horizon: Horizon, result: RehearsalResult) -> str:
    """Return how much was played over *horizon*, the differences, and the failed boosts."""
    lines = [
        f"{format_instant(horizon.start)} to {format_instant(horizon.end)}: "
        f"{fmt.counted(result.fired, 'firing')}, "
        f"{fmt.counted(result.changes, 'change')} of capacity.",
        *textwrap.wrap(f"{fmt.counted(result.actions, 'Action')} on Temporal: {COUNTING}.", 80),
    ]
    if result.differences:
        found = []
        for each in result.differences:
            span = f"{format_instant(each.start)} to {format_instant(each.end)}"
            held = str(each.held) if each.held else "nothing"
            why = f" for {', '.join(each.windows)}" if each.windows else ", the baseline"
            text = f"{held} in force, {each.expected} due{why}"
            found.append(f"{each.namespace}, {span}: {text}")
        lines += [f"{fmt.counted(len(found), 'difference')}:", *_some(found, "difference")]
    if result.failed:
        boosts = fmt.counted(result.fired, "boost")
        lines.append(f"{len(result.failed)} of {boosts} failed:")
        lines += _some(result.failed, "failed boost")
    if not result.differences and not result.failed:
        lines.append("The capacity history is the timeline: no difference.")
    return "\n".join(lines) + "\n"


def _some(sentences: Sequence[str], noun: str) -> list[str]:
    """Return the first of *sentences* as a list, and the number of the others."""
    shown = [f"  - {sentence}" for sentence in sentences[:MOST_SHOWN]]
    if len(sentences) > MOST_SHOWN:
        shown.append(f"    and {fmt.counted(len(sentences) - MOST_SHOWN, 'more ' + noun)}")
    return shown
