"""Which time zone a TZID means: the tz database's, Outlook's names, or the file's own."""

from __future__ import annotations

import re
from datetime import tzinfo
from functools import lru_cache
from zoneinfo import available_timezones

from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

from planner import zones
from planner.ical.filezone import define
from planner.ical.limits import MAX_ZONES
from planner.ical.recurrence import Budget
from planner.ical.text import Component, Fault, shown
from planner.ical.values import BadValue

_GLOBAL = re.compile(r"/[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,}/(?:[0-9_]+/)?(.+)")
"""A globally unique TZID (RFC 5545, section 3.8.3.1), as Evolution and Citadel write them."""


class ZoneNames:
    """The zones of one VCALENDAR by their TZID; each is looked up once.

    A name of the tz database counts first, then one of Outlook's, then the file's own
    definition: what is known is kept up to date, what was exported isn't.
    """

    def __init__(self, calendar: Component, budget: Budget) -> None:
        self.faults: list[Fault] = []
        self._budget = budget
        self._found: dict[str, tzinfo] = {}
        components = calendar.named("VTIMEZONE")
        if len(components) > MAX_ZONES:
            self.faults.append(
                (
                    components[MAX_ZONES].number,
                    f"the calendar defines {len(components)} time zones; "
                    f"at most {MAX_ZONES} are read",
                )
            )
            components = []
        self._defined = {
            line.value.strip(): component
            for component in components
            for line in component.all("TZID")
        }

    def zone(self, tzid: str) -> tzinfo:
        """Return the zone that *tzid* names.

        Raises:
            BadValue: Nobody knows it.
        """
        tzid = tzid.strip()
        if tzid not in self._found:
            self._found[tzid] = self._look_up(tzid)
        return self._found[tzid]

    def _look_up(self, tzid: str) -> tzinfo:
        known = known_name(tzid)
        component = self._defined.get(tzid)
        if known is None and component:
            known = next(
                (known_name(line.value.strip()) for line in component.all("X-LIC-LOCATION")), None
            )
        if known is not None:
            return zones.zone(known)
        if component:
            return self._define(component, tzid)
        raise BadValue(
            f"TZID {shown(tzid)} is no time zone that is known, and the file has no "
            "VTIMEZONE for it; write a name of the tz database such as Europe/Berlin"
        )

    def _define(self, component: Component, tzid: str) -> tzinfo:
        zone, faults = define(component, self._budget)
        if zone is None:
            self.faults += [fault for fault in faults if fault not in self.faults]
            raise BadValue(f"the VTIMEZONE of TZID {shown(tzid)} can't be used")
        return zone


def known_name(tzid: str) -> str | None:
    """Return the name in the tz database that *tzid* means, if it is known by itself."""
    if len(tzid) > 100:
        return None
    unique = _GLOBAL.fullmatch(tzid)
    for name in (tzid, WINDOWS_TO_OLSON.get(tzid, ""), unique[1] if unique else ""):
        if name in _candidates() and zones.problem(name) is None:
            return name
    return None


@lru_cache(maxsize=1)
def _candidates() -> frozenset[str]:
    """Return what may be a known name: explaining why another isn't one costs too much here."""
    return frozenset(available_timezones())
