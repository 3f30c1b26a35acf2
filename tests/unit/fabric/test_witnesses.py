"""Whom a node asks how it is seen."""

from __future__ import annotations

from chita.fabric.witnesses import AT_MOST, witnesses
from chita.model.cluster import ClusterState
from hybrid import fabric_node, hybrid

HERE = fabric_node("c2", "openstack-z", "10.2.0.12")
NEAR = fabric_node("c1", "openstack-z", "10.2.0.11", public="203.0.113.11")
BEHIND = fabric_node("b2", "gcp-y", "10.1.0.12")


def test_others_that_are_dialled_over_the_internet() -> None:
    """Neither our neighbours, which see our private address, nor who cannot be dialled."""
    drained = fabric_node("b1", "gcp-y", "10.1.0.11", public="198.51.100.11", weight=0)
    cluster = hybrid(HERE, NEAR, BEHIND, drained)

    assert ["b1"] == witnesses(cluster, "c2")


def test_two_behind_one_address_are_one_witness() -> None:
    """A NAT that maps by address gives both the same mapping."""
    twins = [
        fabric_node(f"b{index}", "gcp-y", f"10.1.0.{index}", public="198.51.100.1")
        for index in (1, 3)
    ]

    assert 1 == len(witnesses(hybrid(HERE, *twins), "c2"))


def test_no_gateway_is_asked_by_all() -> None:
    gates = [
        fabric_node(f"g{index}", "gcp-y", f"10.1.1.{index}", public=f"198.51.100.{index}")
        for index in range(1, 9)
    ]
    askers = [fabric_node(f"n{index}", "home", f"10.9.0.{index}") for index in range(1, 21)]
    cluster = hybrid(*gates, *askers)

    asked = {witnesses(cluster, asker.name)[0] for asker in askers}

    assert len(asked) > 4
    assert all(AT_MOST == len(witnesses(cluster, asker.name)) for asker in askers)


def test_a_node_that_has_not_joined_asks_nobody() -> None:
    assert [] == witnesses(ClusterState(), "c2")
