"""Expand and compile many windows, beside the plain loop over croniter and rie.

    python benchmarks/expand_compile.py [--windows 10000] [--days 400] [--patterns 200]

The plain loop is what one writes first: croniter on naive times, zoneinfo for the
instants, recurring-ical-events for ``.ics`` files; a window after the other. It doesn't
compile anything. Being slow, it runs for ``--plain`` of the windows, and its figure is
given for all of them at that rate. Each part runs in a process of its own, so that peak
memory is its own, too.

Two mixes: windows that share patterns, as those of many namespaces do, and windows that
each have their own (fewer of them, likewise at their rate). What is compared is CPU time:
it says the same on a machine that others use, too.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from planner.model import Cron, Duration, Horizon, Ical, IcsFile, Rrule, Window

TODAY = date(2026, 11, 21)
START = datetime(2027, 1, 1, tzinfo=UTC)
GOAL_SECONDS = 5.0
GOAL_RATIO = 10.0

ZONES = (
    "America/New_York",
    "Europe/Berlin",
    "Asia/Kolkata",
    "UTC",
    "Australia/Sydney",
    "America/Sao_Paulo",
)
DAYS = ("* * *", "* * 1-5", "L * *", "1,15 * *", "* * 5#3", "*/10 * *", "* 3,6,9,12 1")
RULES = ("FREQ=WEEKLY;BYDAY=MO,WE,FR", "FREQ=MONTHLY;BYMONTHDAY=-1", "FREQ=DAILY;INTERVAL=3")
ICS = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//benchmark//EN
BEGIN:VEVENT
UID:event@example.com
DTSTAMP:20260101T000000Z
DTSTART;TZID={zone}:{start:%Y%m%dT%H%M%S}
DURATION:PT2H
RRULE:{rule}
SUMMARY:event
END:VEVENT
END:VCALENDAR
"""


# The mix ------------------------------------------------------------------------------


def pattern(number: int) -> Window:
    """Return the window of pattern *number*: one in ten is an iCalendar file."""
    zone = ZONES[number % len(ZONES)]
    minute, hour = number * 7 % 60, number * 11 // 60 % 24
    if number % 10 == 9:
        rule = RULES[number // 10 % len(RULES)]
        start = datetime(2026, 1, 31 if "-1" in rule else 5, hour, minute)
        text = ICS.format(zone=zone, start=start, rule=rule)
        recurrence: Cron | Rrule | Ical = Ical(IcsFile("events.ics", text))
    else:
        hours = f"{hour}" if number % 5 else "9-17/2"
        recurrence = Cron((f"{minute} {hours} {DAYS[number // 5 % len(DAYS)]}",))
    return Window(
        namespace="",
        name="",
        recurrence=recurrence,
        tru=8,
        asked="8 TRU",
        timezone=zone,
        length=Duration(timedelta(hours=2)),
    )


def mix(count: int, patterns: int) -> Iterator[Window]:
    """Yield *count* windows that share so many patterns, each for a namespace of its own."""
    found = [pattern(number) for number in range(patterns)]
    for number in range(count):
        yield replace(found[number % patterns], namespace=f"n{number}.a1", name=f"w{number}")


# The two ways -------------------------------------------------------------------------


def ours(windows: list[Window], horizon: Horizon) -> tuple[int, int]:
    """Expand and compile; return how many occurrences and calendars that made."""
    from planner.occurrences.expand import expand
    from planner.schedules.compile import compile_window
    from planner.schedules.spec import stamped

    occurrences = calendars = 0
    for window in windows:
        occurrences += len(expand(window, horizon))
        schedule = compile_window(window, "benchmark", TODAY)
        if schedule:
            calendars += len(stamped(schedule).calendars)
    return occurrences, calendars


def plain(windows: list[Window], horizon: Horizon) -> tuple[int, int]:
    """Do what one writes first; return how many occurrences that made."""
    import icalendar
    import recurring_ical_events
    from croniter import croniter

    occurrences = []
    for window in windows:
        tz = ZoneInfo(window.timezone)
        if isinstance(window.recurrence, Ical):
            calendar = icalendar.Calendar.from_ical(window.recurrence.file.text)
            found = recurring_ical_events.of(calendar).between(horizon.start, horizon.end)
            occurrences += [
                (each.start.astimezone(UTC), each.end.astimezone(UTC)) for each in found
            ]
            continue
        first = horizon.start.astimezone(tz).replace(tzinfo=None) - timedelta(seconds=1)
        walls = croniter(window.recurrence.expressions[0], first)
        while True:
            start = walls.get_next(datetime).replace(tzinfo=tz).astimezone(UTC)
            if start >= horizon.end:
                break
            occurrences.append((start, start + window.length.elapsed))
    return len(occurrences), 0


PARTS: dict[str, Callable[[list[Window], Horizon], tuple[int, int]]] = {
    "ours": ours,
    "plain": plain,
}


# Measuring ----------------------------------------------------------------------------


def measure(part: str, count: int, patterns: int, days: int) -> None:
    """Run one part here, and print what it took as JSON."""
    windows = list(mix(count, patterns))
    PARTS[part](windows[:1], Horizon(START, START + timedelta(days=1)))  # imports aren't counted
    began, used = time.perf_counter(), time.process_time()
    occurrences, calendars = PARTS[part](windows, Horizon(START, START + timedelta(days=days)))
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([seconds, cpu, occurrences, calendars, peak]))


def measured(part: str, count: int, patterns: int, days: int) -> list[float]:
    """Run one part in a process of its own and return what it printed."""
    arguments = ["--part", part, "--windows", count, "--patterns", patterns, "--days", days]
    command = [sys.executable, __file__, *map(str, arguments)]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    return list(json.loads(found.stdout.splitlines()[-1]))


def compare(
    title: str, options: argparse.Namespace, count: int, patterns: int
) -> tuple[float, float]:
    """Print both ways side by side; return our CPU time for all windows, and the ratio."""
    total = options.windows
    print(f"\n{title}")
    heads = f"{'seconds':>9} {'CPU s':>9} {'for all':>9}"
    print(f"  {'':6} {'windows':>8} {heads} {'occurrences':>12} {'peak MiB':>9}")
    seconds = {}
    for part, windows in (("ours", count), ("plain", min(options.plain, count))):
        took, cpu, occurrences, calendars, peak = measured(part, windows, patterns, options.days)
        seconds[part] = cpu * total / windows
        made = f"  {calendars:,} calendars" if calendars else ""
        times = f"{took:9.2f} {cpu:9.2f} {seconds[part]:9.2f}"
        print(f"  {part:6} {windows:8,} {times} {occurrences:12,} {peak:9.0f}{made}")
    ratio = seconds["plain"] / seconds["ours"]
    print(f"  {ratio:.1f} times the plain loop")
    return seconds["ours"], ratio


def main() -> None:
    """Read the options, measure, and print whether the goals are met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--windows", type=int, default=10_000)
    parser.add_argument("--days", type=int, default=400)
    parser.add_argument("--patterns", type=int, default=200, help="patterns that windows share")
    parser.add_argument("--plain", type=int, default=400, help="windows for the plain loop")
    parser.add_argument("--own", type=int, default=1_000, help="windows with patterns of their own")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        measure(options.part, options.windows, options.patterns, options.days)
        return
    print(f"{options.windows:,} windows × {options.days} days")
    shared = f"{options.windows:,} windows that share {options.patterns} patterns"
    seconds, ratio = compare(shared, options, options.windows, options.patterns)
    compare(f"{options.own:,} windows, each its own pattern", options, options.own, options.own)
    met = seconds <= GOAL_SECONDS and ratio >= GOAL_RATIO
    print(
        f"\nGoal for windows that share patterns: at most {GOAL_SECONDS:g} s and at least "
        f"{GOAL_RATIO:g} times the plain loop: {'met' if met else 'NOT met'}"
    )


if __name__ == "__main__":
    main()
