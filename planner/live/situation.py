"""Every namespace as it is now: its keeper's word, and the next window of its schedules."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from planner.live.fetch import describe, list_entries
from planner.live.gaps import Listed, fetch_gaps, with_gaps
from planner.live.keepers import WORKER_HINT, Keeper, fetch_keepers
from planner.live.reading import EntryReader, read_times
from planner.live.server import Server
from planner.model import Horizon, NamespaceStatus, NextWindow
from planner.schedules.firings import upcoming
from planner.schedules.spec import namespace_of
from workflows.contract import KeeperStatus

LOOK_AHEAD = timedelta(days=400)


async def fetch_situations(
    server: Server, now: datetime, *, namespace: str = ""
) -> list[NamespaceStatus]:
    """Return each namespace that a keeper or a schedule knows, sorted by name."""
    keepers, listed = await asyncio.gather(
        fetch_keepers(server.client, now, namespace), _fetch_listed(server, namespace)
    )
    nexts, gaps = await asyncio.gather(
        _fetch_next(server, listed, now), fetch_gaps(server, listed, now)
    )
    known = {keeper.namespace: keeper for keeper in keepers}
    return [
        with_gaps(
            situation(name, known.get(name), nexts.get(name)),
            [gap for gap in gaps if gap.namespace == name],
            now,
        )
        for name in sorted({*known, *nexts, *(gap.namespace for gap in gaps)})
    ]


def situation(
    namespace: str, keeper: Keeper | None, following: NextWindow | None
) -> NamespaceStatus:
    """Return what is known of *namespace*.

    A broken keeper that had something raised, and one that does not answer, are not
    ``ok``: nobody sees to the way down.
    """
    idle = NamespaceStatus(namespace=namespace, next_window=following)
    if keeper is None:
        return idle
    if keeper.status is None:
        if not (keeper.is_running or keeper.is_broken):
            return idle
        return replace(idle, state="overdue", details=f"the keeper does not answer: {WORKER_HINT}")
    if keeper.is_running:
        return _as_it_says(idle, keeper.status)
    if keeper.is_broken and _left_something(keeper.status):
        return replace(
            _as_it_says(idle, keeper.status),
            state="overdue",
            details="the keeper was terminated before it had gone back to the baseline; "
            "`planner status --repair` starts another that does",
        )
    return replace(_as_it_says(idle, keeper.status), leases=())


def _as_it_says(idle: NamespaceStatus, status: KeeperStatus) -> NamespaceStatus:
    return replace(
        idle,
        capacity=status.capacity,
        baseline=status.baseline,
        leases=status.leases,
        state=status.state,
        details=status.details,
    )


def _left_something(status: KeeperStatus) -> bool:
    """Tell whether a keeper that is no more had something to do yet."""
    return bool(status.leases) or status.capacity != status.baseline


async def _fetch_listed(server: Server, namespace: str) -> list[Listed]:
    """Return what the list shows of the schedules of *namespace*; of all where that is empty."""
    reader, found = EntryReader(server.converter), []
    async for entry in list_entries(server):
        name = namespace_of(entry.schedule_id)
        if name and namespace in ("", name) and (owner := await reader.owner(entry)):
            found.append(Listed(name, reader.read(entry, owner), read_times(entry)))
    return found


async def _fetch_next(
    server: Server, listed: Iterable[Listed], now: datetime
) -> Mapping[str, NextWindow]:
    """Return the next window of each namespace: of the schedule that fires first."""
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
