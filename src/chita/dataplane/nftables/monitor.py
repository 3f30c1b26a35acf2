"""Whether anybody else has changed our table: the kernel announces every commit.

Reading the table back takes as long as the table is large; the announcements name the table they
are about, so others (kube-proxy commits many times a second) cost us nothing but reading them.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Collection, Iterator

from chita.dataplane.netlink.message import attributes, messages, string
from chita.dataplane.nftables.attributes import SUBSYSTEM, Message
from chita.dataplane.nftables.objects import TABLE
from chita.dataplane.nftables.parts import ChainPart, Part, SetPart, TablePart, Touched

_NETLINK_NETFILTER = 12
_GROUP = 1 << 7 - 1
"""NFNLGRP_NFTABLES (linux/netfilter/nfnetlink.h), as a bit."""
_OF_SETS: dict[int, int] = {
    Message.NEWSET: 2,
    Message.DELSET: 2,
    Message.NEWSETELEM: 2,
    Message.DELSETELEM: 2,
}
"""Where what is about a set has its name: NFTA_SET_NAME, NFTA_SET_ELEM_LIST_SET."""
_OF_CHAINS: dict[int, int] = {
    Message.NEWCHAIN: 3,
    Message.DELCHAIN: 3,
    Message.NEWRULE: 2,
    Message.DELRULE: 2,
}
"""Likewise of chains: NFTA_CHAIN_NAME, NFTA_RULE_CHAIN."""
_NAME = _OF_SETS | _OF_CHAINS
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
        return bool(self.touched_parts())

    def touched_parts(self) -> Touched:
        """Return what of our table commits since the last call were, or may have been, about."""
        found: set[Part | TablePart] = set()
        for told in self._heard():
            # Where announcements were lost, one of them may have been the one.
            found.update([TablePart()] if told is None else _ours(told, self._own_ports))
        return frozenset(found)

    def forget(self) -> None:
        """Let what was announced since the last call be no news."""
        for _ in self._heard():
            pass

    def _heard(self) -> Iterator[bytes | None]:
        """Yield the announcements that wait; None: some were lost."""
        while True:
            try:
                yield self._socket.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                yield None

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


def _ours(announcements: bytes, own_ports: Collection[int]) -> Iterator[Part | TablePart]:
    """Yield what of our table *announcements* that none of *own_ports* made are about.

    The table is attribute 1 of everything that is in one (NFTA_TABLE_NAME, NFTA_CHAIN_TABLE,
    NFTA_RULE_TABLE, NFTA_SET_TABLE, NFTA_SET_ELEM_LIST_TABLE, ...), and it comes first. Another
    family's table of that name counts too: asking once too often does no harm.
    """
    for kind, _, _, port, body in messages(announcements):
        if port in own_ports or kind >> 8 != SUBSYSTEM:
            continue
        # The attributes follow the four bytes of nfgenmsg.
        told = attributes(body, 4)
        if next(told, None) != (1, TABLE.encode() + b"\0"):
            continue
        name = next((string(value) for what, value in told if what == _NAME.get(kind)), None)
        if name is None:
            yield TablePart()
        elif kind in _OF_SETS:
            yield SetPart(name)
        else:
            yield ChainPart(name)
