"""How the leases of a namespace combine into the capacity it should have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from workflows.contract.messages import Capacity, Combine, Rails

APS_PER_TRU = 500
"""Actions per second that one Temporal Resource Unit allows."""


class Claim(Protocol):
    """What combines: a lease at run time, a window's occurrence in a preview."""

    @property
    def tru(self) -> int:
        """How many TRU are asked for."""

    @property
    def combine(self) -> Combine:
        """Whether the highest counts, or this comes on top."""


@dataclass(frozen=True, slots=True)
class Target:
    """The capacity to drive to, and why it isn't just what was asked for.

    *asked* is the plain combination of the claims, 0 without any. *reason* is empty
    where nothing held the target back or lifted it.
    """

    capacity: Capacity
    asked: int
    reason: str = ""
    falls_short: bool = False


def combine(claims: Iterable[Claim]) -> int:
    """Return the TRU that *claims* ask for together: the highest, plus all that add."""
    highest, added = 0, 0
    for claim in claims:
        if claim.combine == "add":
            added += claim.tru
        else:
            highest = max(highest, claim.tru)
    return highest + added


def round_up(tru: int, allowed: Sequence[int]) -> int | None:
    """Return the smallest of *allowed* that is at least *tru*; None if there is none."""
    return min((value for value in allowed if value >= tru), default=None)


def target_of(
    claims: Iterable[Claim],
    baseline: Capacity,
    rails: Rails,
    *,
    on_demand_aps: float = 0,
) -> Target:
    """Return the capacity a namespace should have while *claims* run.

    Never below the baseline, and never below what on-demand would give: a boost that
    lowers the limit is not made. A smaller boost than asked for is better than none.

    Args:
        claims: What runs now.
        baseline: What is in force when nothing runs.
        rails: The allowed values and the ceiling.
        on_demand_aps: The namespace's on-demand limit in Actions per second; 0 if unknown.
    """
    asked = combine(claims)
    if asked == 0:
        return Target(baseline, 0)
    granted, reason = _within(asked, rails)
    if granted is None:
        return Target(baseline, asked, reason, falls_short=True)
    short = granted < asked
    if baseline.tru is not None and baseline.tru >= granted:
        return Target(
            baseline, asked, f"the baseline of {baseline} is not lowered", baseline.tru < asked
        )
    if baseline.tru is None and on_demand_aps >= granted * APS_PER_TRU:
        enough = f"on-demand already allows {on_demand_aps:g} APS"
        return Target(baseline, asked, enough, on_demand_aps < asked * APS_PER_TRU)
    return Target(Capacity(granted), asked, reason, short)


def _within(asked: int, rails: Rails) -> tuple[int | None, str]:
    """Return the best allowed value for *asked* under the ceiling, and why it differs."""
    ceiling = rails.max_tru
    usable = [value for value in rails.allowed if ceiling is None or value <= ceiling]
    granted = round_up(asked, usable)
    if granted is None:
        largest = max(usable, default=None)
        return largest, f"{asked} TRU asked for, {largest or 'none'} allowed at most"
    if granted > asked:
        return granted, f"{asked} TRU rounded up to {granted}, the next allowed value"
    return granted, ""
