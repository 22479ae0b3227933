"""What may stand in calendar files and in ``planner.yaml``: keys, kinds, descriptions.

The descriptions and examples here, and those of windows in `planner.config.window_document`,
are the ones that an editor shows (`planner.schema`) and that sentences quote.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from planner.config.days_off import HolidayList
from planner.config.fields import (
    Amount,
    Baseline,
    Count,
    Currency,
    Length,
    Namespace,
    PolicyWord,
    ProjectName,
    Tru,
    TruList,
    Weekdays,
    Zone,
    as_list,
)
from planner.config.strict import Strict
from planner.config.window_document import Refinements, WindowDocument


class GuardRailsDocument(Strict):
    """What no window may exceed."""

    allowed_tru: TruList | None = Field(
        default=None, description="The TRU values that can be had. Default: 2, 3, 4, 6, 8, 10, 12."
    )
    max_tru: Tru | None = Field(default=None, description="The most TRU that a boost may set.")
    max_duration: Length | None = Field(
        default=None, description="The longest that one boost may last."
    )
    max_boost_hours_per_month: Amount | None = Field(
        default=None,
        description="The most hours that a namespace may be boosted in a calendar month.",
    )


class CalendarDocument(Strict):
    """The calendar of one namespace."""

    namespace: Namespace = Field(
        description="The Temporal Cloud namespace with its account.",
        examples=["payments-prod.a1b2c"],
    )
    timezone: Zone | None = Field(
        default=None,
        description="The time zone of all its local times. Default: planner.yaml's, else UTC.",
    )
    baseline: Baseline | None = Field(
        default=None,
        description="The capacity between windows. Left out: whatever was in force before a boost.",
    )
    holidays: HolidayList | None = Field(
        default=None,
        description="Days that are no business days: codes of countries (US, US-CA) and markets "
        "(XNYS), dates, ranges of dates, .ics files.",
    )
    weekend: Weekdays | None = Field(
        default=None, description="The days of the weekend. Default: the first country's."
    )
    defaults: Refinements | None = Field(default=None, description="What its windows fall back on.")
    guard_rails: GuardRailsDocument | None = Field(
        default=None, description="Limits of this namespace, tighter than the project's."
    )
    windows: dict[str, WindowDocument] = Field(
        description="Its windows by name.", examples=["{month-end-close: …}"]
    )


class TierDocument(Strict):
    """One step of the price list."""

    up_to: Count | None = Field(
        default=None, description="Up to so many Actions a month; left out in the last tier."
    )
    per_million: Amount = Field(description="The price of a million Actions.", examples=[50])


class PricesDocument(Strict):
    """The price list that bills are reckoned with."""

    tiers: Annotated[tuple[TierDocument, ...], BeforeValidator(as_list)] = Field(
        description="Prices by monthly volume, ascending.", examples=["[{per_million: 50}]"]
    )
    currency: Currency | None = Field(default=None, description="Three letters. Default: USD.")


class NamespaceRailsDocument(Strict):
    """What planner.yaml says about one namespace."""

    guard_rails: GuardRailsDocument = Field(
        description="Its limits, in place of the project's.", examples=["{max_tru: 8}"]
    )


class PlannerDocument(Strict):
    """What all calendars of a directory have in common: ``planner.yaml`` at its root."""

    project: ProjectName = Field(
        description="The owner mark: only schedules that carry it are ever changed or deleted. "
        "One for each directory that is synced.",
        examples=["payments-platform"],
    )
    policy: PolicyWord | None = Field(
        default=None, description="How far a sync may go. Default: sync, which also deletes."
    )
    timezone: Zone | None = Field(default=None, description="The zone of calendars that name none.")
    holidays: HolidayList | None = Field(
        default=None, description="The holidays of calendars that name none."
    )
    weekend: Weekdays | None = Field(
        default=None, description="The weekend of calendars that name none."
    )
    defaults: Refinements | None = Field(default=None, description="What all windows fall back on.")
    guard_rails: GuardRailsDocument | None = Field(
        default=None, description="Limits that hold for every namespace."
    )
    namespaces: dict[str, NamespaceRailsDocument] | None = Field(
        default=None, description="Limits for single namespaces, in place of those for all."
    )
    prices: PricesDocument | None = Field(
        default=None, description="The prices that bills are made with."
    )
