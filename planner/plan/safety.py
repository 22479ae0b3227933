"""What holds changes back: safety rules, with the flags that allow them, and rings. Pure.

A plan with a change that is held back by a rule is not applied at all: a sync makes all changes
or none.

In rings, the changes of a plan meet the namespaces of the first ring first. The next ring gets them
once the pause is over, and nothing of the rings before went wrong since. What a rollout knows is a
record on the server: whoever has the files, a pipeline or a follower, takes the next step from
there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Literal

from planner.errors import Lint, Refused, StalePlan, first_few
from planner.model import Ring
from planner.plan.model import Change, Plan
from workflows.contract import format_instant

MAX_DELETE_SHARE = 0.30
"""Deleting a larger share of the owned schedules than this is held back …"""

MIN_DELETES = 3
"""… unless fewer than so many are deleted: small projects change in large shares."""

WRITES = ("create", "update", "extend", "rename", "adopt")
"""Actions that write a baseline and guard rails for the namespace."""

SHOWN_REFUSALS = 20
"""Reasons that an error names; more of them say the same of other windows."""

SHOWN_WINDOWS = 5
"""Windows of another project that a refusal names."""


@dataclass(frozen=True, slots=True)
class Allowances:
    """The changes that the caller allows although a rule holds them back.

    Attributes:
        delete: Windows that may be deleted, as ``NAMESPACE/WINDOW``; ``*`` matches any.
        adopt: Whether schedules with our ids and no owner mark may be adopted.
        share: Namespaces that may have windows of several projects; ``*`` matches any.
    """

    delete: tuple[str, ...] = ()
    adopt: bool = False
    share: tuple[str, ...] = ()

    def deletes(self, key: str) -> bool:
        """Tell whether the window *key* may be deleted regardless of the rules."""
        return any(fnmatchcase(key, pattern) for pattern in self.delete)

    def shares(self, namespace: str) -> bool:
        """Tell whether *namespace* may have windows of several projects."""
        return any(fnmatchcase(namespace, pattern) for pattern in self.share)


def with_refusals(plan: Plan, allowed: Allowances) -> Plan:
    """Return *plan* with a refusal on each change that is held back.

    Creates, updates and extensions are held back only where another project has windows for
    the same namespace.
    """
    windows: dict[str, dict[str, list[str]]] = {}
    for live in plan.neighbours:
        windows.setdefault(live.namespace, {}).setdefault(live.project, []).append(live.window)
    others = {
        namespace: " and ".join(
            f"the project {project!r} has the {'window' if len(names) == 1 else 'windows'} "
            f"{first_few(names, SHOWN_WINDOWS)}"
            for project, names in owners.items()
        )
        for namespace, owners in windows.items()
    }
    crowd = _too_many(plan, allowed)
    changes = tuple(
        replace(change, refusal=_refusal(change, others, allowed, crowd)) for change in plan.changes
    )
    refused = {change.namespace for change in changes if change.refusal}
    shared = tuple(
        Lint("", 0, "shared-namespace", f"{namespace}: {words} too")
        for namespace, words in others.items()
        if namespace not in refused
    )
    return replace(plan, changes=changes, warnings=(*plan.warnings, *shared))


def require_checksum(plan: Plan, expected: str) -> None:
    """Raise unless *plan* has the checksum of the plan that was reviewed.

    Raises:
        StalePlan: The files or the server have changed since.
    """
    if plan.checksum != expected:
        raise StalePlan(
            f"the plan is not the one with checksum {expected}: files or server have changed "
            f"since, it is {plan.checksum} now; review `planner plan` again"
        )


def require_allowed(plan: Plan) -> None:
    """Raise if any change of *plan* is held back.

    Raises:
        Refused: With a sentence for each change that is held back.
    """
    if plan.refusal:
        raise Refused(f"nothing was changed: {plan.refusal}")
    if plan.refused:
        together: dict[str, list[str]] = {}
        for change in plan.refused:
            together.setdefault(change.refusal, []).append(change.key)
        lines = []
        for refusal, keys in together.items():
            named = ", ".join(keys) if len(keys) <= MIN_DELETES else f"{len(keys):,} windows"
            lines.append(f"\n  {named}: {refusal}")
        more = len(lines) - SHOWN_REFUSALS
        rest = f"\n  and {more:,} more; `planner plan` shows them" if more > 0 else ""
        shown = "".join(lines[:SHOWN_REFUSALS])
        raise Refused(f"nothing was changed, since some of it is held back:{shown}{rest}")


def unused_allowances(plan: Plan, allowed: Allowances) -> tuple[str, ...]:
    """Return the delete patterns of *allowed* that match no deletion of *plan*."""
    keys = [change.key for change in plan.changes if change.action == "delete"]
    return tuple(
        pattern for pattern in allowed.delete if not any(fnmatchcase(key, pattern) for key in keys)
    )


def _refusal(change: Change, others: Mapping[str, str], allowed: Allowances, crowd: str) -> str:
    """Return why *change* is held back; empty if it isn't.

    *crowd* is the refusal of too many deletes together, empty without one.
    """
    namespace = change.namespace
    if change.action == "adopt" and change.live:
        if owner := change.live.project:
            return (
                f"the schedule {change.id} belongs to the project {owner!r}: remove the window "
                "there, or give it another name here"
            )
        if not allowed.adopt:
            return (
                f"a schedule {change.id} is there that no planner made; --adopt deletes it and "
                "makes it anew as ours"
            )
    if change.action in WRITES and namespace in others and not allowed.shares(namespace):
        return (
            f"{others[namespace]} for {namespace} too, and a namespace has one baseline and one "
            f"set of guard rails: move the windows to one project, or allow both with "
            f"--share {namespace}"
        )
    if change.action != "delete" or allowed.deletes(change.key):
        return ""
    boosts = [boost for boost in change.running if boost.has_lease is not False]
    if boosts:
        return (
            f"its boost is running until {boosts[0].end:%Y-%m-%d %H:%MZ}; "
            f"--allow-delete {change.key} deletes it all the same"
        )
    return crowd if _counts(change) else ""


def _too_many(plan: Plan, allowed: Allowances) -> str:
    """Return why the plan's deletes together are held back; empty if they aren't."""
    deletes = [change for change in plan.changes if _counts(change)]
    counted = [change for change in deletes if not allowed.deletes(change.key)]
    if len(counted) < MIN_DELETES or len(counted) <= MAX_DELETE_SHARE * plan.owned:
        return ""
    namespaces = {change.namespace for change in counted}
    if len(counted) <= MIN_DELETES:
        flags = " ".join(f"--allow-delete {change.key}" for change in counted)
    elif len(namespaces) == 1:
        flags = f"--allow-delete '{namespaces.pop()}/*'"
    else:
        flags = "--allow-delete '*'"
    return (
        f"{len(counted):,} of {plan.owned:,} schedules would be deleted, more than "
        f"{MAX_DELETE_SHARE:.0%}; {flags} allows it"
    )


def _counts(change: Change) -> bool:
    """Tell whether *change* deletes a schedule that would fire again."""
    return change.action == "delete" and change.live is not None and not change.live.has_ended


# Rings -------------------------------------------------------------------------------------


ROLLOUT_WORKFLOW = "PlannerRollout"
ROLLOUT_SIGNAL = "step"
"""The workflow type of the records, which no worker runs; the signal that carries one."""

SHOWN_CHANGES = 3

LONGEST_WORDS = 600
"""Characters that are kept of each reason for which a rollout is stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """How far the changes of a project have come, ring by ring.

    Attributes:
        project: The project.
        ring: The ring that was written last; empty before the first, and once all are written.
        at: When it was.
        due: When the next ring may be written.
        checksum: Of the plan that was left when it was written.
        reviewed: Of the plan of all rings, before the first of them was written.
        stopped: Why no further ring is written; empty while it goes on.
        by: Who stopped it; empty where a check did.
    """

    project: str
    ring: str = ""
    at: datetime | None = None
    due: datetime | None = None
    checksum: str = ""
    reviewed: str = ""
    stopped: str = ""
    by: str = ""

    @property
    def id(self) -> str:
        """The id of the workflow execution that has the record."""
        return rollout_id(self.project)


def rollout_id(project: str) -> str:
    """Return the workflow id of the rollout of *project*."""
    return f"planner-rollout/{project}"


def place_of(rings: tuple[Ring, ...], namespace: str) -> int:
    """Return the place of the ring that *namespace* is in: the last one where none names it."""
    named = (place for place, ring in enumerate(rings) if namespace in ring.namespaces)
    return next(named, len(rings) - 1)


def changes_by_ring(rings: tuple[Ring, ...], plan: Plan) -> dict[str, int]:
    """Return how many changes of *plan* each ring has, in their order."""
    counts = dict.fromkeys((ring.name for ring in rings), 0)
    for change in plan.pending:
        counts[rings[place_of(rings, change.namespace)].name] += 1
    return counts


StepKind = Literal["done", "write", "check", "wait", "stopped"]


@dataclass(frozen=True, slots=True)
class Step:
    """What comes next: to write the ring at *place*, right away or after a check; or nothing yet.

    *why* says what is waited for, or what has stopped it.
    """

    kind: StepKind
    place: int = -1
    why: str = ""


def next_step(rings: tuple[Ring, ...], plan: Plan, record: Rollout, now: datetime) -> Step:
    """Return the next step of *plan*, which has the changes of all rings that are left.

    What changes the ring that was written last, or one before it, begins anew there: so a fix, or
    a revert, needs no permission after a check has stopped. What a person stopped waits for one.
    """
    places = [place_of(rings, change.namespace) for change in plan.pending]
    if not places:
        return Step("done")
    first = min(places)
    if record.stopped and record.by:
        return Step("stopped", first, f"stopped by {record.by}: {record.stopped}")
    names = [ring.name for ring in rings]
    if record.ring not in names:
        return Step("write", first)
    last = names.index(record.ring)
    by_hand = [
        change.key
        for change in plan.pending
        if change.cause == "hand" and place_of(rings, change.namespace) <= last
    ]
    if by_hand:
        drifted = f"{first_few(by_hand, SHOWN_CHANGES)} {'was' if len(by_hand) == 1 else 'were'}"
        return Step("stopped", first, f"{drifted} changed by hand since ring {record.ring}")
    if first <= last:
        return Step("write", first)
    if record.stopped:
        return Step("stopped", first, f"stopped after ring {record.ring}: {record.stopped}")
    if record.due is not None and now < record.due:
        due = format_instant(record.due.replace(microsecond=0))
        return Step("wait", first, f"ring {names[first]} follows at {due}, if all goes well")
    return Step("check", first)


def after_write(
    record: Rollout, ring: Ring, pause: timedelta, left: Plan, now: datetime
) -> Rollout:
    """Return the record once *ring* was written at *now*, with the changes that are *left*."""
    if not left.pending:
        return Rollout(project=record.project)
    return replace(
        record,
        ring=ring.name,
        at=now,
        due=now + pause,
        checksum=left.checksum,
        stopped="",
        by="",
    )


def rollout_text(rings: tuple[Ring, ...], plan: Plan, record: Rollout, now: datetime) -> str:
    """Return how the changes of *plan* go through the *rings*; empty without rings or changes."""
    if not rings or not plan.pending:
        return ""
    counts = changes_by_ring(rings, plan)
    listed = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    step = next_step(rings, plan, record, now)
    words = {
        "write": f"`planner sync --in-rings` begins with {rings[step.place].name}",
        "check": f"{rings[step.place].name} is next, after a check of the rings before",
    }
    return f"Changes by ring: {listed}. {words.get(step.kind, step.why)}."


def check_words(problems: Mapping[str, Iterable[str]]) -> str:
    """Return what a check has found, by namespace, in one sentence; empty if nothing."""
    found = [
        f"{namespace}: {text}"[:LONGEST_WORDS]
        for namespace, texts in problems.items()
        for text in texts
    ]
    return "; ".join([*found[:SHOWN_CHANGES], *(["and more"] if found[SHOWN_CHANGES:] else [])])
