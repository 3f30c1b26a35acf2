"""The v3 API's own objects other than policies: tiers, sets, profiles, endpoints of hosts."""

from __future__ import annotations

from chita.convert.fields import Field, Metadata
from chita.convert.kubernetes import pod_labels
from chita.convert.ports import port_name
from chita.convert.rules import allow_all, rules
from chita.model.endpoint import (
    HostEndpoint,
    NamedPort,
    NetworkSet,
    Profile,
    WorkloadEndpoint,
    interface_name,
)
from chita.model.labels import namespace_profile
from chita.model.net import Address, Cidr, parse_protocol
from chita.model.policy import BUILT_IN_TIERS, Action, Direction, Tier

DEFAULT_ALLOW = "projectcalico-default-allow"
"""The profile that always exists: everything allowed (calico 2.8)."""

_DEFAULT_ACTIONS = {"Deny": Action.DENY, "Pass": Action.PASS}
_BUILT_IN = {tier.name: tier for tier in BUILT_IN_TIERS}


def tier(obj: Field) -> Tier:
    """Return a tier.

    A built-in one may be written down, but not changed (calico 2.6): what would change it is
    refused and the built-in stays.
    """
    metadata, spec = Metadata(obj), obj["spec"]
    built_in = _BUILT_IN.get(metadata.name)
    order, action = spec["order"], spec["defaultAction"]
    if built_in is None:
        return Tier(
            name=metadata.name,
            order=order.number(),
            default_action=action.one_of(_DEFAULT_ACTIONS, Action.DENY),
        )
    if order.is_set and order.number() != built_in.order:
        raise order.error(f"tier {built_in.name} is built in; its order is {built_in.order:.0f}")
    if action.one_of(_DEFAULT_ACTIONS, built_in.default_action) is not built_in.default_action:
        raise action.error(
            f"tier {built_in.name} is built in; its defaultAction is {built_in.default_action}"
        )
    return built_in


def network_set(obj: Field) -> NetworkSet:
    """Return a NetworkSet; it inherits its namespace's labels."""
    namespace = Metadata(obj).in_namespace
    return _network_set(obj, namespace, (namespace_profile(namespace),))


def global_network_set(obj: Field) -> NetworkSet:
    """Return a GlobalNetworkSet."""
    return _network_set(obj, "", ())


def _network_set(obj: Field, namespace: str, profiles: tuple[str, ...]) -> NetworkSet:
    metadata = Metadata(obj)
    # Labels that would pass for those of its namespace: who writes a set must not choose them.
    labels = {k: v for k, v in metadata.labels.items() if not k.startswith(("pcns.", "pcsa."))}
    if namespace:
        labels["projectcalico.org/namespace"] = namespace
    elif "projectcalico.org/namespace" in labels:
        raise obj["metadata"]["labels"].error(
            "projectcalico.org/namespace is set by Calico; remove it"
        )
    return NetworkSet(
        namespace=namespace,
        name=metadata.name,
        labels=labels,
        nets=tuple([_net(item) for item in obj["spec"]["nets"].items()]),
        profiles=profiles,
    )


def _net(field: Field) -> Cidr:
    """Return a network of a set; unlike in a rule its host bits may be set (v3 tag ``cidr``)."""
    field.required()
    return field.parsed(Cidr.parse_loose)


def profile(obj: Field) -> Profile:
    """Return a profile of the user's.

    Those of namespaces and service accounts are made of these: an object cannot replace them.
    """
    metadata, spec = Metadata(obj), obj["spec"]
    if metadata.name.startswith(("kns.", "ksa.")):
        raise obj["metadata"]["name"].error(
            "profiles kns.* and ksa.* are made of namespaces and service accounts"
        )
    if metadata.name == DEFAULT_ALLOW:
        return default_allow()
    return Profile(
        name=metadata.name,
        labels_to_apply=spec["labelsToApply"].texts_by_key(),
        ingress=rules(spec["ingress"], "", Direction.INGRESS),
        egress=rules(spec["egress"], "", Direction.EGRESS),
    )


def default_allow() -> Profile:
    """Return the profile that always exists."""
    return Profile(name=DEFAULT_ALLOW, ingress=allow_all(), egress=allow_all())


def host_endpoint(obj: Field) -> HostEndpoint:
    """Return a HostEndpoint."""
    metadata, spec = Metadata(obj), obj["spec"]
    interface = spec["interfaceName"].text()
    expected = tuple([item.address() for item in spec["expectedIPs"].items()])
    if not interface and not expected:
        raise spec["interfaceName"].error("must be set, or expectedIPs")
    return HostEndpoint(
        name=metadata.name,
        node=spec["node"].required(),
        interface=interface,
        labels=metadata.labels,
        expected_addresses=expected,
        profiles=spec["profiles"].texts(),
        ports=_ports(spec["ports"]),
    )


def workload_endpoint(obj: Field) -> WorkloadEndpoint:
    """Return a WorkloadEndpoint that is written as such: of a VM or another orchestrator."""
    metadata, spec = Metadata(obj), obj["spec"]
    namespace = metadata.in_namespace
    name = spec["pod"].text() or spec["workload"].text() or metadata.name
    orchestrator = spec["orchestrator"].text("k8s")
    account = spec["serviceAccountName"].text()
    labels = pod_labels(metadata.labels, namespace, account)
    labels["projectcalico.org/orchestrator"] = orchestrator
    if not account:
        del labels["projectcalico.org/serviceaccount"]
    return WorkloadEndpoint(
        namespace=namespace,
        name=name,
        node=spec["node"].required(),
        interface=spec["interfaceName"].text() or interface_name(namespace, name),
        labels=labels,
        addresses=tuple([_host_address(item) for item in spec["ipNetworks"].items()]),
        profiles=spec["profiles"].texts(),
        ports=_ports(spec["ports"]),
    )


def _host_address(field: Field) -> Address:
    net = field.cidr()
    if not net.is_host:
        raise field.error(f"'{field.value}' must be a single address: a /32 or /128")
    return net.address


def _ports(ports: Field) -> tuple[NamedPort, ...]:
    """Return the ports that have names: one that has not is only for its ``hostPort``."""
    return tuple(
        [
            NamedPort(
                port_name(port["name"]),
                port["protocol"].parsed(parse_protocol),
                port["port"].integer(0, low=1, high=65535),
            )
            for port in ports.items()
            if port["name"].text() or not port["hostPort"].is_set
        ]
    )
