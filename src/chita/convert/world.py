"""A whole cluster from API objects: what a world file means before anything runs.

A file says less than a cluster knows. What Kubernetes and IPAM would add is added here, always in
the same way: namespaces and service accounts that are only named, nodes, the pods of Deployments
and the like, addresses, the endpoints of services. An object that means nothing is reported and
left out; the others stay as they are.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from chita.convert import calico, fabric
from chita.convert.assignment import DEFAULT_POOLS, assigned, namespace_labels
from chita.convert.entities import SETTINGS_KINDS, conversion, group_kind
from chita.convert.fields import Field, Metadata
from chita.convert.ipam import uses_ipip
from chita.convert.kubernetes import DEFAULT_SERVICE_ACCOUNT, container_ports
from chita.convert.service_endpoints import derived_slices
from chita.convert.workloads import WORKLOAD_KINDS, place, pods_of
from chita.errors import ConvertError
from chita.model.cluster import ClusterState, Entity, Put, fold
from chita.model.endpoint import WorkloadEndpoint
from chita.model.ippool import Block, IPPool
from chita.model.net import Address, Cidr
from chita.model.node import Node
from chita.model.problem import Problem

Object = Mapping[str, Any]

NAMESPACE_NAME = "kubernetes.io/metadata.name"
"""The label that every namespace has of its own name, whatever is written (kube-apiserver)."""

IMPLIED_NODES = ("node-1", "node-2", "node-3")
"""The nodes of a world that names none."""


class ObjectProblem(msgspec.Struct, frozen=True):
    """What is wrong with one of the objects given."""

    index: int
    """Its place among them, from 0."""
    problem: Problem


class Notice(msgspec.Struct, frozen=True):
    """Something a user should know that is no mistake: what was left out or made up."""

    kind: str
    name: str
    message: str


class World(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster, and what of the objects it was made of did not get into it."""

    cluster: ClusterState
    listeners: dict[str, tuple[tuple[int, int], ...]] = {}
    """Protocol and number of each port that a pod's containers declare, by the endpoint's key."""
    host_pods: dict[str, str] = {}
    """The node of each pod on its host's network, by ``namespace/name``."""
    replicas: dict[str, dict[str, tuple[str, ...]]] = {}
    """By ``namespace/name`` of what makes pods, then by its kind: the keys of their endpoints."""
    problems: tuple[ObjectProblem, ...] = ()
    notices: tuple[Notice, ...] = ()


class _Objects:
    """The objects of a world, each with its index (of its workload's, for a pod made of one)."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str, str, str], tuple[int, dict[str, Any]]] = {}
        self.problems: list[ObjectProblem] = []
        self.notices: list[Notice] = []

    def refuse(self, index: int, field: str, message: str) -> None:
        self.problems.append(ObjectProblem(index, Problem(field, message)))

    def of_kind(self, group: str, kind: str) -> list[tuple[int, dict[str, Any]]]:
        return [item for key, item in self.known.items() if key[:2] == (group, kind)]

    def put(self, index: int, obj: dict[str, Any]) -> None:
        """Add *obj*; the first of two with one name counts, the second is refused."""
        try:
            metadata = Metadata(Field(obj))
            _check_placement(Field(obj))
        except ConvertError as error:
            self.refuse(index, error.field, error.message)
            return
        group, kind = group_kind(obj)
        if (group, kind) == ("", "Namespace"):
            labels = {**metadata.labels, NAMESPACE_NAME: metadata.name}
            obj = {**obj, "metadata": {**obj["metadata"], "labels": labels}}
        key = (group, kind, metadata.namespace or "default", metadata.name)
        if key in self.known:
            self.refuse(index, "metadata.name", "is there already; the first one is used")
        else:
            self.known[key] = (index, obj)


def _check_placement(obj: Field) -> None:
    """Raise unless the fields that placing pods reads have their types."""
    spec = obj["spec"]
    spec.map()
    if obj["kind"].value in {"Pod", "Node"}:
        spec["nodeSelector"].texts_by_key()
        for item in (*spec["tolerations"].items(), *spec["taints"].items()):
            item.map()
        for item in obj["metadata"]["ownerReferences"].items():
            item["kind"].required()
            item["name"].required()


def cluster_from_objects(objects: Sequence[Object], *, before: ClusterState | None = None) -> World:
    """Return the cluster that *objects*, in the order written, describe.

    Pods that *before* has too keep the addresses they have there, as they would in a cluster that
    runs: so that two worlds can be compared.
    """
    found = _Objects()
    workloads: list[tuple[int, dict[str, Any]]] = []
    for index, obj in enumerate(objects):
        if not isinstance(obj.get("kind"), str) or not isinstance(obj.get("apiVersion"), str):
            found.refuse(index, "kind", "apiVersion and kind must be set, such as v1 and Pod")
        elif obj["kind"] in WORKLOAD_KINDS:
            workloads.append((index, dict(obj)))
        else:
            found.put(index, dict(obj))
    _imply_nodes(found, workloads)
    _expand(found, workloads)
    _place(found)
    _imply_accounts_and_namespaces(found)
    cluster = _cluster(found, before or ClusterState())
    pods = [pod for _, pod in found.of_kind("", "Pod")]
    return World(
        cluster=cluster,
        listeners=listeners(cluster, pods),
        host_pods=host_pods(pods),
        replicas=replicas(cluster, pods),
        problems=tuple(found.problems),
        notices=tuple(found.notices),
    )


def listeners(
    cluster: ClusterState, pods: Iterable[Object]
) -> dict[str, tuple[tuple[int, int], ...]]:
    """Return the declared ports of those *pods* that are endpoints of *cluster*, by their keys."""
    found: dict[str, tuple[tuple[int, int], ...]] = {}
    for pod in pods:
        metadata = Metadata(Field(pod))
        key = f"{metadata.in_namespace}/{metadata.name}"
        if key in cluster.workloads:
            found[key] = container_ports(Field(pod)["spec"])
    return found


def replicas(
    cluster: ClusterState, pods: Iterable[Object]
) -> dict[str, dict[str, tuple[str, ...]]]:
    """Return which endpoints of *cluster* are replicas of what, for `World.replicas`.

    A ReplicaSet that a Deployment made is told by the hash in its name, and stands for that.
    """
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for pod in pods:
        metadata = Metadata(Field(pod))
        key = f"{metadata.in_namespace}/{metadata.name}"
        owner = next(Field(pod)["metadata"]["ownerReferences"].items(), None)
        if key not in cluster.workloads or owner is None:
            continue
        kind, name = owner["kind"].text(), owner["name"].text()
        ending = f"-{metadata.labels.get('pod-template-hash')}"
        if kind == "ReplicaSet" and name.endswith(ending):
            kind, name = "Deployment", name.removesuffix(ending)
        by_kind = found.setdefault(f"{metadata.in_namespace}/{name}", {})
        by_kind[kind] = (*by_kind.get(kind, ()), key)
    return found


def host_pods(pods: Iterable[Object]) -> dict[str, str]:
    """Return the node of each of *pods* that is on its host's network: it is that node, to policy.

    Pods without a node are left out.
    """
    found: dict[str, str] = {}
    for pod in pods:
        metadata, spec = Metadata(Field(pod)), pod.get("spec") or {}
        if spec.get("hostNetwork") is True and (node := _node_name(pod)):
            found[f"{metadata.in_namespace}/{metadata.name}"] = node
    return found


def _imply_nodes(found: _Objects, workloads: Sequence[tuple[int, dict[str, Any]]]) -> None:
    """Add nodes that pods name; and if there is none at all, three, for pods to be somewhere."""
    written = {obj["metadata"]["name"] for _, obj in found.of_kind("", "Node")}
    pods = [obj for _, obj in found.of_kind("", "Pod")]
    named = {name for obj in pods if (name := _node_name(obj))} - written
    if not written and not named and (pods or workloads):
        named = set(IMPLIED_NODES)
    for name in sorted(named):
        found.put(-1, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
        found.notices.append(Notice("Node", name, "has no object; made without labels"))


def _node_name(pod: Mapping[str, Any]) -> str:
    name = (pod.get("spec") or {}).get("nodeName")
    return name if isinstance(name, str) else ""


def _expand(found: _Objects, workloads: Iterable[tuple[int, dict[str, Any]]]) -> None:
    """Add the pods that Deployments and the like become."""
    nodes = [obj for _, obj in found.of_kind("", "Node")]
    for index, workload in workloads:
        try:
            Metadata(Field(workload))
            template = Field(workload)["spec"]["template"]
            template["metadata"]["labels"].texts_by_key()
            template["metadata"]["annotations"].texts_by_key()
            _check_placement(Field({"kind": "Pod", **template.map()}, template.path))
            pods = pods_of(workload, nodes)
        except ConvertError as error:
            found.refuse(index, error.field, error.message)
            continue
        for pod in pods:
            found.put(index, pod)


def _place(found: _Objects) -> None:
    """Give each pod a node; one that no node may run stays without, and so has no endpoint."""
    nodes = [obj for _, obj in found.of_kind("", "Node")]
    indexes: dict[tuple[str, str], int] = {}
    pods: list[dict[str, Any]] = []
    for index, pod in found.of_kind("", "Pod"):
        metadata = Metadata(Field(pod))
        indexes[metadata.in_namespace, metadata.name] = index
        pods.append(pod)
    placement = place(pods, nodes)
    for pod in placement.placed:
        metadata = Metadata(Field(pod))
        name = (metadata.in_namespace, metadata.name)
        found.known["", "Pod", *name] = (indexes[name], pod)
    for unplaced in placement.unplaced:
        metadata = Metadata(Field(unplaced.pod))
        who = f"{metadata.in_namespace}/{metadata.name}"
        found.notices.append(Notice("Pod", who, f"runs nowhere: {unplaced.reason}"))


def _imply_accounts_and_namespaces(found: _Objects) -> None:
    """Add the namespaces and service accounts that are used and have no object."""
    namespaces: set[str] = {"default"}
    accounts: set[tuple[str, str]] = set()
    for (group, kind, namespace, _), (_, obj) in found.known.items():
        is_pod = (group, kind) == ("", "Pod")
        if obj["metadata"].get("namespace") or is_pod:
            namespaces.add(namespace)
        if is_pod:
            name = (obj.get("spec") or {}).get("serviceAccountName")
            account = name if isinstance(name, str) and name else DEFAULT_SERVICE_ACCOUNT
            accounts.add((namespace, account))
    written = {obj["metadata"]["name"] for _, obj in found.of_kind("", "Namespace")}
    for name in sorted(namespaces - written):
        found.put(-1, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        if name != "default":
            found.notices.append(Notice("Namespace", name, "has no object; made without labels"))
    there = {key[2:] for key in found.known if key[:2] == ("", "ServiceAccount")}
    for namespace, name in sorted(accounts - there):
        metadata = {"name": name, "namespace": namespace}
        found.put(-1, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
        if name != DEFAULT_SERVICE_ACCOUNT:
            message = "has no object; made without labels"
            found.notices.append(Notice("ServiceAccount", f"{namespace}/{name}", message))


def _cluster(found: _Objects, before: ClusterState) -> ClusterState:
    entities: list[Entity] = [calico.default_allow()]
    configurations: list[tuple[int, dict[str, Any]]] = []
    for index, obj in found.known.values():
        if group_kind(obj) in SETTINGS_KINDS:
            configurations.append((index, obj))
            continue
        converted = conversion(obj)
        entities += converted.entities
        if any(isinstance(entity, IPPool) for entity in converted.entities) and uses_ipip(obj):
            message = "ipipMode is taken as the same vxlanMode: IP-in-IP is not used here"
            found.notices.append(Notice("IPPool", obj["metadata"]["name"], message))
        for problem in converted.problems:
            found.problems.append(ObjectProblem(index, problem))
    entities.append(_settings(found, configurations))
    if not any(isinstance(entity, IPPool) for entity in entities):
        entities += DEFAULT_POOLS
    state = fold(ClusterState(), [Put(entity) for entity in entities])
    return _with_slices(_with_addresses(found, _with_mesh(state), before))


def _settings(found: _Objects, configurations: Sequence[tuple[int, dict[str, Any]]]) -> Entity:
    settings, _ = fabric.settings([obj for _, obj in configurations])
    for index, obj in configurations:
        for problem in fabric.settings([obj])[1]:
            found.problems.append(ObjectProblem(index, problem))
        unused = sorted((obj.get("spec") or {}).keys() - fabric.FELIX_FIELDS)
        if obj["kind"] == "FelixConfiguration" and unused:
            message = f"has no effect here: {', '.join(unused)}"
            found.notices.append(Notice("FelixConfiguration", obj["metadata"]["name"], message))
    return settings


def _with_mesh(state: ClusterState) -> ClusterState:
    """Give each node that has none its mesh addresses, in the order of names."""
    taken = {address for node in state.nodes.values() for address in node.mesh_addresses}
    nodes: list[Node] = []
    free = {net: _hosts(net, taken) for net in state.setting.mesh_cidrs}
    for name in sorted(state.nodes):
        node = state.nodes[name]
        missing = [net for net in free if node.mesh(net.family) is None]
        found = [next(free[net], None) for net in missing]
        mesh = [*node.mesh_addresses, *[address for address in found if address is not None]]
        nodes.append(msgspec.structs.replace(node, mesh_addresses=tuple(mesh)))
    return fold(state, [Put(node) for node in nodes])


def _hosts(net: Cidr, taken: Container[Address]) -> Iterator[Address]:
    """Yield the addresses of *net* that are not *taken*, without the network's own."""
    for ordinal in range(1, net.size):
        if (address := net.address + ordinal) not in taken:
            yield address


def _with_addresses(found: _Objects, state: ClusterState, before: ClusterState) -> ClusterState:
    kept = list(_kept(state, before))
    state = fold(state, [Put(endpoint) for endpoint in kept])
    state = fold(state, [Put(block) for block in _blocks_of(kept, state, before)])
    applied = {name: profile.labels_to_apply for name, profile in state.profiles.items()}
    namespaces = {endpoint.namespace for endpoint in state.workloads.values()}
    assignment = assigned(
        state.workloads.values(),
        [state.pools[name] for name in sorted(state.pools)],
        state.blocks.values(),
        state.nodes,
        {name: namespace_labels(applied, name) for name in namespaces},
    )
    for endpoint in assignment.without:
        message = "has no address: no pool may be used for it, or none has an address left"
        found.notices.append(Notice("Pod", endpoint.key, message))
    state = fold(state, [Put(endpoint) for endpoint in assignment.workloads])
    return fold(state, [Put(block) for block in assignment.blocks])


def _kept(state: ClusterState, before: ClusterState) -> Iterator[WorkloadEndpoint]:
    """Yield the endpoints without address that had one on the same node *before*, with it."""
    for key, endpoint in state.workloads.items():
        old = before.workloads.get(key)
        if old is not None and not endpoint.addresses and old.node == endpoint.node:
            yield msgspec.structs.replace(endpoint, addresses=old.addresses)


def _blocks_of(
    kept: Iterable[WorkloadEndpoint], state: ClusterState, before: ClusterState
) -> Iterator[Block]:
    """Yield the blocks that the addresses of *kept* come from, which stay with their nodes."""
    addresses = [address for endpoint in kept for address in endpoint.addresses]
    for key, block in before.blocks.items():
        if key not in state.blocks and any(address in block.cidr for address in addresses):
            yield block


def _with_slices(state: ClusterState) -> ClusterState:
    return fold(state, [Put(entity) for entity in derived_slices(state)])
