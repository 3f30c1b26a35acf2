"""Routes and tunnels of a node: where blocks, borrowed addresses and mesh addresses go."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chita.compute.nexthops import node_hops
from chita.compute.node import desired_node_state
from chita.compute.policy import policy_state
from chita.compute.routes import (
    VXLAN_DEVICE,
    endpoint_routes,
    node_networks,
    node_routes,
)
from chita.compute.tables import BARE_TABLES, FORWARDED_TABLE, PROBE_TABLES
from chita.compute.tunnels import node_vxlan, node_wireguards
from chita.desired.nexthops import HopGroup, TransitHop
from chita.desired.routes import Blackhole, ByNexthop, NextHop, OnDevice, Route, Via
from chita.desired.tunnels import TRANSIT_DEVICE, wireguard_device
from chita.fabric.health import Direct, Health, Local, Verdict, WayHealth
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
    ways = paths(cluster, local)
    hops = node_hops(cluster, local, ways)
    return node_routes(cluster, local, ways, node_networks(cluster), hops) | endpoint_routes(its)


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


@pytest.mark.parametrize(
    ("encap", "mtu_bytes"),
    [
        pytest.param(Encap.ALWAYS, 1400 - 50, id="vxlan"),
        pytest.param(Encap.CROSS_SUBNET, 1400, id="routed"),
    ],
)
def test_a_way_narrower_than_its_device_says_so(encap: Encap, mtu_bytes: int) -> None:
    """Else packets would be as large as the device allows, and be lost on the way."""
    narrow = msgspec.structs.replace(BEHIND, wire_mtu_bytes=1400)
    cluster = hybrid(GATEWAY, narrow, encap=encap, blocks=[("10.244.1.0/26", "a2")])

    there, back = routes(cluster, "a1")[V4], routes(cluster, "a2")[Cidr.parse("100.64.0.1/32")]
    assert isinstance(there, Via)
    assert isinstance(back, Via | OnDevice)
    assert (mtu_bytes, None) == (there.mtu_bytes, back.mtu_bytes)


def test_block_of_another_location_goes_through_wireguard_with_its_mtu() -> None:
    """The route says how large a packet may be: pods keep their location's MTU."""
    cluster = hybrid(GATEWAY, FAR, blocks=[("10.244.1.0/26", "b1")])

    expected = OnDevice(dst=V4, device=wireguard_device(0), source=SOURCE[4], mtu_bytes=1440)
    assert expected == routes(cluster, "a1")[V4]


def test_relayed_block_names_the_group_of_its_relays() -> None:
    """With the size of the whole way."""
    cluster = hybrid(BEHIND, GATEWAY, NAT_ONLY, blocks=[("10.244.1.0/26", "c2"), (str(V6), "c2")])
    state = desired_node_state(cluster, "a2", paths(cluster, "a2"))

    for dst in (V4, V6):
        route = state.routes[dst]
        assert isinstance(route, ByNexthop)
        assert route.mtu_bytes == 1404
        group = state.nexthops[route.nexthop]
        assert isinstance(group, HopGroup)
        expected = TransitHop(
            family=dst.family,
            device=TRANSIT_DEVICE,
            source=Address.parse("100.64.0.1"),
            relay=Address.parse("100.64.0.2"),
        )
        assert [expected] == [state.nexthops[it] for it in group.members]


def test_a_relay_wraps_again_and_relays_to_no_relay() -> None:
    """What came from others: to a node of another location wrapped, to one behind a relay never."""
    cluster = hybrid(
        GATEWAY, BEHIND, NAT_ONLY, blocks=[("10.244.1.0/26", "c2"), ("10.244.2.0/26", "a2")]
    )
    state = desired_node_state(cluster, "a1", paths(cluster, "a1"))
    table = state.tables[FORWARDED_TABLE]

    route = table.routes[V4]
    assert isinstance(route, ByNexthop)
    hop = state.nexthops[route.nexthop]
    assert isinstance(hop, TransitHop)
    assert (Address.parse("100.64.0.3"), 1404) == (hop.relay, route.mtu_bytes)
    assert Cidr.parse("10.244.2.0/26") not in table.routes  # the table for all leads there
    assert {TRANSIT_DEVICE, wireguard_device(0), VXLAN_DEVICE} == set(table.arriving)

    behind = desired_node_state(cluster, "a2", paths(cluster, "a2"))
    assert Blackhole(V4) == behind.tables[FORWARDED_TABLE].routes[V4]


def test_a_bound_socket_reaches_a_node_whichever_way_is_in_force() -> None:
    """Each device has a table with the mesh addresses of those at its other end."""
    cluster = hybrid(GATEWAY, BEHIND, FAR)
    state = desired_node_state(cluster, "a1", paths(cluster, "a1"))
    vxlan, tunnel = (state.tables[PROBE_TABLES[it]] for it in (VXLAN_DEVICE, wireguard_device(0)))

    assert (VXLAN_DEVICE,) == vxlan.bound
    assert {"100.64.0.2/32", "fd00:100:64::2/128"} == {str(dst) for dst in vxlan.routes}
    dst = Cidr.parse("100.64.0.3/32")
    expected = OnDevice(dst=dst, device=wireguard_device(0), source=SOURCE[4])
    assert expected == tunnel.routes[dst]


def test_a_socket_bound_to_the_way_out_reaches_neighbours_bare() -> None:
    """Whichever way is in force, and only those that plain routes may lead to."""
    cluster = hybrid(GATEWAY, BEHIND, FAR, encap=Encap.CROSS_SUBNET)
    state = desired_node_state(cluster, "a1", paths(cluster, "a1"))
    table = state.tables[BARE_TABLES[0]]

    assert ("eth0",) == table.bound
    dst = Cidr.parse("100.64.0.2/32")
    gateway = Address.parse("10.0.0.12")
    expected = Via(dst=dst, gateway=gateway, device="eth0", source=SOURCE[4])
    assert {dst: expected} == table.routes

    encapsulated = hybrid(GATEWAY, BEHIND, FAR, encap=Encap.ALWAYS)
    state = desired_node_state(encapsulated, "a1", paths(encapsulated, "a1"))
    assert BARE_TABLES[0] not in state.tables


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
    (device,) = node_wireguards(
        cluster, "a1", paths(cluster, "a1"), node_networks(cluster)
    ).values()

    peer = device.peers[KEYS["c2"]]
    assert (None, 25) == (peer.endpoint, peer.keepalive_s)


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        pytest.param(Verdict.UP, 0, id="private-network"),
        pytest.param(Verdict.DOWN, 25, id="over-the-internet"),
    ],
)
def test_neighbours_that_meet_over_the_internet_keep_the_nat_open(
    local: Verdict, expected: int
) -> None:
    """A label may be wrong; a relay or tunnel through the NAT carries them all the same."""
    at = Address.parse("192.0.2.11")
    health = Health(
        {
            Local("a1"): WayHealth(verdict=local),
            Direct("a1"): WayHealth(verdict=Verdict.UP, outer=at),
        }
    )
    cluster = hybrid(GATEWAY, BEHIND)
    (device,) = node_wireguards(
        cluster, "a2", paths(cluster, "a2", health), node_networks(cluster)
    ).values()

    assert expected == device.peers[KEYS["a1"]].keepalive_s


def test_vxlan_reaches_only_the_own_location() -> None:
    """A VTEP in another cloud could not be reached, or would be somebody else."""
    cluster = hybrid(GATEWAY, BEHIND, FAR)
    device = node_vxlan(cluster, "a1", paths(cluster, "a1"))

    assert device is not None
    assert {"a2"} == device.vteps.keys()


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), min_size=2, max_size=8))
def test_a_peer_is_allowed_exactly_what_lives_on_it(places: list[tuple[str, bool]]) -> None:
    """So receiving is always legal, whichever way the other end chose; peers are mutual."""
    nodes = [
        fabric_node(f"n{i}", f"loc-{place}", f"10.0.0.{i + 10}", public=f"192.0.2.{i}" * public)
        for i, (place, public) in enumerate(places)
    ]
    blocks = [(f"10.244.{i}.0/26", node.name) for i, node in enumerate(nodes)]
    cluster = hybrid(*nodes, blocks=blocks)
    networks = node_networks(cluster)
    peers = {
        node.name: {
            peer.node: peer.allowed
            for device in node_wireguards(
                cluster, node.name, paths(cluster, node.name), networks
            ).values()
            for peer in device.peers.values()
        }
        for node in nodes
    }

    for name, found in peers.items():
        for other, allowed in found.items():
            assert set(networks[other]) == allowed
            assert name in peers[other]
