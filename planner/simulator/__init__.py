"""A simulated Cloud Operations API, with the real one's rules and all its ways to fail.

- `state`: namespaces, operations and the rules between them, on any clock.
- `faults`: the failures that can be injected.
- `api`: the calls of the real API: keys, rights, rate limits, and the JSON of its replies.
- `control`: the simulator's own endpoints under ``/_sim``.
- `http`: HTTP/1.1 over asyncio streams, or in process.
- `server`: `Simulator`, to start it.
"""

from planner.simulator.api import Principal
from planner.simulator.server import Simulator
from planner.simulator.state import Entry, Refusal, Rules

__all__ = ["Entry", "Principal", "Refusal", "Rules", "Simulator"]
