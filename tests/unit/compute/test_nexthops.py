"""Nexthop objects: numbers that outlive restarts, groups that nodes share."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chita.compute import nexthops
from chita.compute.nexthops import node_hops, numbered
from chita.desired.nexthops import FIRST_NEXTHOP, NEXTHOPS, HopGroup, TransitHop
from chita.desired.paths import Path, PathKind
from chita.model.cluster import ClusterState
from chita.model.net import Address
from hybrid import fabric_node, hybrid

RELAYS = ["g1", "g2", "g3"]
BEHIND = ["b1", "b2", "b3"]


def cluster() -> ClusterState:
    gateways = [fabric_node(name, "aws-x", "10.0.0.1", public="192.0.2.1") for name in RELAYS]
    behind = [fabric_node(name, "gcp-y", "10.1.0.1") for name in BEHIND]
    return hybrid(fabric_node("here", "site", "10.2.0.1"), *gateways, *behind)


def reached(name: str, kind: PathKind = PathKind.WIREGUARD) -> Path:
    return Path(node=name, kind=kind, reason="", mtu_bytes=1440)


def relayed(name: str, *relays: str) -> Path:
    return Path(node=name, kind=PathKind.RELAYED, reason="", relays=relays, mtu_bytes=1404)


def ways(*others: Path) -> dict[str, Path]:
    return {path.node: path for path in (*map(reached, RELAYS), *others)}


def relays_of(name: str, found: nexthops.Hops, family: int = 4) -> set[str]:
    group = found.nexthops[found.to_relays[name][4 if family == 4 else 6]]
    assert isinstance(group, HopGroup)
    numbers = {found.to_node[relay][4 if family == 4 else 6]: relay for relay in RELAYS}
    return {numbers[member] for member in group.members}


def test_nodes_behind_the_same_relays_share_a_group_of_each_family() -> None:
    """The order in which each of them prefers the relays does not matter."""
    found = node_hops(cluster(), "here", ways(relayed("b1", "g1", "g2"), relayed("b2", "g2", "g1")))

    assert found.to_relays["b1"] == found.to_relays["b2"]
    assert len(set(found.to_relays["b1"].values())) == 2
    for family in (4, 6):
        assert {"g1", "g2"} == relays_of("b1", found, family)


def test_a_group_keeps_its_number_whoever_leaves_it() -> None:
    """So that leaving a relay is one replacement, and no route is written."""
    both = node_hops(cluster(), "here", ways(*(relayed(it, "g1", "g2") for it in BEHIND)))
    one = node_hops(cluster(), "here", ways(*(relayed(it, "g3") for it in BEHIND)))

    assert both.to_relays == one.to_relays
    assert {"g3"} == relays_of("b1", one)


def test_few_that_differ_have_a_group_of_their_own() -> None:
    """What most of a location use keeps the number."""
    usual = node_hops(cluster(), "here", ways(*(relayed(it, "g1", "g2") for it in BEHIND)))
    mixed = node_hops(
        cluster(),
        "here",
        ways(relayed("b1", "g3"), relayed("b2", "g1", "g2"), relayed("b3", "g1", "g2")),
    )

    assert mixed.to_relays["b2"] == mixed.to_relays["b3"] == usual.to_relays["b2"]
    assert ({"g3"}, {"g1", "g2"}) == (relays_of("b1", mixed), relays_of("b2", mixed))


@pytest.mark.parametrize(
    "relay",
    [
        pytest.param(relayed("g1", "g2"), id="itself-behind-a-relay"),
        pytest.param(reached("g1", PathKind.NONE), id="not-reached"),
    ],
)
def test_a_relay_that_is_not_reached_itself_relays_nothing(relay: Path) -> None:
    """Its packets would be wrapped for ever, or go nowhere."""
    paths = ways(relayed("b1", "g1", "g2"), relayed("b2", "g1")) | {"g1": relay}
    found = node_hops(cluster(), "here", paths)

    group = found.nexthops[found.to_relays["b1"][4]]
    assert HopGroup((found.to_node["g2"][4],)) == group
    assert "b2" not in found.to_relays


def test_without_ipv4_mesh_addresses_ipv6_wraps() -> None:
    """Whatever is inside."""
    state = cluster()
    nodes = {
        name: msgspec.structs.replace(node, mesh_addresses=node.mesh_addresses[1:])
        for name, node in state.nodes.items()
    }
    found = node_hops(msgspec.structs.replace(state, nodes=nodes), "here", ways())

    hop = found.nexthops[found.to_node["g1"][4]]
    assert isinstance(hop, TransitHop)
    assert Address.parse("fd00:100:64::2") == hop.relay


def test_members_come_before_their_group() -> None:
    """The applier puts them in the order of the state."""
    found = node_hops(cluster(), "here", ways(relayed("b1", "g1", "g2")))
    seen: set[int] = set()
    for number, hop in found.nexthops.items():
        if isinstance(hop, HopGroup):
            assert seen.issuperset(hop.members)
        seen.add(number)


@given(st.sets(st.text(min_size=1), max_size=40))
def test_numbers_are_our_own_distinct_and_independent_of_order(titles: set[str]) -> None:
    """A restarted agent counts the same, whatever came first."""
    found = numbered(sorted(titles))
    numbers = [number for families in found.values() for number in families.values()]

    assert len(numbers) == len(set(numbers)) == 2 * len(titles)
    assert all(FIRST_NEXTHOP <= number < FIRST_NEXTHOP + NEXTHOPS for number in numbers)
    assert found == numbered(sorted(titles, reverse=True))


def test_titles_that_hash_alike_have_numbers_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With four numbers to give, every hash collides."""
    monkeypatch.setattr(nexthops, "NEXTHOPS", 4)

    found = numbered(["x", "y"])

    numbers = {number for families in found.values() for number in families.values()}
    assert set(range(FIRST_NEXTHOP, FIRST_NEXTHOP + 4)) == numbers
