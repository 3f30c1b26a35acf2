"""``networking.k8s.io/v1`` NetworkPolicy and ClusterNetworkPolicy v1alpha2."""

from __future__ import annotations

from typing import Any

import pytest

from chita.model.validate.objects import validate

Raw = dict[str, Any]


def found(spec: Any) -> dict[str, str]:
    obj = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "p", "namespace": "shop"},
        "spec": spec,
    }
    return {problem.field: problem.message for problem in validate(obj)}


def ingress(*peers: Raw, ports: list[Raw] | None = None) -> Raw:
    return {"podSelector": {}, "ingress": [{"from": list(peers), "ports": ports or []}]}


def expression(**fields: Any) -> Raw:
    return {"podSelector": {"matchExpressions": [{"key": "a", **fields}]}}


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(None, id="no-spec"),
        pytest.param({"podSelector": None, "policyTypes": ["Egress"]}, id="null-selector"),
        pytest.param({"podSelector": {"matchLabels": {"a": "b"}}, "ingress": [{}]}, id="allow-all"),
        pytest.param(expression(operator="In", values=["x"]), id="in"),
        pytest.param(expression(operator="Exists", values=[]), id="exists"),
        pytest.param(ingress({"podSelector": {}, "namespaceSelector": {}}), id="both-selectors"),
        pytest.param(
            ingress({"ipBlock": {"cidr": "10.0.0.1/8", "except": ["10.1.0.0/16"]}}), id="ip-block"
        ),
        pytest.param(
            ingress(ports=[{"port": 80, "endPort": 90}, {"protocol": "SCTP"}, {"port": "http"}]),
            id="ports",
        ),
        pytest.param({"egress": [{"to": [{"podSelector": {}}], "ports": None}]}, id="egress"),
    ],
)
def test_valid(spec: Raw | None) -> None:
    assert {} == found(spec)


@pytest.mark.parametrize(
    ("spec", "field", "part"),
    [
        pytest.param({"selector": "all()"}, "selector", "write podSelector", id="v3-field"),
        pytest.param({"policyTypes": ["Both"]}, "policyTypes[0]", "Ingress or Egress", id="type"),
        pytest.param(
            {"ingress": [{"to": []}]}, "ingress[0].to", "has from", id="direction-mixed-up"
        ),
        pytest.param(ingress({}), "ingress[0].from[0]", "is empty", id="empty-peer"),
        pytest.param(
            ingress({"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}}),
            "ingress[0].from[0].ipBlock",
            "two peers",
            id="block-and-selector",
        ),
        pytest.param(
            ingress({"ipBlock": {"cidr": "10.0.0.1"}}),
            "ingress[0].from[0].ipBlock.cidr",
            "10.0.0.1/32",
            id="bare-address",
        ),
        pytest.param(
            ingress({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}}),
            "ingress[0].from[0].ipBlock.except[0]",
            "not within",
            id="except-outside",
        ),
        pytest.param(
            ingress({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]}}),
            "ingress[0].from[0].ipBlock.except[0]",
            "smaller",
            id="except-all",
        ),
        pytest.param(
            ingress({"podSelector": {"matchLabels": {"a": 1}}}),
            "ingress[0].from[0].podSelector.matchLabels.a",
            "quotes",
            id="label-number",
        ),
        pytest.param(
            ingress(ports=[{"protocol": "ICMP"}]),
            "ingress[0].ports[0].protocol",
            "TCP, UDP or SCTP",
            id="protocol",
        ),
        pytest.param(
            ingress(ports=[{"port": 0}]), "ingress[0].ports[0].port", "1 to 65535", id="port-zero"
        ),
        pytest.param(
            ingress(ports=[{"port": "80"}]), "ingress[0].ports[0].port", "without quotes", id="text"
        ),
        pytest.param(
            ingress(ports=[{"port": "Web_1"}]),
            "ingress[0].ports[0].port",
            "not a port name",
            id="port-name",
        ),
        pytest.param(
            ingress(ports=[{"endPort": 90}]),
            "ingress[0].ports[0].endPort",
            "needs a port number",
            id="end-without-port",
        ),
        pytest.param(
            ingress(ports=[{"port": "http", "endPort": 90}]),
            "ingress[0].ports[0].endPort",
            "needs a port number",
            id="end-of-name",
        ),
        pytest.param(
            ingress(ports=[{"port": 90, "endPort": 80}]),
            "ingress[0].ports[0].endPort",
            "swap",
            id="end-first",
        ),
        pytest.param(
            expression(operator="In"),
            "podSelector.matchExpressions[0].values",
            "at least one",
            id="in-nothing",
        ),
        pytest.param(
            expression(operator="Exists", values=["x"]),
            "podSelector.matchExpressions[0].values",
            "takes no values",
            id="exists-value",
        ),
        pytest.param(
            expression(operator="Equals", values=["x"]),
            "podSelector.matchExpressions[0].operator",
            "In, NotIn",
            id="operator",
        ),
        pytest.param(
            expression(), "podSelector.matchExpressions[0].operator", "required", id="no-operator"
        ),
    ],
)
def test_refused(spec: Raw, field: str, part: str) -> None:
    problems = found(spec)

    assert [f"spec.{field}"] == list(problems)
    assert part in problems[f"spec.{field}"]


def cluster_found(**changes: Any) -> dict[str, str]:
    spec = {"tier": "Admin", "priority": 10, "subject": {"namespaces": {}}, **changes}
    obj = {
        "apiVersion": "policy.networking.k8s.io/v1alpha2",
        "kind": "ClusterNetworkPolicy",
        "metadata": {"name": "p"},
        "spec": spec,
    }
    return {problem.field: problem.message for problem in validate(obj)}


def rule(**fields: Any) -> list[Raw]:
    return [{"action": "Accept", "to": [{"namespaces": {}}], **fields}]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="no-rules"),
        pytest.param(
            {"subject": {"pods": {"namespaceSelector": {}, "podSelector": {}}}}, id="pods"
        ),
        pytest.param({"egress": rule(to=[{"networks": ["10.0.0.0/8"]}])}, id="networks"),
        pytest.param(
            {
                "egress": rule(
                    protocols=[
                        {"tcp": {"destinationPort": {"number": 80}}},
                        {"udp": {"destinationPort": {"range": {"start": 1, "end": 2}}}},
                        {"sctp": {}},
                        {"destinationNamedPort": "dns"},
                    ]
                )
            },
            id="protocols",
        ),
    ],
)
def test_valid_cluster_policy(changes: Raw) -> None:
    assert {} == cluster_found(**changes)


@pytest.mark.parametrize(
    ("changes", "field", "part"),
    [
        pytest.param({"tier": "Default"}, "tier", "Admin or Baseline", id="tier"),
        pytest.param({"priority": 1001}, "priority", "0 to 1000", id="priority"),
        pytest.param({"subject": {}}, "subject", "0 fields", id="no-subject"),
        pytest.param({"egress": rule(action="Allow")}, "egress[0].action", "Accept", id="action"),
        pytest.param({"egress": rule(to=[])}, "egress[0].to", "at least 1", id="no-peers"),
        pytest.param(
            {"egress": rule(to=[{"namespaces": {}, "networks": ["::/0"]}])},
            "egress[0].to[0]",
            "2 fields, not one",
            id="two-kinds-of-peer",
        ),
        pytest.param(
            {"egress": rule(to=[{"domainNames": ["a.b"]}])},
            "egress[0].to[0].domainNames",
            "not supported",
            id="domain-names",
        ),
        pytest.param(
            {"egress": rule(protocols=[{}])}, "egress[0].protocols[0]", "0 fields", id="protocol"
        ),
        pytest.param(
            {"egress": rule(protocols=[{"tcp": {"destinationPort": {}}}])},
            "egress[0].protocols[0].tcp.destinationPort",
            "either number or range",
            id="port",
        ),
        pytest.param(
            {
                "egress": rule(
                    protocols=[{"tcp": {"destinationPort": {"range": {"start": 2, "end": 1}}}}]
                )
            },
            "egress[0].protocols[0].tcp.destinationPort.range.end",
            "smaller",
            id="range",
        ),
    ],
)
def test_refused_cluster_policy(changes: Raw, field: str, part: str) -> None:
    problems = cluster_found(**changes)

    assert [f"spec.{field}"] == list(problems)
    assert part in problems[f"spec.{field}"]
