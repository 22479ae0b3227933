"""How much of the account's allowance one worker takes: operations at once, requests a second.

Both limits belong to the account and the key, not to a namespace, so all keepers of a
worker share one of each. Across workers the server's own refusal is retried.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

MUTATING_OPERATIONS = 10
"""Mutating operations that an account may have under way at once."""

REQUESTS_PER_SECOND = 40.0
"""Requests a second that a user's key may make; a service account's may make twice that."""

Beat = Callable[[str], None]
"""Called with words while something takes its time, so that a watcher knows it's alive."""

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[object]]


class Slots:
    """At most *count* at once of something, first come, first served.

    By default of the account's mutating operations; *what* names others.
    """

    def __init__(
        self,
        count: int = MUTATING_OPERATIONS,
        *,
        what: str = "operations that the account may have at once",
        beat_every: float = 10,
    ) -> None:
        self.count = count
        self._what = what
        self._free = asyncio.Semaphore(count)
        self._beat_every = beat_every

    @asynccontextmanager
    async def hold(self, beat: Beat) -> AsyncIterator[bool]:
        """Wait for a slot, beating meanwhile, and give it back at the end.

        Yields whether it had to wait: what was read before may be old then.

        Cancelled while waiting, it leaves the queue and takes nothing with it.
        """
        must_wait = self._free.locked()
        if must_wait:
            await self._queue(beat)
        else:
            await self._free.acquire()
        try:
            yield must_wait
        finally:
            self._free.release()

    async def _queue(self, beat: Beat) -> None:
        turn = asyncio.ensure_future(self._free.acquire())
        try:
            while not turn.done():
                beat(f"waiting for one of the {self.count} {self._what}")
                await asyncio.wait({turn}, timeout=self._beat_every)
        except BaseException:
            if not turn.cancel() and not turn.cancelled():
                self._free.release()  # the turn came in the very moment of giving up
            raise


class Pace:
    """At most *per_second* requests a second, after a first burst of as many."""

    def __init__(self, per_second: float, *, clock: Clock = time.monotonic) -> None:
        self._interval = 1 / per_second
        self._burst = 1.0
        self._clock = clock
        self._free_at = float("-inf")

    def wait(self) -> float:
        """Take the next place in line and return the seconds until it comes."""
        now = self._clock()
        place = max(self._free_at, now - self._burst)
        self._free_at = place + self._interval
        return max(0.0, place - now)
