"""Netlink messages and attributes of nf_tables (linux/netlink.h, linux/netfilter/nf_tables.h).

An attribute is a length, a type and a value padded to four bytes; numbers in attributes are in
network order; a nested attribute's value is attributes.
"""

from __future__ import annotations

import struct
from enum import IntEnum

NESTED = 0x8000
"""NLA_F_NESTED."""
_HEADER = struct.Struct("=HH")
_MESSAGE = struct.Struct("=IHHII")
_FAMILY = struct.Struct("!BBH")
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")

SUBSYSTEM = 10
"""NFNL_SUBSYS_NFTABLES (linux/netfilter/nfnetlink.h)."""
NFPROTO_INET = 1


class Message(IntEnum):
    """nf_tables messages (enum nf_tables_msg_types) and the two that frame a batch."""

    NEWTABLE = SUBSYSTEM << 8
    DELTABLE = SUBSYSTEM << 8 | 2
    NEWCHAIN = SUBSYSTEM << 8 | 3
    DELCHAIN = SUBSYSTEM << 8 | 5
    NEWRULE = SUBSYSTEM << 8 | 6
    DELRULE = SUBSYSTEM << 8 | 8
    NEWSET = SUBSYSTEM << 8 | 9
    DELSET = SUBSYSTEM << 8 | 11
    NEWSETELEM = SUBSYSTEM << 8 | 12
    DELSETELEM = SUBSYSTEM << 8 | 14
    NEWGEN = SUBSYSTEM << 8 | 15
    GETGEN = SUBSYSTEM << 8 | 16
    BATCH_BEGIN = 0x10
    BATCH_END = 0x11


class Flag(IntEnum):
    """Message flags (NLM_F_*)."""

    REQUEST = 0x1
    ACK = 0x4
    EXCL = 0x200
    CREATE = 0x400
    APPEND = 0x800


def attribute(kind: int, value: bytes) -> bytes:
    """Return one attribute."""
    size = len(value)
    return _HEADER.pack(size + 4, kind) + value + _PADDING[size & 3]


def nested(kind: int, *attributes: bytes) -> bytes:
    """Return an attribute whose value is *attributes*."""
    return attribute(kind | NESTED, b"".join(attributes))


def number(kind: int, value: int) -> bytes:
    """Return a 32-bit attribute; negative values are two's complement."""
    return attribute(kind, (value & 0xFFFFFFFF).to_bytes(4))


def long(kind: int, value: int) -> bytes:
    """Return a 64-bit attribute."""
    return attribute(kind, value.to_bytes(8))


def text(kind: int, value: str) -> bytes:
    """Return a string attribute, ending in NUL."""
    return attribute(kind, value.encode() + b"\0")


def message(kind: Message, flags: int, seq: int, *attributes: bytes) -> bytes:
    """Return one message of family inet."""
    body = b"".join(attributes)
    return (
        _MESSAGE.pack(20 + len(body), kind, flags | Flag.REQUEST, seq, 0)
        + _FAMILY.pack(NFPROTO_INET, 0, 0)
        + body
    )


def batch_mark(kind: Message, seq: int) -> bytes:
    """Return the message that begins or ends a batch."""
    return _MESSAGE.pack(20, kind, Flag.REQUEST, seq, 0) + _FAMILY.pack(0, 0, SUBSYSTEM)
