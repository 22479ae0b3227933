"""A boost that is cancelled in the middle of its raise, on a real server."""

from __future__ import annotations

import asyncio

import pytest
from keeper_helpers import staged
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import CancelledError
from temporalio.testing import WorkflowEnvironment

from workflows import activity_types
from workflows.activities.keeper import KeeperActivities
from workflows.contract import Capacity, LeaseAnswer

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("baseline", [None, Capacity(3)], ids=["found", "declared"])
async def test_a_cancel_during_the_raise_releases_the_lease(
    dev_server: WorkflowEnvironment, fresh: str, baseline: Capacity | None
) -> None:
    """Who cancels a boost while the change is under way doesn't want it: it goes back at once."""
    async with staged(dev_server, fresh, capacity=Capacity(3), patience=60) as stage:
        stage.cloud.hold = asyncio.Event()
        boost = await stage.start(stage.request(8, 1, baseline=baseline))
        await stage.until(lambda: stage.cloud.in_flight == 1)
        await boost.cancel()
        with pytest.raises(WorkflowFailureError) as ended:
            await boost.result()
        assert isinstance(ended.value.cause, CancelledError)
        assert (await stage.status()).leases == ()
        stage.cloud.hold.set()
        await stage.in_force(8)
        await stage.in_force(3)
        assert stage.cloud.steps == [8, 3]


@pytest.fixture
def detour(monkeypatch: pytest.MonkeyPatch) -> tuple[asyncio.Event, asyncio.Event, list[bool]]:
    """Hold requests for leases up on their way to the keeper, and forget their cancels.

    Yields what says that one is on its way, what lets it go on, and whether it was granted.
    """
    on_its_way, goes_on, granted = asyncio.Event(), asyncio.Event(), list[bool]()
    request_lease = KeeperActivities.request_lease

    async def slow(self: KeeperActivities, task: activity_types.RequestLease) -> LeaseAnswer:
        if task.request.lease.tru != 8:
            return await request_lease(self, task)
        on_its_way.set()
        await goes_on.wait()
        answer = await request_lease(self, task)
        granted.append(answer.granted)
        return answer

    definition = request_lease.__temporal_activity_definition  # type: ignore[attr-defined]
    slow.__temporal_activity_definition = definition  # type: ignore[attr-defined]
    monkeypatch.setattr(KeeperActivities, "request_lease", slow)
    return on_its_way, goes_on, granted


@pytest.mark.parametrize("has_keeper", [False, True], ids=["no keeper", "a keeper for another"])
async def test_a_release_that_overtakes_its_request_wins(
    dev_server: WorkflowEnvironment,
    fresh: str,
    detour: tuple[asyncio.Event, asyncio.Event, list[bool]],
    has_keeper: bool,
) -> None:
    """A request for a lease that comes after its release is not granted: nothing is raised."""
    on_its_way, goes_on, granted = detour
    async with staged(dev_server, fresh) as stage:
        if has_keeper:
            await stage.boost(4, 1, window="other")
        boost = await stage.start(stage.request(8, 1))
        await on_its_way.wait()
        await boost.cancel()
        with pytest.raises(WorkflowFailureError):
            await boost.result()
        goes_on.set()
        await stage.until(lambda: granted != [])
        assert granted == [False]
        await stage.says(lambda status: status.health == "ok")
        assert Capacity(8) not in stage.cloud.writes


async def test_a_release_before_its_request_is_forgotten_at_its_end(
    dev_server: WorkflowEnvironment,
    fresh: str,
    detour: tuple[asyncio.Event, asyncio.Event, list[bool]],
) -> None:
    """A keeper that only remembers a release ends by itself when the window does."""
    on_its_way, _, _ = detour
    async with staged(dev_server, fresh) as stage:
        boost = await stage.start(stage.request(8, 8 / 3600))
        await on_its_way.wait()
        await boost.cancel()
        with pytest.raises(WorkflowFailureError):
            await boost.result()
        assert await stage.end() == "no lease was requested, nothing was changed"
        assert stage.cloud.calls == []
