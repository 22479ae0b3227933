"""The windows of a namespace combined into one step function of capacity, and its reasons.

`workflows.contract.target_of` combines them: the same function that decides the keeper's
target, so that a preview shows what the run time does.

`violations` says where a capacity history doesn't conform to it. The demo and every test of the
whole judge by that: ready when a window opens, never cut short, always reverted, and never more
than requested.

`explain` says why a namespace has its capacity at an instant, and what comes next; `explain_day`
why a window runs on a day, or doesn't.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby, zip_longest
from operator import attrgetter, itemgetter
from typing import Literal, Protocol

from planner.model import BusinessDays, Horizon, NamespaceCalendar, Occurrence, Window
from planner.occurrences.expand import Candidate, candidates, expand, longest, pattern_of
from planner.recurrence.business_days import ROLL_LIMIT
from planner.timezones import clock_changes
from workflows.contract import (
    ON_DEMAND,
    Capacity,
    Combine,
    Fleet,
    Floor,
    Rails,
    Target,
    floor_of,
    format_instant,
    provisioned_tru,
    target_of,
    to_instant,
    to_wall,
)

View = Literal["promised", "requested"]
"""Which interval of an occurrence counts.

- ``promised``: ``[start, end)``, in which the capacity must be in force.
- ``requested``: from its request to its end, the longest that a lease may count, and what is
  billed: TRU and each fleet are requested by their own leads.
"""

OCCURRENCE_ORDER = attrgetter("start", "end", "window.namespace", "window.name")
"""The same order as `Occurrence.order`, but faster for hundreds of thousands of them."""


@dataclass(frozen=True, slots=True)
class Step:
    """An interval ``[start, end)`` in UTC in which the same occurrences are active.

    Attributes:
        target: The capacity in force, and the reason where it isn't the requested one.
        occurrences: The active occurrences, sorted; empty where the baseline is in force.
            Adjacent steps differ in them, though not always in their capacity.
    """

    namespace: str
    start: datetime
    end: datetime
    target: Target
    occurrences: tuple[Occurrence, ...] = field(default=(), repr=False)

    @property
    def capacity(self) -> Capacity:
        """The capacity in force."""
        return self.target.capacity

    @property
    def windows(self) -> tuple[str, ...]:
        """The names of the active windows, sorted and unique."""
        return tuple(sorted({each.window.name for each in self.occurrences}))


def timeline(
    calendar: NamespaceCalendar, horizon: Horizon, view: View = "promised"
) -> tuple[Step, ...]:
    """Return the capacity of a namespace over *horizon* as adjacent steps that fill it.

    Occurrences that start before the horizon and reach into it count; paused windows don't.
    """
    return combine_steps(calendar, occurrences_in(calendar.windows, horizon, view), horizon, view)


def combine_steps(
    calendar: NamespaceCalendar,
    occurrences: Iterable[Occurrence],
    horizon: Horizon,
    view: View = "promised",
) -> tuple[Step, ...]:
    """Return the steps that *occurrences* of one namespace make over *horizon*."""
    target, demand = target_lookup(calendar), Demand(baseline_of(calendar))
    ranked = sorted(occurrences, key=OCCURRENCE_ORDER)
    steps: list[Step] = []
    active: list[int] = []  # indexes into *ranked*, sorted

    def step(start: datetime, end: datetime) -> Step:
        together = tuple([ranked[each] for each in active])
        return Step(calendar.namespace, start, end, target(demand.tru), together)

    before = horizon.start
    for at, begins, index in _edges(ranked, horizon, _tru_begin(view)):
        if before < at:
            steps.append(step(before, at))
            before = at
        occurrence = ranked[index]
        if begins:
            insort(active, index)
            demand.add(occurrence.tru, occurrence.combine)
        else:
            del active[bisect_left(active, index)]
            demand.remove(occurrence.tru, occurrence.combine)
    if before < horizon.end:
        steps.append(step(before, horizon.end))
    return tuple(steps)


@dataclass(frozen=True, slots=True)
class FleetStep:
    """An interval ``[start, end)`` in UTC in which the same occurrences need a fleet's workers.

    Attributes:
        floor: The least replicas of the fleet, and what requests them.
        occurrences: The active occurrences that need its workers, sorted.
    """

    fleet: Fleet
    start: datetime
    end: datetime
    floor: Floor
    occurrences: tuple[Occurrence, ...] = field(default=(), repr=False)

    @property
    def replicas(self) -> int:
        """The least replicas."""
        return self.floor.replicas


def fleet_steps(
    fleet: Fleet, occurrences: Iterable[Occurrence], horizon: Horizon, view: View = "promised"
) -> tuple[FleetStep, ...]:
    """Return the floor under *fleet* over *horizon* as adjacent steps that fill it.

    Of the *occurrences* of its namespace those count that need workers of it, as
    `workflows.contract.floor_of` combines them: the same function that decides the floor at run
    time.
    """
    lead = fleet.lead if view == "requested" else timedelta()
    counted = replace(fleet, lead_seconds=lead // timedelta(seconds=1))
    using = [each for each in occurrences if fleet.name in dict(each.window.workers)]
    ranked = sorted(using, key=OCCURRENCE_ORDER)
    demands = [_WorkerDemand.of(occurrence) for occurrence in ranked]
    steps: list[FleetStep] = []
    active: list[int] = []

    def step(start: datetime, end: datetime) -> FleetStep:
        floor = floor_of(counted, (demands[each] for each in active), start)
        return FleetStep(fleet, start, end, floor, tuple(ranked[each] for each in active))

    before = horizon.start
    for at, begins, index in _edges(ranked, horizon, lambda each: each.start - lead):
        if before < at:
            steps.append(step(before, at))
            before = at
        if begins:
            insort(active, index)
        else:
            del active[bisect_left(active, index)]
    if before < horizon.end:
        steps.append(step(before, horizon.end))
    return tuple(steps)


@dataclass(frozen=True, slots=True)
class _WorkerDemand:
    """The demand for workers of an occurrence, as the run time's leases have it."""

    window: str
    start: datetime
    until: datetime
    combine: Combine
    workers: Mapping[str, int]

    @classmethod
    def of(cls, occurrence: Occurrence) -> _WorkerDemand:
        window = occurrence.window
        workers = dict(window.workers)
        return cls(window.name, occurrence.start, occurrence.end, window.combine, workers)


def target_lookup(calendar: NamespaceCalendar) -> Callable[[int], Target]:
    """Return a cached function from requested TRU to the target of the namespace.

    The target depends on nothing but the combined TRU (`Demand`), and days repeat.
    """
    baseline, rails = baseline_of(calendar), rails_of(calendar)
    known: dict[int, Target] = {}

    def target(requested: int) -> Target:
        if requested not in known:
            known[requested] = target_of((_Combined(requested),), baseline, rails)
        return known[requested]

    return target


@dataclass(frozen=True, slots=True)
class _Combined:
    """Stands for several leases by their combined TRU."""

    tru: int
    combine: Combine = "max"


def occurrences_in(windows: Iterable[Window], horizon: Horizon, view: View) -> list[Occurrence]:
    """Return the occurrences of *windows* whose interval overlaps *horizon*, sorted.

    Paused windows have none.
    """
    found: list[Occurrence] = []
    for window in windows:
        if window.paused:
            continue
        late = window.ahead if view == "requested" else timedelta()
        reach = Horizon(horizon.start - longest(pattern_of(window)), horizon.end + late)
        found += (
            occurrence
            for occurrence in expand(window, reach)
            if begin_of(occurrence, view) < horizon.end and occurrence.end > horizon.start
        )
    return sorted(found, key=OCCURRENCE_ORDER)


def begin_of(occurrence: Occurrence, view: View) -> datetime:
    """Return when *occurrence* begins to count in *view*, for TRU or for any fleet."""
    return occurrence.start if view == "promised" else occurrence.fires


def _tru_begin(view: View) -> Callable[[Occurrence], datetime]:
    """Return from when on an occurrence counts in the steps of TRU."""
    if view == "promised":
        return attrgetter("start")
    return lambda each: each.requests_tru if each.tru else each.fires


def baseline_of(calendar: NamespaceCalendar) -> Capacity:
    """Return the declared baseline of a namespace, or on-demand without one."""
    return calendar.baseline or ON_DEMAND


def rails_of(calendar: NamespaceCalendar) -> Rails:
    """Return the guard rails of a namespace in the form that the run time uses."""
    return calendar.guard_rails.rails


class Demand:
    """The combined TRU of the active occurrences, kept up to date as they begin and end.

    `tru` always equals `workflows.contract.combine` of the occurrences added and not yet
    removed, with the *baseline*. Recomputing it at each begin and end would take time quadratic
    in the number of windows; here one change costs about the same however many are active.
    """

    __slots__ = ("_added", "_highest", "_least", "_levels")

    def __init__(self, baseline: Capacity) -> None:
        self._least = provisioned_tru(baseline)
        self._levels: dict[int, int] = {}
        self._highest = 0
        self._added = 0

    @property
    def tru(self) -> int:
        """The combined TRU; 0 where nothing is active."""
        return max(self._highest, self._least) + self._added if self._added else self._highest

    def add(self, tru: int, combine: Combine) -> None:
        """Count an occurrence that begins."""
        if combine == "add":
            self._added += tru
            return
        self._levels[tru] = self._levels.get(tru, 0) + 1
        if tru > self._highest:
            self._highest = tru

    def remove(self, tru: int, combine: Combine) -> None:
        """Stop counting an occurrence that was added."""
        if combine == "add":
            self._added -= tru
            return
        self._levels[tru] -= 1
        if not self._levels[tru]:
            del self._levels[tru]
            self._highest = max(self._levels, default=0)  # few: the allowed values


def _edges(
    ranked: Sequence[Occurrence], horizon: Horizon, begin_of: Callable[[Occurrence], datetime]
) -> list[tuple[datetime, bool, int]]:
    """Return when each occurrence begins and ends within *horizon*, sorted, ends first."""
    edges = []
    for index, occurrence in enumerate(ranked):
        begin, end = begin_of(occurrence), occurrence.end
        if begin < horizon.end and end > horizon.start:
            edges.append((max(begin, horizon.start), True, index))
            if end < horizon.end:
                edges.append((end, False, index))
    edges.sort()
    return edges


_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class CapacityRecord:
    """A capacity in force from *at* on, up to the next record."""

    at: datetime
    capacity: Capacity


class ExpectedStep(Protocol):
    """An interval ``[start, end)`` in UTC in which one capacity is due."""

    @property
    def start(self) -> datetime:
        """The start, inclusive."""

    @property
    def end(self) -> datetime:
        """The end, exclusive."""

    @property
    def capacity(self) -> Capacity:
        """The capacity that is due."""


def level(capacity: Capacity) -> float:
    """Return *capacity* as a number to compare by; on-demand is below every TRU."""
    return capacity.tru or 0


def violations(
    history: Sequence[CapacityRecord],
    promised: Iterable[ExpectedStep],
    requested: Iterable[ExpectedStep],
    baseline: Capacity,
    *,
    settle: timedelta,
) -> tuple[str, ...]:
    """Return a sentence for each violation in *history*; empty if it conforms.

    Args:
        history: The capacities in force, oldest first; the last one lasts for ever.
        promised: The least that must be in force: windows from start to end.
        requested: The most that may be in force: windows from firing to end.
        baseline: What must be in force where nothing is requested.
        settle: How long after an end the revert may take.
    """
    if not history:
        return ("no capacity was seen at all",)
    times = [record.at for record in history]
    found = []
    for step in promised:
        first = max(bisect_right(times, step.start) - 1, 0)
        last = bisect_right(times, step.end - _TICK)
        for record in history[first:last]:
            if level(record.capacity) < level(step.capacity):
                since = max(record.at, step.start)
                found.append(
                    f"{format_instant(since)}: {record.capacity} in force, {step.capacity} due "
                    f"from {format_instant(step.start)} to {format_instant(step.end)}"
                )
    return (*found, *_out_of_bounds(history, requested, baseline, settle))


def _out_of_bounds(
    history: Sequence[CapacityRecord],
    requested: Iterable[ExpectedStep],
    baseline: Capacity,
    settle: timedelta,
) -> list[str]:
    """Return a sentence for each record above everything requested, or below the baseline."""
    edges: list[tuple[datetime, int, float]] = []
    for step in requested:
        capacity = level(step.capacity)
        edges += [(step.start, 1, capacity), (step.end + settle, -1, capacity)]
    active: Counter[float] = Counter()
    # Each instant, and the most that may be in force from it on.
    ceilings = [(datetime.min.replace(tzinfo=UTC), 0.0)]
    for since, group in groupby(sorted(edges), key=itemgetter(0)):
        for _, change, capacity in group:
            active[capacity] += change
        ceilings.append((since, max((+active).keys(), default=0.0)))
    times = [since for since, _ in ceilings]
    found = []
    for record, following in zip_longest(history, history[1:]):
        held, at, gone = record.capacity, record.at, following.at if following else None
        if gone is not None and gone <= at:
            continue  # it lasted no time
        if level(held) < level(baseline):
            found.append(f"{format_instant(at)}: {held} in force, below {baseline}")
        first = max(bisect_right(times, at) - 1, 0)
        last = len(times) if gone is None else bisect_right(times, gone - _TICK)
        for since, ceiling in ceilings[first:last]:
            if level(held) > max(ceiling, level(baseline)):
                due = Capacity(ceiling) if ceiling else baseline
                above = format_instant(max(since, at))
                found.append(f"{above}: {held} in force, {due} at most was due")
                break
    return found


# Explanations ------------------------------------------------------------------------


LOOKAHEAD = timedelta(days=400)
"""How far to look for the next change: everything that recurs within a year is found."""


@dataclass(frozen=True, slots=True)
class ActiveWindow:
    """A window that counts at the instant, with its occurrence.

    *is_open* is False during the lead: the schedule has fired, the start is still ahead.
    """

    occurrence: Occurrence
    is_open: bool


@dataclass(frozen=True, slots=True)
class InactiveWindow:
    """A window that doesn't count at the instant.

    Attributes:
        story: The local day: its occurrences at other times, or why there are none.
        next_occurrence: The next one within `LOOKAHEAD`, None without any.
    """

    window: Window
    story: DayExplanation
    next_occurrence: Occurrence | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The capacity of a namespace at an instant, with its reasons.

    Attributes:
        at: The instant, UTC.
        promised: The step by open windows only.
        requested: The step that also counts windows whose schedule has fired.
        active: The windows that count in *requested*.
        inactive: All other windows, paused ones included, in the order of the file.
        next_step: The next change of the requested capacity within `LOOKAHEAD`, or None.
        fleets: The floor of each fleet, and its next change within `LOOKAHEAD`, or None.
    """

    calendar: NamespaceCalendar
    at: datetime
    promised: Step
    requested: Step
    active: tuple[ActiveWindow, ...]
    inactive: tuple[InactiveWindow, ...]
    next_step: Step | None
    fleets: tuple[tuple[FleetStep, FleetStep | None], ...] = ()


def explain(calendar: NamespaceCalendar, at: datetime) -> Explanation:
    """Return why a namespace has its capacity at *at*, according to its calendar."""
    horizon = Horizon(at, at + LOOKAHEAD)
    ahead = occurrences_in(calendar.windows, horizon, "requested")
    steps = combine_steps(calendar, ahead, horizon, "requested")
    now, fleets = steps[0], []
    for fleet in calendar.fleets:
        floor, *later = fleet_steps(fleet, ahead, horizon, "requested")
        change = next((step for step in later if step.replicas != floor.replicas), None)
        fleets.append((floor, change))
    active = tuple(each for each in ahead if each.fires <= at < each.end)
    counting = {occurrence.window for occurrence in active}
    return Explanation(
        calendar,
        at,
        combine_steps(calendar, active, horizon, "promised")[0],
        now,
        tuple(ActiveWindow(each, each.start <= at) for each in active),
        tuple(
            InactiveWindow(
                window,
                explain_day(window, to_wall(at, window.tz).date()),
                next((each for each in ahead if each.window == window), None),
            )
            for window in calendar.windows
            if window not in counting
        ),
        next((step for step in steps[1:] if step.capacity != now.capacity), None),
        tuple(fleets),
    )


def fleet_reasons(step: FleetStep) -> tuple[str, ...]:
    """Return the rules that lead to the floor of *step*, one phrase each."""
    name, fleet, floor = step.fleet.name, step.fleet, step.floor
    if not step.occurrences:
        return (f"no window needs any: its minimum is {fleet.min:,}",)
    needs = {each.window.name: dict(each.window.workers)[name] for each in step.occurrences}
    rivals = [each.window.name for each in step.occurrences if each.combine == "max"]
    adding = [each.window.name for each in step.occurrences if each.combine == "add"]
    phrases = []
    if rivals:
        first = max(rivals, key=needs.__getitem__)
        of = f", the highest of {len(rivals)}" if len(rivals) > 1 else ""
        phrases.append(f"{first} needs {needs[first]:,}{of}")
    if adding:
        ground = "on top of that" if rivals else f"on top of its minimum of {fleet.min:,}"
        phrases.append(f"{ground}: {' and '.join(f'{each} {needs[each]:,}' for each in adding)}")
    if floor.falls_short:
        phrases.append(f"held at its maximum of {fleet.max:,}, though {floor.requested:,} are due")
    return tuple(phrases)


def reasons_of(step: Step) -> tuple[str, ...]:
    """Return the rules that lead to the capacity of *step*, one phrase each."""
    if not step.occurrences:
        return ("no window runs: the baseline is in force",)
    phrases = [_highest(step), _added(step), step.target.reason]
    return tuple(phrase for phrase in phrases if phrase)


def _highest(step: Step) -> str:
    """Return which window sets the level, and of how many; empty if none does."""
    rivals = [each for each in step.occurrences if each.combine == "max"]
    first = max(rivals, key=lambda each: each.tru, default=None)
    if first is None or _level(step) > first.tru:
        return ""
    needs = f"{first.window.name} needs {first.tru} TRU"
    return f"{needs}, the highest of {len(rivals)}" if len(rivals) > 1 else needs


def _level(step: Step) -> int:
    """Return the TRU that the windows of *step* that add come on top of."""
    added = sum(each.tru for each in step.occurrences if each.combine == "add")
    return step.target.requested - added


def _added(step: Step) -> str:
    """Return what ``combine: add`` puts on top, or what it makes without a level below."""
    adding = [each for each in step.occurrences if each.combine == "add"]
    names = " and ".join(f"{each.window.name} {each.tru} TRU" for each in adding)
    if not adding:
        return ""
    if _highest(step):
        return f"on top of that: {names}"
    if level := _level(step):
        return f"on top of the baseline of {level} TRU: {names}"
    if len(adding) == 1:
        return f"{adding[0].window.name} needs {adding[0].tru} TRU"
    return f"{names}, added up"


# A window on a day -------------------------------------------------------------------

LOOKS_AHEAD = (timedelta(days=2), timedelta(days=40), timedelta(days=400))
"""How far to look for the next run, in widening steps: frequent runs are found at once."""

MAX_STARTS = 20
"""Starts of one day that are explained; the others are counted."""

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class DayExplanation:
    """The runs of a window on a local day, and the reasons in words.

    *runs* start on the day; *under_way* started before it and end in it or later. *reasons*
    say what was rolled, skipped or out of range, and what the clock does on that day; there
    is at least one where nothing starts.
    """

    day: date
    runs: tuple[Occurrence, ...]
    under_way: tuple[Occurrence, ...]
    reasons: tuple[str, ...]


def explain_day(window: Window, day: date) -> DayExplanation:
    """Return why *window* runs or doesn't run on *day*, a date of its own zone.

    Raises:
        InputError: It starts too often.
    """
    begin, end = (
        to_instant(datetime.combine(each, time()), window.tz) for each in (day, day + _DAY)
    )
    around = expand(window, Horizon(begin - longest(pattern_of(window)), end))
    runs = tuple(o for o in around if o.start >= begin)
    under_way = tuple(o for o in around if o.start < begin < o.end)
    reach = (ROLL_LIMIT if window.roll != "none" else 1) * _DAY
    found = [
        candidate
        for candidate in candidates(pattern_of(window), day - reach, day + reach)
        if day in (candidate.written.date(), candidate.wall.date())
    ]
    reasons = []
    for candidate in found:
        excluded = (f"not run: {candidate.excluded}",) if candidate.excluded else ()
        if verdict := "; ".join((*candidate.timing.notes, *excluded)):
            reasons.append(f"{candidate.written:%a %Y-%m-%d %H:%M}: {verdict}")
    if (more := len(reasons) - MAX_STARTS) > 0:
        reasons[MAX_STARTS:] = [f"and {more:,} more starts alike"]
    reasons += _calendar(window, day, found)
    reasons += [
        f"the clock {'skips' if change.is_gap else 'shows'} {change.low:%H:%M} to "
        f"{change.high:%H:%M}{'' if change.is_gap else ' twice'} on this day"
        for change in clock_changes(window.timezone, begin, end)
    ]
    if not runs:
        spans = (Horizon(end, end + look_ahead) for look_ahead in LOOKS_AHEAD)
        following = next((later for span in spans if (later := expand(window, span))), None)
        when = f", nor in the {LOOKS_AHEAD[-1].days} days after it"
        if following:
            start = to_wall(following[0].start, window.tz)
            when = f"; the next run starts {start:%a %Y-%m-%d %H:%M}"
        reasons.append(f"nothing starts on {day:%a %Y-%m-%d}{when}")
    return DayExplanation(day, runs, under_way, tuple(dict.fromkeys(reasons)))


def _calendar(window: Window, day: date, found: Iterable[Candidate]) -> list[str]:
    """Return why *day* is no business day, if that decides about the starts on it.

    It does if the window counts business days, or rolls one of *found* that is written for it.
    """
    pattern = pattern_of(window)
    rolls = pattern.roll != "none" and any(start.written.date() == day for start in found)
    if not rolls and not isinstance(pattern.recurrence, BusinessDays):
        return []
    why = pattern.business.why_not(day)
    return [f"{day:%a %Y-%m-%d} is {why}"] if why else []
