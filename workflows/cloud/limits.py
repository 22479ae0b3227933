"""The account's limits as one worker keeps them: concurrent operations, requests a second.

Both limits belong to the account and the key, not to a namespace, so all keepers of a
worker share one of each. Across workers the server's own refusal is retried.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

MUTATING_OPERATIONS = 10
"""Concurrent mutating operations of an account."""

REQUESTS_PER_SECOND = 40.0
"""Requests a second that a user's key may make; a service account's may make twice that."""

Heartbeat = Callable[[str], None]
"""Called with a text while something takes its time, to show that it is alive."""

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[object]]


class ConcurrencyLimit:
    """At most *count* holders at once, in order of arrival.

    By default of the account's mutating operations; *what* names others.
    """

    def __init__(
        self,
        count: int = MUTATING_OPERATIONS,
        *,
        what: str = "operations that the account may have at once",
        heartbeat_every: float = 10,
    ) -> None:
        self.count = count
        self._what = what
        self._free = asyncio.Semaphore(count)
        self._beat_every = heartbeat_every

    @asynccontextmanager
    async def hold(self, heartbeat: Heartbeat) -> AsyncIterator[bool]:
        """Hold a slot for as long as the context lasts; heartbeat while waiting for it.

        Yields whether it had to wait: what was read before may be stale then. Cancelled
        while waiting, it leaves the queue without a slot.
        """
        must_wait = self._free.locked()
        if must_wait:
            await self._queue(heartbeat)
        else:
            await self._free.acquire()
        try:
            yield must_wait
        finally:
            self._free.release()

    async def _queue(self, heartbeat: Heartbeat) -> None:
        turn = asyncio.ensure_future(self._free.acquire())
        try:
            while not turn.done():
                heartbeat(f"waiting for one of the {self.count} {self._what}")
                await asyncio.wait({turn}, timeout=self._beat_every)
        except BaseException:
            if not turn.cancel() and not turn.cancelled():
                self._free.release()  # it was granted in the moment of the cancel
            raise


class RateLimiter:
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
