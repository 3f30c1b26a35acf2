"""EchoSockets: probes out by the device they are meant for, answers in by whichever they come.

Raw sockets: one a family that hears, one a device that sends. An answer need not come back by the
way its request took (docs/adr/0015), so those that send hear nothing, and the one that hears is
bound to no device. Arrivals carry the kernel's own time (SO_TIMESTAMPNS, socket(7)), so that a
round trip is not the longer for an event loop that was busy.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

import msgspec

from chita.dataplane.netlink.namespace import inside
from chita.dataplane.probes.icmp import (
    HEADERS,
    echo_request,
    hear_nothing,
    hear_replies_to,
    never_fragment,
)
from chita.dataplane.probes.packets import echo_packet, gpe_header
from chita.errors import KernelError
from chita.model.net import Address, Family

_SO_TIMESTAMPNS = 35  # asm-generic/socket.h; the control message has the same number
_TIMESPEC = struct.Struct("@ll")
_BODY = struct.Struct("!8sQQ")
"""Whose probe it is, its token, and when it was sent, nanoseconds since the epoch."""
_RECEIVE_BYTES = 1 << 20
_GONE = (errno.ENODEV, errno.ENXIO, errno.EADDRNOTAVAIL, errno.EINVAL)
"""What the kernel says of a socket whose device was made anew."""


class Answer(msgspec.Struct, frozen=True):
    """An echo reply."""

    token: int
    rtt_s: float


class _Carrier(StrEnum):
    ICMP = "icmp"
    UDP = "udp"


class _Sender(msgspec.Struct, frozen=True):
    """What a socket sends, and out of which device; empty: where the routes in force lead."""

    family: Family
    device: str
    carrier: _Carrier


class Wrapping(msgspec.Struct, frozen=True, kw_only=True):
    """How a packet reaches a relay, which unwraps and forwards it."""

    relay: Address
    """The relay's mesh address."""
    source: Address
    """Our mesh address, of the family inside."""
    port: int
    vni: int


class EchoSockets:
    """All sockets of one node's probes. Nothing of it blocks.

    Args:
        namespace: where they are opened; None: here.
    """

    def __init__(self, namespace: Path | None = None) -> None:
        self._namespace = namespace
        self._mark = os.urandom(8)
        self.identifier = int.from_bytes(os.urandom(2))
        self._hearing: dict[Family, socket.socket] = {}
        self._sending: dict[_Sender, socket.socket] = {}

    def open(self) -> None:
        """Open the sockets that hear; a family the node does not have is left out.

        Raises:
            KernelError: not even one for IPv4: CAP_NET_RAW is missing.
        """
        families: tuple[Family, ...] = (4, 6)
        for family in families:
            try:
                self._hearing[family] = self._hear(family)
            except OSError as error:
                if family == 4:
                    message = f"open a raw ICMP socket: {error.strerror}; run as root"
                    raise KernelError(message, errno=error.errno or 0) from error

    def send(self, token: int, end: Address, *, device: str, size_bytes: int = 0) -> None:
        """Send one request out of *device*, an IP packet of *size_bytes*, at least its headers.

        Args:
            token: what its answer is known by.
            end: who is to answer.
            device: its name; empty: where the routes in force lead.
            size_bytes: never fragmented; 0: as small as can be.

        Raises:
            OSError: the kernel refused; EMSGSIZE: it is larger than the device's MTU.
        """
        packet = echo_request(
            end.family, self.identifier, token & 0xFFFF, self._body(token, end, size_bytes)
        )
        self._put(_Sender(end.family, device, _Carrier.ICMP), packet, (str(end), 0))

    def send_wrapped(
        self, token: int, end: Address, how: Wrapping, *, device: str, size_bytes: int = 0
    ) -> None:
        """Send one request to a relay, for it to forward to *end*; as `send` otherwise.

        Raises:
            OSError: the kernel refused; EMSGSIZE: wrapped it is larger than the device's MTU.
        """
        packet = echo_packet(
            how.source,
            end,
            identifier=self.identifier,
            sequence=token & 0xFFFF,
            payload=self._body(token, end, size_bytes),
        )
        self._put(
            _Sender(how.relay.family, device, _Carrier.UDP),
            gpe_header(how.vni, end.family) + packet,
            (str(how.relay), how.port),
        )

    def _body(self, token: int, end: Address, size_bytes: int) -> bytes:
        body = _BODY.pack(self._mark, token, time.time_ns())
        return body + bytes(max(0, size_bytes - HEADERS[end.family] - len(body)))

    def _put(self, sender: _Sender, packet: bytes, destination: tuple[str, int]) -> None:
        for attempt in (1, 2):
            try:
                self._socket(sender).sendto(packet, destination)
            except OSError as error:
                # A device that was made anew has another index: bind to that one.
                if error.errno not in _GONE or attempt == 2:
                    raise
                self._drop(sender)
            else:
                return

    def answers(self) -> Iterator[Answer]:
        """Yield the answers that have arrived."""
        now_ns = time.time_ns()
        for family, sock in self._hearing.items():
            while True:
                try:
                    packet, notes, _, _ = sock.recvmsg(256, 64)
                except BlockingIOError:
                    break
                except OSError:  # an error that was queued on the socket; what follows is fine
                    continue
                answer = self._read(family, packet, _arrival_ns(notes) or now_ns)
                if answer is not None:
                    yield answer

    def close(self) -> None:
        """Close all sockets."""
        for sock in (*self._hearing.values(), *self._sending.values()):
            sock.close()
        self._hearing, self._sending = {}, {}

    def _read(self, family: Family, packet: bytes, arrived_ns: int) -> Answer | None:
        start = ((packet[0] & 0xF) * 4 if family == 4 else 0) + 8
        if len(packet) < start + _BODY.size:
            return None
        mark, token, sent_ns = _BODY.unpack_from(packet, start)
        if mark != self._mark:
            return None
        return Answer(token, (arrived_ns - sent_ns) / 1e9)

    def _socket(self, sender: _Sender) -> socket.socket:
        held = self._sending.get(sender)
        if held is not None:
            return held
        make = _raw if sender.carrier is _Carrier.ICMP else _udp
        sock = inside(self._namespace, lambda: make(sender.family))
        try:
            hear_nothing(sock)
            never_fragment(sock, sender.family)
            if sender.device:
                name = sender.device.encode()
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name)
        except OSError:
            sock.close()
            raise
        self._sending[sender] = sock
        return sock

    def _drop(self, sender: _Sender) -> None:
        held = self._sending.pop(sender, None)
        if held is not None:
            held.close()

    def _hear(self, family: Family) -> socket.socket:
        sock = inside(self._namespace, lambda: _raw(family))
        try:
            hear_replies_to(sock, family, self.identifier)
            sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        except OSError:
            sock.close()
            raise
        return sock


def _udp(family: Family) -> socket.socket:
    kind = socket.AF_INET if family == 4 else socket.AF_INET6
    return socket.socket(kind, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)


def _raw(family: Family) -> socket.socket:
    kind = socket.AF_INET if family == 4 else socket.AF_INET6
    protocol = socket.IPPROTO_ICMP if family == 4 else socket.IPPROTO_ICMPV6
    return socket.socket(kind, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)


def _arrival_ns(notes: list[tuple[int, int, bytes]]) -> int | None:
    for level, kind, value in notes:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
            seconds, nanoseconds = _TIMESPEC.unpack_from(value)
            return int(seconds) * 1_000_000_000 + int(nanoseconds)
    return None
