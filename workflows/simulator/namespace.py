"""One simulated namespace: its spec, the capacity in force, and what is under way.

Time is an argument: what was due by *now* takes effect when somebody looks, and is stamped
with the time at which it was due.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Json = dict[str, Any]

VALID_TRU = (2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 12.0)
APS_PER_TRU = 500


class Refusal(Exception):
    """A no, as the API says it: an HTTP status and a sentence."""

    def __init__(self, status: int, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Entry:
    """One change of the capacity in force; *tru* is None when on-demand."""

    at: datetime
    tru: float | None
    by: str

    @property
    def mode(self) -> str:
        """``on-demand`` or ``provisioned``."""
        return "on-demand" if self.tru is None else "provisioned"


@dataclass(slots=True)
class Operation:
    """An asynchronous operation; *ends* is None while it is stuck."""

    id: str
    namespace: str
    started: datetime
    ends: datetime | None
    outcome: str
    words: str = ""

    def is_going(self, now: datetime) -> bool:
        """Whether it hasn't ended yet."""
        return self.ends is None or now < self.ends

    def state(self, now: datetime) -> str:
        """Return its state at *now*, as the API spells it: pending for its first tenth."""
        if self.ends is not None and now >= self.ends:
            return f"STATE_{self.outcome}"
        if self.ends is not None and now < self.started + (self.ends - self.started) / 10:
            return "STATE_PENDING"
        return "STATE_IN_PROGRESS"


@dataclass(slots=True)
class CapacityRequest:
    """The latest capacity request of a namespace; *ends* is None while it is stuck."""

    operation: Operation
    tru: float | None
    by: str
    started: datetime
    ends: datetime | None
    outcome: str
    spec_before: Json
    state: Literal["IN_PROGRESS", "COMPLETED", "FAILED"] = "IN_PROGRESS"


@dataclass(slots=True)
class Namespace:
    """One namespace: its spec as it was written, and the capacity in force."""

    name: str
    spec: Json
    tru: float | None
    created: datetime
    on_demand_aps: float = 500.0
    valid_tru: tuple[float, ...] = VALID_TRU
    max_available_tru: float = max(VALID_TRU)
    version: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    modified: datetime | None = None
    request: CapacityRequest | None = None
    history: list[Entry] = field(default_factory=list)

    @property
    def aps_limit(self) -> float:
        """The limit in force, in Actions per second."""
        return self.on_demand_aps if self.tru is None else self.tru * APS_PER_TRU

    @property
    def is_changing(self) -> bool:
        """Whether a capacity request is in progress."""
        return self.request is not None and self.request.state == "IN_PROGRESS"

    def advance(self, now: datetime, failed_spec: str) -> None:
        """Let everything take effect that was due by *now*."""
        request = self.request
        if request is None or request.state != "IN_PROGRESS":
            return
        if request.ends is None or now < request.ends:
            return
        if request.outcome == "COMPLETED":
            request.state = "COMPLETED"
            self.put(request.tru, request.ends, request.by)
        else:
            request.state = "FAILED"
            if failed_spec == "restored":
                self.write(request.spec_before, request.ends)

    def put(self, tru: float | None, at: datetime, by: str) -> None:
        """Have *tru* in force from *at* on; the history knows changes only."""
        if not self.history or tru != self.tru:
            self.history.append(Entry(at, tru, by))
        self.tru = tru

    def write(self, spec: Json, at: datetime) -> None:
        """Replace the spec, under a new resource version."""
        self.spec = spec
        self.version = uuid.uuid4().hex[:12]
        self.modified = at


def asked_tru(spec: Mapping[str, Any]) -> float | None:
    """Return the TRU that *spec* asks for; None for on-demand, asked for or by default.

    Raises:
        Refusal: Its capacity is none.
    """
    value: Any = spec
    for name in ("capacitySpec", "provisioned"):
        value = value.get(name) or {}
        if not isinstance(value, Mapping):
            raise Refusal(400, f"invalid {name}: must be an object")
    tru = value.get("value") or 0
    if isinstance(tru, bool) or not isinstance(tru, int | float) or not math.isfinite(tru):
        raise Refusal(400, f"invalid TRU value {tru!r}")
    return float(tru) or None


def plain_spec(name: str, tru: float | None) -> Json:
    """Return a spec with a bit of everything that a careless update would clear."""
    spec: Json = {
        "name": name.split(".")[0],
        "regions": ["aws-us-east-1"],
        "retentionDays": 30,
        "apiKeyAuth": {"enabled": True},
        "searchAttributes": {"CustomerTier": "SEARCH_ATTRIBUTE_TYPE_KEYWORD"},
        "codecServer": {"endpoint": "https://codec.example.com", "passAccessToken": True},
        "lifecycle": {"enableDeleteProtection": True},
        "connectivityRuleIds": ["rule-1"],
    }
    if tru is not None:
        spec["capacitySpec"] = {"provisioned": {"value": tru}}
    return spec


def canonical(spec: Json) -> str:
    """Return *spec* as text in which an absent capacity and on-demand are the same."""
    capacity = asked_tru(spec)
    return json.dumps({**spec, "capacitySpec": capacity}, sort_keys=True)
