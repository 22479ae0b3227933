"""How far a long sync has come: a bar on stderr, where that is a terminal."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

from planner.cli.output import report

if TYPE_CHECKING:
    from rich.progress import Progress

    from planner.plan.model import Plan

LONG = 25
"""A sync of fewer changes is over before a bar can be read."""

WRITING = "writing"
READING_BACK = "written; reading it back"


class Bar:
    """A bar below the lines of a sync; nothing at all in a pipe or for a short one.

    To be used as a context: what has been drawn is gone at its end.
    """

    def __init__(self) -> None:
        self._progress: Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._progress:
            self._progress.stop()
            self._progress = None

    def begin(self, plan: Plan) -> None:
        """Draw the bar for the changes of *plan*, if they are many and somebody looks."""
        if len(plan.pending) < LONG or not sys.stderr.isatty():
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeRemainingColumn as Remaining

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining())
        # Lines on stdout stay there: they are data, and may go elsewhere than the bar.
        self._progress = Progress(
            *columns, console=Console(stderr=True), transient=True, redirect_stdout=False
        )
        self._progress.add_task(WRITING, total=len(plan.pending))
        self._progress.start()

    def advance(self) -> None:
        """Move on by one change."""
        if not self._progress:
            return
        (task,) = self._progress.tasks
        self._progress.advance(task.id)
        if task.finished:
            self._progress.update(task.id, description=READING_BACK)

    def line(self, text: str) -> None:
        """Print *text* on stdout: above the bar, where both are on terminals."""
        if not (self._progress and sys.stdout.isatty()):
            report(text)
            return
        from rich.text import Text

        self._progress.console.print(Text.from_ansi(text), soft_wrap=True)
