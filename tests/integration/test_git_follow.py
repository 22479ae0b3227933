"""`planner follow` over real Git repositories and a real server: what it takes, and what not."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from git_remote import TOKEN, Remote
from planner_process import run_planner
from sync_helpers import QUIET_HOUR, eventually, polling
from temporalio.testing import WorkflowEnvironment

from planner.cli.request import InFlight, SyncOptions, repository, request_of
from planner.cli.worker import FollowOptions, follower_of
from planner.config.load import read
from planner.plan.model import Source
from planner.temporal import sync_state
from planner.temporal.client import Server, free_port, server_of
from planner.temporal.fetch import describe, list_schedules
from planner.temporal.follow import Follower
from planner.temporal.rings import stop
from planner.temporal.sync import SyncRequest, sync
from planner.temporal.sync_state import fetch_follows, read_last_applied
from planner.temporal.watchdog import LiveCalendars
from workflows.contract.follow import FollowRecord, follow_headline, follow_problems, follow_state

pytestmark = pytest.mark.integration

EVERY = timedelta(minutes=5)
PLANNER = str(Path(sys.executable).parent / "planner")


def calendar(project: str, *windows: str, tru: int = 4) -> dict[str, str]:
    """Return the files of a project with these windows, each at the quiet hour of every day."""
    lines = [
        f'  {name}: {{cron: "0 {QUIET_HOUR} * * *", duration: 1h, tru: {tru}}}' for name in windows
    ]
    text = "\n".join([f"namespace: {project}.a1b2c", "windows:", *lines, ""])
    return {"planner.yaml": f"project: {project}\n", "pay.yaml": text}


@dataclass
class Place:
    """A project, its repository, the server, and followers of the one on the other."""

    project: str
    remote: Remote
    server: Server
    stores: Callable[[], Path]
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    async def follower(
        self, url: str = "", signers: Path | None = None, *, allow_rewrite: bool = False
    ) -> Follower:
        """Return a new follower, which goes on from what is on record."""
        options = FollowOptions(
            url=url or str(self.remote.bare),
            ref="main",
            path="calendars",
            every=EVERY,
            signers=signers,
            allow_rewrite=allow_rewrite,
            max_extra_cost=None,
            health="",
        )
        found = follower_of(options, self.stores(), self.server)
        await found.recover(self.now)
        return found

    async def sync_by_hand(self) -> None:
        """Sync the clone as a person does, any deletion allowed."""
        directory = self.remote.work / "calendars"
        options = SyncOptions(directory, False, ["*"], False, None, InFlight.keep, False)
        request, _ = request_of(read(directory), self.now, options)
        source = Source(f"{repository(str(self.remote.bare))}:calendars")
        await sync(self.server, replace(request, source=source), self.now)

    async def windows(self) -> set[str]:
        """Return the windows that have a schedule."""
        last = await read_last_applied(self.server, self.project, self.now)
        return {id.rpartition("/")[2] for id in last.digests}

    async def record(self) -> FollowRecord:
        """Return what the server has on record of the follower."""

        async def found() -> FollowRecord:
            records = await fetch_follows(self.server)
            (one,) = [record for record in records if record.project == self.project]
            return one

        return await eventually(found)


@pytest.fixture
def place(
    tmp_path: Path,
    fresh: str,
    own_server: WorkflowEnvironment,
    monkeypatch: pytest.MonkeyPatch,
) -> Place:
    """A repository without a commit, and a server that doesn't know its project."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("TEMPORAL_ADDRESS", own_server.client.service_client.config.target_host)
    (tmp_path / "home").mkdir()
    count = iter(range(99))

    def store() -> Path:
        path = tmp_path / f"store-{next(count)}"
        path.mkdir()
        return path

    return Place(fresh, Remote(tmp_path / "home"), server_of(own_server.client), store)


async def planner(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the planner."""
    return await asyncio.to_thread(run_planner, *arguments)


async def test_commit_after_commit_is_applied(place: Place) -> None:
    """The newest commit runs, by the record, the sync's record and `planner status` alike."""
    first = place.remote.commit(calendar(place.project, "payroll"))
    follower = await place.follower()
    seen = await follower.look(place.now)
    assert (seen.applied, seen.head, seen.refused, seen.fault) == (first, first, "", "")
    assert await place.windows() == {"payroll"}
    for number in range(3):  # several at once, as after a week-end
        second = place.remote.commit(calendar(place.project, "payroll", "close", tru=6 + number))
    later = place.now + EVERY
    assert (await follower.look(later)).applied == second
    assert await place.windows() == {"payroll", "close"}
    record = await place.record()
    assert (record.applied, record.applied_at) == (second, later)
    assert (await read_last_applied(place.server, place.project, later)).commit == second
    view = await LiveCalendars(place.server).look(later)
    assert record in view.followed
    assert f"commit {second[:12]} runs since" in follow_headline(record, second)
    await place.sync_by_hand()
    assert (await read_last_applied(place.server, place.project, later)).commit == second


async def test_a_look_without_news_writes_nothing(place: Place) -> None:
    """It costs no Action: neither the schedules nor the record are written, for an hour."""
    place.remote.commit(calendar(place.project, "payroll"))
    follower = await place.follower()
    before = await follower.look(place.now)
    await follower.look(place.now + timedelta(minutes=59))
    assert await place.record() == before
    await follower.look(place.now + timedelta(hours=1))
    assert (await place.record()).at == place.now + timedelta(hours=1)


async def test_a_commit_with_an_invalid_file_changes_nothing(place: Place) -> None:
    """The old schedules stay, status says which commit runs and what is wrong; the next one heals.

    Another follower, as after a restart, knows all of it.
    """
    good = place.remote.commit(calendar(place.project, "payroll"))
    await (await place.follower()).look(place.now)
    broken = {**calendar(place.project, "close"), "bad.yaml": "namespace: [\n"}
    bad = place.remote.commit(broken)
    seen = await (await place.follower()).look(place.now + EVERY)
    assert (seen.applied, seen.head) == (good, bad)
    assert seen.refused.startswith("calendars/bad.yaml:")
    assert follow_state(seen, place.now + EVERY) == "refused"
    assert await place.windows() == {"payroll"}
    status = await planner("status", "--check")
    shown = " ".join(status.stdout.split())
    assert status.returncode == 2, status.stderr
    assert f"commit {good[:12]} runs since" in shown
    assert f"commit {bad[:12]} is refused since" in shown
    assert "calendars/bad.yaml:" in shown
    mended = place.remote.commit({"bad.yaml": ""})
    after = await (await place.follower()).look(place.now + 2 * EVERY)
    assert (after.applied, after.refused, after.refused_since) == (mended, "", None)
    assert await place.windows() == {"close"}


async def test_a_forced_push_is_refused_until_a_person_takes_it(place: Place) -> None:
    """A branch that lost the commit which runs is not applied; allowed once, it goes on from there.

    So a signed but older commit can't come back by itself either.
    """
    old = place.remote.commit(calendar(place.project, "payroll"))
    new = place.remote.commit(calendar(place.project, "payroll", "close"))
    follower = await place.follower()
    await follower.look(place.now)
    place.remote.git("reset", "--quiet", "--hard", old)
    other = place.remote.commit(calendar(place.project, "payroll", "other"), "--force")
    for again in (follower, await place.follower()):
        seen = await again.look(place.now + EVERY)
        assert (seen.applied, seen.head) == (new, other)
        assert f"no longer has the commit {new[:12]}" in seen.refused
    assert await place.windows() == {"payroll", "close"}
    await (await place.follower(allow_rewrite=True)).look(place.now + EVERY)
    assert await place.windows() == {"payroll", "other"}
    after = await (await place.follower()).look(place.now + 2 * EVERY)
    assert (after.applied, after.refused) == (other, "")
    place.remote.git("push", "--force", "--quiet", str(place.remote.bare), f"{old}:main")
    assert "rewritten" in (await (await place.follower()).look(place.now + 3 * EVERY)).refused


async def test_what_a_safety_rule_holds_back_waits_for_a_person(place: Place) -> None:
    """The follower deletes no more than a sync may; a person's sync of that commit lets it on."""
    place.remote.commit(calendar(place.project, "a", "b", "c", "d", "e"))
    follower = await place.follower()
    await follower.look(place.now)
    cut = place.remote.commit(calendar(place.project, "a"))
    seen = await follower.look(place.now + EVERY)
    assert "4 of 5 schedules would be deleted" in seen.refused
    assert await place.windows() == {"a", "b", "c", "d", "e"}
    await place.sync_by_hand()
    assert await place.windows() == {"a"}
    after = await follower.look(place.now + 2 * EVERY)
    assert (after.applied, after.refused) == (cut, "")
    assert await place.windows() == {"a"}


async def test_credentials_that_expire_are_said_with_their_age(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The old schedules stay; no token is in the record, a log or an error; then it goes on."""
    first = place.remote.commit(calendar(place.project, "payroll"))
    with place.remote.serving() as door:
        monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
        monkeypatch.setenv("GIT_CONFIG_KEY_0", "http.extraHeader")
        monkeypatch.setenv("GIT_CONFIG_VALUE_0", door.header)
        follower = await place.follower(door.url)
        assert (await follower.look(place.now)).applied == first
        second = place.remote.commit(calendar(place.project, "payroll", "close"))
        door.expire()
        await follower.look(place.now + EVERY)
        seen = await follower.look(place.now + timedelta(minutes=50))
        assert (seen.applied, seen.head) == (first, first)
        (problem,) = follow_problems(seen, place.now + timedelta(minutes=65))
        assert problem.startswith("away for 1h, since ")
        assert "git fetch: fatal: " in problem
        door.expire(False)
        after = await follower.look(place.now + timedelta(minutes=70))
        assert (after.applied, after.fault, after.fault_since) == (second, "", None)
    secrets = (TOKEN, door.header.rpartition(" ")[2])
    assert not any(secret in f"{caplog.text}{seen}" for secret in secrets)


@pytest.mark.parametrize("is_away", [False, True], ids=["no commit", "the repository away, too"])
async def test_a_year_without_a_commit(place: Place, is_away: bool) -> None:
    """Dated schedules are extended by the follower alone, whether the remote answers or not."""
    dated = f"""\
namespace: {place.project}.a1b2c
holidays: [US]
windows:
  close: {{business_days: [3], at: "{QUIET_HOUR:02}:00", duration: 1h, tru: 4}}
"""
    only = place.remote.commit({"planner.yaml": f"project: {place.project}\n", "a.yaml": dated})
    follower = await place.follower()
    await follower.look(place.now)
    id = f"boost/{place.project}.a1b2c/close"

    async def covers() -> int:
        live = await describe(place.server, id)
        assert live
        assert live.schedule
        assert live.schedule.covers_until
        return live.schedule.covers_until.year

    assert await covers() == place.now.year + 3
    if is_away:
        place.remote.bare.rename(place.remote.home / "gone")
    later = place.now + timedelta(days=366)
    seen = await follower.look(later)
    assert await covers() == later.year + 3
    assert (seen.applied, seen.applied_at, bool(seen.fault)) == (only, place.now, is_away)


async def test_only_signed_commits_are_taken(place: Place, tmp_path: Path) -> None:
    """Of those who sign, only the allowed; an unsigned commit or another's key changes nothing."""
    alice, mallory = place.remote.new_key("alice"), place.remote.new_key("mallory")
    signers = tmp_path / "allowed_signers"
    public = alice.with_suffix(".pub").read_text(encoding="utf-8")
    signers.write_text(f"alice@example.com {public}", encoding="utf-8")
    place.remote.key = alice
    signed = place.remote.commit(calendar(place.project, "payroll"))
    follower = await place.follower(signers=signers)
    assert (await follower.look(place.now)).applied == signed
    place.remote.key = None
    place.remote.commit(calendar(place.project, "payroll", "unsigned"))
    seen = await follower.look(place.now + EVERY)
    assert (seen.applied, seen.refused) == (
        signed,
        "its signature is not accepted: it bears no signature",
    )
    place.remote.key = mallory
    place.remote.commit(calendar(place.project, "payroll", "evil"))
    seen = await follower.look(place.now + 2 * EVERY)
    assert seen.applied == signed
    assert "No principal matched" in seen.refused
    assert await place.windows() == {"payroll"}
    place.remote.key = alice
    taken = place.remote.commit(calendar(place.project, "payroll", "close"))
    assert (await follower.look(place.now + 3 * EVERY)).applied == taken


async def test_a_link_out_of_the_repository_is_refused(place: Place, tmp_path: Path) -> None:
    """A commit can't make the follower read files of its machine."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "planner.yaml").write_text(f"project: {place.project}\n", encoding="utf-8")
    (place.remote.work / "calendars").symlink_to(outside)
    place.remote.commit({})
    seen = await (await place.follower()).look(place.now)
    assert (seen.applied, seen.refused) == (
        "",
        "calendars: is a link that leads out of the repository",
    )


async def test_what_no_file_system_takes_is_refused(place: Place) -> None:
    """An over-long name, a loop of links: what runs goes on, and so does the follower."""
    good = place.remote.commit(calendar(place.project, "payroll"))
    follower = await place.follower()
    await follower.look(place.now)
    text = calendar(place.project, "payroll")["pay.yaml"]
    long = f"    ical: {'x' * 300}.ics\n    tru: 4\n"
    place.remote.commit({"pay.yaml": f"{text}  launches:\n{long}"})
    seen = await follower.look(place.now + EVERY)
    assert (seen.applied, seen.fault) == (good, "")
    assert seen.refused.startswith("calendars/pay.yaml:5: ")
    assert "leads nowhere" in seen.refused
    shutil.rmtree(place.remote.work / "calendars")
    (place.remote.work / "calendars").symlink_to("calendars")
    place.remote.git("add", "--all")
    place.remote.git("commit", "--quiet", "-m", "a loop")
    place.remote.git("push", "--quiet", str(place.remote.bare), "HEAD:main")
    seen = await follower.look(place.now + 2 * EVERY)
    assert (seen.applied, seen.fault) == (good, "")
    assert seen.refused.startswith("calendars: ")


async def test_a_submodule_of_calendars_is_refused(place: Place) -> None:
    """It isn't fetched: its windows aren't taken for deleted."""
    good = place.remote.commit(calendar(place.project, "payroll"))
    follower = await place.follower()
    await follower.look(place.now)
    place.remote.git("rm", "--quiet", "calendars/pay.yaml")
    place.remote.git("update-index", "--add", "--cacheinfo", f"160000,{good},calendars/pay")
    place.remote.git("commit", "--quiet", "-m", "the calendars are a repository of their own")
    place.remote.git("push", "--quiet", str(place.remote.bare), "HEAD:main")
    seen = await follower.look(place.now + EVERY)
    assert (seen.applied, seen.fault) == (good, "")
    assert seen.refused.startswith("calendars/pay: is empty: a submodule that wasn't fetched?")
    assert await place.windows() == {"payroll"}


async def test_an_unexpected_error_of_the_compiler_is_refused(place: Place) -> None:
    """A commit can't end the follower, which would only meet it again."""
    good = place.remote.commit(calendar(place.project, "payroll"))
    follower = await place.follower()
    await follower.look(place.now)
    compiles = follower.compile

    def fail(directory: Path, _: datetime) -> SyncRequest:
        raise OverflowError(f"date value out of range in {directory}/pay.yaml")

    follower.compile = fail
    place.remote.commit(calendar(place.project, "close"))
    seen = await follower.look(place.now + EVERY)
    assert (seen.applied, seen.fault) == (good, "")
    assert seen.refused == (
        "its calendars can't be compiled: OverflowError: date value out of range in "
        "calendars/pay.yaml"
    )
    follower.compile = compiles
    assert (await follower.look(place.now + 2 * EVERY)).applied == seen.head


async def test_a_commit_goes_ring_by_ring(place: Place) -> None:
    """Where planner.yaml has rings: look after look; between them both commits are told."""

    def files(tru: int) -> dict[str, str]:
        rings = f"{{canary: [{place.project}.a1b2c], high: [{place.project}.high]}}"
        head = f"project: {place.project}\nring_pause: 1s\nrings: {rings}\n"
        high = calendar(f"{place.project}x", "close", tru=tru)["pay.yaml"].replace(
            "x.a1b2c", ".high"
        )
        return {**calendar(place.project, "pay", tru=tru), "planner.yaml": head, "high.yaml": high}

    async with polling(place.server.client):
        first = place.remote.commit(files(4))
        follower = await place.follower()
        seen = await follower.look(datetime.now(UTC))
        assert (seen.applied, await place.windows()) == ("", {"pay"})
        assert "ring canary is written; the next follows at " in follow_headline(seen)
        await asyncio.sleep(1)
        done = await (await place.follower()).look(datetime.now(UTC))  # whoever comes
        assert (done.applied, done.rolling, await place.windows()) == (first, "", {"pay", "close"})
        place.remote.commit(files(6))
        await (await place.follower()).look(datetime.now(UTC))
        await stop(place.server, place.project, "alice", "release freeze")
        held = await (await place.follower()).look(datetime.now(UTC))
        assert held.applied == first
        assert held.refused.endswith("stopped by alice: release freeze")
        live = await describe(place.server, f"boost/{place.project}.a1b2c/pay")
        assert live
        assert live.schedule
        assert live.schedule.request.tru == 6  # the ring that has the newer one keeps it


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda place: place.remote.commit(calendar(place.project, "payroll", "close")), 0),
        (lambda place: None, 0),
        (lambda place: place.remote.commit({"bad.yaml": "namespace: [\n"}), 3),
        (lambda place: place.remote.bare.rename(place.remote.home / "gone"), 1),
    ],
    ids=["a commit", "nothing to do", "a refused commit", "no repository"],
)
async def test_one_look_ends_as_a_sync_does(
    place: Place, change: Callable[[Place], object], code: int
) -> None:
    """`--once`, by its exit code; the log, on stderr, has the reason."""
    place.remote.commit(calendar(place.project, "payroll"))
    await (await place.follower()).look(place.now)
    change(place)
    done = await planner("follow", str(place.remote.bare), "--once")
    assert done.returncode == code, done.stderr
    words = {0: "", 3: "is refused since", 1: "away for"}
    assert words[code] in done.stderr
    assert (await place.record()).ended is None


@asynccontextmanager
async def following(*arguments: str) -> AsyncIterator[tuple[Process, httpx.AsyncClient]]:
    """Run `planner follow`, with a client of its health checks."""
    port = free_port()
    command = ("follow", *arguments, "--every", "1s", "--health", f"127.0.0.1:{port}")
    process = await asyncio.create_subprocess_exec(PLANNER, *command, stderr=PIPE)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
            yield process, http
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        print((await process.communicate())[1].decode())


async def ends(process: Process) -> int:
    """Return the exit code of *process* after SIGTERM; it has ten seconds."""
    process.terminate()
    return await asyncio.wait_for(process.wait(), 10)


async def test_its_health_and_its_end(place: Place) -> None:
    """Ready while the repository answers; SIGTERM ends it, and its record says so at once."""
    place.remote.commit(calendar(place.project, "payroll"))
    gone = place.remote.home / "gone"

    async with following(str(place.remote.bare)) as (process, http):

        async def answers(path: str, status: int, words: str) -> None:
            reply = await http.get(path)
            assert (reply.status_code, words in reply.text) == (status, True), reply.text

        await eventually(lambda: answers("/readyz", 200, ""), within=60)
        await answers("/healthz", 200, "ok")
        place.remote.bare.rename(gone)
        await eventually(lambda: answers("/readyz", 503, "git fetch: fatal: "))
        await answers("/healthz", 200, "ok")
        gone.rename(place.remote.bare)
        await eventually(lambda: answers("/readyz", 200, ""))
        assert await ends(process) == 0
    ended = await place.record()
    assert ended.ended is not None
    assert follow_state(ended, datetime.now(UTC)) == "stopped"
    status = await planner("status")
    assert "its follower ended in order" in " ".join(status.stdout.split())
    await (await place.follower()).look(datetime.now(UTC))
    assert (await place.record()).ended is None


async def test_the_end_of_one_that_was_replaced_is_taken_back(place: Place) -> None:
    """As in a rolling update: the new one looks before the old one ends, and goes on."""
    place.remote.commit(calendar(place.project, "payroll"))
    old, new = await place.follower(), await place.follower()
    await old.look(place.now)
    await new.recover(place.now)
    await new.look(place.now + EVERY)
    await old.end(place.now + EVERY)
    assert follow_state(await place.record(), place.now + EVERY) == "stopped"
    await new.look(place.now + 2 * EVERY)
    assert follow_state(await place.record(), place.now + 2 * EVERY) == "current"


async def test_it_ends_while_the_remote_keeps_it_waiting(place: Place) -> None:
    """SIGTERM in a fetch that takes for ever: git ends with it."""
    reached, left = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.set()
        await reader.read()  # until git closes it; nothing is ever answered
        left.set()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, following(f"http://127.0.0.1:{port}/capacity.git") as (process, http):
        await asyncio.wait_for(reached.wait(), 60)
        assert (await http.get("/readyz")).status_code == 503  # no look yet
        assert await ends(process) == 0
        await asyncio.wait_for(left.wait(), 10)


async def test_a_follower_that_is_killed_while_it_applies(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one finishes what it had begun, and no window is without its schedule."""
    monkeypatch.setattr(sync_state, "SILENT_SECONDS", 1.0)
    names = [f"w{number:03}" for number in range(60)]
    only = place.remote.commit(calendar(place.project, *names))
    arguments = ("follow", str(place.remote.bare), "--every", "1s")
    begun = [await asyncio.create_subprocess_exec(PLANNER, *arguments, stderr=PIPE)]

    async def half_done() -> None:
        if begun[-1].returncode is not None:  # the server was too busy to be reached: again
            begun.append(await asyncio.create_subprocess_exec(PLANNER, *arguments, stderr=PIPE))
        assert len(await list_schedules(place.server, place.project)) > 5

    try:
        await eventually(half_done, within=60, every=0.05)
    finally:
        for process in begun:
            with suppress(ProcessLookupError):
                process.kill()
            print((await process.communicate())[1].decode())
    assert not (await read_last_applied(place.server, place.project, place.now)).is_complete
    seen = await (await place.follower()).look(place.now)
    assert (seen.applied, seen.fault) == (only, "")
    assert await place.windows() == set(names)
