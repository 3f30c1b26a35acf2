"""ICMP echo messages of our own (RFC 792, RFC 4443), and the options of sockets that carry them."""

from __future__ import annotations

import ctypes
import socket
import struct

from chita.model.net import Family

ECHO_REQUEST: dict[int, int] = {4: 8, 6: 128}
ECHO_REPLY: dict[int, int] = {4: 0, 6: 129}
HEADERS: dict[int, int] = {4: 20 + 8, 6: 40 + 8}
"""Bytes of an echo's IP and ICMP headers."""

_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER = 10, 23  # linux/in.h, linux/in6.h
_PMTUDISC_PROBE = 3  # linux/in.h: set DF, and ignore what was learned of the path before
_SO_ATTACH_FILTER = 26  # asm-generic/socket.h
_REFUSED, _WHOLE = 0, 0xFFFF


def echo_request(family: Family, identifier: int, sequence: int, payload: bytes) -> bytes:
    """Return an echo request; IPv6's checksum is left to the kernel (RFC 3542 section 3.1)."""
    packet = struct.pack("!BBHHH", ECHO_REQUEST[family], 0, 0, identifier, sequence) + payload
    return packet if family == 6 else packet[:2] + struct.pack("!H", checksum(packet)) + packet[4:]


def checksum(packet: bytes) -> int:
    """Return the Internet checksum of *packet* (RFC 1071)."""
    even = packet.rstrip(b"\0") if packet[-64:] == bytes(64) else packet
    even += b"\0" * (len(even) % 2)
    total: int = sum(struct.unpack(f"!{len(even) // 2}H", even))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def never_fragment(sock: socket.socket, family: int) -> None:
    """Send with DF set, whatever is known of the path, so that a packet passes whole or not."""
    if family == 4:
        sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_PROBE)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE)


def hear_replies_to(sock: socket.socket, family: Family, identifier: int) -> None:
    """Have a raw socket hear echo replies of *identifier* only: others' pings wake nobody.

    A classic filter (linux/filter.h). IPv4's raw sockets see the IP header, IPv6's do not.
    """
    if family == 4:
        load = [(0xB1, 0, 0, 0), (0x50, 0, 0, 0)]  # x = length of the IP header; a = type at x
        identify = (0x48, 0, 0, 4)  # a = identifier at x + 4
    else:
        load = [(0x30, 0, 0, 0)]
        identify = (0x28, 0, 0, 4)
    _filter(
        sock,
        [
            *load,
            (0x15, 0, 3, ECHO_REPLY[family]),
            identify,
            (0x15, 0, 1, identifier),
            (0x06, 0, 0, _WHOLE),
            (0x06, 0, 0, _REFUSED),
        ],
    )


def hear_nothing(sock: socket.socket) -> None:
    """Have a socket that only sends keep nothing that comes in."""
    _filter(sock, [(0x06, 0, 0, _REFUSED)])


def _filter(sock: socket.socket, instructions: list[tuple[int, int, int, int]]) -> None:
    code = b"".join(struct.pack("=HBBI", *it) for it in instructions)
    kept = ctypes.create_string_buffer(code)
    program = struct.pack("@HP", len(instructions), ctypes.addressof(kept))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
