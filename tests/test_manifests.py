"""The manifests of ``deploy/`` and of the documents, by the schemas of what they are."""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from kubernetes_schemas import (
    NEWEST,
    OLDEST,
    Object,
    broken_rules,
    faults,
    is_custom,
    strict,
)

REPOSITORY = Path(__file__).parent.parent
DEPLOY = REPOSITORY / "deploy"

ALL = "resources: [../base]\ncomponents: [../monitoring, ../fleets, ../follow, ../push]\n"
"""Every component on top of the base."""

APPLIED = (
    "kubernetes/push/role.yaml",
    "kubernetes/push/role-templates.yaml",
    "keda/scaled-object.yaml",
)
"""Files that are applied by themselves."""


def kustomized(directory: Path) -> list[Object]:
    """Return what the real kubectl builds of a *directory*."""
    kubectl = str(Path(sys.executable).parent / "kubectl")
    built = subprocess.run(
        [kubectl, "kustomize", str(directory)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return list(yaml.safe_load_all(built.stdout))


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> list[Object]:
    """Every object that ``deploy/`` ships, as it reaches a cluster."""
    root = tmp_path_factory.mktemp("deploy") / "kubernetes"
    shutil.copytree(DEPLOY / "kubernetes", root)
    (root / "all").mkdir()
    (root / "all" / "kustomization.yaml").write_text(ALL, encoding="utf-8")
    found = [one for kind in ("base", "overlay", "all") for one in kustomized(root / kind)]
    for file in APPLIED:
        found += yaml.safe_load_all((DEPLOY / file).read_text(encoding="utf-8"))
    return found


def documented() -> Iterator[Object]:
    """Yield the objects in the documents' YAML; triggers by themselves as a ScaledObject's."""
    files = [*sorted((REPOSITORY / "docs").rglob("*.md")), REPOSITORY / "README.md"]
    for file in files:
        text = file.read_text(encoding="utf-8")
        for block in re.findall(r"^```ya?ml\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            for document in yaml.safe_load_all(block):
                if not isinstance(document, dict):
                    continue
                if "apiVersion" in document and "kind" in document:
                    yield document
                elif "triggers" in document:
                    yield scaled_object(document)


def scaled_object(spec: Object) -> Object:
    """Return a ScaledObject with a part of its *spec*."""
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "claims-workers"},
        "spec": {"scaleTargetRef": {"name": "claims-worker"}, **spec},
    }


def named(document: Object) -> str:
    """Return an object's kind and name."""
    return f"{document['kind']} {document['metadata']['name']}"


def test_every_manifest_is_among_them(shipped: list[Object]) -> None:
    """No file of ``deploy/`` with an object is left out, and the documents have some."""
    known = {one["kind"] for one in shipped}
    files = [*DEPLOY.glob("kubernetes/**/*.yaml"), *DEPLOY.glob("keda/*.yaml")]
    written = {
        one["kind"]
        for file in files
        for one in yaml.safe_load_all(file.read_text(encoding="utf-8"))
    }
    assert written - {"Kustomization", "Component"} <= known
    assert {"Secret", "ConfigMap", "PrometheusRule", "ScaledObject", "RoleBinding"} <= known
    assert [one["kind"] for one in documented()].count("ScaledObject") >= 2


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_kubernetes_takes_what_is_shipped(shipped: list[Object], version: str) -> None:
    """By the schemas of the oldest and of the newest release, with no field that is unknown."""
    own = [one for one in [*shipped, *documented()] if not is_custom(one)]
    assert len(own) > 20
    assert {named(one): found for one in own if (found := faults(one, version))} == {}


def test_operators_take_what_is_shipped(shipped: list[Object]) -> None:
    """By the CRDs of KEDA and of the Prometheus operator."""
    custom = [one for one in [*shipped, *documented()] if is_custom(one)]
    assert len({one["kind"] for one in custom}) == 4
    assert {named(one): found for one in custom if (found := faults(one))} == {}


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("spec", "template", "spec", "replica"), 1, "'replica' was unexpected"),
        (("spec", "replicas"), "two", "'two' is not of type"),
        (("spec", "selector"), None, "'selector' is a required property"),
    ],
)
def test_a_fault_is_one(
    shipped: list[Object], path: tuple[str, ...], value: Any, words: str
) -> None:
    """An unknown field, a wrong type and a missing field of a Deployment are each refused."""
    broken = copy.deepcopy(next(one for one in shipped if one["kind"] == "Deployment"))
    inner = broken
    for name in path[:-1]:
        inner = inner[name]
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    assert any(words in one for one in faults(broken))


CRD = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["low"],
            "properties": {
                "low": {"type": "integer", "nullable": True},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            },
            "x-kubernetes-validations": [{"rule": "self.low > 2", "message": "too low"}],
        }
    },
}


@pytest.mark.parametrize(
    ("spec", "is_fine"),
    [
        ({"low": 1, "free": {"a": 1}, "labels": {"a": "b"}}, True),
        ({"low": None}, True),
        ({"low": "1"}, False),
        ({}, False),
        ({"low": 1, "high": 2}, False),
        ({"low": 1, "labels": {"a": 1}}, False),
    ],
)
def test_how_a_crd_is_read(spec: Object, is_fine: bool) -> None:
    """Strictly: an unknown field is a fault, except where the schema keeps all; so is a rule."""
    document = {"apiVersion": "x/v1", "kind": "X", "metadata": {"name": "x"}, "spec": spec}
    assert Draft202012Validator(strict(CRD)).is_valid(document) == is_fine
    assert list(broken_rules(CRD, document, "X")) == [
        "X.spec: the rule 'self.low > 2' is not known here"
    ]
