"""Underlay objects: a provider's habits are the defaults, and nonsense is named."""

from __future__ import annotations

from typing import Any

import pytest

from chita.errors import ConvertError
from chita.lab.underlay import Nat, NatKind, Port, Spoofing, parse_underlay
from chita.model.net import Address, Cidr
from lab_worlds import underlay

HARD, SOFT = NatKind.ENDPOINT_DEPENDENT, NatKind.ENDPOINT_INDEPENDENT


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        pytest.param("aws", (9001, 1500, HARD, 350, (), None, Spoofing.ADDRESS), id="aws"),
        pytest.param("gcp", (1460, 1500, HARD, 30, (), None, Spoofing.ADDRESS), id="gcp"),
        pytest.param("azure", (1500, 1500, HARD, 240, (4, 47), 1400, Spoofing.ADDRESS), id="azure"),
        pytest.param("openstack", (1450, 1500, HARD, 30, (), None, Spoofing.PORT), id="openstack"),
        pytest.param("baremetal", (1500, 1500, SOFT, 30, (), None, Spoofing.FREE), id="baremetal"),
        pytest.param("branch", (1492, 1492, SOFT, 30, (), None, Spoofing.FREE), id="branch"),
    ],
)
def test_defaults(provider: str, expected: tuple[object, ...]) -> None:
    """One word is enough; the rest is what that provider does (docs/design/lab.md)."""
    read = parse_underlay(underlay("x", provider=provider))

    assert expected == (
        read.mtu_bytes,
        read.wan_mtu_bytes,
        read.nat.kind,
        read.nat.udp_idle_seconds,
        read.drop_protocols,
        read.silent_drop_over,
        read.spoofing,
    )


@pytest.mark.parametrize(
    ("spec", "field", "value"),
    [
        pytest.param({"mtu": 1450}, "mtu_bytes", 1450, id="mtu"),
        pytest.param({"wanMTU": 1400}, "wan_mtu_bytes", 1400, id="wan-mtu"),
        pytest.param(
            {"nat": {"kind": "none"}},
            "nat",
            Nat(kind=NatKind.NONE, udp_idle_seconds=350, udp_stream_seconds=350),
            id="nat-keeps-the-timers",
        ),
        pytest.param({"dropProtocols": [47]}, "drop_protocols", (47,), id="protocols"),
        pytest.param({"silentDropOver": 1300}, "silent_drop_over", 1300, id="drop-over"),
        pytest.param({"silentDropOver": 0}, "silent_drop_over", None, id="drop-nothing"),
        pytest.param({"sourceDestinationCheck": False}, "spoofing", Spoofing.FREE, id="check-off"),
        pytest.param({"sourceDestinationCheck": True}, "spoofing", Spoofing.ADDRESS, id="check-on"),
        pytest.param(
            {"privateCIDRs": ["10.9.0.0/16", "fd00:9::/64"]},
            "private_cidrs",
            (Cidr.parse("10.9.0.0/16"), Cidr.parse("fd00:9::/64")),
            id="ranges",
        ),
    ],
)
def test_written(spec: dict[str, Any], field: str, value: object) -> None:
    """What is written wins over the provider's habit."""
    assert value == getattr(parse_underlay(underlay("x", provider="aws", **spec)), field)


def test_external_hosts() -> None:
    """An object of hosts alone is no cloud."""
    hosts = [{"name": "bank", "addresses": ["198.18.0.9"], "ports": [{"port": 443}]}]
    read = parse_underlay(underlay("x", externalHosts=hosts))
    (host,) = read.external_hosts

    assert read.provider is None
    assert (host.addresses, host.ports) == ((Address.parse("198.18.0.9"),), (Port(port=443),))


@pytest.mark.parametrize(
    ("spec", "field", "words"),
    [
        pytest.param({}, "spec.provider", "write one of aws, gcp, azure", id="nothing"),
        pytest.param({"provider": "ibm"}, "spec.provider", "'ibm'", id="provider"),
        pytest.param(
            {"provider": "aws", "mtus": 1}, "spec", "the fields here are provider", id="unknown"
        ),
        pytest.param({"provider": "aws", "mtu": 900}, "spec.mtu", "1280 to 65535", id="mtu"),
        pytest.param({"provider": "aws", "wanMTU": 9000}, "spec.wanMTU", "to 1500", id="wan-mtu"),
        pytest.param(
            {"externalHosts": [{"name": "a/b", "addresses": []}]},
            "spec.externalHosts[0].name",
            "is not a DNS name",
            id="host-name",
        ),
        pytest.param(
            {"provider": "aws", "nat": {"kind": "cone"}}, "spec.nat.kind", "'cone'", id="nat"
        ),
        pytest.param(
            {"provider": "aws", "portSecurity": True},
            "spec.portSecurity",
            "write sourceDestinationCheck",
            id="another-provider's-switch",
        ),
        pytest.param(
            {"provider": "baremetal", "canIPForward": True},
            "spec.canIPForward",
            "remove it",
            id="no-switch-at-all",
        ),
        pytest.param(
            {"provider": "aws", "privateCIDRs": ["10.0.0.1/24"]},
            "spec.privateCIDRs",
            "write 10.0.0.0/24",
            id="host-bits",
        ),
        pytest.param(
            {"provider": "aws", "privateCIDRs": ["10.0.0.0/24", "10.1.0.0/24"]},
            "spec.privateCIDRs",
            "one for IPv4 and one for IPv6",
            id="two-of-a-family",
        ),
        pytest.param(
            {"provider": "aws", "nodes": [{"name": "a", "privateAddresses": ["x"]}]},
            "spec.nodes[0].privateAddresses",
            "'x' is not an IP address",
            id="address",
        ),
        pytest.param(
            {"externalHosts": [{"name": "a", "addresses": [], "ports": [{"port": 0}]}]},
            "spec.externalHosts[0].ports",
            "TCP, UDP or SCTP with a port 1 to 65535",
            id="port",
        ),
    ],
)
def test_refused(spec: dict[str, Any], field: str, words: str) -> None:
    """What is wrong is named with its path and what to write."""
    with pytest.raises(ConvertError) as caught:
        parse_underlay(underlay("x", **spec))

    assert field == caught.value.field
    assert words in caught.value.message
