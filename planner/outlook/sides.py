"""Both sides of a plan as calendars: what is live, and what will be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from planner.diff import Change, Plan
from planner.model import Dates, GuardRails, Horizon, NamespaceCalendar, Window
from planner.outlook.reading import window_at, window_of
from planner.spec import Schedule
from workflows.contract import BoostRequest

Calendars = tuple[NamespaceCalendar, ...]


@dataclass(slots=True)
class _Side:
    """What there is of one namespace on one side: windows, and whose word counts for it."""

    windows: list[Window] = field(default_factory=list)
    requests: list[BoostRequest] = field(default_factory=list)

    def add(self, schedule: Schedule, windows: Iterable[Window]) -> None:
        """Take *schedule* in, which runs as *windows*."""
        self.windows += windows
        self.requests.append(schedule.request)


_Sides = defaultdict[str, _Side]


def sides(
    plan: Plan, desired: Iterable[Schedule], span: Horizon, now: datetime
) -> tuple[Calendars, Calendars]:
    """Return calendars of the same namespaces, in order: as it is, and as it will be."""
    changes = {change.id: change for change in plan.changes}
    before, after = _Sides(_Side), _Sides(_Side)
    for schedule in desired:
        if schedule.id not in changes:
            windows = () if schedule.paused else (window_of(schedule, span),)
            for side in (before, after):
                side[schedule.request.namespace].add(schedule, windows)
    for change in changes.values():
        live = _ours(change, plan.project)
        if live:
            before[change.namespace].add(live, _as_it_is(change, live, span))
        if known := change.desired or live:
            after[change.namespace].add(known, _as_it_will_be(change, live, span, now))
    names = sorted({*before, *after})
    return (
        tuple(_calendar(name, before[name], after[name]) for name in names),
        tuple(_calendar(name, after[name], before[name]) for name in names),
    )


def _ours(change: Change, project: str) -> Schedule | None:
    """Return the live side of *change*; a schedule that isn't ours asks for nothing of ours."""
    if change.live is None or change.live.project != project:
        return None
    live = change.live.schedule or change.desired
    return replace(live, paused=change.live.paused) if live else None


def _as_it_is(change: Change, live: Schedule, span: Horizon) -> list[Window]:
    """Return what runs by the *live* schedule, and the boosts of it that run now."""
    started = {boost.start for boost in change.running}
    windows = [] if live.paused else [_only(window_of(live, span), lambda at: at not in started)]
    return [*windows, *_boosts(change, live)]


def _as_it_will_be(
    change: Change, live: Schedule | None, span: Horizon, now: datetime
) -> list[Window]:
    """Return what runs once *change* is made.

    Boosts that run now keep what they have, unless they follow; what was asked for before
    *now* starts only where the plan says so.
    """
    kept = _boosts(change, live) if live and not change.follow else []
    desired = change.desired
    if desired is None or desired.paused:
        return kept
    window = window_of(desired, span)
    if change.follow or change.action == "unchanged":
        return [window]
    at_once = {nominal + window.lead for nominal in change.starts}
    return [_only(window, lambda at: at - window.lead > now or at in at_once), *kept]


def _boosts(change: Change, live: Schedule) -> list[Window]:
    """Return the boosts of *change* that run now, each as a window of its own."""
    return [
        replace(
            window_at(live, [(boost.start, boost.end)]),
            tru=boost.tru,
            lead=boost.start - boost.nominal,
        )
        for boost in change.running
    ]


def _only(window: Window, chosen: Callable[[datetime], bool]) -> Window:
    """Return *window* with those of its dates whose start is *chosen*."""
    assert isinstance(window.recurrence, Dates)
    kept = tuple(span for span in window.recurrence.spans if chosen(span.start.replace(tzinfo=UTC)))
    return replace(window, recurrence=Dates(kept))


def _calendar(name: str, side: _Side, other: _Side) -> NamespaceCalendar:
    """Return what is on one *side* as a calendar.

    Baseline and guard rails are the schedules' word; where there is none, that of the
    *other* side. A sync gives all schedules of a namespace the same.
    """
    requests = side.requests or other.requests
    baselines = [request.baseline for request in requests if request.baseline]
    rails = requests[0].rails
    return NamespaceCalendar(
        namespace=name,
        timezone="UTC",
        windows=tuple(side.windows),
        baseline=baselines[0] if baselines else None,
        guard_rails=GuardRails(allowed_tru=rails.allowed, max_tru=rails.max_tru),
    )
