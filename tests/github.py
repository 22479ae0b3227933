"""GitHub for the tests: a run of an action's steps, and the part of the API that they use."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

REPOSITORY = "team/capacity"
BOT = {"type": "Bot", "login": "github-actions[bot]"}
PERSON = {"type": "User", "login": "alice"}


@dataclass
class Repository:
    """What GitHub knows of one repository: comments by pull request or issue, and issues."""

    comments: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    issues: list[dict[str, Any]] = field(default_factory=list)
    merged: dict[str, int] = field(default_factory=dict)
    address: str = ""

    def answer(self, method: str, path: str, query: Mapping[str, list[str]], body: Any) -> Any:
        """Answer one request; a path that the API lacks is a KeyError."""
        if found := re.fullmatch(r"issues/(\d+)/comments", path):
            thread = self.comments.setdefault(int(found[1]), [])
            if method == "GET":
                return _page(thread, query)
            thread.append({"id": len(thread) + 1000 * int(found[1]), "user": BOT, **body})
            return thread[-1]
        if found := re.fullmatch(r"issues/comments/(\d+)", path):
            everything = (one for thread in self.comments.values() for one in thread)
            comment = next(one for one in everything if one["id"] == int(found[1]))
            comment.update(body)
            return comment
        if found := re.fullmatch(r"commits/(\w+)/pulls", path):
            number = self.merged.get(found[1])
            return [{"number": number, "merged_at": "2027-01-04T08:00:00Z"}] if number else []
        if path == "issues" and method == "GET":
            assert query["state"] == ["open"]
            return _page([one for one in self.issues if one["state"] == "open"], query)
        if path == "issues":
            self.issues.append(
                {"number": 500 + len(self.issues), "user": BOT, "state": "open", **body}
            )
            return self.issues[-1]
        if found := re.fullmatch(r"issues/(\d+)", path):
            issue = next(one for one in self.issues if one["number"] == int(found[1]))
            issue.update(body)
            return issue
        raise KeyError(path)


def _page(things: list[Any], query: Mapping[str, list[str]]) -> list[Any]:
    size, page = int(query["per_page"][0]), int(query["page"][0])
    return things[size * (page - 1) : size * page]


@contextmanager
def serving(repository: Repository) -> Iterator[Repository]:
    """Serve the API of *repository* on this machine for as long as the context lasts."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            assert self.headers["Authorization"] == "Bearer a-token"
            parts = urlsplit(self.path)
            path = parts.path.removeprefix(f"/repos/{REPOSITORY}/")
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.loads(sent) if sent else None
            reply = repository.answer(self.command, path, parse_qs(parts.query), body)
            data = json.dumps(reply).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = _answer

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        repository.address = f"http://127.0.0.1:{server.server_port}"
        yield repository
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def run_action(
    action: Path,
    inputs: Mapping[str, str],
    environ: Mapping[str, str],
    cwd: Path,
    done: Collection[str] = (),
) -> subprocess.CompletedProcess[str]:
    """Run the steps of a composite *action* as a runner would, up to the first that fails.

    Only what the action uses of GitHub's expressions is understood: inputs, the path of the
    action, and whether an input equals a word. *environ* is the whole environment; steps
    named in *done* are left out.
    """
    document = yaml.safe_load(action.read_text(encoding="utf-8"))
    values = {name: str(each.get("default", "")) for name, each in document["inputs"].items()}
    values |= inputs
    known = {f"inputs.{name}": value for name, value in values.items()}
    known["github.action_path"] = str(action.parent)

    def filled(text: str) -> str:
        return re.sub(r"\$\{\{ *([\w.]+) *\}\}", lambda found: known[found[1]], text)

    printed, told, code = "", "", 0
    for step in document["runs"]["steps"]:
        if step["name"] in done:
            continue
        if condition := step.get("if"):
            subject, word = re.fullmatch(r"([\w.]+) == '(\w+)'", condition).groups()  # type: ignore[union-attr]
            if known[subject] != word:
                continue
        assert "${{" not in step["run"], "an expression in a script is code of whoever fills it"
        own = {name: filled(value) for name, value in step.get("env", {}).items()}
        run = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=cwd,
            env={**environ, **own},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        printed, told, code = printed + run.stdout, told + run.stderr, run.returncode
        if code:
            break
    return subprocess.CompletedProcess([], code, printed, told)
