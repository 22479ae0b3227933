"""Whose declaration of a namespace holds: the newest one, of the project that was first.

Baseline and guard rails are facts of the namespace. They travel with the leases of its
windows, but in an order of their own: a firing of a schedule that was not updated yet brings
its lease and not its facts.
"""

from __future__ import annotations

from dataclasses import replace

from workflows.contract import Lease, LeaseRequest, Rails
from workflows.ledger import Declaration, Ledger


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
