"""Parse and check options: horizons, instants, the names of namespaces and windows."""

from __future__ import annotations

import getpass
from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from planner.model import Horizon, Project

MOST_NAMED = 5
"""Known names that a refusal lists."""

MOST_DAYS = 3660
"""The longest horizon: ten years."""


def horizon_of(start: str, end: str, days: int, now: datetime) -> Horizon:
    """Return the horizon of ``--from``, ``--to`` and ``--days``; ``--to`` wins over days.

    Raises:
        typer.BadParameter: One of them isn't a time, or they are in the wrong order.
    """
    from planner.model import Horizon

    first = instant_of(start, "--from") if start else datetime.combine(now.date(), time(), UTC)
    last = instant_of(end, "--to") if end else first + timedelta(days=days)
    if last <= first:
        raise typer.BadParameter(f"--to {last:%Y-%m-%d} must be after --from {first:%Y-%m-%d}")
    if last - first > timedelta(days=MOST_DAYS):
        raise typer.BadParameter(f"--from and --to may be {MOST_DAYS} days apart at most")
    return Horizon(first, last)


def instant_of(text: str, option: str, timezone: str = "UTC") -> datetime:
    """Return *text*, the value of *option*, as an instant in UTC; a day means its midnight.

    Args:
        text: A date or a time, in the forms of ISO 8601.
        option: The name of the option, for the error.
        timezone: The zone of a time without an offset.

    Raises:
        typer.BadParameter: It isn't a time.
    """
    from zoneinfo import ZoneInfo

    from workflows.contract import to_instant

    try:
        parsed = datetime.fromisoformat(text)
        return parsed.astimezone(UTC) if parsed.tzinfo else to_instant(parsed, ZoneInfo(timezone))
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(
            f"{option} {text[:40]!r} is not a time; write 2027-01-31 or 2027-01-31T18:00Z"
        ) from error


def check_names(project: Project, namespaces: Iterable[str], windows: Iterable[str]) -> None:
    """Refuse names that no calendar has, and suggest the nearest.

    Raises:
        typer.BadParameter: A name is in no calendar.
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
    """Return a hint: the nearest of the *known* names, or else the first few."""
    from planner.errors import did_you_mean

    names = sorted(known)
    if hint := did_you_mean(name, names):
        return hint
    shown = ", ".join(names[:MOST_NAMED])
    more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    return f", which have {shown}{more}" if names else ""


def operator() -> str:
    """Return the name of the user who runs the command."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in a container
        return "an operator"
