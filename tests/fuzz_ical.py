"""Fuzz the iCalendar reader for as long as you like: ``python tests/fuzz_ical.py 3600``.

Mutates whole files, the examples among them, and asks everything of each. It stops at the
first text that raises anything but problems, or takes longer than five seconds, and prints
the seed and the text. Not collected by pytest, which runs the short form of it.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

from ical_hostile import HOSTILE, answer

from planner.model import IcsFile

ROOT = Path(__file__).parent.parent
SLOW = 5.0
"""Seconds that no answer may take."""

_TOOLS = [
    *("0", "9", "-1", ";", ":", ",", "=", "T", "Z", "P", "\n", "\r\n ", "\x00", "٣"),
    *("FREQ=DAILY", "FREQ=HOURLY", "COUNT=10000", "INTERVAL=1000", "UNTIL=21001231"),
    *("BYDAY=-1FR,MO", "BYWEEKNO=53", "BYYEARDAY=-366", "BYSETPOS=-1", "20270328T023000"),
    *(";RANGE=THISANDFUTURE", ";TZID=Own"),
]
"""Pieces that mean something, put where they may not."""


def seeds() -> list[str]:
    """Return the files that are mutated: examples, and the small ones of the hostile."""
    files = [*ROOT.glob("tests/data/ics/*.ics"), *ROOT.glob("calendars/*.ics")]
    hostile = (text for text in (make() for make in HOSTILE.values()) if len(text) < 5_000)
    return [*(path.read_bytes().decode() for path in sorted(files)), *hostile]


def mutated(text: str, source: random.Random) -> str:
    """Return *text* with a few lines, characters or pieces changed, moved, doubled or lost."""
    for _ in range(source.randint(1, 6)):
        lines = text.split("\n")
        at, other = source.randrange(len(lines)), source.randrange(len(lines))
        kind = source.randrange(5)
        if kind == 0:
            lines.insert(at, lines[other])
        elif kind == 1:
            del lines[at]
        elif kind == 2:
            lines[at], lines[other] = lines[other], lines[at]
        else:
            cut, width = source.randrange(len(lines[at]) + 1), source.randint(0, 3)
            piece = source.choice(_TOOLS) if kind == 3 else chr(source.randrange(0x250))
            lines[at : at + 1] = [lines[at][:cut] + piece + lines[at][cut + width :]]
        text = "\n".join(lines) or "BEGIN:VCALENDAR"
    return text


def main() -> int:
    """Fuzz until the time is over; 1 at the first fault."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("seconds", type=float, nargs="?", default=60.0)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    arguments = parser.parse_args()
    source, corpus = random.Random(arguments.seed), seeds()
    print(f"seed {arguments.seed}, {len(corpus)} files to mutate")
    end, count, slowest = time.monotonic() + arguments.seconds, 0, 0.0
    while time.monotonic() < end:
        text = mutated(source.choice(corpus), source)
        began = time.perf_counter()
        try:
            answer(IcsFile("fuzz.ics", text))
        except BaseException:
            print(f"after {count} files, seed {arguments.seed}:\n{text!r}", file=sys.stderr)
            raise
        took = time.perf_counter() - began
        count, slowest = count + 1, max(slowest, took)
        if took > SLOW:
            print(f"{took:.1f} s, seed {arguments.seed}:\n{text!r}", file=sys.stderr)
            return 1
    print(f"{count:,} files without a fault; the slowest took {slowest:.2f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
