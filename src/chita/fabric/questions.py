"""What agents ask each other through the tunnels: at which endpoint does yours see mine?

One datagram to a node's mesh address, one back. A tunnel only lets through what its peer may send
(WireGuard's cryptokey routing), so that the source address says who asks; nothing else is believed
of a question. An answer is no larger than its question, so that nobody is flooded with answers.

::

    0      4         5       6                     14                30      32
    | CHTA | version | kind  | number of the asker | address (IPv6) | port  |

An IPv4 address stands as an IPv4-mapped one (RFC 4291 section 2.5.5.2); the byte order is the
network's.
"""

from __future__ import annotations

import struct

import msgspec

from chita.desired.tunnels import Endpoint
from chita.model.net import Address

PORT = 51999
"""UDP, at the mesh addresses alone."""

LENGTH = 32

_LAYOUT = struct.Struct("!4sBB8s16sH")
_MAGIC = b"CHTA"
_VERSION = 1
_ASK, _SEEN, _UNSEEN = 1, 2, 3
_MAPPED = bytes(10) + b"\xff\xff"


class Ask(msgspec.Struct, frozen=True, tag=True):
    """At which endpoint does your tunnel see me?"""

    number: bytes
    """Eight bytes that the answer repeats."""


class Seen(msgspec.Struct, frozen=True, tag=True):
    """There; None: there is no session with you, or I cannot tell."""

    number: bytes
    endpoint: Endpoint | None


Message = Ask | Seen


def encoded(message: Message) -> bytes:
    """Return *message* as a datagram."""
    if isinstance(message, Ask):
        return _LAYOUT.pack(_MAGIC, _VERSION, _ASK, message.number, bytes(16), 0)
    seen = message.endpoint
    if seen is None:
        return _LAYOUT.pack(_MAGIC, _VERSION, _UNSEEN, message.number, bytes(16), 0)
    packed = seen.address.packed
    packed = packed if len(packed) == 16 else _MAPPED + packed
    return _LAYOUT.pack(_MAGIC, _VERSION, _SEEN, message.number, packed, seen.port)


def decoded(datagram: bytes) -> Message | None:
    """Return what *datagram* says; None: it is none of ours, or of a version to come."""
    if len(datagram) != LENGTH:
        return None
    magic, version, kind, number, packed, port = _LAYOUT.unpack(datagram)
    if (magic, version) != (_MAGIC, _VERSION):
        return None
    if kind == _ASK:
        return Ask(number)
    if kind == _SEEN and port:
        return Seen(number, Endpoint(_unpacked(packed), port))
    return Seen(number, None) if kind == _UNSEEN else None


def _unpacked(packed: bytes) -> Address:
    if packed.startswith(_MAPPED):
        return Address(4, int.from_bytes(packed[12:]))
    return Address(6, int.from_bytes(packed))
