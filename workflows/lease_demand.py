"""What many leases require together, computed once for each tuple of them.

A keeper may hold thousands of leases, and computes their target at every turn and again in
each replay. Few of them decide: of those granted under equal rails that don't add, the highest.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from workflows.contract import Lease, Rails


@dataclass(frozen=True, slots=True)
class Group:
    """Leases that are covered together: one of them, and when the first of them opens."""

    lease: Lease
    opens: datetime


@dataclass(frozen=True, slots=True)
class Demand:
    """What leases require together.

    *deciding* are leases whose target is the target of all of them. *groups* has every
    lease, together with all that are covered whenever it is.
    """

    deciding: tuple[Lease, ...]
    groups: tuple[Group, ...]


class SameTuple:
    """A key for caches that equals only itself: to compare thousands of leases takes too long."""

    __slots__ = ("leases",)

    def __init__(self, leases: tuple[Lease, ...]) -> None:
        self.leases = leases

    def __hash__(self) -> int:
        return id(self.leases)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SameTuple) and other.leases is self.leases


def demand_of(leases: tuple[Lease, ...]) -> Demand:
    """Return what *leases* require; cached by the identity of the tuple."""
    return _demand_of(SameTuple(leases))


@lru_cache(maxsize=256)
def _demand_of(same: SameTuple) -> Demand:
    added: list[Lease] = []
    groups: dict[object, Group] = {}
    highest: dict[object, Lease] = {}
    rails_index = _RailsIndex()
    for lease in same.leases:
        under = (rails_index.of(lease.rails), lease.revision)
        if lease.combine == "add":
            added.append(lease)
            group_key: object = "add"
        else:
            group_key = (*under, lease.tru)
            best = highest.get(under)
            if best is None or best.tru < lease.tru:
                highest[under] = lease
        group = groups.get(group_key)
        if group is None or lease.start < group.opens:
            groups[group_key] = Group(lease, lease.start)
    return Demand((*highest.values(), *added), tuple(groups.values()))


class _RailsIndex:
    """Numbers guard rails by value: most leases share one object, which is hashed only once."""

    def __init__(self) -> None:
        self._by_value: dict[Rails | None, int] = {}
        self._by_id: dict[int, int] = {}

    def of(self, rails: Rails | None) -> int:
        """Return the same number for equal *rails*, which have to outlive this."""
        index = self._by_id.get(id(rails))
        if index is None:
            index = self._by_value.setdefault(rails, len(self._by_value))
            self._by_id[id(rails)] = index
        return index
