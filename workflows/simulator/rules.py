"""How the simulated account behaves, and what becomes of a single request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How the account behaves where it may be quick or slow, strict or kind.

    Attributes:
        provisioning: Seconds from an accepted request to its capacity being in force.
        operation: Seconds until the operation is fulfilled, which proves nothing yet;
            None means half of *provisioning*.
        check: Seconds between two looks that an operation proposes.
        conflict_status: What a stale resource version is answered with: 400, 409 or 412.
        repeat: What a repeated operation id is answered with: the same operation, or 409.
        failed_spec: Whether the spec keeps what a failed request asked for.
        operations_at_once: Mutating operations that may be under way.
    """

    provisioning: float = 2.0
    operation: float | None = None
    check: float = 1.0
    conflict_status: int = 409
    repeat: Literal["same", "refused"] = "same"
    failed_spec: Literal["kept", "restored"] = "kept"
    operations_at_once: int = 10

    @property
    def provisioning_time(self) -> timedelta:
        """From an accepted request to its capacity being in force."""
        return timedelta(seconds=self.provisioning)

    @property
    def operation_time(self) -> timedelta:
        """From an accepted request to the end of its operation."""
        seconds = self.provisioning / 2 if self.operation is None else self.operation
        return timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What becomes of a request other than success.

    *operation* and *request* say how each level ends; None for *request* means that none
    is made. *holds_operation* and *holds_request* keep a level under way for *seconds*
    longer, without end where *seconds* is None.
    """

    operation: Literal["FULFILLED", "FAILED", "REJECTED", "CANCELLED"] = "FULFILLED"
    request: Literal["COMPLETED", "FAILED"] | None = "COMPLETED"
    words: str = ""
    holds_operation: bool = False
    holds_request: bool = False
    seconds: float | None = None


SUCCESS = Fate()
