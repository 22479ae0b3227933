"""``planner report`` and ``backtest`` over a real Prometheus, as they are typed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from prometheus_server import backfill, needs_prometheus, prometheus
from test_history import lease, made, run
from usage_helpers import HOUR, NAMESPACE, START, usage

from planner.cli.main import exit_code_of
from planner.cli.report import _judged
from planner.forecast.history import History
from planner.simulator.usage import openmetrics

CALENDAR = f"""\
namespace: {NAMESPACE}
timezone: UTC
windows:
  night: {{cron: "0 2 * * *", duration: 4h, tru: 4, lead: 10m}}
"""
DAYS = ("--from", "2026-10-15", "--to", "2026-10-19")
NOWHERE = "http://127.0.0.1:1"


def write_calendars(directory: Path) -> None:
    """Write a project of one calendar."""
    (directory / "planner.yaml").write_text("project: payments-platform\n")
    (directory / "payments.yaml").write_text(CALENDAR)


def four_days() -> tuple[list[float], list[float]]:
    """Return APS and TRU of four days: a hot night each, of which the third had no boost."""
    used, tru = [], []
    for minute in range(4 * 1440):
        day, hour = minute // 1440, minute // 60 % 24
        is_boosted = 110 <= minute % 1440 < 362 and day != 2
        used.append(500.0 if day == 2 and hour == 3 else 1500.0 if hour == 3 else 80.0)
        tru.append(4.0 if is_boosted else 0.0)
    return used, tru


@pytest.fixture(scope="module")
async def url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The address of a Prometheus with four days of one namespace."""
    home = tmp_path_factory.mktemp("prometheus")
    used, tru = four_days()
    third = 2 * 1440 + 180
    hits = {third + at: 1000.0 for at in range(60)} | {3 * 1440 + 900: 2.0}
    seen = usage(4 * 1440, used=used, tru=tru, throttled=hits, unseen=range(1440 + 200, 1440 + 230))
    backfill(home / "data", [openmetrics([seen])])
    async with prometheus(home) as address:
        yield address


@pytest.fixture
def calendars(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A directory of calendars, and an environment with that Prometheus and no Temporal server."""
    write_calendars(tmp_path)
    monkeypatch.setenv("PLANNER_PROMETHEUS_URL", url)
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    return str(tmp_path)


@needs_prometheus
def test_report(calendars: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A night that was enough, one with a gap, one without its boost, and throttling by day."""
    arguments = ["report", "--calendars", calendars, *DAYS, "--check"]
    assert exit_code_of([*arguments, "--format", "json"]) == 2
    value = json.loads(capsys.readouterr().out)
    assert [one["verdict"] for one in value["occurrences"]] == [
        "not throttled",
        "unknown",
        "throttled",
        "not throttled",
    ]
    first, gap, third, _ = value["occurrences"]
    assert first["in_force"]["metrics"] == ["2026-10-15T01:50:00Z", "2026-10-15T06:02:00Z"]
    assert (gap["aps"]["minutes_seen"], gap["aps"]["minutes"]) == (210, 240)
    assert (third["aps"]["throttled"], third["aps"]["throttled_minutes"]) == (3_600_000, 60)
    assert third["in_force"]["minutes_short"] == 240
    assert [one["start"] for one in value["namespaces"][0]["throttled_outside"]] == [
        "2026-10-18T15:00:00Z"
    ]
    assert "no records of boosts: " in value["sources"]["notes"][0]
    assert exit_code_of([*arguments[:-1], "--format", "text"]) == 0
    text = capsys.readouterr().out
    assert "unknown: 210 of 240 minutes seen" in text
    assert "throttled 3,600,000 Actions in 60 minutes" in text


@needs_prometheus
def test_backtest(calendars: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The nights are covered as written; what was throttled by day isn't."""
    assert exit_code_of(["backtest", calendars, *DAYS, "--format", "json"]) == 0
    value = json.loads(capsys.readouterr().out)
    (one,) = value["namespaces"]
    assert (one["hot_hours"], one["covered_hours"]) == (5, 4)
    assert [each["hour"] for each in one["missed"]] == ["2026-10-18T15:00:00Z"]
    assert (one["boosted_hours"], one["idle_hours"], one["minutes_seen"]) == (16, 12, 5730)
    assert value["prices"]["on-demand only"] == 0
    assert exit_code_of(["backtest", calendars, *DAYS]) == 0
    assert "5 hot hours, 4 covered and 1 missed" in capsys.readouterr().out


@needs_prometheus
def test_the_thresholds_of_planner_yaml_count(
    calendars: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As written there: what is accepted, what a need leaves free, and the headroom."""
    last = ("--from", "2026-10-18", "--to", "2026-10-19")
    day = ["report", "--calendars", calendars, *last, "--check"]
    assert exit_code_of(day) == 2, "120 Actions were throttled by day"
    asked = ["backtest", calendars, *last]
    planner = Path(calendars) / "planner.yaml"
    thresholds = "usage: {share: 0.5, headroom: 3, max_throttled: 120}\n"
    suggested = ["suggest", "--calendars", calendars, *DAYS, "--format", "json"]

    def found() -> tuple[float, list[int]]:
        capsys.readouterr()
        assert exit_code_of([*asked, "--format", "json"]) == 0
        needed = json.loads(capsys.readouterr().out)["namespaces"][0]["peak_needed_tru"]
        assert exit_code_of(suggested) == 0
        (one,) = json.loads(capsys.readouterr().out)["namespaces"]
        return needed, [each["tru"] for each in one["windows"]]

    before = found()
    planner.write_text(planner.read_text() + thresholds)
    assert exit_code_of(day) == 0
    assert (before, found()) == ((4, [4]), (6, [10]))
    assert exit_code_of(asked) == 0
    assert "would have used to 50 %" in " ".join(capsys.readouterr().out.split())


@needs_prometheus
def test_without_calendars_those_of_the_usual_place_say_what_is_accepted(
    calendars: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Records are judged by their planner.yaml; one that can't be used is said."""
    later = START.replace(day=18)
    found = made([run(lease(start=later, until=later + HOUR))])

    async def kept(*_: object) -> History:
        return found

    monkeypatch.setattr("planner.cli.report.fetch_history", kept)
    monkeypatch.chdir(calendars)
    asked = ["report", "--from", "2026-10-18", "--to", "2026-10-19", "--check"]
    assert exit_code_of([*asked, NAMESPACE]) == 2, "120 Actions were throttled by day"
    usual = Path(calendars) / "calendars"
    usual.mkdir()
    write_calendars(usual)
    with (usual / "planner.yaml").open("a") as planner:
        planner.write("usage: {max_throttled: 120}\n")
    assert exit_code_of([*asked, NAMESPACE]) == 0
    assert "Accepted: up to 120 throttled" in capsys.readouterr().out
    (usual / "payments.yaml").write_text("windows: {night: {tru: many}}\n")
    assert exit_code_of([*asked, NAMESPACE]) == 2
    assert "problems, so that its prices and 'usage' don't count" in capsys.readouterr().out


@pytest.mark.parametrize("check", [["--check"], []])
def test_nothing_selected_fails_a_check(
    check: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With no calendar and no record there is nothing to be green about."""

    async def kept(*_: object) -> History:
        return made([])

    monkeypatch.setattr("planner.cli.report.fetch_history", kept)
    monkeypatch.setenv("PLANNER_PROMETHEUS_URL", NOWHERE)
    monkeypatch.chdir(tmp_path)
    assert exit_code_of(["report", *DAYS, *check]) == (2 if check else 0)
    assert ("no namespace is selected; name one" in capsys.readouterr().err) == bool(check)


@needs_prometheus
def test_a_mistyped_namespace_fails_a_check(
    calendars: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """None of its minutes was ever seen."""
    typo = f"{NAMESPACE}x"
    assert exit_code_of(["report", typo, "--calendars", calendars, *DAYS, "--check"]) == 2
    assert f"no minute was seen, of {typo}; look at" in capsys.readouterr().err


@needs_prometheus
def test_suggested_windows_have_the_lead_of_the_calendar(
    calendars: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its own default, else that of planner.yaml, else ten minutes."""
    planner, payments = Path(calendars) / "planner.yaml", Path(calendars) / "payments.yaml"

    def lead() -> int:
        capsys.readouterr()
        arguments = ["suggest", "--calendars", calendars, *DAYS, "--format", "json"]
        assert exit_code_of(arguments) == 0
        (window,) = json.loads(capsys.readouterr().out)["namespaces"][0]["windows"]
        return int(window["lead_seconds"])

    assert lead() == 600
    planner.write_text(planner.read_text() + "defaults: {lead: 20m}\n")
    assert lead() == 1200
    payments.write_text(payments.read_text() + "defaults: {lead: 0m}\n")
    assert lead() == 0


@pytest.mark.parametrize("command", ["report", "backtest"])
def test_without_a_source_it_says_which_setting(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An error, never an empty report."""
    write_calendars(tmp_path)
    arguments = [command, *(["--calendars"] if command == "report" else []), str(tmp_path)]
    monkeypatch.delenv("PLANNER_PROMETHEUS_URL", raising=False)
    assert exit_code_of(arguments) == 1
    assert "let PLANNER_PROMETHEUS_URL be the address" in capsys.readouterr().err
    monkeypatch.setenv("PLANNER_PROMETHEUS_URL", NOWHERE)
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    assert exit_code_of(arguments) == 1
    printed = capsys.readouterr()
    assert "can't be reached" in printed.err
    assert printed.out == ""


def test_a_time_to_come_has_no_past(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is refused before anything is read."""
    ahead = f"{datetime.now(START.tzinfo) + timedelta(days=2):%Y-%m-%d}"
    write_calendars(tmp_path)
    later = f"{datetime.now(START.tzinfo) + timedelta(days=3):%Y-%m-%d}"
    assert exit_code_of(["backtest", str(tmp_path), "--from", ahead, "--to", later]) == 64
    assert "has not come yet" in capsys.readouterr().err
    assert timedelta() < HOUR


@needs_prometheus
async def test_a_plan_carries_a_backtest(calendars: str) -> None:
    """And isn't stopped by a source that can't be read."""
    from planner.cli.report import past_section
    from planner.config.load import read

    project = read(Path(calendars))
    lines = await past_section(project, datetime.now(START.tzinfo) - START)
    assert "5 hot hours, 4 covered and 1 missed" in lines[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLANNER_PROMETHEUS_URL", NOWHERE)
        (line,) = await past_section(project, timedelta(days=1))
    assert line.startswith("unknown: Prometheus at http://127.0.0.1:1 can't be reached")


@needs_prometheus
async def test_history_has_the_verdict_of_a_source(
    calendars: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that is away is said, and leaves what isn't known unknown; without one there is none."""
    later = lease(key="b", start=START + 27 * HOUR, until=START + 28 * HOUR)
    found = made([run(lease(), later)])

    async def shown() -> list[str | None]:
        return [one.verdict and one.verdict.text for one in (await _judged(found)).boosts]

    assert await shown() == ["APS not throttled", "APS unknown: 30 of 60 minutes seen"]
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("PLANNER_PROMETHEUS_URL", NOWHERE)
    assert await shown() == ["unknown: usage could not be read"] * 2
    assert "note: Prometheus at http://127.0.0.1:1 can't be reached" in capsys.readouterr().err
    monkeypatch.delenv("PLANNER_PROMETHEUS_URL")
    assert await shown() == [None, None]
