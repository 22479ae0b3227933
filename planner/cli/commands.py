"""Every command of ``planner``, registered by importing its module, in the order of the help.

Command modules import slow packages (temporalio, holidays, httpx) inside their functions,
so that ``planner --help`` stays fast.
"""

from __future__ import annotations

from planner.cli import (
    boost,
    dev,
    doctor,
    explain,
    fetch,
    init,
    pause,
    plan,
    preview,
    rehearse,
    status,
    sync,
    uninstall,
    validate,
    worker,
)
from planner.cli.app import app, exit_code_of

__all__ = [
    "app",
    "boost",
    "dev",
    "doctor",
    "exit_code_of",
    "explain",
    "fetch",
    "init",
    "pause",
    "plan",
    "preview",
    "rehearse",
    "status",
    "sync",
    "uninstall",
    "validate",
    "worker",
]


ORDER = (
    *("demo", "dev", "init", "fetch", "validate", "schema", "preview", "explain", "rehearse"),
    *("plan", "sync", "pause", "resume", "skip"),
    *("doctor", "worker", "status", "boost", "release", "simulator", "uninstall"),
)
"""The order of the commands in the help: by when a new user needs them."""

app.registered_commands.sort(
    key=lambda command: ORDER.index(command.name or getattr(command.callback, "__name__", ""))
)
