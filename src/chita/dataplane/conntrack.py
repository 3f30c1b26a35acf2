"""Connections that the kernel tracks: list those of an address, and forget them.

An address that gets a new owner must not inherit the old one's connections: established flows skip
policy. The protocol is ctnetlink (linux/netfilter/nfnetlink_conntrack.h).
"""

from __future__ import annotations

import errno
import struct
import sys
import time
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from socket import AF_INET, AF_INET6

import msgspec

from chita.dataplane.netlink import numbers as nl
from chita.dataplane.netlink.message import attribute, attributes
from chita.dataplane.netlink.socket import NetlinkSocket
from chita.errors import KernelError
from chita.model.net import Address, Family

_NFGENMSG = struct.Struct("=BBH")  # family, version, res_id
_SUBSYSTEM = 1 << 8  # NFNL_SUBSYS_CTNETLINK
_CT_GET, _CT_DELETE = _SUBSYSTEM | 1, _SUBSYSTEM | 2
_CTA_TUPLE_ORIG, _CTA_TUPLE_REPLY, _CTA_ID, _CTA_ZONE = 1, 2, 12, 18
_CTA_TUPLE_IP, _CTA_TUPLE_PROTO = 1, 2
_CTA_PROTO_NUM, _CTA_PROTO_SRC_PORT, _CTA_PROTO_DST_PORT = 1, 2, 3
_CTA_PROTO_ICMP_TYPE, _CTA_PROTO_ICMP_CODE = 5, 6
_CTA_PROTO_ICMPV6_TYPE, _CTA_PROTO_ICMPV6_CODE = 8, 9
_AF = {4: AF_INET, 6: AF_INET6}


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """A tracked connection: who asked whom, and who answers (after translation)."""

    protocol: int
    source: Address
    destination: Address
    source_port: int
    destination_port: int
    """0 where the protocol has none."""
    reply_source: Address
    """Differs from *destination* when that was translated."""
    reply_destination: Address
    """Differs from *source* when that was translated."""
    reply_source_port: int = 0
    """Differs from *destination_port* when that was translated."""
    icmp_type: int = 0
    icmp_code: int = 0


class Conntrack:
    """The connections of one namespace. Blocking; one thread at a time.

    Args:
        socket: of NETLINK_NETFILTER (`open_conntrack`).
    """

    def __init__(self, socket: NetlinkSocket) -> None:
        self._socket = socket

    def read(self, address: Address) -> list[Connection]:
        """Return the connections that *address* takes part in, in either direction."""
        return [_connection(values) for values in self._of(address)]

    def forget(self, address: Address) -> int:
        """Delete the connections of *address*; return how many there were."""
        return sum(self._delete(address.family, values) for values in self._of(address))

    def end(self, ends: Callable[[Connection], bool], among: AbstractSet[Address]) -> int:
        """Delete the connections of addresses in *among* of which *ends* is true; return how many.

        All connections are told by the kernel, 10,000 in about 20 ms; those of other addresses are
        told apart by their bytes.
        """
        packed = {address.packed for address in among}
        count = 0
        for family in {address.family for address in among}:
            body = _NFGENMSG.pack(_AF[family], 0, 0)
            for answer in self._socket.dump(_CT_GET, body, what="list connections"):
                if packed.isdisjoint(_packed_ends(answer, 4 if family == 4 else 16)):
                    continue
                # Let other threads in: each connection may take 0.1 ms to decide about.
                time.sleep(0)
                values = dict(attributes(answer, _NFGENMSG.size))
                if ends(_connection(values)):
                    count += self._delete(family, values)
        return count

    def _delete(self, family: Family, values: dict[int, bytes]) -> bool:
        """Delete one connection; return whether it was still there."""
        body = _NFGENMSG.pack(_AF[family], 0, 0)
        for kind in (_CTA_TUPLE_ORIG, _CTA_ID, _CTA_ZONE):
            if kind in values:
                body += attribute(kind, values[kind])
        try:
            self._socket.request(_CT_DELETE, 0, body, what="forget a connection")
        except KernelError as error:
            if error.errno != errno.ENOENT:  # it ended by itself
                raise
            return False
        return True

    def _of(self, address: Address) -> Iterator[dict[int, bytes]]:
        """Yield the attributes of each connection of *address*.

        The whole table of the family is read, in one dump, and filtered here: the kernel's own
        filter (CTA_FILTER, 5.8) takes four dumps for the four places of an address, and its IPv6
        comparison is inverted (ctnetlink_filter_match_tuple lets through what differs).
        """
        packed = address.packed
        body = _NFGENMSG.pack(_AF[address.family], 0, 0)
        for answer in self._socket.dump(_CT_GET, body, what=f"list connections of {address}"):
            if packed not in answer:
                continue
            values = dict(attributes(answer, _NFGENMSG.size))
            tuples = (dict(attributes(values[it])) for it in (_CTA_TUPLE_ORIG, _CTA_TUPLE_REPLY))
            if any(address in _ends(it) for it in tuples):
                yield values


def _packed_ends(answer: bytes, size: int) -> list[bytes]:
    """Return source and destination of a connection's request and of its replies.

    CTA_TUPLE_ORIG and CTA_TUPLE_REPLY come first (ctnetlink_fill_info), each beginning with a
    CTA_TUPLE_IP of two addresses: a header each for tuple, addresses and address.
    """
    first = _NFGENMSG.size
    second = first + (int.from_bytes(answer[first : first + 2], sys.byteorder) + 3 & ~3)
    found = []
    for tuple_ in (first, second):
        source = tuple_ + 12
        destination = source + size + 4
        found += [answer[source : source + size], answer[destination : destination + size]]
    return found


def open_conntrack(like: NetlinkSocket) -> NetlinkSocket:
    """Return a socket for `Conntrack` in the namespace of *like*."""
    return NetlinkSocket(nl.NETLINK_NETFILTER, namespace=like.namespace)


def _connection(values: dict[int, bytes]) -> Connection:
    request = dict(attributes(values[_CTA_TUPLE_ORIG]))
    reply = dict(attributes(values[_CTA_TUPLE_REPLY]))
    protocol = dict(attributes(request[_CTA_TUPLE_PROTO]))
    reply_protocol = dict(attributes(reply[_CTA_TUPLE_PROTO]))
    source, destination = _ends(request)
    reply_source, reply_destination = _ends(reply)
    return Connection(
        protocol=protocol[_CTA_PROTO_NUM][0],
        source=source,
        destination=destination,
        source_port=int.from_bytes(protocol.get(_CTA_PROTO_SRC_PORT, b"")),
        destination_port=int.from_bytes(protocol.get(_CTA_PROTO_DST_PORT, b"")),
        reply_source=reply_source,
        reply_destination=reply_destination,
        reply_source_port=int.from_bytes(reply_protocol.get(_CTA_PROTO_SRC_PORT, b"")),
        icmp_type=_first(protocol, _CTA_PROTO_ICMP_TYPE, _CTA_PROTO_ICMPV6_TYPE),
        icmp_code=_first(protocol, _CTA_PROTO_ICMP_CODE, _CTA_PROTO_ICMPV6_CODE),
    )


def _first(values: dict[int, bytes], *kinds: int) -> int:
    """Return the number under the first of *kinds* that is there; 0: none is."""
    return next((values[kind][0] for kind in kinds if kind in values), 0)


def _ends(tuple_values: dict[int, bytes]) -> tuple[Address, Address]:
    """Return source and destination of a tuple: attributes 1, 2 (IPv4) or 3, 4 (IPv6), in order."""
    packed = [value for _, value in sorted(attributes(tuple_values[_CTA_TUPLE_IP]))]
    return Address.from_packed(packed[0]), Address.from_packed(packed[1])
