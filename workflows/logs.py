"""What a worker logs: one JSON object a line on stderr, for a collector to read."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

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
