"""What a keeper knows, as a value that continue-as-new carries on.

The keeper only drives to what is said here: which leases run, what they come to together,
and whether what is in force is that. `workflows.bookkeeping` has how it changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from workflows.contract import APS_PER_TRU, Capacity, Lease, Rails, Target, target_of_leases
from workflows.lease_demand import SameTuple, demand_of

LOOK_EVERY = timedelta(minutes=30)
"""How often a boosted namespace is looked at for what others changed, usually."""


FEW_LEASES = 100
"""Leases up to which a ledger is handed over as it is; more would take too long to be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What the Cloud API offered a namespace when last asked.

    *available* is the most TRU that are there, None where nothing is short.
    """

    allowed: tuple[float, ...] = ()
    available: float | None = None
    on_demand_aps: float = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What a project's calendar says of the namespace: how much, and what it comes back to."""

    project: str
    revision: int
    baseline: Capacity | None
    rails: Rails | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """All that a keeper knows of its namespace.

    Args:
        namespace: The Temporal Cloud namespace.
        leases: The claims that run, each held until its own end.
        released: Claims that ended early; the same key is not granted again.
        baseline: What is in force when nothing is claimed; None until it is known.
        baseline_declared: Whether a calendar says so, or it was found before the first raise.
        doubt: Why the baseline isn't known although capacity may be up; empty where it is.
            *baseline* is then what was found: never gone below, and not gone back to either.
        doubted_request: The id of the latest request when the doubt came up.
        rails: The guard rails of the newest declaration, which the next lease is granted
            under; None until a schedule brought them.
        revision: The order of that declaration: one with a lower number is not taken.
        project: Whose declaration it is; empty where that isn't known.
        other: What another project declares for the same namespace, where that differs.
        offer: What the Cloud API offers.
        in_force: What was in force when last looked at; None if not known.
        written: Every capacity that was ever asked of the Cloud API on the way here, so
            that what others set can be told apart, also when a reply was lost.
        pending: What is under way, or may be: asked for, and its end not seen yet. Several
            where the way was changed in the middle: any of them may come to be in force.
        foreign: Whether what is in force was set by somebody else, and is left alone.
        aim: The capacity last aimed at, and since when.
        looked: When the namespace was last looked at.
        unseen: Whether the namespace has to be looked at, whatever is known of it: that was
            handed on by a run that broke off or was reset, and others may have come by.
        claimed: Whether a claim came since it was last looked at without one.
        cancelled: Whether an operator cancelled the keeper: it only goes back.
        look_every_seconds: How often a boosted namespace is looked at for what others
            changed.
        trouble: The latest fault in words, empty after a success.
        resumes: Until when the keeper waits after a fault, at the latest.
        remark: What else people should know of how it came to this.
        packed: *leases* and *released* where they are many and on their way to another run.
    """

    namespace: str
    leases: tuple[Lease, ...] = ()
    released: tuple[Lease, ...] = ()
    baseline: Capacity | None = None
    baseline_declared: bool = False
    doubt: str = ""
    doubted_request: str = ""
    rails: Rails | None = None
    revision: int = 0
    project: str = ""
    other: Declaration | None = None
    offer: Offer = Offer()
    in_force: Capacity | None = None
    written: tuple[Capacity, ...] = ()
    pending: tuple[Capacity, ...] = ()
    foreign: bool = False
    aim: Capacity | None = None
    aimed_since: datetime | None = None
    looked: datetime | None = None
    unseen: bool = False
    claimed: bool = False
    cancelled: bool = False
    look_every_seconds: int = LOOK_EVERY // timedelta(seconds=1)
    trouble: str = ""
    resumes: datetime | None = None
    remark: str = ""
    packed: Any = None

    @property
    def target(self) -> Target:
        """What to drive to, given what can be had; the baseline must be known."""
        return self._target(self.leases, within_inventory=True)

    @property
    def due(self) -> Target:
        """What the leases come to, whether or not the Cloud has as much."""
        return self._target(self.leases)

    @property
    def allowed(self) -> tuple[int, ...]:
        """The TRU values that the rails of any lease and the Cloud both allow, ascending."""
        rails = {self._narrowed(lease.rails) for lease in demand_of(self.leases).deciding} or {
            self._narrowed(None)
        }
        return tuple(sorted({tru for each in rails for tru in each.allowed}))

    @property
    def is_short(self) -> bool:
        """Whether the Cloud has less than is due."""
        return self.level(self.target.capacity) < self.level(self.due.capacity)

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to drive: the target is in force, or left to others."""
        if self.baseline is None:
            return not (self.written or self.needs_a_baseline)
        if self.pending or self.owes_a_look or self.unseen:
            return False
        wanted = self.target.capacity
        if self.in_force is None:
            return not (self.leases or self.written)
        return self.in_force == wanted or (self.foreign and self.leaves_alone(self.in_force))

    @property
    def needs_a_baseline(self) -> bool:
        """Whether the baseline has to be found, should it not be known."""
        return bool(self.leases or self.doubt) or self.unseen

    @property
    def owes_a_look(self) -> bool:
        """Whether the last claim has ended, and nobody looked what it leaves behind.

        A claim that changed nothing has no way down on which others' changes are seen; a
        declared baseline is to be in force afterwards all the same.
        """
        return self.claimed and self.baseline_declared and not self.leases

    def holds(self, lease: Lease) -> bool:
        """Tell whether the claim *lease* is among those that run."""
        return any(held.key == lease.key for held in self.leases)

    def leaves_alone(self, found: Capacity) -> bool:
        """Tell whether *found* is somebody else's doing that the keeper does not undo.

        More than is due stays while a window runs, and also afterwards unless the
        calendar declares a baseline. What the keeper itself may have written never
        counts as somebody else's.
        """
        if found in (*self.written, self.baseline):
            return False
        if self.baseline_declared and not self.leases:
            return False
        return self.level(found) > self.level(self.target.capacity)

    def covers(self, lease: Lease) -> bool:
        """Tell whether what is in force is what *lease* asks for, as the rails allow it.

        What is about to be in force counts too: a way down that is under way may have
        taken it already.
        """
        if self.in_force is None or self.baseline is None:
            return False
        there = min(self.level(capacity) for capacity in (self.in_force, *self.pending))
        alone = (lease,) if lease.combine == "max" else self.leases
        wanted = self._target(alone)
        return there >= self.level(wanted.capacity)

    def level(self, capacity: Capacity) -> float:
        """Return *capacity* in Actions per second, on-demand as the Cloud last told."""
        return self.offer.on_demand_aps if capacity.tru is None else capacity.tru * APS_PER_TRU

    @property
    def to_hand_over(self) -> Ledger:
        """This as it goes to another run; `unpacked` there.

        Few leases go as they are: people read them, and so does a worker of an earlier release
        beside this one.
        """
        if len(self.leases) + len(self.released) <= FEW_LEASES:
            return self
        packed = {"leases": pack(self.leases), "released": pack(self.released)}
        return replace(self, leases=(), released=(), packed=packed)

    @property
    def unpacked(self) -> Ledger:
        """This as it was before `to_hand_over`."""
        if self.packed is None:
            return self
        leases, released = (unpack(self.packed[name]) for name in ("leases", "released"))
        return replace(self, leases=leases, released=released, packed=None)

    @property
    def for_a_step(self) -> Ledger:
        """What a step to the target needs of this, however many leases there are."""
        return replace(self, leases=demand_of(self.leases).deciding, released=())

    def _target(self, leases: tuple[Lease, ...], *, within_inventory: bool = False) -> Target:
        assert self.baseline is not None, "nothing is aimed at before the baseline is known"
        within_inventory = within_inventory and self.offer.available is not None
        reckon = _target if len(leases) > 1 else _target.__wrapped__
        return reckon(SameTuple(leases), self.baseline, self.rails, self.offer, within_inventory)

    def _narrowed(self, granted: Rails | None) -> Rails:
        """Return the guard rails *granted*, narrowed to what the Cloud API allows."""
        return _narrowed(granted or self.rails or Rails(), self.offer, within_inventory=False)


@lru_cache(maxsize=256)
def _target(
    same: SameTuple,
    baseline: Capacity,
    rails: Rails | None,
    offer: Offer,
    within_inventory: bool,
) -> Target:
    """Return what the leases of *same* come to; those that say no *rails* are under these."""
    leases = demand_of(same.leases).deciding if len(same.leases) > 1 else same.leases
    narrowed = {
        own: _narrowed(own or rails or Rails(), offer, within_inventory=within_inventory)
        for own in {lease.rails for lease in leases}
    }
    return target_of_leases(
        leases,
        baseline,
        lambda lease: narrowed[lease.rails],
        on_demand_aps=offer.on_demand_aps,
    )


def _narrowed(rails: Rails, offer: Offer, *, within_inventory: bool) -> Rails:
    allowed = tuple(int(tru) for tru in offer.allowed if tru == int(tru))
    common = tuple(tru for tru in rails.allowed if tru in allowed) or allowed
    ceiling = rails.max_tru
    if within_inventory and offer.available is not None:
        there = int(offer.available)
        ceiling = there if ceiling is None else min(ceiling, there)
    return Rails(allowed=common or rails.allowed, max_tru=ceiling)


Row = list[Any]
"""One lease: its fields in the order of `_row`, its rails by their place in the table."""


def pack(leases: Iterable[Lease]) -> dict[str, Any]:
    """Return *leases* as values that JSON has, in their order."""
    rails: dict[Rails | None, int] = {}
    rows = [_row(lease, rails.setdefault(lease.rails, len(rails))) for lease in leases]
    table = [None if one is None else [list(one.allowed), one.max_tru] for one in rails]
    return {"rails": table, "leases": rows}


def unpack(packed: dict[str, Any]) -> tuple[Lease, ...]:
    """Return the leases that `pack` made *packed* of."""
    rails = [None if one is None else Rails(tuple(one[0]), one[1]) for one in packed["rails"]]
    return tuple(_lease(row, rails) for row in packed["leases"])


def _row(lease: Lease, rails: int) -> Row:
    return [
        lease.key,
        lease.window,
        lease.tru,
        lease.start.isoformat(),
        lease.until.isoformat(),
        lease.combine,
        lease.by,
        lease.reason,
        lease.project,
        lease.revision,
        rails,
    ]


def _lease(row: Row, rails: list[Rails | None]) -> Lease:
    key, window, tru, start, until, combine, by, reason, project, revision, place = row
    return Lease(
        key=key,
        window=window,
        tru=tru,
        start=datetime.fromisoformat(start),
        until=datetime.fromisoformat(until),
        combine=combine,
        by=by,
        reason=reason,
        project=project,
        revision=revision,
        rails=rails[place],
    )


UPDATES_A_RUN = 200
"""Updates after which a run hands over to the next.

A worker that takes a keeper over replays its run within one workflow task, which may take ten
seconds: so the run is bounded by what that costs, with thousands of leases held, and not by
the 2,000 updates that the server allows.
"""

FULL = 4
"""How many times that many updates a run takes at most, while a change is under way that
can't be handed over. Further requests for leases are refused, and come again after it."""

LEASES = 4_000
"""Leases, held or remembered as released, that a keeper knows at most: handed over, they
are one payload, of which the server takes two megabytes."""

WAITING_UPDATES = 8
"""Claims that may wait for their capacity at once: the server allows 10 in flight."""
