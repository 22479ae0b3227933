"""Plan and sync: look, judge, take the turn, look again, write, and see it written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from planner.diff import Live, Plan, Wanted, diff, unsettled
from planner.live.apply import Outcome, apply
from planner.live.fetch import fetch, list_schedules
from planner.live.server import Server
from planner.live.turn import Turn, is_taken, take_turn
from planner.safety import Allowances, insist_on_checksum, insist_on_permission, judge

SETTLE_WAITS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)
"""Seconds between looks at the list until it shows what was written."""

INTERRUPT_SECONDS = 2.0
"""How long an interrupted sync lets the list catch up before the next one may read it."""


def _silent(_: object) -> None:
    """Say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a caller wants of a sync.

    Attributes:
        wanted: What the files ask for.
        allowed: What may be done although it looks dangerous.
        checksum: Of the plan that somebody looked at; empty for any.
        full: Describe every schedule.
        say: Told what people should know while it lasts.
        begins: Told the plan that is about to be written, if anything is.
        told: Told each outcome as it comes.
    """

    wanted: Wanted
    allowed: Allowances = field(default_factory=Allowances)
    checksum: str = ""
    full: bool = False
    say: Callable[[str], None] = field(default=_silent)
    begins: Callable[[Plan], None] = field(default=_silent)
    told: Callable[[Outcome], None] = field(default=_silent)


@dataclass(frozen=True, slots=True)
class Report:
    """What a sync did: the plan it followed, and how each change went."""

    plan: Plan
    outcomes: tuple[Outcome, ...] = ()
    list_lags: bool = False

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """The changes that could not be made."""
        return tuple(outcome for outcome in self.outcomes if not outcome.done)


async def look(server: Server, order: Order, now: datetime, *, full: bool = False) -> Plan:
    """Return the plan for what is live at this moment, each change judged."""
    live = await fetch(server, order.wanted, full=full or order.full)
    return judge(diff(order.wanted, live, now), order.allowed)


async def sync(server: Server, order: Order, now: datetime) -> Report:
    """Make the live schedules what is wanted.

    With nothing to do, nothing is written: no turn is taken either. Otherwise the plan
    is made again once it is our turn, so that what another sync did meanwhile counts.

    Raises:
        Refused: A change is held back; nothing was written.
        StalePlan: The plan isn't the one with the order's checksum; nothing was written.
        ServerError: The server could not be read.
    """
    taken, plan = await asyncio.gather(
        is_taken(server.client, order.wanted.project), look(server, order, now)
    )
    if not taken and not plan.pending:
        return Report(_checked(plan, order))
    async with take_turn(server.client, order.wanted.project, order.say) as turn:
        plan = _checked(await look(server, order, now, full=turn.taken_over), order)
        return await _write(server, order, plan, turn, now)


def _checked(plan: Plan, order: Order) -> Plan:
    """Return *plan*, if it is the one that was looked at and nothing in it is held back."""
    if order.checksum:
        insist_on_checksum(plan, order.checksum)
    insist_on_permission(plan)
    return plan


async def _write(server: Server, order: Order, plan: Plan, turn: Turn, now: datetime) -> Report:
    """Apply *plan*, and keep the turn until the server's list shows what was written.

    Whoever comes next may then trust the list.
    """
    if plan.pending:
        order.begins(plan)
    try:
        outcomes = await apply(server, plan, now, insist=turn.insist, told=order.told)
    except BaseException:  # interrupted: what was sent may still be on its way to the list
        await asyncio.shield(asyncio.sleep(INTERRUPT_SECONDS))
        raise
    settled = await _settle(server, order.wanted, outcomes)
    report = Report(plan, outcomes, list_lags=not settled)
    turn.ends_with(f"{len(outcomes) - len(report.failed)} written, {len(report.failed)} failed")
    return report


async def _settle(server: Server, wanted: Wanted, outcomes: Iterable[Outcome]) -> bool:
    """Wait until the list shows what was written; return False if it doesn't in time."""
    done = [outcome.change for outcome in outcomes if outcome.done]
    gone = {change.id for change in done if change.action == "delete"}
    there = {change.id for change in done} - gone
    if not done:
        return True
    for wait in SETTLE_WAITS:
        listed = await list_schedules(server, wanted.project, there)
        if _shows(listed, wanted, there, gone):
            return True
        await asyncio.sleep(wait)
    return False


def _shows(listed: Mapping[str, Live], wanted: Wanted, there: set[str], gone: set[str]) -> bool:
    """Tell whether the list shows all that is *there*, as it was written, and nothing *gone*."""
    if gone & listed.keys() or there - listed.keys():
        return False
    return not there & set(unsettled(wanted, listed))
