"""Why a window runs on a day, or why it doesn't."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from planner.model import BusinessDays, Horizon, Occurrence, Window
from planner.occurrences.expand import Candidate, candidates, expand
from planner.occurrences.starts import longest, pattern_of
from planner.recurrence.business_days import ROLL_LIMIT
from planner.timezones import clock_changes
from workflows.contract import to_instant, to_wall

LOOKS_AHEAD = (timedelta(days=2), timedelta(days=40), timedelta(days=400))
"""How far the next run is looked for, nearest first: a frequent one is found at once."""

STARTS_TOLD = 20
"""Starts of one day whose stories are told; of the others there is only their number."""

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class DayStory:
    """A local day of a window: the runs that touch it, and the reasons in words.

    *runs* start on the day; *under_way* began before it and reach into it. *reasons* say
    what was rolled, skipped or out of range, and what the clock does on that day; there
    is always one where nothing starts.
    """

    day: date
    runs: tuple[Occurrence, ...]
    under_way: tuple[Occurrence, ...]
    reasons: tuple[str, ...]


def explain_day(window: Window, day: date) -> DayStory:
    """Return why *window* runs or doesn't run on *day*, a date of its own zone.

    Raises:
        InputError: It starts more often than can be looked at.
    """
    begin, end = (to_instant(_midnight(d), window.tz) for d in (day, day + _DAY))
    around = expand(window, Horizon(begin - longest(pattern_of(window)), end))
    runs = tuple(o for o in around if o.start >= begin)
    under_way = tuple(o for o in around if o.start < begin < o.end)
    named = _named(window, day)
    reasons = [*_verdicts(named), *_calendar(window, day, named), *_clock(window, begin, end)]
    if not runs:
        reasons.append(_next(window, day, end))
    return DayStory(day, runs, under_way, tuple(dict.fromkeys(reasons)))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time())


def _named(window: Window, day: date) -> list[Candidate]:
    """Return the starts of *window* that were written for *day* or moved to it."""
    reach = (ROLL_LIMIT if window.roll != "none" else 1) * _DAY
    return [
        candidate
        for candidate in candidates(pattern_of(window), day - reach, day + reach)
        if day in (candidate.written.date(), candidate.wall.date())
    ]


def _verdicts(named: Iterable[Candidate]) -> list[str]:
    """Return what happened to the starts *named*."""
    found = [
        f"{candidate.written:%a %Y-%m-%d %H:%M}: {verdict}"
        for candidate in named
        if (verdict := _verdict(candidate))
    ]
    more = len(found) - STARTS_TOLD
    return found if more <= 0 else [*found[:STARTS_TOLD], f"and {more:,} more starts alike"]


def _verdict(candidate: Candidate) -> str:
    """Return what moved or excluded a start, in words; empty if nothing did."""
    excluded = (f"not run: {candidate.excluded}",) if candidate.excluded else ()
    return "; ".join((*candidate.timing.notes, *excluded))


def _calendar(window: Window, day: date, named: Iterable[Candidate]) -> list[str]:
    """Return why *day* is no business day, where that is why *window* doesn't start on it.

    It is where the window counts business days, or rolls a start *named* for the day.
    """
    pattern = pattern_of(window)
    rolls = pattern.roll != "none" and any(start.written.date() == day for start in named)
    if not rolls and not isinstance(pattern.recurrence, BusinessDays):
        return []
    why = pattern.business.why_not(day)
    return [f"{day:%a %Y-%m-%d} is {why}"] if why else []


def _clock(window: Window, begin: datetime, end: datetime) -> list[str]:
    """Return what the clock does on the local day from *begin* to *end*."""
    return [
        f"the clock {'skips' if change.is_gap else 'shows'} {change.low:%H:%M} to "
        f"{change.high:%H:%M}{'' if change.is_gap else ' twice'} on this day"
        for change in clock_changes(window.timezone, begin, end)
    ]


def _next(window: Window, day: date, end: datetime) -> str:
    """Return that nothing starts on *day*, and when the next run does."""
    none = f"nothing starts on {day:%a %Y-%m-%d}"
    for look_ahead in LOOKS_AHEAD:
        if following := expand(window, Horizon(end, end + look_ahead)):
            start = to_wall(following[0].start, window.tz)
            return f"{none}; the next run starts {start:%a %Y-%m-%d %H:%M}"
    return f"{none}, nor in the {LOOKS_AHEAD[-1].days} days after it"
