"""How many workers a fleet should have: the answer that a worker gives to whoever scales it.

The floor of the running windows comes from the keeper's leases, the backlog from the task queue
of the fleet. Any worker gives the same floor, from Temporal alone, also right after its start. What
can't be known is an error that says why: no answer is a guess, least of all zero.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from workflows.activities.keeper import KeeperStates, unrecovered_run
from workflows.cloud import Unauthorized
from workflows.cloud.account import KeyDirectory, KeyFile, KeySource, OneKey
from workflows.contract import (
    UNFINISHED_STATUSES,
    DeclaredFleet,
    Lease,
    floor_of,
    keeper_id,
)
from workflows.contract.fleets import (
    Answer,
    NotKnown,
    declared_fleet,
    needed_for,
    replicas_of,
)

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
        if now - seen.at < self.backlog_every:
            return seen
        seen.at = now
        try:
            backlog = await self.backlogs.read(one.namespace, one.fleet.task_queue)
        except NotKnown as error:
            seen.backlog, seen.needed = None, 0
            seen.note = f"{error}; this is the calendar's floor"
        else:
            seen.backlog, seen.note = backlog, ""
            needed = needed_for(backlog, one.fleet.target_queue_size)
            seen.needed = seen.pace.after(now, one.fleet.clamp(needed))
        return replace(seen)

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
