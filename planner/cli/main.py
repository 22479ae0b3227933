"""The console script ``planner``: every command is registered by importing its module.

Command modules import what is slow (temporalio, holidays, httpx) inside their functions:
``planner --help`` stays quick.
"""

from __future__ import annotations

import traceback
from typing import NoReturn

from planner.cli import (
    by_hand,
    files,
    foresight,
    hold,
    local,
    reconcile,
    rehearsal,
    simulate,
    status,
    worker,
)
from planner.cli.app import EXIT_ERROR, app, exit_code_of, leave

__all__ = [
    "app",
    "by_hand",
    "files",
    "foresight",
    "hold",
    "local",
    "reconcile",
    "rehearsal",
    "run",
    "simulate",
    "status",
    "worker",
]


def run() -> NoReturn:
    """Run the command line and end the process with its exit code."""
    try:
        code = exit_code_of()
    except Exception:  # a bug of ours: show it whole, and still end with a code
        traceback.print_exc()
        code = EXIT_ERROR
    leave(code)
