"""What agents ask each other: at which endpoint does your tunnel see mine, do we need a shortcut?

One datagram to a node's mesh address, one back. A tunnel only lets through what its peer may send
(WireGuard's cryptokey routing), so that the source address says who asks; nothing else is believed
of a question. An answer is no larger than its question, so that nobody is flooded with answers.

::

    0      4         5       6                     14                30      32
    | CHTA | version | kind  | number of the asker | address (IPv6) | port  |

An IPv4 address stands as an IPv4-mapped one (RFC 4291 section 2.5.5.2); the byte order is the
network's.

A greeting comes through gateways, so out of no tunnel with who sent it, and any node could put
another's source address into it. So each end has a number for the other, which it tells nobody
else, and believes a greeting only if that repeats the number: whoever sent it receives what is
sent to that address. It says what its sender does, never what the other has to do. ::

    0      4         5       6             14               22      30       32
    | CHTA | version | kind  | own number  | number heard   | bytes | stance |
"""

from __future__ import annotations

import struct
from enum import IntEnum

import msgspec

from chita.desired.tunnels import Endpoint
from chita.model.net import Address

PORT = 51999
"""UDP, at the mesh addresses alone."""

LENGTH = 32

_LAYOUT = struct.Struct("!4sBB8s16sH")
_MAGIC = b"CHTA"
_VERSION = 1
_ASK, _SEEN, _UNSEEN, _GREETING = 1, 2, 3, 4
_HEARD = struct.Struct("!8sQ")
_MOST_BYTES_S = (1 << 64) - 1
_MAPPED = bytes(10) + b"\xff\xff"


class Ask(msgspec.Struct, frozen=True, tag=True):
    """At which endpoint does your tunnel see me?"""

    number: bytes
    """Eight bytes that the answer repeats."""


class Seen(msgspec.Struct, frozen=True, tag=True):
    """There; None: there is no session with you, or I cannot tell."""

    number: bytes
    endpoint: Endpoint | None


class Stance(IntEnum):
    """What an end does about a shortcut."""

    NONE = 0
    """It does not want it, and sends nothing by it."""
    LEAVING = 1
    """It does not want it any more, and still sends by it."""
    HOLD = 2
    """It wants it, and has it once both do."""


class Greeting(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """This is what I do about a shortcut with you (`chita.fabric.shortcuts`)."""

    number: bytes
    """Eight bytes that the other end is to repeat."""
    heard: bytes
    """Those that it told last; zeros: none."""
    stance: Stance
    sent_bytes_s: int
    """What its sender sends the other end, bytes a second."""


Message = Ask | Seen | Greeting


def encoded(message: Message) -> bytes:
    """Return *message* as a datagram."""
    if isinstance(message, Greeting):
        told = _HEARD.pack(message.heard, min(message.sent_bytes_s, _MOST_BYTES_S))
        return _LAYOUT.pack(_MAGIC, _VERSION, _GREETING, message.number, told, message.stance)
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
    if kind == _GREETING and port in set(Stance):
        heard, sent = _HEARD.unpack(packed)
        return Greeting(number=number, heard=heard, stance=Stance(port), sent_bytes_s=sent)
    if kind == _ASK:
        return Ask(number)
    if kind == _SEEN and port:
        return Seen(number, Endpoint(_unpacked(packed), port))
    return Seen(number, None) if kind == _UNSEEN else None


def _unpacked(packed: bytes) -> Address:
    if packed.startswith(_MAPPED):
        return Address(4, int.from_bytes(packed[12:]))
    return Address(6, int.from_bytes(packed))
