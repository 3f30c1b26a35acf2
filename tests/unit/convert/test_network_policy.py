"""Kubernetes NetworkPolicies become the v3 policies that Calico makes of them."""

from __future__ import annotations

from typing import Any

import pytest

from chita.convert.network_policy import network_policy
from chita.model.problem import Problem

PODS = "projectcalico.org/orchestrator == 'k8s'"


def obj(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "test.policy", "namespace": "default"},
        "spec": {"podSelector": {}, **spec},
    }


def spec_of(**spec: Any) -> dict[str, Any]:
    converted = network_policy(obj(**spec))
    assert converted.problems == ()
    assert converted.policy is not None
    found: dict[str, Any] = converted.policy["spec"]
    return found


def test_identity() -> None:
    """Its name and namespace stay; tier default, order 1000 (calico 2.14)."""
    expected = {
        "apiVersion": "projectcalico.org/v3",
        "kind": "NetworkPolicy",
        "metadata": {"name": "test.policy", "namespace": "default"},
        "spec": {"tier": "default", "order": 1000, "selector": PODS, "types": ["Ingress"]},
    }

    assert expected == network_policy(obj()).policy


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        pytest.param({}, PODS, id="empty"),
        pytest.param(
            {"matchLabels": {"label2": "value2", "label": "value"}},
            f"{PODS} && label == 'value' && label2 == 'value2'",
            id="labels-in-order-of-keys",
        ),
        pytest.param(
            {"matchExpressions": [{"key": "k", "operator": "In", "values": ["b", "a"]}]},
            f"{PODS} && k in {{ 'b', 'a' }}",
            id="in-as-written",
        ),
        pytest.param(
            {"matchExpressions": [{"key": "k", "operator": "NotIn", "values": ["a"]}]},
            f"{PODS} && k not in {{ 'a' }}",
            id="not-in",
        ),
        pytest.param(
            {
                "matchLabels": {"a": "b"},
                "matchExpressions": [
                    {"key": "toast", "operator": "DoesNotExist"},
                    {"key": "bread", "operator": "Exists"},
                ],
            },
            f"{PODS} && a == 'b' && ! has(toast) && has(bread)",
            id="labels-before-expressions",
        ),
    ],
)
def test_selector(selector: dict[str, Any], expected: str) -> None:
    """The text is upstream's, character by character."""
    assert expected == spec_of(podSelector=selector)["selector"]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({}, ["Ingress"], id="no-types-no-egress"),
        pytest.param({"egress": [{}]}, ["Ingress", "Egress"], id="no-types-with-egress"),
        pytest.param({"policyTypes": ["Egress"]}, ["Egress"], id="default-deny-egress"),
        pytest.param(
            {"policyTypes": ["Egress", "Ingress"]}, ["Ingress", "Egress"], id="both-in-order"
        ),
        pytest.param({"policyTypes": ["Ingress"], "egress": [{}]}, ["Ingress"], id="as-written"),
    ],
)
def test_types(spec: dict[str, Any], expected: list[str]) -> None:
    """Absent policyTypes are what the Kubernetes API server fills in."""
    assert expected == spec_of(**spec)["types"]


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        pytest.param(
            {"podSelector": {"matchLabels": {"k": "v"}}},
            {"selector": f"{PODS} && k == 'v'"},
            id="pods",
        ),
        pytest.param(
            {"namespaceSelector": {"matchLabels": {"k": "v"}}},
            {"selector": PODS, "namespaceSelector": "k == 'v'"},
            id="namespaces",
        ),
        pytest.param(
            {"namespaceSelector": {}},
            {"selector": PODS, "namespaceSelector": "all()"},
            id="all-namespaces",
        ),
        pytest.param(
            {
                "podSelector": {"matchLabels": {"a": "b"}},
                "namespaceSelector": {"matchLabels": {"k": "v"}},
            },
            {"selector": f"{PODS} && a == 'b'", "namespaceSelector": "k == 'v'"},
            id="pods-of-namespaces",
        ),
        pytest.param(
            {"ipBlock": {"cidr": "192.0.2.7/24", "except": ["192.0.2.128/25", "192.0.2.5/32"]}},
            {"nets": ["192.0.2.0/24"], "notNets": ["192.0.2.128/25", "192.0.2.5/32"]},
            id="networks-masked",
        ),
        pytest.param({"ipBlock": {"cidr": "2001:db8::/32"}}, {"nets": ["2001:db8::/32"]}, id="v6"),
    ],
)
def test_peer(peer: dict[str, Any], expected: dict[str, Any]) -> None:
    """A peer is the source of an ingress rule and the destination of an egress rule."""
    spec = spec_of(ingress=[{"from": [peer]}], egress=[{"to": [peer]}])

    assert [{"action": "Allow", "source": expected, "destination": {}}] == spec["ingress"]
    assert [{"action": "Allow", "source": {}, "destination": expected}] == spec["egress"]


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        pytest.param([], [(None, None)], id="none-is-everything"),
        pytest.param([{}], [("TCP", None)], id="empty-port-is-all-of-tcp"),
        pytest.param([{"port": 80}, {"port": "foo"}], [("TCP", [80, "foo"])], id="tcp-by-default"),
        pytest.param(
            [{"port": p} for p in (9090, "foo", 82, 80, 81)],
            [("TCP", ["foo", "80:82", 9090])],
            id="adjacent-joined-names-first",
        ),
        pytest.param(
            [{"port": 80, "endPort": 90}, {"port": 85, "endPort": 95}, {"port": 95}],
            [("TCP", ["80:95"])],
            id="overlapping-ranges",
        ),
        pytest.param([{"port": 80, "endPort": 80}], [("TCP", [80])], id="range-of-one"),
        pytest.param(
            [
                {"port": 90, "protocol": "UDP"},
                {"port": 80, "protocol": "TCP"},
                {"protocol": "SCTP"},
            ],
            [("SCTP", None), ("TCP", [80]), ("UDP", [90])],
            id="one-rule-a-protocol-in-order-of-names",
        ),
        pytest.param([{"port": 80}, {"protocol": "TCP"}], [("TCP", None)], id="all-ports-win"),
        pytest.param([{"protocol": "TCP"}, {"port": 80}], [("TCP", None)], id="all-ports-stay"),
        pytest.param([{"port": "80"}, {"port": 443}], [("TCP", [80, 443])], id="number-as-text"),
    ],
)
def test_ports(ports: list[Any], expected: list[tuple[str | None, list[Any] | None]]) -> None:
    """Ports are collected by protocol and simplified (upstream SimplifyPorts)."""
    rules = spec_of(ingress=[{"ports": ports}])["ingress"]
    found = [(rule.get("protocol"), rule["destination"].get("ports")) for rule in rules]

    assert expected == found


def test_order_of_rules() -> None:
    """Protocols in order, and the peers within each in theirs."""
    peers = [{"podSelector": {"matchLabels": {"k": "v"}}}, {"ipBlock": {"cidr": "192.0.2.0/24"}}]
    ports = [{"port": 90, "protocol": "UDP"}, {"port": 80, "protocol": "TCP"}]
    rules = spec_of(ingress=[{"from": peers, "ports": ports}])["ingress"]
    found = [(rule["protocol"], list(rule["source"])) for rule in rules]

    assert [
        ("TCP", ["selector"]),
        ("TCP", ["nets"]),
        ("UDP", ["selector"]),
        ("UDP", ["nets"]),
    ] == found


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        pytest.param({"ports": [{"port": "-50:-1"}]}, "ports[0].port", id="not-a-name"),
        pytest.param({"ports": [{"port": 70000}]}, "ports[0].port", id="out-of-range"),
        pytest.param({"ports": [{"port": 0}]}, "ports[0].port", id="zero"),
        pytest.param({"ports": [{"port": 9, "endPort": 8}]}, "ports[0].endPort", id="backwards"),
        pytest.param(
            {"ports": [{"port": "a", "endPort": 8}]}, "ports[0].endPort", id="named-range"
        ),
        pytest.param({"ports": [{"endPort": 8}]}, "ports[0].endPort", id="end-without-start"),
        pytest.param({"ports": [{"protocol": "ICMP"}]}, "ports[0].protocol", id="no-ports-there"),
        pytest.param({"ports": {"port": 80}}, "ports", id="not-a-list"),
        pytest.param({"from": [{}]}, "from[0]", id="empty-peer"),
        pytest.param({"from": [{"podselector": {}}]}, "from[0].podselector", id="misspelt"),
        pytest.param({"form": []}, "form", id="misspelt-peers"),
        pytest.param(
            {"from": [{"ipBlock": {"cidr": "192.0.2.0/33"}}]}, "from[0].ipBlock.cidr", id="prefix"
        ),
        pytest.param(
            {"from": [{"ipBlock": {"cidr": "192.0.2.1"}}]},
            "from[0].ipBlock.cidr",
            id="bare-address",
        ),
        pytest.param(
            {"from": [{"ipBlock": {"cidr": "192.0.2.0/24", "except": ["bad"]}}]},
            "from[0].ipBlock.except[0]",
            id="exception",
        ),
        pytest.param(
            {"from": [{"ipBlock": {"cidr": "192.0.2.0/24"}, "podSelector": {}}]},
            "from[0]",
            id="block-and-pods",
        ),
        pytest.param(
            {"from": [{"podSelector": {"matchExpressions": [{"key": "a", "operator": "Eq"}]}}]},
            "from[0].podSelector.matchExpressions[0].operator",
            id="operator",
        ),
        pytest.param(
            {"from": [{"podSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}]},
            "from[0].podSelector.matchExpressions[0].values",
            id="no-values",
        ),
        pytest.param(
            {"from": [{"podSelector": {"matchLabels": {"a": 1}}}]},
            "from[0].podSelector.matchLabels[a]",
            id="label-not-text",
        ),
    ],
)
def test_rule_that_means_nothing_is_left_out(rule: dict[str, Any], field: str) -> None:
    """The others stay, and the policy still isolates its pods: less is allowed, never more."""
    good = {"ports": [{"port": 80}]}
    converted = network_policy(obj(ingress=[rule, good]))
    alone = network_policy(obj(ingress=[good]))
    (problem,) = converted.problems

    assert alone.policy == converted.policy
    assert f"spec.ingress[0].{field}" == problem.field
    assert problem.message.endswith("; the rule is left out")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param(
            {"podSelector": {"matchLabels": "a"}},
            Problem("spec.podSelector.matchLabels", "must be a map, not 'a'"),
            id="pod-selector",
        ),
        pytest.param(
            {"policyTypes": ["ingress"]},
            Problem("spec.policyTypes[0]", "must be one of Ingress, Egress, not 'ingress'"),
            id="types",
        ),
    ],
)
def test_policy_that_means_nothing(spec: dict[str, Any], expected: Problem) -> None:
    """Without its selector or types there is no policy to speak of."""
    converted = network_policy(obj(**spec))

    assert converted.policy is None
    assert (expected,) == converted.problems
