"""Whether a rule and its start agree: what a rule's first occurrence is, must be beyond doubt."""

from __future__ import annotations

from datetime import date, datetime, timedelta, tzinfo

from planner.ical.limits import LAST_YEAR, MAX_OCCURRENCES
from planner.ical.recurrence import Budget, contains, starts
from planner.ical.rule import Rule
from planner.ical.values import When, instant_of

_LAST = date(LAST_YEAR, 12, 31)
_SEARCHED = timedelta(days=8 * 366)
"""How far a better start is looked for: 29 February can be eight years away."""


def start_faults(rule: Rule, start: datetime, tz: tzinfo | None, budget: Budget) -> list[str]:
    """Return what is wrong with *rule* for a DTSTART of *start* in *tz*, in sentences.

    RFC 5545 leaves open what a start means that its rule doesn't contain, so it is
    refused; None as *tz* is a zone that isn't known yet.
    """
    if rule.until and _ends_before(rule.until, start, tz):
        written = f"{rule.until.wall:%Y-%m-%d %H:%M}"[: 10 if rule.until.is_date else None]
        return [f"UNTIL, {written}, is before the start, {start:%Y-%m-%d %H:%M}; write a later one"]
    if rule.by_the_clock:
        return _clock_faults(rule, start, tz, budget)
    if contains(rule, start, budget):
        return []
    return [_start_sentence(rule, start, budget)]


def _ends_before(until: When, start: datetime, tz: tzinfo | None) -> bool:
    if until.is_date:
        return until.wall.date() < start.date()
    if until.tz is None or tz is None:
        return until.wall < start
    return until.instant(tz) < instant_of(start, tz)


def _start_sentence(rule: Rule, start: datetime, budget: Budget) -> str:
    first = start.date()
    found = next(starts(rule, start, first, min(first + _SEARCHED, _LAST), None, budget), None)
    if found is None:
        return f"the rule has no start within eight years of {start:%Y-%m-%d}; does it ever?"
    return (
        f"the rule doesn't contain its own start, {start:%Y-%m-%d %H:%M}, and calendar programs "
        f"disagree whether that counts; start with {found:%Y-%m-%d %H:%M}"
    )


def _clock_faults(rule: Rule, start: datetime, tz: tzinfo | None, budget: Budget) -> list[str]:
    """Return what is wrong with an HOURLY or MINUTELY *rule*.

    It counts real hours to one reader and hours on the wall to another: so it is only
    followed where no clock changes before it ends.
    """
    if tz is None:
        return [f"FREQ={rule.frequency} needs a time zone, or UTC; write the start in one"]
    walls = []
    for wall in starts(rule, start, start.date(), _LAST, tz, budget):
        walls.append(wall)
        budget.spend(2)  # for the offsets below
        if len(walls) > MAX_OCCURRENCES:
            return [f"the rule has more than {MAX_OCCURRENCES:,} starts; write an earlier end"]
    if not walls or walls[0] != start:
        return [_start_sentence(rule, start, budget)]
    offsets = {wall.replace(tzinfo=tz, fold=fold).utcoffset() for wall in walls for fold in (0, 1)}
    if len(offsets) > 1:
        return [
            f"FREQ={rule.frequency} over a clock change is not supported, since calendar programs "
            "disagree about it; write FREQ=DAILY with BYHOUR and BYMINUTE"
        ]
    return []
