"""What a rehearsal showed, as text."""

from __future__ import annotations

from collections.abc import Sequence

from planner.model import Horizon
from planner.rehearse import Difference
from planner.render import words
from workflows.contract import format_instant

MOST_SHOWN = 20
"""Differences and failures that are printed; the rest is counted."""


def rehearsal_text(
    horizon: Horizon,
    fired: int,
    changes: int,
    failed: Sequence[str],
    differences: Sequence[Difference],
) -> str:
    """Return the outcome: how much was played, and every difference, or that there is none."""
    lines = [
        f"{format_instant(horizon.start)} to {format_instant(horizon.end)}: "
        f"{words.counted(fired, 'firing')}, {words.counted(changes, 'change')} of capacity."
    ]
    lines += _some([_sentence(difference) for difference in differences], "difference")
    lines += _some(list(failed), "failed boost")
    if not differences and not failed:
        lines.append("The capacity history is the timeline: no difference.")
    return "\n".join(lines) + "\n"


def _some(sentences: Sequence[str], noun: str) -> list[str]:
    if not sentences:
        return []
    shown = [f"  - {sentence}" for sentence in sentences[:MOST_SHOWN]]
    if len(sentences) > MOST_SHOWN:
        shown.append(f"    and {words.counted(len(sentences) - MOST_SHOWN, 'more ' + noun)}")
    return [f"{words.counted(len(sentences), noun)}:", *shown]


def _sentence(difference: Difference) -> str:
    held = str(difference.held) if difference.held else "nothing"
    why = f" for {', '.join(difference.windows)}" if difference.windows else ", the baseline"
    return (
        f"{difference.namespace}, {format_instant(difference.start)} to "
        f"{format_instant(difference.end)}: {held} in force, {difference.due} due{why}"
    )
