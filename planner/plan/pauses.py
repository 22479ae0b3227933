"""Pauses by operators: the note of a paused schedule, and what a sync keeps of it.

The note says who paused and why, followed by the note before the pause.
"""

from __future__ import annotations

from dataclasses import replace

from planner.plan.model import LiveSchedule
from planner.schedules.spec import CUT, Schedule, shortened

SEPARATOR = " | "
PREFIX = "Paused by "

PATCH_NOTE_LIMIT = 1_000
"""Bytes that the server allows in the note of a pause or unpause request."""

WORDS_LIMIT = 200
"""Bytes reserved for who paused and why, however long the note before is."""

NOTE_ROOM = PATCH_NOTE_LIMIT - len(SEPARATOR) - WORDS_LIMIT
"""Bytes of the note before the pause that are kept."""

UNNAMED = "resumed"
"""The note of a resumed schedule that had none; the next sync replaces it."""


IDLE_NOTES = ("(no reason provided)", "unpaused", "resumed")
"""How notes begin that the UI, the CLI and the SDKs write when they resume a schedule."""


def paused_note(by: str, reason: str, note: str) -> str:
    """Return the note for a pause by *by* with *reason*, followed by the note before it.

    At most `PATCH_NOTE_LIMIT` bytes: a note that a sync wrote is kept whole, longer ones are
    cut.

    >>> paused_note("alice", "freeze", "8 TRU for payroll")
    'Paused by alice: freeze | 8 TRU for payroll'
    """
    why = f": {reason}" if reason else ""
    words = f"{PREFIX}{by}{why}".replace(SEPARATOR, " / ").replace("\n", " ")
    kept = shortened(_before_pause(note), NOTE_ROOM)
    room = PATCH_NOTE_LIMIT - len(SEPARATOR) - len(kept.encode())
    return f"{shortened(words, room)}{SEPARATOR}{kept}"


def resumed_note(note: str) -> str:
    """Return the note that a schedule had before `planner pause`.

    Where that note was cut or is missing, returns `UNNAMED`, which the next sync replaces.

    >>> resumed_note("Paused by alice: freeze | 8 TRU for payroll")
    '8 TRU for payroll'
    """
    before = _before_pause(note)
    size = len(before.encode())
    was_cut = before.endswith(CUT) and size > NOTE_ROOM // 2
    return UNNAMED if not before or was_cut or size > PATCH_NOTE_LIMIT else before


def _before_pause(note: str) -> str:
    if not note.startswith(PREFIX) or SEPARATOR not in note:
        return note
    return note.partition(SEPARATOR)[2]


def pause_reason(note: str) -> str:
    """Return who paused a schedule and why; all of a *note* that `paused_note` didn't make.

    >>> pause_reason("Paused by alice: freeze | 8 TRU for payroll")
    'Paused by alice: freeze'
    """
    return note.partition(SEPARATOR)[0] if note.startswith(PREFIX) else note


def keep_operator_pause(desired: Schedule, live: LiveSchedule) -> Schedule:
    """Return *desired* with the pause and the note that an operator left on *live*."""
    if live.paused_by_operator:
        return replace(desired, paused=True, note=live.note)
    words = live.note.lower()
    idle = not words or words.startswith(IDLE_NOTES)
    return desired if idle or live.note_is_ours else replace(desired, note=live.note)


def pause_remarks(live: LiveSchedule) -> tuple[str, ...]:
    """Return the remark on an operator's pause."""
    if not live.paused_by_operator:
        return ()
    return (f"paused by an operator, and left so: “{pause_reason(live.note)}”",)
