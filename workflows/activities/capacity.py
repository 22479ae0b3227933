"""The edge of the run time: what touches the Cloud API and the keepers of namespaces.

Workflows decide, with values; here it is done. Keys are read here and go no further.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol

from temporalio import activity
from temporalio.exceptions import ApplicationError

from workflows import activity_types, observability
from workflows.activities.heartbeat import Beats, beating
from workflows.activity_types import Drive, Sight
from workflows.cloud import (
    CapacityOptions,
    CloudError,
    InsufficientCapacity,
    ObservedCapacity,
    TemporaryError,
)
from workflows.contract import Capacity
from workflows.keeper_state import Ledger, Offer
from workflows.keeper_transitions import recognize
from workflows.operation_ids import origin_of

PATIENCE = 200.0
"""Seconds that one attempt waits for a change to be in force; the keeper then asks anew."""


class Cloud(Protocol):
    """What the keepers need of the Cloud Operations API."""

    async def observe(self, namespace: str) -> ObservedCapacity:
        """Return what is in force and what is under way."""

    async def options(self, namespace: str) -> CapacityOptions:
        """Return what the namespace could have."""

    async def set_capacity(
        self, namespace: str, capacity: Capacity, *, key: str, heartbeat: Callable[[str], None]
    ) -> ObservedCapacity:
        """Bring the namespace to *capacity* and return what is in force then."""


class CapacityActivities:
    """Looks at namespaces and changes their capacity, as their keepers order.

    Args:
        cloud: The Cloud Operations API.
        patience: Seconds that one step waits for its change to be in force.
    """

    def __init__(self, cloud: Cloud, *, patience: float = PATIENCE) -> None:
        self._cloud = cloud
        self._patience = patience

    @activity.defn(name=activity_types.OBSERVE)
    async def observe(self, namespace: str) -> Sight:
        """Return what is in force, or what is about to be where a change is under way."""
        with _faults_reported(Ledger(namespace=namespace)):
            async with beating(f"looking at {namespace}"):
                seen = await self._cloud.observe(namespace)
        found = seen.pending or seen.capacity
        return Sight(capacity=found, found=found, request=_request_behind(seen, namespace))

    @activity.defn(name=activity_types.DRIVE)
    async def drive(self, order: Drive) -> Sight:
        """Take one step to the target of *order*, and return what is in force then.

        Writes nothing but that target: where the Cloud offers less, or where the target
        would lower the limit, what it offers is returned for the keeper to decide anew.
        """
        with _faults_reported(order.ledger):
            async with beating(f"looking at {order.ledger.namespace}") as beats:
                sight = await self._step(order, beats)
        observability.record_step(order.ledger, sight, running=order.running)
        return sight

    async def _step(self, order: Drive, beats: Beats) -> Sight:
        namespace = order.ledger.namespace
        seen = await self._cloud.observe(namespace)
        request = _request_behind(seen, namespace)
        coming = seen.pending or seen.capacity
        known = replace(order, ledger=recognize(order.ledger, coming, request))
        return replace(await self._toward(known, seen, beats), request=request)

    async def _toward(self, order: Drive, seen: ObservedCapacity, beats: Beats) -> Sight:
        """Go to the target of *order* from what was *seen*, as far as it may be gone."""
        ledger, wanted = order.ledger, order.ledger.target.capacity
        coming = seen.pending or seen.capacity
        if seen.pending is None and seen.capacity == wanted:
            return Sight(capacity=wanted, found=wanted)
        if ledger.leaves_alone(coming):
            waits_for = "" if seen.pending is None else f"a change to {coming} by somebody else"
            return Sight(
                capacity=seen.capacity, found=coming, coming=seen.pending, waits_for=waits_for
            )
        offer = await self._offer(ledger, wanted, seen)
        if offer and replace(ledger, offer=offer).target.capacity != wanted:
            return Sight(capacity=seen.capacity, found=coming, coming=seen.pending, offer=offer)
        return await self._set(order, wanted, seen, offer, beats)

    async def _offer(
        self, ledger: Ledger, wanted: Capacity, seen: ObservedCapacity
    ) -> Offer | None:
        """Return what the Cloud offers, where the way is up; None on the way down.

        A shortage that a refusal has shown counts until the keeper hopes again, whatever
        the Cloud says it has. Where nothing can be told, the limit in force still can: a
        raise must not fail for that.
        """
        now = seen.capacity
        if wanted.tru is None or (now.tru is not None and now.tru >= wanted.tru):
            return None
        try:
            options = await self._cloud.options(ledger.namespace)
        except CloudError as error:
            activity.logger.warning("%s", error)
            limit = seen.aps_limit if now.tru is None else ledger.offer.on_demand_aps
            return replace(ledger.offer, on_demand_aps=limit)
        known = [tru for tru in (options.max_available, ledger.offer.available) if tru is not None]
        there = max(min(known), now.tru or 0) if known else None
        return Offer(allowed=options.allowed, available=there, on_demand_aps=options.on_demand_aps)

    async def _set(
        self,
        order: Drive,
        wanted: Capacity,
        seen: ObservedCapacity,
        offer: Offer | None,
        beats: Beats,
    ) -> Sight:
        namespace, found = order.ledger.namespace, seen.pending or seen.capacity
        try:
            async with asyncio.timeout(self._patience):
                done = await self._cloud.set_capacity(
                    namespace, wanted, key=order.key, heartbeat=beats.say
                )
        except TimeoutError:
            words = f"not in force yet: {beats.words}"
            # It may still be the change before that is under way: the less of both counts.
            coming = min(seen.pending or wanted, wanted, key=order.ledger.level)
            return Sight(
                capacity=seen.capacity, found=found, offer=offer, coming=coming, waits_for=words
            )
        except InsufficientCapacity as error:
            observability.record_fault(order.ledger, type(error).__name__)
            less = replace(offer or order.ledger.offer, available=_less(order.ledger, error))
            return Sight(capacity=seen.capacity, found=found, coming=seen.pending, offer=less)
        return Sight(capacity=done.capacity, found=found, offer=offer)


def _request_behind(seen: ObservedCapacity, namespace: str) -> str:
    """Return the id of the request that what was *seen* goes back to.

    The latest one, unless it was a keeper's that has ended well, and something else is in
    force than it can have led to.
    """
    origin = origin_of(seen.operation_id, namespace)
    has_ended_well = seen.pending is None and not seen.failure
    if origin and has_ended_well and seen.capacity not in (origin.requested, origin.baseline):
        return ""
    return seen.operation_id


def _less(ledger: Ledger, error: InsufficientCapacity) -> float:
    """Return how much there is, less than what was just refused."""
    refused = ledger.target.capacity.tru or 0
    if error.available is not None and error.available < refused:
        return error.available
    smaller = [tru for tru in ledger.allowed if tru < refused]
    return max(smaller, default=0)


@contextmanager
def _faults_reported(ledger: Ledger) -> Iterator[None]:
    """Turn the Cloud's errors into failures that a keeper can read, and count them."""
    try:
        yield
    except CloudError as error:
        kind = type(error).__name__
        observability.record_fault(ledger, kind)
        wait = error.retry_after if isinstance(error, TemporaryError) else None
        # Without its cause: what the HTTP library says stays out of the history.
        raise ApplicationError(str(error), wait, type=kind) from None
