"""What the workflows ask of the activities: names with versions, and the values that cross.

A name's version rises when the meaning of its input or output changes; the old one stays
registered for as long as workflows that know it may run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from workflows.contract import Capacity, KeeperStart, LeaseRequest, ReleaseRequest
from workflows.keeper_state import LOOK_EVERY, Ledger, Offer

ASK = "keeper.ask.v1"
GIVE_BACK = "keeper.give-back.v1"
RECALL = "keeper.recall.v1"
OBSERVE = "capacity.observe.v1"
DRIVE = "capacity.drive.v1"

BEAT_WITHIN = timedelta(seconds=45)
"""An activity that says nothing for so long is taken for dead, its worker with it.

So long a worker's sudden death holds its claims up. The SDK sends a heartbeat each 80 % of
this at most, and each is an Action: three for two minutes of waiting. Half as long would
cost twice that, and take a worker for dead that is only busy.
"""

ATTEMPT_WITHIN = timedelta(minutes=5)
"""How long one attempt may take, whatever it waits for."""

RECALL_WITHIN = timedelta(minutes=2)
"""How long a successor tries to learn what the run before it knew, while a window waits."""

REFUSED = "Refused"
"""The type of a keeper's refusal that holds for good: the request makes no sense."""

NOT_NOW = "NotNow"
"""The type of a keeper's refusal that holds for a moment: ask again."""

LEDGER_QUERY = "ledger"
"""The query for all that a keeper knows, from which a broken one's successor goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperInput(KeeperStart):
    """What a run of a keeper begins with: a namespace, and what an earlier run knew.

    A *ledger* brings its own *look_every_seconds*. *updates_a_run* are those after which the
    run hands over to the next; without it, it is one of a release that handed over late.
    """

    ledger: Ledger | None = None
    updates_a_run: int = 1_000
    look_every_seconds: int = LOOK_EVERY // timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drive:
    """One step to a target: what it has to know, and the idempotency key of the change.

    *running* is the number of leases that run, of which *ledger* has those that decide; None
    where it has all of them.
    """

    ledger: Ledger
    key: str
    running: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What was seen of a namespace: in force at the end, and before anything was done.

    *coming* is a change still under way, and *waits_for* says why it has to be waited for.
    *offer* is None where the Cloud wasn't asked for it. *request* is the id of the request
    that *found* goes back to, empty where none is known.
    """

    capacity: Capacity
    found: Capacity
    offer: Offer | None = None
    coming: Capacity | None = None
    waits_for: str = ""
    request: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A claim on its way to the keeper of its namespace; *nominal* is the firing's time."""

    request: LeaseRequest
    nominal: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveBack:
    """A claim that is no longer wanted, on its way to the keeper of its namespace."""

    namespace: str
    request: ReleaseRequest = field(default_factory=ReleaseRequest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """A broken run of the keeper of *namespace*, whose ledger is wanted.

    Where *is_reset*, *run* was made by a reset, and the run that was reset is meant.
    """

    namespace: str
    run: str
    is_reset: bool = False
