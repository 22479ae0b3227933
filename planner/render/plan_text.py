"""A plan as people read it on a terminal or in a log."""

from __future__ import annotations

from collections.abc import Sequence

from planner.diff import Change, Plan
from planner.render.plan_words import SIGNS, Section, details, reason_of, summary_sentence

COLOURS = {"+": "32", "~": "33", ">": "36", "^": "35", "-": "31", "!": "1;31", "=": "2"}
"""What a terminal shows the signs in: ANSI colours."""


def plan_text(plan: Plan, *, colour: bool = False, sections: Sequence[Section] = ()) -> str:
    """Return *plan* as text, its changes first and what they come to last.

    Args:
        plan: What to print.
        colour: Whether signs and names are coloured, by ANSI sequences.
        sections: What else belongs to it, between the changes and the summary.
    """
    blocks = ["\n".join(_block(change, colour)) for change in plan.changes]
    blocks += ["\n".join(["", one.title, *(f"  {line}" for line in one.lines)]) for one in sections]
    return "\n".join([*blocks, *([""] if blocks else []), summary_sentence(plan)]) + "\n"


def painted(words: str, sign: str, colour: bool) -> str:
    """Return *words* in the colour of *sign*, where colours are wanted."""
    return f"\x1b[{COLOURS[sign]}m{words}\x1b[0m" if colour else words


def _block(change: Change, colour: bool) -> list[str]:
    sign = SIGNS[change.outcome]
    reason = reason_of(change)
    head = painted(f"{sign} {change.key}", sign, colour) + (f"  ({reason})" if reason else "")
    return [head, *(f"      {line}" for line in details(change))]
