"""Strict encryption: what must be encrypted leaves and enters by no other way, by mode."""

from __future__ import annotations

import msgspec
import pytest

from chita.compute.node import desired_node_state
from chita.compute.policy import policy_state
from chita.compute.strict import LiveStrict, strict_guard
from chita.desired.policy import StrictGuard
from chita.desired.routes import Blackhole, OnDevice
from chita.fabric.path import paths
from chita.model.cluster import ClusterState
from chita.model.ippool import Block, Encap
from chita.model.net import Address, Cidr
from chita.model.settings import Encryption, Settings
from hybrid import fabric_node, hybrid

HERE = fabric_node("a1", "aws-x", "10.0.0.11", public="192.0.2.11")
NEAR = fabric_node("a2", "aws-x", "10.0.0.12")
FAR = fabric_node("b1", "gcp-y", "10.1.0.11", public="198.51.100.11")
NEAR_BLOCK, FAR_BLOCK = Cidr.parse("10.244.2.0/26"), Cidr.parse("10.244.3.0/26")
MESH = {
    name: {Cidr.parse(f"100.64.0.{number}/32"), Cidr.parse(f"fd00:100:64::{number}/128")}
    for number, name in enumerate(("a1", "a2", "b1"), 1)
}
CLUSTER = hybrid(
    HERE,
    NEAR,
    FAR,
    encap=Encap.ALWAYS,
    blocks=[("10.244.1.0/26", "a1"), (str(NEAR_BLOCK), "a2"), (str(FAR_BLOCK), "b1")],
)
TUNNELS = ("chita-wg0", "chita-wg1", "chita-transit")


def in_mode(encryption: Encryption, cluster: ClusterState = CLUSTER) -> ClusterState:
    return msgspec.structs.replace(cluster, settings={"default": Settings(encryption=encryption)})


def guard(cluster: ClusterState) -> StrictGuard:
    found = strict_guard(cluster, "a1")
    assert found is not None
    assert found == policy_state(cluster, "a1").strict
    return found


def test_between_locations_only_others_are_sealed() -> None:
    """A gateway of our location hands on what it decrypted, in VXLAN."""
    found = guard(in_mode(Encryption.BETWEEN_LOCATIONS))

    assert {FAR_BLOCK, *MESH["b1"]} == set(found.sealed)
    assert (*TUNNELS, "chita-vxlan") == found.devices


def test_all_seals_neighbours_too_and_trusts_no_vxlan() -> None:
    found = guard(in_mode(Encryption.ALL))

    assert {NEAR_BLOCK, FAR_BLOCK, *MESH["a2"], *MESH["b1"]} == set(found.sealed)
    assert TUNNELS == found.devices


@pytest.mark.parametrize(
    "cluster",
    [
        pytest.param(in_mode(Encryption.NONE), id="no-encryption"),
        pytest.param(hybrid(HERE, NEAR), id="nobody-elsewhere"),
        pytest.param(ClusterState(), id="nothing-known"),
        pytest.param(
            hybrid(HERE, NEAR, FAR, encap=Encap.CROSS_SUBNET), id="neighbours-hand-on-bare"
        ),
    ],
)
def test_nothing_is_sealed(cluster: ClusterState) -> None:
    assert strict_guard(cluster, "a1") is None


def test_a_node_alone_in_its_location_needs_no_vxlan() -> None:
    assert strict_guard(hybrid(HERE, FAR, encap=Encap.CROSS_SUBNET), "a1") is not None


def test_borrowed_addresses_go_with_the_borrower() -> None:
    """An address of a far block that a neighbour has is a neighbour's, and the other way round."""
    ours, theirs = Address.parse("10.244.3.7"), Address.parse("10.244.2.7")
    blocks = {
        str(FAR_BLOCK): Block(cidr=FAR_BLOCK, node="b1", borrowed={ours: "a2"}),
        str(NEAR_BLOCK): Block(cidr=NEAR_BLOCK, node="a2", borrowed={theirs: "b1"}),
    }
    found = guard(msgspec.structs.replace(CLUSTER, blocks=blocks))

    assert {FAR_BLOCK, Cidr.of(theirs), *MESH["b1"]} == set(found.sealed)
    assert (Cidr.of(ours),) == found.bare


@pytest.mark.parametrize(
    ("encryption", "keyless", "block"),
    [
        pytest.param(Encryption.BETWEEN_LOCATIONS, "b1", FAR_BLOCK, id="other-location"),
        pytest.param(Encryption.ALL, "b1", FAR_BLOCK, id="all-other-location"),
        pytest.param(Encryption.ALL, "a2", NEAR_BLOCK, id="all-neighbour"),
        pytest.param(Encryption.BETWEEN_LOCATIONS, "a1", FAR_BLOCK, id="our-own"),
        pytest.param(Encryption.ALL, "a1", NEAR_BLOCK, id="all-our-own"),
    ],
)
def test_without_a_key_nothing_leaves_and_nothing_is_taken(
    encryption: Encryption, keyless: str, block: Cidr
) -> None:
    """Strict also while a key is missing: a blackhole outwards, and inwards the guard stays."""
    cluster = in_mode(encryption)
    record = msgspec.structs.replace(cluster.fabric_nodes[keyless], wireguard_key="")
    without = msgspec.structs.replace(
        cluster, fabric_nodes={**cluster.fabric_nodes, keyless: record}
    )

    before = desired_node_state(cluster, "a1", paths(cluster, "a1")).routes[block]
    after = desired_node_state(without, "a1", paths(without, "a1"))

    assert isinstance(before, OnDevice)
    assert "chita-wg0" == before.device
    assert Blackhole(block) == after.routes[block]
    assert guard(cluster) == after.policy.strict


def test_news_that_change_nothing_make_no_other_guard() -> None:
    live = LiveStrict("a1")
    first = live.of(CLUSTER)
    moved = msgspec.structs.replace(HERE, wireguard_port=1, gateway_weight=9)
    same = msgspec.structs.replace(CLUSTER, fabric_nodes={**CLUSTER.fabric_nodes, "a1": moved})
    again = msgspec.structs.replace(same, nodes=dict(same.nodes), blocks=dict(same.blocks))
    away = msgspec.structs.replace(NEAR, location="site-a2")
    split = msgspec.structs.replace(CLUSTER, fabric_nodes={**CLUSTER.fabric_nodes, "a2": away})

    assert first is live.of(same)
    assert first is live.of(again)
    assert strict_guard(split, "a1") == live.of(split) != first
    assert first == live.of(CLUSTER)
    assert live.of(in_mode(Encryption.NONE)) is None
