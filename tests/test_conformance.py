"""A history of capacities is judged as a person would judge it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from planner.forecast.timeline import CapacityRecord, violations
from workflows.contract import ON_DEMAND, Capacity


def at(minute: float) -> datetime:
    """Return the instant *minute* minutes into the story."""
    return datetime(2027, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)


@dataclass(frozen=True)
class Due:
    """A step of a timeline."""

    start: datetime
    end: datetime
    capacity: Capacity


def due(start: float, end: float, tru: int) -> Due:
    """Return a step between two minutes."""
    return Due(at(start), at(end), Capacity(tru))


def held(*entries: tuple[float, int | None]) -> list[CapacityRecord]:
    """Return a history from its minutes and TRU; None is on-demand."""
    return [CapacityRecord(at(minute), Capacity(tru)) for minute, tru in entries]


PROMISED = [due(10, 20, 4), due(20, 30, 8), due(30, 40, 4)]
ASKED = [due(5, 15, 4), due(15, 30, 8), due(30, 40, 4)]
KEPT = held((0, None), (8, 4), (18, 8), (30.5, 4), (40.5, None))


def judge(history: list[CapacityRecord], baseline: Capacity = ON_DEMAND) -> list[str]:
    """Return each violation in short: what was in force, and the minute it began."""
    found = violations(history, PROMISED, ASKED, baseline, settle=timedelta(minutes=1))
    return [fault.split("Z: ")[1].split(",")[0] + "@" + fault[14:16] for fault in found]


@pytest.mark.parametrize(
    ("history", "faults"),
    [
        pytest.param(KEPT, [], id="kept"),
        pytest.param(held((0, None), (11, 4), (18, 8), (30, 4), (40, None)),
                     ["on-demand in force@10"], id="not ready"),
        pytest.param(held((0, None), (8, 4), (18, 8), (25, None), (26, 8), (30, 4), (40, None)),
                     ["on-demand in force@25"], id="cut short"),
        pytest.param(held((0, None), (8, 4), (18, 8), (30, 4), (45, None)),
                     ["4 TRU in force@41"], id="released late"),
        pytest.param(held((0, None), (8, 4), (18, 8), (30, 4)),
                     ["4 TRU in force@41"], id="never released"),
        pytest.param(held((0, None), (8, 4), (18, 8), (40.5, None)),
                     ["8 TRU in force@31"], id="the step down forgotten"),
        pytest.param(held((0, None), (3, 4), (18, 8), (30, 4), (40, None)),
                     ["4 TRU in force@03"], id="raised before anybody asked"),
        pytest.param(held((0, None), (8, 6), (18, 8), (30, 4), (40, None)),
                     ["6 TRU in force@08"], id="more than requested"),
        pytest.param(held((0, None), (8, 4), (18, 6), (18, 8), (30, 4), (40, None)),
                     [], id="two changes at one instant: the last counts"),
    ],
)  # fmt: skip
def test_violations(history: list[CapacityRecord], faults: list[str]) -> None:
    """Each violation is named once, with the instant it begins."""
    assert judge(history) == faults


def test_below_the_baseline() -> None:
    """A provisioned baseline is a floor at every instant."""
    history = held((0, 4), (18, 8), (30, 4), (50, 2))
    assert judge(history, Capacity(4)) == ["2 TRU in force@50"]


def test_the_baseline_itself_is_never_too_much() -> None:
    """Where nothing is requested, the baseline is what is due."""
    assert judge(held((0, 4), (18, 8), (30, 4)), Capacity(4)) == []


def test_nothing_seen_proves_nothing() -> None:
    """An empty history conforms to nothing."""
    (fault,) = violations([], PROMISED, ASKED, ON_DEMAND, settle=timedelta(minutes=1))
    assert fault == "no capacity was seen at all"
