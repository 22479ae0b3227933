"""What looking ahead costs: a plan's impact, and previews near their limits.

    python benchmarks/foresight.py [--windows 1000] [--each 10] [--days 365] [--only impact]

Windows are spread over namespaces, so many *each*, and run by a mix of patterns: business
days, nights, month ends, every six hours. Processor time is what is printed: it says the
same on a machine that others use, too. Each part runs in a process of its own, so that
peak memory is its own, too.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from planner.cli.request import impact_of
from planner.forecast.preview import preview
from planner.model import Cron, Duration, Holidays, Horizon, NamespaceCalendar, Project, Window
from planner.occurrences.expand import expand_all
from planner.plan.diff import diff
from planner.plan.model import DesiredState, LiveSchedule
from planner.render.preview import preview_text
from planner.render.preview_data import preview_ics, preview_json
from planner.render.preview_html import preview_html, preview_svg
from planner.schedules.compile import compile_project
from planner.schedules.spec import Schedule, read_stamp, stamped

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
CHANGED = 10
"""Windows that a small pull request changes."""

CRONS = ("0 9 * * 1-5", "30 22 * * *", "0 18 L * *", "15 */6 * * *", "0 5 1,15 * *")
ZONES = ("UTC", "America/New_York", "Europe/Berlin")


def window(namespace: str, number: int) -> Window:
    """Return window *number* of the mix."""
    return Window(
        namespace=namespace,
        name=f"window-{number:04}",
        recurrence=Cron((CRONS[number % len(CRONS)],)),
        length=Duration(timedelta(minutes=90 + number % 7 * 15)),
        tru=(4, 8, 2)[number % 3],
        asked="so many TRU",
        timezone=ZONES[number % len(ZONES)],
        combine="add" if number % 20 == 7 else "max",
        roll="previous" if number % 5 == 4 else "none",
        holidays=Holidays(regions=("US",)),
    )


def project(windows: int, each: int) -> Project:
    """Return a project of so many windows, *each* in a namespace."""
    calendars = []
    for first in range(0, windows, each):
        namespace = f"team-{first // each:04}.a1b2c"
        mine = tuple(window(namespace, n) for n in range(first, min(first + each, windows)))
        calendars.append(
            NamespaceCalendar(namespace=namespace, timezone="America/New_York", windows=mine)
        )
    return Project(name="benchmark", namespaces=tuple(calendars))


def cpu() -> float:
    """Return the processor time that this process has used, in seconds."""
    used = os.times()
    return used.user + used.system


def lived(schedule: Schedule, was_another: bool) -> LiveSchedule:
    """Return *schedule* as the server has it, or what it was before a change of its TRU."""
    if was_another:
        schedule = stamped(replace(schedule, request=replace(schedule.request, tru=12)))
    return LiveSchedule(
        id=schedule.id,
        project=schedule.project,
        stamp=read_stamp(schedule.calendars[0].comment),
        note=schedule.note,
        upcoming=(NOW + timedelta(hours=1),),
        schedule=schedule,
    )


def impact(windows: int, each: int, days: int, *, changed: int) -> dict[str, Any]:
    """Measure the impact of a plan that creates all windows but those left as they are."""
    found = project(windows, each)
    schedules = compile_project(found, NOW.date())
    wanted = DesiredState(project=found.name, schedules=schedules, policy="sync", follow=False)
    live = {s.id: lived(s, n < changed) for n, s in enumerate(schedules) if changed < windows}
    plan = diff(wanted, live, NOW)
    began = cpu()
    sections = impact_of(plan, schedules, found.prices, NOW, brief=False)
    return {"seconds": cpu() - began, "lines": sum(len(section.lines) for section in sections)}


FORMATS: dict[str, Callable[..., str]] = {
    "text": preview_text,
    "json": lambda shown, now: preview_json(shown),
    "svg": lambda shown, now: preview_svg(shown),
    "html": preview_html,
    "ics": lambda shown, now: preview_ics(shown),
}


def previewed(windows: int, each: int, days: int) -> dict[str, Any]:
    """Gather a preview of so many days and print it in every format."""
    found = project(windows, each)
    span = Horizon(NOW.replace(hour=0), NOW.replace(hour=0) + timedelta(days=days))
    began = cpu()
    runs = len(expand_all(found.windows, span))
    expanded = cpu()
    shown = preview(found, span, span)
    result: dict[str, Any] = {
        "runs": runs,
        "expand": expanded - began,
        "gather and bill": cpu() - expanded,
    }
    for name, render in FORMATS.items():
        began = cpu()
        render(shown, NOW)
        result[name] = cpu() - began
    return result


PARTS: dict[str, Callable[[int, int, int], dict[str, Any]]] = {
    "impact, all new": lambda w, e, d: impact(w, e, d, changed=w),
    f"impact, {CHANGED} changed": lambda w, e, d: impact(w, e, d, changed=CHANGED),
    "preview": previewed,
}


def measured(part: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run one part in a process of its own."""
    words = [sys.executable, __file__, "--part", part]
    for name in ("windows", "each", "days"):
        words += [f"--{name}", str(getattr(options, name))]
    found: dict[str, Any] = json.loads(
        subprocess.run(words, check=True, capture_output=True).stdout
    )
    return found


def main() -> None:
    """Print a line for each part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=1000)
    parser.add_argument("--each", type=int, default=10)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--only", default="")
    parser.add_argument("--part")
    options = parser.parse_args()
    if options.part:
        found = PARTS[options.part](options.windows, options.each, options.days)
        found["MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(json.dumps(found))
        return
    print(f"{options.windows:,} windows, {options.each} in a namespace, {options.days} days")
    for part in PARTS:
        if options.only in part:
            found = measured(part, options)
            shown = (
                f"{k} {v:,.2f} s" if isinstance(v, float) else f"{k} {v:,}"
                for k, v in found.items()
            )
            print(f"  {part:22} {', '.join(shown)}")


if __name__ == "__main__":
    main()
