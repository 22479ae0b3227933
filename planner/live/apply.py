"""A plan made real: each change written, read back, and its outcome told."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from temporalio.api.common.v1 import Memo
from temporalio.api.schedule.v1 import BackfillRequest, SchedulePatch
from temporalio.api.workflowservice.v1 import (
    CreateScheduleRequest,
    DeleteScheduleRequest,
    PatchScheduleRequest,
    UpdateScheduleRequest,
)

from planner.diff import Change, Live, Plan, Wanted, diff
from planner.diff.firings import next_firings
from planner.diff.revisions import with_revisions
from planner.errors import ServerError
from planner.live.clock import ServerClock
from planner.live.convert import backfill, owner_memo, to_message
from planner.live.fetch import describe
from planner.live.follow import follow
from planner.live.server import AlreadyThere, Missing, Server
from planner.schedules.spec import Schedule, drafted

DELETE_WAITS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
"""Seconds between attempts to make a schedule whose namesake is being deleted."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one change went: done or not, and a sentence where there is something to say."""

    change: Change
    done: bool
    message: str = ""


async def apply(
    server: Server,
    plan: Plan,
    clock: ServerClock,
    *,
    insist: Callable[[], None],
    told: Callable[[Outcome], None],
) -> tuple[Outcome, ...]:
    """Write every change of *plan*, deletes last, and return how each went.

    A change that fails doesn't stop the others. Every update is read back at once, and
    everything else together by the caller (`read_back`).

    Args:
        server: Where to.
        plan: What; nothing in it may be held back.
        clock: The server's, for occurrences under way.
        insist: Raises where writing must stop; called before each write.
        told: Called with each outcome as it comes.
    """
    plan = with_revisions(plan, clock.now())
    writer = _Writer(server, plan.project, clock, insist)
    untold = await follow(server, plan, clock.now())

    async def one(change: Change) -> Outcome:
        left = untold.get(change.id, "")
        outcome = Outcome(change, False, left) if left else await writer.write(change)
        told(outcome)
        return outcome

    deletes = [change for change in plan.pending if change.action == "delete"]
    others = [change for change in plan.pending if change.action != "delete"]
    written = await asyncio.gather(*map(one, others))
    return (*written, *await asyncio.gather(*map(one, deletes)))


class _Writer:
    """Writes one change after the other, each by its kind."""

    def __init__(
        self, server: Server, project: str, clock: ServerClock, insist: Callable[[], None]
    ) -> None:
        self._server = server
        self._project = project
        self._memo: Memo | None = None
        self._clock = clock
        self._insist = insist

    async def write(self, change: Change) -> Outcome:
        """Write *change* and return how it went; what the server refuses is an outcome."""
        try:
            self._insist()
            return Outcome(change, True, await self._by_kind(change))
        except ServerError as error:
            return Outcome(change, False, str(error))

    async def _by_kind(self, change: Change) -> str:
        if change.action == "delete":
            return await self._delete(change.id)
        if change.desired is None:
            raise ValueError(f"{change.id}: nothing to write")
        if change.action == "create":
            return await self._create(change.desired, change.starts)
        if change.action == "adopt":
            return await self._adopt(change.desired, change.starts)
        if change.action == "start":
            await start(self._server, change.desired, change.starts)
            return _started(change.starts)
        return await self._update(change)

    async def _create(self, desired: Schedule, starts: Sequence[datetime]) -> str:
        """Make *desired*, or deal with what the list didn't show."""
        try:
            return await self._make(desired, starts)
        except AlreadyThere:
            return await self._meet(desired)

    async def _make(self, desired: Schedule, starts: Sequence[datetime]) -> str:
        """Make *desired*, and start what is under way in the same stroke."""
        request = CreateScheduleRequest(
            namespace=self._server.namespace,
            schedule_id=desired.id,
            schedule=await to_message(desired, self._server.converter),
            memo=await self._owner(),
            initial_patch=starting(desired, starts) if starts else None,
            identity=self._server.identity,
            request_id=str(uuid.uuid4()),
        )
        await self._server.ask(self._server.service.create_schedule, request)
        return _started(starts)

    async def _owner(self) -> Memo:
        """Return the mark of the project, made once for all that is written."""
        if self._memo is None:
            self._memo = await owner_memo(self._project, self._server.converter)
        return self._memo

    async def _meet(self, desired: Schedule) -> str:
        """Deal with a schedule that is there although the list didn't show it."""
        live = await describe(self._server, desired.id)
        if live is None:
            raise ServerError("it came and went while it was to be made; run the sync again")
        if live.project != self._project:
            raise ServerError(f"somebody else made a schedule {desired.id} meanwhile")
        again = self._still(desired, live)
        return await self._update(again) if again else "it was there already"

    async def _adopt(self, desired: Schedule, starts: Sequence[datetime]) -> str:
        """Delete the schedule that isn't ours, and make it anew as ours."""
        await self._delete(desired.id)
        for wait in DELETE_WAITS:
            try:
                return await self._make(desired, starts)
            except AlreadyThere:  # the server is still at deleting it
                await asyncio.sleep(wait)
        return await self._make(desired, starts)

    async def _delete(self, id: str) -> str:
        request = DeleteScheduleRequest(
            namespace=self._server.namespace, schedule_id=id, identity=self._server.identity
        )
        try:
            await self._server.ask(self._server.service.delete_schedule, request)
        except Missing:
            return "it was gone already"
        return ""

    async def _update(self, change: Change) -> str:
        """Update a schedule, and start what is under way by its new times.

        The server takes no start along with an update. So where something is to be
        started, a draft is written first: should this break off in between, the next
        sync sees that the start is still to be made.
        """
        if change.starts and change.desired:
            draft = replace(change, desired=drafted(change.desired), starts=())
            await self._put(draft)
            await start(self._server, change.desired, change.starts)
            change = replace(change, live=await self._there(change.id))
        await self._put(change)
        return _started(change.starts)

    async def _put(self, change: Change) -> None:
        """Update a schedule; once more from its fresh state if somebody was quicker."""
        left = await self._try_update(change)
        if left:
            self._insist()
            left = await self._try_update(left)
        if left:
            words = ", ".join(str(field) for field in left.fields)
            raise ServerError(f"the server did not take the update ({words}); run the sync again")

    async def _try_update(self, change: Change) -> Change | None:
        """Update a schedule, read it back, and return what is still to be changed of it."""
        assert change.desired is not None
        assert change.live is not None
        request = UpdateScheduleRequest(
            namespace=self._server.namespace,
            schedule_id=change.id,
            schedule=await to_message(change.desired, self._server.converter),
            conflict_token=change.live.token,
            identity=self._server.identity,
            request_id=str(uuid.uuid4()),
        )
        await self._server.ask(self._server.service.update_schedule, request)
        return self._still(change.desired, await self._there(change.id))

    async def _there(self, id: str) -> Live:
        """Return the schedule *id* as it is now."""
        live = await describe(self._server, id)
        if live is None:
            raise ServerError("it was deleted while it was being updated; run the sync again")
        return live

    def _still(self, desired: Schedule, live: Live) -> Change | None:
        return still_to_change(self._project, desired, live, self._clock.now())


async def start(server: Server, schedule: Schedule, firings: Sequence[datetime]) -> None:
    """Have the server fire a *schedule* that is there, now, for the nominal times *firings*.

    One whose boost still runs is refused there; one whose boost has ended runs once more,
    and renews its lease.
    """
    request = PatchScheduleRequest(
        namespace=server.namespace,
        schedule_id=schedule.id,
        patch=starting(schedule, firings),
        identity=server.identity,
        request_id=str(uuid.uuid4()),
    )
    await server.ask(server.service.patch_schedule, request)


def still_to_change(project: str, desired: Schedule, live: Live, now: datetime) -> Change | None:
    """Return what of *live* still differs from *desired*; None if nothing.

    What is under way is another matter.
    """
    wanted = Wanted(project=project, schedules=(desired,))
    pending = diff(wanted, {live.id: live}, now, near=()).pending
    return pending[0] if pending else None


def starting(schedule: Schedule, starts: Iterable[datetime]) -> SchedulePatch:
    """Return the patch that fires *schedule* now for the nominal times *starts*."""
    return SchedulePatch(backfill_request=[_backfill(schedule, nominal) for nominal in starts])


def _backfill(schedule: Schedule, nominal: datetime) -> BackfillRequest:
    following = next_firings(schedule, nominal, count=1)
    return backfill(nominal, schedule.jitter, following[0] if following else None)


def _started(starts: Sequence[datetime]) -> str:
    if not starts:
        return ""
    return "started at once" if len(starts) == 1 else f"{len(starts)} occurrences started at once"
