"""An explanation as JSON, for programs: the format of version 1."""

from __future__ import annotations

import json
from typing import Any

from planner.explain import Absence, Claim, Explanation, because
from planner.model import Occurrence, Window
from planner.render.explain_text import is_meant, rule_words
from planner.render.preview_json import number
from planner.timeline import Step
from workflows.contract import format_instant

FORMAT_VERSION = 1


def explain_json(explained: Explanation, window: str = "") -> str:
    """Return *explained* as one JSON document; with *window* it tells of that one alone.

    ``now`` is what the schedules have asked for by then, ``promised_tru`` what open windows
    need; ``next`` is the next change of it, null if there is none in the 400 days after. A
    ``tru`` of null means on-demand. ``windows`` has every window in one of these states:

    - ``open``: its run is under way.
    - ``ahead``: its schedule has fired, its start is still ahead.
    - ``closed``: it doesn't run; ``reasons`` say why not.
    - ``paused``: it is paused in the file, so that its schedule never fires.

    Args:
        explained: What is to be told.
        window: A window's name, or its name in full; empty for all of them.
    """
    calendar = explained.calendar
    found = [
        *(_claim(claim) for claim in explained.claims if is_meant(claim.run.window, window)),
        *(_absence(each) for each in explained.absences if is_meant(each.window, window)),
    ]
    document = {
        "format_version": FORMAT_VERSION,
        "namespace": calendar.namespace,
        "timezone": calendar.timezone,
        "at": format_instant(explained.at),
        "baseline": {
            "tru": number(calendar.baseline.tru if calendar.baseline else None),
            "declared": calendar.baseline is not None,
        },
        "now": _step(explained.asked),
        "promised_tru": number(explained.promised.capacity.tru),
        "next": _next(explained.until) if explained.until else None,
        "windows": found,
    }
    return json.dumps(document, indent=2)


def _step(step: Step) -> dict[str, Any]:
    """Return a capacity, and by which rules it comes about."""
    return {
        "tru": number(step.capacity.tru),
        "asked_tru": step.target.asked,
        "falls_short": step.target.falls_short,
        "reasons": list(because(step)),
    }


def _next(step: Step) -> dict[str, Any]:
    """Return what comes after, and when."""
    return {"at": format_instant(step.start), **_step(step)}


def _claim(claim: Claim) -> dict[str, Any]:
    """Return a window that counts."""
    run = claim.run
    return {
        **_window(run.window),
        "state": "open" if claim.is_open else "ahead",
        "run": _run(run),
        "reasons": list(run.notes),
        "runs_on_day": [],
        "next": None,
    }


def _absence(absence: Absence) -> dict[str, Any]:
    """Return a window that doesn't count: why not, what else it does that day, what follows."""
    return {
        **_window(absence.window),
        "state": "paused" if absence.window.paused else "closed",
        "run": None,
        "reasons": list(absence.story.reasons),
        "runs_on_day": [_run(run) for run in absence.story.runs],
        "next": _run(absence.following) if absence.following else None,
    }


def _window(window: Window) -> dict[str, Any]:
    """Return what a window asks for, by what rule, and where that is written."""
    return {
        "window": window.name,
        "tru": window.tru,
        "combine": window.combine,
        "rule": rule_words(window),
        "description": window.description,
        "file": window.place.file,
        "line": window.place.line,
    }


def _run(run: Occurrence) -> dict[str, Any]:
    return {
        "start": format_instant(run.start),
        "end": format_instant(run.end),
        "fires": format_instant(run.fires),
        "notes": list(run.notes),
    }
