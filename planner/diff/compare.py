"""The plan: desired and live schedules side by side, within the project's policy."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from planner.diff.decision import decide, delete, stamp_of
from planner.diff.firings import missed
from planner.diff.operators import keep_operators
from planner.diff.plan import Action, Change, Live, Plan
from planner.errors import Lint
from planner.model import Horizon, Policy
from planner.schedules.spec import Schedule
from workflows.contract import occurrence_of

LOW_HORIZON = timedelta(days=120)
"""A dated schedule that covers less than this is warned of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the files ask for: the schedules of a project, and how far a sync may go.

    *follow* says that boosts that run now follow the change of their window.
    """

    project: str
    schedules: tuple[Schedule, ...]
    policy: Policy = "sync"
    follow: bool = False


def unsettled(wanted: Wanted, listed: Mapping[str, Live]) -> tuple[str, ...]:
    """Return the ids that the server's list can't settle: they must be described.

    A desired schedule is settled where it isn't listed, or is listed with the stamp,
    the pause and the note that it should have. One that is to be deleted never is: what
    runs of it must be known.
    """
    desired = {schedule.id: schedule for schedule in wanted.schedules}
    return tuple(
        sorted(
            id
            for id, live in listed.items()
            if not (id in desired and _is_settled(desired[id], live, wanted.project))
        )
    )


def is_neighbour(live: Live, project: str, desired: Collection[str]) -> bool:
    """Tell whether *live* is of another than *project*, and under none of the *desired* ids."""
    return live.project not in ("", project) and live.id not in desired


def near(wanted: Wanted, live: Mapping[str, Live], horizon: Horizon) -> dict[str, Schedule]:
    """Return the desired schedules with a firing due in *horizon* that *live* doesn't show.

    Paused ones are left alone, whoever paused them.
    """
    found = {}
    for schedule in wanted.schedules:
        there = live.get(schedule.id, Live(id=schedule.id))
        kept = keep_operators(schedule, there)
        if not kept.paused and missed(kept, there, horizon):
            found[schedule.id] = kept
    return found


def undecided(near: Mapping[str, Schedule], live: Mapping[str, Live], horizon: Horizon) -> bool:
    """Tell whether it depends on the moment within *horizon* what there is to be started.

    That is so where an occurrence that nothing shows to have been asked for becomes due in
    it, or ends in it.
    """
    return any(
        nominal > horizon.start or occurrence_of(schedule.request, nominal)[1] <= horizon.end
        for id, schedule in near.items()
        for nominal in missed(schedule, live.get(id, Live(id=id)), horizon)
    )


def diff(
    wanted: Wanted,
    live: Mapping[str, Live],
    now: datetime,
    *,
    near: Collection[str] | None = None,
) -> Plan:
    """Return the plan that makes *live* what is *wanted*.

    Args:
        wanted: What the files ask for.
        live: The schedules that bear the project's mark, any other under a desired id, and
            what other projects have for the same namespaces.
        now: When; an ended schedule is neither made nor missed.
        near: The ids among which there may be something to start, where that is known
            (`near`): it spares looking at each.
    """
    desired = {schedule.id: schedule for schedule in wanted.schedules}
    neighbours = {id: one for id, one in live.items() if is_neighbour(one, wanted.project, desired)}
    live = {id: one for id, one in live.items() if id not in neighbours}
    decided = [
        *(
            decide(
                one, live.get(id), wanted.project, now, settled=near is not None and id not in near
            )
            for id, one in desired.items()
        ),
        *(delete(live[id], now) for id in live.keys() - desired.keys()),
    ]
    changes = sorted(
        (_following(change) if wanted.follow else change for change in decided if change),
        key=lambda change: change.id,
    )
    kept, left = _within(wanted.policy, changes)
    return Plan(
        project=wanted.project,
        changes=tuple(change for change in kept if change.action != "unchanged" or change.remarks),
        unchanged=sum(change.action == "unchanged" for change in kept),
        owned=sum(one.project == wanted.project and not one.has_ended for one in live.values()),
        warnings=(*left, *_warnings(kept, now)),
        neighbours=tuple(
            neighbours[id] for id in sorted(neighbours) if not neighbours[id].has_ended
        ),
    )


def _following(change: Change) -> Change:
    """Return *change* with its running boosts following it."""
    return replace(change, follow=bool(change.running))


def _is_settled(desired: Schedule, live: Live, project: str) -> bool:
    """Tell whether the list shows *live* just as *desired* should be."""
    if live.project != project or live.stamp is None or live.stamp != stamp_of(desired):
        return False
    kept = keep_operators(desired, live)
    return (kept.paused, kept.note) == (live.paused, live.note)


def _within(policy: Policy, changes: list[Change]) -> tuple[list[Change], list[Lint]]:
    """Return the changes that *policy* lets through, and a warning for each of the others."""
    kept, left = [], []
    for change in changes:
        if _lets_through(policy, change.action):
            kept.append(change)
        else:
            words = f"{change.key}: {change.action} left undone by policy {policy}"
            left.append(Lint("planner.yaml", 0, "left-by-policy", words))
    return kept, left


def _lets_through(policy: Policy, action: Action) -> bool:
    if policy == "create-only":
        return action in ("create", "start", "unchanged")
    return policy == "sync" or action != "delete"


def _warnings(changes: list[Change], now: datetime) -> list[Lint]:
    """Return what a reader of the plan should know of schedules that stay as they are."""
    found = []
    for change in changes:
        covers = change.desired.covers_until if change.desired else None
        if covers and covers - now < LOW_HORIZON:
            words = f"{change.key}: its dates end on {covers:%Y-%m-%d}; sync again before"
            found.append(Lint("", 0, "extend-soon", words))
        if change.action == "unchanged":
            found += [Lint("", 0, "paused", f"{change.key}: {words}") for words in change.remarks]
    return found
