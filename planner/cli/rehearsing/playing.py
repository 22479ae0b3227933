"""A scene of a rehearsal played: every firing in order, held against the timeline."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any

from planner.cli.rehearsing.stage import Stage, stage
from planner.cli.rehearsing.tally import Tally
from planner.promise import Held
from planner.rehearse import Difference, Firing, Outcome, Scene, differences, due
from workflows.contract import Capacity, format_instant, keeper_id

if TYPE_CHECKING:
    from temporalio.client import WorkflowHandle

    from planner.spec import Schedule

TOLERANCE = timedelta(minutes=1)
"""How long a change may take on the skipping clock: its steps take real milliseconds."""

TOLERANCE_WITH_FAULTS = timedelta(minutes=30)
"""How long with faults: as long as a few retries of the keeper back off."""

FAULT_ODDS = 0.2
"""How often a firing meets a fault, where faults are asked for."""

FAULTS: tuple[dict[str, Any], ...] = (
    {"on": "get", "kind": "error", "status": 503},
    {"on": "update", "kind": "error", "status": 500},
    {"on": "update", "kind": "drop-reply"},
    {"on": "update", "kind": "conflict"},
    {"on": "update", "kind": "reject"},
    {"on": "operation", "kind": "error", "status": 503},
)
"""Faults that cost no real time: what they cost on the clock is skipped."""


async def perform(scene: Scene, progress: Callable[[int], None] = lambda done: None) -> Outcome:
    """Fire what *scene* has, and compare what was in force with what was due.

    Args:
        scene: What is played; it lies ahead.
        progress: Called with how many firings are done.
    """
    firings = scene.firings()
    async with stage(scene.calendars) as playing:
        tally = Tally(playing.client)
        failed = await _fire_all(playing, scene, firings, tally, progress)
        found = await _compare(playing, scene)
        await tally.add_keepers()
        names = [calendar.namespace for calendar in scene.calendars]
        changes = sum(len(playing.simulator.history(name)) - 1 for name in names)
    return Outcome(
        fired=len(firings),
        failed=tuple(failed),
        differences=found,
        changes=changes,
        actions=tally.actions,
    )


async def _fire_all(
    playing: Stage,
    scene: Scene,
    firings: Sequence[Firing],
    tally: Tally,
    progress: Callable[[int], None],
) -> list[str]:
    """Fire everything in order, what fires together at once; return what failed."""
    schedules = {schedule.id: schedule for schedule in scene.schedules}
    failed: list[str] = []
    done = 0
    for at, group in groupby(firings, key=lambda firing: firing.at):
        await playing.skip_to(at)
        firing = [schedules[each.schedule_id] for each in group]
        if scene.seed is not None:
            _strike(playing, {schedule.request.namespace for schedule in firing}, at, scene.seed)
        failed += await _fire(playing, firing, at, tally)
        done += len(firing)
        progress(done)
    return failed


def _strike(playing: Stage, namespaces: Iterable[str], at: datetime, seed: int) -> None:
    """Set a fault for some of *namespaces*: the same ones, however the year is cut."""
    for namespace in namespaces:
        dice = random.Random(f"{seed} {namespace} {format_instant(at)}")
        if dice.random() < FAULT_ODDS:
            playing.simulator.fault(**dice.choice(FAULTS), times=1, namespace=namespace)


async def _fire(
    playing: Stage, schedules: Sequence[Schedule], at: datetime, tally: Tally
) -> list[str]:
    """Start the boosts of *schedules* as they would at *at*, and return what failed."""

    async def see(boost: WorkflowHandle[Any, Any], schedule: Schedule) -> str:
        failure = await playing.failure(boost)
        await tally.add(boost, keeper_id(schedule.request.namespace))
        return failure

    boosts = [(await playing.start(schedule, at), schedule) for schedule in schedules]
    failures = await asyncio.gather(*(see(boost, schedule) for boost, schedule in boosts))
    return [failure for failure in failures if failure]


async def _compare(playing: Stage, scene: Scene) -> tuple[Difference, ...]:
    """Let every run end, and return where the history isn't the timeline."""
    steps = {
        calendar.namespace: due(calendar, scene.stretches[calendar.namespace])
        for calendar in scene.calendars
    }
    await playing.skip_to(max(each[-1].end for each in steps.values()))
    await playing.simulator.look()
    tolerance = TOLERANCE if scene.seed is None else TOLERANCE_WITH_FAULTS
    found: list[Difference] = []
    for namespace, expected in steps.items():
        entries = playing.simulator.history(namespace)
        history = [Held(entry.at, Capacity(entry.tru)) for entry in entries]
        found += differences(history, expected, tolerance)
    return tuple(found)
