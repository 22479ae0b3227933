"""Rehearsals: what is played, and what came of it held against the timeline.

Two independent roads meet here. What happened comes from the compiled schedules, fired one
by one through the real workflows; what was due comes from the occurrences.
"""

from planner.rehearse.comparison import differences, due
from planner.rehearse.outcome import Difference, Outcome, together
from planner.rehearse.scene import Firing, Scene
from planner.rehearse.stretches import split

__all__ = [
    "Difference",
    "Firing",
    "Outcome",
    "Scene",
    "differences",
    "due",
    "split",
    "together",
]
