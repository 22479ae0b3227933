"""The client that keepers use: observe a namespace, its options, set its capacity.

A change of the capacity goes from the first reading to its being in force:

    read ─ in force? ─yes─► done
      ▲        │no, and no request in progress
      │        ▼
      │      write the whole spec ─ refused? ─► look why: a lost reply, a conflict, a shortage
      │        │
      │        ▼
      └── operation ended, capacity request ended

Everything is decided by what is read, nothing by the reply to a write: that may be lost,
a repeat may answer anything, another client may write in between.
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import Iterable
from contextlib import suppress
from typing import Self

import httpx

from workflows.cloud.api import (
    REQUESTS_PER_SECOND,
    Clock,
    CloudApi,
    ConcurrencyLimit,
    Connection,
    Heartbeat,
    KeySource,
    RateLimiter,
    Sleep,
)
from workflows.cloud.models import (
    CapacityOptions,
    CapacityRequest,
    CloudError,
    InsufficientCapacity,
    KeyExpiry,
    NamespaceReply,
    ObservedCapacity,
    Operation,
    RequestRefused,
    TemporaryError,
    Throttled,
    Unauthorized,
)
from workflows.contract import Capacity

KEYS_AT_ONCE = 4
"""Keys whose expiry is looked up at once."""


class CloudClient:
    """A client of the Cloud Operations API for one worker, shared by all its keepers.

    Args:
        url: Where the API is; https, or http on this machine.
        keys: Which key to send for a namespace.
        transport: What carries the requests instead of the network.
        limit: The account's mutating operations, if others than this client use them too.
        rate_limiter: The limit of requests a second.
        clock: Seconds that only ever grow; with *sleep*, what every wait is measured on.
        sleep: What waits.
        poll: Seconds between two looks where the server proposes none.
        patience: Seconds that one `set_capacity` takes at most.

    Raises:
        PermanentError: The URL can't be used, or would carry the key in the clear.
    """

    def __init__(
        self,
        url: str,
        keys: KeySource,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        limit: ConcurrencyLimit | None = None,
        rate_limiter: RateLimiter | None = None,
        clock: Clock = time.monotonic,
        sleep: Sleep = asyncio.sleep,
        poll: float = 5.0,
        patience: float = 900.0,
    ) -> None:
        rate_limiter = rate_limiter or RateLimiter(REQUESTS_PER_SECOND, clock=clock)
        self._connection = Connection(
            url, keys, transport=transport, rate_limiter=rate_limiter, sleep=sleep
        )
        self.url = self._connection.url
        self._keys = keys
        self._api = CloudApi(self._connection)
        self._limit = limit or ConcurrencyLimit()
        self._clock = clock
        self._sleep = sleep
        self._poll = poll
        self._patience = patience

    async def observe(self, namespace: str) -> ObservedCapacity:
        """Return what is in force on *namespace* and what is under way."""
        reading = await self._api.namespace(namespace)
        return reading.observed(await self._api.failure(namespace, reading))

    async def options(self, namespace: str) -> CapacityOptions:
        """Return what capacity *namespace* could have now."""
        return await self._api.options(namespace)

    async def key_expiries(self, namespaces: Iterable[str]) -> tuple[KeyExpiry, ...]:
        """Return when the keys for *namespaces* expire, one request for each key, a few at once.

        Those that are missing or refused, or that the API says nothing of, are left out.

        Raises:
            TemporaryError: The API doesn't answer; the other keys aren't tried.
        """
        sharing: dict[str, list[str]] = {}
        for namespace in namespaces:
            with suppress(CloudError):
                sharing.setdefault(self._keys.key(namespace), []).append(namespace)
        slots = asyncio.Semaphore(KEYS_AT_ONCE)

        async def look(names: list[str]) -> KeyExpiry | None:
            async with slots:
                try:
                    return await self._api.identity(tuple(names))
                except CloudError as error:
                    if isinstance(error, TemporaryError) and not isinstance(error, Unauthorized):
                        raise
                    return None

        looks = [asyncio.create_task(look(names)) for names in sharing.values()]
        try:
            found = await asyncio.gather(*looks)
        finally:
            for each in looks:
                each.cancel()  # where one has failed, nobody waits for the others
        return tuple(one for one in found if one is not None)

    async def set_capacity(
        self, namespace: str, capacity: Capacity, *, key: str, heartbeat: Heartbeat
    ) -> ObservedCapacity:
        """Bring *namespace* to *capacity* and return the observation that proves it.

        The whole step, and harmless to repeat: what is in force already is left alone, a
        request in progress is waited for, a conflict is read again, a lost reply is asked
        for under the same id, and both the operation and the capacity request are seen to
        their end. No field but the capacity is touched.

        Args:
            namespace: Whose capacity.
            capacity: What shall be in force.
            key: The first operation's id: the same for each repeat of one step.
            heartbeat: Called with words at least every 20 seconds while it takes its time.

        Raises:
            InsufficientCapacity: That much isn't there; what is, the error tells.
            TemporaryError: Not now; ask again, with the same key.
            PermanentError: Not ever.
        """
        step = CapacityChange(
            self._api,
            self._limit,
            namespace,
            capacity,
            key=key,
            heartbeat=heartbeat,
            poll=self._poll,
            patience=self._patience,
            clock=self._clock,
            sleep=self._sleep,
        )
        return (await step.run()).observed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._connection.aclose()


ROUNDS = 5
"""Writes in one change before an error is raised."""

LAG = 30.0
"""Seconds until an accepted write shows in the namespace as a request, at the latest."""

SHORTEST_POLL, LONGEST_POLL = 0.05, 20.0
"""Seconds between two polls, whatever the server proposes."""

GLANCE_EVERY = 4
"""Polls of an operation between two reads of the namespace: an operation may hang."""

_NOTHING_TO_CHANGE = "nothing to change"
_SHORTAGE = re.compile(r"insufficient|inventory|not enough|exceeds|not available", re.IGNORECASE)
_BUSY = re.compile(r"in progress|concurrent|try again|conflict", re.IGNORECASE)
_CONFLICTS = {409, 412, 423}


class CapacityChange:
    """Changes *namespace* to *capacity*; made for one use.

    *key* makes the write idempotent: it is the first operation's id. Should that
    operation have ended without the capacity in force, further ones get fresh ids.
    """

    def __init__(
        self,
        api: CloudApi,
        limit: ConcurrencyLimit,
        namespace: str,
        capacity: Capacity,
        *,
        key: str,
        heartbeat: Heartbeat,
        poll: float,
        patience: float,
        clock: Clock,
        sleep: Sleep,
    ) -> None:
        self._api = api
        self._limit = limit
        self._namespace = namespace
        self._capacity = capacity
        self._key = key
        self._beat = heartbeat
        self._poll = poll
        self._patience = patience
        self._clock = clock
        self._sleep = sleep
        self._deadline = clock() + patience
        self._trouble = ""
        self._waited_for_leftover = False

    async def run(self) -> NamespaceReply:
        """Return the reading that shows the capacity in force."""
        reading = await self._settled()
        for round_ in range(ROUNDS):
            if reading.capacity == self._capacity:
                return reading
            reading = await self._ask(reading, is_first=round_ == 0)
        if reading.capacity == self._capacity:
            return reading
        raise TemporaryError(self._text(self._trouble or f"requested {ROUNDS} times in vain"))

    async def _settled(self) -> NamespaceReply:
        """Read until no capacity request is in progress, of any client."""
        while True:
            reading = await self._read()
            if not reading.is_changing:
                return reading
            await self._pause(f"a request for {reading.request.asked} is in progress")

    async def _ask(self, reading: NamespaceReply, *, is_first: bool) -> NamespaceReply:
        """Write, follow the operation to its end, and return the reading after it.

        Raises:
            TemporaryError: The operation or the capacity request failed.
        """
        async with self._limit.hold(self._beat) as waited:
            if waited:
                reading = await self._read()
            is_due = not reading.is_changing and reading.capacity != self._capacity
            was_begun = is_due and await self._write(reading, is_first=is_first)
        return await (self._shown(reading.request) if was_begun else self._settled())

    async def _write(self, reading: NamespaceReply, *, is_first: bool) -> bool:
        """Post the spec and follow the operation; False where none was begun."""
        operation_id = self._key if is_first else self._fresh_id()
        try:
            operation = await self._post(reading, self._capacity, operation_id)
        except RequestRefused as refusal:
            self._trouble = refusal.words
            if _NOTHING_TO_CHANGE in refusal.words.lower():
                return await self._undo_leftover(reading)
            found = await self._look_into(refusal, reading, operation_id)
            if found is None:
                return False
            operation = found
        if is_first and operation.state == "failed":  # an old one, or the next round shows it
            self._trouble = operation.failure
            return False
        await self._follow(operation)
        return True

    async def _post(
        self, reading: NamespaceReply, capacity: Capacity, operation_id: str
    ) -> Operation:
        """Post the spec of *reading* with *capacity*; wait and retry while throttled."""
        spec, version = reading.spec_with(capacity), reading.resource_version
        while True:
            try:
                return await self._api.update(
                    self._namespace, spec, version, operation_id, self._beat
                )
            except Throttled as error:
                await self._pause(str(error), error.retry_after)

    async def _undo_leftover(self, reading: NamespaceReply) -> bool:
        """Handle a spec that already has the capacity, which isn't in force.

        A write just accepted comes into force by itself, given time. The leftover of a
        request that failed never would: so the spec is set back to what is in force, and
        the next round's write is a change again.
        """
        if reading.request.state != "failed" and not self._waited_for_leftover:
            self._waited_for_leftover = True
            return True
        try:
            operation = await self._post(reading, reading.capacity, self._fresh_id())
        except RequestRefused as refusal:
            self._trouble = refusal.words
        else:
            await self._follow(operation)
        return False

    async def _look_into(
        self, refusal: RequestRefused, reading: NamespaceReply, operation_id: str
    ) -> Operation | None:
        """Find out what a refused write means.

        Returns the operation if it was begun all the same (a repeat after a lost reply),
        and None if another client wrote in between.
        """
        known = await self._api.operation(self._namespace, operation_id, self._beat)
        if known is not None:
            return known
        again = await self._read()
        if again.is_changing or again.resource_version != reading.resource_version:
            return None
        if refusal.status in _CONFLICTS or _BUSY.search(refusal.words):
            raise TemporaryError(str(refusal)) from refusal
        failure = await self._failure(refusal.words)
        if isinstance(failure, InsufficientCapacity):
            raise failure from refusal
        raise refusal

    async def _follow(self, operation: Operation) -> None:
        """Poll *operation* until it has ended, or its capacity is in force.

        Raises:
            TemporaryError: It ended badly.
        """
        looks = 0
        while operation.state == "going":
            self._poll = operation.check_after or self._poll
            await self._pause(f"operation {operation.id} is in progress")
            looks += 1
            if looks % GLANCE_EVERY == 0 and (await self._read()).capacity == self._capacity:
                return
            found = await self._api.operation(self._namespace, operation.id, self._beat)
            if found is None:  # the namespace itself will show
                return
            operation = found
        if operation.state == "failed":
            raise await self._failure(operation.failure)

    async def _shown(self, before: CapacityRequest) -> NamespaceReply:
        """Wait until the namespace shows how the request after *before* ended.

        Raises:
            TemporaryError: The request failed.
        """
        give_up = self._clock() + LAG
        while True:
            reading = await self._read()
            if not reading.is_changing:
                if reading.capacity == self._capacity:
                    return reading
                if reading.request != before and reading.request.state == "failed":
                    words = await self._api.failure(self._namespace, reading)
                    raise await self._failure(words)
                if self._clock() >= give_up:
                    self._trouble = "the operation ended, but the capacity did not change"
                    return reading
            await self._pause(f"waiting for {self._capacity} to be in force")

    async def _failure(self, words: str) -> TemporaryError:
        """Return the error for a request that failed with *words*; a shortage has its own type."""
        text, tru = self._text(words), self._capacity.tru
        if tru is None:
            return TemporaryError(text)
        try:
            options = await self._api.options(self._namespace, self._beat)
        except CloudError:
            options = CapacityOptions((), None, 0)
        most = options.max_available
        if (most is None or tru <= most) and not _SHORTAGE.search(words):
            return TemporaryError(text)
        available = options.best_below(tru)
        at_most = "" if available is None else f" (available now: {Capacity(available)})"
        return InsufficientCapacity(text + at_most, available=available)

    async def _read(self) -> NamespaceReply:
        return await self._api.namespace(self._namespace, self._beat)

    async def _pause(self, words: str, seconds: float | None = None) -> None:
        """Heartbeat with *words* and sleep until the next poll, within the patience."""
        left = self._deadline - self._clock()
        if left <= 0:
            raise TemporaryError(self._text(f"not in force after {self._patience:g} s: {words}"))
        self._beat(f"{self._capacity} for {self._namespace}: {words}")
        due = min(max(seconds or self._poll, SHORTEST_POLL), LONGEST_POLL)
        await self._sleep(min(due, left))

    def _text(self, words: str) -> str:
        return f"set {self._namespace} to {self._capacity}: {words}"

    def _fresh_id(self) -> str:
        return f"{self._key}.{uuid.uuid4().hex[:8]}"
