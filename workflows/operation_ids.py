"""Ids of a keeper's capacity requests: readable in an audit log, and a record of the baseline.

The Cloud API keeps the id of a namespace's latest capacity request and returns it with every
observation. So the id says who requested the capacity, and what was in force before the first
raise: a keeper's successor reads it there, also where nothing is left of the keeper itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from workflows.contract import Capacity

_PREFIX = "boost"
_UNKNOWN = "unknown"
_CAPACITY = r"on-demand|[0-9]+(?:\.[0-9]+)?tru"
_ENDING = re.compile(rf"-to-({_CAPACITY})-from-({_CAPACITY})-[0-9a-f]+(?:\.[0-9a-f]+)?$")
_LONGEST_STEP = 40


@dataclass(frozen=True, slots=True)
class Origin:
    """What an id records: the requested capacity, and the baseline before all raises."""

    requested: Capacity
    baseline: Capacity


def compose(
    namespace: str, step: str, requested: Capacity, baseline: Capacity | None, nonce: str
) -> str:
    """Return the id of the request that brings *namespace* to *requested*.

    Args:
        namespace: The Temporal Cloud namespace.
        step: What the request is for, such as a window's name.
        requested: The capacity that is requested.
        baseline: The capacity to restore when no lease is left; None where it isn't known.
        nonce: A unique suffix, in hexadecimal.

    >>> compose("pay.a1b2c", "Month end", Capacity(8), Capacity(), "3f2a")
    'boost-pay.a1b2c-month-end-to-8tru-from-on-demand-3f2a'
    """
    words = re.sub(r"[^a-z0-9]+", "-", step.lower())[:_LONGEST_STEP].strip("-") or "step"
    before = _UNKNOWN if baseline is None else _text(baseline)
    return f"{_PREFIX}-{namespace}-{words}-to-{_text(requested)}-from-{before}-{nonce}"


def is_own(operation_id: str, namespace: str) -> bool:
    """Tell whether a keeper of *namespace* made the request with this id."""
    return operation_id.startswith(f"{_PREFIX}-{namespace}-")


def origin_of(operation_id: str, namespace: str) -> Origin | None:
    """Return what a keeper's id records; None for any other id.

    Ids of repeated requests, which end in a dot and more digits, record the same.

    >>> origin_of("boost-pay.a1b2c-month-end-to-8tru-from-on-demand-3f2a.77", "pay.a1b2c")
    Origin(requested=Capacity(tru=8.0), baseline=Capacity(tru=None))
    """
    ending = _ENDING.search(operation_id)
    if ending is None or not is_own(operation_id, namespace):
        return None
    return Origin(_capacity(ending[1]), _capacity(ending[2]))


def _text(capacity: Capacity) -> str:
    return "on-demand" if capacity.tru is None else f"{capacity.tru:g}tru"


def _capacity(text: str) -> Capacity:
    return Capacity() if text == "on-demand" else Capacity(float(text.removesuffix("tru")))
