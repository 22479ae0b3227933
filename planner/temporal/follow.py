"""Follow a Git repository: fetch its newest commit, and sync its calendars as they change.

What is applied goes through the very sync that ``planner sync`` makes, with nothing allowed that a
person has to allow. The repository is fetched by the ``git`` program, with its own credentials.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from logging import INFO, WARNING, getLogger
from pathlib import Path
from typing import Any

from planner.errors import InputError, PlannerError, Problem, Refused, ServerError
from planner.temporal.apply import Outcome
from planner.temporal.client import Server
from planner.temporal.rings import advance
from planner.temporal.sync import SyncRequest, sync
from planner.temporal.sync_state import read_follow, read_last_applied, write_follow
from planner.temporal.watchdog import ensure_watchdog
from workflows.contract.follow import (
    SHORT,
    FollowRecord,
    after_look,
    follow_headline,
    follow_problems,
    is_news,
)

GIT_SECONDS = 120.0
"""Seconds that one run of git may take."""

DEPTHS = (50, 1_000, 2**31 - 1)
"""Commits that are fetched, one after the other, to see whether a branch was rewritten."""

SYNC_EVERY = timedelta(hours=1)
"""How often a commit that runs is synced again: it extends dated schedules, and mends."""

LONGEST_LOOK = 1_800.0
"""Seconds that a look may take, besides the time between two, before the process is unhealthy.
A look may wait for another sync."""

END_WITHIN = 5.0
"""Seconds that a follower which ends takes for its record at most."""

SHOWN_PROBLEMS = 5
"""Problems of files that a refusal quotes."""

MAX_ERROR = 300
"""Characters of an unexpected error that a refusal quotes."""

SAFE = (
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.autocrlf=false"),
    *("-c", "gc.auto=0"),
    *("-c", "maintenance.auto=false"),
    *("-c", "protocol.ext.allow=never"),
    *("-c", "advice.detachedHead=false"),
)
"""Nothing that a repository or a template of this machine brings is run, or goes on by itself."""

NO_OPENPGP = ("-c", "gpg.program=false", "-c", "gpg.openpgp.program=false")
NO_X509 = ("-c", "gpg.x509.program=false")
NO_SSH = ("-c", "gpg.ssh.program=false", "-c", "gpg.ssh.allowedSignersFile=/dev/null")
"""Kinds of signatures that the given keys can't be of; else the machine's own keys would count."""

KEYRING = ("pubring.kbx", "pubring.gpg", "trustdb.gpg")

_HERE = re.compile(r"GIT_(DIR|WORK_TREE|INDEX_FILE|OBJECT_DIRECTORY|COMMON_DIR|NAMESPACE|TRACE.*)")
"""Variables that lead git elsewhere, or that make it print what it sends."""

_USER = re.compile(r"(?<=://)[^/@\s]*@")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class GitError(PlannerError):
    """The repository could not be fetched or read; it may pass."""


@dataclass
class Repository:
    """A branch of a repository, fetched by the ``git`` program into a directory of our own.

    Args:
        url: What git takes for a remote: a URL, or a path.
        ref: A branch, or a full ref such as ``refs/tags/live``.
        store: The directory of the clone; it has nothing that can't be fetched again.
        signers: Who may sign: a file of SSH's allowed signers, or a GnuPG home with their public
            keys. None takes unsigned commits, too.
    """

    url: str
    ref: str
    store: Path
    signers: Path | None = None

    @property
    def full_ref(self) -> str:
        """The ref on the remote."""
        return self.ref if self.ref.startswith("refs/") else f"refs/heads/{self.ref}"

    async def fetch(self) -> str:
        """Fetch the branch, and return the id of its newest commit.

        Raises:
            GitError: It could not be fetched; in git's words, without credentials.
        """
        if not (self.store / ".git").exists():
            await self._git("init", "--quiet", str(self.store))
        await self._fetch(f"+{self.full_ref}:refs/planner/head", 1)
        return await self._git("rev-parse", "--verify", "refs/planner/head^{commit}")

    async def is_ancestor(self, base: str, commit: str) -> bool:
        """Tell whether the branch went on from *base* to the fetched *commit*.

        As much of the history is fetched as that takes.
        """
        for depth in DEPTHS:
            code, _, _ = await self._run("merge-base", "--is-ancestor", base, commit)
            if code == 0:
                return True
            if await self._git("rev-parse", "--is-shallow-repository") == "false":
                return False
            await self._fetch(f"+{self.full_ref}:refs/planner/head", depth)
        code, _, _ = await self._run("merge-base", "--is-ancestor", base, commit)
        return code == 0

    async def verify(self, commit: str) -> None:
        """Raise unless *commit* is signed by one of the signers.

        Raises:
            Refused: It is not, or the signers can't be read.
        """
        if self.signers is None:
            return
        more: tuple[str, ...]
        environ = {}
        if self.signers.is_dir():
            environ["GNUPGHOME"] = str(self._keyring(self.signers))
            more = (*NO_SSH, *NO_X509)
        else:
            trusted = f"gpg.ssh.allowedSignersFile={self.signers.resolve()}"
            more = (*NO_OPENPGP, *NO_X509, "-c", trusted, "-c", "gpg.minTrustLevel=fully")
        code, _, words = await self._run("verify-commit", commit, more=more, environ=environ)
        if code:
            why = _brief(words) or "it bears no signature"
            raise Refused(f"its signature is not accepted: {why}")

    def _keyring(self, home: Path) -> Path:
        """Return a copy of the public keys in *home*: GnuPG writes beside them, even to verify."""
        copy = self.store / ".git" / "planner-keyring"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir(mode=0o700)
        try:
            for name in KEYRING:
                if (home / name).exists():
                    shutil.copyfile(home / name, copy / name)
        except OSError as error:
            raise Refused(f"the keys in {home} can't be read: {error.strerror}") from error
        return copy

    async def checkout(self, commit: str) -> Path:
        """Bring the files of *commit* into the store, no others, and return where they are.

        Raises:
            GitError: It is not there, and the remote doesn't have it any more.
        """
        code, _, _ = await self._run("cat-file", "-e", f"{commit}^{{commit}}")
        if code:
            await self._fetch(commit, 1)
        await self._git("checkout", "--quiet", "--force", "--detach", commit)
        await self._git("clean", "-ffdxq")
        return self.store

    async def _fetch(self, what: str, depth: int) -> None:
        options = ("--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head")
        await self._git("fetch", *options, f"--depth={depth}", "--", self.url, what)

    async def _git(self, *arguments: str) -> str:
        """Run git and return what it prints.

        Raises:
            GitError: It failed.
        """
        code, output, words = await self._run(*arguments)
        if code:
            raise GitError(f"git {arguments[0]}: {_brief(words) or f'exit code {code}'}")
        return output.strip()

    async def _run(
        self, *arguments: str, more: tuple[str, ...] = (), environ: Mapping[str, str] | None = None
    ) -> tuple[int, str, str]:
        """Run git in the store; return its exit code and what it printed."""
        own = {name: value for name, value in os.environ.items() if not _HERE.fullmatch(name)}
        fixed = {"GIT_TERMINAL_PROMPT": "0", "GIT_NO_REPLACE_OBJECTS": "1", "LC_ALL": "C"}
        try:
            process = await asyncio.create_subprocess_exec(
                *("git", *SAFE, *more, "-C", str(self.store), *arguments),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={**own, **fixed, **(environ or {})},
                start_new_session=True,  # without a terminal, nothing asks for a password there
            )
        except OSError as error:
            raise GitError(f"the git program can't be started: {error.strerror}") from error
        try:
            async with asyncio.timeout(GIT_SECONDS):
                output, words = await process.communicate()
        except TimeoutError:
            late = f"git {arguments[0]} has not ended within {GIT_SECONDS:g} s"
            raise GitError(late) from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        assert process.returncode is not None
        return process.returncode, output.decode(errors="replace"), words.decode(errors="replace")


def _brief(words: str) -> str:
    """Return what git printed as one line, without user and password of a URL."""
    lines = [" ".join(line.split()) for line in _CONTROL.sub("", words).splitlines()]
    kept = [line for line in lines if line.startswith(("fatal:", "error:"))] or lines
    return _USER.sub("", "; ".join(line for line in kept if line))[:300]


Compile = Callable[[Path, datetime], SyncRequest]
"""Returns the sync of the calendars in a directory, by the planner's one way from files to it.

Raises `InputError` where the files can't be used, `Refused` where they are for another server.
"""


@dataclass
class Follower:
    """Looks at a repository, and applies the newest commit of its branch within the safety rules.

    Its record is on the Temporal server: one that is killed, at whatever point, is followed by one
    that goes on from there.

    Args:
        repository: What is followed.
        server: Where the schedules are.
        compile: Returns the sync of a directory; nothing is allowed in it.
        source: The repository and the directory in it, as its record shows them.
        path: The directory of the calendars in the repository.
        every: The time between two looks; None looks once.
        allow_rewrite: Take a commit that the one which runs is no ancestor of.

    Attributes:
        record: What is known, first from the follower before.
        has_looked: Whether it has looked itself.
    """

    repository: Repository
    server: Server
    compile: Compile
    source: str
    path: str = "calendars"
    every: timedelta | None = None
    allow_rewrite: bool = False
    record: FollowRecord = field(init=False)
    has_looked: bool = field(default=False, init=False)
    _recorded: FollowRecord | None = None
    _synced: datetime | None = None
    _rolling: str = ""
    _descends: dict[tuple[str, str], bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        seconds = self.every.total_seconds() if self.every else 0.0
        self.record = FollowRecord(source=self.source, ref=self.repository.ref, interval=seconds)

    async def recover(self, now: datetime) -> None:
        """Go on from the record of the follower before, and from what was applied last.

        Raises:
            ServerError: They could not be read.
        """
        self._recorded = before = await read_follow(self.server, self.record.id)
        if before is None:
            return
        self.record = replace(before, interval=self.record.interval)
        last = await read_last_applied(self.server, before.project, now) if before.project else None
        if last and last.commit not in ("", before.applied):  # killed before it wrote its record
            self.record = replace(self.record, applied=last.commit, applied_at=now)

    async def look(self, now: datetime) -> FollowRecord:
        """Fetch, apply what may be applied, and return what came of it, which is put on record.

        Where the newest commit can't be had or is refused, the one that runs is kept: it is synced
        again each hour, so that its dated schedules don't run out.
        """
        head = applied = refused = fault = self._rolling = ""
        try:
            head = await self.repository.fetch()
            if head != self.record.applied or self._is_due(now):
                applied = await self._advance(head, now)
        except (Refused, InputError) as error:
            refused = self._words(error)
        except (GitError, ServerError) as error:
            fault = str(error)
        in_part = self._rolling or self.record.rolling  # some rings have the newer one
        runs_another = self.record.applied not in ("", head)
        if not in_part and runs_another and not applied and self._is_due(now):
            try:
                await self._apply(self.record.applied, now)
            except PlannerError as error:
                fault = fault or f"the commit that runs can't be synced again: {self._words(error)}"
        before = self.record
        self.record = after_look(
            before,
            now,
            head=head,
            applied=applied,
            rolling=self._rolling,
            refused=refused,
            fault=fault,
        )
        self.has_looked = True
        self._log_change(before)
        await self._put_on_record()
        return self.record

    def _is_due(self, now: datetime) -> bool:
        return self._synced is None or now - self._synced >= SYNC_EVERY

    async def _advance(self, head: str, now: datetime) -> str:
        """Apply the newest commit, and return its id; empty while rings are left.

        Raises:
            Refused: It may not be applied without a person.
            InputError: Its files can't be used.
        """
        runs = self.record.applied
        if head != runs:
            await self.repository.verify(head)
        if runs and not self.allow_rewrite:
            if (runs, head) not in self._descends:  # to find out may take the whole history
                known = runs == head or await self.repository.is_ancestor(runs, head)
                self._descends = {(runs, head): known}
            if not self._descends[runs, head]:
                raise Refused(
                    f"{self.repository.ref} no longer has the commit {runs[:SHORT]} that runs: "
                    "its history was rewritten; run `planner follow … --once --allow-rewrite` to "
                    "take it as it is now"
                )
        return head if await self._apply(head, now) else ""

    async def _apply(self, commit: str, now: datetime) -> bool:
        """Sync the calendars of *commit*, by the code that ``planner sync`` runs.

        Where there are rings, the one that is due. Returns whether all is written.

        Raises:
            Refused: A safety rule holds a change back, and nothing was written; or a check, or a
                person, has stopped the rollout between two rings.
            InputError: The files can't be used.
            ServerError: The server can't be reached, or changes failed.
            GitError: The commit isn't to be had.
        """
        root = await self.repository.checkout(commit)
        directory = root / self.path
        try:
            is_inside = directory.resolve().is_relative_to(root.resolve())
        except (OSError, RuntimeError) as error:
            raise InputError([Problem(self.path, 0, "is a link that leads nowhere")]) from error
        if not is_inside:
            raise InputError([Problem(self.path, 0, "is a link that leads out of the repository")])
        request = replace(
            await asyncio.to_thread(self._compile, directory, now),
            commit=commit,
            on_notice=log,
            on_outcome=_log_outcome,
        )
        self.record = replace(self.record, project=request.desired.project)
        if request.rings:
            step = await advance(self.server, request, now)
            self._rolling = step.text
            if step.state == "stopped":
                raise Refused(f"no further ring is written: {step.text}")
            report, is_whole = step.done, step.state == "done"
        else:
            report, is_whole = await sync(self.server, request, now), True
        await ensure_watchdog(self.server.client)
        if report and report.failed:
            one = report.failed[0]
            raise ServerError(
                f"{len(report.failed)} changes failed, and are tried again; the first: could not "
                f"{one.change.action} {one.change.key}: {one.message}"
            )
        if is_whole:
            self._synced = now
        return is_whole

    def _compile(self, directory: Path, now: datetime) -> SyncRequest:
        """Return the sync of the calendars in *directory*.

        What a commit has in it mustn't end the follower, which would only meet it again.

        Raises:
            Refused: They are for another server, or can't be compiled for a reason not known here.
            InputError: They can't be used.
        """
        try:
            return self.compile(directory, now)
        except PlannerError:
            raise
        except Exception as error:
            getLogger("planner.follow").exception("the calendars can't be compiled")
            words = f"{type(error).__name__}: {error}"[:MAX_ERROR]
            raise Refused(f"its calendars can't be compiled: {words}") from error

    def _words(self, error: PlannerError) -> str:
        """Return *error* with the paths as the repository has them."""
        text = str(error)
        if isinstance(error, InputError):
            more = len(error.problems) - SHOWN_PROBLEMS
            lines = [str(problem) for problem in error.problems[:SHOWN_PROBLEMS]]
            text = "\n".join([*lines, f"and {more} more"] if more > 0 else lines)
        for store in {str(self.repository.store), str(self.repository.store.resolve())}:
            text = text.replace(f"{store}/", "")
        return text

    def _log_change(self, before: FollowRecord) -> None:
        """Log what the look has changed: the commit that runs, a refusal, a fault."""
        after = self.record
        if after.applied != before.applied:
            log(follow_headline(after), commit=after.applied)
        elif after.rolling != before.rolling and after.rolling:
            log(after.rolling, commit=after.head)
        if (after.head, after.refused, after.fault) == (before.head, before.refused, before.fault):
            return
        for problem in follow_problems(after, after.at or datetime.now(UTC)):
            log(problem, level=WARNING, commit=after.head)
        if before.fault and not after.fault:
            log("the repository and the server answer again")

    async def end(self, now: datetime) -> None:
        """Put on record that nobody looks from *now* on, until another follower does."""
        if self.record.at is None:
            return
        self.record = replace(self.record, ended=now)
        with contextlib.suppress(TimeoutError):  # its age says the same, later
            async with asyncio.timeout(END_WITHIN):
                await self._put_on_record()

    async def _put_on_record(self) -> None:
        """Write the record where it says something new; a look doesn't fail for it."""
        try:
            is_new = is_news(self._recorded, self.record)
            if not is_new:  # the follower that this one replaces may have recorded its end since
                found = await read_follow(self.server, self.record.id)
                is_new = found is not None and found.ended is not None
            if is_new:
                await write_follow(self.server, self.record)
                self._recorded = self.record
        except ServerError as error:
            log(str(error), level=WARNING)


@dataclass
class Pace:
    """When the looks of a follower come, by the loop's clock."""

    every: timedelta
    begun: float = 0.0

    def begin(self) -> None:
        """Begin a look."""
        self.begun = asyncio.get_running_loop().time()

    @property
    def left(self) -> float:
        """Seconds to the next look."""
        return self.begun + self.every.total_seconds() - asyncio.get_running_loop().time()

    @property
    def is_kept(self) -> bool:
        """Whether the look that is due has come, or was begun less than `LONGEST_LOOK` ago."""
        return not self.begun or self.left > -LONGEST_LOOK


async def keep_looking(follower: Follower, pace: Pace, stop: asyncio.Event) -> None:
    """Look again and again until *stop*, and put the end on record.

    An interrupted look is taken up by the next follower.
    """

    async def look() -> None:
        while True:
            pace.begin()
            await follower.look(datetime.now(UTC))
            await asyncio.sleep(max(0.0, pace.left))

    work, stopped = asyncio.ensure_future(look()), asyncio.ensure_future(stop.wait())
    both: set[asyncio.Future[Any]] = {work, stopped}
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            await work
    finally:
        for each in both:
            each.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
    await follower.end(datetime.now(UTC))


def _log_outcome(outcome: Outcome) -> None:
    change, more = outcome.change, f": {outcome.message}" if outcome.message else ""
    words = change.action if outcome.done else f"could not {change.action}"
    log(f"{words} {change.key}{more}", level=INFO if outcome.done else WARNING)


def log(text: str, *, level: int = INFO, **fields: object) -> None:
    """Log *text* with *fields* as a line like those of the worker."""
    getLogger("planner.follow").log(level, text, extra={"event": fields})
