"""What the planner and the run time say to each other, and the arithmetic they share.

- `messages`: the values that cross between them, as they appear in the Temporal UI.
- `clock`: wall-clock time to instants and back; the one reading of clock changes.
- `capacity`: how leases combine into the capacity that a namespace should have.

Standard library only, and no I/O: the planner draws the timeline with the very
functions that the keeper drives to.
"""

from workflows.contract.capacity import Target, round_up, target_of
from workflows.contract.clock import end_by_clock, to_instant, to_wall
from workflows.contract.messages import (
    BOOST_WORKFLOW,
    KEEPER_WORKFLOW,
    ON_DEMAND,
    TASK_QUEUE,
    BoostRequest,
    BoostResult,
    Capacity,
    Combine,
    KeeperState,
    KeeperStatus,
    Lease,
    Rails,
    format_instant,
    keeper_id,
    occurrence_of,
    parse_instant,
)

__all__ = [
    "BOOST_WORKFLOW",
    "KEEPER_WORKFLOW",
    "ON_DEMAND",
    "TASK_QUEUE",
    "BoostRequest",
    "BoostResult",
    "Capacity",
    "Combine",
    "KeeperState",
    "KeeperStatus",
    "Lease",
    "Rails",
    "Target",
    "end_by_clock",
    "format_instant",
    "keeper_id",
    "occurrence_of",
    "parse_instant",
    "round_up",
    "target_of",
    "to_instant",
    "to_wall",
]
