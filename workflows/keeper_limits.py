"""What the server allows a workflow, and how far below it a keeper stays."""

UPDATES_A_RUN = 1_000
"""Updates after which a run hands over to the next: the server allows 2,000 a run."""

WAITING_UPDATES = 8
"""Claims that may wait for their capacity at once: the server allows 10 in flight."""
