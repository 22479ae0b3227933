"""What a worker shows of itself: logs on stderr, metrics, a health endpoint, heartbeats.

The planner's own metrics stand next to the SDK's on the worker's Prometheus endpoint. They are
recorded in activities only, so that a replay counts nothing twice. The label
``target_namespace`` is the Temporal Cloud namespace; the SDK's own ``namespace`` is the one
that the worker lives in.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from temporalio import activity
from temporalio.common import MetricMeter

from workflows.activity_types import Observation
from workflows.contract import Capacity, WatchdogReport
from workflows.keeper_state import KeeperState
from workflows.keeper_transitions import REVERT_DEADLINE

CONTEXT = (
    "temporal_workflow",
    "temporal_activity",
)
"""Fields that the SDK adds to a log record: which workflow, activity and attempt."""


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object with time, level, logger, message and context."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line for *record*."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name in CONTEXT:
            line |= getattr(record, name, None) or {}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def log_to_stderr(level: int = logging.INFO) -> None:
    """Send log records to stderr as JSON lines; requests of the HTTP library are left out."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # One line a request, with its URL: noise, at the rate that operations are polled.
    logging.getLogger("httpx").setLevel(logging.WARNING)


PREFIX = "capacity_boost"

BUCKETS = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 180.0, 300.0, 600.0, 1_800.0, 3_600.0, 14_400.0)
"""Seconds: provisioning takes about two minutes, an outage hours."""

HISTOGRAM_BUCKETS = {
    f"{PREFIX}_{name}": BUCKETS for name in ("lateness", "raise_latency", "revert_latency")
}


def record_step(
    state: KeeperState,
    observation: Observation,
    now: datetime | None = None,
    *,
    active_leases: int | None = None,
) -> None:
    """Record the target of a reconcile and the capacity in force at its end.

    *active_leases* is the number of active leases, None where *state* has all of them.
    """
    now = now or datetime.now(UTC)
    meter = _meter(state.namespace)
    target = state.target.capacity
    _gauge(meter, "target_tru", "TRU that should be in force; 0 is on-demand", _tru(target))
    _gauge(meter, "actual_tru", "TRU in force; 0 is on-demand", _tru(observation.capacity))
    meter.create_gauge(f"{PREFIX}_leases", "Active leases").set(
        len(state.leases) if active_leases is None else active_leases
    )
    if observation.capacity == target and observation.found != target and state.target_since:
        _record_latency(meter, state, (now - state.target_since).total_seconds())
    overdue = _is_reverting(state) and observation.capacity != target and _is_late(state, now)
    meter.create_gauge(f"{PREFIX}_overdue_reverts", "Reverts that take too long").set(int(overdue))


def record_fault(state: KeeperState, kind: str, now: datetime | None = None) -> None:
    """Count a fault of the Cloud API by its *kind*, and note a revert that it makes overdue."""
    now = now or datetime.now(UTC)
    meter = _meter(state.namespace)
    labelled = meter.with_additional_attributes({"kind": kind})
    labelled.create_counter(f"{PREFIX}_faults", "Faults of the Cloud API").add(1)
    if _is_reverting(state) and _is_late(state, now):
        meter.create_gauge(f"{PREFIX}_overdue_reverts", "Reverts that take too long").set(1)


def record_lateness(namespace: str, seconds: float) -> None:
    """Record how long after its nominal time a firing requested its lease."""
    _meter(namespace).create_histogram_float(
        f"{PREFIX}_lateness", "Seconds from a firing's nominal time to its lease request", "seconds"
    ).record(max(0.0, seconds))


def record_round(report: WatchdogReport) -> None:
    """Record a round of the watchdog: when it was, what it saw and what it healed."""
    meter = activity.metric_meter()
    last = "Unix time of the latest round of the watchdog"
    meter.create_gauge_float(f"{PREFIX}_watchdog_last_round", last, "s").set(report.at.timestamp())
    problems = "What the latest round of the watchdog could not read"
    meter.create_gauge(f"{PREFIX}_watchdog_problems", problems).set(len(report.problems))
    for one in report.namespaces:
        of = _meter(one.namespace)
        if one.capacity is not None:
            _gauge(of, "seen_tru", "TRU that the watchdog saw; 0 is on-demand", _tru(one.capacity))
        described = "Whether capacity was set externally, as the watchdog saw it"
        of.create_gauge(f"{PREFIX}_foreign", described).set(int(one.state == "foreign"))
    for each in (one for one in report.healed if one.at == report.at):
        labelled = _meter(each.namespace).with_additional_attributes({"what": each.what})
        labelled.create_counter(f"{PREFIX}_healed", "What the watchdog put right").add(1)


def _meter(namespace: str) -> MetricMeter:
    return activity.metric_meter().with_additional_attributes({"target_namespace": namespace})


def _gauge(meter: MetricMeter, name: str, description: str, value: float) -> None:
    meter.create_gauge_float(f"{PREFIX}_{name}", description).set(value)


def _record_latency(meter: MetricMeter, state: KeeperState, seconds: float) -> None:
    name = "revert" if _is_reverting(state) else "raise"
    described = f"Seconds from the need to {name} to its being in force"
    meter.create_histogram_float(f"{PREFIX}_{name}_latency", described, "seconds").record(seconds)


def _is_reverting(state: KeeperState) -> bool:
    return not state.leases


def _is_late(state: KeeperState, now: datetime) -> bool:
    return state.target_since is not None and now - state.target_since > REVERT_DEADLINE


def _tru(capacity: Capacity) -> float:
    return capacity.tru or 0.0


HEALTH_PATH = "/healthz"
READY_PATH = "/readyz"
HEALTH_REQUEST_LIMIT = 8_192
HEALTH_REQUEST_TIMEOUT = 5.0
"""The bytes and seconds that a health request may take."""

_RESPONSE = (
    "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\n"
    "Content-Length: {length}\r\n\r\n{text}"
)


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


@asynccontextmanager
async def health_endpoint(
    host: str,
    port: int,
    is_healthy: Callable[[], bool],
    problems: Callable[[], Iterable[str]] = tuple,
) -> AsyncIterator[int]:
    """Answer ``GET /healthz`` with 200 while *is_healthy*, else 503; yields the port.

    ``GET /readyz`` is answered with 200 while there are no *problems* besides, else with 503
    and a line for each.

    Raises:
        OSError: The port is taken.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ValueError, TimeoutError, asyncio.IncompleteReadError):
            async with asyncio.timeout(HEALTH_REQUEST_TIMEOUT):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(health_response(head, healthy=is_healthy(), problems=problems()))
                await writer.drain()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, host, port, limit=HEALTH_REQUEST_LIMIT)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


def health_response(head: bytes, *, healthy: bool, problems: Iterable[str] = ()) -> bytes:
    """Return the HTTP response to a request that begins with *head*."""
    method, path = (*head.decode("latin-1").split(" ", 2), "", "")[:2]
    path = path.partition("?")[0]
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
    body = "" if method == "HEAD" else text
    length = len(text.encode())
    return _RESPONSE.format(status=status, length=length, text=body).encode()


HEARTBEAT_INTERVAL = 15.0
"""Seconds between two heartbeats. The SDK sends the latest one each 80 % of
`activity_types.HEARTBEAT_TIMEOUT`; at twice that rate there is one to send also on a machine
that is busy."""


@dataclass(slots=True)
class Heartbeat:
    """The heartbeat of one activity; *details* go with the next one."""

    details: str

    def update(self, details: str) -> None:
        """Send *details* from the next heartbeat on."""
        self.details = details


@asynccontextmanager
async def heartbeating(details: str) -> AsyncIterator[Heartbeat]:
    """Send heartbeats while the context lasts, whatever is waited for in it.

    The first one comes after `HEARTBEAT_INTERVAL`, so that quick activities cost none.
    """
    heartbeat = Heartbeat(details)

    async def beat() -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_INTERVAL)
            activity.heartbeat(heartbeat.details)

    beating = asyncio.create_task(beat())
    try:
        yield heartbeat
    finally:
        beating.cancel()
        # Waited for without its outcome: a cancel that is raised here is the activity's own.
        await asyncio.wait({beating})
