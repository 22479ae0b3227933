"""The result of a rehearsal as text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from planner.model import Horizon
from planner.rehearsal.plan import Difference, RehearsalResult
from planner.render import format as fmt
from workflows.contract import format_instant

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
        found = [_sentence(each) for each in result.differences]
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


def _sentence(difference: Difference) -> str:
    held = str(difference.held) if difference.held else "nothing"
    why = f" for {', '.join(difference.windows)}" if difference.windows else ", the baseline"
    return (
        f"{difference.namespace}, {format_instant(difference.start)} to "
        f"{format_instant(difference.end)}: {held} in force, {difference.expected} due{why}"
    )
