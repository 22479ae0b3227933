"""The note of a schedule that somebody paused: who and why, before the note it had."""

from __future__ import annotations

SEPARATOR = " | "
PREFIX = "Paused by "


def paused_note(by: str, reason: str, note: str) -> str:
    """Return the note of a schedule that *by* pauses for *reason*; *note* is kept in it.

    >>> paused_note("alice", "freeze", "8 TRU for payroll")
    'Paused by alice: freeze | 8 TRU for payroll'
    """
    why = f": {reason}" if reason else ""
    words = f"{PREFIX}{by}{why}".replace(SEPARATOR, " / ").replace("\n", " ")
    return f"{words}{SEPARATOR}{resumed_note(note)}"


def resumed_note(note: str) -> str:
    """Return the note that a schedule had before it was paused by us.

    >>> resumed_note("Paused by alice: freeze | 8 TRU for payroll")
    '8 TRU for payroll'
    """
    if not note.startswith(PREFIX) or SEPARATOR not in note:
        return note
    return note.partition(SEPARATOR)[2]


def why_paused(note: str) -> str:
    """Return who paused a schedule and why, as its *note* says; all of a note that isn't ours.

    >>> why_paused("Paused by alice: freeze | 8 TRU for payroll")
    'Paused by alice: freeze'
    """
    return note.partition(SEPARATOR)[0] if note.startswith(PREFIX) else note
