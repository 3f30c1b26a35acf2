"""Ways are decided again when they may be others, and only then."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from build import namespace, workload
from chita.agent import decision
from chita.agent.decision import Decision
from chita.compute.node import desired_node_state
from chita.compute.policy import policy_state
from chita.desired.node_state import NodeState
from chita.fabric.health import UNPROBED, Direct, Health, Verdict, WayHealth
from chita.fabric.path import paths
from chita.model.cluster import Change, ClusterState, Put, Remove, fold
from chita.model.ippool import Block
from chita.model.net import Cidr
from chita.model.node import FabricNode
from hybrid import fabric_node, hybrid

HERE, BEHIND, FAR = (
    fabric_node("a1", "aws-x", "10.0.0.11", public="192.0.2.11"),
    fabric_node("a2", "aws-x", "10.0.0.12"),
    fabric_node("b1", "gcp-y", "10.0.0.11", public="198.51.100.11"),
)
CLUSTER = hybrid(HERE, BEHIND, FAR, blocks=[("10.244.1.0/26", "b1")])
DOWN = Health({Direct("b1"): WayHealth(verdict=Verdict.DOWN, reason="lost")})
CHANGES: list[Change] = [
    Put(msgspec.structs.replace(FAR, wireguard_port=4000)),
    Put(FAR),
    Put(Block(cidr=Cidr.parse("10.244.1.0/26"), node="a2")),
    Put(msgspec.structs.replace(CLUSTER.nodes["b1"], mesh_addresses=())),
    Put(workload("shop/web", "10.244.0.5", node="a1")),
    Put(namespace("shop")),
    Remove(FabricNode, "a2"),
]


def decided(cluster: ClusterState, health: Health) -> NodeState:
    return desired_node_state(
        cluster, "a1", paths(cluster, "a1", health), policy_state(cluster, "a1")
    )


@given(st.lists(st.tuples(st.sampled_from(CHANGES), st.sampled_from([UNPROBED, DOWN])), max_size=6))
def test_what_came_before_changes_no_answer(steps: list[tuple[Change, Health]]) -> None:
    """Remembering gives what deciding from scratch gives."""
    remembered, cluster = Decision("a1"), CLUSTER
    for change, health in steps:
        cluster = fold(cluster, [change])
        found = remembered.of(cluster, health, policy_state(cluster, "a1"))

        assert decided(cluster, health) == found


def test_a_pod_has_no_way_decided_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor has our own record, when it is put again as it was."""
    remembered = Decision("a1")
    first = remembered.of(CLUSTER, UNPROBED, policy_state(CLUSTER, "a1"))
    pod = workload("shop/web", "10.244.0.5", node="a1")
    again: list[Change] = [Put(pod), Put(msgspec.structs.replace(HERE))]
    cluster = fold(CLUSTER, again)
    monkeypatch.delattr(decision, "paths")

    second = remembered.of(cluster, UNPROBED, policy_state(cluster, "a1"))

    assert first.tables is second.tables
    assert Cidr.parse("10.244.0.5/32") in second.routes
