"""The floors of pushed fleets: what the keeper knows of each, and what to do about it.

A floor is the minimum of a Kubernetes object that scales the fleet's workers. The planner raises
it for windows and gives back what was there before, as it does with TRU; what others set above it
is left alone. Which floor is the planner's, and what was there before, stands in the object itself
as a mark, written in one step with the floor: so a keeper that was lost takes nothing along.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from workflows.contract import Fleet, Lease, floor_of
from workflows.contract.fleets import KubernetesTarget


@dataclass(frozen=True, slots=True)
class FloorMark:
    """The mark of a floor that the planner *set*, and the *baseline* that was there before.

    A *baseline* of None stands for an object without a minimum of its own.
    """

    set: int
    baseline: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorState:
    """What a keeper knows of the floor of one pushed fleet.

    *wanted* is what the leases require now, None where none of them requires anything: the
    baseline is given back then. *in_force* was there at *observed_at*, *mark* is the planner's.
    *foreign* says that *in_force* was set externally and is left alone. *ceiling* is the object's
    maximum. *since* is when *wanted* last changed, *acted_for* what was wanted at the last look.
    *needs_look* says that the object has to be looked at whatever is known of it, *is_attempted*
    that a step is under way: what comes of it counts, even if nothing requires it any more.
    """

    fleet: Fleet
    wanted: int | None = None
    since: datetime | None = None
    in_force: int | None = None
    mark: FloorMark | None = None
    ceiling: int | None = None
    foreign: bool = False
    acted_for: int | None = None
    needs_look: bool = False
    is_attempted: bool = False
    observed_at: datetime | None = None
    fault: str = ""
    retry_at: datetime | None = None
    note: str = ""

    @property
    def target(self) -> KubernetesTarget:
        """The object that has the floor."""
        assert self.fleet.kubernetes is not None
        return self.fleet.kubernetes

    @property
    def is_covered(self) -> bool:
        """Whether there is at least as much as the leases require, as far as there can be."""
        if self.wanted is None:
            return True
        if self.in_force is None or self.needs_look:
            return False
        most = self.wanted if self.ceiling is None else min(self.wanted, self.ceiling)
        return self.in_force >= most

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to do until the leases change, or the next look is due."""
        if self.needs_look or self.is_attempted:
            return False
        if self.wanted is None:
            return self.mark is None
        return self.observed_at is not None and self.acted_for == self.wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorTask:
    """One look at the floor of *fleet* of a Cloud *namespace*, and a step to what is *wanted*.

    *mark* is the one that the keeper knows, where the object has lost its own.
    """

    namespace: str
    fleet: Fleet
    wanted: int | None
    mark: FloorMark | None = None
    windows: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorSeen:
    """What an activity saw of a floor: *found* before it did anything, *in_force* after it.

    *mark* is the planner's after it; None where the floor isn't the planner's any more. *wanted* is
    what the task wanted; *ceiling*, *foreign* and *note* are as in `FloorState`.
    """

    name: str
    found: int
    in_force: int
    wanted: int | None = None
    ceiling: int | None = None
    mark: FloorMark | None = None
    foreign: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class FloorStep:
    """What to write: the floor, None for no minimum, and the mark, None for none.

    With *keeps_floor* only the mark is written. *seen* is what there is afterwards.
    """

    seen: FloorSeen
    writes: bool = False
    floor: int | None = None
    keeps_floor: bool = False


def next_step(
    task: FloorTask,
    found: int | None,
    mark: FloorMark | None,
    *,
    default: int,
    ceiling: int | None = None,
) -> FloorStep:
    """Return what to do about a floor, given what was *found*.

    Never worse than before: a floor that is higher than what is wanted, and isn't the planner's, is
    left alone; so is one that others set above the planner's while it was raised. What others set
    below what a running window wants is raised again. Afterwards the baseline comes back, unless
    others have set another floor since: that stays, and only the mark goes.

    Args:
        task: What is wanted, and the mark that the keeper knows.
        found: The object's own minimum; None where it has none.
        mark: The planner's mark on the object; None without one.
        default: What an object without a minimum has.
        ceiling: The object's maximum, above which no floor can be.
    """
    there = default if found is None else found
    seen = FloorSeen(
        name=task.fleet.name, found=there, in_force=there, wanted=task.wanted, ceiling=ceiling
    )
    if mark is None and task.mark is not None and task.mark.set == there:
        mark = task.mark  # the object was written anew, with our floor and without our mark
    if task.wanted is None:
        return _give_back(seen, mark, default)
    wanted = task.wanted if ceiling is None else min(task.wanted, ceiling)
    short = f"{task.wanted} wanted, and its maximum is {wanted}" if wanted < task.wanted else ""
    baseline = found if mark is None else mark.baseline
    target = max(wanted, default if baseline is None else baseline)
    is_ours = mark is not None and mark.set == there
    if there == target and (mark is None or is_ours):
        return FloorStep(replace(seen, mark=mark, note=short))
    if there > target and not is_ours:
        said = f"{there} was set externally, above the {target} wanted: left alone" if mark else ""
        return FloorStep(replace(seen, mark=mark, foreign=mark is not None, note=said or short))
    if mark is not None and not is_ours:
        short = short or f"{there} had been set externally"
    done = replace(seen, in_force=target, mark=FloorMark(target, baseline), note=short)
    return FloorStep(done, writes=True, floor=target)


def gone(task: FloorTask) -> FloorSeen:
    """Return what is seen of a floor that is to be given back, and whose object was deleted.

    Mark and floor went with it, so that nothing is left to do.
    """
    note = f"{task.fleet.kubernetes} is gone, and the floor of {task.fleet.name} with it"
    return FloorSeen(name=task.fleet.name, found=0, in_force=0, note=note)


def _give_back(seen: FloorSeen, mark: FloorMark | None, default: int) -> FloorStep:
    """Return the step back to the baseline; none where the planner raised nothing."""
    if mark is None:
        return FloorStep(seen)
    if mark.set != seen.found:
        note = f"{seen.found} was set externally and stays; the planner had set {mark.set}"
        return FloorStep(replace(seen, note=note), writes=True, keeps_floor=True)
    back = default if mark.baseline is None else mark.baseline
    return FloorStep(replace(seen, in_force=back), writes=True, floor=mark.baseline)


# Transitions --------------------------------------------------------------------------

Floors = tuple[FloorState, ...]


def floors_at(floors: Floors, leases: Iterable[Lease], now: datetime) -> Floors:
    """Return *floors* with what the *leases* require of each at *now*, those of new fleets added.

    The same object where nothing has changed. A floor that no lease names and that isn't raised is
    forgotten.
    """
    held = [lease for lease in leases if lease.workers]
    if not held and not floors:
        return floors
    fleets = {one.fleet.name: one.fleet for one in floors}
    for lease in sorted(held, key=lambda one: (one.revision, one.start)):
        fleets |= {
            fleet.name: fleet
            for fleet in lease.fleets
            if fleet.kubernetes is not None and fleet.name in lease.workers
        }
    known = {one.fleet.name: one for one in floors}
    found = []
    for name in sorted(fleets):
        fleet = fleets[name]
        before = known.get(name) or FloorState(fleet=fleet)
        if before.mark is not None and before.target != fleet.kubernetes:
            fleet = replace(fleet, kubernetes=before.target)  # until it has been given back
        floor = floor_of(fleet, held, now)
        wanted = floor.replicas if floor.windows else None
        since = before.since if wanted == before.wanted else now
        after = replace(before, fleet=fleet, wanted=wanted, since=since)
        is_named = any(name in lease.workers for lease in held)
        if is_named or not after.is_settled:
            found.append(after)
    return floors if tuple(found) == floors else tuple(found)


def floor_by_name(floors: Floors, name: str) -> FloorState | None:
    """Return the floor of the fleet *name*; None if nothing is known of it."""
    return next((one for one in floors if one.fleet.name == name), None)


def with_floor(floors: Floors, floor: FloorState) -> Floors:
    """Return *floors* with *floor* in place of the one of the same fleet."""
    return tuple(floor if one.fleet.name == floor.fleet.name else one for one in floors)


def after_look(floors: Floors, seen: FloorSeen, now: datetime) -> Floors:
    """Return *floors* with what an activity has *seen* of one of them at *now*."""
    before = floor_by_name(floors, seen.name)
    if before is None:
        return floors
    after = replace(
        before,
        in_force=seen.in_force,
        mark=seen.mark,
        ceiling=seen.ceiling,
        foreign=seen.foreign,
        acted_for=seen.wanted,
        note=seen.note,
        needs_look=False,
        is_attempted=False,
        observed_at=now,
        fault="",
        retry_at=None,
    )
    return with_floor(floors, after)


def to_look_at(floors: Floors, name: str = "") -> Floors:
    """Return *floors* of which each, or the one of that *name*, has to be looked at again."""
    return tuple(
        replace(one, needs_look=True, is_attempted=False, fault="", retry_at=None)
        if name in ("", one.fleet.name)
        else one
        for one in floors
    )


def merged(own: Floors, old: Floors) -> Floors:
    """Return the *own* floors of a run and those of the *old* one that broke off."""
    names = {one.fleet.name for one in old}
    return (*to_look_at(old), *(one for one in own if one.fleet.name not in names))


def next_change(leases: Iterable[Lease], now: datetime) -> list[datetime]:
    """Return when workers of pushed fleets that wait for their lead come to count."""
    return [
        lease.start - fleet.lead
        for lease in leases
        for fleet in lease.fleets
        if fleet.kubernetes and fleet.name in lease.workers and lease.start - fleet.lead > now
    ]
