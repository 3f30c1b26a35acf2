"""Routes and tunnels of a node: where blocks, borrowed addresses and mesh addresses go."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chita.compute.policy import policy_state
from chita.compute.routes import VXLAN_DEVICE, WIREGUARD_DEVICE, endpoint_routes, node_routes
from chita.compute.tunnels import node_vxlan, node_wireguard
from chita.desired.routes import Blackhole, NextHop, OnDevice, Route, Via
from chita.fabric.path import paths
from chita.model.cluster import ClusterState
from chita.model.endpoint import WorkloadEndpoint
from chita.model.ippool import Encap
from chita.model.net import Address, Cidr
from hybrid import KEYS, fabric_node, hybrid

GATEWAY = fabric_node("a1", "aws-x", "10.0.0.11", public="192.0.2.11")
BEHIND = fabric_node("a2", "aws-x", "10.0.0.12")
FAR = fabric_node("b1", "gcp-y", "10.0.0.11", public="198.51.100.11")
NAT_ONLY = fabric_node("c2", "openstack-z", "10.2.0.12")
V4 = Cidr.parse("10.244.1.0/26")
V6 = Cidr.parse("fd00:10:244::40/122")
SOURCE = {4: Address.parse("100.64.0.1"), 6: Address.parse("fd00:100:64::1")}


def routes(cluster: ClusterState, local: str) -> dict[Cidr, Route]:
    its = policy_state(cluster, local).endpoints
    return node_routes(cluster, local, paths(cluster, local)) | endpoint_routes(its)


def test_block_of_a_neighbour_on_the_same_subnet_is_routed() -> None:
    """Plain route through its private address."""
    cluster = hybrid(GATEWAY, BEHIND, encap=Encap.CROSS_SUBNET, blocks=[("10.244.1.0/26", "a2")])

    expected = Via(dst=V4, gateway=Address.parse("10.0.0.12"), device="eth0", source=SOURCE[4])
    assert expected == routes(cluster, "a1")[V4]


def test_never_encapsulated_block_beyond_the_subnet_is_left_to_the_network() -> None:
    """Neither a route nor a blackhole of ours: the node's own routes decide."""
    beyond = fabric_node("c1", "aws-x", "10.0.1.12")
    cluster = hybrid(GATEWAY, beyond, encap=Encap.NEVER, blocks=[("10.244.1.0/26", "c1")])

    assert V4 not in routes(cluster, "a1")


def test_ipv6_block_over_an_ipv4_subnet_goes_through_vxlan() -> None:
    """A plain route needs a neighbour of its own family."""
    cluster = hybrid(GATEWAY, BEHIND, encap=Encap.CROSS_SUBNET, blocks=[(str(V6), "a2")])

    expected = Via(
        dst=V6,
        gateway=Address.parse("fd00:100:64::2"),
        device=VXLAN_DEVICE,
        next_hop=NextHop.ON_LINK,
        source=SOURCE[6],
    )
    assert expected == routes(cluster, "a1")[V6]


def test_block_of_another_location_goes_through_wireguard_with_its_mtu() -> None:
    """The route says how large a packet may be: pods keep their location's MTU."""
    cluster = hybrid(GATEWAY, FAR, blocks=[("10.244.1.0/26", "b1")])

    expected = OnDevice(dst=V4, device=WIREGUARD_DEVICE, source=SOURCE[4], mtu_bytes=1440)
    assert expected == routes(cluster, "a1")[V4]


def test_relayed_block_goes_to_the_gateway() -> None:
    """From the location of the relay through VXLAN, with the size of the whole way."""
    cluster = hybrid(BEHIND, GATEWAY, NAT_ONLY, blocks=[("10.244.1.0/26", "c2")])

    route = routes(cluster, "a2")[V4]

    assert isinstance(route, Via)
    assert (Address.parse("100.64.0.2"), VXLAN_DEVICE, 1404) == (
        route.gateway,
        route.device,
        route.mtu_bytes,
    )


@pytest.mark.parametrize(
    "owner",
    [
        pytest.param("a1", id="own"),
        pytest.param("gone", id="owner-unknown"),
        pytest.param("", id="no-owner"),
    ],
)
def test_block_without_a_way_is_a_blackhole(owner: str) -> None:
    """Pod traffic never leaves the node bare (RFC 4632 section 5.1, rule 2)."""
    cluster = hybrid(GATEWAY, BEHIND, blocks=[("10.244.1.0/26", owner)])

    assert Blackhole(V4) == routes(cluster, "a1")[V4]


def test_local_pod_is_on_its_interface() -> None:
    """Its /32 is more specific than the blackhole of its block."""
    pod = WorkloadEndpoint(
        namespace="shop",
        name="web",
        node="a1",
        interface="cali123",
        labels={},
        addresses=(Address.parse("10.244.1.7"),),
    )
    cluster = msgspec.structs.replace(
        hybrid(GATEWAY, blocks=[("10.244.1.0/26", "a1")]), workloads={pod.key: pod}
    )

    dst = Cidr.parse("10.244.1.7/32")
    assert OnDevice(dst=dst, device="cali123") == routes(cluster, "a1")[dst]


def test_wireguard_peer_behind_nat_is_not_dialled_and_kept_alive() -> None:
    """Its endpoint is learned from its handshake; both ends send keepalives."""
    cluster = hybrid(GATEWAY, NAT_ONLY)
    device = node_wireguard(cluster, "a1", paths(cluster, "a1"))

    assert device is not None
    peer = device.peers[KEYS["c2"]]
    assert (None, 25) == (peer.endpoint, peer.keepalive_s)


def test_vxlan_reaches_only_the_own_location() -> None:
    """A VTEP in another cloud could not be reached, or would be somebody else."""
    cluster = hybrid(GATEWAY, BEHIND, FAR)
    device = node_vxlan(cluster, "a1", paths(cluster, "a1"))

    assert device is not None
    assert {"a2"} == device.vteps.keys()


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), min_size=2, max_size=8))
def test_allowed_networks_of_peers_are_disjoint_and_mutual(places: list[tuple[str, bool]]) -> None:
    """One prefix belongs to one peer of a device; what A sends to B over P, P accepts from A."""
    nodes = [
        fabric_node(f"n{i}", f"loc-{place}", f"10.0.0.{i + 10}", public=f"192.0.2.{i}" * public)
        for i, (place, public) in enumerate(places)
    ]
    blocks = [(f"10.244.{i}.0/26", node.name) for i, node in enumerate(nodes)]
    cluster = hybrid(*nodes, blocks=blocks)
    devices = {
        node.name: node_wireguard(cluster, node.name, paths(cluster, node.name)) for node in nodes
    }

    for name, device in devices.items():
        if device is None:
            continue
        seen: set[Cidr] = set()
        for peer in device.peers.values():
            assert not seen & peer.allowed
            seen |= peer.allowed
            other = devices[peer.node]
            assert other is not None
            assert name in {p.node for p in other.peers.values()}
