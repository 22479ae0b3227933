"""How what a keeper knows changes, and what is due by it: pure functions of ledgers.

Each change returns a new ledger; the keeper decides by what is true of it then.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from workflows.contract import Capacity, KeeperState, Lease, LeaseRequest, Rails
from workflows.keeper_state import Declaration, Ledger, Offer
from workflows.lease_demand import demand_of
from workflows.operation_ids import is_own, origin_of

LOWER_WITHIN = timedelta(minutes=10)
"""How long a way down may take before it is overdue: provisioning takes two minutes."""

LOOK_FOR_MORE_EVERY = timedelta(minutes=5)
"""How often the full capacity is tried for while the Cloud has too little."""


def grant(ledger: Ledger, request: LeaseRequest, now: datetime) -> Ledger:
    """Return *ledger* with the lease of *request*, unless it has ended or was released.

    What it replaces ends in the same step. A lease that is held already keeps what it was
    granted, unless the request says that it replaces that very lease. A new one is granted
    under the declaration that holds then.
    """
    lease = request.lease
    if ledger.cancelled or _follows_nothing(ledger, request):
        return ledger
    ledger = _without_replaced(ledger, request)
    if lease.until <= now or was_released(ledger, lease.key):
        return release(ledger, lambda held: held.key == request.replaces)
    is_idle = not ledger.leases and ledger.is_settled and not ledger.doubt
    known = declare(_afresh(ledger) if is_idle else ledger, request)
    held = None if request.replaces == lease.key else held_as(ledger, lease.key)
    taken = held or under_declaration(known, lease)
    return replace(known, leases=_with_lease(known.leases, taken), claimed=True)


def _follows_nothing(ledger: Ledger, request: LeaseRequest) -> bool:
    """Tell whether *request* would go on with a lease that was ended early.

    Once its own lease is held, the step is done, and is taken again for what it says anew.
    """
    return was_released(ledger, request.replaces) and held_as(ledger, request.lease.key) is None


def _without_replaced(ledger: Ledger, request: LeaseRequest) -> Ledger:
    """Return *ledger* without the lease that *request* replaces by one under another key.

    Its key is not granted again, also where the claim for it hasn't come yet. The new key
    is free for it, whatever became of it before: the boost that runs goes on under it.
    """
    key = request.replaces
    if not key or key == request.lease.key:
        return ledger
    held = held_as(ledger, key)
    released = ledger.released
    if held is not None:
        released = (*_others(released, request.lease.key), held)
    elif not was_released(ledger, key):
        released = (*released, replace(request.lease, key=key))
    return replace(ledger, leases=_others(ledger.leases, key), released=released)


def held_as(ledger: Ledger, key: str) -> Lease | None:
    """Return the lease that runs under *key*; None if there is none."""
    return next((lease for lease in ledger.leases if lease.key == key), None)


def _with_lease(leases: tuple[Lease, ...], lease: Lease) -> tuple[Lease, ...]:
    """Return *leases*, the next end first, with *lease* instead of any of the same key."""
    others = _others(leases, lease.key) if any(one.key == lease.key for one in leases) else leases
    place = bisect(others, _by_end(lease), key=_by_end)
    return (*others[:place], lease, *others[place:])


def _by_end(lease: Lease) -> tuple[datetime, str]:
    return lease.until, lease.key


def _others(leases: Iterable[Lease], key: str) -> tuple[Lease, ...]:
    return tuple(lease for lease in leases if lease.key != key)


def _sorted(leases: Iterable[Lease]) -> tuple[Lease, ...]:
    """Return *leases* as a ledger has them: the next end first."""
    return tuple(sorted(leases, key=_by_end))


def _afresh(ledger: Ledger) -> Ledger:
    """Return what still counts of *ledger* after an idle time: others may have come by."""
    return Ledger(
        namespace=ledger.namespace,
        released=ledger.released,
        baseline=ledger.baseline if ledger.baseline_declared else None,
        baseline_declared=ledger.baseline_declared,
        rails=ledger.rails,
        revision=ledger.revision,
        project=ledger.project,
        look_every_seconds=ledger.look_every_seconds,
    )


def release(ledger: Ledger, chosen: Callable[[Lease], bool]) -> Ledger:
    """Return *ledger* without the *chosen* claims; their keys are remembered as released."""
    gone: list[Lease] = []
    kept: list[Lease] = []
    for lease in ledger.leases:
        (gone if chosen(lease) else kept).append(lease)
    left = replace(ledger, leases=tuple(kept), released=(*ledger.released, *gone))
    return succeed(left)


def refuse(ledger: Ledger, lease: Lease, now: datetime) -> Ledger:
    """Return *ledger* with *lease* among the released ones, although it never came.

    The request for it may be in flight still: until the lease's end it is not granted.
    """
    if lease.until <= now or was_released(ledger, lease.key):
        return ledger
    return replace(ledger, released=(*ledger.released, lease))


def was_released(ledger: Ledger, key: str) -> bool:
    """Tell whether the claim *key* was ended early."""
    return any(lease.key == key for lease in ledger.released)


def expire(ledger: Ledger, now: datetime) -> Ledger:
    """Return *ledger* without what has ended by *now*: ends are exclusive.

    Itself where nothing has: what is known of its leases is known of the same tuple only.
    """
    if all(lease.until > now for lease in (*ledger.leases, *ledger.released)):
        return ledger
    left = replace(
        ledger,
        leases=tuple(lease for lease in ledger.leases if lease.until > now),
        released=tuple(lease for lease in ledger.released if lease.until > now),
    )
    return succeed(left)


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
        unseen=False,
        claimed=bool(ledger.leases),
        trouble="",
        resumes=None,
    )
    if seen.baseline is None:
        return seen
    return replace(seen, foreign=seen.leaves_alone(found))


def find_baseline(ledger: Ledger, found: Capacity, request: str) -> Ledger:
    """Return *ledger* with the baseline, where *found* was found before any raise of this run.

    What a keeper itself had requested is not the baseline, but its *request* says what is:
    a run that was reset, deleted or lost leaves that behind. Where it can't be known, the
    ledger says why, and *found* is neither left for less nor taken for the baseline.
    """
    origin = origin_of(request, ledger.namespace)
    if origin is not None:
        known = replace(ledger, baseline=origin.baseline, doubt="", doubted_request="")
        return recognize(known, found, request)
    doubt = ledger.doubt
    if is_own(request, ledger.namespace):
        doubt = f"{found} was requested by a keeper ({request}), which does not say what was before"
    if not doubt or found.tru is None:  # no keeper boosts to on-demand
        return replace(ledger, baseline=found, doubt="", doubted_request="")
    return replace(ledger, baseline=found, doubt=doubt, doubted_request=request)


def recognize(ledger: Ledger, found: Capacity, request: str) -> Ledger:
    """Return *ledger* with *found* as written by a keeper, if its *request* says so.

    A run that was reset has forgotten what it wrote after the point that it was reset to.
    """
    origin = origin_of(request, ledger.namespace)
    if origin is None or origin.requested != found:
        return ledger
    return replace(ledger, written=_with(ledger.written, found))


def resolve(ledger: Ledger, found: Capacity, request: str) -> Ledger:
    """Return *ledger* without its doubt, if what was *found* settles it.

    It does where somebody else has set another capacity since: that is the baseline then.
    """
    is_others = bool(request) and not is_own(request, ledger.namespace)
    if not ledger.doubt or not is_others or request == ledger.doubted_request:
        return ledger
    return replace(ledger, baseline=found, doubt="", doubted_request="")


def take_over(ledger: Ledger, old: Ledger) -> Ledger:
    """Return *ledger* with what the *old* ledger of a run that broke off adds to it.

    A lease that the old run held is as it was granted there, what was released stays
    released, and what is in force is looked at again. A cancelled run has gone back by
    itself: nothing but its released leases is left of it.
    """
    gone = {lease.key for lease in old.released}
    own = tuple(lease for lease in ledger.leases if lease.key not in gone)
    known = replace(ledger, leases=own, released=(*ledger.released, *old.released))
    if old.cancelled and old.is_settled:
        return known
    given = {lease.key for lease in ledger.released}
    kept = tuple(lease for lease in old.leases if lease.key not in given)
    known = take_over_declaration(known, replace(old, leases=kept))
    held = {lease.key for lease in kept}
    fresh = (lease for lease in known.leases if lease.key not in held)
    return replace(
        known,
        leases=_sorted((*fresh, *kept)),
        offer=old.offer,
        written=old.written,
        unseen=old.baseline is not None,
    )


def next_end(ledger: Ledger) -> datetime | None:
    """Return when the next lease ends, None without any."""
    return min((lease.until for lease in ledger.leases), default=None)


def next_look(ledger: Ledger) -> datetime | None:
    """Return when something is due of itself: a lease's end, or a look at the namespace."""
    ends = [lease.until for lease in (*ledger.leases, *ledger.released)]
    if (ledger.leases or ledger.doubt) and ledger.looked is not None:
        usual = timedelta(seconds=ledger.look_every_seconds)
        ends.append(ledger.looked + (LOOK_FOR_MORE_EVERY if ledger.is_short else usual))
    return min(ends, default=None)


def state_of(ledger: Ledger, now: datetime) -> KeeperState:
    """Return the state of the namespace at *now*, in one word."""
    known = expire(ledger, now)
    short = [one for one in demand_of(known.leases).groups if not known.covers(one.lease)]
    if short:
        return "uncovered" if any(one.opens <= now for one in short) else "raising"
    if ledger.doubt:
        return "unknown"
    if ledger.foreign:
        return "foreign"
    if known.is_settled:
        return "ok"
    since = _lowering_since(ledger, now)
    return "overdue" if now - since > LOWER_WITHIN else "reverting"


def _lowering_since(ledger: Ledger, now: datetime) -> datetime:
    """Return since when less is due than is in force."""
    ended = [lease.until for lease in ledger.leases if lease.until <= now]
    return min([*ended, ledger.aimed_since or now])


def declare(ledger: Ledger, request: LeaseRequest) -> Ledger:
    """Return *ledger* with what *request* declares, unless something newer is known.

    While leases of another project run that declared before, that one's declaration holds,
    and what differs is kept beside it.
    """
    said = Declaration(
        project=request.lease.project or ledger.project,
        revision=request.revision,
        baseline=request.baseline,
        rails=request.rails,
    )
    return _offered(ledger, said)


def succeed(ledger: Ledger) -> Ledger:
    """Return *ledger* with the other project's declaration once none but its leases run."""
    other = ledger.other
    if other is None or any(lease.project == ledger.project for lease in ledger.leases):
        return ledger
    if not any(lease.project == other.project for lease in ledger.leases):
        return replace(ledger, other=None)
    return _taken(ledger, other)


def take_over_declaration(ledger: Ledger, old: Ledger) -> Ledger:
    """Return *ledger* as if what it declares had come to the *old* one of a run that broke off.

    Leases that were granted under a declaration that isn't taken are granted under the old
    one: nothing was raised for them yet.
    """
    known = replace(
        ledger,
        leases=(*ledger.leases, *old.leases),
        baseline=old.baseline,
        baseline_declared=old.baseline_declared,
        doubt=old.doubt,
        doubted_request=old.doubted_request,
        rails=old.rails,
        revision=old.revision,
        project=old.project,
        other=old.other,
    )
    said = Declaration(
        project=ledger.project or old.project,
        revision=ledger.revision,
        baseline=ledger.baseline if ledger.baseline_declared else None,
        rails=ledger.rails,
    )
    known = _offered(known, said)
    is_taken = (known.revision, known.rails) == (ledger.revision, ledger.rails)
    own = (lease if is_taken else under_declaration(known, lease) for lease in ledger.leases)
    return replace(known, leases=tuple(own))


def under_declaration(ledger: Ledger, lease: Lease) -> Lease:
    """Return *lease* as it is granted under the declaration that holds in *ledger*."""
    return replace(lease, rails=ledger.rails or Rails(), revision=ledger.revision)


def _offered(ledger: Ledger, said: Declaration) -> Ledger:
    """Return *ledger* with *said* taken, kept beside its own, or left out as older."""
    if said.rails is None and said.baseline is None:  # of a boost by hand
        return ledger
    if not _is_anothers(ledger, said.project):
        return ledger if said.revision < ledger.revision else _taken(ledger, said)
    if any(lease.project == ledger.project for lease in ledger.leases):
        return _with_other(ledger, said)
    return _taken(ledger, said)


def _is_anothers(ledger: Ledger, project: str) -> bool:
    """Tell whether the declaration of *ledger* is known to be of another than *project*."""
    return bool(ledger.project and project) and ledger.project != project


def _with_other(ledger: Ledger, said: Declaration) -> Ledger:
    """Return *ledger* with *said* beside its own declaration, where the two differ."""
    known = ledger.other
    if known and known.project == said.project and said.revision < known.revision:
        return ledger
    own = (ledger.baseline if ledger.baseline_declared else None, ledger.rails)
    return replace(ledger, other=None if (said.baseline, said.rails) == own else said)


def _taken(ledger: Ledger, said: Declaration) -> Ledger:
    """Return *ledger* with *said* as what holds for the namespace.

    A newer one that declares no baseline takes the earlier one's back; what that was is
    still what the boosts that run come back to.
    """
    is_newer = said.revision > ledger.revision or _is_anothers(ledger, said.project)
    declared = said.baseline is not None
    return replace(
        ledger,
        baseline=said.baseline if declared else ledger.baseline,
        baseline_declared=declared or (ledger.baseline_declared and not is_newer),
        doubt="" if declared else ledger.doubt,
        rails=said.rails or ledger.rails,
        revision=said.revision,
        project=said.project,
        other=None,
    )
