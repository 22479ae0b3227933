"""The way to the Temporal server, as the ``temporal`` command line finds it."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import cache
from typing import Protocol, TypeVar
from urllib.parse import quote

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.envconfig import ClientConfig, ClientConnectConfig
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)
from temporalio.service import RPCError, RPCStatusCode

from planner.errors import ServerError, ServerUnreachable

DEFAULT_ADDRESS = "localhost:7233"
CONNECT_TIMEOUT = timedelta(seconds=10)

LOCAL_HINT = "start one with `planner dev`, or set TEMPORAL_ADDRESS to yours"
CLOUD_HINT = "check TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE and TEMPORAL_API_KEY"


async def connect(runtime: Runtime | None = None) -> Client:
    """Return a client of the Temporal server that profile and environment name.

    The profile (``TEMPORAL_PROFILE``) of ``temporal.toml`` counts, and ``TEMPORAL_ADDRESS``,
    ``TEMPORAL_NAMESPACE``, ``TEMPORAL_API_KEY`` and the TLS settings over it.

    Args:
        runtime: Where the SDK's telemetry goes, as a worker sets it up; left out, its
            warnings go to Python's logging, and never to stdout.

    Raises:
        ServerUnreachable: Nobody answered; the message names the address tried.
        ServerError: Settings that can't be used, or a server that refused.
    """
    settings = read_settings()
    address = settings.setdefault("target_host", DEFAULT_ADDRESS)
    try:
        return await Client.connect(
            **settings, connect_timeout=CONNECT_TIMEOUT, runtime=runtime or plain_runtime()
        )
    except RPCError as error:
        raise ServerError(_refused(address, error.message)) from error
    except RuntimeError as error:
        if "after connection" in str(error):
            raise ServerError(_refused(address, _cause(str(error)))) from error
        raise ServerUnreachable(_unreachable(address, str(error))) from error


async def insist_on_namespace(client: Client) -> None:
    """Make sure that the server has the Temporal namespace of *client*.

    Raises:
        ServerError: It hasn't, or doesn't say.
    """
    address = client.service_client.config.target_host
    request = DescribeNamespaceRequest(namespace=client.namespace)
    try:
        await client.workflow_service.describe_namespace(
            request, retry=True, timeout=CONNECT_TIMEOUT
        )
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            words = f"Temporal at {address} has no namespace {client.namespace!r}"
            raise ServerError(f"{words}; check TEMPORAL_NAMESPACE") from error
        raise ServerError(_refused(address, error.message)) from error


def read_settings() -> ClientConnectConfig:
    """Return the connection settings of profile and environment."""
    try:
        return ClientConfig.load_client_connect_config()
    # The bridge raises an exception of its own for a profile that isn't there.
    except Exception as error:
        raise ServerError(
            f"the Temporal settings can't be used: {error}; "
            "`temporal config list` shows the profiles, TEMPORAL_PROFILE chooses one"
        ) from error


def _refused(address: str, words: str) -> str:
    """Return the sentence for a server at *address* that answered with a refusal."""
    return f"Temporal at {address} refused the connection ({words}); {CLOUD_HINT}"


def _unreachable(address: str, words: str) -> str:
    """Return the sentence for a server that did not answer at *address*."""
    remote = address.split(":")[0] not in {"localhost", "127.0.0.1", "[", "::1"}
    return (
        f"no Temporal server answers at {address} ({_cause(words)}); "
        f"{CLOUD_HINT if remote else LOCAL_HINT}"
    )


def _cause(words: str) -> str:
    """Return the part of the SDK's *words* that a person can use."""
    for pattern in (r'message: "([^"]+)"', r'error: "([^"]+)"'):
        found = re.search(pattern, words)
        if found:
            return found[1].lower()
    return "the attempt timed out" if "imeout" in words else "no connection"


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


CORE_LOGGER = "temporalio.core"
"""The logger that hears the SDK's core; without a handler its warnings go to stderr."""


def runtime_for(core_level: str = "WARN", metrics: PrometheusConfig | None = None) -> Runtime:
    """Return a runtime whose core logs to `CORE_LOGGER`, from *core_level* on.

    Raises:
        RuntimeError: The metrics can't be served where *metrics* says.
        ValueError: The same.
    """
    levels = TelemetryFilter(core_level=core_level, other_level="ERROR")
    forwarding = LogForwardingConfig(logger=logging.getLogger(CORE_LOGGER))
    logs = LoggingConfig(filter=levels, forwarding=forwarding)
    return Runtime(telemetry=TelemetryConfig(logging=logs, metrics=metrics))


@cache
def plain_runtime(core_level: str = "WARN") -> Runtime:
    """Return the runtime of everything that isn't particular: one for the whole process."""
    return runtime_for(core_level)


@asynccontextmanager
async def sdk_errors_only() -> AsyncIterator[None]:
    """Keep the SDK's warnings back, where faults are what is meant to happen."""
    logger = logging.getLogger("temporalio")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


CLOUD_UI = "https://cloud.temporal.io"

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")

DEV_UI_OFFSET = 1000
"""The dev server's UI listens so many ports above the server."""


def schedule_page(server: Server, id: str, ui: str = "") -> str:
    """Return the address of a schedule's page in the UI; empty where no UI is known.

    Args:
        server: The server that has it.
        id: The schedule's id.
        ui: The UI's address, where the caller knows it.
    """
    root = ui.rstrip("/") or _ui_of(server.address)
    return f"{root}/namespaces/{server.namespace}/schedules/{quote(id, safe='')}" if root else ""


def _ui_of(address: str) -> str:
    """Return the UI's address that goes with a server at *address*."""
    host, _, port = address.rpartition(":")
    if host.endswith(CLOUD_SUFFIXES):
        return CLOUD_UI
    if host in LOOPBACK and port.isdigit() and int(port) + DEV_UI_OFFSET < 65536:
        return f"http://{host}:{int(port) + DEV_UI_OFFSET}"
    return ""
