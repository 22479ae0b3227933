"""Which days a list of days is, in words: ``every day``, ``Monday to Friday but for …``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import date, timedelta
from operator import itemgetter

MOST_EXCEPTIONS = 4
"""More exceptions than that are not named, if each is shown by itself anyway."""

_PATTERNS: tuple[tuple[str, Callable[[date], bool]], ...] = (
    ("every day", lambda day: True),
    ("Monday to Friday", lambda day: day.weekday() < 5),
    ("Saturdays and Sundays", lambda day: day.weekday() >= 5),
)


def which_days(days: Sequence[date], others: Collection[date] = ()) -> str:
    """Return in words which days *days* are, of those from the first to the last.

    Args:
        days: The days meant, in order.
        others: Days that are shown by themselves: what departs from a pattern.

    >>> which_days([date(2027, 3, 5), date(2027, 3, 8), date(2027, 3, 9)])
    '3 days: Monday to Friday'
    >>> which_days([date(2027, 3, 1), date(2027, 3, 8), date(2027, 3, 15)])
    '3 days: every Monday'
    >>> which_days([date(2027, 3, 1), date(2027, 3, 2), date(2027, 3, 3), date(2027, 3, 5)])
    '4 days: every day but for Thu 04 Mar'
    """
    between = [days[0] + timedelta(days=n) for n in range((days[-1] - days[0]).days + 1)]
    weekly = (f"every {days[0]:%A}", lambda day: day.weekday() == days[0].weekday())
    fits = []
    for name, holds in (*_PATTERNS, weekly):
        missing = sorted({day for day in between if holds(day)} - set(days))
        few = len(missing) <= min(MOST_EXCEPTIONS, len(days) // 2)
        if all(holds(day) for day in days) and (few or set(missing) <= set(others)):
            fits.append((len(missing), name, missing))
    if not fits:
        return f"{len(days)} days: {_listed(days)}"
    _, name, missing = min(fits, key=itemgetter(0))  # the first of equals
    return f"{len(days)} days: {name}{_exceptions(missing)}"


def _exceptions(missing: Sequence[date]) -> str:
    if not missing:
        return ""
    named = _listed(missing) if len(missing) <= MOST_EXCEPTIONS else "those listed by themselves"
    return f" but for {named}"


def _listed(days: Sequence[date]) -> str:
    return ", ".join(f"{day:%a %d %b}" for day in days)
