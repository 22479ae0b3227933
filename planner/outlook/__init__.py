"""What a plan makes of the days and the bill ahead: the live schedules beside the desired.

Both sides are read back from schedules in the same way, and then drawn and billed as the
runs of a preview are: a comparison of equals.

- `reading`: the runs that a schedule stands for.
- `sides`: what is live, and what will be, namespace by namespace.
- `comparison`: where capacity and bill differ.
"""

from planner.outlook.comparison import Outlook, Stretch, outlook
from planner.outlook.reading import MOST_RUNS, TooManyRuns

__all__ = ["MOST_RUNS", "Outlook", "Stretch", "TooManyRuns", "outlook"]
