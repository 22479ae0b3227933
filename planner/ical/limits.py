"""How much of an iCalendar file is read: more than a calendar needs, less than an attack does.

Each limit refuses with a sentence that names it. They are checked before the work that
they bound, so that any file is answered within seconds and a few hundred megabytes.
"""

from __future__ import annotations

from datetime import timedelta

MAX_TEXT = 1024 * 1024
"""Characters of a file: about 5,000 events as calendar programs export them."""

MAX_LINE = 64 * 1024
"""Characters of a line, once its folds are joined."""

MAX_DEPTH = 10
"""Components inside components: RFC 5545 needs three."""

MAX_EVENTS = 2_000
"""Events of a file, changed occurrences among them."""

MAX_ZONES = 20
"""VTIMEZONE components of a file."""

MAX_OBSERVANCES = 50
"""STANDARD and DAYLIGHT components of one VTIMEZONE."""

MAX_LISTED_DATES = 2_000
"""Values of RDATE and EXDATE of one event, together."""

FIRST_YEAR = 1990
LAST_YEAR = 2100
"""The years that dates may be in; Temporal's calendars end with 2100."""

MAX_LENGTH = timedelta(days=31)
"""How long an event with times may last."""

MAX_ALL_DAY_LENGTH = timedelta(days=366)
"""How long an event of whole days may last: a freeze often reaches over a quarter's end."""

MAX_RULE = 1_000
"""Characters of a recurrence rule."""

MAX_COUNT = 10_000
"""The largest COUNT of a rule."""

MAX_INTERVAL = 1_000
"""The largest INTERVAL of a rule."""

MAX_TIMES_A_DAY = 288
"""Starts of one rule on one day, by BYHOUR, BYMINUTE and BYSECOND: one every five minutes."""

MAX_OCCURRENCES = 10_000
"""Occurrences of one file, or of one rule, in what is asked for."""

MAX_STEPS = 250_000
"""Days and times looked at to answer one question about a file: a second of work."""

MAX_PROBLEMS = 100
"""Problems reported of one file; the rest is counted."""
