"""A sync leaves nothing to do, whatever is written: the server has what was compiled."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sync_helpers import Shop, eventually
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from window_strategies import windows

from planner.model import (
    BusinessDays,
    Cron,
    Dates,
    Duration,
    NamespaceCalendar,
    Place,
    Project,
    Rrule,
    Span,
    Window,
)
from planner.plan.live import PATCH_NOTE_LIMIT
from planner.plan.model import LiveSchedule
from planner.schedules.compile import compile_project
from planner.schedules.spec import Schedule
from planner.temporal.lifecycle import choose, pause, resume
from workflows.contract import Capacity, Rails, parse_until

pytestmark = pytest.mark.integration

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
LONG = "Ledger close of all regions with everything that hangs on it, " * 40
TEXTS = (
    "",
    "x",
    LONG,
    "é" * 999,
    "日本語 " * 400,
    "🚀" * 300,
    " a | b\n\tc. ",
    "resumed",
    "“”" * 500,
)
LENGTHS = (SECOND, 5 * SECOND, 9 * SECOND, 10 * SECOND, 61 * SECOND, DAY, 31 * DAY)
ENDS = ("00:00", "fri 21:00", "+1d", "+30d 23:59")
AHEADS = (timedelta(), SECOND, 3 * SECOND, 61 * SECOND, DAY)
SOON = datetime.now(UTC).replace(tzinfo=None, microsecond=0) + 40 * DAY

SHORT = {
    "cron": Cron(("0 18 * * *",)),
    "dates": Dates((Span(SOON, None),)),
    "an end of their own": Dates((Span(SOON, SOON + 3 * SECOND),)),
    "business days": BusinessDays((3, -1), time(7), (1, 6, 12)),
    "rrule": Rrule("FREQ=DAILY", SOON - 365 * DAY),
}


@pytest.fixture
def client(own_server: WorkflowEnvironment) -> Client:
    """A client of a server whose boosts no worker takes."""
    return own_server.client


@pytest.fixture
def shop(client: Client, fresh: str) -> Shop:
    """A project that no other test has."""
    return Shop(client, fresh)


def compiled(shop: Shop, *found: Window) -> tuple[Schedule, ...]:
    """Return the schedules of windows *found*, each under a name of its own."""
    named = (
        replace(window, namespace=shop.namespace, name=f"w{number}")
        for number, window in enumerate(found)
    )
    calendar = NamespaceCalendar(namespace=shop.namespace, timezone="UTC", windows=tuple(named))
    return compile_project(
        Project(name=shop.project, namespaces=(calendar,)), datetime.now(UTC).date()
    )


async def settled(shop: Shop, *desired: Schedule) -> None:
    """Fail if a sync of *desired* leaves something to do, by the list or by a full look."""
    for full in (False, True):
        found = (await shop.plan(*desired, full=full)).pending
        assert [(change.key, change.fields, change.reason) for change in found] == []


@pytest.mark.parametrize(
    "text", ["02:30", "02:30:15", "fri 21:00", "+1d", "+1d 02:30", "+7d 00:00", "+30d 23:59"]
)
async def test_a_window_that_ends_by_the_clock(shop: Shop, text: str) -> None:
    """Every end that a calendar can say is read back from the server as it was written."""
    window = Window(
        namespace="",
        name="",
        recurrence=Cron(("0 20 * * sun",)),
        tru=8,
        asked="",
        length=parse_until(text),
        timezone="America/New_York",
    )
    desired = compiled(shop, window)
    assert [one.request.until for one in desired] == [text]
    report = await shop.sync(*desired)
    assert [outcome.change.action for outcome in report.outcomes] == ["create"]
    await settled(shop, *desired)
    there = await shop.live("w0")
    assert there.schedule is not None
    assert there.schedule.request.until == text


@pytest.mark.parametrize("ahead", [timedelta(), 4 * SECOND], ids=["no lead", "four seconds"])
@pytest.mark.parametrize("name", SHORT)
async def test_a_window_of_seconds(shop: Shop, name: str, ahead: timedelta) -> None:
    """Shorter, with its lead, than the server's least catch-up window, of any recurrence."""
    length = None if name == "an end of their own" else Duration(5 * SECOND)
    window = Window(
        namespace="", name="", recurrence=SHORT[name], tru=8, asked="", length=length, lead=ahead
    )
    desired = compiled(shop, window)
    report = await shop.sync(*desired)
    assert [outcome.change.action for outcome in report.outcomes] == ["create"]
    await settled(shop, *desired)


@st.composite
def extremes(draw: st.DrawFn) -> Window:
    """Return windows whose every value is at one of its ends."""
    bounds = st.sampled_from((None, None, date(2000, 1, 1), date(2100, 12, 31)))
    lengths = st.sampled_from(LENGTHS).map(Duration) | st.sampled_from(ENDS).map(parse_until)
    return replace(
        draw(windows()),
        tru=draw(st.sampled_from((1, 1000))),
        length=draw(lengths),
        lead=draw(st.sampled_from(AHEADS)),
        jitter=draw(st.sampled_from(AHEADS)),
        description=draw(st.sampled_from(TEXTS)),
        owner=draw(st.sampled_from(TEXTS)),
        combine=draw(st.sampled_from(("max", "add"))),
        not_before=draw(bounds),
        not_after=draw(bounds),
        baseline=draw(st.sampled_from((None, Capacity(), Capacity(2.0), Capacity(0.5)))),
        rails=draw(st.sampled_from((Rails(), Rails(allowed=(1,)), Rails((1, 1000), 1000)))),
        paused=draw(st.booleans()),
        place=Place(draw(st.sampled_from(("", "a.yaml", "calendars/" * 90 + "ü.yaml"))), 1),
    )


@settings(
    max_examples=3,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # to look for a smaller one would take minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(drawn=st.lists(extremes(), min_size=15, max_size=15))
async def test_nothing_is_left_to_do(client: Client, drawn: list[Window]) -> None:
    """A sync of anything leaves nothing to do; nor do a pause and a resume of all of it."""
    shop = Shop(client, f"t{uuid.uuid4().hex[:10]}")
    desired = compiled(shop, *drawn)
    report = await shop.sync(*desired)
    await settled(shop, *desired)
    there = [one for one in desired if one.id in {o.change.id for o in report.outcomes}]
    chosen = await choose(shop.server, shop.namespace, shop.project)
    assert sorted(chosen) == sorted(one.id for one in there)
    handled = await pause(shop.server, chosen, by="somebody with a name " * 20, reason=LONG)
    assert [one.message for one in handled if one.failed] == []
    await eventually(lambda: shop.listed_paused(len(there)))
    handled = await resume(shop.server, chosen, datetime.now(UTC))
    assert [one.message for one in handled if one.failed] == []
    assert (await shop.plan(*desired, full=True)).pending == ()  # what a file pauses stays so
    await shop.sync()


@pytest.mark.parametrize("note", ["ö" * 5000, "x" * 1001, "words " * 400])
async def test_an_operators_own_long_note(shop: Shop, note: str) -> None:
    """A note that was edited to any length does not stand in the way of a pause."""
    desired = shop.value()
    await shop.sync(desired)

    def write(message: object) -> None:
        message.state.notes = note  # type: ignore[attr-defined]

    await shop.edit(desired.id, write)
    chosen = await eventually(lambda: _noted(shop, note))
    (paused,) = await pause(shop.server, chosen, by="alice", reason="freeze")
    live = await shop.live()
    assert (paused.failed, live.paused) == (False, True)
    assert live.note.startswith("Paused by alice: freeze | ")
    assert len(live.note.encode()) <= PATCH_NOTE_LIMIT
    (resumed,) = await resume(shop.server, chosen, datetime.now(UTC))
    assert (resumed.message, (await shop.live()).note) == ("resumed", "resumed")
    await shop.sync(desired, full=True)
    assert (await shop.live()).note == desired.note


async def _noted(shop: Shop, note: str) -> Mapping[str, LiveSchedule]:
    """Return the schedules of *shop*, once the list shows *note*."""
    chosen = await choose(shop.server, shop.namespace, shop.project)
    assert [live.note for live in chosen.values()] == [note]
    return chosen
