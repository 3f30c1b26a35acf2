"""Who touches our table, as it happens: for the agent's event loop, which then has it put right.

The applier asks before it writes whether others have meddled; this is what tells the agent to look
when it has nothing to write. Only that something was touched is told, never what.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
from collections.abc import AsyncGenerator
from pathlib import Path

from chita.dataplane.netlink.message import attributes, messages
from chita.dataplane.nftables.attributes import SUBSYSTEM
from chita.dataplane.nftables.objects import TABLE

_NETLINK_NETFILTER = 12
_GROUP = 1 << 7 - 1
"""NFNLGRP_NFTABLES (linux/netfilter/nfnetlink.h), as a bit."""
_RECEIVE_BYTES = 1 << 16
_SO_RCVBUFFORCE = 33
_BUFFER_BYTES = 1 << 20
_NAME = TABLE.encode() + b"\0"


class RulesetWatch:
    """Listens to commits of others in the network namespace in which it was made.

    What this process commits is no news: the kernel puts the netlink port of whoever committed into
    each announcement, and the ports of this process's netfilter sockets are those that it has open
    when this is made. So make it after them.
    """

    def __init__(self) -> None:
        self._own_ports = own_ports()
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        self._socket.bind((0, _GROUP))
        self._socket.setblocking(False)

    async def touches(self) -> AsyncGenerator[None, None]:
        """Yield as soon as somebody else has touched our table, each time; what came is one."""
        loop = asyncio.get_running_loop()
        heard = asyncio.Event()
        loop.add_reader(self._socket, heard.set)
        try:
            while True:
                await heard.wait()
                heard.clear()
                if self._read():
                    yield
        finally:
            loop.remove_reader(self._socket)

    def close(self) -> None:
        """Stop listening; twice is once."""
        self._socket.close()

    def _read(self) -> bool:
        """Return whether one of the announcements that wait is news of our table."""
        found = False
        while True:
            try:
                found |= self._is_news(self._socket.recv(_RECEIVE_BYTES))
            except BlockingIOError:
                return found
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                found = True  # some were lost: one of them may have been the one

    def _is_news(self, announcements: bytes) -> bool:
        """Return whether one of *announcements* is of our table and by another.

        The table's name is the first attribute of all that is in one (NFTA_TABLE_NAME,
        NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, NFTA_SET_TABLE, NFTA_SET_ELEM_LIST_TABLE, ...), after the
        four bytes of nfgenmsg.
        """
        for kind, _, _, port, body in messages(announcements):
            if kind >> 8 == SUBSYSTEM and port not in self._own_ports:
                first = next(attributes(body, 4), None)
                if first is not None and first == (1, _NAME):
                    return True
        return False


def own_ports() -> frozenset[int]:
    """Return the netlink ports of this process's netfilter sockets in this thread's namespace.

    /proc/net/netlink has a line a socket: its protocol second, its port third, its inode last.
    """
    inodes = {str(inode) for inode in _socket_inodes()}
    lines = Path("/proc/thread-self/net/netlink").read_text(encoding="ascii").splitlines()[1:]
    rows = [line.split() for line in lines]
    return frozenset(
        int(row[2]) for row in rows if int(row[1]) == _NETLINK_NETFILTER and row[-1] in inodes
    )


def _socket_inodes() -> list[int]:
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            status = os.fstat(int(entry.name))
        except OSError:
            continue  # closed meanwhile; the listing's own descriptor always is
        if stat.S_ISSOCK(status.st_mode):
            found.append(status.st_ino)
    return found
