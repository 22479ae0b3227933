"""Where capacity and bill differ once a plan is applied."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import chain, pairwise
from operator import attrgetter
from typing import NamedTuple

from planner.diff import Change, Plan
from planner.diff.firings import firings_in
from planner.forecast.cost import TICK, Bill, Booked, Stay, compare, ticks
from planner.forecast.timeline import Step, combine_steps
from planner.model import Dates, GuardRails, Horizon, NamespaceCalendar, Occurrence, Prices, Window
from planner.schedules.spec import Schedule, StructuredCalendar
from workflows.contract import BoostRequest, Capacity, occurrence_of

LONGEST_NIGHT = timedelta(days=2)
"""More than any boost up to a wall time lasts, whatever the clock does."""


MOST_RUNS = 1_000_000
"""Runs of a year that are read back: some ten seconds' work, of 2,500 daily windows or more."""


class TooManyRuns(Exception):
    """There are more than `MOST_RUNS`: to reckon with them would take too long."""


class Run(NamedTuple):
    """One run, from *start* to *end*, both as instants and as the numbers of a bill."""

    start: datetime
    end: datetime
    first: int
    last: int

    @classmethod
    def of(cls, start: datetime, end: datetime) -> Run:
        """Return the run from *start* to *end*."""
        return cls(start, end, ticks(start), ticks(end))


@dataclass(frozen=True, slots=True)
class Reading:
    """What a schedule amounts to: *runs* of a *window* that has no recurrence of its own."""

    window: Window
    runs: Sequence[Run]

    def without(self, starts: Collection[datetime]) -> Reading:
        """Return it without the runs that have one of these *starts*."""
        if not starts:
            return self
        return replace(self, runs=[run for run in self.runs if run.start not in starts])

    def asked_after(self, now: datetime, at_once: Collection[datetime]) -> Reading:
        """Return the runs that are asked for after *now*, and those that start *at_once*."""
        opens = now + self.window.lead
        chosen = [run for run in self.runs if run.start > opens or run.start in at_once]
        return replace(self, runs=chosen)

    def occurrences(self, horizon: Horizon) -> list[Occurrence]:
        """Return the runs that are open in *horizon*."""
        return [
            Occurrence(run.start, run.end, self.window)
            for run in self.runs
            if run.start < horizon.end and run.end > horizon.start
        ]

    def stays(self) -> list[Stay]:
        """Return the runs as a bill counts them."""
        ahead, tru, combine = self.window.ahead // TICK, self.window.tru, self.window.combine
        return [Stay(first - ahead, first, last, tru, combine) for _, _, first, last in self.runs]


class Reader:
    """Reads schedules over one *horizon*, and each pattern of times once."""

    def __init__(self, horizon: Horizon) -> None:
        self._horizon = horizon
        self._known: dict[_Times, list[Run]] = {}
        self._count = 0

    def read(self, schedule: Schedule) -> Reading:
        """Return the runs of *schedule* that have a part in the horizon, lead included.

        Raises:
            TooManyRuns: With those that were read before there are too many.
        """
        times = _times(schedule)
        if times not in self._known:
            self._known[times] = list(self._runs(schedule))
        runs = self._known[times]
        self._count += len(runs)
        if self._count > MOST_RUNS:
            raise TooManyRuns
        return Reading(window_of(schedule), runs)

    def _runs(self, schedule: Schedule) -> Iterable[Run]:
        request, horizon = schedule.request, self._horizon
        usual = timedelta(seconds=request.ttl_seconds)
        longest = max(usual, schedule.catchup_window, LONGEST_NIGHT)
        ahead = timedelta(seconds=request.ahead_seconds)
        reach = Horizon(horizon.start - longest - ahead, horizon.end)
        for nominal in firings_in(schedule, reach):
            start, end = occurrence_of(request, nominal)
            if end > horizon.start:
                yield Run.of(start, end)


@dataclass(frozen=True, slots=True)
class _Times:
    """All that the runs of a schedule depend on: windows that share it share the work."""

    calendars: tuple[StructuredCalendar, ...]
    timezone: str
    bounds: tuple[datetime | None, datetime | None]
    lengths: tuple[int, int, timedelta]
    ends: tuple[str, str, frozenset[tuple[str, str]]]


def _times(schedule: Schedule) -> _Times:
    request = schedule.request
    return _Times(
        tuple(replace(calendar, comment="") for calendar in schedule.calendars),
        schedule.timezone,
        (schedule.start_at, schedule.end_at),
        (request.ahead_seconds, request.ttl_seconds, schedule.catchup_window),
        (request.until, request.timezone, frozenset(request.ends.items())),
    )


def window_of(schedule: Schedule) -> Window:
    """Return what *schedule* asks for as a window; when, is left to its runs."""
    request = schedule.request
    return Window(
        namespace=request.namespace,
        name=request.window,
        recurrence=Dates(()),
        tru=request.tru,
        asked=f"{request.tru} TRU",
        lead=timedelta(seconds=request.ahead_seconds),
        combine=request.combine,
    )


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


DAYS = timedelta(days=60)
"""How far the capacity is compared, stretch by stretch."""

MONTHS = 12
"""Months over which the bill is compared, this one's rest included."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time, ``[start, end)`` in UTC, in which another capacity will be in force than now.

    *windows* are those that run in it, on either side.
    """

    namespace: str
    start: datetime
    end: datetime
    before: Capacity
    after: Capacity
    windows: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rebasing:
    """Another baseline for a namespace: it counts from the next boost on."""

    namespace: str
    before: Capacity | None
    after: Capacity | None


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a plan changes: capacity over *days*, and the bill as it is and as it will be.

    Bills hold only what goes beyond the baseline; *rebasings* say where that is another.
    """

    days: Horizon
    stretches: tuple[Stretch, ...]
    rebasings: tuple[Rebasing, ...]
    before: Bill
    after: Bill

    @property
    def difference(self) -> float:
        """What the plan adds to the bill; less than zero where it saves."""
        return self.after.price - self.before.price


def outlook(plan: Plan, desired: Iterable[Schedule], prices: Prices, now: datetime) -> Outlook:
    """Return what *plan* changes from *now* on, were all of it applied.

    Args:
        plan: The changes, each with its live side described.
        desired: Every schedule that the files ask for; what *plan* doesn't change is
            live just so.
        prices: What the bill is reckoned with.
        now: When; whole hours count.

    Raises:
        TooManyRuns: The schedules run more than `MOST_RUNS` times in these months.
    """
    start = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    days, months = Horizon(start, start + DAYS), _months_from(start)
    span = Horizon(start, max(days.end, months.end))
    pairs = sides(plan, desired, span, now)
    differing = [(was, will) for was, will in pairs if was != will]
    return Outlook(
        days,
        tuple(chain.from_iterable(_stretches(*pair, days) for pair in differing)),
        tuple(_rebasings(differing)),
        *compare(((was.booked(), will.booked()) for was, will in pairs), months, prices),
    )


def _months_from(start: datetime) -> Horizon:
    """Return the rest of this month and the months that follow."""
    number = start.year * 12 + start.month - 1 + MONTHS
    end = start.replace(year=number // 12, month=number % 12 + 1, day=1, hour=0)
    return Horizon(start, end)


def _rebasings(
    pairs: Iterable[tuple[Side, Side]],
) -> Iterator[Rebasing]:
    """Yield the namespaces whose baseline isn't what it was."""
    for was, will in pairs:
        before, after = was.calendar.baseline, will.calendar.baseline
        if before != after:
            yield Rebasing(was.calendar.namespace, before, after)


def _stretches(was: Side, will: Side, days: Horizon) -> Iterator[Stretch]:
    """Yield where both sides of a namespace differ in what is in force, in order."""
    before, after = (
        combine_steps(side.calendar, side.occurrences(days), days) for side in (was, will)
    )
    pending: Stretch | None = None
    for found in _cut(before, after):
        if pending and pending.end == found.start and _alike(pending, found):
            pending = replace(pending, end=found.end)
            continue
        if pending:
            yield pending
        pending = found
    if pending:
        yield pending


def _cut(before: Sequence[Step], after: Sequence[Step]) -> Iterator[Stretch]:
    """Yield the pieces that differ, cut at every edge of either side.

    Where nothing is boosted, another baseline makes no difference by itself.
    """
    edges = sorted({step.start for step in (*before, *after)} | {before[-1].end})
    old, new = iter(before), iter(after)
    was, will = next(old), next(new)
    for start, end in pairwise(edges):
        while was.end <= start:
            was = next(old)
        while will.end <= start:
            will = next(new)
        if was.capacity != will.capacity and (was.claims or will.claims):
            windows = tuple(sorted({each.window.name for each in (*was.claims, *will.claims)}))
            yield Stretch(was.namespace, start, end, was.capacity, will.capacity, windows)


def _alike(one: Stretch, other: Stretch) -> bool:
    return (one.before, one.after, one.windows) == (other.before, other.after, other.windows)
