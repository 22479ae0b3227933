"""Versioned activity names, and their input and output types.

A name's version rises when the meaning of its input or output changes; the old one stays
registered for as long as workflows that know it may run.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from workflows import keeper_state
from workflows.contract import Capacity, KeeperStart, LeaseRequest, ReleaseRequest
from workflows.keeper_state import OBSERVE_EVERY, KeeperState, KnownOptions

ADMIT_BOOST = "boost.admit.v1"
REQUEST_LEASE = "keeper.request-lease.v1"
RELEASE_LEASE = "keeper.release-lease.v1"
RECOVER_STATE = "keeper.recover-state.v1"
OBSERVE = "capacity.observe.v1"
RECONCILE = "capacity.reconcile.v1"
FLOOR = "floor.reconcile.v1"
WATCH = "watchdog.watch.v1"

HEARTBEAT_TIMEOUT = timedelta(seconds=45)
"""An activity without a heartbeat for so long counts as lost, and its worker with it.

A worker's sudden death delays its leases by as much. The SDK sends a heartbeat each 80 % of
this at most, and each is an Action: three for two minutes of waiting. Half as long would
cost twice that, and lose a worker that is only busy.
"""

ATTEMPT_TIMEOUT = timedelta(minutes=5)
"""How long one attempt of an activity may take, whatever it waits for."""

FLOOR_TIMEOUT = timedelta(minutes=1)
"""How long one attempt at a floor may take: two requests to the cluster, and a few retries."""

RECOVERY_ATTEMPTS = 30
"""How often a keeper tries to recover the state of the run before it, while a window waits.

No span of time: the wait for a worker is no attempt. Where each fails at once, it takes a quarter
of an hour; where each takes its worker with it, three times as long.
"""

STATE_QUERY = "state"
"""The query for a keeper's whole state, from which the successor of a broken run goes on."""

REFUSED = "Refused"
"""The type of a keeper's refusal that no further attempt changes."""

BAD_REQUEST = "BadRequest"
"""The type of a boost's failure whose input can't be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperInput(KeeperStart):
    """The input of a keeper: a namespace, and the state that an earlier run handed over.

    A *state* brings its own *observe_every_seconds*. The run continues as new after
    *updates_per_run* updates, and lets *max_waiting_updates* wait. The defaults are for inputs
    without these, of keepers that the planner or an earlier release starts: they are fixed, because
    their replay depends on them.
    """

    state: KeeperState | None = None
    updates_per_run: int = 1_000
    max_waiting_updates: int = 8
    observe_every_seconds: int = OBSERVE_EVERY // timedelta(seconds=1)


def keeper_input(
    namespace: str,
    observe_every: timedelta,
    *,
    broken_run: str = "",
    state: KeeperState | None = None,
) -> KeeperInput:
    """Return the input of a keeper that a worker starts, with what this release sets."""
    return KeeperInput(
        namespace=namespace,
        broken_run=broken_run,
        state=state,
        observe_every_seconds=observe_every // timedelta(seconds=1),
        updates_per_run=keeper_state.UPDATES_PER_RUN,
        max_waiting_updates=keeper_state.MAX_WAITING_UPDATES,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileInput:
    """One reconcile: the keeper's state, and the idempotency key of the change.

    *state* has the leases that decide its target.
    """

    state: KeeperState
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What an activity observed of a namespace.

    *capacity* is in force at the end, and *found* was in force, or pending, before anything
    was done. *pending* is a change still under way, and *waits_for* says why it has to be
    waited for. *options* is None where they weren't fetched. *request* is the id of the
    capacity request that led to *found*, empty where none is known. *cloud* is the URL of the
    Cloud API that was asked, empty where the worker's has none. *since* and *found_since* are
    when *capacity* and *found* came into force by the Cloud API; None where it doesn't say.
    """

    capacity: Capacity
    found: Capacity
    options: KnownOptions | None = None
    pending: Capacity | None = None
    waits_for: str = ""
    request: str = ""
    cloud: str = ""
    since: datetime | None = None
    found_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmitBoost:
    """The JSON value with which an application requests a boost, as it came."""

    request: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLease:
    """A lease request to the keeper of its namespace; *nominal* is the firing's time.

    *is_first* says that the boost hasn't requested it before.
    """

    request: LeaseRequest
    nominal: datetime
    is_first: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseLease:
    """A release to the keeper of *namespace*; its request names the lease itself."""

    namespace: str
    request: ReleaseRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoverState:
    """Which run's state to recover, of the keeper of *namespace*: that of *run*.

    Where *is_reset*, *run* was made by a reset, and the run that was reset is meant.
    """

    namespace: str
    run: str
    is_reset: bool = False
