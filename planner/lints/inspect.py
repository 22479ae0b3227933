"""Expand and compile the coming months once, and run every check on them. Pure.

`CODES` has the codes of all warnings with their meanings, as in the manual; codes are stable.
Warnings about the files, about when windows run, about ``.ics`` files, and about a plan: every
module's codes are there, which a test proves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache, partial
from operator import attrgetter
from typing import NamedTuple

from planner.errors import InputError, Lint, Problem
from planner.lints.checks import (
    LOOK_AHEAD,
    at,
    before_writing,
    crowding,
    endings,
    over_limits,
    running,
    stale_copies,
    static_lints,
)
from planner.model import Cron, Occurrence, Project, Window
from planner.occurrences.expand import expand
from planner.recurrence import cron
from planner.schedules.compile import compiled_times
from planner.schedules.compile import lints as schedule_lints

CODES = {
    "needless-boost": "The demand is within what the namespace has anyway: its baseline, or the "
    "500 APS that on-demand always allows.",
    "rounded-up": "The TRU value can't be had; the next allowed one is taken.",
    "shorter-than-lead": "An occurrence is shorter than the lead: more time is paid than used.",
    "short-lead": "The lead is shorter than the two minutes that provisioning takes.",
    "day-match-unneeded": "No cron of the window restricts both day fields: day_match says "
    "nothing.",
    "no-calendars": "There is no calendar: a sync would delete every schedule of the project.",
    "no-windows": "The calendar has no window.",
    "clock-change": "A start falls on a time that the clock skips or shows twice.",
    "whole-days": "A duration of whole days goes over a clock change and ends at another time than "
    "it began.",
    "always-covered": "Whenever the window runs, another max window runs that asks for as much.",
    "adds-to-nothing": "A window adds, but no other runs with it, and no baseline in TRU is "
    "declared.",
    "capped": "Windows that add up ask for more than can be had together.",
    "no-workers": "TRU rise and no fleet of workers does, in a namespace that has fleets.",
    "unused-fleet": "No window needs workers of the fleet.",
    "cron-dialect": "croniter, and so Airflow and many others, reads the cron differently.",
    "crowded": "More than ten namespaces are raised within a few minutes; the API changes ten "
    "at a time.",
    "recurrence-ends": "The last start of a recurrence is in sight.",
    "horizon-low": "Written dates, events or holidays run out soon.",
    "stale-copy": "The copy of a remote calendar was fetched 30 days ago or earlier.",
    "window-over": "The window has no start ahead of today.",
    "many-calendars": "The window takes more calendars of a Temporal Schedule than is good.",
    "ics-ignored": "Something broken in an `.ics` file is ignored: nothing that counts depends "
    "on it.",
    "ics-tolerated": "An event breaks RFC 5545; the warning says how it is read.",
    "ambiguous-day": "A day of an event of whole days is written as a time in UTC, and the file "
    "names no zone.",
    "no-events": "The `.ics` file has no event.",
    "exdate-excludes-nothing": "An EXDATE names no occurrence of its event: nothing is excluded.",
    "change-of-nothing": "A RECURRENCE-ID names no occurrence of its series: the event counts by "
    "itself, besides.",
    "left-by-policy": "The project's policy leaves a change undone.",
    "shared-namespace": "Another project has windows for this namespace, too.",
    "extend-soon": "The dates of a schedule end within 120 days; sync again before.",
    "server-time-zones": "The server reads a time zone by another table than the planner: the "
    "windows of the zone are written as dates in UTC.",
    "skipped": "`planner skip` has taken a coming occurrence out: no capacity is raised for it.",
    "notices": "The notices of `planner.yaml` have changed; a sync puts them in force.",
    "usage": "What `planner.yaml` says of usage has changed; a sync puts it in force.",
    "fleets": "The fleets that no window uses have changed; a sync puts them in force.",
    "paused": "An operator paused the schedule; a sync leaves it so.",
}


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


@lru_cache(maxsize=4096)
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


MANY_WINDOWS = 100
"""Windows from which on looking at their occurrences elsewhere pays for itself."""

COMPILED_HERE = 2 / 3
"""The part of up to `FEW_WINDOWS` schedules that is compiled here, where two processes share the
work: looking at the occurrences takes a third to a half as long as compiling them all."""

FEW_WINDOWS = 2_000
"""Windows up to which that holds: more of them share what compiling takes, and looking takes
longer."""

FEW_RUNS = 400_000
"""How often the windows of a project may run in `LOOK_AHEAD`, together, at least."""

HOURLY_RUNS = 10_000
"""How often each may run on average, up to `MAX_RUNS` together: a little more than hourly."""

MAX_RUNS = 1_000_000
"""How often all may run together: a hundred of them hourly."""

DAILY_RUNS = 1_000
"""How often each may run on average, where there are so many that this is more: twice a day."""


@dataclass(frozen=True, slots=True)
class Findings:
    """Warnings, and problems that show only in when the windows run."""

    lints: tuple[Lint, ...]
    problems: tuple[Problem, ...]

    def require_usable(self) -> tuple[Lint, ...]:
        """Return the warnings of a project that can be used.

        Raises:
            InputError: It breaks its guard rails, or no schedule can hold a window of it.
        """
        if self.problems:
            raise InputError(self.problems)
        return self.lints


Aside = Callable[[Callable[[], "_Ahead"]], Callable[[], "_Ahead"]]
"""Begins a work elsewhere, and returns what waits for its result."""


def inspect(
    project: Project, today: date, aside: Aside | None = None, *, keep_schedules: bool = False
) -> Findings:
    """Return every warning about *project*, and the problems that show in when it runs.

    Looks at the occurrences that start within `LOOK_AHEAD` from *today* on, and at the
    schedules of that day. The problems are guard rails that an occurrence or a month
    breaks, windows that start too often, and windows that no Temporal Schedule can hold. A
    window with such a problem has no warnings about when it runs; where all windows
    together run too often, none has.

    Occurrences of many windows are looked at *aside*, if given, while the schedules are compiled;
    so are the schedules of a part of them, where they aren't too many, unless *keep_schedules* says
    that they are compiled again in this process, which remembers them.
    """
    written = {*project.warnings, *static_lints(project)}
    # Zones stay together, since a zone's clock changes take as long as many windows of it.
    windows = sorted(project.windows, key=attrgetter("timezone"))
    if aside and len(windows) >= MANY_WINDOWS:
        shared = len(windows) <= FEW_WINDOWS and not keep_schedules
        here = int(len(windows) * COMPILED_HERE) if shared else len(windows)
        waiting = aside(partial(_ahead, project, today, windows[here:]))
        schedules = _schedules(windows[:here], today)
        ahead = waiting()
    else:
        ahead = _ahead(project, today, ())
        schedules = Findings((), ()) if ahead.too_many else _schedules(windows, today)
    if ahead.too_many:
        return Findings(tuple(sorted(written)), ahead.problems)
    return Findings(
        tuple(sorted({*written, *ahead.lints, *schedules.lints})),
        tuple(sorted({*ahead.problems, *schedules.problems})),
    )


def _schedules(windows: Iterable[Window], today: date) -> Findings:
    """Return what shows in the schedules of *windows* as they are compiled *today*."""
    lints: list[Lint] = []
    problems: list[Problem] = []
    for window in windows:
        try:
            times = compiled_times(window, today)
        except InputError as error:
            problems += error.problems
        else:
            lints += schedule_lints(window, times) if times else ()
    return Findings(tuple(lints), tuple(problems))


@dataclass(frozen=True, slots=True)
class _Ahead(Findings):
    """What the coming occurrences show; only problems where there are *too_many* of them."""

    too_many: bool = False


def _ahead(project: Project, today: date, windows: Iterable[Window]) -> _Ahead:
    """Return what is seen in the occurrences of *project* from *today* on.

    And in the schedules of *windows*, unless there are too many occurrences.
    """
    horizon, most = before_writing(today), most_runs(len(project.windows))
    occurrences: dict[str, list[Occurrence]] = {}
    problems: list[Problem] = []
    count = 0
    for window in project.windows:
        try:
            found = expand(window, horizon)
        except InputError as error:
            problems += error.problems
            continue
        occurrences[window.key] = found
        count += len(found)
        if count > most:
            worst = max(occurrences.values(), key=len)
            at_fault = worst[0].window
            message = (
                f"window '{at_fault.name}' runs {len(worst):,} times in {LOOK_AHEAD.days} days, "
                f"and with the others more than {most:,} times; start it less often, and let it "
                "last longer"
            )
            problems.append(Problem(at_fault.place.file, at_fault.place.line, message))
            return _Ahead((), InputError(problems).problems, too_many=True)
    lints = (
        *running(project, occurrences),
        *endings(project, occurrences, today),
        *crowding(occurrences),
        *stale_copies(project, today),
        *cron_dialect(project, today),
    )
    problems += over_limits(project, occurrences)
    schedules = _schedules(windows, today)
    return _Ahead((*lints, *schedules.lints), (*problems, *schedules.problems))


def most_runs(windows: int) -> int:
    """Return how often a project of so many *windows* may run in `LOOK_AHEAD`."""
    return max(FEW_RUNS, min(HOURLY_RUNS * windows, MAX_RUNS), DAILY_RUNS * windows)
