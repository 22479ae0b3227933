"""What a keeper knows, as a value, and how that changes: pure, and carried by continue-as-new.

The keeper only drives to what is said here: which leases run, what they come to together,
whether what is in force is that, and when to look again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from workflows.contract import (
    APS_PER_TRU,
    Capacity,
    KeeperState,
    Lease,
    LeaseRequest,
    Rails,
    Target,
    target_of,
)

LOWER_WITHIN = timedelta(minutes=10)
"""How long a way down may take before it is overdue: provisioning takes two minutes."""

LOOK_EVERY = timedelta(minutes=30)
"""How often a boosted namespace is looked at for what others changed, usually."""

LOOK_FOR_MORE_EVERY = timedelta(minutes=5)
"""How often the full capacity is tried for while the Cloud has too little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What the Cloud API offered a namespace when last asked.

    *available* is the most TRU that are there, None where nothing is short.
    """

    allowed: tuple[float, ...] = ()
    available: float | None = None
    on_demand_aps: float = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """All that a keeper knows of its namespace.

    Args:
        namespace: The Temporal Cloud namespace.
        leases: The claims that run, each held until its own end.
        released: Claims that ended early; the same key is not granted again.
        baseline: What is in force when nothing is claimed; None until it is known.
        baseline_declared: Whether a calendar says so, or it was found before the first raise.
        rails: The guard rails; None until a schedule brought them.
        offer: What the Cloud API offers.
        in_force: What was in force when last looked at; None if not known.
        written: Every capacity that was ever asked of the Cloud API on the way here, so
            that what others set can be told apart, also when a reply was lost.
        pending: What is under way, or may be: asked for, and its end not seen yet. Several
            where the way was changed in the middle: any of them may come to be in force.
        foreign: Whether what is in force was set by somebody else, and is left alone.
        aim: The capacity last aimed at, and since when.
        looked: When the namespace was last looked at.
        claimed: Whether a claim came since it was last looked at without one.
        cancelled: Whether an operator cancelled the keeper: it only goes back.
        look_every_seconds: How often a boosted namespace is looked at for what others
            changed.
        trouble: The latest fault in words, empty after a success.
        remark: What else people should know of how it came to this.
    """

    namespace: str
    leases: tuple[Lease, ...] = ()
    released: tuple[Lease, ...] = ()
    baseline: Capacity | None = None
    baseline_declared: bool = False
    rails: Rails | None = None
    offer: Offer = Offer()
    in_force: Capacity | None = None
    written: tuple[Capacity, ...] = ()
    pending: tuple[Capacity, ...] = ()
    foreign: bool = False
    aim: Capacity | None = None
    aimed_since: datetime | None = None
    looked: datetime | None = None
    claimed: bool = False
    cancelled: bool = False
    look_every_seconds: int = LOOK_EVERY // timedelta(seconds=1)
    trouble: str = ""
    remark: str = ""

    @property
    def target(self) -> Target:
        """What to drive to, given what can be had; the baseline must be known."""
        return self._target(self.leases, self._rails(within_inventory=True))

    @property
    def due(self) -> Target:
        """What the leases come to, whether or not the Cloud has as much."""
        return self._target(self.leases, self._rails(within_inventory=False))

    @property
    def allowed(self) -> tuple[int, ...]:
        """The TRU values that rails and Cloud both allow, ascending."""
        return self._rails(within_inventory=False).allowed

    @property
    def is_short(self) -> bool:
        """Whether the Cloud has less than is due."""
        return self.level(self.target.capacity) < self.level(self.due.capacity)

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to drive: the target is in force, or left to others."""
        if self.baseline is None:
            return not (self.leases or self.written)
        if self.pending or self.owes_a_look:
            return False
        wanted = self.target.capacity
        if self.in_force is None:
            return not (self.leases or self.written)
        return self.in_force == wanted or (self.foreign and self.leaves_alone(self.in_force))

    @property
    def owes_a_look(self) -> bool:
        """Whether the last claim has ended, and nobody looked what it leaves behind.

        A claim that changed nothing has no way down on which others' changes are seen; a
        declared baseline is to be in force afterwards all the same.
        """
        return self.claimed and self.baseline_declared and not self.leases

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
        wanted = self._target(alone, self._rails(within_inventory=False))
        return there >= self.level(wanted.capacity)

    def level(self, capacity: Capacity) -> float:
        """Return *capacity* in Actions per second, on-demand as the Cloud last told."""
        return self.offer.on_demand_aps if capacity.tru is None else capacity.tru * APS_PER_TRU

    def _target(self, leases: Iterable[Lease], rails: Rails) -> Target:
        assert self.baseline is not None, "nothing is aimed at before the baseline is known"
        return target_of(leases, self.baseline, rails, on_demand_aps=self.offer.on_demand_aps)

    def _rails(self, *, within_inventory: bool) -> Rails:
        """Return the guard rails, narrowed to what the Cloud API allows."""
        rails = self.rails or Rails()
        allowed = tuple(int(tru) for tru in self.offer.allowed if tru == int(tru))
        common = tuple(tru for tru in rails.allowed if tru in allowed) or allowed
        ceiling = rails.max_tru
        if within_inventory and self.offer.available is not None:
            there = int(self.offer.available)
            ceiling = there if ceiling is None else min(ceiling, there)
        return Rails(allowed=common or rails.allowed, max_tru=ceiling)


# How it changes ----------------------------------------------------------------------


def grant(ledger: Ledger, request: LeaseRequest, now: datetime) -> Ledger:
    """Return *ledger* with the claim of *request*, unless it has ended or was released.

    The same key renews its claim. A declared baseline counts from now on, the newest
    declaration before all; the rails of a schedule replace earlier ones.
    """
    lease = request.lease
    if lease.until <= now or ledger.cancelled or was_released(ledger, lease.key):
        return ledger
    known = ledger if ledger.leases or not ledger.is_settled else _afresh(ledger)
    others = tuple(held for held in known.leases if held.key != lease.key)
    declared = request.baseline is not None
    return replace(
        known,
        leases=tuple(sorted((*others, lease), key=lambda held: (held.until, held.key))),
        baseline=request.baseline if declared else known.baseline,
        baseline_declared=declared or known.baseline_declared,
        rails=request.rails or known.rails,
        claimed=True,
    )


def _afresh(ledger: Ledger) -> Ledger:
    """Return what still counts of *ledger* after an idle time: others may have come by."""
    return Ledger(
        namespace=ledger.namespace,
        released=ledger.released,
        baseline=ledger.baseline if ledger.baseline_declared else None,
        baseline_declared=ledger.baseline_declared,
        rails=ledger.rails,
        look_every_seconds=ledger.look_every_seconds,
    )


def release(ledger: Ledger, chosen: Callable[[Lease], bool]) -> Ledger:
    """Return *ledger* without the *chosen* claims; their keys are remembered as released."""
    gone = tuple(lease for lease in ledger.leases if chosen(lease))
    return replace(
        ledger,
        leases=tuple(lease for lease in ledger.leases if lease not in gone),
        released=(*ledger.released, *gone),
    )


def was_released(ledger: Ledger, key: str) -> bool:
    """Tell whether the claim *key* was ended early."""
    return any(lease.key == key for lease in ledger.released)


def expire(ledger: Ledger, now: datetime) -> Ledger:
    """Return *ledger* without what has ended by *now*: ends are exclusive."""
    return replace(
        ledger,
        leases=tuple(lease for lease in ledger.leases if lease.until > now),
        released=tuple(lease for lease in ledger.released if lease.until > now),
    )


def aim(ledger: Ledger, now: datetime) -> Ledger:
    """Return *ledger* with its target as what is aimed at, since *now* if that is new."""
    wanted = ledger.target.capacity
    if wanted == ledger.aim:
        return ledger
    return replace(ledger, aim=wanted, aimed_since=now)


def hope(ledger: Ledger) -> Ledger:
    """Return *ledger* as if nothing were short any more: the next look tells."""
    return replace(ledger, offer=replace(ledger.offer, available=None))


def write(ledger: Ledger, capacity: Capacity) -> Ledger:
    """Return *ledger* with *capacity* under way, as far as anybody knows.

    It stays so until a look sees the end of it: the attempt may fail after the Cloud API
    has taken it.
    """
    return replace(
        ledger,
        written=_with(ledger.written, capacity),
        pending=_with(ledger.pending, capacity),
    )


def _with(known: tuple[Capacity, ...], capacity: Capacity) -> tuple[Capacity, ...]:
    return known if capacity in known else (*known, capacity)


def look(
    ledger: Ledger,
    found: Capacity,
    offer: Offer | None,
    now: datetime,
    pending: Capacity | None = None,
) -> Ledger:
    """Return *ledger* with *found* in force at *now*, and what the Cloud API offers.

    *pending* is what is still under way.
    """
    seen = replace(
        ledger,
        in_force=found,
        pending=() if pending is None else (pending,),
        offer=offer or ledger.offer,
        looked=now,
        claimed=bool(ledger.leases),
        trouble="",
    )
    if seen.baseline is None:
        return seen
    return replace(seen, foreign=seen.leaves_alone(found))


def take_over(ledger: Ledger, old: Ledger) -> Ledger:
    """Return *ledger* with what the *old* ledger of a run that broke off adds to it.

    What was claimed anew counts before the old, what was released stays released, and what
    is in force is looked at again. A cancelled run has gone back by itself: nothing but
    its released claims is left of it.
    """
    gone = {lease.key for lease in old.released}
    own = tuple(lease for lease in ledger.leases if lease.key not in gone)
    known = replace(ledger, leases=own, released=(*ledger.released, *old.released))
    if old.cancelled and old.is_settled:
        return known
    keys = {lease.key for lease in own}
    kept = tuple(lease for lease in old.leases if lease.key not in keys)
    declared = ledger.baseline_declared
    return replace(
        known,
        leases=tuple(sorted((*own, *kept), key=lambda held: (held.until, held.key))),
        baseline=ledger.baseline if declared else old.baseline,
        baseline_declared=declared or old.baseline_declared,
        rails=ledger.rails or old.rails,
        offer=old.offer,
        written=old.written,
    )


# What it comes to --------------------------------------------------------------------


def next_look(ledger: Ledger) -> datetime | None:
    """Return when something is due of itself: a lease's end, or a look at the namespace."""
    ends = [lease.until for lease in (*ledger.leases, *ledger.released)]
    if ledger.leases and ledger.looked is not None:
        usual = timedelta(seconds=ledger.look_every_seconds)
        ends.append(ledger.looked + (LOOK_FOR_MORE_EVERY if ledger.is_short else usual))
    return min(ends, default=None)


def state_of(ledger: Ledger, now: datetime) -> KeeperState:
    """Return the state of the namespace at *now*, in one word."""
    running = [lease for lease in ledger.leases if lease.until > now]
    short = [lease for lease in running if not ledger.covers(lease)]
    if short:
        return "uncovered" if any(lease.start <= now for lease in short) else "raising"
    if ledger.foreign:
        return "foreign"
    if expire(ledger, now).is_settled:
        return "ok"
    since = _lowering_since(ledger, now)
    return "overdue" if now - since > LOWER_WITHIN else "reverting"


def _lowering_since(ledger: Ledger, now: datetime) -> datetime:
    """Return since when less is due than is in force."""
    ended = [lease.until for lease in ledger.leases if lease.until <= now]
    return min([*ended, ledger.aimed_since or now])
