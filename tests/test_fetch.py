"""Remote calendars: copies that are fetched on purpose, pinned, and read by everything else."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import httpx
import pytest
import typer
from config_helpers import ICS

from planner.cli import validate as module
from planner.cli.validate import FetchError, download, fetch
from planner.config.load import INDEX, MAX_FILE_BYTES, address_problem, file_of, read
from planner.errors import InputError
from planner.lints.inspect import inspect
from planner.model import Ical

LAUNCHES = "https://example.com/feeds/launches.ics?key=1"
CLOSED = "https://calendar.example.org/closed"
CALENDAR = f"""\
namespace: a.b1
windows:
  launches: {{ical: "{LAUNCHES}", tru: 4}}
  nightly: {{cron: '0 1 * * *', duration: 1h, tru: 4, skip: ["{CLOSED}"]}}
"""


def directory(root: Path) -> Path:
    """Return a directory of calendars that names two addresses."""
    (root / "planner.yaml").write_text("project: a\n", encoding="utf-8")
    (root / "a.yaml").write_text(CALENDAR, encoding="utf-8")
    return root


def code_of(root: Path) -> int:
    """Return the exit code of fetching what *root* names."""
    with pytest.raises(typer.Exit) as left:
        fetch(root)
    return left.value.exit_code


def serves(monkeypatch: pytest.MonkeyPatch, **texts: str) -> None:
    """Let the addresses serve *texts*, by ``launches`` and ``closed``; the others fail."""

    def given(address: str) -> str:
        name = "launches" if address == LAUNCHES else "closed"
        if name not in texts:
            raise FetchError("the answer is 404 Not Found")
        return texts[name]

    monkeypatch.setattr(module, "download", given)


def test_before_it_is_fetched_a_problem_says_what_to_do(tmp_path: Path) -> None:
    """Nothing but `planner fetch` ever goes to the network."""
    with pytest.raises(InputError) as caught:
        read(directory(tmp_path))
    found = [(each.line, each.message) for each in caught.value.problems]
    assert [line for line, _ in found] == [3, 4]
    assert all("was not fetched yet; run planner fetch" in words for _, words in found)


def test_what_was_fetched_is_what_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The copies are files of the directory; a second time changes nothing but the date."""
    root = directory(tmp_path)
    serves(monkeypatch, launches=ICS, closed=ICS)
    assert code_of(root) == 0
    project = read(root)
    recurrence = project.windows[0].recurrence
    assert isinstance(recurrence, Ical)
    assert (recurrence.file.text, recurrence.file.address) == (ICS, LAUNCHES)
    assert recurrence.file.path == file_of(LAUNCHES) == "fetched/example.com-launches-4fdd80e3.ics"
    stamped = ICS.replace("BEGIN:VEVENT\n", "BEGIN:VEVENT\nDTSTAMP:20270101T000000Z\n", 1)
    serves(monkeypatch, launches=stamped, closed=ICS)  # as servers do at each download
    capsys.readouterr()
    assert code_of(root) == 0
    assert capsys.readouterr().out.count("unchanged") == 2
    assert read(root) == project


def test_a_feed_that_fails_keeps_its_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others are renewed, and the exit code is 1."""
    root = directory(tmp_path)
    serves(monkeypatch, launches=ICS, closed=ICS)
    code_of(root)
    newer = ICS.replace("END:VCALENDAR", "X-NEW:1\nEND:VCALENDAR")
    serves(monkeypatch, closed=newer)
    assert code_of(root) == 1
    assert f"{LAUNCHES}: the answer is 404 Not Found" in capsys.readouterr().err
    assert (root / file_of(LAUNCHES)).read_text() == ICS
    assert (root / file_of(CLOSED)).read_text() == newer
    assert len(read(root).windows) == 2


def test_what_no_file_names_any_more_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its entry of the index."""
    root = directory(tmp_path)
    serves(monkeypatch, launches=ICS, closed=ICS)
    code_of(root)
    (root / "a.yaml").write_text(CALENDAR.partition("  nightly")[0], encoding="utf-8")
    assert code_of(root) == 0
    assert not (root / file_of(CLOSED)).exists()
    assert list(json.loads((root / INDEX).read_text())) == [LAUNCHES]


def test_a_copy_that_was_edited_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no longer what the address says."""
    root = directory(tmp_path)
    serves(monkeypatch, launches=ICS, closed=ICS)
    code_of(root)
    (root / file_of(LAUNCHES)).write_bytes(ICS.replace("\n", "\r\n").encode())
    read(root)  # by Git's line ends it is the same
    (root / file_of(LAUNCHES)).write_text(ICS + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="is not what was fetched"):
        read(root)


@pytest.mark.parametrize(
    ("today", "age"),
    [
        pytest.param(date(2026, 12, 1), 0, id="of today"),
        pytest.param(date(2026, 12, 30), 0, id="29 days old"),
        pytest.param(date(2026, 12, 31), 30, id="30 days old"),
        pytest.param(date(2027, 3, 1), 90, id="90 days old"),
    ],
)
def test_an_old_copy_is_a_warning_with_its_age(
    today: date, age: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One for each address, from 30 days on."""
    root = directory(tmp_path)
    serves(monkeypatch, launches=ICS, closed=ICS)
    code_of(root)
    index = json.loads((root / INDEX).read_text())
    for entry in index.values():
        entry["fetched"] = "2026-12-01T12:00:00Z"
    (root / INDEX).write_text(json.dumps(index), encoding="utf-8")
    found = [one.message for one in inspect(read(root), today).lints if one.code == "stale-copy"]
    assert len(found) == (2 if age else 0)
    assert all(f"is {age} days old; run planner fetch" in words for words in found)


def test_a_broken_index_is_said(tmp_path: Path) -> None:
    """It is a file like any other."""
    root = directory(tmp_path)
    (root / "fetched").mkdir()
    (root / INDEX).write_text("[]", encoding="utf-8")
    with pytest.raises(InputError, match="is no index of planner fetch"):
        read(root)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        pytest.param("https://example.com/a.ics", "", id="as it should be"),
        pytest.param("https://example.com:8443/a?b=c&d=%20", "", id="port and query"),
        pytest.param("http://example.com/a.ics", "write 'https://example.com/a.ics'", id="http"),
        pytest.param(
            "webcal://example.com/a.ics", "write 'https://example.com/a.ics'", id="webcal"
        ),
        pytest.param("file:///etc/passwd", "is not fetched by https", id="file"),
        pytest.param("https://", "names no host", id="no host"),
        pytest.param("https://exa mple.com/", "names no host", id="a space"),
        pytest.param("https://me:secret@example.com/a.ics", "has a user", id="a password"),
        pytest.param("https://example.com:99999/a.ics", "is no address", id="no port"),
    ],
)
def test_addresses(address: str, words: str) -> None:
    """What isn't fetched is said with what to write."""
    problem = address_problem(address)
    assert words in problem
    assert bool(problem) is bool(words)


def answers(reply: Callable[[httpx.Request], httpx.Response]) -> str:
    """Return what is downloaded where the network gives *reply*."""
    return download(LAUNCHES, httpx.MockTransport(reply))


def redirect(target: str) -> Callable[[httpx.Request], httpx.Response]:
    """Return a server that redirects the first address, and serves a calendar at others."""

    def reply(request: httpx.Request) -> httpx.Response:
        if str(request.url) == LAUNCHES:
            return httpx.Response(302, headers={"location": target})
        return httpx.Response(200, text=ICS)

    return reply


def test_a_calendar_is_downloaded() -> None:
    """Its text, also by a redirect in its own host."""
    assert answers(lambda _: httpx.Response(200, text=ICS)) == ICS
    assert answers(redirect("/elsewhere.ics")) == ICS


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        pytest.param(redirect("https://evil.example/x"), "https://evil.example", id="other host"),
        pytest.param(redirect("http://example.com/x"), "http://example.com", id="no https"),
        pytest.param(redirect(LAUNCHES), "redirects more than 5 times", id="in circles"),
        pytest.param(lambda _: httpx.Response(403), "the answer is 403 Forbidden", id="forbidden"),
        pytest.param(
            lambda _: httpx.Response(200, text="<!DOCTYPE html>"), "is a login needed", id="a page"
        ),
        pytest.param(lambda _: httpx.Response(200, text=""), "it is empty", id="empty"),
        pytest.param(
            lambda _: httpx.Response(200, content=b"BEGIN:VCALENDAR\xff"), "no UTF-8", id="bytes"
        ),
        pytest.param(
            lambda _: httpx.Response(200, text="BEGIN:VCALENDAR" + " " * MAX_FILE_BYTES),
            "more than 1 MiB",
            id="too large",
        ),
    ],
)
def test_what_is_not_downloaded(
    reply: Callable[[httpx.Request], httpx.Response], words: str
) -> None:
    """Each with its reason; another host is named."""
    with pytest.raises(FetchError, match=words.replace(".", r"\.")):
        answers(reply)


def test_a_server_that_does_not_answer_is_a_sentence() -> None:
    """The cause is in it."""

    def fail(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused")

    with pytest.raises(FetchError, match="no answer \\(connection refused\\)"):
        answers(fail)


def test_the_moment_is_written_in_utc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the second, now."""
    root = directory(tmp_path)
    serves(monkeypatch, launches=ICS, closed=ICS)
    code_of(root)
    (first, _) = json.loads((root / INDEX).read_text()).values()
    age = datetime.now(UTC) - datetime.fromisoformat(first["fetched"])
    assert 0 <= age.total_seconds() < 60
