"""Which flows over the edge of a cluster are tried, and which are said to be nobody's to decide."""

from __future__ import annotations

import json

import msgspec
import pytest

from build import cluster, host_endpoint, pool, port
from chita.lab.clouds import KUBELET_PORT, RELAY_PORT, TUNNEL_PORTS
from chita.lab.matrix import CLOSED_PORT, Arrival, Place, Trial
from chita.lab.outside import Crossing, crossing
from chita.lab.topology import topology
from chita.model.cluster import ClusterState
from chita.model.net import ICMP, ICMPV6, SCTP, TCP, UDP, Address
from chita.model.node import FabricNode
from lab_worlds import node, underlay, world

BANK = Place(
    name="bank",
    group="internet",
    netns="bank",
    addresses=(Address.parse("198.18.0.70"), Address.parse("fd00:198:18::70")),
    listens=((TCP, 443), (SCTP, 3868)),
)
HOST = Place(name="host:n", group="hosts", netns="n", node="n")
POD = Place(
    name="shop/web",
    group="shop",
    netns="web",
    node="n",
    addresses=(Address.parse("10.244.0.5"), Address.parse("fd00:10:244::5")),
)
POOLS = (
    pool("four", "10.244.0.0/16", nat_outgoing=True),
    pool("six", "fd00:10:244::/56", nat_outgoing=True),
)
RECORD = FabricNode(name="n", location="aws-r", wireguard_port=TUNNEL_PORTS[-1])


def crossed(
    state: ClusterState, *, public: tuple[str, ...] = (), nat: str = "endpoint-dependent"
) -> Crossing:
    """Return the flows between BANK and a cloud where POD runs on a node with *public*."""
    place = underlay("aws", provider="aws", nat={"kind": nat})
    planned = topology(world(place, node("n", "aws", public=public)))
    assert not planned.problems
    return crossing(state, planned.clouds, pods=[POD], hosts=[HOST], outside=[BANK])


def told(trials: list[Trial], source: Place) -> set[tuple[int, int, int]]:
    """Return family, protocol and port of what *source* sends."""
    return {
        (it.address.family, it.protocol, it.port) for it in trials if it.source.name == source.name
    }


def test_outwards_from_pods_and_nodes_in_both_families() -> None:
    """A pod as itself; a node by the address it has in its cloud, which the router translates."""
    found = crossed(cluster(*POOLS)).trials

    expected = {(family, TCP, number) for family in (4, 6) for number in (443, CLOSED_PORT)}
    expected |= {(4, ICMP, 0), (6, ICMPV6, 0)}
    assert expected == told(found, POD) == told(found, HOST)
    assert {"10.1.0.11", "fd00:a:1::b"} == {
        str(it.source_address) for it in found if it.source.name == HOST.name
    }


def test_inwards_to_what_the_cloud_opens() -> None:
    """At the public address; the node's policy sees the private one. Any answer is enough."""
    found = crossed(cluster(*POOLS, RECORD), public=("198.18.1.11",)).trials
    inwards = [it for it in found if it.source.name == BANK.name]

    unused = TUNNEL_PORTS[-3]
    assert {
        (4, TCP, RELAY_PORT), (4, TCP, KUBELET_PORT), (4, UDP, unused), (4, ICMP, 0)
    } == told(found, BANK)  # fmt: skip
    assert {("198.18.1.11", "10.1.0.11")} == {
        (str(it.address), str(it.arrives_at)) for it in inwards
    }
    assert {Arrival.CONTACT} == {it.arrival for it in inwards}


SSH = msgspec.structs.replace(host_endpoint("n-all", node="n"), ports=(port("ssh", 22),))
OPEN = msgspec.structs.replace(host_endpoint("n-all", node="n"), ports=(port("kubelet", 10250),))


@pytest.mark.parametrize(
    ("state", "public", "nat", "expected"),
    [
        pytest.param(
            cluster(*POOLS), (), "endpoint-dependent",
            {"without a public IPv4 address", "without a public IPv6 address"},
            id="behind-a-nat",
        ),
        pytest.param(
            cluster(*POOLS), ("198.18.1.11", "fd00:198:18:1::b"), "endpoint-dependent", set(),
            id="reached-in-both-families",
        ),
        pytest.param(
            cluster(), ("198.18.1.11", "fd00:198:18:1::b"), "endpoint-dependent",
            {"without a pool leave a node untranslated"},
            id="pods-of-no-pool",
        ),
        pytest.param(
            cluster(POOLS[0], pool("plain", "fd00:10:244::/56")),
            ("198.18.1.11", "fd00:198:18:1::b"), "endpoint-dependent",
            {"of pool plain leave a node untranslated"},
            id="pool-without-translation",
        ),
        pytest.param(
            cluster(*POOLS), ("198.18.1.11",), "none",
            {"without a public IPv6 address", "lets no node out that has no public IPv6 address"},
            id="no-nat",
        ),
        pytest.param(
            cluster(*POOLS, RECORD), ("198.18.1.11", "fd00:198:18:1::b"), "endpoint-dependent",
            {"WireGuard says nothing"},
            id="tunnel-port",
        ),
        pytest.param(
            cluster(*POOLS, SSH), ("198.18.1.11", "fd00:198:18:1::b"), "endpoint-dependent",
            {"the security group of aws closes TCP 22"},
            id="declared-port-that-the-cloud-closes",
        ),
        pytest.param(
            cluster(*POOLS, OPEN), ("198.18.1.11", "fd00:198:18:1::b"), "endpoint-dependent", set(),
            id="declared-port-that-is-open",
        ),
    ],
)  # fmt: skip
def test_what_is_not_tried_has_a_reason(
    state: ClusterState, public: tuple[str, ...], nat: str, expected: set[str]
) -> None:
    always = {"no NAT carries SCTP", "a pod's address is nothing"}

    found = crossed(state, public=public, nat=nat)

    reasons = found.undecided
    assert len(always | expected) == len(reasons), json.dumps(reasons)
    assert all(any(part in why for why in reasons) for part in always | expected)
