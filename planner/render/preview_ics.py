"""A preview as an iCalendar feed to subscribe to: an event for each occurrence.

All times are in UTC: the feed holds what was expanded, so that no other program's reading of
a rule or of a clock change plays a part.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from icalendar import Calendar, Event

from planner.forecast.preview import Preview
from planner.model import Occurrence
from planner.render import format as fmt

STAMP = datetime(2026, 1, 1, tzinfo=UTC)
"""DTSTAMP of every event: fixed, so that equal calendars give equal feeds."""

PRODUCT = "-//calendar-boost-planner//preview//EN"

_CONTROLS = {code: "" for code in range(32) if chr(code) not in "\t\n"}
"""Control characters, which no TEXT value may contain (RFC 5545, section 3.3.11)."""


def preview_ics(shown: Preview) -> str:
    """Return the occurrences that start in the horizon as one VCALENDAR.

    A UID names the window and the times, so that an occurrence that moved is one gone and
    one new, and an unchanged one stays itself.
    """
    calendar = Calendar()
    calendar.add("VERSION", "2.0")
    calendar.add("PRODID", PRODUCT)
    calendar.add("METHOD", "PUBLISH")
    calendar.add("X-WR-CALNAME", _clean(f"Capacity of {shown.project.name}"))
    for occurrence in shown.starting:
        calendar.add_component(_event(occurrence))
    text: bytes = calendar.to_ical(sorted=False)
    return text.decode()


def _event(occurrence: Occurrence) -> Event:
    """Return one occurrence, shown as free: it occupies nobody's time."""
    window = occurrence.window
    start, end = occurrence.start.replace(microsecond=0), occurrence.end.replace(microsecond=0)
    named = f"{window.key}@{start:%Y%m%dT%H%M%SZ}/{end:%Y%m%dT%H%M%SZ}"
    parts = [
        window.description,
        *occurrence.notes,
        f"Requested at {fmt.moment(occurrence.fires, window.tz)}.",
        f"Owner: {window.owner}" if window.owner else "",
        f"From {window.place.file}" if window.place.file else "",
    ]
    event = Event()
    event.add("UID", f"{hashlib.sha256(named.encode()).hexdigest()[:32]}@calendar-boost-planner")
    event.add("DTSTAMP", STAMP)
    event.add("DTSTART", start)
    event.add("DTEND", end)
    event.add("SUMMARY", _clean(f"{window.name}: {fmt.demand(window)} for {window.namespace}"))
    event.add("DESCRIPTION", _clean("\n".join(part for part in parts if part)))
    event.add("CATEGORIES", [_clean(window.namespace), _clean(window.name)])
    event.add("TRANSP", "TRANSPARENT")
    return event


def _clean(text: str) -> str:
    return text.translate(_CONTROLS)
