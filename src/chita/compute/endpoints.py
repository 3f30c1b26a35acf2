"""What stands on either side of policy: local workloads it is applied to, peers that rules name."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from chita.desired.policy import EndpointPolicy, TierPolicies
from chita.model.cluster import ClusterState
from chita.model.endpoint import HostEndpoint, NamedPort, NetworkSet, WorkloadEndpoint
from chita.model.net import Address, Cidr


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """Anything with labels and addresses that a rule's selector can find."""

    key: str
    """Unique among peers: the kind's initial and the entity's own key."""
    labels: dict[str, str]
    profiles: tuple[str, ...]
    addresses: tuple[Address, ...] = ()
    networks: tuple[Cidr, ...] = ()
    """Networks of more than one address; a /32 or /128 of a network set is in *addresses*."""
    ports: tuple[NamedPort, ...] = ()


PeerEntity = WorkloadEndpoint | HostEndpoint | NetworkSet


def peer_key(type_: type, key: str) -> str:
    """Return the key of the peer that an entity of *type_* under *key* is."""
    return f"{type_.__name__}:{key}"


def peer_of(entity: PeerEntity) -> Peer:
    """Return how rules see *entity*; a host endpoint has only its expected addresses (v3 2.10)."""
    key = peer_key(type(entity), entity.key)
    match entity:
        case NetworkSet():
            return Peer(
                key=key,
                labels=entity.labels,
                profiles=entity.profiles,
                addresses=tuple([net.address for net in entity.nets if net.is_host]),
                networks=tuple([net for net in entity.nets if not net.is_host]),
            )
        case HostEndpoint():
            addresses = entity.expected_addresses
        case WorkloadEndpoint():
            addresses = entity.addresses
    return Peer(
        key=key,
        labels=entity.labels,
        profiles=entity.profiles,
        addresses=addresses,
        ports=entity.ports,
    )


def peers(cluster: ClusterState) -> Iterator[Peer]:
    """Yield all peers of *cluster*."""
    for workload in cluster.workloads.values():
        yield peer_of(workload)
    for host_endpoint in cluster.host_endpoints.values():
        yield peer_of(host_endpoint)
    for network_set in cluster.network_sets.values():
        yield peer_of(network_set)


def local_workloads(cluster: ClusterState, node: str) -> dict[str, WorkloadEndpoint]:
    """Return the workloads of *node*, by interface name.

    Two that claim one interface cannot both be right; the one whose key comes first has it, so
    that the order of events does not matter.
    """
    local: dict[str, WorkloadEndpoint] = {}
    for workload in cluster.workloads.values():
        if workload.node == node:
            rival = local.get(workload.interface)
            if rival is None or workload.key < rival.key:
                local[workload.interface] = workload
    return local


def endpoint_policy(
    workload: WorkloadEndpoint,
    ingress: tuple[TierPolicies, ...],
    egress: tuple[TierPolicies, ...],
) -> EndpointPolicy:
    """Return what applies to *workload*, given the policies of its class."""
    return EndpointPolicy(
        interface=workload.interface,
        endpoint=workload.key,
        addresses=workload.addresses,
        ingress=ingress,
        egress=egress,
        profiles=workload.profiles,
    )
