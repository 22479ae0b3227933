"""Fuzz the iCalendar reader for as long as you like: ``python tests/fuzz_ical.py 3600``.

Mutates whole files, the examples among them, and asks everything of each. It stops at the
first text that raises anything but problems, or takes more than five seconds or 500 MB, and
prints the seed and the text. Not collected by pytest, which runs the short form of it.
"""

from __future__ import annotations

from pathlib import Path

from ical_hostile import HOSTILE, answer
from mutations import fuzz

from planner.model import IcsFile

ROOT = Path(__file__).parent.parent

TOOLS = [
    *("0", "9", "-1", ";", ":", ",", "=", "T", "Z", "P", "\n", "\r\n ", "\x00", "٣"),
    *("FREQ=DAILY", "FREQ=HOURLY", "COUNT=10000", "INTERVAL=1000", "UNTIL=21001231"),
    *("BYDAY=-1FR,MO", "BYWEEKNO=53", "BYYEARDAY=-366", "BYSETPOS=-1", "20270328T023000"),
    *(";RANGE=THISANDFUTURE", ";TZID=Own", ";VALUE=DATE"),
]


def seeds() -> list[str]:
    """Return the files that are mutated: examples, and the small ones of the hostile."""
    files = [*ROOT.glob("tests/data/ics/*.ics"), *ROOT.glob("calendars/*.ics")]
    hostile = (text for text in (make() for make in HOSTILE.values()) if len(text) < 5_000)
    return [*(path.read_bytes().decode() for path in sorted(files)), *hostile]


def asked(text: str) -> str:
    """Ask everything of *text* as a file."""
    return "refused" if answer(IcsFile("fuzz.ics", text)) else "read"


if __name__ == "__main__":
    raise SystemExit(fuzz(__doc__ or "", seeds(), TOOLS, asked))
