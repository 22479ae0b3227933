"""The live schedules as the watchdog reads them: what was described isn't described again."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from fake_schedules import FakeTemporal, Stored, refused
from schedule_values import NOW, PROJECT, schedule
from temporalio.service import RPCStatusCode

from planner.errors import ServerError
from planner.schedules.spec import Schedule
from planner.temporal.convert import owner_memo, to_message
from planner.temporal.watchdog import DESCRIBED_AT_ONCE, DESCRIBED_FOR, LiveCalendars
from workflows.activities.floors import NotKnown, Replicas
from workflows.activities.keeper import KeeperStates
from workflows.contract import ROUND_EVERY, DeclaredFleet, Fleet

FLEET = Fleet(name="payments", min=2, max=30)
MANY = 12


class HeldBack(FakeTemporal):
    """A server that answers as many describes as it is allowed to, and holds back the others.

    Attributes:
        described: How often each schedule was described.
        held_back: How many describes wait.
    """

    def __init__(self) -> None:
        super().__init__()
        self.described = Counter[str]()
        self.held_back = 0
        self._allowed = asyncio.Semaphore(0)

    def allow(self, count: int) -> None:
        """Answer so many describes more."""
        for _ in range(count):
            self._allowed.release()

    async def describe_schedule(self, req: Any, **_: object) -> Any:
        """Describe a schedule, once that is allowed."""
        self.held_back += 1
        try:
            await self._allowed.acquire()
        finally:
            self.held_back -= 1
        reply = await super().describe_schedule(req)
        self.described[req.schedule_id] += 1
        return reply

    async def list_workflows(self, query: str, **_: object) -> AsyncIterator[Any]:
        """List nothing: no project has a record here."""
        return
        yield


def window(number: int) -> Schedule:
    """Return the schedule of one of many windows, each of which raises the fleet."""
    return schedule(f"window-{number}", workers={"payments": 20}, fleets=(FLEET,))


async def holding(count: int = MANY) -> HeldBack:
    """Return a server with so many schedules, which describes none of them yet."""
    fake = HeldBack()
    memo = await owner_memo(PROJECT, fake.data_converter)
    for one in map(window, range(count)):
        message = await to_message(one, fake.data_converter)
        fake.schedules[one.id] = Stored(message, memo, request_id="put")
    fake.catch_up()
    return fake


async def until(condition: Callable[[], bool]) -> None:
    """Wait for *condition*, a few seconds at most."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  # nothing announces it
            await asyncio.sleep(0)


def each_once(count: int = MANY) -> Counter[str]:
    """Return that each of so many schedules was described once."""
    return Counter({window(number).id: 1 for number in range(count)})


async def test_a_look_that_is_cancelled_goes_on_where_it_was() -> None:
    """The watchdog's attempt is lost, or its worker stops: the describes before aren't."""
    fake = await holding()
    calendars = LiveCalendars(fake.server())
    look = asyncio.create_task(calendars.fleets(NOW))
    fake.allow(7)
    await until(lambda: fake.described.total() == 7 and fake.held_back == DESCRIBED_AT_ONCE)
    look.cancel()
    with pytest.raises(asyncio.CancelledError):
        await look
    await until(lambda: fake.held_back == 0)
    fake.allow(MANY)
    (fleet,) = await calendars.fleets(NOW + ROUND_EVERY)
    assert fleet.fleet == FLEET
    assert fake.described == each_once()


async def test_a_describe_that_fails_loses_no_other() -> None:
    """The look fails, as what it would say isn't all; none is described twice for that."""
    fake, bad = await holding(), window(5).id

    def fails(name: str, request: Any) -> None:
        if name == "describe_schedule" and request.schedule_id == bad:
            raise refused(RPCStatusCode.INTERNAL, "the disk is full")

    fake.before = fails
    fake.allow(10 * MANY)
    calendars = LiveCalendars(fake.server())
    with pytest.raises(ServerError, match="the disk is full"):
        await calendars.fleets(NOW)
    await until(lambda: fake.held_back == 0)
    assert fake.described
    fake.before = lambda name, request: None
    await calendars.fleets(NOW + ROUND_EVERY)
    assert fake.described == each_once()


async def test_a_describe_that_is_not_answered_in_time_is_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One of thousands that a busy server leaves out is no reason to do nothing."""
    monkeypatch.setattr("planner.temporal.fetch.DESCRIBE_AGAIN", (0.0, 0.0))
    fake, unanswered = await holding(), [window(5).id]

    def silent(name: str, request: Any) -> None:
        if name == "describe_schedule" and request.schedule_id in unanswered:
            unanswered.remove(request.schedule_id)
            raise refused(RPCStatusCode.DEADLINE_EXCEEDED, "Timeout expired")

    fake.before = silent
    fake.allow(10 * MANY)
    await LiveCalendars(fake.server()).fleets(NOW)
    assert not unanswered
    assert fake.described == each_once()


async def test_two_looks_at_once_describe_each_schedule_once() -> None:
    """The watchdog and who asks for replicas share what Temporal Cloud allows."""
    fake = await holding()
    calendars = LiveCalendars(fake.server())
    looks = [asyncio.create_task(calendars.fleets(NOW)) for _ in range(2)]
    fake.allow(10 * MANY)
    one, other = await asyncio.gather(*looks)
    assert one == other
    assert fake.described == each_once()


async def test_no_round_describes_all_schedules_again() -> None:
    """Each comes once an hour; the hour's describes are spread over its rounds."""
    count = 120
    fake = await holding(count)
    fake.allow(10 * count)
    calendars = LiveCalendars(fake.server())
    await calendars.fleets(NOW)
    assert fake.described == each_once(count)
    rounds = DESCRIBED_FOR // ROUND_EVERY
    in_round = []
    for number in range(1, rounds + 1):
        before = fake.described.total()
        await calendars.fleets(NOW + number * ROUND_EVERY)
        in_round.append(fake.described.total() - before)
    assert set(fake.described.values()) == {2}
    assert max(in_round) <= 4 * count / rounds


async def test_replicas_are_known_after_a_few_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A question waits for four seconds at most; Temporal Cloud has told of forty windows then.

    Each question adds to what the ones before it have read.
    """
    monkeypatch.setattr("workflows.activities.floors.RPC_TIMEOUT", timedelta(seconds=0.05))
    fake = await holding()
    client: Any = fake
    replicas = Replicas(client, LiveCalendars(fake.server()), KeeperStates(client))
    asked, found = 0, tuple[DeclaredFleet, ...]()
    async with asyncio.timeout(10):
        while not found:
            fake.allow(5 if asked < 3 else 0)
            with suppress(NotKnown):
                found = await replicas.fleets(NOW + timedelta(seconds=30 * asked))
            asked += 1
            await until(lambda: fake.held_back == 0)
    assert [one.fleet for one in found] == [FLEET]
    assert fake.described == each_once()
    assert asked >= 3
