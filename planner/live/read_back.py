"""What was written, read back: it is there as it was to be, or that is an outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from planner.diff import Change, Live, Wanted, unsettled
from planner.live.apply import Outcome, still_to_change
from planner.live.clock import ServerClock
from planner.live.fetch import FEW, describe_all, list_showing
from planner.live.server import Server

LIST_LAG = 0.2
"""Seconds by which a list tends to be behind: an earlier pass would often be in vain."""


async def read_back(
    server: Server, project: str, outcomes: Iterable[Outcome], clock: ServerClock
) -> tuple[Outcome, ...]:
    """Return *outcomes*, after a look at all that was made or deleted.

    Updates aren't among these: each was read back when it was written. What the list
    doesn't show yet is described.
    """
    made = {
        outcome.change.id: outcome.change for outcome in outcomes if is_read_back_later(outcome)
    }
    ids = await _unlisted(server, project, made) if len(made) > FEW else list(made)
    described = dict(zip(ids, await describe_all(server, ids), strict=True))
    return tuple(
        _checked(outcome, project, described[outcome.change.id], clock.now())
        if outcome.change.id in described
        else outcome
        for outcome in outcomes
    )


def is_read_back_later(outcome: Outcome) -> bool:
    """Tell whether *outcome* is certain only after `read_back`."""
    return outcome.done and outcome.change.action in ("create", "adopt", "delete")


async def _unlisted(server: Server, project: str, made: Mapping[str, Change]) -> list[str]:
    """Return which of the changes *made* the list doesn't show, given some time."""

    def missing(listed: Mapping[str, Live]) -> list[str]:
        return [id for id, one in made.items() if not _shows(one, project, listed.get(id))]

    await asyncio.sleep(LIST_LAG)
    return missing(await list_showing(server, project, made, lambda listed: not missing(listed)))


def _shows(change: Change, project: str, live: Live | None) -> bool:
    """Tell whether *live*, as the list has it, is what *change* made."""
    if live is None or change.desired is None:
        return live is None and change.desired is None
    wanted = Wanted(project=project, schedules=(change.desired,))
    return not unsettled(wanted, {live.id: live})


def _checked(outcome: Outcome, project: str, live: Live | None, now: datetime) -> Outcome:
    """Return *outcome* with what is wrong with it, seeing that *live* is there now."""
    desired = outcome.change.desired
    if desired is None:
        words = "" if live is None else "it is there all the same"
    elif live is None:
        words = "it isn't there, although the server took it"
    else:
        left = still_to_change(project, desired, live, now)
        words = ", ".join(map(str, left.fields)) or left.reason if left else ""
    if not words:
        return outcome
    return replace(
        outcome, done=False, message=f"read back otherwise ({words}); run the sync again"
    )
