"""Running boosts keep what they were granted, whatever is declared meanwhile: a real server."""

from __future__ import annotations

from datetime import timedelta

import pytest
from keeper_helpers import Stage, staged
from temporalio.testing import WorkflowEnvironment

from workflows.contract import LEASE_UPDATE, Capacity, LeaseRequest, Rails, lease_of

pytestmark = pytest.mark.integration

SECONDS = 1 / 3600
FOUR = Rails(max_tru=4)


async def ends_with(stage: Stage, *steps: float | None) -> None:
    """Wait for the keeper's end, and fail unless exactly *steps* were taken."""
    await stage.end()
    assert stage.cloud.steps == list(steps)


@pytest.mark.parametrize("project", ["ours", "theirs"])
async def test_another_firing_cuts_nothing_short(
    dev_server: WorkflowEnvironment, fresh: str, project: str
) -> None:
    """12 TRU stay while their window runs, though another brings max_tru 4; then 4 holds.

    It may come from a newer sync of the same project, or from another one.
    """
    async with staged(dev_server, fresh) as stage:
        await stage.boost(12, 5 * SECONDS, project="ours", revision=1)
        ((wide,), narrow) = (await stage.status()).leases, {"rails": FOUR, "revision": 2}
        await stage.start(stage.request(8, 5 * SECONDS, window="other", project=project, **narrow))
        await stage.says(lambda status: len(status.leases) == 2)
        await stage.start(stage.request(6, 9 * SECONDS, window="last", project=project, **narrow))
        # Granted while the first project's windows run, theirs is held to its rails.
        await ends_with(stage, 12, *([4] if project == "ours" else [8, 6]), None)
        assert stage.cloud.history[1][0] >= wide.until


async def test_a_schedule_that_is_not_updated_yet_brings_no_facts(
    dev_server: WorkflowEnvironment, fresh: str
) -> None:
    """An older declaration that fires later raises nothing past the newer one."""
    async with staged(dev_server, fresh) as stage:
        await stage.boost(3, 4 * SECONDS, revision=2, rails=FOUR, baseline=Capacity(2))
        assert (await stage.boost(12, 4 * SECONDS, revision=1)).in_force
        status = await stage.status()
        assert (status.baseline, status.target) == (Capacity(2), Capacity(4))
        await ends_with(stage, 3, 4, 2)


async def test_a_doubled_firing_changes_nothing(
    dev_server: WorkflowEnvironment, fresh: str
) -> None:
    """The same occurrence fired again by a changed schedule keeps what runs of it."""
    async with staged(dev_server, fresh) as stage:
        await stage.boost(12, 4 * SECONDS)
        (held,) = (await stage.status()).leases
        less = lease_of(stage.request(3, 2 * SECONDS, window="w12"), held.start)
        assert less.key == held.key
        order = LeaseRequest(namespace=stage.namespace, lease=less, rails=FOUR, revision=9)
        answer = await stage.keeper.execute_update(LEASE_UPDATE, order)
        assert answer["granted"]
        assert answer["in_force"]
        assert (await stage.status()).leases == (held,)
        await ends_with(stage, 12, None)


async def test_a_moved_start_does_not_dip(dev_server: WorkflowEnvironment, fresh: str) -> None:
    """A lease that takes another's place does so in one step: the capacity stays."""
    async with staged(dev_server, fresh) as stage:
        await stage.boost(4, 3 * SECONDS)
        (held,) = (await stage.status()).leases
        moved = lease_of(
            stage.request(4, 5 * SECONDS, window="w4"), held.start - timedelta(seconds=1)
        )
        order = LeaseRequest(namespace=stage.namespace, lease=moved, replaces=held.key)
        await stage.keeper.execute_update(LEASE_UPDATE, order)
        assert [lease.key for lease in (await stage.status()).leases] == [moved.key]
        await ends_with(stage, 4, None)
        assert stage.cloud.history[-1][0] >= moved.until
