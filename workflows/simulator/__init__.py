"""A simulated Cloud Operations API, with the real one's rules and all its ways to fail.

- `rules`: how quick and how strict it is.
- `namespace`, `account`: the state machine under them, on any clock.
- `access`: keys, rights, rate limits.
- `faults`: what can be told to go wrong.
- `replies`: the JSON that it answers with.
- `api`, `control`: the calls of the real API, and the simulator's own under ``/_sim``.
- `http`, `messages`: HTTP/1.1 over asyncio streams.
- `server`: `Simulator`, to start it.
"""

from workflows.simulator.access import Principal
from workflows.simulator.namespace import Entry, Refusal
from workflows.simulator.rules import Rules
from workflows.simulator.server import Simulator

__all__ = ["Entry", "Principal", "Refusal", "Rules", "Simulator"]
