"""The faults that can be injected into the simulated API, and what each does.

| kind         | what happens                                                            |
| ------------ | ----------------------------------------------------------------------- |
| error        | answered with *status* (500); nothing is done                           |
| unauthorized | answered with *status* (401); nothing is done                           |
| timeout      | not answered for *seconds* (60), then hung up; nothing is done          |
| drop-reply   | done, then hung up without an answer                                    |
| slow         | done, and answered after *seconds* (5)                                  |
| conflict     | another client edits the namespace: before an update, after other calls |
| reject       | the operation ends rejected; with *status*, the call itself is refused  |
| fail-request | the operation is fulfilled, then the capacity request fails; on         |
|              | ``operation``, both fail                                                |
| stuck        | on ``update`` nothing ends, on ``operation`` the operation doesn't, on  |
|              | ``get`` the capacity request doesn't: for *seconds*, else until the     |
|              | faults are deleted                                                      |
| no-inventory | the request fails for want of capacity; with *status*, an update is     |
|              | refused; on ``capacity-info``, at most *available* TRU are reported      |

On another call than ``update``, what concerns a request strikes the one in progress, and
waits until there is one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from planner.simulator.state import Fate, Refusal

CALLS = ("get", "update", "operation", "capacity-info")
KINDS = (
    "error",
    "timeout",
    "drop-reply",
    "conflict",
    "reject",
    "fail-request",
    "stuck",
    "slow",
    "unauthorized",
    "no-inventory",
)
SHORTAGE = "insufficient capacity: the requested TRU are not available"

_STATUS = {"error": 500, "unauthorized": 401}
_SECONDS = {"timeout": 60.0, "slow": 5.0}


@dataclass(slots=True, kw_only=True)
class Fault:
    """One way to fail, for the next *times* calls that it concerns; 0 means every one.

    An empty *namespace* means any.
    """

    on: str
    kind: str
    status: int | None = None
    times: int = 1
    seconds: float | None = None
    namespace: str = ""
    available: float | None = None
    hits: int = 0

    @property
    def answer_status(self) -> int:
        """The HTTP status of a refusal by this fault."""
        return self.status or _STATUS.get(self.kind, 400)

    @property
    def delay(self) -> float:
        """Seconds that it takes, for the kinds that take time."""
        return _SECONDS.get(self.kind, 0.0) if self.seconds is None else self.seconds

    @property
    def is_spent(self) -> bool:
        """Whether it has struck as often as it may."""
        return 0 < self.times <= self.hits

    def fate(self) -> Fate | None:
        """Return what becomes of a request under this fault; None if it concerns none."""
        if self.kind == "reject":
            return Fate(operation="REJECTED", request=None, words="rejected by the simulator")
        if self.kind == "no-inventory":
            return Fate(operation="FAILED", request="FAILED", words=SHORTAGE)
        if self.kind == "fail-request":
            return Fate(
                operation="FAILED" if self.on == "operation" else "FULFILLED",
                request="FAILED",
                words="failed by the simulator",
            )
        if self.kind == "stuck":
            return Fate(
                holds_operation=self.on in {"update", "operation"},
                holds_request=self.on in {"update", "get", "capacity-info"},
                seconds=self.seconds,
            )
        return None


class Faults:
    """The faults that are set, in order; the first that fits a call strikes."""

    def __init__(self) -> None:
        self.all: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Add a fault."""
        self.all.append(fault)

    def clear(self) -> None:
        """Remove all faults."""
        self.all.clear()

    def strike(
        self, call: str, namespace: str, can_strike: Callable[[Fault], bool]
    ) -> Fault | None:
        """Return the fault that strikes this call, and count it; None if none does."""
        for fault in self.all:
            concerns = fault.on == call and fault.namespace in {"", namespace}
            if concerns and not fault.is_spent and can_strike(fault):
                fault.hits += 1
                return fault
        return None


def parse_fault(body: Mapping[str, Any]) -> Fault:
    """Return the fault that *body* describes.

    Raises:
        Refusal: It describes none; the sentence says what would.
    """
    known = {item.name for item in fields(Fault)} - {"hits"}
    unknown = sorted(set(body) - known)
    if unknown:
        raise Refusal(400, f"unknown field {unknown[0]!r}: one of {', '.join(sorted(known))}")
    if body.get("on") not in CALLS:
        raise Refusal(400, f"on is {body.get('on')!r}: one of {', '.join(CALLS)}")
    if body.get("kind") not in KINDS:
        raise Refusal(400, f"kind is {body.get('kind')!r}: one of {', '.join(KINDS)}")
    given = {name: value for name, value in body.items() if value is not None}
    if not isinstance(given.get("namespace", ""), str):
        raise Refusal(400, f"namespace is {given['namespace']!r}: a name, or left out for any")
    for name in ("status", "times", "seconds", "available"):
        _check_number(name, given.get(name, 0), is_whole=name in {"status", "times"})
    if "status" in given and not 400 <= given["status"] < 600:
        raise Refusal(400, f"status is {given['status']}: an HTTP error, 400 to 599")
    return Fault(**given)


def _check_number(name: str, value: Any, *, is_whole: bool) -> None:
    kinds = int if is_whole else int | float
    if isinstance(value, bool) or not isinstance(value, kinds) or not 0 <= value < math.inf:
        number = "whole number" if is_whole else "number"
        raise Refusal(400, f"{name} is {value!r}: a {number} from 0 up")
