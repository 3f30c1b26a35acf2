"""What is probed: for the cluster as it is, and within the budget whatever its size."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chita.fabric.health import Direct, Health, Local, Transit, Verdict, Way, WayHealth
from chita.fabric.path import paths
from chita.fabric.schedule import Egress, Target, Use, targets
from chita.fabric.timing import Timing
from chita.model.cluster import ClusterState
from chita.model.ippool import Encap
from chita.model.net import Address
from hybrid import fabric_node, hybrid

TIMING = Timing()

CLUSTER = hybrid(
    fabric_node("a1", "here", "10.0.0.1"),
    fabric_node("a2", "here", "10.0.0.2"),
    fabric_node("b1", "there", "10.1.0.1"),
    fabric_node("b2", "there", "10.1.0.2"),
    fabric_node("g1", "there", "10.1.0.9", public="192.0.2.1"),
    fabric_node("c1", "third", "10.2.0.1", public="192.0.2.2"),
    encap=Encap.ALWAYS,
)


def probed(cluster: ClusterState, local: str, health: Health | None = None) -> dict[Way, Target]:
    return targets(cluster, local, paths(cluster, local, health or Health()), timing=TIMING)


def rate(found: dict[Way, Target]) -> float:
    return sum(1 / it.every_s + 1 / it.size_every_s for it in found.values())


def test_ways_of_a_node_behind_a_nat() -> None:
    """Neighbours by their network, gateways by the tunnel, the others through the gateway."""
    found = probed(CLUSTER, "a1")

    assert Egress.VXLAN is found[Local("a2")].egress
    assert Egress.WIREGUARD is found[Direct("g1")].egress
    assert Direct("b1") not in found
    transit = found[Transit("g1", "there")]
    assert transit.via == Address.parse("100.64.0.5")
    assert set(transit.ends) == {Address.parse("100.64.0.3"), Address.parse("100.64.0.4")}
    assert transit.mtu_bytes == 1440 - 36


def test_what_is_in_use_is_asked_more_often() -> None:
    """A relay in use five times a second, end to end twice; one that stands by once."""
    found = probed(CLUSTER, "a1")

    assert (Use.URGENT, 0.2) == (found[Direct("g1")].use, found[Direct("g1")].every_s)
    assert (Use.USED, 0.2) == (found[Direct("c1")].use, found[Direct("c1")].every_s)
    assert 0.5 == found[Transit("g1", "there")].every_s
    assert 1.0 == found[Transit("c1", "there")].every_s


def test_a_way_that_is_down_is_probed_on() -> None:
    """How else would it come back?"""
    lost = WayHealth(verdict=Verdict.DOWN, reason="lost")
    before = probed(CLUSTER, "a1")
    found = probed(CLUSTER, "a1", Health(dict.fromkeys(before, lost)))

    assert before.keys() == found.keys()


def test_a_neighbour_of_the_subnet_is_asked_bare_at_its_mesh_address() -> None:
    """Its private address may be a stranger's too, and says nothing of what else passes there."""
    cluster = hybrid(
        fabric_node("a1", "here", "10.0.0.1"),
        fabric_node("a2", "here", "10.0.0.2"),
        encap=Encap.CROSS_SUBNET,
    )
    target = probed(cluster, "a1")[Local("a2")]

    assert Egress.NETWORK is target.egress
    assert ("eth0", (Address.parse("100.64.0.2"),)) == (target.device, target.ends)


def test_a_neighbour_behind_routers_is_asked_at_its_own_address() -> None:
    """Its mesh address would go where the routes lead, and these may have left that network."""
    cluster = hybrid(
        fabric_node("a1", "here", "10.0.0.1"),
        fabric_node("a2", "here", "10.0.9.2"),
        encap=Encap.NEVER,
    )
    target = probed(cluster, "a1")[Local("a2")]

    assert ("", (Address.parse("10.0.9.2"),)) == (target.device, target.ends)


def large(nodes: int, gateways: int = 2, locations: int = 4) -> ClusterState:
    return hybrid(
        *(
            fabric_node(
                f"n{place}-{index}",
                f"l{place}",
                f"10.{place}.{index // 250}.{index % 250 + 1}",
                public=f"192.0.{place}.{index + 1}" if index < gateways else "",
            )
            for place in range(locations)
            for index in range(nodes // locations)
        )
    )


@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(st.integers(4, 60), st.integers(0, 3))
def test_the_budget_holds_at_any_size(nodes: int, gateways: int) -> None:
    cluster = large(nodes, gateways)
    local = next(iter(cluster.nodes))

    assert rate(probed(cluster, local)) <= TIMING.budget * 1.001


@pytest.mark.slow
def test_a_thousand_nodes() -> None:
    """Within the budget, quickly decided, and the gateways in use as often as ever."""
    cluster = large(1000)
    local = "n0-99"
    reached = paths(cluster, local)
    began = time.process_time()
    found = targets(cluster, local, reached, timing=TIMING)
    took_s = time.process_time() - began

    assert rate(found) <= TIMING.budget * 1.001
    assert took_s < 0.2
    in_use = {name for path in reached.values() for name in path.relays}
    assert in_use
    assert {Use.URGENT} == {found[Direct(name)].use for name in in_use}
    assert all(found[Direct(name)].every_s <= 1.0 for name in in_use)


def test_traffic_makes_a_way_urgent() -> None:
    """With many nodes those with traffic are asked first."""
    cluster = large(400)
    local, other = "n0-1", "n1-7"
    reached = paths(cluster, local)
    quiet = targets(cluster, local, reached, timing=TIMING)[Direct(other)]
    busy = targets(cluster, local, reached, timing=TIMING, busy=frozenset({other}))[Direct(other)]

    assert busy.use is Use.URGENT
    assert busy.every_s < quiet.every_s / 2
