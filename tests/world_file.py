"""A drawn cluster as a world file: what `chita explain -f` reads.

A test that fails prints it, so that its smallest counterexample can be asked about, changed and
kept as an example. Files say all that decides about flows, but one thing: a namespace that pods
are in always exists there, with its profile.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from chita.model.cluster import ClusterState
from chita.model.endpoint import HostEndpoint, NetworkSet, Profile, WorkloadEndpoint
from chita.model.labels import NAMESPACE_PREFIX
from chita.model.net import PortRange
from chita.model.node import Node
from chita.model.policy import (
    BUILT_IN_TIERS,
    EntityRule,
    HttpMatch,
    IcmpMatch,
    Policy,
    Rule,
    Tier,
)
from chita.model.selector import Selector, canonical
from chita.model.service import EndpointSlice
from chita.model.settings import Settings

Resource = dict[str, Any]


def world_file(cluster: ClusterState) -> str:
    """Return the manifests of *cluster*: all that decides about pods' flows."""
    return yaml.safe_dump_all(manifests(cluster), sort_keys=False)


def manifests(cluster: ClusterState) -> Iterator[Resource]:
    """Yield a v3 or Kubernetes object for each entity."""
    yield from map(_node, cluster.nodes.values())
    yield _settings(cluster.setting)
    yield from (_tier(tier) for tier in cluster.tiers.values() if tier not in BUILT_IN_TIERS)
    yield from map(_profile, cluster.profiles.values())
    yield from map(_policy, cluster.policies.values())
    yield from map(_network_set, cluster.network_sets.values())
    yield from map(_workload, cluster.workloads.values())
    yield from map(_host_endpoint, cluster.host_endpoints.values())
    for item in cluster.endpoint_slices.values():
        yield from _slices(item)


def _v3(kind: str, name: str, spec: Resource, **metadata: object) -> Resource:
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": kind,
        "metadata": {"name": name, **{key: value for key, value in metadata.items() if value}},
        "spec": {key: value for key, value in spec.items() if value not in (None, [], {})},
    }


def _tier(tier: Tier) -> Resource:
    return _v3("Tier", tier.name, {"order": tier.order, "defaultAction": str(tier.default_action)})


def _node(node: Node) -> Resource:
    addresses = [{"type": "InternalIP", "address": str(each)} for each in node.internal_addresses]
    addresses += [{"type": "ExternalIP", "address": str(each)} for each in node.external_addresses]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node.name, "labels": dict(node.labels)},
        "status": {"addresses": addresses},
    }


def _settings(settings: Settings) -> Resource:
    return {
        "apiVersion": "chita.dev/v1alpha1",
        "kind": "FabricConfiguration",
        "metadata": {"name": "default"},
        "spec": {"defaultEndpointToHostAction": str(settings.endpoint_to_host)},
    }


def _namespace(profile: Profile) -> Resource:
    labels = {
        key.removeprefix(NAMESPACE_PREFIX): value
        for key, value in profile.labels_to_apply.items()
        if key.startswith(NAMESPACE_PREFIX)
    }
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": profile.name.removeprefix("kns."), "labels": labels},
    }


def _profile(profile: Profile) -> Resource:
    if profile.name.startswith("kns."):
        return _namespace(profile)
    spec = {
        "labelsToApply": dict(profile.labels_to_apply),
        "ingress": [_rule(rule) for rule in profile.ingress],
        "egress": [_rule(rule) for rule in profile.egress],
    }
    return _v3("Profile", profile.name, spec)


def _policy(policy: Policy) -> Resource:
    staged = policy.staged is not None
    spec = {
        "tier": policy.tier,
        "order": policy.order,
        "selector": canonical(policy.selector),
        "types": sorted(str(each) for each in policy.types),
        "ingress": [_rule(rule) for rule in policy.ingress],
        "egress": [_rule(rule) for rule in policy.egress],
        "stagedAction": "Set" if staged else None,
        "doNotTrack": policy.do_not_track or None,
        "preDNAT": policy.pre_dnat or None,
        "applyOnForward": policy.apply_on_forward or None,
    }
    return _v3("StagedGlobalNetworkPolicy" if staged else str(policy.kind), policy.name, spec)


def _rule(rule: Rule) -> Resource:
    made = {
        "action": str(rule.action),
        "ipVersion": rule.family,
        "protocol": _protocol(rule.protocol),
        "notProtocol": _protocol(rule.not_protocol),
        "icmp": _icmp(rule.icmp),
        "notICMP": _icmp(rule.not_icmp),
        "source": _side(rule.source),
        "destination": _side(rule.destination),
        "http": _http(rule.http),
    }
    return {key: value for key, value in made.items() if value not in (None, {})}


def _http(match: HttpMatch | None) -> Resource | None:
    if match is None:
        return None
    paths = [{"prefix" if each.is_prefix else "exact": each.path} for each in match.paths]
    return {"methods": list(match.methods), "paths": paths}


def _protocol(number: int | None) -> str | int | None:
    return {1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMPv6", 132: "SCTP"}.get(number or 0, number)


def _icmp(match: IcmpMatch | None) -> Resource | None:
    if match is None:
        return None
    return {
        key: value
        for key, value in (("type", match.type), ("code", match.code))
        if value is not None
    }


def _side(side: EntityRule) -> Resource:
    service = side.service
    made = {
        "nets": [str(net) for net in side.nets],
        "notNets": [str(net) for net in side.not_nets],
        "selector": _selector(side.selector),
        "notSelector": _selector(side.not_selector),
        "ports": [*map(_port, side.ports), *side.named_ports],
        "notPorts": [*map(_port, side.not_ports), *side.not_named_ports],
        "services": {"name": service.name, "namespace": service.namespace} if service else None,
    }
    return {key: value for key, value in made.items() if value not in (None, [])}


def _selector(selector: Selector | None) -> str | None:
    return None if selector is None else canonical(selector)


def _port(ports: PortRange) -> int | str:
    return ports.first if ports.first == ports.last else f"{ports.first}:{ports.last}"


def _network_set(item: NetworkSet) -> Resource:
    kind = "NetworkSet" if item.namespace else "GlobalNetworkSet"
    spec = {"nets": [str(net) for net in item.nets]}
    return _v3(kind, item.name, spec, namespace=item.namespace, labels=dict(item.labels))


def _workload(workload: WorkloadEndpoint) -> Resource:
    node, pod = (text.replace("-", "--") for text in (workload.node, workload.name))
    spec = {
        "orchestrator": "k8s",
        "node": workload.node,
        "pod": workload.name,
        "endpoint": "eth0",
        "containerID": "c",
        "ipNetworks": [str(address) for address in workload.addresses],
        "profiles": list(workload.profiles),
        "interfaceName": workload.interface,
        "ports": [
            {"name": port.name, "protocol": _protocol(port.protocol), "port": port.port}
            for port in workload.ports
        ],
    }
    labels = dict(workload.labels)
    name = f"{node}-k8s-{pod}-eth0"
    return _v3("WorkloadEndpoint", name, spec, namespace=workload.namespace, labels=labels)


def _host_endpoint(endpoint: HostEndpoint) -> Resource:
    spec = {
        "node": endpoint.node,
        "interfaceName": endpoint.interface,
        "expectedIPs": [str(address) for address in endpoint.expected_addresses],
        "profiles": list(endpoint.profiles),
        "ports": [
            {"name": port.name, "protocol": _protocol(port.protocol), "port": port.port}
            for port in endpoint.ports
        ],
    }
    return _v3("HostEndpoint", endpoint.name, spec, labels=dict(endpoint.labels))


def _slices(item: EndpointSlice) -> Iterator[Resource]:
    """Yield a slice for each endpoint: in one slice every endpoint has every port."""
    for number, each in enumerate(item.endpoints):
        suffix = f"-{number}" if len(item.endpoints) > 1 else ""
        yield {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": f"{item.name}{suffix}",
                "namespace": item.namespace,
                "labels": {"kubernetes.io/service-name": item.service},
            },
            "addressType": f"IPv{each.address.family}",
            "endpoints": [{"addresses": [str(each.address)]}],
            "ports": [{"name": "p", "port": each.port, "protocol": _protocol(each.protocol)}],
        }
