"""What a rehearsal showed, of one scene or of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter

from workflows.contract import Capacity


@dataclass(frozen=True, slots=True)
class Difference:
    """A stretch of time in which not that was in force which should have been."""

    namespace: str
    start: datetime
    end: datetime
    held: Capacity | None
    due: Capacity
    windows: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a rehearsal showed.

    *failed* has a sentence for each boost that failed. *changes* are those of the capacity
    in force; *actions* are what it all costs on Temporal Cloud, looks at a quiet namespace
    apart.
    """

    fired: int
    failed: tuple[str, ...]
    differences: tuple[Difference, ...]
    changes: int
    actions: int


def together(outcomes: Sequence[Outcome]) -> Outcome:
    """Return what *outcomes* of scenes come to: the same as if they were one."""
    found = [difference for outcome in outcomes for difference in outcome.differences]
    return Outcome(
        fired=sum(outcome.fired for outcome in outcomes),
        failed=tuple(failure for outcome in outcomes for failure in outcome.failed),
        differences=tuple(sorted(found, key=attrgetter("namespace", "start"))),
        changes=sum(outcome.changes for outcome in outcomes),
        actions=sum(outcome.actions for outcome in outcomes),
    )
