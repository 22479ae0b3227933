"""The boost: one firing's claim on the capacity of a namespace.

It asks the namespace's keeper for a lease and ends when the capacity is in force. The
lease's end is the keeper's affair: nothing that happens to a boost leaks capacity.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy, SearchAttributeKey
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from workflows import activity_types, ui_text
    from workflows.contract import (
        BOOST_WORKFLOW,
        BoostRequest,
        BoostResult,
        Lease,
        LeaseAnswer,
        LeaseRequest,
        ReleaseRequest,
        lease_of,
    )

SCHEDULED_START = SearchAttributeKey.for_datetime("TemporalScheduledStartTime")
"""The nominal time of the firing, without jitter, set by the server's Schedules."""

ASK_AGAIN = timedelta(seconds=10)
ASK_AGAIN_AT_MOST = timedelta(minutes=3)
"""How long to wait before a claim that isn't covered is asked for again: doubling."""

CANCEL_PATCH = "a-cancel-during-the-raise-gives-back"
"""Boosts whose cancel an earlier release took for a fault go on as they were recorded."""

_AT_THE_KEEPER = RetryPolicy(
    initial_interval=timedelta(milliseconds=500), maximum_interval=timedelta(seconds=30)
)


@workflow.defn(name=BOOST_WORKFLOW)
class ProvisionBoost:
    """Asks for the capacity of one window, until it is in force or the window is over."""

    @workflow.run
    async def run(self, request: BoostRequest) -> BoostResult:
        """Claim the capacity and see it in force.

        A firing after its window's end is recorded and does nothing. A cancel gives the
        claim back.

        Raises:
            ApplicationError: The window ended without the capacity it asked for.
        """
        nominal = self._nominal()
        lease = self._lease(request, nominal)
        late = workflow.now() - lease.until
        if late >= timedelta():
            return self._end(
                BoostResult(
                    in_force=False,
                    capacity=None,
                    until=lease.until,
                    message=f"late by {ui_text.span(late)}: the window ended at "
                    f"{ui_text.minute(lease.until)}; nothing to do",
                )
            )
        try:
            return self._end(await self._obtain(request, lease, nominal))
        except BaseException as error:
            if is_cancelled_exception(error):
                await self._give_back(request.namespace, lease)
            raise

    def _nominal(self) -> datetime:
        """Return the firing's own time; a boost started by hand begins when it starts."""
        scheduled = workflow.info().typed_search_attributes.get(SCHEDULED_START)
        return scheduled or workflow.info().workflow_start_time

    def _lease(self, request: BoostRequest, nominal: datetime) -> Lease:
        try:
            lease = lease_of(request, nominal)
        except (ValueError, LookupError) as error:
            text = f"the boost can't be read: {error}; mend the calendar and sync it"
            raise ApplicationError(text, type="BadRequest", non_retryable=True) from error
        asked = ui_text.lease_in_words(lease)
        workflow.set_current_details(f"Asking the keeper of {request.namespace} for {asked}.")
        return lease

    async def _obtain(self, request: BoostRequest, lease: Lease, nominal: datetime) -> BoostResult:
        """Ask until the claim is covered, refused, or over."""
        pause = ASK_AGAIN
        message = ""
        while (left := lease.until - workflow.now()) > timedelta():
            answer = await self._ask(request, lease, nominal, left)
            message = answer.message
            if answer.in_force or not answer.granted:
                return BoostResult(
                    in_force=answer.in_force,
                    capacity=answer.capacity,
                    until=lease.until,
                    message=message,
                )
            workflow.set_current_details(f"{message}. Asked for again until it is in force.")
            wait = min(pause, lease.until - workflow.now())
            await workflow.sleep(max(wait, timedelta()), summary=message[:200])
            pause = min(pause * 2, ASK_AGAIN_AT_MOST)
        raise self._failure(request, lease, message)

    async def _ask(
        self, request: BoostRequest, lease: Lease, nominal: datetime, left: timedelta
    ) -> LeaseAnswer:
        """Bring the claim to the keeper, however often that takes while the window lasts."""
        by_schedule = request.by == "schedule"
        order = activity_types.Ask(
            request=LeaseRequest(
                namespace=request.namespace,
                lease=lease,
                baseline=request.baseline,
                rails=request.rails if by_schedule else None,
                revision=request.revision,
            ),
            nominal=nominal,
        )
        try:
            answer: LeaseAnswer = await workflow.execute_activity(
                activity_types.ASK,
                order,
                result_type=LeaseAnswer,
                schedule_to_close_timeout=left,
                start_to_close_timeout=activity_types.ATTEMPT_WITHIN,
                heartbeat_timeout=activity_types.BEAT_WITHIN,
                retry_policy=_AT_THE_KEEPER,
                summary=f"Ask the keeper of {request.namespace} for {lease.tru} TRU"[:200],
            )
        except ActivityError as error:
            # A cancel comes in this guise while the activity runs, and as itself otherwise.
            if is_cancelled_exception(error) and workflow.patched(CANCEL_PATCH):
                raise
            cause = error.cause or error
            if isinstance(cause, ApplicationError) and cause.non_retryable:
                raise ApplicationError(cause.message, type="Refused", non_retryable=True) from error
            silent = f"the keeper of {request.namespace} could not be asked: {cause}"
            return LeaseAnswer(
                granted=True, in_force=False, capacity=None, until=lease.until, message=silent
            )
        return answer

    async def _give_back(self, namespace: str, lease: Lease) -> None:
        """Return the lease of a boost that was cancelled.

        The request for it may still be in flight, and come later than this: so the keeper
        is told the lease itself, to refuse it until its end.
        """
        order = activity_types.GiveBack(
            namespace=namespace,
            request=ReleaseRequest(key=lease.key, by="a cancelled boost", lease=lease),
        )
        workflow.set_current_details(f"Cancelled: giving {lease.window} back.")
        await workflow.execute_activity(
            activity_types.GIVE_BACK,
            order,
            start_to_close_timeout=activity_types.ATTEMPT_WITHIN,
            schedule_to_close_timeout=max(lease.until - workflow.now(), timedelta(minutes=1)),
            retry_policy=_AT_THE_KEEPER,
            summary="Give the claim back",
        )

    def _end(self, result: BoostResult) -> BoostResult:
        workflow.set_current_details(result.message)
        return result

    def _failure(self, request: BoostRequest, lease: Lease, message: str) -> ApplicationError:
        """Return the red end of a window that was not covered: what was wrong, what to do."""
        text = (
            f"{request.namespace} did not get the {lease.tru} TRU of {lease.window} before its "
            f"end at {ui_text.minute(lease.until)}: {message}. See the workflow "
            f"keeper/{request.namespace}; check the Cloud API key, the namespace's name and "
            "the TRU available to it, then `planner boost` for as long as it is still needed"
        )
        workflow.set_current_details(text)
        return ApplicationError(text, type="NotCovered", non_retryable=True)
