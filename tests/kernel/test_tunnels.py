"""Tunnels carry packets between two nodes; wireguard-go survives, is adopted and restarted."""

from __future__ import annotations

import base64
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from chita.dataplane.netlink.links import InterfaceAddress, Links, VethEnd
from chita.dataplane.netlink.neighbours import ForwardingEntries, Neighbours
from chita.dataplane.netlink.offload import TxChecksum, read_tx_checksum
from chita.dataplane.netlink.routes import RouteTable
from chita.dataplane.netlink.rules import OURS, Rules, our_rules, sync_rules
from chita.dataplane.netlink.socket import NetlinkSocket
from chita.dataplane.tunnels.backend import wireguard_backend
from chita.dataplane.tunnels.vxlan import change_vteps, remove_vxlan, sync_vxlan, vtep_mac
from chita.dataplane.tunnels.wireguard import Secrets, WireguardTunnel
from chita.dataplane.tunnels.wireguard_go import WireguardGo
from chita.desired.routes import OnDevice
from chita.desired.tunnels import Endpoint, Vtep, Vxlan, Wireguard, WireguardPeer
from chita.errors import EngineError
from chita.model.net import Address, Cidr
from network_namespace import fresh_namespaces, needs_root, ping

pytestmark = [pytest.mark.kernel, needs_root]

UNDERLAY = {
    4: [Address.parse("192.0.2.1"), Address.parse("192.0.2.2")],
    6: [Address.parse("2001:db8::1"), Address.parse("2001:db8::2")],
}
REKEY_TIMEOUT_S = 5
"""After which WireGuard itself repeats a handshake (its messages.h)."""
MESH = [
    (Address.parse("100.64.0.1"), Address.parse("fd00:100:64::1")),
    (Address.parse("100.64.0.2"), Address.parse("fd00:100:64::2")),
]


@contextmanager
def two_nodes() -> Iterator[tuple[list[Path], list[NetlinkSocket]]]:
    """Yield two namespaces joined by a veth pair with the underlay addresses of both families."""
    with fresh_namespaces(2) as spaces, ExitStack() as stack:
        sockets = [stack.enter_context(NetlinkSocket(namespace=it)) for it in spaces]
        Links(sockets[0]).add_veth(
            VethEnd(name="wire", mac="02:00:00:00:01:01"),
            VethEnd(name="wire", mac="02:00:00:00:01:02", namespace=spaces[1]),
            mtu_bytes=1500,
        )
        for number, opened in enumerate(sockets):
            links = Links(opened)
            index = links.index("wire")
            links.set_up(index)
            for family, prefix in ((4, 24), (6, 64)):
                address = InterfaceAddress(UNDERLAY[family][number], prefix)
                links.put_address(index, address)
            sync_rules(our_rules(OURS), Rules(opened))
        yield spaces, sockets


def vxlan(number: int, family: int) -> Vxlan:
    other = 1 - number
    vtep = Vtep(
        node=f"node-{other}",
        mac=vtep_mac(f"node-{other}"),
        outer=UNDERLAY[family][other],
        inner=MESH[other],
    )
    return Vxlan(
        device="chita-vxlan",
        vni=4096,
        port=4789,
        local=UNDERLAY[family][number],
        mac=vtep_mac(f"node-{number}"),
        mtu_bytes=1430,
        addresses=MESH[number],
        vteps={vtep.node: vtep},
    )


@pytest.mark.parametrize(
    "family", [pytest.param(4, id="over-ipv4"), pytest.param(6, id="over-ipv6")]
)
def test_vxlan_carries_both_families(family: int) -> None:
    """IPv4 and IPv6 ride inside either outer family, up to the device's MTU."""
    with two_nodes() as (spaces, sockets):
        for number, opened in enumerate(sockets):
            assert sync_vxlan(vxlan(number, family), opened) == {}
            table = RouteTable(opened, Links(opened))
            for mesh in MESH[1 - number]:
                table.put(OnDevice(dst=Cidr.of(mesh), device="chita-vxlan"))

        ping(spaces[0], str(MESH[1][0]), size_bytes=1430 - 28)
        ping(spaces[0], str(MESH[1][1]), size_bytes=1430 - 48)
        assert read_tx_checksum("chita-vxlan", namespace=spaces[0]) is TxChecksum.KERNEL


def test_vxlan_changes_in_place_and_shrinks() -> None:
    """Twice is once; a departed node leaves no entry; MTU and MAC change without a new device."""
    with two_nodes() as (_, sockets):
        opened, links = sockets[0], Links(sockets[0])
        first = vxlan(0, 4)
        assert sync_vxlan(first, opened) == {}
        index = links.index("chita-vxlan")
        before = opened.writes
        assert sync_vxlan(first, opened) == {}
        assert opened.writes == before
        links.set_down(index)
        changed = msgspec.structs.replace(
            first, vteps={}, mtu_bytes=1400, mac="02:00:00:00:00:09", addresses=MESH[0][:1]
        )

        assert sync_vxlan(changed, opened) == {}

        link = links.get("chita-vxlan")
        assert link is not None
        assert (link.index, link.mtu_bytes, link.mac) == (index, 1400, "02:00:00:00:00:09")
        assert link.is_up
        assert links.read_addresses(index) == {InterfaceAddress(MESH[0][0], 32)}
        assert ForwardingEntries(opened, index).read() == {}
        assert Neighbours(opened, index).read() == {}

        other_port = msgspec.structs.replace(changed, port=8472)
        assert sync_vxlan(other_port, opened) == {}
        assert links.index("chita-vxlan") != index

        remove_vxlan("chita-vxlan", opened)
        remove_vxlan("chita-vxlan", opened)
        assert links.get("chita-vxlan") is None


def test_vteps_come_and_go_without_a_look_at_the_device() -> None:
    """Only what is news is written: a forwarding entry and a neighbour of each family."""
    with two_nodes() as (_, sockets):
        opened = sockets[0]
        first = vxlan(0, 4)
        assert sync_vxlan(first, opened) == {}
        third = Vtep(
            node="node-2",
            mac=vtep_mac("node-2"),
            outer=Address.parse("192.0.2.3"),
            inner=(Address.parse("100.64.0.3"),),
        )
        more = msgspec.structs.replace(first, vteps={**first.vteps, third.node: third})

        before = opened.writes
        assert change_vteps(more, first, opened) == {}
        assert opened.writes == before + 2
        assert sync_vxlan(more, opened) == {}
        assert opened.writes == before + 2
        assert change_vteps(first, more, opened) == {}
        assert sync_vxlan(first, opened) == {}
        assert opened.writes == before + 4


def test_vxlan_without_ipv6() -> None:
    """Below an MTU of 1280 a device has no IPv6, and none is asked for (RFC 8200 section 5)."""
    with two_nodes() as (_, sockets):
        small = msgspec.structs.replace(
            vxlan(0, 4), vteps={}, mtu_bytes=1200, addresses=MESH[0][:1]
        )
        assert sync_vxlan(small, sockets[0]) == {}


def key_pair() -> tuple[str, str]:
    key = X25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    return base64.b64encode(key.private_bytes_raw()).decode(), base64.b64encode(public).decode()


def wireguard(number: int, public_key: str, family: int = 4) -> Wireguard:
    other = 1 - number
    peer = WireguardPeer(
        node=f"node-{other}",
        public_key=public_key,
        endpoint=Endpoint(UNDERLAY[family][other], 51820),
        allowed=frozenset(map(Cidr.of, MESH[other])),
    )
    return Wireguard(
        device="chita-wg",
        port=51820,
        mtu_bytes=1400,
        addresses=MESH[number],
        peers={public_key: peer},
    )


@pytest.mark.slow
def test_wireguard_go_carries_is_adopted_and_restarted(tmp_path: Path) -> None:
    """The process outlives its agent; after its death routes stay and a new one takes over."""
    keys = [key_pair(), key_pair()]
    with two_nodes() as (spaces, sockets), ExitStack() as stack:
        backends, tunnels = [], []
        for number, opened in enumerate(sockets):
            directory = tmp_path / f"node-{number}"
            directory.mkdir()
            backend = WireguardGo("chita-wg", directory=directory, namespace=spaces[number])
            stack.callback(backend.remove)
            tunnel = WireguardTunnel(backend, opened)
            desired = wireguard(number, keys[1 - number][1])
            assert tunnel.sync(desired, Secrets(keys[number][0]), now_s=time.time()) == {}
            table = RouteTable(opened, Links(opened))
            for mesh in MESH[1 - number]:
                table.put(OnDevice(dst=Cidr.of(mesh), device="chita-wg"))
            backends.append(backend)
            tunnels.append(tunnel)

        ping(spaces[0], str(MESH[1][0]), size_bytes=1400 - 28)
        ping(spaces[0], str(MESH[1][1]), size_bytes=1400 - 48)
        peer = tunnels[0].read().peers[keys[1][1]]
        assert abs(time.time() - peer.handshake_s) < 60
        assert min(peer.received_bytes, peer.sent_bytes) > 1400

        pid = backends[0].pid
        assert pid is not None
        adopter = WireguardGo("chita-wg", directory=tmp_path / "node-0", namespace=spaces[0])
        assert adopter.ensure() is False
        before = sockets[0].writes
        desired = wireguard(0, keys[1][1])
        adopted = WireguardTunnel(adopter, sockets[0])
        assert adopted.sync(desired, Secrets(keys[0][0]), now_s=time.time()) == {}
        assert sockets[0].writes == before
        (tmp_path / "node-0" / "chita-wg.pid").unlink()  # as after a crash before it was written
        assert adopter.pid == pid

        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: adopter.pid is None)
        assert Cidr.of(MESH[1][0]) in RouteTable(sockets[0], Links(sockets[0])).read()
        assert (
            tunnels[0].sync(wireguard(0, keys[1][1]), Secrets(keys[0][0]), now_s=time.time()) == {}
        )
        assert backends[0].pid not in (None, pid)
        # The other end still has the old session; only a handshake from here tells it otherwise.
        ping(spaces[1], str(MESH[0][0]), count=20)

        backends[0].remove()
        backends[0].remove()
        assert Links(sockets[0]).get("chita-wg") is None
        assert backends[0].pid is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("theirs", "answers"),
    [
        pytest.param("same", True, id="same"),
        pytest.param("other", False, id="another"),
        pytest.param("", False, id="without"),
    ],
)
def test_only_who_has_the_preshared_key_gets_a_handshake(
    tmp_path: Path, theirs: str, *, answers: bool
) -> None:
    """The keys that the API spreads are not enough: it is a second factor of every session."""
    known = {"": "", "same": key_pair()[0], "other": key_pair()[0]}
    keys = [key_pair(), key_pair()]
    with two_nodes() as (spaces, sockets), ExitStack() as stack:
        tunnels = []
        for number, preshared in enumerate((known["same"], known[theirs])):
            directory = tmp_path / f"node-{number}"
            directory.mkdir()
            backend = wireguard_backend("chita-wg", sockets[number], directory=directory)
            stack.callback(backend.remove)
            tunnel = WireguardTunnel(backend, sockets[number])
            desired = wireguard(number, keys[1 - number][1])
            secrets = Secrets(keys[number][0], preshared)
            assert tunnel.sync(desired, secrets, now_s=time.time()) == {}
            for mesh in MESH[1 - number]:
                table = RouteTable(sockets[number], Links(sockets[number]))
                table.put(OnDevice(dst=Cidr.of(mesh), device="chita-wg"))
            tunnels.append(tunnel)

        if answers:
            ping(spaces[0], str(MESH[1][0]))
        else:
            with pytest.raises(AssertionError, match="100% packet loss"):
                ping(spaces[0], str(MESH[1][0]))

        shook = [
            tunnel.read().peers[keys[1 - it][1]].handshake_s for it, tunnel in enumerate(tunnels)
        ]
        assert [answers, answers] == [at_s > 0 for at_s in shook]


@pytest.mark.slow
def test_a_handshake_that_came_too_early_is_repeated_at_once(tmp_path: Path) -> None:
    """One node learns of the other first; its packets pass a second after the other has learned."""
    keys = [key_pair(), key_pair()]
    with two_nodes() as (_, sockets), ExitStack() as stack:
        tunnels = []
        for number, opened in enumerate(sockets):
            directory = tmp_path / f"node-{number}"
            directory.mkdir()
            backend = wireguard_backend("chita-wg", opened, directory=directory)
            stack.callback(backend.remove)
            tunnels.append(WireguardTunnel(backend, opened))
        first = wireguard(0, keys[1][1])
        # The second is dialled and cannot dial, as a gateway is by a node behind a NAT.
        peer = msgspec.structs.replace(wireguard(1, keys[0][1]).peers[keys[0][1]], endpoint=None)
        second = msgspec.structs.replace(wireguard(1, keys[0][1]), peers={keys[0][1]: peer})
        unknowing = msgspec.structs.replace(second, peers={})
        tunnels[1].sync(unknowing, Secrets(keys[1][0]), now_s=time.time())
        tunnels[0].sync(first, Secrets(keys[0][0]), now_s=time.time())

        def is_refused() -> bool:
            return tunnels[0].read().peers[keys[1][1]].sent_bytes > 0

        def has_shaken_hands() -> bool:
            tunnels[0].knock()
            return tunnels[0].read().peers[keys[1][1]].handshake_s > 0

        wait_until(is_refused)
        began = time.monotonic()
        tunnels[1].change_peers(second.peers, {}, "")
        wait_until(has_shaken_hands)

        assert time.monotonic() - began < REKEY_TIMEOUT_S - 1
        assert set(first.peers) == set(tunnels[0].read().peers)
        assert first.peers[keys[1][1]].allowed == tunnels[0].read().peers[keys[1][1]].allowed


def test_missing_program_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without wireguard-go the error says what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(EngineError, match="install the package wireguard-go"):
        WireguardGo("chita-wg", directory=tmp_path).ensure()


def wait_until(condition: object, *, timeout_s: float = 5.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "condition not met in time"
