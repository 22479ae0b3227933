"""A rehearsal played: every firing in order, and what came of it held against the timeline."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any

from planner.cli.stage import Stage, stage
from planner.cli.tally import Tally
from planner.promise import Held
from planner.rehearse import Difference, Firing, Outcome, differences, due, firings_of
from workflows.contract import Capacity, keeper_id

if TYPE_CHECKING:
    from planner.model import Horizon, Project
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


async def play(
    project: Project,
    schedules: Sequence[Schedule],
    horizon: Horizon,
    seed: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Outcome:
    """Fire *schedules* through *horizon*, and compare what was in force with what was due.

    Args:
        project: What the timeline is drawn from.
        schedules: What fires; compiled from *project*, unless a defect is being planted.
        horizon: Firings in it are played, and their runs to their ends; it lies ahead.
        seed: Of the faults; None for none.
        progress: Called with how many firings are done, and of how many.
    """
    began = time.monotonic()
    firings = firings_of(schedules, horizon)
    by_id = {schedule.id: schedule for schedule in schedules}
    async with stage(project) as playing:
        dice = random.Random(seed) if seed is not None else None
        tally = Tally(playing.environment.client)
        failed = await _fire_all(playing, firings, by_id, dice, tally, progress)
        found = await _compare(playing, project, horizon, seed is not None)
        await tally.add_keepers()
        names = [calendar.namespace for calendar in project.namespaces]
        changes = sum(len(playing.simulator.history(name)) - 1 for name in names)
    return Outcome(
        fired=len(firings),
        failed=tuple(failed),
        differences=found,
        changes=changes,
        actions=tally.actions,
        seconds=time.monotonic() - began,
    )


async def _fire_all(
    playing: Stage,
    firings: Sequence[Firing],
    schedules: dict[str, Schedule],
    dice: random.Random | None,
    tally: Tally,
    progress: Callable[[int, int], None],
) -> list[str]:
    """Fire everything in order, what fires together at once; return what failed."""
    failed: list[str] = []
    done = 0
    for at, group in groupby(firings, key=lambda firing: firing.at):
        await playing.skip_to(at)
        together = [schedules[firing.schedule_id] for firing in group]
        if dice and dice.random() < FAULT_ODDS:
            playing.simulator.fault(**dice.choice(FAULTS), times=1)
        failed += await _fire(playing, together, at, tally)
        done += len(together)
        progress(done, len(firings))
    return failed


async def _fire(
    playing: Stage, schedules: Sequence[Schedule], at: datetime, tally: Tally
) -> list[str]:
    """Start the boosts of *schedules* as they would at *at*, and return what failed."""
    boosts = [(await playing.start(schedule, at), schedule) for schedule in schedules]
    failed = []
    for boost, schedule in boosts:
        if failure := await playing.failure(boost, at):
            failed.append(failure)
        else:
            await tally.add(boost, keeper_id(schedule.request.namespace))
    return failed


async def _compare(
    playing: Stage,
    project: Project,
    horizon: Horizon,
    with_faults: bool,
) -> tuple[Difference, ...]:
    """Let every run end, and return where the history isn't the timeline."""
    steps = {calendar.namespace: due(calendar, horizon) for calendar in project.namespaces}
    await playing.skip_to(max((each[-1].end for each in steps.values()), default=horizon.end))
    await playing.simulator.look()
    tolerance = TOLERANCE_WITH_FAULTS if with_faults else TOLERANCE
    found: list[Difference] = []
    for namespace, expected in steps.items():
        entries = playing.simulator.history(namespace)
        history = [Held(entry.at, Capacity(entry.tru)) for entry in entries]
        found += differences(history, expected, tolerance)
    return tuple(found)
