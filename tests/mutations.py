"""Texts changed at random, and the loop that asks about them: what fuzzers share."""

from __future__ import annotations

import argparse
import random
import resource
import sys
import time
from collections.abc import Callable, Sequence

SLOW = 5.0
"""Seconds of processor time that no answer may take."""

MEGABYTES = 500
"""What all answers of one process may take, with all of Python."""


def mutated(text: str, tools: Sequence[str], source: random.Random) -> str:
    """Return *text* with a few lines, values or pieces changed, moved, doubled or lost."""
    for _ in range(source.choice((1, 1, 1, 2, 4))):
        lines = text.split("\n")
        at, other = source.randrange(len(lines)), source.randrange(len(lines))
        kind = source.randrange(8)
        if kind == 0:
            lines.insert(at, lines[other])
        elif kind == 1:
            del lines[at]
        elif kind == 2:
            lines[at], lines[other] = lines[other], lines[at]
        elif kind < 5:
            name, colon, _ = lines[at].partition(source.choice((": ", ":", " ")))
            lines[at] = name + colon + source.choice(tools)
        else:
            cut, width = source.randrange(len(lines[at]) + 1), source.randint(0, 3)
            piece = source.choice(tools) if kind < 7 else chr(source.randrange(0x250))
            lines[at : at + 1] = [lines[at][:cut] + piece + lines[at][cut + width :]]
        text = "\n".join(lines)
    return text


def fuzz(
    description: str,
    corpus: Sequence[str],
    tools: Sequence[str],
    answer: Callable[[str], str],
) -> int:
    """Ask about mutations of *corpus* until the time is over; 1 at the first fault.

    Args:
        description: What the command says of itself.
        corpus: The texts to mutate.
        tools: Pieces that mean something, put where they may not.
        answer: Asks everything of a text; returns in a word what came of it.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("seconds", type=float, nargs="?", default=60.0)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    arguments = parser.parse_args()
    source = random.Random(arguments.seed)
    print(f"seed {arguments.seed}, {len(corpus)} files to mutate", flush=True)
    end, slowest = time.monotonic() + arguments.seconds, 0.0
    counts: dict[str, int] = {}
    while time.monotonic() < end:
        text = mutated(source.choice(corpus), tools, source)
        began = time.process_time()
        try:
            outcome = answer(text)
        except BaseException:
            told = sum(counts.values())
            print(f"after {told} files, seed {arguments.seed}:\n{text!r}", file=sys.stderr)
            raise
        took = time.process_time() - began
        counts[outcome] = counts.get(outcome, 0) + 1
        slowest = max(slowest, took)
        if took > SLOW or megabytes() > MEGABYTES:
            cost = f"{took:.1f} s, {megabytes()} MB, seed {arguments.seed}"
            print(f"{cost}:\n{text!r}", file=sys.stderr)
            return 1
    told = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(counts.items()))
    print(
        f"{sum(counts.values()):,} files without a fault ({told}); "
        f"the slowest took {slowest:.2f} s, all of it {megabytes()} MB"
    )
    return 0


def megabytes() -> int:
    """Return the most memory that this process has taken."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1024 * 1024 if sys.platform == "darwin" else 1024)
