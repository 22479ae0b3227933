"""After a sync's writes: start the occurrences under way whose firing was lost.

A window may open while a sync waits, reads or writes. A schedule fires only for times after
the server has processed its creation or update, and a busy server does that late. So each
schedule that may be affected is described afterwards: the server answers once it has
processed all writes, with the firings that it made and the ones that it is about to make.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain, repeat

from planner.errors import ServerError
from planner.model import Horizon
from planner.plan.live import about_to_fire, missed
from planner.plan.model import Change, LiveSchedule
from planner.schedules.spec import Schedule
from planner.temporal.apply import Outcome, start
from planner.temporal.client import Server
from planner.temporal.clock import ServerClock
from planner.temporal.fetch import LATE, describe, was_started
from workflows.contract import format_instant, occurrence_of

AHEAD = timedelta(seconds=60)
"""How far ahead firings are checked: longer than any busy server takes to process a write."""

BEGIN_WITHIN = timedelta(seconds=60)
"""Time limit for the server to begin a boost that was started by a patch."""

WAITS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""Seconds between polls for a started boost; the last one repeats."""

DESCRIBE_AGAIN = (1.0, 4.0)
"""Seconds to wait before a failed describe is retried."""

DESCRIBED_AT_ONCE = 8
"""Concurrent describes. Each waits until the server has processed the schedule's writes, so
more of them would slow a busy server down."""


async def start_missed(
    server: Server,
    outcomes: Iterable[Outcome],
    clock: ServerClock,
    since: datetime,
    *,
    ensure_held: Callable[[], None],
    on_outcome: Callable[[Outcome], None],
) -> tuple[Outcome, ...]:
    """Start the lost firings of written schedules; return an outcome for each schedule affected.

    Checks every unpaused schedule that was written, for occurrences under way after *since*
    or due within `AHEAD`, until none is left unchecked.

    Args:
        server: Where the schedules are.
        outcomes: The outcomes of the written changes.
        clock: The server's clock.
        since: The time of the plan; occurrences that ended before are ignored.
        ensure_held: Called before each write; raises where the sync lock was lost.
        on_outcome: Called with each outcome as it comes.
    """
    written = [one.change for one in outcomes if one.done and _may_fire(one.change)]
    seen: set[tuple[str, datetime]] = set()
    found: list[Outcome] = []
    slots = asyncio.Semaphore(DESCRIBED_AT_ONCE)
    until = since
    while until < clock.now() + AHEAD / 2:
        until = clock.now() + AHEAD
        checks = []
        for change in written:
            firings = _open(change, Horizon(since, until))
            new = [nominal for nominal in firings if (change.id, nominal) not in seen]
            seen.update((change.id, nominal) for nominal in new)
            if new:
                checks.append(_Check(server, change, clock, ensure_held, slots).run(new))
        for outcome in await asyncio.gather(*checks):
            if outcome:
                on_outcome(outcome)
                found.append(outcome)
    return tuple(found)


def _may_fire(change: Change) -> bool:
    return change.desired is not None and not change.desired.paused


def _open(change: Change, horizon: Horizon) -> tuple[datetime, ...]:
    """Return the firings of *change* in *horizon* that had no boost before it was written.

    Firings that the server was about to make then count among them: an update drops these.
    """
    assert change.desired is not None
    before = change.live or LiveSchedule(id=change.id)
    return missed(change.desired, replace(before, about_to_fire=frozenset()), horizon)


@dataclass(frozen=True, slots=True)
class _Check:
    """Check the firings of one written schedule, and start the lost ones."""

    server: Server
    change: Change
    clock: ServerClock
    ensure_held: Callable[[], None]
    slots: asyncio.Semaphore

    @property
    def desired(self) -> Schedule:
        assert self.change.desired is not None
        return self.change.desired

    async def run(self, firings: Iterable[datetime]) -> Outcome | None:
        """Start the lost ones of *firings* and return how that went; None where none was lost."""
        try:
            lost = await self._lost(firings)
            over = [nominal for nominal in lost if self._end(nominal) <= self.clock.now()]
            late = [nominal for nominal in lost if nominal not in (*over, *self.change.starts)]
            if late:
                self.ensure_held()
                await start(self.server, self.desired, late)
            begun = [nominal for nominal in lost if nominal not in over]
            failed = [*over, *[one for one in begun if not await self._begins(one)]]
        except ServerError as error:
            return self._outcome(firings, f"what is under way could not be checked: {error}")
        if failed:
            words = ", ".join(self._words(nominal) for nominal in failed)
            why = "over before it could be started" if over else "not started in time"
            return self._outcome(failed, f"{words} was {why}; run the sync again")
        if late:
            return self._outcome(late, "it became due while the sync wrote", done=True)
        return None

    async def _lost(self, firings: Iterable[datetime]) -> list[datetime]:
        """Return those of *firings* that the server neither made nor is about to make."""
        firings = [nominal for nominal in firings if not await self._was_started(nominal)]
        if not firings:
            return []
        live = await self._described()
        if live is None:
            raise ServerError("the schedule is gone; run the sync again")
        coming = about_to_fire(self.desired, live, self.clock.now() - LATE)
        seen = replace(live, schedule=self.desired, requested=coming)
        last = live.upcoming[-1] if live.upcoming else None
        return [
            nominal
            for nominal in missed(self.desired, seen, Horizon(min(firings), max(firings)))
            if nominal in firings and not (last and nominal > last)
        ]

    async def _described(self) -> LiveSchedule | None:
        """Describe the schedule; retry while the server is too busy to answer."""
        for wait in DESCRIBE_AGAIN:
            try:
                async with self.slots:
                    return await describe(self.server, self.change.id)
            except ServerError:
                await asyncio.sleep(wait)
        async with self.slots:
            return await describe(self.server, self.change.id)

    async def _begins(self, nominal: datetime) -> bool:
        """Wait for the boost of the firing at *nominal*; return False on time-out."""
        deadline = self.clock.now() + BEGIN_WITHIN
        waits = chain(WAITS, repeat(WAITS[-1]))
        while not await self._was_started(nominal):
            if self.clock.now() > deadline:
                return False
            await asyncio.sleep(next(waits))
        return True

    async def _was_started(self, nominal: datetime) -> bool:
        """Tell whether a boost was started for *nominal*; never before that time."""
        if nominal > self.clock.now():
            return False
        return await was_started(self.server, self.desired, nominal)

    def _end(self, nominal: datetime) -> datetime:
        return occurrence_of(self.desired.request, nominal)[1]

    def _words(self, nominal: datetime) -> str:
        begin, end = occurrence_of(self.desired.request, nominal)
        return f"{format_instant(begin)} to {format_instant(end)}"

    def _outcome(self, firings: Iterable[datetime], words: str, *, done: bool = False) -> Outcome:
        """Return the start of *firings* as an outcome of its own."""
        began = replace(self.change, action="start", starts=tuple(firings), follow=False)
        return Outcome(began, done, words)
