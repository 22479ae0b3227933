"""What one stage plays: schedules that fire in stretches of time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from planner.model import Horizon, NamespaceCalendar, Project
from planner.schedules import firings
from planner.spec import Schedule


@dataclass(frozen=True, slots=True, order=True)
class Firing:
    """One nominal time of one schedule."""

    at: datetime
    schedule_id: str


@dataclass(frozen=True, slots=True)
class Scene:
    """Schedules, and the stretch of time in which those of each namespace fire.

    *project* is what the timeline is drawn from, *schedules* is what fires: compiled from
    it, unless a defect is being planted. *seed* is that of the faults; None for none.
    """

    project: Project
    schedules: tuple[Schedule, ...]
    stretches: Mapping[str, Horizon]
    seed: int | None = None

    @property
    def calendars(self) -> tuple[NamespaceCalendar, ...]:
        """The namespaces that take part."""
        found = self.project.namespaces
        return tuple(calendar for calendar in found if calendar.namespace in self.stretches)

    def firings(self) -> list[Firing]:
        """Return everything that fires, in the order of time; paused schedules do not."""
        return sorted(
            Firing(at, schedule.id)
            for schedule in self.schedules
            if not schedule.paused and schedule.request.namespace in self.stretches
            for at in firings(schedule, self.stretches[schedule.request.namespace])
        )
