"""Whose turn it is: of several syncs of a project, one at a time writes.

The turn is a workflow execution without a worker: starting it under one id is atomic on
the server, whoever else tries. Its holder signals it every few seconds. A holder that
was killed falls silent, and the next in line ends its turn by run id, so that no other
is hit. A holder that can't signal stops writing well before that may happen.
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
from planner.temporal.client import Server
from planner.temporal.clock import ServerClock, read_clock

TURN_WORKFLOW = "PlannerSync"
TURN_QUEUE = "planner-sync"
"""A task queue that nobody works on: the server alone keeps the turn."""

RENEW_SECONDS = 5.0
STOP_SECONDS = 15.0
"""A holder that couldn't renew for so long writes no more."""

SILENT_SECONDS = 30.0
"""A turn that wasn't renewed for so long is taken over. More than `STOP_SECONDS` and the
time-out of the last write that was sent before."""

LONGEST = timedelta(hours=4)
"""The server ends a turn that nobody takes over; no sync lasts as long."""

POLL_SECONDS = 0.25
SIGNAL_TIMEOUT = timedelta(seconds=5)

Handle = WorkflowHandle[object, object]


class Turn:
    """A turn that is ours."""

    def __init__(self, handle: Handle, sent: float) -> None:
        self._handle = handle
        self._sent = sent
        self._renewed = time.monotonic()
        self._words = "nothing was changed"

    def insist(self) -> None:
        """Raise unless the turn is ours for certain; to be called before each write.

        Raises:
            ServerError: It may have been taken over since.
        """
        if time.monotonic() - self._renewed > STOP_SECONDS:
            raise ServerError(
                "the server could not be told that this sync goes on, so another may have "
                "taken over; run it again"
            )

    async def clock(self, server: Server) -> ServerClock:
        """Return the server's clock, by the moment at which the turn began there.

        Raises:
            ServerError: It could not be read.
        """
        return await read_clock(server, self._handle.id, self._handle.run_id or "", self._sent)

    def ends_with(self, words: str) -> None:
        """Say how the sync ended, for people who look at the turn in the UI."""
        self._words = words

    async def renew(self) -> None:
        """Tell the server every few seconds that the holder lives, until cancelled."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            sent = time.monotonic()
            try:
                await self._handle.signal("renew", rpc_timeout=SIGNAL_TIMEOUT)
            except RPCError as error:
                if error.status == RPCStatusCode.NOT_FOUND:
                    self._renewed = float("-inf")  # taken over: nothing brings it back
                    return
            else:
                self._renewed = sent

    async def release(self) -> None:
        """Let the next one have its turn."""
        with contextlib.suppress(RPCError):
            await self._handle.terminate(self._words, rpc_timeout=SIGNAL_TIMEOUT)


def turn_id(project: str) -> str:
    """Return the workflow id of the turn of *project*."""
    return f"planner-sync/{project}"


@asynccontextmanager
async def take_turn(
    client: Client, project: str, say: Callable[[str], None]
) -> AsyncIterator[Turn]:
    """Wait for the turn of *project*, hold it for as long as the context lasts.

    Args:
        client: Of the namespace that the project's schedules are in.
        project: Whose turn.
        say: Told once, in words, where somebody else has it.
    """
    turn = await _take(client, project, say)
    renewing = asyncio.create_task(turn.renew())
    try:
        yield turn
    finally:
        renewing.cancel()
        await asyncio.shield(turn.release())


async def _take(client: Client, project: str, say: Callable[[str], None]) -> Turn:
    """Start the turn, after waiting for its holder or outliving it."""
    while True:
        sent = time.monotonic()
        try:
            return Turn(await _start(client, project), sent)
        except WorkflowAlreadyStartedError as error:
            say(f"another sync of {project} is under way; waiting for it")
            holder = client.get_workflow_handle(turn_id(project), run_id=error.run_id)
            if not await _outlast(holder):
                say(f"that sync of {project} fell silent, so its turn is over")


async def _start(client: Client, project: str) -> Handle:
    """Start the turn's workflow.

    Raises:
        WorkflowAlreadyStartedError: Somebody has the turn.
        ServerError: The server refused.
    """
    try:
        handle = await client.start_workflow(
            TURN_WORKFLOW,
            id=turn_id(project),
            task_queue=TURN_QUEUE,
            execution_timeout=LONGEST,
            static_summary=f"A sync of {project} by {client.identity} writes its schedules",
            rpc_timeout=SIGNAL_TIMEOUT,
        )
    except RPCError as error:
        raise ServerError(f"no turn to write for {project}: {error.message}") from error
    return client.get_workflow_handle(handle.id, run_id=handle.result_run_id)


async def _outlast(holder: Handle) -> bool:
    """Wait for the end of *holder*; end it where it falls silent, and return False then."""
    length, since = 0, time.monotonic()
    while True:
        try:
            description = await holder.describe(rpc_timeout=SIGNAL_TIMEOUT)
        except RPCError as error:
            raise ServerError(f"the turn can't be read: {error.message}") from error
        if description.status != WorkflowExecutionStatus.RUNNING:
            return True
        if description.history_length != length:
            length, since = description.history_length, time.monotonic()
        if time.monotonic() - since > SILENT_SECONDS:
            with contextlib.suppress(RPCError):
                await holder.terminate("its holder fell silent", rpc_timeout=SIGNAL_TIMEOUT)
            return False
        await asyncio.sleep(POLL_SECONDS)
