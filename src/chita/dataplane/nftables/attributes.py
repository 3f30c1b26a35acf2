"""What nf_tables messages have of their own beside other netlink (linux/netfilter/nf_tables.h).

Numbers in attributes are in network order, and every message begins with a family, a version and
the subsystem (`struct nfgenmsg`, linux/netfilter/nfnetlink.h).
"""

from __future__ import annotations

import struct
from enum import IntEnum

from chita.dataplane.netlink.message import attribute
from chita.dataplane.netlink.message import message as netlink_message

_FAMILY = struct.Struct("!BBH")

SUBSYSTEM = 10
"""NFNL_SUBSYS_NFTABLES (linux/netfilter/nfnetlink.h)."""
NFPROTO_INET = 1


class Message(IntEnum):
    """nf_tables messages (enum nf_tables_msg_types) and the two that frame a batch."""

    NEWTABLE = SUBSYSTEM << 8
    GETTABLE = SUBSYSTEM << 8 | 1
    DELTABLE = SUBSYSTEM << 8 | 2
    NEWCHAIN = SUBSYSTEM << 8 | 3
    GETCHAIN = SUBSYSTEM << 8 | 4
    DELCHAIN = SUBSYSTEM << 8 | 5
    NEWRULE = SUBSYSTEM << 8 | 6
    GETRULE = SUBSYSTEM << 8 | 7
    DELRULE = SUBSYSTEM << 8 | 8
    NEWSET = SUBSYSTEM << 8 | 9
    GETSET = SUBSYSTEM << 8 | 10
    DELSET = SUBSYSTEM << 8 | 11
    NEWSETELEM = SUBSYSTEM << 8 | 12
    GETSETELEM = SUBSYSTEM << 8 | 13
    DELSETELEM = SUBSYSTEM << 8 | 14
    NEWGEN = SUBSYSTEM << 8 | 15
    GETGEN = SUBSYSTEM << 8 | 16
    GETOBJ = SUBSYSTEM << 8 | 19
    GETFLOWTABLE = SUBSYSTEM << 8 | 23
    BATCH_BEGIN = 0x10
    BATCH_END = 0x11


class Flag(IntEnum):
    """Message flags (NLM_F_*)."""

    REQUEST = 0x1
    ACK = 0x4
    DUMP_INTERRUPTED = 0x10
    EXCL = 0x200
    DUMP = 0x300
    CREATE = 0x400
    APPEND = 0x800


def number(kind: int, value: int) -> bytes:
    """Return a 32-bit attribute; negative values are two's complement."""
    return attribute(kind, (value & 0xFFFFFFFF).to_bytes(4))


def long(kind: int, value: int) -> bytes:
    """Return a 64-bit attribute."""
    return attribute(kind, value.to_bytes(8))


def message(kind: Message, flags: int, sequence: int, *attributes: bytes) -> bytes:
    """Return one message of family inet."""
    body = _FAMILY.pack(NFPROTO_INET, 0, 0) + b"".join(attributes)
    return netlink_message(kind, flags | Flag.REQUEST, sequence, body)


def batch_mark(kind: Message, sequence: int) -> bytes:
    """Return the message that begins or ends a batch."""
    return netlink_message(kind, Flag.REQUEST, sequence, _FAMILY.pack(0, 0, SUBSYSTEM))
