"""Plan and sync against the real dev server: every kind of change, and what stays as it was."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from schedule_values import daily, on, unrevised
from sync_helpers import QUIET_HOUR, Shop, eventually
from temporalio.api.schedule.v1 import Range as RangeMessage
from temporalio.api.schedule.v1 import Schedule as ScheduleMessage
from temporalio.api.workflowservice.v1 import (
    DescribeScheduleRequest,
    PatchScheduleRequest,
)
from temporalio.client import (
    Client,
)

from planner.errors import Refused, ServerError, StalePlan
from planner.plan.safety import Allowances
from planner.schedules.spec import Schedule as Value
from planner.schedules.spec import stamped
from planner.temporal import apply as apply_module
from planner.temporal.client import Server
from planner.temporal.fetch import describe, list_schedules
from planner.temporal.sync import sync
from workflows.contract import BOOST_WORKFLOW

pytestmark = pytest.mark.integration

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


@pytest.fixture
def shop(client: Client, fresh: str) -> Shop:
    """A project that no other test has."""
    return Shop(client, fresh)


def rich(shop: Shop, window: str = "rich") -> Value:
    """Return a schedule with every field away from its default."""
    now, new_york = TODAY, ZoneInfo("America/New_York")
    hour = datetime.now(UTC).replace(hour=QUIET_HOUR).astimezone(new_york).hour
    made = shop.value(
        window,
        tru=8,
        calendars=(daily(hour, comment="daily"), on(now + timedelta(days=30), "once")),
        timezone="America/New_York",
        start_at=now,
        end_at=now + timedelta(days=700),
        jitter=timedelta(minutes=2),
        ahead_seconds=720,
        until=f"{(hour + 1) % 24:02}:00",
        combine="add",
        reason="Ledger close, all regions – “quoted”",
        ends={"2027-12-24T05:12:00Z": "2027-12-24T09:00:00Z"},
        covers_until=datetime(2029, 1, 1, tzinfo=UTC),
    )
    request = replace(made.request, timezone="America/New_York")
    return stamped(replace(made, request=request))


async def test_what_is_written_is_read_back_equal(shop: Shop) -> None:
    """Every field makes the round trip, and nothing is found that we didn't write."""
    await shop.sync(rich(shop), shop.value("plain", paused=True))
    live = await shop.live("rich")
    assert unrevised(live.schedule) == rich(shop)
    assert live.deviations == ()
    assert unrevised((await shop.live("plain")).schedule) == shop.value("plain", paused=True)
    plan = await shop.plan(rich(shop), shop.value("plain", paused=True), full=True)
    assert (plan.pending, plan.unchanged) == ((), 2)


async def test_a_second_sync_writes_nothing(shop: Shop) -> None:
    """Right after the first one there is nothing to do, by the list alone."""
    desired = [rich(shop), shop.value("a"), shop.value("b", tru=12)]
    first = await shop.sync(*desired)
    second = await shop.sync(*desired)
    assert len(first.outcomes) == 3
    assert (second.outcomes, second.plan.unchanged) == ((), 3)


async def test_create_update_extend_delete(shop: Shop) -> None:
    """Each kind of change is named by the plan, made by the sync, and gone afterwards."""
    soon = datetime.now(UTC).replace(microsecond=0) + timedelta(days=9)

    def dated(years: int) -> Value:
        dates = tuple(on(soon + timedelta(days=365 * year)) for year in range(years))
        covers = datetime(soon.year + years, 1, 1, tzinfo=UTC)
        return shop.value("dated", calendars=dates, covers_until=covers)

    await shop.sync(shop.value("changed"), shop.value("gone"), dated(2))
    desired = (shop.value("changed", tru=8), shop.value("new"), dated(3))
    plan = await shop.plan(*desired)
    assert {change.window: change.action for change in plan.changes} == {
        "changed": "update",
        "dated": "extend",
        "gone": "delete",
        "new": "create",
    }
    await shop.sync(*desired)
    assert (await shop.plan(*desired, full=True)).pending == ()
    assert await describe(shop.server, shop.value("gone").id) is None


def an_hour_later(hour: RangeMessage) -> None:
    """Move an *hour* of a calendar."""
    hour.start = hour.end = (hour.start + 1) % 24


EDITS = {
    "jitter": lambda m: m.spec.jitter.FromTimedelta(timedelta(minutes=9)),
    "timezone": lambda m: setattr(m.spec, "timezone_name", "Asia/Tokyo"),
    "hour of a calendar": lambda m: an_hour_later(m.spec.structured_calendar[0].hour[0]),
    "a cron string": lambda m: m.spec.cron_string.append("5 4 * * *"),
    "an interval": lambda m: m.spec.interval.add().interval.FromSeconds(3600),
    "an exclusion": lambda m: m.spec.exclude_structured_calendar.add().hour.add(start=3, end=3),
    "overlap policy": lambda m: setattr(m.policies, "overlap_policy", 1),
    "pause on failure": lambda m: setattr(m.policies, "pause_on_failure", True),
    "catch-up window": lambda m: m.policies.catchup_window.FromSeconds(60),
    "a limit of actions": lambda m: (
        setattr(m.state, "limited_actions", True),
        setattr(m.state, "remaining_actions", 5),
    ),
    "workflow type": lambda m: setattr(m.action.start_workflow.workflow_type, "name", "Other"),
    "task queue": lambda m: setattr(m.action.start_workflow.task_queue, "name", "other"),
    "workflow id": lambda m: setattr(m.action.start_workflow, "workflow_id", "other"),
    "input": lambda m: setattr(m.action.start_workflow.input.payloads[0], "data", b'{"tru": 99}'),
    "summary": lambda m: m.action.start_workflow.user_metadata.Clear(),
    "a retry policy": lambda m: setattr(
        m.action.start_workflow.retry_policy, "maximum_attempts", 3
    ),
    "note wiped": lambda m: setattr(m.state, "notes", ""),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
async def test_a_change_by_hand_is_seen_and_mended(
    shop: Shop, edit: Callable[[ScheduleMessage], object]
) -> None:
    """``--full`` names a change of any field, and a sync mends it and keeps a pause."""
    await shop.sync(rich(shop))
    await shop.edit(rich(shop).id, edit)
    if edit is not EDITS["note wiped"]:
        await shop.pause(rich(shop).id, "frozen by alice")
    (change,) = (await shop.plan(rich(shop), full=True)).pending
    assert change.action == "update"
    assert change.fields
    await shop.sync(rich(shop), full=True)
    live = await shop.live("rich")
    assert live.deviations == ()
    assert live.schedule is not None
    assert replace(unrevised(live.schedule), paused=False, note=rich(shop).note) == rich(shop)
    if edit is not EDITS["note wiped"]:
        assert (live.paused, live.note) == (True, "frozen by alice")


async def test_a_schedule_that_is_nobodys(shop: Shop) -> None:
    """It is refused and left alone; with leave it is taken over, its pause and note kept."""
    id = shop.value().id
    await shop.strange(id, note="since 2023", paused=True)
    with pytest.raises(Refused, match="--adopt"):
        await shop.sync(shop.value(), shop.value("other"))
    assert (await shop.live()).project == ""
    assert await describe(shop.server, shop.value("other").id) is None
    await shop.sync(shop.value(), allowed=Allowances(adopt=True))
    live = await shop.live()
    assert (live.project, live.paused, live.note) == (shop.project, True, "since 2023")
    assert (await shop.plan(shop.value(), full=True)).pending == ()


async def test_an_adoption_that_breaks_off(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deleted and not yet made anew: the next sync makes it paused, with the operator's note."""
    await shop.strange(shop.value().id, note="since 2023", paused=True)

    async def broken(*_: object) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patched:
        patched.setattr(apply_module._Writer, "_make", broken)
        with pytest.raises(asyncio.CancelledError):
            await shop.sync(shop.value(), allowed=Allowances(adopt=True))
    assert await describe(shop.server, shop.value().id) is None
    await shop.sync(shop.value())
    live = await shop.live()
    assert (live.project, live.paused, live.note) == (shop.project, True, "since 2023")
    assert (await shop.plan(shop.value(), full=True)).pending == ()


async def test_another_projects_schedules(shop: Shop) -> None:
    """They are never listed, changed, or counted; one under our id is refused."""
    other = Shop(shop.client, f"{shop.project}x")
    theirs = replace(shop.value("theirs"), project=other.project)
    await other.sync(theirs, other.value("more"))
    with pytest.raises(Refused, match=f"belongs to the project '{other.project}'"):
        await shop.sync(shop.value("theirs"), allowed=Allowances(adopt=True))
    await shop.sync(shop.value("ours"), allowed=Allowances(share=(shop.namespace,)))
    plan = await shop.plan()
    assert [change.window for change in plan.changes] == ["ours"]
    assert plan.owned == 1
    assert set(await list_schedules(shop.server, shop.project, ())) == {shop.value("ours").id}
    assert (await other.plan(theirs, other.value("more"), full=True)).pending == ()


async def test_an_operators_pause_outlives_an_update(shop: Shop) -> None:
    """A schedule paused by hand stays paused while its window changes."""
    await shop.sync(shop.value())
    await shop.pause(shop.value().id, "frozen by alice")
    await shop.sync(shop.value(tru=8))
    live = await shop.live()
    assert (live.paused, live.note) == (True, "frozen by alice")
    assert live.schedule is not None
    assert live.schedule.request.tru == 8


async def test_a_window_under_way_is_started_for_its_nominal_time(shop: Shop) -> None:
    """A boost is started at once, named after its nominal time, and is seen running."""
    begun = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=5)
    under_way = shop.value(
        calendars=(daily(begun.hour, begun.minute),), jitter=timedelta(minutes=1)
    )
    await shop.sync(under_way)
    handle = shop.client.get_workflow_handle(f"{under_way.id}-{begun:%Y-%m-%dT%H:%M:%SZ}")
    description = await eventually(handle.describe)
    assert description.search_attributes["TemporalScheduledStartTime"] == [begun]
    (change,) = (await shop.plan()).changes
    assert [boost.nominal for boost in change.running] == [begun]
    with pytest.raises(Refused, match="its boost is running"):
        await shop.sync(allowed=Allowances())
    await shop.sync(allowed=Allowances(delete=(f"{shop.project}.a1b2c/payroll",)))
    await handle.terminate()


async def test_an_occurrence_added_under_way_is_started(shop: Shop) -> None:
    """An update that moves a window to the present starts it as well."""
    await shop.sync(shop.value())
    begun = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=5)
    moved = shop.value(calendars=(daily(begun.hour, begun.minute),))
    (outcome,) = (await shop.sync(moved)).outcomes
    assert outcome.message == "started at once"
    handle = shop.client.get_workflow_handle(f"{moved.id}-{begun:%Y-%m-%dT%H:%M:%SZ}")
    await eventually(handle.describe)
    await handle.terminate()


class Breaking(Server):
    """A server that a sync loses sight of when it is about to start something."""

    async def send(self, call: Any, request: Any) -> Any:
        """Send *request*, unless it is the one."""
        if isinstance(request, PatchScheduleRequest):
            raise ServerError("the line is cut")
        return await super().send(call, request)


async def test_a_start_that_was_not_made_is_made_by_the_next_sync(shop: Shop) -> None:
    """A sync that broke off between the new times and the start leaves a draft, seen by all."""
    await shop.sync(shop.value())
    begun = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=5)
    moved = shop.value(calendars=(daily(begun.hour, begun.minute),))
    broken = await sync(Breaking(shop.client), shop.order(moved), datetime.now(UTC))
    assert [outcome.message for outcome in broken.failed] == ["the line is cut"]
    assert (await shop.live()).fired == ()
    (change,) = (await shop.plan(moved)).pending
    assert change.starts == (begun,)
    await shop.sync(moved)
    handle = shop.client.get_workflow_handle(f"{moved.id}-{begun:%Y-%m-%dT%H:%M:%SZ}")
    await eventually(handle.describe)
    assert unrevised((await shop.live()).schedule) == moved
    assert (await shop.plan(moved)).pending == ()
    await handle.terminate()


async def test_a_checksum_that_is_stale(shop: Shop) -> None:
    """A plan is applied as it was looked at, or not at all."""
    await shop.sync(shop.value())
    seen = (await shop.plan(shop.value(tru=8))).checksum
    await shop.edit(shop.value().id, EDITS["a retry policy"])
    with pytest.raises(StalePlan):
        await shop.sync(shop.value(tru=8), checksum=seen)
    seen = (await shop.plan(shop.value(tru=8))).checksum
    assert (await shop.plan(shop.value(tru=8))).checksum == seen
    await shop.sync(shop.value(tru=8), checksum=seen)


async def test_deleting_too_many(shop: Shop) -> None:
    """Four of ten are held back; nothing is written then."""
    desired = [shop.value(f"w{n}") for n in range(10)]
    await shop.sync(*desired)
    with pytest.raises(Refused, match="4 of 10 schedules would be deleted"):
        await shop.sync(*desired[:6], shop.value("new"), allowed=Allowances())
    assert len(await list_schedules(shop.server, shop.project, ())) == 10


async def test_the_request_is_what_a_boost_gets(shop: Shop) -> None:
    """The firing's input is the request as JSON that people can read in the UI."""
    await shop.sync(rich(shop))
    asked = DescribeScheduleRequest(namespace="default", schedule_id=rich(shop).id)
    reply = await shop.client.workflow_service.describe_schedule(asked)
    (payload,) = reply.schedule.action.start_workflow.input.payloads
    value = json.loads(payload.data)
    assert (value["namespace"], value["tru"], value["until"]) == (
        f"{shop.project}.a1b2c",
        8,
        rich(shop).request.until,
    )


async def test_two_projects_that_name_one_namespace(shop: Shop) -> None:
    """The second is refused by the first one's windows, unless it is allowed; none is touched."""
    await shop.sync(shop.value("close"))
    other = Shop(shop.client, f"{shop.project}-other")
    own = stamped(replace(shop.value("batch"), project=other.project))
    await eventually(lambda: shop._listed(shop.value("close").id))
    with pytest.raises(Refused, match=f"the project '{shop.project}' has the window close for"):
        await other.sync(own)
    assert await describe(shop.server, own.id) is None
    share = Allowances(share=(shop.namespace,))
    report = await other.sync(own, allowed=share)
    assert [lint.code for lint in report.plan.warnings] == ["shared-namespace"]
    assert (await other.plan(own, allowed=share)).pending == ()
    assert (await shop.live("close")).project == shop.project
    await eventually(lambda: shop._listed(own.id))
    plan = await shop.plan(shop.value("close", tru=4))
    assert plan.refused[0].window == "close"
    assert (await shop.plan(shop.value("close"))).pending == ()


async def test_the_filters_of_the_page(shop: Shop, fresh: str) -> None:
    """Each filter that docs/sync.md shows is one that the server takes, and finds what it says."""
    text = (Path(__file__).parents[2] / "docs" / "sync.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| (schedules|workflows) \| `(.+?)` \|", text, re.MULTILINE)
    assert len(shown) == 7
    await shop.sync(shop.value("payroll", paused=True), shop.value("close"))
    boost = await shop.client.start_workflow(
        BOOST_WORKFLOW, id=f"boost/{shop.namespace}/by-hand", task_queue=fresh
    )

    async def found() -> None:
        ids: list[set[str]] = []
        for which, filter in shown:
            query = filter.replace("payments-prod.a1b2c", shop.namespace)
            if which == "schedules":
                schedules = await shop.client.list_schedules(query)
                ids.append({one.id async for one in schedules if shop.project in one.id})
            else:
                workflows = shop.client.list_workflows(query)
                ids.append({one.id async for one in workflows if shop.project in one.id})
        both = {shop.value(window).id for window in ("payroll", "close")}
        assert ids[:2] == [both, {shop.value("payroll").id}]
        assert ids[2:] == [{boost.id}, set(), set(), {boost.id}, set()]

    await eventually(found)
    await boost.terminate()
