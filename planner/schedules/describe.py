"""The texts of a schedule that people read in the Temporal UI."""

from __future__ import annotations

from datetime import datetime

from planner.config.scalars import MONTHS
from planner.model import (
    BusinessDays,
    Cron,
    Dates,
    Duration,
    Ical,
    IcalMatch,
    Length,
    Recurrence,
    Rrule,
    Span,
    Window,
)
from planner.schedules.spec import CUT, shortened
from workflows.contract import Until, format_duration

SUMMARY_LIMIT = 200
"""Bytes that the server allows in a workflow's static summary."""

NOTE_LIMIT = 800
"""Bytes of a note: an operator who pauses the schedule puts words before it, and the server
allows both together 1,000."""

_DESCRIPTION_LIMIT = 200
_RULE_LIMIT = 200
_OWNER_LIMIT = 60
_FILE_LIMIT = 120

_SHOWN_DATES = 3


def note_of(window: Window) -> str:
    """Return the note of a window's schedule: demand, description, rule, owner, file.

    Without line or commit, which would change with every other edit of the file. At most
    `NOTE_LIMIT` bytes: each part that is too long is cut by itself.
    """
    demand = f"{window.tru} TRU for {window.namespace}"
    described = shortened(window.description.strip().rstrip("."), _DESCRIPTION_LIMIT)
    file = window.place.file
    sentences = [
        f"{demand}: {described}" if described else demand,
        f"{shortened(rule_of(window), _RULE_LIMIT)}{_readiness(window)}",
        "Comes on top of what else runs" if window.combine == "add" else "",
        f"Owner: {shortened(window.owner, _OWNER_LIMIT)}" if window.owner else "",
        f"From {_end_of(file, _FILE_LIMIT)}; change it there" if file else "",
    ]
    return " ".join(f"{sentence}." for sentence in sentences if sentence)


def _end_of(path: str, limit: int) -> str:
    """Return *path* in at most *limit* bytes: a long one without its first directories."""
    if len(path.encode()) <= limit:
        return path
    return CUT + path.encode()[len(CUT.encode()) - limit :].decode(errors="ignore")


def summary_of(window: Window) -> str:
    """Return the static summary of the workflows that a window's schedule starts."""
    length = f" {words}" if (words := _length(window.length)) else ""
    text = f"{window.name}: {window.tru} TRU for {window.namespace}{length}"
    return text.encode()[:SUMMARY_LIMIT].decode(errors="ignore")


def rule_of(window: Window) -> str:
    """Return the rule by which *window* runs, in the words of its file."""
    parts = [
        _recurrence(window.recurrence),
        f"roll {window.roll}" if window.roll != "none" else "",
        _skipped(window),
        _bounds(window),
    ]
    length = f" {words}" if (words := _length(window.length)) else ""
    return f"{', '.join(part for part in parts if part)}{length} {window.timezone}"


def _recurrence(recurrence: Recurrence) -> str:
    match recurrence:
        case Cron(expressions, day_match):
            match_words = f" (day_match {day_match})" if day_match else ""
            return f"cron {' and '.join(expressions)}{match_words}"
        case Rrule(rule, start):
            return f"rrule {rule} from {_wall(start)}"
        case Ical(file, match):
            return f"events of {file.path}{_matching(match)}"
        case BusinessDays(ordinals, at, months):
            names = ", ".join(MONTHS[month - 1][:3] for month in months)
            of_months = f" in {names}" if len(months) < 12 else ""
            return f"business_days {', '.join(map(str, ordinals))}{of_months} at {at:%H:%M}"
        case Dates(spans):
            return _dates(spans)


def _dates(spans: tuple[Span, ...]) -> str:
    shown = [
        f"{_wall(span.start)} to {_wall(span.end)}" if span.end else _wall(span.start)
        for span in spans[:_SHOWN_DATES]
    ]
    more = f" and {len(spans) - _SHOWN_DATES} more" if len(spans) > _SHOWN_DATES else ""
    return f"dates {', '.join(shown)}{more}"


def _matching(match: IcalMatch) -> str:
    conditions = [
        f"{name} {value}"
        for name, value in (
            ("summary", match.summary),
            ("category", match.category),
            ("uid", match.uid),
        )
        if value
    ]
    conditions += ["transparent ones too"] if match.transparent else []
    return f" with {', '.join(conditions)}" if conditions else ""


def _skipped(window: Window) -> str:
    skip = window.skip
    skipped = [
        *(["weekends"] if skip.weekends else []),
        *(["holidays"] if skip.holidays else []),
        *(day.isoformat() for day in skip.days[:_SHOWN_DATES]),
        *([f"{len(skip.days) - _SHOWN_DATES} more days"] if len(skip.days) > _SHOWN_DATES else []),
        *(file.path for file in skip.calendars),
    ]
    return f"skip {', '.join(skipped)}" if skipped else ""


def _bounds(window: Window) -> str:
    bounds = [("from", window.not_before), ("to", window.not_after)]
    return " ".join(f"{word} {day}" for word, day in bounds if day)


def _length(length: Length | None) -> str:
    match length:
        case Duration(elapsed):
            return f"for {format_duration(elapsed)}"
        case Until(None, _, days):
            return f"for {_days(days)} by the clock"
        case Until(wall, None, days) if days:
            return f"until {wall:%H:%M} {_days(days)} later"
        case Until():
            return f"until {length}"
    return ""


def _days(count: int) -> str:
    return f"{count} day{'' if count == 1 else 's'}"


def _readiness(window: Window) -> str:
    jitter = f", jitter {format_duration(window.jitter)}" if window.jitter else ""
    return f", ready {format_duration(window.lead)} before{jitter}" if window.lead or jitter else ""


def _wall(wall: datetime) -> str:
    return f"{wall:%Y-%m-%d %H:%M}"
