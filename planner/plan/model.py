"""The values of a plan: desired and live schedules, changes, and the plan's checksum."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal, TypeVar

from planner.errors import Lint
from planner.model import Policy, RequiredTarget, demand_words, spread_of
from planner.schedules.spec import (
    Schedule,
    Stamp,
    StructuredCalendar,
    namespace_of,
    note_mark,
    unstamped,
    window_key,
)
from workflows.contract import BoostRequest, Fleet, Lease, format_duration, format_instant


@dataclass(frozen=True, slots=True)
class Source:
    """Where a project's calendars come from.

    Attributes:
        name: The repository's remote and the path in it
            (``github.com/acme/capacity:calendars``), the `source` of planner.yaml, or the
            directory's path on this machine.
        is_certain: Whether the name is the same on every machine. A directory's path isn't:
            another one may hold the same files.
    """

    name: str
    is_certain: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a plan was made for: server (``HOST:PORT``), Temporal namespace, project, source.

    *timezones* is the version of the tz database that its times were computed with.
    """

    server: str
    namespace: str
    project: str
    source: str = ""
    timezones: str = ""

    def __str__(self) -> str:
        source = f", calendars from {self.source}" if self.source else ""
        zones = f", time zones {self.timezones}" if self.timezones else ""
        return (
            f"Project {self.project} on {self.server}, Temporal namespace "
            f"{self.namespace}{source}{zones}"
        )


def target_refusal(required: RequiredTarget, address: str, namespace: str) -> str:
    """Return why the server at *address* isn't the *required* one; empty if it is."""
    if required.address and required.address != address.lower():
        return (
            f"planner.yaml has temporal.address {required.address}, and this is {address}: "
            f"set TEMPORAL_ADDRESS={required.address}, or change planner.yaml"
        )
    if required.namespace and required.namespace != namespace:
        return (
            f"planner.yaml has temporal.namespace {required.namespace}, and this is the Temporal "
            f"namespace {namespace} at {address}: set TEMPORAL_NAMESPACE={required.namespace}, "
            "or change planner.yaml"
        )
    return ""


def source_refusal(
    project: str, recorded: Source | None, source: Source | None, *, writes: bool, deletes: bool
) -> str:
    """Return why calendars from *source* may not be synced as *project*; empty if they may.

    Two names that are certain and differ are two sources: nothing may be written. Where one
    is a directory's path, the same files may have moved: only a deletion tells that they are
    others.

    Args:
        project: The project's name.
        recorded: The source of the project's last sync; None where none is known.
        source: The source of this one; None where the caller has none.
        writes: Whether the plan writes anything.
        deletes: Whether it deletes a schedule.
    """
    if recorded is None or source is None or recorded.name == source.name:
        return ""
    if not (deletes or (writes and recorded.is_certain and source.is_certain)):
        return ""
    return (
        f"the project {project!r} was last synced from {recorded.name}, and these calendars are "
        f"from {source.name}: each of the two would delete the other's schedules. Choose another "
        "name for `project:` in planner.yaml; where the calendars have moved, allow it once with "
        "--move-source"
    )


def takeover_refusal(former: str, recorded: Source | None, source: Source | None) -> str:
    """Return why the schedules of the project *former* may not be taken over; empty if they may.

    Only by calendars from where that project was last synced: a `renamed_from:` that was copied
    to another repository would take another team's.

    Args:
        former: The project's name before.
        recorded: The source of its last sync; None where none is known.
        source: The source of these calendars; None where the caller has none.
    """
    if source is None or (recorded and recorded.name == source.name):
        return ""
    where = f"was last synced from {recorded.name}" if recorded else "has no record of its source"
    return (
        f"`renamed_from: {former}` in planner.yaml would take over the schedules of a project that "
        f"{where}, and these calendars are from {source.name}. Remove the line, unless this is "
        "that project: then allow it once with --move-source"
    )


NONE = "none"


@dataclass(frozen=True, slots=True)
class Field:
    """One field that differs: its name, its live value and its desired value.

    *since* is the local date of the first occurrence that it applies to; empty for fields
    that aren't about occurrences. *derived* says that it follows from another field that
    differs: nobody wrote it.
    """

    name: str
    before: str
    after: str
    since: str = ""
    derived: bool = False

    def __str__(self) -> str:
        since = f" (from {self.since})" if self.since else ""
        return f"{self.name} {self.before} → {self.after}{since}"


DERIVED = frozenset({"catch-up window", "summary", "note", "usual length"})
"""Fields that the compiler derives from all the others."""

SHIFTED_BY = frozenset({"lead", "jitter", "timezone", "wall clock of", "workers", "fleets"})
"""Fields that move a schedule's times although its rule stays the same."""


def with_derived(fields: Iterable[Field]) -> tuple[Field, ...]:
    """Return *fields* with those marked that follow from the others."""
    fields = tuple(fields)
    names = {found.name for found in fields}

    def is_derived(found: Field) -> bool:
        if found.name == "ends":
            return bool(names & {"times", "until", "length"})
        if found.name == "times" and _same_rule(found):
            return bool(names & SHIFTED_BY)
        return found.name in DERIVED and not names <= DERIVED

    return tuple(replace(found, derived=found.derived or is_derived(found)) for found in fields)


def differences(live: Schedule, desired: Schedule) -> tuple[Field, ...]:
    """Return the fields that a sync would change, except note and pause.

    Calendars are compared without their order and their comments.
    """
    old, new = live.request, desired.request
    fleets, others = ({fleet.name: fleet for fleet in one.fleets} for one in (old, new))
    was, will = ("; ".join(map(_fleet, one.fleets)) or NONE for one in (old, new))
    # Derived where only the window's own choice of fleets differs.
    same = all(fleets[name] == others[name] for name in fleets.keys() & others.keys())
    fields = [
        Field("tru", str(old.tru or NONE), str(new.tru or NONE)),
        Field("workers", _workers(old), _workers(new)),
        Field("fleets", was, will, derived=same),
        Field("combine", old.combine, new.combine),
    ]
    if old.until and new.until:
        fields.append(Field("until", old.until, new.until))
    elif old.until or new.until:
        fields.append(Field("length", _length(old), _length(new)))
    if not new.until:
        fields.append(Field("duration", _seconds(old.ttl_seconds), _seconds(new.ttl_seconds)))
    elif old.ttl_seconds != new.ttl_seconds:
        fields.append(Field("usual length", _seconds(old.ttl_seconds), _seconds(new.ttl_seconds)))
    if dict(old.ends) != dict(new.ends):
        fields.append(Field("ends", _ends(old, new), _ends(new, old)))
    if old.ahead_seconds != new.ahead_seconds or old.tru_ahead_seconds != new.tru_ahead_seconds:
        fields.append(Field("lead", _lead(live), _lead(desired)))
    fields += [Field(name, words(old), words(new)) for name, words in _REQUEST.items()]
    fields += [Field(name, shown(live), shown(desired)) for name, shown in _SPEC.items()]
    if not same_times(live, desired):
        before, after = _times(live), _times(desired)
        if before == after:
            before, after = f"{before}{_AS_IT_WAS}", f"{after}{_AS_IT_IS}"
        fields.append(Field("times", before, after))
    return tuple(found for found in fields if found.before != found.after)


def same_times(live: Schedule, desired: Schedule) -> bool:
    """Tell whether both have the same calendars, apart from order and comments."""
    return _bare(live.calendars) == _bare(desired.calendars)


_AS_IT_WAS, _AS_IT_IS = ", as it was", ", as it is now"


def _same_rule(times: Field) -> bool:
    """Tell whether *times* differ although both are described by the same rule."""
    return times.before.removesuffix(_AS_IT_WAS) == times.after.removesuffix(_AS_IT_IS)


def same_rule(fields: Iterable[Field]) -> bool:
    """Tell whether no field of *fields* says that the rule itself changed."""
    return all(_same_rule(found) for found in fields if found.name == "times")


_REQUEST: dict[str, Callable[[BoostRequest], str]] = {
    "window": lambda request: f"{request.namespace}/{request.window}",
    "wall clock of": lambda request: request.timezone,
    "baseline": lambda request: "as found" if request.baseline is None else str(request.baseline),
    "allowed TRU": lambda request: ", ".join(f"{value:g}" for value in request.rails.allowed),
    "max_tru": lambda request: str(request.rails.max_tru or NONE),
    "max_duration": lambda request: _limit(request.limits.longest_seconds, _seconds),
    "max_boost_hours_per_month": lambda request: _limit(
        request.limits.hours_a_month, "{:g}".format
    ),
    "baseline_policy": lambda request: request.baseline_policy,
    "asked by": lambda request: request.by,
    "description": lambda request: _quoted(request.reason),
}

_SPEC: dict[str, Callable[[Schedule], str]] = {
    "timezone": lambda schedule: schedule.timezone,
    "from": lambda schedule: _instant(schedule.start_at),
    "to": lambda schedule: _instant(schedule.end_at),
    "jitter": lambda schedule: format_duration(schedule.jitter),
    "horizon": lambda schedule: (
        f"{schedule.covers_until:%Y-%m-%d}" if schedule.covers_until else "for ever"
    ),
    "catch-up window": lambda schedule: format_duration(schedule.catchup_window),
    "summary": lambda schedule: _quoted(schedule.summary),
}


N = TypeVar("N", int, float)


def _limit(value: N | None, words: Callable[[N], str]) -> str:
    return NONE if value is None else words(value)


def _lead(schedule: Schedule) -> str:
    """Return the lead of its TRU; that of a fleet is among `_fleet`."""
    request = schedule.request
    if not request.tru:
        return NONE
    if request.tru_ahead_seconds is None:
        return format_duration(timedelta(seconds=request.ahead_seconds) - schedule.jitter)
    own = timedelta(seconds=request.tru_ahead_seconds)
    return format_duration(own - spread_of(window_key(schedule.id), schedule.jitter))


def _workers(request: BoostRequest) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(request.workers.items())) or NONE


def _fleet(fleet: Fleet) -> str:
    """Return a fleet's declaration: ``payments 2 to 30, lead 15m``."""
    parts = [
        f"{fleet.name} {fleet.min} to {'any' if fleet.max is None else fleet.max}",
        f"lead {format_duration(fleet.lead)}",
        f"{fleet.target_queue_size} of task queue {fleet.task_queue} a worker"
        if fleet.task_queue
        else "",
        str(fleet.kubernetes or ""),
    ]
    return ", ".join(filter(None, parts))


def _length(request: BoostRequest) -> str:
    return f"until {request.until}" if request.until else _seconds(request.ttl_seconds)


def _seconds(seconds: int) -> str:
    return format_duration(timedelta(seconds=seconds))


def _ends(request: BoostRequest, other: BoostRequest) -> str:
    """Return the first entry of `ends` that *request* has and *other* hasn't."""
    own = sorted(set(request.ends.items()) - set(other.ends.items()))
    if not own:
        return "as usual"
    start, end = own[0]
    return f"{start} until {end}" + (f" and {len(own) - 1} more" if len(own) > 1 else "")


def _times(schedule: Schedule) -> str:
    """Return the rule as the calendars' comments describe it, else the number of calendars."""
    words = dict.fromkeys(filter(None, (unstamped(c.comment) for c in schedule.calendars)))
    if words:
        return "; ".join(list(words)[:2]) + (" …" if len(words) > 2 else "")
    count = len(schedule.calendars)
    return f"{count} calendar{'s' if count != 1 else ''}"


def _bare(calendars: tuple[StructuredCalendar, ...]) -> list[StructuredCalendar]:
    return sorted(replace(calendar, comment="") for calendar in calendars)


def _instant(instant: datetime | None) -> str:
    return NONE if instant is None else format_instant(instant)


def _quoted(text: str) -> str:
    return f"“{text}”" if text else NONE


Action = Literal[
    "create", "update", "extend", "rename", "adopt", "start", "follow", "delete", "unchanged"
]
"""The action of a change.

- ``create``: the schedule doesn't exist.
- ``update``: it exists, is owned by the project, and differs.
- ``extend``: only the horizon of a dated schedule moved; its firings so far are the same.
- ``rename``: the schedule of the window's or the project's former name is there: it is made
  anew under the new one, with an operator's pause and the running boost, and the former one is
  deleted.
- ``adopt``: it has our id but not our owner mark; it is deleted and created with the mark.
- ``start``: it equals the desired one, but did not fire for an occurrence under way.
- ``follow``: it equals the desired one, but its running boost was granted something else.
- ``delete``: it is owned by the project, and its window is gone from the files.
- ``unchanged``: it equals the desired one.
"""

Cause = Literal["", "files", "hand", "both"]
"""Who made a schedule differ: the files, an operator by hand, or both; empty for neither."""

ACTIONS: tuple[Action, ...] = (
    "create",
    "update",
    "extend",
    "rename",
    "adopt",
    "start",
    "follow",
    "delete",
    "unchanged",
)

CHECKSUM_LENGTH = 12
"""Hexadecimal characters of a plan's checksum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredState:
    """The schedules that a project's files define, and how far a sync may go.

    *former* is the name that the project had before, empty without one: that project's
    schedules are ours to take over. *follow* applies a window's change to its running boosts,
    too. *renamed* has the former id of each schedule whose window was renamed, by its present id.
    """

    project: str
    schedules: tuple[Schedule, ...]
    policy: Policy = "sync"
    former: str = ""
    follow: bool = False
    renamed: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The owner marks of its schedules: its name, and the former one."""
        return (self.project, self.former) if self.former else (self.project,)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSchedule:
    """A schedule on the server, as its list shows it or, once described, in full.

    Attributes:
        id: The schedule's id.
        project: The project in the owner mark; empty without a mark.
        paused: Whether it is paused, by a file or an operator.
        note: Its present note.
        stamp: The stamp in its first calendar's comment; None without one.
        upcoming: Its next firings, jitter included; none where it has ended.
        schedule: The full schedule; None where only the list was read.
        deviations: Fields that `Schedule` can't hold and that a planner never sets.
        fired: The nominal times of its last firings, as many as the server keeps.
        requested: Starts of occurrences that have a boost or a lease although *fired* doesn't
            show them: the firing is too long ago, or a boost was started otherwise.
        leases: The leases that the keeper holds for the window; None where that isn't known.
        about_to_fire: Starts of occurrences that the server is about to fire for.
        token: The server's conflict token, which an update has to send.
    """

    id: str
    project: str = ""
    paused: bool = False
    note: str = ""
    stamp: Stamp | None = None
    upcoming: tuple[datetime, ...] = ()
    schedule: Schedule | None = None
    deviations: tuple[Field, ...] = ()
    fired: tuple[datetime, ...] = ()
    requested: frozenset[datetime] = frozenset()
    about_to_fire: frozenset[datetime] = frozenset()
    leases: tuple[Lease, ...] | None = None
    token: bytes = field(default=b"", compare=False)

    @property
    def namespace(self) -> str:
        """The namespace whose capacity it boosts."""
        return namespace_of(self.id)

    @property
    def window(self) -> str:
        """The window's name in its namespace."""
        return window_key(self.id).partition("/")[2]

    @property
    def note_is_ours(self) -> bool:
        """Whether the note is the one that the planner wrote, untouched since."""
        return self.stamp is not None and self.stamp.note == note_mark(self.note)

    @property
    def paused_by_operator(self) -> bool:
        """Whether an operator paused it; a pause always rewrites the note."""
        return self.paused and not self.note_is_ours

    @property
    def drifted(self) -> bool:
        """Whether a described schedule isn't as the sync left it that stamped it.

        Pause and note don't count. An edit that lost the stamp is one, too.
        """
        if self.schedule is None or (self.stamp and self.stamp.is_draft):
            return False
        return (
            bool(self.deviations) or self.stamp is None or self.stamp.digest != self.schedule.digest
        )

    @property
    def has_ended(self) -> bool:
        """Whether it will never fire again; the server deletes it a week later."""
        return not self.upcoming


@dataclass(frozen=True, slots=True)
class Running:
    """A running boost.

    Attributes:
        start: The start of its occurrence, in UTC.
        end: Its end, exclusive: that of its lease, where the keeper holds one.
        tru: Its demand: that of its lease, else that of its schedule.
        workers: Likewise, the replicas by fleet.
        nominal: The nominal time of its firing.
        has_lease: Whether the keeper holds a lease for it; None where that isn't known.
    """

    start: datetime
    end: datetime
    tru: int
    nominal: datetime
    has_lease: bool | None = None
    workers: tuple[tuple[str, int], ...] = ()

    @property
    def demand(self) -> str:
        """Its demand in words: ``8 TRU and 20 payments workers``."""
        return demand_words(self.tru, self.workers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a sync does to one schedule, and why.

    Attributes:
        action: What is done to the schedule.
        id: The schedule's id.
        fields: The fields that differ.
        reason: Why, as a phrase.
        cause: Who made the difference.
        desired: The schedule as it will be written, with an operator's pause and note. None
            for a delete.
        live: The schedule on the server; None for a create. That of a renamed window has another
            id, that of a renamed project another owner.
        before: The next occurrences of the live schedule, each ``[start, end)``.
        after: The next occurrences once the change is written.
        starts: Nominal times of occurrences under way that have no boost: started at once.
        running: The schedule's boosts that run now.
        follow: Whether the change applies to these boosts, too.
        remarks: Further sentences for the reader.
        refusal: Why the change is held back, and what allows it; empty if it isn't.
    """

    action: Action
    id: str
    fields: tuple[Field, ...] = ()
    reason: str = ""
    cause: Cause = ""
    desired: Schedule | None = None
    live: LiveSchedule | None = None
    before: tuple[tuple[datetime, datetime], ...] = ()
    after: tuple[tuple[datetime, datetime], ...] = ()
    starts: tuple[datetime, ...] = ()
    running: tuple[Running, ...] = ()
    follow: bool = False
    remarks: tuple[str, ...] = ()
    refusal: str = ""

    @property
    def namespace(self) -> str:
        """The namespace whose capacity it boosts."""
        return self.key.partition("/")[0]

    @property
    def window(self) -> str:
        """The window's name in its namespace."""
        return self.key.partition("/")[2]

    @property
    def key(self) -> str:
        """``NAMESPACE/WINDOW``, as allowances name it: ``payments-prod.a1b2c/payroll``."""
        return window_key(self.id)

    @property
    def former_id(self) -> str:
        """The other id under which a renamed window's schedule is deleted; empty without one."""
        renamed = self.action == "rename" and self.live and self.live.id != self.id
        return self.live.id if renamed and self.live else ""

    @property
    def outcome(self) -> str:
        """The action, or ``refused`` where it is held back."""
        return "refused" if self.refusal else self.action


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The changes that a sync would make, sorted by schedule id.

    *changes* has an ``unchanged`` schedule only where it has remarks; *unchanged* counts
    all of them. *owned* counts the live schedules with the project's owner mark that will
    fire again: the limit for deletes is a share of these. *neighbours* are other projects'
    live schedules for the same namespaces. *target* is what it was made for, where known.
    *refusal* says why nothing of it may be written; empty if it may. *rings* says how its changes
    go through the rings; empty where there are none. *settings* names what a sync puts in force
    that stands in no schedule: ``notices``, ``usage`` and ``fleets``.
    """

    project: str
    changes: tuple[Change, ...] = ()
    unchanged: int = 0
    owned: int = 0
    warnings: tuple[Lint, ...] = ()
    neighbours: tuple[LiveSchedule, ...] = ()
    target: Target | None = None
    refusal: str = ""
    rings: str = ""
    settings: tuple[str, ...] = ()

    @property
    def pending(self) -> tuple[Change, ...]:
        """The changes other than ``unchanged``."""
        return tuple(change for change in self.changes if change.action != "unchanged")

    @property
    def writes(self) -> bool:
        """Whether a sync of it writes anything: a schedule, or settings."""
        return bool(self.pending or self.settings)

    @property
    def is_held_back(self) -> bool:
        """Whether a sync would refuse it as it stands."""
        return bool(self.refusal or self.refused)

    @property
    def refused(self) -> tuple[Change, ...]:
        """The changes that are held back."""
        return tuple(change for change in self.changes if change.refusal)

    @property
    def summary(self) -> dict[str, int]:
        """The number of changes by action; one that is held back counts as refused only."""
        counts = Counter(change.outcome for change in self.changes)
        summary: dict[str, int] = {action: counts[action] for action in ACTIONS}
        return summary | {"unchanged": self.unchanged, "refused": counts["refused"]}

    @property
    def checksum(self) -> str:
        """A fingerprint of the changes: the live schedules and the desired ones.

        It doesn't depend on the time of the plan: ``start`` and ``follow`` changes come and go
        with the time, so they don't count.
        """
        lines = []
        for change in self.pending:
            if change.action in ("start", "follow"):
                continue
            there = "-"
            if change.live:
                extras = "; ".join(str(deviation) for deviation in change.live.deviations)
                there = f"{change.live.project} {_digest(change.live.schedule)} {extras}"
            lines.append(f"{change.action} {change.id} {there} {_digest(change.desired)}")
        text = "\n".join([self.project, *sorted(lines)])
        return hashlib.sha256(text.encode()).hexdigest()[:CHECKSUM_LENGTH]


def live_schedule(change: Change) -> Schedule:
    """Return the described live schedule of *change*; raise ValueError without one."""
    if change.live is None or change.live.schedule is None:
        raise ValueError(f"{change.id} was not described")
    return change.live.schedule


def _digest(schedule: Schedule | None) -> str:
    """Return a fingerprint of *schedule*, note and pause included."""
    if schedule is None:
        return "-"
    note = note_mark(schedule.note)
    return f"{schedule.digest} {note} {schedule.covers_until} {schedule.paused}"
