"""Fleets at the edge: the floors of pushed ones are set, and who scales one gets its answer.

The activity reads an object in a Kubernetes cluster, decides by `workflows.floors.next_step`, and
writes floor and mark in one merge patch that holds only while nobody else has written the object
meanwhile.

How many workers a fleet should have, a worker answers to whoever scales it. The floor of the
running windows comes from the keeper's leases, the backlog from the task queue of the fleet. Any
worker gives the same floor, from Temporal alone, also right after its start. What can't be known
is an error that says why: no answer is a guess, least of all zero.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from temporalio import activity
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from workflows import activity_types, observability
from workflows.activities.keeper import KeeperStates, unrecovered_run
from workflows.cloud import Unauthorized
from workflows.cloud.api import KeyDirectory, KeyFile, KeySource, OneKey
from workflows.contract import (
    UNFINISHED_STATUSES,
    DeclaredFleet,
    Lease,
    floor_of,
    keeper_id,
)
from workflows.contract.fleets import (
    Answer,
    KubernetesTarget,
    NotKnown,
    declared_fleet,
    needed_for,
    replicas_of,
)
from workflows.floors import FloorMark, FloorSeen, FloorStep, FloorTask, gone, next_step
from workflows.observability import heartbeating

FIELD_MANAGER = "capacity-boost"
"""Who the cluster records as the one that wrote the floor."""

MARK = "capacity-boost.planner/floor"
"""The annotation that marks a floor as the planner's: ``20 before 2``."""

CONFLICTS = 4
"""How often an object is read anew that others wrote in between, before the attempt fails."""


class FloorError(Exception):
    """The floor could not be read or set; *kind* is the type of the activity's failure."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class ObjectGone(FloorError):
    """The cluster itself says that it has no such object; a proxy's 404 doesn't."""


class Conflict(Exception):
    """Others have written the object since it was read."""


class Cluster(Protocol):
    """What the activity needs of a Kubernetes cluster."""

    async def read(self, target: KubernetesTarget) -> Mapping[str, Any]:
        """Return the object as it is.

        Raises:
            FloorError: It can't be read.
        """

    async def patch(self, target: KubernetesTarget, patch: Mapping[str, Any]) -> None:
        """Merge *patch* into the object, if it still has the patch's ``resourceVersion``.

        Raises:
            Conflict: It hasn't.
            FloorError: It can't be written.
        """


@dataclass(frozen=True, slots=True)
class _Fields:
    """Where an object has its minimum and its maximum, and what it has without them."""

    path: tuple[str, ...]
    low: str
    high: str
    default_low: int
    default_high: int | None = None


_HPA = _Fields(("spec",), "minReplicas", "maxReplicas", 1)
_SCALED = _Fields(("spec",), "minReplicaCount", "maxReplicaCount", 0, 100)


class FloorActivities:
    """The activity that sets floors in *cluster*; None where the worker has no cluster."""

    def __init__(self, cluster: Cluster | None) -> None:
        self._cluster = cluster

    @activity.defn(name=activity_types.FLOOR)
    async def reconcile(self, task: FloorTask) -> FloorSeen:
        """Take one step to the floor of *task*, and return what there is then.

        Raises:
            ApplicationError: The cluster can't be reached, or refuses.
        """
        target = task.fleet.kubernetes
        try:
            if self._cluster is None or target is None:
                raise FloorError(
                    "NoCluster",
                    "this worker reaches no Kubernetes cluster: install the extra `kubernetes`, "
                    "and run it with a service account or PLANNER_KUBECONFIG",
                )
            async with heartbeating(f"setting the floor of {task.fleet.name}"):
                return await self._step(self._cluster, target, task)
        except FloorError as error:
            observability.record_fault(task.namespace, error)
            raise ApplicationError(str(error), type=error.kind) from None

    async def _step(self, cluster: Cluster, target: KubernetesTarget, task: FloorTask) -> FloorSeen:
        for _ in range(CONFLICTS):
            try:
                found = await cluster.read(target)
            except ObjectGone:
                if task.wanted is not None:
                    raise
                activity.logger.warning("%s is gone, and its floor with it", target)
                return gone(task)
            step = decide(task, found)
            if not step.writes:
                return step.seen
            try:
                await cluster.patch(target, patch_of(step, found))
            except Conflict:
                continue
            observability.log_floor(task, step.seen, target)
            return step.seen
        raise FloorError("Conflict", f"{target} was written by others again and again")


async def find_mark(cluster: Cluster, target: KubernetesTarget) -> FloorMark | None:
    """Return the planner's mark on the object *target*; None where it bears none.

    Raises:
        FloorError: It can't be read.
    """
    return _mark_of(await cluster.read(target))


def decide(task: FloorTask, found: Mapping[str, Any]) -> FloorStep:
    """Return what to do about the floor of the object that was *found*."""
    fields = _fields_of(found)
    spec = _at(found, fields.path)
    high = spec.get(fields.high, fields.default_high)
    return next_step(
        task, spec.get(fields.low), _mark_of(found), default=fields.default_low, ceiling=high
    )


def patch_of(step: FloorStep, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the merge patch that *step* writes to the object that was *found*."""
    mark = step.seen.mark
    metadata: dict[str, Any] = {
        "annotations": {MARK: None if mark is None else _mark_text(mark)},
        "resourceVersion": found["metadata"]["resourceVersion"],
    }
    patch: dict[str, Any] = {"metadata": metadata}
    if step.keeps_floor:
        return patch
    fields = _fields_of(found)
    inner: dict[str, Any] = {fields.low: step.floor}
    for name in reversed(fields.path):
        inner = {name: inner}
    return patch | inner


def _fields_of(found: Mapping[str, Any]) -> _Fields:
    """Return where the object has its floor; that of a template is in what it is a template of."""
    kind = found.get("kind", "")
    if kind == "WorkerResourceTemplate":
        inner = _fields_of(_at(found, ("spec", "template")))
        return _Fields(
            ("spec", "template", *inner.path),
            inner.low,
            inner.high,
            inner.default_low,
            inner.default_high,
        )
    known = {"HorizontalPodAutoscaler": _HPA, "ScaledObject": _SCALED}
    if kind not in known:
        raise FloorError("NoFloor", f"a {kind or 'nameless kind'} has no floor to set")
    return known[kind]


def _at(found: Mapping[str, Any], path: tuple[str, ...]) -> Mapping[str, Any]:
    for name in path:
        found = found.get(name) or {}
    return found


def _mark_text(mark: FloorMark) -> str:
    return f"{mark.set} before {'none' if mark.baseline is None else mark.baseline}"


def _mark_of(found: Mapping[str, Any]) -> FloorMark | None:
    """Return the planner's mark on the object; None without one, or where it can't be read."""
    text = (found["metadata"].get("annotations") or {}).get(MARK, "")
    own, _, before = text.partition(" before ")
    if not own.isdigit() or not (before.isdigit() or before == "none"):
        return None
    return FloorMark(int(own), None if before == "none" else int(before))


class KubernetesCluster:
    """A cluster through lightkube, which the extra ``kubernetes`` installs."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @classmethod
    def of_environment(cls, environ: Mapping[str, str]) -> KubernetesCluster | None:
        """Return the cluster of ``PLANNER_KUBECONFIG``, else of the pod's service account.

        None where there is neither, or lightkube isn't installed.

        Raises:
            ValueError: The file that is named can't be used.
        """
        try:
            from lightkube import AsyncClient, KubeConfig
            from lightkube.core.exceptions import ConfigError
        except ImportError:
            return None
        path = environ.get("PLANNER_KUBECONFIG", "").strip()
        try:
            config = KubeConfig.from_file(path) if path else KubeConfig.from_service_account()
        except (ConfigError, OSError) as error:
            if path:
                raise ValueError(f"PLANNER_KUBECONFIG can't be used: {error}") from error
            return None
        return cls(AsyncClient(config=config, field_manager=FIELD_MANAGER))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def read(self, target: KubernetesTarget) -> Mapping[str, Any]:
        """Return the object as it is."""
        try:
            found = await self._client.get(
                _resource(target), target.name, namespace=target.namespace
            )
        except Exception as error:  # the HTTP library's own, whichever lightkube uses
            raise _error(target, error) from None
        return {"kind": target.kind, **found.to_dict()}

    async def patch(self, target: KubernetesTarget, patch: Mapping[str, Any]) -> None:
        """Merge *patch* into the object, under the planner's field manager."""
        from lightkube.types import PatchType

        try:
            await self._client.patch(
                _resource(target),
                target.name,
                patch,
                namespace=target.namespace,
                patch_type=PatchType.MERGE,
            )
        except Exception as error:
            if _status(error) == 409:
                raise Conflict from None
            raise _error(target, error) from None


_RESOURCES = {
    "HorizontalPodAutoscaler": ("autoscaling", "v2", "horizontalpodautoscalers"),
    "ScaledObject": ("keda.sh", "v1alpha1", "scaledobjects"),
    "WorkerResourceTemplate": ("temporal.io", "v1alpha1", "workerresourcetemplates"),
}


def _resource(target: KubernetesTarget) -> Any:
    from lightkube.generic_resource import create_namespaced_resource

    group, version, plural = _RESOURCES[target.kind]
    return create_namespaced_resource(group, version, target.kind, plural)


def _status(error: Exception) -> int:
    """Return the HTTP status that the cluster's API, or a proxy, answered; 0 without an answer."""
    return int(getattr(getattr(error, "response", None), "status_code", 0))


def _error(target: KubernetesTarget, error: Exception) -> FloorError:
    """Return what the HTTP library raised as an error whose kind says how to go on."""
    status = _status(error)
    if not status:
        why = str(error) or type(error).__name__
        return FloorError("ClusterUnreachable", f"{target}: the cluster can't be reached: {why}")
    kind = {401: "Unauthorized", 403: "Unauthorized", 404: "NamespaceNotFound"}.get(status)
    said = getattr(error, "status", None)
    why = getattr(said, "message", "") or "no reason given"
    is_gone = status == 404 and getattr(said, "reason", "") == "NotFound"
    fault = ObjectGone if is_gone else FloorError
    return fault(kind or "ClusterError", f"{target}: HTTP {status}: {why}")


# How many workers a fleet should have ------------------------------------------------


RPC_TIMEOUT = timedelta(seconds=2)
"""An answer is due within the five seconds that a request may take."""

FLEETS_EVERY = timedelta(seconds=60)
"""How often the live schedules are read for the fleets that they declare."""

FLEETS_FOR = timedelta(minutes=10)
"""How long that counts where they can't be read: what they declare seldom changes."""

FLOOR_FOR = timedelta(seconds=60)
"""How long the leases that were read last count where the keeper can't be looked at."""


class Fleets(Protocol):
    """Reads the fleets that the live schedules declare."""

    async def fleets(self, now: datetime) -> tuple[DeclaredFleet, ...]:
        """Return them all, each by the newest declaration."""


@dataclass
class Pace:
    """Goes up at once, and down only to the most that was needed within *hold*."""

    hold: timedelta
    _needed: deque[tuple[datetime, int]] = field(default_factory=deque)

    def after(self, now: datetime, needed: int) -> int:
        """Return how many workers to have at *now*, when so many are *needed*."""
        while self._needed and self._needed[-1][1] <= needed:
            self._needed.pop()
        self._needed.append((now, needed))
        while now - self._needed[0][0] > self.hold:
            self._needed.popleft()
        return self._needed[0][1]


ADDRESS_VARIABLE = "PLANNER_BACKLOG_ADDRESS"
KEY_VARIABLE = "PLANNER_BACKLOG_API_KEY"
KEY_FILE_VARIABLE = "PLANNER_BACKLOG_API_KEY_FILE"
KEY_DIR_VARIABLE = "PLANNER_BACKLOG_API_KEY_DIR"

BACKLOG_EVERY = timedelta(seconds=15)
"""How old a backlog may be that answers: pollers come each 15 to 30 seconds."""

BACKLOGS_A_SECOND = 5
"""Fleets whose queues one worker reads in a second, at two calls each: Temporal Cloud allows a
namespace 30 such calls a second, of all who ask."""

DOWN_AFTER = timedelta(minutes=5)
"""How long a fleet keeps what its backlog needed, as HPA and KEDA do."""

_KINDS = (TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY)


@dataclass
class Backlogs:
    """Reads the backlog of task queues in the boosted namespaces, each through its own client.

    Args:
        address: Where those namespaces are; ``{namespace}`` stands for the name. Empty where no
            backlog is to be read.
        keys: API keys with the right to read there; None for a server without keys.
        spacing: Seconds between two reads of this worker.
    """

    address: str
    keys: KeySource | None = None
    spacing: float = 1 / BACKLOGS_A_SECOND
    _clients: dict[str, tuple[str, Client]] = field(default_factory=dict)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @classmethod
    def of_environment(cls, environ: Mapping[str, str]) -> Backlogs:
        """Return what the environment's variables name; several keys are one too many.

        Raises:
            ValueError: More than one source of keys is named.
        """
        sources: dict[str, Callable[[str], KeySource]] = {
            KEY_VARIABLE: OneKey,
            KEY_FILE_VARIABLE: lambda path: KeyFile(Path(path)),
            KEY_DIR_VARIABLE: lambda path: KeyDirectory(Path(path)),
        }
        given = [name for name in sources if environ.get(name, "").strip()]
        if len(given) > 1:
            raise ValueError(f"set one of {' and '.join(given)}, not several")
        keys = sources[given[0]](environ[given[0]].strip()) if given else None
        return cls(environ.get(ADDRESS_VARIABLE, "").strip(), keys)

    async def read(self, namespace: str, task_queue: str) -> int:
        """Return how many workflow and activity tasks wait in the queue, together.

        Raises:
            NotKnown: The server can't be asked, or doesn't answer.
        """
        if not self.address:
            raise NotKnown(f"the backlog isn't read: {ADDRESS_VARIABLE} is not set")
        async with self._turn:
            await asyncio.sleep(self.spacing)
        try:
            async with asyncio.timeout(RPC_TIMEOUT.total_seconds()):
                client = await self._client(namespace)
                counts = await asyncio.gather(
                    *(_waiting(client, task_queue, kind) for kind in _KINDS)
                )
        except (RPCError, RuntimeError, TimeoutError, Unauthorized) as error:
            why = getattr(error, "message", "") or str(error) or "no answer"
            raise NotKnown(f"the backlog of {task_queue} is not known: {why}") from error
        return sum(counts)

    async def _client(self, namespace: str) -> Client:
        """Return the client for *namespace*; a key that was replaced is used from then on."""
        key = self.keys.key(namespace) if self.keys else ""
        known = self._clients.get(namespace)
        if known and known[0] == key:
            return known[1]
        if known:
            known[1].api_key = key
            client = known[1]
        else:
            client = await Client.connect(
                self.address.replace("{namespace}", namespace),
                namespace=namespace,
                api_key=key or None,
                tls=bool(key),
            )
        self._clients[namespace] = key, client
        return client


async def _waiting(client: Client, task_queue: str, kind: TaskQueueType.ValueType) -> int:
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=task_queue),
        task_queue_type=kind,
        report_stats=True,
    )
    reply = await client.workflow_service.describe_task_queue(request, timeout=RPC_TIMEOUT)
    return int(reply.stats.approximate_backlog_count)


@dataclass
class _Backlog:
    """What was last read of a fleet's queue, and the pace at which its need goes down."""

    pace: Pace
    at: datetime
    needed: int
    backlog: int | None = None
    note: str = ""
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass
class Replicas:
    """Answers how many replicas fleets should have.

    Args:
        client: A client of the Temporal namespace that the keepers live in.
        declared: Reads the fleets that the live schedules declare.
        states: What keepers answered last, which the watchdog shares.
        backlogs: Reads the backlog of fleets that name a task queue.
        down_after: How long a fleet keeps what its backlog needed.
        backlog_every: How old a backlog may be that answers.
    """

    client: Client
    declared: Fleets
    states: KeeperStates
    backlogs: Backlogs = field(default_factory=lambda: Backlogs(""))
    down_after: timedelta = DOWN_AFTER
    backlog_every: timedelta = BACKLOG_EVERY
    _fleets: tuple[DeclaredFleet, ...] = ()
    _fleets_at: datetime | None = None
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)
    _leases: dict[str, tuple[datetime, tuple[Lease, ...]]] = field(default_factory=dict)
    _seen: dict[str, _Backlog] = field(default_factory=dict)

    async def answer(self, name: str, now: datetime) -> Answer:
        """Return how many replicas the fleet *name* should have at *now*.

        Raises:
            UnknownFleet: No live schedule declares it, or two projects do.
            NotKnown: It can't be known.
        """
        return await self.answer_of(declared_fleet(await self.fleets(now), name), now)

    async def answer_of(self, one: DeclaredFleet, now: datetime) -> Answer:
        """Return how many replicas the fleet of *one* should have at *now*.

        Raises:
            NotKnown: It can't be known.
        """
        floor = floor_of(one.fleet, await self._running(one.namespace, now), now)
        if not (one.fleet.task_queue and one.fleet.target_queue_size):
            return Answer(floor.replicas, floor)
        seen = await self._backlog_of(one, now)
        return Answer(replicas_of(one.fleet, floor, seen.needed), floor, seen.backlog, seen.note)

    async def fleets(self, now: datetime) -> tuple[DeclaredFleet, ...]:
        """Return the fleets that the live schedules declare.

        Raises:
            NotKnown: They could not be read, or not for `FLEETS_FOR`.
        """
        async with self._reading:
            age = None if self._fleets_at is None else now - self._fleets_at
            if age is not None and age < FLEETS_EVERY:
                return self._fleets
            try:
                async with asyncio.timeout(2 * RPC_TIMEOUT.total_seconds()):
                    self._fleets, self._fleets_at = await self.declared.fleets(now), now
            except Exception as error:  # whatever it is, the answer has to say so
                if age is None:
                    raise NotKnown(f"the live schedules can't be read: {_why(error)}") from error
                if age > FLEETS_FOR:
                    raise NotKnown(
                        f"the live schedules were read {_span(age)} ago, and can't be read now: "
                        f"{_why(error)}"
                    ) from error
            return self._fleets

    async def _running(self, namespace: str, now: datetime) -> tuple[Lease, ...]:
        """Return the leases that the keeper of *namespace* holds; none where none is at work."""
        try:
            leases = await self._leases_of(namespace)
        except (RPCError, RuntimeError, TimeoutError) as error:  # RuntimeError: no connection
            known = self._leases.get(namespace)
            why = f"{keeper_id(namespace)} can't be looked at: {_why(error)}"
            if known is None:
                raise NotKnown(why) from error
            at, leases = known
            if now - at > FLOOR_FOR:
                raise NotKnown(f"{why}; what was known is {_span(now - at)} old") from error
            return leases
        self._leases[namespace] = now, leases
        return leases

    async def _leases_of(self, namespace: str) -> tuple[Lease, ...]:
        """Return the leases of the keeper's latest run; looking at it is no Action."""
        handle = self.client.get_workflow_handle(keeper_id(namespace))
        try:
            run = await handle.describe(rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                return ()
            raise
        status = run.status.name if run.status is not None else ""
        if status in UNFINISHED_STATUSES:
            raise NotKnown(
                f"{keeper_id(namespace)} broke off ({status.lower()}): its successor, which the "
                "watchdog starts, knows its windows"
            )
        if status != "RUNNING":
            return ()
        async with asyncio.timeout(2 * RPC_TIMEOUT.total_seconds()):
            known = self.states.known(namespace, run.run_id, run.history_length)
            if known is None:
                this_run = self.client.get_workflow_handle(handle.id, run_id=run.run_id)
                if await unrecovered_run(self.client, this_run):
                    raise NotKnown(
                        f"{keeper_id(namespace)} is recovering the windows of the run before it"
                    )
                known = await self.states.on_record(namespace, run.run_id, run.history_length)
        return known.leases

    async def _backlog_of(self, one: DeclaredFleet, now: datetime) -> _Backlog:
        """Return what the backlog of the fleet needs, read at most each `backlog_every`."""
        name = one.fleet.name
        seen = self._seen.get(name)
        if seen is None:
            seen = self._seen[name] = _Backlog(Pace(self.down_after), now - self.backlog_every, 0)
        async with seen.reading:  # who asks meanwhile gets what is read, not what was known before
            if now - seen.at >= self.backlog_every:
                await self._read_backlog(one, seen, now)
                seen.at = now
            return replace(seen)

    async def _read_backlog(self, one: DeclaredFleet, seen: _Backlog, now: datetime) -> None:
        """Read the backlog of the fleet into *seen*; what it needed before goes down late."""
        try:
            backlog = await self.backlogs.read(one.namespace, one.fleet.task_queue)
        except NotKnown as error:
            seen.backlog, seen.needed = None, seen.pace.after(now, 0)
            held = f"what it needed in the last {_span(self.down_after)} counts"
            seen.note = f"{error}; " + (held if seen.needed else "this is the calendar's floor")
        else:
            seen.backlog, seen.note = backlog, ""
            needed = needed_for(backlog, one.fleet.target_queue_size)
            seen.needed = seen.pace.after(now, one.fleet.clamp(needed))

    async def known(self, now: datetime) -> list[tuple[DeclaredFleet, Answer]]:
        """Return the answer for each fleet, those left out that can't be known."""
        try:
            declared = await self.fleets(now)
        except NotKnown:
            return []
        found = []
        for one in declared:
            try:
                found.append((one, await self.answer_of(one, now)))
            except NotKnown:
                continue
        return found


def _why(error: BaseException) -> str:
    text = getattr(error, "message", "") or str(error)
    return text or ("no answer in time" if isinstance(error, TimeoutError) else repr(error))


def _span(age: timedelta) -> str:
    seconds = round(age.total_seconds())
    return f"{seconds // 60}m {seconds % 60}s" if seconds >= 60 else f"{seconds}s"
