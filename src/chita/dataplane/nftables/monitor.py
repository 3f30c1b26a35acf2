"""Whether anybody else has changed our table: the kernel announces every commit.

Reading the table back takes as long as the table is large; the announcements name the table they
are about, so others (kube-proxy commits many times a second) cost us nothing but reading them.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Collection

from chita.dataplane.netlink.message import attributes, messages
from chita.dataplane.nftables.attributes import SUBSYSTEM
from chita.dataplane.nftables.objects import TABLE

_NETLINK_NETFILTER = 12
_GROUP = 1 << 7 - 1
"""NFNLGRP_NFTABLES (linux/netfilter/nfnetlink.h), as a bit."""
_RECEIVE_BYTES = 1 << 16
_SO_RCVBUFFORCE = 33
_BUFFER_BYTES = 1 << 20


class Monitor:
    """Listens to commits in the network namespace in which it was made.

    Args:
        own_ports: netlink ports (`Nfnetlink.port`) whose commits are no news.
    """

    def __init__(self, own_ports: Collection[int] = ()) -> None:
        self._own_ports = own_ports
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        self._socket.bind((0, _GROUP))
        self._socket.setblocking(False)

    def touched(self) -> bool:
        """Return whether a commit since the last call was, or may have been, about our table."""
        found = False
        while True:
            try:
                found |= _is_ours(self._socket.recv(_RECEIVE_BYTES), self._own_ports)
            except BlockingIOError:
                return found
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                # Announcements were lost: one of them may have been the one.
                found = True

    async def touches(self) -> AsyncIterator[None]:
        """Yield each time `touched` has become true, as soon as it has."""
        loop = asyncio.get_running_loop()
        heard = asyncio.Event()
        loop.add_reader(self._socket, heard.set)
        try:
            while True:
                await heard.wait()
                heard.clear()
                if self.touched():
                    yield
        finally:
            loop.remove_reader(self._socket)

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


def _is_ours(announcements: bytes, own_ports: Collection[int]) -> bool:
    """Return whether one of *announcements*, made by no port of *own_ports*, names our table.

    The table is attribute 1 of everything that is in one (NFTA_TABLE_NAME, NFTA_CHAIN_TABLE,
    NFTA_RULE_TABLE, NFTA_SET_TABLE, NFTA_SET_ELEM_LIST_TABLE, ...), and it comes first. Another
    family's table of that name counts too: asking once too often does no harm.
    """
    for kind, _, _, port, body in messages(announcements):
        if port in own_ports:
            continue
        # The attributes follow the four bytes of nfgenmsg.
        first = next(attributes(body, 4), None)
        if kind >> 8 == SUBSYSTEM and first is not None and first == (1, TABLE.encode() + b"\0"):
            return True
    return False
