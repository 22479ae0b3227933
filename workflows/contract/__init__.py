"""The values that planner and run time exchange, and the arithmetic they share.

- `messages`: workflow inputs, updates and answers, as they appear in the Temporal UI.
- `clock`: wall-clock time to instants and back; the one reading of clock changes.
- `capacity`: how leases combine into the capacity that a namespace should have.

Standard library only, and no I/O: the planner draws the timeline with the very
functions that the keeper computes its target with.
"""

from workflows.contract.capacity import (
    APS_PER_TRU,
    Target,
    combine,
    provisioned_tru,
    round_up,
    target_of,
    target_of_leases,
)
from workflows.contract.clock import Until, end_by_clock, parse_until, to_instant, to_wall
from workflows.contract.messages import (
    BOOST_WORKFLOW,
    KEEPER_WORKFLOW,
    LEASE_UPDATE,
    ON_DEMAND,
    RELEASE_UPDATE,
    STATUS_QUERY,
    TASK_QUEUE,
    UNFINISHED_STATUSES,
    UNPROCESSED_UPDATE,
    BoostRequest,
    BoostResult,
    Capacity,
    Combine,
    KeeperHealth,
    KeeperStart,
    KeeperStatus,
    Lease,
    LeaseAnswer,
    LeaseRequest,
    Rails,
    ReleaseRequest,
    format_duration,
    format_instant,
    keeper_id,
    lease_of,
    occurrence_of,
    parse_instant,
)

__all__ = [
    "APS_PER_TRU",
    "BOOST_WORKFLOW",
    "KEEPER_WORKFLOW",
    "LEASE_UPDATE",
    "ON_DEMAND",
    "RELEASE_UPDATE",
    "STATUS_QUERY",
    "TASK_QUEUE",
    "UNFINISHED_STATUSES",
    "UNPROCESSED_UPDATE",
    "BoostRequest",
    "BoostResult",
    "Capacity",
    "Combine",
    "KeeperHealth",
    "KeeperStart",
    "KeeperStatus",
    "Lease",
    "LeaseAnswer",
    "LeaseRequest",
    "Rails",
    "ReleaseRequest",
    "Target",
    "Until",
    "combine",
    "end_by_clock",
    "format_duration",
    "format_instant",
    "keeper_id",
    "lease_of",
    "occurrence_of",
    "parse_instant",
    "parse_until",
    "provisioned_tru",
    "round_up",
    "target_of",
    "target_of_leases",
    "to_instant",
    "to_wall",
]
