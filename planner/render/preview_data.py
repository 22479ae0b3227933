"""A preview for programs: as JSON of format version 1, and as an iCalendar feed to subscribe to.

All times are in UTC: the feed holds what was expanded, so that no other program's reading of
a rule or of a clock change plays a part. It has an event for each occurrence.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from icalendar import vCategory, vText
from icalendar.parser import Contentline, Parameters

from planner.forecast.cost import Bill
from planner.forecast.preview import Preview
from planner.model import Occurrence
from planner.render import format as fmt
from workflows.contract import format_instant

FORMAT_VERSION = 1


def preview_json(shown: Preview) -> str:
    """Return *shown* as JSON, each item of a list on a line of its own.

    ``occurrences`` are those that start in ``[from, to)``; ``timeline`` holds the steps with
    an active window, cut to that span, and the baseline is in force wherever there is none.
    A ``tru`` of null is on-demand. ``fleets`` has the steps of each fleet of workers in which a
    window needs some: ``replicas`` is the least, its minimum wherever there is none. Everything
    is sorted. The amounts of ``bill`` are rounded to
    cents: those of months and namespaces are the Actions' own, and only ``total`` contains
    ``plan_charge``, which is null where the plan's price is agreed.
    """
    steps = (step for lane in shown.lanes for step in lane.steps if step.occurrences)
    document: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "from": format_instant(shown.horizon.start),
        "to": format_instant(shown.horizon.end),
        "occurrences": [_occurrence(occurrence) for occurrence in shown.starting],
        "timeline": [
            {
                "namespace": step.namespace,
                "start": format_instant(step.start),
                "end": format_instant(step.end),
                "tru": fmt.number(step.capacity.tru),
                "windows": list(step.windows),
            }
            for step in steps
        ],
        "fleets": [
            {
                "namespace": lane.calendar.namespace,
                "fleet": step.fleet.name,
                "start": format_instant(step.start),
                "end": format_instant(step.end),
                "replicas": step.replicas,
                "windows": list(step.floor.windows),
            }
            for lane in shown.lanes
            for fleet in lane.fleets
            for step in fleet
            if step.occurrences
        ],
        "bill": _bill(shown.bill),
        "warnings": [fmt.lint_value(lint) for lint in shown.warnings],
    }
    return fmt.document_by_lines(document, "occurrences", "timeline", "fleets", "warnings")


def _bill(bill: Bill) -> dict[str, Any]:
    plan = bill.prices.plan
    return {
        "from": format_instant(bill.horizon.start),
        "to": format_instant(bill.horizon.end),
        "currency": bill.currency,
        "plan": plan.name,
        "plan_assumed": bill.prices.is_assumed,
        "actions_price": round(bill.price, 2),
        "plan_charge": round(bill.plan_charge, 2) if plan.share else None,
        "total": round(bill.total, 2),
        "always_total": round(bill.always_total, 2),
        "months": [
            {
                "month": f"{line.month:%Y-%m}",
                "billed_hours": line.usage.billed_hours,
                "actions": line.usage.actions,
                "price": round(line.price, 2),
            }
            for line in bill.lines
        ],
        "namespaces": {each.namespace: round(each.price, 2) for each in bill.namespaces},
    }


def _occurrence(occurrence: Occurrence) -> dict[str, Any]:
    window = occurrence.window
    return {
        "namespace": window.namespace,
        "window": window.name,
        "start": format_instant(occurrence.start),
        "end": format_instant(occurrence.end),
        "fires": format_instant(occurrence.fires),
        "tru": occurrence.tru,
        "workers": dict(window.workers),
        "combine": occurrence.combine,
        "file": window.place.file,
        "line": window.place.line,
    }


STAMP = datetime(2026, 1, 1, tzinfo=UTC)
"""DTSTAMP of every event: fixed, so that equal calendars give equal feeds."""

INSTANT = "%Y%m%dT%H%M%SZ"
"""The format of a DATE-TIME value in UTC."""

PRODUCT = "-//calendar-boost-planner//preview//EN"

_ESCAPES = str.maketrans({"\\": r"\\", ";": r"\;", ",": r"\,", "\n": r"\n"})
"""What stands for the characters that a TEXT value can't contain (RFC 5545, section 3.3.11)."""

_CONTROLS = {code: "" for code in range(32) if chr(code) not in "\t\n"}
"""Control characters, which no TEXT value may contain (RFC 5545, section 3.3.11)."""


class _Text(vText):
    """A TEXT value as it is: vText takes a backslash before an N for a line end."""

    def to_ical(self) -> bytes:
        return str(self).translate(_ESCAPES).encode()


def preview_ics(shown: Preview) -> str:
    """Return the occurrences that start in the horizon as one VCALENDAR.

    A UID names the window and the times, so that an occurrence that moved is one gone and
    one new, and an unchanged one stays itself.
    """
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        f"PRODID:{PRODUCT}",
        "METHOD:PUBLISH",
        _text_line("X-WR-CALNAME", f"Capacity of {shown.project.name}"),
        *(line for occurrence in shown.starting for line in _event(occurrence)),
        "END:VCALENDAR",
    ]
    return "".join(f"{line}\r\n" for line in lines)


def _event(occurrence: Occurrence) -> Iterator[str]:
    """Yield the lines of one occurrence, shown as free: it occupies nobody's time.

    icalendar's types escape the values and its content lines fold them, once where events
    have them in common. Its component classes would do all of it for each event, and take
    several times as long for the tens of thousands of events of a year.
    """
    window = occurrence.window
    start, end = (f"{instant:{INSTANT}}" for instant in (occurrence.start, occurrence.end))
    digest = hashlib.sha256(f"{window.key}@{start}/{end}".encode()).hexdigest()[:32]
    parts = [window.description, *occurrence.notes]
    if window.tru:
        parts.append(f"Requested at {fmt.moment(occurrence.requests_tru, window.tz)}.")
    for fleet in window.fleets:
        when = fmt.moment(occurrence.start - fleet.lead, window.tz)
        parts.append(f"{fleet.name} workers requested at {when}.")
    parts += [
        f"Owner: {window.owner}" if window.owner else "",
        f"From {window.place.file}" if window.place.file else "",
    ]
    yield "BEGIN:VEVENT"
    yield f"UID:{digest}@calendar-boost-planner"
    yield f"DTSTAMP:{STAMP:{INSTANT}}"
    yield f"DTSTART:{start}"
    yield f"DTEND:{end}"
    yield _text_line("SUMMARY", f"{window.name}: {fmt.demand(window)} for {window.namespace}")
    yield _line("DESCRIPTION", _Text(_clean("\n".join(part for part in parts if part))))
    yield _categories(window.namespace, window.name)
    yield "TRANSP:TRANSPARENT"
    yield "END:VEVENT"


@lru_cache(maxsize=4096)
def _text_line(name: str, value: str) -> str:
    """Return the line of a TEXT property that many events have in common."""
    return _line(name, _Text(_clean(value)))


@lru_cache(maxsize=4096)
def _categories(*names: str) -> str:
    return _line("CATEGORIES", vCategory([_clean(name) for name in names]))


def _line(name: str, value: vText | vCategory) -> str:
    """Return a property as a folded content line, without its end."""
    line: bytes = Contentline.from_parts(name, Parameters(), value).to_ical()
    return line.decode()


def _clean(text: str) -> str:
    return text.translate(_CONTROLS)
