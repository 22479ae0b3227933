"""The application that commands are registered with, its version; options that they share."""

from __future__ import annotations

import contextlib
import getpass
import os
import pickle
import signal
import sys
from collections.abc import Callable, Coroutine, Iterable, Iterator
from datetime import UTC, datetime, time, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, NoReturn, Self, TypeVar

import typer

from planner.cli.output import report, say
from planner.errors import PlannerError, Refused, StalePlan

if TYPE_CHECKING:
    import asyncio

    from planner.model import Horizon, Project
    from planner.temporal.client import Server

T = TypeVar("T")

EXIT_DONE = 0
EXIT_ERROR = 1
EXIT_CHANGES = 2
EXIT_USAGE = 64
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143

EXIT_CODES = {
    EXIT_DONE: "done, or nothing to do",
    EXIT_ERROR: "an error: bad input, an unreachable server, a failed change",
    EXIT_CHANGES: "changes pending (plan --detailed-exitcode); something wrong (status --check); "
    "throttled or not known (report --check)",
    Refused.exit_code: "refused by a safety rule; the message names the flag that allows it",
    StalePlan.exit_code: "the plan is no longer the one whose checksum was given; another sync has "
    "written between two rings",
    EXIT_USAGE: "the command line itself is wrong",
    EXIT_INTERRUPTED: "ended by Ctrl-C",
    EXIT_TERMINATED: "ended by SIGTERM; the worker, which stops in order, ends with 0",
}
"""The meaning of each exit code, the same for every command; shown by help and documents."""

HELP = ("-h", "--help")

PACKAGE = "calendar-boost-planner"

DATA = ("tzdata", "holidays", "temporalio")
"""The other packages whose release changes a calendar's occurrences, or how it runs."""

__all__ = ["EXIT_CODES", "app", "report", "run_async", "say"]


app = typer.Typer(
    name="planner",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help=(
        "Temporal Cloud capacity that follows your calendar: up before a window opens, "
        "back to the baseline after it."
    ),
    epilog="Exit codes:\n\n\b\n"
    + "\n".join(f"{code:>3}  {meaning}" for code, meaning in EXIT_CODES.items()),
    context_settings={"help_option_names": [*HELP], "max_content_width": 100},
)


OneNamespace = Annotated[
    str, typer.Argument(metavar="[NAMESPACE]", help="Only this one; without it, all.")
]
To = Annotated[
    str, typer.Option("--to", metavar="TIME", help="Day or instant after the last, UTC. [now]")
]


def run_async(main: Coroutine[Any, Any, int | None]) -> None:
    """Run the coroutine *main* and exit with the code it returns; None means 0.

    SIGTERM cancels it, as Ctrl-C does, so that everything it opened is closed.
    """
    import asyncio

    async def cancellable() -> int | None:
        task = asyncio.create_task(main)
        with contextlib.suppress(NotImplementedError):  # on Windows there is no such signal
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await task

    signal.signal(signal.SIGINT, signal.default_int_handler)  # asyncio takes over from that one
    try:
        raise typer.Exit(asyncio.run(cancellable()) or EXIT_DONE)
    except asyncio.CancelledError:
        raise typer.Exit(EXIT_TERMINATED) from None
    finally:
        main.close()  # interrupted before it was awaited, Python would warn


async def connected() -> Server:
    """Connect to the server that profile and environment name.

    Each wait for it is announced on stderr.
    """
    from planner.temporal.client import connect, server_of

    return server_of(await connect(on_notice=say), on_notice=say)


def aside(work: Callable[[], T]) -> Callable[[], T]:
    """Begin *work* in a process of its own, and return what waits for its result.

    *work* has no effects: where no process can be made, or it ends without a result, it is
    done here. So it is where there is a single core, and beside other threads, which a
    forked process would lack.
    """
    if not _can_fork():
        return work
    receiving, sending = os.pipe()
    child = os.fork()
    if not child:
        _send_results(lambda: (work(),), sending)
    os.close(sending)

    def result() -> T:
        with open(receiving, "rb") as stream:
            sent = stream.read()
        _, status = os.waitpid(child, 0)
        return pickle.loads(sent) if sent and not status else work()

    return result


class StepsAside:
    """The results of a work of several steps, each as it comes from a process of its own.

    As with `aside`, the work has no effects, and is done here where there can't be a process or
    it ends early. A context manager: the process is ended with it.

    Attributes:
        results: What the steps yield, in order. An error that is reported in a sentence is
            raised by the step that had it.
    """

    def __init__(self, work: Callable[[], Iterator[Any]]) -> None:
        self.results = work()
        self._stream: BinaryIO | None = None
        if not _can_fork():
            return
        receiving, sending = os.pipe()
        self._child = os.fork()
        if not self._child:
            _send_results(lambda: _or_error(work()), sending)
        os.close(sending)
        self._stream = open(receiving, "rb")  # noqa: SIM115 - closed by the context
        self.results = _received(self._stream, work)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream:
            self._stream.close()
            os.kill(self._child, signal.SIGKILL)
            os.waitpid(self._child, 0)

    async def ready(self) -> None:
        """Let other tasks run until the next result is there, or has to be made here."""
        import asyncio

        if self._stream:
            loop, ready = asyncio.get_running_loop(), asyncio.Event()
            loop.add_reader(self._stream, ready.set)
            try:
                await ready.wait()
            finally:
                loop.remove_reader(self._stream)


def _received(stream: BinaryIO, work: Callable[[], Iterator[Any]]) -> Iterator[Any]:
    """Yield what `_send_results` writes of *work*, and where that ends early, do the rest here."""
    taken = 0
    with contextlib.suppress(EOFError, pickle.UnpicklingError):
        while True:
            found = pickle.load(stream)
            if isinstance(found, PlannerError):
                raise found
            taken += 1
            yield found
    yield from islice(work(), taken, None)


def _or_error(results: Iterator[object]) -> Iterator[object]:
    """Yield the *results*, and at last the error that ends them, if it is one of ours."""
    try:
        yield from results
    except PlannerError as error:
        yield error


def _can_fork() -> bool:
    """Tell whether a second process is of use and safe."""
    if sys.platform != "linux":
        return False
    return len(os.sched_getaffinity(0)) > 1 and len(os.listdir("/proc/self/task")) == 1


def _send_results(work: Callable[[], Iterable[object]], to: int) -> NoReturn:
    """Write the results of *work*, and end this process without any of the other's ends."""
    try:
        signal.set_wakeup_fd(-1)  # asyncio's, shared with the other
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with open(to, "wb") as stream:
            for found in work():
                stream.write(pickle.dumps(found, pickle.HIGHEST_PROTOCOL))
                stream.flush()
        os._exit(0)
    finally:
        os._exit(1)


def stop_on_signals(stop: asyncio.Event) -> None:
    """Have SIGINT and SIGTERM set *stop* from now on, and cancel nothing."""
    import asyncio

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)


def _print_versions(asked: bool) -> None:
    if asked:
        print(version_text())
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_versions,
            is_eager=True,
            help="Print the versions of the planner and of what its answers depend on.",
        ),
    ] = False,
) -> None:
    """Define the options that stand before a command."""


def version_text() -> str:
    """Return what ``--version`` prints: a line for each package, the planner first."""
    import platform

    import tzdata

    lines = [f"planner {version_of(PACKAGE)}", *(f"{name} {version_of(name)}" for name in DATA)]
    zones = f"time zones {tzdata.IANA_VERSION}, of tzdata"
    return "\n".join([*lines, zones, f"python {platform.python_version()}"])


def version_of(package: str = PACKAGE) -> str:
    """Return the version of an installed *package*, the planner's own by default."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:  # as of sources that aren't installed
        return "not installed"


UI_PORT = 8233
SIMULATOR_PORT = 8244
"""Default ports of the Temporal UI and the simulated Cloud on this machine; a free one is taken
where one of them is in use."""

HIGHEST_PORT = 65_535

MOST_NAMED = 5
"""Known names that a refusal lists."""

MOST_DAYS = 3660
"""The longest horizon: ten years."""


def horizon_of(start: str, end: str, days: int, now: datetime) -> Horizon:
    """Return the horizon of ``--from``, ``--to`` and ``--days``; ``--to`` wins over days.

    Raises:
        typer.BadParameter: One of them isn't a time, or they are in the wrong order.
    """
    from planner.model import Horizon

    first = instant_of(start, "--from") if start else datetime.combine(now.date(), time(), UTC)
    last = instant_of(end, "--to") if end else first + timedelta(days=days)
    if last <= first:
        raise typer.BadParameter(f"--to {last:%Y-%m-%d} must be after --from {first:%Y-%m-%d}")
    if last - first > timedelta(days=MOST_DAYS):
        raise typer.BadParameter(f"--from and --to may be {MOST_DAYS} days apart at most")
    return Horizon(first, last)


def instant_of(text: str, option: str, timezone: str = "UTC") -> datetime:
    """Return *text*, the value of *option*, as an instant in UTC; a day means its midnight.

    Args:
        text: A date or a time, in the forms of ISO 8601.
        option: The name of the option, for the error.
        timezone: The zone of a time without an offset.

    Raises:
        typer.BadParameter: It isn't a time, or is in no year that calendars know.
    """
    from zoneinfo import ZoneInfo

    from planner.config.scalars import FIRST_YEAR, LAST_YEAR
    from workflows.contract import to_instant

    try:
        parsed = datetime.fromisoformat(text)
        instant = (
            parsed.astimezone(UTC) if parsed.tzinfo else to_instant(parsed, ZoneInfo(timezone))
        )
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(
            f"{option} {text[:40]!r} is not a time; write 2027-01-31 or 2027-01-31T18:00Z"
        ) from error
    if not FIRST_YEAR <= instant.year <= LAST_YEAR:  # as in calendars; Python's end at 9999
        raise typer.BadParameter(
            f"{option} {text[:40]!r} is outside the years {FIRST_YEAR} to {LAST_YEAR}"
        )
    return instant


def length_of(text: str, option: str, longest: timedelta, advice: str) -> timedelta:
    """Return *text*, the value of *option*, as a length of time.

    Raises:
        typer.BadParameter: It is none, or isn't within *longest*; *advice* says what is.
    """
    from planner.config.scalars import parse_duration

    try:
        length = parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option}: {error}") from error
    if not timedelta() < length <= longest:
        raise typer.BadParameter(f"{option} {text} is not {advice}")
    return length


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of *text*; a port alone means every interface of this machine.

    >>> parse_address("127.0.0.1:9464")
    ('127.0.0.1', 9464)
    >>> parse_address("9464")
    ('0.0.0.0', 9464)
    """
    host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdigit() or int(port) > HIGHEST_PORT:
        raise typer.BadParameter(f"{text!r} is not an address; write 127.0.0.1:9464 or :9464")
    return host or "0.0.0.0", int(port)


def check_names(project: Project, namespaces: Iterable[str], windows: Iterable[str]) -> None:
    """Refuse names that no calendar has, and suggest the nearest.

    Raises:
        typer.BadParameter: A name is in no calendar.
    """
    known = {calendar.namespace for calendar in project.namespaces}
    for name in namespaces:
        if name not in known:
            raise typer.BadParameter(f"no namespace {name!r} in the calendars{_near(name, known)}")
    shown = {name for window in project.windows for name in (window.name, window.key)}
    for name in windows:
        if name not in shown:
            raise typer.BadParameter(f"no window {name!r} in the calendars{_near(name, shown)}")


def _near(name: str, known: Iterable[str]) -> str:
    """Return a hint: the nearest of the *known* names, or else the first few."""
    from planner.errors import did_you_mean

    names = sorted(known)
    if hint := did_you_mean(name, names):
        return hint
    shown = ", ".join(names[:MOST_NAMED])
    more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    return f", which have {shown}{more}" if names else ""


def operator() -> str:
    """Return the name of the user who runs the command."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in a container
        return "an operator"
