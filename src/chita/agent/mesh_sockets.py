"""Sockets at this node's mesh addresses, where only tunnels and the location's network lead.

The addresses come with our record, and may come before any device has them; what listens there
follows them.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from chita.model.cluster import ClusterState
from chita.model.net import Address
from chita.telemetry.log import logger

FOLLOW_S = 2.0
"""How soon what listens should follow when our mesh address changes."""

_FREEBIND = {4: (socket.IPPROTO_IP, 15), 6: (socket.IPPROTO_IPV6, 78)}
"""IP_FREEBIND (linux/in.h), IPV6_FREEBIND (linux/in6.h): the address may come later."""
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}

_LOG = logger("mesh sockets")

T = TypeVar("T")


def mesh_socket(address: Address, kind: socket.SocketKind, port: int) -> socket.socket:
    """Return a socket that does not block, bound to *port* of *address*.

    Raises:
        OSError: the port is in use.
    """
    made = socket.socket(_FAMILIES[address.family], kind)
    try:
        if kind is socket.SOCK_STREAM:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(*_FREEBIND[address.family], 1)
        made.bind((str(address), port))
        made.setblocking(False)
    except OSError:
        made.close()
        raise
    return made


class AtMeshAddresses(Generic[T]):
    """What listens at each of our mesh addresses.

    Args:
        node: our name.
        known: returns the cluster, which has our addresses.
        begin: returns what listens at an address; OSError: it can't, and is tried again.
        end: closes it.
    """

    def __init__(
        self,
        node: str,
        known: Callable[[], ClusterState],
        begin: Callable[[Address], Awaitable[T]],
        end: Callable[[T], None],
    ) -> None:
        self._node = node
        self._known = known
        self._begin = begin
        self._end = end
        self.held: dict[Address, T] = {}

    async def follow(self) -> None:
        """Listen at the addresses that are ours now, in the namespace of this thread."""
        here = self._known().nodes.get(self._node)
        wanted = set(here.mesh_addresses) if here is not None else set()
        for address in self.held.keys() - wanted:
            self._end(self.held.pop(address))
        for address in wanted - self.held.keys():
            try:
                self.held[address] = await self._begin(address)
            except OSError as error:
                _LOG.warning("cannot listen", address=str(address), why=str(error))

    def close(self) -> None:
        """Listen nowhere any more."""
        while self.held:
            self._end(self.held.popitem()[1])
