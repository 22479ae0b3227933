"""Write docs/commands.md, and the table of docs/metrics.md (``python docs/reference.py``)."""

from __future__ import annotations

import io
import os
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path

TARGET = Path(__file__).with_name("commands.md")
METRICS = Path(__file__).with_name("metrics.md")
BEGIN, END = "<!-- metrics -->\n", "<!-- /metrics -->\n"

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


@cache
def help_of(*command: str) -> str:
    """Return what *command* prints for ``--help``, 80 columns wide."""
    from planner.cli.main import exit_code_of

    os.environ["COLUMNS"] = "80"
    with redirect_stdout(io.StringIO()) as printed:
        exit_code_of([*command, "--help"])
    return "\n".join(line.rstrip() for line in printed.getvalue().splitlines()).strip()


@cache
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


def metrics_page(text: str) -> str:
    """Return the page of metrics, whose *text* has a table as it was once, with that of today."""
    from workflows.metrics import FAMILIES

    rows = "".join(
        f"| `{one.full_name}` | {one.kind} | {', '.join(f'`{label}`' for label in one.labels)} | "
        f"{one.help}{f'. Absent {one.absent}' if one.absent else ''} |\n"
        for one in FAMILIES
    )
    head, _, rest = text.partition(BEGIN)
    titles = "| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n"
    return f"{head}{BEGIN}{titles}{rows}{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
    METRICS.write_text(metrics_page(METRICS.read_text(encoding="utf-8")), encoding="utf-8")
