"""What a worker shows of itself: logs on stderr, metrics, a health endpoint, heartbeats.

A worker's counters and histograms are recorded here, next to the SDK's own, and in activities
only, so that a replay counts nothing twice. `workflows.metrics` has the names of all metrics.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol
from urllib.parse import unquote

from temporalio import activity
from temporalio.common import MetricMeter
from temporalio.exceptions import ApplicationError

from workflows import activity_types
from workflows.activity_types import Observation
from workflows.contract import Capacity, Lease, RoundView, WatchdogReport
from workflows.contract.fleets import (
    Answer,
    DeclaredFleet,
    KubernetesTarget,
    NotKnown,
    UnknownFleet,
)
from workflows.floors import FloorSeen, FloorTask
from workflows.keeper_state import KeeperState, is_own
from workflows.metrics import NAMESPACE, PREFIX, exposition

CONTEXT = (
    "temporal_workflow",
    "temporal_activity",
)
"""Fields that the SDK adds to a log record: which workflow, activity and attempt."""


EVENT = "event"
"""The attribute of a log record that has the fields of an event, by name."""

STACKS_VARIABLE = "PLANNER_LOG_STACKS"
"""Environment variable: with any value, faults are logged with their stacks."""


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object with time, level, logger, message and context.

    A failure of an activity is one line, without its stack unless *stacks* are wanted.
    """

    def __init__(self, *, stacks: bool = False) -> None:
        super().__init__()
        self._stacks = stacks

    def format(self, record: logging.LogRecord) -> str:
        """Return the line for *record*."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= getattr(record, EVENT, None) or {}
        for name in CONTEXT:
            line |= getattr(record, name, None) or {}
        if record.exc_info and (self._stacks or not _is_failure(record)):
            line["exception"] = self.formatException(record.exc_info)
        elif record.exc_info:
            line["error"] = str(record.exc_info[1])
        return json.dumps(line, default=str, ensure_ascii=False)


def _is_failure(record: logging.LogRecord) -> bool:
    """Tell whether *record* is of an activity that failed as activities do."""
    return record.exc_info is not None and isinstance(record.exc_info[1], ApplicationError)


def is_said_by_keeper(record: logging.LogRecord) -> bool:
    """Tell whether *record* is a fault of the Cloud API that the keeper logs, too."""
    by_activity = getattr(record, "temporal_activity", None) or {}
    of_keeper = by_activity.get("activity_type") in (
        activity_types.OBSERVE,
        activity_types.RECONCILE,
        activity_types.FLOOR,
    )
    return of_keeper and record.name == "temporalio.activity" and _is_failure(record)


def log_to_stderr(level: int = logging.INFO) -> None:
    """Send log records to stderr as JSON lines; requests of the HTTP library are left out."""
    stacks = bool(os.environ.get(STACKS_VARIABLE))
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(stacks=stacks))
    if not stacks:
        handler.addFilter(lambda record: not is_said_by_keeper(record))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # One line a request, with its URL: noise, at the rate that operations are polled.
    logging.getLogger("httpx").setLevel(logging.WARNING)


def log_change(
    namespace: str,
    before: Capacity,
    after: Capacity,
    *,
    request: str,
    leases: Iterable[Lease] = (),
) -> None:
    """Log that the capacity in force has changed, as one line with its fields.

    *request* is the id of the request behind it; *leases* are those that it is for.
    """
    held = tuple(leases)
    fields = {
        "event": "capacity changed",
        NAMESPACE: namespace,
        "from_tru": before.tru,
        "to_tru": after.tru,
        "by": "planner" if is_own(request, namespace) else "others",
        "windows": [lease.window for lease in held],
        "boosts": [lease.key for lease in held],
        "operation_id": request,
    }
    message = f"{namespace}: {before} → {after}"
    logging.getLogger("planner.capacity").info(message, extra={EVENT: fields})


def log_floor(task: FloorTask, seen: FloorSeen, target: KubernetesTarget) -> None:
    """Log that the floor of a fleet has changed, as one line with its fields."""
    fields = {
        "event": "floor changed",
        NAMESPACE: task.namespace,
        "fleet": seen.name,
        "from_replicas": seen.found,
        "to_replicas": seen.in_force,
        "windows": task.windows,
        "object": str(target),
    }
    message = f"{task.namespace}: floor of {seen.name}: {seen.found} → {seen.in_force}"
    logging.getLogger("planner.capacity").info(message, extra={EVENT: fields})


BUCKETS = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 180.0, 300.0, 600.0, 1_800.0, 3_600.0, 14_400.0)
"""Seconds: provisioning takes about two minutes, an outage hours."""

GOAL_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds, with the 150 ms that Temporal's scaling guide gives requests and tasks."""

HISTOGRAM_BUCKETS = {
    f"{PREFIX}_{name}": BUCKETS for name in ("lateness", "raise_latency", "revert_latency")
} | {
    f"temporal_{name}": GOAL_BUCKETS
    for name in (
        "request_latency",
        "workflow_task_schedule_to_start_latency",
        "activity_schedule_to_start_latency",
    )
}


def record_step(state: KeeperState, observation: Observation, now: datetime | None = None) -> None:
    """Record how long a change of capacity took that a reconcile has brought into force."""
    now = now or datetime.now(UTC)
    target = state.target.capacity
    if observation.capacity == target and observation.found != target and state.target_since:
        seconds = (now - state.target_since).total_seconds()
        name = "raise" if state.leases else "revert"
        described = f"Seconds from the need to {name} to its being in force"
        _meter(state.namespace).create_histogram_float(
            f"{PREFIX}_{name}_latency", described, "seconds"
        ).record(max(0.0, seconds))


def record_fault(namespace: str, error: Exception) -> None:
    """Count a fault of the Cloud API by its kind; outside an activity nothing is counted."""
    if not activity.in_activity():
        return
    labelled = _meter(namespace).with_additional_attributes({"kind": type(error).__name__})
    labelled.create_counter(f"{PREFIX}_faults", "Faults of the Cloud API").add(1)


def record_lateness(namespace: str, seconds: float) -> None:
    """Record how long after its nominal time a firing requested its lease."""
    _meter(namespace).create_histogram_float(
        f"{PREFIX}_lateness", "Seconds from a firing's nominal time to its lease request", "seconds"
    ).record(max(0.0, seconds))


def record_healed(report: WatchdogReport) -> None:
    """Count what the round of *report* put right."""
    for each in (one for one in report.healed if one.at == report.at):
        labelled = _meter(each.namespace).with_additional_attributes({"what": each.what})
        labelled.create_counter(f"{PREFIX}_healed", "What the watchdog put right").add(1)


def _meter(namespace: str) -> MetricMeter:
    return activity.metric_meter().with_additional_attributes({NAMESPACE: namespace})


HEALTH_PATH = "/healthz"
READY_PATH = "/readyz"
METRICS_PATH = "/metrics"
REPLICAS_PATH = "/v1/replicas/"
JSON_TYPE = "application/json"
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PLAIN_TYPE = "text/plain; charset=utf-8"

HTTP_REQUEST_LIMIT = 8_192
HTTP_TIMEOUT = 5.0
"""The bytes and seconds that a request may take."""


@dataclass
class Readiness:
    """Why a worker can't do its work now, by what was checked; empty where it can.

    Until the first look at everything it is not ready either.
    """

    problems: dict[str, str] = field(default_factory=lambda: {"start": "starting"})
    logger: logging.Logger = field(default_factory=lambda: logging.getLogger("planner.worker"))

    def update(self, found: Mapping[str, str]) -> None:
        """Take the problems that were *found*; log each that is new, and each that is over."""
        for what, problem in found.items():
            if self.problems.get(what) != problem:
                self.logger.warning("not ready: %s", problem)
        for what in self.problems.keys() - found.keys() - {"start"}:
            self.logger.info("%s is in order again", what)
        self.problems = dict(found)


class Replicas(Protocol):
    """Answers how many replicas fleets should have (`workflows.activities.floors`)."""

    async def answer(self, name: str, now: datetime) -> Answer:
        """Return how many the fleet *name* should have at *now*.

        Raises:
            UnknownFleet: There is no such fleet.
            NotKnown: It can't be known.
        """

    async def known(self, now: datetime) -> list[tuple[DeclaredFleet, Answer]]:
        """Return the answer for each fleet, those left out that can't be known."""


@asynccontextmanager
async def health_endpoint(
    host: str,
    port: int,
    is_healthy: Callable[[], bool],
    problems: Callable[[], Iterable[str]] = tuple,
    replicas: Replicas | None = None,
) -> AsyncIterator[int]:
    """Answer ``GET /healthz`` with 200 while *is_healthy*, else 503; yields the port.

    ``GET /readyz`` is answered with 200 while there are no *problems* besides, else with 503
    and a line for each; ``GET /v1/replicas/FLEET`` by *replicas*.

    Raises:
        OSError: The port is taken.
    """

    async def respond(head: bytes) -> bytes:
        if _request_line(head)[1].startswith(REPLICAS_PATH):
            return await replicas_response(head, replicas, datetime.now(UTC))
        return health_response(head, healthy=is_healthy(), problems=problems())

    async with _endpoint(host, port, respond) as bound:
        yield bound


@asynccontextmanager
async def metrics_endpoint(host: str, port: int, exporter: Exporter) -> AsyncIterator[int]:
    """Answer ``GET /metrics`` with what *exporter* tells; yields the port.

    Raises:
        OSError: The port is taken.
    """

    async def respond(head: bytes) -> bytes:
        method, path = _request_line(head)
        if path.startswith(REPLICAS_PATH):
            return await replicas_response(head, exporter.replicas, datetime.now(UTC))
        if path != METRICS_PATH:
            return _response("404 Not Found", f"ask for {METRICS_PATH}\n")
        if method not in ("GET", "HEAD"):
            return _response("405 Method Not Allowed", "GET or HEAD\n")
        try:
            text = await exporter.scrape(datetime.now(UTC))
        except OSError as error:
            return _response("503 Service Unavailable", f"{error}\n")
        return _response("200 OK", text, kind=METRICS_TYPE, has_body=method == "GET")

    async with _endpoint(host, port, respond) as bound:
        yield bound


REPLICAS_WITHIN = 0.5
"""Seconds that a scrape waits for how many replicas fleets should have. That takes the Temporal
server, which may stand still; what the worker knows by itself has to be exported then, too."""

REPLICAS_FOR = timedelta(minutes=2)
"""How long the last answer is exported where a scrape gets no other in time."""

FleetAnswers = list[tuple[DeclaredFleet, Answer]]


@dataclass
class Exporter:
    """The metrics of a worker: the SDK's, and what the watchdog's latest round saw here.

    *core* is the address, of this machine only, on which the SDK serves its own. *replicas*
    answers how many workers fleets should have.
    """

    core: tuple[str, int]
    version: str
    tzdata: str
    view: RoundView | None = None
    replicas: Replicas | None = None
    _answers: tuple[datetime, FleetAnswers] | None = None
    _answering: asyncio.Task[None] | None = None

    def take(self, view: RoundView | None) -> None:
        """Take what a round saw; None once another worker may go on with the rounds."""
        self.view = view

    async def scrape(self, now: datetime) -> str:
        """Return all of it at *now*, in Prometheus' text format.

        Raises:
            OSError: The SDK doesn't answer.
        """
        known = await self._known_replicas(self.replicas, now) if self.replicas else []
        own = exposition(
            self.view,
            now,
            version=self.version,
            tzdata=self.tzdata,
            replicas=[(one, answer.replicas) for one, answer in known],
        )
        return await _fetch_text(*self.core) + own

    async def _known_replicas(self, replicas: Replicas, now: datetime) -> FleetAnswers:
        """Return what fleets should have, as it was answered within `REPLICAS_FOR`.

        An answer that doesn't come in time is waited for by the scrapes that follow.
        """
        if self._answering is None or self._answering.done():
            self._answering = asyncio.create_task(self._ask(replicas, now))
        await asyncio.wait({self._answering}, timeout=REPLICAS_WITHIN)
        at, answers = self._answers or (now, [])
        return answers if now - at <= REPLICAS_FOR else []

    async def _ask(self, replicas: Replicas, now: datetime) -> None:
        try:
            self._answers = now, await replicas.known(now)
        except Exception as error:  # no scrape may fail of it
            logging.getLogger("planner.worker").warning("the replicas of fleets: %s", error)


async def _fetch_text(host: str, port: int) -> str:
    """Return the metrics that the SDK serves on that address."""
    async with asyncio.timeout(HTTP_TIMEOUT):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(
                f"GET {METRICS_PATH} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
            )
            answer = await reader.read(-1)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n", 1)[0]:
        raise OSError("the SDK's metrics can't be read")
    return body.decode()


@asynccontextmanager
async def _endpoint(
    host: str, port: int, respond: Callable[[bytes], Awaitable[bytes]]
) -> AsyncIterator[int]:
    """Serve HTTP: each request by its head alone, and one a connection; yields the port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ValueError, TimeoutError, asyncio.IncompleteReadError):
            async with asyncio.timeout(HTTP_TIMEOUT):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(await respond(head))
                await writer.drain()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, host, port, limit=HTTP_REQUEST_LIMIT)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


def health_response(head: bytes, *, healthy: bool, problems: Iterable[str] = ()) -> bytes:
    """Return the HTTP response to a request that begins with *head*."""
    method, path = _request_line(head)
    why = [] if healthy else ["stopping"]
    if path == READY_PATH:
        why += problems
    if path not in (HEALTH_PATH, READY_PATH):
        status, text = "404 Not Found", f"ask for {HEALTH_PATH} or {READY_PATH}\n"
    elif method not in ("GET", "HEAD"):
        status, text = "405 Method Not Allowed", "GET or HEAD\n"
    else:
        status = "503 Service Unavailable" if why else "200 OK"
        text = "".join(f"{one}\n" for one in why) or "ok\n"
    return _response(status, text, has_body=method != "HEAD")


async def replicas_response(head: bytes, replicas: Replicas | None, now: datetime) -> bytes:
    """Return the HTTP response to a request for the replicas of a fleet.

    What can't be known is a 503 with the reason, so that whoever scales by it falls back.
    """
    method, path = _request_line(head)
    if method not in ("GET", "HEAD"):
        return _response("405 Method Not Allowed", "GET or HEAD\n")
    name = unquote(path.removeprefix(REPLICAS_PATH))
    try:
        if replicas is None:
            raise NotKnown("the worker is starting")
        answer = await replicas.answer(name, now)
    except UnknownFleet as error:
        return _response("404 Not Found", f"{error}\n")
    except NotKnown as error:
        return _response("503 Service Unavailable", f"{error}\n")
    text = json.dumps(answer.plain) + "\n"
    return _response("200 OK", text, kind=JSON_TYPE, has_body=method == "GET")


def _request_line(head: bytes) -> tuple[str, str]:
    """Return the method and the path of a request."""
    method, path = (*head.decode("latin-1").split(" ", 2), "", "")[:2]
    return method, path.partition("?")[0]


def _response(status: str, text: str, *, kind: str = PLAIN_TYPE, has_body: bool = True) -> bytes:
    """Return an HTTP response; without its body, it still says how long that is."""
    body = text.encode()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + (body if has_body else b"")


HEARTBEAT_INTERVAL = 15.0
"""Seconds between two heartbeats. The SDK sends the latest one each 80 % of
`activity_types.HEARTBEAT_TIMEOUT`; at twice that rate there is one to send also on a machine
that is busy."""


@dataclass(slots=True)
class Heartbeat:
    """The heartbeat of one activity; *details* go with the next one."""

    details: object

    def update(self, details: object) -> None:
        """Send *details* from the next heartbeat on."""
        self.details = details


@asynccontextmanager
async def heartbeating(details: object, every: float | None = None) -> AsyncIterator[Heartbeat]:
    """Send heartbeats while the context lasts, whatever is waited for in it.

    One comes *every* so many seconds, `HEARTBEAT_INTERVAL` if left out. The first one comes after
    as long, so that what is quick costs none.
    """
    heartbeat, interval = Heartbeat(details), HEARTBEAT_INTERVAL if every is None else every

    async def beat() -> None:
        while True:
            await asyncio.sleep(interval)
            activity.heartbeat(heartbeat.details)

    beating = asyncio.create_task(beat())
    try:
        yield heartbeat
    finally:
        beating.cancel()
        # Waited for without its outcome: a cancel that is raised here is the activity's own.
        await asyncio.wait({beating})
