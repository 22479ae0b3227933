"""The spans, instants and names that are written as options, read and checked."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from planner.model import Horizon, Project

MOST_NAMED = 5
"""Names that a refusal lists, of those that there are."""

MOST_DAYS = 3660
"""The longest span that is looked at: ten years."""


def horizon_of(start: str, end: str, days: int, now: datetime) -> Horizon:
    """Return the span that ``--from``, ``--to`` and ``--days`` name; ``--to`` wins over days.

    Raises:
        typer.BadParameter: One of them can't be read, or they are the wrong way round.
    """
    from planner.model import Horizon

    first = instant_of(start, "--from") if start else _midnight(now.date())
    last = instant_of(end, "--to") if end else first + timedelta(days=days)
    if last <= first:
        raise typer.BadParameter(f"--to {last:%Y-%m-%d} must be after --from {first:%Y-%m-%d}")
    if last - first > timedelta(days=MOST_DAYS):
        raise typer.BadParameter(f"--from and --to may be {MOST_DAYS} days apart at most")
    return Horizon(first, last)


def instant_of(text: str, option: str, timezone: str = "UTC") -> datetime:
    """Return the UTC instant that *text* names; a day means its midnight.

    Args:
        text: What was written, in the forms of ISO 8601.
        option: The option it was written for.
        timezone: Whose clock it is read by where it has no offset.
    """
    from zoneinfo import ZoneInfo

    from workflows.contract import to_instant

    try:
        parsed = datetime.fromisoformat(text)
        return parsed.astimezone(UTC) if parsed.tzinfo else to_instant(parsed, ZoneInfo(timezone))
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(
            f"{option} {text[:40]!r} is no time; write 2027-01-31 or 2027-01-31T18:00Z"
        ) from error


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def check_names(project: Project, namespaces: Iterable[str], windows: Iterable[str]) -> None:
    """Refuse names that are in no file, with the nearest ones that are.

    Raises:
        typer.BadParameter: One of them is in none.
    """
    known = {calendar.namespace for calendar in project.namespaces}
    for name in namespaces:
        if name not in known:
            raise typer.BadParameter(f"no namespace {name!r} in the calendars{_near(name, known)}")
    shown = {name for window in project.windows for name in (window.name, window.key)}
    for name in windows:
        if name not in shown:
            raise typer.BadParameter(f"no window {name!r} in the calendars{_near(name, shown)}")


def _near(name: str, known: Iterable[str]) -> str:
    """Return what else may have been meant: the nearest name, or else the first few there are."""
    from planner.errors import did_you_mean

    names = sorted(known)
    if hint := did_you_mean(name, names):
        return hint
    shown = ", ".join(names[:MOST_NAMED])
    more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    return f", which have {shown}{more}" if names else ""
