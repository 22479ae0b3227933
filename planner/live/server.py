"""The way every request takes to the Temporal server: paced, patient, errors in words."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from datetime import timedelta
from typing import Protocol, TypeVar

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from planner.errors import ServerError

CLOUD_SUFFIXES = (".tmprl.cloud", ".temporal.io")
CLOUD_RATE = 10.0
"""Schedule requests a second that Temporal Cloud allows a namespace."""

AT_ONCE = 64
"""Requests under way at the same time; more of them make a server no faster."""

REQUEST_TIMEOUT = timedelta(seconds=15)

BUSY_WAITS = (1.0, 2.0, 4.0, 8.0, 16.0, 16.0)
"""Seconds to wait, all requests together, each time the server says it is exhausted."""

Request = TypeVar("Request", contravariant=True)
Reply = TypeVar("Reply", covariant=True)


class Call(Protocol[Request, Reply]):
    """One method of the server's service."""

    def __call__(self, req: Request, *, retry: bool, timeout: timedelta | None) -> Awaitable[Reply]:
        """Send *req* and return the reply."""


class Missing(ServerError):
    """What was asked for isn't there."""


class AlreadyThere(ServerError):
    """What was to be made is there already."""


class Server:
    """A Temporal server as the planner talks to it.

    Requests are spread to at most *rate* a second where one is given, and
    ``RESOURCE_EXHAUSTED`` makes all of them wait.
    """

    def __init__(self, client: Client, rate: float | None = None, at_once: int = AT_ONCE) -> None:
        self.client = client
        self.service = client.workflow_service
        self.converter = client.data_converter
        self.namespace = client.namespace
        self.identity = client.identity
        self.rate = rate
        self._interval = 1 / rate if rate else 0.0
        self._slots = asyncio.Semaphore(at_once)
        self._next = 0.0

    @property
    def address(self) -> str:
        """Where it is."""
        return self.client.service_client.config.target_host

    async def ask(self, call: Call[Request, Reply], request: Request) -> Reply:
        """Send *request* by *call*, when its turn comes, and return the reply.

        Raises:
            Missing: It is about something that isn't there.
            AlreadyThere: It would make something that is there.
            ServerError: Any other refusal, in the server's words.
        """
        async with self._slots:
            for wait in (*BUSY_WAITS, None):
                await self._pace()
                try:
                    return await call(request, retry=True, timeout=REQUEST_TIMEOUT)
                except RPCError as error:
                    if error.status != RPCStatusCode.RESOURCE_EXHAUSTED or wait is None:
                        raise _in_words(error, self.address) from error
                    self._next = max(self._next, time.monotonic() + wait)
        raise AssertionError("the last wait ends the loop")

    async def _pace(self) -> None:
        """Wait until the next request may be sent."""
        now = time.monotonic()
        mine = max(now, self._next)
        self._next = mine + self._interval if self._interval else self._next
        if mine > now:
            await asyncio.sleep(mine - now)


def raise_if_cancelled() -> None:
    """Raise the cancellation of the current task, where the SDK made an error of its own of it.

    An update that is waited for does so: Ctrl-C and time-outs would be lost.
    """
    task = asyncio.current_task()
    if task and task.cancelling():
        raise asyncio.CancelledError


def server_of(client: Client) -> Server:
    """Return the server behind *client*: with Temporal Cloud's rate where it is that."""
    host = client.service_client.config.target_host.rpartition(":")[0]
    return Server(client, rate=CLOUD_RATE if host.endswith(CLOUD_SUFFIXES) else None)


def _in_words(error: RPCError, address: str) -> ServerError:
    """Return what the server's refusal means to a caller."""
    if error.status == RPCStatusCode.NOT_FOUND:
        return Missing(error.message)
    if error.status == RPCStatusCode.ALREADY_EXISTS:
        return AlreadyThere(error.message)
    return ServerError(f"Temporal at {address}: {error.message} ({error.status.name.lower()})")
