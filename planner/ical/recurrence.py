"""The starts of a recurrence rule, in naive wall time.

Days are found period by period (year, month, week or day), as the table in RFC 5545,
section 3.3.10, has it. Unlike dateutil's, this walk begins near what is asked for and
always ends there, also where a rule never happens; dateutil's is its oracle in the tests.
"""

from __future__ import annotations

import calendar
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import MAXYEAR, date, datetime, time, timedelta, tzinfo

from planner.ical.limits import MAX_STEPS
from planner.ical.rule import Rule, completed
from planner.ical.values import When, instant_of

_DAY = timedelta(days=1)
_MONTHS = tuple(range(1, 13))
_CALL = 8
"""Steps that setting out costs, however short the way."""


class TooMuchWork(Exception):
    """The budget of steps is used up."""


class Budget:
    """How many days and times may still be looked at."""

    def __init__(self, steps: int = MAX_STEPS) -> None:
        self.left = steps

    def spend(self, steps: int = 1) -> None:
        """Take *steps*, or raise `TooMuchWork`."""
        self.left -= steps
        if self.left < 0:
            raise TooMuchWork


def starts(
    rule: Rule,
    start: datetime,
    first: date,
    last: date,
    tz: tzinfo | None,
    budget: Budget,
) -> Iterator[datetime]:
    """Yield the starts of *rule* between two local dates, both inclusive, ascending.

    Args:
        rule: What `rule.parse` returned.
        start: Its DTSTART on the wall; nothing comes before it, and COUNT counts from it.
        first: The first date asked for.
        last: The last date asked for.
        tz: The zone of *start*, which an UNTIL in UTC is compared in; None if there is none.
        budget: What the walk is paid from.

    Raises:
        TooMuchWork: The budget was used up.
    """
    budget.spend(_CALL)
    over = _end_of(rule.until, tz)
    left = rule.count
    from_the_beginning = left is not None or rule.by_the_clock
    for wall in _walk(
        completed(rule, start), start, start.date() if from_the_beginning else first, last, budget
    ):
        if wall < start:
            continue
        if wall.date() > last or over(wall) or left == 0:
            return
        if left is not None:
            left -= 1
        if wall.date() >= first:
            yield wall


def contains(rule: Rule, start: datetime, wall: datetime, budget: Budget) -> bool:
    """Tell whether *rule* has a start at *wall*, whenever it ends."""
    if rule.by_the_clock:
        endless = replace(rule, until=None)
    else:
        endless = replace(rule, until=None, count=None)
    return wall in starts(endless, start, wall.date(), wall.date(), None, budget)


def _end_of(until: When | None, tz: tzinfo | None) -> Callable[[datetime], bool]:
    """Return what tells whether a start is after *until*, whose day or time still counts."""
    if until is None:
        return lambda wall: False
    if until.is_date:
        day = until.wall.date()
        return lambda wall: wall.date() > day
    if until.tz is None or tz is None:
        return lambda wall: wall > until.wall
    instant = until.instant(until.tz)
    return lambda wall: instant_of(wall, tz) > instant


def _walk(
    rule: Rule, start: datetime, first: date, last: date, budget: Budget
) -> Iterator[datetime]:
    if rule.by_the_clock:
        return _by_the_clock(rule, start, last, budget)
    return _by_days(rule, start, max(first, start.date()), last, budget)


def _by_days(
    rule: Rule, start: datetime, first: date, last: date, budget: Budget
) -> Iterator[datetime]:
    times = [
        time(hour, minute, second)
        for hour in rule["BYHOUR"]
        for minute in rule["BYMINUTE"]
        for second in rule["BYSECOND"]
    ]
    positions = rule["BYSETPOS"]
    for begin in _periods(rule, start.date(), first, last):
        days = [day for day in _candidates(rule, begin, budget) if _fits(rule, day)]
        budget.spend(len(days) * len(times))
        found = [datetime.combine(day, at) for day in days for at in times]
        yield from _chosen(found, positions) if positions else found


def _chosen(found: list[datetime], positions: tuple[int, ...]) -> list[datetime]:
    """Return what BYSETPOS leaves of a period's starts; a position it lacks is nothing."""
    indexes = {
        position - 1 if position > 0 else len(found) + position
        for position in positions
        if abs(position) <= len(found)
    }
    return [found[index] for index in sorted(indexes)]


def _periods(rule: Rule, start: date, first: date, last: date) -> Iterator[date]:
    """Yield the first day of each period from the one that holds *first*, or before it, on."""
    if rule.frequency == "YEARLY":
        skipped = (first.year - start.year) // rule.interval * rule.interval
        for year in range(start.year + skipped, min(last.year, MAXYEAR) + 1, rule.interval):
            yield date(year, 1, 1)
    elif rule.frequency == "MONTHLY":
        origin = start.year * 12 + start.month - 1
        skipped = (first.year * 12 + first.month - 1 - origin) // rule.interval * rule.interval
        for month in range(origin + skipped, last.year * 12 + last.month, rule.interval):
            yield date(month // 12, month % 12 + 1, 1)
    else:
        weekly = rule.frequency == "WEEKLY"
        step = rule.interval * (7 if weekly else 1)
        origin = start.toordinal() - ((start.weekday() - rule.week_start) % 7 if weekly else 0)
        skipped = (first.toordinal() - origin) // step * step
        for ordinal in range(origin + skipped, last.toordinal() + 1, step):
            yield date.fromordinal(max(ordinal, 1))


def _candidates(rule: Rule, begin: date, budget: Budget) -> Iterator[date]:
    """Yield the days of the period that begins with *begin* which BYMONTHDAY leaves, ascending."""
    if rule.frequency == "YEARLY":
        for month in rule["BYMONTH"] or _MONTHS:
            yield from _days_of_month(rule, begin.year, month, budget)
    elif rule.frequency == "MONTHLY":
        budget.spend()
        if not rule["BYMONTH"] or begin.month in rule["BYMONTH"]:
            yield from _days_of_month(rule, begin.year, begin.month, budget)
    else:
        length = 7 if rule.frequency == "WEEKLY" else 1
        budget.spend(length)
        for ordinal in range(begin.toordinal(), begin.toordinal() + length):
            day = date.fromordinal(ordinal)
            if (not rule["BYMONTH"] or day.month in rule["BYMONTH"]) and _on_month_day(rule, day):
                yield day


def _days_of_month(rule: Rule, year: int, month: int, budget: Budget) -> Iterator[date]:
    length = calendar.monthrange(year, month)[1]
    wanted = rule["BYMONTHDAY"]
    days = (
        sorted({day if day > 0 else length + 1 + day for day in wanted if abs(day) <= length})
        if wanted
        else range(1, length + 1)
    )
    # Weekdays are told quickly, numbers of weeks are not.
    budget.spend(len(days) if rule["BYWEEKNO"] else len(days) // 4 + 1)
    for day in days:
        yield date(year, month, day)


def _on_month_day(rule: Rule, day: date) -> bool:
    wanted = rule["BYMONTHDAY"]
    if not wanted:
        return True
    length = calendar.monthrange(day.year, day.month)[1]
    return day.day in wanted or day.day - length - 1 in wanted


def _fits(rule: Rule, day: date) -> bool:
    """Tell whether BYYEARDAY, BYWEEKNO and BYDAY leave *day*."""
    if rule["BYYEARDAY"] and not _on_year_day(rule, day):
        return False
    if rule["BYWEEKNO"] and not _in_week(rule, day):
        return False
    return not rule.by_day or _on_weekday(rule, day)


def _on_year_day(rule: Rule, day: date) -> bool:
    nth = day.timetuple().tm_yday
    length = 366 if calendar.isleap(day.year) else 365
    return nth in rule["BYYEARDAY"] or nth - length - 1 in rule["BYYEARDAY"]


def _in_week(rule: Rule, day: date) -> bool:
    """Tell whether *day* is in one of the weeks, by the week-numbering year it belongs to."""
    week = day.toordinal() - (day.weekday() - rule.week_start) % 7
    # The year of a week is the one that has most of its days: that of its fourth day.
    year = date.fromordinal(week + 3).year
    number = (week - _first_week(year, rule.week_start)) // 7 + 1
    weeks = (_first_week(year + 1, rule.week_start) - _first_week(year, rule.week_start)) // 7
    return number in rule["BYWEEKNO"] or number - weeks - 1 in rule["BYWEEKNO"]


def _first_week(year: int, week_start: int) -> int:
    """Return the ordinal of the first day of the first week with four days in *year*."""
    fourth = date(year, 1, 4)
    return fourth.toordinal() - (fourth.weekday() - week_start) % 7


def _on_weekday(rule: Rule, day: date) -> bool:
    weekday = day.weekday()
    wanted = [by.nth for by in rule.by_day if by.weekday == weekday]
    if not wanted:
        return False
    if 0 in wanted:
        return True
    if rule.frequency == "YEARLY" and not rule["BYMONTH"]:
        place, length = day.timetuple().tm_yday, 366 if calendar.isleap(day.year) else 365
    else:
        place, length = day.day, calendar.monthrange(day.year, day.month)[1]
    return (place - 1) // 7 + 1 in wanted or -((length - place) // 7 + 1) in wanted


def _by_the_clock(rule: Rule, start: datetime, last: date, budget: Budget) -> Iterator[datetime]:
    """Yield the starts of an HOURLY or MINUTELY rule from its DTSTART on."""
    hourly = rule.frequency == "HOURLY"
    step = timedelta(hours=rule.interval) if hourly else timedelta(minutes=rule.interval)
    minutes = rule["BYMINUTE"] or (start.minute,)
    seconds = rule["BYSECOND"] or (start.second,)
    block = start.replace(minute=0 if hourly else start.minute, second=0)
    while block.date() <= last:
        inside = minutes if hourly else (block.minute,)
        budget.spend(len(inside) * len(seconds))
        if _leaves(rule, block):
            for minute in inside:
                yield from (block.replace(minute=minute, second=second) for second in seconds)
        block += step


def _leaves(rule: Rule, block: datetime) -> bool:
    """Tell whether the parts that limit an HOURLY or MINUTELY rule leave *block*."""
    if rule["BYMONTH"] and block.month not in rule["BYMONTH"]:
        return False
    if rule["BYHOUR"] and block.hour not in rule["BYHOUR"]:
        return False
    if rule.frequency == "MINUTELY" and rule["BYMINUTE"] and block.minute not in rule["BYMINUTE"]:
        return False
    return _on_month_day(rule, block) and _fits(rule, block.date())
