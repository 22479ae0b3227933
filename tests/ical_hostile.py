"""Files that are meant to hurt, and what it costs to ask one question about one of them.

``echo '["check", "a million EXDATEs"]' | python tests/ical_hostile.py`` asks in a process of its
own, so that time and memory are those of that question alone, and prints them as JSON.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar

from ical_helpers import BERLIN, FIXED, WHEN, YEARS, calendar, event, ics, zone_of

from planner.errors import InputError, Problem
from planner.model import Horizon, IcalMatch, IcsFile, IcsUse
from planner.recurrence.ical import check, days, expand, spans
from planner.recurrence.ical.syntax import MAX_EVENTS, MAX_LINE, MAX_TEXT, MAX_ZONES

Answer = TypeVar("Answer")


def many(lines: str, count: int = MAX_EVENTS) -> str:
    """Return a file of *count* events of *lines*."""
    return calendar(*[event(lines, uid=str(number)) for number in range(count)]).text


def noise(size: int) -> str:
    """Return what a binary file looks like, as a VCALENDAR."""
    source = random.Random(7)
    return "BEGIN:VCALENDAR\n" + "".join(chr(source.randrange(256)) for _ in range(size))


HOSTILE = {
    "every second for ever": lambda: ics(f"{WHEN} RRULE:FREQ=SECONDLY").text,
    "every minute, many times over": lambda: many(
        "DTSTART:20000101T000000Z DURATION:PT1M RRULE:FREQ=MINUTELY;COUNT=10000"
    ),
    "every minute of a day that never comes": lambda: many(
        f"{WHEN} RRULE:FREQ=MINUTELY;COUNT=9;BYMONTH=2;BYMONTHDAY=30"
    ),
    "a million EXDATEs": lambda: (
        ics(f"{WHEN} RRULE:FREQ=DAILY EXDATE:" + "20270106T090000Z," * 1_000_000).text
    ),
    "as many EXDATEs as a file holds": lambda: (
        ics(f"{WHEN} RRULE:FREQ=DAILY " + " ".join(["EXDATE:20280106T090000Z"] * 40_000)).text
    ),
    "the EXDATEs allowed, in many events": lambda: many(
        f"{WHEN} RRULE:FREQ=YEARLY;COUNT=10000 EXDATE:" + ",".join(["20900106T090000Z"] * 1000), 60
    ),
    "as many RDATEs as EXDATEs": lambda: many(
        f"{WHEN} RDATE:{','.join(['20270106T090000Z'] * 1000)} "
        f"EXDATE:{','.join(['20900106T090000Z'] * 1000)}",
        30,
    ),
    "COUNT=10^9": lambda: ics(f"{WHEN} RRULE:FREQ=DAILY;COUNT=1000000000").text,
    "50 MB": lambda: "BEGIN:VCALENDAR\n" + "X-A:b\n" * 8_000_000,
    "a megabyte of events": lambda: many(WHEN, 9_000),
    "a megabyte of line ends": lambda: "BEGIN:VCALENDAR" + "\n" * (MAX_TEXT - 20),
    "a megabyte of folds": lambda: "BEGIN:VCALENDAR" + "\n " * (MAX_TEXT // 2 - 20),
    "a megabyte of begins": lambda: "BEGIN:VCALENDAR\n" + "BEGIN:A\n" * (MAX_TEXT // 8 - 20),
    "a megabyte of parameters": lambda: (
        "BEGIN:VCALENDAR\nUID" + ";A=B" * (MAX_LINE // 4 - 5) + "\n"
    ),
    "a megabyte of quotes": lambda: "BEGIN:VCALENDAR\nUID;A=" + '","' * (MAX_LINE // 3 - 5) + "\n",
    "a megabyte of commas": lambda: "BEGIN:VCALENDAR\nUID;A=" + "," * (MAX_LINE - 20) + "\n",
    "noise": lambda: noise(1_000_000),
    "a zone that is a path": lambda: (
        ics("DTSTART;TZID=../../../../dev/zero:20270105T090000 DURATION:PT1H").text
    ),
    "an unknown zone in every event": lambda: (
        calendar(
            *[
                event(f"DTSTART;TZID=Zone/{n}:20270105T090000 DURATION:PT1H", uid=str(n))
                for n in range(2000)
            ]
        ).text
    ),
    "days that never come, from 1990 on": lambda: many(
        "DTSTART:19900101T000000Z DURATION:PT1M RRULE:FREQ=DAILY;BYMONTH=2"
        ";BYMONTHDAY=30 EXDATE:19900101T000000Z"
    ),
    "counted from 1990 on": lambda: many(
        "DTSTART:19900101T000000Z DURATION:PT1M RRULE:FREQ=DAILY;INTERVAL=2;COUNT=10000"
    ),
    "weekly, 2,000 times over": lambda: many(
        "DTSTART:20200101T000000Z DURATION:PT1M RRULE:FREQ=WEEKLY"
    ),
    "five minutes apart": lambda: many(
        "DTSTART:20200101T000000Z DURATION:PT1M RRULE:FREQ=DAILY;BYHOUR="
        + ",".join(map(str, range(24)))
    ),
    "a start not in its rule, in every event": lambda: many(
        f"{WHEN} RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"
    ),
    "1,500 changes of one series": lambda: (
        calendar(
            event("DTSTART:20200101T000000Z DURATION:PT1M RRULE:FREQ=DAILY"),
            *[
                event(
                    "RECURRENCE-ID;RANGE=THISANDFUTURE:"
                    f"{datetime(2027, 1, 1) + timedelta(hours=n):%Y%m%dT%H%M%SZ} {WHEN}"
                )
                for n in range(1500)
            ],
        ).text
    ),
    "zones whose clocks change each day": lambda: (
        calendar(
            *[
                zone_of(
                    f"Z{n}", FIXED.replace("END", "RRULE:FREQ=DAILY;BYHOUR=1,2,3,4,5,6,7,8,9 END")
                )
                for n in range(MAX_ZONES)
            ],
            *[
                event(f"DTSTART;TZID=Z{n}:20270105T090000 DURATION:PT1H", uid=str(n))
                for n in range(MAX_ZONES)
            ],
        ).text
    ),
}


QUESTIONS = {
    "check": check,
    "expand": lambda file: expand(file, IcalMatch(), "UTC", YEARS),
    "days": lambda file: days(file, "UTC", date(2026, 1, 1), date(2028, 12, 31)),
    "spans": lambda file: spans(file, "UTC", YEARS),
}


def answer(file: IcsFile) -> list[Problem]:
    """Ask everything of *file*, and return its problems as a window's; no other may refuse.

    A freeze, holidays and a window with a length of its own are refused no more often.
    """
    horizon = Horizon(datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC))
    match = IcalMatch(transparent=True)
    found = asked(file, IcsUse(timezone=BERLIN), lambda: expand(file, match, BERLIN, horizon))
    assert all(one.start < one.end and one.start in horizon for one in found)
    asked(
        file,
        IcsUse(has_length=True, timezone=BERLIN),
        lambda: expand(file, match, BERLIN, horizon, has_length=True),
    )
    frozen = asked(file, IcsUse("skip", timezone=BERLIN), lambda: spans(file, BERLIN, horizon))
    assert all(start < end for start, end, _ in frozen)
    first, last = date(2027, 1, 1), date(2027, 12, 31)
    asked(
        file,
        IcsUse("holidays", timezone=BERLIN),
        lambda: [*days(file, BERLIN, first, last).items()],
    )
    return check(file)[0]


def asked(file: IcsFile, use: IcsUse, question: Callable[[], list[Answer]]) -> list[Answer]:
    """Return the answer to *question*, which is refused where the *use* has problems."""
    problems, _ = check(file, use)
    closed = any("DEFAULT_CLOSED" in problem.message for problem in problems)
    assert closed or not problems or check(file)[0], "refused more often than a window"
    try:
        found = question()
    except InputError:
        assert problems
        return []
    assert not problems
    return found


def main() -> None:
    """Read a question and a file's name from each line, and print what it costs in a line."""
    for line in sys.stdin:
        question, name = json.loads(line)
        child = os.fork()
        if not child:
            ask(question, name)
            sys.stdout.flush()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status:
            print(json.dumps({"died": os.waitstatus_to_exitcode(status)}), flush=True)


def ask(question: str, name: str) -> None:
    """Ask one question about a file; print processor seconds, megabytes and problems."""
    signal.alarm(60)
    file = IcsFile("bad.ics", HOSTILE[name]())
    began = time.process_time()
    try:
        answered = QUESTIONS[question](file)
        problems = answered[0] if question == "check" else []
    except InputError as error:
        problems = error.problems
    seconds = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    megabytes = peak / (1024 * 1024 if sys.platform == "darwin" else 1024)
    messages = [problem.message for problem in problems]
    print(json.dumps({"seconds": seconds, "megabytes": megabytes, "problems": messages}))


if __name__ == "__main__":
    main()
