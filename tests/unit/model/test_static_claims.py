"""Who is let in: nobody who claims what somebody else has; and nobody else loses by it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from build import pool
from chita.model.cluster import ClusterState
from chita.model.net import Address, Cidr
from chita.model.node import FabricNode, TunnelEnd
from chita.model.static_claims import Clash, clashes_of, judged
from chita.model.static_peer import StaticPeer, static_port
from hybrid import fabric_node, hybrid

GATE = msgspec.structs.replace(
    fabric_node("a1", "aws-x", "10.0.0.11", public="192.0.2.11"), static_key="S" * 43 + "="
)
POOL = pool("pods", "10.244.0.0/16")


def peer(name: str, *nets: str, key: str = "", gateway: str = "a1") -> StaticPeer:
    found = [Cidr.parse(net) for net in nets]
    return StaticPeer(
        name=name,
        public_key=key or f"{name:_<43}=",
        addresses=tuple(net.address for net in found if net.is_host),
        networks=tuple(net for net in found if not net.is_host),
        gateway=gateway,
    )


def cluster(*peers: StaticPeer, gate: FabricNode = GATE) -> ClusterState:
    return msgspec.structs.replace(
        hybrid(gate, fabric_node("b1", "gcp-y", "10.1.0.11")),
        pools={"pods": POOL},
        static_peers={it.name: it for it in peers},
    )


@pytest.mark.parametrize(
    ("claimed", "other"),
    [
        pytest.param(("10.244.3.1",), "IPPool pods 10.244.0.0/16", id="pool"),
        pytest.param(("10.128.0.1", "10.244.3.0/24"), "IPPool pods 10.244.0.0/16", id="routed"),
        pytest.param(("100.64.9.9",), "the mesh addresses 100.64.0.0/16", id="mesh"),
        pytest.param(("10.1.0.77",), "10.1.0.0/24, of node b1", id="node-network"),
        pytest.param(("100.65.0.1", "192.0.2.0/24"), "192.0.2.11/32, of node a1", id="public"),
        pytest.param(("fd00:100:64::7",), "the mesh addresses fd00:100:64::/64", id="mesh-ipv6"),
    ],
)
def test_what_is_the_clusters_is_nobodys(claimed: tuple[str, ...], other: str) -> None:
    verdict = judged(cluster(peer("p", *claimed), peer("q", "100.65.0.9")))

    assert ["q"] == list(verdict.accepted)
    assert [("p", other)] == list(dict.fromkeys((it.peer, it.other) for it in verdict.clashes))


@pytest.mark.parametrize(
    ("key", "gate"),
    [
        pytest.param(GATE.wireguard_key, GATE, id="epoch"),
        pytest.param(GATE.static_key, GATE, id="static"),
        pytest.param(
            "O" * 43 + "=",
            msgspec.structs.replace(
                GATE, wireguard_previous=TunnelEnd(epoch=0, public_key="O" * 43 + "=", port=1)
            ),
            id="previous",
        ),
    ],
)
def test_a_nodes_key_is_its_own(key: str, gate: FabricNode) -> None:
    verdict = judged(cluster(peer("p", "100.65.0.1", key=key), gate=gate))

    assert {} == verdict.accepted
    assert (Clash("p", "its key", "node a1"),) == verdict.clashes


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(peer("p", "100.65.0.1"), peer("q", "100.65.0.1"), id="address"),
        pytest.param(peer("p", "100.65.0.0/16"), peer("q", "100.65.0.1"), id="inside"),
        pytest.param(
            peer("p", "100.65.0.1", key="K" * 43 + "="),
            peer("q", "100.65.0.2", key="K" * 43 + "="),
            id="key",
        ),
    ],
)
def test_of_two_that_claim_one_thing_neither_is_let_in(one: StaticPeer, other: StaticPeer) -> None:
    verdict = judged(cluster(one, other, peer("r", "100.66.0.1")))

    assert ["r"] == list(verdict.accepted)
    assert {"p", "q"} == {clash.peer for clash in verdict.clashes}


def test_before_it_is_stored_the_same_is_said() -> None:
    held = cluster(peer("p", "100.65.0.1"))

    assert () == clashes_of(held, peer("p", "100.65.0.1"))
    assert () == clashes_of(held, peer("q", "100.65.0.2"))
    assert ["100.65.0.1/32"] == [it.what for it in clashes_of(held, peer("q", "100.65.0.1"))]


def test_the_answer_follows_changes_of_a_node() -> None:
    """What is remembered of each node never shows."""
    before = cluster(peer("p", "100.65.0.1"))
    taken = msgspec.structs.replace(GATE, endpoints=(Address.parse("100.65.0.1"),))
    after = cluster(peer("p", "100.65.0.1"), gate=taken)

    assert [["p"], [], ["p"]] == [list(judged(it).accepted) for it in (before, after, before)]


@pytest.mark.parametrize(
    ("base", "port"), [pytest.param(51820, 51822, id="usual"), pytest.param(65535, 65533, id="top")]
)
def test_its_port_is_none_of_those_that_take_turns(base: int, port: int) -> None:
    assert port == static_port(base)
    assert port not in {base, base + 1}


_NETS = st.builds(
    lambda value, prefix: Cidr(4, 0x64410000 + value, prefix),
    st.integers(0, 31),
    st.integers(27, 32),
)


@given(st.lists(st.lists(_NETS, min_size=1, max_size=2), max_size=5))
def test_whoever_is_let_in_overlaps_with_nobody(claims: list[list[Cidr]]) -> None:
    """And the answer does not follow from the order in which they came."""
    peers = [peer(f"p{i}", *map(str, nets)) for i, nets in enumerate(claims)]
    verdict = judged(cluster(*peers))
    held = [(name, net) for name, it in verdict.accepted.items() for net in it.allowed]

    assert verdict == judged(cluster(*reversed(peers)))
    assert not any(
        net.overlaps(other)
        for name, net in held
        for rival in peers
        if rival.name != name
        for other in rival.allowed
    )
