"""Rules over several fields of Kubernetes' policies.

``networking.k8s.io/v1`` as kube-apiserver checks it (``pkg/apis/networking/validation``), and
``policy.networking.k8s.io/v1alpha2`` as its CRD does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from chita.model.net import Cidr
from chita.model.problem import Problem

Raw = Mapping[str, Any]


def spec_problems(obj: Raw, broken: frozenset[str]) -> Iterator[Problem]:
    """Yield what is wrong with the spec of a NetworkPolicy beyond its structure."""
    if broken:
        return
    spec = obj.get("spec") or {}
    yield from label_selector_problems(spec.get("podSelector"), "spec.podSelector")
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(direction) or []):
            path = f"spec.{direction}[{index}]"
            for number, peer in enumerate(rule.get(peers) or []):
                yield from _peer_problems(peer, f"{path}.{peers}[{number}]")
            for number, port in enumerate(rule.get("ports") or []):
                yield from _port_problems(port, f"{path}.ports[{number}]")


def cluster_policy_problems(obj: Raw, broken: frozenset[str]) -> Iterator[Problem]:
    """Yield what is wrong with the spec of a ClusterNetworkPolicy beyond its structure."""
    if broken:
        return
    spec = obj["spec"]
    yield from _selection_problems(spec["subject"], "spec.subject")
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(direction) or []):
            path = f"spec.{direction}[{index}]"
            for number, peer in enumerate(rule[peers]):
                yield from _selection_problems(peer, f"{path}.{peers}[{number}]")
            for number, protocol in enumerate(rule.get("protocols") or []):
                yield from _protocol_problems(protocol, f"{path}.protocols[{number}]")


def admin_policy_problems(obj: Raw, broken: frozenset[str]) -> Iterator[Problem]:
    """Yield what is wrong with the spec of a (Baseline)AdminNetworkPolicy beyond its structure."""
    yield from cluster_policy_problems(obj, broken)
    if broken:
        return
    for direction in ("ingress", "egress"):
        for index, rule in enumerate(obj["spec"].get(direction) or []):
            for number, port in enumerate(rule.get("ports") or []):
                yield from _admin_port_problems(port, f"spec.{direction}[{index}].ports[{number}]")


def label_selector_problems(selector: Raw | None, path: str) -> Iterator[Problem]:
    """``metav1.LabelSelector``: which operators take values."""
    for index, expression in enumerate((selector or {}).get("matchExpressions") or []):
        where = f"{path}.matchExpressions[{index}].values"
        operator, values = expression["operator"], expression.get("values")
        if operator in {"In", "NotIn"} and not values:
            yield Problem(where, f"operator {operator} needs at least one value")
        if operator in {"Exists", "DoesNotExist"} and values:
            yield Problem(where, f"operator {operator} takes no values; remove them")


def _peer_problems(peer: Raw, path: str) -> Iterator[Problem]:
    block = peer.get("ipBlock")
    selectors = [
        field for field in ("podSelector", "namespaceSelector") if peer.get(field) is not None
    ]
    if block is None and not selectors:
        yield Problem(path, "is empty; write podSelector, namespaceSelector or ipBlock")
    if block is not None and selectors:
        yield Problem(
            f"{path}.ipBlock", f"does not go with {selectors[0]}; write them as two peers"
        )
    for field in selectors:
        yield from label_selector_problems(peer[field], f"{path}.{field}")
    if block is not None:
        yield from _block_problems(block, f"{path}.ipBlock")


def _block_problems(block: Raw, path: str) -> Iterator[Problem]:
    whole = Cidr.parse_loose(block["cidr"])
    for index, text in enumerate(block.get("except") or []):
        part = Cidr.parse_loose(text)
        if part not in whole or part == whole:
            yield Problem(
                f"{path}.except[{index}]", f"{text} is not within cidr {block['cidr']} and smaller"
            )


def _port_problems(port: Raw, path: str) -> Iterator[Problem]:
    first, last = port.get("port"), port.get("endPort")
    if not first and first is not None:
        yield Problem(f"{path}.port", "is empty; write a port number or name, or remove it")
    if last is None:
        return
    if not isinstance(first, int):
        yield Problem(f"{path}.endPort", f"{last} needs a port number in port")
    elif last < first:
        yield Problem(f"{path}.endPort", f"{last} is smaller than port {first}; swap them")


def _selection_problems(selection: Raw, path: str) -> Iterator[Problem]:
    named = [field for field, value in selection.items() if value is not None]
    if len(named) != 1:
        fields = "namespaces, pods or networks" if ".to[" in path else "namespaces or pods"
        yield Problem(path, f"has {len(named)} fields, not one; write {fields}")
    yield from label_selector_problems(selection.get("namespaces"), f"{path}.namespaces")
    pods = selection.get("pods") or {}
    for field in ("namespaceSelector", "podSelector"):
        yield from label_selector_problems(pods.get(field), f"{path}.pods.{field}")


def _admin_port_problems(port: Raw, path: str) -> Iterator[Problem]:
    named = [field for field, value in port.items() if value is not None]
    if len(named) != 1:
        yield Problem(
            path, f"has {len(named)} fields, not one; write portNumber, portRange or namedPort"
        )
    if port.get("namedPort") == "":
        yield Problem(f"{path}.namedPort", "is empty; write the name of a port")
    span = port.get("portRange")
    if span is not None and span["end"] < span["start"]:
        yield Problem(f"{path}.portRange.end", f"{span['end']} is smaller than {span['start']}")


def _protocol_problems(protocol: Raw, path: str) -> Iterator[Problem]:
    named = [field for field, value in protocol.items() if value is not None]
    if len(named) != 1:
        yield Problem(
            path,
            f"has {len(named)} fields, not one; write tcp, udp, sctp or destinationNamedPort",
        )
    if protocol.get("destinationNamedPort") == "":
        yield Problem(f"{path}.destinationNamedPort", "is empty; write the name of a port")
    for name in ("tcp", "udp", "sctp"):
        port = (protocol.get(name) or {}).get("destinationPort")
        if port is None:
            continue
        where = f"{path}.{name}.destinationPort"
        span = port.get("range")
        if (port.get("number") is None) == (span is None):
            yield Problem(where, "needs either number or range")
        elif span is not None and span["end"] < span["start"]:
            yield Problem(f"{where}.range.end", f"{span['end']} is smaller than {span['start']}")
