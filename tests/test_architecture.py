"""The packages and their layers: what may import what, proven on the syntax trees."""

from __future__ import annotations

import ast
import inspect
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted([*ROOT.glob("planner/**/*.py"), *ROOT.glob("workflows/**/*.py")])

LAYERS = [
    ("planner.errors",),
    ("planner.model",),
    ("planner.timezones", "planner.recurrence", "planner.usage.model"),
    ("planner.config", "planner.occurrences"),
    ("planner.schedules",),
    ("planner.plan",),
    ("planner.forecast", "planner.evidence", "planner.lints"),
    ("planner.evidence",),
    ("planner.render",),
    ("planner.temporal", "planner.simulator", "planner.usage"),
    ("planner.rehearsal",),
    ("planner.cli",),
]
"""From the ground up: a module imports from its own layer or a lower one."""

EDGES = (
    "planner.config.load",
    "planner.temporal",
    "planner.simulator",
    "planner.usage.client",
    "planner.usage.cloud",
    "planner.usage.prometheus",
    "planner.rehearsal.run",
    "planner.cli",
    "planner.__main__",
)
"""Where I/O is allowed; the rest of planner is a pure function of its arguments."""

IMPURE = {"temporalio", "httpx", "typer", "rich", "os", "asyncio", "socket", "subprocess"}
CLOCK_CALLS = {"now", "today", "utcnow", "time", "monotonic"}


def module_name(path: Path) -> str:
    """Return the dotted name of the module at *path*."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


@cache
def read(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what the module at *path* imports, by dotted names, and how it reads the clock."""
    found: list[str] = []
    clock: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import():
                found += [alias.name for alias in node.names]
            case ast.ImportFrom():
                assert node.level == 0, f"{path}: relative imports hide the layers"
                found += [f"{node.module}.{alias.name}" for alias in node.names]
            case ast.Call(func=ast.Attribute(value=ast.Name(id="datetime" | "date" | "time"))):
                if node.func.attr in CLOCK_CALLS:
                    clock.append(node.func.attr)
    return tuple(found), tuple(clock)


def imports(path: Path) -> tuple[str, ...]:
    """Return the dotted name of everything that the module at *path* imports."""
    return read(path)[0]


def belongs(name: str, package: str) -> bool:
    """Tell whether the dotted *name* is *package* or in it."""
    return name == package or name.startswith(f"{package}.")


def layer_of(name: str) -> int | None:
    """Return the height of the layer that the dotted *name* is in; None if in none."""
    return next(
        (
            height
            for height, packages in enumerate(LAYERS)
            if any(belongs(name, package) for package in packages)
        ),
        None,
    )


def modules(package: str) -> list[Path]:
    """Return the sources of *package*."""
    return [path for path in SOURCES if belongs(module_name(path), package)]


@pytest.mark.parametrize("path", modules("planner"), ids=module_name)
def test_imports_go_downward_only(path: Path) -> None:
    """A module reaches its own layer or a lower one, never a higher one."""
    own = layer_of(module_name(path))
    if module_name(path) in ("planner", "planner.__main__"):
        return
    assert own is not None, f"{module_name(path)} is in no layer: say where it belongs"
    upward = [name for name in imports(path) if (layer_of(name) or 0) > own]
    assert upward == []


@pytest.mark.parametrize("path", modules("workflows"), ids=module_name)
def test_the_run_time_never_imports_the_planner(path: Path) -> None:
    """A worker needs no calendar, no diff and no command line."""
    assert [name for name in imports(path) if belongs(name, "planner")] == []


@pytest.mark.parametrize("path", modules("planner"), ids=module_name)
def test_the_planner_reaches_the_run_time_by_its_contract(path: Path) -> None:
    """Outside the commands and rehearsals, only the contract of the run time is known."""
    if any(belongs(module_name(path), starts) for starts in ("planner.cli", "planner.rehearsal")):
        return
    reached = [name for name in imports(path) if belongs(name, "workflows")]
    assert [name for name in reached if not belongs(name, "workflows.contract")] == []


@pytest.mark.parametrize("path", modules("workflows.contract"), ids=module_name)
def test_the_contract_needs_the_standard_library_only(path: Path) -> None:
    """The contract is imported by workflow code and by the pure core alike."""
    foreign = {"temporalio", "httpx", "pydantic", "planner", "os", "asyncio"}
    assert [name for name in imports(path) if name.split(".")[0] in foreign] == []


def test_annotations_of_payloads_are_evaluated() -> None:
    """The SDK would compile each one that is a string again at each payload that it reads."""
    import workflows.activity_types
    import workflows.floors
    import workflows.keeper_state
    from workflows import contract

    homes = [*vars(contract).values(), workflows.activity_types, workflows.floors]
    homes = [*homes, workflows.keeper_state]
    modules = [home for home in homes if inspect.ismodule(home)]
    payloads = {
        value
        for module in modules
        for value in vars(module).values()
        if inspect.isclass(value) and is_dataclass(value)
    }
    strings = {
        f"{one.__name__}.{f.name}"
        for one in payloads
        for f in fields(one)
        if isinstance(f.type, str)
    }
    assert len(payloads) > 50
    assert strings == set()


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in modules("planner")
        if not any(belongs(module_name(path), edge) for edge in EDGES)
    ],
    ids=module_name,
)
def test_the_core_is_pure(path: Path) -> None:
    """Between reading and applying nothing does I/O and nothing reads the clock."""
    assert [name for name in imports(path) if name.split(".")[0] in IMPURE] == []
    assert read(path)[1] == ()


def graph() -> dict[str, set[str]]:
    """Return which module of ours imports which other."""
    names = {module_name(path) for path in SOURCES}
    return {
        module_name(path): {
            found
            for name in imports(path)
            for found in (name, name.rpartition(".")[0])
            if found in names and found != module_name(path)
        }
        for path in SOURCES
    }


def test_no_import_cycles() -> None:
    """Modules can be read one after the other, each after what it needs."""
    edges = graph()
    done: set[str] = set()
    while ready := {name for name in edges.keys() - done if edges[name] <= done}:
        done |= ready
    assert edges.keys() - done == set()


def test_no_catch_all_modules() -> None:
    """A module is named for what it answers for."""
    vague = {"utils", "util", "common", "manager", "base", "helpers", "misc"}
    assert [str(path) for path in SOURCES if path.stem in vague] == []


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_no_function_is_longer_than_50_lines(path: Path) -> None:
    """Signature and docstring count."""
    functions = (
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    lengths = [(one.name, (one.end_lineno or 0) - one.lineno + 1) for one in functions]
    assert [(name, lines) for name, lines in lengths if lines > 50] == []
