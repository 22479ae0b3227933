"""Why a bar or a step of a drawing is there, in the words of its tooltip."""

from __future__ import annotations

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from planner.forecast.explain import because
from planner.forecast.timeline import Step
from planner.model import Occurrence
from planner.render import format as fmt

MOST_TOLD = 4
"""Runs or steps of one bar that are told one by one; the rest is counted."""


def of_runs(runs: Sequence[Occurrence]) -> str:
    """Return the lines that explain the *runs* of one bar, all of one window."""
    window = runs[0].window
    lines = [f"{window.name}: {fmt.demand(runs[0])}"]
    for run in runs[:MOST_TOLD]:
        span = fmt.local_span(run.start, run.end, window.tz)
        lines.append(f"{fmt.day(run.start, window.tz)}, {span}")
        lines += run.notes
    if len(runs) > MOST_TOLD:
        lines.append(
            f"and {fmt.counted(len(runs) - MOST_TOLD, 'more run')} up to "
            f"{fmt.moment(runs[-1].end, window.tz)}"
        )
    lines.append(_asked_for(runs[0]))
    if window.description:
        lines.append(window.description)
    return "\n".join(lines)


def _asked_for(run: Occurrence) -> str:
    """Say when the schedule fires for *run*."""
    window = run.window
    when = fmt.moment(run.fires, window.tz)
    jitter = f", up to {fmt.length(window.jitter)} later" if window.jitter else ""
    return f"asked for {fmt.length(window.ahead)} ahead: {when}{jitter}"


def of_steps(steps: Sequence[Step], tz: ZoneInfo) -> str:
    """Return the lines that explain the *steps* of one stretch."""
    lines = []
    for step in steps[:MOST_TOLD]:
        span = fmt.local_span(step.start, step.end, tz)
        lines.append(f"{step.capacity} in force, {fmt.day(step.start, tz)}, {span}")
        lines += because(step)
    if len(steps) > MOST_TOLD:
        highest = max(step.capacity.tru or 0 for step in steps)
        lines.append(
            f"and {fmt.counted(len(steps) - MOST_TOLD, 'more step')}, "
            f"up to {highest:g} TRU, until {fmt.moment(steps[-1].end, tz)}"
        )
    return "\n".join(lines)
