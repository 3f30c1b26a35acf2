"""What stands in sets."""

from __future__ import annotations

import pytest

from build import addresses, cidrs, endpoint_slice, host_endpoint, network_set, port, workload
from chita.compute.address_sets import (
    address_set,
    port_set,
    service_address_set,
    service_port_set,
)
from chita.compute.classes import LabelClass, classify
from chita.compute.endpoints import Peer, PeerEntity, peer_of
from chita.desired.policy import AddressSet, PortMember
from chita.model.net import TCP, UDP, Address


def classes(*entities: PeerEntity) -> list[LabelClass[Peer]]:
    return classify({str(index): peer_of(each) for index, each in enumerate(entities)}, (), {})


@pytest.mark.parametrize(
    ("entities", "single", "networks"),
    [
        pytest.param((), "", "", id="nobody"),
        pytest.param(
            (workload("a/b", "10.244.0.1 fd00:10:244::1"),),
            "10.244.0.1 fd00:10:244::1",
            "",
            id="workload-of-both-families",
        ),
        pytest.param(
            (host_endpoint("h", "10.0.0.1"),), "10.0.0.1", "", id="host-expected-addresses"
        ),
        pytest.param((host_endpoint("h"),), "", "", id="host-without-expected-addresses"),
        pytest.param(
            (network_set("/n", "198.51.100.7/32 10.0.0.0/8 2001:db8::1/128"),),
            "198.51.100.7 2001:db8::1",
            "10.0.0.0/8",
            id="single-addresses-of-network-sets",
        ),
        pytest.param(
            (network_set("/n", "10.1.0.0/16 0.0.0.0/0"), network_set("/m", "10.0.0.0/8 ::/0")),
            "",
            "0.0.0.0/0 ::/0",
            id="networks-never-overlap",
        ),
        pytest.param(
            (workload("a/b", "10.244.0.1"), workload("a/c", "10.244.0.1")),
            "10.244.0.1",
            "",
            id="shared-address-once",
        ),
    ],
)
def test_address_set(entities: tuple[PeerEntity, ...], single: str, networks: str) -> None:
    expected = AddressSet(
        addresses=frozenset(addresses(single)), networks=frozenset(cidrs(networks))
    )
    assert expected == address_set(classes(*entities))


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        pytest.param(TCP, {("10.244.0.1", TCP, 80), ("10.244.0.2", TCP, 8080)}, id="tcp"),
        pytest.param(UDP, {("10.244.0.1", UDP, 80)}, id="udp"),
        pytest.param(
            None,
            {("10.244.0.1", TCP, 80), ("10.244.0.2", TCP, 8080), ("10.244.0.1", UDP, 80)},
            id="any",
        ),
    ],
)
def test_port_set(protocol: int | None, expected: set[tuple[str, int, int]]) -> None:
    """v3 2.5, case 5: by name and protocol; who does not declare the name is not there."""
    members = classes(
        workload("a/b", "10.244.0.1", ports=[port("web", 80), port("web", 80, UDP)]),
        workload("a/c", "10.244.0.2", ports=[port("web", 8080), port("dns", 53)]),
        workload("a/d", "10.244.0.3"),
    )

    assert port_set(members, protocol, "web") == {
        PortMember(Address.parse(ip), number, at) for ip, number, at in expected
    }


def test_service_sets() -> None:
    """All slices of a service count (v3 trap 9)."""
    slices = [
        endpoint_slice("a/web", "web-1", ("10.244.0.1", 80), ("10.244.0.1", 81)),
        endpoint_slice("a/web", "web-2", ("10.244.0.2", 80)),
    ]

    assert service_address_set(slices) == AddressSet(
        addresses=frozenset(addresses("10.244.0.1 10.244.0.2"))
    )
    assert {(str(each.address), each.port) for each in service_port_set(slices)} == {
        ("10.244.0.1", 80), ("10.244.0.1", 81), ("10.244.0.2", 80),
    }  # fmt: skip
