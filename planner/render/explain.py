"""An explanation as text of 80 columns, and as JSON of format version 1."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

from planner.forecast.explain import (
    ActiveWindow,
    Explanation,
    InactiveWindow,
    fleet_reasons,
    reasons_of,
)
from planner.forecast.timeline import FleetStep, Step
from planner.model import Occurrence, Window, demand_words
from planner.render import format as fmt
from planner.schedules.compile import rule_of
from workflows.contract import format_duration, format_instant

WIDTH = 80
FORMAT_VERSION = 1


def explain_text(explained: Explanation, window: str = "") -> str:
    """Return *explained* as text, with *window* (name or full name) about that one alone."""
    active, inactive = _chosen(explained, window)
    lines = list(_now(explained))
    if active:
        lines += ["", "Windows that make it so"]
    for each in active:
        lines += _active(each)
    if inactive:
        lines += ["", "Windows that do not run now"]
    for absent in inactive:
        lines += _inactive(absent)
    return "\n".join(lines) + "\n"


def _chosen(explained: Explanation, name: str) -> tuple[list[ActiveWindow], list[InactiveWindow]]:
    """Return the windows called *name*, by name or full name; all of them if it is empty."""
    return (
        [each for each in explained.active if _is_called(each.occurrence.window, name)],
        [each for each in explained.inactive if _is_called(each.window, name)],
    )


def _is_called(window: Window, name: str) -> bool:
    return not name or name in (window.name, window.key)


# Text --------------------------------------------------------------------------------------


def _now(explained: Explanation) -> Iterator[str]:
    """Yield the capacity, the rules that lead to it, and its next change."""
    calendar, requested = explained.calendar, explained.requested
    tz = ZoneInfo(calendar.timezone)
    title = f"{calendar.namespace} at {fmt.moment(explained.at, tz)}"
    yield title
    yield "=" * min(len(title), WIDTH)
    yield from _wrapped(f"{requested.capacity}: {'; '.join(reasons_of(requested))}.")
    if requested.capacity != explained.promised.capacity:
        yield from _wrapped(
            f"It is being made ready: {explained.promised.capacity} is what open windows need."
        )
    if calendar.baseline is None:
        yield from _wrapped(
            "No baseline is declared: what is in force before the first boost is restored; "
            "on-demand is assumed here."
        )
    for now, _ in explained.fleets:
        why = "; ".join(fleet_reasons(now))
        yield from _wrapped(f"At least {now.replicas:,} {now.fleet.name} workers: {why}.")
    changes = [(one.replicas, one) for _, one in explained.fleets if one]
    step = explained.next_step
    if step is None and not changes:
        yield "Nothing changes in the 400 days after it."
    if step:
        why = "; ".join(reasons_of(step))
        yield from _wrapped(f"Next: {step.capacity} from {fmt.moment(step.start, tz)}: {why}.")
    for replicas, one in changes:
        words = f"at least {replicas:,} {one.fleet.name} workers from"
        why = "; ".join(fleet_reasons(one))
        yield from _wrapped(f"Next: {words} {fmt.moment(one.start, tz)}: {why}.")


def _active(active: ActiveWindow) -> Iterator[str]:
    """Yield an active window: its occurrence, its rule, its firing, and what moved it."""
    occurrence, window = active.occurrence, active.occurrence.window
    state = "" if active.is_open else ", requested and not open yet"
    yield f"  {window.name}: {fmt.demand(window)}{state}"
    yield from _points(_span(occurrence))
    yield from _points(f"rule: {rule_of(window)}{_place(window)}")
    jitter = f" and up to {format_duration(window.jitter)} of jitter" if window.jitter else ""
    yield from _points(
        f"its schedule fires {fmt.moment(occurrence.fires, window.tz)}: "
        f"{format_duration(window.ahead - window.jitter)} of lead{jitter}"
    )
    for request in fmt.requests(occurrence) if window.fleets else ():
        yield from _points(request)
    for note in occurrence.notes:
        yield from _points(note)
    if window.description:
        yield from _points(window.description)


def _inactive(inactive: InactiveWindow) -> Iterator[str]:
    """Yield an inactive window: why it doesn't run, and when it does."""
    window, story, following = inactive.window, inactive.story, inactive.next_occurrence
    yield f"  {window.name}: {demand_words(window.tru, window.workers)} when it runs"
    if window.paused:
        yield from _points(f"paused in the file{_place(window)}: its schedule never fires")
    for occurrence in story.runs:
        yield from _points(f"on this day it runs {_span(occurrence)}")
    for reason in story.reasons:
        yield from _points(reason)
    yield from _points(f"rule: {rule_of(window)}{_place(window)}")
    is_mentioned = any("next run" in reason for reason in story.reasons)
    if following and not is_mentioned and following not in story.runs:
        yield from _points(f"next run: {_span(following)}")


def _span(occurrence: Occurrence) -> str:
    tz = occurrence.window.tz
    elapsed = format_duration(occurrence.end - occurrence.start)
    local = fmt.local_span(occurrence.start, occurrence.end, tz)
    return f"{fmt.day(occurrence.start, tz)}, {local} ({elapsed})"


def _place(window: Window) -> str:
    return f" ({window.place.file}:{window.place.line})" if window.place.file else ""


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH)


def _points(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="    - ", subsequent_indent="      ")


# JSON --------------------------------------------------------------------------------------


def explain_json(explained: Explanation, window: str = "") -> str:
    """Return *explained* as JSON, with *window* (name or full name) about that one alone.

    ``now`` counts windows whose schedule has fired, ``promised_tru`` open windows only;
    ``next`` is the next change of ``now``, null without one in the 400 days after. A ``tru``
    of null is on-demand. ``fleets`` has the least replicas of each fleet of workers, likewise.
    ``windows`` has every window in one of these states:

    - ``open``: its occurrence is under way.
    - ``ahead``: its schedule has fired, its start is still ahead.
    - ``closed``: it doesn't run; ``reasons`` say why not.
    - ``paused``: it is paused in the file, so that its schedule never fires.
    """
    calendar, following = explained.calendar, explained.next_step
    active, inactive = _chosen(explained, window)
    document = {
        "format_version": FORMAT_VERSION,
        "namespace": calendar.namespace,
        "timezone": calendar.timezone,
        "at": format_instant(explained.at),
        "baseline": {
            "tru": fmt.number(calendar.baseline.tru if calendar.baseline else None),
            "declared": calendar.baseline is not None,
        },
        "now": _step_value(explained.requested),
        "promised_tru": fmt.number(explained.promised.capacity.tru),
        "next": {"at": format_instant(following.start), **_step_value(following)}
        if following
        else None,
        "fleets": [_fleet_value(now, after) for now, after in explained.fleets],
        "windows": [*map(_active_value, active), *map(_inactive_value, inactive)],
    }
    return json.dumps(document, indent=2)


def _fleet_value(now: FleetStep, after: FleetStep | None) -> dict[str, Any]:
    return {
        "fleet": now.fleet.name,
        **_floor_value(now),
        "next": {"at": format_instant(after.start), **_floor_value(after)} if after else None,
    }


def _floor_value(step: FleetStep) -> dict[str, Any]:
    return {
        "replicas": step.replicas,
        "asked_replicas": step.floor.requested,
        "falls_short": step.floor.falls_short,
        "reasons": list(fleet_reasons(step)),
    }


def _step_value(step: Step) -> dict[str, Any]:
    return {
        "tru": fmt.number(step.capacity.tru),
        "asked_tru": step.target.requested,
        "falls_short": step.target.falls_short,
        "reasons": list(reasons_of(step)),
    }


def _active_value(active: ActiveWindow) -> dict[str, Any]:
    occurrence = active.occurrence
    return {
        **_window_value(occurrence.window),
        "state": "open" if active.is_open else "ahead",
        "run": _occurrence_value(occurrence),
        "reasons": list(occurrence.notes),
        "runs_on_day": [],
        "next": None,
    }


def _inactive_value(inactive: InactiveWindow) -> dict[str, Any]:
    following = inactive.next_occurrence
    return {
        **_window_value(inactive.window),
        "state": "paused" if inactive.window.paused else "closed",
        "run": None,
        "reasons": list(inactive.story.reasons),
        "runs_on_day": [_occurrence_value(each) for each in inactive.story.runs],
        "next": _occurrence_value(following) if following else None,
    }


def _window_value(window: Window) -> dict[str, Any]:
    return {
        "window": window.name,
        "tru": window.tru,
        "workers": dict(window.workers),
        "combine": window.combine,
        "rule": rule_of(window),
        "description": window.description,
        "file": window.place.file,
        "line": window.place.line,
    }


def _occurrence_value(occurrence: Occurrence) -> dict[str, Any]:
    return {
        "start": format_instant(occurrence.start),
        "end": format_instant(occurrence.end),
        "fires": format_instant(occurrence.fires),
        "notes": list(occurrence.notes),
    }
