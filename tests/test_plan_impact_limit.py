"""A plan of very many runs stays quick: its impact is left out, and says so."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from planner.cli.request import desired_state, impact_of
from planner.config.load import read
from planner.forecast import plan_impact
from planner.model import Prices
from planner.plan.diff import diff

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)

CALENDAR = """
namespace: payments-prod.a1b2c
windows:
  month-end-close: {cron: "0 18 L * *", duration: 2h, tru: 8}
  payroll: {cron: "0 5 15 * *", duration: 2h, tru: 4}
"""


@pytest.mark.parametrize(
    ("most", "title"),
    [
        pytest.param(22, "Capacity and bill ahead", id="one too many"),
        pytest.param(23, "Capacity from 21 Nov 2026", id="just as many"),
    ],
)
def test_the_impact_of_too_many_runs_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, title: str
) -> None:
    """Above the limit one section says what was not computed, and what shows it."""
    (tmp_path / "planner.yaml").write_text("project: shop\n", encoding="utf-8")
    (tmp_path / "payments.yaml").write_text(CALENDAR, encoding="utf-8")
    monkeypatch.setattr(plan_impact, "MOST_RUNS", most)
    wanted = desired_state(read(tmp_path), tmp_path, NOW)
    plan = diff(wanted, {}, NOW)
    sections = impact_of(plan, wanted.schedules, Prices(), NOW, brief=False)
    assert sections[0].title.startswith(title)
