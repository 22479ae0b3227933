"""Cron, in one strict dialect: what an expression says, and which wall times it names.

Five fields: minute, hour, day of month, month, day of week. Each is ``*``, a value, a
range ``1-5``, a step ``*/15``, ``8-18/2`` or ``5/15`` (from 5 to the end of the field), or
a list of them. Months and weekdays have three-letter names; 0 and 7 are both Sunday.

- Day of month: ``L`` the last day, ``L-2`` two days before it, ``15W`` the weekday nearest
  to the 15th in its month, ``LW`` the last weekday.
- Day of week: ``fri#3`` or ``5#3`` the third Friday, ``friL`` or ``5L`` the last one.
- ``@yearly``, ``@annually``, ``@monthly``, ``@weekly``, ``@daily``, ``@midnight``, ``@hourly``.

Refused, since engines disagree or the planner can't mean it: ranges that wrap
(``fri-mon``), seconds and years, a zone before the fields, ``?``, ``H``, ``@reboot``.
"""

from planner.cron.reading import CronError, parse
from planner.cron.rule import (
    CronRule,
    Day,
    DayMatch,
    DayTerm,
    Last,
    LastWeekday,
    NearestWeekday,
    Nth,
    Weekday,
    WeekdayTerm,
    days,
    days_in_month,
    never_fires,
    wall_times,
)

__all__ = [
    "CronError",
    "CronRule",
    "Day",
    "DayMatch",
    "DayTerm",
    "Last",
    "LastWeekday",
    "NearestWeekday",
    "Nth",
    "Weekday",
    "WeekdayTerm",
    "days",
    "days_in_month",
    "never_fires",
    "parse",
    "wall_times",
]
