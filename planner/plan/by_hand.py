"""A boost by hand, within what the live schedules of its namespace declare."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from planner.errors import Refused
from planner.schedules.spec import Schedule
from workflows.contract import BoostRequest, Capacity, Combine, Rails, round_up

WINDOW_BY_HAND = "by-hand"


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveDeclaration:
    """What the newest of the schedules of a namespace declare for it."""

    project: str
    revision: int
    baseline: Capacity | None
    rails: Rails


def declaration_of(schedules: Iterable[Schedule]) -> LiveDeclaration | None:
    """Return what *schedules* of one namespace declare; of several the newest counts.

    None without a schedule.
    """
    requests = [(one.request.revision, one.id, one) for one in schedules]
    if not requests:
        return None
    _, _, newest = max(requests, key=lambda each: each[:2])
    return LiveDeclaration(
        project=newest.project,
        revision=newest.request.revision,
        baseline=newest.request.baseline,
        rails=newest.request.rails,
    )


def request_by_hand(
    namespace: str,
    tru: int,
    length: timedelta,
    declared: LiveDeclaration | None,
    *,
    combine: Combine,
    by: str,
    reason: str,
) -> BoostRequest:
    """Return the request of a boost by hand, with what is declared for the namespace.

    So it is held to the rails, and gives back the declared baseline, also where no window has
    run before it.

    Args:
        namespace: The Temporal Cloud namespace.
        tru: The capacity.
        length: How long.
        declared: What its live schedules declare; None where there is none.
        combine: How it counts beside other boosts.
        by: Who requests it.
        reason: Why.

    Raises:
        Refused: It is more than the rails allow.
    """
    rails = declared.rails if declared else Rails()
    if declared:
        _check_rails(namespace, tru, rails)
    return BoostRequest(
        namespace=namespace,
        window=WINDOW_BY_HAND,
        tru=tru,
        ttl_seconds=round(length.total_seconds()),
        combine=combine,
        baseline=declared.baseline if declared else None,
        rails=rails,
        by=by,
        reason=reason,
        project=declared.project if declared else "",
        revision=declared.revision if declared else 0,
    )


def _check_rails(namespace: str, tru: int, rails: Rails) -> None:
    """Raise unless *rails* have a value of at least *tru*."""
    usable = [one for one in rails.allowed if rails.max_tru is None or one <= rails.max_tru]
    if round_up(tru, usable) is not None:
        return
    most = max(usable, default=0)
    limit = "the allowed values" if rails.max_tru is None else f"max_tru: {rails.max_tru}"
    raise Refused(
        f"{tru} TRU are more than the guard rails of {namespace} allow ({limit}); boost to at "
        f"most {most}, or raise the rail in its calendar and sync it"
    )
