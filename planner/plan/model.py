"""The values of a plan: desired and live schedules, changes, and the plan's checksum."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from planner.errors import Lint
from planner.model import Policy
from planner.plan.fields import Field
from planner.plan.target import Target
from planner.schedules.spec import Schedule, Stamp, namespace_of, note_mark, window_key
from workflows.contract import Lease

Action = Literal[
    "create", "update", "extend", "rename", "adopt", "start", "follow", "delete", "unchanged"
]
"""The action of a change.

- ``create``: the schedule doesn't exist.
- ``update``: it exists, is owned by the project, and differs.
- ``extend``: only the horizon of a dated schedule moved; its firings so far are the same.
- ``rename``: the schedule of the window's former name is there: it is made anew under the new
  one, with an operator's pause and the running boost, and the former one is deleted.
- ``adopt``: it has our id but not our owner mark; it is deleted and created with the mark.
- ``start``: it equals the desired one, but did not fire for an occurrence under way.
- ``follow``: it equals the desired one, but its running boost was granted something else.
- ``delete``: it is owned by the project, and its window is gone from the files.
- ``unchanged``: it equals the desired one.
"""

Cause = Literal["", "files", "hand", "both"]
"""Who made a schedule differ: the files, an operator by hand, or both; empty for neither."""

ACTIONS: tuple[Action, ...] = (
    "create",
    "update",
    "extend",
    "rename",
    "adopt",
    "start",
    "follow",
    "delete",
    "unchanged",
)

CHECKSUM_LENGTH = 12
"""Hexadecimal characters of a plan's checksum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredState:
    """The schedules that a project's files define, and how far a sync may go.

    *follow* applies a window's change to its running boosts, too. *renamed* has the former id
    of each schedule whose window was renamed, by its present id.
    """

    project: str
    schedules: tuple[Schedule, ...]
    policy: Policy = "sync"
    follow: bool = False
    renamed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSchedule:
    """A schedule on the server, as its list shows it or, once described, in full.

    Attributes:
        id: The schedule's id.
        project: The project in the owner mark; empty without a mark.
        paused: Whether it is paused, by a file or an operator.
        note: Its present note.
        stamp: The stamp in its first calendar's comment; None without one.
        upcoming: Its next firings, jitter included; none where it has ended.
        schedule: The full schedule; None where only the list was read.
        deviations: Fields that `Schedule` can't hold and that a planner never sets.
        fired: The nominal times of its last firings, as many as the server keeps.
        requested: Starts of occurrences that have a boost or a lease although *fired* doesn't
            show them: the firing is too long ago, or a boost was started otherwise.
        leases: The leases that the keeper holds for the window; None where that isn't known.
        about_to_fire: Starts of occurrences that the server is about to fire for.
        token: The server's conflict token, which an update has to send.
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
    requested: frozenset[datetime] = frozenset()
    about_to_fire: frozenset[datetime] = frozenset()
    leases: tuple[Lease, ...] | None = None
    token: bytes = field(default=b"", compare=False)

    @property
    def namespace(self) -> str:
        """The namespace whose capacity it boosts."""
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
        """Whether an operator paused it; a pause always rewrites the note."""
        return self.paused and not self.note_is_ours

    @property
    def drifted(self) -> bool:
        """Whether a described schedule isn't as the sync left it that stamped it.

        Pause and note don't count. An edit that lost the stamp is one, too.
        """
        if self.schedule is None or (self.stamp and self.stamp.is_draft):
            return False
        return (
            bool(self.deviations) or self.stamp is None or self.stamp.digest != self.schedule.digest
        )

    @property
    def has_ended(self) -> bool:
        """Whether it will never fire again; the server deletes it a week later."""
        return not self.upcoming


@dataclass(frozen=True, slots=True)
class Running:
    """A running boost.

    Attributes:
        start: The start of its occurrence, in UTC.
        end: Its end, exclusive: that of its lease, where the keeper holds one.
        tru: Its demand: that of its lease, else that of its schedule.
        nominal: The nominal time of its firing.
        has_lease: Whether the keeper holds a lease for it; None where that isn't known.
    """

    start: datetime
    end: datetime
    tru: int
    nominal: datetime
    has_lease: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a sync does to one schedule, and why.

    Attributes:
        action: What is done to the schedule.
        id: The schedule's id.
        fields: The fields that differ.
        reason: Why, as a phrase.
        cause: Who made the difference.
        desired: The schedule as it will be written, with an operator's pause and note. None
            for a delete.
        live: The schedule on the server; None for a create. That of a rename has another id.
        before: The next occurrences of the live schedule, each ``[start, end)``.
        after: The next occurrences once the change is written.
        starts: Nominal times of occurrences under way that have no boost: started at once.
        running: The schedule's boosts that run now.
        follow: Whether the change applies to these boosts, too.
        remarks: Further sentences for the reader.
        refusal: Why the change is held back, and what allows it; empty if it isn't.
    """

    action: Action
    id: str
    fields: tuple[Field, ...] = ()
    reason: str = ""
    cause: Cause = ""
    desired: Schedule | None = None
    live: LiveSchedule | None = None
    before: tuple[tuple[datetime, datetime], ...] = ()
    after: tuple[tuple[datetime, datetime], ...] = ()
    starts: tuple[datetime, ...] = ()
    running: tuple[Running, ...] = ()
    follow: bool = False
    remarks: tuple[str, ...] = ()
    refusal: str = ""

    @property
    def namespace(self) -> str:
        """The namespace whose capacity it boosts."""
        return self.key.partition("/")[0]

    @property
    def window(self) -> str:
        """The window's name in its namespace."""
        return self.key.partition("/")[2]

    @property
    def key(self) -> str:
        """``NAMESPACE/WINDOW``, as allowances name it: ``payments-prod.a1b2c/payroll``."""
        return window_key(self.id)

    @property
    def former_id(self) -> str:
        """The id of the schedule that a rename deletes; empty for every other change."""
        return self.live.id if self.action == "rename" and self.live else ""

    @property
    def outcome(self) -> str:
        """The action, or ``refused`` where it is held back."""
        return "refused" if self.refusal else self.action


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The changes that a sync would make, sorted by schedule id.

    *changes* has an ``unchanged`` schedule only where it has remarks; *unchanged* counts
    all of them. *owned* counts the live schedules with the project's owner mark that will
    fire again: the limit for deletes is a share of these. *neighbours* are other projects'
    live schedules for the same namespaces. *target* is what it was made for, where known.
    *refusal* says why nothing of it may be written; empty if it may.
    """

    project: str
    changes: tuple[Change, ...] = ()
    unchanged: int = 0
    owned: int = 0
    warnings: tuple[Lint, ...] = ()
    neighbours: tuple[LiveSchedule, ...] = ()
    target: Target | None = None
    refusal: str = ""

    @property
    def pending(self) -> tuple[Change, ...]:
        """The changes other than ``unchanged``."""
        return tuple(change for change in self.changes if change.action != "unchanged")

    @property
    def is_held_back(self) -> bool:
        """Whether a sync would refuse it as it stands."""
        return bool(self.refusal or self.refused)

    @property
    def refused(self) -> tuple[Change, ...]:
        """The changes that are held back."""
        return tuple(change for change in self.changes if change.refusal)

    @property
    def summary(self) -> dict[str, int]:
        """The number of changes by action; one that is held back counts as refused only."""
        counts = Counter(change.outcome for change in self.changes)
        summary: dict[str, int] = {action: counts[action] for action in ACTIONS}
        return summary | {"unchanged": self.unchanged, "refused": counts["refused"]}

    @property
    def checksum(self) -> str:
        """A fingerprint of the changes: the live schedules and the desired ones.

        It doesn't depend on the time of the plan: ``start`` and ``follow`` changes come and go
        with the time, so they don't count.
        """
        lines = [
            f"{change.action} {change.id} {_state(change.live)} {_digest(change.desired)}"
            for change in self.pending
            if change.action not in ("start", "follow")
        ]
        text = "\n".join([self.project, *sorted(lines)])
        return hashlib.sha256(text.encode()).hexdigest()[:CHECKSUM_LENGTH]


def live_schedule(change: Change) -> Schedule:
    """Return the described live schedule of *change*; raise ValueError without one."""
    if change.live is None or change.live.schedule is None:
        raise ValueError(f"{change.id} was not described")
    return change.live.schedule


def _digest(schedule: Schedule | None) -> str:
    """Return a fingerprint of *schedule*, note and pause included."""
    if schedule is None:
        return "-"
    note = note_mark(schedule.note)
    return f"{schedule.digest} {note} {schedule.covers_until} {schedule.paused}"


def _state(live: LiveSchedule | None) -> str:
    """Return a fingerprint of *live*, owner and deviations included."""
    if live is None:
        return "-"
    extras = "; ".join(str(deviation) for deviation in live.deviations)
    return f"{live.project} {_digest(live.schedule)} {extras}"
