"""The ends of a flow as users name them: pods, nodes, addresses, services."""

from __future__ import annotations

import msgspec

from chita.convert.world import World
from chita.errors import InputError, NotFoundError, ParseError
from chita.model.cluster import ClusterState
from chita.model.net import Address
from chita.model.service import Service

FORMS = (
    "namespace/pod, namespace/deployment, host:node, an address, or for --to a service "
    "(svc:namespace/name)"
)


class End(msgspec.Struct, frozen=True, kw_only=True):
    """A pod, node or outside address: at most one address of each family counts."""

    name: str
    addresses: tuple[Address, ...]
    node: str | None = None
    """Set for a node: its address alone may be another location's too."""
    pod: str = ""
    """The pod that was taken, where *name* is that of a Deployment or the like."""


class ServiceEnd(msgspec.Struct, frozen=True):
    """A service: flows to it go to one of its endpoints."""

    service: Service


Party = End | ServiceEnd


def source(world: World, text: str) -> End:
    """Return who *text* names as the sender.

    Raises:
        NotFoundError: there is no such pod or node, or it has no address.
        InputError: *text* names a service, or nothing at all.
    """
    end = _end(world, text)
    if end is not None:
        return end
    replica = _replica(world, text)
    if replica is not None:
        return replica
    if "/" in text and not text.startswith("svc:"):
        raise NotFoundError(f"there is no pod {text}{_near(world.cluster, text)}")
    raise InputError(
        f"'{text}' cannot send; write namespace/pod, namespace/deployment, host:node or an address"
    )


def destination(world: World, text: str, *, namespace: str = "default") -> Party:
    """Return who *text* names as the receiver; a bare service name is one of *namespace*.

    A pod wins over a service of the same name, which wins over a Deployment and the like; ``svc:``
    says that the service is meant.

    Raises:
        NotFoundError: there is no such pod, node or service, or it has no address.
        InputError: *text* has none of the forms.
    """
    end = _end(world, text)
    if end is not None:
        return _service_at(world.cluster, end)
    service = _service(world.cluster, text, namespace)
    if service is not None:
        return ServiceEnd(service)
    replica = _replica(world, text)
    if replica is not None:
        return replica
    if "/" in text:
        what = "service" if text.startswith("svc:") else "pod or service"
        raise NotFoundError(
            f"there is no {what} {text.removeprefix('svc:')}{_near(world.cluster, text)}"
        )
    raise NotFoundError(f"there is nothing named '{text}'; write {FORMS}")


def _end(world: World, text: str) -> End | None:
    if text.startswith("host:"):
        return _host(world.cluster, text)
    if text in world.host_pods:
        return _host(world.cluster, f"host:{world.host_pods[text]}")
    workload = world.cluster.workloads.get(text)
    if workload is not None:
        if not workload.addresses:
            raise NotFoundError(f"pod {text} has no address: no pool may give it one")
        return End(name=text, addresses=workload.addresses)
    try:
        address = Address.parse(text)
    except ParseError:
        return None
    return End(name=text, addresses=(address,))


def _replica(world: World, text: str) -> End | None:
    """Return the first pod, by name, of the Deployment or the like that *text* names.

    Raises:
        NotFoundError: several kinds have that name, or none of its pods has an address.
    """
    by_kind = world.replicas.get(text)
    if not by_kind:
        return None
    if len(by_kind) > 1:
        kinds = " and ".join(sorted(by_kind))
        pods = ", ".join(min(keys) for _, keys in sorted(by_kind.items()))
        raise NotFoundError(f"{text} is a {kinds}; name a pod, such as {pods}")
    ((kind, keys),) = by_kind.items()
    for key in sorted(keys):
        workload = world.cluster.workloads[key]
        if workload.addresses:
            return End(name=text, addresses=workload.addresses, pod=key)
    raise NotFoundError(f"no pod of {kind} {text} has an address")


def _host(cluster: ClusterState, text: str) -> End:
    name = text.removeprefix("host:")
    node = cluster.nodes.get(name)
    if node is None:
        known = ", ".join(sorted(cluster.nodes)) or "none"
        raise NotFoundError(f"there is no node {name}; the nodes are {known}")
    addresses = (*node.internal_addresses, *node.mesh_addresses)
    if not addresses:
        raise NotFoundError(f"node {name} has no address yet")
    return End(name=text, addresses=addresses, node=name)


def _service(cluster: ClusterState, text: str, namespace: str) -> Service | None:
    """Return the service of ``svc:ns/name``, ``ns/name``, ``name``, or a DNS name of it."""
    name = text.removeprefix("svc:")
    if "/" in name:
        return cluster.services.get(name)
    first, _, rest = name.removesuffix(".").removesuffix(".cluster.local").partition(".")
    return cluster.services.get(f"{rest.removesuffix('.svc') or namespace}/{first}")


def _service_at(cluster: ClusterState, end: End) -> Party:
    """Return the service whose cluster address *end* is, else *end*."""
    if end.name in cluster.workloads or end.node is not None:
        return end
    for service in cluster.services.values():
        if end.addresses[0] in service.cluster_addresses:
            return ServiceEnd(service)
    return end


def _near(cluster: ClusterState, text: str) -> str:
    namespace = text.removeprefix("svc:").partition("/")[0]
    near = [key for key in sorted(cluster.workloads) if key.startswith(f"{namespace}/")]
    if not near:
        return f"; namespace {namespace} has no pod with a network"
    listed = ", ".join(near[:8]) + (", ..." if len(near) > 8 else "")
    return f"; namespace {namespace} has the pods {listed}"
