"""ClusterNetworkPolicy (policy.networking.k8s.io/v1alpha2) as the GlobalNetworkPolicy it becomes.

Its tiers are ``kube-admin`` and ``kube-baseline``, its order is the priority. Unlike in a
NetworkPolicy, a rule may deny: one that means nothing fails closed. A Deny or Pass becomes a Deny
of everything, an Accept is dropped; a subject, tier or priority that means nothing drops the whole
policy (libcalico-go/lib/backend/k8s/conversion/clusternetworkpolicy.go).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from chita.convert.fields import Field, Metadata
from chita.convert.label_selector import Selects, selector_text
from chita.convert.network_policy import V3Policy, network_text, v3_rule
from chita.convert.ports import ANY_PROTOCOL, PortsByProtocol, V3Port, port_name, port_range
from chita.errors import ConvertError
from chita.model.policy import Direction
from chita.model.problem import Problem

TIERS: Final = {"Admin": "kube-admin", "Baseline": "kube-baseline"}
_PEERS = {Direction.INGRESS: "from", Direction.EGRESS: "to"}
_UNSUPPORTED: Final = frozenset({"nodes", "domainNames"})
"""Peers that the API has and nothing here can tell."""
_PROTOCOLS = {"tcp": "TCP", "udp": "UDP", "sctp": "SCTP"}


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """What the versions of this API say in words of their own."""

    fields: tuple[str, ...]
    """Of ``spec``."""
    head: Callable[[Field], dict[str, Any]]
    """The tier and the order, from ``spec``."""
    actions: Mapping[str, str]
    """v3 actions by theirs."""
    ports_field: str
    ports: Callable[[Field], list[tuple[str, list[V3Port]]]]
    """Protocols and their ports, from the field of that name."""


def cluster_network_policy(obj: Mapping[str, Any]) -> V3Policy:
    """Return the v3 GlobalNetworkPolicy that *obj* becomes."""
    return converted(obj, _V1ALPHA2)


def converted(obj: Mapping[str, Any], dialect: Dialect) -> V3Policy:
    """Return the v3 GlobalNetworkPolicy that *obj* becomes, read as *dialect*.

    Its types are the directions that have rules: both tiers pass what no rule decides.
    """
    field = Field(obj)
    try:
        metadata = Metadata(field)
        spec = field["spec"]
        spec.only(*dialect.fields)
        v3: dict[str, Any] = {**dialect.head(spec), **_subject(spec["subject"])}
    except ConvertError as error:
        return V3Policy(None, (Problem(error.field, error.message),))
    problems: list[Problem] = []
    types: list[str] = []
    for direction, name in ((Direction.INGRESS, "ingress"), (Direction.EGRESS, "egress")):
        rules: list[dict[str, Any]] = []
        for rule in spec[name].items():
            try:
                rules += _rules(rule, direction, dialect)
            except ConvertError as error:
                closed, effect = _fail_closed(rule)
                rules += closed
                problems.append(Problem(error.field, f"{error.message}; {effect}"))
        if rules:
            v3[name] = rules
            types.append(str(direction))
    if types:
        v3["types"] = types
    policy = {
        "apiVersion": "projectcalico.org/v3",
        "kind": "GlobalNetworkPolicy",
        "metadata": {"name": metadata.name},
        "spec": v3,
    }
    return V3Policy(policy, tuple(problems))


def _head(spec: Field) -> dict[str, Any]:
    return {"tier": spec["tier"].one_of(TIERS), "order": priority_of(spec["priority"])}


def priority_of(priority: Field) -> int:
    """Return a policy's priority.

    Raises:
        ConvertError: not set, or not 0 to 1000.
    """
    if not priority.is_set:
        raise priority.error("must be set, 0 (first) to 1000")
    return priority.integer(0, low=0, high=1000)


def _fail_closed(rule: Field) -> tuple[list[dict[str, Any]], str]:
    """Return what stands in for *rule*, which means nothing, and that in words."""
    action = rule.value.get("action") if isinstance(rule.value, Mapping) else None
    # A tuple, because a list given for an action has no hash.
    if action in ("Deny", "Pass"):
        deny = {"action": "Deny", "source": {}, "destination": {}}
        return [deny], "a Deny of everything stands in its place"
    return [], "the rule is left out"


def _subject(subject: Field) -> dict[str, str]:
    """Return the v3 selectors of a policy's subject: exactly one of namespaces and pods."""
    subject.only("namespaces", "pods")
    namespaces, pods = subject["namespaces"], subject["pods"]
    if namespaces.is_set == pods.is_set:
        raise subject.error("must have exactly one of namespaces and pods")
    if namespaces.is_set:
        return {
            "namespaceSelector": selector_text(namespaces, Selects.NAMESPACES),
            "selector": selector_text(Field(None), Selects.PODS),
        }
    return _pods(pods)


def _pods(pods: Field) -> dict[str, str]:
    pods.only("namespaceSelector", "podSelector")
    # Neither may be unset in this API: unset is empty, which selects all.
    namespaces = Field(pods["namespaceSelector"].map(), pods["namespaceSelector"].path)
    return {
        "namespaceSelector": selector_text(namespaces, Selects.NAMESPACES),
        "selector": selector_text(pods["podSelector"], Selects.PODS),
    }


def _rules(rule: Field, direction: Direction, dialect: Dialect) -> list[dict[str, Any]]:
    peers_name = _PEERS[direction]
    rule.only("name", "action", dialect.ports_field, peers_name)
    action = rule["action"].one_of(dialect.actions)
    name = rule["name"].text()
    metadata = {"metadata": {"annotations": {"name": name}}} if name else {}
    peers = [side for peer in rule[peers_name].items() for side in _peer(peer, direction)]
    if not peers:
        raise rule[peers_name].error("must name at least one peer")
    return [
        metadata | v3_rule(direction, protocol=protocol, peer=peer, ports=ports, action=action)
        for protocol, ports in dialect.ports(rule[dialect.ports_field])
        for peer in peers
    ]


def _peer(peer: Field, direction: Direction) -> list[dict[str, Any]]:
    """Return the v3 sides that *peer* means; networks of both families are a side each.

    A v3 rule is of one family (calico 2.5), while ``networks`` may mix them: the rules that come of
    it have one action and do not overlap, so their order means nothing.
    """
    known = {"namespaces", "pods"}
    if direction is Direction.EGRESS:
        known.add("networks")
    for name in sorted(_UNSUPPORTED & peer.map().keys()):
        raise peer[name].error("peers of this kind are not supported")
    peer.only(*known)
    if count_set(peer) != 1:
        raise peer.error(f"must have exactly one of {', '.join(sorted(known))}")
    if peer["namespaces"].is_set:
        return [{"namespaceSelector": selector_text(peer["namespaces"], Selects.NAMESPACES)}]
    if peer["pods"].is_set:
        fields = _pods(peer["pods"])
        return [{"selector": fields["selector"], "namespaceSelector": fields["namespaceSelector"]}]
    nets = list(dict.fromkeys(network_text(item) for item in peer["networks"].items()))
    if not nets:
        raise peer["networks"].error("must name at least one network")
    families = [net for net in nets if ":" not in net], [net for net in nets if ":" in net]
    return [{"nets": family} for family in families if family]


def _ports(protocols: Field) -> list[tuple[str, list[V3Port]]]:
    collected = PortsByProtocol()
    for entry in protocols.items():
        entry.only(*_PROTOCOLS, "destinationNamedPort")
        if count_set(entry) != 1:
            raise entry.error("must have exactly one of tcp, udp, sctp, destinationNamedPort")
        (name,) = [name for name in entry.map() if entry[name].is_set]
        if name == "destinationNamedPort":
            collected.add(ANY_PROTOCOL, port_name(entry[name]))
        else:
            collected.add(_PROTOCOLS[name], _port(entry[name]))
    return collected.sorted()


def _port(protocol: Field) -> V3Port | None:
    protocol.only("destinationPort")
    port = protocol["destinationPort"]
    if not port.is_set:
        return None
    port.only("number", "range")
    if count_set(port) != 1:
        raise port.error("must have exactly one of number and range")
    if port["number"].is_set:
        return port_range(port["number"], Field(None))
    port["range"].only("start", "end")
    return port_range(port["range"]["start"], port["range"]["end"])


def count_set(field: Field) -> int:
    """Return how many fields of a map are set."""
    return sum(value is not None for value in field.map().values())


_V1ALPHA2: Final = Dialect(
    fields=("tier", "priority", "subject", "ingress", "egress"),
    head=_head,
    actions={"Accept": "Allow", "Deny": "Deny", "Pass": "Pass"},
    ports_field="protocols",
    ports=_ports,
)
