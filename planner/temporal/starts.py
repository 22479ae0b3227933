"""After a sync's writes: whatever of them is under way by then has fired, or is started.

A window may open while a sync waits, reads or writes. A schedule fires only for times that
come after the server has dealt with its making or its update, and a busy server does that
late. So it is asked afterwards, by describing: that is answered once the server is through
with all that was written, and shows what was fired and what it has in view to fire.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain, repeat

from planner.errors import ServerError
from planner.model import Horizon
from planner.plan.firings import awaited, missed
from planner.plan.model import Change, Live
from planner.schedules.spec import Schedule
from planner.temporal.apply import Outcome, start
from planner.temporal.client import Server
from planner.temporal.clock import ServerClock
from planner.temporal.fetch import LATE, describe, has_begun
from workflows.contract import format_instant, occurrence_of

AHEAD = timedelta(seconds=60)
"""How far ahead of the present a sync looks at what it wrote: a server is through with a
new schedule long before that, however busy."""

BEGIN_WITHIN = timedelta(seconds=60)
"""How long the server may take to begin what it was told to start."""

WAITS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""Seconds between two looks whether it has; the last one goes on."""

DESCRIBE_AGAIN = (1.0, 4.0)
"""Seconds after which a describe that failed is made once more."""

DESCRIBED_AT_ONCE = 8
"""A schedule that the server hasn't come to yet keeps a describe waiting: more of these at
once would keep a busy server from its work."""


async def see_started(
    server: Server,
    outcomes: Iterable[Outcome],
    clock: ServerClock,
    since: datetime,
    *,
    insist: Callable[[], None],
    told: Callable[[Outcome], None],
) -> tuple[Outcome, ...]:
    """Return an outcome for each change of which something had to be started, or could not be.

    Of everything that was written and isn't paused, whatever is under way after *since*, or
    due within moments, is looked at until nothing of it is left open.

    Args:
        server: Where.
        outcomes: How the changes went.
        clock: The server's.
        since: The time of the plan: what had ended by then is no matter of this sync.
        insist: Raises where writing must stop; called before each write.
        told: Called with each outcome as it comes.
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
                checks.append(_Check(server, change, clock, insist, slots).run(new))
        for outcome in await asyncio.gather(*checks):
            if outcome:
                told(outcome)
                found.append(outcome)
    return tuple(found)


def _may_fire(change: Change) -> bool:
    return change.desired is not None and not change.desired.paused


def _open(change: Change, horizon: Horizon) -> tuple[datetime, ...]:
    """Return the firings of *change* in *horizon* that were not asked for before it was made.

    What the server was about to fire then it may have forgotten over an update.
    """
    assert change.desired is not None
    before = change.live or Live(id=change.id)
    return missed(change.desired, replace(before, awaited=frozenset()), horizon)


@dataclass(frozen=True, slots=True)
class _Check:
    """Sees to the firings of one schedule that was written."""

    server: Server
    change: Change
    clock: ServerClock
    insist: Callable[[], None]
    slots: asyncio.Semaphore

    @property
    def desired(self) -> Schedule:
        assert self.change.desired is not None
        return self.change.desired

    async def run(self, firings: Iterable[datetime]) -> Outcome | None:
        """Start what of *firings* was lost; None where nothing was."""
        try:
            lost = await self._lost(firings)
            over = [nominal for nominal in lost if self._end(nominal) <= self.clock.now()]
            late = [nominal for nominal in lost if nominal not in (*over, *self.change.starts)]
            if late:
                self.insist()
                await start(self.server, self.desired, late)
            begun = [nominal for nominal in lost if nominal not in over]
            failed = [*over, *[one for one in begun if not await self._begins(one)]]
        except ServerError as error:
            return self._outcome(firings, f"what is under way could not be seen to: {error}")
        if failed:
            words = ", ".join(self._words(nominal) for nominal in failed)
            why = "over before it could be started" if over else "not started in time"
            return self._outcome(failed, f"{words} was {why}; run the sync again")
        if late:
            return self._outcome(late, "it became due while the sync wrote", done=True)
        return None

    async def _lost(self, firings: Iterable[datetime]) -> list[datetime]:
        """Return which of *firings* the server neither made nor has in view."""
        firings = [nominal for nominal in firings if not await self._has_begun(nominal)]
        if not firings:
            return []
        live = await self._described()
        if live is None:
            raise ServerError("the schedule is gone; run the sync again")
        coming = awaited(self.desired, live, self.clock.now() - LATE)
        seen = replace(live, schedule=self.desired, asked=coming)
        last = live.upcoming[-1] if live.upcoming else None
        return [
            nominal
            for nominal in missed(self.desired, seen, Horizon(min(firings), max(firings)))
            if nominal in firings and not (last and nominal > last)
        ]

    async def _described(self) -> Live | None:
        """Return the schedule as it is; a server too busy to answer is asked again."""
        for wait in DESCRIBE_AGAIN:
            try:
                async with self.slots:
                    return await describe(self.server, self.change.id)
            except ServerError:
                await asyncio.sleep(wait)
        async with self.slots:
            return await describe(self.server, self.change.id)

    async def _begins(self, nominal: datetime) -> bool:
        """Wait for the boost of the firing at *nominal*; False where it doesn't come."""
        deadline = self.clock.now() + BEGIN_WITHIN
        waits = chain(WAITS, repeat(WAITS[-1]))
        while not await self._has_begun(nominal):
            if self.clock.now() > deadline:
                return False
            await asyncio.sleep(next(waits))
        return True

    async def _has_begun(self, nominal: datetime) -> bool:
        """Tell whether a boost was started for *nominal*; none is ahead of its time."""
        if nominal > self.clock.now():
            return False
        return await has_begun(self.server, self.desired, nominal)

    def _end(self, nominal: datetime) -> datetime:
        return occurrence_of(self.desired.request, nominal)[1]

    def _words(self, nominal: datetime) -> str:
        begin, end = occurrence_of(self.desired.request, nominal)
        return f"{format_instant(begin)} to {format_instant(end)}"

    def _outcome(self, firings: Iterable[datetime], words: str, *, done: bool = False) -> Outcome:
        """Return how the start of *firings* went, as a change of its own."""
        began = replace(self.change, action="start", starts=tuple(firings), follow=False)
        return Outcome(began, done, words)
