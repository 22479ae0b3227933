"""The impact of a plan as sections of its output."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.model import Prices
    from planner.plan.model import Plan
    from planner.render.plan import Section
    from planner.schedules.spec import Schedule


def sections_of(
    found: Plan, desired: Iterable[Schedule], prices: Prices, now: datetime, *, brief: bool
) -> tuple[Section, ...]:
    """Return the impact of the plan *found*, summed up if *brief*; nothing without changes.

    A plan without changes imports and computes nothing more.
    """
    if not found.pending:
        return ()
    from planner.forecast.plan_impact import MOST_RUNS, TooManyOccurrences, plan_impact
    from planner.render.plan import Section, impact_sections, impact_summary

    try:
        ahead = plan_impact(found, desired, prices, now)
    except TooManyOccurrences:
        left_out = (
            f"Not computed: in a year the schedules run more than {MOST_RUNS:,} times. "
            "`planner preview --namespace NAMESPACE` shows one namespace's.",
        )
        return (Section("Capacity and bill ahead", left_out),)
    return impact_summary(ahead) if brief else impact_sections(ahead)
