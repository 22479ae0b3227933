"""Rounds of the watchdog that take their time: they go on, and say so."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fake_schedules import FakeTemporal
from keeper_helpers import ScriptedCloud
from schedule_values import NOW
from temporalio.client import Client
from temporalio.testing import ActivityEnvironment

from workflows.activities.notices import NoticeSender
from workflows.activities.watchdog import AT_ONCE, NO_TIME, Silence, WatchdogActivities
from workflows.cloud import (
    CloudClient,
    CloudError,
    KeyExpiry,
    NamespaceNotFound,
    ObservedCapacity,
    TemporaryError,
    Unauthorized,
)
from workflows.cloud.client import KEYS_AT_ONCE
from workflows.contract import (
    BoostRequest,
    CalendarView,
    Declared,
    WatchdogInput,
    WatchdogReport,
)
from workflows.contract.findings import NamespaceFacts, Pollers
from workflows.contract.from_code import BoostFromCode, BoostRefused
from workflows.contract.notices import Delivery, Notice, NoticeTarget


class SlowCalendars:
    """Declares namespaces, once it is let."""

    def __init__(self, count: int = 0) -> None:
        self.may = asyncio.Event()
        self.names = [f"n{number}.acct" for number in range(count)]

    async def look(self, now: datetime) -> CalendarView:
        """Return the namespaces, once that is let."""
        await self.may.wait()
        return CalendarView(namespaces=tuple(Declared(namespace=name) for name in self.names))

    async def admit(self, boost: BoostFromCode, now: datetime) -> BoostRequest:
        """Refuse each *boost*: no schedule is there."""
        raise BoostRefused(boost.namespace)


async def no_keepers(_: Client) -> set[str]:
    """List no keeper."""
    return set()


async def clock() -> datetime:
    """Return the time."""
    return NOW


def watchdog(calendars: SlowCalendars, cloud: Any = None) -> WatchdogActivities:
    """Return the watchdog of a server without workflows."""
    client: Any = FakeTemporal()
    cloud = cloud or ScriptedCloud(clock=clock)
    return WatchdogActivities(client, cloud, calendars, list_keepers=no_keepers)


class Listener(ActivityEnvironment):
    """An activity's surroundings that keep what was beaten, and let it go on after some beats."""

    def __init__(self, calendars: SlowCalendars, after: int) -> None:
        super().__init__()
        self.heard: list[WatchdogReport | None] = []
        self._calendars, self._after = calendars, after
        self.on_heartbeat = self._hear
        if not after:
            calendars.may.set()

    def _hear(self, report: WatchdogReport | None) -> None:
        self.heard.append(report)
        if len(self.heard) == self._after:
            self._calendars.may.set()


@pytest.mark.parametrize("before", [None, WatchdogReport(at=NOW, interval=120)])
async def test_a_long_round_sends_the_report_before_it(
    monkeypatch: pytest.MonkeyPatch, before: WatchdogReport | None
) -> None:
    """A worker whose round takes longer than a heartbeat may be away isn't lost."""
    monkeypatch.setattr("workflows.activities.watchdog.BEAT_EVERY", 0.001)
    calendars = SlowCalendars()
    listener = Listener(calendars, after=3)
    async with asyncio.timeout(10):
        report = await listener.run(watchdog(calendars).watch, WatchdogInput(), before)
    assert listener.heard[:3] == [before] * 3
    assert listener.heard[-1] == report != before


async def test_a_usual_round_sends_its_own_report_alone() -> None:
    """Each heartbeat is an Action."""
    calendars = SlowCalendars()
    listener = Listener(calendars, after=0)
    earlier = WatchdogReport(at=datetime.now(UTC), interval=120)
    report = await listener.run(watchdog(calendars).watch, WatchdogInput(), earlier)
    assert listener.heard == [report]
    assert report.at > earlier.at


MANY = 40


class Unsteady(ScriptedCloud):
    """A Cloud that fails for each look with what it is told to, or answers where that is None."""

    failure: Exception | None = None

    async def observe(self, namespace: str) -> ObservedCapacity:
        """Return what is in force, or fail, once those who ask at once have all asked."""
        await asyncio.sleep(0)
        self.faults = [self.failure] if self.failure else []
        return await super().observe(namespace)


async def looked_at(failure: Exception | None) -> tuple[int, WatchdogReport]:
    """Return how many looks a round over many namespaces made, and its report."""
    cloud, calendars = Unsteady(clock=clock), SlowCalendars(MANY)
    cloud.failure = failure
    calendars.may.set()
    report = await watchdog(calendars, cloud).round(NOW)
    assert (report.problems, len(report.namespaces)) == ((), MANY)
    return len(cloud.calls), report


async def test_a_silent_cloud_is_not_asked_for_every_namespace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The round ends, and its notices are sent; what nobody looked at is unknown, and why."""
    monkeypatch.setattr("workflows.activities.watchdog.CLOUD_SILENCE", 0.0)
    asked, report = await looked_at(TemporaryError("no answer from the Cloud API"))
    assert asked == AT_ONCE
    assert {one.state for one in report.namespaces} == {"unknown"}
    why = [one.details for one in report.namespaces]
    assert (why.count(NO_TIME), why.count("no answer from the Cloud API")) == (MANY - asked, asked)


@pytest.mark.parametrize("failure", [None, Unauthorized("refused"), NamespaceNotFound("gone")])
async def test_a_cloud_that_answers_is_asked_for_every_namespace(
    monkeypatch: pytest.MonkeyPatch, failure: CloudError | None
) -> None:
    """However long that takes; an answer is also that a key is refused."""
    monkeypatch.setattr("workflows.activities.watchdog.CLOUD_SILENCE", 0.0)
    asked, report = await looked_at(failure)
    assert asked == MANY
    assert {one.state for one in report.namespaces} == {"unknown" if failure else "ok"}


def test_how_long_the_cloud_is_silent() -> None:
    """From the last answer on, or the first look without one; a late failure says nothing new."""
    silence = Silence()
    assert not silence.is_long(1000)
    silence.unanswered(begun=1000)
    silence.unanswered(begun=1030)
    assert not silence.is_long(1059)
    assert silence.is_long(1060)
    silence.answered(1060)
    assert not silence.is_long(2000)
    silence.unanswered(begun=1010)  # it had waited while another was answered
    assert (silence.is_long(1119), silence.is_long(1120)) == (False, True)


# When the keys expire ----------------------------------------------------------------------


class KeyEach:
    """A key for each namespace."""

    def key(self, namespace: str) -> str:
        """Return the one of *namespace*."""
        return f"key-of-{namespace}"


class NeverAnswering(httpx.AsyncBaseTransport):
    """A network that swallows each request, and keeps count of them."""

    def __init__(self) -> None:
        self.asked = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Wait for ever."""
        self.asked += 1
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")


class EndingCalendars(SlowCalendars):
    """Declares namespaces whose dates end soon, and a target for that."""

    async def look(self, now: datetime) -> CalendarView:
        """Return them."""
        soon = now + timedelta(days=1)
        names = [Declared(namespace=name, projects=("payments",)) for name in self.names]
        return CalendarView(
            namespaces=tuple(names),
            facts=tuple(NamespaceFacts(namespace=name, covers_until=soon) for name in self.names),
            targets=(NoticeTarget(name="team", project="payments"),),
            pollers=Pollers(3),
        )


class Accepting(NoticeSender):
    """Accepts each notice at once, and keeps its event."""

    async def send_all(self, due: Iterable[Delivery]) -> dict[Delivery, str]:
        """Take what is *due*."""
        self.sent = [one.notice.event for one in due]
        return dict.fromkeys(due, "")


def notifying(calendars: SlowCalendars, sender: NoticeSender) -> WatchdogActivities:
    """Return a watchdog that sends notices, and puts each report on record."""

    async def on_record(_: WatchdogReport) -> bool:
        return True

    of = watchdog(calendars)
    of.sender = sender
    of._is_on_record = on_record  # type: ignore[method-assign]
    return of


async def test_no_notice_waits_for_the_keys_of_a_silent_cloud(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many there are: the round goes on without knowing when they expire."""
    monkeypatch.setattr("workflows.activities.watchdog.KEYS_TIMEOUT", 0.05)
    calendars, network, sender = EndingCalendars(MANY), NeverAnswering(), Accepting()
    of = notifying(calendars, sender)
    async with (
        CloudClient("https://cloud.example", KeyEach(), transport=network) as cloud,
        asyncio.timeout(10),
    ):
        of.key_expiries = cloud.key_expiries
        await Listener(calendars, after=0).run(of.watch, WatchdogInput(), None)
    assert sender.sent == ["horizon"]
    assert network.asked == KEYS_AT_ONCE


@pytest.mark.parametrize("status", [200, 401, 404, 503])
async def test_keys_are_asked_for_while_the_cloud_answers(status: int) -> None:
    """An answer is also that one is refused; the first without any is the end of it."""
    keys: list[str] = []
    expires = NOW.replace(microsecond=0)

    async def answer(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["authorization"].removeprefix("Bearer key-of-"))
        spec = {"expiryTime": expires.isoformat(), "displayName": keys[-1]}
        return httpx.Response(status, json={"principalApiKey": {"spec": spec}})

    async def at_once(_: float) -> None:
        await asyncio.sleep(0)

    names = SlowCalendars(MANY).names
    transport = httpx.MockTransport(answer)
    async with CloudClient(
        "https://cloud.example", KeyEach(), transport=transport, sleep=at_once
    ) as cloud:
        if status == 503:
            with pytest.raises(TemporaryError):
                await cloud.key_expiries(names)
            assert len({*keys}) <= 2 * KEYS_AT_ONCE  # those that were under way, and their heirs
        else:
            known = [KeyExpiry(name, expires, (name,)) for name in names] if status == 200 else []
            assert [*await cloud.key_expiries(names)] == known
            assert len({*keys}) == MANY


async def test_a_worker_that_could_not_look_at_the_keys_leaves_their_notices_open() -> None:
    """It looks again each round; once that succeeds, what isn't found any more is over."""
    began = datetime.now(UTC) - timedelta(days=1)
    open_one = Notice(
        event="key-expiry", subject="near/2027-02-09", text="", begun=began, found=began
    )
    answers: list[tuple[KeyExpiry, ...] | Exception] = [
        TemporaryError("no answer from the Cloud API"),
        TimeoutError(),
        (),
    ]

    async def look(_: Iterable[str]) -> tuple[KeyExpiry, ...]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    calendars = EndingCalendars(1)
    of = notifying(calendars, Accepting())
    of.key_expiries = look
    open_after = []
    for _ in range(3):
        before = WatchdogReport(at=began, interval=120, notices=(open_one,))
        report = await Listener(calendars, after=0).run(of.watch, WatchdogInput(), before)
        going = [one.key for one in report.notices if one.over is None]
        open_after.append(open_one.key in going)
    assert open_after == [True, True, False]
    assert answers == []


# How many workers there are ----------------------------------------------------------------


async def test_a_round_goes_on_from_what_the_one_before_counted() -> None:
    """So does one that can't notify anybody, since it could not read all."""
    calendars = EndingCalendars(1)
    of = notifying(calendars, Accepting())
    report = await Listener(calendars, after=0).run(of.watch, WatchdogInput(), None)
    assert (report.workers, report.workers_at, report.workers_seen) == (3, None, 3)
    assert (await of.round(report.at, report)).workers_seen == 3
    earlier = replace(report, at=report.at - timedelta(minutes=2), workers_seen=4)
    report = await Listener(calendars, after=0).run(of.watch, WatchdogInput(), earlier)
    assert (report.workers, report.workers_at, report.workers_seen) == (3, report.at, 3)
