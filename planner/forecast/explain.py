"""Why a namespace has its capacity at an instant, and what comes next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from planner.forecast.timeline import Step, combine_steps, occurrences_in
from planner.model import Horizon, NamespaceCalendar, Occurrence, Window
from planner.occurrences.explain import DayExplanation, explain_day
from workflows.contract import to_wall

LOOKAHEAD = timedelta(days=400)
"""How far to look for the next change: everything that recurs within a year is found."""


@dataclass(frozen=True, slots=True)
class ActiveWindow:
    """A window that counts at the instant, with its occurrence.

    *is_open* is False during the lead: the schedule has fired, the start is still ahead.
    """

    occurrence: Occurrence
    is_open: bool


@dataclass(frozen=True, slots=True)
class InactiveWindow:
    """A window that doesn't count at the instant.

    Attributes:
        story: The local day: its occurrences at other times, or why there are none.
        next_occurrence: The next one within `LOOKAHEAD`, None without any.
    """

    window: Window
    story: DayExplanation
    next_occurrence: Occurrence | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The capacity of a namespace at an instant, with its reasons.

    Attributes:
        at: The instant, UTC.
        promised: The step by open windows only.
        requested: The step that also counts windows whose schedule has fired.
        active: The windows that count in *requested*.
        inactive: All other windows, paused ones included, in the order of the file.
        next_step: The next change of the requested capacity within `LOOKAHEAD`, or None.
    """

    calendar: NamespaceCalendar
    at: datetime
    promised: Step
    requested: Step
    active: tuple[ActiveWindow, ...]
    inactive: tuple[InactiveWindow, ...]
    next_step: Step | None


def explain(calendar: NamespaceCalendar, at: datetime) -> Explanation:
    """Return why a namespace has its capacity at *at*, according to its calendar."""
    horizon = Horizon(at, at + LOOKAHEAD)
    ahead = occurrences_in(calendar.windows, horizon, "requested")
    steps = combine_steps(calendar, ahead, horizon, "requested")
    now = steps[0]
    counting = {occurrence.window for occurrence in now.occurrences}
    return Explanation(
        calendar,
        at,
        combine_steps(calendar, now.occurrences, horizon, "promised")[0],
        now,
        tuple(ActiveWindow(each, each.start <= at) for each in now.occurrences),
        tuple(
            InactiveWindow(
                window,
                explain_day(window, to_wall(at, window.tz).date()),
                next((each for each in ahead if each.window == window), None),
            )
            for window in calendar.windows
            if window not in counting
        ),
        next((step for step in steps[1:] if step.capacity != now.capacity), None),
    )


def reasons_of(step: Step) -> tuple[str, ...]:
    """Return the rules that lead to the capacity of *step*, one phrase each."""
    if not step.occurrences:
        return ("no window runs: the baseline is in force",)
    phrases = [_highest(step), _added(step), step.target.reason]
    return tuple(phrase for phrase in phrases if phrase)


def _highest(step: Step) -> str:
    """Return which window sets the level, and of how many; empty if all of them add."""
    rivals = [each for each in step.occurrences if each.combine == "max"]
    if not rivals:
        return ""
    first = max(rivals, key=lambda each: each.tru)
    needs = f"{first.window.name} needs {first.tru} TRU"
    return f"{needs}, the highest of {len(rivals)}" if len(rivals) > 1 else needs


def _added(step: Step) -> str:
    """Return what ``combine: add`` puts on top, or what it makes without a level below."""
    adding = [each for each in step.occurrences if each.combine == "add"]
    names = " and ".join(f"{each.window.name} {each.tru} TRU" for each in adding)
    if len(adding) < len(step.occurrences):
        return f"on top of that: {names}" if names else ""
    if len(adding) == 1:
        return f"{adding[0].window.name} needs {adding[0].tru} TRU"
    return f"{names}, added up"
