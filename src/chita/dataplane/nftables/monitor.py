"""Whether anybody else has changed our table: the kernel announces every commit.

Reading the table back takes as long as the table is large; the announcements name the table they
are about, so others (kube-proxy commits many times a second) cost us nothing but reading them.
"""

from __future__ import annotations

import errno
import socket

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
    """Listens to commits in the network namespace in which it was made."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        self._socket.bind((0, _GROUP))
        self._socket.setblocking(False)

    def touched(self) -> bool:
        """Return whether a commit since the last call was, or may have been, about our table."""
        found = False
        while True:
            try:
                found |= _is_ours(self._socket.recv(_RECEIVE_BYTES))
            except BlockingIOError:
                return found
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                # Announcements were lost: one of them may have been the one.
                found = True

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


def _is_ours(announcements: bytes) -> bool:
    """Return whether one of *announcements* names our table.

    The table is attribute 1 of everything that is in one (NFTA_TABLE_NAME, NFTA_CHAIN_TABLE,
    NFTA_RULE_TABLE, NFTA_SET_TABLE, NFTA_SET_ELEM_LIST_TABLE, ...), and it comes first. Another
    family's table of that name counts too: asking once too often does no harm.
    """
    for kind, _, _, _, body in messages(announcements):
        # The attributes follow the four bytes of nfgenmsg.
        first = next(attributes(body, 4), None)
        if kind >> 8 == SUBSYSTEM and first is not None and first == (1, TABLE.encode() + b"\0"):
            return True
    return False
