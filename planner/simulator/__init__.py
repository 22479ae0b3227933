"""A simulated Cloud Operations API, with the real one's rules and all its ways to fail.

- `state`: namespaces, operations and the rules between them, on any clock.
- `api`: the calls of the real API: keys, rights, rate limits, and the JSON of its replies.
- `http`: HTTP/1.1 over asyncio streams, or in process, and the failures that can be injected.
- `server`: `Simulator`, to start it, and its own endpoints under ``/_sim``.
"""

from planner.simulator.api import Principal
from planner.simulator.server import Simulator
from planner.simulator.state import Entry, Refusal, Rules

__all__ = ["Entry", "Principal", "Refusal", "Rules", "Simulator"]
