"""Clouds whose private networks are joined: the link, what it passes, what can't be joined."""

from __future__ import annotations

import pytest

from chita.lab.clouds import router_rules
from chita.lab.topology import Topology, topology
from lab_worlds import node, underlay, world


def joined(*peers: str, right_cidr: str = "10.2.0.0/24") -> Topology:
    """Return three clouds, of which ``left`` names *peers*."""
    return topology(
        world(
            underlay("left", provider="aws", privateCIDRs=["10.1.0.0/24"], peers=[*peers]),
            underlay("right", provider="gcp", privateCIDRs=[right_cidr, "fd00:a:2::/64"]),
            underlay("third", provider="openstack", peers=["right"]),
            node("left-1", "aws"),
            node("right-1", "gcp"),
        )
    )


def test_one_link_whichever_side_says_so() -> None:
    """Of the smaller of both networks' sizes; each router has the way to the other's range."""
    made = joined("right")

    link = next(it for it in made.links if it.left.name == "x-right")
    routes = {
        (it.namespace, str(it.destination), str(it.via), it.interface)
        for it in made.routes
        if it.destination is not None and "x-third" not in it.interface
    }
    assert not made.problems
    assert ("chita-right", "x-left", 1460) == (
        link.right.namespace, link.right.name, link.right.mtu_bytes
    )  # fmt: skip
    assert ("chita-left", "10.2.0.0/24", "10.2.0.1", "x-right") in routes
    assert ("chita-right", "10.1.0.0/24", "10.1.0.1", "x-left") in routes


def test_only_the_two_ranges_pass() -> None:
    """A peering joins two networks and no third behind them."""
    rules = router_rules(joined("right").cloud("right"))

    ours = "ip saddr 10.1.0.0/24 ip daddr 10.2.0.0/24 accept"
    assert f'iifname "x-left" oifname "br0" {ours}' in rules
    assert 'iifname "x-left" oifname "x-third"' not in rules


@pytest.mark.parametrize(
    ("peer", "right_cidr", "expected"),
    [
        pytest.param("nobody", "10.2.0.0/24", "no other cloud network 'nobody'", id="unknown"),
        pytest.param("left", "10.2.0.0/24", "no other cloud network 'left'", id="itself"),
        pytest.param("right", "10.1.0.0/16", "10.1.0.0/24 is in right too", id="overlap"),
    ],
)
def test_what_cannot_be_joined_is_named(peer: str, right_cidr: str, expected: str) -> None:
    (problem,) = joined(peer, right_cidr=right_cidr).problems

    assert "spec.peers[0]" in str(problem)
    assert expected in str(problem)
