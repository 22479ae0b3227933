"""What Actions cost by the month, at graduated tiers."""

from __future__ import annotations

from planner.model import Prices

MILLION = 1_000_000


def cost(actions: int, prices: Prices) -> float:
    """Return what *actions* of one month cost: each tier's share at that tier's price.

    >>> cost(1_080_000, Prices())
    54.0
    >>> cost(12_000_000, Prices())  # 5 million at 50, 5 at 45, 2 at 40
    555.0
    """
    total, reached = 0.0, 0
    for tier in prices.tiers:
        upper = actions if tier.up_to is None else min(actions, tier.up_to)
        total += max(upper - reached, 0) * tier.per_million / MILLION
        reached = max(reached, upper)
    if reached < actions:  # the last tier has an end: its price goes on
        total += (actions - reached) * prices.tiers[-1].per_million / MILLION
    return total


def marginal_cost(actions: int, below: int, prices: Prices) -> float:
    """Return what *actions* cost on top of *below* others in the same month."""
    return cost(below + actions, prices) - cost(below, prices)
