"""Running boosts that follow the change of their window: the keeper takes it first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from temporalio.client import WorkflowUpdateRPCTimeoutOrCancelledError, WorkflowUpdateStage
from temporalio.service import RPCError, RPCStatusCode

from planner.diff import Change, Plan, live_schedule
from planner.diff.firings import under_way
from planner.errors import ServerError
from planner.live.server import Server, raise_if_cancelled
from planner.schedules.spec import Schedule
from workflows.contract import (
    LEASE_UPDATE,
    RELEASE_UPDATE,
    LeaseRequest,
    ReleaseRequest,
    keeper_id,
    lease_of,
    occurrence_of,
)

KEEPER_TIMEOUT = timedelta(seconds=10)
"""How long a keeper may take to accept; without a worker none ever does."""


async def follow(server: Server, plan: Plan, now: datetime) -> Mapping[str, str]:
    """Tell each keeper what the running boosts of *plan* that follow are to have from now on.

    To be called before any schedule is written: should a keeper not answer, the changes
    are still pending, and the next sync tries again.

    Returns:
        Why the changes with these ids must not be written: their keeper did not take it.
    """
    refused: dict[str, str] = {}
    for namespace, changes in _by_namespace(plan).items():
        try:
            for order in orders_for(changes, now):
                await _tell(server, namespace, order)
        except ServerError as error:
            refused |= {change.id: str(error) for change in changes if change.follow}
    return refused


def orders_for(changes: Sequence[Change], now: datetime) -> list[LeaseRequest | ReleaseRequest]:
    """Return what the keeper of the one namespace of *changes* is to do, in this order.

    Every lease comes before any release, those of windows that are only to be started with
    this sync included: whatever takes the place of what ends is there already. An
    occurrence whose start moves takes the place of the old one in one step. A boost whose
    window has no occurrence under way any more is released.
    """
    leases: list[LeaseRequest] = []
    releases: list[ReleaseRequest] = []
    for change in changes:
        there = _Leases.of(change, now)
        leases += there.wanted()
        releases += [ReleaseRequest(key=key, by="sync") for key in there.ending()]
    return [*leases, *releases]


@dataclass(frozen=True, slots=True)
class _Leases:
    """The leases of one window, before and after its change.

    Attributes:
        namespace: Whose capacity.
        desired: The changed schedule; None where nothing of it is to run any more.
        running: The keys of the boosts that run and follow, by their start.
        due: The firings of *desired* that are to have a lease, by the start they are for.
    """

    namespace: str
    desired: Schedule | None
    running: Mapping[datetime, str]
    due: Mapping[datetime, datetime]

    @classmethod
    def of(cls, change: Change, now: datetime) -> _Leases:
        """Return the leases of *change*, which follows or is started at *now*."""
        boosts = change.running if change.follow else ()
        desired = None if change.desired is None or change.desired.paused else change.desired
        firings = under_way(desired, now) if desired else []
        starts = {occurrence_of(desired.request, at)[0]: at for at in firings} if desired else {}
        running = {
            boost.start: lease_of(live_schedule(change).request, boost.nominal).key
            for boost in boosts
        }
        due = {start: at for start, at in starts.items() if start in running or at in change.starts}
        return cls(change.namespace, desired, running, due)

    def wanted(self) -> Iterator[LeaseRequest]:
        """Yield what is to be leased: what is new or moves, then what stays where it is.

        A boost that stays may have lost its lease to one that moved before; it gets it
        back from that one.
        """
        moving = iter(self._moving())
        for start in self._new():
            yield self._lease(self.due[start], replaces=next(moving, ""))
        for start in self._kept():
            if key := next(moving, ""):
                yield self._lease(self.due[start], replaces=key)
            yield self._lease(self.due[start], replaces=self.running[start])

    def ending(self) -> list[str]:
        """Return the keys of the boosts that nothing takes the place of."""
        return self._moving()[len(self.due) :]

    def _new(self) -> list[datetime]:
        return [start for start in self.due if start not in self.running]

    def _kept(self) -> list[datetime]:
        return [start for start in self.due if start in self.running]

    def _moving(self) -> list[str]:
        """Return the keys of the boosts whose occurrence isn't there any more."""
        return [key for start, key in self.running.items() if start not in self.due]

    def _lease(self, nominal: datetime, replaces: str) -> LeaseRequest:
        assert self.desired is not None
        request = self.desired.request
        return LeaseRequest(
            namespace=self.namespace,
            lease=lease_of(request, nominal),
            baseline=request.baseline,
            rails=request.rails,
            revision=request.revision,
            replaces=replaces,
        )


def _by_namespace(plan: Plan) -> dict[str, list[Change]]:
    """Return the changes that concern running boosts: those that follow, by namespace.

    With them come the others of such a namespace that start something.
    """
    following = {change.namespace for change in plan.pending if change.follow}
    return {
        namespace: [
            change
            for change in plan.pending
            if change.namespace == namespace and (change.follow or change.starts)
        ]
        for namespace in sorted(following)
    }


async def _tell(server: Server, namespace: str, order: LeaseRequest | ReleaseRequest) -> None:
    """Hand *order* to the keeper of *namespace*; none running means nothing to tell."""
    update = RELEASE_UPDATE if isinstance(order, ReleaseRequest) else LEASE_UPDATE
    handle = server.client.get_workflow_handle(keeper_id(namespace))
    try:
        await handle.start_update(
            update,
            order,
            wait_for_stage=WorkflowUpdateStage.ACCEPTED,
            rpc_timeout=KEEPER_TIMEOUT,
        )
    except WorkflowUpdateRPCTimeoutOrCancelledError as error:
        raise_if_cancelled()
        raise ServerError(_unanswered(namespace, "no answer in time")) from error
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise ServerError(_unanswered(namespace, error.message)) from error


def _unanswered(namespace: str, words: str) -> str:
    return (
        f"the keeper of {namespace} did not take it ({words}): is a worker running? "
        "Start one with `planner worker`, or sync with --in-flight keep"
    )
