"""The sync lock: of several syncs of a project, one at a time writes.

The lock is a workflow execution that no worker runs. Starting it under a fixed id is atomic
on the server. Its holder signals it every few seconds. Where a holder was killed, the
signals stop, and the next sync terminates the execution by its run id, so that it can't hit
a later one. A holder that can't signal stops writing well before that.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from planner.errors import ServerError
from planner.temporal.client import Server, seconds_setting
from planner.temporal.clock import ServerClock, read_clock

LOCK_WORKFLOW = "PlannerSync"
NO_WORKER_QUEUE = "planner-sync"
"""A task queue that no worker polls: the server alone keeps these executions."""

RENEW_SECONDS = 5.0
STOP_SECONDS = 15.0
"""Seconds without a renewal after which the holder stops writing."""

SILENT_SECONDS = 30.0
"""Seconds without a renewal after which the lock is taken over. Longer than `STOP_SECONDS`
and the time-out of a write that was sent just before."""

LONGEST = timedelta(hours=4)
"""Execution time-out of a lock that no other sync takes over; no sync lasts as long."""

LOCK_WAIT_SETTING = "PLANNER_LOCK_WAIT"

LOCK_WAIT_SECONDS = 900.0
"""Seconds for which another sync is waited for, by default; one of 10,000 windows takes
minutes."""

POLL_SECONDS = 0.25
SIGNAL_TIMEOUT = timedelta(seconds=5)

Handle = WorkflowHandle[object, object]


class SyncLock:
    """A lock that this sync holds."""

    def __init__(self, handle: Handle, sent: float) -> None:
        self._handle = handle
        self._sent = sent
        self._renewed = time.monotonic()
        self._result = "nothing was changed"

    def ensure_held(self) -> None:
        """Raise unless the lock is certainly held; call it before each write.

        Raises:
            ServerError: Another sync may have taken the lock over.
        """
        if time.monotonic() - self._renewed > STOP_SECONDS:
            raise ServerError(
                "the lock of this sync could not be renewed on the server, so another sync may "
                "have taken over; run it again"
            )

    async def clock(self, server: Server) -> ServerClock:
        """Return the server's clock, read from the start time of the lock's execution.

        Raises:
            ServerError: It could not be read.
        """
        return await read_clock(server, self._handle.id, self._handle.run_id or "", self._sent)

    def set_result(self, summary: str) -> None:
        """Set the reason with which the execution is terminated, as the Temporal UI shows it."""
        self._result = summary

    async def renew(self) -> None:
        """Signal the execution every `RENEW_SECONDS` until cancelled."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            sent = time.monotonic()
            try:
                await self._handle.signal("renew", rpc_timeout=SIGNAL_TIMEOUT)
            except RPCError as error:
                if error.status == RPCStatusCode.NOT_FOUND:
                    self._renewed = float("-inf")  # taken over, for good
                    return
            else:
                self._renewed = sent

    async def release(self) -> None:
        """Terminate the execution, so that the next sync gets the lock."""
        with contextlib.suppress(RPCError):
            await self._handle.terminate(self._result, rpc_timeout=SIGNAL_TIMEOUT)


def lock_id(project: str) -> str:
    """Return the workflow id of the lock of *project*."""
    return f"planner-sync/{project}"


@asynccontextmanager
async def hold_lock(
    client: Client, project: str, on_notice: Callable[[str], None]
) -> AsyncIterator[SyncLock]:
    """Wait for the lock of *project* and hold it while the context lasts.

    Args:
        client: Client of the Temporal namespace that has the project's schedules.
        project: The project to lock.
        on_notice: Called with a sentence where another sync holds the lock, and where that
            one has fallen silent.
    """
    lock = await _acquire(client, project, on_notice)
    renewing = asyncio.create_task(lock.renew())
    try:
        yield lock
    finally:
        renewing.cancel()
        await asyncio.shield(lock.release())


async def _acquire(client: Client, project: str, on_notice: Callable[[str], None]) -> SyncLock:
    """Start the lock's execution, after waiting for its holder or terminating a silent one."""
    limit = seconds_setting(LOCK_WAIT_SETTING, LOCK_WAIT_SECONDS)
    until = time.monotonic() + limit
    while True:
        sent = time.monotonic()
        try:
            return SyncLock(await _start(client, project), sent)
        except WorkflowAlreadyStartedError as error:
            on_notice(
                f"another sync of {project} is under way; waiting for it, {limit:g} s at most "
                f"({LOCK_WAIT_SETTING})"
            )
            holder = client.get_workflow_handle(lock_id(project), run_id=error.run_id)
            if time.monotonic() > until or (ended := await _wait_for_end(holder, until)) is None:
                raise ServerError(
                    f"another sync of {project} is still under way after {limit:g} s; run this one "
                    f"again later, or wait longer with {LOCK_WAIT_SETTING}=3600"
                ) from error
            if not ended:
                on_notice(f"that sync of {project} fell silent; its lock was taken over")


async def _start(client: Client, project: str) -> Handle:
    """Start the lock's execution.

    Raises:
        WorkflowAlreadyStartedError: Another sync holds the lock.
        ServerError: The server refused.
    """
    try:
        handle = await client.start_workflow(
            LOCK_WORKFLOW,
            id=lock_id(project),
            task_queue=NO_WORKER_QUEUE,
            execution_timeout=LONGEST,
            static_summary=f"A sync of {project} by {client.identity} writes its schedules",
            rpc_timeout=SIGNAL_TIMEOUT,
        )
    except RPCError as error:
        raise ServerError(f"no lock to write for {project}: {error.message}") from error
    return client.get_workflow_handle(handle.id, run_id=handle.result_run_id)


async def _wait_for_end(holder: Handle, until: float) -> bool | None:
    """Wait until *holder* ends; terminate it once it falls silent, and return False then.

    None where it still runs at *until*, on the monotonic clock.
    """
    length, since = 0, time.monotonic()
    while True:
        try:
            description = await holder.describe(rpc_timeout=SIGNAL_TIMEOUT)
        except RPCError as error:
            raise ServerError(f"the sync lock can't be read: {error.message}") from error
        if description.status != WorkflowExecutionStatus.RUNNING:
            return True
        if description.history_length != length:  # each renewal is an event
            length, since = description.history_length, time.monotonic()
        if time.monotonic() - since > SILENT_SECONDS:
            with contextlib.suppress(RPCError):
                await holder.terminate("its holder fell silent", rpc_timeout=SIGNAL_TIMEOUT)
            return False
        if time.monotonic() > until:
            return None
        await asyncio.sleep(POLL_SECONDS)
