"""What a keeper knows of its namespace, as one frozen value, and what follows from it.

The value holds the leases, the baseline and what was last observed; its properties say which
capacity the namespace should have, and whether it has it. `workflows.keeper_transitions` has
how the value changes. Continue-as-new hands it to the next run.

Ids of capacity requests are readable in an audit log, and a record of the baseline: the Cloud
API keeps the id of a namespace's latest request and returns it with every observation. So the id
says who requested the capacity, and what was in force before the first raise: a keeper's
successor reads it there, also where nothing is left of the keeper itself.
"""

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Self

from workflows.contract import (
    APS_PER_TRU,
    Capacity,
    Fleet,
    KubernetesTarget,
    Lease,
    Rails,
    Target,
    target_of_leases,
)
from workflows.floors import Floors


@dataclass(frozen=True, slots=True)
class Group:
    """Leases that are covered together: one of them, and when the first of them opens."""

    lease: Lease
    opens: datetime


@dataclass(frozen=True, slots=True)
class Demand:
    """What leases require together.

    *deciding* are leases whose target is the target of all of them. *groups* has every
    lease, together with all that are covered whenever it is.
    """

    deciding: tuple[Lease, ...]
    groups: tuple[Group, ...]


class SameTuple:
    """A key for caches that equals only itself: to compare thousands of leases takes too long."""

    __slots__ = ("leases",)

    def __init__(self, leases: tuple[Lease, ...]) -> None:
        self.leases = leases

    def __hash__(self) -> int:
        return id(self.leases)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SameTuple) and other.leases is self.leases


def demand_of(leases: tuple[Lease, ...]) -> Demand:
    """Return what *leases* require; cached by the identity of the tuple."""
    return _demand_of(SameTuple(leases))


@lru_cache(maxsize=256)
def _demand_of(same: SameTuple) -> Demand:
    added: list[Lease] = []
    groups: dict[object, Group] = {}
    highest: dict[object, Lease] = {}
    rails_index = _RailsIndex()
    for lease in same.leases:
        under = (rails_index.of(lease.rails), lease.revision)
        if lease.combine == "add":
            added.append(lease)
            group_key: object = "add"
        else:
            group_key = (*under, lease.tru)
            best = highest.get(under)
            if best is None or best.tru < lease.tru:
                highest[under] = lease
        group = groups.get(group_key)
        if group is None or lease.start < group.opens:
            groups[group_key] = Group(lease, lease.start)
    return Demand((*highest.values(), *added), tuple(groups.values()))


class _RailsIndex:
    """Numbers guard rails by value: most leases share one object, which is hashed only once."""

    def __init__(self) -> None:
        self._by_value: dict[Rails | None, int] = {}
        self._by_id: dict[int, int] = {}

    def of(self, rails: Rails | None) -> int:
        """Return the same number for equal *rails*, which have to outlive this."""
        index = self._by_id.get(id(rails))
        if index is None:
            index = self._by_value.setdefault(rails, len(self._by_value))
            self._by_id[id(rails)] = index
        return index


@lru_cache(maxsize=256)
def _demanding(same: SameTuple) -> tuple[Lease, ...]:
    """Return the leases whose TRU count; the very tuple where all do, which caches go by."""
    counting = tuple(
        one for one in same.leases if one.tru_from is None and (one.tru > 0 or not one.workers)
    )
    return same.leases if len(counting) == len(same.leases) else counting


OBSERVE_EVERY = timedelta(minutes=30)
"""How often a keeper with leases observes its namespace for changes made externally."""

# Limits. A running keeper is replayed under a new release: another value here changes what the
# replay does, and needs `workflow.patched`, or to be part of a run's input, as
# `UPDATES_PER_RUN` and `MAX_WAITING_UPDATES` are.

UPDATES_PER_RUN = 200
"""Updates after which a run continues as new.

A worker that takes a keeper over replays its run within one workflow task, which may take ten
seconds: so the run is bounded by what that costs, with thousands of leases held, and not by
the 2,000 updates that the server allows.
"""

FULL_FACTOR = 4
"""A run takes at most so many times `UPDATES_PER_RUN`, while a change is under way that can't
be handed over. Further lease requests are refused, and repeated after the handover."""

MAX_LEASES = 4_000
"""Leases, held or remembered as released, that a keeper knows at most: handed over, they
are one payload, of which the server takes two megabytes."""

MAX_WAITING_UPDATES = 5
"""Lease requests that may wait for their capacity at once: the server allows 10 in flight.

Each worker may have one more that isn't accepted yet: so there is room for five workers.
"""

FEW_LEASES = 100
"""Leases up to which a state is handed over unpacked: to decode more takes too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownOptions:
    """What the Cloud API last said the namespace could have.

    *allowed* are the TRU values on offer. *available* is the most TRU that the Cloud has, None
    where nothing is short. *on_demand_aps* is the on-demand limit in Actions per second.
    """

    allowed: tuple[float, ...] = ()
    available: float | None = None
    on_demand_aps: float = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What a project's calendar declares for the namespace: its baseline and guard rails.

    Of two declarations of one project the one with the higher *revision* is newer.
    """

    project: str
    revision: int
    baseline: Capacity | None
    rails: Rails | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperState:
    """All that a keeper knows of its namespace. Times are aware UTC.

    Args:
        namespace: The Temporal Cloud namespace.
        leases: The active leases, the next end first; each is held until its own end.
        released: Leases that were released early; the same key is not granted again before
            the lease's end.
        baseline: The capacity to restore once no lease is active; None until it is known.
        baseline_declared: Whether a calendar declares the baseline; otherwise it was found
            before the first raise.
        doubt: Why the baseline is unknown although capacity may be raised; empty where it is
            known. *baseline* is then what was found: the keeper never goes below it, and
            doesn't restore it either.
        doubted_request: The id of the latest capacity request when the doubt came up.
        rails: The guard rails of the newest declaration, under which the next lease is
            granted; None until a schedule brought them.
        revision: The revision of that declaration: one with a lower number is ignored.
        project: The project that declared it; empty where that isn't known.
        other: What another project declares for the same namespace, where that differs.
        options: What the Cloud API last said the namespace could have.
        in_force: The capacity in force at the last observation; None if there was none.
        requested: Capacities requested since the baseline was recorded; any other value was
            set externally. A request counts also where its reply was lost.
        pending: Changes that are or may be under way. Several where the target changed in the
            middle: any of them may come to be in force.
        foreign: Whether the capacity in force was set externally and is left alone.
        last_target: The latest target that a step was taken to.
        target_since: Since when that is the target.
        observed_at: When the namespace was last observed.
        needs_observation: Whether the namespace has to be observed whatever is known of it:
            the state came from a run that broke off or was reset, or the watchdog has seen less in
            force: anything may have been set externally since.
        had_leases: Whether a lease was granted since the last observation without one.
        cancelled: Whether an operator cancelled the keeper: it only restores the baseline.
        observe_every_seconds: How often the namespace is observed while leases are active.
        fault: The latest fault as text, empty after a success.
        retry_at: Until when the keeper waits after a fault, at the latest.
        note: What else an operator should know, such as an external change.
        cloud: The URL of the Cloud API where the namespace was observed, and its capacities were
            requested; empty until then. A worker for another one changes nothing.
        packed: *leases* and *released* where they are many and on their way to another run.
        floors: The floors of pushed fleets, each by itself.
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
    options: KnownOptions = KnownOptions()
    in_force: Capacity | None = None
    requested: tuple[Capacity, ...] = ()
    pending: tuple[Capacity, ...] = ()
    foreign: bool = False
    last_target: Capacity | None = None
    target_since: datetime | None = None
    observed_at: datetime | None = None
    needs_observation: bool = False
    had_leases: bool = False
    cancelled: bool = False
    observe_every_seconds: int = OBSERVE_EVERY // timedelta(seconds=1)
    fault: str = ""
    retry_at: datetime | None = None
    note: str = ""
    cloud: str = ""
    packed: Any = None
    floors: Floors = ()

    @property
    def demanding(self) -> tuple[Lease, ...]:
        """The leases whose TRU count now: not those of workers alone, nor those that come later."""
        return _demanding(SameTuple(self.leases))

    @property
    def target(self) -> Target:
        """The capacity to reconcile to, given what the Cloud has; the baseline must be known."""
        return self._target(self.demanding, within_inventory=True)

    @property
    def full_target(self) -> Target:
        """The target of the leases, whether or not the Cloud has as much."""
        return self._target(self.demanding)

    @property
    def allowed(self) -> tuple[int, ...]:
        """The TRU values that the rails of any lease and the Cloud both allow, ascending."""
        rails = {self._narrowed(lease.rails) for lease in demand_of(self.demanding).deciding} or {
            self._narrowed(None)
        }
        return tuple(sorted({tru for each in rails for tru in each.allowed}))

    @property
    def is_short(self) -> bool:
        """Whether the Cloud has less than the leases' full target."""
        return self.aps_of(self.target.capacity) < self.aps_of(self.full_target.capacity)

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to do: the target is in force, or left alone as foreign."""
        if self.baseline is None:
            return not (self.requested or self.needs_baseline)
        if self.pending or self.needs_final_observation or self.needs_observation:
            return False
        wanted = self.target.capacity
        if self.in_force is None:
            return not (self.demanding or self.requested)
        return self.in_force == wanted or (self.foreign and self.leaves_alone(self.in_force))

    @property
    def needs_baseline(self) -> bool:
        """Whether the baseline has to be found, where it isn't known."""
        return bool(self.demanding or self.doubt) or self.needs_observation

    @property
    def needs_final_observation(self) -> bool:
        """Whether the last lease has ended, and the namespace wasn't observed since.

        A lease that changed nothing has no revert on which external changes are seen; a
        declared baseline has to be in force afterwards all the same.
        """
        return self.had_leases and self.baseline_declared and not self.demanding

    def holds(self, lease: Lease) -> bool:
        """Tell whether a lease with the key of *lease* is active."""
        return any(held.key == lease.key for held in self.leases)

    def leaves_alone(self, found: Capacity) -> bool:
        """Tell whether *found* was set externally and the keeper does not undo it.

        More than the target stays while a window runs, and also afterwards unless the
        calendar declares a baseline. What the keeper itself may have requested never counts
        as set externally.
        """
        if found in (*self.requested, self.baseline):
            return False
        if self.baseline_declared and not self.demanding:
            return False
        return self.aps_of(found) > self.aps_of(self.target.capacity)

    def covers(self, lease: Lease) -> bool:
        """Tell whether what is in force is what *lease* requests by now, as its rails allow it.

        Pending changes count too: a revert that is under way may have taken it already.
        """
        floors = (one for one in self.floors if one.fleet.name in lease.workers)
        if not all(one.is_covered for one in floors):
            return False
        if (lease.workers and not lease.tru) or lease.tru_from is not None:
            return True
        if self.in_force is None or self.baseline is None:
            return False
        there = min(self.aps_of(capacity) for capacity in (self.in_force, *self.pending))
        alone = (lease,) if lease.combine == "max" else self.demanding
        wanted = self._target(alone)
        return there >= self.aps_of(wanted.capacity)

    def targets_of(self, lease: Lease) -> tuple[Target, Target]:
        """Return the target of *lease*, and what the Cloud has of it; with all others if it adds.

        What one with ``combine: max`` gets doesn't depend on the others.
        """
        alone = (lease,) if lease.combine == "max" else self.demanding
        return self._target(alone), self._target(alone, within_inventory=True)

    def aps_of(self, capacity: Capacity) -> float:
        """Return *capacity* in Actions per second, on-demand as the Cloud API last reported."""
        return self.options.on_demand_aps if capacity.tru is None else capacity.tru * APS_PER_TRU

    @property
    def to_hand_over(self) -> Self:
        """The state as it goes to another run, which reads it `unpacked`.

        Up to `FEW_LEASES` go as they are, so that people can read them in the history.
        """
        if len(self.leases) + len(self.released) <= FEW_LEASES:
            return self
        packed = {"leases": pack(self.leases), "released": pack(self.released)}
        return replace(self, leases=(), released=(), packed=packed)

    @property
    def unpacked(self) -> Self:
        """The state as it was before `to_hand_over`."""
        if self.packed is None:
            return self
        leases, released = (unpack(self.packed[name]) for name in ("leases", "released"))
        return replace(self, leases=leases, released=released, packed=None)

    @property
    def for_reconcile(self) -> Self:
        """The part of the state that one reconcile needs, small also with thousands of leases."""
        deciding = demand_of(self.demanding).deciding
        return replace(self, leases=deciding, released=(), floors=())

    def _target(self, leases: tuple[Lease, ...], *, within_inventory: bool = False) -> Target:
        assert self.baseline is not None, "there is no target before the baseline is known"
        within_inventory = within_inventory and self.options.available is not None
        compute = _target if len(leases) > 1 else _target.__wrapped__
        return compute(
            SameTuple(leases),
            self.baseline,
            self.baseline_declared,
            self.rails,
            self.options,
            within_inventory,
        )

    def _narrowed(self, granted: Rails | None) -> Rails:
        """Return the guard rails *granted*, narrowed to what the Cloud API allows."""
        return _narrowed(granted or self.rails or Rails(), self.options, within_inventory=False)


@lru_cache(maxsize=256)
def _target(
    same: SameTuple,
    baseline: Capacity,
    declared: bool,
    rails: Rails | None,
    options: KnownOptions,
    within_inventory: bool,
) -> Target:
    """Return the target of the leases of *same*; *rails* are for those without their own."""
    leases = demand_of(same.leases).deciding if len(same.leases) > 1 else same.leases
    narrowed = {
        own: _narrowed(own or rails or Rails(), options, within_inventory=within_inventory)
        for own in {lease.rails for lease in leases}
    }
    return target_of_leases(
        leases,
        baseline,
        lambda lease: narrowed[lease.rails],
        declared=declared,
        on_demand_aps=options.on_demand_aps,
    )


def _narrowed(rails: Rails, options: KnownOptions, *, within_inventory: bool) -> Rails:
    allowed = tuple(int(tru) for tru in options.allowed if tru == int(tru))
    common = tuple(tru for tru in rails.allowed if tru in allowed) or allowed
    ceiling = rails.max_tru
    if within_inventory and options.available is not None:
        there = int(options.available)
        ceiling = there if ceiling is None else min(ceiling, there)
    return Rails(allowed=common or rails.allowed, max_tru=ceiling)


Row = list[Any]
"""One lease: its fields in the order of `_row`, its rails by their index in the table."""


def pack(leases: Iterable[Lease]) -> dict[str, Any]:
    """Return *leases*, in their order, as plain JSON values: rows, and a table of their rails.

    The SDK decodes a payload by its type annotations, which takes milliseconds for each lease:
    a thousand of them outlast the two seconds after which it reports a deadlock. Rows of plain
    values are decoded at once, and take a third of the room in a payload of at most 2 MB.
    """
    rails: dict[Rails | None, int] = {}
    fleets: dict[tuple[Fleet, ...], int] = {}
    rows = []
    for lease in leases:
        row = _row(lease, rails.setdefault(lease.rails, len(rails)))
        if lease.workers or lease.tru_from:  # else it is a row as it was before there were fleets
            begins = None if lease.tru_from is None else lease.tru_from.isoformat()
            place = fleets.setdefault(lease.fleets, len(fleets))
            row += [dict(lease.workers), place, begins]
        rows.append(row)
    table = [None if one is None else [list(one.allowed), one.max_tru] for one in rails]
    packed: dict[str, Any] = {"rails": table, "leases": rows}
    if fleets:
        packed["fleets"] = [[asdict(fleet) for fleet in declared] for declared in fleets]
    return packed


def unpack(packed: dict[str, Any]) -> tuple[Lease, ...]:
    """Return the leases that `pack` turned into *packed*."""
    rails = [None if one is None else Rails(tuple(one[0]), one[1]) for one in packed["rails"]]
    fleets = [tuple(map(_fleet, declared)) for declared in packed.get("fleets", ())]
    return tuple(_lease(row, rails, fleets) for row in packed["leases"])


def _fleet(plain: dict[str, Any]) -> Fleet:
    target = plain["kubernetes"]
    return Fleet(**{**plain, "kubernetes": KubernetesTarget(**target) if target else None})


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
        list(lease.replaced),
    ]


def _lease(row: Row, rails: list[Rails | None], fleets: list[tuple[Fleet, ...]]) -> Lease:
    shared, own = row[:12], row[12:]
    key, window, tru, start, until, combine, by, reason, project, revision, place, replaced = shared
    workers, declared, begins = own or ({}, None, None)
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
        replaced=tuple(replaced),
        workers=workers,
        fleets=() if declared is None else fleets[declared],
        tru_from=None if begins is None else datetime.fromisoformat(begins),
    )


# Ids of capacity requests ------------------------------------------------------------


_PREFIX = "boost"
_UNKNOWN = "unknown"
_CAPACITY = r"on-demand|[0-9]+(?:\.[0-9]+)?tru"
_ENDING = re.compile(rf"-to-({_CAPACITY})-from-({_CAPACITY})-[0-9a-f]+(?:\.[0-9a-f]+)?$")
_LONGEST_STEP = 40


@dataclass(frozen=True, slots=True)
class Origin:
    """What an id records: the requested capacity, and the baseline before all raises."""

    requested: Capacity
    baseline: Capacity


def compose_id(
    namespace: str, step: str, requested: Capacity, baseline: Capacity | None, nonce: str
) -> str:
    """Return the id of the request that brings *namespace* to *requested*.

    Args:
        namespace: The Temporal Cloud namespace.
        step: What the request is for, such as a window's name.
        requested: The capacity that is requested.
        baseline: The capacity to restore when no lease is left; None where it isn't known.
        nonce: A unique suffix, in hexadecimal.

    >>> compose_id("pay.a1b2c", "Month end", Capacity(8), Capacity(), "3f2a")
    'boost-pay.a1b2c-month-end-to-8tru-from-on-demand-3f2a'
    """
    words = re.sub(r"[^a-z0-9]+", "-", step.lower())[:_LONGEST_STEP].strip("-") or "step"
    before = _UNKNOWN if baseline is None else _text(baseline)
    return f"{_PREFIX}-{namespace}-{words}-to-{_text(requested)}-from-{before}-{nonce}"


def is_own(operation_id: str, namespace: str) -> bool:
    """Tell whether a keeper of *namespace* made the request with this id."""
    return operation_id.startswith(f"{_PREFIX}-{namespace}-")


def origin_of(operation_id: str, namespace: str) -> Origin | None:
    """Return what a keeper's id records; None for any other id.

    Ids of repeated requests, which end in a dot and more digits, record the same.

    >>> origin_of("boost-pay.a1b2c-month-end-to-8tru-from-on-demand-3f2a.77", "pay.a1b2c")
    Origin(requested=Capacity(tru=8.0), baseline=Capacity(tru=None))
    """
    ending = _ENDING.search(operation_id)
    if ending is None or not is_own(operation_id, namespace):
        return None
    return Origin(_capacity(ending[1]), _capacity(ending[2]))


def _text(capacity: Capacity) -> str:
    return "on-demand" if capacity.tru is None else f"{capacity.tru:g}tru"


def _capacity(text: str) -> Capacity:
    return Capacity() if text == "on-demand" else Capacity(float(text.removesuffix("tru")))
