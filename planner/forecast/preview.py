"""What a preview shows, computed once for all output formats."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Literal
from zoneinfo import ZoneInfo

from planner.errors import Lint, first_few
from planner.forecast.cost import (
    HOUR,
    Bill,
    ceil_hour,
    compute_bill,
    floor_hour,
    hours_of,
    minimum_actions,
)
from planner.forecast.timeline import (
    OCCURRENCE_ORDER,
    FleetStep,
    Step,
    baseline_of,
    combine_steps,
    fleet_steps,
    occurrences_in,
    target_lookup,
)
from planner.model import BusinessDays, Horizon, NamespaceCalendar, Occurrence, Project, Window
from planner.recurrence.business_days import business_calendar
from planner.timezones import ClockChange, clock_changes
from workflows.contract import combine, to_wall

SLIVER = timedelta(minutes=20)
"""The longest part of an hour that a hint suggests to give up; more is taken as intended."""

REVERT = timedelta(minutes=2)
"""How long a revert takes, by the service's own target; a raise takes as long."""

MOST_NAMES = 3
"""The windows that a hint for many names; the rest is counted."""

Kind = Literal["early-start", "late-end", "exact-end", "paid-gap", "free-until"]
"""What a hint is about; the names are stable.

- ``early-start``: the lead alone reaches into the hour before, which is billed.
- ``late-end``: the last few minutes reach into another hour, which is billed.
- ``exact-end``: it ends on an hour mark, so that the revert itself may cost an hour.
- ``paid-gap``: between two boosts nothing is in force in hours that are billed anyway.
- ``free-until``: the last hour is billed to its end and not used to its end.
"""


@dataclass(frozen=True, slots=True)
class CostHint:
    """One hint, for all the windows and occurrences of a namespace that it applies to.

    *actions* are what the change saves over the horizon, or for ``exact-end`` what is at
    stake; 0 where the hint offers time for free. Of several windows it is the sum of what
    each saves by itself: at least as much is saved if all are changed.
    """

    namespace: str
    windows: tuple[str, ...]
    kind: Kind
    runs: int
    actions: int
    message: str


@dataclass(frozen=True, slots=True)
class _Finding:
    """A hint for a single occurrence.

    *at* is in UTC, *minutes* is the size of the sliver, and *lead* the longest lead, jitter
    included, that would keep out of it: 0 where any would reach into it.
    """

    windows: tuple[str, ...]
    kind: Kind
    minutes: int
    actions: int
    at: datetime
    tz: ZoneInfo
    lead: timedelta = timedelta()


def cost_hints(calendar: NamespaceCalendar, horizon: Horizon) -> tuple[CostHint, ...]:
    """Return the hints for a namespace, largest saving first.

    Each saving is exact if that one hint is followed: an hour that another window needs
    anyway is never counted as saved.
    """
    occurrences = occurrences_in(calendar.raising, horizon, "requested")
    steps = combine_steps(calendar, occurrences, horizon, "requested")
    hourly = _HourlyCost(calendar, steps)
    found: list[_Finding] = []
    for occurrence in occurrences:
        if occurrence.start in horizon:
            found += _first_hour(occurrence, hourly)
            found += _last_hour(occurrence, hourly)
    for (before, gap), (_, after) in pairwise(pairwise(steps)):
        if gap.occurrences or not (before.occurrences and after.occurrences):
            continue
        if all(hourly.is_billed(hour) for hour in hours_of(gap.start, gap.end)):
            following = after.occurrences[0].window
            names = (before.occurrences[-1].window.name, following.name)
            minutes = _minutes(gap.end - gap.start)
            found.append(_Finding(names, "paid-gap", minutes, 0, gap.start, following.tz))
    groups: dict[Kind, list[_Finding]] = defaultdict(list)
    for finding in found:
        groups[finding.kind].append(finding)
    hints = (_summed_up(calendar, group) for group in groups.values())
    return tuple(sorted(hints, key=lambda hint: (_RANK[hint.kind], -hint.actions, hint.windows)))


class _HourlyCost:
    """The minimum of Actions of each calendar hour, and what a single occurrence adds to it."""

    def __init__(self, calendar: NamespaceCalendar, steps: Iterable[Step]) -> None:
        self._capacity = baseline_of(calendar)
        self._baseline = minimum_actions(self._capacity)
        self._target = target_lookup(calendar)
        self._known: dict[datetime, int] = {}
        self._steps: Mapping[datetime, list[Step]] = defaultdict(list)
        for step in steps:
            if step.occurrences:
                for hour in hours_of(step.start, step.end):
                    self._steps[hour].append(step)

    def is_billed(self, hour: datetime) -> bool:
        """Tell whether *hour* is billed more than the baseline."""
        return self._actions(hour) > self._baseline

    def saving(self, hour: datetime, without: Occurrence) -> int:
        """Return the Actions that *hour* costs because of *without* alone."""
        least = self._baseline
        for step in self._steps.get(hour, ()):
            others = (each for each in step.occurrences if each is not without)
            tru = combine(others, self._capacity)
            least = max(least, minimum_actions(self._target(tru).capacity))
        return self._actions(hour) - least

    def _actions(self, hour: datetime) -> int:
        if hour not in self._known:
            levels = (minimum_actions(step.capacity) for step in self._steps.get(hour, ()))
            self._known[hour] = max(levels, default=self._baseline)
        return self._known[hour]


def _first_hour(occurrence: Occurrence, hourly: _HourlyCost) -> Iterator[_Finding]:
    """Find a sliver before an hour mark that is billed as an hour of its own."""
    fires = occurrence.requests_tru
    sliver = ceil_hour(fires) - fires
    if timedelta() < sliver <= SLIVER and ceil_hour(fires) < occurrence.end:
        saved = hourly.saving(floor_hour(fires), occurrence)
        if saved:
            found = _finding(occurrence, "early-start", sliver, saved, fires)
            lead = occurrence.start - ceil_hour(fires)
            yield replace(found, lead=lead if lead > REVERT else timedelta())


def _last_hour(occurrence: Occurrence, hourly: _HourlyCost) -> Iterator[_Finding]:
    """Find a sliver after an hour mark, an unused rest of an hour, or an end on the mark."""
    end = occurrence.end
    mark = floor_hour(end)
    sliver = end - mark
    if not sliver:
        # If the revert is slow, the hour after the end costs what the one before does.
        at_stake = 0 if hourly.is_billed(end) else hourly.saving(end - HOUR, occurrence)
        if at_stake:
            yield _finding(occurrence, "exact-end", REVERT, at_stake, end)
        return
    saved = hourly.saving(mark, occurrence)
    if saved and sliver <= SLIVER and occurrence.requests_tru < mark:
        yield _finding(occurrence, "late-end", sliver, saved, end)
    elif saved:
        yield _finding(occurrence, "free-until", HOUR - sliver, 0, end)


def _finding(
    occurrence: Occurrence, kind: Kind, length: timedelta, actions: int, at: datetime
) -> _Finding:
    window = occurrence.window
    return _Finding((window.name,), kind, _minutes(length), actions, at, window.tz)


def _minutes(length: timedelta) -> int:
    """Return *length* in minutes, rounded up."""
    return -(-length // timedelta(minutes=1))


def _summed_up(calendar: NamespaceCalendar, findings: Sequence[_Finding]) -> CostHint:
    """Return one hint for *findings* of one kind."""
    first = findings[0]
    by_windows = dict.fromkeys(finding.windows for finding in findings)
    windows = tuple(dict.fromkeys(name for names in by_windows for name in names))
    names = " and ".join(filter(None, (", ".join(windows[:-1]), windows[-1])))
    if len(windows) > MOST_NAMES:
        names = first_few(windows, MOST_NAMES)
    sizes = {finding.minutes for finding in findings}
    lead = min(finding.lead for finding in findings)
    lead_minutes = lead // timedelta(minutes=1)
    sentences = _SENTENCES if len(by_windows) == 1 else _OF_MANY
    message = sentences[first.kind].format(
        first=first.windows[0],
        last=first.windows[-1],
        names=names,
        size=f"{max(sizes)} min" if len(sizes) == 1 else f"up to {max(sizes)} min",
        or_lead=f", or make lead and jitter {lead_minutes} min in all" if lead else "",
        at=_clock(first.at, first.tz),
        mark=_clock(floor_hour(first.at), first.tz),
        free=_clock(ceil_hour(first.at) - timedelta(minutes=1), first.tz),
    )
    actions = sum(finding.actions for finding in findings)
    return CostHint(calendar.namespace, windows, first.kind, len(findings), actions, message)


def _clock(instant: datetime, tz: ZoneInfo) -> str:
    """Return *instant* as wall time; hour marks are UTC's, whatever the zone shows then."""
    return f"{to_wall(instant, tz):%H:%M}"


_RANK: Mapping[Kind, int] = {
    "early-start": 0,
    "late-end": 0,
    "paid-gap": 1,
    "exact-end": 2,
    "free-until": 3,
}
"""The order of hints: savings, gaps that are billed, risks, free time."""

_SENTENCES: Mapping[Kind, str] = {
    "early-start": (
        "{first} is requested at {at}, {size} before the hour: that adds a billed hour; "
        "start the window {size} later{or_lead}"
    ),
    "late-end": (
        "{first} ends at {at}, {size} past the hour: that adds a billed hour; end by "
        "{mark}, or use it: it is free until {free}"
    ),
    "exact-end": (
        "{first} ends at {at} sharp: a revert that is slow by {size} bills one more hour; "
        "end 5 min earlier to be safe"
    ),
    "paid-gap": (
        "{first} and {last} leave a gap of {size} and pay it anyway; letting {first} run on "
        "costs nothing"
    ),
    "free-until": "{first} ends at {at}, its last hour is paid: it is free until {free}",
}

_OF_MANY: Mapping[Kind, str] = {
    "early-start": (
        "{names} are requested {size} before an hour: that adds a billed hour to each; start "
        "them so much later{or_lead}"
    ),
    "late-end": (
        "{names} end {size} past an hour: that adds a billed hour to each; end on the hour, or "
        "use the hour to its end"
    ),
    "exact-end": (
        "{names} end on an hour sharp: a revert that is slow by {size} bills one more hour; "
        "end 5 min earlier to be safe"
    ),
    "paid-gap": (
        "{names} leave gaps of {size} and pay them anyway; letting the earlier run on costs nothing"
    ),
    "free-until": "{names} end within an hour that is paid: it is free to its last minute",
}
"""What is said of several windows, or pairs of them, at once."""


@dataclass(frozen=True, slots=True)
class NamedDay:
    """A holiday that affects a window: a local day, its name, and the regions or files it is of."""

    day: date
    name: str
    sources: tuple[str, ...] = ()


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
        fleets: The floor of each fleet, filling the horizon; sorted by the fleet's name.
    """

    calendar: NamespaceCalendar
    occurrences: tuple[Occurrence, ...]
    steps: tuple[Step, ...]
    clock_changes: tuple[ZoneChange, ...]
    holidays: tuple[NamedDay, ...]
    hints: tuple[CostHint, ...]
    fleets: tuple[tuple[FleetStep, ...], ...] = ()

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
    def has_fleets(self) -> bool:
        """Whether any namespace has a fleet of workers."""
        return any(lane.fleets for lane in self.lanes)

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
    lanes = []
    for calendar in project.namespaces:
        occurrences = tuple(occurrences_in(calendar.windows, horizon, "promised"))
        lanes.append(
            Lane(
                calendar,
                occurrences,
                combine_steps(calendar, occurrences, horizon),
                _clock_changes(calendar, hull(horizon, year)),
                _holidays(calendar, horizon),
                cost_hints(calendar, year),
                tuple(fleet_steps(fleet, occurrences, horizon) for fleet in calendar.fleets),
            )
        )
    bill = compute_bill(project.namespaces, year, project.prices)
    return Preview(project, horizon, year, tuple(lanes), bill, tuple(sorted(set(warnings))))


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


def hull(one: Horizon, other: Horizon) -> Horizon:
    """Return the shortest span that contains both."""
    return Horizon(min(one.start, other.start), max(one.end, other.end))


def _clock_changes(calendar: NamespaceCalendar, span: Horizon) -> tuple[ZoneChange, ...]:
    """Return the clock changes of all zones of a namespace in *span*."""
    zones = sorted({calendar.timezone, *(window.timezone for window in calendar.windows)})
    found = []
    for zone in zones:
        mine = [window for window in calendar.windows if window.timezone == zone]
        for change in clock_changes(zone, span.start, span.end):
            # It affects what it moves, by the length of the gap at most, and what is under way.
            latest = change.high + (change.high - change.low)
            around = Horizon(change.at - timedelta(hours=3), change.at + timedelta(hours=3))
            affected = tuple(
                run
                for run in occurrences_in(mine, around, "promised")
                if run.start < change.at < run.end
                or (run.notes and change.low <= to_wall(run.start, run.window.tz) <= latest)
            )
            found.append(ZoneChange(zone, change, affected))
    return tuple(sorted(found, key=lambda item: (item.change.at, item.timezone)))


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
                found.add(NamedDay(day, name, business.sources_of(day)))
    return tuple(sorted(found, key=lambda named: (named.day, named.name, named.sources)))
