"""The status of each namespace: what its keeper reports, its next window, and its gaps.

A gap is a window under way that has no boost: no schedule fired for it, no lease covers it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from planner.model import Horizon, NamespaceStatus, NextWindow
from planner.plan.firings import firings_in, missed
from planner.plan.model import LiveSchedule
from planner.schedules.firings import upcoming
from planner.schedules.spec import namespace_of
from planner.temporal.client import Server
from planner.temporal.clock import local_clock
from planner.temporal.convert import EntryReader, ListedTimes, read_times
from planner.temporal.fetch import describe, fetch_evidence, list_entries
from planner.temporal.keepers import WORKER_HINT, Keeper, fetch_keepers
from workflows.contract import KeeperStatus, format_instant, occurrence_of

LOOK_AHEAD = timedelta(days=400)


LOOK_BACK = timedelta(days=31)
"""How long ago the firing of a window under way may be."""


async def fetch_statuses(
    server: Server, now: datetime, *, namespace: str = ""
) -> list[NamespaceStatus]:
    """Return the status of each namespace with a keeper or a schedule, sorted by name."""
    keepers, listed = await asyncio.gather(
        fetch_keepers(server.client, now, namespace), _fetch_listed(server, namespace)
    )
    nexts, gaps = await asyncio.gather(
        _fetch_next(server, listed, now), fetch_gaps(server, listed, now)
    )
    known = {keeper.namespace: keeper for keeper in keepers}
    return [
        with_gaps(
            namespace_status(name, known.get(name), nexts.get(name)),
            [gap for gap in gaps if gap.namespace == name],
            now,
        )
        for name in sorted({*known, *nexts, *(gap.namespace for gap in gaps)})
    ]


def namespace_status(
    namespace: str, keeper: Keeper | None, following: NextWindow | None
) -> NamespaceStatus:
    """Return the status of *namespace* from its *keeper* and its *following* window.

    A broken keeper that had raised capacity, and one that does not answer, are ``overdue``:
    nothing reverts the capacity.
    """
    idle = NamespaceStatus(namespace=namespace, next_window=following)
    if keeper is None:
        return idle
    if keeper.status is None:
        if not (keeper.is_running or keeper.is_broken):
            return idle
        return replace(idle, state="overdue", details=f"the keeper does not answer: {WORKER_HINT}")
    if keeper.is_running:
        return _as_reported(idle, keeper.status)
    if keeper.is_broken and _left_work(keeper.status):
        return replace(
            _as_reported(idle, keeper.status),
            state="overdue",
            details="the keeper was terminated before it had gone back to the baseline; "
            "`planner status --repair` starts another that does",
        )
    return replace(_as_reported(idle, keeper.status), leases=())


def _as_reported(idle: NamespaceStatus, status: KeeperStatus) -> NamespaceStatus:
    return replace(
        idle,
        capacity=status.capacity,
        baseline=status.baseline,
        leases=status.leases,
        state=status.health,
        details=status.details,
    )


def _left_work(status: KeeperStatus) -> bool:
    """Tell whether a keeper ended with leases or with raised capacity."""
    return bool(status.leases) or status.capacity != status.baseline


async def _fetch_listed(server: Server, namespace: str) -> list[ListedSchedule]:
    """Return the listed schedules of *namespace*, or of all where that is empty."""
    reader, found = EntryReader(server.converter), []
    async for entry in list_entries(server):
        name = namespace_of(entry.schedule_id)
        if name and namespace in ("", name) and (owner := await reader.owner(entry)):
            found.append(ListedSchedule(name, reader.read(entry, owner), read_times(entry)))
    return found


async def _fetch_next(
    server: Server, listed: Iterable[ListedSchedule], now: datetime
) -> Mapping[str, NextWindow]:
    """Return the next window of each namespace, from the schedule that fires first."""
    first: dict[str, tuple[datetime, str]] = {}
    for one in listed:
        if one.live.upcoming and not one.live.paused:
            entry = (one.live.upcoming[0], one.live.id)
            first[one.namespace] = min(first.get(one.namespace, entry), entry)
    read = await asyncio.gather(*(_next_of(server, id, now) for _, id in first.values()))
    return _by_name(first, read)


def _by_name(names: Iterable[str], found: Iterable[NextWindow | None]) -> dict[str, NextWindow]:
    return {name: one for name, one in zip(names, found, strict=True) if one is not None}


async def _next_of(server: Server, id: str, now: datetime) -> NextWindow | None:
    live = await describe(server, id)
    if live is None or live.schedule is None:
        return None
    request = live.schedule.request
    ahead = timedelta(seconds=request.ahead_seconds)
    fires = next(upcoming(live.schedule, Horizon(now - ahead, now + LOOK_AHEAD)), None)
    if fires is None:
        return None
    return NextWindow(window=request.window, start=fires + ahead, tru=request.tru)


@dataclass(frozen=True, slots=True)
class ListedSchedule:
    """A schedule with an owner mark, as the server's list shows it."""

    namespace: str
    live: LiveSchedule
    times: ListedTimes


@dataclass(frozen=True, slots=True)
class Gap:
    """An occurrence ``[start, end)`` that is due and has no boost."""

    namespace: str
    window: str
    start: datetime
    end: datetime

    def __str__(self) -> str:
        span = f"{format_instant(self.start)} to {format_instant(self.end)}"
        return f"{self.window}, {span}, is under way and not started: `planner sync` starts it"


async def fetch_gaps(server: Server, listed: Iterable[ListedSchedule], now: datetime) -> list[Gap]:
    """Return the gaps of the *listed* schedules at *now*, earliest first.

    Only schedules whose latest firings the list doesn't show are described. Paused ones
    have no gaps.
    """
    candidates = [one for one in listed if _may_have_missed(one, now)]
    found = await asyncio.gather(*(_gaps_of(server, one, now) for one in candidates))
    return sorted((gap for gaps in found for gap in gaps), key=lambda gap: (gap.start, gap.window))


def with_gaps(status: NamespaceStatus, gaps: Sequence[Gap], now: datetime) -> NamespaceStatus:
    """Return *status* with its *gaps*: ``uncovered`` where a window has opened without a lease.

    A gap before its window opens, within the lead, makes it ``raising``.
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


def _may_have_missed(one: ListedSchedule, now: datetime) -> bool:
    """Tell whether *one* may have missed a firing, by the list.

    The list shows the last few firings; earlier ones are taken as fired.
    """
    if one.live.paused:
        return False
    if one.times.is_cut:
        return True
    since = min(one.live.fired, default=now - LOOK_BACK)
    due = firings_in(one.times, Horizon(since, now))
    return any(nominal not in one.live.fired for nominal in due)


async def _gaps_of(server: Server, one: ListedSchedule, now: datetime) -> list[Gap]:
    live = await describe(server, one.live.id)
    if live is None or live.schedule is None or live.paused:
        return []
    desired, around = live.schedule, local_clock(now).around()
    found = await fetch_evidence(server, {live.id: desired}, {live.id: live}, around)
    return [
        Gap(one.namespace, desired.request.window, *occurrence_of(desired.request, nominal))
        for nominal in missed(desired, found[live.id], Horizon(now, now))
    ]
