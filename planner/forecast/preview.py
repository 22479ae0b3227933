"""What a preview shows, gathered once for all its formats."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from planner.errors import Lint
from planner.forecast.cost import Bill, reckon
from planner.forecast.cost_hints import Hint, hints
from planner.forecast.timeline import Step, combine_steps, running
from planner.model import (
    BusinessDays,
    Horizon,
    NamespaceCalendar,
    Occurrence,
    Project,
    Window,
)
from planner.recurrence.business_days import business_calendar
from planner.timezones import ClockChange, clock_changes
from workflows.contract import to_wall


@dataclass(frozen=True, slots=True)
class NamedDay:
    """A holiday that bears on a window: a local day and its name."""

    day: date
    name: str


@dataclass(frozen=True, slots=True)
class ZoneChange:
    """A clock change of *timezone*, and the runs whose wall times or length it touches."""

    timezone: str
    change: ClockChange
    touched: tuple[Occurrence, ...]


@dataclass(frozen=True, slots=True)
class Lane:
    """A namespace over the horizon of a preview.

    *occurrences* have a part in it, including what began before it; *steps* fill it.
    """

    calendar: NamespaceCalendar
    occurrences: tuple[Occurrence, ...]
    steps: tuple[Step, ...]
    clock_changes: tuple[ZoneChange, ...]
    holidays: tuple[NamedDay, ...]
    hints: tuple[Hint, ...]

    @property
    def peak(self) -> float:
        """The highest TRU in force, 0 if it is on-demand throughout."""
        return max((step.capacity.tru or 0 for step in self.steps), default=0)

    @property
    def open(self) -> tuple[tuple[Window, tuple[Occurrence, ...]], ...]:
        """The windows that aren't paused, each with its runs, in the order of the file."""
        runs: dict[str, list[Occurrence]] = defaultdict(list)
        for occurrence in self.occurrences:
            runs[occurrence.window.name].append(occurrence)
        return tuple(
            (window, tuple(runs[window.name]))
            for window in self.calendar.windows
            if not window.paused
        )

    @property
    def paused(self) -> tuple[str, ...]:
        """The windows that are paused in the file, and so never run."""
        return tuple(window.name for window in self.calendar.windows if window.paused)


@dataclass(frozen=True, slots=True)
class Preview:
    """Everything that a preview shows: the days of *horizon*, and the bill of *year*."""

    project: Project
    horizon: Horizon
    year: Horizon
    lanes: tuple[Lane, ...]
    bill: Bill
    warnings: tuple[Lint, ...] = ()


def preview(
    project: Project, horizon: Horizon, year: Horizon, warnings: Sequence[Lint] = ()
) -> Preview:
    """Return what is to be shown of *project*.

    Args:
        project: The calendars, maybe narrowed by `select`.
        horizon: What is shown day by day, or drawn.
        year: What the bill, its hints and the list of clock changes cover.
        warnings: What was found wanting, to be shown beside.
    """
    lanes = tuple(_lane(calendar, horizon, year) for calendar in project.namespaces)
    bill = reckon(project.namespaces, year, project.prices)
    return Preview(project, horizon, year, lanes, bill, tuple(sorted(set(warnings))))


def select(project: Project, namespaces: Iterable[str], windows: Iterable[str]) -> Project:
    """Return *project* with only the named namespaces and windows; none named means all.

    A window is named by its name alone or in full, ``payments-prod.a1b2c/payroll``. A
    namespace without a chosen window is left out.
    """
    wanted, chosen = set(namespaces), set(windows)
    kept = []
    for calendar in project.namespaces:
        if wanted and calendar.namespace not in wanted:
            continue
        mine = tuple(w for w in calendar.windows if not chosen or {w.name, w.key} & chosen)
        if mine or not chosen:
            kept.append(replace(calendar, windows=mine))
    return replace(project, namespaces=tuple(kept))


def _lane(calendar: NamespaceCalendar, horizon: Horizon, year: Horizon) -> Lane:
    """Gather what is shown of one namespace."""
    occurrences = tuple(running(calendar.windows, horizon, "promised"))
    return Lane(
        calendar,
        occurrences,
        combine_steps(calendar, occurrences, horizon),
        _clock_changes(calendar, hull(horizon, year)),
        _holidays(calendar, horizon),
        hints(calendar, year),
    )


def hull(one: Horizon, other: Horizon) -> Horizon:
    """Return the shortest span that holds both."""
    return Horizon(min(one.start, other.start), max(one.end, other.end))


def _clock_changes(calendar: NamespaceCalendar, span: Horizon) -> tuple[ZoneChange, ...]:
    """Return the clock changes of the windows' zones in *span*, with the runs they touch."""
    zones = sorted({calendar.timezone, *(window.timezone for window in calendar.windows)})
    found = []
    for zone in zones:
        mine = [window for window in calendar.windows if window.timezone == zone]
        found += [
            ZoneChange(zone, change, _touched(mine, change))
            for change in clock_changes(zone, span.start, span.end)
        ]
    return tuple(sorted(found, key=lambda item: (item.change.at, item.timezone)))


def _touched(windows: Sequence[Window], change: ClockChange) -> tuple[Occurrence, ...]:
    """Return the runs that *change* moves, or that are under way when it comes."""
    around = Horizon(change.at - timedelta(hours=3), change.at + timedelta(hours=3))
    return tuple(
        run
        for run in running(windows, around, "promised")
        if run.start < change.at < run.end
        or (run.notes and change.low <= to_wall(run.start, run.window.tz) <= _after(change))
    )


def _after(change: ClockChange) -> datetime:
    """Return the wall time up to which a skipped start may have been moved."""
    return change.high + (change.high - change.low)


def _holidays(calendar: NamespaceCalendar, horizon: Horizon) -> tuple[NamedDay, ...]:
    """Return the holidays, by name, that bear on any of the windows."""
    heeding = [window for window in calendar.windows if _heeds_holidays(window)]
    found: set[NamedDay] = set()
    for holidays, timezone in {(window.holidays, window.timezone) for window in heeding}:
        business = business_calendar(holidays, timezone)
        first = horizon.start.date()
        for offset in range((horizon.end - horizon.start).days + 1):
            day = first + timedelta(days=offset)
            if name := business.name_of(day):
                found.add(NamedDay(day, name))
    return tuple(sorted(found, key=lambda named: (named.day, named.name)))


def _heeds_holidays(window: Window) -> bool:
    return (
        window.roll != "none" or window.skip.holidays or isinstance(window.recurrence, BusinessDays)
    )
