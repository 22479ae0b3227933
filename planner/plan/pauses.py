"""The note of a schedule that somebody paused: who and why, before the note it had."""

from __future__ import annotations

from dataclasses import replace

from planner.plan.model import Live
from planner.schedules.spec import CUT, Schedule, shortened

SEPARATOR = " | "
PREFIX = "Paused by "

PATCH_NOTE_LIMIT = 1_000
"""Bytes that the server allows in a note that comes with a pause or its end."""

WORDS_LIMIT = 200
"""Bytes that are kept for who paused and why, whatever the note before is like."""

NOTE_ROOM = PATCH_NOTE_LIMIT - len(SEPARATOR) - WORDS_LIMIT
"""Bytes that a note keeps while its schedule is paused."""

UNNAMED = "resumed"
"""The note of a resumed schedule that had none; the next sync writes its own."""


def paused_note(by: str, reason: str, note: str) -> str:
    """Return the note of a schedule that *by* pauses for *reason*; *note* is kept in it.

    At most `PATCH_NOTE_LIMIT` bytes: a note of ours is kept whole, longer ones are cut.

    >>> paused_note("alice", "freeze", "8 TRU for payroll")
    'Paused by alice: freeze | 8 TRU for payroll'
    """
    why = f": {reason}" if reason else ""
    words = f"{PREFIX}{by}{why}".replace(SEPARATOR, " / ").replace("\n", " ")
    kept = shortened(_before_pause(note), NOTE_ROOM)
    room = PATCH_NOTE_LIMIT - len(SEPARATOR) - len(kept.encode())
    return f"{shortened(words, room)}{SEPARATOR}{kept}"


def resumed_note(note: str) -> str:
    """Return the note that a schedule had before it was paused by us.

    Where that is lost, in part or whole, it says that the next sync may write its own.

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


def why_paused(note: str) -> str:
    """Return who paused a schedule and why, as its *note* says; all of a note that isn't ours.

    >>> why_paused("Paused by alice: freeze | 8 TRU for payroll")
    'Paused by alice: freeze'
    """
    return note.partition(SEPARATOR)[0] if note.startswith(PREFIX) else note


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
