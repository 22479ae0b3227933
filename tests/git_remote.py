"""A Git repository to follow: a bare one on disk, by its path or by HTTP with a password."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

TOKEN = "t0ken-that-nobody-may-see"


@dataclass
class Remote:
    """A bare repository, and the clone that its commits are made in.

    *key* is the SSH key that commits are signed with; None signs none.
    """

    home: Path
    key: Path | None = None
    environ: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.bare, self.work = self.home / "capacity.git", self.home / "work"
        names = {f"GIT_{who}_{what}": "a@example.com" for who in ("AUTHOR", "COMMITTER")
                 for what in ("NAME", "EMAIL")}  # fmt: skip
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "GIT_CONFIG_NOSYSTEM": "1",
            **names,
        }
        self.git("init", "--quiet", "--bare", "--initial-branch=main", str(self.bare))
        self.git("init", "--quiet", "--initial-branch=main", str(self.work))

    def git(self, *arguments: str) -> str:
        """Run git in the clone, or where there is none yet."""
        where = self.work if self.work.exists() else self.home
        command = ["git", *arguments]
        return subprocess.run(
            command, cwd=where, env=self.environ, check=True, capture_output=True, text=True
        ).stdout.strip()

    def commit(self, files: dict[str, str], *push: str) -> str:
        """Commit *files* below calendars/, push, and return the commit's id."""
        for name, text in files.items():
            path = self.work / "calendars" / name
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_text(text, encoding="utf-8")
        self.git("add", "--all")
        sign = ("-S",) if self.key else ()
        config = ("-c", "gpg.format=ssh", "-c", f"user.signingkey={self.key}") if self.key else ()
        self.git(*config, "commit", "--quiet", "--allow-empty", *sign, "-m", "a change")
        self.git("push", "--quiet", *push, str(self.bare), "HEAD:main")
        return self.git("rev-parse", "HEAD")

    def new_key(self, name: str) -> Path:
        """Return a new SSH key."""
        path = self.home / name
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
        subprocess.run(command, check=True)
        return path

    @contextmanager
    def serving(self) -> Iterator[Door]:
        """Serve the repository by HTTP, to those who have the `TOKEN`."""
        handler = type("Handler", (_Handler,), {"home": self.home})
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.05,))
            thread.start()
            try:
                yield Door(server.server_address[1], handler)
            finally:
                server.shutdown()
                thread.join()


@dataclass
class Door:
    """An HTTP address of the repository, and whether the token is still taken there."""

    port: int
    handler: type[_Handler]

    @property
    def url(self) -> str:
        """The address."""
        return f"http://127.0.0.1:{self.port}/capacity.git"

    def expire(self, expired: bool = True) -> None:
        """Refuse the token from now on."""
        self.handler.expired = expired

    @property
    def header(self) -> str:
        """The header that has the token."""
        return f"Authorization: Basic {base64.b64encode(f'x:{TOKEN}'.encode()).decode()}"


class _Handler(BaseHTTPRequestHandler):
    """Gives each request to ``git http-backend``."""

    home: ClassVar[Path]
    expired: ClassVar[bool] = False

    def do_GET(self) -> None:
        """Answer, or refuse."""
        known = self.headers.get("Authorization", "").removeprefix("Basic ")
        if self.expired or base64.b64decode(known).decode() != f"x:{TOKEN}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        environ = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.home),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        done = subprocess.run(
            ["git", "http-backend"], env=environ, input=body, stdout=subprocess.PIPE, check=True
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        self.send_response(200)
        for line in head.decode().splitlines():
            name, _, value = line.partition(": ")
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Keep quiet."""
