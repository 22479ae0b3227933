"""The activity that sets the floors of pushed fleets in a Kubernetes cluster.

It reads the object, decides by `workflows.floors.next_step`, and writes floor and mark in one
merge patch that holds only while nobody else has written the object meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from temporalio import activity
from temporalio.exceptions import ApplicationError

from workflows import activity_types, observability
from workflows.contract.fleets import KubernetesTarget
from workflows.floors import FloorMark, FloorSeen, FloorStep, FloorTask, next_step
from workflows.observability import heartbeating

FIELD_MANAGER = "capacity-boost"
"""Who the cluster records as the one that wrote the floor."""

MARK = "capacity-boost.planner/floor"
"""The annotation that marks a floor as the planner's: ``20 before 2``."""

CONFLICTS = 4
"""How often an object is read anew that others wrote in between, before the attempt fails."""


class FloorError(Exception):
    """The floor could not be read or set; *kind* is the type of the activity's failure."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Conflict(Exception):
    """Others have written the object since it was read."""


class Cluster(Protocol):
    """What the activity needs of a Kubernetes cluster."""

    async def read(self, target: KubernetesTarget) -> Mapping[str, Any]:
        """Return the object as it is.

        Raises:
            FloorError: It can't be read.
        """

    async def patch(self, target: KubernetesTarget, patch: Mapping[str, Any]) -> None:
        """Merge *patch* into the object, if it still has the patch's ``resourceVersion``.

        Raises:
            Conflict: It hasn't.
            FloorError: It can't be written.
        """


@dataclass(frozen=True, slots=True)
class _Fields:
    """Where an object has its minimum and its maximum, and what it has without them."""

    path: tuple[str, ...]
    low: str
    high: str
    default_low: int
    default_high: int | None = None


_HPA = _Fields(("spec",), "minReplicas", "maxReplicas", 1)
_SCALED = _Fields(("spec",), "minReplicaCount", "maxReplicaCount", 0, 100)


class FloorActivities:
    """The activity that sets floors in *cluster*; None where the worker has no cluster."""

    def __init__(self, cluster: Cluster | None) -> None:
        self._cluster = cluster

    @activity.defn(name=activity_types.FLOOR)
    async def reconcile(self, task: FloorTask) -> FloorSeen:
        """Take one step to the floor of *task*, and return what there is then.

        Raises:
            ApplicationError: The cluster can't be reached, or refuses.
        """
        target = task.fleet.kubernetes
        try:
            if self._cluster is None or target is None:
                raise FloorError(
                    "NoCluster",
                    "this worker reaches no Kubernetes cluster: install the extra `kubernetes`, "
                    "and run it with a service account or PLANNER_KUBECONFIG",
                )
            async with heartbeating(f"setting the floor of {task.fleet.name}"):
                return await self._step(self._cluster, target, task)
        except FloorError as error:
            observability.record_fault(task.namespace, error)
            raise ApplicationError(str(error), type=error.kind) from None

    async def _step(self, cluster: Cluster, target: KubernetesTarget, task: FloorTask) -> FloorSeen:
        for _ in range(CONFLICTS):
            found = await cluster.read(target)
            step = decide(task, found)
            if not step.writes:
                return step.seen
            try:
                await cluster.patch(target, patch_of(step, found))
            except Conflict:
                continue
            observability.log_floor(task, step.seen, target)
            return step.seen
        raise FloorError("Conflict", f"{target} was written by others again and again")


async def find_mark(cluster: Cluster, target: KubernetesTarget) -> FloorMark | None:
    """Return the planner's mark on the object *target*; None where it bears none.

    Raises:
        FloorError: It can't be read.
    """
    return _mark_of(await cluster.read(target))


def decide(task: FloorTask, found: Mapping[str, Any]) -> FloorStep:
    """Return what to do about the floor of the object that was *found*."""
    fields = _fields_of(found)
    spec = _at(found, fields.path)
    high = spec.get(fields.high, fields.default_high)
    return next_step(
        task, spec.get(fields.low), _mark_of(found), default=fields.default_low, ceiling=high
    )


def patch_of(step: FloorStep, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the merge patch that *step* writes to the object that was *found*."""
    mark = step.seen.mark
    metadata: dict[str, Any] = {
        "annotations": {MARK: None if mark is None else _mark_text(mark)},
        "resourceVersion": found["metadata"]["resourceVersion"],
    }
    patch: dict[str, Any] = {"metadata": metadata}
    if step.keeps_floor:
        return patch
    fields = _fields_of(found)
    inner: dict[str, Any] = {fields.low: step.floor}
    for name in reversed(fields.path):
        inner = {name: inner}
    return patch | inner


def _fields_of(found: Mapping[str, Any]) -> _Fields:
    """Return where the object has its floor; that of a template is in what it is a template of."""
    kind = found.get("kind", "")
    if kind == "WorkerResourceTemplate":
        inner = _fields_of(_at(found, ("spec", "template")))
        return _Fields(
            ("spec", "template", *inner.path),
            inner.low,
            inner.high,
            inner.default_low,
            inner.default_high,
        )
    known = {"HorizontalPodAutoscaler": _HPA, "ScaledObject": _SCALED}
    if kind not in known:
        raise FloorError("NoFloor", f"a {kind or 'nameless kind'} has no floor to set")
    return known[kind]


def _at(found: Mapping[str, Any], path: tuple[str, ...]) -> Mapping[str, Any]:
    for name in path:
        found = found.get(name) or {}
    return found


def _mark_text(mark: FloorMark) -> str:
    return f"{mark.set} before {'none' if mark.baseline is None else mark.baseline}"


def _mark_of(found: Mapping[str, Any]) -> FloorMark | None:
    """Return the planner's mark on the object; None without one, or where it can't be read."""
    text = (found["metadata"].get("annotations") or {}).get(MARK, "")
    own, _, before = text.partition(" before ")
    if not own.isdigit() or not (before.isdigit() or before == "none"):
        return None
    return FloorMark(int(own), None if before == "none" else int(before))


class KubernetesCluster:
    """A cluster through lightkube, which the extra ``kubernetes`` installs."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @classmethod
    def of_environment(cls, environ: Mapping[str, str]) -> KubernetesCluster | None:
        """Return the cluster of ``PLANNER_KUBECONFIG``, else of the pod's service account.

        None where there is neither, or lightkube isn't installed.

        Raises:
            ValueError: The file that is named can't be used.
        """
        try:
            from lightkube import AsyncClient, KubeConfig
            from lightkube.core.exceptions import ConfigError
        except ImportError:
            return None
        path = environ.get("PLANNER_KUBECONFIG", "").strip()
        try:
            config = KubeConfig.from_file(path) if path else KubeConfig.from_service_account()
        except (ConfigError, OSError) as error:
            if path:
                raise ValueError(f"PLANNER_KUBECONFIG can't be used: {error}") from error
            return None
        return cls(AsyncClient(config=config, field_manager=FIELD_MANAGER))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def read(self, target: KubernetesTarget) -> Mapping[str, Any]:
        """Return the object as it is."""
        try:
            found = await self._client.get(
                _resource(target), target.name, namespace=target.namespace
            )
        except Exception as error:  # the HTTP library's own, whichever lightkube uses
            raise _error(target, error) from None
        return {"kind": target.kind, **found.to_dict()}

    async def patch(self, target: KubernetesTarget, patch: Mapping[str, Any]) -> None:
        """Merge *patch* into the object, under the planner's field manager."""
        from lightkube.types import PatchType

        try:
            await self._client.patch(
                _resource(target),
                target.name,
                patch,
                namespace=target.namespace,
                patch_type=PatchType.MERGE,
            )
        except Exception as error:
            if _status(error) == 409:
                raise Conflict from None
            raise _error(target, error) from None


_RESOURCES = {
    "HorizontalPodAutoscaler": ("autoscaling", "v2", "horizontalpodautoscalers"),
    "ScaledObject": ("keda.sh", "v1alpha1", "scaledobjects"),
    "WorkerResourceTemplate": ("temporal.io", "v1alpha1", "workerresourcetemplates"),
}


def _resource(target: KubernetesTarget) -> Any:
    from lightkube.generic_resource import create_namespaced_resource

    group, version, plural = _RESOURCES[target.kind]
    return create_namespaced_resource(group, version, target.kind, plural)


def _status(error: Exception) -> int:
    """Return the HTTP status that the cluster's API, or a proxy, answered; 0 without an answer."""
    return int(getattr(getattr(error, "response", None), "status_code", 0))


def _error(target: KubernetesTarget, error: Exception) -> FloorError:
    """Return what the HTTP library raised as an error whose kind says how to go on."""
    status = _status(error)
    if not status:
        why = str(error) or type(error).__name__
        return FloorError("ClusterUnreachable", f"{target}: the cluster can't be reached: {why}")
    kind = {401: "Unauthorized", 403: "Unauthorized", 404: "NamespaceNotFound"}.get(status)
    why = getattr(getattr(error, "status", None), "message", "") or "no reason given"
    return FloorError(kind or "ClusterError", f"{target}: HTTP {status}: {why}")
