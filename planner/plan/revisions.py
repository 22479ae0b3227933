"""Revisions: which declaration of a namespace's baseline and guard rails is newer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from planner.plan.model import Change, Plan
from planner.schedules.spec import Schedule
from workflows.contract import BoostRequest, Capacity, Rails


def with_revisions(plan: Plan, now: datetime) -> Plan:
    """Return *plan* with a revision in each schedule that it writes.

    Where the live schedules of a namespace declare the same as the files, their revision is
    kept; else all written schedules of the namespace get a new one, higher than any live
    one. A revision is no difference: the files alone decide what a sync changes.

    Args:
        plan: The plan that is about to be applied.
        now: The server's time; its whole seconds number new declarations.
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
    """Return the revision for *changes*, all of one namespace."""
    desired = {_declared(change.desired.request) for change in changes if change.desired}
    there = [
        change.live.schedule.request
        for change in changes
        if change.live and change.live.schedule and change.live.project == plan.project
    ]
    there = [request for request in there if request.revision]  # 0: written without one
    highest = max((request.revision for request in there), default=0)
    if there and {_declared(request) for request in there} == desired:
        return highest
    return max(int(now.timestamp()), highest + 1)


def _declared(request: BoostRequest) -> tuple[Capacity | None, Rails]:
    """Return the baseline and guard rails that *request* declares for its namespace."""
    return request.baseline, request.rails


def _revised(schedule: Schedule, revision: int) -> Schedule:
    return replace(schedule, request=replace(schedule.request, revision=revision))
