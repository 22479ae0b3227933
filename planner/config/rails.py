"""Guard rails and prices: what planner.yaml allows, and what a calendar may tighten."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

from planner.config.documents import GuardRailsDocument, PricesDocument
from planner.config.values import short
from planner.model import GuardRails, Prices, PriceTier


def rails_of(document: GuardRailsDocument | None, inherited: GuardRails) -> GuardRails:
    """Return *inherited* with what *document* writes in its place."""
    if document is None:
        return inherited
    return replace(
        inherited,
        allowed_tru=tuple(sorted(set(document.allowed_tru or inherited.allowed_tru))),
        max_tru=document.max_tru or inherited.max_tru,
        max_duration=document.max_duration or inherited.max_duration,
        max_boost_hours_per_month=(
            document.max_boost_hours_per_month or inherited.max_boost_hours_per_month
        ),
    )


def loosened(document: GuardRailsDocument | None, project: GuardRails) -> Iterator[tuple[str, str]]:
    """Yield the keys by which a calendar would allow more than the project does.

    Who may write a calendar may not lift what the platform's owner set for it in
    planner.yaml: with both files in one repository, that is what code owners are for.
    """
    if document is None:
        return
    ceilings = ("max_tru", "max_duration", "max_boost_hours_per_month")
    for key in ceilings:
        own, limit = getattr(document, key), getattr(project, key)
        if own is not None and limit is not None and own > limit:
            good = short(limit) if isinstance(limit, timedelta) else f"{limit:g}"
            yield key, f"'{key}' is above planner.yaml's {good}; write {good} or less"
    extra = sorted(set(document.allowed_tru or ()) - set(project.allowed_tru))
    if extra:
        allowed = ", ".join(map(str, project.allowed_tru))
        yield (
            "allowed_tru",
            f"'allowed_tru' adds {', '.join(map(str, extra))} to planner.yaml's values; "
            f"choose from {allowed}",
        )


def unusable(rails: GuardRails) -> str | None:
    """Return why no boost fits within *rails*, in a sentence; None if one does."""
    smallest = min(rails.allowed_tru)
    if rails.max_tru is not None and rails.max_tru < smallest:
        return (
            f"'max_tru' of {rails.max_tru} is below the smallest allowed TRU value; "
            f"write {smallest} or more"
        )
    return None


def prices_of(document: PricesDocument | None) -> Prices:
    """Return the price list that planner.yaml writes, or the published one."""
    if document is None:
        return Prices()
    tiers = tuple(PriceTier(tier.up_to, tier.per_million) for tier in document.tiers)
    return Prices(tiers, document.currency or Prices().currency)


def price_problem(prices: Prices) -> str | None:
    """Return why the tiers of *prices* are no price list; None if they are one."""
    *bounded, last = prices.tiers
    limits = [tier.up_to for tier in bounded]
    if last.up_to is not None or None in limits:
        return "'tiers' ends with one without up_to, and only that; write {per_million: 25} last"
    if any(a >= b for a, b in pairwise(limits) if a and b):
        return "'tiers' ascend by up_to; write 5000000 before 10000000"
    return None
