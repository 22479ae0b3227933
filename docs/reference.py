"""Write docs/commands.md: what each command says of itself (``python docs/reference.py``)."""

from __future__ import annotations

import io
import os
from contextlib import redirect_stdout
from pathlib import Path

TARGET = Path(__file__).with_name("commands.md")

INTRODUCTION = """# Commands

What each command prints for `--help`. This page is written by `python docs/reference.py`,
and a test compares it with the program.

| exit code | meaning |
| --- | --- |
| 0 | done, or nothing to do |
| 1 | an error: bad input, an unreachable server, a failed change |
| 2 | changes are pending (`plan --detailed-exitcode`); not covered (`status --check`) |
| 3 | refused by a safety rule; the message names the flag that allows it |
| 4 | the plan is no longer the one whose checksum was given |
| 64 | the command line itself is wrong |
| 130, 143 | interrupted by Ctrl-C, by SIGTERM |

A reader of stdout that leaves (`planner plan | head`) changes no exit code. Output that
can't be written, on a full disk, is an error.
"""


def help_of(*command: str) -> str:
    """Return what *command* prints for ``--help``, 80 columns wide."""
    from planner.cli.commands import exit_code_of

    os.environ["COLUMNS"] = "80"
    with redirect_stdout(io.StringIO()) as printed:
        exit_code_of([*command, "--help"])
    return "\n".join(line.rstrip() for line in printed.getvalue().splitlines()).strip()


def commands() -> list[str]:
    """Return the names of all commands, sorted."""
    import typer.main

    from planner.cli.commands import app

    group = typer.main.get_command(app)
    return sorted(group.commands)  # type: ignore[attr-defined]


def reference() -> str:
    """Return the whole page."""
    sections = (f"## planner {name}\n\n```text\n{help_of(name)}\n```\n" for name in commands())
    return "\n".join([INTRODUCTION, *sections])


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
