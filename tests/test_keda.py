"""What ``deploy/`` ships for fleets of workers: KEDA's rule with it, and what it may do."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

from workflows.activities.floors import KubernetesCluster
from workflows.contract.fleets import Answer, DeclaredFleet, Floor, NotKnown
from workflows.observability import health_endpoint

DEPLOY = Path(__file__).parent.parent / "deploy"


def documents(path: str) -> list[dict[str, Any]]:
    """Return the documents of a shipped file."""
    return list(yaml.safe_load_all((DEPLOY / path).read_text(encoding="utf-8")))


SCALED, AUTHENTICATION = documents("keda/scaled-object.yaml")
ROLES = "kubernetes/push/role.yaml", "kubernetes/push/role-templates.yaml"

KNOWN: dict[str, dict[str, Any]] = {
    "spec": {
        "scaleTargetRef": dict,
        "minReplicaCount": int,
        "maxReplicaCount": int,
        "pollingInterval": int,
        "cooldownPeriod": int,
        "idleReplicaCount": int,
        "triggers": list,
        "fallback": dict,
        "advanced": dict,
    },
    "trigger": {
        "type": str,
        "name": str,
        "metadata": dict,
        "authenticationRef": dict,
        "metricType": str,
        "useCachedMetrics": bool,
    },
    "fallback": {"failureThreshold": int, "replicas": int, "behavior": str},
}
"""The fields that KEDA's CRD of a ScaledObject has, with their types."""

REQUIRED = {
    "spec": {"scaleTargetRef", "triggers"},
    "trigger": {"type", "metadata"},
    "fallback": {"failureThreshold", "replicas"},
}

TRIGGER_METADATA = {
    "metrics-api": {"url", "valueLocation", "targetValue"},
    "temporal": {"endpoint", "namespace", "taskQueue", "queueTypes", "targetQueueSize"},
}
"""What the scalers of these types read; all values are strings."""


def faults(kind: str, value: dict[str, Any]) -> Iterator[str]:
    """Yield what KEDA's schema would refuse in *value*."""
    for name, one in value.items():
        if not isinstance(one, KNOWN[kind].get(name, ())):
            yield f"{kind}.{name}: {one!r}"
    yield from (f"{kind}.{name} is missing" for name in REQUIRED[kind] - value.keys())


def test_the_scaled_object_is_one_of_keda_s() -> None:
    """By the required fields and types of KEDA's CRD, and the parameters of its scalers."""
    spec = SCALED["spec"]
    found = [*faults("spec", spec), *faults("fallback", spec["fallback"])]
    for trigger in spec["triggers"]:
        found += faults("trigger", trigger)
        assert trigger["metadata"].keys() == TRIGGER_METADATA[trigger["type"]]
        assert all(isinstance(value, str) for value in trigger["metadata"].values())
    assert found == []
    assert spec["fallback"]["behavior"] == "currentReplicasIfHigher"
    (reference,) = [one["authenticationRef"]["name"] for one in spec["triggers"][1:]]
    assert reference == AUTHENTICATION["metadata"]["name"]
    assert {one["parameter"] for one in AUTHENTICATION["spec"]["secretTargetRef"]} == {"apiKey"}


@dataclass
class Keda:
    """KEDA's rule: the largest over the triggers, each rounded up; the fallback where one fails.

    A trigger that fails counts as failed once it has more often in a row than the threshold; until
    then the autoscaler keeps what runs.
    """

    spec: dict[str, Any]
    replicas: int
    failures: dict[str, int] = field(default_factory=dict)

    def poll(self, values: dict[str, float | None]) -> int:
        """Return the replicas after a poll: the triggers' values, None for those that failed."""
        wanted = []
        for trigger in self.spec["triggers"]:
            name, value = trigger["name"], values[trigger["name"]]
            metadata = trigger["metadata"]
            target = float(metadata.get("targetValue") or metadata["targetQueueSize"])
            self.failures[name] = 0 if value is not None else self.failures.get(name, 0) + 1
            if value is not None:
                wanted.append(math.ceil(value / target))
            elif self.failures[name] > self.spec["fallback"]["failureThreshold"]:
                wanted.append(max(self.spec["fallback"]["replicas"], self.replicas))
            else:
                wanted.append(self.replicas)
        low, high = self.spec["minReplicaCount"], self.spec["maxReplicaCount"]
        self.replicas = min(max([low, *wanted]), high)
        return self.replicas


@dataclass
class Answers:
    """A worker's answers, or why there are none."""

    floor: int | None = 2

    async def answer(self, name: str, now: datetime) -> Answer:
        """Return the answer."""
        assert name == "payments"
        if self.floor is None:
            raise NotKnown("the keeper can't be looked at")
        return Answer(self.floor, Floor(self.floor))

    async def known(self, now: datetime) -> list[tuple[DeclaredFleet, Answer]]:
        """Return none."""
        return []


async def test_the_calendar_is_a_floor_beside_the_backlog() -> None:
    """The largest of both counts; a planner that doesn't know lets nothing go down."""
    answers, keda = Answers(), Keda(SCALED["spec"], replicas=2)
    metadata = SCALED["spec"]["triggers"][0]["metadata"]
    path = urlsplit(metadata["url"]).path
    async with (
        health_endpoint("127.0.0.1", 0, lambda: True, replicas=answers) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
    ):

        async def poll(floor: int | None, backlog: float | None) -> int:
            answers.floor = floor
            reply = await http.get(path)
            known = reply.json()[metadata["valueLocation"]] if reply.status_code == 200 else None
            return keda.poll({"calendar": known, "backlog": backlog})

        assert await poll(2, 0) == 2
        assert await poll(20, 0) == 20  # the window's floor
        assert await poll(20, 481) == 25  # a backlog above it: 481 / 20
        assert await poll(20, 100) == 20
        assert [await poll(None, 0) for _ in range(6)] == [20] * 6  # unknown: what runs stays
        assert await poll(2, 0) == 2
        assert [await poll(None, 0) for _ in range(5)] == [2, 2, 2, 4, 4]  # its own fallback
        assert await poll(20, 9_999) == 30  # its maximum


def roles() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the rules of the role for floors, and of the one for the worker controller's."""
    (plain, _), (templates, _) = map(documents, ROLES)
    return plain["rules"], templates["rules"]


def allows(
    rules: list[dict[str, Any]], verb: str, group: str, resource: str, name: str = ""
) -> bool:
    """Tell by Kubernetes' own rule whether a role allows something; without a *name*, for all."""
    return any(
        verb in rule["verbs"]
        and group in rule["apiGroups"]
        and resource in rule["resources"]
        and name in rule.get("resourceNames", [name])
        for rule in rules
    )


def test_the_roles_allow_get_and_patch_of_named_objects_only() -> None:
    """Nothing else in the cluster: no list, no other object, no Deployment.

    But for templates, where the worker controller demands the right to update what they are of.
    """
    from workflows.activities.floors import _RESOURCES

    plain, templates = roles()
    (update,) = [rule for rule in templates if "resourceNames" not in rule]
    assert update == {
        "apiGroups": ["autoscaling"],
        "resources": ["horizontalpodautoscalers"],
        "verbs": ["update"],
    }
    rules = [*plain, *(rule for rule in templates if rule is not update)]
    for rule in rules:
        assert (rule["verbs"], len(rule["resourceNames"])) == (["get", "patch"], 1)
        assert "*" not in json.dumps(rule)
    allowed = {(rule["apiGroups"][0], rule["resources"][0]) for rule in rules}
    assert allowed == {(group, plural) for group, _, plural in _RESOURCES.values()}
    account = documents("kubernetes/base/serviceaccount.yaml")[0]
    for role, binding in map(documents, ROLES):
        (subject,) = binding["subjects"]
        assert (subject["kind"], subject["name"]) == (account["kind"], account["metadata"]["name"])
        assert binding["roleRef"]["name"] == role["metadata"]["name"]


def test_the_worker_controller_lets_templates_be_patched() -> None:
    """Its webhook reviews whether the planner may update what a template is of, without a name."""
    plain, templates = roles()
    scaler = "autoscaling", "horizontalpodautoscalers"
    assert allows(templates, "patch", "temporal.io", "workerresourcetemplates", "payments-workers")
    assert allows(templates, "update", *scaler)
    assert not allows(plain, "update", *scaler)
    assert not allows(plain, "patch", *scaler)
    assert allows(plain, "patch", *scaler, "payments-workers")
    assert not allows(templates, "patch", *scaler, "payments-workers")


def test_the_components_build_on_the_base(tmp_path: Path) -> None:
    """The real kubectl's kustomize: a Service for those that ask, the token for those that push.

    It asks workers that aren't ready, too: a bad key of one namespace is no other team's affair.
    """
    shutil.copytree(DEPLOY / "kubernetes", tmp_path / "kubernetes")
    (tmp_path / "kubernetes" / "all").mkdir()
    (tmp_path / "kubernetes" / "all" / "kustomization.yaml").write_text(
        "namespace: capacity-planner\nresources: [../base]\ncomponents: [../fleets, ../push]\n",
        encoding="utf-8",
    )
    built = subprocess.run(
        [
            str(Path(sys.executable).parent / "kubectl"),
            "kustomize",
            str(tmp_path / "kubernetes" / "all"),
        ],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    found = {one["kind"]: one for one in yaml.safe_load_all(built.stdout)}
    pod = found["Deployment"]["spec"]["template"]
    assert pod["spec"]["automountServiceAccountToken"] is True
    service = found["Service"]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert service["spec"]["publishNotReadyAddresses"] is True
    (port,) = service["spec"]["ports"]
    named = {one["name"]: one for one in pod["spec"]["containers"][0]["ports"]}
    assert named[port["targetPort"]]["containerPort"] == port["port"]
    host = f"{service['metadata']['name']}.{service['metadata']['namespace']}:{port['port']}"
    assert urlsplit(SCALED["spec"]["triggers"][0]["metadata"]["url"]).netloc == host
    egress = [
        one["port"] for rule in found["NetworkPolicy"]["spec"]["egress"] for one in rule["ports"]
    ]
    assert 6443 in egress


def test_without_a_cluster_nothing_is_pushed() -> None:
    """A worker outside Kubernetes has none; a file that can't be used is said at the start."""
    assert KubernetesCluster.of_environment({}) is None
    with pytest.raises(ValueError, match="PLANNER_KUBECONFIG can't be used"):
        KubernetesCluster.of_environment({"PLANNER_KUBECONFIG": "/nowhere"})
