"""Endpoints and network sets."""

from __future__ import annotations

from typing import Any

import pytest

from chita.model.validate.objects import validate

Raw = dict[str, Any]


def found(kind: str, spec: Raw) -> dict[str, str]:
    obj = {
        "apiVersion": "projectcalico.org/v3",
        "kind": kind,
        "metadata": {"name": "e"},
        "spec": spec,
    }
    return {problem.field: problem.message for problem in validate(obj)}


HOST: Raw = {"node": "n1", "interfaceName": "eth0"}
PORT: Raw = {"name": "http", "protocol": "TCP", "port": 80}
POD: Raw = {"node": "n1", "pod": "web-1", "ipNetworks": ["10.244.0.1/32", "fd00:10:244::1"]}


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        pytest.param("NetworkSet", {}, id="empty-set"),
        pytest.param(
            "GlobalNetworkSet", {"nets": ["192.0.2.1", "10.0.0.1/8", "2001:db8::/32"]}, id="set"
        ),
        pytest.param("HostEndpoint", HOST | {"ports": [PORT], "profiles": ["a"]}, id="host"),
        pytest.param("HostEndpoint", {"node": "n1", "interfaceName": "*"}, id="all-interfaces"),
        pytest.param("HostEndpoint", {"node": "n1", "expectedIPs": ["192.0.2.1"]}, id="by-address"),
        pytest.param(
            "WorkloadEndpoint",
            POD
            | {
                "mac": "02:00:5E:00:53:01",
                "interfaceName": "cali12345678901",
                "ipv4Gateway": "169.254.1.1",
                "ipNATs": [{"internalIP": "10.244.0.1", "externalIP": "198.51.100.1"}],
                "ports": [PORT, {"protocol": 17, "port": 53, "hostPort": 53}],
            },
            id="workload",
        ),
    ],
)
def test_valid(kind: str, spec: Raw) -> None:
    assert {} == found(kind, spec)


@pytest.mark.parametrize(
    ("kind", "spec", "field", "part"),
    [
        pytest.param("NetworkSet", {"nets": ["10.0.0"]}, ".nets[0]", "not an IP", id="no-net"),
        pytest.param("NetworkSet", {"nets": "10.0.0.0/8"}, ".nets", "not a list", id="no-list"),
        pytest.param(
            "NetworkSet", {"domains": []}, ".domains", "no domain names", id="domain-names"
        ),
        pytest.param("HostEndpoint", {"interfaceName": "eth0"}, ".node", "required", id="no-node"),
        pytest.param("HostEndpoint", {"node": "n1"}, "", "interfaceName", id="no-interface"),
        pytest.param(
            "HostEndpoint",
            {"node": "n1", "interfaceName": "a" * 16},
            ".interfaceName",
            "15",
            id="x",
        ),
        pytest.param(
            "HostEndpoint",
            HOST | {"expectedIPs": ["10.0.0.0/8"]},
            ".expectedIPs[0]",
            "not an IP address",
            id="network-as-address",
        ),
        pytest.param(
            "HostEndpoint",
            HOST | {"ports": [PORT | {"protocol": "ICMP"}]},
            ".ports[0].protocol",
            "no ports",
            id="port-protocol",
        ),
        pytest.param(
            "HostEndpoint",
            HOST | {"ports": [PORT | {"port": 0}]},
            ".ports[0].port",
            "1 to 65535",
            id="port-zero",
        ),
        pytest.param(
            "WorkloadEndpoint",
            POD | {"ipNetworks": ["10.244.0.0/31"]},
            ".ipNetworks[0]",
            "/32",
            id="many-addresses",
        ),
        pytest.param(
            "WorkloadEndpoint",
            POD | {"ipv6Gateway": "169.254.1.1"},
            ".ipv6Gateway",
            "IPv6",
            id="gateway-family",
        ),
        pytest.param(
            "WorkloadEndpoint",
            POD | {"ipNATs": [{"internalIP": "10.244.0.9", "externalIP": "198.51.100.1"}]},
            ".ipNATs[0].internalIP",
            "not among",
            id="nat-of-another",
        ),
        pytest.param(
            "WorkloadEndpoint",
            POD | {"ipNATs": [{"internalIP": "10.244.0.1", "externalIP": "2001:db8::1"}]},
            ".ipNATs[0].externalIP",
            "family",
            id="nat-families",
        ),
        pytest.param(
            "WorkloadEndpoint",
            POD | {"ports": [{"protocol": "TCP", "port": 80}]},
            ".ports[0].name",
            "missing",
            id="port-without-name",
        ),
        pytest.param("WorkloadEndpoint", POD | {"mac": "02-00"}, ".mac", "MAC address", id="mac"),
    ],
)
def test_refused(kind: str, spec: Raw, field: str, part: str) -> None:
    problems = found(kind, spec)

    assert [f"spec{field}"] == list(problems)
    assert part in problems[f"spec{field}"]
