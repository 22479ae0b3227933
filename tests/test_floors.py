"""The floors of pushed fleets: what is done about each, and how it is written to a cluster."""

from __future__ import annotations

import asyncio
import copy
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kmock import KubernetesEmulator, ResourceInfo, Server
from kubernetes_schemas import faults, refused_by_controller, rendered
from lightkube.models.meta_v1 import Status

from workflows.activities.floors import (
    MARK,
    Conflict,
    FloorActivities,
    FloorError,
    KubernetesCluster,
    ObjectGone,
    decide,
    find_mark,
    patch_of,
)
from workflows.contract import Fleet, KubernetesTarget, Lease
from workflows.contract.fleets import KubernetesKind
from workflows.floors import (
    FloorMark,
    FloorSeen,
    FloorState,
    FloorTask,
    after_look,
    floors_at,
    next_step,
)

START = datetime(2027, 1, 31, 23, tzinfo=UTC)
END = START + timedelta(hours=6)
MINUTE = timedelta(minutes=1)


def fleet(kind: KubernetesKind = "HorizontalPodAutoscaler", **other: Any) -> Fleet:
    """Return a fleet whose floor is pushed."""
    target = KubernetesTarget(kind=kind, namespace="payments", name="workers")
    return Fleet(name="payments", min=2, max=30, kubernetes=target, **other)


def task(wanted: int | None, mark: FloorMark | None = None) -> FloorTask:
    """Return the task of one look."""
    return FloorTask(namespace="pay.a1b2c", fleet=fleet(), wanted=wanted, mark=mark)


OURS = FloorMark(20, 2)


@pytest.mark.parametrize(
    ("wanted", "found", "mark", "known", "floor", "after"),
    [
        pytest.param(20, 2, None, None, 20, OURS, id="raise, with what was before"),
        pytest.param(20, None, None, None, 20, FloorMark(20), id="raise, none before"),
        pytest.param(20, 20, OURS, None, "-", OURS, id="in force"),
        pytest.param(8, 20, OURS, None, 8, FloorMark(8, 2), id="down to what still runs"),
        pytest.param(28, 20, OURS, None, 28, FloorMark(28, 2), id="up for another window"),
        pytest.param(20, 25, None, None, "-", None, id="more than wanted: left alone"),
        pytest.param(20, 20, None, None, "-", None, id="just as much: not the planner's"),
        pytest.param(20, 25, OURS, None, "-", OURS, id="others raised it: left alone"),
        pytest.param(20, 5, OURS, None, 20, OURS, id="others lowered it: never cut short"),
        pytest.param(1, 20, OURS, None, 2, FloorMark(2, 2), id="never below the baseline"),
        pytest.param(40, 2, None, None, 30, FloorMark(30, 2), id="no more than its maximum"),
        pytest.param(20, 20, None, OURS, "-", OURS, id="the mark was lost, and is known"),
        pytest.param(None, 20, OURS, None, 2, None, id="back to the baseline"),
        pytest.param(None, 20, FloorMark(20), None, None, None, id="back to none"),
        pytest.param(None, 5, OURS, None, "mark", None, id="others changed it: theirs stays"),
        pytest.param(None, 2, None, None, "-", None, id="nothing was raised"),
        pytest.param(None, 25, None, None, "-", None, id="nothing of ours is left"),
        pytest.param(None, 20, None, OURS, 2, None, id="back without the object's mark"),
        pytest.param(None, 7, None, OURS, "-", None, id="written anew by others: theirs stays"),
    ],
)
def test_what_is_done_about_a_floor(
    wanted: int | None,
    found: int | None,
    mark: FloorMark | None,
    known: FloorMark | None,
    floor: int | str | None,
    after: FloorMark | None,
) -> None:
    """Ready, never cut short, always given back, never worse: ``-`` where nothing is written."""
    step = next_step(task(wanted, known), found, mark, default=1, ceiling=30)
    assert after == step.seen.mark
    assert (floor != "-") == step.writes
    assert (floor == "mark") == step.keeps_floor
    if step.writes and not step.keeps_floor:
        assert floor == step.floor
        assert step.seen.in_force == (1 if floor is None else floor)
    else:
        assert step.seen.in_force == (1 if found is None else found)


@pytest.mark.parametrize("wanted", [None, 0, 1, 5, 20, 31])
@pytest.mark.parametrize("found", [None, 0, 1, 2, 20, 25, 30])
@pytest.mark.parametrize("mark", [None, OURS, FloorMark(5), FloorMark(20, 20)])
def test_a_second_look_changes_nothing(
    wanted: int | None, found: int | None, mark: FloorMark | None
) -> None:
    """Whatever was found: what was written is what the next look leaves as it is."""
    order = task(wanted)
    step = next_step(order, found, mark, default=1, ceiling=30)
    written = step.floor if step.writes and not step.keeps_floor else found
    again = next_step(order, written, step.seen.mark, default=1, ceiling=30)
    assert not again.writes
    assert again.seen.in_force == step.seen.in_force


def test_what_others_do_is_said() -> None:
    """The keeper's page tells who else has written the floor, and what is short."""
    higher = next_step(task(20), 25, OURS, default=1, ceiling=30).seen
    assert higher.foreign
    assert higher.note == "25 was set externally, above the 20 wanted: left alone"
    assert next_step(task(20), 5, OURS, default=1).seen.note == "5 had been set externally"
    short = next_step(task(40), 2, None, default=1, ceiling=30).seen
    assert short.note == "40 wanted, and its maximum is 30"


def lease(replicas: int = 20, **other: Any) -> Lease:
    """Return a lease of that many workers."""
    values: dict[str, Any] = {"fleets": (fleet(lead_seconds=600),), "until": END}
    return Lease(
        key="close",
        window="close",
        tru=0,
        start=START,
        workers={"payments": replicas},
        **{**values, **other},
    )


def test_a_floor_is_wanted_from_its_lead_to_its_end() -> None:
    """It is forgotten once it is given back, and no sooner."""
    leases = (lease(),)
    waiting = floors_at((), leases, START - 11 * MINUTE)
    assert [one.wanted for one in waiting] == [None]
    (due,) = floors_at(waiting, leases, START - 10 * MINUTE)
    assert (due.wanted, due.since, due.is_covered) == (20, START - 10 * MINUTE, False)
    seen = FloorSeen(name="payments", found=2, in_force=20, mark=OURS, wanted=20)
    (raised,) = after_look((due,), seen, START)
    assert raised.is_covered
    assert raised.is_settled
    assert floors_at((raised,), leases, START + MINUTE) == (raised,)
    (over,) = floors_at((raised,), (), END)
    assert (over.wanted, over.is_settled) == (None, False)
    back = FloorSeen(name="payments", found=20, in_force=2)
    assert floors_at(after_look((over,), back, END), (), END) == ()


def test_a_floor_whose_lease_goes_while_it_is_raised_is_given_back() -> None:
    """The step that is under way may raise it yet: it isn't forgotten before that has ended."""
    (due,) = floors_at((), (lease(),), START)
    (over,) = floors_at((replace(due, is_attempted=True),), (), START)
    assert (over.wanted, over.is_settled) == (None, False)
    seen = FloorSeen(name="payments", found=2, in_force=20, mark=OURS, wanted=20)
    (raised,) = floors_at(after_look((over,), seen, START), (), START)
    assert (raised.wanted, raised.mark, raised.is_settled) == (None, OURS, False)
    untouched = FloorSeen(name="payments", found=25, in_force=25, wanted=20, foreign=True)
    assert floors_at(after_look((over,), untouched, START), (), START) == ()


def test_an_object_that_is_raised_is_given_back_before_another() -> None:
    """A declaration that names another object counts once the one before is as it was."""
    raised = FloorState(fleet=fleet(), wanted=20, in_force=20, mark=OURS, observed_at=START)
    other = replace(
        fleet(),
        kubernetes=KubernetesTarget(kind="ScaledObject", namespace="payments", name="other"),
    )
    (kept,) = floors_at((raised,), (lease(fleets=(other,)),), START)
    assert kept.target == raised.target


def test_a_pulled_fleet_has_no_floor_to_set() -> None:
    """It asks by itself."""
    pulled = replace(fleet(), kubernetes=None)
    assert floors_at((), (lease(fleets=(pulled,)),), START) == ()


# The cluster --------------------------------------------------------------------------

METRICS: list[dict[str, Any]] = [
    {
        "type": "External",
        "external": {
            "metric": {"name": "temporal_approximate_backlog_count"},
            "target": {"type": "AverageValue", "averageValue": "20"},
        },
    }
]
DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "payments"}
OBJECTS: dict[KubernetesKind, dict[str, Any]] = {
    "HorizontalPodAutoscaler": {
        "apiVersion": "autoscaling/v2",
        "spec": {
            "scaleTargetRef": DEPLOYMENT,
            "minReplicas": 2,
            "maxReplicas": 30,
            "metrics": METRICS,
        },
    },
    "ScaledObject": {
        "apiVersion": "keda.sh/v1alpha1",
        "spec": {
            "scaleTargetRef": {"name": "payments"},
            "minReplicaCount": 2,
            "maxReplicaCount": 30,
            "triggers": [
                {"type": "temporal", "metadata": {"taskQueue": "payments", "targetQueueSize": "20"}}
            ],
        },
    },
    "WorkerResourceTemplate": {
        "apiVersion": "temporal.io/v1alpha1",
        "spec": {
            "workerDeploymentRef": {"name": "payments"},
            "template": {
                "apiVersion": "autoscaling/v2",
                "kind": "HorizontalPodAutoscaler",
                "spec": {
                    "scaleTargetRef": {},
                    "minReplicas": 2,
                    "maxReplicas": 30,
                    "metrics": METRICS,
                },
            },
        },
    },
}
PLURALS: dict[KubernetesKind, str] = {
    "HorizontalPodAutoscaler": "autoscaling/v2/horizontalpodautoscalers",
    "ScaledObject": "keda.sh/v1alpha1/scaledobjects",
    "WorkerResourceTemplate": "temporal.io/v1alpha1/workerresourcetemplates",
}


@dataclass
class Emulated:
    """An emulated API server with one object, and the planner's way to it."""

    emulator: KubernetesEmulator
    cluster: KubernetesCluster
    kubeconfig: Path
    kind: KubernetesKind

    @property
    def object(self) -> dict[str, Any]:
        """The object as it is now."""
        known: Any = self.emulator.objects[PLURALS[self.kind], "payments", "workers"]
        found = _plain(known.last)
        assert isinstance(found, dict)
        return found

    @property
    def target(self) -> KubernetesTarget:
        """Where the object is."""
        return KubernetesTarget(kind=self.kind, namespace="payments", name="workers")

    async def set(self, wanted: int | None) -> FloorSeen:
        """Take one step to a floor, as the activity does."""
        order = FloorTask(namespace="pay.a1b2c", fleet=fleet(self.kind), wanted=wanted)
        return await FloorActivities(self.cluster)._step(self.cluster, self.target, order)


@asynccontextmanager
async def emulated(
    directory: Path, kind: KubernetesKind = "HorizontalPodAutoscaler", low: int | None = 2
) -> AsyncIterator[Emulated]:
    """Serve one object of *kind* on a socket, whose minimum is *low*; none if that is None."""
    emulator = KubernetesEmulator()
    emulator.resources[PLURALS[kind]] = ResourceInfo(
        kind=kind, namespaced=True, verbs={"get", "list", "patch"}
    )
    metadata = {"name": "workers", "namespace": "payments", "resourceVersion": "7"}
    served = copy.deepcopy(OBJECTS[kind])
    inner = served["spec"].get("template", served)["spec"]
    if low is None:
        del inner["minReplicaCount" if kind == "ScaledObject" else "minReplicas"]
    emulator.objects[PLURALS[kind], "payments", "workers"] = {
        "kind": kind,
        "metadata": metadata,
        **served,
    }
    async with emulator, Server(emulator) as server:
        kubeconfig = directory / "kubeconfig"
        kubeconfig.write_text(_kubeconfig(str(server.url)), encoding="utf-8")
        environ = {"PLANNER_KUBECONFIG": str(kubeconfig)}
        cluster = KubernetesCluster.of_environment(environ)
        assert cluster is not None
        try:
            yield Emulated(emulator, cluster, kubeconfig, kind)
        finally:
            await cluster.close()


def _plain(value: Any) -> Any:
    """Return the emulator's *value* in dicts and lists."""
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def _kubeconfig(url: str) -> str:
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "planner"}}],
            "clusters": [{"name": "here", "cluster": {"server": url}}],
            "users": [{"name": "planner", "user": {"token": "a-token-of-the-test"}}],
        }
    )


@pytest.mark.parametrize("kind", OBJECTS)
async def test_a_floor_goes_up_and_comes_back(tmp_path: Path, kind: KubernetesKind) -> None:
    """Over a socket: floor and mark in one patch under the field manager, and both taken back."""
    async with emulated(tmp_path, kind) as cluster:
        before = cluster.object["spec"]
        assert await find_mark(cluster.cluster, cluster.target) is None
        up = await cluster.set(20)
        assert await find_mark(cluster.cluster, cluster.target) == OURS
        assert (up.found, up.in_force, up.mark) == (2, 20, OURS)
        assert cluster.object["metadata"]["annotations"] == {MARK: "20 before 2"}
        assert (await cluster.set(20)).mark == OURS
        patches = [one for one in cluster.emulator if one.method == "PATCH"]
        assert [dict(one.params) for one in patches] == [{"fieldManager": "capacity-boost"}]
        down = await cluster.set(None)
        assert (down.found, down.in_force, down.mark) == (20, 2, None)
        assert await find_mark(cluster.cluster, cluster.target) is None
        assert cluster.object["spec"] == before


@pytest.mark.parametrize("low", [2, None], ids=["from 2", "from none"])
@pytest.mark.parametrize("kind", OBJECTS)
async def test_what_is_patched_is_valid(
    tmp_path: Path, kind: KubernetesKind, low: int | None
) -> None:
    """The whole object after each patch, by the schemas of its kind, with no field that is unknown.

    What the worker controller makes of its template is held to them, too.
    """
    async with emulated(tmp_path, kind, low) as cluster:
        before, replicas = cluster.object["spec"], []
        for wanted in (20, 40, 8, None):
            replicas.append((await cluster.set(wanted)).in_force)
            whole = [cluster.object]
            if kind == "WorkerResourceTemplate":
                assert refused_by_controller(cluster.object) == []
                whole.append(rendered(cluster.object))
            assert [fault for one in whole for fault in faults(one)] == []
        least = low or (0 if kind == "ScaledObject" else 1)
        assert (replicas, cluster.object["spec"]) == ([20, 30, 8, least], before)


async def test_kubectl_and_the_planner_at_one_object(tmp_path: Path) -> None:
    """What a person sets above the planner's floor with kubectl stays; the way back keeps it."""
    async with emulated(tmp_path) as cluster:
        await cluster.set(20)
        await _kubectl(cluster.kubeconfig, {"spec": {"minReplicas": 25}})
        during = await cluster.set(20)
        assert (during.in_force, during.foreign) == (25, True)
        await cluster.set(None)
        assert cluster.object["spec"]["minReplicas"] == 25
        assert not (cluster.object["metadata"].get("annotations") or {}).get(MARK)


async def _kubectl(kubeconfig: Path, patch: dict[str, Any]) -> None:
    """Patch the autoscaler with the real kubectl."""
    running = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).parent / "kubectl"), "--kubeconfig", str(kubeconfig)),
        *(
            "-n",
            "payments",
            "patch",
            "horizontalpodautoscalers",
            "workers",
            "--type=merge",
            "-p",
            json.dumps(patch),
        ),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await running.communicate()
    assert running.returncode == 0, output.decode()


async def test_a_floor_that_is_not_there_is_an_operators_affair(tmp_path: Path) -> None:
    """Missing, refused and unreachable each have a kind that says how fast to try again."""
    async with emulated(tmp_path) as cluster:
        missing = KubernetesTarget(
            kind="HorizontalPodAutoscaler", namespace="payments", name="nope"
        )
        with pytest.raises(FloorError, match="HTTP 404") as found:
            await cluster.cluster.read(missing)
        assert found.value.kind == "NamespaceNotFound"
    with pytest.raises(FloorError, match="can't be reached") as found:
        await cluster.cluster.read(missing)
    assert found.value.kind == "ClusterUnreachable"


@pytest.mark.parametrize(
    ("body", "is_gone"),
    [
        pytest.param({"reason": "NotFound", "message": "no such object"}, True, id="the cluster's"),
        pytest.param({"message": "no route"}, False, id="a proxy's"),
    ],
)
async def test_only_the_cluster_tells_that_an_object_is_gone(
    body: dict[str, str], is_gone: bool
) -> None:
    """Its floor is given back then, but not raised; any other 404 is tried again."""
    target = fleet().kubernetes
    assert target is not None
    cluster = KubernetesCluster(Refusing(404, body))
    activities = FloorActivities(cluster)
    with pytest.raises(FloorError, match="HTTP 404") as found:
        await activities._step(cluster, target, task(20))
    assert (found.value.kind, isinstance(found.value, ObjectGone)) == ("NamespaceNotFound", is_gone)
    if is_gone:
        seen = await activities._step(cluster, target, task(None, OURS))
        assert (seen.mark, seen.wanted) == (None, None)
        assert "is gone, and the floor of payments with it" in seen.note
    else:
        with pytest.raises(FloorError):
            await activities._step(cluster, target, task(None, OURS))


@dataclass
class Refusing:
    """A client of lightkube whose server answers each request with a status and a body."""

    code: int
    body: dict[str, str]

    async def get(self, *_: object, **__: object) -> None:
        """Raise what lightkube raises."""
        error = Exception(self.body["message"])
        error.response = SimpleNamespace(status_code=self.code)  # type: ignore[attr-defined]
        error.status = Status.from_dict(self.body)  # type: ignore[attr-defined]
        raise error


@dataclass
class Contested:
    """A cluster in which others write the object just before the planner's patch."""

    found: dict[str, Any]
    conflicts: int

    async def read(self, target: KubernetesTarget) -> dict[str, Any]:
        """Return the object."""
        return self.found

    async def patch(self, target: KubernetesTarget, patch: Any) -> None:
        """Refuse what was decided by an older version."""
        assert patch["metadata"]["resourceVersion"] == "7"
        if self.conflicts:
            self.conflicts -= 1
            raise Conflict
        self.found = {**self.found, "spec": {**self.found["spec"], **patch["spec"]}}


async def test_a_conflict_is_decided_anew() -> None:
    """A patch holds only while nobody else has written: else the object is read again."""
    found = {"kind": "ScaledObject", "metadata": {"resourceVersion": "7"}}
    order = replace(task(20), fleet=fleet("ScaledObject"))
    target = order.fleet.kubernetes
    assert target is not None
    contested = Contested({**found, **OBJECTS["ScaledObject"]}, conflicts=2)
    seen = await FloorActivities(contested)._step(contested, target, order)
    assert (seen.in_force, contested.found["spec"]["minReplicaCount"]) == (20, 20)
    endless = Contested({**found, **OBJECTS["ScaledObject"]}, conflicts=99)
    with pytest.raises(FloorError, match="again and again"):
        await FloorActivities(endless)._step(endless, target, order)


@pytest.mark.parametrize("text", ["20", "x before 2", "20 before y", "", "-3 before 2"])
def test_a_mark_that_can_not_be_read_is_none(text: str) -> None:
    """Somebody's annotation under that name is no reason to lower a floor."""
    found = {
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"annotations": {MARK: text}, "resourceVersion": "7"},
        "spec": {"minReplicas": 20, "maxReplicas": 30},
    }
    assert not decide(task(None), found).writes


def test_a_patch_names_the_version_that_it_was_decided_by() -> None:
    """With it, the API server refuses what others have overtaken."""
    found = {
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"resourceVersion": "7"},
        "spec": {"minReplicas": 2, "maxReplicas": 30},
    }
    assert patch_of(decide(task(20), found), found) == {
        "metadata": {"annotations": {MARK: "20 before 2"}, "resourceVersion": "7"},
        "spec": {"minReplicas": 20},
    }
