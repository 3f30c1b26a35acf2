"""Paths under what probes found: which rung is used, which stand by, and where we dial."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chita.desired.paths import Path, PathKind, RungState
from chita.desired.tunnels import Endpoint
from chita.fabric.health import Direct, Health, Local, Transit, Verdict, Way, WayHealth
from chita.fabric.path import paths
from chita.model.cluster import ClusterState
from chita.model.location import Location
from chita.model.net import Address
from chita.model.node import Candidate, CandidateKind, FabricNode, Nat
from chita.model.settings import Encryption, Settings
from hybrid import fabric_node, hybrid

GATE = fabric_node("a1", "aws-x", "10.0.0.11", public="192.0.2.11")
GATE_TWO = fabric_node("a3", "aws-x", "10.0.0.13", public="192.0.2.13")
INNER = fabric_node("a2", "aws-x", "10.0.0.12")
FAR = fabric_node("b1", "gcp-y", "10.1.0.11", public="198.51.100.11")
FAR_INNER = fabric_node("b2", "gcp-y", "10.1.0.12")
THIRD = fabric_node("c2", "openstack-z", "10.2.0.12")

UP = WayHealth(verdict=Verdict.UP, reason="it answers")
DOWN = WayHealth(verdict=Verdict.DOWN, reason="3 of 3 probes lost")


def probed(**verdicts: WayHealth) -> Health:
    """Return a health; the names are ``direct_b1``, ``local_a2``, ``transit_a1_gcp``."""
    places = {"aws": "aws-x", "gcp": "gcp-y", "openstack": "openstack-z"}
    ways: dict[Way, WayHealth] = {}
    for name, health in verdicts.items():
        match name.split("_"):
            case ["direct", node]:
                ways[Direct(node)] = health
            case ["local", node]:
                ways[Local(node)] = health
            case ["transit", relay, place]:
                ways[Transit(relay, places[place])] = health
            case _:
                raise AssertionError(name)
    return Health(ways)


def dial(path: Path) -> Endpoint | None:
    """Return where the session of the newest keys is dialled."""
    return path.sessions[0].dial


def states(path: Path) -> dict[str, str]:
    return {
        rung.kind.value: rung.state.value
        for rung in path.rungs
        if rung.state is not RungState.REFUSED
    }


@pytest.mark.parametrize(
    ("health", "kind", "ladder"),
    [
        pytest.param(
            {},
            PathKind.VXLAN,
            {"vxlan": "used", "private-wireguard": "ready", "wireguard": "ready"},
            id="unprobed",
        ),
        pytest.param(
            {"local_a1": DOWN},
            PathKind.PRIVATE,
            {"vxlan": "failed", "private-wireguard": "used", "wireguard": "ready"},
            id="vxlan-is-filtered",
        ),
        pytest.param(
            {
                "local_a1": DOWN,
                "direct_a1": msgspec.structs.replace(UP, outer=Address.parse("192.0.2.11")),
            },
            PathKind.WIREGUARD,
            {"vxlan": "failed", "private-wireguard": "failed", "wireguard": "used"},
            id="only-the-public-address-answers",
        ),
        pytest.param(
            {"local_a1": DOWN, "direct_a1": DOWN},
            PathKind.RELAYED,
            {
                "vxlan": "failed",
                "private-wireguard": "failed",
                "wireguard": "failed",
                "relayed": "used",
            },
            id="only-through-another",
        ),
        pytest.param(
            {"local_a1": DOWN, "direct_a1": DOWN, "transit_a3_aws": DOWN, "transit_b1_aws": DOWN},
            PathKind.VXLAN,
            {
                "vxlan": "used",
                "private-wireguard": "failed",
                "wireguard": "failed",
                "relayed": "failed",
            },
            id="all-bad-means-use-what-is-promised",
        ),
    ],
)
def test_a_neighbour(health: dict[str, WayHealth], kind: PathKind, ladder: dict[str, str]) -> None:
    """From the location's network down to a relay; each rung says what it is."""
    path = paths(hybrid(GATE, GATE_TWO, INNER, FAR), "a2", probed(**health))["a1"]

    assert kind == path.kind
    assert ladder | {"relayed": ladder.get("relayed", "ready")} == states(path)
    assert path.reason


def test_all_encrypted_inside_a_location() -> None:
    cluster = msgspec.structs.replace(
        hybrid(GATE, INNER), settings={"default": Settings(encryption=Encryption.ALL)}
    )

    path = paths(cluster, "a2")["a1"]

    assert (PathKind.PRIVATE, 1440) == (path.kind, path.mtu_bytes)
    assert Address.parse("10.0.0.11") == path.outer


def peered(*nodes: FabricNode) -> ClusterState:
    places = {"aws-x": Location(name="aws-x", peers=("gcp-y",))}
    return msgspec.structs.replace(hybrid(*nodes), locations=places)


def at(text: str) -> WayHealth:
    return msgspec.structs.replace(UP, outer=Address.parse(text))


@pytest.mark.parametrize(
    ("here", "there", "health", "expected"),
    [
        pytest.param(
            "a2", "b1", {}, (PathKind.WIREGUARD, "unproven", "10.1.0.11"), id="tried-first"
        ),
        pytest.param(
            "b1", "a2", {}, (PathKind.WIREGUARD, "unproven", "10.0.0.12"), id="either-may-say-so"
        ),
        pytest.param(
            "a2",
            "b1",
            {"direct_b1": at("10.1.0.11")},
            (PathKind.PRIVATE, "used", "10.1.0.11"),
            id="proven",
        ),
        pytest.param(
            "a2",
            "b1",
            {"direct_b1": at("198.51.100.11")},
            (PathKind.WIREGUARD, "unproven", "198.51.100.11"),
            id="only-the-public-address-answers",
        ),
        pytest.param(
            "a2",
            "b1",
            {"direct_b1": DOWN},
            (PathKind.RELAYED, "failed", "198.51.100.11"),
            id="neither-answers",
        ),
        pytest.param(
            "a2", "b2", {"direct_b2": UP}, (PathKind.PRIVATE, "used", "10.1.0.12"), id="both-nat"
        ),
        pytest.param(
            "a2", "b2", {}, (PathKind.RELAYED, "unproven", "10.1.0.12"), id="both-nat-new"
        ),
    ],
)
def test_peered_locations(
    here: str, there: str, health: dict[str, WayHealth], expected: tuple[PathKind, str, str]
) -> None:
    """A private way between two places is dialled first and used once it answered."""
    path = paths(peered(GATE, INNER, FAR, FAR_INNER), here, probed(**health))[there]

    private = next(rung for rung in path.rungs if rung.kind is PathKind.PRIVATE)
    dialled = dial(path)
    assert dialled is not None
    assert expected == (path.kind, private.state, str(dialled.address))


def test_a_private_address_that_is_ours_too_is_no_way() -> None:
    """Peered networks whose ranges overlap: the packet would stay here."""
    twin = fabric_node("b2", "gcp-y", "10.0.0.77")

    path = paths(peered(INNER, twin, GATE), "a2")["b2"]

    private = next(rung for rung in path.rungs if rung.kind is PathKind.PRIVATE)
    assert RungState.REFUSED is private.state
    assert "in a network of our own" in private.reason


def natted(node: FabricNode, nat: Nat, met: str = "") -> FabricNode:
    held = (Candidate(CandidateKind.REFLEXIVE, Address.parse(met), 61000),) if met else ()
    return msgspec.structs.replace(node, nat=nat, candidates=held)


KEEPS = natted(INNER, Nat.ENDPOINT_INDEPENDENT, "203.0.113.1")
KEEPS_TOO = natted(THIRD, Nat.ENDPOINT_INDEPENDENT, "203.0.113.2")
BLOCKED = msgspec.structs.replace(KEEPS_TOO, udp_passes=False)
RANDOM = natted(THIRD, Nat.ENDPOINT_DEPENDENT)


@pytest.mark.parametrize(
    ("there", "health", "expected"),
    [
        pytest.param(KEEPS_TOO, {}, (PathKind.RELAYED, "unproven", True), id="tried"),
        pytest.param(KEEPS_TOO, {"direct_c2": UP}, (PathKind.PUNCHED, "used", True), id="proven"),
        pytest.param(
            KEEPS_TOO, {"direct_c2": DOWN}, (PathKind.RELAYED, "failed", True), id="no-answer"
        ),
        pytest.param(RANDOM, {}, (PathKind.RELAYED, "refused", False), id="random-ports"),
        pytest.param(THIRD, {}, (PathKind.RELAYED, "refused", False), id="not-known-yet"),
        pytest.param(BLOCKED, {}, (PathKind.RELAYED, "refused", False), id="udp-is-blocked"),
    ],
)
def test_two_nats(
    there: FabricNode, health: dict[str, WayHealth], expected: tuple[PathKind, str, bool]
) -> None:
    """They meet half-way where both NATs keep their mapping, and a relay carries meanwhile."""
    path = paths(hybrid(KEEPS, there, FAR), "a2", probed(**health))["c2"]

    punched = next(rung for rung in path.rungs if rung.kind is PathKind.PUNCHED)
    assert expected == (path.kind, punched.state, dial(path) is not None)


@pytest.mark.parametrize(
    ("turn", "expected"),
    [
        pytest.param(None, "192.0.2.11", id="just-now"),
        pytest.param(0, "10.0.0.11", id="first"),
        pytest.param(1, "192.0.2.11", id="second"),
        pytest.param(2, "10.0.0.11", id="first-again"),
    ],
)
def test_while_nobody_answers_all_addresses_are_dialled(turn: int | None, expected: str) -> None:
    """A network that was gone for a while is found again, whichever address answers then."""
    down = msgspec.structs.replace(DOWN, turn=turn)

    dialled = dial(paths(hybrid(GATE, INNER), "a2", probed(direct_a1=down))["a1"])

    assert dialled is not None
    assert expected == str(dialled.address)


def test_a_session_that_roamed_is_left_alone() -> None:
    """Its packets come from where no record says: a NAT between. Nothing is dialled instead."""
    path = paths(hybrid(GATE, INNER), "a1", probed(direct_a2=at("203.0.113.9")))["a2"]

    assert dial(path) is None


def test_a_session_is_left_alone_until_it_is_known_where_it_stands() -> None:
    """It is up at the private address or at the public one: writing either may break it."""
    path = paths(hybrid(GATE, INNER), "a2", probed(direct_a1=UP))["a1"]

    assert dial(path) is None


TWO = hybrid(INNER, GATE, GATE_TWO, THIRD)


@pytest.mark.parametrize(
    ("health", "relays"),
    [
        pytest.param({}, {"a1", "a3"}, id="both-share"),
        pytest.param({"direct_a1": DOWN}, {"a3"}, id="one-is-not-reached"),
        pytest.param({"transit_a1_aws": DOWN}, {"a3"}, id="one-does-not-forward"),
        pytest.param({"transit_a1_gcp": DOWN}, {"a1", "a3"}, id="it-fails-elsewhere"),
        pytest.param(
            {"transit_a1_aws": DOWN, "direct_a3": DOWN}, {"a1", "a3"}, id="all-bad-means-use-all"
        ),
    ],
)
def test_relays_are_chosen_by_health(health: dict[str, WayHealth], relays: set[str]) -> None:
    path = paths(TWO, "c2", probed(**health))["a2"]

    assert (PathKind.RELAYED, relays) == (path.kind, set(path.relays))


def test_how_many_share_is_a_setting() -> None:
    cluster = msgspec.structs.replace(TWO, settings={"default": Settings(active_gateways=1)})

    assert 1 == len(paths(cluster, "c2")["a2"].relays)


@pytest.mark.parametrize(
    ("nodes", "relay"),
    [
        pytest.param((INNER, FAR_INNER, FAR, GATE), "b1", id="the-far-location-s"),
        pytest.param((INNER, FAR_INNER, GATE), "a1", id="else-ours"),
        pytest.param(
            (INNER, FAR_INNER, fabric_node("g1", "azure-w", "10.4.0.1", public="192.0.2.99")),
            "g1",
            id="else-a-third",
        ),
    ],
)
def test_whose_gateway_relays(nodes: tuple[FabricNode, ...], relay: str) -> None:
    assert (relay,) == paths(hybrid(*nodes), "a2")["b2"].relays


def test_of_third_locations_the_nearest_relay_is_first() -> None:
    """Round trips that were probed count before the hash."""
    far, near = (
        fabric_node(name, "azure-w", f"10.4.0.{index}", public=f"192.0.2.{index}")
        for index, name in enumerate(("g1", "g2"), 91)
    )
    times = Health(
        {
            Transit("g1", "gcp-y"): msgspec.structs.replace(UP, rtt_s=0.080),
            Transit("g2", "gcp-y"): msgspec.structs.replace(UP, rtt_s=0.020),
        }
    )

    assert ("g2", "g1") == paths(hybrid(INNER, FAR_INNER, far, near), "a2", times)["b2"].relays


def test_a_probed_size_is_the_smaller() -> None:
    """What did not come through is not tried again by the routes."""
    small = msgspec.structs.replace(UP, mtu_bytes=1328)
    cluster = hybrid(GATE, FAR)

    path = paths(cluster, "a1", probed(direct_b1=small))["b1"]

    assert 1328 == path.mtu_bytes
    used = next(rung for rung in path.rungs if rung.state is RungState.USED)
    assert (1328, 1440) == (used.mtu_bytes, used.promised_mtu_bytes)
    assert "1328" in next(rung for rung in path.rungs if rung.state is RungState.USED).reason


def test_where_ipv6_does_not_fit_it_is_refused() -> None:
    """RFC 8200: 1280 bytes; a wire of 1300 leaves 1232."""
    narrow = msgspec.structs.replace(FAR, wire_mtu_bytes=1300)

    path = paths(hybrid(GATE, narrow), "a1")["b1"]

    assert (True, False) == (path.carries(4), path.carries(6))
    assert "IPv6 needs 1280 bytes" in path.reason


def test_a_relay_over_azure_still_carries_ipv6() -> None:
    """1400 on the wire, 1328 in WireGuard, 36 for the wrapping."""
    azure = fabric_node("c2", "azure-w", "10.2.0.12", wire=1400)

    path = paths(hybrid(INNER, GATE, azure), "a2")["c2"]

    assert (1292, True) == (path.mtu_bytes, path.carries(6))


@st.composite
def probed_fabrics(draw: st.DrawFn) -> tuple[list[FabricNode], Health]:
    places = ["aws-x", "gcp-y", "azure-z", "openstack-w"]
    nodes = [
        fabric_node(
            f"n{index}",
            draw(st.sampled_from(places)),
            f"10.0.0.{10 + index}",
            public=draw(st.sampled_from(["", f"192.0.2.{10 + index}"])),
            weight=draw(st.integers(0, 2)),
        )
        for index in range(draw(st.integers(2, 8)))
    ]
    some: list[Way] = [way(it.name) for it in nodes for way in (Direct, Local)]
    some += [Transit(it.name, place) for it in nodes for place in places]
    return nodes, Health(draw(st.dictionaries(st.sampled_from(some), st.sampled_from([UP, DOWN]))))


@given(probed_fabrics())
def test_what_probes_say_never_cuts_off(drawn: tuple[list[FabricNode], Health]) -> None:
    """A prober may err: whoever has a way by the records has one under any health."""
    nodes, health = drawn
    cluster = hybrid(*nodes)
    promised = paths(cluster, "n0")

    for name, path in paths(cluster, "n0", health).items():
        assert (promised[name].kind is PathKind.NONE) == (path.kind is PathKind.NONE)
        used = [rung for rung in path.rungs if rung.state is RungState.USED]
        assert [path.kind] * len(used) == [rung.kind for rung in used]
        assert (path.kind is PathKind.NONE) != bool(used)
        assert all(rung.reason for rung in path.rungs)


@given(probed_fabrics())
def test_a_relay_is_a_gateway_that_is_reached_itself(
    drawn: tuple[list[FabricNode], Health],
) -> None:
    """Never two relays in a row, never an end, never one that is drained."""
    nodes, health = drawn
    found = paths(hybrid(*nodes), "n0", health)
    weights = {node.name: node.gateway_weight for node in nodes}

    for name, path in found.items():
        for relay in path.relays:
            assert relay not in ("n0", name)
            assert weights[relay] > 0
            near = [rung for rung in found[relay].rungs if rung.kind is not PathKind.RELAYED]
            assert any(rung.state is not RungState.REFUSED for rung in near)


@given(probed_fabrics())
def test_a_down_way_is_used_only_when_nothing_else_is_left(
    drawn: tuple[list[FabricNode], Health],
) -> None:
    nodes, health = drawn

    for name, path in paths(hybrid(*nodes), "n0", health).items():
        ready = [rung for rung in path.rungs if rung.state is RungState.READY]
        if path.kind in (PathKind.ROUTED, PathKind.VXLAN):
            assert health.of(Local(name)).verdict is not Verdict.DOWN or not ready
        elif path.kind in (PathKind.PRIVATE, PathKind.WIREGUARD):
            assert health.of(Direct(name)).verdict is not Verdict.DOWN or not ready
