"""The flows of a world: every one that its pods' ports make possible, with what the model expects.

Pure: addresses come from the cluster as it runs, the verdict from ``chita.compute.evaluate``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Any

import msgspec

from chita.model.cluster import ClusterState
from chita.model.net import ICMP, ICMPV6, SCTP, TCP, UDP, Address, protocol_name
from chita.model.service import ServicePort

Object = dict[str, Any]

CLOSED_PORT = 7
"""A TCP port on which no pod listens: allowed, the pod refuses; denied, nothing answers."""

HOSTS = "hosts"
"""The group of all nodes."""
INTERNET = "internet"
"""The group of all hosts outside."""


class Verdict(StrEnum):
    """What the model expects and what the wire shows."""

    ALLOW = "allow"
    DENY = "deny"


class Arrival(StrEnum):
    """What shows that a flow has arrived."""

    NAME = "name"
    """The listener of the lab that is there says its name; where none is, the kernel refuses."""
    CONTACT = "contact"
    """Any answer of the host: its ports are its own, and not the lab's to listen on."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Somewhere a flow begins or ends."""

    name: str
    """``namespace/pod``, ``host:node`` or the name of an external host."""
    group: str
    """What the report adds up by: a Kubernetes namespace, `HOSTS` or `INTERNET`."""
    netns: str
    """Its network namespace."""
    node: str = ""
    addresses: tuple[Address, ...] = ()
    listens: tuple[tuple[int, int], ...] = ()
    """Protocol and port of each of its listeners."""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One flow to be tried."""

    source: Place
    destination: Place
    source_address: Address
    address: Address
    protocol: int
    port: int = 0
    """0 for ICMP."""
    arrives_at: Address | None = None
    """What *address* has become when it arrives, if a router on the way translates it."""
    arrival: Arrival = Arrival.NAME

    def __str__(self) -> str:
        port = f":{self.port}" if self.port else ""
        what = f"{protocol_name(self.protocol)}{port}"
        return f"{self.source.name} -> {self.destination.name} {what} (IPv{self.address.family})"


def pod_ports(pod: Object) -> tuple[tuple[int, int], ...]:
    """Return protocol and number of each port that a pod's containers declare."""
    numbers = {"TCP": TCP, "UDP": UDP, "SCTP": SCTP}
    spec = pod.get("spec") or {}
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    found = {
        (numbers[port.get("protocol", "TCP")], int(port["containerPort"]))
        for container in containers
        for port in container.get("ports") or ()
    }
    return tuple(sorted(found))


def trials(pods: Iterable[Place], hosts: Iterable[Place]) -> list[Trial]:
    """Return every flow inside the cluster: pod to pod and node to pod.

    What crosses its edge is in ``chita.lab.outside``.
    """
    pods = list(pods)
    flows: list[Trial] = []
    for destination in pods:
        for source in (*pods, *hosts):
            if source.name != destination.name:
                flows += between(source, destination)
    return flows


def between(source: Place, destination: Place) -> Iterator[Trial]:
    """Yield the flows of one pair to the destination's listeners.

    For each family both have: all declared ports, one that nobody listens on, and an echo request.
    """
    for address in destination.addresses:
        origin = next((a for a in source.addresses if a.family == address.family), None)
        if origin is None:
            continue
        echo = ICMP if address.family == 4 else ICMPV6
        for protocol, port in (*destination.listens, (TCP, CLOSED_PORT), (echo, 0)):
            yield Trial(
                source=source,
                destination=destination,
                source_address=origin,
                address=address,
                protocol=protocol,
                port=port,
            )


def service_slices(
    cluster: ClusterState, services: Iterable[Object], pods: Iterable[Object]
) -> list[Object]:
    """Return the EndpointSlices that Kubernetes' controller would make for *services*.

    The lab runs no kube-controller-manager; rules that name services need them.
    """
    pods = list(pods)
    made: list[Object] = []
    for obj in services:
        namespace, name = obj["metadata"].get("namespace", "default"), obj["metadata"]["name"]
        service = cluster.services.get(f"{namespace}/{name}")
        if service is None or not service.selector:
            continue
        chosen = [
            pod
            for pod in pods
            if pod["metadata"].get("namespace", "default") == namespace
            and service.selector.items() <= (pod["metadata"].get("labels") or {}).items()
        ]
        for family in (4, 6):
            slice_ = _slice(cluster, family, (namespace, name), service.ports, chosen)
            if slice_["endpoints"]:
                made.append(slice_)
    return made


def _slice(
    cluster: ClusterState,
    family: int,
    service: tuple[str, str],
    ports: Iterable[ServicePort],
    pods: Iterable[Object],
) -> Object:
    namespace, name = service
    endpoints = []
    numbers: dict[str, int] = {}
    for pod in pods:
        key = f"{namespace}/{pod['metadata']['name']}"
        workload = cluster.workloads.get(key)
        addresses = [a for a in workload.addresses if a.family == family] if workload else []
        if workload is None or not addresses:
            continue
        for port in ports:
            target = port.target
            named = [p.port for p in workload.ports if p.name == target]
            if isinstance(target, int):
                numbers[port.name] = target
            elif named:
                numbers[port.name] = named[0]
        endpoints.append(
            {
                "addresses": [str(a) for a in addresses],
                "conditions": {"ready": True},
                "nodeName": workload.node,
                "targetRef": {"kind": "Pod", "namespace": namespace, "name": workload.name},
            }
        )
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{name}-ipv{family}",
            "namespace": namespace,
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": f"IPv{family}",
        "endpoints": endpoints,
        "ports": [
            {
                "name": port.name,
                "protocol": protocol_name(port.protocol),
                "port": numbers[port.name],
            }
            for port in ports
            if port.name in numbers
        ],
    }
