"""WireGuard in the kernel, by generic netlink (linux/wireguard.h, Linux 5.6)."""

from __future__ import annotations

import base64
import errno
import struct
from collections.abc import Iterable
from socket import AF_INET, AF_INET6

from chita.dataplane.netlink import numbers as nl
from chita.dataplane.netlink.links import Links
from chita.dataplane.netlink.message import attribute, attributes, nested, number, text, u16, u32
from chita.dataplane.netlink.socket import NetlinkSocket
from chita.dataplane.tunnels.wireguard import (
    NO_PRESHARED_KEY,
    DeviceState,
    PeerChange,
    PeerState,
)
from chita.desired.tunnels import Endpoint
from chita.errors import KernelError, UnsupportedError
from chita.model.net import Address, Cidr

_GENL = struct.Struct("=BBH")  # struct genlmsghdr: command, version, reserved
_GENL_ID_CTRL, _CTRL_CMD_GETFAMILY = 0x10, 3
_CTRL_ATTR_FAMILY_ID, _CTRL_ATTR_FAMILY_NAME = 1, 2
_CMD_GET, _CMD_SET, _VERSION = 0, 1, 1
_DEVICE_IFNAME, _DEVICE_PRIVATE_KEY, _DEVICE_LISTEN_PORT, _DEVICE_PEERS = 2, 3, 6, 8
_PEER_PUBLIC_KEY, _PEER_PRESHARED_KEY, _PEER_FLAGS = 1, 2, 3
_PEER_ENDPOINT, _PEER_KEEPALIVE = 4, 5
_PEER_HANDSHAKE, _PEER_RX_BYTES, _PEER_TX_BYTES, _PEER_ALLOWED = 6, 7, 8, 9
_ALLOWED_FAMILY, _ALLOWED_ADDRESS, _ALLOWED_PREFIX = 1, 2, 3
_F_REMOVE_ME, _F_REPLACE_ALLOWED, _F_UPDATE_ONLY = 1, 2, 4
_AF = {4: AF_INET, 6: AF_INET6}


class WireguardKernel:
    """One device of the kernel's WireGuard; a `WireguardBackend`.

    Args:
        device: its name.
        socket: for links, in the device's namespace.
        initial_mtu_bytes: of a new device, until it is synced.
    """

    def __init__(
        self, device: str, socket: NetlinkSocket, *, initial_mtu_bytes: int = 1420
    ) -> None:
        self._device = device
        self._links = Links(socket)
        self._namespace = socket.namespace
        self._mtu_bytes = initial_mtu_bytes
        self._generic: NetlinkSocket | None = None
        self._family = 0

    def ensure(self) -> bool:
        """Make the device if there is none.

        Raises:
            UnsupportedError: the kernel has no WireGuard.
        """
        if self._links.get(self._device) is not None:
            return False
        self._links.add_plain(self._device, "wireguard", mtu_bytes=self._mtu_bytes)
        return True

    def read(self) -> DeviceState:
        """Return what the device holds; a peer may come in several parts (many AllowedIPs)."""
        what = f"read WireGuard device {self._device}"
        body = _GENL.pack(_CMD_GET, _VERSION, 0) + text(_DEVICE_IFNAME, self._device)
        family, socket = self._open()
        return parse_device(socket.dump(family, body, what=what))

    def put_device(self, private_key: str, port: int) -> None:
        """Set our own key and UDP port."""
        parts = [
            attribute(_DEVICE_PRIVATE_KEY, base64.b64decode(private_key)),
            u16(_DEVICE_LISTEN_PORT, port),
        ]
        self._set(parts, f"set key and port {port} of {self._device}")

    def put_peer(self, change: PeerChange) -> None:
        """Add or change one peer."""
        self._set_peer(peer_attributes(change), f"put peer {change.public_key} of {self._device}")

    def remove_peer(self, public_key: str) -> None:
        """Remove one peer; one that is not there is removed already."""
        parts = [
            attribute(_PEER_PUBLIC_KEY, base64.b64decode(public_key)),
            u32(_PEER_FLAGS, _F_REMOVE_ME | _F_UPDATE_ONLY),
        ]
        self._set_peer(parts, f"remove peer {public_key} of {self._device}")

    def remove(self) -> None:
        """Remove the device; twice is once."""
        self._links.remove(self._device)
        if self._generic is not None:
            self._generic.close()
            self._generic = None

    def _set_peer(self, parts: Iterable[bytes], what: str) -> None:
        self._set([nested(_DEVICE_PEERS, nested(0, *parts))], what)

    def _set(self, parts: Iterable[bytes], what: str) -> None:
        family, socket = self._open()
        body = _GENL.pack(_CMD_SET, _VERSION, 0) + text(_DEVICE_IFNAME, self._device)
        socket.request(family, 0, body + b"".join(parts), what=what)

    def _open(self) -> tuple[int, NetlinkSocket]:
        """Return the number of WireGuard's netlink family, and a socket to it."""
        if self._generic is None:
            self._generic = NetlinkSocket(nl.NETLINK_GENERIC, namespace=self._namespace)
            self._family = wireguard_family(self._generic)
        return self._family, self._generic


def wireguard_family(generic: NetlinkSocket) -> int:
    """Return the number under which the kernel's WireGuard listens.

    Raises:
        UnsupportedError: it has none; wireguard-go does instead.
    """
    body = _GENL.pack(_CTRL_CMD_GETFAMILY, 1, 0) + text(_CTRL_ATTR_FAMILY_NAME, "wireguard")
    what = "find the kernel's WireGuard"
    try:
        (answer,) = generic.request(_GENL_ID_CTRL, 0, body, what=what)
    except KernelError as error:
        if error.errno == errno.ENOENT:
            raise UnsupportedError(f"{what}: it has none", errno=errno.ENOENT) from error
        raise
    return number(dict(attributes(answer, _GENL.size))[_CTRL_ATTR_FAMILY_ID])


def parse_device(answers: Iterable[bytes]) -> DeviceState:
    """Return the device that the bodies of a WG_CMD_GET_DEVICE dump describe."""
    private_key, port = None, 0
    peers: dict[str, PeerState] = {}
    for answer in answers:
        values = dict(attributes(answer, _GENL.size))
        key = values.get(_DEVICE_PRIVATE_KEY, b"")
        private_key = _key_text(key) or private_key
        port = number(values.get(_DEVICE_LISTEN_PORT, b"")) or port
        for _, part in attributes(values.get(_DEVICE_PEERS, b"")):
            peer = _peer(part, peers)
            peers[peer.public_key] = peer
    return DeviceState(private_key=private_key, port=port, peers=peers)


def peer_attributes(change: PeerChange) -> list[bytes]:
    """Return the attributes of one peer in a WG_CMD_SET_DEVICE; what is None is left out."""
    parts = [attribute(_PEER_PUBLIC_KEY, base64.b64decode(change.public_key))]
    if change.preshared_key is not None:
        secret = base64.b64decode(change.preshared_key) or NO_PRESHARED_KEY
        parts.append(attribute(_PEER_PRESHARED_KEY, secret))
    if change.endpoint is not None:
        parts.append(attribute(_PEER_ENDPOINT, _socket_address(change.endpoint)))
    if change.keepalive_s is not None:
        parts.append(u16(_PEER_KEEPALIVE, change.keepalive_s))
    if change.allowed is not None:
        parts.append(u32(_PEER_FLAGS, _F_REPLACE_ALLOWED))
        parts.append(nested(_PEER_ALLOWED, *map(_allowed, sorted(change.allowed))))
    return parts


def _peer(part: bytes, before: dict[str, PeerState]) -> PeerState:
    values = dict(attributes(part))
    public_key = base64.b64encode(values[_PEER_PUBLIC_KEY]).decode()
    allowed = frozenset(
        _network(dict(attributes(it))) for _, it in attributes(values.get(_PEER_ALLOWED, b""))
    )
    if public_key in before:  # the continuation of a long list has nothing but the list
        first = before[public_key]
        return PeerState(
            public_key=public_key,
            endpoint=first.endpoint,
            allowed=first.allowed | allowed,
            keepalive_s=first.keepalive_s,
            handshake_s=first.handshake_s,
            received_bytes=first.received_bytes,
            sent_bytes=first.sent_bytes,
            preshared_key=first.preshared_key,
        )
    endpoint = values.get(_PEER_ENDPOINT)
    return PeerState(
        public_key=public_key,
        endpoint=_parse_socket_address(endpoint) if endpoint else None,
        allowed=allowed,
        keepalive_s=number(values.get(_PEER_KEEPALIVE, b"")),
        handshake_s=number(values.get(_PEER_HANDSHAKE, b"")[:8]),
        received_bytes=number(values.get(_PEER_RX_BYTES, b"")),
        sent_bytes=number(values.get(_PEER_TX_BYTES, b"")),
        preshared_key=_key_text(values.get(_PEER_PRESHARED_KEY, b"")),
    )


def _key_text(key: bytes) -> str:
    """Return *key* as base64; empty of one that is missing or all zero, which is none."""
    return base64.b64encode(key).decode() if any(key) else ""


def _allowed(net: Cidr) -> bytes:
    return nested(
        0,
        u16(_ALLOWED_FAMILY, _AF[net.family]),
        attribute(_ALLOWED_ADDRESS, net.address.packed),
        attribute(_ALLOWED_PREFIX, bytes([net.prefix])),
    )


def _network(values: dict[int, bytes]) -> Cidr:
    address = Address.from_packed(values[_ALLOWED_ADDRESS])
    return Cidr(address.family, address.value, values[_ALLOWED_PREFIX][0])


def _socket_address(endpoint: Endpoint) -> bytes:
    """Return struct sockaddr_in or sockaddr_in6."""
    head = struct.pack("=H", _AF[endpoint.address.family]) + endpoint.port.to_bytes(2)
    packed = endpoint.address.packed
    if endpoint.address.family == 4:
        return head + packed + bytes(8)
    return head + bytes(4) + packed + bytes(4)  # flow information, address, scope


def _parse_socket_address(body: bytes) -> Endpoint:
    is_ipv4 = number(body[:2]) == AF_INET
    packed = body[4:8] if is_ipv4 else body[8:24]
    return Endpoint(Address.from_packed(packed), int.from_bytes(body[2:4]))
