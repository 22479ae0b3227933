"""The way of a lease to its keeper, where that way is barred."""

from __future__ import annotations

import asyncio
import gc
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import ActivityEnvironment, WorkflowEnvironment

from workflows.activities.keeper import KeeperActivities
from workflows.activity_types import REFUSED, ReleaseLease, RequestLease
from workflows.contract import (
    NOT_NOW,
    Capacity,
    Lease,
    LeaseAnswer,
    LeaseRequest,
    ReleaseRequest,
)

NOW = datetime(2027, 1, 31, 18, tzinfo=UTC)


def task(namespace: str) -> RequestLease:
    """Return a lease of three hours."""
    lease = Lease(
        key="payroll@2027-01-31T18:00:00Z",
        window="payroll",
        tru=8,
        start=NOW,
        until=NOW + timedelta(hours=3),
    )
    return RequestLease(request=LeaseRequest(namespace=namespace, lease=lease), nominal=NOW)


async def test_a_keeper_out_of_reach_is_one_error(
    skipping: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch, fresh: str
) -> None:
    """The failure is raised for the server to try again, and nothing else is left of it."""

    async def fail(*_: object, **__: object) -> None:
        raise RPCError("the server is going down", RPCStatusCode.UNAVAILABLE, b"")

    reported: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: reported.append(context))
    monkeypatch.setattr(skipping.client.workflow_service, "execute_multi_operation", fail)
    activity = KeeperActivities(skipping.client).request_lease
    with pytest.raises(RPCError, match="going down"):
        await ActivityEnvironment().run(activity, task(f"{fresh}.acct"))
    await asyncio.sleep(0)
    gc.collect()
    assert reported == []


ANSWER = LeaseAnswer(granted=True, in_force=True, capacity=Capacity(8), until=NOW, message="yes")


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        pytest.param(NOT_NOW, ANSWER, id="the keeper hands over"),
        pytest.param("UnprocessedUpdate", ANSWER, id="the keeper has just handed over"),
        pytest.param(REFUSED, ApplicationError, id="it makes no sense"),
        pytest.param("SomethingElse", WorkflowUpdateFailedError, id="a bug: the server retries"),
    ],
)
async def test_what_a_refusal_means(
    skipping: WorkflowEnvironment,
    monkeypatch: pytest.MonkeyPatch,
    fresh: str,
    kind: str,
    outcome: object,
) -> None:
    """A request that a keeper had no time for is made again; only its own no is final.

    The server's word for an update that came with a hand-over says that it is not to be
    tried again, which concerns the run that is over.
    """
    refusals = [WorkflowUpdateFailedError(ApplicationError("no", type=kind, non_retryable=True))]

    async def request(*_: object) -> LeaseAnswer:
        if refusals:
            raise refusals.pop()
        return ANSWER

    monkeypatch.setattr(KeeperActivities, "_update", request)
    monkeypatch.setattr("workflows.activities.keeper.RETRY_INTERVAL", 0)
    activity = KeeperActivities(skipping.client).request_lease
    if outcome is ANSWER:
        assert await ActivityEnvironment().run(activity, task(fresh)) == ANSWER
    else:
        with pytest.raises(outcome):  # type: ignore[call-overload]
            await ActivityEnvironment().run(activity, task(fresh))


class SlowKeepers:
    """A client of keepers that accept and answer as the test says."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.accept = asyncio.Semaphore(0)
        self.answer = asyncio.Event()

    async def start_update_with_start_workflow(
        self, _update: str, _request: object, *, start_workflow_operation: str, **_: object
    ) -> SlowKeepers:
        """Return once the request is accepted."""
        self.sent.append(start_workflow_operation)
        await self.accept.acquire()
        return self

    async def result(self) -> LeaseAnswer:
        """Return the answer once there is one."""
        await self.answer.wait()
        return ANSWER


async def test_one_request_at_a_time_is_on_its_way_to_a_keeper(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many wait: as the server refuses an eleventh, it drops those not yet accepted.

    What is accepted holds no other up, nor does another keeper; a release takes its turn.
    """

    async def start_of(_: object, namespace: str) -> str:
        return namespace

    monkeypatch.setattr(KeeperActivities, "_start_of", start_of)
    keepers = SlowKeepers()
    activities = KeeperActivities(keepers)  # type: ignore[arg-type]
    release = ReleaseLease(namespace="pay.acct", request=ReleaseRequest(key="payroll@"))
    run = ActivityEnvironment().run
    requests = [
        *(run(activities.request_lease, task("pay.acct")) for _ in range(12)),
        run(activities.release_lease, release),
        run(activities.request_lease, task("shop.acct")),
    ]
    waiting: list[asyncio.Future[LeaseAnswer | None]] = [*map(asyncio.ensure_future, requests)]
    await settled()
    assert sorted(keepers.sent) == ["pay.acct", "shop.acct"]
    keepers.accept.release()
    keepers.accept.release()
    await settled()
    assert keepers.sent.count("pay.acct") == 2
    assert not any(one.done() for one in waiting)
    waiting.pop(1).cancel()
    await settled()
    assert keepers.sent.count("pay.acct") == 3
    for _ in waiting:
        keepers.accept.release()
    keepers.answer.set()
    async with asyncio.timeout(10):
        answers = await asyncio.gather(*waiting)
    assert answers.count(ANSWER) == 12
    assert answers.count(None) == 1


async def settled() -> None:
    """Let every task go as far as it can."""
    for _ in range(50):
        await asyncio.sleep(0)
