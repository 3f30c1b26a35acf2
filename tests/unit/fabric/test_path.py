"""The path ladder: which way a node goes to another, and that both ends agree."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chita.desired.paths import PathKind
from chita.fabric.neighbours import shared_subnet
from chita.fabric.path import paths
from chita.model.ippool import Encap
from chita.model.net import Address, Cidr
from chita.model.node import FabricNode, HostInterface
from hybrid import fabric_node, hybrid

NEAR = fabric_node("a1", "aws-x", "10.0.0.11", public="192.0.2.11")
SAME_SUBNET = fabric_node("a2", "aws-x", "10.0.0.12")
OTHER_SUBNET = fabric_node("c1", "aws-x", "10.0.1.12")
FAR_PUBLIC = fabric_node("b1", "gcp-y", "10.0.0.11", public="198.51.100.11")
FAR_NAT = fabric_node("b2", "gcp-y", "10.0.0.12")
NAT_ONLY = fabric_node("c2", "openstack-z", "10.2.0.12")


@pytest.mark.parametrize(
    ("here", "there", "encap", "kind"),
    [
        pytest.param(NEAR, SAME_SUBNET, Encap.CROSS_SUBNET, PathKind.ROUTED, id="same-subnet"),
        pytest.param(NEAR, OTHER_SUBNET, Encap.CROSS_SUBNET, PathKind.VXLAN, id="other-subnet"),
        pytest.param(NEAR, SAME_SUBNET, Encap.ALWAYS, PathKind.VXLAN, id="always-encapsulated"),
        pytest.param(NEAR, SAME_SUBNET, None, PathKind.VXLAN, id="vxlan-unless-told-otherwise"),
        pytest.param(NEAR, FAR_PUBLIC, None, PathKind.WIREGUARD, id="both-public"),
        pytest.param(SAME_SUBNET, FAR_PUBLIC, None, PathKind.WIREGUARD, id="we-dial"),
        pytest.param(FAR_PUBLIC, SAME_SUBNET, None, PathKind.WIREGUARD, id="it-dials-us"),
        pytest.param(FAR_NAT, NAT_ONLY, None, PathKind.NONE, id="nobody-can-be-dialled"),
    ],
)
def test_kind(here: FabricNode, there: FabricNode, encap: Encap | None, kind: PathKind) -> None:
    """Location, subnet and who can be dialled decide."""
    assert kind == paths(hybrid(here, there, encap=encap), here.name)[there.name].kind


def test_equal_private_addresses_of_two_locations_are_no_shared_subnet() -> None:
    """10.0.0.11 of one cloud is not 10.0.0.12's neighbour in another."""
    cluster = hybrid(NEAR, FAR_NAT, encap=Encap.CROSS_SUBNET)

    assert PathKind.WIREGUARD == paths(cluster, "a1")["b2"].kind


def test_an_address_that_both_have_is_no_neighbour() -> None:
    """172.17.0.1 is a bridge inside each of them: their subnet is not shared."""
    bridge = HostInterface(
        address=Address.parse("172.17.0.1"), subnet=Cidr.parse("172.17.0.0/16"), device="docker0"
    )
    here, there = (
        msgspec.structs.replace(node, interfaces=(*node.interfaces, bridge))
        for node in (NEAR, OTHER_SUBNET)
    )

    assert shared_subnet(here, there, 4) is None
    assert PathKind.VXLAN == paths(hybrid(here, there, encap=Encap.CROSS_SUBNET), "a1")["c1"].kind


def test_who_hides_its_private_address_is_reached_all_the_same() -> None:
    """Its neighbours can't dial it, but it dials the gateway."""
    mute = msgspec.structs.replace(SAME_SUBNET, interfaces=())
    cluster = hybrid(NEAR, mute, NAT_ONLY)

    assert PathKind.WIREGUARD == paths(cluster, "a1")["a2"].kind
    assert (PathKind.RELAYED, ("a1",)) == (
        paths(cluster, "c2")["a2"].kind,
        paths(cluster, "c2")["a2"].relays,
    )


def test_a_gateway_relays_where_neither_end_can_be_dialled() -> None:
    """The relay is reached inside the location from one end, over WireGuard from the other."""
    cluster = hybrid(NEAR, SAME_SUBNET, NAT_ONLY)

    out, back = paths(cluster, "a2")["c2"], paths(cluster, "c2")["a2"]

    assert (("a1",), 1404) == (out.relays, out.mtu_bytes)
    assert (("a1",), 1404) == (back.relays, back.mtu_bytes)


def test_a_third_location_relays_where_neither_has_a_gateway() -> None:
    """Both ends dial it."""
    cluster = hybrid(FAR_NAT, NAT_ONLY, NEAR)

    assert ("a1",) == paths(cluster, "b2")["c2"].relays == paths(cluster, "c2")["b2"].relays


def test_a_drained_gateway_relays_nothing() -> None:
    """Weight 0 takes it out of the set."""
    drained = fabric_node("a1", "aws-x", "10.0.0.11", public="192.0.2.11", weight=0)
    cluster = hybrid(drained, SAME_SUBNET, NAT_ONLY)

    assert PathKind.NONE == paths(cluster, "a2")["c2"].kind


def test_a_node_that_has_not_joined_has_no_path() -> None:
    """The reason names it."""
    cluster = hybrid(NEAR, SAME_SUBNET)
    cluster.fabric_nodes.pop("a2")

    path = paths(cluster, "a1")["a2"]

    assert PathKind.NONE == path.kind
    assert "a2 has not joined" in path.reason


@pytest.mark.parametrize(
    ("here", "there", "mtu_bytes"),
    [
        pytest.param(1500, 1500, 1440, id="internet"),
        pytest.param(9001, 1400, 1328, id="azure"),
        pytest.param(9001, 9001, 1440, id="jumbo-does-not-cross-the-internet"),
        pytest.param(1460, 1500, 1392, id="gcp"),
    ],
)
def test_mtu_between_locations(here: int, there: int, mtu_bytes: int) -> None:
    """The smaller wire less WireGuard's overhead, down to a multiple of 16 (reference 2.6)."""
    one = fabric_node("a1", "aws-x", "10.0.0.11", public="192.0.2.11", wire=here)
    other = fabric_node("b1", "gcp-y", "10.0.0.11", public="198.51.100.11", wire=there)

    assert mtu_bytes == paths(hybrid(one, other), "a1")["b1"].mtu_bytes


@st.composite
def fabrics(draw: st.DrawFn) -> list[FabricNode]:
    count = draw(st.integers(2, 8))
    return [
        fabric_node(
            f"n{index}",
            draw(st.sampled_from(["aws-x", "gcp-y", "azure-z", "openstack-w"])),
            f"10.0.0.{10 + index}",
            public=draw(st.sampled_from(["", f"192.0.2.{10 + index}"])),
            weight=draw(st.integers(0, 2)),
        )
        for index in range(count)
    ]


@given(fabrics(), st.randoms(use_true_random=False))
def test_order_of_records_is_irrelevant(nodes: list[FabricNode], random: object) -> None:
    """Paths depend on the records alone."""
    shuffled = list(nodes)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = hybrid(*nodes), hybrid(*shuffled)

    assert paths(one, nodes[0].name) == paths(other, nodes[0].name)
