"""Problems and warnings of calendar files, as a pull request shows them."""

from __future__ import annotations

from collections.abc import Sequence

from planner.errors import Lint, Problem
from planner.render.plan import LIMIT, quoted

PROBLEMS_ROOM = LIMIT // 2
"""Characters that the list of problems may take in a comment."""


def github_annotations(problems: Sequence[Problem], warnings: Sequence[Lint]) -> list[str]:
    """Return GitHub's workflow commands that mark each problem and warning at its line.

    See "Workflow commands for GitHub Actions". GitHub shows ten errors and ten warnings of
    a step in the files; the log has all of them.
    """
    return [
        *(_annotation("error", each.file, each.line, each.message) for each in problems),
        *(
            _annotation("warning", each.file, each.line, f"{each.message} [{each.code}]")
            for each in warnings
        ),
    ]


def _annotation(kind: str, file: str, line: int, message: str) -> str:
    where = f"file={_escaped(file, ',:')}" + (f",line={line}" if line else "")
    return f"::{kind} {where},title=planner::{_escaped(message)}"


def _escaped(text: str, also: str = "") -> str:
    """Return *text* with the signs escaped that a workflow command gives a meaning."""
    for sign in ("%", "\r", "\n", *also):
        text = text.replace(sign, f"%{ord(sign):02X}")
    return text


def problems_markdown(problems: Sequence[Problem]) -> str:
    """Return *problems* in GitHub's Markdown, in the place of a plan."""
    count = len(problems)
    lines = [
        f"### Capacity calendar: {count} problem{'' if count == 1 else 's'}\n",
        "\nThe files can't be used as they are, so there is no plan; nothing was changed.\n\n",
    ]
    room = PROBLEMS_ROOM
    for shown, problem in enumerate(problems):
        place = f"{problem.file}:{problem.line}" if problem.line else problem.file
        line = f"- **{quoted(place)}**: {quoted(problem.message)}\n"
        room -= len(line)
        if room < 0:
            lines.append(f"- … and {count - shown} more; `planner validate` shows them\n")
            break
        lines.append(line)
    return "".join(lines)
