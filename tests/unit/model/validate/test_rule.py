"""Rules of policies of ``projectcalico.org/v3``: what is refused, where, and what is not."""

from __future__ import annotations

from typing import Any

import pytest

from chita.model.validate.objects import validate

Raw = dict[str, Any]
GNP = "GlobalNetworkPolicy"
TCP: Raw = {"action": "Allow", "protocol": "TCP"}


def allow(**fields: Any) -> Raw:
    return {"action": "Allow", **fields}


def source(**fields: Any) -> Raw:
    return allow(source=fields)


def to(**fields: Any) -> Raw:
    return allow(destination=fields)


def tcp_to(**fields: Any) -> Raw:
    return {**TCP, "destination": fields}


def http(**fields: Any) -> Raw:
    return {**TCP, "http": fields}


def found(kind: str, direction: str, *rules: Raw) -> dict[str, str]:
    obj = {
        "apiVersion": "projectcalico.org/v3",
        "kind": kind,
        "metadata": {"name": "p"},
        "spec": {direction: list(rules)},
    }
    return {problem.field: problem.message for problem in validate(obj)}


@pytest.mark.parametrize(
    ("kind", "direction", "rule"),
    [
        pytest.param("NetworkPolicy", "ingress", {"action": "Log"}, id="log"),
        pytest.param("NetworkPolicy", "ingress", {"action": "Pass"}, id="pass"),
        pytest.param(
            "NetworkPolicy",
            "ingress",
            {**TCP, "destination": {"ports": [1, 65535, "80", "8000:8100", "http", "Web_1.x"]}},
            id="ports",
        ),
        pytest.param(
            "NetworkPolicy",
            "egress",
            {"action": "Deny", "destination": {"ports": ["http"]}},
            id="named-port-without-protocol",
        ),
        pytest.param(
            "NetworkPolicy",
            "ingress",
            {"action": "Allow", "protocol": 132, "source": {"notPorts": [9]}},
            id="ports-of-protocol-number",
        ),
        pytest.param(
            "NetworkPolicy",
            "ingress",
            {"action": "Allow", "protocol": "ICMP", "icmp": {"type": 254, "code": 255}},
            id="icmp",
        ),
        pytest.param(
            "NetworkPolicy",
            "ingress",
            {"action": "Deny", "protocol": 58, "ipVersion": 6, "notICMP": {"type": 0}},
            id="icmpv6-by-number",
        ),
        pytest.param(
            "NetworkPolicy", "ingress", {"action": "Allow", "protocol": "UDPLite"}, id="udplite"
        ),
        pytest.param(
            "NetworkPolicy", "ingress", {"action": "Allow", "notProtocol": "255"}, id="number-text"
        ),
        pytest.param(
            "NetworkPolicy",
            "egress",
            {
                "action": "Allow",
                "destination": {
                    "nets": ["10.0.0.0/8"],
                    "notNets": ["10.1.0.0/16"],
                    "selector": "a == 'b'",
                    "notSelector": "has(c)",
                    "namespaceSelector": "all()",
                    "serviceAccounts": {"names": ["x"], "selector": "has(y)"},
                },
                "source": {"nets": ["192.0.2.0/24"]},
                "metadata": {"annotations": {"from": "ticket 1"}},
            },
            id="all-of-an-entity",
        ),
        pytest.param(
            GNP,
            "ingress",
            {"action": "Allow", "source": {"namespaceSelector": " global() "}},
            id="global-alone",
        ),
        pytest.param(
            "NetworkPolicy",
            "ingress",
            {"action": "Allow", "source": {"nets": ["::/0"]}},
            id="any-net",
        ),
        pytest.param(
            "NetworkPolicy",
            "ingress",
            {**TCP, "http": {"methods": ["GET"], "paths": [{"exact": "/a"}, {"prefix": "/b"}]}},
            id="http",
        ),
        pytest.param(
            "NetworkPolicy",
            "ingress",
            {"action": "Allow", "source": {"services": {"name": "web"}}},
            id="service-of-own-namespace",
        ),
        pytest.param(
            "NetworkPolicy",
            "ingress",
            {**TCP, "source": {"services": {"name": "web"}, "ports": [80]}},
            id="source-service-with-ports",
        ),
        pytest.param(
            GNP,
            "egress",
            {"action": "Allow", "destination": {"services": {"name": "web", "namespace": "shop"}}},
            id="service-of-a-namespace",
        ),
    ],
)
def test_valid_rule(kind: str, direction: str, rule: Raw) -> None:
    assert {} == found(kind, direction, rule)


@pytest.mark.parametrize(
    ("rule", "field", "part"),
    [
        pytest.param({}, "action", "required", id="no-action"),
        pytest.param({"action": "ALLOW"}, "action", "did you mean Allow?", id="action-case"),
        pytest.param({"action": "Reject"}, "action", "Allow, Deny, Log or Pass", id="action"),
        pytest.param({"action": "Allow", "from": []}, "from", "write source", id="from"),
        pytest.param(allow(ipVersion=5), "ipVersion", "4 or 6", id="version"),
        pytest.param(allow(ipVersion="4"), "ipVersion", "without quotes", id="version-text"),
        pytest.param(allow(protocol="tcp"), "protocol", "write TCP", id="protocol-case"),
        pytest.param(allow(protocol=0), "protocol", "1 to 255", id="protocol-zero"),
        pytest.param(allow(protocol=256), "protocol", "1 to 255", id="protocol-high"),
        pytest.param(allow(protocol=6.5), "protocol", "neither", id="protocol-float"),
        pytest.param(tcp_to(ports=[0]), "destination.ports[0]", "1 to 65535", id="port-zero"),
        pytest.param(tcp_to(ports=[65536]), "destination.ports[0]", "1 to 65535", id="port-high"),
        pytest.param(
            tcp_to(ports=["2:1"]), "destination.ports[0]", "smaller port first", id="port-backwards"
        ),
        pytest.param(
            tcp_to(ports=["0:1"]), "destination.ports[0]", "1:65535", id="port-range-zero"
        ),
        pytest.param(tcp_to(ports=["1-2"]), "destination.ports[0]", "write 1:2", id="port-dash"),
        pytest.param(tcp_to(ports=["a b"]), "destination.ports[0]", "not a port", id="port-name"),
        pytest.param(tcp_to(ports=[1] * 51), "destination.ports", "more than 50", id="many-ports"),
        pytest.param(
            to(ports=["web", 80]),
            "destination.ports[1]",
            "needs a protocol",
            id="port-needs-protocol",
        ),
        pytest.param(
            source(notPorts=["1:2"]), "source.notPorts[0]", "needs a protocol", id="not-ports-too"
        ),
        pytest.param(
            allow(protocol="UDPLite", destination={"ports": ["web"]}),
            "destination.ports",
            "UDPLite has no ports",
            id="udplite-ports",
        ),
        pytest.param(
            allow(protocol=47, destination={"ports": [1]}),
            "destination.ports",
            "47 has no ports",
            id="gre-ports",
        ),
        pytest.param(allow(icmp={"type": 8}), "icmp", "ICMP or ICMPv6", id="icmp-without-protocol"),
        pytest.param(
            {**TCP, "notICMP": {"type": 8}}, "notICMP", "ICMP or ICMPv6", id="not-icmp-of-tcp"
        ),
        pytest.param(
            allow(protocol="ICMP", icmp={"code": 1}), "icmp.code", "needs a type", id="icmp-code"
        ),
        pytest.param(
            allow(protocol="ICMP", icmp={"type": 255}), "icmp.type", "0 to 254", id="icmp-type"
        ),
        pytest.param(
            allow(protocol="ICMP", icmp={"type": 0, "code": 256}),
            "icmp.code",
            "0 to 255",
            id="icmp-code-high",
        ),
        pytest.param(allow(protocol="ICMP", ipVersion=6), "ipVersion", "IPv4", id="icmp-family"),
        pytest.param(
            allow(notProtocol="ICMPv6", ipVersion=4), "ipVersion", "IPv6", id="not-icmpv6-family"
        ),
        pytest.param(
            allow(protocol="ICMPv6", source={"nets": ["10.0.0.0/8"]}),
            "source.nets[0]",
            "protocol ICMPv6",
            id="icmpv6-nets",
        ),
        pytest.param(
            source(nets=["10.0.0.1"]),
            "source.nets[0]",
            "write the network 10.0.0.1/32",
            id="bare-address",
        ),
        pytest.param(
            source(nets=["10.0.0.1/8"]), "source.nets[0]", "write 10.0.0.0/8", id="host-bits"
        ),
        pytest.param(source(nets=["10.0.0.0/33"]), "source.nets[0]", "/33", id="prefix"),
        pytest.param(source(nets=["web"]), "source.nets[0]", "not an IP address", id="no-net"),
        pytest.param(
            source(nets=["10.0.0.0/8", "10.0.0.0/8"]),
            "source.nets[1]",
            "already at [0]",
            id="net-twice",
        ),
        pytest.param(
            source(nets=["10.0.0.0/8", "fd00::/8"]),
            "source.nets[1]",
            "one rule for each family",
            id="mixed-families",
        ),
        pytest.param(
            {**source(nets=["10.0.0.0/8"]), "destination": {"notNets": ["fd00::/8"]}},
            "destination.notNets[0]",
            "source.nets 10.0.0.0/8 is of IPv4",
            id="mixed-across-sides",
        ),
        pytest.param(
            {**source(nets=["fd00::/8"]), "ipVersion": 4},
            "source.nets[0]",
            "ipVersion 4",
            id="version-and-nets",
        ),
        pytest.param(
            source(notNets=["0.0.0.0/0"]), "source.notNets[0]", "every address", id="not-everything"
        ),
        pytest.param(
            source(notNets=["::/0"]), "source.notNets[0]", "every address", id="not-everything-6"
        ),
        pytest.param(
            source(selector="global()"), "source.selector", "global()", id="global-selector"
        ),
        pytest.param(
            source(notSelector="a=="), "source.notSelector", "not a selector", id="not-selector"
        ),
        pytest.param(
            source(namespaceSelector="global() || all()"),
            "source.namespaceSelector",
            "alone",
            id="global-with-more",
        ),
        pytest.param(
            source(serviceAccounts={"selector": "has("}),
            "source.serviceAccounts.selector",
            "not a selector",
            id="account-selector",
        ),
        pytest.param(
            source(protocol="TCP"), "source.protocol", "beside source", id="protocol-misplaced"
        ),
        pytest.param(
            {**TCP, "action": "Deny", "http": {}}, "http", "action: Allow", id="http-deny"
        ),
        pytest.param(allow(protocol="UDP", http={}), "http", "protocol: TCP", id="http-udp"),
        pytest.param(
            http(methods=["GET", "GET"]), "http.methods[1]", "already", id="http-method-twice"
        ),
        pytest.param(
            http(methods=[str(n) for n in range(21)]),
            "http.methods",
            "more than 20",
            id="http-methods",
        ),
        pytest.param(
            http(paths=[{"exact": "/a", "prefix": "/b"}]), "http.paths[0]", "either", id="http-both"
        ),
        pytest.param(http(paths=[{}]), "http.paths[0]", "either", id="http-neither"),
        pytest.param(
            http(paths=[{"exact": "a"}]),
            "http.paths[0].exact",
            "starts with '/'",
            id="http-relative",
        ),
        pytest.param(
            http(paths=[{"prefix": "/a?b"}]), "http.paths[0].prefix", "no '?'", id="http-query"
        ),
        pytest.param(
            to(services={"name": "x"}),
            "destination.services",
            "only in its source",
            id="service-side",
        ),
        pytest.param(
            source(services={"name": "x"}, nets=["10.0.0.0/8"]),
            "source.nets",
            "services",
            id="service-nets",
        ),
        pytest.param(
            allow(metadata={"annotations": {"a b": ""}}),
            "metadata.annotations.a b",
            "label key",
            id="annotation",
        ),
    ],
)
def test_refused_ingress_rule(rule: Raw, field: str, part: str) -> None:
    """One mistake in the second rule is one problem, at its field."""
    problems = found("NetworkPolicy", "ingress", {"action": "Log"}, rule)

    assert [f"spec.ingress[1].{field}"] == list(problems)
    assert part in problems[f"spec.ingress[1].{field}"]


@pytest.mark.parametrize(
    ("rule", "field", "part"),
    [
        pytest.param({**TCP, "ports": [80]}, "ports", "destination or source", id="ports"),
        pytest.param(http(), "http", "ingress rules only", id="http-egress"),
        pytest.param(
            source(services={"name": "x"}),
            "source.services",
            "only in its destination",
            id="service-side-egress",
        ),
        pytest.param(to(services={}), "destination.services.name", "required", id="service-name"),
        pytest.param(
            tcp_to(services={"name": "x"}, ports=[80]),
            "destination.ports",
            "services",
            id="service-ports",
        ),
        pytest.param(
            to(services={"name": "x"}, selector="all()"),
            "destination.selector",
            "services",
            id="service-selector",
        ),
    ],
)
def test_refused_egress_rule(rule: Raw, field: str, part: str) -> None:
    """What only stands in ingress rules, and services as destinations."""
    problems = found("NetworkPolicy", "egress", {"action": "Log"}, rule)

    assert [f"spec.egress[1].{field}"] == list(problems)
    assert part in problems[f"spec.egress[1].{field}"]


def test_global_policy_names_the_namespace_of_a_service() -> None:
    rule = {"action": "Allow", "destination": {"services": {"name": "web"}}}

    problems = found(GNP, "egress", rule)

    assert ["spec.egress[0].destination.services.namespace"] == list(problems)
