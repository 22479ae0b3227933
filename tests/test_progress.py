"""The bar of a long sync: on a terminal only, and never in the way of the lines."""

from __future__ import annotations

import io
import sys

import pytest
from schedule_values import NOW, PROJECT, schedule

from planner.cli.sync import LONG, ProgressBar
from planner.plan.diff import diff
from planner.plan.model import DesiredState, Plan


class Terminal(io.StringIO):
    """A stream that says that somebody looks at it."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def plan_of(count: int) -> Plan:
    """Return a plan of so many creates."""
    desired = tuple(schedule(f"w{number:02}") for number in range(count))
    return diff(DesiredState(project=PROJECT, schedules=desired), {}, NOW)


def shown(
    monkeypatch: pytest.MonkeyPatch, count: int, out: io.StringIO, err: io.StringIO
) -> tuple[str, str]:
    """Return what a sync of *count* changes leaves on stdout and on stderr."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with ProgressBar() as bar:
        bar.begin(plan_of(count))
        for number in range(count):
            bar.print(f"+ created {'x' * 80}/{number}")
            bar.advance()
    return out.getvalue(), err.getvalue()


def test_a_long_sync_on_a_terminal_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """It reaches the number of changes, and says what is done then."""
    _, err = shown(monkeypatch, LONG, Terminal(), Terminal())
    assert f"{LONG}/{LONG}" in err
    assert "written; reading it back" in err


def test_lines_above_the_bar_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line longer than the terminal is left to the terminal: its address can be copied."""
    _, err = shown(monkeypatch, LONG, Terminal(), Terminal())
    assert f"+ created {'x' * 80}/0\n" in err


def test_data_in_a_pipe_stays_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """With stdout in a pipe its lines go there, none of the bar does."""
    out, err = shown(monkeypatch, LONG, io.StringIO(), Terminal())
    assert out.splitlines() == [f"+ created {'x' * 80}/{number}" for number in range(LONG)]
    assert "created" not in err


@pytest.mark.parametrize(
    ("count", "err"),
    [
        pytest.param(LONG, io.StringIO(), id="stderr in a file"),
        pytest.param(LONG - 1, Terminal(), id="a short sync"),
    ],
)
def test_no_bar(monkeypatch: pytest.MonkeyPatch, count: int, err: io.StringIO) -> None:
    """Where nobody looks, or there is nothing to wait for, stderr stays empty."""
    assert shown(monkeypatch, count, io.StringIO(), err)[1] == ""
