"""Play many random stories in processes, say what came of each batch, and count honestly.

Run: ``make stories STORIES=10000 STORY_SEED=1``; Ctrl-C ends it with the count so far. Each
batch is a process of its own. Stories of all three kinds are played side by side: on a server
whose clock skips, the same by a worker without memory that is upgraded, and on a real server.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, Literal

Kind = Literal["skipping", "forgetful", "brisk"]
AT_ONCE: dict[Kind, int] = {"skipping": 50, "forgetful": 20, "brisk": 8}
"""Stories of a kind that share a server."""

FORGETFUL_SHARE = 50
"""One of so many stories is played by a worker without memory."""

BROKEN, FAILED = 1, 2
"""Exit codes of a batch with broken promises, and of one that could not be played."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Stories, from *first* up to *last*, that share a server."""

    kind: Kind
    first: int
    last: int

    @property
    def words(self) -> str:
        """What it is called."""
        return f"{self.kind} {self.first} to {self.last - 1}"


def batches(count: int, brisk: int, first: int) -> list[Batch]:
    """Return *count* stories from *first* on, and *brisk* ones, in batches of kinds by turns."""
    forgetful = count // FORGETFUL_SHARE
    spans: dict[Kind, tuple[int, int]] = {
        "skipping": (first, first + count - forgetful),
        "forgetful": (first + count - forgetful, first + count),
        "brisk": (first, first + brisk),
    }
    kinds = [list(_cut(kind, *span)) for kind, span in spans.items()]
    return [batch for batch in chain.from_iterable(zip_longest(*kinds)) if batch]


def _cut(kind: Kind, first: int, last: int) -> Iterator[Batch]:
    for start in range(first, last, AT_ONCE[kind]):
        yield Batch(kind, start, min(start + AT_ONCE[kind], last))


async def play(batch: Batch, seed: int) -> str:
    """Play *batch*, and return its broken promises, with their stories."""
    sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))  # as pytest has it
    from conftest import binary
    from processes import dev_environment
    from stories import EXTRAS, tell, tell_brisk

    os.environ.setdefault("STORY_ACTIONS", ",".join(EXTRAS))
    import test_stories
    from story_stage import brisk_stage

    numbers = range(batch.first, batch.last)
    if batch.kind == "brisk":
        async with (
            dev_environment(binary("temporal")) as server,
            brisk_stage(server) as stage,
        ):
            return test_stories.report(
                await stage.play([tell_brisk(seed, number) for number in numbers])
            )
    told = [tell(seed, number, test_stories.ACTIONS) for number in numbers]
    try:
        await test_stories.play(told, forgetful=batch.kind == "forgetful")
    except AssertionError as broken:
        return str(broken)
    return ""


def play_here(batch: Batch, seed: int) -> int:
    """Play *batch* in this process, print what is broken, and return its exit code."""
    import logging

    logging.getLogger("workflows").setLevel(logging.ERROR)
    broken = asyncio.run(play(batch, seed))
    print(broken, flush=True)
    return BROKEN if broken else 0


def play_beside(batch: Batch, seed: int) -> tuple[Batch, int, str, float]:
    """Play *batch* in a process of its own; return its exit code, what it said, its seconds."""
    begun = time.monotonic()
    command = [sys.executable, __file__, str(seed), batch.kind, str(batch.first), str(batch.last)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = done.stdout if done.returncode == BROKEN else done.stdout + done.stderr[-3_000:]
    return batch, done.returncode, said, time.monotonic() - begun


def tell_outcome(outcome: tuple[Batch, int, str, float], count: Counter[str]) -> None:
    """Count what came of a batch, and print it at once, broken stories whole."""
    batch, code, said, seconds = outcome
    size = batch.last - batch.first
    broken = len(set(re.findall(r"^story \d+/(\d+):", said, re.MULTILINE))) if code == BROKEN else 0
    if code in (0, BROKEN):
        count["kept"] += size - broken
        count["broken"] += max(broken, int(code == BROKEN))
    else:
        count["not played"] += size
    word = {0: "kept", BROKEN: "BROKEN"}.get(code, "NOT PLAYED")
    so_far = ", ".join(f"{count[name]} {name}" for name in ("kept", "broken", "not played"))
    print(f"{time.strftime('%T')} {batch.words}: {word} ({seconds:.0f} s); {so_far}", flush=True)
    if code:
        print(said, flush=True)


def main() -> int:
    """Play what the environment says, and return 0 where every promise was kept."""
    seed = int(os.environ.get("STORY_SEED") or time.time())
    todo = batches(
        int(os.environ.get("STORIES") or 10_000),
        int(os.environ.get("BRISK_STORIES") or 64),
        int(os.environ.get("STORY_FIRST") or 0),
    )
    processes = int(os.environ.get("STORY_PROCESSES") or os.cpu_count() or 1)
    count: Counter[str] = Counter()
    print(f"STORY_SEED={seed}, {processes} at once, {len(todo)} batches", flush=True)
    pool = ThreadPoolExecutor(processes)
    waiting: set[Future[Any]] = set()
    left = iter(todo)
    try:
        while True:
            while len(waiting) < processes and (batch := next(left, None)):
                waiting.add(pool.submit(play_beside, batch, seed))
            if not waiting:
                break
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for one in done:
                tell_outcome(one.result(), count)
    except KeyboardInterrupt:  # the batches under way get it, too, and end
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        pool.shutdown(wait=False, cancel_futures=True)
        print("Ended before its time.")
    whole = f"{count['kept']} kept, {count['broken']} broken, {count['not played']} not played"
    print(f"STORY_SEED={seed}: {whole}", flush=True)
    return int(bool(count["broken"] or count["not played"]))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        which: Any = sys.argv[2]
        code = FAILED
        try:
            code = play_here(Batch(which, int(sys.argv[3]), int(sys.argv[4])), int(sys.argv[1]))
        except Exception as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        finally:
            sys.stdout.flush()
            os._exit(code)  # the SDK may abort the interpreter at its end
    ended = main()
    sys.stdout.flush()
    os._exit(ended)  # no batch is waited for
