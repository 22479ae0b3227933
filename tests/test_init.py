"""``planner init``: a first calendar that works as it was written, and nothing overwritten."""

from __future__ import annotations

import io
import os
import pty
import runpy
import subprocess
import sys
import urllib.request
from email.message import Message
from pathlib import Path
from urllib.error import HTTPError

import pytest
from planner_process import run_planner
from schema_helpers import documents, errors

from planner.cli.main import exit_code_of
from planner.cli.validate import check
from planner.config.documents import schema

ROOT = Path(__file__).parent.parent
TEMPLATES = ROOT / "planner/cli/templates"
PLANNER = str(Path(sys.executable).parent / "planner")
ANSWERS = ["--project", "shop", "--namespace", "shop-prod.a1b2c"]


@pytest.fixture(autouse=True)
def _nobody_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the terminal away, where the tests have one."""
    monkeypatch.setattr(sys, "stdin", io.StringIO())


def written(directory: Path) -> dict[str, str]:
    """Return the text of every file below *directory*."""
    return {
        path.relative_to(directory).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def test_the_example_for_github_is_what_init_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What people copy from examples/github is what they get by the command (`make examples`)."""
    monkeypatch.chdir(tmp_path)
    answers = ["--project", "payments-platform", "--namespace", "payments-prod.a1b2c"]
    answers += ["--timezone", "America/New_York", "--country", "US"]
    assert exit_code_of(["init", "--github", *answers]) == 0
    for kind in ("calendar", "planner"):  # what `planner schema` prints is not copied there
        (tmp_path / "calendars/.schema" / f"{kind}.json").unlink()
    assert written(tmp_path) == written(ROOT / "examples" / "github")


def test_a_token_that_a_reply_quotes_is_not_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """GitHub masks a whole token in its logs: no piece of one is cut out of a refusal."""
    token = "ghs_" + "0123456789abcdef" * 4
    said = f"{'x' * 450} Authorization: Bearer {token}"

    def refuse(request: urllib.request.Request, timeout: float) -> None:
        headers = Message()
        raise HTTPError(request.full_url, 403, "no", headers, io.BytesIO(said.encode()))

    given = {"API_URL": "https://api.example", "REPOSITORY": "o/r", "TOKEN": token}
    for name, value in given.items():
        monkeypatch.setenv(f"GITHUB_{name}", value)
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    action = runpy.run_path(str(TEMPLATES / "github/actions/planner/report.py"))
    with pytest.raises(SystemExit) as ended:
        action["api"]("GET", "pulls")
    assert str(ended.value.code).startswith("GitHub answered 403")
    assert str(ended.value.code).endswith("Bearer ***")


def test_the_first_calendar_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What init writes has no problem and no warning, by the planner and by its schemas."""
    monkeypatch.chdir(tmp_path)
    assert exit_code_of(["init", "team/calendars", *ANSWERS, "--country", "DE"]) == 0
    found = check(tmp_path / "team/calendars")
    assert (found.problems, found.warnings) == ((), ())
    assert found.project
    assert [each.namespace for each in found.project.namespaces] == ["shop-prod.a1b2c"]
    for name, kind in (("planner.yaml", "planner"), ("shop-prod.yaml", "calendar")):
        text = (tmp_path / "team/calendars" / name).read_text(encoding="utf-8")
        head = text.splitlines()[0]
        assert head == f"# yaml-language-server: $schema=.schema/{kind}.json"
        assert (tmp_path / "team/calendars/.schema" / f"{kind}.json").exists()
        rules = schema(kind)  # type: ignore[arg-type]
        for document in documents(text):
            assert errors(document, rules, rules) == []


def test_the_windows_in_comments_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every window of the first calendar works with its # taken away."""
    monkeypatch.chdir(tmp_path)
    assert exit_code_of(["init", *ANSWERS]) == 0
    file = tmp_path / "calendars/shop-prod.yaml"
    head, tail = file.read_text(encoding="utf-8").split("# More windows, to take the # away:\n")
    shown = tail.replace("\n# ", "\n ").replace("#\n", "\n").replace("\n#", "\n")
    file.write_text(head + shown.removeprefix("#"), encoding="utf-8")
    found = check(tmp_path / "calendars")
    assert found.problems == ()
    assert found.project
    assert len(found.project.windows) == tail.count("tru:") + 1 == 4


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        pytest.param(["--namespace", "a.b"], 64, "--project", id="no project"),
        pytest.param(["--project", "shop"], 64, "--namespace", id="no namespace"),
        pytest.param(
            [*ANSWERS, "--timezone", "Europe/Belin"],
            1,
            "calendars/planner.yaml:5: 'timezone': unknown time zone",
            id="a mistyped zone",
        ),
        pytest.param([*ANSWERS, "--country", "Xland"], 1, "Xland", id="a country that isn't"),
    ],
)
def test_wrong_answers_write_nothing(
    tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    """An answer that can't be used is named, and the directory stays empty."""
    run = run_planner("init", "--github", *arguments, cwd=tmp_path)
    assert run.returncode == code
    assert words in run.stderr
    assert written(tmp_path) == {}


def test_nothing_is_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One file that is there already keeps all others from being written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "calendars").mkdir()
    (tmp_path / "calendars/planner.yaml").write_text("project: mine\n", encoding="utf-8")
    assert exit_code_of(["init", "--github", *ANSWERS]) == 1
    assert "calendars/planner.yaml: is there already" in capsys.readouterr().err
    assert written(tmp_path) == {"calendars/planner.yaml": "project: mine\n"}


def test_a_terminal_is_asked(tmp_path: Path) -> None:
    """On a terminal, init asks for what no option says; an empty answer takes the default."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [PLANNER, "init", "--namespace", "shop-prod.a1b2c"],
            cwd=tmp_path,
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.write(ours, b"shop\nEurope/Berlin\n\n")
        _, questions = process.communicate(timeout=60)
    finally:
        os.close(ours)
        os.close(theirs)
    assert process.returncode == 0, questions
    assert "Time zone of local times [UTC]:" in questions
    text = (tmp_path / "calendars/planner.yaml").read_text(encoding="utf-8")
    assert "project: shop # " in text
    assert "timezone: Europe/Berlin # " in text
    assert "\n# holidays:" in text
