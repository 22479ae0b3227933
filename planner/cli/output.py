"""stdout and stderr of the process, and how output that can't be written is handled.

A command goes on to its end whether its output is read or not: a sync that stopped where
its reader left would leave half of its work. What can't be written is dropped, and counted
when the process ends (`flush`): a reader that left changes no exit code; a full disk or a
closed stdout is an error. The outcomes of changes go to stderr then (`report`). See
docs/decisions/0003-leave-by-os-exit.md.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from typing_extensions import Buffer

STDIN, STDOUT, STDERR = 0, 1, 2


class Stream(io.FileIO):
    """A file descriptor that accepts every write, and remembers its first error."""

    fault: OSError | None = None

    def write(self, data: Buffer) -> int:
        """Write *data*; report it as written even where it can't be."""
        size = memoryview(data).nbytes
        if self.fault:
            return size
        try:
            return super().write(data)
        except OSError as error:
            self.fault = error
            return size


class Closed(Stream):
    """A file descriptor that was closed when the process began."""

    def write(self, data: Buffer) -> int:
        """Discard *data*."""
        import errno

        self.fault = self.fault or OSError(errno.EBADF, os.strerror(errno.EBADF))
        return memoryview(data).nbytes


def guard_streams() -> tuple[Stream, ...]:
    """Make stdout and stderr accept every write; return their raw streams.

    A closed descriptor is opened on the null device: else the next socket would get its
    number, and be written to.
    """
    if sys.stdin is None:
        _occupy(STDIN, os.O_RDONLY)
    sys.stdout, out = _guarded(sys.stdout, STDOUT)
    sys.stderr, err = _guarded(sys.stderr, STDERR)
    return out, err


def _guarded(stream: TextIO | None, number: int) -> tuple[io.TextIOWrapper, Stream]:
    """Return *stream* on a guarded descriptor *number*, and its raw stream.

    Characters that the encoding lacks are written as escapes.
    """
    if stream is None:
        _occupy(number, os.O_WRONLY)
    else:
        stream.flush()
    raw = Stream(number, "wb", closefd=False) if stream else Closed(number, "wb", closefd=False)
    text = io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding if stream else "utf-8",
        errors="backslashreplace",
        line_buffering=number == STDERR or raw.isatty(),
        write_through=getattr(stream, "write_through", False),
    )
    return text, raw


def _occupy(number: int, mode: int) -> None:
    """Open the file descriptor *number* on the null device."""
    nowhere = os.open(os.devnull, mode)
    if nowhere != number:
        os.dup2(nowhere, number)
        os.close(nowhere)


def flush(streams: tuple[Stream, ...]) -> bool:
    """Flush stdout and stderr; return False if output was lost that a reader still expects."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    fault = streams[0].fault if streams else None
    if fault is None or isinstance(fault, BrokenPipeError):
        return True
    with contextlib.suppress(OSError, ValueError):
        say(f"planner: the output could not be written: {fault.strerror}")
    return False


def say(text: str = "") -> None:
    """Print *text* on stderr, since stdout is data."""
    print(text, file=sys.stderr, flush=True)


def report(text: str) -> None:
    """Print the outcome of a change on stdout; also on stderr where stdout is lost."""
    print(text, flush=True)
    if is_lost():
        say(text)


def is_lost() -> bool:
    """Return whether a write to stdout has failed."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return isinstance(raw, Stream) and raw.fault is not None


def colours() -> bool:
    """Return whether stdout is coloured: on a terminal, or with FORCE_COLOR.

    NO_COLOR (no-color.org) precedes FORCE_COLOR (force-color.org), as in Python itself.
    """
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or sys.stdout.isatty()
