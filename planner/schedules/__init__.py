"""Windows to Temporal Schedules, as values.

- `spec`: the schedule itself, its digest and stamp, and when it fires.
- `compile`: window → schedule with its texts for the Temporal UI, `recurring` where one form
  holds in every year, else dated.
- `calendars`: sets of days and times as few structured calendars.
"""
