"""What happens to links, addresses, routes, rules and neighbours, as it happens.

For self-healing: somebody removes a route of ours, a device loses its carrier because wireguard-go
died, and the agent reconciles at once instead of at the next resync. Only subjects are reported;
what is wrong is found by reading, as always.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import AsyncIterator, Callable, Collection
from enum import StrEnum
from pathlib import Path

import msgspec

from chita.dataplane.netlink import numbers as nl
from chita.dataplane.netlink.message import attributes, messages, number, string
from chita.dataplane.netlink.namespace import inside
from chita.dataplane.netlink.rules import OURS, RoutingIdentity

_GROUPS = (
    nl.RTNLGRP_LINK, nl.RTNLGRP_NEIGH, nl.RTNLGRP_IPV4_IFADDR, nl.RTNLGRP_IPV6_IFADDR,
    nl.RTNLGRP_IPV4_ROUTE, nl.RTNLGRP_IPV6_ROUTE, nl.RTNLGRP_IPV4_RULE, nl.RTNLGRP_IPV6_RULE,
    nl.RTNLGRP_NEXTHOP,
)  # fmt: skip
_BUFFER_BYTES = 1 << 20  # a burst of about a thousand link events between two wake-ups
_RECEIVE_BYTES = 65536
_IFINDEX_AT_4 = struct.Struct("=4xi")  # struct ifinfomsg, ifaddrmsg and ndmsg alike


class Subject(StrEnum):
    """What an event is about."""

    LINK = "link"
    """Also stands for the IPv4 routes over it: the kernel drops them without a word."""
    ADDRESS = "address"
    ROUTE = "route"
    """A route of our tables, or a nexthop of ours that routes name."""
    RULE = "rule"
    NEIGHBOUR = "neighbour"
    """A permanent neighbour or forwarding entry; those that the kernel learned are left out."""
    OVERRUN = "overrun"
    """Events were lost: anything may have changed."""


class Change(msgspec.Struct, frozen=True):
    """Something changed, and not by one of the ports that we said are ours.

    Changes of links carry no port: ours are reported too.
    """

    subject: Subject
    device: str = ""
    """The name of a LINK's device; empty for the rest."""
    index: int = 0
    """The device of a LINK, ADDRESS or NEIGHBOUR."""


class Monitor:
    """A subscription to one namespace; it misses nothing from its making on.

    Args:
        namespace: None is our own.
        own_ports: the netlink ports (`NetlinkSocket.port`) of our own sockets: what they cause is
            no news. The agent gives a function, since sockets come and go.
        identity: whose table's routes are reported.
    """

    def __init__(
        self,
        *,
        namespace: Path | None = None,
        own_ports: Callable[[], Collection[int]] = tuple,
        identity: RoutingIdentity = OURS,
    ) -> None:
        self._own_ports = own_ports
        self._tables = range(identity.table, identity.table + identity.further_tables + 1)
        self._protocol = identity.protocol
        self._socket = inside(namespace, _open)

    async def changes(self) -> AsyncIterator[set[Change]]:
        """Yield what changed, as it happens; what came together is one set.

        The socket is emptied before a set is yielded: after an overrun the kernel drops further
        events, and says so only once, until everything that waits was read (NETLINK_S_CONGESTED).
        """
        loop = asyncio.get_running_loop()
        while True:
            found: set[Change] = set()
            try:
                found.update(self._read(await loop.sock_recv(self._socket, _RECEIVE_BYTES)))
            except OSError as error:
                found.add(_lost(error))
            while True:
                try:
                    found.update(self._read(self._socket.recv(_RECEIVE_BYTES)))
                except BlockingIOError:
                    break
                except OSError as error:
                    found.add(_lost(error))
            if found:
                yield found

    def close(self) -> None:
        """Give the socket back; twice is once."""
        self._socket.close()

    def _read(self, datagram: bytes) -> list[Change]:
        own = self._own_ports()
        found = (
            self._change(kind, body)
            for kind, _, _, port, body in messages(datagram)
            if port not in own
        )
        return [change for change in found if change is not None]

    def _change(self, kind: int, body: bytes) -> Change | None:
        match kind:
            case nl.RTM_NEWLINK | nl.RTM_DELLINK:
                name = string(dict(attributes(body, 16)).get(nl.IFLA_IFNAME, b""))
                return Change(Subject.LINK, name, _IFINDEX_AT_4.unpack_from(body)[0])
            case nl.RTM_NEWADDR | nl.RTM_DELADDR:
                return Change(Subject.ADDRESS, index=_IFINDEX_AT_4.unpack_from(body)[0])
            case nl.RTM_NEWRULE | nl.RTM_DELRULE:
                return Change(Subject.RULE)
            case nl.RTM_NEWNEIGH | nl.RTM_DELNEIGH:
                state = number(body[8:10])
                if state & nl.NUD_PERMANENT:
                    return Change(Subject.NEIGHBOUR, index=_IFINDEX_AT_4.unpack_from(body)[0])
        return Change(Subject.ROUTE) if self._is_our_way(kind, body) else None

    def _is_our_way(self, kind: int, body: bytes) -> bool:
        match kind:
            case nl.RTM_NEWROUTE | nl.RTM_DELROUTE:
                table = number(dict(attributes(body, 12)).get(nl.RTA_TABLE, b""))
                return table in self._tables
            case nl.RTM_NEWNEXTHOP | nl.RTM_DELNEXTHOP:
                return body[2] == self._protocol  # nh_protocol of struct nhmsg
        return False


def _lost(error: OSError) -> Change:
    """Return the change that *error* stands for, if it stands for one.

    Raises:
        OSError: it is another one: the socket is closed.
    """
    if error.errno != errno.ENOBUFS:
        raise error
    return Change(Subject.OVERRUN)


def _open() -> socket.socket:
    opened = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    )
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
    opened.bind((0, 0))
    for group in _GROUPS:
        opened.setsockopt(nl.SOL_NETLINK, nl.NETLINK_ADD_MEMBERSHIP, group)
    return opened
