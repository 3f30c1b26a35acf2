"""What a static peer is told, and when that is out of date or leads nowhere."""

from __future__ import annotations

import msgspec
import pytest

from build import pool
from chita.fabric.problems import ProblemKind, problems
from chita.fabric.static_peers import (
    configuration,
    endpoints,
    exported,
    free_addresses,
    gateway_failure,
)
from chita.model.cluster import ClusterState
from chita.model.net import Address, Cidr
from chita.model.node import FabricNode
from chita.model.settings import Settings
from chita.model.static_peer import STATIC_RANGES, StaticPeer
from hybrid import fabric_node, hybrid

KEY = "S" * 43 + "="
HOME = Cidr.parse("192.168.7.0/24")


def ready(node: FabricNode, key: str = KEY) -> FabricNode:
    return msgspec.structs.replace(node, static_key=key, static_port=51822)


GATE = ready(fabric_node("a1", "aws-x", "10.0.0.11", public="192.0.2.11"))
CLOSED = ready(fabric_node("b1", "gcp-y", "10.1.0.11"), "B" * 43 + "=")
PHONE = StaticPeer(
    name="phone",
    public_key="P" * 43 + "=",
    addresses=(Address.parse("100.65.0.1"), Address.parse("fd00:100:65::1")),
    gateway="a1",
)
ROUTER = StaticPeer(
    name="router",
    public_key="R" * 43 + "=",
    addresses=(Address.parse("100.65.0.2"),),
    networks=(HOME,),
    gateway="a1",
)


def cluster(*peers: StaticPeer, gate: FabricNode = GATE, endpoint: str = "") -> ClusterState:
    held = hybrid(gate, CLOSED)
    node = msgspec.structs.replace(held.nodes["a1"], endpoint=endpoint)
    return msgspec.structs.replace(
        held,
        nodes={**held.nodes, "a1": node},
        pools={"pods": pool("pods", "10.244.0.0/16")},
        static_peers={it.name: it for it in peers},
    )


def test_the_whole_configuration() -> None:
    held = cluster(PHONE, ROUTER)

    assert configuration(held, PHONE, exported(held, PHONE), "secret").splitlines() == [
        "# Static peer phone of the fabric, by its gateway a1.",
        "[Interface]",
        "PrivateKey = secret",
        "Address = 100.65.0.1/32, fd00:100:65::1/128",
        "MTU = 1408",
        "",
        "[Peer]",
        f"PublicKey = {KEY}",
        "Endpoint = 192.0.2.11:51822",
        (
            f"AllowedIPs = 10.244.0.0/16, 100.64.0.0/16, 100.65.0.0/16, {HOME}, "
            "fd00:100:64::/64, fd00:100:65::/64"
        ),
        "PersistentKeepalive = 25",
    ]


def test_without_a_key_of_ours_the_place_for_it_is_named() -> None:
    held = cluster(ROUTER)
    text = configuration(held, ROUTER, exported(held, ROUTER), "")

    assert f"# The private key of {ROUTER.public_key}" in text
    assert "\nPrivateKey" not in text
    assert "fd00" not in text, "it has no IPv6"


def test_a_change_of_epochs_leaves_it_alone() -> None:
    later = msgspec.structs.replace(GATE, wireguard_epoch=7, wireguard_key="N" * 43 + "=")

    assert exported(cluster(PHONE), PHONE) == exported(cluster(PHONE, gate=later), PHONE)


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        pytest.param("", ["192.0.2.11:51822"], id="public"),
        pytest.param(
            "vpn.example.org:4500", ["vpn.example.org:4502", "192.0.2.11:51822"], id="mapped"
        ),
        pytest.param("vpn.example.org", ["vpn.example.org:51822", "192.0.2.11:51822"], id="host"),
        pytest.param("[2001:db8::1]:4500", ["[2001:db8::1]:4502", "192.0.2.11:51822"], id="ipv6"),
        pytest.param("x:y:", ["192.0.2.11:51822"], id="malformed"),
    ],
)
def test_where_it_dials(endpoint: str, expected: list[str]) -> None:
    assert expected == endpoints(cluster(PHONE, endpoint=endpoint), "a1")


@pytest.mark.parametrize(
    ("held", "kind", "words"),
    [
        pytest.param(
            cluster(msgspec.structs.replace(PHONE, gateway="gone")),
            ProblemKind.STATIC_GATEWAY, "is no node of the fabric", id="gone",
        ),
        pytest.param(
            cluster(PHONE, gate=msgspec.structs.replace(GATE, static_key="")),
            ProblemKind.STATIC_GATEWAY, "published no key", id="no-key",
        ),
        pytest.param(
            cluster(msgspec.structs.replace(PHONE, gateway="b1")),
            ProblemKind.STATIC_CLOSED, "can dial", id="closed",
        ),
        pytest.param(
            cluster(msgspec.structs.replace(PHONE, networks=(Cidr.parse("10.244.9.0/24"),))),
            ProblemKind.STATIC_CLASH, "IPPool pods", id="clash",
        ),
    ],
)  # fmt: skip
def test_what_leads_nowhere_is_named(held: ClusterState, kind: ProblemKind, words: str) -> None:
    (problem,) = problems(held, "a1")

    assert (kind, "StaticPeer phone") == (problem.kind, problem.about)
    assert words in problem.message
    assert problem.mend


def told(held: ClusterState) -> ClusterState:
    """Return *held* when all its peers were exported just now."""
    peers = {
        name: msgspec.structs.replace(peer, exported=exported(held, peer))
        for name, peer in held.static_peers.items()
    }
    return msgspec.structs.replace(held, static_peers=peers)


NOW = told(cluster(PHONE))


@pytest.mark.parametrize(
    ("held", "words"),
    [
        pytest.param(NOW, "", id="current"),
        pytest.param(
            msgspec.structs.replace(NOW, settings={"default": Settings(key_epoch=9)}), "",
            id="epoch",
        ),
        pytest.param(
            msgspec.structs.replace(NOW, static_peers={**NOW.static_peers, "router": ROUTER}), "",
            id="another-peer",
        ),
        pytest.param(
            msgspec.structs.replace(
                NOW, fabric_nodes={**NOW.fabric_nodes, "a1": ready(GATE, "Z" * 43 + "=")}
            ),
            "another key", id="gateway-made-anew",
        ),
        pytest.param(
            msgspec.structs.replace(
                NOW,
                fabric_nodes={
                    **NOW.fabric_nodes,
                    "a1": msgspec.structs.replace(
                        GATE, endpoints=(Address.parse("198.51.100.9"),)
                    ),
                },
            ),
            "dials 192.0.2.11:51822, and a1 is at 198.51.100.9:51822", id="moved",
        ),
        pytest.param(
            msgspec.structs.replace(
                NOW, pools={**NOW.pools, "more": pool("more", "10.99.0.0/16")}
            ),
            "does not know 10.99.0.0/16", id="new-pool",
        ),
    ],
)  # fmt: skip
def test_what_it_was_told_and_is_no_longer_so(held: ClusterState, words: str) -> None:
    found = [it for it in problems(held, "a1") if it.kind is ProblemKind.STATIC_STALE]

    assert bool(words) == bool(found)
    assert not words or words in found[0].message


def test_a_free_address_of_each_family() -> None:
    first = free_addresses(cluster(), "phone")
    again = free_addresses(cluster(msgspec.structs.replace(PHONE, addresses=first)), "phone")

    assert [4, 6] == [address.family for address in first]
    assert all(any(it in net for net in STATIC_RANGES) for it in (*first, *again))
    assert not set(first) & set(again)
    assert first == free_addresses(cluster(), "phone")
    assert gateway_failure(cluster(), PHONE) is None
