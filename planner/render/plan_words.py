"""What there is to say of a change and of a plan, wherever they are printed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from planner.diff import Change, Field, Plan
from planner.render.words import counted
from planner.spec import Schedule
from workflows.contract import to_wall

SIGNS = {
    "create": "+",
    "update": "~",
    "extend": ">",
    "adopt": "^",
    "delete": "-",
    "refused": "!",
    "unchanged": "=",
}

WORDS_SHOWN = 160
"""Characters of a field's value that are shown: a note can be long."""

_VERBS = {
    "create": "to create",
    "update": "to update",
    "extend": "to extend",
    "adopt": "to adopt",
    "delete": "to delete",
    "unchanged": "unchanged",
    "refused": "refused",
}


@dataclass(frozen=True, slots=True)
class Section:
    """What else belongs in a plan, such as the difference of the bill: plain lines."""

    title: str
    lines: tuple[str, ...]


def summary_sentence(plan: Plan) -> str:
    """Return what the plan comes to, in one sentence; what is nought goes unsaid."""
    if not plan.pending:
        return f"Nothing to do: {counted(plan.unchanged, 'schedule')} as the files have it."
    parts = [f"{count:,} {_VERBS[what]}" for what, count in plan.summary.items() if count]
    return f"Plan for {plan.project}: {', '.join(parts)}. Checksum {plan.checksum}."


def reason_of(change: Change) -> str:
    """Return why a change is made, or why it is held back."""
    return f"{change.action} held back: {change.refusal}" if change.refusal else change.reason


def details(change: Change) -> Iterator[str]:
    """Yield what more there is to say of *change*: fields, occurrences, boosts, remarks."""
    if change.action == "create" and change.desired:
        yield _demand(change.desired)
    yield from map(field_words, change.fields)
    yield from _occurrences(change)
    yield from _running(change)
    yield from change.remarks


def field_words(field: Field) -> str:
    """Return a field that differs: ``until 06:00 → 07:00 (from 2027-01-29)``."""
    since = f" (from {field.since})" if field.since else ""
    return f"{field.name} {_short(field.before)} → {_short(field.after)}{since}"


def _demand(schedule: Schedule) -> str:
    request = schedule.request
    how = " on top of others" if request.combine == "add" else ""
    why = f": {request.reason}" if request.reason else ""
    return f"{request.tru} TRU{how}{why}{', paused' if schedule.paused else ''}"


def _occurrences(change: Change) -> Iterator[str]:
    """Yield the next occurrences; before and after where they differ."""
    tz = _zone(change)
    if change.action in ("create", "delete"):
        yield f"next {_spans(change.after or change.before, tz)}"
    elif change.action in ("update", "adopt") and change.before != change.after:
        yield f"next {_spans(change.before, tz)}"
        yield f"  →  {_spans(change.after, tz)}"
    elif change.action == "update":
        yield f"next {_spans(change.after, tz)}, as before"


def _running(change: Change) -> Iterator[str]:
    """Yield what becomes of the boosts that run now."""
    for boost in change.running:
        until = f"{boost.end:%Y-%m-%d %H:%M}Z"
        if change.follow:
            yield f"running now: {boost.tru} TRU until {until}; it follows the change"
        else:
            yield (
                f"running now: {boost.tru} TRU until {until}; it keeps what it was granted "
                "(--in-flight follow changes it too)"
            )


def _zone(change: Change) -> ZoneInfo:
    """Return the zone whose wall clock the window is written in."""
    schedule = change.desired or (change.live and change.live.schedule)
    return ZoneInfo(schedule.request.timezone if schedule else "UTC")


def _spans(spans: tuple[tuple[datetime, datetime], ...], tz: ZoneInfo) -> str:
    if not spans:
        return "none"
    return f"{', '.join(_span(start, end, tz) for start, end in spans)} {tz.key}"


def _span(start: datetime, end: datetime, tz: ZoneInfo) -> str:
    here, there = to_wall(start, tz), to_wall(end, tz)
    days = (there.date() - here.date()).days
    return f"{here:%Y-%m-%d %H:%M}–{there:%H:%M}{f'+{days}' if days else ''}"


def _short(words: str) -> str:
    return words if len(words) <= WORDS_SHOWN else f"{words[: WORDS_SHOWN - 1]}…"
