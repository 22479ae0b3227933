"""The codes of all warnings with their meanings, as in the manual; codes are stable.

Warnings about the files, about when windows run, about ``.ics`` files, and about a plan:
every module's codes are here, which a test proves.
"""

from __future__ import annotations

CODES = {
    "needless-boost": "The demand is within what the namespace has anyway: its baseline, or the "
    "500 APS that on-demand always allows.",
    "rounded-up": "The TRU value can't be had; the next allowed one is taken.",
    "shorter-than-lead": "An occurrence is shorter than the lead: more time is paid than used.",
    "short-lead": "The lead is shorter than the two minutes that provisioning takes.",
    "day-match-unneeded": "No cron of the window restricts both day fields: day_match says "
    "nothing.",
    "no-calendars": "There is no calendar: a sync would delete every schedule of the project.",
    "no-windows": "The calendar has no window.",
    "clock-change": "A start falls on a time that the clock skips or shows twice.",
    "whole-days": "A duration of whole days goes over a clock change and ends at another time than "
    "it began.",
    "always-covered": "Whenever the window runs, another max window runs that asks for as much.",
    "adds-to-nothing": "A window adds, but no other runs with it, and no baseline in TRU is "
    "declared.",
    "capped": "Windows that add up ask for more than can be had together.",
    "cron-dialect": "croniter, and so Airflow and many others, reads the cron differently.",
    "crowded": "More than ten namespaces are raised within a few minutes; the API changes ten "
    "at a time.",
    "recurrence-ends": "The last start of a recurrence is in sight.",
    "horizon-low": "Written dates, events or holidays run out soon.",
    "stale-copy": "The copy of a remote calendar was fetched 30 days ago or earlier.",
    "window-over": "The window has no start ahead of today.",
    "many-calendars": "The window takes more calendars of a Temporal Schedule than is good.",
    "ics-ignored": "Something broken in an `.ics` file is ignored: nothing that counts depends "
    "on it.",
    "ics-tolerated": "An event breaks RFC 5545; the warning says how it is read.",
    "ambiguous-day": "A day of an event of whole days is written as a time in UTC, and the file "
    "names no zone.",
    "no-events": "The `.ics` file has no event.",
    "exdate-excludes-nothing": "An EXDATE names no occurrence of its event: nothing is excluded.",
    "change-of-nothing": "A RECURRENCE-ID names no occurrence of its series: the event counts by "
    "itself, besides.",
    "left-by-policy": "The project's policy leaves a change undone.",
    "shared-namespace": "Another project has windows for this namespace, too.",
    "extend-soon": "The dates of a schedule end within 120 days; sync again before.",
    "server-time-zones": "The server reads a time zone by another table than the planner: the "
    "windows of the zone are written as dates in UTC.",
    "paused": "An operator paused the schedule; a sync leaves it so.",
}
