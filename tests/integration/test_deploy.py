"""What ``deploy/`` starts: the image's and the unit's own command lines, contained as they say."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from contained import USER, can_contain, contained
from git_remote import TOKEN, Remote
from package_helpers import ROOT, build, fresh_environment
from temporalio.testing import WorkflowEnvironment

from planner.temporal.client import free_port

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not can_contain(), reason="needs root, to become another user"),
]

BASE = ROOT / "deploy" / "kubernetes" / "base"
KEY = "a-cloud-key"


@dataclass(frozen=True)
class Start:
    """A command line with its environment, and what it needs to read."""

    arguments: list[str]
    environ: dict[str, str]


def dockerfile(name: str = "Dockerfile") -> Start:
    """Return what the image runs, by the Dockerfile's own words."""
    text = (ROOT / "deploy" / name).read_text(encoding="utf-8")
    last = text.rpartition("\nFROM ")[2]
    command = json.loads(re.findall(r"^CMD (.*)$", last, re.MULTILINE)[0])
    assert re.findall(r"^USER (.*)$", last, re.MULTILINE)[-1] == f"{USER}:{USER}"
    if name != "Dockerfile":  # it goes on from the planner's
        return Start(command, dockerfile().environ)
    assert json.loads(re.findall(r"^ENTRYPOINT (.*)$", last, re.MULTILINE)[0]) == ["planner"]
    (variables,) = re.findall(r"^ENV ((?:.*\\\n)*.*)$", last, re.MULTILINE)
    pairs = (word.partition("=") for word in shlex.split(variables.replace("\\\n", " ")))
    return Start(command, {name: value for name, _, value in pairs if name != "PATH"})


def container(path: Path = BASE) -> dict[str, Any]:
    """Return the container in the Deployment in the directory *path*."""
    deployment = yaml.safe_load((path / "deployment.yaml").read_text(encoding="utf-8"))
    (found,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(found)


def settings(path: Path) -> dict[str, str]:
    """Return the ConfigMap that the kustomization in the directory *path* makes."""
    kustomization = yaml.safe_load((path / "kustomization.yaml").read_text(encoding="utf-8"))
    (made,) = kustomization["configMapGenerator"]
    return dict(one.split("=", 1) for one in made["literals"])


def kubernetes(keys: Path, path: Path = BASE, **overlay: str) -> Start:
    """Return what a pod runs: the image's environment, the Deployment's arguments and keys.

    *overlay* is what a user's overlay merges into the ConfigMap.
    """
    found = container(path)
    own = settings(path) | overlay
    for each in found["env"]:
        if "value" in each:
            own[each["name"]] = each["value"]
            for mount in found["volumeMounts"]:
                if mount.get("readOnly"):
                    own[each["name"]] = own[each["name"]].replace(mount["mountPath"], str(keys))
    arguments = [re.sub(r"\$\((\w+)\)", lambda m: own[m[1]], word) for word in found["args"]]
    return Start(arguments, dockerfile().environ | own)


def unit(keys: Path, name: str = "planner-worker", **loaded: str) -> Start:
    """Return what systemd runs, *keys* being where it puts the credentials.

    *loaded* is what the unit's environment file has.
    """
    text = (ROOT / "deploy" / "systemd" / f"{name}.service").read_text(encoding="utf-8")
    (command,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    credentials = set(re.findall(r"^LoadCredential=([\w.-]+):", text, re.MULTILINE))
    environ = {}
    for line in re.findall(r"^Environment=(.*)$", text, re.MULTILINE):
        for word in shlex.split(line):
            variable, _, value = word.partition("=")
            assert set(re.findall(r"%d/([\w.-]+)", value)) <= credentials
            environ[variable] = value.replace("%d", str(keys))
    environ |= loaded
    program, *arguments = (
        re.sub(r"\$\{(\w+)\}", lambda m: environ[m[1]], word) for word in shlex.split(command)
    )
    assert program == "/opt/planner/bin/planner"
    return Start(arguments, environ)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel in it."""
    home = tmp_path_factory.mktemp("image")
    (wheel,) = build(home / "dist", "--target", "wheel").glob("*.whl")
    found = fresh_environment(home / "venv")
    options = ["-q", "--no-deps", "--no-index", "--ignore-installed"]
    command = [str(found / "python"), "-m", "pip", "install", *options, str(wheel)]
    subprocess.run(command, check=True, timeout=120)
    return found


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[str]:
    """The address of a simulated Temporal Cloud in a process of its own."""
    port = free_port()
    script = str(Path(sys.executable).parent / "planner")
    process = subprocess.Popen(
        [script, "simulator", "--port", str(port), "--provisioning", "0.2", "--check", "0.1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        until(f"http://127.0.0.1:{port}/cloud/namespaces", "HTTP 401", process)  # without a key
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate(timeout=20)


@contextmanager
def killed(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """Kill *process* in the end, if it still runs, and close its pipe."""
    with process:
        try:
            yield process
        finally:
            process.kill()


def until(address: str, words: str, process: subprocess.Popen[str]) -> str:
    """Return what *address* answers once *words* are in it, for as long as *process* runs."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"ended with {process.returncode}: {process.communicate()[0]}")
        try:
            with urllib.request.urlopen(address, timeout=5) as reply:
                found = str(reply.read().decode())
        except urllib.error.HTTPError as error:
            found = f"HTTP {error.code}"
        except OSError:
            found = ""
        if words in found:
            return found
        time.sleep(0.1)  # the next look
    process.kill()
    pytest.fail(f"{address} never answered {words!r}: {process.communicate()[0]}")


def test_a_pod_runs_what_the_image_runs() -> None:
    """Deployment, Dockerfile and probes agree on arguments, ports and user."""
    found = container()
    assert found["args"] == dockerfile().arguments
    text = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    (exposed,) = re.findall(r"^EXPOSE (.*)$", text, re.MULTILINE)
    ports = {each["name"]: each["containerPort"] for each in found["ports"]}
    assert sorted(map(str, ports.values())) == sorted(exposed.split())
    arguments = dockerfile().arguments
    assert arguments[arguments.index("--health") + 1].endswith(f":{ports['health']}")
    assert arguments[arguments.index("--metrics") + 1].endswith(f":{ports['metrics']}")
    assert f"127.0.0.1:{ports['health']}/healthz" in text


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        pytest.param("id -u", 0, f"{USER}\n", id="another user"),
        pytest.param("touch /tmp/x", 1, "Read-only file system", id="nowhere to write"),
        pytest.param("ls -A /root /tmp", 0, "/root:\n\n/tmp:\n", id="nothing else to read"),
    ],
)
def test_what_contained_means(command: str, code: int, words: str) -> None:
    """The containment of the next test holds: it could fail."""
    process = contained(shlex.split(command), {"PATH": "/usr/bin:/bin"}, [])
    printed, _ = process.communicate(timeout=30)
    assert (process.returncode, words in printed) == (code, True), printed


@pytest.mark.parametrize("kind", ["pod", "unit"])
def test_the_command_line_boosts(
    kind: str,
    programs: Path,
    simulator: str,
    fresh: str,
    own_server: WorkflowEnvironment,
    tmp_path: Path,
) -> None:
    """As another user, with nowhere to write, it is healthy, boosts, and ends in order."""
    address = own_server.client.service_client.config.target_host
    namespace = f"{fresh}.a1b2c"
    keys = credentials(tmp_path, address, **{namespace: KEY, "cloud-api-key": KEY})
    start = kubernetes(keys) if kind == "pod" else unit(keys)
    ports = {"8080": free_port(), "9464": free_port()}
    arguments = [_moved(word, ports) for word in start.arguments]
    environ = {"PATH": "/usr/bin:/bin", "PLANNER_CLOUD_URL": simulator, **start.environ}
    if kind == "pod":
        environ["TEMPORAL_ADDRESS"] = address
    borrowed = Path(pytest.__file__).parent.parent
    shown = [programs.parent, borrowed, Path(sys.base_prefix), keys]
    with killed(contained([str(programs / "planner"), *arguments], environ, shown)) as process:
        until(f"http://127.0.0.1:{ports['8080']}/healthz", "ok", process)
        boost(namespace, {"TEMPORAL_ADDRESS": address, "PLANNER_CLOUD_URL": simulator}, process)
        until(
            f"http://127.0.0.1:{ports['9464']}/metrics",
            "capacity_boost_raise_latency_seconds_bucket",
            process,
        )
        process.send_signal(signal.SIGTERM)
        printed, _ = process.communicate(timeout=90)
        assert process.returncode == 0, printed
        assert "The worker has stopped." in printed
        assert KEY not in printed


def credentials(home: Path, address: str, **others: str) -> Path:
    """Make the directory of the credentials, which `USER` may read: the server's, and *others*."""
    keys = home / "keys"
    keys.mkdir(mode=0o755)
    profile = f'[profile.default]\naddress = "{address}"\n'
    for name, content in {"temporal.toml": profile, **others}.items():
        (keys / name).write_text(content, encoding="utf-8")
        (keys / name).chmod(0o440)
        os.chown(keys / name, 0, USER)
    return keys


@pytest.mark.parametrize("kind", ["pod", "unit"])
def test_the_command_line_follows(
    kind: str, programs: Path, fresh: str, own_server: WorkflowEnvironment, tmp_path: Path
) -> None:
    """As another user, which can write to /tmp alone, with git's stored credentials.

    It is ready once the commit is applied, and ends in order; the token isn't printed.
    """
    (tmp_path / "home").mkdir()
    remote = Remote(tmp_path / "home")
    calendar = (
        f"namespace: {fresh}.a1b2c\nwindows: {{w: {{cron: '0 3 * * *', duration: 1h, tru: 4}}}}\n"
    )
    remote.commit({"planner.yaml": f"project: {fresh}\n", "pay.yaml": calendar})
    remote.bare.rename(tmp_path / "home" / f"{fresh}.git")  # a record of its own
    address = own_server.client.service_client.config.target_host
    port = free_port()
    with remote.serving() as door:
        url = f"http://127.0.0.1:{door.port}/{fresh}.git"
        stored = f"http://x:{TOKEN}@127.0.0.1:{door.port}\n"
        keys = credentials(tmp_path, address, **{"git-credentials": stored})
        if kind == "pod":
            follow = ROOT / "deploy" / "kubernetes" / "follow"
            start = kubernetes(keys, follow, GIT_URL=url)
            environ = {**start.environ, "TEMPORAL_ADDRESS": address}
        else:
            start = unit(keys, "planner-follow", GIT_URL=url)
            environ = start.environ
        moved = {"8080": port, "8081": port}
        arguments = [_moved(word, moved) for word in start.arguments]
        borrowed = Path(pytest.__file__).parent.parent
        shown = [programs.parent, borrowed, Path(sys.base_prefix), keys]
        command = [str(programs / "planner"), *arguments]
        environ["PATH"] = "/usr/bin:/bin"
        with killed(contained(command, environ, shown, scratch="/tmp")) as process:
            until(f"http://127.0.0.1:{port}/readyz", "ok", process)
            process.send_signal(signal.SIGTERM)
            printed, _ = process.communicate(timeout=30)
            assert process.returncode == 0, printed
            assert "runs since" in printed
            assert "the follower has stopped" in printed
            assert TOKEN not in printed


def test_the_image_of_the_follower_says_what_it_takes(programs: Path) -> None:
    """Its own command, where no arguments are given; the pod has those of `planner follow`."""
    start = dockerfile("follow.Dockerfile")
    done = subprocess.run(
        [str(programs / "planner"), *start.arguments], capture_output=True, text=True, check=True
    )
    assert "GIT-URL" in done.stdout
    assert container(ROOT / "deploy" / "kubernetes" / "follow")["args"][0] == start.arguments[0]


def boost(namespace: str, environ: dict[str, str], worker: subprocess.Popen[str]) -> None:
    """Boost *namespace* for ten minutes; a failure shows what the *worker* printed."""
    command = [str(Path(sys.executable).parent / "planner"), "boost", namespace, "--tru", "4"]
    run = subprocess.Popen(
        [*command, "--for", "10m", "--unlisted"],
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        printed, _ = run.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        run.kill()
        worker.terminate()
        pytest.fail(f"{run.communicate()[0]}\nthe worker: {worker.communicate(timeout=60)[0]}")
    assert run.returncode == 0, printed


def _moved(word: str, ports: dict[str, int]) -> str:
    """Return an argument with its port changed to a free one."""
    host, colon, port = word.rpartition(":")
    return f"{host}{colon}{ports[port]}" if port in ports else word
