"""What the server allows a workflow, and how far below it a keeper stays.

Running keepers replay under a new release: another value here changes what they do, and
needs ``workflow.patched``.
"""

UPDATES_A_RUN = 1_000
"""Updates after which a run hands over to the next: the server allows 2,000 a run."""

WAITING_UPDATES = 8
"""Claims that may wait for their capacity at once: the server allows 10 in flight."""
