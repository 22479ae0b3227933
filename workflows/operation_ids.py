"""The ids of a keeper's writes: readable in an audit log, and a record that outlives the run.

The Cloud API keeps the id of a namespace's latest capacity request and returns it with every
reading. So the id says whose doing is in force, and what was there before the first raise:
whoever succeeds a keeper reads it there, also where nothing is left of the keeper itself.
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
    """What an id says: the capacity that was requested, and the baseline before all raises."""

    requested: Capacity
    baseline: Capacity


def compose(
    namespace: str, step: str, requested: Capacity, baseline: Capacity | None, nonce: str
) -> str:
    """Return the id of the request that brings *namespace* to *requested*.

    Args:
        namespace: The Temporal Cloud namespace.
        step: What it is for, such as a window's name.
        requested: The capacity that is requested.
        baseline: What comes back when no lease is left; None where that isn't known.
        nonce: What tells it from all others, in hexadecimal.

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
    """Return what a keeper's id says; None where it is another's, or can't be read.

    Ids of repeats, which a step lengthens by a dot and more digits, say the same.

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
