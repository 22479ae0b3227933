"""The watchdog's workflow: one long activity that looks around every so often.

A schedule of the planner's own starts it each hour, once the one before has ended. The rounds
are one activity, whose heartbeats carry the latest report: so they cost few Actions.
"""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from workflows import activity_types
    from workflows.contract import WATCHDOG_WORKFLOW, WatchdogInput, WatchdogReport
    from workflows.contract.findings import SLOWEST_ROUND

_RETRIES = RetryPolicy(
    initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30)
)


@workflow.defn(name=WATCHDOG_WORKFLOW, failure_exception_types=[workflow.NondeterminismError])
class Watchdog:
    """Looks around for as long as its input says; its result is the last report."""

    @workflow.run
    async def run(self, task: WatchdogInput) -> WatchdogReport:
        """Go on from the report of the run before, where there is one."""
        before: WatchdogReport | None = None
        if workflow.has_last_completion_result():
            before = workflow.get_last_completion_result(WatchdogReport)
        every = timedelta(seconds=task.every_seconds)
        length = timedelta(seconds=task.for_seconds)
        report: WatchdogReport = await workflow.execute_activity(
            activity_types.WATCH,
            args=[task, before],
            result_type=WatchdogReport,
            start_to_close_timeout=length + every + SLOWEST_ROUND,
            heartbeat_timeout=every + SLOWEST_ROUND,
            retry_policy=_RETRIES,
            summary=f"Look around every {task.every_seconds:g} s",
        )
        return report
