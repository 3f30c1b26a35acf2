"""The policy of one node, from scratch: one page that calls the rest in order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from chita.compute.address_sets import (
    address_set,
    port_set,
    service_address_set,
    service_port_set,
    slice_service,
)
from chita.compute.classes import ClassIndex, LabelClass, classify
from chita.compute.endpoints import Peer, endpoint_policy, local_workloads, peers
from chita.compute.guards import transit_guard, vxlan_guard
from chita.compute.host_endpoints import host_state, used_policies, used_profiles
from chita.compute.rules import (
    ResolvedRules,
    Selected,
    SelectedPorts,
    ServiceAddresses,
    ServicePorts,
    SetSource,
    resolve_rules,
)
from chita.compute.strict import strict_guard
from chita.compute.tiers import applies_to_workloads, place, tier_policies
from chita.desired.policy import AddressSet, EndpointPolicy, PolicyState, PortSet
from chita.model.cluster import ClusterState
from chita.model.endpoint import WorkloadEndpoint
from chita.model.labels import Labels
from chita.model.net import Cidr, collapse
from chita.model.policy import Direction, Policy, ServiceRef, StagedAction
from chita.model.selector import Selector, mentioned_keys
from chita.model.service import EndpointSlice
from chita.model.settings import FailsafePort
from chita.model.static_claims import judged


def policy_state(
    cluster: ClusterState, node: str, server: FailsafePort | None = None
) -> PolicyState:
    """Return all policy that *node* must hold: what its own endpoints use, nothing else.

    *server* is where the node's agent finds the API, which no host endpoint may cut off.
    """
    applied = applied_labels(cluster)
    endpoints = _endpoints(cluster, node, applied)
    host = host_state(cluster, node, server)
    used = _used_policies(endpoints) | dict.fromkeys(used_policies(host))
    policies = {key: resolve_policy(cluster.policies[key]) for key in used}
    names = {name for endpoint in endpoints.values() for name in endpoint.profiles}
    profiles = {
        name: resolve_rules(cluster.profiles[name].ingress, cluster.profiles[name].egress)
        for name in names | used_profiles(host)
        if name in cluster.profiles
    }
    sources: dict[str, SetSource] = {}
    for resolved in (*policies.values(), *profiles.values()):
        sources |= resolved.sets
    address_sets, port_sets = _sets(cluster, sources, applied)
    return PolicyState(
        endpoints=endpoints,
        policies={key: resolved.rules for key, resolved in policies.items()},
        profiles={name: resolved.rules for name, resolved in profiles.items()},
        address_sets=address_sets,
        port_sets=port_sets,
        masquerade_sources=masquerade_sources(cluster),
        cluster_networks=cluster_networks(cluster),
        endpoint_to_host=cluster.setting.endpoint_to_host,
        log_prefix=cluster.setting.log_prefix,
        log_rate=cluster.setting.log_rate,
        log_burst=cluster.setting.log_burst,
        flow_log_groups=cluster.setting.flow_log_groups,
        vxlan_port=cluster.setting.vxlan_port,
        transit=transit_guard(cluster),
        vxlan=vxlan_guard(cluster, node),
        strict=strict_guard(cluster, node),
        denied_flows=cluster.setting.denied_flows,
        host=host,
    )


def applied_labels(cluster: ClusterState) -> dict[str, Labels]:
    """Return the labels that each profile gives to the endpoints that have it."""
    return {name: profile.labels_to_apply for name, profile in cluster.profiles.items()}


def resolve_policy(policy: Policy) -> ResolvedRules:
    """Return the rules of *policy* in the directions it has.

    A staged policy's rules are counted where it stands and decide nothing; one that previews a
    removal has none.
    """
    if policy.staged not in (None, StagedAction.SET):
        return resolve_rules((), (), policy.tier)
    types = policy.types
    return resolve_rules(
        policy.ingress if Direction.INGRESS in types else (),
        policy.egress if Direction.EGRESS in types else (),
        policy.tier,
    )


def masquerade_sources(cluster: ClusterState) -> tuple[Cidr, ...]:
    """Return the pools whose traffic to outside takes the node's address (``natOutgoing``).

    Disabled pools too: that stops allocation, not the addresses already in use.
    """
    return tuple(collapse([pool.cidr for pool in cluster.pools.values() if pool.nat_outgoing]))


def cluster_networks(cluster: ClusterState) -> tuple[Cidr, ...]:
    """Return the destinations inside: all pools, mesh ranges, nodes' addresses, static peers."""
    networks = [pool.cidr for pool in cluster.pools.values()]
    networks += cluster.setting.mesh_cidrs
    for node in cluster.nodes.values():
        networks += map(Cidr.of, node.internal_addresses)
        networks += map(Cidr.of, node.mesh_addresses)
    for peer in judged(cluster).accepted.values():
        networks += peer.allowed
    return tuple(collapse(networks))


def _keys(selectors: Iterable[Selector]) -> frozenset[str]:
    return frozenset().union(*map(mentioned_keys, selectors))


def _endpoints(
    cluster: ClusterState, node: str, applied: Mapping[str, Labels]
) -> dict[str, EndpointPolicy]:
    """Return what applies to each workload of *node*, by interface; equal lists are shared."""
    local = local_workloads(cluster, node)
    policies = sorted(
        filter(applies_to_workloads, cluster.policies.values()),
        key=lambda policy: place(policy, cluster.tiers),
    )
    classes = classify(local, _keys([policy.selector for policy in policies]), applied)
    index = ClassIndex(classes)
    applying: dict[LabelClass[WorkloadEndpoint], list[Policy]] = {each: [] for each in classes}
    for policy in policies:
        for each in index.selected(policy.selector):
            applying[each].append(policy)
    endpoints: dict[str, EndpointPolicy] = {}
    for each, ordered in applying.items():
        ingress = tier_policies(ordered, cluster.tiers, Direction.INGRESS)
        egress = tier_policies(ordered, cluster.tiers, Direction.EGRESS)
        for interface, workload in each.members.items():
            endpoints[interface] = endpoint_policy(workload, ingress, egress)
    return endpoints


def _used_policies(endpoints: Mapping[str, EndpointPolicy]) -> dict[str, None]:
    return {
        key: None
        for endpoint in endpoints.values()
        for tier in (*endpoint.ingress, *endpoint.egress)
        for key in tier.policies
    }


def _sets(
    cluster: ClusterState, sources: Mapping[str, SetSource], applied: Mapping[str, Labels]
) -> tuple[dict[str, AddressSet], dict[str, PortSet]]:
    """Return what stands in the sets that rules name."""
    selectors = {
        source.selector: None
        for source in sources.values()
        if isinstance(source, Selected | SelectedPorts)
    }
    classes = classify(peers(cluster), _keys(selectors), applied)
    index = ClassIndex(classes)
    selected: dict[Selector, list[LabelClass[Peer]]] = {
        selector: index.selected(selector) for selector in selectors
    }
    slices = _slices(cluster.endpoint_slices.values())
    address_sets: dict[str, AddressSet] = {}
    port_sets: dict[str, PortSet] = {}
    for name, source in sources.items():
        match source:
            case Selected(selector):
                address_sets[name] = address_set(selected[selector])
            case SelectedPorts(selector, protocol, port):
                port_sets[name] = port_set(selected[selector], protocol, port)
            case ServicePorts(service):
                port_sets[name] = service_port_set(slices.get(service, ()))
            case ServiceAddresses(service):
                address_sets[name] = service_address_set(slices.get(service, ()))
    return address_sets, port_sets


def _slices(slices: Iterable[EndpointSlice]) -> dict[ServiceRef, Sequence[EndpointSlice]]:
    by_service: dict[ServiceRef, list[EndpointSlice]] = {}
    for each in slices:
        by_service.setdefault(slice_service(each), []).append(each)
    return dict(by_service)
