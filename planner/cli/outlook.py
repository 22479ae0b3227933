"""What a plan makes of the days and the bill ahead, for those who read the plan."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.diff import Plan
    from planner.model import Prices
    from planner.render.plan import Section
    from planner.schedules.spec import Schedule


def sections_of(
    found: Plan, desired: Iterable[Schedule], prices: Prices, now: datetime, *, brief: bool
) -> tuple[Section, ...]:
    """Return what belongs beside *found*, all of it or in *brief*; nothing where nothing changes.

    A plan without changes stays as quick as it was.
    """
    if not found.pending:
        return ()
    from planner.forecast.plan_impact import MOST_RUNS, TooManyRuns, outlook
    from planner.render.plan import Section, outlook_brief, outlook_sections

    try:
        ahead = outlook(found, desired, prices, now)
    except TooManyRuns:
        left_out = (
            f"Not reckoned: in a year the schedules run more than {MOST_RUNS:,} times. "
            "`planner preview --namespace NAMESPACE` shows one namespace's.",
        )
        return (Section("Capacity and bill ahead", left_out),)
    return outlook_brief(ahead) if brief else outlook_sections(ahead)
