"""A gateway holds its static peers on a device of their own; to others they live on it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chita.compute.host_endpoints import tunnel_ports
from chita.compute.incremental import IncrementalPolicy
from chita.compute.node import desired_node_state
from chita.compute.policy import policy_state
from chita.desired.node_state import NodeState
from chita.desired.routes import Blackhole, ByNexthop, OnDevice
from chita.desired.tunnels import STATIC_DEVICE, STATIC_EPOCH
from chita.fabric.path import paths
from chita.model.cluster import COLLECTIONS, Change, ClusterState, Put, Remove
from chita.model.net import Address, Cidr
from chita.model.settings import Encryption, Settings
from chita.model.static_peer import StaticPeer
from hybrid import fabric_node, hybrid

GATE = msgspec.structs.replace(
    fabric_node("a1", "aws-x", "10.0.0.11", public="192.0.2.11"),
    static_key="S" * 43 + "=",
    static_port=51822,
)
NEAR = fabric_node("a2", "aws-x", "10.0.0.12")
FAR = fabric_node("b1", "gcp-y", "10.1.0.11")
HOME = Cidr.parse("192.168.7.0/24")
OWN, OWN6 = Address.parse("100.65.0.1"), Address.parse("fd00:100:65::1")
PHONE = StaticPeer(
    name="phone",
    public_key="P" * 43 + "=",
    addresses=(OWN, OWN6),
    networks=(HOME,),
    gateway="a1",
)
ALLOWED = frozenset({Cidr.of(OWN), Cidr.of(OWN6), HOME})
BLOCKS = [("10.244.0.0/26", "a1"), ("10.244.0.64/26", "a2"), ("10.244.0.128/26", "b1")]


def cluster(*peers: StaticPeer, gate: object = GATE) -> ClusterState:
    assert isinstance(gate, type(GATE))
    nodes = hybrid(gate, NEAR, FAR, blocks=BLOCKS)
    return msgspec.structs.replace(nodes, static_peers={it.name: it for it in peers})


def state(node: str, held: ClusterState) -> NodeState:
    return desired_node_state(held, node, paths(held, node))


def test_the_gateway_has_a_device_for_them() -> None:
    found = state("a1", cluster(PHONE))
    device = found.wireguards[STATIC_DEVICE]

    assert (STATIC_EPOCH, 51822, "", 1408) == (
        device.epoch,
        device.port,
        device.preshared,
        device.mtu_bytes,
    )
    (peer,) = device.peers.values()
    assert (PHONE.public_key, None, ALLOWED, 0) == (
        peer.public_key,
        peer.endpoint,
        peer.allowed,
        peer.keepalive_s,
    )
    source = found.wireguards[STATIC_DEVICE].addresses[0]
    expected = OnDevice(dst=Cidr.of(OWN), device=STATIC_DEVICE, source=source)
    assert expected == found.routes[Cidr.of(OWN)]


def test_what_they_send_is_forwarded_as_a_pods_packet_is() -> None:
    """No table of ours is for what comes by their device, so relays may be asked too."""
    found = state("a1", cluster(PHONE))

    assert not any(STATIC_DEVICE in table.arriving for table in found.tables.values())
    assert not any(STATIC_DEVICE in table.bound for table in found.tables.values())


def test_others_reach_them_as_what_lives_on_the_gateway() -> None:
    held = cluster(PHONE)
    near, far = state("a2", held), state("b1", held)

    for found in (near, far):
        assert STATIC_DEVICE not in found.wireguards
        ways = {
            msgspec.structs.replace(found.routes[net], dst=HOME) for net in (Cidr.of(OWN), HOME)
        }
        assert 1 == len(ways)
    (device,) = far.wireguards.values()
    assert device.peers[GATE.wireguard_key].allowed >= ALLOWED


def test_behind_a_relay_they_are_reached_by_it() -> None:
    """a2 is their gateway and reaches b1 through a1."""
    inner = msgspec.structs.replace(NEAR, static_key="T" * 43 + "=", static_port=51822)
    phone = msgspec.structs.replace(PHONE, gateway="a2")
    nodes = hybrid(GATE, inner, FAR, blocks=BLOCKS)
    held = msgspec.structs.replace(nodes, static_peers={"phone": phone})

    assert isinstance(state("b1", held).routes[HOME], ByNexthop)
    assert HOME in state("a1", held).tables[24483].routes or HOME in state("a1", held).routes


@pytest.mark.parametrize(
    ("peer", "gate"),
    [
        pytest.param(msgspec.structs.replace(PHONE, gateway="gone"), GATE, id="gateway-gone"),
        pytest.param(PHONE, msgspec.structs.replace(GATE, static_key=""), id="no-key-yet"),
    ],
)
def test_without_a_gateway_nothing_leaves_bare(peer: StaticPeer, gate: object) -> None:
    found = state("a1", cluster(peer, gate=gate))

    assert {Blackhole(net) for net in ALLOWED} == {found.routes[net] for net in ALLOWED}
    assert STATIC_DEVICE not in found.wireguards


def test_ipv6_needs_its_least_packet() -> None:
    narrow = msgspec.structs.replace(GATE, wire_mtu_bytes=1300)
    found = state("a1", cluster(PHONE, gate=narrow))

    assert Blackhole(Cidr.of(OWN6)) == found.routes[Cidr.of(OWN6)]
    assert isinstance(found.routes[Cidr.of(OWN)], OnDevice)


def test_one_that_claims_what_is_others_changes_nothing() -> None:
    """Its networks would take the traffic of whoever has them."""
    bad = msgspec.structs.replace(PHONE, networks=(Cidr.parse("10.1.0.0/16"),))

    for node in ("a1", "a2", "b1"):
        assert state(node, cluster()) == state(node, cluster(bad))


@pytest.mark.parametrize("mode", list(Encryption))
def test_they_come_by_their_device_alone_in_any_mode(mode: Encryption) -> None:
    held = msgspec.structs.replace(cluster(PHONE), settings={"default": Settings(encryption=mode)})
    gate, near = policy_state(held, "a1").strict, policy_state(held, "a2").strict

    assert gate is not None
    assert ALLOWED == set(gate.static)
    assert not ALLOWED & set(gate.sealed)
    assert near is None or near.static == ()
    if mode is Encryption.ALL:
        assert near is not None
        assert set(near.sealed) >= ALLOWED


def test_pods_reach_them_under_their_own_addresses() -> None:
    assert ALLOWED <= set(policy_state(cluster(PHONE), "b1").cluster_networks)


def test_their_port_is_closed_by_no_policy() -> None:
    assert 51822 in tunnel_ports(cluster(PHONE), "a1")


_PEERS = st.sampled_from(
    [
        PHONE,
        msgspec.structs.replace(PHONE, gateway="b1"),
        msgspec.structs.replace(PHONE, name="twin"),
        msgspec.structs.replace(
            PHONE,
            name="router",
            public_key="R" * 43 + "=",
            addresses=(OWN + 1,),
            networks=(Cidr.parse("172.30.0.0/16"),),
        ),
    ]
)
_RECORDS = st.sampled_from([GATE, msgspec.structs.replace(GATE, endpoints=(OWN,)), NEAR])
_CHANGES = st.one_of(
    st.builds(Put, _PEERS),
    st.builds(Put, _RECORDS),
    st.sampled_from([Remove(StaticPeer, "phone"), Remove(StaticPeer, "twin")]),
)


@given(st.lists(_CHANGES, max_size=8))
def test_incremental_is_as_from_scratch(changes: list[Change]) -> None:
    """Also while records come to claim what a peer has."""
    kept = IncrementalPolicy("a1")
    first = cluster()
    kept.apply([Put(it) for name in COLLECTIONS.values() for it in getattr(first, name).values()])
    for change in changes:
        kept.apply([change])
        assert policy_state(kept.cluster, "a1") == kept.state
