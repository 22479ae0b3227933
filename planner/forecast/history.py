"""What came of the boosts of a time: each beside what its calendar wanted, and what was billed.

Made of what the runs of keepers recorded, and of the list of boosts: the first know what was
in force, the second also what never came to a lease. Pure: nothing is looked up here.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import groupby, pairwise
from operator import attrgetter
from typing import Literal

from planner.forecast.cost import (
    HOUR_TICKS,
    Bill,
    BilledInterval,
    NamespaceIntervals,
    compare_bills,
    hourly_tru,
    minimum_actions,
    ticks,
)
from planner.forecast.timeline import baseline_of, level, occurrences_in
from planner.model import GuardRails, Horizon, NamespaceCalendar, Prices
from workflows.contract import (
    BoostRequest,
    Capacity,
    CapacityInForce,
    Capped,
    Combine,
    HeldCapacity,
    KeeperRecord,
    LeaseRecord,
    Rails,
    lease_of,
)
from workflows.contract.findings import BoostVerdict, MissedBoost

Outcome = Literal[
    "held", "late", "capped", "released", "running", "uncovered", "missed", "skipped", "unknown"
]
"""What came of a boost.

- ``held``: its capacity was in force from its start, or before, to its end.
- ``late``: it was in force only after the start.
- ``capped``: there was less than it requested, by its guard rails or by what the Cloud had.
- ``released``: it was ended before its end, or cancelled.
- ``running``: it holds its capacity now.
- ``uncovered``: it runs now, and doesn't have its capacity.
- ``missed``: its window ended, and never had its capacity.
- ``skipped``: it was refused before it came, as by ``planner skip``.
- ``unknown``: no record of it is kept.
"""


LONGEST_AHEAD = timedelta(days=1)
"""How long before a window's start its boost may be due: its lead and jitter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedBoost:
    """A boost as the list of workflows has it; times are aware UTC.

    *fires* is when it was due: its firing's nominal time, or its start where it was by hand.
    *status* is the name of its execution status. *missed* is what its memo says, and *request*
    its input where that was read.
    """

    id: str
    run: str
    namespace: str
    window: str
    fires: datetime
    started: datetime
    closed: datetime | None
    status: str
    missed: MissedBoost | None = None
    request: BoostRequest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What was looked at, and how far back it reaches.

    *kept_since* is the oldest end of a workflow that the server still keeps, None where it
    doesn't say; *retention* is how long it keeps them. *unread* says what could not be read.
    """

    boosts: int = 0
    keepers: int = 0
    histories: int = 0
    kept_since: datetime | None = None
    retention: timedelta | None = None
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BoostHistory:
    """What came of one boost.

    Attributes:
        namespace: The Temporal Cloud namespace.
        window: Its window, ``by-hand`` without one.
        start: The window's start; None where only the time of the firing is known.
        end: The window's end.
        fires: When the boost was due: the start less lead and jitter.
        tru: What it requested; None where that isn't known.
        workers: The replicas that it requested, by fleet.
        combine: How it counts beside others.
        by: Who requested it: ``schedule``, or a person.
        reason: Why, in that person's words.
        project: The project of its calendar.
        outcome: What came of it.
        why: The same in words, where there is more to say.
        granted: The most that it had; None where it had nothing.
        capped: Why that is less than requested.
        since: When its capacity came into force.
        until: When that ended: with the revert, or with its own end where others kept it up.
        lacking: The times between in which it didn't have it.
        changes: The capacities that others set meanwhile.
        billed_hours: Calendar hours, UTC, in which it had more than the baseline.
        foreseen_hours: The same of the time from its firing to the window's end.
        price: What these hours cost it, as if it were alone and the namespace idle.
        foreseen_price: The same of the foreseen hours.
        verdict: What usage shows of it; None without a source of usage, before its end, and
            where its times aren't known.
    """

    namespace: str
    window: str
    start: datetime | None
    end: datetime | None
    fires: datetime | None
    outcome: Outcome
    tru: int | None = None
    workers: Mapping[str, int] = field(default_factory=dict, hash=False)
    combine: Combine = "max"
    by: str = ""
    reason: str = ""
    project: str = ""
    why: str = ""
    granted: Capacity | None = None
    capped: Capped = ""
    since: datetime | None = None
    until: datetime | None = None
    lacking: tuple[tuple[datetime, datetime], ...] = ()
    changes: tuple[CapacityInForce, ...] = ()
    billed_hours: int = 0
    foreseen_hours: int = 0
    price: float = 0.0
    foreseen_price: float = 0.0
    verdict: BoostVerdict | None = None

    @property
    def begins(self) -> datetime:
        """Where it stands in the order of time."""
        found = self.start or self.fires or self.since
        assert found, "a boost has a time"
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The boosts of *horizon* by start, and the bills of it: what was, and what was foreseen."""

    horizon: Horizon
    boosts: tuple[BoostHistory, ...]
    billed: Bill
    foreseen: Bill
    reach: Reach


def history_of(
    boosts: Iterable[ListedBoost],
    records: Iterable[KeeperRecord],
    horizon: Horizon,
    now: datetime,
    prices: Prices,
    reach: Reach,
) -> History:
    """Return what came of the boosts whose window, or capacity, overlaps *horizon*.

    Args:
        boosts: The boosts that the server's list has, of any time.
        records: What runs of keepers did, each run once.
        horizon: The time.
        now: The current time, up to which what still runs is counted.
        prices: The price list.
        reach: What was looked at.
    """
    by_namespace: dict[str, list[KeeperRecord]] = defaultdict(list)
    for record in sorted(records, key=attrgetter("start")):
        by_namespace[record.namespace].append(record)
    listed: dict[str, list[ListedBoost]] = defaultdict(list)
    for boost in boosts:
        listed[boost.namespace].append(boost)
    found: list[BoostHistory] = []
    pairs: list[tuple[NamespaceIntervals, NamespaceIntervals]] = []
    for name in sorted({*by_namespace, *listed}):
        known = _Namespace.of(name, by_namespace[name], now)
        own = [boost for boost in known.boosts(listed[name]) if _overlaps(boost, horizon, now)]
        intervals = known.foreseen(own), known.in_force()
        pairs.append(((known.calendar, intervals[0]), (known.actual, intervals[1])))
        found += known.priced(own, horizon, prices)
    foreseen, billed = compare_bills(pairs, horizon, prices)
    found.sort(key=lambda one: (one.begins, one.namespace, one.window))
    return History(
        horizon=horizon, boosts=tuple(found), billed=billed, foreseen=foreseen, reach=reach
    )


def unexplained(
    boosts: Iterable[ListedBoost], records: Iterable[KeeperRecord], horizon: Horizon
) -> list[ListedBoost]:
    """Return the boosts of whose leases there is no record: only their input has the window."""
    listed = list(boosts)
    firings = _firings(listed)
    known = {
        _place(record.namespace, lease.window, fires)
        for record in records
        for lease in record.leases
        if (fires := _firing_of(lease, firings.get((record.namespace, lease.window), ())))
    }
    found = []
    for boost in listed:
        if boost.request is not None or boost.fires >= horizon.end:
            continue
        is_open = boost.closed is None or boost.closed >= horizon.start
        is_missed = boost.missed is not None and _instant(boost.missed.end) > horizon.start
        concerns = is_open or is_missed or boost.fires >= horizon.start  # apart from any lease
        if concerns and _place(boost.namespace, boost.window, boost.fires) not in known:
            found.append(boost)
    return found


def recorded_firings(
    records: Iterable[KeeperRecord], listed: Iterable[ListedBoost], span: Horizon
) -> Counter[str]:
    """Count the firings in *span* of whose leases there are records, by namespace.

    Those of the boosts *listed* are left out: what remains are the firings that need no list.
    """
    firings = {
        _place(record.namespace, lease.window, lease.fires)
        for record in records
        for lease in record.leases
        if lease.by == "schedule" and lease.fires and lease.fires in span
    }
    firings -= {_place(one.namespace, one.window, one.fires) for one in listed}
    return Counter(namespace for namespace, _, _ in firings)


def _firings(boosts: Iterable[ListedBoost]) -> dict[tuple[str, str], list[datetime]]:
    """Return when the boosts of each namespace and window were due, sorted."""
    found: dict[tuple[str, str], list[datetime]] = defaultdict(list)
    for boost in boosts:
        found[boost.namespace, boost.window].append(boost.fires)
    return {window: sorted(firings) for window, firings in found.items()}


def _firing_of(lease: LeaseRecord, firings: Sequence[datetime]) -> datetime | None:
    """Return when the boost of *lease* was due; None where that isn't known.

    A lease that was refused before it came doesn't say, nor does one of an older release: it is
    the last of the *firings* before its start then, within `LONGEST_AHEAD`.
    """
    if lease.fires:
        return lease.fires
    place = bisect_right(firings, lease.start)
    last = firings[place - 1] if place else None
    return last if last and lease.start - last <= LONGEST_AHEAD else None


def _place(namespace: str, window: str, fires: datetime) -> tuple[str, str, datetime]:
    """Return what names a firing: its time to the second, which every list has."""
    return namespace, window, fires.replace(microsecond=0)


def _overlaps(boost: BoostHistory, horizon: Horizon, now: datetime) -> bool:
    """Tell whether the window of *boost*, or what it had, overlaps *horizon*."""
    begins = [at for at in (boost.start, boost.fires, boost.since) if at]
    until = boost.until or (now if boost.since else None)
    ends = [at for at in (boost.end, until) if at] or [boost.begins + timedelta(microseconds=1)]
    return min(begins) < horizon.end and max(ends) > horizon.start


# One namespace ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Namespace:
    """What the runs of one keeper recorded, the oldest first, taken together.

    *spans* are the capacities in force, each with its start and end; *starts* are the starts,
    *external* those that others set. *calendar* has the guard rails of the latest lease, and
    *actual* none, so that what was in force counts as it was.
    """

    name: str
    now: datetime
    leases: tuple[LeaseRecord, ...]
    held_now: frozenset[str]
    spans: tuple[tuple[datetime, datetime, CapacityInForce], ...]
    starts: tuple[datetime, ...]
    external: tuple[CapacityInForce, ...]
    calendar: NamespaceCalendar
    actual: NamespaceCalendar

    @classmethod
    def of(cls, name: str, runs: Sequence[KeeperRecord], now: datetime) -> _Namespace:
        """Return what *runs* say together."""
        parts: dict[str, list[LeaseRecord]] = defaultdict(list)
        for run in runs:
            for lease in run.leases:
                parts[lease.key].append(lease)
        leases = tuple(_joined(each) for each in parts.values())
        going_on = [lease for run in runs[-1:] if run.end is None for lease in run.leases]
        spans = tuple(_spans(runs, now))
        baselines = [run.baseline for run in runs if run.baseline is not None]
        rails = next((one.rails for one in reversed(leases) if one.rails), Rails())
        in_force = {round(one.capacity.tru) for *_, one in spans if one.capacity.tru}
        calendar = NamespaceCalendar(
            namespace=name,
            timezone="UTC",
            windows=(),
            baseline=baselines[-1] if baselines else None,
            guard_rails=GuardRails(allowed_tru=rails.allowed, max_tru=rails.max_tru),
        )
        as_it_was = GuardRails(allowed_tru=tuple(sorted({*rails.allowed, *in_force})))
        return cls(
            name=name,
            now=now,
            leases=leases,
            held_now=frozenset(one.key for one in going_on if one.ended_at is None),
            spans=spans,
            starts=tuple(start for start, _, _ in spans),
            external=tuple(one for *_, one in spans if one.external),
            calendar=calendar,
            actual=replace(calendar, guard_rails=as_it_was),
        )

    # Boosts

    def boosts(self, listed: Sequence[ListedBoost]) -> list[BoostHistory]:
        """Return what came of each lease, and of each boost that never had one."""
        by_place: dict[tuple[str, str, datetime], list[ListedBoost]] = defaultdict(list)
        for boost in sorted(listed, key=attrgetter("started")):
            by_place[_place(self.name, boost.window, boost.fires)].append(boost)
        found = []
        firings = _firings(listed)
        for lease in self.leases:
            fires = _firing_of(lease, firings.get((self.name, lease.window), ()))
            place = _place(self.name, lease.window, fires) if fires else None
            own = by_place.pop(place, []) if place else []
            found.append(self._of_lease(replace(lease, fires=fires), own))
        found += (self._of_boost(boosts) for boosts in by_place.values())
        return found

    def _of_lease(self, lease: LeaseRecord, boosts: Sequence[ListedBoost]) -> BoostHistory:
        """Return what came of *lease*; *boosts* are the runs of its boost, the latest last."""
        has = [one for one in lease.held if one.capacity is not None]
        since = has[0].at if has else None
        until = lease.ended_at if has else None
        if until and not lease.shared:
            # What it had goes down at the next change; without one, nobody knows when.
            place = bisect_left(self.starts, until)
            until = self.starts[place] if place < len(self.starts) else None
        outcome, why = self._outcome(lease, has, boosts)
        capped = next((one for one in has if one.capped), None)
        around = lease.granted_at or lease.start, until or lease.ended_at or self.now
        had, lacking = False, []
        over = HeldCapacity(lease.ended_at or min(self.now, lease.until), None)
        for one, following in pairwise((*lease.held, over)):
            had = had or one.capacity is not None
            if had and one.capacity is None and one.at < following.at:
                lacking.append((one.at, following.at))
        return BoostHistory(
            namespace=self.name,
            window=lease.window,
            start=lease.start,
            end=lease.until,
            fires=lease.fires,
            tru=lease.tru,
            workers=lease.workers,
            combine=lease.combine,
            by=lease.by,
            reason=lease.reason,
            project=lease.project,
            outcome=outcome,
            why=why,
            granted=max((one.capacity for one in has if one.capacity), key=level, default=None),
            capped=capped.capped if capped else "",
            since=since,
            until=until,
            lacking=tuple(lacking),
            changes=tuple(one for one in self.external if around[0] <= one.at < around[1]),
        )

    def _outcome(
        self, lease: LeaseRecord, has: Sequence[HeldCapacity], boosts: Sequence[ListedBoost]
    ) -> tuple[Outcome, str]:
        missed = next((boost.missed for boost in reversed(boosts) if boost.missed), None)
        if lease.granted_at is None and not lease.held and lease.released_by:
            return "skipped", f"refused by {lease.released_by} before it came"
        if lease.released_by:
            return "released", f"by {lease.released_by}"
        if lease.ended_at is None and lease.key not in self.held_now:
            return "unknown", "its keeper broke off, and no later run knows of it"
        if lease.ended_at is None and not (has and lease.held[-1].capacity):
            return "uncovered", missed.reason if missed else ""
        if not has:
            return "missed", missed.reason if missed else "it never had its capacity"
        if capped := [one for one in has if one.capped]:
            return "capped", capped[-1].reason
        if lease.ended_at is None:
            return "running", ""
        is_late = lease.by == "schedule" and has[0].at - lease.start >= timedelta(seconds=1)
        return ("late" if is_late else "held"), ""

    def _of_boost(self, boosts: Sequence[ListedBoost]) -> BoostHistory:
        """Return what is known of a boost that has no lease on record, by its runs."""
        last = boosts[-1]
        missed = next((one.missed for one in reversed(boosts) if one.missed), None)
        request = next((one.request for one in reversed(boosts) if one.request), None)
        lease = lease_of(request, last.fires) if request else None
        window = (_instant(missed.start), _instant(missed.end)) if missed else (None, None)
        if lease:
            window = lease.start, lease.until
        words = f"its boost ended as {last.status.lower().replace('_', ' ')}"
        ended: tuple[Outcome, str] = ("unknown", words)
        outcome, why = _WITHOUT_LEASE.get(last.status, ended)
        if missed:
            outcome, why = "missed", missed.reason
        return BoostHistory(
            namespace=self.name,
            window=last.window,
            start=window[0],
            end=window[1],
            fires=last.fires,
            outcome=outcome,
            why=why,
            tru=lease.tru if lease else None,
            workers=lease.workers if lease else {},
            combine=lease.combine if lease else "max",
            by=lease.by if lease else "",
            reason=lease.reason if lease else "",
            project=lease.project if lease else "",
        )

    # Hours

    def in_force(self) -> list[BilledInterval]:
        """Return the provisioned capacities in force as billed intervals, sorted by start."""
        return [
            BilledInterval(ticks(start), ticks(start), ticks(end), one.capacity.tru, "max")  # type: ignore[arg-type]
            for start, end, one in self.spans
            if one.capacity.tru and start < end
        ]

    def foreseen(self, boosts: Iterable[BoostHistory]) -> list[BilledInterval]:
        """Return the windows of *boosts* as a preview bills them, sorted by start."""
        found = [interval for boost in boosts if (interval := _foreseen(boost))]
        return sorted(found, key=attrgetter("start"))

    def priced(
        self, boosts: Iterable[BoostHistory], horizon: Horizon, prices: Prices
    ) -> Iterator[BoostHistory]:
        """Yield *boosts* with their hours in *horizon*, and what each costs by itself."""
        actual, foreseen = _Alone(self.actual, horizon), _Alone(self.calendar, horizon)
        rate = prices.tiers[0].per_million / 1_000_000
        for boost in boosts:
            until = boost.until or (self.now if boost.since else None)
            had = None  # it had nothing, or nobody knows
            if boost.since and until and boost.granted and boost.granted.tru:
                since = ticks(boost.since)
                tru = boost.tru if boost.combine == "add" and boost.tru else boost.granted.tru
                had = BilledInterval(since, since, ticks(until), tru, boost.combine)  # type: ignore[arg-type]
            hours, actions = actual.billed(had)
            foreseen_hours, foreseen_actions = foreseen.billed(_foreseen(boost))
            yield replace(
                boost,
                billed_hours=hours,
                foreseen_hours=foreseen_hours,
                price=actions * rate,
                foreseen_price=foreseen_actions * rate,
            )


def planned_boosts(
    calendar: NamespaceCalendar, horizon: Horizon, prices: Prices
) -> list[BoostHistory]:
    """Return the occurrences of *horizon* that *calendar* has, as boosts of which no record is."""
    rate = prices.tiers[0].per_million / 1_000_000
    found, alone = [], _Alone(calendar, horizon)
    for one in occurrences_in(calendar.windows, horizon, "promised"):
        boost = BoostHistory(
            namespace=calendar.namespace,
            window=one.window.name,
            start=one.start,
            end=one.end,
            fires=one.fires,
            tru=one.tru,
            combine=one.combine,
            by="schedule",
            outcome="unknown",
            why="no record of it was found",
        )
        hours, actions = alone.billed(_foreseen(boost))
        found.append(replace(boost, foreseen_hours=hours, foreseen_price=actions * rate))
    return found


_WITHOUT_LEASE: Mapping[str, tuple[Outcome, str]] = {
    "RUNNING": ("uncovered", "its boost has no lease yet"),
    "CANCELED": ("released", "its boost was cancelled"),
    "COMPLETED": ("unknown", "its boost ended, and no keeper's record has its lease"),
}
"""What came of a boost without a lease on record, by the status of its workflow."""


@dataclass(frozen=True, slots=True)
class _Alone:
    """What one interval of a namespace is billed beyond the baseline, as if it were alone."""

    calendar: NamespaceCalendar
    horizon: Horizon
    hourly: dict[tuple[float, Combine], int] = field(default_factory=dict)

    def billed(self, interval: BilledInterval | None) -> tuple[int, int]:
        """Return the hours and Actions of *interval* in the horizon; thousands in a moment."""
        if interval is None:
            return 0, 0
        begin = max(interval.fires, ticks(self.horizon.start))
        end = min(interval.end, ticks(self.horizon.end))
        demand = interval.tru, interval.combine
        if demand not in self.hourly:
            hour = interval._replace(fires=0, start=0, end=HOUR_TICKS)
            (tru,) = hourly_tru(self.calendar, [hour], 0, HOUR_TICKS).values()
            least = minimum_actions(baseline_of(self.calendar))
            self.hourly[demand] = max(0, minimum_actions(Capacity(tru)) - least)
        each = self.hourly[demand]
        hours = len(range(begin // HOUR_TICKS, -(-end // HOUR_TICKS))) if begin < end else 0
        return (hours, hours * each) if each else (0, 0)


def _foreseen(boost: BoostHistory) -> BilledInterval | None:
    """Return the window of *boost* from its firing on; None where it isn't known."""
    if boost.start is None or boost.end is None or not boost.tru:
        return None
    fires = boost.fires or boost.start
    return BilledInterval(
        ticks(fires), ticks(boost.start), ticks(boost.end), boost.tru, boost.combine
    )


def _joined(parts: Sequence[LeaseRecord]) -> LeaseRecord:
    """Return one record of a lease of which several runs have a part, the oldest first."""
    if len(parts) == 1:
        return parts[0]
    held: list[HeldCapacity] = []
    for one in (one for part in parts for one in part.held):
        if not held or replace(one, at=held[-1].at) != held[-1]:
            held.append(one)
    granted = [part.granted_at for part in parts if part.granted_at]
    return replace(
        parts[-1],
        fires=next((part.fires for part in parts if part.fires), None),
        granted_at=min(granted, default=None),
        held=tuple(held),
    )


def _spans(
    runs: Sequence[KeeperRecord], now: datetime
) -> Iterable[tuple[datetime, datetime, CapacityInForce]]:
    """Yield each capacity in force with its start and end.

    After a run that ended nobody knows: its last capacity is taken to last to its end.
    """
    found = sorted(
        ((one.at, one, run.end or now) for run in runs for one in run.capacities),
        key=lambda one: one[0],
    )
    changed = []
    for _, same in groupby(found, key=lambda one: one[1].capacity):
        group = list(same)
        changed.append((*group[0][:2], max(ends for *_, ends in group)))
    for (at, one, ends), (following, _, _) in pairwise(changed):
        yield at, min(following, max(ends, at)), one
    if changed:
        at, one, ends = changed[-1]
        yield at, max(ends, at), one


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def totals(history: History) -> Mapping[str, tuple[int, int]]:
    """Return the billed and the foreseen hours of each namespace, all its boosts together."""
    found = {}
    for billed, foreseen in zip(
        history.billed.namespaces, history.foreseen.namespaces, strict=True
    ):
        hours = [sum(line.usage.billed_hours for line in one.lines) for one in (billed, foreseen)]
        found[billed.namespace] = (hours[0], hours[1])
    return found
