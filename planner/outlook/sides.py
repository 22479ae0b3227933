"""Both sides of a plan as runs of namespaces: what is live, and what will be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from operator import attrgetter

from planner.bill import Booked
from planner.diff import Change, Plan
from planner.model import GuardRails, Horizon, NamespaceCalendar, Occurrence
from planner.outlook.reading import Reader, Reading, Run, window_of
from planner.spec import Schedule
from workflows.contract import BoostRequest


@dataclass(frozen=True, slots=True)
class Side:
    """A namespace on one side: baseline and guard rails, and all that runs."""

    calendar: NamespaceCalendar
    readings: tuple[Reading, ...]

    def occurrences(self, horizon: Horizon) -> list[Occurrence]:
        """Return the runs that are open in *horizon*."""
        return [run for reading in self.readings for run in reading.occurrences(horizon)]

    def booked(self) -> Booked:
        """Return the runs as a bill counts them."""
        return self.calendar, sorted(
            (stay for reading in self.readings for stay in reading.stays()),
            key=attrgetter("start", "end"),
        )


@dataclass(slots=True)
class _Gathered:
    """What there is of one namespace on one side: runs, and whose word counts for it."""

    readings: list[Reading] = field(default_factory=list)
    requests: list[BoostRequest] = field(default_factory=list)

    def add(self, schedule: Schedule, readings: Iterable[Reading]) -> None:
        """Take *schedule* in, which runs as *readings* say."""
        self.readings += readings
        self.requests.append(schedule.request)


def sides(
    plan: Plan, desired: Iterable[Schedule], span: Horizon, now: datetime
) -> list[tuple[Side, Side]]:
    """Return each namespace as it is and as it will be, in order of their names."""
    reader = Reader(span)
    changes = {change.id: change for change in plan.changes}
    before: dict[str, _Gathered] = defaultdict(_Gathered)
    after: dict[str, _Gathered] = defaultdict(_Gathered)
    for schedule in desired:
        if schedule.id not in changes:
            readings = () if schedule.paused else (reader.read(schedule),)
            for side in (before, after):
                side[schedule.request.namespace].add(schedule, readings)
    for change in changes.values():
        live = _ours(change, plan.project)
        if live:
            before[change.namespace].add(live, _as_it_is(change, live, reader))
        if known := change.desired or live:
            after[change.namespace].add(known, _as_it_will_be(change, live, reader, now))
    return [
        (_side(name, before[name], after[name]), _side(name, after[name], before[name]))
        for name in sorted({*before, *after})
    ]


def _ours(change: Change, project: str) -> Schedule | None:
    """Return the live side of *change*; a schedule that isn't ours asks for nothing of ours."""
    if change.live is None or change.live.project != project:
        return None
    live = change.live.schedule or change.desired
    return replace(live, paused=change.live.paused) if live else None


def _as_it_is(change: Change, live: Schedule, reader: Reader) -> list[Reading]:
    """Return what runs by the *live* schedule, and the boosts of it that run now."""
    started = {boost.start for boost in change.running}
    readings = [] if live.paused else [reader.read(live).without(started)]
    return [*readings, *_boosts(change, live)]


def _as_it_will_be(
    change: Change, live: Schedule | None, reader: Reader, now: datetime
) -> list[Reading]:
    """Return what runs once *change* is made.

    Boosts that run now keep what they have, unless they follow; what was asked for before
    *now* starts only where the plan says so.
    """
    kept = _boosts(change, live) if live and not change.follow else []
    desired = change.desired
    if desired is None or desired.paused:
        return kept
    reading = reader.read(desired)
    if change.follow or change.action == "unchanged":
        return [reading]
    at_once = {nominal + reading.window.lead for nominal in change.starts}
    return [reading.asked_after(now, at_once), *kept]


def _boosts(change: Change, live: Schedule) -> list[Reading]:
    """Return the boosts of *change* that run now, each with the TRU and lead that it has."""
    window = window_of(live)
    return [
        Reading(
            replace(window, tru=boost.tru, lead=boost.start - boost.nominal),
            [Run.of(boost.start, boost.end)],
        )
        for boost in change.running
    ]


def _side(name: str, own: _Gathered, other: _Gathered) -> Side:
    """Return what is on one side of a namespace.

    Baseline and guard rails are the schedules' word; where there is none, that of the
    *other* side. A sync gives all schedules of a namespace the same.
    """
    requests = own.requests or other.requests
    baselines = [request.baseline for request in requests if request.baseline]
    rails = requests[0].rails
    calendar = NamespaceCalendar(
        namespace=name,
        timezone="UTC",
        windows=(),
        baseline=baselines[0] if baselines else None,
        guard_rails=GuardRails(allowed_tru=rails.allowed, max_tru=rails.max_tru),
    )
    return Side(calendar, tuple(own.readings))
