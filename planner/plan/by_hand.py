"""What live schedules declare for a namespace, and a boost by hand within it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from planner.errors import Refused
from planner.schedules.spec import Schedule
from workflows.contract import BoostRequest, Combine, Declared, Rails, round_up

WINDOW_BY_HAND = "by-hand"


def declared_in(schedule: Schedule) -> Declared:
    """Return what *schedule* declares for its namespace."""
    request = schedule.request
    return Declared(
        namespace=request.namespace,
        baseline=request.baseline,
        rails=request.rails,
        revision=request.revision,
        project=schedule.project,
    )


def newest_declaration(schedules: Iterable[Schedule]) -> Declared | None:
    """Return what *schedules* of one namespace declare; of several the newest counts.

    None without a schedule.
    """
    newest = max(schedules, key=lambda one: (one.request.revision, one.id), default=None)
    return declared_in(newest) if newest else None


def request_by_hand(
    namespace: str,
    tru: int,
    length: timedelta,
    declared: Declared | None,
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
    rails = declared.rails if declared and declared.rails else Rails()
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
