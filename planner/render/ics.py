"""A preview as an iCalendar feed that people subscribe to: an event a run.

RFC 5545. Every event has plain UTC times: a feed is what was expanded, so no reader's own
idea of a rule or of a clock change comes into it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime

from planner.forecast.preview import Preview
from planner.forecast.timeline import OCCURRENCE_ORDER
from planner.model import Occurrence
from planner.render import format as fmt

LINE_OCTETS = 75
"""A content line is folded when it is longer than this (RFC 5545, section 3.1)."""

STAMP = datetime(2026, 1, 1, tzinfo=UTC)
"""DTSTAMP of every event: a fixed one, so that equal calendars give equal feeds."""

PRODUCT = "-//calendar-boost-planner//preview//EN"

_ESCAPES: dict[int, str] = {
    **{code: "" for code in range(32) if chr(code) != "\t"},
    **str.maketrans({"\\": "\\\\", ";": "\\;", ",": "\\,", "\n": "\\n"}),
}
"""What each sign of a TEXT value becomes: other control characters are left out."""


def preview_ics(shown: Preview) -> str:
    """Return the runs that start in the horizon as one VCALENDAR, CRLF and folded.

    An event's UID names the window and the start, so that a subscriber sees a run that
    moved as one gone and one new, and an unchanged one as itself.
    """
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        f"PRODID:{PRODUCT}",
        "METHOD:PUBLISH",
        f"X-WR-CALNAME:{_text(f'Capacity of {shown.project.name}')}",
    ]
    runs = (run for lane in shown.lanes for run in lane.occurrences if run.start in shown.horizon)
    for run in sorted(runs, key=OCCURRENCE_ORDER):
        lines += _event(run)
    lines.append("END:VCALENDAR")
    return "".join(f"{folded}\r\n" for line in lines for folded in _folded(line))


def _event(run: Occurrence) -> list[str]:
    """Return the lines of one run; it is shown as free, for it occupies nobody."""
    window = run.window
    return [
        "BEGIN:VEVENT",
        f"UID:{_uid(run)}",
        f"DTSTAMP:{_instant(STAMP)}",
        f"DTSTART:{_instant(run.start)}",
        f"DTEND:{_instant(run.end)}",
        f"SUMMARY:{_text(f'{window.name}: {fmt.demand(run)} for {window.namespace}')}",
        f"DESCRIPTION:{_text(_description(run))}",
        f"CATEGORIES:{_text(window.namespace)},{_text(window.name)}",
        "TRANSP:TRANSPARENT",
        "END:VEVENT",
    ]


def _uid(run: Occurrence) -> str:
    """Return a name for a run that no other run of any window has."""
    named = f"{run.window.key}@{_instant(run.start)}/{_instant(run.end)}"
    return f"{hashlib.sha256(named.encode()).hexdigest()[:32]}@calendar-boost-planner"


def _description(run: Occurrence) -> str:
    window = run.window
    parts = [window.description, *run.notes]
    parts.append(f"Asked for at {fmt.moment(run.fires, window.tz)}.")
    if window.owner:
        parts.append(f"Owner: {window.owner}")
    if window.place.file:
        parts.append(f"From {window.place.file}")
    return "\n".join(part for part in parts if part)


def _instant(instant: datetime) -> str:
    wall = instant.astimezone(UTC).isoformat(timespec="seconds")[:19]
    return f"{wall.replace('-', '').replace(':', '')}Z"


def _text(text: str) -> str:
    """Return *text* escaped as a TEXT value (RFC 5545, section 3.3.11)."""
    return text.translate(_ESCAPES)


def _folded(line: str) -> Iterator[str]:
    """Yield *line* in pieces of `LINE_OCTETS` octets, never inside a character."""
    if len(line) <= LINE_OCTETS and line.isascii():
        yield line
        return
    piece, octets = "", 0
    for sign in line:
        size = len(sign.encode())
        if octets + size > LINE_OCTETS:
            yield piece
            piece, octets = " ", 1
        piece += sign
        octets += size
    yield piece
