"""A rehearsal of what is to come: it passes on what is right, and finds what is not."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from forecast_helpers import HOUR, MINUTE, calendar, daily, project
from temporalio.api.testservice.v1 import (
    LockTimeSkippingRequest,
    UnlockTimeSkippingRequest,
)
from temporalio.client import WorkflowHistory
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment

from planner.errors import ServerError
from planner.model import Cron, Duration, Horizon, NamespaceCalendar, Window
from planner.rehearsal.plan import RehearsalResult
from planner.rehearsal.run import (
    Environment,
    Progress,
    SkippingClock,
    _message,
    connect,
    next_timer,
    no_progress,
    rehearse_project,
    result_of,
    start_environment,
)
from planner.schedules.compile import compile_project
from planner.schedules.spec import Range, Schedule
from workflows.contract import Capacity, Lease, Target, target_of_leases

pytestmark = pytest.mark.integration

NOW = datetime.now(UTC).replace(microsecond=0)
TOMORROW = (NOW + timedelta(days=1)).replace(hour=0, minute=0, second=0)
DAYS = 5


def overlapping(**fields: Any) -> NamespaceCalendar:
    """Return a long window and a shorter, higher one in it, some days in a row."""
    first = f"{TOMORROW:%Y-%m-%d}"
    long = daily("long", f"{first} 08:00", DAYS, 4, lead=10 * MINUTE, **fields)
    short = daily("short", f"{first} 09:00", DAYS, 1, tru=8, lead=10 * MINUTE, **fields)
    added = daily("added", f"{first} 09:30", DAYS, 1, tru=2, combine="add", **fields)
    return calendar(long, short, added)


async def rehearsed(
    each: NamespaceCalendar,
    schedules: tuple[Schedule, ...] | None = None,
    seed: int | None = None,
    processes: int | None = None,
    progress: Progress = no_progress,
) -> RehearsalResult:
    """Play the coming days of one namespace."""
    everything = project(each)
    compiled = compile_project(everything, NOW.date()) if schedules is None else schedules
    horizon = Horizon(TOMORROW, TOMORROW + timedelta(days=DAYS))
    return await rehearse_project(
        everything, compiled, horizon, seed, processes=processes, progress=progress
    )


async def test_what_fires_is_what_the_timeline_shows() -> None:
    """Overlaps, additions, leads: the capacity history is the timeline, change by change."""
    result = await rehearsed(overlapping())
    assert result.differences == ()
    assert result.failed == ()
    assert result.fired == 3 * DAYS
    assert result.changes == 6 * DAYS
    # Of each day: three firings with an ask and an update each, a keeper with its look for
    # the baseline, and what it takes to be up, down and looking in between.
    assert 3 * DAYS * 5 + 2 * DAYS < result.actions < 3 * DAYS * 12


async def test_several_stages_show_what_one_does() -> None:
    """A time that is cut at quiet moments and played side by side comes to the same."""
    told: list[tuple[int, int]] = []
    one = await rehearsed(overlapping())
    two = await rehearsed(overlapping(), processes=2, progress=lambda *far: told.append(far))
    assert (two.fired, two.changes) == (one.fired, one.changes)
    assert (two.differences, two.failed) == ((), ())
    assert told == sorted(told), "both processes' firings count together"
    assert told[-1] == (3 * DAYS, 3 * DAYS)


async def test_a_recurring_window_in_its_own_zone_is_played_too() -> None:
    """A window that is compiled to a local calendar fires when its occurrences do."""
    nightly = Window(
        namespace="payments-prod.a1b2c",
        name="nightly",
        recurrence=Cron(("30 4 * * *",)),
        tru=4,
        asked="4 TRU",
        timezone="Asia/Kolkata",
        length=Duration(2 * HOUR),
    )
    result = await rehearsed(calendar(nightly, baseline=Capacity(2)))
    assert (result.differences, result.failed) == ((), ())
    assert result.fired == DAYS


@pytest.mark.parametrize("processes", [1, 2])
async def test_a_schedule_shifted_by_an_hour_is_found(processes: int) -> None:
    """A compiler that is off by an hour shows on every day, as too late and too long."""
    everything = overlapping()
    good = compile_project(project(everything), NOW.date())
    shifted = tuple(
        shift(schedule) if schedule.id.endswith("/short") else schedule for schedule in good
    )
    result = await rehearsed(everything, shifted, processes=processes)
    assert {difference.windows for difference in result.differences} >= {("long", "short")}
    assert len(result.differences) >= DAYS


def shift(schedule: Schedule) -> Schedule:
    """Return *schedule* an hour later."""
    return replace(
        schedule,
        calendars=tuple(
            replace(each, hour=tuple(Range(r.start + 1, r.end + 1, r.step) for r in each.hour))
            for each in schedule.calendars
        ),
        request=replace(schedule.request, ends={}),
    )


async def test_a_keeper_that_forgets_one_lease_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A keeper that leaves the last of its leases out is told by the history."""

    def forgetful(leases: Sequence[Lease], *others: Any, **more: Any) -> Target:
        kept = leases[:-1] if len(leases) > 1 else leases
        return target_of_leases(kept, *others, **more)

    monkeypatch.setattr("workflows.keeper_state.target_of_leases", forgetful)
    result = await rehearsed(overlapping())
    assert len(result.differences) >= DAYS
    assert all("long" in difference.windows for difference in result.differences)


async def test_faults_are_survived() -> None:
    """With faults now and then every change still comes, within what a retry takes."""
    result = await rehearsed(overlapping(), seed=7)
    assert result.differences == ()
    assert result.failed == ()


class Lost:
    """A clock whose server goes away when it is asked to skip."""

    async def skip_to(self, _instant: datetime) -> None:
        """Break."""
        raise RPCError("h2 protocol error", RPCStatusCode.INTERNAL, b"")


async def test_a_server_that_is_gone_is_one_sentence() -> None:
    """The rehearsal ends with what to do instead."""
    with pytest.raises(ServerError, match=r"went away on the way to .*rehearse a shorter time"):
        await Environment(None, Lost(), None).skip_to(NOW + HOUR)  # type: ignore[arg-type]


async def test_a_stage_that_breaks_down_is_one_sentence() -> None:
    """A process that ends in the middle of its rehearsal is no endless wait."""
    stream = asyncio.StreamReader()
    stream.feed_data(b"\x00\x00")
    stream.feed_eof()
    with pytest.raises(ServerError, match="a process of the rehearsal ended early"):
        await _message(stream)


NIGHTLY = """\
namespace: payments-prod.a1b2c
timezone: UTC
windows:
  nightly:
    cron: "0 3 * * *"
    duration: 1h
    tru: 4
"""


@pytest.mark.parametrize("processes", ["1", "2"])
def test_what_the_command_prints_is_the_outcome_and_nothing_else(
    tmp_path: Path, processes: str
) -> None:
    """Stdout is data: what servers and workers have to say, faults or not, stays out of it."""
    (tmp_path / "planner.yaml").write_text("project: rehearsed\n")
    (tmp_path / "payments.yaml").write_text(NIGHTLY)
    end = TOMORROW + timedelta(days=6)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "planner", "rehearse", str(tmp_path), "--faults", "1"),
            *(
                "--from",
                f"{TOMORROW:%Y-%m-%d}",
                "--to",
                f"{end:%Y-%m-%d}",
                "--processes",
                processes,
            ),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, *_, last = done.stdout.splitlines()
    assert first.startswith(f"{TOMORROW:%Y-%m-%d}T00:00:00Z to ")
    assert first.endswith(": 6 firings, 12 changes of capacity.")
    assert last == "The capacity history is the timeline: no difference."
    assert len(done.stdout.splitlines()) == 5
    assert len(done.stderr.splitlines()) == 1, "how long it took"


async def test_what_the_skipping_server_says_goes_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A server that is no server: its words are not ours, and what came of it is."""
    noisy, starts = tmp_path / "server", tmp_path / "starts"
    noisy.write_text(f"#!/bin/sh\necho a trace >&2\necho once >> {starts}\nexit 1\n")
    noisy.chmod(0o755)
    monkeypatch.setattr("planner.rehearsal.run.find_binary", lambda _name: str(noisy))
    monkeypatch.setattr("planner.rehearsal.run.START_ATTEMPTS", 2)  # a busy machine needs more
    expected = f"the time-skipping Temporal server {noisy} does not start: pip install"
    with pytest.raises(ServerError, match=re.escape(expected)):
        async with start_environment([]):
            pass
    assert starts.read_text() == "once\nonce\n"
    print("still here", file=sys.stderr)
    assert capfd.readouterr().err == "still here\n"


async def test_a_result_that_comes_late() -> None:
    """A server that has nothing to tell yet, and says so by no event, is asked again."""

    class Late:
        answers = [RuntimeError("No completion event found")] * 2 + [RuntimeError("another")]

        async def result(self) -> str:
            if self.answers:
                raise self.answers.pop(0)
            return "done"

    late: Any = Late()
    with pytest.raises(RuntimeError, match="another"):
        await result_of(late)
    assert await result_of(late) == "done"


async def test_a_clock_that_got_stuck_is_let_loose(
    skipping: WorkflowEnvironment, capsys: pytest.CaptureFixture[str]
) -> None:
    """A hold of the clock that nobody gives back does not hold a rehearsal for ever."""
    clock = SkippingClock(await connect(skipping), stuck_polls=2)
    await skipping.client.test_service.lock_time_skipping(LockTimeSkippingRequest())
    begun = await clock.now()
    async with asyncio.timeout(20):
        await clock.skip_to(begun + timedelta(days=3))
    assert await clock.now() - begun >= timedelta(days=3)
    assert "the skipping server's clock got stuck at" in capsys.readouterr().err
    assert clock.unlocks == 1


async def test_a_skip_may_take_its_time(skipping: WorkflowEnvironment) -> None:
    """No ping breaks the connection off in the middle of a long skip."""
    config = (await connect(skipping)).service_client.config
    assert config.keep_alive_config is None
    assert config.target_host == skipping.client.service_client.config.target_host


async def test_skips_wait_for_what_is_at_work(skipping: WorkflowEnvironment) -> None:
    """However many want the clock to skip, or gave up waiting, a hold is waited for."""
    service, clock = skipping.client.test_service, SkippingClock(await connect(skipping))
    await service.lock_time_skipping(LockTimeSkippingRequest())
    begun = await clock.now()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await clock.skip_to(begun + timedelta(days=1))
    skips = [clock.skip_to(begun + timedelta(days=days)) for days in (1, 3, 2)]
    skipped = asyncio.ensure_future(asyncio.gather(*skips))
    assert not await clock.advances(skipped, looks=3)
    assert await clock.now() - begun < HOUR
    await service.unlock_time_skipping(UnlockTimeSkippingRequest())
    async with asyncio.timeout(20):
        await skipped
    assert timedelta(days=3) <= await clock.now() - begun < timedelta(days=3, hours=1)


def test_a_boost_is_waited_for_no_further_than_to_its_timer() -> None:
    """Timers that fired or were cancelled are none; of the others the first one counts."""
    pending = {"startToFireTimeout": "180s"}
    history = [
        {"eventId": "1", "eventTime": "2027-01-31T08:00:00Z", "timerStartedEventAttributes": {}},
        {
            "eventId": "2",
            "eventTime": "2027-01-31T08:00:00Z",
            "timerFiredEventAttributes": {"startedEventId": "1"},
        },
        {
            "eventId": "3",
            "eventTime": "2027-01-31T09:00:00Z",
            "timerStartedEventAttributes": pending,
        },
    ]
    cancelled = {"eventId": "4", "timerCanceledEventAttributes": {"startedEventId": "3"}}

    def due(*events: dict[str, Any]) -> datetime | None:
        return next_timer(WorkflowHistory.from_json("boost", {"events": list(events)}))

    assert due(*history) == datetime(2027, 1, 31, 9, 3, tzinfo=UTC)
    assert due(*history, cancelled) is None
    assert due() is None
