"""A simulated Cloud Operations API, with the real one's rules and all its ways to fail.

- `state`: namespaces, operations and the rules between them, on any clock.
- `api`: the calls of the real API: keys, rights, rate limits, and the JSON of its replies.
- `http`: HTTP/1.1 over asyncio streams, or in process, and the failures that can be injected.
- `usage`: what namespaces use by the load given to them: metrics, and billing reports.
- `server`: `Simulator`, to start it, and its own endpoints under ``/_sim``.
"""

from planner.simulator.api import Principal
from planner.simulator.server import Simulator
from planner.simulator.state import Entry, Refusal, Rules
from planner.simulator.usage import Load, Peak

__all__ = ["Entry", "Load", "Peak", "Principal", "Refusal", "Rules", "Simulator"]
