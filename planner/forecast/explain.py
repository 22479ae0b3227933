"""Why the capacity of a namespace is what it is at an instant, and what comes next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from planner.forecast.timeline import Step, combine_steps, running
from planner.model import Horizon, NamespaceCalendar, Occurrence, Window
from planner.occurrences.explain import DayStory, explain_day
from workflows.contract import to_wall

LOOKAHEAD = timedelta(days=400)
"""How far the next transition is looked for: whatever recurs within a year is found."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A window that counts at the instant: its run, and whether it is open yet.

    *is_open* is False in the lead: it was asked for, and its start is still ahead.
    """

    run: Occurrence
    is_open: bool


@dataclass(frozen=True, slots=True)
class Absence:
    """A window without a run at the instant: why, and its next run if there is one.

    *story* is that of the local day: runs at other times of it, or why there is none.
    """

    window: Window
    story: DayStory
    following: Occurrence | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is in force at *at*, by which windows, and when that changes.

    *promised* counts open windows only; *asked* counts what schedules have asked for by
    then, so also windows whose lead has begun. *until* is the next step of what is asked
    for; None if nothing changes within `LOOKAHEAD`.
    """

    calendar: NamespaceCalendar
    at: datetime
    promised: Step
    asked: Step
    claims: tuple[Claim, ...]
    absences: tuple[Absence, ...]
    until: Step | None


def explain(calendar: NamespaceCalendar, at: datetime) -> Explanation:
    """Return why the capacity of a namespace is what it is at *at*, by its calendar."""
    horizon = Horizon(at, at + LOOKAHEAD)
    ahead = running(calendar.windows, horizon, "asked")
    asked = combine_steps(calendar, ahead, horizon, "asked")
    now = asked[0]
    promised = combine_steps(calendar, now.claims, horizon, "promised")
    return Explanation(
        calendar,
        at,
        promised[0],
        now,
        tuple(Claim(run, run.start <= at) for run in now.claims),
        _absences(calendar, at, now, ahead),
        next((step for step in asked[1:] if step.capacity != now.capacity), None),
    )


def because(step: Step) -> tuple[str, ...]:
    """Return by which rules the capacity of *step* comes about, a sentence each."""
    if not step.claims:
        return ("no window runs: the baseline is in force",)
    sentences = [sentence for sentence in (_highest(step), _added(step)) if sentence]
    if step.target.reason:
        sentences.append(step.target.reason)
    return tuple(sentences)


def _highest(step: Step) -> str:
    """Say which window sets the level, and over how many others."""
    rivals = [claim for claim in step.claims if claim.combine == "max"]
    if not rivals:
        return ""
    first = max(rivals, key=lambda claim: claim.tru)
    asks = f"{first.window.name} asks for {first.tru} TRU"
    return f"{asks}, the highest of {len(rivals)}" if len(rivals) > 1 else asks


def _added(step: Step) -> str:
    """Say what comes on top, or what those that add make by themselves."""
    adding = [claim for claim in step.claims if claim.combine == "add"]
    names = " and ".join(f"{claim.window.name} {claim.tru} TRU" for claim in adding)
    if len(adding) < len(step.claims):
        return f"on top of that: {names}" if names else ""
    if len(adding) == 1:
        return f"{adding[0].window.name} asks for {adding[0].tru} TRU"
    return f"{names}, added up"


def _absences(
    calendar: NamespaceCalendar, at: datetime, now: Step, ahead: Sequence[Occurrence]
) -> tuple[Absence, ...]:
    """Return the windows that don't count at *at*, in their order."""
    counting = {claim.window for claim in now.claims}
    return tuple(
        Absence(
            window,
            explain_day(window, to_wall(at, window.tz).date()),
            next((run for run in ahead if run.window == window), None),
        )
        for window in calendar.windows
        if window not in counting
    )
