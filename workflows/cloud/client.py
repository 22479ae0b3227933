"""The client that keepers use: observe a namespace, its options, set its capacity."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Self

import httpx

from workflows.cloud.account import (
    REQUESTS_PER_SECOND,
    Clock,
    ConcurrencyLimit,
    Heartbeat,
    KeySource,
    RateLimiter,
    Sleep,
)
from workflows.cloud.api import CloudApi, Connection
from workflows.cloud.capacity_change import CapacityChange
from workflows.cloud.errors import CloudError
from workflows.cloud.models import CapacityOptions, KeyExpiry, ObservedCapacity
from workflows.contract import Capacity


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
        """Return when the keys for *namespaces* expire, one request for each key.

        Those that are missing or refused, or that the API says nothing of, are left out.
        """
        sharing: dict[str, list[str]] = {}
        for namespace in namespaces:
            with suppress(CloudError):
                sharing.setdefault(self._keys.key(namespace), []).append(namespace)
        found = []
        for names in sharing.values():
            with suppress(CloudError):
                found.append(await self._api.identity(tuple(names)))
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
