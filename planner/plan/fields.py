"""The differences between two schedules, in the words of the calendar files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from planner.schedules.spec import Schedule, StructuredCalendar, unstamped
from workflows.contract import BoostRequest, format_duration, format_instant

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

SHIFTED_BY = frozenset({"lead", "jitter", "timezone", "wall clock of"})
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

    return tuple(replace(found, derived=is_derived(found)) for found in fields)


def differences(live: Schedule, desired: Schedule) -> tuple[Field, ...]:
    """Return the fields that a sync would change, except note and pause.

    Calendars are compared without their order and their comments.
    """
    return tuple(
        found
        for found in (*_of_request(live, desired), *_of_spec(live, desired))
        if found.before != found.after
    )


def same_times(live: Schedule, desired: Schedule) -> bool:
    """Tell whether both have the same calendars, apart from order and comments."""
    return _bare(live.calendars) == _bare(desired.calendars)


def _of_request(live: Schedule, desired: Schedule) -> Iterator[Field]:
    """Yield the differences in the request that each firing carries."""
    old, new = live.request, desired.request
    yield Field("tru", str(old.tru), str(new.tru))
    yield Field("combine", old.combine, new.combine)
    yield from _of_length(old, new)
    if old.ahead_seconds != new.ahead_seconds:
        yield Field("lead", _lead(live), _lead(desired))
    for name, words in _REQUEST.items():
        yield Field(name, words(old), words(new))


def _of_length(old: BoostRequest, new: BoostRequest) -> Iterator[Field]:
    """Yield the differences in the length of the occurrences."""
    if old.until and new.until:
        yield Field("until", old.until, new.until)
    elif old.until or new.until:
        yield Field("length", _length(old), _length(new))
    if not new.until:
        yield Field("duration", _seconds(old.ttl_seconds), _seconds(new.ttl_seconds))
    elif old.ttl_seconds != new.ttl_seconds:
        yield Field("usual length", _seconds(old.ttl_seconds), _seconds(new.ttl_seconds))
    if dict(old.ends) != dict(new.ends):
        yield Field("ends", _ends(old, new), _ends(new, old))


def _of_spec(live: Schedule, desired: Schedule) -> Iterator[Field]:
    """Yield the differences in when the schedule fires."""
    for name, words in _SPEC.items():
        yield Field(name, words(live), words(desired))
    if not same_times(live, desired):
        before, after = _times(live), _times(desired)
        if before == after:
            before, after = f"{before}{_AS_IT_WAS}", f"{after}{_AS_IT_IS}"
        yield Field("times", before, after)


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
    "asked by": lambda request: request.by,
    "description": lambda request: _quoted(request.reason),
}

_SPEC: dict[str, Callable[[Schedule], str]] = {
    "timezone": lambda schedule: schedule.timezone,
    "from": lambda schedule: _instant(schedule.start_at),
    "to": lambda schedule: _instant(schedule.end_at),
    "jitter": lambda schedule: format_duration(schedule.jitter),
    "horizon": lambda schedule: _day(schedule.covers_until),
    "catch-up window": lambda schedule: format_duration(schedule.catchup_window),
    "summary": lambda schedule: _quoted(schedule.summary),
}


def _lead(schedule: Schedule) -> str:
    return format_duration(timedelta(seconds=schedule.request.ahead_seconds) - schedule.jitter)


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


def _day(instant: datetime | None) -> str:
    return "for ever" if instant is None else f"{instant:%Y-%m-%d}"


def _quoted(text: str) -> str:
    return f"“{text}”" if text else NONE
