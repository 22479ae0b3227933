"""Changes ring by ring: which ring is next, what holds it back, and what is kept of it. Pure.

The changes of a plan meet the namespaces of the first ring first. The next ring gets them once the
pause is over, and nothing of the rings before went wrong since. What a rollout knows is a record on
the server: whoever has the files, a pipeline or a follower, takes the next step from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from planner.errors import first_few
from planner.model import Ring
from planner.plan.model import Plan
from workflows.contract import format_instant

ROLLOUT_WORKFLOW = "PlannerRollout"
ROLLOUT_SIGNAL = "step"
"""The workflow type of the records, which no worker runs; the signal that carries one."""

SHOWN_CHANGES = 3


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
    by_hand = _by_hand(rings, plan, last)
    if by_hand:
        return Step("stopped", first, f"{by_hand} changed by hand since ring {record.ring}")
    if first <= last:
        return Step("write", first)
    if record.stopped:
        return Step("stopped", first, f"stopped after ring {record.ring}: {record.stopped}")
    if record.due is not None and now < record.due:
        due = format_instant(record.due.replace(microsecond=0))
        return Step("wait", first, f"ring {names[first]} follows at {due}, if all goes well")
    return Step("check", first)


def _by_hand(rings: tuple[Ring, ...], plan: Plan, last: int) -> str:
    """Return the schedules up to the ring *last* that drifted; empty without any."""
    keys = [
        change.key
        for change in plan.pending
        if change.cause == "hand" and place_of(rings, change.namespace) <= last
    ]
    verb = "was" if len(keys) == 1 else "were"
    return f"{first_few(keys, SHOWN_CHANGES)} {verb}" if keys else ""


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
    found = [f"{namespace}: {text}" for namespace, texts in problems.items() for text in texts]
    return "; ".join([*found[:SHOWN_CHANGES], *(["and more"] if found[SHOWN_CHANGES:] else [])])
