"""An explanation as text of 80 columns."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

from planner.forecast.explain import Absence, Claim, Explanation, because
from planner.forecast.timeline import Step
from planner.model import (
    BusinessDays,
    Cron,
    Dates,
    Ical,
    Occurrence,
    Recurrence,
    Rrule,
    Window,
)
from planner.render import format as fmt
from planner.render.preview_json import number
from workflows.contract import format_instant

WIDTH = 80


def explain_text(explained: Explanation, window: str = "") -> str:
    """Return *explained* for people; with *window* the lists hold that one alone.

    Args:
        explained: What is to be told.
        window: A window's name, or its name in full; empty for all of them.
    """
    claims = [claim for claim in explained.claims if is_meant(claim.run.window, window)]
    absences = [absence for absence in explained.absences if is_meant(absence.window, window)]
    lines = [*_now(explained), *_next(explained)]
    if claims:
        lines += ["", "Windows that make it so"]
    for claim in claims:
        lines += _claim(claim)
    if absences:
        lines += ["", "Windows that do not run now"]
    for absence in absences:
        lines += _absence(absence)
    return "\n".join(lines) + "\n"


def is_meant(window: Window, name: str) -> bool:
    """Tell whether *name* means *window*: by its name alone or in full; empty means any."""
    return not name or name in (window.name, window.key)


def _now(explained: Explanation) -> Iterator[str]:
    """Yield the capacity, and by which rules it comes about."""
    calendar = explained.calendar
    tz = ZoneInfo(calendar.timezone)
    title = f"{calendar.namespace} at {fmt.moment(explained.at, tz)}"
    yield title
    yield "=" * min(len(title), WIDTH)
    yield from _wrapped(f"{explained.asked.capacity}: {'; '.join(because(explained.asked))}.")
    if explained.asked.capacity != explained.promised.capacity:
        yield from _wrapped(
            f"It is being made ready: {explained.promised.capacity} is what open windows need."
        )
    if calendar.baseline is None:
        yield from _wrapped(
            "No baseline is declared: what is in force before the first boost is restored; "
            "on-demand is taken for it here."
        )


def _next(explained: Explanation) -> Iterator[str]:
    """Yield the next transition."""
    step = explained.until
    if step is None:
        yield "Nothing changes in the 400 days after it."
        return
    tz = ZoneInfo(explained.calendar.timezone)
    why = "; ".join(because(step))
    yield from _wrapped(f"Next: {step.capacity} from {fmt.moment(step.start, tz)}: {why}.")


def _claim(claim: Claim) -> Iterator[str]:
    """Yield a window that counts: its run, its rule, its firing, and what moved it."""
    run, window = claim.run, claim.run.window
    state = "" if claim.is_open else ", asked for and not open yet"
    yield f"  {window.name}: {fmt.demand(run)}{state}"
    yield from _points(_span(run))
    yield from _points(f"rule: {rule_words(window)}{_place(window)}")
    yield from _points(_firing(run))
    for note in run.notes:
        yield from _points(note)
    if window.description:
        yield from _points(window.description)


def _absence(absence: Absence) -> Iterator[str]:
    """Yield a window that does not count: why not, and when it does."""
    window = absence.window
    yield f"  {window.name}: {window.tru} TRU when it runs"
    if window.paused:
        yield from _points(f"paused in the file{_place(window)}: its schedule never fires")
    for run in absence.story.runs:
        yield from _points(f"on this day it runs {_span(run)}")
    for reason in absence.story.reasons:
        yield from _points(reason)
    yield from _points(f"rule: {rule_words(window)}{_place(window)}")
    told = any("next run" in reason for reason in absence.story.reasons)
    if absence.following and not told and absence.following not in absence.story.runs:
        yield from _points(f"next run: {_span(absence.following)}")


def _span(run: Occurrence) -> str:
    tz = run.window.tz
    elapsed = fmt.length(run.end - run.start)
    return f"{fmt.day(run.start, tz)}, {fmt.local_span(run.start, run.end, tz)} ({elapsed})"


def _firing(run: Occurrence) -> str:
    """Say when the schedule fires, and why then."""
    window = run.window
    jitter = f" and up to {fmt.length(window.jitter)} of jitter" if window.jitter else ""
    when = fmt.moment(run.fires, window.tz)
    return f"its schedule fires {when}: {fmt.length(window.lead)} of lead{jitter}"


def _place(window: Window) -> str:
    return f" ({window.place.file}:{window.place.line})" if window.place.file else ""


def rule_words(window: Window) -> str:
    """Return by what rule a window runs, in the calendar file's own words."""
    parts = [_recurrence(window.recurrence)]
    if window.roll != "none":
        parts.append(f"roll: {window.roll}")
    skipped = [name for name in ("weekends", "holidays") if getattr(window.skip, name)]
    skipped += [str(day) for day in window.skip.days]
    skipped += [file.path for file in window.skip.calendars]
    if skipped:
        parts.append(f"skip: {', '.join(skipped)}")
    parts += [f"from: {window.not_before}"] if window.not_before else []
    parts += [f"to: {window.not_after}"] if window.not_after else []
    return f"{', '.join(parts)}, in {window.timezone}"


def _recurrence(recurrence: Recurrence) -> str:
    match recurrence:
        case Cron(expressions, day_match):
            matched = f", day_match: {day_match}" if day_match else ""
            return f"cron: {' and '.join(expressions)}{matched}"
        case Rrule(rule, start):
            return f"rrule: {rule} from {start:%Y-%m-%d %H:%M}"
        case Ical(file):
            return f"ical: {file.path}"
        case BusinessDays(ordinals, at):
            return f"business_days: {', '.join(map(str, ordinals))} at {at:%H:%M}"
        case Dates(spans):
            return f"dates: {fmt.counted(len(spans), 'date')}"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH)


def _points(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="    - ", subsequent_indent="      ")


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
        *(_claim_value(claim) for claim in explained.claims if is_meant(claim.run.window, window)),
        *(_absence_value(each) for each in explained.absences if is_meant(each.window, window)),
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
        "now": _step_value(explained.asked),
        "promised_tru": number(explained.promised.capacity.tru),
        "next": _next_value(explained.until) if explained.until else None,
        "windows": found,
    }
    return json.dumps(document, indent=2)


def _step_value(step: Step) -> dict[str, Any]:
    """Return a capacity, and by which rules it comes about."""
    return {
        "tru": number(step.capacity.tru),
        "asked_tru": step.target.asked,
        "falls_short": step.target.falls_short,
        "reasons": list(because(step)),
    }


def _next_value(step: Step) -> dict[str, Any]:
    """Return what comes after, and when."""
    return {"at": format_instant(step.start), **_step_value(step)}


def _claim_value(claim: Claim) -> dict[str, Any]:
    """Return a window that counts."""
    run = claim.run
    return {
        **_window_value(run.window),
        "state": "open" if claim.is_open else "ahead",
        "run": _run_value(run),
        "reasons": list(run.notes),
        "runs_on_day": [],
        "next": None,
    }


def _absence_value(absence: Absence) -> dict[str, Any]:
    """Return a window that doesn't count: why not, what else it does that day, what follows."""
    return {
        **_window_value(absence.window),
        "state": "paused" if absence.window.paused else "closed",
        "run": None,
        "reasons": list(absence.story.reasons),
        "runs_on_day": [_run_value(run) for run in absence.story.runs],
        "next": _run_value(absence.following) if absence.following else None,
    }


def _window_value(window: Window) -> dict[str, Any]:
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


def _run_value(run: Occurrence) -> dict[str, Any]:
    return {
        "start": format_instant(run.start),
        "end": format_instant(run.end),
        "fires": format_instant(run.fires),
        "notes": list(run.notes),
    }
