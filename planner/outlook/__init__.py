"""What a plan makes of the days and the bill ahead: the live schedules beside the desired.

Both sides are read back from schedules in the same way, and then drawn and billed as the
calendars of a preview are: a comparison of equals.

- `reading`: a schedule as a window of written dates.
- `sides`: what is live, and what will be, as calendars.
- `comparison`: where capacity and bill differ.
"""

from planner.outlook.comparison import Outlook, Stretch, outlook

__all__ = ["Outlook", "Stretch", "outlook"]
