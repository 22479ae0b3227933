"""Compare desired with live schedules: one decision a schedule, within the project's policy."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from zoneinfo import ZoneInfo

from planner.errors import Lint
from planner.model import Horizon, Policy, demand_words
from planner.plan.live import (
    has_boost,
    keep_operator_pause,
    missed,
    next_occurrences,
    occurrences,
    pause_reason,
    pause_remarks,
    paused_note,
    running,
    under_way,
)
from planner.plan.model import (
    Action,
    Cause,
    Change,
    DesiredState,
    Field,
    LiveSchedule,
    Plan,
    Running,
    differences,
    live_schedule,
    same_rule,
    with_derived,
)
from planner.schedules.spec import Schedule, Stamp, note_mark, read_stamp, stamped
from workflows.contract import lease_of, occurrence_of, to_wall

LOW_HORIZON = timedelta(days=120)
"""A dated schedule whose dates end sooner than this gets a warning."""


_NOTHING: Mapping[str, str] = MappingProxyType({})

ADOPTER = "an operator, before it was adopted"

DATED_FIELDS = frozenset(
    {"tru", "workers", "combine", "until", "duration", "length", "times", "lead"}
)
"""Fields that apply from the next occurrence on; a running one keeps its lease."""

HORIZON_FIELDS = frozenset(
    {"times", "horizon", "ends", "duration", "usual length", "catch-up window"}
)
"""Fields that may differ where only the horizon moved, since later occurrences differ."""


def ids_to_describe(state: DesiredState, listed: Mapping[str, LiveSchedule]) -> tuple[str, ...]:
    """Return the ids of *listed* schedules that must be described to be compared.

    The list is enough for a schedule that has the desired stamp, pause and note there. A
    schedule to be deleted is always described: its running boosts must be known.
    """
    desired = {schedule.id: schedule for schedule in state.schedules}
    found = []
    for id, live in listed.items():
        own = desired.get(id)
        if own and live.project == state.project and live.stamp and live.stamp == stamp_of(own):
            kept = keep_operator_pause(own, live)
            if (kept.paused, kept.note) == (live.paused, live.note):
                continue
        found.append(id)
    return tuple(sorted(found))


def is_neighbour(live: LiveSchedule, names: Collection[str], desired: Collection[str]) -> bool:
    """Tell whether *live* belongs to a project not among *names*, and isn't in *desired*."""
    return live.project not in ("", *names) and live.id not in desired


def start_candidates(
    state: DesiredState, live: Mapping[str, LiveSchedule], horizon: Horizon
) -> dict[str, Schedule]:
    """Return the desired schedules with a firing due in *horizon* that *live* doesn't show.

    Paused schedules, by a file or an operator, are left out.
    """
    found = {}
    for schedule in state.schedules:
        there = live.get(schedule.id, LiveSchedule(id=schedule.id))
        kept = keep_operator_pause(schedule, there)
        if not kept.paused and missed(kept, there, horizon):
            found[schedule.id] = kept
    return found


def boosts_to_check(
    state: DesiredState, live: Mapping[str, LiveSchedule], now: datetime
) -> tuple[str, ...]:
    """Return the ids of schedules whose running boosts the plan has to know from the keeper.

    Where boosts follow, those of all schedules; else those of schedules that were described,
    since they differ.
    """
    desired = {one.id: one for one in state.schedules if state.follow}
    return tuple(
        id
        for id, one in live.items()
        if one.project in state.names
        and (own := one.schedule or desired.get(id))
        and has_boost(own, one, now)
    )


def depends_on_clock(
    candidates: Mapping[str, Schedule], live: Mapping[str, LiveSchedule], horizon: Horizon
) -> bool:
    """Tell whether the plan's starts depend on the instant within *horizon*.

    They do where an occurrence without a boost becomes due in it, or ends in it.
    """
    return any(
        nominal > horizon.start or occurrence_of(schedule.request, nominal)[1] <= horizon.end
        for id, schedule in candidates.items()
        for nominal in missed(schedule, live.get(id, LiveSchedule(id=id)), horizon)
    )


def diff(
    state: DesiredState,
    live: Mapping[str, LiveSchedule],
    now: datetime,
    *,
    candidates: Collection[str] | None = None,
    written: Mapping[str, str] = _NOTHING,
) -> Plan:
    """Return the plan that makes the *live* schedules the desired ones.

    Args:
        state: What the files define.
        live: By id: the project's own, any other under a desired id or for its namespaces.
        now: The instant of the plan; schedules that have ended by then are not created.
        candidates: The ids that may have something to start, where known (`start_candidates`).
        written: Digests that the last sync left, by id: one that is gone was deleted by hand.
    """
    desired = {schedule.id: schedule for schedule in state.schedules}
    neighbours = {id: one for id, one in live.items() if is_neighbour(one, state.names, desired)}
    live = {id: one for id, one in live.items() if id not in neighbours}
    renamed = renames(state, live)
    decided = [
        *(rename(desired[id], live[former], now) for id, former in renamed.items()),
        *(
            decide(
                one,
                live.get(id),
                state.project,
                now,
                former=state.former,
                settled=candidates is not None and id not in candidates,
                written=written.get(id, ""),
                follow=state.follow,
            )
            for id, one in desired.items()
            if id not in renamed
        ),
        *(delete(live[id], now) for id in live.keys() - desired.keys() - set(renamed.values())),
    ]
    changes = sorted(filter(None, decided), key=lambda change: change.id)
    changes = [_followed(one) for one in changes] if state.follow else changes
    kept, left = _by_policy(state.policy, changes)
    return Plan(
        project=state.project,
        changes=tuple(change for change in kept if change.action != "unchanged" or change.remarks),
        unchanged=sum(change.action == "unchanged" for change in kept),
        owned=sum(one.project in state.names and not one.has_ended for one in live.values()),
        warnings=(*left, *_warnings(kept, now)),
        neighbours=tuple(one for _, one in sorted(neighbours.items()) if not one.has_ended),
    )


def _by_policy(policy: Policy, changes: list[Change]) -> tuple[list[Change], list[Lint]]:
    """Return the changes that *policy* allows, and a warning for each of the others."""
    kept, left = [], []
    for change in changes:
        if policy == "create-only":
            allowed = change.action in ("create", "start", "unchanged")
        else:
            allowed = policy == "sync" or change.action != "delete"
        if allowed:
            kept.append(change)
        else:
            words = f"{change.key}: {change.action} left undone by policy {policy}"
            left.append(Lint("planner.yaml", 0, "left-by-policy", words))
    return kept, left


def _warnings(changes: list[Change], now: datetime) -> list[Lint]:
    """Return warnings about dates that end soon and about unchanged schedules with remarks."""
    found = []
    for change in changes:
        covers = change.desired.covers_until if change.desired else None
        if covers and covers - now < LOW_HORIZON:
            words = f"{change.key}: its dates end on {covers:%Y-%m-%d}; sync again before"
            found.append(Lint("", 0, "extend-soon", words))
        if change.action == "unchanged":
            found += [Lint("", 0, "paused", f"{change.key}: {words}") for words in change.remarks]
    return found


def stamp_of(schedule: Schedule) -> Stamp | None:
    """Return the stamp that *schedule* bears, or would bear once stamped."""
    comment = schedule.calendars[0].comment
    return read_stamp(comment) or read_stamp(stamped(schedule).calendars[0].comment)


def decide(
    desired: Schedule,
    live: LiveSchedule | None,
    project: str,
    now: datetime,
    *,
    former: str = "",
    settled: bool = False,
    written: str = "",
    follow: bool = False,
) -> Change | None:
    """Return the change that makes *live* the *desired* schedule; None where it has ended.

    Args:
        desired: The schedule that the files define.
        live: The one on the server; None without one.
        project: The project of the files.
        now: The instant of the plan.
        former: The name that the project had before; empty without one.
        settled: Whether every occurrence under way has a boost.
        written: The digest of the schedule that the last sync left.
        follow: Whether running boosts follow the schedule.
    """
    if live is None:
        return _create(desired, now, written)
    if former and live.project == former and live.schedule:
        return rename(desired, live, now)
    if live.project != project:
        return _adopt(desired, live, now)
    desired = keep_operator_pause(desired, live)
    change = Change(
        action="unchanged",
        id=desired.id,
        desired=desired,
        live=live,
        remarks=pause_remarks(live),
    )
    if live.schedule is not None:
        change = _update(change, desired, live.schedule, now)
    if change.action == "unchanged" and not settled:
        change = _start(change, desired, live, now)
    if change.action == "unchanged" and follow and not live.paused_by_operator:
        change = _follow(change, desired, live, now)
    return change


def renames(state: DesiredState, live: Mapping[str, LiveSchedule]) -> dict[str, str]:
    """Return the former id of each schedule that a rename makes, by its new id.

    The former one must be ours, described and gone from the files, and the new one must not
    be there yet. Without leave to delete, nothing is renamed.
    """
    desired = {schedule.id for schedule in state.schedules}
    found: dict[str, str] = {}
    for id, former in state.renamed.items() if state.policy == "sync" else ():
        there = live.get(former)
        if (
            id in desired - live.keys()
            and former not in desired
            and former not in found.values()
            and there
            and there.project in state.names
            and there.schedule is not None
        ):
            found[id] = former
    return found


def rename(desired: Schedule, live: LiveSchedule, now: datetime) -> Change:
    """Return the change that makes *desired* in place of *live*, of its window's former name.

    Or of its project's. Running boosts follow a new name of the window: the lease passes to it in
    one step. Under the same name it stays as it is, and so it does where the new name has no
    occurrence under way that could take it: it lasts to its end.
    """
    desired = keep_operator_pause(desired, live)
    there = live_schedule(Change(action="rename", id=desired.id, live=live))
    fields = with_derived((*differences(there, desired), *_state_fields(there, desired)))
    fields = tuple(replace(one, derived=one.derived or one.name == "window") for one in fields)
    after = next_occurrences(desired, now)
    boosts = running(live, now)
    moved = live.id != desired.id
    return Change(
        action="rename",
        id=desired.id,
        fields=tuple(_with_start(found, desired, after) for found in fields),
        desired=desired,
        live=live,
        reason=f"renamed from {live.window}" if moved else f"of the project {live.project}",
        cause="files",
        before=next_occurrences(there, now),
        after=after,
        starts=_missed(desired, live, now),
        running=boosts,
        follow=moved and bool(boosts) and _takes_over(desired, boosts, now),
        remarks=pause_remarks(live),
    )


def _takes_over(desired: Schedule, boosts: Collection[Running], now: datetime) -> bool:
    """Tell whether *desired* has an occurrence under way for each of *boosts*: none would end."""
    firings = () if desired.paused else under_way(desired, now)
    starts = {occurrence_of(desired.request, at)[0] for at in firings}
    return all(boost.start in starts for boost in boosts)


def _followed(change: Change) -> Change:
    """Return *change* with its running boosts following it.

    An operator who pauses a window lets its boosts last to their end; a deletion ends them.
    """
    by_operator = change.live is not None and change.live.paused_by_operator
    if by_operator and change.action != "delete":
        return change
    return replace(change, follow=bool(change.running))


def delete(live: LiveSchedule, now: datetime) -> Change:
    """Return the deletion of a schedule whose window is gone from the files."""
    return Change(
        action="delete",
        id=live.id,
        live=live,
        reason="ended, and no longer in the files" if live.has_ended else "no longer in the files",
        cause="files",
        before=next_occurrences(live.schedule, now) if live.schedule else (),
        running=running(live, now),
        remarks=pause_remarks(live),
    )


def _create(desired: Schedule, now: datetime, written: str) -> Change | None:
    """Return the creation of *desired*; None where no occurrence is left.

    *written* is the digest that the last sync left it with; empty where it made none. A
    schedule that is unchanged in the files and has occurrences left hasn't ended: it was
    deleted by hand.
    """
    starts = () if desired.paused else tuple(under_way(desired, now))
    after = next_occurrences(desired, now)
    if not after and not starts:
        return None
    stamp = stamp_of(desired)
    reason = "gone since the last sync, and changed in the files"
    if not written:
        reason = "new in the files"
    elif stamp and stamp.digest == written:
        reason = "deleted by hand since the last sync"
    remarks = _start_remarks(starts)
    if desired.paused and stamp and stamp.note != note_mark(desired.note):
        words = pause_reason(desired.note)
        kept = f"its adoption broke off; it was paused by an operator, and stays so: “{words}”"
        remarks = (kept, *remarks)
    return Change(
        action="create",
        id=desired.id,
        desired=desired,
        reason=reason,
        cause="hand" if written else "files",
        after=after,
        starts=starts,
        remarks=remarks,
    )


def _adopt(desired: Schedule, live: LiveSchedule, now: datetime) -> Change:
    """Return the adoption of a schedule that has our id but another or no owner."""
    ours, desired = desired.note, keep_operator_pause(desired, live)
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
    """Return *change* as the update of the described schedule *there* to *desired*, if any."""
    assert change.live is not None
    fields = (*differences(there, desired), *_state_fields(there, desired))
    fields = (*change.live.deviations, *fields)
    after = next_occurrences(desired, now)
    boosts = running(change.live, now)
    starts = _missed(desired, change.live, now)
    if not after and not boosts and not starts and change.live.has_ended:
        return change
    action, reason, cause = _action(fields, there, desired, change.live, now)
    if action == "unchanged":
        return change
    fields = fields if cause == "hand" else with_derived(fields)
    return replace(
        change,
        action=action,
        fields=tuple(_with_start(found, desired, after) for found in fields),
        reason=reason,
        cause=cause,
        before=next_occurrences(there, now),
        after=after,
        starts=starts,
        running=boosts,
        remarks=(*change.remarks, *_start_remarks(starts)),
    )


def _start(change: Change, desired: Schedule, live: LiveSchedule, now: datetime) -> Change:
    """Return *change* as the start of the occurrences under way that did not fire, if any.

    Causes: a pause that ended in the middle, a server that was down for too long, a sync
    too close to a firing.
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


def _follow(change: Change, desired: Schedule, live: LiveSchedule, now: datetime) -> Change:
    """Return *change* as the one that makes its running boosts follow *desired*, if any must.

    They must where the keeper holds another lease than the schedule would request now. One
    without a lease was released, and stays so.
    """
    boosts = [boost for boost in running(live, now) if boost.has_lease]
    firings = () if desired.paused else under_way(desired, now)
    leases = {lease.start: lease for lease in (lease_of(desired.request, at) for at in firings)}
    fields = []
    for boost in boosts:
        lease = leases.get(boost.start)
        before = _granted(boost.demand, boost.end)
        after = (
            _granted(demand_words(lease.tru, lease.workers), lease.until) if lease else "released"
        )
        if before != after:
            fields.append(Field("running boost", before, after))
    if not fields:
        return change
    return replace(
        change,
        action="follow",
        fields=tuple(fields),
        reason="granted before its window changed",
        running=tuple(boosts),
    )


def _granted(demand: str, until: datetime) -> str:
    return f"{demand} until {until:%Y-%m-%d %H:%M}Z"


def _missed(desired: Schedule, live: LiveSchedule, now: datetime) -> tuple[datetime, ...]:
    """Return the firings of *desired* to start at once; none where it is paused."""
    return () if desired.paused else missed(desired, live, Horizon(now, now))


_WHEN = frozenset({"times", "timezone", "horizon", "ends"})
"""Fields that differ where a rule fires at other times, or is said in another form."""


def _action(
    fields: tuple[Field, ...], there: Schedule, desired: Schedule, live: LiveSchedule, now: datetime
) -> tuple[Action, str, Cause]:
    """Return the action for the differing *fields*, the reason for it, and who caused it."""
    stamp, ours = live.stamp, stamp_of(desired)
    if not fields:
        if stamp == ours:
            return "unchanged", "", ""
        if stamp and stamp.is_draft:
            return "update", "the last sync of it broke off before it was done", ""
        return (
            "update",
            "its stamp is missing or of another version; all else is as it should be",
            "",
        )
    names = {found.name for found in fields}
    reached, reaches = there.covers_until, desired.covers_until
    if reached and reaches and reached < reaches and names <= HORIZON_FIELDS:
        common = Horizon(now, reached - timedelta(seconds=there.request.ahead_seconds))
        if occurrences(there, common) == occurrences(desired, common):  # past ones may be gone
            return "extend", f"its dates now reach to {reaches:%Y-%m-%d}", ""
    if names <= {"paused", "note"} and there.paused != desired.paused:
        if not live.note_is_ours:  # a pause by hand always rewrites the note
            return "update", "changed by hand since the last sync", "hand"
        return "update", f"{'' if desired.paused else 'no longer '}paused in the files", "files"
    if stamp and ours and (stamp.digest, stamp.note) == (ours.digest, ours.note):
        # The files are as they were at the sync that wrote the stamp.
        return "update", "changed by hand since the last sync", "hand"
    if live.drifted and stamp is not None:
        return "update", "changed in the files, and by hand since the last sync", "both"
    if names <= _WHEN and same_rule(fields):
        return "update", "its holidays, its .ics files or the time zone's data changed", "files"
    return "update", "changed in the files", "files"


def _state_fields(there: Schedule, desired: Schedule) -> tuple[Field, ...]:
    """Return the differences in pause and note."""
    found = []
    if there.paused != desired.paused:
        words = {True: "yes", False: "no"}
        found.append(Field("paused", words[there.paused], words[desired.paused]))
    if there.note != desired.note:
        found.append(Field("note", f"“{there.note}”", f"“{desired.note}”"))
    return tuple(found)


def _with_start(
    found: Field, desired: Schedule, after: tuple[tuple[datetime, datetime], ...]
) -> Field:
    """Return *found* with the local date from which it applies."""
    if found.name not in DATED_FIELDS or not after:
        return found
    wall = to_wall(after[0][0], ZoneInfo(desired.request.timezone))
    return replace(found, since=f"{wall:%Y-%m-%d}")


def _start_remarks(starts: tuple[datetime, ...]) -> tuple[str, ...]:
    """Return the remark on occurrences that are started at once."""
    if not starts:
        return ()
    return ("an occurrence is under way: it is started at once, for the rest of it",)
