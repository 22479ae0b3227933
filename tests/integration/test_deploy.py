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
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from contained import USER, can_contain, contained
from package_helpers import ROOT, build, fresh_environment
from temporalio.testing import WorkflowEnvironment

from planner.temporal.dev_server import free_port

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


def dockerfile() -> Start:
    """Return what the image runs, by the Dockerfile's own words."""
    text = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    last = text.rpartition("\nFROM ")[2]
    entry = json.loads(re.findall(r"^ENTRYPOINT (.*)$", last, re.MULTILINE)[0])
    command = json.loads(re.findall(r"^CMD (.*)$", last, re.MULTILINE)[0])
    (variables,) = re.findall(r"^ENV ((?:.*\\\n)*.*)$", last, re.MULTILINE)
    pairs = (word.partition("=") for word in shlex.split(variables.replace("\\\n", " ")))
    environ = {name: value for name, _, value in pairs if name != "PATH"}
    assert entry == ["planner"]
    assert f"\nUSER {USER}:{USER}\n" in last
    return Start(command, environ)


def container() -> dict[str, object]:
    """Return the worker's container in the Deployment."""
    deployment = yaml.safe_load((BASE / "deployment.yaml").read_text(encoding="utf-8"))
    (found,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(found)


def kubernetes(keys: Path) -> Start:
    """Return what a pod runs: the image's environment, the Deployment's arguments and keys."""
    found = container()
    mounted = {each["mountPath"]: keys for each in found["volumeMounts"]}  # type: ignore[attr-defined]
    own = {
        each["name"]: str(mounted.get(each["value"], each["value"]))
        for each in found["env"]  # type: ignore[attr-defined]
        if "value" in each
    }
    return Start(list(found["args"]), dockerfile().environ | own)  # type: ignore[call-overload]


def unit(keys: Path) -> Start:
    """Return what systemd runs, *keys* being where it puts the credentials."""
    text = (ROOT / "deploy" / "systemd" / "planner-worker.service").read_text(encoding="utf-8")
    (command,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    program, *arguments = shlex.split(command)
    assert program == "/opt/planner/bin/planner"
    loaded = set(re.findall(r"^LoadCredential=([\w.-]+):", text, re.MULTILINE))
    environ = {}
    for line in re.findall(r"^Environment=(.*)$", text, re.MULTILINE):
        name, _, value = line.partition("=")
        assert "%d" not in value or value.removeprefix("%d/") in loaded
        environ[name] = value.replace("%d", str(keys))
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
    port = free_port(0)
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
    pytest.fail(f"{address} never answered {words!r}")


def test_a_pod_runs_what_the_image_runs() -> None:
    """Deployment, Dockerfile and probes agree on arguments, ports and user."""
    found = container()
    assert found["args"] == dockerfile().arguments
    text = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    (exposed,) = re.findall(r"^EXPOSE (.*)$", text, re.MULTILINE)
    ports = {each["name"]: each["containerPort"] for each in found["ports"]}  # type: ignore[attr-defined]
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
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o755)
    address = own_server.client.service_client.config.target_host
    namespace = f"{fresh}.a1b2c"
    credentials = {
        namespace: KEY,
        "cloud-api-key": KEY,
        "temporal.toml": f'[profile.default]\naddress = "{address}"\n',
    }
    for name, content in credentials.items():
        (keys / name).write_text(content, encoding="utf-8")
        (keys / name).chmod(0o440)
        os.chown(keys / name, 0, USER)
    start = kubernetes(keys) if kind == "pod" else unit(keys)
    ports = {"8080": free_port(0), "9464": free_port(0)}
    arguments = [_moved(word, ports) for word in start.arguments]
    environ = {"PATH": "/usr/bin:/bin", "PLANNER_CLOUD_URL": simulator, **start.environ}
    if kind == "pod":
        environ["TEMPORAL_ADDRESS"] = address
    borrowed = Path(pytest.__file__).parent.parent
    shown = [programs.parent, borrowed, Path(sys.base_prefix), keys]
    process = contained([str(programs / "planner"), *arguments], environ, shown)
    try:
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
    finally:
        process.kill()
        process.communicate()


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
