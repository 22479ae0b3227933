"""The order of what schedules declare for their namespace: which baseline and rails are newer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from planner.plan.model import Change, Plan
from planner.schedules.spec import Schedule
from workflows.contract import BoostRequest, Capacity, Rails


def with_revisions(plan: Plan, now: datetime) -> Plan:
    """Return *plan* with the revision of each declaration in what it writes.

    Where the live schedules of a namespace declare what the files do, their revision is
    kept; else all that is written of the namespace gets a new one, higher than any that is
    there. So the files alone decide what a sync changes: a revision is no difference, and
    two syncs of the same files write nothing twice.

    Args:
        plan: What is about to be written.
        now: The time by the server's clock, which numbers what is new in whole seconds.
    """
    revisions = {
        namespace: _revision([one for one in plan.pending if one.namespace == namespace], plan, now)
        for namespace in {change.namespace for change in plan.pending}
    }
    changes = tuple(
        replace(change, desired=_revised(change.desired, revisions[change.namespace]))
        if change.desired and change.namespace in revisions
        else change
        for change in plan.changes
    )
    return replace(plan, changes=changes)


def _revision(changes: Iterable[Change], plan: Plan, now: datetime) -> int:
    """Return the revision of what *changes*, of one namespace, declare."""
    wanted = {_declared(change.desired.request) for change in changes if change.desired}
    there = [
        change.live.schedule.request
        for change in changes
        if change.live and change.live.schedule and change.live.project == plan.project
    ]
    there = [request for request in there if request.revision]  # else it says nothing of order
    highest = max((request.revision for request in there), default=0)
    if there and {_declared(request) for request in there} == wanted:
        return highest
    return max(int(now.timestamp()), highest + 1)


def _declared(request: BoostRequest) -> tuple[Capacity | None, Rails]:
    """Return what *request* says of its namespace."""
    return request.baseline, request.rails


def _revised(schedule: Schedule, revision: int) -> Schedule:
    return replace(schedule, request=replace(schedule.request, revision=revision))
