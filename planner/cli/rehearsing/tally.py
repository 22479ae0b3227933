"""What a rehearsal costs: the Actions in the histories of boosts and keepers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from temporalio.client import Client, WorkflowHandle, WorkflowHistory

FIRING = 3
"""Actions of one firing of a schedule; the start of its boost is among them."""


class Tally:
    """Counts Actions: 3 a firing, and 1 each for what else Temporal bills.

    That is a keeper's start, an activity and each further attempt of it, a timer, an
    update, a signal, a change of memo or search attributes, and a continuation as new.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._keepers: dict[str, str] = {}
        self.actions = 0

    async def add(self, boost: WorkflowHandle[Any, Any], keeper: str) -> None:
        """Count a *boost* that has ended, and note the run of its *keeper*, if it has one."""
        from temporalio.service import RPCError, RPCStatusCode

        self.actions += FIRING - 1 + billed(await boost.fetch_history()).total()
        try:
            run = (await self._client.get_workflow_handle(keeper).describe()).run_id
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
        else:
            self._keepers[run] = keeper

    async def add_keepers(self) -> None:
        """Count the runs of the keepers, once they have ended, and those they continued."""
        waiting, counted = dict(self._keepers), set[str]()
        while waiting:
            run, keeper = waiting.popitem()
            counted.add(run)
            history = await self._client.get_workflow_handle(keeper, run_id=run).fetch_history()
            self.actions += billed(history).total()
            started = history.events[0].workflow_execution_started_event_attributes
            earlier = started.continued_execution_run_id
            if earlier and earlier not in counted:
                waiting[earlier] = keeper


def billed(history: WorkflowHistory) -> Counter[str]:
    """Return how many Actions *history* holds, by what for; the workflow's own start is one.

    Further attempts of an activity count too. Heartbeats do as well, but leave no trace.
    """
    from temporalio.api.enums.v1 import EventType

    kinds: dict[int, str] = {
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED: "workflows",
        EventType.EVENT_TYPE_TIMER_STARTED: "timers",
        EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED: "activities",
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED: "signals",
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED: "updates",
        EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES: "attributes",
        EventType.EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED: "memos",
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW: "continuations",
    }
    counted: Counter[str] = Counter()
    for event in history.events:
        if event.event_type in kinds:
            counted[kinds[event.event_type]] += 1
        counted["activities"] += max(0, event.activity_task_started_event_attributes.attempt - 1)
    return counted
