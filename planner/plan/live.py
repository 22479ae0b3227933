"""What live schedules say: their firings, pauses by operators, and what they declare.

The note of a paused schedule says who paused and why, followed by the note before the pause.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from types import MappingProxyType
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from planner.errors import Lint, Refused, did_you_mean
from planner.model import GuardRails, Horizon, merge_spans
from planner.plan.model import LiveSchedule, Plan, Running
from planner.schedules.spec import CUT, Schedule, ScheduleTimes, shortened, upcoming
from workflows.contract import (
    BoostRequest,
    Combine,
    Declared,
    Fleet,
    Lease,
    Limits,
    Rails,
    format_duration,
    format_instants,
    lease_of,
    occurrence_of,
)

LOOK_AHEAD = timedelta(days=1300)
"""How far ahead the next occurrences are searched: a leap day recurs in four years."""

FURTHEST_BACK = timedelta(days=400)
"""Longer than any window with its lead. Limits the search, since an operator may have given
a schedule a longer catch-up window."""

SHOWN = 3
"""How many next occurrences a plan shows."""

LONGEST_FOLLOWED = timedelta(days=2)
"""How long ago a boost at least may have fired that still runs, since its window became
shorter meanwhile."""

_INSTANT = timedelta(microseconds=1)


def next_occurrences(
    schedule: Schedule, now: datetime, count: int = SHOWN
) -> tuple[tuple[datetime, datetime], ...]:
    """Return the first *count* occurrences whose firings come after *now*."""
    return tuple(
        occurrence_of(schedule.request, nominal) for nominal in next_firings(schedule, now, count)
    )


def occurrences(schedule: Schedule, horizon: Horizon) -> list[tuple[datetime, datetime]]:
    """Return the occurrences whose firings lie in *horizon*."""
    return [occurrence_of(schedule.request, at) for at in _upcoming(schedule, horizon)]


def firings_in(times: ScheduleTimes, horizon: Horizon) -> tuple[datetime, ...]:
    """Return the nominal times of a schedule's firings in *horizon*."""
    return tuple(_upcoming(times, horizon))


def next_firings(schedule: Schedule, now: datetime, count: int = SHOWN) -> list[datetime]:
    """Return the nominal times of the first *count* firings after *now*."""
    ahead = Horizon(now + _INSTANT, now + LOOK_AHEAD)
    return list(islice(_upcoming(schedule, ahead), count))


def coming_firings(live: LiveSchedule, now: datetime, count: int) -> list[datetime]:
    """Return the nominal times of the first *count* firings of *live* that are to come at *now*.

    One that its jitter delays is among them, although its nominal time is past. None where
    *live* is not described.
    """
    schedule = live.schedule
    if schedule is None:
        return []
    ahead = Horizon(now - schedule.jitter + _INSTANT, now + LOOK_AHEAD)
    coming = (
        nominal
        for nominal in _upcoming(schedule, ahead)
        if nominal not in live.fired and _start(schedule, nominal) > now
    )
    return list(islice(coming, count))


def under_way(schedule: Schedule, now: datetime) -> list[datetime]:
    """Return the nominal times of the occurrences due by *now* that haven't ended.

    Searches back as far as the catch-up window, which is as long as the longest occurrence.
    """
    return due(schedule, Horizon(now, now))


def due(schedule: Schedule, horizon: Horizon) -> list[datetime]:
    """Return the nominal times of the occurrences that are under way anywhere in *horizon*.

    They are due by its end, inclusive, and have not ended at its start.
    """
    past = Horizon(
        horizon.start - min(schedule.catchup_window, FURTHEST_BACK), horizon.end + _INSTANT
    )
    return [
        nominal
        for nominal in _upcoming(schedule, past)
        if occurrence_of(schedule.request, nominal)[1] > horizon.start
    ]


def missed(desired: Schedule, live: LiveSchedule, horizon: Horizon) -> tuple[datetime, ...]:
    """Return the firings of *desired* due in *horizon* for which *live* has no boost.

    Occurrences are compared by their start, since a longer lead moves the firing. Not
    missed are those that *live* has fired for, is about to fire for, or has in `requested`.
    """
    own = live.schedule or desired
    seen = {_start(own, nominal) for nominal in live.fired} | live.requested | live.about_to_fire
    return tuple(
        nominal for nominal in due(desired, horizon) if _start(desired, nominal) not in seen
    )


def about_to_fire(desired: Schedule, live: LiveSchedule, since: datetime) -> frozenset[datetime]:
    """Return the starts of the occurrences of *desired* that the server is about to fire for.

    A firing is delayed by less than the jitter. One that was due before *since* will not
    come any more. The server shows a limited number of upcoming firings; those beyond the
    last one are not returned.
    """
    coming = [at for at in live.upcoming if at > since]
    if not coming:
        return frozenset()
    span = Horizon(coming[0] - desired.jitter, coming[-1] + _INSTANT)
    return frozenset(
        _start(desired, nominal)
        for nominal in _upcoming(desired, span)
        if any(nominal <= at <= nominal + desired.jitter for at in coming)
    )


def running(live: LiveSchedule, now: datetime) -> tuple[Running, ...]:
    """Return the boosts of the last firings of *live* whose occurrences haven't ended.

    What the keeper granted counts, where it is known: a schedule that was changed since says
    what its next boost will request. Two firings for one start are one boost.
    """
    if live.schedule is None:
        return ()
    leases = {lease.key: lease for lease in live.leases or ()}
    found = {}
    for nominal in dict.fromkeys(live.fired):
        own = lease_of(live.schedule.request, nominal)
        lease = leases.get(own.key, own)
        if nominal <= now < lease.until:
            known = None if live.leases is None else own.key in leases
            workers = tuple(sorted(lease.workers.items()))
            found[own.start] = Running(
                own.start, lease.until, lease.tru, nominal, known, workers=workers
            )
    return tuple(found.values())


def has_boost(schedule: Schedule, live: LiveSchedule, now: datetime) -> bool:
    """Tell whether *live* fired, by *schedule*, for an occurrence that may be under way."""
    reach = now - max(schedule.catchup_window, LONGEST_FOLLOWED)
    return any(reach < nominal <= now for nominal in live.fired)


def _start(schedule: Schedule, nominal: datetime) -> datetime:
    return occurrence_of(schedule.request, nominal)[0]


def _upcoming(schedule: ScheduleTimes, horizon: Horizon) -> Iterator[datetime]:
    """Yield the firings in *horizon*; none for a time zone that only the server knows."""
    try:
        ZoneInfo(schedule.timezone)
    except (ZoneInfoNotFoundError, ValueError):
        return iter(())
    return upcoming(schedule, horizon)


SEPARATOR = " | "
PREFIX = "Paused by "

PATCH_NOTE_LIMIT = 1_000
"""Bytes that the server allows in the note of a pause or unpause request."""

WORDS_LIMIT = 200
"""Bytes reserved for who paused and why, however long the note before is."""

NOTE_ROOM = PATCH_NOTE_LIMIT - len(SEPARATOR) - WORDS_LIMIT
"""Bytes of the note before the pause that are kept."""

UNNAMED = "resumed"
"""The note of a resumed schedule that had none; the next sync replaces it."""


IDLE_NOTES = ("(no reason provided)", "unpaused", "resumed")
"""How notes begin that the UI, the CLI and the SDKs write when they resume a schedule."""


def paused_note(by: str, reason: str, note: str) -> str:
    """Return the note for a pause by *by* with *reason*, followed by the note before it.

    At most `PATCH_NOTE_LIMIT` bytes: a note that a sync wrote is kept whole, longer ones are
    cut.

    >>> paused_note("alice", "freeze", "8 TRU for payroll")
    'Paused by alice: freeze | 8 TRU for payroll'
    """
    why = f": {reason}" if reason else ""
    words = f"{PREFIX}{by}{why}".replace(SEPARATOR, " / ").replace("\n", " ")
    kept = shortened(_before_pause(note), NOTE_ROOM)
    room = PATCH_NOTE_LIMIT - len(SEPARATOR) - len(kept.encode())
    return f"{shortened(words, room)}{SEPARATOR}{kept}"


def resumed_note(note: str) -> str:
    """Return the note that a schedule had before `planner pause`.

    Where that note was cut or is missing, returns `UNNAMED`, which the next sync replaces.

    >>> resumed_note("Paused by alice: freeze | 8 TRU for payroll")
    '8 TRU for payroll'
    """
    before = _before_pause(note)
    size = len(before.encode())
    was_cut = before.endswith(CUT) and size > NOTE_ROOM // 2
    return UNNAMED if not before or was_cut or size > PATCH_NOTE_LIMIT else before


def _before_pause(note: str) -> str:
    if not note.startswith(PREFIX) or SEPARATOR not in note:
        return note
    return note.partition(SEPARATOR)[2]


def pause_reason(note: str) -> str:
    """Return who paused a schedule and why; all of a *note* that `paused_note` didn't make.

    >>> pause_reason("Paused by alice: freeze | 8 TRU for payroll")
    'Paused by alice: freeze'
    """
    return note.partition(SEPARATOR)[0] if note.startswith(PREFIX) else note


def keep_operator_pause(desired: Schedule, live: LiveSchedule) -> Schedule:
    """Return *desired* with the pause and the note that an operator left on *live*."""
    if live.paused_by_operator:
        return replace(desired, paused=True, note=live.note)
    words = live.note.lower()
    idle = not words or words.startswith(IDLE_NOTES)
    return desired if idle or live.note_is_ours else replace(desired, note=live.note)


def pause_remarks(live: LiveSchedule) -> tuple[str, ...]:
    """Return the remark on an operator's pause."""
    if not live.paused_by_operator:
        return ()
    return (f"paused by an operator, and left so: “{pause_reason(live.note)}”",)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A coming occurrence of *namespace* whose lease its keeper refuses: ``planner skip``."""

    namespace: str
    lease: Lease


def skip_warnings(project: str, skipped: Iterable[Skipped]) -> list[Lint]:
    """Return a warning for each of the occurrences of *project* that are *skipped*."""
    found = []
    for one in skipped:
        lease = one.lease
        if lease.project in ("", project):
            why = f": {lease.reason}" if lease.reason else ""
            words = f"{format_instants(lease.start, lease.until)} is skipped, by {lease.by}{why}"
            found.append(Lint("", 0, "skipped", f"{one.namespace}/{lease.window}: {words}"))
    return found


WINDOW_BY_HAND = "by-hand"


def declared_in(schedule: Schedule) -> Declared:
    """Return what *schedule* declares for its namespace."""
    request = schedule.request
    return Declared(
        namespace=request.namespace,
        baseline=request.baseline,
        rails=request.rails,
        revision=request.revision,
        project=schedule.project,
        limits=request.limits,
        baseline_policy=request.baseline_policy,
    )


def newest_declaration(schedules: Iterable[Schedule]) -> Declared | None:
    """Return what *schedules* of one namespace declare; of several the newest counts.

    None without a schedule.
    """
    newest = max(schedules, key=lambda one: (one.request.revision, one.id), default=None)
    return declared_in(newest) if newest else None


def fleets_in(schedules: Iterable[Schedule]) -> dict[str, Fleet]:
    """Return the fleets that *schedules* declare, by name; of several declarations the newest."""
    ordered = sorted(schedules, key=lambda one: (one.request.revision, one.id))
    return {fleet.name: fleet for one in ordered for fleet in one.request.fleets}


NO_WORKERS: Mapping[str, int] = MappingProxyType({})


def request_by_hand(
    namespace: str,
    tru: int,
    length: timedelta,
    declared: Declared | None,
    *,
    combine: Combine,
    by: str,
    reason: str,
    window: str = WINDOW_BY_HAND,
    workers: Mapping[str, int] = NO_WORKERS,
    fleets: Mapping[str, Fleet] = MappingProxyType({}),
) -> BoostRequest:
    """Return the request of a boost by hand, with what is declared for the namespace.

    So its keeper keeps to the rails, and gives back the declared baseline, also where no window
    has run before it.

    Args:
        namespace: The Temporal Cloud namespace.
        tru: The capacity.
        length: How long.
        declared: What its live schedules declare; None where there is none.
        combine: How it counts beside other boosts.
        by: Who requests it.
        reason: Why.
        window: The name under which it counts.
        workers: The replicas, by fleet.
        fleets: The fleets that the live schedules declare: `fleets_in`.
    """
    rails = declared.rails if declared and declared.rails else Rails()
    return BoostRequest(
        namespace=namespace,
        window=window,
        tru=tru,
        ttl_seconds=round(length.total_seconds()),
        combine=combine,
        baseline=declared.baseline if declared else None,
        rails=rails,
        by=by,
        reason=reason,
        project=declared.project if declared else "",
        revision=declared.revision if declared else 0,
        limits=declared.limits if declared else Limits(),
        workers=dict(workers),
        fleets=tuple(fleets[name] for name in sorted(workers) if name in fleets),
    )


def check_by_hand(request: BoostRequest, schedules: Iterable[Schedule], now: datetime) -> None:
    """Hold the boost of *request*, which begins *now*, to the guard rails that it carries.

    The hours of a month are counted as a plan counts them: those of the windows that are open in
    what is left of it, in UTC, together with this boost.

    Raises:
        Refused: It is more than they allow.
    """
    rails = GuardRails.of(request.rails, request.limits)
    length = timedelta(seconds=request.ttl_seconds)
    more = f"more than the guard rails of {request.namespace} allow"
    rail = "the rail in its calendar and sync it"
    schedules = list(schedules)
    _check_workers(request, fleets_in(schedules))
    if above := rails.above_tru(request.tru):
        raise Refused(
            f"{request.tru} TRU are {more} ({above}); boost to at most {rails.most_tru}, or raise "
            f"{rail}"
        )
    if above := rails.above_duration(length):
        raise Refused(
            f"{format_duration(length)} is {more} ({above}); boost for less, or raise {rail}"
        )
    if not request.tru:
        return
    ends = _month_after(now + length)
    spans = [
        occurrence_of(schedule.request, nominal)
        for schedule in schedules
        if schedule.request.tru and not schedule.paused
        for nominal in due(schedule, Horizon(now, ends))
    ]
    for month, boosted in _boosted_by_month([*spans, (now, now + length)], Horizon(now, ends)):
        if above := rails.above_hours(boosted):
            hours = boosted / timedelta(hours=1)
            raise Refused(
                f"{hours:.3g} boosted hours in {month}, with this boost, are {more} ({above}); "
                f"boost for less, or raise {rail}"
            )


def _check_workers(request: BoostRequest, fleets: Mapping[str, Fleet]) -> None:
    """Hold the workers of *request* to the limits of its *fleets*.

    Raises:
        Refused: There is no such fleet, or it may not have as many.
    """
    for name, replicas in sorted(request.workers.items()):
        if name not in fleets:
            known = f"; known there: {', '.join(sorted(fleets))}" if fleets else ""
            hint = did_you_mean(name, list(fleets)) or known
            raise Refused(
                f"no live schedule of {request.namespace} declares a fleet {name!r}{hint}; a "
                "fleet counts once a window with workers of it is synced"
            )
        most = fleets[name].max
        if most is not None and replicas > most:
            raise Refused(
                f"{replicas:,} {name} workers are more than its max of {most:,}; boost to at most "
                f"{most:,}, or raise max in its calendar and sync it"
            )


def _boosted_by_month(
    spans: Iterable[tuple[datetime, datetime]], horizon: Horizon
) -> Iterator[tuple[str, timedelta]]:
    """Yield each calendar month of *horizon*, as ``2027-01``, and how long *spans* cover of it."""
    merged = list(merge_spans(sorted(spans)))
    start = horizon.start
    while start < horizon.end:
        end = min(_month_after(start), horizon.end)
        parts = (min(until, end) - max(begin, start) for begin, until in merged)
        yield f"{start:%Y-%m}", sum((part for part in parts if part > timedelta()), timedelta())
        start = end


def _month_after(instant: datetime) -> datetime:
    """Return when the calendar month, UTC, after that of *instant* begins."""
    first = instant.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + timedelta(days=32)).replace(day=1)


def with_revisions(plan: Plan, now: datetime) -> Plan:
    """Return *plan* with a revision in each schedule that it writes.

    Where the live schedules of a namespace declare the same as the files, their revision is
    kept; else all written schedules of the namespace get a new one, higher than any live
    one. A revision is no difference: the files alone decide what a sync changes.

    Args:
        plan: The plan that is about to be applied.
        now: The server's time; its whole seconds number new declarations.
    """
    revisions = {}
    for namespace in {change.namespace for change in plan.pending}:
        own = [change for change in plan.pending if change.namespace == namespace]
        declared = {_declared(change.desired.request) for change in own if change.desired}
        there = [
            change.live.schedule.request
            for change in own
            if change.live and change.live.schedule and change.live.project == plan.project
        ]
        there = [request for request in there if request.revision]  # 0: written without one
        highest = max((request.revision for request in there), default=0)
        is_kept = there and {_declared(request) for request in there} == declared
        revisions[namespace] = highest if is_kept else max(int(now.timestamp()), highest + 1)
    changes = []
    for change in plan.changes:
        desired = change.desired
        if desired and change.namespace in revisions:
            request = replace(desired.request, revision=revisions[change.namespace])
            changes.append(replace(change, desired=replace(desired, request=request)))
        else:
            changes.append(change)
    return replace(plan, changes=tuple(changes))


def _declared(request: BoostRequest) -> tuple[object, ...]:
    """Return what *request* declares for its namespace."""
    return (
        request.baseline,
        request.rails,
        request.limits,
        request.baseline_policy,
        request.fleets,
    )
