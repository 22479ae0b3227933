"""Rehearsals: the coming year through the real workflows, with skipped time.

Two independent roads meet here. What happened comes from the compiled schedules, fired one
by one through the real workflows; what is expected comes from the occurrences.

- `plan`: the year cut into independent parts; the result, held against the timeline, as text.
- `environment`: a server whose clock skips, a simulator on that clock, a worker.
- `run`: parts side by side, each in a process of its own.
"""
