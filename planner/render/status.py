"""The status of namespaces as a table and as JSON; the record of boosts as text, JSON and CSV."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from planner.forecast.history import BoostHistory, History, totals
from planner.model import demand_words
from planner.render import format as fmt
from planner.render.plan import painted
from workflows.contract import Capacity, WatchdogReport, format_age, format_duration, format_instant
from workflows.contract.findings import (
    STATES,
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
    above = []
    if pollers and not pollers.count:
        text = no_worker_text(pollers, now)
        text = f"{text[0].upper()}{text[1:]}. `planner worker` starts one."
        above = [painted(line, "!", colours) for line in textwrap.wrap(text, WIDTH)]
    if not above and (stopped := watchdog_text(report, now)):
        above = [painted(f"{stopped[0].upper()}{stopped[1:]}.", "!", colours)]
    if not statuses:
        return "\n".join([*above, NOTHING_YET])
    rows = [HEADINGS, *(_row(one, now) for one in statuses)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [*above, _line(HEADINGS, widths)]
    for one in statuses:
        line = _line(_row(one, now), widths)
        start, end = widths[0] + 2, widths[0] + 2 + len(one.state)
        state = painted(line[start:end], MARKS.get(one.state, "!"), colours)
        lines.append(f"{line[:start]}{state}{line[end:]}")
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


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    pairs = zip(cells, widths, strict=True)
    return "  ".join(cell.ljust(width) for cell, width in pairs).rstrip()


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
    findings: list[str] = []
    for finding in one.findings:
        if finding.state == "no worker":
            continue
        first, *others = finding.text.splitlines() or [""]
        head = first if finding.state == "ok" else f"{finding.state}: {first}"
        mended = [f"`{finding.command}` mends it"] if finding.command else []
        if mended and not others and len(INDENT + head + mended[0]) + 2 <= WIDTH:
            findings.append(f"{head}; {mended[0]}")
        else:
            findings += [head, *others, *mended]
    return [*findings, *boosts, *coming]


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


# The record of boosts ----------------------------------------------------------------------


HISTORY_VERSION = 1
"""The version of the JSON and of the columns: it rises when what is there means something else."""


COLUMNS = (
    *("namespace", "window", "project", "by", "reason", "outcome", "why"),
    *("fires", "start", "end", "tru", "combine", "granted_tru", "capped"),
    *("in_force_from", "in_force_until", "lacking_seconds", "changes_by_others"),
    *("billed_hours", "foreseen_hours", "price", "foreseen_price", "currency", "workers"),
    *("verdict", "usage", "paid_hours", "unused_hours"),
)
"""The columns of the CSV, a row a boost."""


def history_text(history: History, namespace: str = "") -> str:
    """Return *history* as text: what was looked at, each boost, and the hours billed.

    All times are UTC. No line is longer than `WIDTH`.

    Args:
        history: What came of the boosts.
        namespace: The one that was named; empty for all.
    """
    start, end = history.horizon.start, history.horizon.end
    where = f" of {namespace}" if namespace else ""
    count = fmt.counted(len(history.boosts), "boost") if history.boosts else "No boost was found"
    head = f"{count}{where}, {fmt.minute(start)} to {fmt.minute(end)} (UTC)."
    lines = [part for line in (head, *reach_lines(history)) for part in textwrap.wrap(line, WIDTH)]
    lines.append("")
    for boost in history.boosts:
        lines += _boost_lines(boost, history.billed.currency)
    if history.boosts:
        lines += ["", *_totals(history)]
    return "\n".join(line.rstrip() for line in lines).rstrip()


def reach_lines(history: History) -> list[str]:
    """Return in sentences what was looked at, and what can't be known."""
    reach, start = history.reach, history.horizon.start
    looked = (
        f"Looked at {fmt.counted(reach.boosts, 'boost')} and "
        f"{fmt.counted(reach.keepers, 'run')} of keepers that the server lists, and at "
        f"{fmt.counted(reach.histories, 'workflow')} in detail."
    )
    lines = [looked]
    if reach.kept_since is None or reach.retention is None:
        lines.append("The server doesn't say how long it keeps what has ended.")
    elif start < reach.kept_since:
        lines.append(
            f"UNKNOWN before {fmt.minute(reach.kept_since)}: the Temporal namespace keeps what has "
            f"ended for {format_duration(reach.retention)} (its retention), and of earlier boosts "
            "only what a later run of their keeper still bears."
        )
    else:
        kept = format_duration(reach.retention)
        lines.append(f"All of it is within the retention of the Temporal namespace, {kept}.")
    lines += [f"Could not be read: {one}." for one in reach.unread]
    return lines


def _boost_lines(boost: BoostHistory, currency: str) -> list[str]:
    """Return a boost in a few lines: which, when by the calendar, and what was in force."""
    head = f"{boost.begins:%a %Y-%m-%d}  {boost.namespace}/{boost.window}: {_demand(boost)}"
    lines = _folded(f"{head}, {boost.outcome}", "  ")
    if boost.start and boost.end:
        lines.append(f"    calendar  {_span(boost.start, boost.end, boost.begins)}{_by(boost)}")
    else:
        lines.append(f"    fired     {fmt.clock(boost.begins, boost.begins)}{_by(boost)}")
    if boost.since:
        until = fmt.clock(boost.until, boost.begins) if boost.until else "now, or unknown"
        granted = f", {boost.granted}" if boost.granted else ""
        lines.append(f"    in force  {fmt.clock(boost.since, boost.begins)} to {until}{granted}")
    if boost.why:
        lines.append(f"    why       {boost.why}")
    for start, end in boost.lacking:
        lines.append(f"    lacking   {_span(start, end, boost.begins)}")
    for one in boost.changes:
        at = fmt.clock(one.at, boost.begins)
        lines.append(f"    changed   by others to {one.capacity}, {at}")
    hours = f"{boost.billed_hours} h, foreseen {boost.foreseen_hours} h"
    price = f"{fmt.money(boost.price, currency)} alone"
    if boost.tru is not None:
        lines.append(f"    billed    {hours}; {price}")
    if verdict := boost.verdict:
        paid = fmt.counted(verdict.paid_hours, "paid hour")
        unused = f"; {verdict.unused_hours} of {paid} unused" if verdict.paid_hours else ""
        lines.append(f"    usage     {verdict.text}{unused}")
    return [part for line in lines for part in _folded(line, " " * 14)]


def _folded(line: str, indent: str) -> list[str]:
    """Return *line* in lines that keep to `WIDTH`, the later ones with *indent*."""
    if len(line) <= WIDTH and line.isprintable():  # most are, and wrapping takes its time
        return [line]
    return textwrap.wrap(line, WIDTH, subsequent_indent=indent)


def _totals(history: History) -> list[str]:
    """Return the hours and the price of each namespace, all its boosts together."""
    lines = ["Billed beyond the baselines, each calendar hour (UTC) once for a namespace:"]
    hours = totals(history)
    for billed, foreseen in zip(
        history.billed.namespaces, history.foreseen.namespaces, strict=True
    ):
        was, will = hours[billed.namespace]
        price = fmt.money(billed.price, history.billed.currency)
        lines += textwrap.wrap(
            f"  {billed.namespace}: {was} h, foreseen {will} h; at most {price}, foreseen "
            f"{fmt.money(foreseen.price)}",
            WIDTH,
            subsequent_indent="    ",
        )
    prices = history.billed.prices
    lines += textwrap.wrap(
        "Prices are those of idle namespaces: an hour costs nothing extra once its own Actions "
        "reach the minimum. "
        + ("List prices; --calendars takes yours. " if prices.is_assumed else "")
        + "What was billed is in Temporal Cloud's billing report.",
        WIDTH,
    )
    return lines


def history_json(history: History) -> str:
    """Return *history* as JSON, each boost on a line of its own.

    Times are UTC, a ``tru`` of null where nothing is known is left out, and ``"on-demand"`` is
    written out. ``reach`` says what was looked at; ``complete`` is false where the retention
    cuts the time off, or something could not be read.
    """
    reach = history.reach
    is_cut = reach.kept_since is None or history.horizon.start < reach.kept_since
    hours = totals(history)
    document = {
        "format_version": HISTORY_VERSION,
        "from": format_instant(history.horizon.start),
        "to": format_instant(history.horizon.end),
        "reach": {
            "complete": not is_cut and not reach.unread,
            "kept_since": reach.kept_since and format_instant(reach.kept_since),
            "retention_seconds": reach.retention and round(reach.retention.total_seconds()),
            "boosts": reach.boosts,
            "keeper_runs": reach.keepers,
            "histories": reach.histories,
            "unread": list(reach.unread),
        },
        "currency": history.billed.currency,
        "namespaces": [
            {
                "namespace": billed.namespace,
                "billed_hours": hours[billed.namespace][0],
                "foreseen_hours": hours[billed.namespace][1],
                "price": round(billed.price, 2),
                "foreseen_price": round(foreseen.price, 2),
            }
            for billed, foreseen in zip(
                history.billed.namespaces, history.foreseen.namespaces, strict=True
            )
        ],
        "boosts": [_boost_value(boost) for boost in history.boosts],
    }
    return fmt.document_by_lines(document, "boosts")


def history_csv(history: History) -> str:
    """Return the boosts of *history* as CSV with `COLUMNS`; what isn't known is empty."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for boost in history.boosts:
        value = _boost_value(boost)
        lacking = sum((end - start for start, end in boost.lacking), timedelta())
        others = " ".join(f"{one['at']}={one['tru']}" for one in value.pop("changes"))
        value.pop("lacking")
        usage = value.pop("usage") or {}
        value |= {**usage, "usage": usage.get("text")}
        value.pop("text", None)
        value |= {
            "lacking_seconds": round(lacking.total_seconds()),
            "changes_by_others": others,
            "currency": history.billed.currency,
            "workers": " ".join(f"{name}={n}" for name, n in sorted(value["workers"].items())),
        }
        for name, one in value.items():
            # A spreadsheet must not take a person's words for a formula.
            if isinstance(one, str) and one[:1] in ("=", "+", "-", "@"):
                value[name] = f"'{one}"
        writer.writerow(value)
    return out.getvalue()


def _boost_value(boost: BoostHistory) -> dict[str, Any]:
    """Return a boost as the values of its JSON."""
    return {
        "namespace": boost.namespace,
        "window": boost.window,
        "project": boost.project,
        "by": boost.by,
        "reason": boost.reason,
        "outcome": boost.outcome,
        "why": boost.why,
        "fires": _instant(boost.fires),
        "start": _instant(boost.start),
        "end": _instant(boost.end),
        "tru": boost.tru,
        "combine": boost.combine,
        "granted_tru": _capacity(boost.granted),
        "capped": boost.capped,
        "in_force_from": _instant(boost.since),
        "in_force_until": _instant(boost.until),
        "lacking": [[format_instant(start), format_instant(end)] for start, end in boost.lacking],
        "changes": [
            {"at": format_instant(one.at), "tru": _capacity(one.capacity)} for one in boost.changes
        ],
        "billed_hours": boost.billed_hours,
        "foreseen_hours": boost.foreseen_hours,
        "price": round(boost.price, 2),
        "foreseen_price": round(boost.foreseen_price, 2),
        "workers": dict(boost.workers),
        "usage": boost.verdict
        and {
            "verdict": boost.verdict.outcome,
            "text": boost.verdict.text,
            "paid_hours": boost.verdict.paid_hours,
            "unused_hours": boost.verdict.unused_hours,
        },
    }


def _instant(instant: datetime | None) -> str | None:
    return format_instant(instant) if instant else None


def _capacity(capacity: Capacity | None) -> float | int | str | None:
    if capacity is None:
        return None
    return fmt.number(capacity.tru) if capacity.tru is not None else str(capacity)


def _demand(boost: BoostHistory) -> str:
    if boost.tru is None:
        return "capacity unknown"
    return demand_words(boost.tru, boost.workers, boost.combine)


def _by(boost: BoostHistory) -> str:
    """Return who requested *boost*."""
    if boost.by == "schedule":
        return f", of project {boost.project}" if boost.project else ", by its calendar"
    if not boost.by:
        return ""
    return f", by {boost.by}" + (f" ({boost.reason})" if boost.reason else "")


def _span(start: datetime, end: datetime, of: datetime) -> str:
    return f"{fmt.clock(start, of)} to {fmt.clock(end, of)}"
