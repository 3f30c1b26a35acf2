"""Deployments, ReplicaSets, StatefulSets and DaemonSets to the Pods they become, placed on nodes.

In Kubernetes its controllers and its scheduler do this. Without it (the lab, and every command that
reads a world file) these functions do, with two differences: nothing is random, so that the same
file gives the same pods on the same nodes every time, and resources are not counted.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from chita.convert.fields import Field

Object = dict[str, Any]
"""An API object as JSON has it."""

WORKLOAD_KINDS = frozenset(
    {"Deployment", "ReplicaSet", "ReplicationController", "StatefulSet", "DaemonSet"}
)
"""Kinds that become pods. Jobs and CronJobs do not: their pods finish, and serve nothing."""

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""k8s.io/apimachinery ``util/rand``: no vowels, so that no suffix is a word."""

_BASE_LIMIT = 58
"""k8s.io/apiserver ``names.maxGeneratedNameLength``: 63 without the suffix of five."""

_PROTOCOLS = {name: name for name in ("TCP", "UDP", "SCTP")}

_MOST_REPLICAS = 100_000
"""More than any cluster runs, so that a slip of the pen does not fill the memory."""


class Unplaced(msgspec.Struct, frozen=True):
    """A pod that no node may run, and why."""

    pod: Object
    reason: str


class Placement(msgspec.Struct, frozen=True):
    """Where pods run."""

    placed: tuple[Object, ...]
    """The pods, in the order given, each with ``spec.nodeName``."""
    unplaced: tuple[Unplaced, ...]


def check_shape(obj: Field) -> None:
    """Check that what placing and running read in a Pod, Node or pod template has its type.

    Raises:
        ConvertError: a field has another type than the API gives it.
    """
    metadata, spec = obj["metadata"], obj["spec"]
    metadata["labels"].texts_by_key()
    metadata["annotations"].texts_by_key()
    for owner in metadata["ownerReferences"].items():
        owner["kind"].required()
        owner["name"].required()
    spec["nodeName"].text()
    spec["nodeSelector"].texts_by_key()
    for item in (*spec["tolerations"].items(), *spec["taints"].items()):
        item.map()
    for container in (*spec["initContainers"].items(), *spec["containers"].items()):
        for port in container["ports"].items():
            port["name"].text()
            if not port["containerPort"].is_set:
                raise port["containerPort"].error("must be set, 1 to 65535")
            port["containerPort"].integer(0, low=1, high=65535)
            port["protocol"].one_of(_PROTOCOLS, "TCP")
    for address in obj["status"]["addresses"].items():
        address["type"].text()
        address["address"].text()


def pods_of(workload: Object, nodes: Sequence[Object]) -> list[Object]:
    """Return the pods that *workload* becomes, not yet placed but for a DaemonSet's.

    Names have the controllers' form: ``web-7c5d8bf9f-x2x4v`` for a Deployment, ``db-0`` for a
    StatefulSet, ``agent-x2x4v`` for the others; the suffixes are hashes of the template and the
    pod's number instead of random. A Deployment's pods carry ``pod-template-hash``, a StatefulSet's
    ``statefulset.kubernetes.io/pod-name`` and ``apps.kubernetes.io/pod-index``.

    Raises:
        ConvertError: there is no pod template, or a field of it has the wrong type.
    """
    kind = workload["kind"]
    name = workload["metadata"]["name"]
    spec = Field(workload)["spec"]
    if not spec["template"]["spec"].map():
        raise spec["template"]["spec"].error("must be set: it says what the pods are")
    check_shape(spec["template"])
    replicas = spec["replicas"].integer(1, low=0, high=_MOST_REPLICAS)
    template = dict(spec["template"].map())
    digest = _digest(template, length=10)
    match kind:
        case "DaemonSet":
            return [
                _pod(workload, template, name=_named(name, node["metadata"]["name"]), node=node)
                for node in nodes
                if refusal(template["spec"], node) is None
            ]
        case "StatefulSet":
            start = spec["ordinals"]["start"].integer(0, low=0, high=_MOST_REPLICAS)
            pods = []
            for index in range(start, start + replicas):
                labels = {
                    "apps.kubernetes.io/pod-index": str(index),
                    "statefulset.kubernetes.io/pod-name": f"{name}-{index}",
                }
                pods.append(_pod(workload, template, name=f"{name}-{index}", labels=labels))
            return pods
        case "Deployment":
            labels = {"pod-template-hash": digest}
            base = f"{name}-{digest}"
            names = [_named(base, str(index)) for index in range(replicas)]
            return [_pod(workload, template, name=pod, labels=labels) for pod in names]
        case _:
            names = [_named(name, f"{digest} {index}") for index in range(replicas)]
            return [_pod(workload, template, name=pod) for pod in names]


def place(pods: Sequence[Object], nodes: Sequence[Object]) -> Placement:
    """Return *pods* with a node each: the one asked for, else the emptiest that may run it.

    A node may run a pod when it is schedulable, has the labels of the pod's ``nodeSelector``, and
    the pod tolerates its NoSchedule and NoExecute taints. Of equally empty nodes the one with fewer
    pods of the same owner wins, then the first, so that replicas spread.
    """
    count: Counter[str] = Counter()
    of_owner: Counter[tuple[str, str]] = Counter()
    for pod in pods:
        if node := pod.get("spec", {}).get("nodeName"):
            count[node] += 1
    order = {node["metadata"]["name"]: index for index, node in enumerate(nodes)}
    placed: list[Object] = []
    unplaced: list[Unplaced] = []
    for pod in pods:
        spec = pod.get("spec") or {}
        if spec.get("nodeName"):
            placed.append(pod)
            continue
        reasons = {node["metadata"]["name"]: refusal(spec, node) for node in nodes}
        fit = [name for name, reason in reasons.items() if reason is None]
        if not fit:
            why = "; ".join(sorted({reason for reason in reasons.values() if reason}))
            unplaced.append(Unplaced(pod, why or "there is no node"))
            continue
        owner = _owner(pod)
        best = min(fit, key=lambda name: (of_owner[owner, name], count[name], order[name]))
        count[best] += 1
        of_owner[owner, best] += 1
        placed.append({**pod, "spec": {**spec, "nodeName": best}})
    return Placement(tuple(placed), tuple(unplaced))


def refusal(spec: Mapping[str, Any], node: Object) -> str | None:
    """Return why *node* may not run a pod of this *spec*, or None when it may."""
    node_spec = node.get("spec") or {}
    if node_spec.get("unschedulable"):
        return "the node is cordoned (spec.unschedulable)"
    labels = node["metadata"].get("labels") or {}
    for key, value in (spec.get("nodeSelector") or {}).items():
        if labels.get(key) != value:
            return f"no node has the label {key}={value} of spec.nodeSelector"
    for taint in node_spec.get("taints") or ():
        if taint.get("effect") in {"NoSchedule", "NoExecute"} and not any(
            _tolerates(toleration, taint) for toleration in spec.get("tolerations") or ()
        ):
            return f"spec.tolerations has nothing for the taint {taint.get('key')}"
    return None


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    """Whether *toleration* covers *taint* (v1 Toleration: an empty key or effect means all)."""
    if toleration.get("effect") not in {None, "", taint.get("effect")}:
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in {None, "", taint.get("key")}
    same_key = toleration.get("key") == taint.get("key")
    return same_key and toleration.get("value", "") == taint.get("value", "")


def _pod(
    workload: Object,
    template: Object,
    *,
    name: str,
    labels: Mapping[str, str] | None = None,
    node: Object | None = None,
) -> Object:
    """Return one pod of *workload*: the template's labels, annotations and spec under *name*."""
    metadata = template.get("metadata") or {}
    meta: Object = {
        "name": name,
        "namespace": workload["metadata"].get("namespace", "default"),
        "labels": {**(metadata.get("labels") or {}), **(labels or {})},
        "ownerReferences": [
            {
                "apiVersion": workload.get("apiVersion", "apps/v1"),
                "kind": workload["kind"],
                "name": workload["metadata"]["name"],
                "uid": _digest([workload["kind"], workload["metadata"]["name"]], length=10),
                "controller": True,
            }
        ],
    }
    if annotations := metadata.get("annotations"):
        meta["annotations"] = dict(annotations)
    spec = dict(template["spec"])
    if node is not None:
        spec["nodeName"] = node["metadata"]["name"]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def _owner(pod: Object) -> str:
    """Return what *pod* is a replica of; itself when nothing made it."""
    metadata = pod["metadata"]
    owner = next(iter(metadata.get("ownerReferences") or ()), None)
    name = f"{owner['kind']}/{owner['name']}" if owner else f"Pod/{metadata['name']}"
    return f"{metadata.get('namespace', 'default')}/{name}"


def _named(base: str, seed: str) -> str:
    """Return *base* with a suffix of five that *seed* decides."""
    return f"{base[: _BASE_LIMIT - 1]}-{_digest([base, seed], length=5)}"


def _digest(value: Any, *, length: int) -> str:
    """Return *length* characters of Kubernetes' alphabet that *value* alone decides."""
    text = json.dumps(value, sort_keys=True, default=str)
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16])
    out = []
    for _ in range(length):
        number, index = divmod(number, len(_ALPHABET))
        out.append(_ALPHABET[index])
    return "".join(out)
