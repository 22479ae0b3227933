"""What runs now, and what it asks for together, kept up as runs begin and end.

A timeline has an edge at every begin and end of a run. Reckoned anew at each edge from all
that runs then, many windows at once would cost their square; here an edge costs about the
same however many they are.
"""

from __future__ import annotations

from workflows.contract import Combine


class Demand:
    """The TRU that claims ask for together while they come and go.

    `asked` is at any time what `workflows.contract.combine` says of those that came and
    have not gone: the keeper's own arithmetic, one claim at a time. A property in the
    tests holds the two against each other.
    """

    __slots__ = ("_added", "_highest", "_levels")

    def __init__(self) -> None:
        self._levels: dict[int, int] = {}
        self._highest = 0
        self._added = 0

    @property
    def asked(self) -> int:
        """What is asked for now; 0 where nothing runs."""
        return self._highest + self._added

    def come(self, tru: int, combine: Combine) -> None:
        """Count a claim in that begins."""
        if combine == "add":
            self._added += tru
            return
        self._levels[tru] = self._levels.get(tru, 0) + 1
        if tru > self._highest:
            self._highest = tru

    def go(self, tru: int, combine: Combine) -> None:
        """Count a claim out that came before."""
        if combine == "add":
            self._added -= tru
            return
        self._levels[tru] -= 1
        if not self._levels[tru]:
            del self._levels[tru]
            self._highest = max(self._levels, default=0)  # of few: the values that are allowed
