"""What the server allows a workflow, and how far below it a keeper stays.

Running keepers replay under a new release: another value here changes what they do, and
needs ``workflow.patched``, or to be part of a run's input, as `UPDATES_A_RUN` is.
"""

UPDATES_A_RUN = 200
"""Updates after which a run hands over to the next.

A worker that takes a keeper over replays its run within one workflow task, which may take ten
seconds: so the run is bounded by what that costs, with thousands of leases held, and not by
the 2,000 updates that the server allows.
"""

FULL = 4
"""How many times that many updates a run takes at most, while a change is under way that
can't be handed over. Further requests for leases are refused, and come again after it."""

LEASES = 4_000
"""Leases, held or remembered as released, that a keeper knows at most: handed over, they
are one payload, of which the server takes two megabytes."""

WAITING_UPDATES = 8
"""Claims that may wait for their capacity at once: the server allows 10 in flight."""
