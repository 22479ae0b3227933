"""The decision: what becomes of one schedule, and the words for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from planner.diff.fields import Field, differences
from planner.diff.firings import missed, next_occurrences, occurrences, running, under_way
from planner.diff.operators import keep_operators, pause_remarks
from planner.diff.pause import paused_note, why_paused
from planner.diff.plan import Action, Change, Live
from planner.model import Horizon
from planner.schedules.spec import Schedule, Stamp, note_mark, read_stamp, stamped
from workflows.contract import occurrence_of, to_wall

ADOPTER = "somebody, before it was adopted"

DATED_FIELDS = frozenset({"tru", "combine", "until", "duration", "length", "times", "lead"})
"""Fields that count from the next occurrence on; a running one keeps what it was granted."""

HORIZON_FIELDS = frozenset(
    {"times", "horizon", "ends", "duration", "usual length", "catch-up window"}
)
"""Fields that may differ where only the horizon moved: occurrences further on differ."""


def stamp_of(schedule: Schedule) -> Stamp | None:
    """Return the stamp that *schedule* bears, or would bear once stamped."""
    comment = schedule.calendars[0].comment
    return read_stamp(comment) or read_stamp(stamped(schedule).calendars[0].comment)


def decide(
    desired: Schedule, live: Live | None, project: str, now: datetime, *, settled: bool = False
) -> Change | None:
    """Return what becomes of *desired*; None where it has ended and isn't there.

    *settled* says that nothing of it is under way without having been asked for.
    """
    if live is None:
        return _create(desired, now)
    if live.project != project:
        return _adopt(desired, live, now)
    desired = keep_operators(desired, live)
    change = Change(
        action="unchanged",
        id=desired.id,
        desired=desired,
        live=live,
        remarks=pause_remarks(live),
    )
    if live.schedule is not None:
        change = _update(change, desired, live.schedule, now)
    if settled or change.action != "unchanged":
        return change
    return _start(change, desired, live, now)


def delete(live: Live, now: datetime) -> Change:
    """Return the deletion of a schedule of ours that the files no longer ask for."""
    return Change(
        action="delete",
        id=live.id,
        live=live,
        reason="ended, and no longer in the files" if live.has_ended else "no longer in the files",
        before=next_occurrences(live.schedule, now) if live.schedule else (),
        running=running(live, now),
        remarks=pause_remarks(live),
    )


def _create(desired: Schedule, now: datetime) -> Change | None:
    """Return the making of *desired*; None where nothing of it is left to come."""
    starts = () if desired.paused else tuple(under_way(desired, now))
    after = next_occurrences(desired, now)
    if not after and not starts:
        return None
    return Change(
        action="create",
        id=desired.id,
        desired=desired,
        reason="new in the files",
        after=after,
        starts=starts,
        remarks=(*_kept_remarks(desired), *_start_remarks(starts)),
    )


def _adopt(desired: Schedule, live: Live, now: datetime) -> Change:
    """Return the taking over of a schedule under our id that isn't ours."""
    ours, desired = desired.note, keep_operators(desired, live)
    if live.paused:
        # A pause with our own note would be read as ours, and undone by the next sync.
        kept = live.note if live.note != ours else paused_note(ADOPTER, "", ours)
        desired = replace(desired, paused=True, note=kept)
    owner = f"project {live.project!r}" if live.project else "nobody"
    return Change(
        action="adopt",
        id=desired.id,
        desired=desired,
        live=live,
        reason=f"it is there and marked by {owner}; the mark can't be changed, "
        "so it is deleted and made anew, its pause kept",
        before=next_occurrences(live.schedule, now) if live.schedule else (),
        after=next_occurrences(desired, now),
        starts=_missed(desired, live, now),
        running=running(live, now),
    )


def _update(change: Change, desired: Schedule, there: Schedule, now: datetime) -> Change:
    """Return *change* as the update of the described schedule *there* to *desired*."""
    assert change.live is not None
    fields = (*differences(there, desired), *_state_fields(there, desired))
    fields = (*change.live.deviations, *fields)
    after = next_occurrences(desired, now)
    boosts = running(change.live, now)
    starts = _missed(desired, change.live, now)
    if not after and not boosts and not starts and change.live.has_ended:
        return change
    action, reason = _kind(fields, there, desired, change.live, now)
    if action == "unchanged":
        return change
    return replace(
        change,
        action=action,
        fields=tuple(_since(found, desired, after) for found in fields),
        reason=reason,
        before=next_occurrences(there, now),
        after=after,
        starts=starts,
        running=boosts,
        remarks=(*change.remarks, *_start_remarks(starts)),
    )


def _start(change: Change, desired: Schedule, live: Live, now: datetime) -> Change:
    """Return *change* as the start of what is under way and did not fire, if anything is.

    Whoever caused that: a pause that ended in the middle, a server that was down for too
    long, a sync that came too close to a firing.
    """
    starts = _missed(desired, live, now)
    if not starts:
        return change
    return replace(
        change,
        action="start",
        reason="under way and not started",
        before=tuple(occurrence_of(desired.request, nominal) for nominal in starts),
        starts=starts,
    )


def _missed(desired: Schedule, live: Live, now: datetime) -> tuple[datetime, ...]:
    """Return the firings of *desired* to be started at once; none of what is to be paused."""
    return () if desired.paused else missed(desired, live, Horizon(now, now))


def _kind(
    fields: tuple[Field, ...], there: Schedule, desired: Schedule, live: Live, now: datetime
) -> tuple[Action, str]:
    """Return the kind of change that *fields* make, and the reason for it."""
    if not fields:
        if live.stamp == stamp_of(desired):
            return "unchanged", ""
        if live.stamp and live.stamp.is_draft:
            return "update", "the last sync of it broke off before it was done"
        return "update", "its stamp is missing or of another version; all else is as it should be"
    if _only_further(fields, there, desired, now):
        return "extend", f"its dates now reach to {desired.covers_until:%Y-%m-%d}"
    if live.stamp == stamp_of(desired):
        return "update", "changed by hand since the last sync"
    if {found.name for found in fields} <= {"times", "horizon", "ends"}:
        return "update", "its rule, its holidays or the time zone's data changed"
    return "update", "changed in the files"


def _only_further(
    fields: tuple[Field, ...], there: Schedule, desired: Schedule, now: datetime
) -> bool:
    """Tell whether *desired* is *there* with dates that reach further, and nothing else.

    Dates that are past may be gone.
    """
    if not there.covers_until or not desired.covers_until:
        return False
    if desired.covers_until <= there.covers_until:
        return False
    if not {found.name for found in fields} <= HORIZON_FIELDS:
        return False
    common = Horizon(now, there.covers_until - timedelta(seconds=there.request.ahead_seconds))
    return occurrences(there, common) == occurrences(desired, common)


def _state_fields(there: Schedule, desired: Schedule) -> tuple[Field, ...]:
    """Return what differs in pause and note."""
    found = []
    if there.paused != desired.paused:
        words = {True: "yes", False: "no"}
        found.append(Field("paused", words[there.paused], words[desired.paused]))
    if there.note != desired.note:
        found.append(Field("note", f"“{there.note}”", f"“{desired.note}”"))
    return tuple(found)


def _since(found: Field, desired: Schedule, after: tuple[tuple[datetime, datetime], ...]) -> Field:
    """Return *found* with the local date from which on it counts."""
    if found.name not in DATED_FIELDS or not after:
        return found
    wall = to_wall(after[0][0], ZoneInfo(desired.request.timezone))
    return replace(found, since=f"{wall:%Y-%m-%d}")


def _kept_remarks(desired: Schedule) -> tuple[str, ...]:
    """Return what there is to say where *desired* is made with an operator's pause."""
    stamp = stamp_of(desired)
    if not desired.paused or stamp is None or stamp.note == note_mark(desired.note):
        return ()
    words = why_paused(desired.note)
    return (f"its adoption broke off; it was paused by an operator, and stays so: “{words}”",)


def _start_remarks(starts: tuple[datetime, ...]) -> tuple[str, ...]:
    """Return what there is to say of occurrences under way."""
    if not starts:
        return ()
    return ("an occurrence is under way: it is started at once, for the rest of it",)
