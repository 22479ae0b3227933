"""What may stand in a window, and in the defaults it falls back on.

Keys, kinds, descriptions: see `planner.config.documents`. What several keys say together is
judged in `planner.config.shape`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from planner.config.days_off import File, HolidayList, SkipList
from planner.config.fields import (
    Ahead,
    Aps,
    CombineWord,
    CronList,
    Day,
    DayMatchWord,
    Description,
    Flag,
    Label,
    Length,
    Months,
    Ordinals,
    RollWord,
    Tru,
    Wall,
    WallTime,
    Weekdays,
    Zone,
    as_list,
)
from planner.config.strict import Strict


class MatchDocument(Strict):
    """Which events of an iCalendar file count; every condition given must hold."""

    summary: Label | None = Field(
        default=None, description="Words in the event's summary, upper and lower case alike."
    )
    category: Label | None = Field(
        default=None, description="One of the event's categories, exactly."
    )
    uid: Label | None = Field(default=None, description="The event's UID, exactly.")
    transparent: Flag | None = Field(
        default=None, description="Count events that are shown as free, too. Default: false."
    )


class SpanDocument(Strict):
    """One written date: a start, and an end unless the window has a length."""

    start: Wall = Field(description="Local time of the start.", examples=["2027-03-14T01:30"])
    end: Wall | None = Field(default=None, description="Local time of the end.")


def _as_span(raw: object) -> object:
    return {"start": raw} if isinstance(raw, str) else raw


SpanItem = Annotated[
    SpanDocument, BeforeValidator(_as_span, json_schema_input_type=SpanDocument | Wall)
]
SpanList = Annotated[
    tuple[SpanItem, ...],
    BeforeValidator(as_list, json_schema_input_type=SpanItem | list[SpanItem]),
]


class Refinements(Strict):
    """What windows have in common with the defaults they fall back on."""

    lead: Ahead | None = Field(
        default=None,
        description="How long before its start the capacity is asked for. Default: 10m.",
    )
    jitter: Ahead | None = Field(
        default=None,
        description="Spread the asking over so long before the lead, so that many windows "
        "of one moment don't queue up. Default: 0.",
    )
    roll: RollWord | None = Field(
        default=None, description="Which business day stands in for a start that falls on none."
    )
    skip: SkipList | None = Field(
        default=None,
        description="When not to run: weekends, holidays, dates, ranges of dates, .ics files. "
        "Tested on the start, after any roll.",
    )
    combine: CombineWord | None = Field(
        default=None,
        description="The highest of all running windows counts (max), or it comes on top (add).",
    )
    owner: Label | None = Field(
        default=None, description="Who to ask: a team, a channel, an address."
    )


class WindowDocument(Refinements):
    """A time in which the namespace needs more capacity: one recurrence, length and demand."""

    description: Description | None = Field(
        default=None, description="What runs in it, in a few words."
    )
    cron: CronList | None = Field(
        default=None,
        description="Starts by five cron fields, in local time. Also L, L-2, LW, 15W, fri#3, "
        "friL, @monthly; a list of expressions runs at all of them.",
        examples=["0 18 L * *"],
    )
    day_match: DayMatchWord | None = Field(
        default=None,
        description="For a cron that restricts both day of month and day of week: any of them, "
        "or all.",
    )
    rrule: Description | None = Field(
        default=None,
        description="Starts by an RFC 5545 recurrence rule; needs 'start'.",
        examples=["FREQ=WEEKLY;INTERVAL=2;BYDAY=FR"],
    )
    start: Wall | None = Field(
        default=None,
        description="The rrule's first start, in local time.",
        examples=["2027-01-08T16:00"],
    )
    ical: File | None = Field(
        default=None, description="An .ics file beside this one: each event is an occurrence."
    )
    match: MatchDocument | None = Field(
        default=None, description="Which events of the .ics file count."
    )
    business_days: Ordinals | None = Field(
        default=None,
        description="Business days of the month: 1 is the first, -1 the last; needs 'at'.",
    )
    at: WallTime | None = Field(
        default=None,
        description="The start on those business days, local time.",
        examples=["07:00"],
    )
    months: Months | None = Field(
        default=None, description="The months whose business days count. Default: all."
    )
    dates: SpanList | None = Field(default=None, description="Starts written out, in local time.")
    duration: Length | None = Field(
        default=None, description="Its length in elapsed time.", examples=["2h"]
    )
    until: WallTime | None = Field(
        default=None,
        description="It lasts up to the next such time on the clock after its start.",
        examples=["06:00"],
    )
    tru: Tru | None = Field(
        default=None,
        description="The Temporal Resource Units it needs; rounded up to an allowed value.",
        examples=[8],
    )
    aps: Aps | None = Field(
        default=None,
        description="The Actions per second it needs; 500 are one TRU, rounded up.",
        examples=[4000],
    )
    timezone: Zone | None = Field(default=None, description="Its own time zone.")
    holidays: HolidayList | None = Field(
        default=None, description="Its own holidays, in place of the calendar's."
    )
    weekend: Weekdays | None = Field(default=None, description="Its own weekend.")
    not_before: Day | None = Field(
        default=None, alias="from", description="The first local date on which it may start."
    )
    not_after: Day | None = Field(
        default=None, alias="to", description="The last local date on which it may start."
    )
    paused: Flag | None = Field(
        default=None, description="Keep its schedule, but don't let it fire."
    )
