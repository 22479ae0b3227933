"""How a sync is told of: each change as it comes, and what it all came to."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from planner.cli.output import report
from planner.cli.progress import Bar

if TYPE_CHECKING:
    from planner.plan.model import Change
    from planner.temporal.apply import Outcome
    from planner.temporal.client import Server
    from planner.temporal.sync import Report

DONE = {
    "create": "created",
    "update": "updated",
    "extend": "extended",
    "adopt": "adopted",
    "start": "started",
    "delete": "deleted",
}


def colours() -> bool:
    """Tell whether stdout gets colours: a terminal does, and a log with FORCE_COLOR.

    NO_COLOR (no-color.org) counts before FORCE_COLOR (force-color.org), as in Python itself.
    """
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or sys.stdout.isatty()


class Teller:
    """Tells of a sync: a line a change on stdout, or all of it as JSON at the end."""

    def __init__(
        self, server: Server, *, aloud: bool, quiet: bool = False, bar: Bar | None = None
    ) -> None:
        self._server = server
        self._aloud = aloud
        self._quiet = quiet
        self._bar = bar or Bar()
        self._ui = os.environ.get("PLANNER_UI_URL", "")

    def told(self, outcome: Outcome) -> None:
        """Print one outcome as a line, with the page to look at it."""
        if self._aloud and not (self._quiet and outcome.done):
            self._bar.line(self._line(outcome))

    def written(self, _: Change) -> None:
        """Move the bar on: one change is written."""
        self._bar.advance()

    def conclude(self, done: Report) -> None:
        """Print what the sync came to."""
        if not self._aloud:
            report(json.dumps(self._value(done), indent=2, ensure_ascii=False))
        elif done.failed or not self._quiet:
            report(_sentence(done))

    def _line(self, outcome: Outcome) -> str:
        from planner.render.plan import SIGNS, painted

        change = outcome.change
        sign = SIGNS[change.action] if outcome.done else SIGNS["refused"]
        words = DONE[change.action] if outcome.done else f"could not {change.action}"
        head = painted(f"{sign} {words} {change.key}", sign, colours())
        tail = f": {outcome.message}" if outcome.message else ""
        return f"{head}{tail}" + (f"  {page}" if (page := self._page(outcome)) else "")

    def _page(self, outcome: Outcome) -> str:
        """Return where the schedule can be looked at; empty where it can't."""
        from planner.temporal.client import schedule_page

        if outcome.change.action == "delete":
            return ""
        return schedule_page(self._server, outcome.change.id, self._ui)

    def _value(self, done: Report) -> dict[str, Any]:
        from planner.render.plan import plan_value

        value = plan_value(done.plan)
        value["outcomes"] = [
            {
                "action": outcome.change.action,
                "schedule_id": outcome.change.id,
                "done": outcome.done,
                "message": outcome.message,
                "page": self._page(outcome),
            }
            for outcome in done.outcomes
        ]
        return value


def _sentence(done: Report) -> str:
    """Return what was done, in one sentence."""
    from planner.render.plan import summary_sentence

    if not done.outcomes:
        return summary_sentence(done.plan)
    counts = [
        f"{count:,} {words}"
        for action, words in DONE.items()
        if (count := sum(o.done and o.change.action == action for o in done.outcomes))
    ]
    failed = [f"{len(done.failed):,} failed"] if done.failed else []
    unchanged = [f"{done.plan.unchanged:,} unchanged"] if done.plan.unchanged else []
    again = " Run it again: what is done stays done." if failed else ""
    return f"Sync of {done.plan.project}: {', '.join(counts + failed + unchanged)}.{again}"
