"""All nodes change their keys: pairs move to the new ones when these are proven, never before."""

from __future__ import annotations

import msgspec
import pytest

from chita.compute.node import desired_node_state
from chita.desired.paths import Path, PathKind
from chita.desired.routes import OnDevice
from chita.fabric.health import UNPROBED, Direct, Health, Verdict, WayHealth
from chita.fabric.path import paths
from chita.fabric.schedule import targets
from chita.model.cluster import ClusterState
from chita.model.epochs import common_epochs, in_epoch, is_previous_needed, port_in
from chita.model.net import Address, Cidr
from chita.model.node import Candidate, CandidateKind, FabricNode, TunnelEnd
from hybrid import fabric_node, hybrid

HERE = fabric_node("a", "aws-x", "10.0.0.11", public="192.0.2.11")
THERE = fabric_node("b", "gcp-y", "10.0.0.11", public="198.51.100.11")
UP, DOWN = WayHealth(verdict=Verdict.UP), WayHealth(verdict=Verdict.DOWN)


def rotated(node: FabricNode, *, done: bool = False) -> FabricNode:
    """Return *node* in the next epoch, without its old key once it is *done*."""
    epoch = node.wireguard_epoch + 1
    return msgspec.structs.replace(
        node,
        wireguard_key=f"{node.name}{epoch}".ljust(43, "N") + "=",
        wireguard_port=port_in(epoch, 51820),
        wireguard_epoch=epoch,
        wireguard_previous=None
        if done
        else TunnelEnd(
            epoch=node.wireguard_epoch, public_key=node.wireguard_key, port=node.wireguard_port
        ),
    )


def path(cluster: ClusterState, health: Health = UNPROBED) -> Path:
    return paths(cluster, "a", health)["b"]


@pytest.mark.parametrize(
    ("here", "there", "health", "expected"),
    [
        pytest.param(HERE, THERE, {}, 0, id="before"),
        pytest.param(rotated(HERE), THERE, {}, 0, id="only-we-heard"),
        pytest.param(HERE, rotated(THERE), {}, 0, id="only-they-heard"),
        pytest.param(rotated(HERE), rotated(THERE), {}, 0, id="both-nothing-proven"),
        pytest.param(rotated(HERE), rotated(THERE), {0: UP}, 0, id="old-proven"),
        pytest.param(rotated(HERE), rotated(THERE), {0: UP, 1: UP}, 1, id="both-proven"),
        pytest.param(rotated(HERE), rotated(THERE), {0: UP, 1: DOWN}, 0, id="new-fails"),
        pytest.param(rotated(HERE), rotated(THERE), {0: DOWN, 1: UP}, 1, id="old-fails"),
        pytest.param(rotated(HERE, done=True), rotated(THERE), {}, 1, id="we-dropped-the-old"),
    ],
)
def test_the_newest_proven_epoch_is_used(
    here: FabricNode, there: FabricNode, health: dict[int, WayHealth], expected: int
) -> None:
    known = Health({Direct("b", epoch): it for epoch, it in health.items()})
    found = path(hybrid(here, there), known)
    assert (PathKind.WIREGUARD, expected) == (found.kind, found.epoch)


def test_who_missed_it_is_told_why() -> None:
    found = path(hybrid(rotated(HERE, done=True), THERE))
    assert found.kind is PathKind.NONE
    assert "b has WireGuard keys of epoch 0, and a of 1" in found.reason


def test_both_devices_stand_and_the_route_names_one() -> None:
    cluster = hybrid(rotated(HERE), rotated(THERE))
    health = Health({Direct("b", 0): UP, Direct("b", 1): UP})
    state = desired_node_state(cluster, "a", paths(cluster, "a", health))
    old, new = state.wireguards["chita-wg0"], state.wireguards["chita-wg1"]

    assert (0, 51820, 1, 51821) == (old.epoch, old.port, new.epoch, new.port)
    [old_peer], [new_peer] = old.peers.values(), new.peers.values()
    assert old_peer.public_key == THERE.wireguard_key != new_peer.public_key
    assert old_peer.allowed == new_peer.allowed
    assert (51820, 51821) == tuple(
        it.endpoint.port for it in (old_peer, new_peer) if it.endpoint is not None
    )
    mesh = Cidr.of(cluster.nodes["b"].mesh_addresses[0])
    route = state.routes[mesh]
    assert isinstance(route, OnDevice)
    assert route.device == "chita-wg1"


def test_both_epochs_are_probed() -> None:
    cluster = hybrid(rotated(HERE), rotated(THERE))
    probed = targets(cluster, "a", paths(cluster, "a"))
    assert {0, 1} == {way.epoch for way in probed if isinstance(way, Direct)}


def test_a_record_in_its_old_epoch_is_what_it_was() -> None:
    mapped = Candidate(CandidateKind.MAPPED, Address.parse("192.0.2.99"), 4500)
    met = Candidate(CandidateKind.REFLEXIVE, Address.parse("192.0.2.98"), 777)
    before = msgspec.structs.replace(HERE, candidates=(mapped,))
    after = rotated(before)
    after = msgspec.structs.replace(
        after, candidates=(msgspec.structs.replace(mapped, port=4501), met)
    )
    assert before == in_epoch(after, 0)
    assert after == in_epoch(after, 1)
    assert (1, 0) == common_epochs(after, after)


@pytest.mark.parametrize(
    ("others", "proven", "expected"),
    [
        pytest.param([THERE], [], True, id="has-not-heard"),
        pytest.param([rotated(THERE)], [], True, id="not-proven"),
        pytest.param([rotated(THERE)], ["b"], False, id="proven"),
        pytest.param([rotated(THERE, done=True)], [], False, id="has-dropped-it"),
        pytest.param([], [], False, id="alone"),
    ],
)
def test_the_old_key_is_kept_while_needed(
    others: list[FabricNode], proven: list[str], *, expected: bool
) -> None:
    here = rotated(HERE)
    previous = here.wireguard_previous
    assert previous is not None
    assert expected == is_previous_needed(others, previous, here.wireguard_epoch, proven)
