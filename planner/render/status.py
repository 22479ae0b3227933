"""The status of namespaces as a table and as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from planner.model import demand_words
from planner.render.plan import painted
from workflows.contract import Capacity, WatchdogReport, format_age, format_instant
from workflows.contract.findings import (
    STATES,
    Finding,
    NamespaceState,
    NamespaceStatus,
    Pollers,
    no_worker_text,
    watchdog_text,
)
from workflows.contract.follow import (
    FollowRecord,
    follow_headline,
    follow_problems,
    follow_state,
)

HEADINGS = ("NAMESPACE", "STATE", "IN FORCE", "SEEN", "BASELINE")

WIDTH = 80
"""Columns that every line keeps to, unless a single word is longer."""

NAME_WIDTH = WIDTH - len("  uncovered  on-demand  999d  on-demand")
"""Columns of the longest name that a table still has room for; longer ones are cut."""

INDENT = "    "

NOTHING_YET = "No namespace yet: `planner sync` makes the schedules of your calendars."

MARKS: dict[NamespaceState, str] = {"ok": "+", "raising": "~", "reverting": "~"}
"""The signs whose colours the states are painted in; every other state is painted as refused."""


def status_json(
    statuses: Sequence[NamespaceStatus],
    pollers: Pollers | None = None,
    report: WatchdogReport | None = None,
) -> dict[str, Any]:
    """Return *statuses* as the values of their JSON, with the workers and the watchdog."""
    workers = pollers and {
        "polling": pollers.count,
        "last_seen": pollers.seen and format_instant(pollers.seen),
    }
    watchdog = report and {
        "last_round": format_instant(report.at),
        "interval_seconds": report.interval,
        "problems": list(report.problems),
    }
    return {
        "workers": workers,
        "watchdog": watchdog,
        "namespaces": [_status_value(one) for one in statuses],
    }


def status_text(
    statuses: Sequence[NamespaceStatus],
    now: datetime,
    pollers: Pollers | None = None,
    report: WatchdogReport | None = None,
    *,
    colours: bool = False,
) -> str:
    """Return *statuses* as a table; below each line stand findings, boosts and what is next.

    No line is longer than `WIDTH`. That no worker runs, or that the watchdog has stopped, is
    said once, above the table.

    Args:
        statuses: The namespaces, in the order to show them.
        now: The time that ages are counted to.
        pollers: The workers of the task queue.
        report: The latest report of the watchdog.
        colours: Whether to paint the states.
    """
    above = _of_workers(pollers, now, colours) if pollers else []
    if not above and (stopped := watchdog_text(report, now)):
        above = [painted(f"{stopped[0].upper()}{stopped[1:]}.", "!", colours)]
    if not statuses:
        return "\n".join([*above, NOTHING_YET])
    rows = [HEADINGS, *(_row(one, now) for one in statuses)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [*above, _line(HEADINGS, widths)]
    for one in statuses:
        line = _line(_row(one, now), widths)
        lines.append(_painted_state(line, one, widths[0]) if colours else line)
        lines += [wrapped for text in _texts(one) for wrapped in _wrapped(text)]
    return "\n".join(lines)


def followed_text(
    followed: Iterable[tuple[FollowRecord, str | None]], now: datetime, *, colours: bool = False
) -> str:
    """Return what is followed: which commit runs since when, and what is wrong below it.

    Args:
        followed: The records, each with the commit of its project's latest sync.
        now: The time that ages are counted to.
        colours: Whether to paint what is wrong.
    """
    lines = []
    for record, last_commit in followed:
        lines += textwrap.wrap(f"{follow_headline(record, last_commit)}.", WIDTH)
        for problem in follow_problems(record, now):
            words = problem.splitlines()
            wrapped = [line for text in words for line in _wrapped(text)]
            lines += [painted(line, "!", colours) for line in wrapped]
    return "\n".join(lines)


def followed_json(
    followed: Iterable[tuple[FollowRecord, str | None]], now: datetime
) -> list[dict[str, Any]]:
    """Return what is followed as the values of its JSON."""
    return [
        {
            "source": record.source,
            "ref": record.ref,
            "project": record.project,
            "state": follow_state(record, now),
            "last_look": record.at and format_instant(record.at),
            "newest": record.head,
            "running": record.applied,
            "running_since": record.applied_at and format_instant(record.applied_at),
            "last_synced": last_commit,
            "refused": record.refused,
            "refused_since": record.refused_since and format_instant(record.refused_since),
            "fault": record.fault,
            "fault_since": record.fault_since and format_instant(record.fault_since),
            "ended": record.ended and format_instant(record.ended),
        }
        for record, last_commit in followed
    ]


def watched(text: str, title: str, height: int) -> str:
    """Return *text* below a *title*, cut to a terminal of so many lines: its head stays.

    The last line says how many there was no room for.
    """
    lines = [*textwrap.wrap(title, WIDTH), *text.splitlines()]
    room = max(height - 1, len(HEADINGS))
    if len(lines) <= room:
        return "\n".join(lines)
    return "\n".join([*lines[: room - 1], f"… {len(lines) - room + 1} lines more"])


def by_urgency(statuses: Sequence[NamespaceStatus]) -> list[NamespaceStatus]:
    """Return *statuses* with the most urgent first, and by name among equals."""
    return sorted(statuses, key=lambda one: (-STATES.index(one.state), one.namespace))


def _of_workers(pollers: Pollers, now: datetime, colours: bool) -> list[str]:
    """Return the line that says that no worker runs, if so."""
    if pollers.count:
        return []
    text = no_worker_text(pollers, now)
    lines = textwrap.wrap(f"{text[0].upper()}{text[1:]}. `planner worker` starts one.", WIDTH)
    return [painted(line, "!", colours) for line in lines]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    pairs = zip(cells, widths, strict=True)
    return "  ".join(cell.ljust(width) for cell, width in pairs).rstrip()


def _painted_state(line: str, one: NamespaceStatus, name_width: int) -> str:
    """Return *line* with its state in colour."""
    start = name_width + 2
    end = start + len(one.state)
    state = painted(line[start:end], MARKS.get(one.state, "!"), True)
    return f"{line[:start]}{state}{line[end:]}"


def _row(one: NamespaceStatus, now: datetime) -> tuple[str, ...]:
    name = one.namespace
    return (
        name if len(name) <= NAME_WIDTH else f"{name[: NAME_WIDTH - 1]}…",
        one.state,
        str(one.capacity or "-"),
        format_age(now - one.observed_at) if one.observed_at else "-",
        str(one.baseline or "-"),
    )


def _texts(one: NamespaceStatus) -> list[str]:
    """Return what stands below the line of a namespace: findings, boosts, the next window."""
    boosts = [
        f"{lease.window}: {demand_words(lease.tru, lease.workers, lease.combine)} until "
        f"{_minute(lease.until)}"
        for lease in one.leases
    ]
    following = one.next_window
    taken_out = {(lease.window, lease.start) for lease in one.skipped}
    coming = (
        [
            f"next: {following.window} {demand_words(following.tru, following.workers)} "
            f"{_minute(following.start)}"
        ]
        if following and (following.window, following.start) not in taken_out
        else []
    )
    coming += [
        f"skipped: {lease.window} {demand_words(lease.tru, lease.workers)} "
        f"{_minute(lease.start)}, by {lease.by}"
        f"{f': {lease.reason}' if lease.reason else ''}"
        for lease in one.skipped
    ]
    findings = [
        text
        for finding in one.findings
        if finding.state != "no worker"
        for text in _finding_texts(finding)
    ]
    return [*findings, *boosts, *coming]


def _finding_texts(finding: Finding) -> list[str]:
    """Return a finding as lines: the state that it makes, what is so, and what mends it."""
    first, *others = finding.text.splitlines() or [""]
    head = first if finding.state == "ok" else f"{finding.state}: {first}"
    mended = [f"`{finding.command}` mends it"] if finding.command else []
    if mended and not others and len(INDENT + head + mended[0]) + 2 <= WIDTH:
        return [f"{head}; {mended[0]}"]
    return [head, *others, *mended]


def _wrapped(text: str) -> list[str]:
    """Return *text* in lines of at most `WIDTH`; words longer than that aren't broken."""
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=INDENT,
        subsequent_indent=f"{INDENT}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _minute(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%MZ}"


def _status_value(one: NamespaceStatus) -> dict[str, Any]:
    capacity, following = one.capacity, one.next_window
    return {
        "namespace": one.namespace,
        "mode": capacity and ("on-demand" if capacity.tru is None else "provisioned"),
        "tru": None if capacity is None else capacity.tru,
        "observed_at": one.observed_at and format_instant(one.observed_at),
        "baseline": _baseline_value(one.baseline),
        "leases": [
            {
                "window": lease.window,
                "tru": lease.tru,
                "workers": dict(lease.workers),
                "until": format_instant(lease.until),
                "by": lease.by,
            }
            for lease in one.leases
        ],
        "skipped": [
            {
                "window": lease.window,
                "tru": lease.tru,
                "workers": dict(lease.workers),
                "start": format_instant(lease.start),
                "by": lease.by,
            }
            for lease in one.skipped
        ],
        "next": None
        if following is None
        else {
            "window": following.window,
            "start": format_instant(following.start),
            "tru": following.tru,
            "workers": dict(following.workers),
        },
        "state": one.state,
        "details": one.details,
        "findings": [
            {
                "state": finding.state,
                "alarming": finding.is_alarming,
                "text": finding.text,
                "command": finding.command,
            }
            for finding in one.findings
        ],
    }


def _baseline_value(baseline: Capacity | None) -> str | dict[str, float] | None:
    """Return *baseline* as calendar files declare it; None while it isn't known."""
    if baseline is None:
        return None
    return "on-demand" if baseline.tru is None else {"tru": baseline.tru}
