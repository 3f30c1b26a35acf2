"""Kubernetes NetworkPolicy (networking.k8s.io/v1) as the v3 NetworkPolicy it becomes.

The rules of the conversion are Calico's (libcalico-go/lib/backend/k8s/conversion): tier
``default``, order 1000, one rule for each protocol and peer. A rule that means nothing is dropped
and reported, the others stay: Kubernetes' rules only allow, so less of them never widens anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from chita.convert.fields import Field, Metadata
from chita.convert.label_selector import Selects, selector_text
from chita.convert.ports import PortsByProtocol, V3Port, port_name, port_range
from chita.errors import ConvertError
from chita.model.net import Cidr
from chita.model.policy import Direction
from chita.model.problem import Problem

ORDER = 1000
"""The order of every Kubernetes NetworkPolicy within tier ``default``."""

_PEERS = {Direction.INGRESS: "from", Direction.EGRESS: "to"}


class V3Policy(msgspec.Struct, frozen=True):
    """What a Kubernetes policy becomes: a v3 policy or None, and what got lost on the way."""

    policy: dict[str, Any] | None
    problems: tuple[Problem, ...] = ()


def network_policy(obj: Mapping[str, Any]) -> V3Policy:
    """Return the v3 NetworkPolicy that *obj* becomes.

    ``policyTypes`` that are absent are what the Kubernetes API server would fill in: Ingress, and
    Egress if there are egress rules.
    """
    field = Field(obj)
    try:
        metadata = Metadata(field)
        policy: dict[str, Any] = {
            "apiVersion": "projectcalico.org/v3",
            "kind": "NetworkPolicy",
            "metadata": {"name": metadata.name, "namespace": metadata.in_namespace},
        }
        policy["spec"], problems = network_policy_spec(field["spec"])
    except ConvertError as error:
        return V3Policy(None, (Problem(error.field, error.message),))
    return V3Policy(policy, problems)


def network_policy_spec(spec: Field) -> tuple[dict[str, Any], tuple[Problem, ...]]:
    """Return the v3 spec for a Kubernetes NetworkPolicy's *spec*, and what was dropped.

    Raises:
        ConvertError: nothing can be made of it: its pod selector or its types mean nothing.
    """
    spec.only("podSelector", "policyTypes", "ingress", "egress", "stagedAction")
    problems: list[Problem] = []
    v3: dict[str, Any] = {
        "tier": "default",
        "order": ORDER,
        "selector": selector_text(spec["podSelector"], Selects.PODS),
        "types": [str(direction) for direction in _types(spec)],
    }
    for direction, name in ((Direction.INGRESS, "ingress"), (Direction.EGRESS, "egress")):
        rules: list[dict[str, Any]] = []
        for rule in spec[name].items():
            try:
                rules += _rules(rule, direction)
            except ConvertError as error:
                problems.append(Problem(error.field, f"{error.message}; the rule is left out"))
        if rules:
            v3[name] = rules
    return v3, tuple(problems)


def _types(spec: Field) -> list[Direction]:
    names = [item.one_of(Direction) for item in spec["policyTypes"].items()]
    if not names:
        names = [Direction.INGRESS]
        if any(True for _ in spec["egress"].items()):
            names.append(Direction.EGRESS)
    return [direction for direction in Direction if direction in names]


def _rules(rule: Field, direction: Direction) -> list[dict[str, Any]]:
    """Return the v3 rules for one Kubernetes rule: protocols in order, peers within each."""
    peers_name = _PEERS[direction]
    rule.only(peers_name, "ports")
    peers = [_peer(peer) for peer in rule[peers_name].items()] or [{}]
    return [
        v3_rule(direction, protocol=protocol, peer=peer, ports=ports)
        for protocol, ports in _ports(rule["ports"])
        for peer in peers
    ]


def v3_rule(
    direction: Direction,
    *,
    protocol: str,
    peer: Mapping[str, Any],
    ports: list[V3Port],
    action: str = "Allow",
) -> dict[str, Any]:
    """Return a v3 rule: *peer* is the other end, *ports* are always the destination's."""
    rule: dict[str, Any] = {"action": action}
    if protocol:
        rule["protocol"] = protocol
    on_ports = {"ports": ports} if ports else {}
    if direction is Direction.INGRESS:
        return rule | {"source": dict(peer), "destination": on_ports}
    return rule | {"source": {}, "destination": dict(peer) | on_ports}


def _ports(ports: Field) -> list[tuple[str, list[V3Port]]]:
    collected = PortsByProtocol()
    for entry in ports.items():
        entry.only("protocol", "port", "endPort")
        protocol = entry["protocol"].one_of({"TCP": "TCP", "UDP": "UDP", "SCTP": "SCTP"}, "TCP")
        collected.add(protocol, _port(entry))
    return collected.sorted()


def _port(entry: Field) -> V3Port | None:
    port, end_port = entry["port"], entry["endPort"]
    if not port.is_set:
        if end_port.is_set:
            raise end_port.error("needs port, the first of the range")
        return None
    if isinstance(port.value, str) and not port.value.isdigit():
        if end_port.is_set:
            raise end_port.error("a named port has no range")
        return port_name(port)
    number = Field(int(port.value), port.path) if isinstance(port.value, str) else port
    return port_range(number, end_port)


def _peer(peer: Field) -> dict[str, Any]:
    peer.only("podSelector", "namespaceSelector", "ipBlock")
    block = peer["ipBlock"]
    if block.is_set:
        if peer["podSelector"].is_set or peer["namespaceSelector"].is_set:
            raise peer.error("ipBlock stands alone, without podSelector and namespaceSelector")
        block.only("cidr", "except")
        fields: dict[str, Any] = {"nets": [network_text(block["cidr"])]}
        if exceptions := _exceptions(block):
            fields["notNets"] = exceptions
        return fields
    if not (peer["podSelector"].is_set or peer["namespaceSelector"].is_set):
        raise peer.error("must have podSelector, namespaceSelector or ipBlock")
    fields = {"selector": selector_text(peer["podSelector"], Selects.PODS)}
    if namespaces := selector_text(peer["namespaceSelector"], Selects.NAMESPACES):
        fields["namespaceSelector"] = namespaces
    return fields


def _exceptions(block: Field) -> list[str]:
    """Return what an ``ipBlock`` leaves out, each within ``cidr`` and smaller (Kubernetes)."""
    whole = Cidr.parse(network_text(block["cidr"]))
    parts = {network_text(item): item for item in block["except"].items()}
    for text, item in parts.items():
        part = Cidr.parse(text)
        if part not in whole or part == whole:
            raise item.error(f"{text} is not within {whole} and smaller")
    return list(parts)


def network_text(field: Field) -> str:
    """Return the text of a network with prefix length; host bits are cleared, as Calico does.

    Raises:
        ConvertError: not a network, or a bare address.
    """
    return str(Cidr.parse_loose(field.network_text()))
