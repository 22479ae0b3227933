"""How the leases of a namespace combine into the capacity it should have."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from workflows.contract.fleets import Combine
from workflows.contract.messages import ON_DEMAND, Capacity, Lease, Rails

APS_PER_TRU = 500
"""Actions per second that one Temporal Resource Unit allows."""


class CapacityDemand(Protocol):
    """A demand for capacity: a lease at run time, a window's occurrence in a preview."""

    @property
    def tru(self) -> int:
        """How many TRU are requested."""

    @property
    def combine(self) -> Combine:
        """Whether the highest counts, or this comes on top."""


@dataclass(frozen=True, slots=True)
class Target:
    """The capacity that a namespace should have, and why it differs from the request.

    *requested* is what the demands come to before any limit, 0 without any. *reason* is empty
    where nothing held the target back or lifted it.
    """

    capacity: Capacity
    requested: int
    reason: str = ""
    falls_short: bool = False


def combine(demands: Iterable[CapacityDemand], baseline: Capacity) -> int:
    """Return the TRU that *demands* request together: the highest, plus all that add.

    What adds comes on top of a provisioned *baseline*, too: that one runs whatever else does.
    On-demand is no level to add to, since what it allows follows the namespace's use.
    """
    highest, added = 0, 0
    for demand in demands:
        if demand.combine == "add":
            added += demand.tru
        else:
            highest = max(highest, demand.tru)
    return max(highest, provisioned_tru(baseline)) + added if added else highest


def provisioned_tru(capacity: Capacity) -> int:
    """Return the TRU of *capacity*, rounded up to a whole one; 0 for on-demand."""
    return math.ceil(capacity.tru or 0)


def round_up(tru: int, allowed: Sequence[int]) -> int | None:
    """Return the smallest of *allowed* that is at least *tru*; None if there is none."""
    return min((value for value in allowed if value >= tru), default=None)


def target_of(
    demands: Iterable[CapacityDemand],
    baseline: Capacity,
    rails: Rails,
    *,
    declared: bool = True,
    on_demand_aps: float = 0,
) -> Target:
    """Return the capacity a namespace should have while *demands* run.

    Never below the baseline, and never below what on-demand would give: a boost that
    lowers the limit is not made. A smaller boost than requested is better than none.

    Args:
        demands: The active leases or occurrences.
        baseline: What is in force when nothing runs.
        rails: The allowed values and the ceiling.
        declared: Whether a calendar declares the baseline. Only then does what adds come on
            top of it: a preview doesn't know any other, and promises no more than it shows.
        on_demand_aps: The namespace's on-demand limit in Actions per second; 0 if unknown.
    """
    requested = combine(demands, baseline if declared else ON_DEMAND)
    if requested == 0:
        return Target(baseline, 0)
    granted, reason = _within(requested, rails)
    if granted is None:
        return Target(baseline, requested, reason, falls_short=True)
    short = granted < requested
    if baseline.tru is not None and baseline.tru >= granted:
        return Target(
            baseline,
            requested,
            f"the baseline of {baseline} is not lowered",
            baseline.tru < requested,
        )
    if baseline.tru is None and on_demand_aps >= granted * APS_PER_TRU:
        enough = f"on-demand already allows {on_demand_aps:g} APS"
        return Target(baseline, requested, enough, on_demand_aps < requested * APS_PER_TRU)
    return Target(Capacity(granted), requested, reason, short)


@dataclass(frozen=True, slots=True)
class _Capped:
    """What a lease may request under the rails that it was granted under."""

    tru: int
    combine: Combine
    revision: int
    rails: Rails


def target_of_leases(
    leases: Iterable[Lease],
    baseline: Capacity,
    rails_of: Callable[[Lease], Rails],
    *,
    declared: bool = True,
    on_demand_aps: float = 0,
) -> Target:
    """Return the capacity a namespace should have while *leases* run, each under its own rails.

    A lease keeps what it was granted: under each declaration counts what it and the ones
    before it granted together, each lease no higher than its own rails let it, and the
    highest of these is the target. So a lease that comes never lowers the target, whatever
    rails it comes under, and takes none higher than its rails allow. Where all leases were
    granted under one declaration, this is `target_of`.

    Args:
        leases: The active leases.
        baseline: What is in force when nothing runs.
        rails_of: The guard rails of a lease, as narrow as the Cloud makes them now.
        declared: Whether a calendar declares the baseline.
        on_demand_aps: The namespace's on-demand limit in Actions per second; 0 if unknown.
    """
    running = list(leases)
    capped = [_capped(lease, rails_of(lease)) for lease in running]
    declarations = sorted({(each.revision, each.rails) for each in capped}, key=_by_age)
    if len(declarations) <= 1:
        rails = declarations[0][1] if declarations else Rails()
        return target_of(running, baseline, rails, declared=declared, on_demand_aps=on_demand_aps)
    targets = [
        target_of(
            [each for each in capped if each.revision <= revision],
            baseline,
            rails,
            declared=declared,
            on_demand_aps=on_demand_aps,
        )
        for revision, rails in declarations
    ]
    best = max(targets, key=lambda target: (_rank(target, baseline), target.requested))
    requested = combine(running, baseline if declared else ON_DEMAND)
    if best.requested >= requested:
        return best
    held_back = f"{requested} TRU requested, {best.capacity} within the rails of each window"
    return Target(best.capacity, requested, held_back, falls_short=True)


def _capped(lease: Lease, rails: Rails) -> _Capped:
    return _Capped(
        min(lease.tru, max(_usable(rails), default=0)), lease.combine, lease.revision, rails
    )


def _by_age(declaration: tuple[int, Rails]) -> tuple[int, str]:
    """Return the sort key of declarations: the oldest first, and a stable order otherwise."""
    revision, rails = declaration
    return revision, repr(rails)


def _rank(target: Target, baseline: Capacity) -> float:
    """Return the sort key of targets with the same *baseline*, which none is below."""
    return 0 if target.capacity == baseline else target.capacity.tru or 0


def _usable(rails: Rails) -> list[int]:
    """Return the values of *rails* that its ceiling leaves."""
    return [value for value in rails.allowed if rails.max_tru is None or value <= rails.max_tru]


def _within(requested: int, rails: Rails) -> tuple[int | None, str]:
    """Return the best allowed value for *requested* under the ceiling, and why it differs."""
    usable = _usable(rails)
    granted = round_up(requested, usable)
    if granted is None:
        largest = max(usable, default=None)
        return largest, f"{requested} TRU requested, {largest or 'none'} allowed at most"
    if granted > requested:
        return granted, f"{requested} TRU rounded up to {granted}, the next allowed value"
    return granted, ""
