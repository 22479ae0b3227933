"""What a worker logs: one JSON object a line on stderr, for a collector to read."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

from temporalio import activity
from temporalio.common import MetricMeter

from workflows.activity_types import Sight
from workflows.contract import Capacity
from workflows.keeper_state import Ledger
from workflows.keeper_transitions import LOWER_WITHIN

CONTEXT = (
    "temporal_workflow",
    "temporal_activity",
)
"""What the SDK hangs on a record: which workflow, which activity, which attempt."""


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
    """Send what is logged to stderr as JSON lines; requests of the HTTP library stay out."""
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
    ledger: Ledger, sight: Sight, now: datetime | None = None, *, running: int | None = None
) -> None:
    """Record what a step aimed at and what it found in force at its end.

    *running* leases run, those of *ledger* if it is None.
    """
    now = now or datetime.now(UTC)
    meter = _meter(ledger.namespace)
    wanted = ledger.target.capacity
    _gauge(meter, "target_tru", "TRU that should be in force; 0 is on-demand", _tru(wanted))
    _gauge(meter, "actual_tru", "TRU in force; 0 is on-demand", _tru(sight.capacity))
    meter.create_gauge(f"{PREFIX}_leases", "Claims that run").set(
        len(ledger.leases) if running is None else running
    )
    if sight.capacity == wanted and sight.found != wanted and ledger.aimed_since:
        _record_latency(meter, ledger, (now - ledger.aimed_since).total_seconds())
    overdue = _is_lowering(ledger) and sight.capacity != wanted and _is_late(ledger, now)
    meter.create_gauge(f"{PREFIX}_overdue_reverts", "Ways down that take too long").set(
        int(overdue)
    )


def record_fault(ledger: Ledger, kind: str, now: datetime | None = None) -> None:
    """Count a fault of the Cloud API by its *kind*, and a way down that it makes late."""
    now = now or datetime.now(UTC)
    meter = _meter(ledger.namespace)
    labelled = meter.with_additional_attributes({"kind": kind})
    labelled.create_counter(f"{PREFIX}_faults", "Faults of the Cloud API").add(1)
    if _is_lowering(ledger) and _is_late(ledger, now):
        meter.create_gauge(f"{PREFIX}_overdue_reverts", "Ways down that take too long").set(1)


def record_lateness(namespace: str, seconds: float) -> None:
    """Record how long after its nominal time a firing asked for its lease."""
    _meter(namespace).create_histogram_float(
        f"{PREFIX}_lateness", "Seconds from a firing's nominal time to its claim", "seconds"
    ).record(max(0.0, seconds))


def _meter(namespace: str) -> MetricMeter:
    return activity.metric_meter().with_additional_attributes({"target_namespace": namespace})


def _gauge(meter: MetricMeter, name: str, description: str, value: float) -> None:
    meter.create_gauge_float(f"{PREFIX}_{name}", description).set(value)


def _record_latency(meter: MetricMeter, ledger: Ledger, seconds: float) -> None:
    name = "revert" if _is_lowering(ledger) else "raise"
    described = f"Seconds from the need to {name} to its being in force"
    meter.create_histogram_float(f"{PREFIX}_{name}_latency", described, "seconds").record(seconds)


def _is_lowering(ledger: Ledger) -> bool:
    return not ledger.leases


def _is_late(ledger: Ledger, now: datetime) -> bool:
    return ledger.aimed_since is not None and now - ledger.aimed_since > LOWER_WITHIN


def _tru(capacity: Capacity) -> float:
    return capacity.tru or 0.0


HEALTH_PATH = "/healthz"
REQUEST_LIMIT = 8_192
REQUEST_WITHIN = 5.0
"""Bytes and seconds that a request may take."""

_ANSWER = "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{text}"


@asynccontextmanager
async def health_endpoint(
    host: str, port: int, is_healthy: Callable[[], bool]
) -> AsyncIterator[int]:
    """Answer ``GET /healthz`` with 200 while *is_healthy*, else 503; yields the port.

    Raises:
        OSError: The port is taken.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ValueError, TimeoutError, asyncio.IncompleteReadError):
            async with asyncio.timeout(REQUEST_WITHIN):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(answer(head, healthy=is_healthy()))
                await writer.drain()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, host, port, limit=REQUEST_LIMIT)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


def answer(head: bytes, *, healthy: bool) -> bytes:
    """Return the reply to a request that begins with *head*."""
    method, path = (*head.decode("latin-1").split(" ", 2), "", "")[:2]
    if path.partition("?")[0] != HEALTH_PATH:
        status, text = "404 Not Found", f"ask for {HEALTH_PATH}\n"
    elif method not in ("GET", "HEAD"):
        status, text = "405 Method Not Allowed", "GET or HEAD\n"
    else:
        status = "200 OK" if healthy else "503 Service Unavailable"
        text = "ok\n" if healthy else "stopping\n"
    body = "" if method == "HEAD" else text
    return _ANSWER.format(status=status, length=len(text), text=body).encode()
