"""The planner as a process of its own, forked from one that has imported it already.

Importing takes longer than most commands: this way it is done once for all tests of a process.
All else is the command's own: arguments, environment, directory, streams, exit code, and its way
out. What is about a process's beginning, its imports, its interpreter's variables or its signals
starts the console script instead.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

SCRIPT = str(Path(sys.executable).parent / "planner")

EARLY = (
    *("asyncio", "croniter", "httpx", "holidays.groups", "icalendar", "jinja2"),
    *("pydantic.type_adapter", "planner.config.load", "planner.lints.inspect"),
    *("planner.forecast.plan_impact", "planner.render.plan", "planner.cli.request"),
    *("temporalio.service", "temporalio.converter", "temporalio.exceptions"),
)
IMPORTED = (
    *EARLY,
    *("temporalio.client", "planner.temporal.sync", "planner.temporal.status"),
    *("planner.temporal.watchdog", "planner.temporal.keepers", "planner.temporal.lifecycle"),
    "workflows.cloud",
)
"""What commands import on their way, before the client of the SDK and with it; none of it
starts a thread."""

_lock = threading.Lock()
_parents: dict[tuple[str, ...], socket.socket] = {}


def run_planner(
    *arguments: object,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdout: int | None = None,
    interrupt_at: str = "",
    timeout: float = 90,
) -> subprocess.CompletedProcess[str]:
    """Run ``planner`` with *arguments* to its end, without input, and return what it said.

    Args:
        arguments: Those of the command line.
        env: All of its environment; this process's where it is left out.
        cwd: The directory that it starts in; this process's where it is left out.
        stdout: A file descriptor for it to write to; its output isn't returned then.
        interrupt_at: A module; Ctrl-C comes as the command imports it.
        timeout: Seconds that it may take.

    Raises:
        subprocess.TimeoutExpired: It didn't end in time; it was killed.
    """
    command = [SCRIPT, *map(str, arguments)]
    # Elsewhere libraries may have threads, which a fork would lack.
    if sys.platform != "linux" and not interrupt_at:
        return subprocess.run(
            command,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=stdout or subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            timeout=timeout,
            check=False,
        )
    order = {
        "command": command,
        "env": dict(os.environ if env is None else env),
        "cwd": str(cwd or Path.cwd()),
        "interrupt_at": interrupt_at,
    }
    imported = EARLY if interrupt_at == "temporalio.client" else () if interrupt_at else IMPORTED
    ours, theirs = socket.socketpair()
    with (
        ours,
        ours.makefile("rw", encoding="utf-8") as talk,
        open(os.devnull, "rb") as nothing,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        with theirs, _lock:
            passed = [theirs.fileno(), nothing.fileno(), stdout or out.fileno(), err.fileno()]
            socket.send_fds(_parent(imported), [b"!"], passed)
        print(json.dumps(order), file=talk, flush=True)
        pid = int(talk.readline())
        is_late = threading.Event()
        timer = threading.Timer(timeout, lambda: (is_late.set(), os.kill(pid, signal.SIGKILL)))
        timer.start()
        code = int(talk.readline())
        timer.cancel()
        timer.join()
        if is_late.is_set():
            raise subprocess.TimeoutExpired(command, timeout)
        said = []
        for stream in (out, err):
            stream.seek(0)
            said.append(stream.read().decode())
    return subprocess.CompletedProcess(command, code, *said)


def _parent(imported: tuple[str, ...]) -> socket.socket:
    """Return the way to the process that planners are forked from; it ends with this one."""
    if imported not in _parents:
        ours, theirs = socket.socketpair()
        with theirs:
            code = f"import planner_process; planner_process.serve({imported})"
            env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
            started = subprocess.Popen([sys.executable, "-c", code], stdin=theirs, env=env)
        atexit.register(lambda: (ours.close(), started.wait()))
        _parents[imported] = ours
    return _parents[imported]


def serve(imported: tuple[str, ...]) -> NoReturn:
    """Fork a planner for each request that comes in by stdin, until that is closed.

    It has *imported* these modules, besides those that have the commands.
    """
    os.environ.pop("PYTHONPATH")
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
    from planner.cli.main import commands

    commands()
    for name in imported:
        import_module(name)
    assert threading.active_count() == 1, "a fork would lack the other threads"
    with socket.socket(fileno=os.dup(0)) as requests:
        while True:
            message, streams, _, _ = socket.recv_fds(requests, 1, 4)
            if not message:
                os._exit(0)
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            if not os.fork():
                requests.close()
                _wait(streams)
            for stream in streams:
                os.close(stream)


def _wait(streams: list[int]) -> NoReturn:
    """Fork the planner, and say how it ends."""
    answers, *standard = streams
    with socket.socket(fileno=answers) as connection:
        talk = connection.makefile("rw", encoding="utf-8")
        order = json.loads(talk.readline())
        pid = os.fork()
        if not pid:
            connection.detach()
            os.close(answers)
            _become(order, standard)
        print(pid, file=talk, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), file=talk, flush=True)
    os._exit(0)


def _become(order: Mapping[str, Any], standard: list[int]) -> NoReturn:
    """Be the planner that the *order* describes, with the *standard* streams."""
    from planner.cli.main import run

    for number, stream in enumerate(standard):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    time.tzset()
    sys.argv = list(order["command"])
    if order["interrupt_at"]:
        assert order["interrupt_at"] not in sys.modules
        sys.addaudithook(partial(_interrupt, order["interrupt_at"]))
    run()


def _interrupt(module: str, event: str, arguments: tuple[Any, ...]) -> None:
    """Send this process what Ctrl-C sends, where it imports the *module*."""
    if event == "import" and arguments[0] == module:
        os.kill(os.getpid(), signal.SIGINT)
