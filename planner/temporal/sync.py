"""Plan and sync: look, judge, take the turn, write, read back, and see what is under way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from planner.errors import ServerError
from planner.plan.diff import Wanted, diff, near, undecided
from planner.plan.model import Change, Live, Plan
from planner.plan.safety import Allowances, insist_on_checksum, insist_on_permission, judge
from planner.temporal.apply import Outcome, apply, is_read_back_later, read_back
from planner.temporal.client import Server
from planner.temporal.clock import ServerClock, desk_clock
from planner.temporal.fetch import fetch, gather_evidence
from planner.temporal.last_applied import Record, ahead_of, behind, read_record, write_record
from planner.temporal.starts import see_started
from planner.temporal.sync_lock import Turn, take_turn

INTERRUPT_SECONDS = 2.0
"""How long an interrupted sync lets what it sent arrive before the next one may look."""


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
        written: Told each change as its write is over, well or not.
        told: Told the outcome of each change, once.
    """

    wanted: Wanted
    allowed: Allowances = field(default_factory=Allowances)
    checksum: str = ""
    full: bool = False
    say: Callable[[str], None] = field(default=_silent)
    begins: Callable[[Plan], None] = field(default=_silent)
    written: Callable[[Change], None] = field(default=_silent)
    told: Callable[[Outcome], None] = field(default=_silent)


@dataclass(frozen=True, slots=True)
class Report:
    """What a sync did: the plan it followed, and how each change went."""

    plan: Plan
    outcomes: tuple[Outcome, ...] = ()

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """The changes that could not be made."""
        return tuple(outcome for outcome in self.outcomes if not outcome.done)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is wanted and what is live; *left* still holds of the last sync's record."""

    wanted: Wanted
    live: Mapping[str, Live]
    left: Record


@dataclass(frozen=True, slots=True)
class _Sight:
    """A plan, and what it was made with.

    Attributes:
        plan: What there is to do.
        left: What still holds of the last sync's record.
        at: The instant that it is for.
        is_undecided: Whether it would have been another plan had the clock been off.
    """

    plan: Plan
    left: Record
    at: datetime
    is_undecided: bool


async def look(server: Server, order: Order, now: datetime) -> Plan:
    """Return the plan for what is live at this moment, each change judged.

    Args:
        server: Where; nothing is written there.
        order: What is wanted.
        now: By this machine's clock: nothing that is only read has the server's time.
    """
    desk = desk_clock(now)
    record = await read_record(server, order.wanted.project, now)
    seen = await _see(server, order, record)
    return (await _judged(server, order, seen, desk)).plan


async def sync(server: Server, order: Order, now: datetime) -> Report:
    """Make the live schedules what is wanted, and start what is under way and did not fire.

    With nothing to do, nothing is written: no turn is taken either. What was seen before
    the turn was ours is seen again, unless the record proves that nobody wrote meanwhile.
    Under the turn it is the server's clock that counts; where less than the slack of *now*
    decides whether something is to be started, the turn is taken to know.

    Args:
        server: Where.
        order: What is wanted.
        now: By this machine's clock.

    Raises:
        Refused: A change is held back; nothing was written.
        StalePlan: The plan isn't the one with the order's checksum; nothing was written.
        ServerError: The server could not be read.
    """
    desk, project, seen = desk_clock(now), order.wanted.project, None
    record = await read_record(server, project, now)
    if record.is_settled:  # else somebody writes now, or broke off: the turn will tell
        seen = await _see(server, order, record)
        sight = await _judged(server, order, seen, desk)
        if not (sight.plan.pending or sight.is_undecided):
            return Report(_checked(sight.plan, order))
    async with take_turn(server.client, project, order.say) as turn:
        clock = await turn.clock(server)
        latest = await read_record(server, project, clock.now())
        if seen is None or latest.version != record.version:
            seen = await _see(server, order, latest)
        sight = await _judged(server, order, seen, clock)
        _checked(sight.plan, order)
        if latest.is_settled and not sight.plan.pending:
            return Report(sight.plan)
        return await _write(server, order, sight, turn, clock)


async def _see(server: Server, order: Order, record: Record) -> _Seen:
    """Return what there is; what was paused when it was to be adopted is wanted so."""
    seen = await fetch(server, order.wanted, record, full=order.full)
    schedules = tuple(
        replace(one, paused=True, note=seen.left.pauses[one.id])
        if one.id in seen.left.pauses
        else one
        for one in order.wanted.schedules
    )
    return _Seen(replace(order.wanted, schedules=schedules), seen.live, seen.left)


async def _judged(server: Server, order: Order, seen: _Seen, clock: ServerClock) -> _Sight:
    """Return what there is to do about what was *seen*, by *clock*."""
    around = clock.around()
    open_ = near(seen.wanted, seen.live, around)
    evidence = await gather_evidence(server, open_, seen.live, around)
    live = {**seen.live, **evidence}
    now = around.start + clock.slack
    plan = diff(seen.wanted, live, now, near=open_)
    return _Sight(
        plan=judge(plan, order.allowed),
        left=seen.left,
        at=now,
        is_undecided=clock.slack > timedelta() and undecided(open_, live, around),
    )


def _checked(plan: Plan, order: Order) -> Plan:
    """Return *plan*, if it is the one that was looked at and nothing in it is held back."""
    if order.checksum:
        insist_on_checksum(plan, order.checksum)
    insist_on_permission(plan)
    return plan


async def _write(
    server: Server, order: Order, sight: _Sight, turn: Turn, clock: ServerClock
) -> Report:
    """Apply the plan between two records: what may be touched, and what became of it."""
    plan, project = sight.plan, order.wanted.project
    record = ahead_of(plan, sight.left)
    if plan.pending:
        order.begins(plan)
        turn.insist()
        await write_record(server, project, record)
    try:
        report = Report(plan, await _applied(server, order, sight, turn, clock))
    except BaseException:  # interrupted: what was sent may still be on its way to the server
        await asyncio.shield(asyncio.sleep(INTERRUPT_SECONDS))
        raise
    done = [outcome.change for outcome in report.outcomes if outcome.done]
    turn.ends_with(f"{len(done)} written, {len(report.failed)} failed")
    with contextlib.suppress(ServerError):  # without it the next sync describes a few more
        turn.insist()
        await write_record(server, project, behind(record, done))
    return report


async def _applied(
    server: Server, order: Order, sight: _Sight, turn: Turn, clock: ServerClock
) -> tuple[Outcome, ...]:
    """Apply the plan and read it back, then see to what is under way by then.

    Each change has one outcome, told when it is certain.
    """
    uncertain: dict[str, Outcome] = {}

    def written(outcome: Outcome) -> None:
        order.written(outcome.change)
        if is_read_back_later(outcome):
            uncertain[outcome.change.id] = outcome
        else:
            order.told(outcome)

    try:
        outcomes = await apply(server, sight.plan, clock, insist=turn.insist, told=written)
        checked = await read_back(server, order.wanted.project, outcomes, clock)
        uncertain.update({one.change.id: one for one in checked if one.change.id in uncertain})
    finally:  # of a sync that is interrupted, too, people see what was written
        for outcome in uncertain.values():
            order.told(outcome)
    started = await see_started(
        server, checked, clock, sight.at, insist=turn.insist, told=order.told
    )
    return (*checked, *started)
