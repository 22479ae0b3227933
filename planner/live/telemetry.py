"""Where the Temporal SDK says what it has to say: in Python's logging, never on stdout.

Its core, which is not Python, prints warnings on stdout unless told otherwise: "gRPC call
failed, retrying" in the middle of a plan as JSON.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)

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
