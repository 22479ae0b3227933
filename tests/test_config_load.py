"""Reading directories: which files count, what may be referred to, and hostile ones."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from config_helpers import ICS, keys, problems, project, write

from planner.config.build import MANY_FILES
from planner.config.load import MAX_FILE_BYTES, MAX_LEVELS, display, read
from planner.errors import InputError

NIGHTLY = 'cron: "@daily"\nduration: 1h\ntru: 4'


def named(namespace: str) -> str:
    """Return a calendar of *namespace* without windows."""
    return f"namespace: {namespace}\nwindows: {{}}\n"


def test_the_directory_is_read_recursively_and_hidden_files_are_left_alone(tmp_path: Path) -> None:
    """Both suffixes count, at any level; what begins with a dot, and other files, don't."""
    files = {
        "a.yaml": named("a.x1"),
        "sub/deeper/b.yml": named("b.x1"),
        ".hidden.yaml": "[",
        ".git/c.yaml": "[",
        "notes.txt": "[",
        "README.md": "[",
    }
    found = project(tmp_path, files)
    assert [calendar.namespace for calendar in found.namespaces] == ["a.x1", "b.x1"]


def test_ics_paths_are_relative_to_their_yaml_file(tmp_path: Path) -> None:
    """A file in a directory below finds what is beside it, and what is above it."""
    text = keys(NIGHTLY + "\nskip: [own.ics, ../shared.ics]")
    files = {"team/a.yaml": text, "team/own.ics": ICS, "shared.ics": ICS}
    (window,) = project(tmp_path, files).windows
    assert [file.path for file in window.skip.calendars] == ["team/own.ics", "shared.ics"]


def test_one_file_by_two_ways_is_one_value(tmp_path: Path) -> None:
    """Windows that refer to one .ics file from different places are equal in it."""
    files = {
        "a/x.yaml": keys("ical: ../shared.ics\ntru: 4"),
        "y.yaml": keys("ical: shared.ics\ntru: 4").replace("payments", "other"),
        "shared.ics": ICS,
    }
    one, other = project(tmp_path, files).windows
    assert one.recurrence == other.recurrence


def ics(*events: str) -> str:
    """Return an iCalendar file of *events*, their lines separated by blanks."""
    parts = ["BEGIN:VEVENT", "END:VEVENT"]
    lines = [line for each in events for line in (parts[0], *each.split(), parts[1])]
    return "\n".join(["BEGIN:VCALENDAR", *lines, "END:VCALENDAR", ""])


LAUNCH = "UID:a SUMMARY:launch DTSTART:20270105T090000Z DURATION:PT1H"
USES = [
    pytest.param(
        "ical: x.ics\nmatch: {summary: launch}\ntru: 4",
        ics(LAUNCH, "UID:b SUMMARY:other DTSTART:soon"),
        {"ics-ignored"},
        id="a broken event that match leaves out",
    ),
    pytest.param(
        "ical: x.ics\nduration: 2h\ntru: 4",
        ics("UID:a DTSTART:20270105T090000Z"),
        set(),
        id="no length, for a window that has one",
    ),
    pytest.param(
        NIGHTLY + "\nskip: [x.ics]",
        ics("UID:a DTSTART:20270105T090000Z DURATION:P45D"),
        set(),
        id="a freeze of 45 days",
    ),
    pytest.param(
        NIGHTLY + "\nholidays: [x.ics]",
        ics("UID:a DTSTART:20270105T090000Z"),
        {"ics-tolerated"},
        id="a holiday without a length",
    ),
    pytest.param(
        NIGHTLY + "\ntimezone: UTC\nskip: [x.ics]",
        ics("UID:a DTSTART;VALUE=DATE:20270107 RRULE:FREQ=WEEKLY;UNTIL=20270120T230000Z"),
        {"ambiguous-day"},
        id="a day in UTC without a zone",
    ),
]


@pytest.mark.parametrize(("window", "file", "codes"), USES)
def test_an_ics_file_is_checked_for_what_it_is_read_for(
    window: str, file: str, codes: set[str], tmp_path: Path
) -> None:
    """What would be refused for one use is a warning, or nothing, for another."""
    found = project(tmp_path, {"a.yaml": keys(window), "x.ics": file})
    assert {warning.code for warning in found.warnings} == codes
    refused = {"a.yaml": keys("ical: x.ics\ntru: 4"), "x.ics": file}
    if codes != {"ambiguous-day"}:
        assert problems(tmp_path / "again", refused)


def test_holidays_of_planner_yaml_are_checked_as_such(tmp_path: Path) -> None:
    """Also where no calendar inherits them."""
    files = {
        "planner.yaml": "project: p\nholidays: [x.ics]\n",
        "x.ics": ics("UID:a DTSTART:20270105T090000Z DURATION:P45D"),
    }
    assert {warning.code for warning in project(tmp_path, files).warnings} == {"no-calendars"}


def test_problems_are_named_from_where_people_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paths below the current directory are relative to it; others are as they were given."""
    write(tmp_path / "calendars", {"a.yaml": "["})
    monkeypatch.chdir(tmp_path)
    for directory in (Path("calendars"), tmp_path / "calendars"):
        with pytest.raises(InputError, match=r"^calendars/a\.yaml:1: "):
            read(directory)
    assert display(Path("/elsewhere/a.yaml")) == "/elsewhere/a.yaml"


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    """A wrong path is one sentence, not an empty project."""
    with pytest.raises(InputError, match="does not exist; name a directory of calendars"):
        read(tmp_path / "gone")
    with pytest.raises(InputError, match="is no directory"):
        read(write(tmp_path, {}) / "planner.yaml")


def test_planner_yaml_is_needed_at_the_root_only(tmp_path: Path) -> None:
    """Without one nobody owns the schedules; one further down would be overlooked."""
    (tmp_path / "team").mkdir()
    (tmp_path / "team" / "planner.yaml").write_text("project: a")
    with pytest.raises(InputError) as refused:
        read(tmp_path)
    messages = [problem.message for problem in refused.value.problems]
    assert messages[0].startswith("is missing; write it with one line, project: ")
    assert messages[1].startswith("belongs at the root of the directory")


@pytest.mark.parametrize("beside", [{}, {"planner.yaml": "project: a\n"}], ids=["alone", "both"])
def test_planner_yml_is_no_other_spelling(beside: dict[str, str], tmp_path: Path) -> None:
    """The settings have one name, which code owners can guard; no second problem comes of it."""
    files = {"planner.yml": "project: b\nguard_rails: {max_tru: 12}\n", **beside}
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read(tmp_path)
    (problem,) = caught.value.problems
    assert problem.file.endswith("planner.yml")
    assert problem.message == "is not read; rename it planner.yaml, which has the settings"


def test_a_project_without_calendars_is_warned_of(tmp_path: Path) -> None:
    """An empty directory is allowed, and said to delete everything."""
    (lint,) = project(tmp_path, {}).warnings
    assert (lint.code, lint.line) == ("no-calendars", 0)


def test_links_that_lead_out_are_refused(tmp_path: Path) -> None:
    """A symbolic link is followed to its end, which must lie inside of the directory."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.ics").write_text(ICS)
    (outside / "secret.yaml").write_text(named("s.x1"))
    home = write(tmp_path / "calendars", {"a.yaml": keys("ical: link.ics\ntru: 4")})
    (home / "link.ics").symlink_to(outside / "secret.ics")
    (home / "link.yaml").symlink_to(outside / "secret.yaml")
    (home / "folder").symlink_to(outside)
    with pytest.raises(InputError) as refused:
        read(home)
    ics, folder, link = sorted(refused.value.problems)
    assert [Path(each.file).name for each in (ics, folder, link)] == [
        "a.yaml",
        "folder",
        "link.yaml",
    ]
    assert all("out of the calendars' directory" in p.message for p in (ics, link))
    assert folder.message.startswith("is a link to a directory, which isn't read")


def test_directories_whose_calendars_would_go_unread(tmp_path: Path) -> None:
    """Their windows would be taken for deleted; what a link shows twice is read where it is."""
    files = {"..data/sub/b.yaml": named("b.x1"), "team/a.yaml": named("a.x1")}
    home = write(tmp_path, files)
    (home / "again").symlink_to("team")
    (home / ".git" / "modules").mkdir(parents=True)
    assert [each.namespace for each in read(home).namespaces] == ["a.x1"]
    (home / "sub").symlink_to("..data/sub")
    (home / "team" / "vendor").mkdir()
    with pytest.raises(InputError) as refused:
        read(home)
    link, empty = sorted(refused.value.problems)
    assert (Path(link.file).name, Path(empty.file).name) == ("sub", "vendor")
    assert link.message.startswith("is a link to a directory, which isn't read")
    assert empty.message.startswith("is empty: a submodule that wasn't fetched?")


def test_links_inside_are_followed(tmp_path: Path) -> None:
    """Files that are linked within the directory, as Kubernetes mounts them, are read."""
    home = write(tmp_path, {"..data/a.yaml": named("a.x1")})
    (home / "a.yaml").symlink_to("..data/a.yaml")
    assert [each.namespace for each in read(home).namespaces] == ["a.x1"]


def test_names_that_no_file_can_have(tmp_path: Path) -> None:
    """An over-long one is a problem on its line, wherever it is written; no error of ours."""
    long = "x" * 300
    text = keys(f"{NIGHTLY}\nskip: [{long}.ics]")
    ((_, line, message),) = problems(tmp_path / "a", {"a.yaml": text})
    assert line == text.splitlines().index(f"    skip: [{long}.ics]") + 1
    assert "leads nowhere; write launches.ics" in message
    home = write(tmp_path / "b", {"a.yaml": named("a.x1")})
    (home / "fetched").mkdir()
    for name in ("folder", "b.yaml", "fetched/addresses.json"):
        (home / name).symlink_to(long)
    with pytest.raises(InputError) as refused:
        read(home)
    (problem,) = refused.value.problems
    assert (Path(problem.file).name, "can't be read" in problem.message) == ("b.yaml", True)
    with pytest.raises(InputError, match="does not exist"):
        read(tmp_path / long)


def test_a_loop_of_links_and_a_pipe_are_no_files(tmp_path: Path) -> None:
    """What can't be read to an end is refused before it is opened."""
    home = write(tmp_path, {})
    (home / "loop.yaml").symlink_to("loop.yaml")
    os.mkfifo(home / "pipe.yaml")
    with pytest.raises(InputError) as refused:
        read(home)
    assert [Path(each.file).name for each in refused.value.problems] == ["loop.yaml", "pipe.yaml"]


def test_directories_without_end_are_not_followed(tmp_path: Path) -> None:
    """Levels are counted, since somebody may nest more than a stack bears."""
    deep = "/".join(["d"] * (MAX_LEVELS + 1))
    ((_, _, message),) = problems(tmp_path, {f"{deep}/a.yaml": named("a.x1")})
    assert "levels of directories" in message


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        pytest.param(b"\xff\xfe" + "namespace: a".encode("utf-16-le"), "no UTF-8", id="UTF-16"),
        pytest.param(b"a: b\nc: caf\xe9\n", "byte 0xe9 on line 2", id="Latin-1"),
        pytest.param(os.urandom(4096), "", id="random bytes"),
        pytest.param(b"\x7fELF" + bytes(4096), "", id="a program"),
        pytest.param(b"#" * (MAX_FILE_BYTES + 1), "1 MiB are allowed", id="a byte too many"),
    ],
)
def test_files_that_are_no_text(data: bytes, sentence: str, tmp_path: Path) -> None:
    """Binary and oversized files are a sentence each, for YAML and iCalendar alike."""
    for files in ({"a.yaml": data}, {"a.yaml": keys("ical: x.ics\ntru: 4"), "x.ics": data}):
        found = problems(tmp_path, files)
        assert found
        assert sentence in "".join(message for _, _, message in found)


def test_a_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    """What an editor on Windows saves is read as it looks, with the right lines."""
    text = "\ufeff" + keys(NIGHTLY).replace("\n", "\r\n")
    (window,) = project(tmp_path, {"a.yaml": text}).windows
    assert (window.name, window.place.line) == ("w", 3)


def _laughs(levels: int) -> str:
    lines = ["x-0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    for level in range(1, levels):
        aliases = ", ".join([f"*a{level - 1}"] * 10)
        lines.append(f"x-{level}: &a{level} [{aliases}]")
    return "\n".join([*lines, named("a.x1")])


HOSTILE = {
    "aliases that explode": _laughs(12),
    "an alias of itself": "x: &a [*a]\n" + named("a.x1"),
    "merges that explode": "x-a: &a {a: 1}\n" + "<<: *a\n" * 100_000,
    "nested lists": "a: " + "[" * 100_000,
    "nested mappings": "a: " + "{b: " * 100_000,
    "nested by indent": "".join(f"{' ' * level}a:\n" for level in range(1400)),
    "half a million values": "a: [" + "1," * 500_000 + "]",
    "many keys": "".join(f"k{number}: 1\n" for number in range(80_000)),
    "one long line": "namespace: " + "a" * 1_000_000,
    "one long cron": keys(f"cron: '{'0,' * 400_000}0 * * * *'\nduration: 1h\ntru: 4"),
    "one long duration": keys(f"cron: '@daily'\nduration: {'9' * 900_000}h\ntru: 4"),
    "many windows": "namespace: a.x1\nwindows:\n"
    + "".join(f"  w{n}: {{cron: '61 * * * *', tru: 1}}\n" for n in range(20_000)),
    "many anchors": "".join(f"x-{n}: &a{n} 1\n" for n in range(50_000)),
    "many documents": "---\na: b\n" * 100_000,
    "quotes without end": '"' + "\\" * 500_000,
    "a block without end": "a: |\n" + " x\n" * 300_000,
    "tabs": "\t" * 1_000_000,
    "colons": ":" * 1_000_000,
    "flow of questions": "{" + "?" * 500_000,
    "dashes": "- " * 500_000,
}

MEASURED = """
import json, resource, sys, time
from pathlib import Path
from planner.errors import InputError
from planner.config.load import read
found = {}
for directory in map(Path, sys.argv[1:]):
    begin = time.process_time()
    try:
        read(directory)
        problems = ()
    except InputError as error:
        problems = error.problems
    longest = max((len(problem.message) for problem in problems), default=0)
    found[directory.name] = len(problems), longest, time.process_time() - begin
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(json.dumps({"found": found, "megabytes": memory}))
"""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All hostile directories read by one process: what it found, how long, how much memory."""
    root = tmp_path_factory.mktemp("hostile")
    homes = [write(root / name, {"a.yaml": text}) for name, text in HOSTILE.items()]
    homes.append(write(root / "50 MB", {"b.yaml": keys("ical: big.ics\ntru: 4")}))
    for name in ("a.yaml", "big.ics"):
        with (homes[-1] / name).open("wb") as stream:
            stream.truncate(50 * 2**20)
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *homes],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return cast(dict[str, Any], json.loads(done.stdout))


@pytest.mark.parametrize("name", [*HOSTILE, "50 MB"])
def test_hostile_yaml_is_refused_in_bounds(name: str, hostile: dict[str, Any]) -> None:
    """Whatever a file holds: a few problems in short sentences, within 5 s."""
    count, longest, seconds = hostile["found"][name]
    assert 1 <= count <= 102
    assert longest < 500
    assert seconds < 5


def test_hostile_yaml_takes_little_memory(hostile: dict[str, Any]) -> None:
    """All hostile files after one another stay within 500 MB: files of 50 MB aren't read."""
    assert hostile["megabytes"] < 500


def test_hostile_yaml_in_pure_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where PyYAML comes without its C parser the same files are refused as well."""
    import yaml

    from planner.config import yaml_nodes

    monkeypatch.setattr(yaml_nodes, "_LOADER", yaml.SafeLoader)
    for name in ("aliases that explode", "an alias of itself", "nested lists", "many documents"):
        text = HOSTILE[name][:20_000]
        assert problems(tmp_path, {"a.yaml": text}), name


def test_what_is_read_aside_makes_no_difference(tmp_path: Path) -> None:
    """Project, warnings and problems are the same; files that refer to others are read here."""
    waited: list[int] = []

    def aside(work: Callable[[], Any]) -> Callable[[], Any]:
        """Send the result as another process does."""
        sent = pickle.dumps(work())

        def result() -> Any:
            waited.append(len(sent))
            return pickle.loads(sent)

        return result

    files = {"shared.ics": ics(LAUNCH, "UID:b SUMMARY:other DTSTART:20270101T000000Z")}
    for number in range(2 * MANY_FILES):
        text = "ical: shared.ics\nmatch: {summary: launch}\ntru: 4" if number % 7 == 1 else NIGHTLY
        files[f"{number:03}.yaml"] = keys(text).replace("payments", f"team-{number:03}")
    project(tmp_path, files)
    alone, together = read(tmp_path), read(tmp_path, aside)
    assert len(alone.namespaces) == 2 * MANY_FILES
    assert (together, together.warnings) == (alone, alone.warnings)
    for number in (4, 5, 9):
        (tmp_path / f"{number:03}.yaml").write_text("namespace: [")
    with pytest.raises(InputError) as here:
        read(tmp_path)
    with pytest.raises(InputError) as there:
        read(tmp_path, aside)
    assert there.value.problems == here.value.problems
    assert len(waited) == 2
