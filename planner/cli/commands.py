"""Every command of ``planner``, registered by importing its module, in the order of the help.

Command modules import what is slow (temporalio, holidays, httpx) inside their functions:
``planner --help`` stays quick.
"""

from __future__ import annotations

from planner.cli import (
    by_hand,
    explaining,
    foresight,
    hold,
    init,
    local,
    reconcile,
    rehearse,
    simulate,
    status,
    validate,
    version,
    worker,
)
from planner.cli.app import app, exit_code_of

__all__ = [
    "app",
    "by_hand",
    "exit_code_of",
    "explaining",
    "foresight",
    "hold",
    "init",
    "local",
    "reconcile",
    "rehearse",
    "simulate",
    "status",
    "validate",
    "version",
    "worker",
]


ORDER = (
    *("demo", "dev", "init", "validate", "schema", "preview", "explain", "rehearse"),
    *("plan", "sync", "pause", "resume"),
    *("worker", "status", "boost", "release", "simulator"),
)
"""How help lists the commands: as somebody comes to need them."""

app.registered_commands.sort(
    key=lambda command: ORDER.index(command.name or getattr(command.callback, "__name__", ""))
)
