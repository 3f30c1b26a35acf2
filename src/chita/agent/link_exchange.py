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
from chita.agent.mesh_sockets import FOLLOW_S, AtMeshAddresses, mesh_socket
from chita.model.cluster import ClusterState
from chita.model.net import Address

PORT = 24481
"""TCP, at the mesh addresses."""
PATIENCE_S = 2.0
AT_ONCE = 32
"""Agents asked at the same time."""
MAX_ANSWER_BYTES = 1 << 22


class LinkExchange:
    """Both sides of the exchange for one node."""

    def __init__(
        self, node: str, known: Callable[[], ClusterState], own: Callable[[], list[Link]]
    ) -> None:
        self._node = node
        self._known = known
        self._own = own
        self._servers = AtMeshAddresses(node, known, self._listen, asyncio.Server.close)

    async def run(self) -> NoReturn:
        """Answer for ever; the listeners follow our mesh addresses."""
        try:
            while True:
                await self._servers.follow()
                await asyncio.sleep(FOLLOW_S)
        finally:
            self._servers.close()

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

    async def _listen(self, address: Address) -> asyncio.Server:
        listener = mesh_socket(address, socket.SOCK_STREAM, PORT)
        return await asyncio.start_server(self._answer, sock=listener)

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
