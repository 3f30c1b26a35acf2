"""Per-peer changes: nothing for what is right, and no endpoint of a living session."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chita.dataplane.plan import apply
from chita.dataplane.tunnels.fake import FakeWireguard
from chita.dataplane.tunnels.wireguard import PeerChange, PeerState, peer_changes, peer_news
from chita.desired.tunnels import Endpoint, WireguardPeer
from chita.model.net import Address, Cidr

KEY = "peer"
NOW_S = 1_000_000
HOME, MOVED, OTHER = (Endpoint(Address.parse(f"192.0.2.{it}"), 51820) for it in (1, 2, 3))
NETS = frozenset({Cidr.parse("10.244.1.0/26")})
PEER = WireguardPeer(node="n", public_key=KEY, endpoint=HOME, allowed=NETS, keepalive_s=25)
HELD = PeerState(
    public_key=KEY,
    endpoint=HOME,
    allowed=NETS,
    keepalive_s=25,
    handshake_s=NOW_S - 30,
    received_bytes=1,
    sent_bytes=1,
)
NOTHING = PeerChange(public_key=KEY)


def change(
    peer: WireguardPeer, held: PeerState, intended: dict[str, Endpoint | None]
) -> PeerChange:
    changes = peer_changes({KEY: peer}, {KEY: held}, intended, "", now_s=NOW_S)
    return changes.put.get(KEY, NOTHING)


@pytest.mark.parametrize(
    ("desired", "held", "handshake_age_s", "intended", "expected"),
    [
        pytest.param(HOME, HOME, 30, {KEY: HOME}, None, id="as-it-is"),
        pytest.param(HOME, MOVED, 30, {KEY: HOME}, None, id="roamed-and-alive"),
        pytest.param(HOME, MOVED, 179, {KEY: HOME}, None, id="roamed-just-alive"),
        pytest.param(HOME, MOVED, 180, {KEY: HOME}, HOME, id="roamed-and-dead"),
        pytest.param(HOME, MOVED, None, {KEY: HOME}, HOME, id="never-shook-hands"),
        pytest.param(HOME, None, None, {}, HOME, id="no-endpoint-yet"),
        pytest.param(OTHER, HOME, 30, {KEY: HOME}, OTHER, id="a-better-one-is-desired"),
        pytest.param(OTHER, MOVED, 30, {KEY: None}, OTHER, id="one-is-desired-at-last"),
        pytest.param(HOME, MOVED, 30, {}, None, id="new-agent-leaves-living-sessions"),
        pytest.param(HOME, MOVED, 300, {}, HOME, id="new-agent-mends-dead-ones"),
        pytest.param(None, MOVED, 300, {KEY: HOME}, None, id="it-dials-us"),
        pytest.param(HOME, MOVED, -3600, {KEY: HOME}, HOME, id="clock-stepped-back"),
    ],
)
def test_endpoints(
    desired: Endpoint | None,
    held: Endpoint | None,
    handshake_age_s: int | None,
    intended: dict[str, Endpoint | None],
    expected: Endpoint | None,
) -> None:
    """Roaming is free: never write an endpoint under a session younger than 180 s, unless asked."""
    handshake_s = 0 if handshake_age_s is None else NOW_S - handshake_age_s
    peer = msgspec.structs.replace(PEER, endpoint=desired)
    state = msgspec.structs.replace(HELD, endpoint=held, handshake_s=handshake_s)

    assert change(peer, state, intended).endpoint == expected


def test_only_what_differs_is_written() -> None:
    """Each field alone, and none when all is as desired."""
    more = NETS | {Cidr.parse("fd00:10:244:1::/122")}
    known: dict[str, Endpoint | None] = {KEY: HOME}

    assert change(PEER, HELD, known) == NOTHING
    assert change(msgspec.structs.replace(PEER, allowed=more), HELD, known) == PeerChange(
        public_key=KEY, allowed=more
    )
    assert change(msgspec.structs.replace(PEER, keepalive_s=0), HELD, known) == PeerChange(
        public_key=KEY, keepalive_s=0
    )


def test_the_preshared_key_is_of_all_peers() -> None:
    """A new peer gets it, one that has another is corrected, and one too many is taken away."""
    held = {"right": msgspec.structs.replace(HELD, preshared_key="k"), "wrong": HELD}
    desired = dict.fromkeys(("right", "wrong", "new"), PEER)

    given = peer_changes(desired, held, {}, "k", now_s=NOW_S).put
    taken = peer_changes({"right": PEER}, held, {}, "", now_s=NOW_S).put
    news = peer_news({"wrong": PEER, "new": PEER}, {"wrong": PEER}, "k").put

    assert {"wrong": "k", "new": "k"} == {key: it.preshared_key for key, it in given.items()}
    assert {"right": ""} == {key: it.preshared_key for key, it in taken.items()}
    assert {"new": "k"} == {key: it.preshared_key for key, it in news.items()}


def test_peers_come_and_go() -> None:
    """A new peer is written whole, one that nobody desires is removed."""
    new = msgspec.structs.replace(PEER, public_key="new", endpoint=None)
    changes = peer_changes({"new": new}, {KEY: HELD}, {}, "", now_s=NOW_S)

    assert changes.remove == (KEY,)
    assert changes.put == {
        "new": PeerChange(public_key="new", allowed=NETS, keepalive_s=25),
    }


@st.composite
def peer_sets(draw: st.DrawFn) -> dict[str, WireguardPeer]:
    """Peers that share out a few networks."""
    nets = [Cidr.parse(f"10.244.{it}.0/26") for it in range(4)]
    owners = draw(st.lists(st.sampled_from("abc"), min_size=4, max_size=4))
    return {
        key: WireguardPeer(
            node=key,
            public_key=key,
            endpoint=draw(st.sampled_from([HOME, MOVED, OTHER])),
            allowed=frozenset(net for net, owner in zip(nets, owners, strict=True) if owner == key),
            keepalive_s=draw(st.sampled_from([0, 25])),
        )
        for key in sorted(set(owners))
    }


@pytest.mark.slow
@given(walk=st.lists(peer_sets(), min_size=1, max_size=4))
def test_any_walk_ends_as_desired(walk: list[dict[str, WireguardPeer]]) -> None:
    """Networks move between peers in any order; the last state is held, and again is nothing."""
    device = FakeWireguard()
    device.ensure()
    for desired in [*walk, walk[-1]]:
        device.changes.clear()
        changes = peer_changes(desired, device.read().peers, {}, "", now_s=NOW_S)
        assert apply(changes, lambda _, it: device.put_peer(it), device.remove_peer) == {}

    held = device.read().peers
    assert device.changes == []
    assert {key: (it.endpoint, it.allowed, it.keepalive_s) for key, it in held.items()} == {
        key: (it.endpoint, it.allowed, it.keepalive_s) for key, it in walk[-1].items()
    }


def test_a_roamed_session_is_left_alone_until_it_dies() -> None:
    """The fake roams as the kernel does; what is intended does not change meanwhile."""
    device = FakeWireguard()
    device.ensure()
    desired = {KEY: PEER}
    first = peer_changes(desired, {}, {}, "", now_s=NOW_S)
    apply(first, lambda _, it: device.put_peer(it), device.remove_peer)
    device.receive(KEY, MOVED, at_s=NOW_S)
    known: dict[str, Endpoint | None] = {KEY: HOME}

    assert not peer_changes(desired, device.read().peers, known, "", now_s=NOW_S + 179)
    dead = peer_changes(desired, device.read().peers, known, "", now_s=NOW_S + 180)
    assert dead.put == {KEY: PeerChange(public_key=KEY, endpoint=HOME)}


@pytest.mark.parametrize(
    ("desired", "expected"),
    [
        pytest.param({KEY: PEER}, {}, id="as-before"),
        pytest.param(
            {KEY: msgspec.structs.replace(PEER, endpoint=OTHER)},
            {KEY: PeerChange(public_key=KEY, endpoint=OTHER)},
            id="dialled-elsewhere",
        ),
        pytest.param(
            {KEY: msgspec.structs.replace(PEER, allowed=frozenset(), keepalive_s=0)},
            {KEY: PeerChange(public_key=KEY, allowed=frozenset(), keepalive_s=0)},
            id="nothing-lives-there-any-more",
        ),
        pytest.param(
            {KEY: PEER, "other": msgspec.structs.replace(PEER, public_key="other")},
            {"other": PeerChange(public_key="other", endpoint=HOME, allowed=NETS, keepalive_s=25)},
            id="a-new-one",
        ),
    ],
)
def test_news_of_peers(desired: dict[str, WireguardPeer], expected: dict[str, PeerChange]) -> None:
    """Against what was asked for last, without a look at the device."""
    assert expected == peer_news(desired, {KEY: PEER}, "").put
    assert () == peer_news(desired, {KEY: PEER}, "").remove
    assert (KEY,) == peer_news({}, {KEY: PEER}, "").remove
