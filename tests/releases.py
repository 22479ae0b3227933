"""Keepers as other releases might have them: with an activity more, replayable or not."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

from workflows import activity_types
from workflows.activity_types import KeeperInput
from workflows.contract import KEEPER_WORKFLOW
from workflows.keeper import CapacityKeeper


async def _observe(namespace: str) -> None:
    """Look at the namespace once more, whatever that tells."""
    with suppress(ActivityError):
        await workflow.execute_activity(
            activity_types.OBSERVE,
            namespace,
            start_to_close_timeout=timedelta(minutes=1),
            retry_policy=RetryPolicy(maximum_attempts=1),
        )


@workflow.defn(name=KEEPER_WORKFLOW, failure_exception_types=[workflow.NondeterminismError])
class KeeperWithoutPatch(CapacityKeeper):
    """Observes once before all else: neither can replay what the other has begun."""

    @workflow.init
    def __init__(self, start: KeeperInput) -> None:
        super().__init__(start)

    @workflow.run
    async def run(self, start: KeeperInput) -> str:
        """Keep the namespace."""
        return await super().run(start)

    async def _recover(self) -> None:
        await _observe(self._state.namespace)
        await super()._recover()


@workflow.defn(name=KEEPER_WORKFLOW, failure_exception_types=[workflow.NondeterminismError])
class KeeperWithPatch(CapacityKeeper):
    """Observes once before all else, by a patch: it replays what was begun without."""

    @workflow.init
    def __init__(self, start: KeeperInput) -> None:
        super().__init__(start)

    @workflow.run
    async def run(self, start: KeeperInput) -> str:
        """Keep the namespace."""
        return await super().run(start)

    async def _recover(self) -> None:
        if workflow.patched("an-observation-more"):
            await _observe(self._state.namespace)
        await super()._recover()
