"""Why a namespace has its capacity at an instant, what comes next, and why a window (not) runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from planner.forecast.timeline import FleetStep, Step, combine_steps, fleet_steps, occurrences_in
from planner.model import BusinessDays, Horizon, NamespaceCalendar, Occurrence, Window
from planner.occurrences.expand import Candidate, candidates, expand, longest, pattern_of
from planner.recurrence.business_days import ROLL_LIMIT
from planner.timezones import clock_changes
from workflows.contract import Fleet, to_instant, to_wall

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
        fleets: The floor of each fleet, and its next change within `LOOKAHEAD`, or None.
    """

    calendar: NamespaceCalendar
    at: datetime
    promised: Step
    requested: Step
    active: tuple[ActiveWindow, ...]
    inactive: tuple[InactiveWindow, ...]
    next_step: Step | None
    fleets: tuple[tuple[FleetStep, FleetStep | None], ...] = ()


def explain(calendar: NamespaceCalendar, at: datetime) -> Explanation:
    """Return why a namespace has its capacity at *at*, according to its calendar."""
    horizon = Horizon(at, at + LOOKAHEAD)
    ahead = occurrences_in(calendar.windows, horizon, "requested")
    steps = combine_steps(calendar, ahead, horizon, "requested")
    now = steps[0]
    active = tuple(each for each in ahead if each.fires <= at < each.end)
    counting = {occurrence.window for occurrence in active}
    return Explanation(
        calendar,
        at,
        combine_steps(calendar, active, horizon, "promised")[0],
        now,
        tuple(ActiveWindow(each, each.start <= at) for each in active),
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
        tuple(_fleet_now(fleet, ahead, horizon) for fleet in calendar.fleets),
    )


def _fleet_now(
    fleet: Fleet, ahead: Iterable[Occurrence], horizon: Horizon
) -> tuple[FleetStep, FleetStep | None]:
    """Return the first step of *fleet* over *horizon*, and its next change."""
    now, *later = fleet_steps(fleet, ahead, horizon, "requested")
    return now, next((step for step in later if step.replicas != now.replicas), None)


def fleet_reasons(step: FleetStep) -> tuple[str, ...]:
    """Return the rules that lead to the floor of *step*, one phrase each."""
    name, fleet, floor = step.fleet.name, step.fleet, step.floor
    if not step.occurrences:
        return (f"no window needs any: its minimum is {fleet.min:,}",)
    needs = {each.window.name: dict(each.window.workers)[name] for each in step.occurrences}
    rivals = [each.window.name for each in step.occurrences if each.combine == "max"]
    adding = [each.window.name for each in step.occurrences if each.combine == "add"]
    phrases = []
    if rivals:
        first = max(rivals, key=needs.__getitem__)
        of = f", the highest of {len(rivals)}" if len(rivals) > 1 else ""
        phrases.append(f"{first} needs {needs[first]:,}{of}")
    if adding:
        ground = "on top of that" if rivals else f"on top of its minimum of {fleet.min:,}"
        phrases.append(f"{ground}: {' and '.join(f'{each} {needs[each]:,}' for each in adding)}")
    if floor.falls_short:
        phrases.append(f"held at its maximum of {fleet.max:,}, though {floor.requested:,} are due")
    return tuple(phrases)


def reasons_of(step: Step) -> tuple[str, ...]:
    """Return the rules that lead to the capacity of *step*, one phrase each."""
    if not step.occurrences:
        return ("no window runs: the baseline is in force",)
    phrases = [_highest(step), _added(step), step.target.reason]
    return tuple(phrase for phrase in phrases if phrase)


def _highest(step: Step) -> str:
    """Return which window sets the level, and of how many; empty if none does."""
    rivals = [each for each in step.occurrences if each.combine == "max"]
    first = max(rivals, key=lambda each: each.tru, default=None)
    if first is None or _level(step) > first.tru:
        return ""
    needs = f"{first.window.name} needs {first.tru} TRU"
    return f"{needs}, the highest of {len(rivals)}" if len(rivals) > 1 else needs


def _level(step: Step) -> int:
    """Return the TRU that the windows of *step* that add come on top of."""
    added = sum(each.tru for each in step.occurrences if each.combine == "add")
    return step.target.requested - added


def _added(step: Step) -> str:
    """Return what ``combine: add`` puts on top, or what it makes without a level below."""
    adding = [each for each in step.occurrences if each.combine == "add"]
    names = " and ".join(f"{each.window.name} {each.tru} TRU" for each in adding)
    if not adding:
        return ""
    if _highest(step):
        return f"on top of that: {names}"
    if level := _level(step):
        return f"on top of the baseline of {level} TRU: {names}"
    if len(adding) == 1:
        return f"{adding[0].window.name} needs {adding[0].tru} TRU"
    return f"{names}, added up"


# A window on a day -------------------------------------------------------------------

LOOKS_AHEAD = (timedelta(days=2), timedelta(days=40), timedelta(days=400))
"""How far to look for the next run, in widening steps: frequent runs are found at once."""

MAX_STARTS = 20
"""Starts of one day that are explained; the others are counted."""

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class DayExplanation:
    """The runs of a window on a local day, and the reasons in words.

    *runs* start on the day; *under_way* started before it and end in it or later. *reasons*
    say what was rolled, skipped or out of range, and what the clock does on that day; there
    is at least one where nothing starts.
    """

    day: date
    runs: tuple[Occurrence, ...]
    under_way: tuple[Occurrence, ...]
    reasons: tuple[str, ...]


def explain_day(window: Window, day: date) -> DayExplanation:
    """Return why *window* runs or doesn't run on *day*, a date of its own zone.

    Raises:
        InputError: It starts too often.
    """
    begin, end = (
        to_instant(datetime.combine(each, time()), window.tz) for each in (day, day + _DAY)
    )
    around = expand(window, Horizon(begin - longest(pattern_of(window)), end))
    runs = tuple(o for o in around if o.start >= begin)
    under_way = tuple(o for o in around if o.start < begin < o.end)
    found = _candidates_on(window, day)
    reasons = [*_verdicts(found), *_calendar(window, day, found), *_clock(window, begin, end)]
    if not runs:
        reasons.append(_next(window, day, end))
    return DayExplanation(day, runs, under_way, tuple(dict.fromkeys(reasons)))


def _candidates_on(window: Window, day: date) -> list[Candidate]:
    """Return the starts of *window* that are written for *day* or rolled to it."""
    reach = (ROLL_LIMIT if window.roll != "none" else 1) * _DAY
    return [
        candidate
        for candidate in candidates(pattern_of(window), day - reach, day + reach)
        if day in (candidate.written.date(), candidate.wall.date())
    ]


def _verdicts(found: Iterable[Candidate]) -> list[str]:
    """Return what moved or excluded each start, in words; without those that nothing did."""
    words = []
    for candidate in found:
        excluded = (f"not run: {candidate.excluded}",) if candidate.excluded else ()
        if verdict := "; ".join((*candidate.timing.notes, *excluded)):
            words.append(f"{candidate.written:%a %Y-%m-%d %H:%M}: {verdict}")
    more = len(words) - MAX_STARTS
    return words if more <= 0 else [*words[:MAX_STARTS], f"and {more:,} more starts alike"]


def _calendar(window: Window, day: date, found: Iterable[Candidate]) -> list[str]:
    """Return why *day* is no business day, if that decides about the starts on it.

    It does if the window counts business days, or rolls one of *found* that is written for it.
    """
    pattern = pattern_of(window)
    rolls = pattern.roll != "none" and any(start.written.date() == day for start in found)
    if not rolls and not isinstance(pattern.recurrence, BusinessDays):
        return []
    why = pattern.business.why_not(day)
    return [f"{day:%a %Y-%m-%d} is {why}"] if why else []


def _clock(window: Window, begin: datetime, end: datetime) -> list[str]:
    """Return the clock changes on the local day from *begin* to *end*, in words."""
    return [
        f"the clock {'skips' if change.is_gap else 'shows'} {change.low:%H:%M} to "
        f"{change.high:%H:%M}{'' if change.is_gap else ' twice'} on this day"
        for change in clock_changes(window.timezone, begin, end)
    ]


def _next(window: Window, day: date, end: datetime) -> str:
    """Return that nothing starts on *day*, and when the next run starts."""
    none = f"nothing starts on {day:%a %Y-%m-%d}"
    for look_ahead in LOOKS_AHEAD:
        if following := expand(window, Horizon(end, end + look_ahead)):
            start = to_wall(following[0].start, window.tz)
            return f"{none}; the next run starts {start:%a %Y-%m-%d %H:%M}"
    return f"{none}, nor in the {LOOKS_AHEAD[-1].days} days after it"
