"""WireGuard back ends: one suite for the fake, for wireguard-go and for the kernel's."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from chita.dataplane.netlink.links import Links
from chita.dataplane.netlink.socket import NetlinkSocket
from chita.dataplane.tunnels.backend import wireguard_backend
from chita.dataplane.tunnels.fake import FakeWireguard
from chita.dataplane.tunnels.wireguard import PeerChange, WireguardBackend
from chita.dataplane.tunnels.wireguard_go import WireguardGo
from chita.dataplane.tunnels.wireguard_kernel import WireguardKernel
from chita.desired.tunnels import Endpoint
from chita.errors import UnsupportedError
from chita.model.net import Address, Cidr
from network_namespace import fresh_namespaces, needs_root

KEYS = [base64.b64encode(bytes([number] * 31 + [64])).decode() for number in (8, 16, 24)]
NETS = [Cidr.parse(it) for it in ("10.244.1.0/26", "fd00:10:244:1::/122", "10.244.2.0/26")]
ENDPOINTS = [
    Endpoint(Address.parse("192.0.2.7"), 51820),
    Endpoint(Address.parse("2001:db8::7"), 51821),
]


@pytest.fixture(
    params=[
        "fake",
        pytest.param("wireguard-go", marks=[pytest.mark.kernel, needs_root]),
        pytest.param("kernel", marks=[pytest.mark.kernel, needs_root]),
    ]
)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[WireguardBackend]:
    if request.param == "fake":
        yield FakeWireguard()
        return
    with fresh_namespaces(1) as (space,), NetlinkSocket(namespace=space) as socket:
        served: WireguardBackend
        if request.param == "kernel":
            served = WireguardKernel("chita-wg", socket)
            try:
                served.ensure()
            except UnsupportedError as error:
                pytest.skip(f"no WireGuard in this kernel: {error}")
            served.remove()
        else:
            if shutil.which("wireguard-go") is None:
                pytest.skip("wireguard-go is not installed")
            served = WireguardGo("chita-wg", directory=tmp_path, namespace=space)
        try:
            yield served
        finally:
            served.remove()


def test_a_new_device_is_empty(backend: WireguardBackend) -> None:
    """Made once, then adopted; it has no key and no peers; it can be made again after removal."""
    for _ in range(2):
        assert backend.ensure() is True
        assert backend.ensure() is False
        assert (backend.read().private_key, backend.read().peers) == (None, {})
        backend.remove()
        backend.remove()


def test_key_and_port(backend: WireguardBackend) -> None:
    """They read back, and peers stay when they change."""
    backend.ensure()
    backend.put_device(KEYS[0], 51820)
    backend.put_peer(PeerChange(public_key=KEYS[1], allowed=frozenset(NETS[:1])))
    backend.put_device(KEYS[2], 51999)

    state = backend.read()

    assert (state.private_key, state.port, list(state.peers)) == (KEYS[2], 51999, [KEYS[1]])


def test_peers_change_one_field_at_a_time(backend: WireguardBackend) -> None:
    """None leaves a field as it is; AllowedIPs are replaced whole; counters start at zero."""
    backend.ensure()
    backend.put_device(KEYS[0], 51820)
    backend.put_peer(PeerChange(public_key=KEYS[1]))
    fresh = backend.read().peers[KEYS[1]]
    assert (fresh.endpoint, fresh.allowed, fresh.keepalive_s) == (None, frozenset(), 0)
    assert (fresh.handshake_s, fresh.received_bytes) == (0, 0)

    for endpoint in ENDPOINTS:
        backend.put_peer(PeerChange(public_key=KEYS[1], endpoint=endpoint))
        assert backend.read().peers[KEYS[1]].endpoint == endpoint
    for allowed in (frozenset(NETS[:2]), frozenset(NETS[1:]), frozenset[Cidr]()):
        backend.put_peer(PeerChange(public_key=KEYS[1], allowed=allowed))
        assert backend.read().peers[KEYS[1]].allowed == allowed
    backend.put_peer(PeerChange(public_key=KEYS[1], keepalive_s=25))

    peer = backend.read().peers[KEYS[1]]
    assert (peer.endpoint, peer.keepalive_s) == (ENDPOINTS[1], 25)


def test_a_preshared_key_comes_and_goes(backend: WireguardBackend) -> None:
    """None leaves it as it is, another one replaces it, empty takes it away; the rest stays."""
    backend.ensure()
    backend.put_device(KEYS[0], 51820)
    backend.put_peer(
        PeerChange(public_key=KEYS[1], allowed=frozenset(NETS[:1]), preshared_key=KEYS[2])
    )
    for change, expected in (
        (None, KEYS[2]), (KEYS[0], KEYS[0]), (None, KEYS[0]), ("", ""), (None, "")
    ):  # fmt: skip
        backend.put_peer(PeerChange(public_key=KEYS[1], preshared_key=change))
        peer = backend.read().peers[KEYS[1]]
        assert (peer.preshared_key, peer.allowed) == (expected, frozenset(NETS[:1]))


def test_a_network_has_one_peer(backend: WireguardBackend) -> None:
    """AllowedIPs are exclusive on a device: the network moves to the peer that got it last."""
    backend.ensure()
    backend.put_device(KEYS[0], 51820)
    backend.put_peer(PeerChange(public_key=KEYS[1], allowed=frozenset(NETS)))
    backend.put_peer(PeerChange(public_key=KEYS[2], allowed=frozenset(NETS[:1])))

    peers = backend.read().peers

    assert peers[KEYS[1]].allowed == frozenset(NETS[1:])
    assert peers[KEYS[2]].allowed == frozenset(NETS[:1])


def test_removed_peers_are_gone(backend: WireguardBackend) -> None:
    """Twice is once."""
    backend.ensure()
    backend.put_device(KEYS[0], 51820)
    for key in KEYS[1:]:
        backend.put_peer(PeerChange(public_key=key))
    for _ in range(2):
        backend.remove_peer(KEYS[1])
        assert list(backend.read().peers) == [KEYS[2]]


@pytest.mark.kernel
@needs_root
def test_a_device_keeps_its_back_end(tmp_path: Path) -> None:
    """What exists decides; a new device is the kernel's where the kernel can."""
    with fresh_namespaces(1) as (space,), NetlinkSocket(namespace=space) as socket:
        first = wireguard_backend("chita-wg", socket, directory=tmp_path)
        try:
            first.ensure()
            second = wireguard_backend("chita-wg", socket, directory=tmp_path)
            link = Links(socket).get("chita-wg")

            assert type(second) is type(first)
            assert second.ensure() is False
            assert link is not None
            assert link.kind == ("wireguard" if isinstance(first, WireguardKernel) else "tun")
        finally:
            first.remove()
