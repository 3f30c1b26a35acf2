"""What can be mended is named, with how; and a bad record touches its own pair alone."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from chita.compute.tunnels import node_wireguards
from chita.desired.paths import PathKind, RungState
from chita.fabric.claims import address_rivals, key_rivals
from chita.fabric.health import Direct, Health, Local, Transit, Verdict, Way, WayHealth
from chita.fabric.path import paths
from chita.fabric.problems import FabricProblem, ProblemKind, problems
from chita.model.cluster import ClusterState
from chita.model.ippool import IPPool
from chita.model.location import Location
from chita.model.net import Address, Cidr
from chita.model.node import Candidate, CandidateKind, FabricNode, TunnelEnd
from chita.model.selector import parse_selector
from chita.model.settings import Encryption, Settings
from hybrid import KEYS, fabric_node, hybrid

GATE = fabric_node("a1", "aws-x", "10.0.0.11", public="192.0.2.11")
INNER = fabric_node("a2", "aws-x", "10.0.0.12")
ANOTHER = fabric_node("a3", "aws-x", "10.0.0.13")
FAR = fabric_node("b1", "gcp-y", "10.1.0.11", public="198.51.100.11")
SOUND = hybrid(GATE, INNER, FAR)


def found(cluster: ClusterState, local: str = "a1", health: Health | None = None) -> list[str]:
    """Return kind and object of each problem."""
    listed = problems(cluster, local, health or Health())
    assert all(it.message and it.mend for it in listed)
    return [f"{it.kind}: {it.about}" for it in listed]


def only(cluster: ClusterState, health: Health | None = None) -> FabricProblem:
    (problem,) = problems(cluster, "a1", health or Health())
    return problem


def test_nothing_is_wrong_with_a_sound_cluster() -> None:
    assert [] == found(SOUND)


def with_location(name: str, *peers: str) -> ClusterState:
    place = Location(name=name, peers=peers)
    return msgspec.structs.replace(SOUND, locations={**SOUND.locations, name: place})


@pytest.mark.parametrize(
    ("cluster", "kind", "words"),
    [
        pytest.param(
            with_location("aws-y"), ProblemKind.LOCATION_EMPTY, "was aws-x meant?", id="misspelled"
        ),
        pytest.param(
            with_location("moon"), ProblemKind.LOCATION_EMPTY, "no node is in it", id="empty"
        ),
        pytest.param(
            with_location("aws-x", "gcp-z"),
            ProblemKind.PEER_UNKNOWN,
            "was gcp-y meant?",
            id="peer-misspelled",
        ),
    ],
)
def test_locations(cluster: ClusterState, kind: ProblemKind, words: str) -> None:
    problem = only(cluster)

    assert kind == problem.kind
    assert words in problem.message


def labelled(name: str, text: str, endpoint: str = "") -> ClusterState:
    node = msgspec.structs.replace(
        SOUND.nodes[name], labels={"chita.dev/gateway-weight": text}, endpoint=endpoint
    )
    return msgspec.structs.replace(SOUND, nodes={**SOUND.nodes, name: node})


@pytest.mark.parametrize(
    ("cluster", "expected"),
    [
        pytest.param(labelled("a1", "3"), [], id="gateway"),
        pytest.param(labelled("a2", "0"), [], id="drained"),
        pytest.param(labelled("a2", "1"), ["gateway-not-dialable: Node a2"], id="behind-nat"),
        pytest.param(labelled("a1", "many"), ["gateway-weight-invalid: Node a1"], id="no-number"),
    ],
)
def test_gateways(cluster: ClusterState, expected: list[str]) -> None:
    assert expected == found(cluster)


def mapped() -> ClusterState:
    """Return a cluster in which a2's endpoint resolved."""
    held = (Candidate(CandidateKind.MAPPED, Address.parse("203.0.113.7"), 4500),)
    record = msgspec.structs.replace(INNER, candidates=held)
    cluster = labelled("a2", "0", "vpn.example.org:4500")
    return msgspec.structs.replace(cluster, fabric_nodes={**cluster.fabric_nodes, "a2": record})


@pytest.mark.parametrize(
    ("cluster", "expected"),
    [
        pytest.param(mapped(), [], id="resolved"),
        pytest.param(
            labelled("a2", "0", "vpn.example.org:4500"),
            ["endpoint-unresolved: Node a2"],
            id="unresolved",
        ),
        pytest.param(
            labelled("a2", "0", "vpn.example.org:0"),
            ["endpoint-malformed: Node a2"],
            id="malformed",
        ),
    ],
)
def test_endpoints(cluster: ClusterState, expected: list[str]) -> None:
    assert expected == found(cluster)


TWIN = msgspec.structs.replace(ANOTHER, wireguard_key=KEYS["b1"])


def test_two_that_claim_one_key_are_named_and_the_others_left_alone() -> None:
    """Nobody can tell whose it is: neither gets a tunnel, everybody else does."""
    cluster = hybrid(GATE, INNER, FAR, TWIN)

    ways = paths(cluster, "a1")

    assert ["key-claimed-twice: FabricNode a3", "key-claimed-twice: FabricNode b1"] == found(
        cluster
    )
    assert {"a3": ("b1",), "b1": ("a3",)} == key_rivals(cluster.fabric_nodes)
    assert PathKind.NONE == ways["b1"].kind
    assert "a3 claims the key of b1 too" in ways["b1"].reason
    assert PathKind.VXLAN == ways["a3"].kind
    before, now = paths(SOUND, "a1")["a2"], ways["a2"]
    assert (before.kind, before.sessions) == (now.kind, now.sessions)


def test_two_with_one_address_in_one_location() -> None:
    """Two networks with one label: whoever answers there may be the other, also for neighbours."""
    twin = fabric_node("a3", "aws-x", "10.0.0.11")
    cluster = hybrid(GATE, INNER, twin)

    path = paths(cluster, "a1")["a3"]

    assert {"a1": ("a3",), "a3": ("a1",)} == address_rivals(cluster.fabric_nodes)
    assert [
        "address-claimed-twice: FabricNode a1",
        "address-claimed-twice: FabricNode a3",
    ] == found(cluster)
    assert PathKind.WIREGUARD == path.kind
    vxlan = next(rung for rung in path.rungs if rung.kind is PathKind.VXLAN)
    assert RungState.REFUSED is vxlan.state
    assert "a3 in aws-x has 10.0.0.11 of a1 too" in vxlan.reason
    assert PathKind.WIREGUARD == paths(cluster, "a2")["a1"].kind
    assert PathKind.RELAYED == paths(cluster, "a2")["a3"].kind


def test_two_with_one_mesh_address() -> None:
    cluster = hybrid(GATE, INNER)
    same = msgspec.structs.replace(
        cluster.nodes["a2"], mesh_addresses=cluster.nodes["a1"].mesh_addresses[:1]
    )
    cluster.nodes["a2"] = same

    assert ProblemKind.MESH_CLAIMED == only(cluster).kind


def pools(**cidrs: str) -> ClusterState:
    made = {
        name: IPPool(
            name=name, cidr=Cidr.parse(cidr), block_size=26, node_selector=parse_selector("all()")
        )
        for name, cidr in cidrs.items()
    }
    return msgspec.structs.replace(SOUND, pools=made)


@pytest.mark.parametrize(
    ("cluster", "words"),
    [
        pytest.param(
            pools(one="10.244.0.0/16", two="10.244.128.0/17"), "IPPool two", id="two-pools"
        ),
        pytest.param(pools(one="10.0.0.0/8"), "a network of aws-x", id="pool-and-nodes"),
        pytest.param(pools(one="100.64.0.0/24"), "FabricConfiguration", id="pool-and-mesh"),
    ],
)
def test_overlaps(cluster: ClusterState, words: str) -> None:
    listed = problems(cluster, "a1")

    assert {ProblemKind.NETWORKS_OVERLAP} == {it.kind for it in listed}
    assert any(words in it.message for it in listed)


UP, DOWN = WayHealth(verdict=Verdict.UP), WayHealth(verdict=Verdict.DOWN)


def at(text: str) -> WayHealth:
    return msgspec.structs.replace(UP, outer=Address.parse(text))


NEIGHBOURS = hybrid(GATE, INNER, ANOTHER, FAR)


@pytest.mark.parametrize(
    ("ways", "doubted"),
    [
        pytest.param({}, [], id="unprobed"),
        pytest.param({Local("a2"): UP, Local("a3"): UP}, [], id="all-answer"),
        pytest.param({Local("a2"): DOWN, Local("a3"): DOWN}, [], id="dead-all-of-them"),
        pytest.param({Local("a2"): DOWN, Direct("a2"): DOWN, Local("a3"): UP}, [], id="dead"),
        pytest.param(
            {Local("a2"): DOWN, Direct("a2"): UP, Local("a3"): DOWN, Direct("a3"): UP},
            ["a1"],
            id="nobody-answers-here",
        ),
        pytest.param(
            {Local("a2"): DOWN, Direct("a2"): UP, Local("a3"): UP}, ["a2"], id="one-does-not"
        ),
        pytest.param(
            {Local("a2"): DOWN, Transit("b1", "aws-x"): UP, Local("a3"): UP},
            ["a2"],
            id="one-answers-by-relay",
        ),
    ],
)
def test_a_label_that_probes_contradict(ways: dict[Way, WayHealth], doubted: list[str]) -> None:
    """A node that answers by another way is not dead: it is somewhere else, or filtered."""
    listed = problems(NEIGHBOURS, "a1", Health(ways))

    assert [f"Node {name}" for name in doubted] == [it.about for it in listed]
    for it in listed:
        assert ProblemKind.LABEL_DOUBTED == it.kind
        assert "label says aws-x" in it.message
        assert "10.0.0.12" in it.message
        assert "chita.dev/location" in it.mend


AT_HOME = msgspec.structs.replace(UP, outer=Address.parse("10.0.0.12"))
AWAY = msgspec.structs.replace(UP, outer=Address.parse("203.0.113.9"))
ALL = {"default": Settings(encryption=Encryption.ALL)}


def test_a_filter_is_no_wrong_label() -> None:
    """WireGuard's handshake came from the private address: no other network has that node."""
    ways: dict[Way, WayHealth] = {Local("a2"): DOWN, Direct("a2"): AT_HOME, Local("a3"): DOWN}

    problem = only(NEIGHBOURS, Health(ways))

    assert (ProblemKind.NETWORK_FILTERED, "Node a2") == (problem.kind, problem.about)
    assert "UDP 4789" in problem.mend


@pytest.mark.parametrize(
    ("ways", "expected"),
    [
        pytest.param({Direct("a2"): AT_HOME}, [], id="where-it-says"),
        pytest.param({Direct("a2"): AWAY}, ["location-label-doubted: Node a1"], id="elsewhere"),
        pytest.param(
            {Direct("a2"): AWAY, Direct("a3"): at("10.0.0.13")},
            ["location-label-doubted: Node a2"],
            id="one-is-elsewhere",
        ),
        pytest.param({Direct("a2"): UP}, [], id="not-known-where"),
    ],
)
def test_labels_where_all_is_encrypted(ways: dict[Way, WayHealth], expected: list[str]) -> None:
    """Nothing is sent in the clear that could prove them: where the tunnel stands does."""
    cluster = msgspec.structs.replace(NEIGHBOURS, settings=ALL)

    assert expected == found(cluster, health=Health(ways))


def test_a_node_that_has_not_joined_doubts_nobody() -> None:
    assert [] == found(SOUND, local="elsewhere")


def records(*nodes: FabricNode) -> dict[str, FabricNode]:
    return {node.name: node for node in nodes}


@pytest.mark.parametrize(
    ("newest", "previous", "expected"),
    [
        pytest.param("k", None, [], id="same"),
        pytest.param("", None, ["preshared-key-differs: FabricNode b1"], id="without"),
        pytest.param("other", "", [], id="the-old-epoch-is-in-common"),
        pytest.param(
            "other", "x", ["preshared-key-differs: FabricNode b1"], id="neither-epoch-in-common"
        ),
    ],
)
def test_another_preshared_key_is_named(
    newest: str, previous: str | None, expected: list[str]
) -> None:
    """Only where no epoch is left in which the two can talk."""

    def given(node: FabricNode, newest: str, previous: str | None) -> FabricNode:
        end = TunnelEnd(
            epoch=0, public_key=f"{node.wireguard_key[:-2]}A=", port=51820, preshared=previous or ""
        )
        return msgspec.structs.replace(
            node,
            wireguard_epoch=1,
            wireguard_preshared=newest,
            wireguard_previous=None if previous is None else end,
        )

    before = None if previous is None else ""
    cluster = hybrid(given(GATE, "k", before), given(FAR, newest, previous))

    assert expected == found(cluster)
    tunnels = node_wireguards(cluster, "a1", paths(cluster, "a1"), {})
    assert {1: "k"} | ({} if previous is None else {0: ""}) == {
        it.epoch: it.preshared for it in tunnels.values()
    }


def test_keys_not_published_yet_are_claimed_by_nobody() -> None:
    mute = [msgspec.structs.replace(node, wireguard_key="") for node in (GATE, INNER)]

    assert {} == key_rivals(records(*mute))


def test_each_problem_is_in_the_reference() -> None:
    page = Path(__file__).parents[3] / "docs" / "reference" / "fabric-problems.md"
    rows = page.read_text(encoding="utf-8").splitlines()

    assert list(ProblemKind) == [row.split("`")[1] for row in rows if row.startswith("| `")]
