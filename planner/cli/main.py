"""The console script ``planner``: every command is registered by importing its module.

Command modules import what is slow (temporalio, holidays, httpx) inside their functions:
``planner --help`` stays quick.
"""

from __future__ import annotations

import traceback
from typing import NoReturn

from planner.cli import (
    by_hand,
    explaining,
    files,
    foresight,
    hold,
    local,
    reconcile,
    rehearse,
    simulate,
    status,
    worker,
)
from planner.cli.app import EXIT_ERROR, app, exit_code_of, leave

__all__ = [
    "app",
    "by_hand",
    "explaining",
    "files",
    "foresight",
    "hold",
    "local",
    "reconcile",
    "rehearse",
    "run",
    "simulate",
    "status",
    "worker",
]


ORDER = (
    *("demo", "dev", "validate", "schema", "preview", "explain", "rehearse"),
    *("plan", "sync", "pause", "resume"),
    *("worker", "status", "boost", "release", "simulator"),
)
"""How help lists the commands: as somebody comes to need them."""

app.registered_commands.sort(
    key=lambda command: ORDER.index(command.name or getattr(command.callback, "__name__", ""))
)


def run() -> NoReturn:
    """Run the command line and end the process with its exit code."""
    try:
        code = exit_code_of()
    except Exception:  # a bug of ours: show it whole, and still end with a code
        traceback.print_exc()
        code = EXIT_ERROR
    leave(code)
