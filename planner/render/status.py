"""The namespaces as they are now: a table for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from workflows.contract import Capacity, KeeperState, Lease, format_instant

ALARMING: frozenset[KeeperState] = frozenset({"uncovered", "overdue"})
"""States that need somebody: a window without its capacity, a capacity without a window."""

HEADINGS = ("NAMESPACE", "STATE", "IN FORCE", "BASELINE", "BOOSTS", "NEXT")


@dataclass(frozen=True, slots=True)
class Next:
    """The window that a namespace's schedules open next."""

    window: str
    start: datetime
    tru: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """One namespace as it is now; *capacity* is None where nobody has looked."""

    namespace: str
    state: KeeperState = "ok"
    capacity: Capacity | None = None
    baseline: Capacity | None = None
    leases: tuple[Lease, ...] = ()
    following: Next | None = None
    details: str = ""

    @property
    def is_alarming(self) -> bool:
        """Whether somebody has to look after it."""
        return self.state in ALARMING


def status_json(situations: Sequence[Situation]) -> dict[str, Any]:
    """Return *situations* as the values of the JSON that programs read."""
    return {"namespaces": [_as_json(one) for one in situations]}


def status_text(situations: Sequence[Situation]) -> str:
    """Return *situations* as a table, with a line of reasons under what isn't as it should be."""
    if not situations:
        return "No namespace yet: `planner sync` makes the schedules of your calendars."
    rows = [HEADINGS, *(_row(one) for one in situations)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_line(HEADINGS, widths)]
    for one in situations:
        lines.append(_line(_row(one), widths))
        if one.state != "ok":
            lines += [f"    {reason}" for reason in one.details.splitlines()]
    return "\n".join(lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    pairs = zip(cells, widths, strict=True)
    return "  ".join(cell.ljust(width) for cell, width in pairs).rstrip()


def _row(one: Situation) -> tuple[str, ...]:
    boosts = ", ".join(
        f"{lease.window} {'+' if lease.combine == 'add' else ''}{lease.tru} TRU until "
        f"{_minute(lease.until)}"
        for lease in one.leases
    )
    following = one.following
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


def _as_json(one: Situation) -> dict[str, Any]:
    capacity, following = one.capacity, one.following
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
