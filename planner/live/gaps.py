"""Windows under way that no schedule fired for and no lease is held for, by the live side alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from planner.diff import Live
from planner.diff.firings import firings_in, missed
from planner.live.clock import desk_clock
from planner.live.evidence import gather_evidence
from planner.live.fetch import describe
from planner.live.reading import ListedTimes
from planner.live.server import Server
from planner.model import Horizon, NamespaceStatus
from workflows.contract import format_instant, occurrence_of

LOOK_BACK = timedelta(days=31)
"""How long ago a firing may be that still has its window under way."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A schedule of ours in the server's list."""

    namespace: str
    live: Live
    times: ListedTimes


@dataclass(frozen=True, slots=True)
class Gap:
    """An occurrence, ``[start, end)``, that is due and that nothing has asked for."""

    namespace: str
    window: str
    start: datetime
    end: datetime

    def __str__(self) -> str:
        span = f"{format_instant(self.start)} to {format_instant(self.end)}"
        return f"{self.window}, {span}, is under way and not started: `planner sync` starts it"


async def fetch_gaps(server: Server, listed: Iterable[Listed], now: datetime) -> list[Gap]:
    """Return the gaps of the *listed* schedules at *now*, earliest first.

    Described are only those of which the list doesn't show that they fired for their last
    nominal times. Paused ones have none.
    """
    doubtful = [one for one in listed if _is_doubtful(one, now)]
    found = await asyncio.gather(*(_gaps_of(server, one, now) for one in doubtful))
    return sorted((gap for gaps in found for gap in gaps), key=lambda gap: (gap.start, gap.window))


def with_gaps(status: NamespaceStatus, gaps: Sequence[Gap], now: datetime) -> NamespaceStatus:
    """Return *status* with its *gaps*: a window that has opened without a lease isn't covered.

    One that is only asked for ahead of its opening is still to be raised for.
    """
    if not gaps:
        return status
    state = status.state
    if state != "overdue" and any(gap.start <= now for gap in gaps):
        state = "uncovered"
    elif state == "ok":
        state = "raising"
    known = [status.details] if status.state != "ok" and status.details else []
    return replace(status, state=state, details="\n".join([*known, *map(str, gaps)]))


def _is_doubtful(one: Listed, now: datetime) -> bool:
    """Tell whether the list leaves open that *one* fired for all it should have.

    It shows the last few firings: what lies before them is taken for fired.
    """
    if one.live.paused:
        return False
    if one.times.is_cut:
        return True
    since = min(one.live.fired, default=now - LOOK_BACK)
    due = firings_in(one.times, Horizon(since, now))
    return any(nominal not in one.live.fired for nominal in due)


async def _gaps_of(server: Server, one: Listed, now: datetime) -> list[Gap]:
    live = await describe(server, one.live.id)
    if live is None or live.schedule is None or live.paused:
        return []
    desired, around = live.schedule, desk_clock(now).around()
    found = await gather_evidence(server, {live.id: desired}, {live.id: live}, around)
    return [
        Gap(one.namespace, desired.request.window, *occurrence_of(desired.request, nominal))
        for nominal in missed(desired, found[live.id], Horizon(now, now))
    ]
