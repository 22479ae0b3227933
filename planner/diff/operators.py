"""What operators left on a schedule, and a sync leaves there: their pauses and notes."""

from __future__ import annotations

from dataclasses import replace

from planner.diff.pause import why_paused
from planner.diff.plan import Live
from planner.schedules.spec import Schedule

IDLE_NOTES = ("(no reason provided)", "unpaused", "resumed")
"""What the UI, the CLI and the SDKs write over a note when a schedule is resumed."""


def keep_operators(desired: Schedule, live: Live) -> Schedule:
    """Return *desired* with the pause and the note that an operator left on *live*."""
    if live.paused_by_operator:
        return replace(desired, paused=True, note=live.note)
    words = live.note.lower()
    idle = not words or words.startswith(IDLE_NOTES)
    return desired if idle or live.note_is_ours else replace(desired, note=live.note)


def pause_remarks(live: Live) -> tuple[str, ...]:
    """Return what there is to say of an operator's pause."""
    if not live.paused_by_operator:
        return ()
    return (f"paused by an operator, and left so: “{why_paused(live.note)}”",)
