"""Whole commands on calendars whose windows differ, beside a plain reading and the bare client.

    python benchmarks/commands.py [--rounds 3] [--beside REVISION|CHECKOUT]
                                  [--only validate|plan|sync] [--most 10000]

Every figure is of a process from its start to its end: the interpreter's start and all imports
count, of bytecode as an installation has it. The calendars are made anew, a file a namespace, with
four windows of their own times each:
*monthly*, each on a day of the month, or *mixed*, with a peak on weekdays, the month's last
business day and business days between holidays. Beside ours stand

- *plain*, what one writes first: to validate, ``yaml.safe_load`` and croniter over the 400 days
  that `planner validate` looks at; to plan, the files' names compared with the ids in the list;
- *bare*, the SDK alone: one pass over the list, or the creates without anything else;
- *beside*, the same command of another revision or checkout: before and after.

All sides take turns; medians count. Processor time depends less on what else the machine does.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[1]

ZONES = (
    "America/New_York",
    "Europe/Berlin",
    "Asia/Kolkata",
    "UTC",
    "Australia/Sydney",
    "America/Sao_Paulo",
)
REGIONS = ("US", "DE", "IN", "GB", "AU", "BR")
PER_NAMESPACE = 4

MIXES = ("monthly", "mixed")

NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"
"""With it every process would compile all that it imports."""


# The calendars -------------------------------------------------------------------------


def write_calendars(directory: Path, windows: int, mix: str) -> Path:
    """Write calendars of so many *windows*, four a namespace and file, into *directory*."""
    directory.mkdir(parents=True)
    (directory / "planner.yaml").write_text("project: benchmark\n")
    make = monthly if mix == "monthly" else mixed
    for number in range(windows // PER_NAMESPACE):
        head = f"namespace: team-{number:05}.a1b2c\ntimezone: {ZONES[number % len(ZONES)]}\n"
        (directory / f"team-{number:05}.yaml").write_text(head + "windows:\n" + make(number))
    return directory


def monthly(number: int) -> str:
    """Return four windows for namespace *number*, each on a day of the month."""
    return "".join(
        f'  w{each}: {{cron: "{at % 60} {at // 60 % 24} {1 + at % 28} * *", '
        f"duration: {1 + at % 5}h, tru: {(2, 4, 6, 8)[at % 4]}, description: Window {at}}}\n"
        for each in range(PER_NAMESPACE)
        for at in (number * PER_NAMESPACE + each,)
    )


def mixed(number: int) -> str:
    """Return four windows for namespace *number*, each of another kind."""
    minute, hour = number * 7 % 60, 7 + number * 11 // 60 % 10
    nth = 1 + number % 10
    return f"""\
  statements:
    description: Statements of team {number}
    cron: "{minute} {hour} {1 + number % 28} * *"
    duration: {2 + number % 5}h
    tru: {(2, 4, 6, 8)[number % 4]}
  peak:
    cron: "{minute} {hour} * * mon-fri"
    duration: {60 + number % 120}m
    tru: 3
  month-end:
    cron: "{(minute + 1) % 60} {hour + 6} L * *"
    roll: previous
    until: "{4 + number % 4:02}:{minute:02}"
    tru: 8
  payments:
    business_days: [{nth}, -{nth}]
    holidays: [{REGIONS[number % len(ZONES)]}]
    at: "{hour:02}:{(minute + 2) % 60:02}"
    duration: 3h
    lead: {10 + number % 20}m
    tru: 4
"""


# A process from start to end --------------------------------------------------------------


@dataclass
class Cost:
    """What a process took: seconds by the clock and of the processor, and MB at its peak."""

    seconds: float
    processor: float
    megabytes: float


def run(command: list[str], tree: Path = ROOT, **environment: str) -> Cost:
    """Run *command* in the checkout *tree* to its end, and return what it took.

    Raises:
        SystemExit: It failed.
    """
    begun = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, cwd=tree, stdout=output, stderr=output, env={**inherited(), **environment}
        )
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            sys.exit(f"{' '.join(command)} failed:\n{output.read().decode()[-2000:]}")
    return Cost(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def inherited() -> dict[str, str]:
    """Return this process's environment, with bytecode written and found as usual."""
    return {name: value for name, value in os.environ.items() if name != NO_BYTECODE}


def planner(*arguments: object) -> list[str]:
    """Return the command line of the planner in the current checkout."""
    return [sys.executable, "-m", "planner", *map(str, arguments)]


def part(name: str, *arguments: object) -> list[str]:
    """Return the command line of a side that this file holds itself."""
    return [sys.executable, __file__, "--part", name, *map(str, arguments)]


# The sides beside ours --------------------------------------------------------------------


def plain_validate(directory: str) -> None:
    """Read every file and the starts of 400 days, as one writes it first."""
    import yaml
    from croniter import croniter

    start = datetime.now(UTC).replace(tzinfo=None)
    end = start + timedelta(days=400)
    for path in sorted(Path(directory).glob("team-*.yaml")):
        for window in yaml.safe_load(path.read_text())["windows"].values():
            days = croniter(window.get("cron", "0 7 1 * *"), start)
            while days.get_next(datetime) < end:
                pass


def plain_names(directory: str) -> set[str]:
    """Return the ids that the files name."""
    import yaml

    found = [yaml.safe_load(path.read_text()) for path in Path(directory).glob("team-*.yaml")]
    return {f"boost/{each['namespace']}/{name}" for each in found for name in each["windows"]}


async def plain_plan(directory: str) -> None:
    """Compare the names in the files with the ids in the list."""
    if not plain_names(directory) <= await bare_list(directory):
        sys.exit("schedules are missing")


async def bare_list(_: str) -> set[str]:
    """Pass over the list."""
    from temporalio.client import Client

    client = await Client.connect(os.environ["TEMPORAL_ADDRESS"])
    return {entry.id async for entry in await client.list_schedules(page_size=1000)}


async def bare_creates(file: str) -> None:
    """Create the schedules that are saved in *file*, with the SDK alone."""
    from sync import bare_create
    from temporalio.client import Client

    with open(file, "rb") as saved:  # noqa: ASYNC230 - nothing else runs
        desired = pickle.load(saved)
    await bare_create(await Client.connect(os.environ["TEMPORAL_ADDRESS"]), desired)


PARTS: dict[str, Callable[[str], Awaitable[object] | None]] = {
    "plain-validate": plain_validate,
    "plain-plan": plain_plan,
    "bare-list": bare_list,
    "bare-creates": bare_creates,
}


def play(name: str, argument: str) -> NoReturn:
    """Play one side in this process, and leave it as the planner leaves its own."""
    work = PARTS[name](argument)
    if work is not None:
        asyncio.run(work)  # type: ignore[arg-type]
    os._exit(0)


# The table --------------------------------------------------------------------------------


@dataclass
class Row:
    """What a command took on each side, round by round."""

    name: str
    sides: dict[str, list[Cost]] = field(default_factory=dict)

    def add(self, side: str, cost: Cost) -> None:
        """Add the *cost* of a round."""
        self.sides.setdefault(side, []).append(cost)

    def lines(self) -> Iterator[str]:
        """Yield a line for each side: medians, and how many times as much ours took."""
        ours = typical(self.sides["ours"])
        for side, costs in self.sides.items():
            found = typical(costs)
            ratio = "" if side == "ours" else f"{ours.seconds / found.seconds:>8.2f}"
            yield (
                f"{self.name:<38}{side:<8}{found.seconds:>8.2f}{found.processor:>11.2f}"
                f"{found.megabytes:>6.0f}{ratio}"
            )


def typical(costs: list[Cost]) -> Cost:
    """Return the medians of *costs*."""
    return Cost(*(median(getattr(one, each.name) for one in costs) for each in fields(Cost)))


@dataclass(frozen=True)
class Sides:
    """The checkouts that are measured: this one, and maybe one beside it."""

    beside: Path | None

    def measure(self, row: Row, *arguments: object, **environment: str) -> None:
        """Add what the planner's command took in each checkout."""
        row.add("ours", run(planner(*arguments), **environment))
        if self.beside:
            row.add("beside", run(planner(*arguments), self.beside, **environment))


def validate_rows(sides: Sides, home: Path, rounds: int, most: int) -> Iterator[Row]:
    """Yield the rows of `planner validate`, of up to *most* windows."""
    for mix in MIXES:
        warm_up(sides, "validate", write_calendars(home / f"warm-{mix}", 4, mix))
        for windows in (count for count in (400, 1_000, 10_000) if count <= most):
            row = Row(f"validate, {windows // PER_NAMESPACE:,} files, {windows:,} {mix}")
            calendars = write_calendars(home / f"{mix}-{windows}", windows, mix)
            for _ in range(rounds if windows < 10_000 else 1):
                sides.measure(row, "validate", calendars)
                row.add("plain", run(part("plain-validate", calendars)))
            yield row


def warm_up(sides: Sides, *arguments: object, **environment: str) -> None:
    """Run a command once on each side, which writes its bytecode; nothing is measured."""
    sides.measure(Row("warm-up"), *arguments, **environment)


async def plan_rows(sides: Sides, home: Path, rounds: int, *, only_sync: bool) -> list[Row]:
    """Return the rows of a first sync of 1,000 windows, and of a plan with nothing to do."""
    rows = []
    for mix in MIXES[1:]:  # the server's part doesn't depend on the mix
        first, idle = Row(f"first sync, 1,000 {mix}"), Row(f"plan, nothing to do, 1,000 {mix}")
        calendars = write_calendars(home / f"live-{mix}", 1_000, mix)
        saved = home / f"{mix}.pickle"
        saved.write_bytes(pickle.dumps(compiled(calendars)))
        for _ in range(rounds):
            async with await server() as other:
                address = other.client.service_client.config.target_host
                first.add("bare", run(part("bare-creates", saved), TEMPORAL_ADDRESS=address))
            async with await server() as own:
                address = own.client.service_client.config.target_host
                first.add("ours", run(planner("sync", calendars), TEMPORAL_ADDRESS=address))
                if not (only_sync or idle.sides):
                    warm_up(sides, "plan", calendars, TEMPORAL_ADDRESS=address)
                for _ in range(0 if only_sync else 3):
                    idle.add("bare", run(part("bare-list", ""), TEMPORAL_ADDRESS=address))
                    sides.measure(idle, "plan", calendars, TEMPORAL_ADDRESS=address)
                    idle.add("plain", run(part("plain-plan", calendars), TEMPORAL_ADDRESS=address))
        rows += [first] if only_sync else [first, idle]
    return rows


def compiled(calendars: Path) -> object:
    """Return the schedules of *calendars*."""
    from planner.config.load import read
    from planner.schedules.compile import compile_project

    return compile_project(read(calendars), datetime.now(UTC).date())


async def server() -> Any:
    """Start a dev server of its own, empty."""
    from sync import server

    return await server()


def checkout(name: str, home: Path) -> Path:
    """Return the directory *name*, or the files of the revision *name*, written below *home*."""
    if Path(name).is_dir():
        return Path(name).resolve()
    found = home / "beside"
    found.mkdir()
    packed = subprocess.run(["git", "archive", name], cwd=ROOT, check=True, stdout=subprocess.PIPE)
    subprocess.run(["tar", "-x"], cwd=found, check=True, input=packed.stdout)
    return found


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--most", type=int, default=10_000, help="windows to validate")
    options.add_argument("--beside", help="a revision, or the path of a checkout")
    options.add_argument("--only", choices=("validate", "plan", "sync"))
    options.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.part:
        play(*chosen.part)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        os.environ["PYTHONPYCACHEPREFIX"] = str(home / "bytecode")
        sides = Sides(checkout(chosen.beside, home) if chosen.beside else None)
        rows = []
        if chosen.only in (None, "validate"):
            rows += validate_rows(sides, home, chosen.rounds, chosen.most)
        if chosen.only != "validate":
            live = plan_rows(sides, home, chosen.rounds, only_sync=chosen.only == "sync")
            rows += asyncio.run(live)
    print(f"medians of {chosen.rounds} rounds, {os.cpu_count()} cores, ", end="")
    print(f"load {load:.1f} before and {os.getloadavg()[0]:.1f} after; ratio is ours to the side's")
    print(f"{'':<38}{'':<8}{'seconds':>8}{'processor':>11}{'MB':>6}{'ratio':>8}")
    for row in rows:
        print("\n".join(row.lines()))


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)
