"""A rehearsal on several stages: each in a process of its own, on a core of its own.

A part goes to its process as a pickled scene on stdin. Back come pickled messages, each
after its length: how many firings are done, at the end the outcome, or why there is none.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from planner.errors import ServerError
from planner.model import Horizon, Project
from planner.rehearse import Outcome, Scene, split, together
from planner.spec import Schedule

LENGTH = 4
"""Bytes in which a message says how long it is."""

WORTH_A_STAGE = 100
"""Firings that take longer than setting another stage."""

MOST_STAGES = 8
"""Each takes some 200 MB, and a year of hundreds of firings is short enough by then."""

Progress = Callable[[int, int], None]


def nobody_looks(done: int, total: int) -> None:
    """Show nothing of how far it is."""


async def play(
    project: Project,
    schedules: Sequence[Schedule],
    horizon: Horizon,
    seed: int | None = None,
    *,
    progress: Progress = nobody_looks,
    stages: int | None = None,
) -> Outcome:
    """Fire *schedules* through *horizon*, and compare what was in force with what was due.

    Args:
        project: What the timeline is drawn from.
        schedules: What fires; compiled from *project*, unless a defect is being planted.
        horizon: Firings in it are played, and their runs to their ends; it lies ahead.
        seed: Of the faults; None for none.
        progress: Called with how many firings are done, and of how many.
        stages: How many to play on side by side; None for what this machine has cores for.

    Raises:
        ServerError: There is no skipping server, or one of them went away.
    """

    def scene(stretches: Mapping[str, Horizon]) -> Scene:
        return Scene(project, tuple(schedules), stretches, seed)

    total = len(scene(split(project, horizon, 1)[0]).firings())
    count = stages or max(1, min(_cores(), MOST_STAGES, total // WORTH_A_STAGE))
    scenes = [scene(stretches) for stretches in split(project, horizon, count)]
    done = [0] * len(scenes)

    def listen(place: int) -> Callable[[int], None]:
        def hear(fired: int) -> None:
            done[place] = fired
            progress(sum(done), total)

        return hear

    if len(scenes) == 1:
        from planner.cli.rehearsing.playing import perform

        return await perform(scenes[0], listen(0))
    return together(await _all(_elsewhere(each, listen(n)) for n, each in enumerate(scenes)))


async def _all(parts: Iterable[Coroutine[Any, Any, Outcome]]) -> list[Outcome]:
    """Return what all *parts* come to; the first that fails ends the others."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _cores() -> int:
    """Return how many cores this process may use."""
    with suppress(AttributeError):  # only some systems can tell
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


async def _elsewhere(scene: Scene, hear: Callable[[int], None]) -> Outcome:
    """Play *scene* in a process of its own."""
    async with _process() as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(pickle.dumps(scene))
        process.stdin.close()
        while isinstance(message := await _message(process.stdout), int):
            hear(message)
    if isinstance(message, str):
        raise ServerError(message)
    assert isinstance(message, Outcome)
    return message


@asynccontextmanager
async def _process() -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a process that plays, and see to it that it ends."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "planner.cli.rehearsing.elsewhere"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    except BaseException:
        with suppress(ProcessLookupError):  # it has ended
            # Not by its own terminate, which may take its end from whoever waits for it.
            os.kill(process.pid, signal.SIGTERM)
        raise
    finally:
        await process.wait()


async def _message(stream: asyncio.StreamReader) -> Any:
    """Return the next message of a process.

    Raises:
        ServerError: It ended without a word.
    """
    try:
        length = int.from_bytes(await stream.readexactly(LENGTH), "big")
        return pickle.loads(await stream.readexactly(length))
    except asyncio.IncompleteReadError as error:
        raise ServerError("a stage of the rehearsal broke down; see above") from error
