"""What a plan makes of the days and the bill ahead, for those who read the plan."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.diff import Plan
    from planner.model import Prices
    from planner.render.plan_words import Section
    from planner.spec import Schedule


MOST_SCHEDULES = 250
"""The most schedules whose days and bill are drawn beside a plan: some ten seconds' work."""


def sections_of(
    found: Plan, desired: Iterable[Schedule], prices: Prices, now: datetime, *, brief: bool
) -> tuple[Section, ...]:
    """Return what belongs beside *found*, all of it or in *brief*; nothing where nothing changes.

    A plan without changes stays as quick as it was.
    """
    if not found.pending:
        return ()
    from planner.outlook import outlook
    from planner.render.outlook import outlook_brief, outlook_sections
    from planner.render.plan_words import Section

    schedules = tuple(desired)
    if len(schedules) > MOST_SCHEDULES:
        left_out = (
            f"Not reckoned for {len(schedules):,} schedules, more than {MOST_SCHEDULES}: "
            "`planner preview --namespace NAMESPACE` shows one namespace's.",
        )
        return (Section("Capacity and bill ahead", left_out),)
    ahead = outlook(found, schedules, prices, now)
    return outlook_brief(ahead) if brief else outlook_sections(ahead)
