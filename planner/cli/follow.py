"""``planner follow``: apply the calendars of a Git repository as they change."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.app import (
    EXIT_DONE,
    EXIT_ERROR,
    app,
    aside,
    parse_address,
    run_async,
    stop_on_signals,
)
from planner.cli.request import (
    InFlight,
    MaxExtraCost,
    SyncOptions,
    repository,
    request_of,
)
from planner.errors import Refused, ServerError

if TYPE_CHECKING:
    from planner.temporal.client import Server
    from planner.temporal.follow import Follower, Pace
    from planner.temporal.sync import SyncRequest

SHORTEST, LONGEST = timedelta(seconds=1), timedelta(days=1)
"""The least and the greatest time between two looks."""

_WITH_USER = re.compile(r"https?://[^/]*@", re.IGNORECASE)


Signers = Annotated[
    Path | None,
    typer.Option(
        metavar="KEYS",
        help="Take signed commits only: by a file of SSH allowed signers, or by a directory "
        "that is a GnuPG home with public keys.",
    ),
]


@app.command()
def follow(
    url: Annotated[str, typer.Argument(metavar="GIT-URL", help="What git takes for a remote.")],
    ref: Annotated[str, typer.Option(metavar="BRANCH", help="The branch, or a full ref.")] = "main",
    path: Annotated[
        str, typer.Option(metavar="DIRECTORY", help="The calendars in the repository.")
    ] = "calendars",
    every: Annotated[
        str, typer.Option(metavar="LENGTH", help="The time between two looks: 1m, 5m, 1h.")
    ] = "5m",
    verify_signatures: Signers = None,
    once: Annotated[bool, typer.Option("--once", help="Look once, and end.")] = False,
    allow_rewrite: Annotated[
        bool,
        typer.Option(
            "--allow-rewrite",
            help="Take a branch that no longer has the commit that runs, as after a forced push.",
        ),
    ] = False,
    max_extra_cost: MaxExtraCost = None,
    health: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Serve GET /healthz and /readyz there.")
    ] = "",
) -> None:
    """Follow a Git repository: apply the calendars of each new commit.

    Each commit is planned and applied as by `planner sync`, with the same lock and safety rules;
    nothing is done that a person has to allow. A commit that is refused, or can't be read or
    fetched, leaves the schedules as they are: `planner status` says which commit runs, and why.
    The one that runs is synced again each hour, so that dated schedules don't run out.

    Credentials are git's own: a credential helper, GIT_ASKPASS, an SSH key. Exits with --once
    as sync does: 3 if the commit is refused, 1 if it can't be fetched or applied.
    """
    from workflows.observability import log_to_stderr

    _check_arguments(url, path, verify_signatures)
    log_to_stderr()
    options = FollowOptions(
        url=url,
        ref=ref,
        path=path,
        every=None if once else _interval(every),
        signers=verify_signatures,
        allow_rewrite=allow_rewrite,
        max_extra_cost=max_extra_cost,
        health=health,
    )
    run_async(_follow(options))


def _check_arguments(url: str, path: str, verify_signatures: Path | None) -> None:
    if _WITH_USER.match(url):
        raise typer.BadParameter(
            "the URL has a user or a password, which every list of processes shows; give it to git "
            "by a credential helper, GIT_ASKPASS or http.extraHeader"
        )
    if url.startswith("-") or PurePosixPath(path).is_absolute() or ".." in Path(path).parts:
        raise typer.BadParameter(
            "the URL can't begin with -, and --path is a path in the repository"
        )
    if verify_signatures and not verify_signatures.exists():
        raise typer.BadParameter(f"--verify-signatures {verify_signatures} does not exist")


def _interval(text: str) -> timedelta:
    from planner.config.scalars import parse_duration

    try:
        length = parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(f"--every: {error}") from error
    if not SHORTEST <= length <= LONGEST:
        raise typer.BadParameter(f"--every {text} is not within a second and a day; write 5m")
    return length


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowOptions:
    """What is followed, as the command line has it; without *every*, one look."""

    url: str
    ref: str
    path: str
    every: timedelta | None
    signers: Path | None
    allow_rewrite: bool
    max_extra_cost: float | None
    health: str

    @property
    def source(self) -> str:
        """The repository and the directory in it, as plans and a sync's record show them."""
        return self._place(with_port=False)

    @property
    def followed(self) -> str:
        """The same as the follower's record shows it: with a port, since ports differ."""
        return self._place(with_port=True)

    def _place(self, *, with_port: bool) -> str:
        place = repository(_plain(self.url), with_port=with_port)
        return place if self.path == "." else f"{place}:{PurePosixPath(self.path).as_posix()}"


def _plain(url: str) -> str:
    """Return *url* as it may be shown: without a query, which may have a token; paths absolute."""
    plain = re.split(r"[?#]", url, maxsplit=1)[0].removeprefix("file://")
    return str(Path(plain).resolve()) if Path(plain).exists() else plain


def follower_of(options: FollowOptions, store: Path, server: Server) -> Follower:
    """Return the follower of *options*, with its clone in the directory *store*."""
    from planner.temporal.follow import Follower, Repository

    return Follower(
        Repository(options.url, options.ref, store, options.signers),
        server,
        lambda directory, now: _request(options, directory, now),
        options.followed,
        options.path,
        options.every,
        options.allow_rewrite,
    )


def _request(options: FollowOptions, directory: Path, now: datetime) -> SyncRequest:
    """Return the sync of the files in *directory*, with nothing allowed.

    Raises:
        InputError: The files can't be used.
        Refused: They are for another server.
    """
    from planner.config.load import read
    from planner.lints.inspect import inspect
    from planner.plan.model import Source, target_refusal
    from planner.temporal.client import read_target

    project = read(directory)
    inspect(project, now.date(), aside).require_usable()
    if words := target_refusal(project.temporal, *read_target()):
        raise Refused(words)
    nothing_allowed = SyncOptions(
        directory=directory,
        full=False,
        allow_delete=None,
        adopt=False,
        share=None,
        in_flight=InFlight.keep,
        move_source=False,
        max_extra_cost=options.max_extra_cost,
    )
    request, _ = request_of(project, now, nothing_allowed)
    return replace(request, source=Source(project.source or options.source))


async def _follow(options: FollowOptions) -> int:
    import asyncio

    from planner.temporal.client import connect, server_of
    from planner.temporal.follow import Pace, keep_looking, log

    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        store = _store(stack)
        server = server_of(await connect(on_notice=log), on_notice=log)
        follower = follower_of(options, store, server)
        await follower.recover(datetime.now(UTC))
        if options.every is None:
            record = await follower.look(datetime.now(UTC))
            if record.fault:
                return EXIT_ERROR
            return Refused.exit_code if record.refused else EXIT_DONE
        pace = Pace(options.every)
        if options.health:
            await stack.enter_async_context(_health(options.health, follower, pace))
        stop_on_signals(stop)
        log(f"following {follower.record.name}; Ctrl-C ends it", event="follower started")
        await keep_looking(follower, pace, stop)
    log("the follower has stopped", event="follower stopped")
    return EXIT_DONE


def _store(stack: AsyncExitStack) -> Path:
    """Return a new directory for the clone, which *stack* removes.

    Raises:
        ServerError: This machine has no place for it.
    """
    try:
        return Path(stack.enter_context(TemporaryDirectory(prefix="planner-follow-")))
    except OSError as error:
        raise ServerError(f"there is no place for a clone: {error.strerror}; set TMPDIR") from error


@asynccontextmanager
async def _health(address: str, follower: Follower, pace: Pace) -> AsyncIterator[None]:
    """Serve the health checks: healthy while looks come, ready while nothing is away."""
    from workflows.observability import health_endpoint

    def problems() -> list[str]:
        fault = follower.record.fault
        return ["no look yet"] if not follower.has_looked else [fault] if fault else []

    try:
        async with health_endpoint(*parse_address(address), lambda: pace.is_kept, problems):
            yield
    except OSError as error:
        raise ServerError(f"health can't be served on {address}: {error.strerror}") from error
