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
{exit_codes}

## planner

```text
{help}
```
"""


def help_of(*command: str) -> str:
    """Return what *command* prints for ``--help``, 80 columns wide."""
    from planner.cli.main import exit_code_of

    os.environ["COLUMNS"] = "80"
    with redirect_stdout(io.StringIO()) as printed:
        exit_code_of([*command, "--help"])
    return "\n".join(line.rstrip() for line in printed.getvalue().splitlines()).strip()


def commands() -> list[str]:
    """Return the names of all commands, sorted."""
    import typer.main

    from planner.cli.main import commands as application

    group = typer.main.get_command(application())
    return sorted(group.commands)  # type: ignore[attr-defined]


def reference() -> str:
    """Return the whole page."""
    from planner.cli.app import EXIT_CODES

    codes = (f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items())
    introduction = INTRODUCTION.format(exit_codes="\n".join(codes), help=help_of())
    sections = (f"## planner {name}\n\n```text\n{help_of(name)}\n```\n" for name in commands())
    return "\n".join([introduction, *sections])


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
