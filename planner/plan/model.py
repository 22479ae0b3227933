"""The values of a plan: schedules as the server has them, and the changes to them."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from planner.errors import Lint
from planner.plan.fields import Field
from planner.schedules.spec import Schedule, Stamp, namespace_of, note_mark, window_key

Action = Literal["create", "update", "extend", "adopt", "start", "delete", "unchanged"]
"""What becomes of a schedule.

- ``create``: it isn't there yet.
- ``update``: it is there and ours, and differs.
- ``extend``: only the horizon of a dated schedule moved; its firings so far are the same.
- ``adopt``: it bears our id but nobody's mark; it is made anew with ours.
- ``start``: it is as it should be, but did not fire for an occurrence that is under way.
- ``delete``: it is ours, and its window is gone from the files.
- ``unchanged``: it is as it should be.
"""

ACTIONS: tuple[Action, ...] = (
    "create",
    "update",
    "extend",
    "adopt",
    "start",
    "delete",
    "unchanged",
)

CHECKSUM_LENGTH = 12
"""Hexadecimal characters of a plan's checksum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """A schedule as the server has it: by its list, or whole where it was described.

    Attributes:
        id: The schedule's id.
        project: The owner mark; empty where nobody's is on it.
        paused: Whether it is paused, by whomever.
        note: Its note as it is now.
        stamp: What its first calendar's comment says of it; None if nothing.
        upcoming: Its next firings, jitter included; none where it has ended.
        schedule: All of it; None where only the list was read.
        deviations: What it has that a schedule of ours never has, as fields that differ.
        fired: The nominal times of its last firings, as far as the server tells.
        asked: The starts of occurrences that are asked for although *fired* does not have
            them: by a firing longer ago, or by a lease.
        awaited: The starts of occurrences that the server is about to fire.
        token: What an update must bring along to be taken.
    """

    id: str
    project: str = ""
    paused: bool = False
    note: str = ""
    stamp: Stamp | None = None
    upcoming: tuple[datetime, ...] = ()
    schedule: Schedule | None = None
    deviations: tuple[Field, ...] = ()
    fired: tuple[datetime, ...] = ()
    asked: frozenset[datetime] = frozenset()
    awaited: frozenset[datetime] = frozenset()
    token: bytes = field(default=b"", compare=False)

    @property
    def namespace(self) -> str:
        """The namespace whose capacity it is about."""
        return namespace_of(self.id)

    @property
    def window(self) -> str:
        """The window's name in its namespace."""
        return window_key(self.id).partition("/")[2]

    @property
    def note_is_ours(self) -> bool:
        """Whether the note is the one that the planner wrote, untouched since."""
        return self.stamp is not None and self.stamp.note == note_mark(self.note)

    @property
    def paused_by_operator(self) -> bool:
        """Whether somebody paused it by hand; that always rewrites the note."""
        return self.paused and not self.note_is_ours

    @property
    def has_ended(self) -> bool:
        """Whether it will never fire again; the server deletes it a week later."""
        return not self.upcoming


@dataclass(frozen=True, slots=True)
class Running:
    """A boost that a firing asked for, and that runs now."""

    start: datetime
    end: datetime
    tru: int
    nominal: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What becomes of one schedule, and why.

    Attributes:
        action: What is done to it.
        id: The schedule's id.
        fields: What differs, in words.
        reason: Why, in words.
        desired: How it should be, as it will be written: an operator's pause and note are
            in it. None for a delete.
        live: How the server has it; None for a create.
        before: Its next occurrences as they are, each ``[start, end)``.
        after: Its next occurrences as they will be.
        starts: Nominal times of occurrences under way that nothing has asked for yet: to
            be started at once.
        running: The boosts of it that run now.
        follow: Whether these boosts follow the change, rather than keep what they have.
        remarks: What else a reader should know, in words.
        refusal: Why it is held back, and what would allow it; empty if nothing does.
    """

    action: Action
    id: str
    fields: tuple[Field, ...] = ()
    reason: str = ""
    desired: Schedule | None = None
    live: Live | None = None
    before: tuple[tuple[datetime, datetime], ...] = ()
    after: tuple[tuple[datetime, datetime], ...] = ()
    starts: tuple[datetime, ...] = ()
    running: tuple[Running, ...] = ()
    follow: bool = False
    remarks: tuple[str, ...] = ()
    refusal: str = ""

    @property
    def namespace(self) -> str:
        """The namespace whose capacity it is about."""
        return self.key.partition("/")[0]

    @property
    def window(self) -> str:
        """The window's name in its namespace."""
        return self.key.partition("/")[2]

    @property
    def key(self) -> str:
        """The window's name in full, as allowances name it: ``payments-prod.a1b2c/payroll``."""
        return window_key(self.id)

    @property
    def outcome(self) -> str:
        """The action, or ``refused`` where it is held back."""
        return "refused" if self.refusal else self.action


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that a sync would do, sorted by schedule id.

    *changes* hold an ``unchanged`` schedule only where there is something to say of it;
    *unchanged* counts them all. *owned* counts the live schedules that bear our mark and
    will fire again: what deletes are measured against. *neighbours* are the live schedules
    of other projects for namespaces that the files name.
    """

    project: str
    changes: tuple[Change, ...] = ()
    unchanged: int = 0
    owned: int = 0
    warnings: tuple[Lint, ...] = ()
    neighbours: tuple[Live, ...] = ()

    @property
    def pending(self) -> tuple[Change, ...]:
        """The changes that change something."""
        return tuple(change for change in self.changes if change.action != "unchanged")

    @property
    def refused(self) -> tuple[Change, ...]:
        """The changes that are held back."""
        return tuple(change for change in self.changes if change.refusal)

    @property
    def summary(self) -> dict[str, int]:
        """How many of each action; a change that is held back counts as refused only."""
        counts = Counter(change.outcome for change in self.changes)
        summary: dict[str, int] = {action: counts[action] for action in ACTIONS}
        return summary | {"unchanged": self.unchanged, "refused": counts["refused"]}

    @property
    def checksum(self) -> str:
        """A fingerprint of the changes: what they start from and what they make of it.

        The same for the same files and the same server, however late it is reckoned: what
        is only to be started comes and goes with the time, and does not count.
        """
        lines = [
            f"{change.action} {change.id} {_state(change.live)} {_digest(change.desired)}"
            for change in self.pending
            if change.action != "start"
        ]
        text = "\n".join([self.project, *sorted(lines)])
        return hashlib.sha256(text.encode()).hexdigest()[:CHECKSUM_LENGTH]


def live_schedule(change: Change) -> Schedule:
    """Return the described schedule that *change* starts from."""
    if change.live is None or change.live.schedule is None:
        raise ValueError(f"{change.id} was not described")
    return change.live.schedule


def _digest(schedule: Schedule | None) -> str:
    """Return a fingerprint of all that is written, note and pause included."""
    if schedule is None:
        return "-"
    note = note_mark(schedule.note)
    return f"{schedule.digest} {note} {schedule.covers_until} {schedule.paused}"


def _state(live: Live | None) -> str:
    """Return a fingerprint of all that is there."""
    if live is None:
        return "-"
    extras = "; ".join(str(deviation) for deviation in live.deviations)
    return f"{live.project} {_digest(live.schedule)} {extras}"
