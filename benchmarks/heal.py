"""Break what a boost depends on, mend nothing by hand, and count until all is as it should be.

Run: ``python benchmarks/heal.py [short]``; the long form has the watchdog's own pace and a key
that is refused for ten minutes. One dev server, simulated Clouds over real sockets, and workers
that come and go, of two releases; prints a table, and exits with 1 if something wasn't healed.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from processes import dev_environment, leave, run
from temporalio import workflow
from temporalio.client import Client

import workflows.activities.watchdog as rounds
import workflows.watchdog as watching
from planner.cli.request import desired_state
from planner.config.load import read
from planner.simulator import Simulator
from planner.simulator.api import Principal
from planner.temporal.client import server_of
from planner.temporal.keepers import start_boost, wait_for_result
from planner.temporal.status import fetch_facts, fetch_pollers
from planner.temporal.sync import SyncRequest, sync
from planner.temporal.watchdog import LiveCalendars, ensure_watchdog, fetch_report
from workflows import activity_types
from workflows.cloud import CloudClient, KeyDirectory
from workflows.contract import (
    ROUND_EVERY,
    BoostRequest,
    WatchdogInput,
    keeper_id,
)
from workflows.contract.findings import NamespaceStatus, status_of
from workflows.keeper import CapacityKeeper
from workflows.worker import run_worker

TRU = 8
DECLARED = 2
SLACK = 30.0
"""Seconds that healing may take besides the watchdog's round: the server takes ten to miss a
worker that kept a workflow in memory, and the machine is busy."""

AT_ONCE = 15.0
"""Seconds that a step may take that waits for no round."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How quick all of it is, in seconds.

    Attributes:
        every: Between two rounds of the watchdog.
        window: How long boosts last.
        refused: How long a key is refused after its window's end.
        provisioning: From a request to its capacity being in force.
        hand_over: From a worker's end until another one goes on with the rounds; None for the
            planner's own.
    """

    every: float
    window: int
    refused: float
    provisioning: float
    hand_over: float | None = None

    @property
    def at_most(self) -> float:
        """How long healing may take."""
        return self.every + self.provisioning + SLACK


SHORT = Pace(every=1, window=10, refused=2, provisioning=0.2, hand_over=0.2)
LONG = Pace(ROUND_EVERY.total_seconds(), window=180, refused=600, provisioning=3)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How long *what* took, in seconds *since* it was possible; None where it never came."""

    what: str
    since: str
    seconds: float | None
    at_most: float

    @property
    def is_healed(self) -> bool:
        """Whether it came in time."""
        return self.seconds is not None and self.seconds <= self.at_most


@dataclass
class Story:
    """One server with its Clouds, on which things break."""

    pace: Pace
    client: Client
    cloud: Simulator
    other: Simulator
    home: Path

    # What is there

    @asynccontextmanager
    async def worker(self, cloud: Simulator, *, upgraded: bool = False) -> AsyncIterator[datetime]:
        """Run a worker for *cloud*; yields when it began."""
        keys, stop, server = (
            KeyDirectory(self.home / "keys"),
            asyncio.Event(),
            server_of(self.client),
        )
        with another_release() if upgraded else ExitStack():
            async with CloudClient(cloud.url, keys, poll=0.1) as api:
                working = asyncio.create_task(
                    run_worker(
                        self.client, api, stop=stop, calendars=LiveCalendars(server), keys=keys
                    )
                )
                try:
                    yield datetime.now(UTC)
                finally:
                    stop.set()
                    await working

    async def create(self, name: str, tru: float | None = None, key: str = "shared") -> str:
        """Create a namespace at both Clouds, with a key; return its full name."""
        namespace = f"{name}.acct"
        (self.home / "keys" / namespace).write_text(key, encoding="utf-8")
        for cloud in (self.cloud, self.other):
            await cloud.create(namespace, tru=tru)
        return namespace

    async def boost(self, namespace: str, seconds: int = 0) -> datetime:
        """Boost *namespace*, and return when that ends, once it is in force."""
        length = seconds or self.pace.window
        request = BoostRequest(namespace=namespace, window="spike", tru=TRU, ttl_seconds=length)
        begin = datetime.now(UTC)
        boost = await start_boost(self.client, request, begin)
        result = await wait_for_result(boost, lambda _: None)
        assert result.in_force
        assert result.until is not None
        return result.until

    async def sync(self, calendars: str) -> None:
        """Sync the text of *calendars*, as ``planner sync`` does."""
        directory, now = self.home / "calendars", datetime.now(UTC)
        directory.mkdir(exist_ok=True)
        (directory / "planner.yaml").write_text("project: heal\n", encoding="utf-8")
        (directory / "all.yaml").write_text(calendars, encoding="utf-8")
        desired = desired_state(read(directory), directory, now)
        report = await sync(server_of(self.client), SyncRequest(desired=desired), now)
        assert report.failed == ()

    # What is waited for

    async def status(self, namespace: str) -> NamespaceStatus:
        """Return what ``planner status`` says of *namespace*."""
        server, now = server_of(self.client), datetime.now(UTC)
        pollers, report = await fetch_pollers(server, now), await fetch_report(self.client)
        (facts,) = await fetch_facts(server, now, pollers, namespace=namespace, report=report)
        return status_of(facts, now)

    async def told(self, what: str, since: str, namespace: str, state: str) -> Outcome:
        """Wait until the status tells of a *state* that alarms."""
        begin = datetime.now(UTC)

        async def tells() -> datetime | None:
            findings = (await self.status(namespace)).findings
            found = any(one.state == state and one.is_alarming for one in findings)
            return datetime.now(UTC) if found else None

        return await self._outcome(what, since, begin, tells)

    async def back(
        self, what: str, since: str, namespace: str, begin: datetime, tru: float | None = None
    ) -> Outcome:
        """Wait until *tru* is in force at *namespace*, from *begin* on."""

        async def lowered() -> datetime | None:
            await self.cloud.look()
            entry = self.cloud.history(namespace)[-1]
            return entry.at if entry.tru == tru else None

        return await self._outcome(what, since, begin, lowered)

    async def _outcome(
        self, what: str, since: str, begin: datetime, look: Callable[[], Awaitable[datetime | None]]
    ) -> Outcome:
        at_most = self.pace.at_most
        left = (begin - datetime.now(UTC)).total_seconds() + at_most
        try:
            async with asyncio.timeout(max(left, 1)):
                while True:
                    if (at := await look()) is not None:
                        seconds = (at - begin).total_seconds()
                        return Outcome(what, since, max(seconds, 0.0), at_most)
                    await asyncio.sleep(0.2)
        except TimeoutError:
            return Outcome(what, since, None, at_most)

    async def looked_around(self) -> None:
        """Wait until the watchdog has just made a round, so that the next one is far."""
        async with asyncio.timeout(self.pace.at_most):
            while await fetch_report(self.client) is None:  # noqa: ASYNC110 - it is the server's
                await asyncio.sleep(0.2)

    # What breaks

    async def keeper_terminated(self) -> Outcome:
        """Terminate a keeper with its capacity up; nothing else comes for the namespace."""
        namespace = await self.create("terminated")
        end = await self.boost(namespace)
        await until(end - timedelta(seconds=1))
        await self.client.get_workflow_handle(keeper_id(namespace)).terminate("by mistake")
        outcome = await self.back("a terminated keeper's way down", "window's end", namespace, end)
        await self.succeeded(namespace)
        return outcome

    async def keeper_of_another_release(self, namespace: str, begin: datetime) -> Outcome:
        """Have the way down of *namespace* come due under code that can't replay its keeper."""
        what = "a way down under new code"
        outcome = await self.back(what, "worker's start", namespace, begin)
        await self.succeeded(namespace)
        return outcome

    async def succeeded(self, namespace: str) -> None:
        """Fail unless the watchdog reports that it had a successor take the keeper over."""

        async def reported() -> datetime | None:
            report = await fetch_report(self.client)
            healed = report.healed if report else ()
            found = any((one.namespace, one.what) == (namespace, "keeper") for one in healed)
            return datetime.now(UTC) if found else None

        assert (await self._outcome("", "", datetime.now(UTC), reported)).is_healed

    async def raised_by_hand(self) -> Outcome:
        """Raise a quiet namespace by hand: told, and left alone."""
        await self.looked_around()
        await self.cloud.foreign_change("raised.acct", 12)
        return await self.told("12 TRU by hand, told", "the change", "raised.acct", "foreign")

    async def lowered_under_a_boost(self) -> Outcome:
        """Take most of a running boost's capacity away by hand."""
        namespace = await self.create("taken")
        await self.boost(namespace, 3600)
        await self.looked_around()
        await self.cloud.foreign_change(namespace, 3)
        name, begin = "3 TRU by hand under 8, restored", datetime.now(UTC)
        return await self.back(name, "the change", namespace, begin, 8)

    async def lowered_by_hand(self) -> Outcome:
        """Lower a quiet namespace below its declared baseline."""
        await self.looked_around()
        await self.cloud.foreign_change("lowered.acct", None)
        name, begin = "the declared baseline, established", datetime.now(UTC)
        return await self.back(name, "the change", "lowered.acct", begin, DECLARED)

    async def key_mended(self) -> Outcome:
        """Let a key expire under a boost, and replace its file a while after the window's end."""
        namespace = await self.create("key", key="expires")
        end = await self.boost(namespace)
        keys = self.cloud.state.keys
        keys.only({"shared": Principal("shared")})
        await until(end + timedelta(seconds=self.pace.refused))
        assert self.cloud.history(namespace)[-1].tru == TRU
        keys.add("renewed", Principal("renewed"))
        (self.home / "keys" / namespace).write_text("renewed", encoding="utf-8")
        begin = datetime.now(UTC)
        outcome = await self.back("a mended key's way down", "new key file", namespace, begin)
        return replace(outcome, at_most=AT_ONCE)

    async def window_without_worker(self) -> None:
        """Let a window open and close while no worker runs."""
        await self.create("absent")
        opens = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=3)
        closes = opens + timedelta(seconds=self.pace.window)
        await self.sync(f"{QUIET}---\n{window('absent.acct', opens, closes)}")
        await until(closes)

    async def elsewhere(self) -> list[Outcome]:
        """Restart the worker for another Cloud under a boost, and then for the former again."""
        namespace = await self.create("elsewhere")
        async with self.worker(self.cloud, upgraded=True):
            end = await self.boost(namespace)
        async with self.worker(self.other, upgraded=True):
            told = await self.told("another PLANNER_CLOUD_URL, told", "start", namespace, "stuck")
            await until(end + timedelta(seconds=1))
            assert self.cloud.history(namespace)[-1].tru == TRU
        assert [entry.tru for entry in self.other.history(namespace)] == [None]
        async with self.worker(self.cloud, upgraded=True) as begin:
            name = "the way down at the former Cloud"
            return [told, await self.back(name, "worker's start", namespace, begin)]


QUIET = "".join(
    f"---\nnamespace: {name}.acct\nbaseline: {{tru: {DECLARED}}}\n"
    f'windows: {{yearly: {{cron: "0 0 1 1 *", duration: 1h, tru: {TRU}}}}}\n'
    for name in ("raised", "lowered")
)


def window(namespace: str, opens: datetime, closes: datetime) -> str:
    """Return the calendar of a *namespace* with one window."""
    start, end = (f"{each:%Y-%m-%dT%H:%M:%S}" for each in (opens, closes))
    dates = f"[{{start: {start}, end: {end}}}]"
    return f"namespace: {namespace}\nwindows: {{spike: {{dates: {dates}, tru: {TRU}, lead: 0s}}}}\n"


async def until(instant: datetime) -> None:
    """Wait for *instant*."""
    await asyncio.sleep(max(0.0, (instant - datetime.now(UTC)).total_seconds()))


@contextmanager
def another_release() -> Iterator[None]:
    """Make the keeper's code that of another release: one activity more, before all else."""
    recover = CapacityKeeper._recover

    async def and_observe(self: CapacityKeeper) -> None:
        await workflow.execute_activity(
            activity_types.OBSERVE,
            self._state.namespace,
            start_to_close_timeout=timedelta(seconds=10),
        )
        await recover(self)

    with mock.patch.object(CapacityKeeper, "_recover", and_observe):
        yield


@asynccontextmanager
async def stage(pace: Pace, home: Path) -> AsyncIterator[Story]:
    """Run a dev server and two Clouds."""
    (home / "keys").mkdir()
    quick: dict[str, Any] = {"provisioning": pace.provisioning, "check": 0.1}
    valid = {name: Principal(name) for name in ("shared", "expires")}
    async with (
        Simulator(**quick, keys=valid) as cloud,
        Simulator(**quick) as other,
        dev_environment() as environment,
    ):
        yield Story(pace, environment.client, cloud, other, home)


@contextmanager
def at_pace(pace: Pace) -> Iterator[None]:
    """Hand the rounds over as quickly as *pace* says, and report each of them."""
    with ExitStack() as patched:
        if pace.hand_over is not None:
            over = timedelta(seconds=pace.hand_over)
            patched.enter_context(mock.patch.object(rounds, "HAND_OVER", over))
            slowest = timedelta(seconds=2)  # the SDK reports each 80 % of a time-out at most
            patched.enter_context(mock.patch.object(watching, "SLOWEST_ROUND", slowest))
        yield


async def play(pace: Pace, home: Path) -> list[Outcome]:
    """Break everything once, and return what became of it."""
    with at_pace(pace):
        async with stage(pace, home) as story:
            for name in ("raised", "lowered"):
                await story.create(name, DECLARED)
            await story.sync(QUIET)
            await ensure_watchdog(
                story.client, task=WatchdogInput(every_seconds=pace.every), starts_now=True
            )
            async with story.worker(story.cloud):
                outcomes = await asyncio.gather(
                    story.keeper_terminated(),
                    story.raised_by_hand(),
                    story.lowered_by_hand(),
                    story.lowered_under_a_boost(),
                    story.key_mended(),
                )
                upgraded = await story.create("upgraded")
                await story.boost(upgraded)
            await story.window_without_worker()
            async with story.worker(story.cloud, upgraded=True) as begin:
                outcomes += await asyncio.gather(
                    story.keeper_of_another_release(upgraded, begin),
                    story.told("a window without a worker, told", "start", "absent.acct", "missed"),
                )
            assert [entry.tru for entry in story.cloud.history("absent.acct")] == [None]
            return [*outcomes, *await story.elsewhere()]


def table(outcomes: list[Outcome]) -> str:
    """Return *outcomes* as a table."""
    lines = ["| what | since | after | at most |", "| --- | --- | ---: | ---: |"]
    for one in outcomes:
        after = "never" if one.seconds is None else f"{one.seconds:.1f} s"
        lines.append(f"| {one.what} | {one.since} | {after} | {one.at_most:.0f} s |")
    return "\n".join(lines)


async def main(pace: Pace) -> int:
    """Play it at a *pace*, and print what became of it."""
    with tempfile.TemporaryDirectory() as home:
        outcomes = await play(pace, Path(home))
    print(table(outcomes))
    print(f"\nload {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    return 0 if all(one.is_healed for one in outcomes) else 1


if __name__ == "__main__":
    leave(run(main(SHORT if sys.argv[1:] == ["short"] else LONG)))
