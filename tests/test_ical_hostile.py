"""Hostile iCalendar files: whatever a text says, an answer is quick, small, and no traceback."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ical_helpers import EXAMPLES, WHEN
from ical_hostile import HOSTILE, QUESTIONS, answer

from planner.model import IcsFile

SECONDS = 5
MEGABYTES = 500
"""What a question may cost, in processor time and with all of Python."""

ASK = Path(__file__).parent / "ical_hostile.py"


Cost = Callable[[str, str], dict[str, Any]]


@pytest.fixture(scope="module")
def cost() -> Iterator[Cost]:
    """Return what a question about a hostile file costs in a process of its own.

    A busy machine may be slow twice: of up to three times the least counts. All are forked from
    one that has imported what they need.
    """

    def least(question: str, name: str) -> dict[str, Any]:
        tries = []
        while not tries or (len(tries) < 3 and tries[-1]["seconds"] >= SECONDS):
            print(json.dumps([question, name]), file=asking.stdin, flush=True)
            assert asking.stdout
            found = json.loads(asking.stdout.readline())
            assert "died" not in found, found
            tries.append(found)
        return min(tries, key=lambda each: each["seconds"])

    command = [sys.executable, str(ASK)]
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(command, stdin=PIPE, stdout=PIPE, stderr=errors, text=True) as asking,
    ):
        yield least
        asking.communicate(timeout=60)
        errors.seek(0)
        assert (asking.returncode, errors.read()) == (0, "")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_answered_in_time_and_memory(name: str, cost: Cost) -> None:
    """Each question is answered within 5 s and 500 MB, or refused in short sentences."""
    found = cost("check", name)
    # A file with problems is refused by every question alike, by what `check` found.
    others = [] if found["problems"] else [each for each in QUESTIONS if each != "check"]
    for each in [found, *(cost(question, name) for question in others)]:
        assert each["seconds"] < SECONDS
        assert each["megabytes"] < MEGABYTES
        assert all(len(message) < 300 for message in each["problems"])


TOKENS = st.sampled_from(
    [
        "BEGIN:VCALENDAR",
        "END:VCALENDAR",
        "BEGIN:VEVENT",
        "END:VEVENT",
        "BEGIN:VTIMEZONE",
        "END:VTIMEZONE",
        "BEGIN:STANDARD",
        "END:STANDARD",
        "TZID:Own",
        "TZOFFSETFROM:+0100",
        "TZOFFSETTO:-0330",
        "UID:a",
        "UID:b",
        "DTSTART:20270105T090000Z",
        "DTSTART;TZID=Own:20270328T020000",
        "DTSTART;VALUE=DATE:20270105",
        "DTEND:20270105T100000Z",
        "DURATION:PT1H",
        "DURATION:P1D",
        "RRULE:FREQ=DAILY;COUNT=5",
        "RRULE:FREQ=WEEKLY",
        "RRULE:FREQ=HOURLY;UNTIL=20270106",
        "EXDATE:20270106T090000Z",
        "RDATE;VALUE=PERIOD:20270107T090000Z/PT2H",
        "STATUS:CANCELLED",
        "SEQUENCE:1",
        "X-WR-TIMEZONE:UTC",
        "RECURRENCE-ID;RANGE=THISANDFUTURE:20270106T090000Z",
        ";",
        ":",
        ",",
        "=",
        '"',
        "\\",
        "٣",
        *(" ", "\t", "\x00", "\ufeff", "\r", "\x85", "\u2028"),
    ]
)
"""Pieces of iCalendar, and what may stand between them."""


@settings(max_examples=4 * EXAMPLES, deadline=None)
@given(st.one_of(st.text(max_size=200), st.lists(TOKENS, max_size=40).map("\n".join)))
@example("BEGIN:VCALENDAR\n" * 12)
def test_any_text_is_answered(text: str) -> None:
    """No text makes reading raise anything but problems, and what has none can be expanded."""
    answer(IcsFile("any.ics", text))
    answer(
        IcsFile(
            "any.ics",
            "\n".join(
                [
                    "BEGIN:VCALENDAR",
                    "BEGIN:VEVENT",
                    WHEN.replace(" ", "\n"),
                    text,
                    "END:VEVENT",
                    "END:VCALENDAR",
                ]
            ),
        )
    )
