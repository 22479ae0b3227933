"""A year played: parts of it side by side, each on a stage of its own.

`side_by_side` cuts it and starts the stages, `elsewhere` is one of them in a process of its
own. `playing` fires what a scene has on a `stage`: a server whose clock skips (`skipping`), a
simulator and a worker. `tally` counts what it costs.
"""

from planner.cli.rehearsing.side_by_side import play

__all__ = ["play"]
