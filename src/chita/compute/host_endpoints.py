"""What host endpoints ask of their node: which governs which interface, and its policies by stage.

::

    from outside ─▶ untracked ─▶ pre-DNAT ─┬▶ ingress, profiles       to the host itself
                                           └▶ forward ingress         through it
    the host's own ─▶ untracked, egress, profiles ─▶ outside
    forwarded ─▶ forward egress ─▶ outside
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec import structs

from chita.compute.tiers import place, tier_policies
from chita.compute.tunnels import TRANSIT_PORT
from chita.desired.policy import HostEndpointPolicy, HostState, TierPolicies
from chita.model.cluster import ClusterState
from chita.model.endpoint import HostEndpoint, interface_name
from chita.model.labels import inherit
from chita.model.net import TCP, Address, Cidr, collapse
from chita.model.policy import Action, Direction, Policy, Tier
from chita.model.selector import matches
from chita.model.settings import FailsafePort

ALL_INTERFACES = "*"
_WORKLOAD_PREFIX = interface_name("", "")[:4]


def host_state(cluster: ClusterState, node: str, server: FailsafePort | None = None) -> HostState:
    """Return all that the host endpoints of *node* ask of it.

    *server* is where the node's agent finds the API: a host without it would never learn of a
    policy that opens the way again.
    """
    own = [each for each in cluster.host_endpoints.values() if each.node == node]
    selected = {each.name: selecting(cluster, each, cluster.policies.values()) for each in own}
    return assembled(cluster, node, own, selected, fabric_networks(cluster), server)


def assembled(  # noqa: PLR0913, PLR0917 - what the two derivations have in hand
    cluster: ClusterState,
    node: str,
    own: Sequence[HostEndpoint],
    selected: Mapping[str, Mapping[str, Policy]],
    nodes: tuple[Cidr, ...],
    server: FailsafePort | None,
) -> HostState:
    """Return the state of *node*, whose host endpoints are *own*.

    *selected* are the policies that select each, by its name; *nodes* is `fabric_networks`.
    """
    endpoints = {
        interface: host_endpoint_policy(
            interface, endpoint, selected[endpoint.name].values(), cluster.tiers
        )
        for interface, endpoint in governed(cluster, node, own).items()
    }
    if not endpoints:
        return HostState()
    own_way = () if server is None else (server,)
    return HostState(
        endpoints=endpoints,
        failsafe_inbound=open_ports(cluster, node, Direction.INGRESS),
        failsafe_outbound=(*open_ports(cluster, node, Direction.EGRESS), *own_way),
        tunnel_ports=tunnel_ports(cluster, node),
        node_ports=(cluster.setting.vxlan_port, TRANSIT_PORT),
        nodes=nodes,
    )


def governed(
    cluster: ClusterState, node: str, own: Sequence[HostEndpoint]
) -> dict[str, HostEndpoint]:
    """Return which of *own*, the host endpoints of *node*, governs which interface.

    Interfaces are those that endpoints name, there or not yet, and those the node has told of;
    ``*`` stands for all others. Those of workloads are never governed.
    """
    record = cluster.fabric_nodes.get(node)
    addresses: dict[str, set[Address]] = {}
    for each in () if record is None else record.interfaces:
        if each.device:
            addresses.setdefault(each.device, set()).add(each.address)
    names = addresses.keys() | {each.interface for each in own}
    found: dict[str, HostEndpoint] = {}
    for name in sorted(names - {"", ALL_INTERFACES}):
        named = [each for each in own if each.interface != ALL_INTERFACES]
        endpoint = governing(named, name, addresses.get(name, ()))
        if endpoint is not None and not name.startswith(_WORKLOAD_PREFIX):
            found[name] = endpoint
    others = governing(own, "", ())
    if others is not None:
        found[ALL_INTERFACES] = others
    return found


def governing(
    endpoints: Iterable[HostEndpoint], device: str, addresses: Collection[Address]
) -> HostEndpoint | None:
    """Return which of a node's *endpoints* governs the interface *device*; None: none does.

    One that names an interface never matches by address, and one for all interfaces only comes
    where no other matches; of several the first by name (v3 2.10).
    """
    named: list[HostEndpoint] = []
    wildcard: list[HostEndpoint] = []
    for endpoint in endpoints:
        if endpoint.interface == ALL_INTERFACES:
            wildcard.append(endpoint)
        elif endpoint.interface:
            if endpoint.interface == device:
                named.append(endpoint)
        elif not set(endpoint.expected_addresses).isdisjoint(addresses):
            named.append(endpoint)
    return min(named or wildcard, key=lambda endpoint: endpoint.name, default=None)


def selecting(
    cluster: ClusterState, endpoint: HostEndpoint, policies: Iterable[Policy]
) -> dict[str, Policy]:
    """Return those of *policies* that select *endpoint*, by key."""
    applied = [
        cluster.profiles[name].labels_to_apply
        for name in endpoint.profiles
        if name in cluster.profiles
    ]
    labels = inherit(endpoint.labels, applied)
    return {policy.key: policy for policy in policies if matches(policy.selector, labels)}


def host_endpoint_policy(
    interface: str, endpoint: HostEndpoint, policies: Iterable[Policy], tiers: Mapping[str, Tier]
) -> HostEndpointPolicy:
    """Return what *policies*, which select *endpoint*, ask of *interface*."""
    ordered = sorted(policies, key=lambda policy: place(policy, tiers))
    untracked = [policy for policy in ordered if policy.do_not_track]
    pre_dnat = [policy for policy in ordered if policy.pre_dnat]
    normal = [policy for policy in ordered if not (policy.do_not_track or policy.pre_dnat)]
    forward = [policy for policy in normal if policy.apply_on_forward]
    ingress, egress = Direction.INGRESS, Direction.EGRESS
    return HostEndpointPolicy(
        interface=interface,
        endpoint=endpoint.name,
        untracked_ingress=_without_end(tier_policies(untracked, tiers, ingress)),
        untracked_egress=_without_end(tier_policies(untracked, tiers, egress)),
        pre_dnat=_without_end(tier_policies(pre_dnat, tiers, ingress)),
        ingress=tier_policies(normal, tiers, ingress),
        egress=tier_policies(normal, tiers, egress),
        profiles=endpoint.profiles,
        forward_ingress=tier_policies(forward, tiers, ingress),
        forward_egress=tier_policies(forward, tiers, egress),
    )


def _without_end(tiers: tuple[TierPolicies, ...]) -> tuple[TierPolicies, ...]:
    """Return *tiers* that leave what no rule decided to later stages (v3 2.10)."""
    return tuple([structs.replace(tier, end=Action.PASS) for tier in tiers])


def all_tiers(endpoint: HostEndpointPolicy) -> Iterable[TierPolicies]:
    """Return the tiers of all stages of *endpoint*, some more than once."""
    return (
        *endpoint.untracked_ingress, *endpoint.untracked_egress, *endpoint.pre_dnat,
        *endpoint.ingress, *endpoint.egress, *endpoint.forward_ingress, *endpoint.forward_egress,
    )  # fmt: skip


def used_policies(state: HostState) -> frozenset[str]:
    """Return the keys of the policies that *state* names."""
    tiers = (tier for endpoint in state.endpoints.values() for tier in all_tiers(endpoint))
    return frozenset([key for tier in tiers for key in tier.policies])


def used_profiles(state: HostState) -> frozenset[str]:
    """Return the names of the profiles that *state* names."""
    return frozenset([name for each in state.endpoints.values() for name in each.profiles])


def open_ports(cluster: ClusterState, node: str, direction: Direction) -> tuple[FailsafePort, ...]:
    """Return the ports of *node* that no policy closes: failsafes, and gateways' TLS streams.

    The latter carry WireGuard where no UDP passes (docs/adr/0016-udp-over-tcp.md).
    """
    if direction is Direction.INGRESS:
        record = cluster.fabric_nodes.get(node)
        own = record.tcp_relay_port if record is not None else 0
        return (*cluster.setting.failsafe_inbound, *([FailsafePort(TCP, own)] if own else []))
    streams = [
        FailsafePort(TCP, each.tcp_relay_port, Cidr.of(address))
        for _, each in sorted(cluster.fabric_nodes.items())
        for address in each.endpoints
        if each.tcp_relay_port and each.name != node
    ]
    return (*cluster.setting.failsafe_outbound, *streams)


def tunnel_ports(cluster: ClusterState, node: str) -> tuple[int, ...]:
    """Return the UDP ports at which *node*'s WireGuard devices listen; behind a NAT its own."""
    ports = {cluster.setting.wireguard_port}
    record = cluster.fabric_nodes.get(node)
    if record is not None:
        previous = record.wireguard_previous
        ports |= {record.wireguard_port, previous.port if previous is not None else 0}
        ports |= {record.static_port}
    return tuple(sorted(ports - {0}))


def fabric_networks(cluster: ClusterState) -> tuple[Cidr, ...]:
    """Return where nodes are: all addresses that they have or are dialled at, and the meshes."""
    networks = list(cluster.setting.mesh_cidrs)
    for node in cluster.nodes.values():
        networks += map(Cidr.of, (*node.internal_addresses, *node.external_addresses))
        networks += map(Cidr.of, node.mesh_addresses)
    for record in cluster.fabric_nodes.values():
        networks += [Cidr.of(each.address) for each in record.interfaces]
        networks += map(Cidr.of, record.endpoints)
    return tuple(collapse(networks))
