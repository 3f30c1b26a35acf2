"""Kubernetes' own definition of NetworkPolicy, against conversion and evaluation together.

The definition here is written from the API's documentation alone (networking.k8s.io/v1), without
any of our code: policies of a pod's namespace that select it isolate it, and of these any rule may
allow.
"""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chita.cli.flows import Inquiry, Question
from chita.convert.world import cluster_from_objects

Object = dict[str, Any]

KEYS, VALUES = st.sampled_from(["a", "b"]), st.sampled_from(["x", "y"])
LABELS = st.dictionaries(KEYS, VALUES, max_size=2)
NETWORKS = st.sampled_from(["10.244.0.0/16", "10.244.0.0/30", "10.244.0.2/32", "192.0.2.0/24"])
NAMES = {"http": ("TCP", 80), "dns": ("UDP", 53)}

expressions = st.one_of(
    st.fixed_dictionaries(
        {
            "key": KEYS,
            "operator": st.sampled_from(["In", "NotIn"]),
            "values": st.lists(VALUES, min_size=1, max_size=2),
        }
    ),
    st.fixed_dictionaries({"key": KEYS, "operator": st.sampled_from(["Exists", "DoesNotExist"])}),
)


def is_smaller(net: str, block: Object) -> bool:
    """Kubernetes refuses an exception that is not a smaller part of the block."""
    part, whole = ipaddress.IPv4Network(net), ipaddress.IPv4Network(block["cidr"])
    return part.subnet_of(whole) and part != whole


selectors = st.fixed_dictionaries(
    {}, optional={"matchLabels": LABELS, "matchExpressions": st.lists(expressions, max_size=2)}
)
peers = st.one_of(
    st.fixed_dictionaries({"podSelector": selectors}),
    st.fixed_dictionaries({"namespaceSelector": selectors}),
    st.fixed_dictionaries({"podSelector": selectors, "namespaceSelector": selectors}),
    st.fixed_dictionaries(
        {
            "ipBlock": st.fixed_dictionaries(
                {"cidr": NETWORKS}, optional={"except": st.lists(NETWORKS, max_size=1)}
            ).filter(lambda block: all(is_smaller(net, block) for net in block.get("except", [])))
        }
    ),
)
PROTOCOLS = st.sampled_from(["TCP", "UDP"])
ports: st.SearchStrategy[Object] = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"protocol": PROTOCOLS}),
    st.fixed_dictionaries(
        {"port": st.sampled_from([53, 80, 81])}, optional={"protocol": PROTOCOLS}
    ),
    st.fixed_dictionaries({"port": st.sampled_from(list(NAMES))}, optional={"protocol": PROTOCOLS}),
    st.fixed_dictionaries({"port": st.just(53), "endPort": st.sampled_from([53, 80])}),
)


def rules(peer: str) -> st.SearchStrategy[list[Object]]:
    rule = st.fixed_dictionaries(
        {}, optional={peer: st.lists(peers, max_size=2), "ports": st.lists(ports, max_size=2)}
    )
    return st.lists(rule, max_size=2)


specs = st.fixed_dictionaries(
    {"podSelector": selectors},
    optional={
        "policyTypes": st.sampled_from([["Ingress"], ["Egress"], ["Ingress", "Egress"]]),
        "ingress": rules("from"),
        "egress": rules("to"),
    },
)
policies = st.lists(st.tuples(st.sampled_from(["n0", "n1"]), specs), max_size=4)


class Pod:
    """A pod of the world: where it is, its labels and its named ports."""

    def __init__(self, index: int, labels: dict[str, str], names: list[str]) -> None:
        self.namespace = f"n{index % 2}"
        self.key = f"{self.namespace}/p{index}"
        self.address = f"10.244.0.{index}"
        self.labels = labels
        self.named = {name: NAMES[name] for name in names}

    def manifest(self) -> Object:
        ports = [
            {"name": name, "containerPort": number, "protocol": protocol}
            for name, (protocol, number) in self.named.items()
        ]
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": self.key.split("/")[1],
                "namespace": self.namespace,
                "labels": self.labels,
            },
            "spec": {"nodeName": f"node-{self.address}", "containers": [{"ports": ports}]},
            "status": {"podIP": self.address},
        }


pods = st.lists(
    st.tuples(LABELS, st.lists(st.sampled_from(list(NAMES)), unique=True, max_size=2)),
    min_size=3,
    max_size=4,
).map(lambda found: [Pod(index, *each) for index, each in enumerate(found)])


def selects(selector: Object, labels: dict[str, str]) -> bool:
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for each in selector.get("matchExpressions", []):
        key, values = each["key"], each.get("values", [])
        fits = {
            "In": labels.get(key) in values,
            "NotIn": labels.get(key) not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }
        if not fits[each["operator"]]:
            return False
    return True


def is_peer(peer: Object, namespace: str, other: Pod, namespaces: dict[str, Object]) -> bool:
    if "ipBlock" in peer:
        address = ipaddress.ip_address(other.address)
        block = peer["ipBlock"]
        nets = [ipaddress.ip_network(net) for net in block.get("except", [])]
        inside = address in ipaddress.ip_network(block["cidr"])
        return inside and not any(address in net for net in nets)
    if "namespaceSelector" in peer:
        if not selects(peer["namespaceSelector"], namespaces[other.namespace]):
            return False
    elif other.namespace != namespace:
        return False
    return selects(peer.get("podSelector", {}), other.labels)


def is_port(entry: Object, protocol: str, number: int, receiver: Pod) -> bool:
    if entry.get("protocol", "TCP") != protocol:
        return False
    port: Any = entry.get("port")
    if port is None:
        return True
    if isinstance(port, str):
        return receiver.named.get(port) == (protocol, number)
    first, last = int(port), int(entry.get("endPort", port))
    return first <= number <= last


def allows(  # noqa: PLR0917 - one parameter a fact
    found: list[tuple[str, Object]],
    direction: str,
    own: Pod,
    other: Pod,
    traffic: tuple[str, int, Pod],
    namespaces: dict[str, Object],
) -> bool:
    """Whether *own* may have *traffic* with *other* in *direction*, as Kubernetes says."""
    isolated = False
    name, peer_name = ("ingress", "from") if direction == "Ingress" else ("egress", "to")
    for namespace, spec in found:
        default = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
        if direction not in spec.get("policyTypes", default):
            continue
        if namespace != own.namespace or not selects(spec["podSelector"], own.labels):
            continue
        isolated = True
        for rule in spec.get(name, []):
            some_peer = not rule.get(peer_name) or any(
                is_peer(peer, namespace, other, namespaces) for peer in rule[peer_name]
            )
            some_port = not rule.get("ports") or any(
                is_port(entry, *traffic) for entry in rule["ports"]
            )
            if some_peer and some_port:
                return True
    return not isolated


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(pods, policies, LABELS, LABELS)
def test_as_kubernetes_says(
    world: list[Pod],
    found: list[tuple[str, Object]],
    first: dict[str, str],
    second: dict[str, str],
) -> None:
    """Every pair of pods, on a few ports of both protocols, in both directions."""
    namespaces: dict[str, Object] = {"n0": first, "n1": second}
    objects: list[Object] = [each.manifest() for each in world]
    objects += [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        for name, labels in namespaces.items()
    ]
    objects += [
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": f"p{index}", "namespace": namespace},
            "spec": spec,
        }
        for index, (namespace, spec) in enumerate(found)
    ]
    cluster = cluster_from_objects(objects)
    assert cluster.problems == ()
    inquiry = Inquiry(cluster)
    for sender in world:
        for receiver in world:
            if sender is receiver:
                continue
            for protocol, port in (("TCP", 80), ("TCP", 53), ("TCP", 81), ("UDP", 53), ("UDP", 80)):
                traffic = (protocol, port, receiver)
                egress = allows(found, "Egress", sender, receiver, traffic, namespaces)
                ingress = allows(found, "Ingress", receiver, sender, traffic, namespaces)
                answer = inquiry.ask(
                    Question(from_=sender.key, to=receiver.key, port=port, protocol=protocol)
                )
                seen = (answer.egress.action == "allow", answer.ingress.action == "allow")
                assert (egress, ingress) == seen, (sender.key, receiver.key, protocol, port)
