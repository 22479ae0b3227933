"""Connecting and sending requests to a Temporal server, and its UI's addresses.

Connection settings are found as the ``temporal`` command line finds them. Requests are rate
limited, retried while the server is busy, and fail with a sentence. The SDK logs through
Python's logging: its core, which is not Python, otherwise prints warnings on stdout, in the
middle of a plan as JSON.
"""

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
DEFAULT_NAMESPACE = "default"
CONNECT_TIMEOUT = timedelta(seconds=10)

LOCAL_HINT = "start one with `planner dev`, or set TEMPORAL_ADDRESS to yours"
CLOUD_HINT = "check TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE and TEMPORAL_API_KEY"


CLOUD_SUFFIXES = (".tmprl.cloud", ".temporal.io")

CLOUD_RATE = 10.0
"""Schedule requests a second that Temporal Cloud allows a namespace."""

AT_ONCE = 64
"""Concurrent requests; more of them make a server no faster."""

REQUEST_TIMEOUT = timedelta(seconds=15)

BUSY_WAITS = (1.0, 2.0, 4.0, 8.0, 16.0, 16.0)
"""Seconds for which all requests wait after each ``RESOURCE_EXHAUSTED``."""

CORE_LOGGER = "temporalio.core"
"""The logger for the SDK's core; without a handler its warnings go to stderr."""

CLOUD_UI = "https://cloud.temporal.io"

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")

DEV_UI_OFFSET = 1000
"""How many ports above the dev server its UI listens."""


async def connect(runtime: Runtime | None = None) -> Client:
    """Connect to the Temporal server that the profile and the environment name.

    ``TEMPORAL_ADDRESS``, ``TEMPORAL_NAMESPACE``, ``TEMPORAL_API_KEY`` and the TLS settings
    override the profile (``TEMPORAL_PROFILE``) of ``temporal.toml``.

    Args:
        runtime: The SDK runtime, with its telemetry; `default_runtime` if left out.

    Raises:
        ServerUnreachable: No answer; the message names the address.
        ServerError: The settings can't be used, or the server refused.
    """
    settings = read_settings()
    address = settings.setdefault("target_host", DEFAULT_ADDRESS)
    try:
        return await Client.connect(
            **settings, connect_timeout=CONNECT_TIMEOUT, runtime=runtime or default_runtime()
        )
    except RPCError as error:
        raise ServerError(_refused(address, error.message)) from error
    except RuntimeError as error:
        if "after connection" in str(error):
            raise ServerError(_refused(address, _cause(str(error)))) from error
        raise ServerUnreachable(_unreachable(address, str(error))) from error


async def require_namespace(client: Client) -> None:
    """Raise unless the server has the Temporal namespace of *client*.

    Raises:
        ServerError: There is no such namespace, or the server refused.
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
    # The SDK's bridge raises an exception of its own for a profile that doesn't exist.
    except Exception as error:
        raise ServerError(
            f"the Temporal settings can't be used: {error}; "
            "`temporal config list` shows the profiles, TEMPORAL_PROFILE chooses one"
        ) from error


def read_target() -> tuple[str, str]:
    """Return the address and the Temporal namespace of profile and environment."""
    settings = read_settings()
    return (
        settings.get("target_host") or DEFAULT_ADDRESS,
        settings.get("namespace") or DEFAULT_NAMESPACE,
    )


def _refused(address: str, message: str) -> str:
    """Return the error text for a refusal by the server at *address*."""
    return f"Temporal at {address} refused the connection ({message}); {CLOUD_HINT}"


def _unreachable(address: str, message: str) -> str:
    """Return the error text for a server that doesn't answer at *address*."""
    remote = address.split(":")[0] not in {"localhost", "127.0.0.1", "[", "::1"}
    return (
        f"no Temporal server answers at {address} ({_cause(message)}); "
        f"{CLOUD_HINT if remote else LOCAL_HINT}"
    )


def _cause(message: str) -> str:
    """Return the cause in the SDK's error text, as a short phrase."""
    for pattern in (r'message: "([^"]+)"', r'error: "([^"]+)"'):
        found = re.search(pattern, message)
        if found:
            return found[1].lower()
    return "the attempt timed out" if "imeout" in message else "no connection"


Request = TypeVar("Request", contravariant=True)
Reply = TypeVar("Reply", covariant=True)


class Call(Protocol[Request, Reply]):
    """One method of the server's service."""

    def __call__(self, req: Request, *, retry: bool, timeout: timedelta | None) -> Awaitable[Reply]:
        """Send *req* and return the reply."""


class NotFound(ServerError):
    """The server has no such schedule or workflow."""


class AlreadyExists(ServerError):
    """A schedule with this id exists."""


class Server:
    """A Temporal server that requests are sent to, paced and with errors as sentences.

    At most *rate* requests a second are sent where one is given, and ``RESOURCE_EXHAUSTED``
    makes all of them wait.
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
        """The server's address, ``HOST:PORT``."""
        return self.client.service_client.config.target_host

    async def send(self, call: Call[Request, Reply], request: Request) -> Reply:
        """Send *request* by *call* once a slot is free, and return the reply.

        Raises:
            NotFound: Its subject doesn't exist.
            AlreadyExists: It would create something that exists.
            ServerError: Any other refusal, with the server's message.
        """
        async with self._slots:
            for wait in (*BUSY_WAITS, None):
                await self._pace()
                try:
                    return await call(request, retry=True, timeout=REQUEST_TIMEOUT)
                except RPCError as error:
                    if error.status != RPCStatusCode.RESOURCE_EXHAUSTED or wait is None:
                        raise _as_server_error(error, self.address) from error
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
    """Raise CancelledError if the current task is being cancelled.

    The SDK turns the cancellation of an awaited update into an error of its own: Ctrl-C and
    time-outs would be lost.
    """
    task = asyncio.current_task()
    if task and task.cancelling():
        raise asyncio.CancelledError


def server_of(client: Client) -> Server:
    """Return the server of *client*, with the rate limit of Temporal Cloud if it is there."""
    host = client.service_client.config.target_host.rpartition(":")[0]
    return Server(client, rate=CLOUD_RATE if host.endswith(CLOUD_SUFFIXES) else None)


def _as_server_error(error: RPCError, address: str) -> ServerError:
    """Return the server's refusal as an error of ours."""
    if error.status == RPCStatusCode.NOT_FOUND:
        return NotFound(error.message)
    if error.status == RPCStatusCode.ALREADY_EXISTS:
        return AlreadyExists(error.message)
    return ServerError(f"Temporal at {address}: {error.message} ({error.status.name.lower()})")


def runtime_for(core_level: str = "WARN", metrics: PrometheusConfig | None = None) -> Runtime:
    """Return an SDK runtime whose core logs to `CORE_LOGGER`, from *core_level* on.

    Raises:
        RuntimeError: The metrics can't be served at the address in *metrics*.
        ValueError: The same.
    """
    levels = TelemetryFilter(core_level=core_level, other_level="ERROR")
    forwarding = LogForwardingConfig(logger=logging.getLogger(CORE_LOGGER))
    logs = LoggingConfig(filter=levels, forwarding=forwarding)
    return Runtime(telemetry=TelemetryConfig(logging=logs, metrics=metrics))


@cache
def default_runtime(core_level: str = "WARN") -> Runtime:
    """Return the SDK runtime without metrics that the whole process shares."""
    return runtime_for(core_level)


@asynccontextmanager
async def sdk_errors_only() -> AsyncIterator[None]:
    """Suppress the SDK's warnings while faults are injected on purpose."""
    logger = logging.getLogger("temporalio")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def schedule_page(server: Server, id: str, ui: str = "") -> str:
    """Return the URL of a schedule's page in the Temporal UI; empty where no UI is known.

    Args:
        server: The server of the schedule.
        id: The schedule's id.
        ui: The UI's URL, where the caller knows it.
    """
    root = ui.rstrip("/") or _ui_of(server.address)
    return f"{root}/namespaces/{server.namespace}/schedules/{quote(id, safe='')}" if root else ""


def _ui_of(address: str) -> str:
    """Return the URL of the UI of a server at *address*; empty where unknown."""
    host, _, port = address.rpartition(":")
    if host.endswith(CLOUD_SUFFIXES):
        return CLOUD_UI
    if host in LOOPBACK and port.isdigit() and int(port) + DEV_UI_OFFSET < 65536:
        return f"http://{host}:{int(port) + DEV_UI_OFFSET}"
    return ""
