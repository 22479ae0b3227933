"""Windows to Temporal Schedules, as values.

- `spec`: the schedule itself, its digest and stamp.
- `compile`: window → schedule: `recurring` if it can be said for ever, else `dated`.
- `year_days`, `boxes`: sets of days and times as few structured calendars.
- `firings`: when a schedule fires; `describe`: its texts in the Temporal UI.
"""
