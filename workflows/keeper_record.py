"""What one run of a keeper did, made of what its history records.

The states that the run went through are made anew, as a recovery makes the last of them, and
how they differ is the record: which leases came and went, what each of them had and when, and
each capacity that was in force.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any

from workflows import keeper_transitions as transitions
from workflows.activity_types import KeeperInput, Observation, ReconcileInput
from workflows.contract import (
    Capacity,
    CapacityInForce,
    HeldCapacity,
    KeeperRecord,
    Lease,
    LeaseRecord,
    LeaseRequest,
    ReleaseRequest,
)
from workflows.floors import FloorSeen, FloorTask
from workflows.keeper_state import KeeperState
from workflows.keeper_transitions import (
    BaselineFound,
    Cancelled,
    Recorded,
    Recovered,
    after_recorded,
)

CANCELLED_BY = "a cancel of the keeper"
"""Who released the leases of a keeper that was cancelled."""


def record_of(
    namespace: str,
    run: str,
    recorded: Iterable[tuple[datetime, Recorded]],
    span: tuple[datetime, datetime | None],
    now: datetime,
) -> KeeperRecord:
    """Return what the keeper's *run* of *namespace* did, as its history has *recorded* it.

    Args:
        namespace: The Temporal Cloud namespace.
        run: The run's id.
        recorded: What its history records, oldest first.
        span: The run's start, and its end where it has ended.
        now: The time, up to which a run that goes on is recorded.
    """
    start, end = span
    recorder = _Recorder(KeeperState(namespace=namespace), start)
    for at, value in recorded:
        recorder.take(at, value)
    recorder.advance(end or now)
    return KeeperRecord(
        namespace=namespace,
        run=run,
        start=start,
        end=end,
        baseline=None if recorder.state.doubt else recorder.state.baseline,
        leases=tuple(recorder.leases.values()),
        capacities=tuple(recorder.capacities),
    )


@dataclass
class _Recorder:
    """Follows the state of a run, and notes what comes of each lease, and each capacity.

    *before* is when the value before the current one was recorded. *ended* are leases that have
    ended since the last observation, which may be of a time before their end.
    """

    state: KeeperState
    before: datetime
    leases: dict[str, LeaseRecord] = field(default_factory=dict)
    capacities: list[CapacityInForce] = field(default_factory=list)
    ended: list[Lease] = field(default_factory=list)

    def advance(self, now: datetime) -> None:
        """End the leases that have ended by *now*, one after the other."""
        known = (*self.state.leases, *self.state.released)
        for end in sorted({lease.until for lease in known if lease.until <= now}):
            self._go(transitions.expire(self.state, end), end)

    def take(self, at: datetime, value: Recorded) -> None:
        """Go on with what was recorded at *at*."""
        self.advance(at)
        after = after_recorded(self.state, value, at)
        match value:
            case Observation():
                self._observe(value, after, at)
            case BaselineFound(observation=seen):
                self._go(after, at)
                self._put(seen.found, self._since(seen.found_since, at))
            case LeaseRequest():
                self._go(after, at, fires=value.fires)
            case ReleaseRequest():
                self._release(value, after, at)
            case KeeperInput() | Recovered():
                self._go(after, at, is_taken_over=True)
                if after.in_force is not None:
                    self._put(after.in_force, at)
                self._judge(self.state.leases, at)
            case Cancelled():
                self._go(after, at, released_by=CANCELLED_BY)
            case ReconcileInput() | FloorTask() | FloorSeen():
                self._go(after, at)
        self.before = at

    def _observe(self, seen: Observation, after: KeeperState, at: datetime) -> None:
        """Note what was in force before the activity did anything, and what is after it."""
        is_external = transitions.is_external_change(self.state, seen)
        is_replaced = seen.found != seen.capacity
        if is_external and is_replaced:
            self._put(seen.found, self._since(seen.found_since, at), external=True)
            self.state = replace(self.state, in_force=seen.found, pending=())
            self._judge_all(self.capacities[-1].at)
        elif is_replaced and not self.capacities:
            self._put(seen.found, self.before)
        self._go(after, at)
        since = self._since(seen.since, at)
        self._put(seen.capacity, since, external=is_external and not is_replaced)
        self._judge_all(since)

    def _release(self, request: ReleaseRequest, after: KeeperState, at: datetime) -> None:
        """Note the leases that *request* ends, and the one that it refuses before it came."""
        by, lease = request.by, request.lease
        self._go(after, at, released_by=by or "an operator")
        if request.undo:
            self.leases.pop(request.key, None)
        elif lease is not None and lease.key not in self.leases and lease.until > at:
            refused = _of_lease(lease)
            self.leases[lease.key] = replace(refused, ended_at=at, released_by=by, shared=True)

    def _go(
        self,
        after: KeeperState,
        at: datetime,
        *,
        released_by: str = "",
        is_taken_over: bool = False,
        fires: datetime | None = None,
    ) -> None:
        """Go on with the state *after*: note which leases came, which changed, which went."""
        before = {lease.key: lease for lease in self.state.leases}
        held = {lease.key: lease for lease in after.leases}
        self.state = after
        successors = {key: lease for lease in after.leases for key in lease.replaced}
        for key, lease in before.items():
            if key in held:
                continue
            known = self.leases[key]
            if key in successors:
                new = successors[key]
                self.leases[new.key] = _of_lease(new, self.leases.pop(key))
            else:
                by = released_by if at < lease.until else ""
                self.ended.append(lease)
                self.leases[key] = replace(
                    known, ended_at=min(at, lease.until), released_by=by, shared=self._is_shared
                )
        changed = [lease for key, lease in held.items() if before.get(key) != lease]
        for lease in changed:
            fresh = LeaseRecord(
                **_basics(lease), fires=fires, granted_at=None if is_taken_over else at
            )
            known = self.leases.get(lease.key, fresh)
            self.leases[lease.key] = _of_lease(lease, known if not known.ended_at else fresh)
        if not is_taken_over:
            self._judge(changed, at)

    def _put(self, capacity: Capacity, at: datetime, *, external: bool = False) -> None:
        """Note the *capacity* in force from *at* on, where it is another than before."""
        if not self.capacities or self.capacities[-1].capacity != capacity:
            self.capacities.append(CapacityInForce(at, capacity, external))

    def _since(self, since: datetime | None, at: datetime) -> datetime:
        """Return *since*, as the Cloud API has it, where it can be true; else *at*."""
        earliest = self.capacities[-1].at if self.capacities else None
        if since is None or (earliest is not None and since <= earliest):
            return at
        return min(since, at)

    def _judge_all(self, at: datetime) -> None:
        """Note what each lease has from *at* on, those that have ended only since included."""
        now = self.state
        ends = {key: known.ended_at for key, known in self.leases.items() if known.ended_at}
        late = [lease for lease in self.ended if ends.get(lease.key, at) > at]
        self.state = replace(now, leases=(*now.leases, *late))
        self._judge(self.state.leases, at)
        self.state, self.ended = now, late

    def _judge(self, leases: Iterable[Lease], at: datetime) -> None:
        """Note what each of *leases* has from *at* on, where that is something else."""
        for lease in leases:
            known = self.leases[lease.key]
            since = max(filter(None, (at, known.granted_at)))
            has = self._held(lease, since)
            last = known.held[-1] if known.held else HeldCapacity(since, None)
            if replace(has, at=last.at) != last:
                self.leases[lease.key] = replace(known, held=(*known.held, has))

    def _held(self, lease: Lease, at: datetime) -> HeldCapacity:
        """Return what *lease* has from *at* on."""
        state = self.state
        if state.in_force is None or state.baseline is None:
            return HeldCapacity(at, None)
        full, there = state.targets_of(lease)
        least = min(state.aps_of(one) for one in (state.in_force, *state.pending))
        if least < state.aps_of(there.capacity):
            return HeldCapacity(at, None)
        if state.aps_of(there.capacity) < state.aps_of(full.capacity):
            reason = f"the Cloud had {state.options.available or 0:g} TRU of {full.capacity}"
            return HeldCapacity(at, there.capacity, "inventory", reason)
        return HeldCapacity(
            at,
            there.capacity,
            "rails" if full.falls_short else "",
            full.reason if full.falls_short else "",
        )

    @property
    def _is_shared(self) -> bool:
        """Whether no revert follows what has just ended."""
        state = self.state
        if state.in_force is None or state.baseline is None:
            return False
        wanted = state.aps_of(state.target.capacity)
        return wanted >= state.aps_of(state.in_force) or state.leaves_alone(state.in_force)


def _basics(lease: Lease) -> dict[str, Any]:
    """Return what a record has of the *lease* itself."""
    shared = {one.name for one in fields(Lease)} & {one.name for one in fields(LeaseRecord)}
    return {name: getattr(lease, name) for name in shared}


def _of_lease(lease: Lease, known: LeaseRecord | None = None) -> LeaseRecord:
    """Return the record of *lease*, which goes on with what is *known* of it."""
    basics = _basics(lease)
    return LeaseRecord(**basics) if known is None else replace(known, **basics)
