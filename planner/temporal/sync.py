"""Plan and sync: fetch, diff, take the lock, write, read back, and start what is under way.

A window may open while a sync waits, reads or writes. A schedule fires only for times after the
server has processed its creation or update, and a busy server does that late. So each schedule
that may be affected is described after the writes: the server answers once it has processed all
of them, with the firings that it made and the ones that it is about to make.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain, repeat

from temporalio.api.schedule.v1 import ScheduleListEntry

from planner.errors import Lint, ServerError, StalePlan
from planner.model import Horizon, Ring
from planner.plan.diff import boosts_to_check, depends_on_clock, diff, start_candidates
from planner.plan.live import about_to_fire, missed, skip_warnings
from planner.plan.model import (
    Change,
    DesiredState,
    LiveSchedule,
    Plan,
    Source,
    Target,
    source_refusal,
    takeover_refusal,
)
from planner.plan.safety import Allowances, require_allowed, require_checksum, with_refusals
from planner.schedules.spec import Schedule
from planner.temporal.apply import Outcome, apply, is_read_back_later, read_back, start
from planner.temporal.client import Server, ServerClock, local_clock
from planner.temporal.fetch import (
    LATE,
    describe_patiently,
    differences_seen,
    fetch,
    fetch_evidence,
    fetch_leases,
    fetch_skips,
    list_entries,
    probe,
    recurring_zones,
    was_started,
    zone_warnings,
)
from planner.temporal.sync_state import (
    LastApplied,
    SyncLock,
    after_writing,
    before_writing,
    hold_lock,
    read_last_applied,
    write_last_applied,
)
from planner.timezones import TABLE_VERSION
from workflows.contract import format_instant, occurrence_of
from workflows.contract.findings import UsageThresholds
from workflows.contract.fleets import DeclaredFleet
from workflows.contract.notices import NoticeTarget

NOTICES_CHANGED = "the notices of planner.yaml have changed; a sync puts them in force"
USAGE_CHANGED = "what planner.yaml says of usage has changed; a sync puts it in force"
FLEETS_CHANGED = "the fleets that no window uses have changed; a sync puts them in force"

INTERRUPT_SECONDS = 2.0
"""Seconds that an interrupted sync keeps its lock, so that requests already sent arrive
before another sync reads the schedules."""


def _ignore(_: object) -> None:
    """Ignore the event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncRequest:
    """What a caller wants of a sync, and whom it calls back.

    Attributes:
        desired: The schedules that the files define.
        recompile: Returns them with the windows of these time zones dated, which the server
            reads differently; None compares no zones.
        allowed: Changes that the caller allows although a safety rule holds them back.
        checksum: Checksum of the plan that was reviewed; empty accepts any plan.
        full: Describe every schedule, so that changes made by hand are found.
        source: Where the calendars come from; None where no file says, and none is checked.
        move_source: Accept another source than the one of the project's last sync.
        targets: Where the project's notices go; None leaves what the last sync wrote.
        thresholds: What the worker judges usage by; None likewise.
        fleets: The project's fleets that no window uses; None likewise.
        commit: The commit of a followed repository that the files are of; empty where no file
            says, and the record says so, too, once something was written.
        rings: The project's rings, in order, and *ring_pause*, the least time between two: for
            `planner.temporal.rings.advance`. A sync by itself takes no notice of them.
        writer: A word of this caller alone, the same in all of its syncs: the record of what they
            wrote has it.
        after: The writer that the record had when this caller first looked: what yet another one
            has written since is not overwritten. None minds nobody.
        in_part: Whether a namespace's changes are written now; the others wait. The whole plan
            must be allowed.
        objection: Returns why a plan may not be applied; empty if it may.
        on_notice: Called with a sentence while the sync waits for another one.
        on_start: Called with the plan before its first change is written.
        on_write: Called with each change once its write has ended, successful or not.
        on_outcome: Called once with the final outcome of each change.
    """

    desired: DesiredState
    recompile: Callable[[Collection[str]], DesiredState] | None = None
    allowed: Allowances = field(default_factory=Allowances)
    checksum: str = ""
    full: bool = False
    source: Source | None = None
    move_source: bool = False
    targets: tuple[NoticeTarget, ...] | None = None
    thresholds: UsageThresholds | None = None
    fleets: tuple[DeclaredFleet, ...] | None = None
    commit: str = ""
    rings: tuple[Ring, ...] = ()
    ring_pause: timedelta = timedelta()
    writer: str = field(default_factory=lambda: uuid.uuid4().hex)
    after: str | None = None
    in_part: Callable[[str], bool] | None = None
    objection: Callable[[Plan], str] = field(default=lambda _: "")
    on_notice: Callable[[str], None] = field(default=_ignore)
    on_start: Callable[[Plan], None] = field(default=_ignore)
    on_write: Callable[[Change], None] = field(default=_ignore)
    on_outcome: Callable[[Outcome], None] = field(default=_ignore)


@dataclass(frozen=True, slots=True)
class SyncReport:
    """The plan that a sync applied, and the outcome of each change.

    *left* has the changes that were not to be written this time; None where all were.
    """

    plan: Plan
    outcomes: tuple[Outcome, ...] = ()
    left: Plan | None = None

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """The changes that could not be made."""
        return tuple(outcome for outcome in self.outcomes if not outcome.done)


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """Desired and live schedules at one moment.

    Attributes:
        desired: Desired schedules, with the pauses that an interrupted adoption has to keep.
        live: Live schedules by id.
        unlisted: What the last sync wrote and the server's list may not show yet.
        zones: Time zones that the server reads differently, with the first such instant.
    """

    desired: DesiredState
    live: Mapping[str, LiveSchedule]
    unlisted: LastApplied
    zones: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _DatedPlan:
    """A plan and the instant that it was made for.

    Attributes:
        plan: The changes, with their refusals.
        unlisted: What the last sync wrote and the server's list may not show yet.
        there: The ids of the schedules that it was made from.
        at: The instant, by the clock that the plan was made with.
        depends_on_clock: Whether an instant within the clock's uncertainty gives another plan.
        left: The changes that are not written this time; None where all are.
    """

    plan: Plan
    unlisted: LastApplied
    there: frozenset[str]
    at: datetime
    depends_on_clock: bool
    left: Plan | None = None


@dataclass(frozen=True, slots=True)
class ReadAhead:
    """The record of a project's last sync and, read after it, the server's list of schedules."""

    last: LastApplied
    entries: tuple[ScheduleListEntry, ...]


async def read_ahead(server: Server, project: str, now: datetime) -> ReadAhead:
    """Return what a plan or a sync of *project* reads first, which takes none of its files.

    Raises:
        ServerError: The server could not be read.
    """
    last = await read_last_applied(server, project, now)
    return ReadAhead(last, tuple([entry async for entry in list_entries(server)]))


async def fetch_plan(
    server: Server, request: SyncRequest, now: datetime, ahead: ReadAhead | None = None
) -> Plan:
    """Fetch the live schedules and return the plan with its refusals; write nothing.

    Args:
        server: Where the schedules are.
        request: What is desired.
        now: The time by this machine's clock. The server's clock can only be read by
            writing, so the plan allows for this machine's clock being off.
        ahead: What was read of the server just before; None reads it.
    """
    ahead = ahead or await read_ahead(server, request.desired.project, now)
    names = {schedule.request.namespace for schedule in request.desired.schedules}
    snapshot, skipped = await asyncio.gather(
        _fetch(server, request, ahead.last, now, ahead.entries), fetch_skips(server, names, now)
    )
    plan = (await _plan(server, request, snapshot, local_clock(now))).plan
    return replace(plan, warnings=(*plan.warnings, *skip_warnings(plan.project, skipped)))


async def sync(
    server: Server, request: SyncRequest, now: datetime, ahead: ReadAhead | None = None
) -> SyncReport:
    """Make the live schedules the desired ones, and start occurrences that did not fire.

    Where there is nothing to do, nothing is written and no lock is taken. The schedules are
    fetched again under the lock, unless the last-applied record proves that no other sync
    wrote in between. Under the lock the server's clock counts. Where the uncertainty of
    *now* decides whether something has to be started, the lock is taken to read that clock.

    Args:
        server: Where the schedules are.
        request: What is desired.
        now: The time by this machine's clock.
        ahead: What was read of the server just before; None reads it.

    Raises:
        Refused: A change is held back; nothing was written.
        StalePlan: The plan hasn't the checksum of the request, or another caller has written
            since this one first looked; nothing was written.
        ServerError: The server could not be read.
    """
    project, snapshot = request.desired.project, None
    clock = local_clock(now)
    last = ahead.last if ahead else await read_last_applied(server, project, now)
    if last.is_complete:  # else another sync writes now or broke off: wait for the lock
        snapshot = await _fetch(server, request, last, now, ahead.entries if ahead else None)
        dated = await _plan(server, request, snapshot, clock)
        records = _changes_record(request, last)
        if not (dated.plan.pending or dated.depends_on_clock or records):
            return SyncReport(_require(dated.plan, request))
    async with hold_lock(server.client, project, request.on_notice) as lock:
        clock = await lock.clock(server)
        latest = await read_last_applied(server, project, clock.now())
        if snapshot is None or latest.version != last.version:
            snapshot = await _fetch(server, request, latest, clock.now())
        dated = await _plan(server, request, snapshot, clock)
        if dated.plan.pending or _changes_record(request, latest):
            require_not_overtaken(request, latest)
        zones = await _probed(server, request, snapshot, dated, clock)
        if zones.keys() != snapshot.zones.keys():
            lock.ensure_held()
            # The next plan starts from what was probed.
            latest = await write_last_applied(server, project, replace(latest, zones=zones))
            snapshot = await _fetch(server, request, latest, clock.now())
            dated = await _plan(server, request, snapshot, clock)
        dated = _part(_require(dated.plan, request), dated, request)
        if latest.is_complete and not dated.plan.pending and not _changes_record(request, latest):
            return SyncReport(dated.plan, left=dated.left)
        return await _write(server, request, dated, lock, clock)


async def _fetch(
    server: Server,
    request: SyncRequest,
    last: LastApplied,
    now: datetime,
    entries: Sequence[ScheduleListEntry] | None = None,
) -> _Snapshot:
    """Fetch the live schedules; keep the pauses of adoptions that *last* shows broken off.

    Windows of zones that the server reads differently are desired as dated: those that *last*
    names, and those in which a live schedule shows it at *now*. *entries* are the server's list,
    where it was read before.
    """
    zones = last.zones if request.recompile else {}
    desired = _desired(request, zones)
    fetched = await fetch(server, desired, last, full=request.full, entries=entries)
    if request.recompile:
        seen = await differences_seen(server, desired, fetched.live, now)
        if seen:
            zones = {**seen, **zones}
            desired = _desired(request, zones)
            fetched = await fetch(server, desired, last, full=request.full)
    pauses = fetched.unlisted.pauses
    schedules = tuple(
        replace(one, paused=True, note=pauses[one.id]) if one.id in pauses else one
        for one in desired.schedules
    )
    desired = replace(desired, schedules=schedules)
    return _Snapshot(desired, fetched.live, replace(fetched.unlisted, zones=zones), zones)


def _desired(request: SyncRequest, zones: Mapping[str, str]) -> DesiredState:
    """Return what *request* desires on a server that reads *zones* differently."""
    return request.recompile(zones.keys()) if request.recompile and zones else request.desired


async def _probed(
    server: Server,
    request: SyncRequest,
    snapshot: _Snapshot,
    dated: _DatedPlan,
    clock: ServerClock,
) -> Mapping[str, str]:
    """Return the zones that the server reads differently, by probes where they matter.

    Those in which the plan writes a schedule, and those known to differ, which a newer table
    of the server may have mended.
    """
    if request.recompile is None or not dated.plan.pending or dated.plan.is_held_back:
        return snapshot.zones
    zones = recurring_zones(request.desired.schedules)
    written = {zones[change.id] for change in dated.plan.pending if change.id in zones}
    return await probe(server, written | snapshot.zones.keys(), clock.now().year)


async def _plan(
    server: Server, request: SyncRequest, snapshot: _Snapshot, clock: ServerClock
) -> _DatedPlan:
    """Return the plan for *snapshot* at the time of *clock*, with its refusals."""
    around = clock.around()
    candidates = start_candidates(snapshot.desired, snapshot.live, around)
    evidence = await fetch_evidence(server, candidates, snapshot.live, around)
    live = {**snapshot.live, **evidence}
    now = around.start + clock.uncertainty
    live |= await fetch_leases(server, live, boosts_to_check(snapshot.desired, live, now))
    written = snapshot.unlisted.digests
    plan = diff(snapshot.desired, live, now, candidates=candidates, written=written)
    warnings = [*plan.warnings, *zone_warnings(snapshot.zones)]
    settings = _changed_settings(request, snapshot.unlisted)
    warnings += _settings_warnings(settings)
    former, refusal = request.desired.former, ""
    taken = any(one.live and one.live.project == former for one in plan.pending)
    if former and taken and not request.move_source:
        recorded = (await read_last_applied(server, former, now)).source
        refusal = takeover_refusal(former, recorded, request.source)
    plan = replace(plan, warnings=tuple(warnings), refusal=refusal, settings=settings)
    plan = with_refusals(plan, request.allowed)
    moved = source_refusal(
        plan.project,
        snapshot.unlisted.source,
        None if request.move_source else request.source,
        writes=bool(plan.pending),
        deletes=any(change.action == "delete" for change in plan.pending),
    )
    target = target_of(server, request)
    refusal = plan.refusal or moved or request.objection(plan)
    return _DatedPlan(
        plan=replace(plan, target=target, refusal=refusal),
        unlisted=snapshot.unlisted,
        there=frozenset(snapshot.live),
        at=now,
        depends_on_clock=clock.uncertainty > timedelta()
        and depends_on_clock(candidates, live, around),
    )


def target_of(server: Server, request: SyncRequest) -> Target:
    """Return what a sync of *request* writes to."""
    return Target(
        server=server.address,
        namespace=server.namespace,
        project=request.desired.project,
        source=request.source.name if request.source else "",
        timezones=TABLE_VERSION,
    )


def _changes_record(request: SyncRequest, last: LastApplied) -> bool:
    """Tell whether the record has to be written for what isn't a schedule alone."""
    moves = request.move_source and request.source not in (None, last.source)
    says = bool(_changed_settings(request, last))
    return moves or says or request.commit not in ("", last.commit)


def _settings_warnings(names: Collection[str]) -> list[Lint]:
    """Return a warning for each of the settings *names*, which wait for a sync."""
    warnings = (
        Lint("", 0, "notices", NOTICES_CHANGED),
        Lint("", 0, "usage", USAGE_CHANGED),
        Lint("", 0, "fleets", FLEETS_CHANGED),
    )
    return [one for one in warnings if one.code in names]


def _changed_settings(request: SyncRequest, last: LastApplied) -> tuple[str, ...]:
    """Return the names of the settings of *request* that *last* has otherwise."""
    pairs = {
        "notices": (request.targets, last.targets),
        "usage": (request.thresholds, last.thresholds),
        "fleets": (request.fleets, last.fleets),
    }
    return tuple(name for name, (wanted, there) in pairs.items() if wanted not in (None, there))


def _require(plan: Plan, request: SyncRequest) -> Plan:
    """Return *plan*; raise where it isn't the reviewed one or a change is held back."""
    if request.checksum:
        require_checksum(plan, request.checksum)
    require_allowed(plan)
    return plan


def require_not_overtaken(request: SyncRequest, last: LastApplied) -> None:
    """Raise if another caller's sync has written since that of *request* first looked.

    What was compiled hours ago may be older than what is there now.

    Raises:
        StalePlan: Another one wrote what *last* records.
    """
    if request.after is not None and last.writer not in (request.after, request.writer):
        raise StalePlan(
            f"nothing more is written: another sync of {request.desired.project} has written "
            "since, and the files that this one has read may be older; run it again from the "
            "newest commit"
        )


def _part(plan: Plan, dated: _DatedPlan, request: SyncRequest) -> _DatedPlan:
    """Return *dated* with the changes of *plan* that are written now, and those that are left."""
    if request.in_part is None:
        return dated
    now = tuple(one for one in plan.changes if request.in_part(one.namespace))
    later = tuple(one for one in plan.changes if not request.in_part(one.namespace))
    return replace(dated, plan=replace(plan, changes=now), left=replace(plan, changes=later))


async def _write(
    server: Server, request: SyncRequest, dated: _DatedPlan, lock: SyncLock, clock: ServerClock
) -> SyncReport:
    """Apply the plan; record before which schedules are touched, and after how they are."""
    plan, project = dated.plan, request.desired.project
    record = before_writing(plan, dated.unlisted)
    fleets = {one.fleet.name: one for one in (*record.fleets, *(request.fleets or ()))}
    record = replace(  # a fleet that comes into use stays known until its schedule is written
        record,
        source=request.source or record.source,
        fleets=tuple(fleets.values()),
        writer=request.writer,
    )
    if plan.pending:
        record = replace(record, commit="")  # a part of two, until all of it is written
        request.on_start(plan)
        lock.ensure_held()
        record = await write_last_applied(server, project, record)
    try:
        report = SyncReport(plan, await _apply(server, request, dated, lock, clock), dated.left)
    except BaseException:  # interrupted: requests may still be on their way to the server
        await asyncio.shield(asyncio.sleep(INTERRUPT_SECONDS))
        raise
    done = [outcome.change for outcome in report.outcomes if outcome.done]
    lock.set_result(f"{len(done)} written, {len(report.failed)} failed")
    with contextlib.suppress(ServerError):  # without it the next sync describes a few more
        lock.ensure_held()
        waiting = {change.id for change in dated.left.pending} if dated.left else set()
        settled = [one for one in request.desired.schedules if one.id not in waiting]
        kept = {id: digest for id, digest in record.digests.items() if id in waiting}
        record = after_writing(record, done, settled, dated.there)
        record = replace(record, digests={**record.digests, **kept})
        if request.targets is not None:
            record = replace(record, targets=request.targets)
        if request.thresholds is not None:
            record = replace(record, thresholds=request.thresholds)
        if not report.failed and not waiting:
            fleets_now = record.fleets if request.fleets is None else request.fleets
            record = replace(record, commit=request.commit or record.commit, fleets=fleets_now)
        await write_last_applied(server, project, record)
    return report


async def _apply(
    server: Server, request: SyncRequest, dated: _DatedPlan, lock: SyncLock, clock: ServerClock
) -> tuple[Outcome, ...]:
    """Apply the plan, read it back, then start what has become due meanwhile.

    Each outcome is reported once, when it is final.
    """
    unconfirmed: dict[str, Outcome] = {}

    def on_outcome(outcome: Outcome) -> None:
        request.on_write(outcome.change)
        if is_read_back_later(outcome):
            unconfirmed[outcome.change.id] = outcome
        else:
            request.on_outcome(outcome)

    starter = _Starter(server, clock, dated.at, lock.ensure_held, request.on_outcome)
    try:
        outcomes = await apply(
            server,
            dated.plan,
            clock,
            ensure_held=lock.ensure_held,
            on_outcome=on_outcome,
            urgent=starter.urgent(dated.plan),
            after_urgent=starter.look_ahead,
        )
        checked = await read_back(server, request.desired.project, outcomes, clock)
        unconfirmed.update({one.change.id: one for one in checked if one.change.id in unconfirmed})
    finally:  # an interrupted sync reports what it wrote, too
        for outcome in unconfirmed.values():
            request.on_outcome(outcome)
    await starter.finish(checked)
    return (*checked, *starter.outcomes)


AHEAD = timedelta(seconds=60)
"""How far ahead firings are checked: longer than any busy server takes to process a write."""

EACH_WRITE = timedelta(seconds=0.1)
"""How long a write takes where many are slow: Temporal Cloud allows ten a second."""

BEGIN_WITHIN = timedelta(seconds=60)
"""Time limit for the server to begin a boost that was started by a patch."""

BEGIN_WAITS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""Seconds between polls for a started boost; the last one repeats."""

DESCRIBED_AT_ONCE = 8
"""Concurrent describes. Each waits until the server has processed the schedule's writes, so
more of them would slow a busy server down."""


@dataclass(slots=True)
class _Starter:
    """Starts the lost firings of written schedules, and keeps an outcome for each affected.

    Looked at is every unpaused schedule that was written, for occurrences under way after
    *since* or due soon. A busy server answers late: so those that are due before the sync ends
    are written first, and looked at before the others make the server busy.

    Attributes:
        server: Where the schedules are.
        clock: The server's clock.
        since: The time of the plan; occurrences that ended before are ignored.
        ensure_held: Called before each write; raises where the sync lock was lost.
        on_outcome: Called with each outcome as it comes.
        outcomes: The outcomes so far.
    """

    server: Server
    clock: ServerClock
    since: datetime
    ensure_held: Callable[[], None]
    on_outcome: Callable[[Outcome], None]
    outcomes: list[Outcome] = field(default_factory=list)
    _until: datetime = field(init=False)
    _seen: set[tuple[str, datetime]] = field(default_factory=set)
    _slots: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(DESCRIBED_AT_ONCE), init=False
    )

    def urgent(self, plan: Plan) -> set[str]:
        """Return the ids of the schedules with firings that may become due during the sync."""
        self._until = self.clock.now() + AHEAD + len(plan.pending) * EACH_WRITE
        horizon = Horizon(self.since, self._until)
        return {one.id for one in plan.pending if _may_fire(one) and _open(one, horizon)}

    async def look_ahead(self, outcomes: Iterable[Outcome]) -> None:
        """Look at the firings of the `urgent` schedules, which had these *outcomes*."""
        await self._look(outcomes, self._until)

    async def finish(self, outcomes: Iterable[Outcome]) -> None:
        """Look at the firings due within `AHEAD`, until none is left that wasn't looked at."""
        outcomes, until = tuple(outcomes), self.since
        while until < self.clock.now() + AHEAD / 2:
            until = self.clock.now() + AHEAD
            await self._look(outcomes, until)

    async def _look(self, outcomes: Iterable[Outcome], until: datetime) -> None:
        checks = []
        for change in (one.change for one in outcomes if one.done and _may_fire(one.change)):
            firings = _open(change, Horizon(self.since, until))
            new = [nominal for nominal in firings if (change.id, nominal) not in self._seen]
            if new:
                checks.append(self._check(change, new))
        await asyncio.gather(*checks)

    async def _check(self, change: Change, firings: list[datetime]) -> None:
        check = _Check(self.server, change, self.clock, self.ensure_held, self._slots)
        outcome, left = await check.run(firings)
        self._seen.update((change.id, nominal) for nominal in firings if nominal not in left)
        if outcome:
            self.on_outcome(outcome)
            self.outcomes.append(outcome)


def _may_fire(change: Change) -> bool:
    return change.desired is not None and not change.desired.paused


def _open(change: Change, horizon: Horizon) -> tuple[datetime, ...]:
    """Return the firings of *change* in *horizon* that had no boost before it was written.

    Firings that the server was about to make then count among them: an update drops these.
    """
    assert change.desired is not None
    before = change.live or LiveSchedule(id=change.id)
    return missed(change.desired, replace(before, about_to_fire=frozenset()), horizon)


@dataclass(frozen=True, slots=True)
class _Check:
    """Check the firings of one written schedule, and start the lost ones."""

    server: Server
    change: Change
    clock: ServerClock
    ensure_held: Callable[[], None]
    slots: asyncio.Semaphore

    @property
    def desired(self) -> Schedule:
        assert self.change.desired is not None
        return self.change.desired

    async def run(self, firings: Iterable[datetime]) -> tuple[Outcome | None, list[datetime]]:
        """Start the lost ones of *firings*; return how that went, and those left for later.

        None where none was lost. Left are those that the server doesn't show yet, and that
        aren't due within `AHEAD`.
        """
        left: list[datetime] = []
        try:
            lost = await self._lost(firings)
            left = [nominal for nominal in lost if nominal > self.clock.now() + AHEAD]
            lost = [nominal for nominal in lost if nominal not in left]
            over = [one for one in lost if self._span(one)[1] <= self.clock.now()]
            late = [nominal for nominal in lost if nominal not in (*over, *self.change.starts)]
            if late:
                await start(self.server, self.desired, late, self.ensure_held)
            begun = [nominal for nominal in lost if nominal not in over]
            failed = [*over, *[one for one in begun if not await self._begins(one)]]
        except ServerError as error:
            return self._outcome(firings, f"what is under way could not be checked: {error}"), left
        if failed:
            spans = map(self._span, failed)
            words = ", ".join(f"{format_instant(a)} to {format_instant(b)}" for a, b in spans)
            why = "over before it could be started" if over else "not started in time"
            return self._outcome(failed, f"{words} was {why}; run the sync again"), left
        if late:
            return self._outcome(late, "it became due while the sync wrote", done=True), left
        return None, left

    async def _lost(self, firings: Iterable[datetime]) -> list[datetime]:
        """Return those of *firings* that the server neither made nor is about to make."""
        firings = [nominal for nominal in firings if not await self._was_started(nominal)]
        if not firings:
            return []
        async with self.slots:
            live = await describe_patiently(self.server, self.change.id)
        if live is None:
            raise ServerError("the schedule is gone; run the sync again")
        coming = about_to_fire(self.desired, live, self.clock.now() - LATE)
        seen = replace(live, schedule=self.desired, requested=coming)
        last = live.upcoming[-1] if live.upcoming else None
        return [
            nominal
            for nominal in missed(self.desired, seen, Horizon(min(firings), max(firings)))
            if nominal in firings and not (last and nominal > last)
        ]

    async def _begins(self, nominal: datetime) -> bool:
        """Wait for the boost of the firing at *nominal*; return False on time-out."""
        deadline = self.clock.now() + BEGIN_WITHIN
        waits = chain(BEGIN_WAITS, repeat(BEGIN_WAITS[-1]))
        while not await self._was_started(nominal):
            if self.clock.now() > deadline:
                return False
            await asyncio.sleep(next(waits))
        return True

    async def _was_started(self, nominal: datetime) -> bool:
        """Tell whether a boost was started for *nominal*; never before that time."""
        if nominal > self.clock.now():
            return False
        return await was_started(self.server, self.desired, nominal)

    def _span(self, nominal: datetime) -> tuple[datetime, datetime]:
        return occurrence_of(self.desired.request, nominal)

    def _outcome(self, firings: Iterable[datetime], words: str, *, done: bool = False) -> Outcome:
        """Return the start of *firings* as an outcome of its own."""
        began = replace(self.change, action="start", starts=tuple(firings), follow=False)
        return Outcome(began, done, words)
