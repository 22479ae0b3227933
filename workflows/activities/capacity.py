"""Activities that call the Cloud Operations API: observe a namespace, reconcile its capacity.

They request what the keeper has recorded as its target, or nothing. API keys go no further.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from typing import NoReturn, Protocol

from temporalio import activity
from temporalio.api.common.v1 import WorkflowExecution as Execution
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryReverseRequest
from temporalio.client import Client, WorkflowExecution
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from workflows import activity_types, observability
from workflows.activity_types import Observation, ReconcileInput
from workflows.cloud import (
    CapacityOptions,
    CloudError,
    InsufficientCapacity,
    KeySource,
    ObservedCapacity,
    OtherCloud,
    TemporaryError,
    Unauthorized,
)
from workflows.contract import KEEPER_WORKFLOW, RETRY_SIGNAL, Capacity, keeper_id
from workflows.keeper_state import KeeperState, KnownOptions, origin_of
from workflows.keeper_transitions import recognize_request
from workflows.observability import Heartbeat, heartbeating

ATTEMPT_PATIENCE = 200.0
"""Seconds that one attempt waits for a change to be in force; the keeper then tries again."""


class Cloud(Protocol):
    """What the keepers need of the Cloud Operations API."""

    @property
    def url(self) -> str:
        """Where it is; keepers remember it. Empty where that doesn't matter."""

    async def observe(self, namespace: str) -> ObservedCapacity:
        """Return the capacity in force and the one pending."""

    async def options(self, namespace: str) -> CapacityOptions:
        """Return the capacities that the namespace could have."""

    async def set_capacity(
        self, namespace: str, capacity: Capacity, *, key: str, heartbeat: Callable[[str], None]
    ) -> ObservedCapacity:
        """Bring the namespace to *capacity* and return what is in force then."""


class CapacityActivities:
    """Activities that observe and change the capacity of namespaces.

    Args:
        cloud: The Cloud Operations API.
        patience: Seconds that one attempt waits for its change to be in force.
        refused_keys: Remembers the namespaces whose key is refused.
    """

    def __init__(
        self,
        cloud: Cloud,
        *,
        patience: float = ATTEMPT_PATIENCE,
        refused_keys: RefusedKeys | None = None,
    ) -> None:
        self._cloud = cloud
        self._patience = patience
        self._refused_keys = refused_keys

    @activity.defn(name=activity_types.OBSERVE)
    async def observe(self, namespace: str) -> Observation:
        """Return the capacity that is in force, or pending where a change is under way."""
        with _faults_reported(namespace), self._watching(namespace):
            async with heartbeating(f"observing {namespace}"):
                seen = await self._cloud.observe(namespace)
        found = seen.pending or seen.capacity
        since = seen.since if seen.pending is None else None
        return Observation(
            capacity=found,
            found=found,
            request=_request_behind(seen, namespace),
            cloud=self._cloud.url,
            since=since,
            found_since=since,
        )

    @activity.defn(name=activity_types.RECONCILE)
    async def reconcile(self, task: ReconcileInput) -> Observation:
        """Take one step to the target of the state in *task*, and return what is in force then.

        Requests nothing but that target: where the Cloud has less, or where the target would
        lower the limit, the options are returned for the keeper to compute its target anew. And
        nothing at the first look at a namespace: the keeper records first which Cloud API it is.

        Raises:
            ApplicationError: The Cloud API failed. Its type is the class of the `CloudError`,
                its detail the seconds after which the server may be called again, if it said.
        """
        state = task.state
        with _faults_reported(state.namespace), self._watching(state.namespace):
            self._require_same_cloud(state)
            async with heartbeating(f"observing {state.namespace}") as heartbeat:
                seen = await self._cloud.observe(state.namespace)
                request = _request_behind(seen, state.namespace)
                found = seen.pending or seen.capacity
                known = replace(task, state=recognize_request(state, found, request))
                _log_change(state, seen)
                observation = await self._step(known, seen, heartbeat)
        observability.record_step(state, observation)
        since = seen.since if seen.pending is None else None
        return replace(observation, request=request, cloud=self._cloud.url, found_since=since)

    def _require_same_cloud(self, state: KeeperState) -> None:
        """Raise if the capacity of *state* was requested at another Cloud API than this one."""
        own = self._cloud.url
        if own and state.cloud and own != state.cloud:
            raise OtherCloud(
                f"its capacity was requested at {state.cloud}, and a worker for {own} can't "
                "change it there"
            )

    def _watching(self, namespace: str) -> AbstractContextManager[None]:
        keys = self._refused_keys
        return keys.watching(namespace) if keys else nullcontext()

    async def _step(
        self, task: ReconcileInput, seen: ObservedCapacity, heartbeat: Heartbeat
    ) -> Observation:
        """Go from what was *seen* to the target of *task*, unless that isn't wanted any more."""
        state, target = task.state, task.state.target.capacity
        if seen.pending is None and seen.capacity == target:
            return Observation(capacity=target, found=target, since=seen.since)
        found = seen.pending or seen.capacity
        unchanged = Observation(
            capacity=seen.capacity, found=found, pending=seen.pending, since=seen.since
        )
        if self._cloud.url and not state.cloud and state.in_force is None:
            return unchanged
        if state.leaves_alone(found):
            waits_for = "" if seen.pending is None else f"an external change to {found}"
            return replace(unchanged, waits_for=waits_for)
        options = await self._known_options(state, target, seen)
        if options and replace(state, options=options).target.capacity != target:
            return replace(unchanged, options=options)
        return await self._set(task, target, replace(unchanged, options=options), heartbeat)

    async def _known_options(
        self, state: KeeperState, target: Capacity, seen: ObservedCapacity
    ) -> KnownOptions | None:
        """Return the options of a raise; None for a revert.

        A shortage that a refusal has shown counts until the keeper clears it, whatever the
        Cloud says it has. Where the options can't be read, the limit in force still counts: a
        raise must not fail for that.
        """
        now = seen.capacity
        if target.tru is None or (now.tru is not None and now.tru >= target.tru):
            return None
        try:
            options = await self._cloud.options(state.namespace)
        except CloudError as error:
            activity.logger.warning("%s", error)
            limit = seen.aps_limit if now.tru is None else state.options.on_demand_aps
            return replace(state.options, on_demand_aps=limit)
        known = [tru for tru in (options.max_available, state.options.available) if tru is not None]
        available = max(min(known), _held(seen.capacity, seen.pending)) if known else None
        return KnownOptions(
            allowed=options.allowed, available=available, on_demand_aps=options.on_demand_aps
        )

    async def _set(
        self, task: ReconcileInput, target: Capacity, unchanged: Observation, heartbeat: Heartbeat
    ) -> Observation:
        """Request *target* and wait for it; return *unchanged* with what became of it.

        Raises:
            CloudError: It failed. So does the refusal of a way down, as a shortage too: to be
                asked for again. To request still less would take what a window is entitled to.
        """
        state, pending = task.state, unchanged.pending
        try:
            async with asyncio.timeout(self._patience):
                done = await self._cloud.set_capacity(
                    state.namespace, target, key=task.key, heartbeat=heartbeat.update
                )
        except TimeoutError:
            waits_for = f"not in force yet: {heartbeat.details}"
            # It may still be the change before that is under way: the lower of both counts.
            lower = min(pending or target, target, key=state.aps_of)
            return replace(unchanged, pending=lower, waits_for=waits_for)
        except InsufficientCapacity as error:
            held = _held(unchanged.capacity, pending)
            if pending is None and held >= (target.tru or 0):
                raise
            observability.record_fault(state.namespace, error)
            options = unchanged.options or state.options
            available = max(_available_after(state, error), held)
            return replace(unchanged, options=replace(options, available=available))
        if done.capacity != unchanged.capacity:
            by, leases = done.operation_id or task.key, state.leases
            observability.log_change(
                state.namespace, unchanged.capacity, done.capacity, request=by, leases=leases
            )
        return replace(unchanged, capacity=done.capacity, pending=None, since=done.since)


def _request_behind(seen: ObservedCapacity, namespace: str) -> str:
    """Return the id of the request that led to what was *seen*; empty if it isn't known.

    It is the latest one, unless that was a keeper's, has succeeded, and can't have led to the
    capacity in force.
    """
    origin = origin_of(seen.operation_id, namespace)
    has_succeeded = seen.pending is None and not seen.failure
    if origin and has_succeeded and seen.capacity not in (origin.requested, origin.baseline):
        return ""
    return seen.operation_id


def _log_change(state: KeeperState, seen: ObservedCapacity) -> None:
    """Log that another capacity is in force than at the last observation.

    An attempt that broke off has led to it, or others have.
    """
    if state.in_force is not None and seen.capacity != state.in_force:
        observability.log_change(
            state.namespace,
            state.in_force,
            seen.capacity,
            request=seen.operation_id,
            leases=state.leases,
        )


def _held(in_force: Capacity, pending: Capacity | None) -> float:
    """Return the TRU that the namespace has, or has once the change to *pending* is through.

    No shortage takes these away: what there is to be had comes on top of them. Where the change
    fails instead, the next look shows it.
    """
    return max(in_force.tru or 0, pending.tru or 0 if pending else 0)


def _available_after(state: KeeperState, error: InsufficientCapacity) -> float:
    """Return the TRU that may be available after a refusal: less than what was refused."""
    refused = state.target.capacity.tru or 0
    if error.available is not None and error.available < refused:
        return error.available
    smaller = [tru for tru in state.allowed if tru < refused]
    return max(smaller, default=0)


@contextmanager
def _faults_reported(namespace: str) -> Iterator[None]:
    """Turn errors of the Cloud API into failures that a keeper can read, and count them."""
    try:
        yield
    except CloudError as error:
        kind = type(error).__name__
        observability.record_fault(namespace, error)
        wait = error.retry_after if isinstance(error, TemporaryError) else None
        # Without its cause: what the HTTP library says stays out of the history.
        raise ApplicationError(str(error), wait, type=kind) from None


LAST_EVENTS = 20
"""Events of a keeper's history in which the end of its latest activity is searched."""

LOOK_EVERY = 2.0
"""Seconds between two looks at the files of refused keys."""

_logger = logging.getLogger(__name__)


@dataclass
class RefusedKeys:
    """The namespaces whose key was refused, each with a fingerprint of that key.

    Kept in the worker's memory: one that starts has its keepers' refused keys tried again.
    """

    keys: KeySource
    refused: dict[str, bytes] = field(default_factory=dict)

    @contextmanager
    def watching(self, namespace: str) -> Iterator[None]:
        """Remember whether the key of *namespace* is refused by what runs in the context.

        The fingerprint is taken before: a key that is replaced meanwhile is another one.
        """
        before = self._fingerprint(namespace)
        try:
            yield
        except Unauthorized:
            self.refused[namespace] = before
            raise
        self.refused.pop(namespace, None)

    def take_changed(self) -> list[str]:
        """Return the namespaces that have another key than the refused one, and forget them."""
        changed = [name for name, was in self.refused.items() if self._fingerprint(name) != was]
        for name in changed:
            del self.refused[name]
        return changed

    def _fingerprint(self, namespace: str) -> bytes:
        """Return a hash of the key of *namespace* now; empty where there is none."""
        try:
            return hashlib.sha256(self.keys.key(namespace).encode()).digest()
        except Unauthorized:
            return b""


async def signal_keepers(client: Client, refused: RefusedKeys) -> NoReturn:
    """Signal each keeper whose refused key has changed to try again; goes on until cancelled.

    At first those whose key was refused to the worker before this one: it may have another.
    """
    try:
        await signal_refused(client)
    except RPCError as error:
        _logger.warning("keepers whose key was refused can't be looked for: %s", error.message)
    while True:
        await signal_changed(client, refused)
        await asyncio.sleep(LOOK_EVERY)


async def signal_changed(client: Client, refused: RefusedKeys) -> None:
    """Signal each keeper whose refused key is another one by now."""
    for namespace in refused.take_changed():
        _logger.info("the key for %s has changed: trying again", namespace)
        await _signal(client, keeper_id(namespace))


async def signal_refused(client: Client) -> None:
    """Signal each keeper whose latest attempt ended with a refused key.

    Its history tells, which costs no Action; one that tries anyhow isn't signalled.

    Raises:
        RPCError: The keepers can't be listed.
    """
    query = f"WorkflowType = '{KEEPER_WORKFLOW}' AND ExecutionStatus = 'Running'"
    async for keeper in client.list_workflows(query):
        with suppress(RPCError):  # it ended meanwhile
            if await _waits_for_a_key(client, keeper):
                _logger.info("%s waits for a key: trying again", keeper.id)
                await _signal(client, keeper.id)


async def _waits_for_a_key(client: Client, keeper: WorkflowExecution) -> bool:
    """Tell whether the latest activity of a keeper failed since its key was refused."""
    request = GetWorkflowExecutionHistoryReverseRequest(
        namespace=client.namespace,
        execution=Execution(workflow_id=keeper.id, run_id=keeper.run_id),
        maximum_page_size=LAST_EVENTS,
    )
    service = client.workflow_service
    reply = await service.get_workflow_execution_history_reverse(request)
    for event in reply.history.events:
        if event.HasField("activity_task_failed_event_attributes"):
            failure = event.activity_task_failed_event_attributes.failure
            return failure.application_failure_info.type == Unauthorized.__name__
        if event.HasField("activity_task_completed_event_attributes"):
            return False
    return False


async def _signal(client: Client, id: str) -> None:
    try:
        await client.get_workflow_handle(id).signal(RETRY_SIGNAL)
    except RPCError as error:  # it ended meanwhile, or tries again by itself
        _logger.info("%s could not be signalled: %s", id, error.message)
