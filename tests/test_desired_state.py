"""What a sync wants of a project that was read."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from planner.cli.request import desired_state
from planner.config.load import read

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)

CALENDAR = """\
namespace: orders-prod.a1b2c
timezone: UTC
windows:
  payroll: {cron: "0 5 15 * *", duration: 4h, tru: 8}
"""


@pytest.fixture
def calendars(tmp_path: Path) -> Path:
    """A directory of calendar files."""
    directory = tmp_path / "calendars"
    (directory / "team").mkdir(parents=True)
    directory.joinpath("planner.yaml").write_text("project: orders\n", encoding="utf-8")
    directory.joinpath("team", "orders.yaml").write_text(CALENDAR, encoding="utf-8")
    return directory


def test_notes_are_the_same_from_wherever_it_runs(
    calendars: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named from outside, from inside or in full: the files have one name in the notes."""
    assert _notes(calendars, monkeypatch) == {NOTE}


def test_notes_are_the_same_from_another_directory(
    calendars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkout under another name, or in another place, has the same schedules."""
    moved = tmp_path / "elsewhere" / "workspace-4711"
    shutil.copytree(calendars, moved)
    assert _notes(moved, monkeypatch) == {NOTE}
    days = (NOW, NOW.replace(month=1, day=1), NOW.replace(month=12, day=31))
    first, *others = (
        desired_state(read(root), root, at) for root in (calendars, moved) for at in days
    )
    assert others == [first] * 5


NOTE = "8 TRU for orders-prod.a1b2c. cron 0 5 15 * * for 4h UTC, ready 10m before. " + (
    "From team/orders.yaml; change it there."
)


def _notes(calendars: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return the notes of the one window, read from several working directories."""
    notes = set()
    for here, named in (
        (calendars.parent, calendars.name),
        (calendars, "."),
        (Path("/"), calendars),
    ):
        monkeypatch.chdir(here)
        directory = Path(named)
        (schedule,) = desired_state(read(directory), directory, NOW).schedules
        notes.add(schedule.note)
    return notes


@pytest.mark.parametrize("follow", [True, False])
def test_whether_boosts_follow_is_the_callers_word(calendars: Path, follow: bool) -> None:
    """Running boosts follow where the command line says so, and not otherwise."""
    wanted = desired_state(read(calendars), calendars, NOW, follow=follow)
    assert (wanted.project, wanted.policy, wanted.follow) == ("orders", "sync", follow)
