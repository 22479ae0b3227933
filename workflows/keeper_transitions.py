"""Transitions of `KeeperState`: pure functions that return a new state.

Leases come and go, capacities are requested and observed, the baseline is found. Baseline and
guard rails are facts of the namespace: they travel with the leases of its windows, but are
ordered by revision, because a firing of a schedule that wasn't updated yet brings its lease and
outdated facts. After a fault of the Cloud API, how long to wait follows from its kind.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from temporalio.exceptions import ActivityError, ApplicationError

from workflows.activity_types import KeeperInput, Observation, ReconcileInput
from workflows.contract import Capacity, KeeperHealth, Lease, LeaseRequest, Rails, ReleaseRequest
from workflows.floors import (
    FloorSeen,
    FloorState,
    FloorTask,
    after_look,
    floor_by_name,
    floors_at,
    merged,
    next_change,
    to_look_at,
    with_floor,
)
from workflows.keeper_state import (
    Declaration,
    Group,
    KeeperState,
    KnownOptions,
    demand_of,
    is_own,
    origin_of,
)

REVERT_DEADLINE = timedelta(minutes=10)
"""How long a revert may take before it counts as overdue: provisioning takes two minutes."""

RETRY_SHORTAGE_EVERY = timedelta(minutes=5)
"""How often the full target is tried while the Cloud has too little."""


LOST_RUN = "the run of the keeper before this one can't be read any more"
"""The doubt about the baseline where nothing is left of the run before."""


def grant(state: KeeperState, request: LeaseRequest, now: datetime) -> KeeperState:
    """Return *state* with the lease of *request*, unless it has ended or was released.

    The lease that it replaces ends in the same transition. An active lease keeps what it was
    granted, unless the request replaces that very lease. A new one is granted under the
    declaration that holds then.
    """
    lease = request.lease
    if state.cancelled:
        return state
    # What continues a lease that was released early is not granted. Once its own lease is
    # active, the replacement was done, and the request changes that lease.
    if was_released(state, request.replaces) and lease_by_key(state, lease.key) is None:
        return state
    lease = replace(lease, replaced=_replaced_keys(state, request))
    state = _without_replaced(state, request)
    if lease.until <= now or was_released(state, lease.key):
        return release(state, lambda held: held.key == request.replaces)
    is_idle = not state.leases and state.is_settled and not state.doubt
    known = declare(_after_idling(state) if is_idle else state, request)
    held = None if request.replaces == lease.key else lease_by_key(state, lease.key)
    taken = held or with_declaration(known, lease)
    leases = _with_lease(known.leases, taken)
    had_leases = known.had_leases or lease.tru > 0
    return with_floors(replace(known, leases=leases, had_leases=had_leases), now)


def with_floors(state: KeeperState, now: datetime) -> KeeperState:
    """Return *state* with what its leases require at *now*: workers, and TRU that come later.

    The same object where nothing has changed.
    """
    if any(lease.tru_from is not None and lease.tru_from <= now for lease in state.leases):
        due = (
            replace(lease, tru_from=None) if lease.tru_from and lease.tru_from <= now else lease
            for lease in state.leases
        )
        state = replace(state, leases=tuple(due))
    floors = floors_at(state.floors, state.leases, now)
    return state if floors is state.floors else replace(state, floors=floors)


def _without_replaced(state: KeeperState, request: LeaseRequest) -> KeeperState:
    """Return *state* without the lease that *request* replaces by one under another key.

    The old key is not granted again, also where its request hasn't come yet. The new key may
    be granted even if it was released before: the running boost continues under it.
    """
    key = request.replaces
    if not key or key == request.lease.key:
        return state
    held = lease_by_key(state, key)
    released = state.released
    if held is not None:
        released = (*_others(released, request.lease.key), held)
    elif not was_released(state, key):
        released = (*released, replace(request.lease, key=key))
    return replace(state, leases=_others(state.leases, key), released=released)


def _replaced_keys(state: KeeperState, request: LeaseRequest) -> tuple[str, ...]:
    """Return the keys that the lease of *request* comes in place of, the oldest first.

    The one that it replaces is among them also where its own request hasn't come yet.
    """
    if not request.replaces:
        return ()
    held = lease_by_key(state, request.replaces)
    keys = (*(held.replaced if held else ()), request.replaces)
    return tuple(key for key in keys if key != request.lease.key)


def lease_or_successor(state: KeeperState, key: str) -> Lease | None:
    """Return the active lease with *key*, else the one that replaced it; None without either."""
    replacing = (lease for lease in state.leases if key in lease.replaced)
    return lease_by_key(state, key) or next(replacing, None)


def lease_by_key(state: KeeperState, key: str) -> Lease | None:
    """Return the active lease with *key*; None if there is none."""
    return next((lease for lease in state.leases if lease.key == key), None)


def _with_lease(leases: tuple[Lease, ...], lease: Lease) -> tuple[Lease, ...]:
    """Return *leases*, the next end first, with *lease* in place of one with the same key."""
    others = _others(leases, lease.key) if any(one.key == lease.key for one in leases) else leases
    place = bisect(others, _by_end(lease), key=_by_end)
    return (*others[:place], lease, *others[place:])


def _by_end(lease: Lease) -> tuple[datetime, str]:
    return lease.until, lease.key


def _others(leases: Iterable[Lease], key: str) -> tuple[Lease, ...]:
    return tuple(lease for lease in leases if lease.key != key)


def _after_idling(state: KeeperState) -> KeeperState:
    """Return what still counts of *state* after an idle time.

    Anything may have been set externally meanwhile, so observations and a found baseline go.
    """
    return KeeperState(
        namespace=state.namespace,
        released=state.released,
        baseline=state.baseline if state.baseline_declared else None,
        baseline_declared=state.baseline_declared,
        rails=state.rails,
        revision=state.revision,
        project=state.project,
        observe_every_seconds=state.observe_every_seconds,
        floors=state.floors,
    )


def release(state: KeeperState, chosen: Callable[[Lease], bool]) -> KeeperState:
    """Return *state* without the *chosen* leases; their keys are remembered as released."""
    gone: list[Lease] = []
    kept: list[Lease] = []
    for lease in state.leases:
        (gone if chosen(lease) else kept).append(lease)
    left = replace(state, leases=tuple(kept), released=(*state.released, *gone))
    return promote_other_declaration(left)


def release_requested(state: KeeperState, request: ReleaseRequest, now: datetime) -> KeeperState:
    """Return *state* without the leases that *request* names; its own lease is refused."""
    if request.undo:
        return replace(state, released=_others(state.released, request.key))
    left = release(state, lambda lease: is_meant(lease, request))
    return left if request.lease is None else refuse(left, request.lease, now)


def is_meant(lease: Lease, request: ReleaseRequest) -> bool:
    """Tell whether *request* names *lease*."""
    if request.key:
        return request.key in (lease.key, *lease.replaced)
    return not request.window or lease.window == request.window


def refuse(state: KeeperState, lease: Lease, now: datetime) -> KeeperState:
    """Return *state* with *lease* among the released ones, although it was never requested.

    Its request may still be in flight: until the lease's end it is not granted.
    """
    if lease.until <= now or was_released(state, lease.key):
        return state
    return replace(state, released=(*state.released, lease))


def was_released(state: KeeperState, key: str) -> bool:
    """Tell whether the lease with *key* was released early."""
    return any(lease.key == key for lease in state.released)


def expire(state: KeeperState, now: datetime) -> KeeperState:
    """Return *state* without leases that have ended by *now*: ends are exclusive.

    The same object where none has: caches are keyed by the identity of its tuple of leases.
    """
    if all(lease.until > now for lease in (*state.leases, *state.released)):
        return with_floors(state, now)
    left = replace(
        state,
        leases=tuple(lease for lease in state.leases if lease.until > now),
        released=tuple(lease for lease in state.released if lease.until > now),
    )
    return with_floors(promote_other_declaration(left), now)


def record_target(state: KeeperState, now: datetime) -> KeeperState:
    """Return *state* with its current target recorded, since *now* where it changed."""
    wanted = state.target.capacity
    if wanted == state.last_target:
        return state
    return replace(state, last_target=wanted, target_since=now)


def clear_shortage(state: KeeperState) -> KeeperState:
    """Clear the cached shortage, so that the next reconcile tries the full target."""
    return replace(state, options=replace(state.options, available=None))


def record_request(state: KeeperState, capacity: Capacity) -> KeeperState:
    """Return *state* with *capacity* requested and pending.

    It stays pending until an observation shows otherwise: the attempt may fail after the
    Cloud API has accepted the request.
    """
    return replace(
        state,
        requested=_with(state.requested, capacity),
        pending=_with(state.pending, capacity),
    )


def _with(known: tuple[Capacity, ...], capacity: Capacity) -> tuple[Capacity, ...]:
    return known if capacity in known else (*known, capacity)


def is_stalled(before: KeeperState, after: KeeperState) -> bool:
    """Tell whether an attempt at the target left everything as it was *before*.

    The target must be the same one, not in force, and nothing may be under way to it.
    """
    if after.baseline is None or after.is_settled or after.pending:
        return False
    if after.target.capacity != before.target.capacity:
        return False
    return (after.in_force, after.options) == (before.in_force, before.options)


def record_observation(
    state: KeeperState,
    found: Capacity,
    options: KnownOptions | None,
    now: datetime,
    pending: Capacity | None = None,
) -> KeeperState:
    """Return *state* with *found* in force at *now*, and a change to *pending* under way.

    *options* of None leaves those that are known.
    """
    seen = replace(
        state,
        in_force=found,
        pending=() if pending is None else (pending,),
        options=options or state.options,
        observed_at=now,
        needs_observation=False,
        had_leases=bool(state.demanding),
        fault="",
        retry_at=None,
    )
    if seen.baseline is None:
        return seen
    return replace(seen, foreign=seen.leaves_alone(found))


def bind(state: KeeperState, seen: Observation) -> KeeperState:
    """Return *state* with the Cloud API that has *seen* the namespace as the one to go on with."""
    return replace(state, cloud=seen.cloud) if seen.cloud else state


def record_baseline(state: KeeperState, found: Capacity, request: str) -> KeeperState:
    """Return *state* with the baseline, given what was *found* before any raise of this run.

    A capacity that a keeper requested is not the baseline, but the id of that *request* says
    what is: a run that was reset, deleted or lost leaves it behind. Where it can't be known,
    `KeeperState.doubt` says why; the keeper then neither goes below *found* nor restores it.
    """
    origin = origin_of(request, state.namespace)
    if origin is not None:
        known = replace(state, baseline=origin.baseline, doubt="", doubted_request="")
        return recognize_request(known, found, request)
    doubt = state.doubt
    if is_own(request, state.namespace):
        doubt = f"{found} was requested by a keeper ({request}), which does not say what was before"
    if not doubt or found.tru is None:  # no keeper boosts to on-demand
        return replace(state, baseline=found, doubt="", doubted_request="")
    return replace(state, baseline=found, doubt=doubt, doubted_request=request)


def recognize_request(state: KeeperState, found: Capacity, request: str) -> KeeperState:
    """Return *state* with *found* among the requested capacities, if *request* is a keeper's.

    A run that was reset has forgotten what it requested after the point it was reset to.
    """
    origin = origin_of(request, state.namespace)
    if origin is None or origin.requested != found:
        return state
    return replace(state, requested=_with(state.requested, found))


def resolve_doubt(state: KeeperState, found: Capacity, request: str) -> KeeperState:
    """Return *state* without its doubt, if *found* was set externally since it came up.

    *found* is the baseline then.
    """
    is_external = bool(request) and not is_own(request, state.namespace)
    if not state.doubt or not is_external or request == state.doubted_request:
        return state
    return replace(state, baseline=found, doubt="", doubted_request="")


def record(state: KeeperState, seen: Observation, now: datetime) -> KeeperState:
    """Return *state* with what an activity has *seen* at *now*; what others set is noted."""
    known = recognize_request(bind(state, seen), seen.found, seen.request)
    known = resolve_doubt(known, seen.found, seen.request)
    is_external = is_external_change(known, seen)
    after = record_observation(known, seen.capacity, seen.options, now, pending=seen.pending)
    return replace(after, note=f"{seen.found} had been set externally") if is_external else after


def is_external_change(state: KeeperState, seen: Observation) -> bool:
    """Tell whether what was *found* is another capacity than the last one, set externally."""
    known = recognize_request(state, seen.found, seen.request)
    return known.in_force is not None and seen.found not in (known.in_force, *known.requested)


def recover(state: KeeperState, old: KeeperState | None) -> KeeperState:
    """Return *state* merged with the *old* state of the run before; None where that is lost.

    A raised capacity may be the lost run's doing.
    """
    if old is not None:
        return take_over(state, old.unpacked)
    return state if state.baseline is not None else replace(state, doubt=LOST_RUN)


def without_ended(old: KeeperState, now: datetime) -> KeeperState:
    """Return the state of a run that broke off, without the leases that have ended by *now*.

    They say nothing any more about whose declaration holds. Floors are left as they are: they are
    given back once the state is taken over. The same object where no lease has ended.
    """
    if all(lease.until > now for lease in (*old.leases, *old.released)):
        return old
    return replace(expire(old, now), floors=old.floors)


def take_over(state: KeeperState, old: KeeperState) -> KeeperState:
    """Return *state* merged with the *old* state of a run that broke off.

    Leases of the old run stay as they were granted, released ones stay released, and the
    namespace is observed again. A cancelled run has restored the baseline by itself: only its
    released leases are taken over.
    """
    gone = {lease.key for lease in old.released}
    own = tuple(lease for lease in state.leases if lease.key not in gone)
    known = replace(state, leases=own, released=(*state.released, *old.released))
    if old.cancelled and old.is_settled:
        return replace(known, floors=merged(known.floors, old.floors))
    given = {lease.key for lease in state.released}
    kept = tuple(lease for lease in old.leases if lease.key not in given)
    known = _take_over_declaration(known, replace(old, leases=kept))
    held = {lease.key for lease in kept}
    fresh = (lease for lease in known.leases if lease.key not in held)
    return replace(
        known,
        leases=tuple(sorted((*fresh, *kept), key=_by_end)),
        options=old.options,
        requested=old.requested,
        cloud=old.cloud or known.cloud,
        needs_observation=old.baseline is not None,
        floors=merged(known.floors, old.floors),
    )


def next_end(state: KeeperState) -> datetime | None:
    """Return when the next lease ends, or its TRU come to count; None without leases."""
    later = [lease.tru_from for lease in state.leases if lease.tru_from is not None]
    return min((*later, *(lease.until for lease in state.leases)), default=None)


def next_due(state: KeeperState) -> datetime | None:
    """Return when the next lease ends or the next observation is due; None if nothing is."""
    ends = [lease.until for lease in (*state.leases, *state.released)]
    ends += [lease.tru_from for lease in state.leases if lease.tru_from is not None]
    if (state.demanding or state.doubt) and state.observed_at is not None:
        usual = timedelta(seconds=state.observe_every_seconds)
        ends.append(state.observed_at + (RETRY_SHORTAGE_EVERY if state.is_short else usual))
    return min(ends, default=None)


CLOCK_TOLERANCE = timedelta(seconds=30)
"""How long a lease that the keeper still holds may have ended by the clock of whoever looks.

That clock may be ahead of the server's, and a busy worker acts on an end a moment later."""


def health_of(state: KeeperState, now: datetime) -> KeeperHealth:
    """Return the health of the namespace at *now*.

    A lease that has just ended by that clock, and is still held, counts as running, unless it has
    too little: what its window lacked is over.
    """
    known = replace(expire(state, now - CLOCK_TOLERANCE), floors=state.floors)
    short = _short(known)
    if short:
        known = replace(expire(state, now), floors=state.floors)
        short = _short(known)
    if short:
        return "uncovered" if any(one.opens <= now for one in short) else "raising"
    if state.doubt:
        return "unknown"
    if state.foreign:
        return "foreign"
    if known.is_settled and (since := _floors_due_since(known)) is not None:
        return "overdue" if now - since > REVERT_DEADLINE else "reverting"
    if known.is_settled:
        return "foreign" if any(one.foreign for one in known.floors) else "ok"
    if known.leases and not _may_exceed_target(known):
        return "ok"  # only to be observed again: others may have lowered it
    return "overdue" if now - _reverting_since(state, known, now) > REVERT_DEADLINE else "reverting"


def _short(state: KeeperState) -> list[Group]:
    """Return the leases that don't have their TRU, or their workers."""
    short = [one for one in demand_of(state.demanding).groups if not state.covers(one.lease)]
    short += [Group(one, one.start) for one in state.leases if not _has_workers(state, one)]
    return short


def _may_exceed_target(state: KeeperState) -> bool:
    """Tell whether more than the target is in force, or may come to be by a pending change."""
    due = state.aps_of(state.target.capacity)
    return any(one and state.aps_of(one) > due for one in (state.in_force, *state.pending))


def _reverting_since(state: KeeperState, known: KeeperState, now: datetime) -> datetime:
    """Return since when less is due than what may be in force.

    The first end of a lease that the keeper still holds, by *known* without these, else the first
    step to the present target: an earlier target was another one's.
    """
    since = [lease.until for lease in state.leases if lease.until <= now]
    wanted = None if known.baseline is None else known.target.capacity
    if state.target_since and wanted in (None, state.last_target):
        since.append(state.target_since)
    return min(since, default=now)


def _has_workers(state: KeeperState, lease: Lease) -> bool:
    """Tell whether each pushed fleet of *lease* has the floor that is due."""
    floors = (one for one in state.floors if one.fleet.name in lease.workers)
    return all(one.is_covered for one in floors)


def _floors_due_since(state: KeeperState) -> datetime | None:
    """Return since when a floor is to be given back that isn't yet; None without one."""
    waits = (one.since for one in state.floors if one.wanted is None and not one.is_settled)
    return min((since for since in waits if since is not None), default=None)


def floor_due(state: KeeperState, floor: FloorState, now: datetime) -> datetime | None:
    """Return when something is to be done about *floor*, from *now* on; None where nothing is.

    At once unless it is settled or waits after a fault; else at the next look, the next end of a
    lease, or when a window's workers come to count.
    """
    if not floor.is_settled:
        return floor.retry_at or now
    name = floor.fleet.name
    mine = [lease for lease in state.leases if name in lease.workers]
    due = [*(lease.until for lease in mine), *next_change(mine, now)]
    if floor.wanted is not None and floor.observed_at is not None:
        due.append(floor.observed_at + timedelta(seconds=state.observe_every_seconds))
    return min(due, default=None)


def windows_of(state: KeeperState, fleet: str) -> tuple[str, ...]:
    """Return the windows whose leases request workers of *fleet*, a few of them."""
    return tuple(sorted({one.window for one in state.leases if fleet in one.workers}))[:20]


def attempt_floor(state: KeeperState, name: str) -> KeeperState:
    """Return *state* while a step of a floor is under way."""
    return _with_floor(state, name, is_attempted=True)


def record_floor(state: KeeperState, seen: FloorSeen, now: datetime) -> KeeperState:
    """Return *state* with what an activity has *seen* of a floor at *now*.

    What it says of one that is given back stays as the keeper's note: the floor is forgotten.
    """
    known = replace(state, floors=after_look(state.floors, seen, now))
    return replace(known, note=seen.note) if seen.note and seen.wanted is None else known


def floor_failed(state: KeeperState, name: str, why: str, retry_at: datetime) -> KeeperState:
    """Return *state* after an attempt at a floor failed: anything may have come of it."""
    return _with_floor(
        state, name, fault=why, retry_at=retry_at, needs_look=True, is_attempted=False
    )


def _with_floor(state: KeeperState, name: str, **changes: Any) -> KeeperState:
    """Return *state* with *changes* of the floor of the fleet *name*, if it is known."""
    before = floor_by_name(state.floors, name)
    if before is None:
        return state
    return replace(state, floors=with_floor(state.floors, replace(before, **changes)))


def declare(state: KeeperState, request: LeaseRequest) -> KeeperState:
    """Return *state* with the declaration of *request*, unless a newer one is known.

    While leases of another project are active, that project's declaration holds, and this one is
    kept as `KeeperState.other`.
    """
    return _consider(state, _declaration_of(request, state))


def go_to_declared(state: KeeperState, new: Declaration) -> KeeperState:
    """Return *state*, to be observed again, under *new* unless a newer declaration is known."""
    return replace(_consider(state, new), needs_observation=True)


def declares_again(state: KeeperState, request: LeaseRequest) -> bool:
    """Tell whether *request* declares for the project whose declaration holds in *state*."""
    new = _declaration_of(request, state)
    return not _is_by_hand(new) and _renews(state, new)


def _declaration_of(request: LeaseRequest, state: KeeperState) -> Declaration:
    return Declaration(
        project=request.lease.project or state.project,
        revision=request.revision,
        baseline=request.baseline,
        rails=request.rails,
    )


def promote_other_declaration(state: KeeperState) -> KeeperState:
    """Return *state* under the other project's declaration once only its leases are active."""
    other = state.other
    if other is None or any(lease.project == state.project for lease in state.leases):
        return state
    if not any(lease.project == other.project for lease in state.leases):
        return replace(state, other=None)
    return _adopt(state, other)


def _take_over_declaration(state: KeeperState, old: KeeperState) -> KeeperState:
    """Return *state* as if its declaration had come to the run that had the *old* state.

    If it isn't adopted, the leases granted under it come under the old declaration: nothing
    was raised for them yet.
    """
    known = replace(
        state,
        leases=(*state.leases, *old.leases),
        baseline=old.baseline,
        baseline_declared=old.baseline_declared,
        doubt=old.doubt,
        doubted_request=old.doubted_request,
        rails=old.rails,
        revision=old.revision,
        project=old.project,
        other=old.other,
    )
    new = Declaration(
        project=state.project or old.project,
        revision=state.revision,
        baseline=state.baseline if state.baseline_declared else None,
        rails=state.rails,
    )
    known = _consider(known, new)
    is_adopted = (known.revision, known.rails) == (state.revision, state.rails)
    own = (lease if is_adopted else with_declaration(known, lease) for lease in state.leases)
    return replace(known, leases=tuple(own))


def with_declaration(state: KeeperState, lease: Lease) -> Lease:
    """Return *lease* as granted under the declaration that holds in *state*."""
    return replace(lease, rails=state.rails or Rails(), revision=state.revision)


def _consider(state: KeeperState, new: Declaration) -> KeeperState:
    """Return *state* with *new* adopted, kept as the other declaration, or ignored as older."""
    if _is_by_hand(new):
        return state
    if _renews(state, new):
        return _adopt(state, new)
    if not _is_of_another_project(state, new.project):
        return state
    if any(lease.project == state.project for lease in state.leases):
        return _with_other(state, new)
    return _adopt(state, new)


def _is_by_hand(new: Declaration) -> bool:
    """Tell whether a boost by hand brings *new*, which then declares nothing."""
    return new.rails is None and new.baseline is None


def _renews(state: KeeperState, new: Declaration) -> bool:
    """Tell whether *new* is of the project whose declaration holds, and no older."""
    return not _is_of_another_project(state, new.project) and new.revision >= state.revision


def _is_of_another_project(state: KeeperState, project: str) -> bool:
    """Tell whether the declaration in *state* is known to be of another project."""
    return bool(state.project and project) and state.project != project


def _with_other(state: KeeperState, new: Declaration) -> KeeperState:
    """Return *state* with *new* as the other declaration.

    Also where the two say the same: whose declaration holds decides what comes of a later one.
    """
    known = state.other
    if known and known.project == new.project and new.revision < known.revision:
        return state
    return replace(state, other=new)


def _adopt(state: KeeperState, new: Declaration) -> KeeperState:
    """Return *state* with *new* as the declaration that holds for the namespace.

    A newer one without a baseline withdraws the earlier one's: running boosts still restore
    that value, but it is no longer enforced afterwards. What another project declares stays
    beside a newer one of the same project.
    """
    is_of_another = _is_of_another_project(state, new.project)
    is_newer = new.revision > state.revision or is_of_another
    declared = new.baseline is not None
    return replace(
        state,
        baseline=new.baseline if declared else state.baseline,
        baseline_declared=declared or (state.baseline_declared and not is_newer),
        doubt="" if declared else state.doubt,
        rails=new.rails or state.rails,
        revision=new.revision,
        project=new.project,
        other=None if is_of_another else state.other,
    )


@dataclass(frozen=True, slots=True)
class Recovered:
    """The result of the activity that recovered the state of the run before; None if it was gone.

    A run that was terminated before that activity ended has none of these.
    """

    state: KeeperState | None


@dataclass(frozen=True, slots=True)
class BaselineFound:
    """The observation before the first raise."""

    observation: Observation


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The request to cancel the run."""


Recorded = (
    KeeperInput
    | LeaseRequest
    | ReleaseRequest
    | ReconcileInput
    | Observation
    | FloorTask
    | FloorSeen
    | BaselineFound
    | Recovered
    | Cancelled
)
"""What the history of a keeper's run records, one event each."""


def rebuild(state: KeeperState, recorded: Iterable[tuple[datetime, Recorded]]) -> KeeperState:
    """Return the state of a run whose history has *recorded* after *state*, oldest first.

    Leases, releases and capacities requested are all there: a request is recorded before it is
    sent. What was observed may be missing where the run broke off in between.
    """
    for at, value in recorded:
        state = after_recorded(expire(state, at), value, at)
    return state


def after_recorded(state: KeeperState, value: Recorded, at: datetime) -> KeeperState:
    """Return *state* once *value* was recorded at *at*."""
    match value:
        case KeeperInput(state=None):
            return replace(state, observe_every_seconds=value.observe_every_seconds)
        case KeeperInput(state=known) if known is not None:
            return known.unpacked
        case LeaseRequest():
            return grant(state, value, at)
        case ReleaseRequest():
            return release_requested(state, value, at)
        case ReconcileInput(state=known):
            # It has the leases that decide, for the sake of its size; all else is complete.
            return replace(known, leases=state.leases, released=state.released, floors=state.floors)
        case FloorTask(fleet=fleet):
            # Until its end is on record, anything may have come of it.
            return replace(state, floors=to_look_at(state.floors, fleet.name))
        case FloorSeen():
            return record_floor(state, value, at)
        case BaselineFound(observation=seen) if state.baseline is None:
            return record_baseline(bind(state, seen), seen.found, seen.request)
        case Observation():
            return record(state, value, at)
        case Recovered(state=old):
            return recover(state, old and without_ended(old.unpacked, at))
        case Cancelled():
            return replace(release(state, lambda _: True), cancelled=True)
    return state


# Delays after faults -----------------------------------------------------------------


PENDING = timedelta(seconds=10)
"""How long to wait for a change that outlasted an attempt, before the next observation."""

SLOW_KINDS = frozenset({"Unauthorized", "PermanentError", "NamespaceNotFound"})
"""Faults that an operator has to fix: a rotated key, a wrong name. They are retried slowly."""


RATE_LIMITED = "Throttled"
"""The fault of a caller over its rate limit: nothing ends its delay early."""

RATE_LIMIT_AT_MOST = timedelta(minutes=5)
RETRY_AFTER_AT_MOST = timedelta(minutes=1)
"""Upper bounds of a server's ``Retry-After``: after a rate limit, and otherwise. One reply,
perhaps of a proxy, must not freeze a namespace."""


@dataclass(frozen=True, slots=True)
class Pace:
    """A delay that doubles with every fault, from *first* to *longest*."""

    first: timedelta
    longest: timedelta


QUICK = Pace(timedelta(seconds=2), timedelta(minutes=3))
SLOW = Pace(timedelta(seconds=30), timedelta(minutes=5))

REFUSED = "Unauthorized"
"""The fault of a key without the right: one that was just given takes a while to count."""

OTHER_CLOUD = "OtherCloud"
"""The fault of a worker for another Cloud API: nothing was asked, and nothing is known anew."""

FIRST_AFTER_REFUSAL = timedelta(seconds=5)
"""The delay after the first refusal of a key; those that follow are slow."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an attempt failed.

    *retry_after* is the server's ``Retry-After``, within bounds. *is_definite* says that the
    Cloud API answered; otherwise the change may still be under way, and is requested with
    the same key again.
    """

    kind: str
    message: str
    retry_after: timedelta | None = None
    is_definite: bool = True

    @property
    def is_rate_limit(self) -> bool:
        """Whether the server rejected the call for its rate limit."""
        return self.kind == RATE_LIMITED and self.retry_after is not None


def fault_of(error: ActivityError) -> Fault:
    """Return the fault behind an activity's failure."""
    cause = error.cause
    if not isinstance(cause, ApplicationError):
        message = f"an attempt was lost ({cause or error})"
        return Fault("Lost", message, is_definite=False)
    kind = cause.type or "CloudError"
    seconds = next((value for value in cause.details if isinstance(value, int | float)), None)
    wait = None if seconds is None else _bounded(kind, seconds)
    return Fault(kind, cause.message, wait, is_definite=kind != OTHER_CLOUD)


def _bounded(kind: str, seconds: float) -> timedelta:
    """Return a ``Retry-After`` of *seconds*, bounded for faults of *kind*."""
    at_most = RATE_LIMIT_AT_MOST if kind == RATE_LIMITED else RETRY_AFTER_AT_MOST
    return timedelta(seconds=max(0.0, min(seconds, at_most.total_seconds())))


def delay(fault: Fault, count: int, jitter: float) -> timedelta:
    """Return the delay after the *count*-th fault in a row, never less than `Fault.retry_after`.

    *jitter* (0–1) shortens the delay by up to 25 % so that keepers don't retry in step.
    """
    pace = SLOW if fault.kind in SLOW_KINDS else QUICK
    if fault.kind == REFUSED:
        doubled = pace.first * (1 << min(count - 2, 16)) if count > 1 else FIRST_AFTER_REFUSAL
    else:
        doubled = pace.first * (1 << min(count - 1, 16))
    wait = min(doubled, pace.longest) * (1 - jitter / 4)
    return max(wait, fault.retry_after or timedelta())
