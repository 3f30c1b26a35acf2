"""Large fabrics: ordinary nodes of different locations meet at gateways."""

from __future__ import annotations

from itertools import permutations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chita.compute.node import desired_node_state
from chita.compute.policy import policy_state
from chita.desired.paths import PathKind, RungState
from chita.fabric.health import Direct, Health, Shortcut, ShortcutState, Verdict, Way, WayHealth
from chita.fabric.mesh import mesh
from chita.fabric.path import paths
from chita.model.cluster import ClusterState
from chita.model.location import Location
from chita.model.node import FabricNode
from chita.model.settings import Settings
from hybrid import fabric_node, hybrid

GATE = fabric_node("a1", "aws-x", "10.0.0.11", public="192.0.2.11")
INNER = fabric_node("a2", "aws-x", "10.0.0.12")
FAR_GATE = fabric_node("b1", "gcp-y", "10.1.0.11", public="198.51.100.11")
FAR_INNER = fabric_node("b2", "gcp-y", "10.1.0.12")
DRAINED = fabric_node("b3", "gcp-y", "10.1.0.13", public="198.51.100.13", weight=0)
PEERED = Location(name="aws-x", peers=("gcp-y",))


def peered(*nodes: FabricNode, most: int) -> ClusterState:
    """Return a cluster of two peered locations, whose full mesh ends at *most* nodes."""
    return msgspec.structs.replace(
        hybrid(*nodes),
        locations={"aws-x": PEERED},
        settings={"default": Settings(full_mesh_nodes=most)},
    )


def has_tunnel(cluster: ClusterState, one: str, other: str) -> bool:
    state = desired_node_state(cluster, one, paths(cluster, one), policy_state(cluster, one))
    return any(
        peer.node == other for device in state.wireguards.values() for peer in device.peers.values()
    )


@pytest.mark.parametrize(
    ("other", "most", "expected"),
    [
        pytest.param("b2", 5, True, id="as-many-as-may-be"),
        pytest.param("b2", 4, False, id="one-more"),
        pytest.param("b1", 4, True, id="a-gateway"),
        pytest.param("b3", 4, True, id="a-drained-gateway"),
        pytest.param("a1", 0, True, id="inside-the-location"),
    ],
)
def test_who_has_a_tunnel(other: str, most: int, expected: bool) -> None:  # noqa: FBT001 - a table
    """Gateways with everybody, drained ones too; ordinary nodes not with those elsewhere."""
    cluster = peered(GATE, INNER, FAR_GATE, FAR_INNER, DRAINED, most=most)

    assert expected == has_tunnel(cluster, "a2", other) == has_tunnel(cluster, other, "a2")


def test_the_rest_is_reached_by_relay_and_says_why() -> None:
    """The reason names the setting."""
    path = paths(peered(GATE, INNER, FAR_GATE, FAR_INNER, most=3), "a2")["b2"]

    assert (PathKind.RELAYED, ("b1",)) == (path.kind, path.relays)
    assert "with more than 3 nodes (fullMeshNodes) ordinary ones meet at gateways" in path.reason


def test_nobody_is_cut_off_where_there_is_no_gateway() -> None:
    """Peered locations of which no node can be dialled keep their tunnels."""
    cluster = peered(INNER, FAR_INNER, most=1)

    assert PathKind.RELAYED != paths(cluster, "a2")["b2"].kind
    assert has_tunnel(cluster, "a2", "b2")


def test_a_node_that_joins_or_leaves_moves_the_others() -> None:
    """What is remembered of a pair does not outlive the size of the fabric."""
    small = peered(GATE, INNER, FAR_GATE, FAR_INNER, most=4)
    large = peered(GATE, INNER, FAR_GATE, FAR_INNER, DRAINED, most=4)

    seen = [has_tunnel(cluster, "a2", "b2") for cluster in (small, large, small)]

    assert [True, False, True] == seen


@pytest.mark.parametrize(
    ("state", "has_one", "expected"),
    [
        pytest.param(ShortcutState.OPEN, True, "we say so", id="open"),
        pytest.param(ShortcutState.CLOSING, True, "we say so", id="closing"),
        pytest.param(
            ShortcutState.REFUSED, False, "and there is no shortcut: we say so", id="refused"
        ),
    ],
)
def test_a_shortcut_is_a_tunnel_and_says_why(
    state: ShortcutState,
    has_one: bool,  # noqa: FBT001 - a table
    expected: str,
) -> None:
    """Used once it is proven, and never while it is closing; gateways know none."""
    cluster = peered(GATE, INNER, FAR_GATE, FAR_INNER, most=3)
    proven: dict[Way, WayHealth] = {Direct("b2", 0): WayHealth(verdict=Verdict.UP)}
    cut = {"b2": Shortcut(state, "we say so"), "b1": Shortcut(state, "we say so")}
    found = paths(cluster, "a2", Health(proven, {}, cut))
    rung = next(it for it in found["b2"].rungs if it.kind is PathKind.PRIVATE)

    assert expected in rung.reason
    assert (rung.state is not RungState.REFUSED) == has_one
    assert (rung.state is RungState.USED) == (state is ShortcutState.OPEN)
    assert found["b1"] == paths(cluster, "a2", Health(proven))["b1"]


@given(
    st.lists(
        st.tuples(st.sampled_from(["aws-x", "gcp-y", "azure-z"]), st.booleans(), st.integers(0, 2)),
        min_size=2,
        max_size=7,
    ),
    st.integers(0, 8),
)
def test_both_ends_decide_the_same(nodes: list[tuple[str, bool, int]], most: int) -> None:
    """Whether two have a tunnel follows from the records alone, whoever asks."""
    records = [
        fabric_node(
            f"n{index}",
            place,
            f"10.0.0.{10 + index}",
            public=f"192.0.2.{10 + index}" if is_open else "",
            weight=weight,
        )
        for index, (place, is_open, weight) in enumerate(nodes)
    ]
    found = mesh(peered(*records, most=most))

    for one, other in permutations(records, 2):
        assert found.refused(one, other) == found.refused(other, one)
