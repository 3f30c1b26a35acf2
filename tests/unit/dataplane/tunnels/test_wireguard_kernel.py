"""The kernel's WireGuard in attributes: what is put of a peer reads back, whole or in parts."""

from __future__ import annotations

import base64
import struct

import pytest

from chita.dataplane.netlink.message import attribute, nested, u16
from chita.dataplane.tunnels.wireguard import PeerChange
from chita.dataplane.tunnels.wireguard_kernel import parse_device, peer_attributes
from chita.desired.tunnels import Endpoint
from chita.model.net import Address, Cidr

KEYS = [base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2, 3)]
NETS = [Cidr.parse(it) for it in ("10.244.1.0/26", "fd00:10:244:1::/122", "0.0.0.0/0")]
HEAD = bytes([0, 1, 0, 0])  # struct genlmsghdr
PRIVATE_KEY, LISTEN_PORT, PEERS = 3, 6, 8  # enum wgdevice_attribute
HANDSHAKE, RX_BYTES, TX_BYTES = 6, 7, 8  # enum wgpeer_attribute


@pytest.mark.parametrize(
    "endpoint",
    [
        pytest.param(Endpoint(Address.parse("192.0.2.7"), 51820), id="ipv4"),
        pytest.param(Endpoint(Address.parse("2001:db8::7"), 51821), id="ipv6"),
        pytest.param(None, id="none"),
    ],
)
def test_a_peer_reads_back(endpoint: Endpoint | None) -> None:
    """Endpoint (struct sockaddr_in, sockaddr_in6), AllowedIPs, keepalive; times and counters."""
    change = PeerChange(
        public_key=KEYS[1], endpoint=endpoint, allowed=frozenset(NETS), keepalive_s=25
    )
    seen = [
        attribute(HANDSHAKE, struct.pack("=qq", 1_700_000_000, 5)),
        attribute(RX_BYTES, struct.pack("=Q", 1 << 40)),
        attribute(TX_BYTES, struct.pack("=Q", 7)),
    ]
    body = HEAD + attribute(PRIVATE_KEY, base64.b64decode(KEYS[0])) + u16(LISTEN_PORT, 51820)
    body += nested(PEERS, nested(0, *peer_attributes(change), *seen))

    state = parse_device([body])
    (peer,) = state.peers.values()

    assert (state.private_key, state.port) == (KEYS[0], 51820)
    assert (peer.public_key, peer.endpoint, peer.allowed) == (KEYS[1], endpoint, change.allowed)
    assert (peer.keepalive_s, peer.handshake_s) == (25, 1_700_000_000)
    assert (peer.received_bytes, peer.sent_bytes) == (1 << 40, 7)


def test_a_long_peer_comes_in_parts() -> None:
    """The continuation repeats the public key and has more AllowedIPs, nothing else."""
    first = PeerChange(public_key=KEYS[1], allowed=frozenset(NETS[:1]), keepalive_s=25)
    rest = PeerChange(public_key=KEYS[1], allowed=frozenset(NETS[1:]))
    bodies = [
        HEAD + nested(PEERS, nested(0, *peer_attributes(first))),
        HEAD
        + nested(
            PEERS,
            nested(0, *peer_attributes(rest)),
            nested(0, *peer_attributes(PeerChange(public_key=KEYS[2]))),
        ),
    ]

    peers = parse_device(bodies).peers

    assert list(peers) == KEYS[1:]
    assert peers[KEYS[1]].allowed == set(NETS)
    assert peers[KEYS[1]].keepalive_s == 25


def test_a_device_without_a_key() -> None:
    """All zero is none (linux/wireguard.h)."""
    assert parse_device([HEAD + attribute(PRIVATE_KEY, bytes(32))]).private_key is None
