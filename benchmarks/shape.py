"""Print the shape of the code: module sizes, imports, and what one ``planner plan`` runs through.

    make shape                          this checkout
    make shape AT=5218fd3               a revision beside it
    python benchmarks/shape.py DIR …    other checkouts beside it

Definitions, for ``planner/`` and ``workflows/`` together:

- A module is a ``.py`` file other than ``__init__.py``; its length counts every line.
- A function is any ``def``, methods and nested ones included. A private one (``_name``) is
  used once if its own module names it exactly once beside its definition; the share is of
  all functions.
- Imports count wherever they stand: at the top, under ``TYPE_CHECKING``, in a function. A
  chain counts its modules. A module's importers are the modules that import it, or a name
  from it. In these two, packages' ``__init__`` count as modules.
- A plan is ``planner plan`` of one window (`CALENDAR`), as text, against an empty Temporal
  dev server. Its functions are those that are called, comprehensions and lambdas left out,
  and code that runs while a module is imported left out as well; its files are those that
  define them; its depth is the longest stack of such functions, other packages' not counted.

By hand, revision 5218fd3 was measured as 208 modules (some ``__init__`` among them), 38 % with
one importer, 34 % private functions used once, a chain of 41, and a plan of another window
through 76 files and 388 functions, 26 deep (comprehensions counted).
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from statistics import median
from types import FrameType
from typing import Any, NoReturn

HERE = Path(__file__).resolve().parent.parent

PACKAGES = ("planner", "workflows")

PROJECT = "project: payments-platform\n"
CALENDAR = """\
namespace: payments-prod.a1b2c
timezone: America/New_York
holidays: [US]
windows:
  payroll:
    cron: "0 5 15,L * *"
    roll: previous
    duration: 4h
    tru: 8
"""

Row = tuple[str, str]
Def = ast.FunctionDef | ast.AsyncFunctionDef


# The sources -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Module:
    """One ``.py`` file: its dotted name, its length in lines, its syntax tree."""

    name: str
    path: Path
    lines: int
    tree: ast.Module

    @property
    def functions(self) -> list[Def]:
        """Every ``def`` in it."""
        return [node for node in ast.walk(self.tree) if isinstance(node, Def)]

    @property
    def used_once(self) -> int:
        """How many of its private functions are named once beside their definition."""
        named = Counter(
            node.id if isinstance(node, ast.Name) else node.attr
            for node in ast.walk(self.tree)
            if isinstance(node, (ast.Name, ast.Attribute))
        )
        private = (def_.name for def_ in self.functions if def_.name.startswith("_"))
        return sum(named[name] == 1 for name in private if not name.startswith("__"))


def modules_of(root: Path) -> list[Module]:
    """Return every module of *root*, packages' ``__init__`` included."""
    found = []
    for path in sorted(path for package in PACKAGES for path in root.glob(f"{package}/**/*.py")):
        text = path.read_text(encoding="utf-8")
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        found.append(Module(name, path, len(text.splitlines()), ast.parse(text)))
    return found


def imports_of(modules: list[Module]) -> dict[str, set[str]]:
    """Return which module imports which other."""
    names = {module.name for module in modules}
    return {module.name: set(_imported(module, names)) - {module.name} for module in modules}


def _imported(module: Module, names: set[str]) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                within = f"{node.module}.{alias.name}"
                yield from [within if within in names else node.module] * (node.module in names)


def cyclic(imports: dict[str, set[str]]) -> set[str]:
    """Return the modules that are in an import cycle or above one."""
    done: set[str] = set()
    while ready := {name for name in imports.keys() - done if imports[name] <= done}:
        done |= ready
    return imports.keys() - done


def longest_chain(imports: dict[str, set[str]]) -> int:
    """Return the modules in the longest chain of imports; 0 where there are cycles."""

    @cache
    def height(name: str) -> int:
        return 1 + max(map(height, imports[name]), default=0)

    return 0 if cyclic(imports) else max(map(height, imports))


def source_rows(root: Path) -> Iterator[Row]:
    """Yield what the sources of *root* alone show."""
    everything = modules_of(root)
    imports = imports_of(everything)
    importers = Counter(name for reached in imports.values() for name in reached)
    modules = [module for module in everything if module.path.name != "__init__.py"]
    lengths = sorted(module.lines for module in modules)
    functions = [def_ for module in everything for def_ in module.functions]
    longest = max((def_.end_lineno or 0) - def_.lineno + 1 for def_ in functions)
    alone = sum(importers[module.name] == 1 for module in everything)
    used_once = sum(module.used_once for module in everything)
    yield "modules", f"{len(modules)}"
    yield "median lines of a module", f"{median(lengths):g}"
    yield "90 % of modules have at most", f"{lengths[len(lengths) * 9 // 10]}"
    yield "longest module", f"{lengths[-1]}"
    yield "functions", f"{len(functions):,}"
    yield "longest function", f"{longest}"
    yield "private functions used once", f"{used_once / len(functions):.0%} ({used_once})"
    yield "modules with one importer", f"{alone / len(everything):.0%} ({alone})"
    yield "longest import chain", f"{longest_chain(imports) or '–'}"
    yield "modules in or above a cycle", f"{len(cyclic(imports))}"


# A plan ------------------------------------------------------------------------------


class Trace:
    """What a run calls in the packages of *root*."""

    def __init__(self, root: Path) -> None:
        self._root = f"{root}{os.sep}"
        self._mine = tuple(f"{self._root}{package}{os.sep}" for package in PACKAGES)
        self.called: set[tuple[str, str, int]] = set()
        self.deepest: list[str] = []

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        """Note a call; this is what `sys.setprofile` takes."""
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(self._mine):
            return
        stack = list(self._stack(frame))
        if "<module>" in stack or code.co_name.startswith("<"):
            return
        file = code.co_filename.removeprefix(self._root)
        self.called.add((file, code.co_qualname, code.co_firstlineno))
        if len(stack) > len(self.deepest):
            self.deepest = stack[::-1]

    def _stack(self, frame: FrameType | None) -> Iterator[str]:
        """Yield the named functions of ours under way, the innermost first; and imports."""
        while frame:
            code = frame.f_code
            if code.co_filename.startswith(self._mine) and (
                code.co_name == "<module>" or not code.co_name.startswith("<")
            ):
                file = code.co_filename.removeprefix(self._root)
                yield "<module>" if code.co_name == "<module>" else f"{file}: {code.co_qualname}"
            frame = frame.f_back


def trace(root: Path, out: Path, arguments: list[str]) -> None:
    """Run ``planner`` with *arguments*, and write what it called to *out* as JSON."""
    tracer = Trace(root)
    sys.argv = ["planner", *arguments]

    def leave(code: int) -> NoReturn:
        raise SystemExit(code)

    os._exit = leave  # the program ends by it, and nothing could be written
    os.sched_getaffinity = lambda _: {0}  # of one core: what is done aside would not be seen
    sys.setprofile(tracer)
    try:
        from planner.cli.main import run

        run()
    finally:
        sys.setprofile(None)
        found = {"called": sorted(tracer.called), "deepest": tracer.deepest}
        out.write_text(json.dumps(found), encoding="utf-8")


async def plan_rows(root: Path, *, stack: bool) -> list[Row]:
    """Return what ``planner plan`` of one window runs through in the checkout *root*."""
    # Not above: the traced process has the packages of *root*, which may lack these names.
    from processes import started, temporal_server

    from planner.temporal.client import free_port

    with tempfile.TemporaryDirectory() as name:
        directory, port = Path(name), free_port()
        calendars = directory / "calendars"
        calendars.mkdir()
        (calendars / "planner.yaml").write_text(PROJECT, encoding="utf-8")
        (calendars / "payments.yaml").write_text(CALENDAR, encoding="utf-8")
        server = temporal_server(port, directory, keeps_state=False)
        await started(server, f"127.0.0.1:{port}")
        try:
            out = directory / "trace.json"
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, __file__, "--trace", str(out), str(root)),
                *("plan", str(calendars)),
                env={
                    **os.environ,
                    "PYTHONPATH": str(root),
                    "TEMPORAL_ADDRESS": f"127.0.0.1:{port}",
                },
                stdout=asyncio.subprocess.DEVNULL,
            )
            if code := await process.wait():
                raise SystemExit(f"planner plan of {root} ended with {code}")
            found = json.loads(out.read_text(encoding="utf-8"))
        finally:
            await server.end()
    if stack:
        print(*found["deepest"], sep="\n", file=sys.stderr)
    return [
        ("files that a plan runs through", f"{len({file for file, *_ in found['called']})}"),
        ("functions that it calls", f"{len(found['called'])}"),
        ("how deep they go", f"{len(found['deepest'])}"),
    ]


# The table ---------------------------------------------------------------------------


def checkout(what: str, below: Path) -> Path:
    """Return the directory *what*, or that revision of this repository, unpacked *below*."""
    if Path(what).is_dir():
        return Path(what).resolve()
    command = ("git", "archive", "--format=tar", what)
    archive = subprocess.run(command, cwd=HERE, check=True, stdout=subprocess.PIPE).stdout
    target = below / what.replace("/", "-")
    with tarfile.open(fileobj=BytesIO(archive)) as tar:
        tar.extractall(target, filter="data")
    return target


def main(places: list[str], *, plan: bool, stack: bool) -> None:
    """Print a table with a column for each of *places*, and this checkout as the last."""
    with tempfile.TemporaryDirectory() as name:
        roots = {place: checkout(place, Path(name).resolve()) for place in places}
        roots["here"] = HERE
        columns = []
        for root in roots.values():
            rows = list(source_rows(root))
            columns.append(rows + (asyncio.run(plan_rows(root, stack=stack)) if plan else []))
    print(f"{'':32}" + "".join(f"{place[-14:]:>16}" for place in roots))
    for rows in zip(*columns, strict=True):
        print(f"{rows[0][0]:32}" + "".join(f"{figure:>16}" for _, figure in rows))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--trace"]:
        trace(Path(sys.argv[3]), Path(sys.argv[2]), sys.argv[4:])
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("places", nargs="*", help="a git revision or a directory")
    parser.add_argument("--no-plan", action="store_true", help="measure the sources only")
    parser.add_argument("--stack", action="store_true", help="print the deepest stack of a plan")
    options = parser.parse_args()
    main(options.places, plan=not options.no_plan, stack=options.stack)
