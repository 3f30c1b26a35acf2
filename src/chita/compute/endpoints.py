"""What stands on either side of policy: local workloads it is applied to, peers that rules name."""

from __future__ import annotations

import msgspec

from chita.desired.policy import EndpointPolicy, TierPolicies
from chita.model.cluster import ClusterState
from chita.model.endpoint import HostEndpoint, NamedPort, NetworkSet, WorkloadEndpoint
from chita.model.net import Address, Cidr


class OtherPeer(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule's selector can find besides workloads, which are peers as they are."""

    labels: dict[str, str]
    profiles: tuple[str, ...]
    addresses: tuple[Address, ...] = ()
    networks: tuple[Cidr, ...] = ()
    """Networks of more than one address; a /32 or /128 of a network set is in *addresses*."""
    ports: tuple[NamedPort, ...] = ()


Peer = WorkloadEndpoint | OtherPeer
"""Anything with labels and addresses that a rule's selector can find."""

PeerEntity = WorkloadEndpoint | HostEndpoint | NetworkSet


def peer_key(type_: type, key: str) -> str:
    """Return what an entity of *type_* under *key* is kept under among peers.

    No name has a colon, so that keys of workloads can be what they are.
    """
    return key if type_ is WorkloadEndpoint else f"{type_.__name__}:{key}"


def peer_of(entity: PeerEntity) -> Peer:
    """Return how rules see *entity*; a host endpoint has only its expected addresses (v3 2.10)."""
    match entity:
        case WorkloadEndpoint():
            return entity
        case NetworkSet():
            return OtherPeer(
                labels=entity.labels,
                profiles=entity.profiles,
                addresses=tuple([net.address for net in entity.nets if net.is_host]),
                networks=tuple([net for net in entity.nets if not net.is_host]),
            )
        case HostEndpoint():
            return OtherPeer(
                labels=entity.labels,
                profiles=entity.profiles,
                addresses=entity.expected_addresses,
                ports=entity.ports,
            )


def peers(cluster: ClusterState) -> dict[str, Peer]:
    """Return all peers of *cluster* by their keys."""
    found: dict[str, Peer] = dict(cluster.workloads)
    for key, host_endpoint in cluster.host_endpoints.items():
        found[peer_key(HostEndpoint, key)] = peer_of(host_endpoint)
    for key, network_set in cluster.network_sets.items():
        found[peer_key(NetworkSet, key)] = peer_of(network_set)
    return found


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
