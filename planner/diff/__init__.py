"""What a sync would change, and why: desired and live schedules compared as values.

- `plan`: the values: a schedule as the server has it, a change, a plan and its checksum.
- `fields`: what differs between two schedules, in words.
- `firings`: the next occurrences of a schedule, and those under way.
- `operators`, `pause`: what people left there by hand, and its words.
- `decision`: what becomes of one schedule.
- `compare`: the plan for all of them, within the project's policy.
- `revisions`: the order of what is declared, set as it is written.
"""

from planner.diff.compare import Wanted, diff, is_neighbour, near, undecided, unsettled
from planner.diff.fields import Field
from planner.diff.plan import ACTIONS, Action, Change, Live, Plan, Running, live_schedule

__all__ = [
    "ACTIONS",
    "Action",
    "Change",
    "Field",
    "Live",
    "Plan",
    "Running",
    "Wanted",
    "diff",
    "is_neighbour",
    "live_schedule",
    "near",
    "undecided",
    "unsettled",
]
