"""``planner --version``: the versions that an answer depends on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from planner.cli.app import app

PACKAGE = "calendar-boost-planner"

DATA = ("tzdata", "holidays", "temporalio")
"""The packages besides ours whose release changes what a calendar comes to, or how it runs."""


def own_version() -> str:
    """Return the planner's version; of sources that nobody installed it isn't known."""
    return _version(PACKAGE)


def version_text() -> str:
    """Return what ``--version`` prints, a line a package, the planner first."""
    lines = [f"planner {own_version()}", *(f"{name} {_version(name)}" for name in DATA)]
    return "\n".join([*lines, f"python {platform.python_version()}"])


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _show(wanted: bool) -> None:
    if wanted:
        print(version_text())
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show,
            is_eager=True,
            help="Print the versions of the planner and of what its answers depend on.",
        ),
    ] = False,
) -> None:
    """Take the options that stand before a command."""
