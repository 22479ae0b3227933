"""The boost workflow: requests the lease of one firing from the keeper of its namespace.

It ends once the capacity is in force. The keeper sees to the lease's end: nothing that happens
to a boost leaks capacity. Applications request a boost by a workflow of their own, with a public
input and answer.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RawValue, RetryPolicy, SearchAttributeKey
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
        format_instant,
        lease_of,
    )
    from workflows.contract.findings import MISSED_MEMO, MissedBoost
    from workflows.contract.from_code import REQUEST_BOOST_WORKFLOW, BoostAnswer, answer_of

SCHEDULED_START = SearchAttributeKey.for_datetime("TemporalScheduledStartTime")
"""The nominal time of the firing, without jitter, set by the server's Schedules."""

FIRST_RETRY = timedelta(seconds=10)
LONGEST_RETRY = timedelta(minutes=3)
"""How long to wait before a lease that isn't covered is requested again: doubling."""

LAST_REQUEST = timedelta(seconds=5)
"""How long before its window's end a boost requests its lease for the last time."""

MISSED_PATCH = "a-missed-window-is-noted"
"""Marks where a boost notes in its memo that its window never had its capacity."""

_KEEPER_RETRIES = RetryPolicy(
    initial_interval=timedelta(milliseconds=500), maximum_interval=timedelta(seconds=30)
)


def wait_before_next(pause: timedelta, left: timedelta) -> timedelta:
    """Return how long a boost waits until it requests its lease again, or *left* is over.

    The last time is `LAST_REQUEST` before the window's end: a capacity that came since the one
    before, minutes ago, is known then, and the window isn't missed.
    """
    if left > LAST_REQUEST:
        return min(pause, left - LAST_REQUEST)
    return max(left, timedelta())


@workflow.defn(name=BOOST_WORKFLOW, failure_exception_types=[workflow.NondeterminismError])
class ProvisionBoost:
    """Requests the capacity of one window until it is in force or the window has ended.

    A run whose history the worker's release can't replay fails at once; the watchdog starts
    the boost again where its lease isn't held (decision 13).
    """

    @workflow.run
    async def run(self, request: BoostRequest) -> BoostResult:
        """Request the lease and wait until its capacity is in force.

        A firing after its window's end does nothing. A cancel releases the lease.

        Raises:
            ApplicationError: The request can't be read or was refused, or the window ended
                without the capacity that it requested.
        """
        nominal = self.nominal()
        lease = self._lease(request, nominal)
        late = workflow.now() - lease.until
        if late >= timedelta():
            self._note_missed(lease, f"its boost came {ui_text.format_span(late)} after its end")
            return self._end(
                BoostResult(
                    in_force=False,
                    capacity=None,
                    until=lease.until,
                    message=f"late by {ui_text.format_span(late)}: the window ended at "
                    f"{ui_text.format_minute(lease.until)}; nothing to do",
                )
            )
        try:
            return self._end(await self._obtain(request, lease, nominal))
        except BaseException as error:
            if is_cancelled_exception(error):
                await self._release(request.namespace, lease)
            elif isinstance(error, ApplicationError):
                self._note_missed(lease, error.message)
            raise

    def nominal(self) -> datetime:
        """Return the firing's nominal time; for a boost by hand the start of the workflow."""
        scheduled = workflow.info().typed_search_attributes.get(SCHEDULED_START)
        return scheduled or workflow.info().workflow_start_time

    def _lease(self, request: BoostRequest, nominal: datetime) -> Lease:
        try:
            lease = lease_of(request, nominal)
        except (ValueError, LookupError) as error:
            text = f"the boost can't be read: {error}; fix the calendar and sync it"
            raise ApplicationError(
                text, type=activity_types.BAD_REQUEST, non_retryable=True
            ) from error
        described = ui_text.describe_lease(lease)
        workflow.set_current_details(f"Requesting from keeper/{request.namespace}: {described}.")
        return lease

    async def _obtain(self, request: BoostRequest, lease: Lease, nominal: datetime) -> BoostResult:
        """Request the lease until it is covered, refused, or has ended."""
        pause = FIRST_RETRY
        message = ""
        while (left := lease.until - workflow.now()) > timedelta():
            answer = await self._request(request, lease, nominal, left, is_first=not message)
            message = answer.message
            if answer.in_force or not answer.granted:
                return BoostResult(
                    in_force=answer.in_force,
                    capacity=answer.capacity,
                    until=lease.until,
                    message=message,
                )
            workflow.set_current_details(f"{message}. Requested again until it is in force.")
            wait = wait_before_next(pause, lease.until - workflow.now())
            await workflow.sleep(wait, summary=message[:200])
            pause = min(pause * 2, LONGEST_RETRY)
        raise self._failure(request, lease, message)

    async def _request(
        self,
        request: BoostRequest,
        lease: Lease,
        nominal: datetime,
        left: timedelta,
        *,
        is_first: bool,
    ) -> LeaseAnswer:
        """Send the lease request to the keeper, retrying within the *left* time of the window."""
        declares = request.by == "schedule" or bool(request.project)
        task = activity_types.RequestLease(
            request=LeaseRequest(
                namespace=request.namespace,
                lease=lease,
                baseline=request.baseline,
                rails=request.rails if declares else None,
                revision=request.revision if declares else 0,
                fires=nominal,
            ),
            nominal=nominal,
            is_first=is_first,
        )
        try:
            answer: LeaseAnswer = await workflow.execute_activity(
                activity_types.REQUEST_LEASE,
                task,
                result_type=LeaseAnswer,
                schedule_to_close_timeout=left,
                start_to_close_timeout=activity_types.ATTEMPT_TIMEOUT,
                heartbeat_timeout=activity_types.HEARTBEAT_TIMEOUT,
                retry_policy=_KEEPER_RETRIES,
                summary=f"Request {ui_text.demand_text(lease)} from keeper/{request.namespace}"[
                    :200
                ],
            )
        except ActivityError as error:
            # So a cancel arrives while the activity runs; otherwise as a CancelledError.
            if is_cancelled_exception(error):
                raise
            cause = error.cause or error
            if isinstance(cause, ApplicationError) and cause.non_retryable:
                raise ApplicationError(
                    cause.message, type=activity_types.REFUSED, non_retryable=True
                ) from error
            unreachable = f"keeper/{request.namespace} could not be reached: {cause}"
            return LeaseAnswer(
                granted=True, in_force=False, capacity=None, until=lease.until, message=unreachable
            )
        return answer

    async def _release(self, namespace: str, lease: Lease) -> None:
        """Release the lease of a cancelled boost.

        Its request may still be in flight and arrive later than this: so the keeper gets the
        lease itself, to refuse it until its end.
        """
        task = activity_types.ReleaseLease(
            namespace=namespace,
            request=ReleaseRequest(key=lease.key, by="a cancelled boost", lease=lease),
        )
        workflow.set_current_details(f"Cancelled: releasing {lease.window}.")
        await workflow.execute_activity(
            activity_types.RELEASE_LEASE,
            task,
            start_to_close_timeout=activity_types.ATTEMPT_TIMEOUT,
            schedule_to_close_timeout=max(lease.until - workflow.now(), timedelta(minutes=1)),
            retry_policy=_KEEPER_RETRIES,
            summary="Release the lease",
        )

    def _note_missed(self, lease: Lease, reason: str) -> None:
        """Note in the memo that the window never had its capacity: the list of workflows shows it.

        So whoever looks at the past day needs no history of any boost.
        """
        if not workflow.patched(MISSED_PATCH):
            return
        missed = MissedBoost(
            window=lease.window,
            start=format_instant(lease.start.replace(microsecond=0)),
            end=format_instant(lease.until.replace(microsecond=0)),
            reason=reason,
        )
        workflow.upsert_memo({MISSED_MEMO: missed})

    def _end(self, result: BoostResult) -> BoostResult:
        workflow.set_current_details(result.message)
        return result

    def _failure(self, request: BoostRequest, lease: Lease, message: str) -> ApplicationError:
        """Return the failure of a window that was not covered: what was wrong, what to do."""
        text = (
            f"{request.namespace} did not get the {ui_text.demand_text(lease)} of {lease.window} "
            f"before its end at {ui_text.format_minute(lease.until)}: {message}. See the workflow "
            f"keeper/{request.namespace}; check the Cloud API key, the namespace's name and "
            "the TRU available to it, then `planner boost` for as long as it is still needed"
        )
        workflow.set_current_details(text)
        return ApplicationError(text, type="NotCovered", non_retryable=True)


ADMITTED_WITHIN = timedelta(hours=1)
"""How long a boost from code tries to read the live schedules, where the server doesn't answer."""

_NO_INPUT: Any = None
"""The default that keeps `RequestBoost.run`'s type: where the input is missing, it can say so."""


@workflow.defn(name=REQUEST_BOOST_WORKFLOW, failure_exception_types=[Exception])
class RequestBoost:
    """The boost that an application requests: `ProvisionBoost` with a public input and answer.

    Whatever can't be read fails it at once, so that the application sees why. Its length counts
    from the workflow's start.
    """

    @workflow.run
    async def run(self, request: RawValue = _NO_INPUT) -> BoostAnswer:
        """Check the request against the live rails, then boost as a schedule's firing does.

        Raises:
            ApplicationError: The request can't be read or was refused, or the boost ended
                without its capacity.
        """
        admitted = await self._admit(_plain(request))
        boost = ProvisionBoost()
        lease = lease_of(admitted, boost.nominal())
        return answer_of(await boost.run(admitted), lease.key)

    async def _admit(self, request: Any) -> BoostRequest:
        try:
            admitted: BoostRequest = await workflow.execute_activity(
                activity_types.ADMIT_BOOST,
                activity_types.AdmitBoost(request=request),
                result_type=BoostRequest,
                schedule_to_close_timeout=ADMITTED_WITHIN,
                start_to_close_timeout=activity_types.ATTEMPT_TIMEOUT,
                heartbeat_timeout=activity_types.HEARTBEAT_TIMEOUT,
                retry_policy=_KEEPER_RETRIES,
                summary="Check the request, and the namespace's guard rails",
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            cause = error.cause
            if isinstance(cause, ApplicationError) and cause.non_retryable:
                text, kind = cause.message, cause.type
            else:
                text, kind = f"the live schedules can't be read: {cause or error}", "NotCovered"
            workflow.set_current_details(text)
            raise ApplicationError(text, type=kind, non_retryable=True) from error
        return admitted


def _plain(request: Any) -> Any:
    """Return the JSON value of the input; of what can't be decoded, a text that says so."""
    if not isinstance(request, RawValue):
        return request
    try:
        return workflow.payload_converter().from_payload(request.payload)
    except Exception as error:
        return f"no JSON: {error}"
