"""Workloads become the pods that Kubernetes' controllers would make, on nodes that may run them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chita.convert.workloads import Object, place, pods_of, refusal
from chita.errors import ConvertError


def workload(kind: str, name: str = "web", **spec: Any) -> Object:
    """Return a workload whose pods have the label ``app: web`` and one container."""
    template = {
        "metadata": {"labels": {"app": "web"}, "annotations": {"note": "1"}},
        "spec": {"serviceAccountName": "w", "containers": [{"name": "c", "image": "i"}]},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"template": template, **spec},
    }


def node(name: str, *, labels: dict[str, str] | None = None, **spec: Any) -> Object:
    metadata = {"name": name, "labels": labels or {}}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec}


def pod(name: str, **spec: Any) -> Object:
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def names(pods: list[Object]) -> list[str]:
    return [item["metadata"]["name"] for item in pods]


SUFFIX = "[bcdfghjklmnpqrstvwxz2456789]"
NODES = [node("n1"), node("n2", labels={"disk": "ssd"}), node("n3", unschedulable=True)]


@pytest.mark.parametrize(
    ("kind", "spec", "patterns"),
    [
        pytest.param("Deployment", {}, [f"web-{SUFFIX}{{10}}-{SUFFIX}{{5}}"], id="deployment"),
        pytest.param(
            "Deployment", {"replicas": 2}, [f"web-{SUFFIX}{{10}}-{SUFFIX}{{5}}"] * 2, id="replicas"
        ),
        pytest.param("Deployment", {"replicas": 0}, [], id="scaled-to-zero"),
        pytest.param("ReplicaSet", {"replicas": 2}, [f"web-{SUFFIX}{{5}}"] * 2, id="replica-set"),
        pytest.param("ReplicationController", {}, [f"web-{SUFFIX}{{5}}"], id="replication"),
        pytest.param("StatefulSet", {"replicas": 2}, ["web-0", "web-1"], id="stateful-set"),
        pytest.param("StatefulSet", {"ordinals": {"start": 5}}, ["web-5"], id="ordinals"),
        pytest.param("DaemonSet", {}, [f"web-{SUFFIX}{{5}}"] * 2, id="daemon-set"),
    ],
)
def test_names(kind: str, spec: dict[str, Any], patterns: list[str]) -> None:
    """Names have the form that each controller gives; no two are the same."""
    pods = names(pods_of(workload(kind, **spec), NODES))

    assert len(patterns) == len(pods) == len(set(pods))
    for pattern, name in zip(patterns, pods, strict=True):
        assert re.fullmatch(pattern, name), name


def test_pod() -> None:
    """A pod has the template's labels, annotations, account and containers, and its owner."""
    (made,) = pods_of(workload("Deployment"), NODES)
    metadata = made["metadata"]

    assert metadata["namespace"] == "shop"
    assert metadata["labels"].items() >= {("app", "web")}
    assert metadata["labels"]["pod-template-hash"] in metadata["name"]
    assert metadata["annotations"] == {"note": "1"}
    assert made["spec"] == workload("Deployment")["spec"]["template"]["spec"]
    (owner,) = metadata["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("Deployment", "web", True)


def test_same_every_time() -> None:
    """Names depend on the template and nothing else; another template gives another hash."""
    one, same = pods_of(workload("Deployment"), []), pods_of(workload("Deployment"), [])
    changed = workload("Deployment")
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "i:2"

    assert one == same
    assert names(one) != names(pods_of(changed, []))


def test_long_name() -> None:
    """A generated name keeps within 63 characters (k8s.io/apiserver names)."""
    (made,) = pods_of(workload("ReplicaSet", name="w" * 63), [])

    assert len(made["metadata"]["name"]) == 63


def test_daemon_set_nodes() -> None:
    """A DaemonSet has a pod on each node that may run it, cordoned ones left out."""
    pods = pods_of(workload("DaemonSet"), NODES)

    assert [item["spec"]["nodeName"] for item in pods] == ["n1", "n2"]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        pytest.param({"template": None}, "spec.template.spec", id="no-template"),
        pytest.param({"template": {"spec": []}}, "spec.template.spec", id="spec-is-a-list"),
        pytest.param({"template": {"spec": {}}}, "spec.template.spec", id="spec-is-empty"),
        pytest.param({"replicas": -1}, "spec.replicas", id="negative"),
        pytest.param({"replicas": "3"}, "spec.replicas", id="text"),
        pytest.param({"replicas": True}, "spec.replicas", id="boolean"),
        pytest.param({"replicas": 10**9}, "spec.replicas", id="a-slip-of-the-pen"),
        pytest.param(
            {"template": {"spec": {"nodeSelector": ["ssd"]}}},
            "spec.template.spec.nodeSelector",
            id="node-selector",
        ),
        pytest.param(
            {"template": {"metadata": {"labels": {"a": 1}}, "spec": {"containers": []}}},
            "spec.template.metadata.labels[a]",
            id="label-is-a-number",
        ),
        pytest.param(
            {"template": {"spec": {"containers": [{"ports": [{"containerPort": "http"}]}]}}},
            "spec.template.spec.containers[0].ports[0].containerPort",
            id="port-is-a-name",
        ),
        pytest.param(
            {"template": {"spec": {"containers": [{"ports": [{"name": "http"}]}]}}},
            "spec.template.spec.containers[0].ports[0].containerPort",
            id="port-is-missing",
        ),
    ],
)
def test_refused(spec: dict[str, Any], field: str) -> None:
    """What is wrong is named with its path."""
    with pytest.raises(ConvertError) as caught:
        pods_of(workload("Deployment", **spec), NODES)

    assert field == caught.value.field


TAINT = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("spec", "on", "fits"),
    [
        pytest.param({}, node("n"), True, id="plain"),
        pytest.param({}, node("n", unschedulable=True), False, id="cordoned"),
        pytest.param({"nodeSelector": {"a": "b"}}, node("n"), False, id="label-missing"),
        pytest.param({"nodeSelector": {"a": "b"}}, node("n", labels={"a": "b"}), True, id="label"),
        pytest.param(
            {"nodeSelector": {"a": "b"}}, node("n", labels={"a": "c"}), False, id="other-value"
        ),
        pytest.param({}, node("n", taints=[TAINT]), False, id="taint"),
        pytest.param(
            {}, node("n", taints=[{**TAINT, "effect": "PreferNoSchedule"}]), True, id="preference"
        ),
        pytest.param({"tolerations": [TAINT]}, node("n", taints=[TAINT]), True, id="tolerated"),
        pytest.param(
            {"tolerations": [{**TAINT, "value": "no"}]},
            node("n", taints=[TAINT]),
            False,
            id="toleration-of-another-value",
        ),
        pytest.param(
            {"tolerations": [{"operator": "Exists"}]}, node("n", taints=[TAINT]), True, id="all"
        ),
        pytest.param(
            {"tolerations": [{"operator": "Exists", "key": "disk"}]},
            node("n", taints=[TAINT]),
            False,
            id="another-key",
        ),
        pytest.param(
            {"tolerations": [{"operator": "Exists", "key": "gpu", "effect": "NoExecute"}]},
            node("n", taints=[TAINT]),
            False,
            id="another-effect",
        ),
    ],
)
def test_refusal(spec: dict[str, Any], on: Object, *, fits: bool) -> None:
    """Cordons, node selectors and taints keep pods away (v1 NodeSpec, PodSpec)."""
    assert fits == (refusal(spec, on) is None)


def test_place_spreads() -> None:
    """Replicas of one owner go to different nodes; a pod that names a node stays there."""
    nodes = [node("n1"), node("n2"), node("n3")]
    fixed = pod("fixed", nodeName="n1")
    replicas = pods_of(workload("ReplicaSet", replicas=3), nodes)
    placement = place([fixed, *replicas], nodes)

    assert [p["spec"]["nodeName"] for p in placement.placed] == ["n1", "n2", "n3", "n1"]
    assert placement.unplaced == ()


def test_place_says_why() -> None:
    """A pod that fits nowhere is left out with the reasons."""
    placement = place([pod("p", nodeSelector={"disk": "tape"})], NODES)
    (unplaced,) = placement.unplaced

    assert placement.placed == ()
    assert "disk=tape" in unplaced.reason
    assert "cordoned" in unplaced.reason


def test_place_without_nodes() -> None:
    (unplaced,) = place([pod("p")], []).unplaced

    assert unplaced.reason == "there is no node"


@given(st.integers(0, 30), st.integers(1, 7))
def test_place_evenly(pods: int, nodes: int) -> None:
    """Pods of one owner differ by at most one between nodes, and all are placed."""
    machines = [node(f"n{index}") for index in range(nodes)]
    replicas = pods_of(workload("ReplicaSet", replicas=pods), machines)
    placed = place(replicas, machines).placed
    counts = [sum(p["spec"]["nodeName"] == f"n{i}" for p in placed) for i in range(nodes)]

    assert len(placed) == pods
    assert max(counts) - min(counts) <= 1
