"""``planner dev`` and ``planner demo``: the whole thing on one machine."""

from __future__ import annotations

from planner.cli.app import app


@app.command()
def demo() -> None:
    """Show a namespace step up and down by its calendar, in about a minute."""


@app.command()
def dev() -> None:
    """Run it all on this machine: server, UI, simulator, worker, and your calendars."""
