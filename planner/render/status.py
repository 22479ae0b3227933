"""The status of namespaces as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from planner.model import NamespaceStatus
from workflows.contract import Capacity, format_instant

HEADINGS = ("NAMESPACE", "STATE", "IN FORCE", "BASELINE", "BOOSTS", "NEXT")


def status_json(statuses: Sequence[NamespaceStatus]) -> dict[str, Any]:
    """Return *statuses* as the values of their JSON."""
    return {"namespaces": [_status_value(one) for one in statuses]}


def status_text(statuses: Sequence[NamespaceStatus]) -> str:
    """Return *statuses* as a table; below each one that isn't ``ok`` stand its details."""
    if not statuses:
        return "No namespace yet: `planner sync` makes the schedules of your calendars."
    rows = [HEADINGS, *(_row(one) for one in statuses)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_line(HEADINGS, widths)]
    for one in statuses:
        lines.append(_line(_row(one), widths))
        if one.state != "ok":
            lines += [f"    {reason}" for reason in one.details.splitlines()]
    return "\n".join(lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    pairs = zip(cells, widths, strict=True)
    return "  ".join(cell.ljust(width) for cell, width in pairs).rstrip()


def _row(one: NamespaceStatus) -> tuple[str, ...]:
    boosts = ", ".join(
        f"{lease.window} {'+' if lease.combine == 'add' else ''}{lease.tru} TRU until "
        f"{_minute(lease.until)}"
        for lease in one.leases
    )
    following = one.next_window
    then = f"{following.window} {following.tru} TRU {_minute(following.start)}" if following else ""
    return (
        one.namespace,
        one.state,
        str(one.capacity or "-"),
        str(one.baseline or "-"),
        boosts or "-",
        then or "-",
    )


def _minute(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%MZ}"


def _status_value(one: NamespaceStatus) -> dict[str, Any]:
    capacity, following = one.capacity, one.next_window
    return {
        "namespace": one.namespace,
        "mode": capacity and ("on-demand" if capacity.tru is None else "provisioned"),
        "tru": None if capacity is None else capacity.tru,
        "baseline": _baseline_value(one.baseline),
        "leases": [
            {
                "window": lease.window,
                "tru": lease.tru,
                "until": format_instant(lease.until),
                "by": lease.by,
            }
            for lease in one.leases
        ],
        "next": None
        if following is None
        else {
            "window": following.window,
            "start": format_instant(following.start),
            "tru": following.tru,
        },
        "state": one.state,
        "details": one.details,
    }


def _baseline_value(baseline: Capacity | None) -> str | dict[str, float] | None:
    """Return *baseline* as calendar files declare it; None while it isn't known."""
    if baseline is None:
        return None
    return "on-demand" if baseline.tru is None else {"tru": baseline.tru}
