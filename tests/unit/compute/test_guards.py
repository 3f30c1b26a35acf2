"""Whose wrapped packets a node takes: those of nodes, and VXLAN of its neighbours alone."""

from __future__ import annotations

import msgspec
import pytest

from build import addresses
from chita.compute.evaluate import evaluate
from chita.compute.flow import ByGuard, Flow, NotApplicable, Verdict
from chita.compute.guards import vxlan_guard
from chita.compute.node import desired_node_state
from chita.compute.policy import policy_state
from chita.desired.policy import VxlanGuard
from chita.fabric.health import Health, Local, WayHealth
from chita.fabric.health import Verdict as Found
from chita.fabric.path import paths
from chita.model.cluster import ClusterState
from chita.model.ippool import Encap
from chita.model.net import TCP, UDP, Address
from chita.model.node import FabricNode
from chita.model.settings import Encryption, Settings
from hybrid import fabric_node, hybrid

HERE = fabric_node("a1", "aws-x", "10.0.0.11", public="192.0.2.11")
NEAR = fabric_node("a2", "aws-x", "10.0.0.12")
BEYOND = fabric_node("c1", "aws-x", "10.0.1.12")
FAR = fabric_node("b1", "gcp-y", "10.1.0.11", public="198.51.100.11")
UNREADY = msgspec.structs.replace(BEYOND, vtep_mac="")
ENCRYPTED = Settings(encryption=Encryption.ALL)


def guarded(*ends: str) -> VxlanGuard:
    return VxlanGuard(4789, frozenset(addresses(" ".join(ends))))


@pytest.mark.parametrize(
    ("others", "settings", "expected"),
    [
        pytest.param([NEAR, BEYOND, FAR], Settings(), guarded("10.0.0.12", "10.0.1.12"), id="near"),
        pytest.param([NEAR, UNREADY], Settings(), guarded("10.0.0.12"), id="one-without-a-device"),
        pytest.param([FAR], Settings(), None, id="alone-in-its-location"),
        pytest.param([NEAR], ENCRYPTED, None, id="all-is-encrypted"),
        pytest.param([NEAR], Settings(vxlan_port=8472),
                     VxlanGuard(8472, frozenset(addresses("10.0.0.12"))), id="another-port"),
    ],
)  # fmt: skip
def test_neighbours_may_send_vxlan(
    others: list[FabricNode], settings: Settings, expected: VxlanGuard | None
) -> None:
    """No device, no guard."""
    cluster = msgspec.structs.replace(hybrid(HERE, *others), settings={"default": settings})

    assert expected == vxlan_guard(cluster, "a1") == policy_state(cluster, "a1").vxlan


@pytest.mark.parametrize("encap", Encap)
@pytest.mark.parametrize("found", Found)
def test_whom_the_device_forwards_to_may_answer(encap: Encap, found: Found) -> None:
    """Whatever probes found, and as the sender says: its own device's local address."""
    cluster = hybrid(HERE, NEAR, BEYOND, FAR, encap=encap)
    health = Health({Local("a2"): WayHealth(verdict=found, reason="lost")})
    states = {
        name: desired_node_state(cluster, name, paths(cluster, name, health))
        for name in cluster.nodes
    }
    for state in states.values():
        ends = state.policy.vxlan.ends if state.policy.vxlan is not None else frozenset()
        vteps = state.vxlan.vteps if state.vxlan is not None else {}
        senders = {other.local for name in vteps if (other := states[name].vxlan) is not None}

        assert ends == {vtep.outer for vtep in vteps.values()} == senders


WORLD = hybrid(HERE, NEAR, FAR)


@pytest.mark.parametrize(
    ("cluster", "source", "destination", "port", "expected"),
    [
        pytest.param(WORLD, "10.0.0.12", "10.0.0.11", 4789, Verdict.ALLOW, id="neighbour"),
        pytest.param(WORLD, "10.1.0.11", "10.0.0.11", 4789, Verdict.DENY, id="node-elsewhere"),
        pytest.param(WORLD, "203.0.113.7", "10.0.0.11", 4789, Verdict.DENY, id="outside"),
        pytest.param(WORLD, "203.0.113.7", "10.1.0.11", 4789, Verdict.ALLOW, id="no-device"),
        pytest.param(WORLD, "203.0.113.7", "10.0.0.11", 53, Verdict.ALLOW, id="another-port"),
        pytest.param(WORLD, "100.64.0.2", "100.64.0.1", 4790, Verdict.ALLOW, id="relayed"),
        pytest.param(WORLD, "10.0.0.12", "100.64.0.1", 4790, Verdict.DENY, id="relayed-bare"),
        pytest.param(WORLD, "100.64.0.2", "10.0.0.11", 4790, Verdict.DENY, id="to-the-underlay"),
    ],
)
def test_nodes_take_wrapped_packets_from_nodes(
    cluster: ClusterState, source: str, destination: str, port: int, expected: Verdict
) -> None:
    """What is inside comes past every policy of where it left."""
    flow = Flow(
        source=Address.parse(source),
        destination=Address.parse(destination),
        protocol=UDP,
        destination_port=port,
    )
    found = evaluate(cluster, flow).ingress

    assert expected is found.action
    assert isinstance(found.decided_by, NotApplicable if expected is Verdict.ALLOW else ByGuard)
    other = evaluate(cluster, msgspec.structs.replace(flow, protocol=TCP))
    assert other.ingress.action is Verdict.ALLOW
