"""By hand on the real dev server: pause and resume, and running boosts that follow a sync."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest
from schedule_values import daily
from sync_helpers import Shop, eventually
from temporalio import workflow
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from planner.cli.boost import outcome_code
from planner.errors import Refused, ServerError
from planner.plan.model import LiveSchedule
from planner.plan.safety import Allowances
from planner.temporal import apply as apply_module
from planner.temporal import keepers
from planner.temporal import lifecycle as pause_module
from planner.temporal.fetch import list_schedules
from planner.temporal.lifecycle import PauseOutcome, choose, pause, resume
from planner.temporal.sync import sync
from workflows.activity_types import REFUSED
from workflows.contract import (
    KEEPER_WORKFLOW,
    LEASE_UPDATE,
    NOT_NOW,
    RELEASE_UPDATE,
    UNPROCESSED_UPDATE,
    LeaseAnswer,
    LeaseRequest,
    ReleaseRequest,
    keeper_id,
)

pytestmark = pytest.mark.integration


@pytest.fixture
def shop(client: Client, fresh: str) -> Shop:
    """A project that no other test has."""
    return Shop(client, fresh)


def under_way() -> tuple[datetime, int, int]:
    """Return a firing's nominal time five minutes ago, with its hour and minute."""
    begun = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=5)
    return begun, begun.hour, begun.minute


# Pause and resume -------------------------------------------------------------------


async def test_pause_and_resume_leave_no_trace(shop: Shop) -> None:
    """A paused schedule says who paused it and why; resumed, it is as the files have it."""
    await shop.sync(shop.value())
    chosen = await choose(shop.server, f"{shop.namespace}/payroll", shop.project)
    (paused,) = await pause(shop.server, chosen, by="alice", reason="freeze")
    live = await shop.live()
    assert paused.changed
    assert (live.paused, live.note) == (True, "Paused by alice: freeze | 2 TRU for payroll")
    assert (await shop.plan(shop.value(), full=True)).pending == ()
    (resumed,) = await resume(shop.server, chosen, datetime.now(UTC))
    live = await shop.live()
    assert (resumed.message, live.paused, live.note) == ("resumed", False, "2 TRU for payroll")
    assert (await shop.plan(shop.value(), full=True)).pending == ()


async def test_a_whole_namespace_or_everything(shop: Shop) -> None:
    """A namespace, or all of a project, is paused at once; a second time changes nothing."""
    await shop.sync(shop.value("a"), shop.value("b"))
    chosen = await choose(shop.server, shop.namespace, shop.project)
    assert [one.changed for one in await pause(shop.server, chosen, by="bob", reason="")] == [
        True,
        True,
    ]
    await eventually(lambda: shop.listed_paused(2))
    again = await choose(shop.server, "*", shop.project)
    handled = await pause(shop.server, again, by="eve", reason="")
    assert [one.changed for one in handled] == [False, False]
    assert "is paused already: Paused by bob" in handled[0].message


async def test_what_the_file_pauses_is_not_resumed(shop: Shop) -> None:
    """A schedule that its file pauses is left to the file."""
    await shop.sync(shop.value(paused=True))
    (handled,) = await resume(
        shop.server, await choose(shop.server, shop.namespace, shop.project), datetime.now(UTC)
    )
    assert not handled.changed
    assert "paused by its file" in handled.message


async def test_what_the_file_pauses_stays_so_through_a_freeze(shop: Shop) -> None:
    """Pausing all and resuming all switches nothing on that its file pauses."""
    _, hour, minute = under_way()
    await shop.sync(shop.value(calendars=(daily(hour, minute),), paused=True))
    chosen = await choose(shop.server, shop.namespace, shop.project)
    (paused,) = await pause(shop.server, chosen, by="alice", reason="freeze")
    (resumed,) = await resume(shop.server, chosen, datetime.now(UTC))
    live = await shop.live()
    assert (paused.changed, paused.message) == (False, "is paused by its file already")
    assert not resumed.changed
    assert "paused by its file" in resumed.message
    assert (live.paused, live.note, live.fired) == (True, "2 TRU for payroll", ())


async def test_a_resumed_window_under_way_is_started(shop: Shop) -> None:
    """An occurrence that a pause held back starts when it ends."""
    begun, hour, minute = under_way()
    held = shop.value(calendars=(daily(hour, minute),))
    await shop.sync(shop.value())
    chosen = await choose(shop.server, shop.namespace, shop.project)
    await pause(shop.server, chosen, by="alice", reason="")
    await shop.sync(held)
    (handled,) = await resume(shop.server, chosen, datetime.now(UTC))
    assert handled.message == "resumed, and its occurrence under way started"
    handle = shop.client.get_workflow_handle(f"{held.id}-{begun:%Y-%m-%dT%H:%M:%SZ}")
    await eventually(handle.describe)
    await handle.terminate()


async def test_one_of_many_fails(shop: Shop) -> None:
    """A schedule that went meanwhile is named, with why; the others are paused and resumed."""
    await shop.sync(shop.value("a"), shop.value("b"), shop.value("c"))
    chosen = await choose(shop.server, shop.namespace, shop.project)
    await shop.client.get_schedule_handle(shop.value("b").id).delete()
    told: list[PauseOutcome] = []
    paused = await pause(shop.server, chosen, by="al", reason="", on_outcome=told.append)
    resumed = await resume(shop.server, chosen, datetime.now(UTC), on_outcome=told.append)
    for handled, word in ((paused, "paused"), (resumed, "resumed")):
        a, b, c = handled
        assert (a.message, a.failed, c.message, c.failed) == (word, False, word, False)
        assert (b.key, b.failed) == (f"{shop.namespace}/b", True)
        assert b.message.startswith(f"could not be {word}: ")
        assert outcome_code(handled) == 1
        assert outcome_code([a, c]) == 0
    assert sorted(one.key for one in told) == sorted(one.key for one in (*paused, *resumed))


async def test_nothing_by_that_name(shop: Shop) -> None:
    """A name that no schedule has is an error with the way to write one."""
    with pytest.raises(ServerError, match="write NAMESPACE/WINDOW"):
        await choose(shop.server, "nobody/nothing")


async def test_several_projects(shop: Shop) -> None:
    """What belongs to several projects is told apart by name, never taken together."""
    other = Shop(shop.client, f"{shop.project}x")
    await shop.sync(shop.value())
    await other.sync(other.value())
    await eventually(lambda: shows_both(shop, other))
    with pytest.raises(Refused, match=f"--project {shop.project}"):
        await choose(shop.server, f"{shop.project}*")
    assert len(await choose(shop.server, f"{shop.project}*", other.project)) == 1


async def shows_both(one: Shop, other: Shop) -> None:
    """Fail unless the server's list shows a schedule of each project."""
    for shop in (one, other):
        assert await list_schedules(shop.server, shop.project)


async def test_a_list_that_lags_hides_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the last sync wrote is chosen although the list doesn't show it yet."""
    await shop.sync(shop.value("a"), shop.value("b"))

    async def lagging(*_: object) -> dict[str, LiveSchedule]:
        return {}

    monkeypatch.setattr(pause_module, "list_schedules", lagging)
    chosen = await choose(shop.server, shop.namespace, shop.project)
    assert sorted(chosen) == [shop.value("a").id, shop.value("b").id]
    assert list(await choose(shop.server, f"{shop.namespace}/b", shop.project)) == [
        shop.value("b").id
    ]


# Boosts that follow -----------------------------------------------------------------


@workflow.defn(name=KEEPER_WORKFLOW, sandboxed=False)
class RecordingKeeper:
    """A keeper that only remembers what it was told.

    Attributes:
        refusals: The types of its next refusals; they leave no trace in its history.
    """

    refusals: ClassVar[list[str]] = []

    def __init__(self) -> None:
        self.told: list[str] = []

    @workflow.run
    async def run(self) -> None:
        """Wait for ever."""
        await workflow.wait_condition(lambda: False)

    @workflow.update(name=LEASE_UPDATE)
    async def lease(self, request: LeaseRequest) -> LeaseAnswer:
        """Remember a lease."""
        lease = request.lease
        self.told.append(f"{lease.window} {lease.tru} until {lease.until:%H:%M}")
        return LeaseAnswer(granted=True, in_force=True, capacity=None, until=None, message="")

    @lease.validator
    def check_lease(self, request: LeaseRequest) -> None:
        """Refuse a lease as the test says."""
        if self.refusals:
            raise ApplicationError("no room", type=self.refusals.pop(0))

    @workflow.update(name=RELEASE_UPDATE)
    async def release(self, request: ReleaseRequest) -> None:
        """Remember the end of one."""
        self.told.append(f"release {request.key}")

    @workflow.query
    def memory(self) -> list[str]:
        """Return what was told."""
        return self.told


async def test_a_running_boost_follows(shop: Shop) -> None:
    """With ``follow``, the keeper is told of the new demand, then of the end."""
    begun, hour, minute = under_way()
    queue = f"q{uuid.uuid4().hex}"
    times = {"calendars": (daily(hour, minute),)}
    await shop.sync(shop.value(**times))
    async with Worker(shop.client, task_queue=queue, workflows=[RecordingKeeper]):
        keeper = await shop.client.start_workflow(
            KEEPER_WORKFLOW, id=keeper_id(shop.namespace), task_queue=queue
        )
        await eventually(lambda: shop.running(1))
        await shop.sync(shop.value(tru=8, **times), follow=True)
        await shop.sync(shop.value(tru=8, ttl_seconds=9000, **times), follow=True)
        await shop.sync(follow=True)
        start = begun + timedelta(minutes=10)
        assert await keeper.query("memory") == [
            f"payroll 8 until {start + timedelta(hours=2):%H:%M}",
            f"payroll 8 until {start + timedelta(hours=2.5):%H:%M}",
            f"release payroll@{start:%Y-%m-%dT%H:%M:%SZ}",
        ]
        await keeper.terminate()
    await shop.end(begun)


@pytest.mark.parametrize(
    ("refusals", "is_done"),
    [([NOT_NOW, UNPROCESSED_UPDATE], True), ([REFUSED], False)],
    ids=["as it hands over", "for good"],
)
async def test_a_keeper_that_refuses(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, refusals: list[str], is_done: bool
) -> None:
    """What a keeper has no time for is asked of it again; nothing is written that it refuses."""
    monkeypatch.setattr(keepers, "HAND_OVER", 0.0)
    begun, hour, minute = under_way()
    queue = f"q{uuid.uuid4().hex}"
    times = {"calendars": (daily(hour, minute),)}
    await shop.sync(shop.value(**times))
    async with Worker(shop.client, task_queue=queue, workflows=[RecordingKeeper]):
        keeper = await shop.client.start_workflow(
            KEEPER_WORKFLOW, id=keeper_id(shop.namespace), task_queue=queue
        )
        await eventually(lambda: shop.running(1))
        left = list(refusals)
        monkeypatch.setattr(RecordingKeeper, "refusals", left)
        order = shop.order(shop.value(tru=8, **times), follow=True)
        report = await sync(shop.server, order, datetime.now(UTC))
        assert left == []
        assert [one.done for one in report.outcomes] == [is_done]
        told = await keeper.query("memory")
        assert len(told) == is_done
        await keeper.terminate()
    messages = [one.message for one in report.failed]
    assert messages == ([] if is_done else [f"the keeper of {shop.namespace} refused it: no room"])
    assert len((await shop.plan(shop.value(tru=8, **times))).pending) == (not is_done)
    await shop.end(begun)


async def test_a_running_boost_keeps_what_it_has(shop: Shop) -> None:
    """Without ``follow`` no keeper is spoken to: none is there, and nothing waits for it."""
    begun, hour, minute = under_way()
    times = {"calendars": (daily(hour, minute),)}
    await shop.sync(shop.value(**times))
    await eventually(lambda: shop.running(1))
    await shop.sync(shop.value(tru=8, **times))
    await shop.end(begun)


async def test_a_keeper_that_does_not_answer(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written then, so that the next sync tries again."""
    monkeypatch.setattr(apply_module, "KEEPER_TIMEOUT", timedelta(seconds=0.5))
    begun, hour, minute = under_way()
    times = {"calendars": (daily(hour, minute),)}
    await shop.sync(shop.value(**times))
    await eventually(lambda: shop.running(1))
    keeper = await shop.client.start_workflow(
        KEEPER_WORKFLOW, id=keeper_id(shop.namespace), task_queue=f"q{uuid.uuid4().hex}"
    )
    order = shop.order(shop.value(tru=8, **times), follow=True, allowed=Allowances())
    report = await asyncio.wait_for(sync(shop.server, order, datetime.now(UTC)), 60)
    (failed,) = report.failed
    assert "is a worker running?" in failed.message
    assert len((await shop.plan(shop.value(tru=8, **times))).pending) == 1
    await keeper.terminate()
    await shop.end(begun)
