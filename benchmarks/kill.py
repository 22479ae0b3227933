"""Kill the worker, or the server, at each step of a boost: the capacity must come back.

Run: ``python benchmarks/kill.py [PART@STEP …]``, as in ``worker@posted``; without any, all
of them. Each case has a Temporal server with a state file, a simulated Cloud and a worker
of its own, each as a process; prints one table, and exits with 1 if a promise was broken.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from processes import Cloud, Process, Processes, leave, processes, run
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.service import RPCError

from workflows.activity_types import HEARTBEAT_TIMEOUT
from workflows.contract import BOOST_WORKFLOW, TASK_QUEUE, BoostRequest, keeper_id

Part = Literal["worker", "server"]

NAMESPACE = "payments-prod.a1b2c"
WINDOW = "kill"
BASELINE, TRU = 3.0, 8.0
PROVISIONING = 3.0
OUTAGE = 3.0
"""Seconds for which what was killed stays away."""

HOLD = 6.0
"""Seconds for which the simulator holds an answer back, so that the step can be hit."""

SHORT, LONG = 25, 90
"""Seconds that the window lasts; the long one outlasts the loss of an activity's worker."""

SLACK = 20.0
"""Seconds that a recovery may take besides: starting, on a machine that is busy."""

AT_ONCE = 3
STEPS = ("asked", "posted", "reply lost", "in progress", "in force", "reverting")
_GLANCE = 0.2


@dataclass(frozen=True, slots=True)
class Case:
    """What is killed, and at which step of the boost."""

    part: Part
    step: str

    def __str__(self) -> str:
        return f"{self.part}@{self.step}"

    @property
    def loses_an_activity(self) -> bool:
        """Whether an activity dies unseen: the server misses its heartbeats, in time."""
        return self.part == "worker" and self.step != "in force"

    @property
    def window_seconds(self) -> int:
        """How long the window lasts."""
        return LONG if self.loses_an_activity and self.step != "reverting" else SHORT

    @property
    def unseen(self) -> float:
        """Seconds until a loss is noticed, at most."""
        return HEARTBEAT_TIMEOUT.total_seconds() if self.loses_an_activity else 0.0


CASES = tuple(Case(part, step) for part in ("worker", "server") for step in STEPS)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a case; times are seconds after the window's start and end."""

    case: Case
    steps: tuple[float | None, ...]
    outage: float
    raised_after: float | None
    back_after: float | None
    keeper: str

    @property
    def late_at_most(self) -> float:
        """Seconds after the window's end by which the baseline must be in force again."""
        return PROVISIONING + self.outage + self.case.unseen + SLACK

    @property
    def is_kept(self) -> bool:
        """Whether it was raised once, came back once, in time, and the keeper ended well."""
        return (
            self.steps == (BASELINE, TRU, BASELINE)
            and self.back_after is not None
            and 0 <= self.back_after <= self.late_at_most
            and self.keeper == "COMPLETED"
        )


@dataclass
class Scene:
    """One boost under way, with what it needs to be watched."""

    stack: Processes
    client: Client
    case: Case
    begun: datetime
    boost: WorkflowHandle[Any, Any] | None = None

    async def reach(self) -> None:
        """Return as soon as the step is reached at which the kill is due."""
        await REACHED[self.case.step](self)

    async def seen(self, call: str, count: int = 1) -> None:
        """Wait until the Cloud has had so many requests of one *call*."""

        async def enough() -> bool:
            return len(await self.stack.cloud.requests(NAMESPACE, call)) >= count

        await until(enough)

    async def covered(self) -> None:
        """Wait until the boost has its answer: nothing is under way but a timer."""
        assert self.boost
        await self.boost.result()

    async def reverting(self) -> None:
        """Wait until the way back has been asked for."""
        await self.seen("update", 2)


REACHED: dict[str, Callable[[Scene], Awaitable[None]]] = {
    "asked": lambda scene: scene.seen("get"),
    "posted": lambda scene: scene.seen("update"),
    "reply lost": lambda scene: scene.seen("update"),
    "in progress": lambda scene: scene.seen("operation"),
    "in force": Scene.covered,
    "reverting": Scene.reverting,
}
FAULTS = {
    "asked": ("get", "slow", {"seconds": HOLD}),
    "posted": ("update", "slow", {"seconds": HOLD}),
    "reply lost": ("update", "drop-reply", {}),
}


async def until(holds: Callable[[], Awaitable[bool]], within: float = 90) -> None:
    """Wait until something *holds*, looking often.

    Raises:
        TimeoutError: It never did.
    """
    async with asyncio.timeout(within):
        while not await holds():  # noqa: ASYNC110 - what holds is not an event
            await asyncio.sleep(_GLANCE)


async def play(case: Case, directory: Path) -> Outcome:
    """Play *case* from the boost's start to the keeper's end."""
    async with processes(directory, provisioning=PROVISIONING, check=0.5) as stack:
        client = await stack.connect()
        await stack.cloud.create(NAMESPACE, BASELINE)
        if case.step in FAULTS:
            on, kind, more = FAULTS[case.step]
            await stack.cloud.fault(NAMESPACE, on, kind, **more)
        scene = await start(stack, client, case)
        async with asyncio.timeout(60 + case.window_seconds):
            await scene.reach()
        outage = await kill(stack.worker if case.part == "worker" else stack.server)
        keeper = await ended(await stack.connect(), case)
        return await outcome(stack.cloud, scene, outage, keeper)


async def start(stack: Processes, client: Client, case: Case) -> Scene:
    """Start the boost, as its schedule would."""
    request = BoostRequest(
        namespace=NAMESPACE, window=WINDOW, tru=int(TRU), ttl_seconds=case.window_seconds
    )
    boost = await client.start_workflow(
        BOOST_WORKFLOW, request, id=f"boost/{NAMESPACE}/{WINDOW}", task_queue=TASK_QUEUE
    )
    begun = (await boost.describe()).start_time
    return Scene(stack, client, case, begun, boost)


async def kill(process: Process) -> float:
    """Kill *process*, and start it again after a while; return the seconds between."""
    begun = time.monotonic()
    await process.kill()
    await asyncio.sleep(OUTAGE)
    await process.start()
    return time.monotonic() - begun


async def ended(client: Client, case: Case) -> str:
    """Wait for the end of the keeper, and return how it ended."""
    handle = client.get_workflow_handle(keeper_id(NAMESPACE))
    status = WorkflowExecutionStatus.RUNNING

    async def is_over() -> bool:
        nonlocal status
        try:
            found = (await handle.describe()).status
        except RPCError:  # the server is just coming back, or the keeper isn't there yet
            return False
        status = found or status
        return status != WorkflowExecutionStatus.RUNNING

    try:
        await until(is_over, case.window_seconds + 2 * case.unseen + 60)
    except TimeoutError:
        return "STILL RUNNING"
    return status.name


async def outcome(cloud: Cloud, scene: Scene, outage: float, keeper: str) -> Outcome:
    """Return what the Cloud's own history says of the boost."""
    history = await cloud.history(NAMESPACE)
    end = scene.begun + timedelta(seconds=scene.case.window_seconds)
    raised = next((at for at, tru in history if tru == TRU), None)
    back = history[-1][0] if raised and history[-1][1] == BASELINE else None
    return Outcome(
        case=scene.case,
        steps=tuple(tru for _, tru in history),
        outage=outage,
        raised_after=raised and (raised - scene.begun).total_seconds(),
        back_after=back and (back - end).total_seconds(),
        keeper=keeper,
    )


async def play_all(cases: tuple[Case, ...], directory: Path) -> list[Outcome]:
    """Play *cases*, some at once, each on processes of its own."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(case: Case) -> Outcome:
        async with slots:
            played = await play(case, case_directory(directory, case))
        print(f"{case} done", file=sys.stderr, flush=True)
        return played

    return list(await asyncio.gather(*map(one, cases)))


def case_directory(directory: Path, case: Case) -> Path:
    """Return a directory of its own for *case*."""
    own = directory / str(case).replace(" ", "-")
    own.mkdir()
    return own


def table(outcomes: list[Outcome]) -> str:
    """Return the table of *outcomes*, in Markdown."""
    lines = [
        "| killed | at the step | away | window | in force after | back after its end | "
        "at most | capacity | kept |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | --- | --- |",
    ]
    for one in outcomes:
        steps = " → ".join("on-demand" if tru is None else f"{tru:g}" for tru in one.steps)
        cells = (
            one.case.part,
            one.case.step,
            f"{one.outage:.1f} s",
            f"{one.case.window_seconds} s",
            _seconds(one.raised_after),
            _seconds(one.back_after),
            f"{one.late_at_most:.0f} s",
            steps,
            "yes" if one.is_kept else f"NO, keeper {one.keeper}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f} s"


def parse_case(text: str) -> Case:
    """Return the case that *text* names, as in ``worker@posted``."""
    found = next((case for case in CASES if str(case) == text), None)
    if found is None:
        raise SystemExit(f"{text!r} is no case; one of: {', '.join(map(str, CASES))}")
    return found


async def main(cases: tuple[Case, ...]) -> int:
    """Play *cases* and print what became of them."""
    with tempfile.TemporaryDirectory() as directory:
        outcomes = await play_all(cases, Path(directory))
    print(table(outcomes))
    print(f"\nload {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    return 0 if all(one.is_kept for one in outcomes) else 1


if __name__ == "__main__":
    leave(run(main(tuple(map(parse_case, sys.argv[1:])) or CASES)))
