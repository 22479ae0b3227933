"""How much a preview draws: more is refused in a sentence, before the work is done."""

from __future__ import annotations

import importlib
import re
from datetime import timedelta
from pathlib import Path

import pytest
from forecast_helpers import START, calendar, daily, project

from planner.cli.preview import MOST_RUNS, _refuse_too_many
from planner.errors import InputError
from planner.model import Cron, Duration, Horizon, Window

YEAR = Horizon(START, START + timedelta(days=365))


def half_hourly(number: int) -> Window:
    """Return one of many windows that run every half hour."""
    return Window(
        namespace="payments-prod.a1b2c",
        name=f"w{number}",
        recurrence=Cron(("*/30 * * * *",)),
        tru=4,
        asked="4 TRU",
        length=Duration(timedelta(minutes=20)),
    )


def test_a_year_of_too_many_runs_is_refused_with_what_to_do() -> None:
    """Two hundred half-hourly windows are named as too many, with the options that help."""
    crowd = project(calendar(*(half_hourly(number) for number in range(200))))
    with pytest.raises(InputError, match=rf"more than {MOST_RUNS:,} times .*--days 7.*--window"):
        _refuse_too_many(Path("calendars"), crowd, YEAR)


def test_two_hundred_daily_windows_are_not() -> None:
    """What a large team writes is drawn for the whole year."""
    usual = [daily(f"d{number}", "2027-01-01 06:00", 365, 2) for number in range(200)]
    _refuse_too_many(Path("calendars"), project(calendar(*usual)), YEAR)


MANUAL = Path(__file__).parent.parent / "docs" / "foresight.md"
ROW = re.compile(r"^\| `(\w+)` \(`(planner/[\w/]+)\.py`\): ([\d,]+)( days)? \|", re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "module", "value", "unit"),
    ROW.findall(MANUAL.read_text(encoding="utf-8")),
    ids=lambda word: word.rpartition("/")[2],
)
def test_the_manual_s_limits_are_the_program_s(
    name: str, module: str, value: str, unit: str
) -> None:
    """Each limit of the table is a constant of that module, with that value."""
    found = getattr(importlib.import_module(module.replace("/", ".")), name)
    number = int(value.replace(",", ""))
    assert found == (timedelta(days=number) if unit else number)


def test_the_manual_names_limits() -> None:
    """The table is found at all."""
    assert len(ROW.findall(MANUAL.read_text(encoding="utf-8"))) == 7
