"""Many leases as one compact value, for what is handed from one run of a keeper to the next.

The SDK reads a payload type by type, which takes milliseconds for each lease: a thousand of
them outlast the two seconds after which it takes a workflow for stuck. As rows of plain values
they are read at once, and take a third of the room in a payload that may have two megabytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from workflows.contract import Lease, Rails

Row = list[Any]
"""One lease: its fields in the order of `_row`, its rails by their place in the table."""


def pack(leases: Iterable[Lease]) -> dict[str, Any]:
    """Return *leases* as values that JSON has, in their order."""
    rails: dict[Rails | None, int] = {}
    rows = [_row(lease, rails.setdefault(lease.rails, len(rails))) for lease in leases]
    table = [None if one is None else [list(one.allowed), one.max_tru] for one in rails]
    return {"rails": table, "leases": rows}


def unpack(packed: dict[str, Any]) -> tuple[Lease, ...]:
    """Return the leases that `pack` made *packed* of."""
    rails = [None if one is None else Rails(tuple(one[0]), one[1]) for one in packed["rails"]]
    return tuple(_lease(row, rails) for row in packed["leases"])


def _row(lease: Lease, rails: int) -> Row:
    return [
        lease.key,
        lease.window,
        lease.tru,
        lease.start.isoformat(),
        lease.until.isoformat(),
        lease.combine,
        lease.by,
        lease.reason,
        lease.project,
        lease.revision,
        rails,
    ]


def _lease(row: Row, rails: list[Rails | None]) -> Lease:
    key, window, tru, start, until, combine, by, reason, project, revision, place = row
    return Lease(
        key=key,
        window=window,
        tru=tru,
        start=datetime.fromisoformat(start),
        until=datetime.fromisoformat(until),
        combine=combine,
        by=by,
        reason=reason,
        project=project,
        revision=revision,
        rails=rails[place],
    )
