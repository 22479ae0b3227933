"""Occurrences: when the windows run, and why they do or don't on a day.

- `pattern`: what the times of a window depend on; windows that share it share the work.
- `starts`: a recurrence as starts on its zone's wall clock.
- `candidates`: those starts rolled and read as instants, with their ends, or excluded.
- `exclusions`: why a start doesn't count.
- `lengths`: how long a run may last, so how far back one under way is looked for.
- `timings`: the runs of a pattern in a horizon, each once.
- `expansion`: the occurrences of windows in a horizon.
- `story`: a day of a window, in words.
"""

from planner.occurrences.candidates import Timing
from planner.occurrences.expansion import expand, expand_all
from planner.occurrences.lengths import longest
from planner.occurrences.pattern import Pattern, pattern_of
from planner.occurrences.story import DayStory, explain_day
from planner.occurrences.timings import timings

__all__ = [
    "DayStory",
    "Pattern",
    "Timing",
    "expand",
    "expand_all",
    "explain_day",
    "longest",
    "pattern_of",
    "timings",
]
