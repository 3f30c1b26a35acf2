"""Questions: asks other agents through the tunnels, and answers theirs (`chita.fabric.questions`).

The sockets are bound to this node's mesh addresses. Who asks is believed by the source address, so
a question counts only if it came out of a tunnel of ours, whose peer may use no other address. A
greeting may have come through gateways; what it is worth is for `chita.agent.greetings` to say.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from chita.agent.mesh_sockets import FOLLOW_S, AtMeshAddresses, mesh_socket
from chita.agent.sessions import Sessions
from chita.desired.tunnels import Endpoint
from chita.fabric.questions import LENGTH, PORT, Ask, Greeting, Seen, decoded, encoded
from chita.model.cluster import ClusterState
from chita.model.net import Address

PATIENCE_S = 1.0
"""How long an answer may take; a tunnel over the whole world takes a third of it."""

TUNNEL_PREFIX = "chita-wg"

_KNOWN_S = 5.0
"""How old what a device holds may be for an answer; a peer that is not there is looked up again."""
_FRESH_S = 1.0
_AT_ONCE = 64
"""Questions that wait to be answered; what comes on top is dropped, and asked again."""

_RECEIVE_PKTINFO = {4: (socket.IPPROTO_IP, 8), 6: (socket.IPPROTO_IPV6, 49)}
_PKTINFO = {(socket.IPPROTO_IP, 8): 0, (socket.IPPROTO_IPV6, 50): 16}
"""Where the index of the device stands in in_pktinfo (ip(7)) and in6_pktinfo (RFC 3542)."""

_SIOCGIFNAME = 0x8910  # linux/sockios.h; asks the namespace of the socket
_NAME_BYTES = 16  # IFNAMSIZ, linux/if.h
_IFREQ = struct.Struct("@16si20x")


class Questions:
    """Both sides of the conversation for one node."""

    def __init__(self, node: str, cluster: Callable[[], ClusterState], sessions: Sessions) -> None:
        self._cluster = cluster
        self._sessions = sessions
        self._sockets = AtMeshAddresses(node, cluster, self._open, self._close)
        self._waiting: dict[bytes, asyncio.Future[Endpoint | None]] = {}
        self._asked: asyncio.Queue[tuple[Ask, Address, socket.socket]] = asyncio.Queue(_AT_ONCE)
        self.greetings: asyncio.Queue[tuple[str, Greeting]] = asyncio.Queue(_AT_ONCE)
        """What came from the address of each node; too many are dropped, and told again."""

    async def run(self) -> NoReturn:
        """Answer for ever; the sockets follow our mesh addresses."""
        try:
            while True:
                await self.follow()
                with suppress(TimeoutError):
                    async with asyncio.timeout(FOLLOW_S):
                        while True:
                            await self._answer(*await self._asked.get())
        finally:
            self._sockets.close()

    async def seen_at(self, node: str) -> Endpoint | None:
        """Return where the tunnel of *node* sees ours; None: it cannot be asked or cannot tell."""
        there = self._cluster().nodes.get(node)
        mesh = self._common(there.mesh_addresses if there is not None else ())
        if mesh is None:
            return None
        own, far = mesh
        number = os.urandom(8)
        answer = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            async with asyncio.timeout(PATIENCE_S):
                self._sockets.held[own].sendto(encoded(Ask(number)), (str(far), PORT))
                found: Endpoint | None = await answer
        except (OSError, TimeoutError):  # no route to it at the moment, or it does not answer
            return None
        finally:
            del self._waiting[number]
        return found

    def greet(self, node: str, greeting: Greeting) -> None:
        """Send *greeting* to *node*, whatever becomes of it."""
        there = self._cluster().nodes.get(node)
        mesh = self._common(there.mesh_addresses if there is not None else ())
        if mesh is not None:
            own, far = mesh
            with suppress(OSError):  # no route to it at the moment
                self._sockets.held[own].sendto(encoded(greeting), (str(far), PORT))

    def _common(self, far: tuple[Address, ...]) -> tuple[Address, Address] | None:
        """Return our address and the far one of a family that both have, IPv4 first."""
        for own in sorted(self._sockets.held, key=lambda address: address.family):
            for address in far:
                if address.family == own.family:
                    return own, address
        return None

    async def follow(self) -> None:
        """Have one socket at each of our mesh addresses, in the namespace of this thread."""
        await self._sockets.follow()

    async def _open(self, address: Address) -> socket.socket:
        sock = mesh_socket(address, socket.SOCK_DGRAM, PORT)
        sock.setsockopt(*_RECEIVE_PKTINFO[address.family], 1)
        asyncio.get_running_loop().add_reader(sock, self._hear, sock)
        return sock

    @staticmethod
    def _close(sock: socket.socket) -> None:
        asyncio.get_running_loop().remove_reader(sock)
        sock.close()

    def _hear(self, sock: socket.socket) -> None:
        try:
            datagram, notes, _, source = sock.recvmsg(LENGTH + 1, 128)
        except OSError:  # an error that was queued on the socket: somebody does not listen
            return
        match decoded(datagram):
            case Seen(number, endpoint):
                answer = self._waiting.get(number)
                if answer is not None and not answer.done():
                    answer.set_result(endpoint)
            case Ask() as ask if _device(sock, notes).startswith(TUNNEL_PREFIX):
                with suppress(asyncio.QueueFull):
                    self._asked.put_nowait((ask, Address.parse(source[0]), sock))
            case Greeting() as greeting if node := self._name(Address.parse(source[0])):
                with suppress(asyncio.QueueFull):
                    self.greetings.put_nowait((node, greeting))
            case _:
                pass

    async def _answer(self, ask: Ask, source: Address, sock: socket.socket) -> None:
        endpoint = await self._endpoint(source)
        with suppress(OSError):  # the socket was replaced, or there is no way back
            sock.sendto(encoded(Seen(ask.number, endpoint)), (str(source), PORT))

    async def _endpoint(self, mesh: Address) -> Endpoint | None:
        """Return where our tunnel sees the node that has *mesh*."""
        record = self._cluster().fabric_nodes.get(self._name(mesh))
        if record is None:
            return None
        for max_age_s in (_KNOWN_S, _FRESH_S):
            peers = await self._sessions.peers(max_age_s=max_age_s)
            peer = peers.get(record.wireguard_key)
            if peer is not None and peer.endpoint is not None and peer.handshake_s:
                return peer.endpoint
        return None

    def _name(self, mesh: Address) -> str:
        """Return the name of the node that has *mesh*; empty: none has."""
        nodes = self._cluster().nodes.values()
        return next((it.name for it in nodes if mesh in it.mesh_addresses), "")


def _device(sock: socket.socket, notes: list[tuple[int, int, bytes]]) -> str:
    """Return the name of the device a datagram came out of; empty: it is gone."""
    for level, kind, content in notes:
        offset = _PKTINFO.get((level, kind))
        if offset is None:
            continue
        (index,) = struct.unpack_from("@i", content, offset)
        with suppress(OSError):
            answer = fcntl.ioctl(sock, _SIOCGIFNAME, _IFREQ.pack(b"", index))
            return answer[:_NAME_BYTES].rstrip(b"\0").decode()
    return ""
