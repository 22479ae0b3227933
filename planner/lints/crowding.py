"""Many namespaces asked for at once: when the last one is ready, and what would do.

The Cloud Operations API works on ten changes of an account at a time, so forty
namespaces that boost at midnight queue up four deep.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from planner.errors import Lint
from planner.lints.horizon import Occurrences
from planner.lints.written import PROVISIONING
from planner.model import Occurrence
from workflows.contract import format_instant

AT_ONCE = 10
"""Changes of one account that the Cloud Operations API works on at the same time."""

CROWD = timedelta(minutes=5)
"""Namespaces asked for within so long of each other are in each other's way."""


@dataclass(frozen=True, slots=True)
class _Crowd:
    """Occurrences of different namespaces that are asked for together, the first of each."""

    members: tuple[Occurrence, ...]

    @property
    def ready(self) -> list[datetime]:
        """When each member's capacity is in force, asked for as late as jitter allows."""
        busy: list[datetime] = []
        found = []
        for each in self.members:
            begin = each.start - each.window.lead
            if len(busy) == AT_ONCE:
                begin = max(begin, heapq.heappop(busy))
            heapq.heappush(busy, begin + PROVISIONING)
            found.append(begin + PROVISIONING)
        return found

    @property
    def late(self) -> timedelta:
        """How long after its start the most belated member is ready; negative if in time."""
        pairs = zip(self.ready, self.members, strict=True)
        return max(ready - each.start for ready, each in pairs)

    @property
    def needed(self) -> timedelta:
        """How long it takes to work off all of them."""
        return math.ceil(len(self.members) / AT_ONCE) * PROVISIONING


def crowding(occurrences: Occurrences) -> Iterator[Lint]:
    """Yield one warning for the most belated crowd in *occurrences*, if there is any."""
    claims = [each for found in occurrences.values() for each in found if not each.window.paused]
    if len({each.window.namespace for each in claims}) <= AT_ONCE:
        return
    crowds = list(_crowds(claims))
    if crowds:
        worst = max(crowds, key=lambda crowd: (crowd.late, len(crowd.members)))
        place = min(each.window.place for each in worst.members)
        yield Lint(place.file, place.line, "crowded", _message(worst, len(crowds) - 1))


def _crowds(occurrences: Sequence[Occurrence]) -> Iterator[_Crowd]:
    """Yield what is asked for together, where more namespaces are in it than work at once."""
    ordered = sorted(occurrences, key=lambda each: (each.start - each.window.lead, each.order))
    group: dict[str, Occurrence] = {}
    opened: datetime | None = None
    for each in ordered:
        asked = each.start - each.window.lead
        if opened is None or asked - opened > CROWD:
            if len(group) > AT_ONCE:
                yield _Crowd(tuple(group.values()))
            group, opened = {}, asked
        group.setdefault(each.window.namespace, each)
    if len(group) > AT_ONCE:
        yield _Crowd(tuple(group.values()))


def _message(crowd: _Crowd, others: int) -> str:
    first = crowd.members[0]
    count = len(crowd.members)
    minutes = int(crowd.needed.total_seconds()) // 60
    in_time = "in time" if crowd.late <= timedelta() else f"{_minutes(crowd.late)} late"
    more = f" (and {others} more times in the coming year)" if others else ""
    return (
        f"{count} namespaces are asked for within {int(CROWD.total_seconds()) // 60} minutes of "
        f"{format_instant(first.start - first.window.lead)}, and {AT_ONCE} are changed at a time: "
        f"the last one is ready at {format_instant(max(crowd.ready))}, {in_time}; "
        f"lead: {minutes}m is enough for all of them, or spread them with jitter: {minutes}m{more}"
    )


def _minutes(length: timedelta) -> str:
    return f"{math.ceil(length.total_seconds() / 60)} min"
