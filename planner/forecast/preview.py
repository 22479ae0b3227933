"""What a preview shows, computed once for all output formats."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from planner.errors import Lint
from planner.forecast.cost import Bill, compute_bill
from planner.forecast.cost_hints import CostHint, cost_hints
from planner.forecast.timeline import OCCURRENCE_ORDER, Step, combine_steps, occurrences_in
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
    """A holiday that affects a window: a local day and its name."""

    day: date
    name: str


@dataclass(frozen=True, slots=True)
class ZoneChange:
    """A clock change of *timezone*, and the occurrences whose times or length it affects."""

    timezone: str
    change: ClockChange
    affected: tuple[Occurrence, ...]


@dataclass(frozen=True, slots=True)
class Lane:
    """A namespace over the horizon of a preview.

    Attributes:
        occurrences: Those that overlap the horizon, sorted.
        steps: The capacity, filling the horizon.
        clock_changes: Within the horizon or the year of the bill.
        holidays: The days on which a window may move or not run.
        hints: Where a few minutes change the bill.
    """

    calendar: NamespaceCalendar
    occurrences: tuple[Occurrence, ...]
    steps: tuple[Step, ...]
    clock_changes: tuple[ZoneChange, ...]
    holidays: tuple[NamedDay, ...]
    hints: tuple[CostHint, ...]

    @property
    def peak(self) -> float:
        """The highest TRU in force; 0 if it is on-demand throughout."""
        return max((step.capacity.tru or 0 for step in self.steps), default=0)

    @property
    def open(self) -> tuple[tuple[Window, tuple[Occurrence, ...]], ...]:
        """The windows that aren't paused, each with its occurrences, in the order of the file."""
        found: dict[str, list[Occurrence]] = defaultdict(list)
        for occurrence in self.occurrences:
            found[occurrence.window.name].append(occurrence)
        return tuple(
            (window, tuple(found[window.name]))
            for window in self.calendar.windows
            if not window.paused
        )

    @property
    def paused(self) -> tuple[str, ...]:
        """The names of the windows that are paused in the file."""
        return tuple(window.name for window in self.calendar.windows if window.paused)


@dataclass(frozen=True, slots=True)
class Preview:
    """Everything that a preview shows: the days of *horizon* and the bill of *year*."""

    project: Project
    horizon: Horizon
    year: Horizon
    lanes: tuple[Lane, ...]
    bill: Bill
    warnings: tuple[Lint, ...] = ()

    @property
    def starting(self) -> list[Occurrence]:
        """The occurrences of all namespaces that start in the horizon, sorted."""
        found = (
            occurrence
            for lane in self.lanes
            for occurrence in lane.occurrences
            if occurrence.start in self.horizon
        )
        return sorted(found, key=OCCURRENCE_ORDER)


def preview(
    project: Project, horizon: Horizon, year: Horizon, warnings: Sequence[Lint] = ()
) -> Preview:
    """Return the preview of *project*.

    Args:
        project: The calendars, possibly narrowed by `select`.
        horizon: The days that are listed or drawn.
        year: What the bill, its hints and the list of clock changes cover.
        warnings: Lints of the calendars.
    """
    lanes = tuple(_lane(calendar, horizon, year) for calendar in project.namespaces)
    bill = compute_bill(project.namespaces, year, project.prices)
    return Preview(project, horizon, year, lanes, bill, tuple(sorted(set(warnings))))


def select(project: Project, namespaces: Iterable[str], windows: Iterable[str]) -> Project:
    """Return *project* with only the given namespaces and windows; none given means all.

    A window is given by name or by full name, ``payments-prod.a1b2c/payroll``. Namespaces
    without a chosen window are left out.
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
    occurrences = tuple(occurrences_in(calendar.windows, horizon, "promised"))
    return Lane(
        calendar,
        occurrences,
        combine_steps(calendar, occurrences, horizon),
        _clock_changes(calendar, hull(horizon, year)),
        _holidays(calendar, horizon),
        cost_hints(calendar, year),
    )


def hull(one: Horizon, other: Horizon) -> Horizon:
    """Return the shortest span that contains both."""
    return Horizon(min(one.start, other.start), max(one.end, other.end))


def _clock_changes(calendar: NamespaceCalendar, span: Horizon) -> tuple[ZoneChange, ...]:
    """Return the clock changes of all zones of a namespace in *span*."""
    zones = sorted({calendar.timezone, *(window.timezone for window in calendar.windows)})
    found = []
    for zone in zones:
        mine = [window for window in calendar.windows if window.timezone == zone]
        found += [
            ZoneChange(zone, change, _affected(mine, change))
            for change in clock_changes(zone, span.start, span.end)
        ]
    return tuple(sorted(found, key=lambda item: (item.change.at, item.timezone)))


def _affected(windows: Sequence[Window], change: ClockChange) -> tuple[Occurrence, ...]:
    """Return the occurrences that *change* moves, or that are under way at it.

    A skipped start moves by the length of the gap at most.
    """
    latest = change.high + (change.high - change.low)
    around = Horizon(change.at - timedelta(hours=3), change.at + timedelta(hours=3))
    return tuple(
        run
        for run in occurrences_in(windows, around, "promised")
        if run.start < change.at < run.end
        or (run.notes and change.low <= to_wall(run.start, run.window.tz) <= latest)
    )


def _holidays(calendar: NamespaceCalendar, horizon: Horizon) -> tuple[NamedDay, ...]:
    """Return the named holidays that affect any of the windows."""
    heeding = [
        window
        for window in calendar.windows
        if window.roll != "none"
        or window.skip.holidays
        or isinstance(window.recurrence, BusinessDays)
    ]
    found: set[NamedDay] = set()
    for holidays, timezone in {(window.holidays, window.timezone) for window in heeding}:
        business = business_calendar(holidays, timezone)
        first = horizon.start.date()
        for offset in range((horizon.end - horizon.start).days + 1):
            day = first + timedelta(days=offset)
            if name := business.name_of(day):
                found.add(NamedDay(day, name))
    return tuple(sorted(found, key=lambda named: (named.day, named.name)))
