"""The state of a keeper's run, rebuilt from what its history records.

A run that ended can answer for itself only where today's code replays it. Its history says as
much to any release: what it began with, each lease that was requested or released, each state
that it reconciled, and what was observed. The transitions of `workflows.keeper_transitions`
make the state of that.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from workflows import keeper_transitions as transitions
from workflows.activity_types import KeeperInput, Observation, ReconcileInput
from workflows.contract import LeaseRequest, ReleaseRequest
from workflows.keeper_state import KeeperState


@dataclass(frozen=True, slots=True)
class Recovered:
    """The result of the activity that recovered the state of the run before; None if it was gone.

    A run that was terminated before that activity ended has none of these.
    """

    state: KeeperState | None


@dataclass(frozen=True, slots=True)
class BaselineFound:
    """The observation before the first raise."""

    observation: Observation


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The request to cancel the run."""


Recorded = (
    KeeperInput
    | LeaseRequest
    | ReleaseRequest
    | ReconcileInput
    | Observation
    | BaselineFound
    | Recovered
    | Cancelled
)
"""What the history of a keeper's run records, one event each."""


def rebuild(namespace: str, recorded: Iterable[tuple[datetime, Recorded]]) -> KeeperState:
    """Return the state of the run of *namespace* whose history has *recorded*, oldest first.

    Leases, releases and capacities requested are all there: a request is recorded before it is
    sent. What was observed may be missing where the run broke off in between.
    """
    state = KeeperState(namespace=namespace)
    for at, value in recorded:
        state = _after(transitions.expire(state, at), value, at)
    return state


def _after(state: KeeperState, value: Recorded, at: datetime) -> KeeperState:
    """Return *state* once *value* was recorded at *at*."""
    match value:
        case KeeperInput(state=None):
            return replace(state, observe_every_seconds=value.observe_every_seconds)
        case KeeperInput(state=known) if known is not None:
            return known.unpacked
        case LeaseRequest():
            return transitions.grant(state, value, at)
        case ReleaseRequest():
            return transitions.release_requested(state, value, at)
        case ReconcileInput(state=known):
            # It has the leases that decide, for the sake of its size; all else is complete.
            return replace(known, leases=state.leases, released=state.released)
        case BaselineFound(observation=seen) if state.baseline is None:
            return transitions.record_baseline(state, seen.found, seen.request)
        case Observation():
            return transitions.record(state, value, at)
        case Recovered(state=old):
            return transitions.recover(state, old)
        case Cancelled():
            return replace(transitions.release(state, lambda _: True), cancelled=True)
    return state
