"""What a Kubernetes API server would refuse in an object: its own schemas, and those of CRDs.

The schemas of Kubernetes' own kinds come from the package ``kubernetes-validate``, in which an
unknown field is a fault. Those of custom kinds are read from the CustomResourceDefinitions in the
directory ``PLANNER_TEST_CRDS``: no package has them as they are today.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft202012Validator

Object = dict[str, Any]

NEWEST = kubernetes_validate.latest_version()
OLDEST = "1.30"
"""The releases of Kubernetes whose schemas are held against what is shipped."""

CRDS_VARIABLE = "PLANNER_TEST_CRDS"

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a CRD has thousands of lines

OWN_GROUPS = ("", "apps", "autoscaling", "policy", "networking.k8s.io", "rbac.authorization.k8s.io")

RULES: dict[str, Callable[[Object], bool]] = {
    "!has(self.minReplicaCount) || self.minReplicaCount <= "
    "(has(self.maxReplicaCount) ? self.maxReplicaCount : 100)": lambda spec: (
        spec.get("minReplicaCount", 0) <= spec.get("maxReplicaCount", 100)
    ),
    "has(self.workerDeploymentRef) || has(self.temporalWorkerDeploymentRef)": lambda spec: (
        "workerDeploymentRef" in spec or "temporalWorkerDeploymentRef" in spec
    ),
    "!(has(self.workerDeploymentRef) && has(self.temporalWorkerDeploymentRef))": lambda spec: (
        not ("workerDeploymentRef" in spec and "temporalWorkerDeploymentRef" in spec)
    ),
}
"""The CEL rules of the kinds that are checked, as Python; another one is a fault."""


def group_of(document: Object) -> str:
    """Return the API group of an object; that of the core is empty."""
    group, slash, _ = document["apiVersion"].rpartition("/")
    return group if slash else ""


def is_custom(document: Object) -> bool:
    """Tell whether an object's kind is defined by a CRD."""
    return group_of(document) not in OWN_GROUPS


def faults(document: Object, version: str = NEWEST) -> list[str]:
    """Return what an API server of that *version* would refuse in an object; none if it is fine."""
    if is_custom(document):
        schema = custom_schema(document)
        found = [
            _words(error) for error in Draft202012Validator(strict(schema)).iter_errors(document)
        ]
        found += broken_rules(schema, document, document["kind"])
        # Of its metadata a CRD says nothing: they are like those of any object.
        return found + faults(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": document["metadata"]}, version
        )
    try:
        kubernetes_validate.validate(document, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [_words(error)]
    return []


def _words(error: Any) -> str:
    return f"{'.'.join(str(one) for one in error.path)}: {error.message}"


@cache
def _definitions(directory: str) -> dict[tuple[str, str, str], Object]:
    """Return the schemas of the CRDs in *directory*, by group, version and kind."""
    found = {}
    for file in sorted(Path(directory).rglob("*.yaml")):
        for document in yaml.load_all(file.read_text(encoding="utf-8"), LOADER):
            if document and document.get("kind") == "CustomResourceDefinition":
                spec = document["spec"]
                for version in spec["versions"]:
                    key = spec["group"], version["name"], spec["names"]["kind"]
                    found[key] = version["schema"]["openAPIV3Schema"]
    return found


def custom_schema(document: Object) -> Object:
    """Return the schema of a custom kind; skip the test without the directory of CRDs."""
    if not (directory := os.environ.get(CRDS_VARIABLE)):
        pytest.skip(f"{CRDS_VARIABLE} names no directory of CustomResourceDefinitions")
    key = group_of(document), document["apiVersion"].rpartition("/")[2], document["kind"]
    known = _definitions(directory)
    assert key in known, f"{directory} has no CRD of {key}"
    return known[key]


def strict(schema: Object) -> Object:
    """Return the OpenAPI *schema* of a CRD as JSON Schema, in which no field may be unknown."""
    found = copy.deepcopy(schema)
    found["properties"] |= {"apiVersion": {"type": "string"}, "kind": {"type": "string"}}
    found["properties"]["metadata"] = {}
    _close(found)
    return found


def _close(schema: Object) -> None:
    if schema.pop("nullable", False):
        schema["type"] = [schema["type"], "null"]
    is_open = schema.get("x-kubernetes-preserve-unknown-fields", False)
    if "properties" in schema and not is_open:
        schema.setdefault("additionalProperties", False)
    for below in (*schema.get("properties", {}).values(), schema.get("items")):
        if isinstance(below, dict):
            _close(below)
    if isinstance(schema.get("additionalProperties"), dict):
        _close(schema["additionalProperties"])


def broken_rules(schema: Object, value: Any, path: str) -> Iterator[str]:
    """Yield the CEL rules of *schema* that *value* breaks, and those that aren't known here."""
    for one in schema.get("x-kubernetes-validations", ()):
        rule = " ".join(one["rule"].split())
        if rule not in RULES:
            yield f"{path}: the rule {rule!r} is not known here"
        elif not RULES[rule](value):
            yield f"{path}: {one['message']}"
    if isinstance(value, dict):
        for name, below in schema.get("properties", {}).items():
            if name in value:
                yield from broken_rules(below, value[name], f"{path}.{name}")
    if isinstance(value, list):
        for number, one in enumerate(value):
            yield from broken_rules(schema.get("items", {}), one, f"{path}[{number}]")


def rendered(template: Object) -> Object:
    """Return what the worker controller makes of a WorkerResourceTemplate for one version.

    What it fills in is empty in the template: the reference to the version's Deployment, the name.
    """
    found = copy.deepcopy(template["spec"]["template"])
    found["metadata"] = {
        "name": f"{template['metadata']['name']}-1a2b3c4d",
        "namespace": template["metadata"]["namespace"],
    }
    if found["spec"].get("scaleTargetRef") == {}:
        found["spec"]["scaleTargetRef"] = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": "payments-1a2b3c4d",
        }
    return found


def refused_by_controller(template: Object) -> list[str]:
    """Return what the worker controller's own webhook refuses in a WorkerResourceTemplate."""
    inner, found = template["spec"]["template"], []
    if set(inner.get("metadata", {})) & {"name", "namespace"}:
        found.append("the template's name and namespace are the controller's")
    if inner["spec"].get("minReplicas") == 0:
        found.append("minReplicas must not be 0")
    if inner["spec"].get("scaleTargetRef"):
        found.append("scaleTargetRef is the controller's: write {}")
    return found
