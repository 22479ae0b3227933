"""A Cloud that follows its script, and boosts of it on a server whose clock skips."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from planner.rehearsal.run import SkippingClock, connect, end_of, result_of
from planner.simulator import Simulator
from workflows.activities.floors import Conflict, FloorError, ObjectGone
from workflows.activities.watchdog import WatchdogActivities
from workflows.cloud import (
    CapacityOptions,
    CloudClient,
    InsufficientCapacity,
    ObservedCapacity,
    OneKey,
    TemporaryError,
)
from workflows.contract import (
    BOOST_WORKFLOW,
    KEEPER_WORKFLOW,
    ON_DEMAND,
    RELEASE_UPDATE,
    STATUS_QUERY,
    BoostRequest,
    BoostResult,
    Capacity,
    KeeperStart,
    KeeperStatus,
    KubernetesTarget,
    Lease,
    ReleaseRequest,
    format_instant,
    keeper_id,
)
from workflows.worker import SANDBOX, build_worker

T = TypeVar("T")

QUERY_WITHIN = timedelta(seconds=3)
"""Real time in which a query that was not lost is answered, by far."""

NO_ANSWER = {RPCStatusCode.CANCELLED, RPCStatusCode.DEADLINE_EXCEEDED}

SCENE_WITHIN = 45
"""Real seconds after which a scene that hangs is a failure."""

ALLOWED = (2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 12.0)


@dataclass
class ScriptedCloud:
    """A Cloud of one namespace: in force at once what is requested, unless told otherwise.

    *faults* are raised one by one, by the next calls; *writes* and *history* are what
    was set, the history with its time and with what others set.
    """

    clock: Callable[[], Awaitable[datetime]]
    capacity: Capacity = ON_DEMAND
    allowed: tuple[float, ...] = ALLOWED
    available: float | None = None
    tells_available: bool = True
    on_demand_aps: float = 500
    faults: list[Exception] = field(default_factory=list)
    writes: list[Capacity] = field(default_factory=list)
    history: list[tuple[datetime, Capacity]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    hold: asyncio.Event | None = None
    pending: Capacity | None = None
    request: str = ""
    loses_replies: int = 0
    url: str = ""

    async def set(self, capacity: Capacity, request: str = "by-hand") -> None:
        """Put *capacity* in force, as another client would."""
        now = await self.clock()  # first: while it is asked, another change may come
        self.request = request
        if capacity != self.capacity:
            self.history.append((now, capacity))
            self.capacity = capacity

    @property
    def steps(self) -> list[float | None]:
        """The TRU of each change, None for on-demand."""
        return [capacity.tru for _, capacity in self.history]

    async def observe(self, namespace: str) -> ObservedCapacity:
        """Return what is in force."""
        self._call("observe")
        return self._seen()

    async def options(self, namespace: str) -> CapacityOptions:
        """Return what can be had."""
        self._call("options")
        return CapacityOptions(
            self.allowed, self.available if self.tells_available else None, self.on_demand_aps
        )

    async def set_capacity(
        self, namespace: str, capacity: Capacity, *, key: str, heartbeat: Callable[[str], None]
    ) -> ObservedCapacity:
        """Put *capacity* in force, once `hold` lets it."""
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            self._call(f"set {capacity}")
            if self.hold:
                heartbeat(f"{capacity} is held back")
                self.pending = self.pending or capacity  # stays so, should nobody wait for it
                await self.hold.wait()
                self.pending = None
            if self.available is not None and (capacity.tru or 0) > self.available:
                raise InsufficientCapacity("not enough", available=self.available)
            self.writes.append(capacity)
            await self.set(capacity, key)
            if self.loses_replies:
                self.loses_replies -= 1
                raise TemporaryError("the reply was lost")
            return self._seen()
        finally:
            self.in_flight -= 1

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if self.faults:
            raise self.faults.pop(0)

    def _seen(self) -> ObservedCapacity:
        limit = self.on_demand_aps if self.capacity.tru is None else self.capacity.tru * 500
        return ObservedCapacity(self.capacity, self.pending, self.request, "", limit)


@dataclass
class ScriptedCluster:
    """A Kubernetes cluster with one autoscaler, which keeps to its rules.

    *faults* are raised one by one, by the next calls; *floors* are the minimums that were
    written, each with its time. *conflicts* are patches that others come before.
    """

    clock: Callable[[], Awaitable[datetime]]
    spec: dict[str, Any] = field(default_factory=lambda: {"minReplicas": 2, "maxReplicas": 30})
    annotations: dict[str, str] = field(default_factory=dict)
    version: int = 1
    faults: list[Exception] = field(default_factory=list)
    floors: list[tuple[datetime, int | None]] = field(default_factory=list)
    foreign: list[datetime] = field(default_factory=list)
    conflicts: int = 0
    away: bool = False
    deleted: bool = False

    @property
    def floor(self) -> int | None:
        """The minimum in force."""
        return self.spec.get("minReplicas")

    @property
    def steps(self) -> list[int | None]:
        """The minimum after each write."""
        return [floor for _, floor in self.floors]

    async def set(self, floor: int | None) -> None:
        """Write the minimum, as another client would."""
        await self._write(floor)
        self.foreign.append(self.floors[-1][0])

    async def _write(self, floor: int | None) -> None:
        now = await self.clock()  # first: while it is asked, another change may come
        self.spec["minReplicas"] = floor
        self.version += 1
        self.floors.append((now, floor))

    async def read(self, target: KubernetesTarget) -> dict[str, Any]:
        """Return the autoscaler as it is."""
        self._call()
        metadata = {"annotations": {**self.annotations}, "resourceVersion": str(self.version)}
        return {"kind": target.kind, "metadata": metadata, "spec": {**self.spec}}

    async def patch(self, target: KubernetesTarget, patch: Mapping[str, Any]) -> None:
        """Merge *patch*, unless others have written since it was read."""
        self._call()
        if self.conflicts:
            self.conflicts -= 1
            self.version += 1
        if patch["metadata"]["resourceVersion"] != str(self.version):
            raise Conflict
        for name, text in patch["metadata"]["annotations"].items():
            self.annotations.pop(name, None)
            if text is not None:
                self.annotations[name] = text
        self.version += 1
        if "spec" in patch:
            await self._write(patch["spec"]["minReplicas"])

    def _call(self) -> None:
        if self.away:
            raise FloorError("ClusterUnreachable", "the cluster is away")
        if self.deleted:
            raise ObjectGone("NamespaceNotFound", "HTTP 404: not found")
        if self.faults:
            raise self.faults.pop(0)


def _no_cluster() -> ScriptedCluster:
    """Return the cluster of a stage whose worker has none."""

    async def clock() -> datetime:
        raise AssertionError("this stage has no cluster")

    return ScriptedCluster(clock=clock)


@dataclass
class Stage:
    """One namespace, its Cloud, and a worker on the skipping server."""

    environment: WorkflowEnvironment
    cloud: ScriptedCloud
    namespace: str
    queue: str
    count: int = 0
    cluster: ScriptedCluster = field(kw_only=True, default_factory=_no_cluster)

    @property
    def client(self) -> Client:
        """The client of the skipping server."""
        return self.environment.client

    @property
    def keeper(self) -> WorkflowHandle[Any, Any]:
        """The namespace's keeper, whichever run is the latest."""
        return self.client.get_workflow_handle(keeper_id(self.namespace))

    async def end(self) -> str:
        """Skip to the end of the keeper, and return its result."""
        return str(await self.skip_to(result_of(self.keeper)))

    async def skip_to(self, outcome: Awaitable[T]) -> T:
        """Wait for *outcome* while the server skips over what everybody waits for."""
        if not self.environment.supports_time_skipping:
            return await outcome
        async with self.environment.time_skipping_unlocked():  # type: ignore[attr-defined]
            return await outcome

    def request(self, tru: int, hours: float, **changes: object) -> BoostRequest:
        """Return a request for *tru* TRU for *hours* from its firing on."""
        values: dict[str, Any] = {"window": f"w{tru}"} | changes
        seconds = round(hours * 3600)
        return BoostRequest(namespace=self.namespace, tru=tru, ttl_seconds=seconds, **values)

    async def start(self, request: BoostRequest) -> WorkflowHandle[Any, BoostResult]:
        """Start a boost, as its schedule would."""
        self.count += 1
        boost: WorkflowHandle[Any, BoostResult] = await self.client.start_workflow(
            BOOST_WORKFLOW,
            request,
            id=f"boost/{self.namespace}/{request.window}-{self.count}",
            task_queue=self.queue,
            result_type=BoostResult,
        )
        return boost

    async def start_keeper(self, *, broken_run: str = "") -> None:
        """Start a keeper that nobody asks anything of, as a repair does."""
        await self.client.start_workflow(
            KEEPER_WORKFLOW,
            KeeperStart(namespace=self.namespace, broken_run=broken_run),
            id=self.keeper.id,
            task_queue=self.queue,
        )

    async def status(self) -> KeeperStatus:
        """Return what the keeper says of itself now."""
        now = await self.environment.get_current_time()
        return await self.answer(KeeperStatus, STATUS_QUERY, format_instant(now))

    async def answer(self, kind: type[T], *query: str) -> T:
        """Return what the keeper answers to *query*, its name and its arguments.

        The test server loses a query to a run that ends at that moment: it is sent again.
        """
        async with asyncio.timeout(SCENE_WITHIN):
            while True:
                try:
                    answer: T = await self.keeper.query(
                        query[0], args=query[1:], result_type=kind, rpc_timeout=QUERY_WITHIN
                    )
                except RPCError as error:
                    if error.status not in NO_ANSWER:
                        raise
                else:
                    return answer

    async def sleep(self, hours: float) -> None:
        """Skip ahead by *hours*."""
        await self.environment.sleep(timedelta(hours=hours))

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for a condition that comes about without the clock skipping."""
        async with asyncio.timeout(SCENE_WITHIN):
            while not holds():  # noqa: ASYNC110 - what holds is not an event
                await asyncio.sleep(0.01)

    async def in_force(self, tru: float | None) -> None:
        """Wait for *tru* to be in force."""
        await self.until(lambda: self.cloud.capacity == Capacity(tru))

    async def says(self, holds: Callable[[KeeperStatus], bool]) -> KeeperStatus:
        """Wait for the keeper's status to be as it should, and return it."""
        async with asyncio.timeout(SCENE_WITHIN):
            while True:
                with suppress(RPCError):  # no keeper yet
                    if holds(status := await self.status()):
                        return status
                await asyncio.sleep(0.05)

    async def release(self, **chosen: str) -> list[str]:
        """Release leases, and return their windows."""
        gone = await self.keeper.execute_update(
            RELEASE_UPDATE, ReleaseRequest(**chosen), result_type=tuple[Lease, ...]
        )
        return [lease.window for lease in gone]

    async def boost(self, tru: int, hours: float, **changes: object) -> BoostResult:
        """Run a boost to its end, and let the clock skip no further than that takes.

        Where the clock is real, a window of seconds may be over before a busy machine takes the
        boost up. Nothing has been done then, and it is run again with a window twice as long.
        """
        handle = await self.start(self.request(tru, hours, **changes))
        if not self.environment.supports_time_skipping:
            done = await result_of(handle)
            is_over = done.message.startswith("late by")
            return await self.boost(tru, 2 * hours, **changes) if is_over else done
        client = await connect(self.environment)
        plain = client.get_workflow_handle(handle.id, result_type=BoostResult)
        result: BoostResult = await end_of(plain, SkippingClock(client))
        return result


WORKER_ENDS_WITHIN = 30
"""Real seconds that a worker may take to stop."""


@asynccontextmanager
async def at_work(worker: Worker) -> AsyncIterator[None]:
    """Run *worker* while the context lasts.

    Where the skipping server lost a task as the worker stopped, the SDK waits for it for ever:
    such a worker is left to the end of its server, which comes with the test's.
    """
    await worker.__aenter__()
    try:
        yield
    finally:
        ending = asyncio.ensure_future(worker.__aexit__(None))
        ended, _ = await asyncio.wait({ending}, timeout=WORKER_ENDS_WITHIN)
        for one in ended:
            one.result()
        if not ended:
            print("a worker did not stop; it is left to its server's end", file=sys.__stderr__)


@asynccontextmanager
async def staged(
    environment: WorkflowEnvironment,
    name: str,
    *,
    patience: float = 5,
    within: float = SCENE_WITHIN,
    watchdog: WatchdogActivities | None = None,
    **cloud: object,
) -> AsyncIterator[Stage]:
    """Run a worker for a namespace of its own, with a Cloud that follows its script.

    In the sandbox, which refuses what is not deterministic; production goes without.
    """
    scripted = ScriptedCloud(clock=environment.get_current_time, **cloud)  # type: ignore[arg-type]
    cluster = ScriptedCluster(clock=environment.get_current_time)
    worker = build_worker(
        environment.client,
        scripted,
        task_queue=name,
        patience=patience,
        grace=timedelta(),
        runner=SANDBOX,
        watchdog=watchdog,
        cluster=cluster,
    )
    async with at_work(worker):
        async with asyncio.timeout(within):
            yield Stage(environment, scripted, f"{name}.acct", name, cluster=cluster)


@asynccontextmanager
async def simulated(
    environment: WorkflowEnvironment, name: str, *, tru: float | None = None
) -> AsyncIterator[tuple[Stage, Simulator]]:
    """Run a worker against a simulated Cloud with one namespace, which has *tru* in force.

    The stage's own scripted Cloud stays unused.
    """
    async with (
        Simulator(provisioning=0.2, check=0.1) as simulator,
        CloudClient(simulator.url, OneKey("a-key-of-the-test"), poll=0.1) as cloud,
    ):
        unused = ScriptedCloud(clock=environment.get_current_time)
        stage = Stage(environment, unused, f"{name}.acct", name)
        await simulator.create(stage.namespace, tru=tru)
        worker = build_worker(environment.client, cloud, task_queue=name, grace=timedelta())
        async with at_work(worker), asyncio.timeout(20):
            yield stage, simulator
