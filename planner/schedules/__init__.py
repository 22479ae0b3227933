"""Windows to Temporal Schedules, as values.

- `spec`: the schedule itself, its digest and stamp.
- `compile`: window → schedule, `recurring` where one form holds in every year, else dated.
- `calendars`: sets of days and times as few structured calendars.
- `firings`: when a schedule fires; `describe`: its texts in the Temporal UI.
"""
