"""Agents tell each other their links, so that one of them can show the whole matrix.

One line of JSON over TCP at the mesh address, where only tunnels and the location's network lead;
who asks must ask from another node's mesh address. Asked only when somebody wants to see it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

import msgspec

from chita.agent.link_table import Link
from chita.model.cluster import ClusterState
from chita.model.net import Address
from chita.telemetry.log import logger

PORT = 24481
"""TCP, at the mesh addresses."""
PATIENCE_S = 2.0
AT_ONCE = 32
"""Agents asked at the same time."""
MAX_ANSWER_BYTES = 1 << 22

_REOPEN_S = 2.0
_FREEBIND = {4: (socket.IPPROTO_IP, 15), 6: (socket.IPPROTO_IPV6, 78)}
"""IP_FREEBIND (linux/in.h), IPV6_FREEBIND (linux/in6.h): the address may come later."""
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_LOG = logger("links")


class LinkExchange:
    """Both sides of the exchange for one node."""

    def __init__(
        self, node: str, known: Callable[[], ClusterState], own: Callable[[], list[Link]]
    ) -> None:
        self._node = node
        self._known = known
        self._own = own
        self._servers: dict[Address, asyncio.Server] = {}

    async def run(self) -> NoReturn:
        """Answer for ever; the listeners follow our mesh addresses."""
        try:
            while True:
                await self._follow()
                await asyncio.sleep(_REOPEN_S)
        finally:
            for server in self._servers.values():
                server.close()

    async def everywhere(self) -> tuple[list[Link], list[str]]:
        """Return the links of all nodes, and the nodes whose agents did not answer."""
        limit = asyncio.Semaphore(AT_ONCE)
        names = sorted(self._known().nodes.keys() - {self._node})
        answers = await asyncio.gather(*[self._ask(name, limit) for name in names])
        found = self._own()
        silent = []
        for name, answer in zip(names, answers, strict=True):
            if answer is None:
                silent.append(name)
            else:
                found += answer
        return found, silent

    async def _ask(self, name: str, limit: asyncio.Semaphore) -> list[Link] | None:
        cluster = self._known()
        here, there = cluster.nodes.get(self._node), cluster.nodes.get(name)
        families = (4, 6) if here is not None and there is not None else ()
        for family in families:
            assert here is not None
            assert there is not None
            own, far = here.mesh(family), there.mesh(family)
            if own is None or far is None:
                continue
            with suppress(OSError, ValueError, msgspec.MsgspecError):  # TimeoutError is an OSError
                async with limit, asyncio.timeout(PATIENCE_S):
                    return await _read(str(own), str(far), name)
        return None

    async def _follow(self) -> None:
        here = self._known().nodes.get(self._node)
        wanted = set(here.mesh_addresses) if here is not None else set()
        for address in self._servers.keys() - wanted:
            self._servers.pop(address).close()
        for address in wanted - self._servers.keys():
            try:
                self._servers[address] = await asyncio.start_server(
                    self._answer, sock=_listener(address)
                )
            except OSError as error:
                _LOG.warning("links not told here", address=str(address), why=str(error))

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        try:
            if self._is_node(writer.get_extra_info("peername")[0]):
                writer.write(msgspec.json.encode(self._own()) + b"\n")
                async with asyncio.timeout(PATIENCE_S):
                    await writer.drain()
        except OSError:
            pass  # whoever asked is gone, or too slow
        finally:
            writer.close()

    def _is_node(self, text: str) -> bool:
        asking = Address.parse(text)
        return any(asking in node.mesh_addresses for node in self._known().nodes.values())


async def _read(own: str, far: str, name: str) -> list[Link]:
    reader, writer = await asyncio.open_connection(
        far, PORT, local_addr=(own, 0), limit=MAX_ANSWER_BYTES
    )
    try:
        told = msgspec.json.decode(await reader.readline(), type=list[Link])
    finally:
        writer.close()
    # Nobody speaks for others.
    return [link for link in told if link.source == name]


def _listener(address: Address) -> socket.socket:
    listener = socket.socket(_FAMILIES[address.family], socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(*_FREEBIND[address.family], 1)
        listener.bind((str(address), PORT))
        listener.listen()
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
