"""The detour of a node that may send no UDP: WireGuard's datagrams in a TLS stream over TCP.

Two programs. ``serve`` runs on gateways: each stream it accepts gets a UDP socket of its own
towards WireGuard's port on loopback, so that WireGuard sees one peer for each stream. ``dial`` runs
on the node: WireGuard's peer has the program's loopback port for its endpoint, and what comes there
goes to the gateway.

TLS is for the networks that let nothing else pass on port 443. It authenticates nobody: what is in
the stream is WireGuard's, which answers only to known keys; who may open a stream can do no more
than who may send UDP to the port (RFC 9329 does the same for IKE and ESP).

A stream that is slower than what it is given loses datagrams, as a wire does: a queue would turn
into delay what the flows inside take for congestion.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import msgspec

from chita.dataplane.detour.certificate import server_context
from chita.dataplane.detour.framing import MAX_DATAGRAM_BYTES, Unframer, framed
from chita.errors import InputError
from chita.telemetry.log import LogFormat, configure, logger

QUEUE_BYTES = 1 << 18
"""What may wait in a stream that is slower than what it is given."""

BATCH = 64
"""Datagrams that are read at a time, so that a busy socket does not starve the others."""

STALLED_MS = 5_000
"""A stream whose bytes are not acknowledged for so long is given up (TCP_USER_TIMEOUT, tcp(7))."""

MAX_STREAMS = 1_000
IDLE_S = 300.0
RETRY_S = (0.2, 2.0)
"""First and longest pause before a node dials again, seconds."""

_LOG = logger("detour")
_LOOPBACK = "127.0.0.1"
_UDP_BUFFER_BYTES = 1 << 21


class Serve(msgspec.Struct, frozen=True, tag=True):
    """Carry what comes in streams to WireGuard on loopback."""

    listen_port: int
    """TCP."""
    target_ports: tuple[int, int]
    """UDP: of the devices for keys of even and of odd epochs."""


class Dial(msgspec.Struct, frozen=True, tag=True):
    """Carry what WireGuard sends to *listen_port* on loopback to a gateway."""

    host: str
    port: int
    """TCP."""
    listen_port: int
    """UDP."""
    parity: int = 0
    """Of the epoch of WireGuard's keys: the stream's first frame says it, in one byte."""


Task = Serve | Dial


class _Stream(asyncio.Protocol):
    """One TLS stream and the UDP socket whose datagrams it carries."""

    def __init__(
        self,
        udp: socket.socket,
        *,
        lost: Callable[[_Stream], None],
        hello: bytes = b"",
        target_ports: tuple[int, int] | None = None,
    ) -> None:
        self.udp = udp
        self._lost = lost
        self._hello = hello
        """What the dialling end says first."""
        self._target_ports = target_ports
        """Of the serving end: where what follows a hello goes."""
        self._unframer = Unframer()
        self._transport: asyncio.Transport | None = None
        self.received_at_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        tcp: socket.socket = transport.get_extra_info("socket")
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_MS)
        self._transport = transport
        loop = asyncio.get_running_loop()
        self.received_at_s = loop.time()
        if self._hello:
            transport.write(framed([self._hello]))
        loop.add_reader(self.udp, self._carry)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._transport = None
        asyncio.get_running_loop().remove_reader(self.udp)
        self._lost(self)

    def data_received(self, data: bytes) -> None:
        self.received_at_s = asyncio.get_running_loop().time()
        for datagram in self._unframer.datagrams(data):
            if len(datagram) == 1:  # no message of WireGuard is so short
                if self._target_ports is not None:
                    self.udp.connect((_LOOPBACK, self._target_ports[datagram[0] % 2]))
                continue
            # Nobody there (yet), or a full buffer: lost, as on a wire.
            with suppress(BlockingIOError, ConnectionRefusedError):
                self.udp.send(datagram)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _carry(self) -> None:
        """Read a batch of datagrams and send them on; too many are dropped, not queued."""
        datagrams: list[bytes] = []
        with suppress(BlockingIOError, ConnectionRefusedError):
            # Extended one by one: those read before the socket is empty are kept.
            datagrams.extend(self.udp.recv(MAX_DATAGRAM_BYTES) for _ in range(BATCH))
        if self._transport is not None and self._transport.get_write_buffer_size() < QUEUE_BYTES:
            self._transport.write(framed(datagrams))


async def serve(task: Serve) -> None:
    """Accept streams for ever.

    Raises:
        InputError: the port is taken, or may not be listened on.
    """
    loop = asyncio.get_running_loop()
    streams: set[_Stream] = set()

    def lost(stream: _Stream) -> None:
        streams.discard(stream)
        stream.udp.close()

    def accept() -> asyncio.Protocol:
        udp = _udp_socket()
        udp.connect((_LOOPBACK, task.target_ports[0]))
        stream = _Stream(udp, lost=lost, target_ports=task.target_ports)
        streams.add(stream)
        if len(streams) > MAX_STREAMS:
            loop.call_soon(stream.close)
        return stream

    try:
        server = await loop.create_server(
            accept, None, task.listen_port, ssl=server_context(), reuse_address=True
        )
    except OSError as error:
        raise InputError(
            f"listen on TCP port {task.listen_port}: {error.strerror}; free it, or set another "
            "tcpRelayPort in the FabricConfiguration"
        ) from error
    async with server:
        while True:
            await asyncio.sleep(IDLE_S / 10)
            for stream in [it for it in streams if loop.time() - it.received_at_s > IDLE_S]:
                stream.close()


async def dial(task: Dial) -> None:
    """Keep a stream to the gateway, for ever.

    Raises:
        InputError: the loopback port is taken.
    """
    loop = asyncio.get_running_loop()
    udp = _udp_socket()
    try:
        udp.bind((_LOOPBACK, task.listen_port))
    except OSError as error:
        raise InputError(f"UDP port {task.listen_port} of loopback: {error.strerror}") from error
    await _first_datagram(udp)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    pause_s, longest_s = RETRY_S
    while True:
        closed = asyncio.Event()
        try:
            async with asyncio.timeout(STALLED_MS / 1000):
                await loop.create_connection(
                    partial(_Stream, udp, lost=partial(_tell, closed), hello=bytes([task.parity])),
                    task.host,
                    task.port,
                    ssl=context,
                )
        except OSError as error:  # TimeoutError and ssl.SSLError are OSErrors
            _LOG.warning("gateway not reached", host=task.host, port=task.port, why=str(error))
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, longest_s)
            continue
        _LOG.info("stream open", host=task.host, port=task.port)
        pause_s = RETRY_S[0]
        await closed.wait()


def _tell(closed: asyncio.Event, stream: _Stream) -> None:
    del stream
    closed.set()


async def _first_datagram(udp: socket.socket) -> None:
    """Wait for WireGuard to send, and answer from now on to where it sends from."""
    loop = asyncio.get_running_loop()
    _, sender = await loop.sock_recvfrom(udp, MAX_DATAGRAM_BYTES)
    udp.connect(sender)


def _udp_socket() -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.setblocking(False)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _UDP_BUFFER_BYTES)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UDP_BUFFER_BYTES)
    return opened


def main() -> int:
    """Do the task that the first argument says in JSON; return the exit status."""
    configure(format_=LogFormat.TEXT, level="info")
    task: Task = msgspec.json.decode(sys.argv[1], type=Task)
    try:
        match task:
            case Serve():
                asyncio.run(serve(task))
            case Dial():
                asyncio.run(dial(task))
    except InputError as error:
        _LOG.warning("not started", why=str(error))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
