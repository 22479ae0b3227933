"""Make each alert fire by a real fault, as a real Prometheus sees it, and resolve.

Run: ``python benchmarks/alerts.py [ALERT …]``; without any, all of them. Server, simulated Cloud,
worker and Debian's Prometheus run as processes; the rules are those of deploy/prometheus, with
seconds for minutes. Prints when each alert fired after its fault, and resolved after its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import httpx
from git_remote import Remote
from observed import BUG, SLOTS, Observed, observed
from processes import BESIDE, KEY, UP_WITHIN, Process, leave, run
from schedule_values import on
from sync_helpers import QUIET_HOUR, Shop, eventually
from temporalio.api.schedule.v1 import Schedule as ScheduleMessage
from temporalio.common import WorkflowIDConflictPolicy

from planner.temporal.client import free_port
from workflows.contract import (
    BOOST_WORKFLOW,
    TASK_QUEUE,
    WATCHDOG_ID,
    BoostRequest,
    Capacity,
)

WITHIN = 240.0
"""Seconds that an alert may take to fire, or to resolve, on a machine that is busy."""

SLOW = 0.25
"""Seconds by which the slow way to the Temporal server delays each answer."""


@dataclass
class Stage:
    """The stack, with a project of one window for each namespace that a fault strikes."""

    of: Observed
    shop: Shop
    proxy: Proxy
    directory: Path
    desired: dict[str, Any] = field(default_factory=dict)
    follower: Process | None = None
    remote: Remote | None = None

    @property
    def bug(self) -> Path:
        """The file whose presence makes the keeper's code fail."""
        return self.directory / "bug"

    def namespace(self, name: str) -> str:
        """Return the full name of the namespace of a fault."""
        return f"{name}.a1b2c"

    async def add(self, *names: str) -> None:
        """Create namespaces at 3 TRU, each with a window of its own, half a day away."""
        for name in names:
            await self.of.stack.cloud.create(self.namespace(name), 3)
            value = self.shop.value(namespace=self.namespace(name), baseline=Capacity(3.0), tru=8)
            self.desired[name] = value
        await self.shop.sync(*self.desired.values())

    async def boost(self, name: str, seconds: int, window: str = "boost") -> None:
        """Start a boost as a schedule would."""
        namespace = self.namespace(name)
        request = BoostRequest(
            namespace=namespace,
            window=window,
            tru=8,
            ttl_seconds=seconds,
            baseline=Capacity(3.0),
        )
        id = f"boost/{namespace}/{window}"

        async def start() -> None:
            await self.of.client.start_workflow(
                *(BOOST_WORKFLOW, request),
                id=id,
                task_queue=TASK_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            )

        await eventually(start, within=UP_WITHIN)  # a starved server denies its own namespace

    async def in_force(self, name: str, tru: float) -> None:
        """Wait until *tru* are in force."""
        async with asyncio.timeout(UP_WITHIN):
            while True:
                if (await self.of.stack.cloud.history(self.namespace(name)))[-1][1] == tru:
                    return
                await asyncio.sleep(0.1)

    async def restart(self, away: float, meanwhile: Callable[[], Awaitable[None]]) -> None:
        """Stop the worker, do something *meanwhile*, and start it after *away* seconds."""
        await self.of.stack.worker.end()
        await meanwhile()
        await asyncio.sleep(away)
        await self.of.stack.worker.start()


@dataclass
class Proxy:
    """The way from the worker to the Temporal server; it can be made slow."""

    delay: float = 0.0

    async def serve(self, port: int, target: int) -> asyncio.Server:
        """Pass everything on between *port* and the server on *target*."""

        async def pump(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_slow: bool
        ) -> None:
            with contextlib.suppress(OSError):
                while data := await reader.read(65_536):
                    if is_slow and self.delay:
                        await asyncio.sleep(self.delay)
                    writer.write(data)
                    await writer.drain()
            writer.close()

        async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            back, forth = await asyncio.open_connection("127.0.0.1", target)
            await asyncio.gather(
                pump(reader, forth, is_slow=False), pump(back, writer, is_slow=True)
            )

        return await asyncio.start_server(connect, "127.0.0.1", port)


async def nothing(_: Stage) -> None:
    """Do nothing: the fault was over by itself."""


@dataclass(frozen=True, slots=True)
class Case:
    """A fault, its end, and the alerts that it makes fire; *prepare* comes before."""

    alerts: tuple[str, ...]
    what: str
    strike: Callable[[Stage], Awaitable[None]]
    mend: Callable[[Stage], Awaitable[None]]
    prepare: Callable[[Stage], Awaitable[None]] = nothing


# Faults of a namespace --------------------------------------------------------------------


async def set_by_others(stage: Stage) -> None:
    """Set 12 TRU as another client would."""
    await stage.of.stack.cloud.change_by_others(stage.namespace("foreign"), 12)


async def set_back(stage: Stage) -> None:
    """Set the baseline again."""
    await stage.of.stack.cloud.change_by_others(stage.namespace("foreign"), 3)


def fails(name: str, on: str, kind: str) -> Callable[[Stage], Awaitable[None]]:
    """Return what makes a call of the Cloud API fail for a namespace, until faults are cleared."""

    async def strike(stage: Stage) -> None:
        await stage.of.stack.cloud.fault(stage.namespace(name), on, kind, times=0)

    return strike


async def clear(stage: Stage) -> None:
    """Clear the faults of the Cloud API."""
    await stage.of.stack.cloud.clear_faults()


async def boost_in_vain(stage: Stage) -> None:
    """Let a window of forty seconds end although the Cloud API refuses every change."""
    await fails("uncovered", "update", "error")(stage)
    await stage.boost("uncovered", 40)


async def revert_in_vain(stage: Stage) -> None:
    """Boost, and let the Cloud API refuse the way back."""
    await stage.boost("overdue", 45)
    await stage.in_force("overdue", 8)
    await fails("overdue", "update", "error")(stage)


def key_expires(days: int) -> Callable[[Stage], Awaitable[None]]:
    """Return what makes the worker's key one that expires in so many days."""

    async def strike(stage: Stage) -> None:
        expires = (datetime.now(UTC) + timedelta(days=days)).isoformat(timespec="seconds")
        await stage.of.stack.cloud.add_key(KEY, expires)

    return strike


async def pause(stage: Stage) -> None:
    """Pause a schedule, as an operator does."""
    await stage.shop.pause(stage.desired["paused"].id, "not today")


async def resume(stage: Stage) -> None:
    """Take the pause back."""
    await stage.shop.resume(stage.desired["paused"].id, "as usual")


async def edit(stage: Stage) -> None:
    """Change a schedule's times by hand."""

    def later(message: ScheduleMessage) -> None:
        message.spec.structured_calendar[0].minute[0].start += 1
        message.spec.structured_calendar[0].minute[0].end += 1

    await stage.shop.edit(stage.desired["edited"].id, later)


async def put_back(stage: Stage) -> None:
    """Sync: what was changed by hand is put back."""
    await stage.shop.sync(*stage.desired.values(), full=True)


async def run_out(stage: Stage) -> None:
    """Leave a schedule of dates with five days."""
    await _covers(stage, timedelta(days=5))


async def extend(stage: Stage) -> None:
    """Extend its dates."""
    await _covers(stage, timedelta(days=300))


async def _covers(stage: Stage, ahead: timedelta) -> None:
    until = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + ahead
    shop = Shop(stage.of.client, "dated")  # the sync of another project minds no edits by hand
    value = shop.value(baseline=Capacity(3.0), tru=8, covers_until=until)
    await shop.sync(value)


# Usage ------------------------------------------------------------------------------------


async def throttle(stage: Stage) -> None:
    """Ask for more of a namespace than its window's TRU allow, until the window is over."""
    shop = Shop(stage.of.client, "throttled")
    await stage.of.stack.cloud.create(shop.namespace, 3)
    await stage.of.stack.cloud.load(shop.namespace, 6_000)
    opens = datetime.now(UTC).replace(microsecond=0)
    length = 120 - opens.second  # a whole minute of it counts: to the end of the next one
    times = {"calendars": (on(opens),), "ahead_seconds": 0, "ttl_seconds": length}
    await shop.sync(shop.value(baseline=Capacity(3.0), tru=8, **times))


async def leave_unused(stage: Stage) -> None:
    """Declare a window of the hour before this one, in which a namespace with its TRU was idle."""
    shop, hour = Shop(stage.of.client, "unused"), timedelta(hours=1)
    opened = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - hour
    calendars = (on(opened), on(opened + timedelta(days=300)))
    times = {"calendars": calendars, "ahead_seconds": 0, "ttl_seconds": 3_600}
    await shop.sync(shop.value(baseline=Capacity(8.0), tru=8, **times))


def take_out(project: str) -> Callable[[Stage], Awaitable[None]]:
    """Return what takes the windows of a *project* out of its calendar."""

    async def mend(stage: Stage) -> None:
        await Shop(stage.of.client, project).sync()

    return mend


# A followed repository --------------------------------------------------------------------

FOLLOWED = f"""\
namespace: followed.a1b2c
windows:
  payroll: {{cron: "0 {QUIET_HOUR} * * *", duration: 1h, tru: 4}}
"""


async def follow(stage: Stage) -> None:
    """Follow a repository with a calendar."""
    home = stage.directory / "followed"
    home.mkdir()
    remote = stage.remote = Remote(home)
    await stage.of.stack.cloud.create("followed.a1b2c")
    remote.commit({"planner.yaml": "project: followed\n", "payroll.yaml": FOLLOWED})
    stage.follower = Process(
        "follower",
        (str(BESIDE / "planner"), "follow", str(remote.bare), "--every", "1s"),
        stage.directory / "follower.log",
        {"TEMPORAL_ADDRESS": stage.of.stack.address},
    )
    await stage.follower.start()
    await scraped(stage, lambda text: 'state="current"} 1' in text)


async def refuse_commit(stage: Stage) -> None:
    """Commit a calendar that can't be used."""
    assert stage.remote
    stage.remote.commit({"payroll.yaml": FOLLOWED.replace("tru: 4", "tru: many")})


async def repair_commit(stage: Stage) -> None:
    """Commit one that can."""
    assert stage.remote
    stage.remote.commit({"payroll.yaml": FOLLOWED.replace("tru: 4", "tru: 5")})


# Faults of the worker ---------------------------------------------------------------------


async def break_code(stage: Stage) -> None:
    """Start a boost whose keeper's code fails."""
    stage.bug.touch()
    await stage.boost("stuck", 600)


async def mend_code(stage: Stage) -> None:
    """Roll the release back."""
    stage.bug.unlink()


async def freeze_server(stage: Stage) -> None:
    """Let the Temporal server stand still."""
    assert stage.of.stack.server.running
    stage.of.stack.server.running.send_signal(signal.SIGSTOP)


async def thaw_server(stage: Stage) -> None:
    """Let it go on."""
    assert stage.of.stack.server.running
    stage.of.stack.server.running.send_signal(signal.SIGCONT)


async def pause_watchdog(stage: Stage) -> None:
    """Pause the watchdog's schedule, and terminate its workflow."""
    handle = stage.of.client.get_schedule_handle(WATCHDOG_ID)
    await handle.pause(note="a mistake")
    for action in (await handle.describe()).info.running_actions:
        id = getattr(action, "workflow_id", "")
        await stage.of.client.get_workflow_handle(id).terminate()


async def resume_watchdog(stage: Stage) -> None:
    """Take the pause back, and start it."""
    handle = stage.of.client.get_schedule_handle(WATCHDOG_ID)
    await handle.unpause()
    await handle.trigger()


async def stop_worker(stage: Stage) -> None:
    """Stop the only worker."""
    await stage.of.stack.worker.end()


async def start_worker(stage: Stage) -> None:
    """Start it again."""
    await stage.of.stack.worker.start()


async def crowd(stage: Stage) -> None:
    """Run a worker with too few slots for the activities of 20 boosts."""
    few = {**stage.of.stack.worker.environment, SLOTS: "3"}
    await stage.of.stack.worker.end()
    stage.of.stack.worker.environment = few
    await stage.of.stack.worker.start()
    await told(stage)
    for number in range(20):
        await stage.boost("many", 20, f"w{number}-{time.time_ns()}")


async def make_room(stage: Stage) -> None:
    """Run it with as many as ever."""
    usual = {**stage.of.stack.worker.environment}
    del usual[SLOTS]
    await stage.of.stack.worker.end()
    stage.of.stack.worker.environment = usual
    await stage.of.stack.worker.start()


async def slow_down(stage: Stage) -> None:
    """Put the Temporal server far away, and boost, so that tasks are completed."""
    stage.proxy.delay = SLOW
    for number in range(10):
        await stage.boost("many", 15, f"w{number}-{time.time_ns()}")


async def speed_up(stage: Stage) -> None:
    """Bring it back."""
    stage.proxy.delay = 0.0


async def boost_without_worker(stage: Stage) -> None:
    """Start boosts while no worker is there: their tasks wait for it."""

    async def boosts() -> None:
        for number in range(20):
            await stage.boost("many", 20, f"w{number}-{time.time_ns()}")

    await stage.restart(4.0, boosts)


TOGETHER = (
    Case(("BoostForeign",), "12 TRU set by another client", set_by_others, set_back),
    Case(("BoostUnknown",), "reads of a namespace fail", fails("unknown", "get", "error"), clear),
    Case(("BoostKeyRefused",), "the key is refused", fails("key", "get", "unauthorized"), clear),
    Case(("BoostKeyExpiresSoon",), "the key has five days left", key_expires(5), key_expires(300)),
    Case(("BoostUncovered", "BoostMissed"), "changes fail for a window", boost_in_vain, clear),
    Case(("BoostOverdue",), "the way back fails", revert_in_vain, clear),
    Case(("BoostPaused",), "an operator pauses a schedule", pause, resume),
    Case(("BoostDriftByHand",), "a schedule is edited by hand", edit, put_back),
    Case(("BoostSchedulesRunOut",), "five days of dates are left", run_out, extend),
    Case(("BoostThrottled",), "6,000 APS of a window of 8 TRU", throttle, take_out("throttled")),
    Case(("BoostUnused",), "a window of an idle hour", leave_unused, take_out("unused")),
    Case(("BoostNotFollowed",), "a commit is invalid", refuse_commit, repair_commit, follow),
)
"""Faults that strike a namespace each: at once, and ended at once."""

ALONE = (
    Case(("BoostRequestsSlow",), "answers take 250 ms longer", slow_down, speed_up),
    Case(
        ("BoostWorkflowTasksLate", "BoostPollSyncRateLow"),
        "20 boosts start while no worker is there",
        boost_without_worker,
        nothing,
    ),
    Case(("BoostStuck",), "the keeper's code fails", break_code, mend_code),
    Case(("BoostWatchdogProblems",), "the server stands still", freeze_server, thaw_server),
    Case(("BoostWatchdogGone",), "the watchdog is paused", pause_watchdog, resume_watchdog),
    Case(("BoostNoWorker",), "the worker is stopped", stop_worker, start_worker),
    Case(("BoostActivityTasksLate",), "a worker has too few slots for 20 boosts", crowd, make_room),
)
"""Faults of the worker or the server, one after the other."""

NAMESPACES = (
    *("foreign", "unknown", "key", "uncovered", "overdue", "paused", "edited"),
    *("stuck", "many"),
)


async def until(
    stage: Stage, names: tuple[str, ...], work: Awaitable[None], *, fires: bool
) -> dict[str, float]:
    """Do *work*, and return after how many seconds each alert fires, or doesn't any more.

    Infinite for one that isn't seen so within `WITHIN` of the work's end.
    """
    begun, seen = time.monotonic(), dict[str, float]()
    doing, ended = asyncio.ensure_future(work), float("inf")
    while len(seen) < len(names) and time.monotonic() - ended < WITHIN:
        firing = await stage.of.firing()
        for name in names:
            if (name in firing) is fires:
                seen.setdefault(name, time.monotonic() - begun)
        await asyncio.wait({doing}, timeout=0.5)
        if doing.done():
            ended = min(ended, time.monotonic())
        await asyncio.sleep(0.5)
    await doing
    return {name: seen.get(name, float("inf")) for name in names}


async def play(stage: Stage, cases: tuple[Case, ...]) -> bool:
    """Strike with all *cases* at once, wait for their alerts, end them; print and judge."""
    names = tuple(name for case in cases for name in case.alerts)
    for case in cases:
        await case.prepare(stage)
    calm = await until(stage, names, nothing(stage), fires=False)
    fired = await asyncio.gather(
        *(until(stage, case.alerts, case.strike(stage), fires=True) for case in cases)
    )
    resolved = await asyncio.gather(
        *(until(stage, case.alerts, case.mend(stage), fires=False) for case in cases)
    )
    good = True
    for case, begins, ends in zip(cases, fired, resolved, strict=True):
        for name in case.alerts:
            times = (calm[name], begins[name], ends[name])
            good = good and all(one != float("inf") for one in times)
            print(f"| {name} | {case.what} | {times[1]:.0f} s | {times[2]:.0f} s |", flush=True)
    return good


@asynccontextmanager
async def staged(directory: Path) -> AsyncIterator[Stage]:
    """Set the stage, with the worker behind a proxy."""
    async with observed(directory, with_usage=True) as of:
        proxy, port = Proxy(), free_port()
        target = int(of.stack.address.rpartition(":")[2])
        server = await proxy.serve(port, target)
        await of.stack.worker.end()
        of.stack.worker.environment = {
            **of.stack.worker.environment,
            "TEMPORAL_ADDRESS": f"127.0.0.1:{port}",
            "PLANNER_PROMETHEUS_URL": of.url,
            BUG: str(directory / "bug"),
        }
        await of.stack.worker.start()
        stage = Stage(of, Shop(of.client, "alerts"), proxy, directory)
        await stage.add(*NAMESPACES)
        await of.stack.cloud.create(stage.namespace("dated"), 3)
        await extend(stage)
        await told(stage, (*NAMESPACES, "dated"))
        try:
            yield stage
        finally:
            with contextlib.suppress(ProcessLookupError, AssertionError):
                await thaw_server(stage)
            if stage.follower:
                await stage.follower.end()
            server.close()


async def told(stage: Stage, names: tuple[str, ...] = NAMESPACES) -> None:
    """Wait until the worker tells of all the namespaces."""
    series = [f'schedules{{cloud_namespace="{stage.namespace(name)}"}} 1' for name in names]
    await scraped(stage, lambda text: all(one in text for one in series))


async def scraped(stage: Stage, is_so: Callable[[str], bool]) -> None:
    """Wait until what the worker serves is so."""
    async with asyncio.timeout(UP_WITHIN):
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if is_so(await stage.of.scrape()):
                    return
            await asyncio.sleep(0.5)


async def main(chosen: set[str]) -> int:
    """Play the cases of the *chosen* alerts, or all; return an exit code."""

    def meant(cases: tuple[Case, ...]) -> tuple[Case, ...]:
        return tuple(case for case in cases if not chosen or chosen & set(case.alerts))

    with tempfile.TemporaryDirectory() as directory:
        async with staged(Path(directory)) as stage:
            print("| alert | fault | fired after | resolved after |\n| --- | --- | ---: | ---: |")
            good = True
            for cases in (meant(TOGETHER), *((case,) for case in meant(ALONE))):
                if cases:
                    good = await play(stage, cases) and good
            if not good:
                print((Path(directory) / "worker.log").read_text(encoding="utf-8")[-4000:])
    print("as promised" if good else "NOT as promised")
    return 0 if good else 1


if __name__ == "__main__":
    leave(run(main(set(sys.argv[1:]))))
