"""The namespaces as they are now: a table for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from planner.model import NamespaceStatus
from workflows.contract import Capacity, Lease, format_instant

HEADINGS = ("NAMESPACE", "STATE", "IN FORCE", "BASELINE", "BOOSTS", "NEXT")


def status_json(statuses: Sequence[NamespaceStatus]) -> dict[str, Any]:
    """Return *statuses* as the values of the JSON that programs read."""
    return {"namespaces": [_as_json(one) for one in statuses]}


def status_text(statuses: Sequence[NamespaceStatus]) -> str:
    """Return *statuses* as a table, with a line of reasons under what isn't as it should be."""
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
        _known(one.capacity),
        _known(one.baseline),
        boosts or "-",
        then or "-",
    )


def _known(capacity: Capacity | None) -> str:
    return "-" if capacity is None else str(capacity)


def _minute(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%MZ}"


def _as_json(one: NamespaceStatus) -> dict[str, Any]:
    capacity, following = one.capacity, one.next_window
    return {
        "namespace": one.namespace,
        "mode": _mode(capacity),
        "tru": None if capacity is None else capacity.tru,
        "baseline": _as_written(one.baseline),
        "leases": [_lease_json(lease) for lease in one.leases],
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


def _mode(capacity: Capacity | None) -> str | None:
    if capacity is None:
        return None
    return "on-demand" if capacity.tru is None else "provisioned"


def _as_written(baseline: Capacity | None) -> str | dict[str, float] | None:
    """Return *baseline* as calendar files have it; None where it isn't known."""
    if baseline is None:
        return None
    return "on-demand" if baseline.tru is None else {"tru": baseline.tru}


def _lease_json(lease: Lease) -> dict[str, Any]:
    return {
        "window": lease.window,
        "tru": lease.tru,
        "until": format_instant(lease.until),
        "by": lease.by,
    }
