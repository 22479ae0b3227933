"""Cron expressions that croniter, and so Airflow and many others, reads in another way.

Plain expressions are read alike, which the tests prove against croniter itself; so only those
with a construct that can differ are compared, and only for them is croniter imported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple

from planner.errors import Lint
from planner.lints.checks import at
from planner.model import Cron, Project
from planner.recurrence import cron

COMPARED = timedelta(days=6 * 366)
"""How far the days of two readings are compared: a leap year with both its neighbours."""

COMPARED_TIMES = 200
"""How many starts are compared where minutes or hours may differ."""

_CAN_DIFFER = re.compile(r"(?:^|,)([a-z0-9]+)(?:/|-\1(?![a-z0-9]))")
"""In a field: a step from a value (5/15), or a range of one value (1-1)."""

_SPECIAL = (cron.Last, cron.NearestWeekday, cron.Nth, cron.LastWeekday)


class Difference(NamedTuple):
    """The first naive wall time that only one of two readings names; *ours* says which."""

    at: datetime
    ours: bool


def cron_dialect(project: Project, today: date) -> Iterator[Lint]:
    """Yield each expression whose starts from *today* on croniter lists differently.

    Silent where croniter refuses an expression (``LW``, ``L-2``, ``friL``): an error at once
    is no misunderstanding. The first expression of a window is enough.
    """
    for window in project.windows:
        if not isinstance(window.recurrence, Cron):
            continue
        for expression in window.recurrence.expressions:
            found = first_difference(expression, window.recurrence.day_match, today)
            if found:
                here, there = ("starts", "doesn't") if found.ours else ("doesn't start", "does")
                yield at(
                    window,
                    "cron-dialect",
                    f"croniter, and so Airflow, reads cron {expression!r} differently: on "
                    f"{found.at:%a %Y-%m-%d} at {found.at:%H:%M} this window {here}, there it "
                    f"{there}; keep that in mind where both schedule the same work",
                )
                break


@lru_cache(maxsize=4096)
def first_difference(
    expression: str, day_match: cron.DayMatch | None, today: date
) -> Difference | None:
    """Return the first start from *today* on that only the planner or only croniter lists.

    Both work in naive wall time, croniter with its default of either day field. None where
    they agree, where the expression is plain, and where croniter refuses it.
    """
    fields = minute, hour, day, month, weekday = cron.split_fields(expression)
    rule = cron.parse(expression)
    if any(map(_CAN_DIFFER.search, (minute, hour, month))):
        return _compare(" ".join(fields), day_match, today, COMPARED_TIMES)
    special = any(isinstance(term, _SPECIAL) for term in (*rule.days, *rule.weekdays))
    if not (special or rule.needs_day_match or any(map(_CAN_DIFFER.search, (day, weekday)))):
        return None
    # One time of day is enough to compare days, and far fewer steps.
    found = _compare(f"0 0 {day} {month} {weekday}", day_match, today, COMPARED.days)
    return found and found._replace(at=datetime.combine(found.at, rule.times[0]))


def _compare(
    fields: str, day_match: cron.DayMatch | None, today: date, most: int
) -> Difference | None:
    """Compare up to *most* starts of five *fields* within `COMPARED`."""
    from croniter import CroniterError, croniter

    last = today + COMPARED
    ours = cron.wall_times(cron.parse(fields), day_match, today, last)
    try:
        before = datetime.combine(today, time()) - timedelta(seconds=1)
        theirs = croniter(fields, before, ret_type=datetime, max_years_between_matches=8)
        for _ in range(most):
            mine, other = next(ours, None), _next(theirs, last)
            if mine != other:
                if mine is not None and (other is None or mine < other):
                    return Difference(mine, ours=True)
                return Difference(other, ours=False) if other else None
            if mine is None:
                return None
    except CroniterError:
        return None
    return None


def _next(starts: Iterator[datetime], last: date) -> datetime | None:
    """Return the next of croniter's *starts*; None after *last*, or where it finds no more."""
    from croniter import CroniterBadDateError

    try:
        found = next(starts)
    except (StopIteration, CroniterBadDateError):
        return None
    return found if found.date() <= last else None
