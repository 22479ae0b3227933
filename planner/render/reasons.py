"""Why a bar or a step of a drawing is there, in the words of its tooltip."""

from __future__ import annotations

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from planner.explain import because
from planner.model import Occurrence
from planner.render import words
from planner.timeline import Step

MOST_TOLD = 4
"""Runs or steps of one bar that are told one by one; the rest is counted."""


def of_runs(runs: Sequence[Occurrence]) -> str:
    """Return the lines that explain the *runs* of one bar, all of one window."""
    window = runs[0].window
    lines = [f"{window.name}: {words.demand(runs[0])}"]
    for run in runs[:MOST_TOLD]:
        span = words.local_span(run.start, run.end, window.tz)
        lines.append(f"{words.day(run.start, window.tz)}, {span}")
        lines += run.notes
    if len(runs) > MOST_TOLD:
        lines.append(
            f"and {words.counted(len(runs) - MOST_TOLD, 'more run')} up to "
            f"{words.moment(runs[-1].end, window.tz)}"
        )
    lines.append(_asked_for(runs[0]))
    if window.description:
        lines.append(window.description)
    return "\n".join(lines)


def _asked_for(run: Occurrence) -> str:
    """Say when the schedule fires for *run*."""
    window = run.window
    when = words.moment(run.fires, window.tz)
    jitter = f", up to {words.length(window.jitter)} later" if window.jitter else ""
    return f"asked for {words.length(window.ahead)} ahead: {when}{jitter}"


def of_steps(steps: Sequence[Step], tz: ZoneInfo) -> str:
    """Return the lines that explain the *steps* of one stretch."""
    lines = []
    for step in steps[:MOST_TOLD]:
        span = words.local_span(step.start, step.end, tz)
        lines.append(f"{step.capacity} in force, {words.day(step.start, tz)}, {span}")
        lines += because(step)
    if len(steps) > MOST_TOLD:
        highest = max(step.capacity.tru or 0 for step in steps)
        lines.append(
            f"and {words.counted(len(steps) - MOST_TOLD, 'more step')}, "
            f"up to {highest:g} TRU, until {words.moment(steps[-1].end, tz)}"
        )
    return "\n".join(lines)
