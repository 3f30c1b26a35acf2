"""Streams in place of UDP: when, to whom, and what becomes of the ladder."""

from __future__ import annotations

import msgspec
import pytest

from chita.desired.paths import PathKind, RungState
from chita.fabric.detours import detours, is_udp_blocked
from chita.fabric.health import Direct, Health, Verdict, Way, WayHealth
from chita.fabric.path import paths
from chita.model.net import Address
from chita.model.node import FabricNode
from hybrid import fabric_node, hybrid

HERE = fabric_node("a", "branch", "10.9.0.11")


def gateway(name: str, location: str, public: str) -> FabricNode:
    node = fabric_node(name, location, "10.0.0.11", public=public)
    return msgspec.structs.replace(node, tcp_relay_port=443, gateway_weight=1)


GATEWAYS = [
    gateway(name, place, public)
    for name, place, public in (
        ("g1", "aws-x", "192.0.2.1"),
        ("g2", "aws-x", "192.0.2.2"),
        ("g3", "gcp-y", "198.51.100.3"),
    )
]
FAR = fabric_node("b", "gcp-y", "10.0.0.12")
CLUSTER = hybrid(HERE, *GATEWAYS, FAR)
UP = WayHealth(verdict=Verdict.UP, outer=Address.parse("127.0.0.1"))
DOWN = WayHealth(verdict=Verdict.DOWN)


def probed(verdicts: dict[str, WayHealth], *streams: str) -> Health:
    ways: dict[Way, WayHealth] = {Direct(name): known for name, known in verdicts.items()}
    return Health(ways, {name: 24480 + 2 * i for i, name in enumerate(streams)})


@pytest.mark.parametrize(
    ("health", "expected"),
    [
        pytest.param(probed({}), False, id="nothing-probed"),
        pytest.param(probed({"g1": DOWN, "g2": DOWN}), False, id="one-not-probed"),
        pytest.param(probed({"g1": DOWN, "g2": DOWN, "g3": UP}), False, id="one-answers"),
        pytest.param(probed({"g1": DOWN, "g2": DOWN, "g3": DOWN}), True, id="none-answers"),
        pytest.param(probed({"g1": UP, "g2": UP, "g3": DOWN}, "g1", "g2"), True, id="in-streams"),
        pytest.param(probed({"g1": UP, "g2": UP, "g3": UP}, "g1", "g2"), False, id="free-again"),
        pytest.param(probed({}, "g1", "g2", "g3"), True, id="nobody-left-to-tell"),
    ],
)
def test_when_udp_is_blocked(health: Health, *, expected: bool) -> None:
    assert expected == is_udp_blocked(CLUSTER, "a", health)


def test_one_node_is_left_to_show_when_udp_passes_again() -> None:
    chosen = detours(CLUSTER, "a")
    assert 2 == len({node.name for node in chosen} & {"g1", "g2", "g3"})
    assert ["g1"] == [node.name for node in detours(hybrid(HERE, GATEWAYS[0], FAR), "a")]
    assert [] == detours(hybrid(HERE, FAR), "a")


def test_the_gateway_left_alone_has_a_neighbour_that_forwards_to_it() -> None:
    lone = [gateway(f"h{it}", f"h{it}", f"192.0.2.{100 + it}") for it in range(4)]
    pair = [gateway(f"p{it}", "p", f"192.0.2.{200 + it}") for it in range(2)]
    chosen = {node.name for node in detours(hybrid(HERE, *lone, *pair), "a")}

    assert {node.name for node in lone} < chosen
    assert 1 == len({node.name for node in pair} - chosen)


def test_a_stream_is_the_last_rung_and_used_when_proven() -> None:
    opened = paths(CLUSTER, "a", probed({"g1": DOWN, "g2": DOWN, "g3": DOWN}, "g1"))["g1"]
    assert (Address.parse("127.0.0.1"), 24480) == (
        opened.sessions[0].dial and opened.sessions[0].dial.address,
        opened.sessions[0].dial and opened.sessions[0].dial.port,
    )
    assert [RungState.FAILED] == [it.state for it in opened.rungs if it.kind is PathKind.TCP]

    proven = paths(CLUSTER, "a", probed({"g1": UP, "g2": DOWN, "g3": DOWN}, "g1"))
    assert (PathKind.TCP, PathKind.RELAYED) == (proven["g1"].kind, proven["b"].kind)
    assert ("g1",) == proven["b"].relays
    assert "no UDP answers" in proven["g1"].reason


def test_an_odd_epoch_has_the_next_port() -> None:
    gateway = msgspec.structs.replace(GATEWAYS[0], wireguard_epoch=1)
    here = msgspec.structs.replace(HERE, wireguard_epoch=1)
    found = paths(hybrid(here, gateway), "a", Health({Direct("g1", 1): DOWN}, {"g1": 24480}))["g1"]
    assert found.sessions[0].dial is not None
    assert 24481 == found.sessions[0].dial.port
