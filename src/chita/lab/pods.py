"""One process that listens for every pod of the lab: ``python -m chita.lab.pods``.

A pod of the lab is a network namespace and nothing else; what would run in it is a socket on each
port it declares. A socket keeps the namespace it was opened in, so one process can hold those of
all pods: it enters a namespace for as long as opening takes (docs/adr/0005-lab-pods.md).

It learns of pods on a unix socket, one JSON message a line, each answered by one.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import os
import signal
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from chita.errors import KernelError
from chita.lab import echo
from chita.lab.netns import entered
from chita.lab.underlay import Port

_IDLE_S = 10.0
"""How long a listener waits for the rest of a request."""

_BACKLOG = 1024


class Add(msgspec.Struct, frozen=True, kw_only=True, tag="add"):
    """Listen for a pod, or for a host outside; replaces what *name* had before."""

    name: str
    """What the listeners answer: ``namespace/pod``, or the host's name."""
    namespace: str
    """Path of its network namespace."""
    ports: tuple[Port, ...]


class Remove(msgspec.Struct, frozen=True, tag="remove"):
    """Close the listeners of *name*."""

    name: str


Message = Add | Remove


class Reply(msgspec.Struct, frozen=True):
    """The answer to a message."""

    error: str = ""
    """What went wrong; empty: all is as asked, but for *skipped*."""
    skipped: tuple[Port, ...] = ()
    """Ports of a protocol that this kernel does not have."""


def tell(control: Path, messages: Sequence[Message]) -> list[Reply]:
    """Send *messages* to the process that listens at *control*; return its answers.

    Raises:
        KernelError: it is not there.
    """
    replies: list[Reply] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_IDLE_S)
        try:
            connection.connect(str(control))
            stream = connection.makefile("rwb")
            for message in messages:
                stream.write(msgspec.json.encode(message) + b"\n")
                stream.flush()
                replies.append(msgspec.json.decode(stream.readline(), type=Reply))
        except (OSError, msgspec.DecodeError) as error:
            message_text = f"tell the lab's pods at {control}: {error}; is the lab up?"
            raise KernelError(message_text) from error
    return replies


class Listeners:
    """The open sockets, by name of whom they answer for."""

    def __init__(self) -> None:
        self._close: dict[str, list[Callable[[], None]]] = {}

    async def add(self, message: Add) -> Reply:
        """Open every port of *message*, all or none."""
        self.remove(message.name)
        skipped: list[Port] = []
        opened = self._close.setdefault(message.name, [])
        try:
            for port in message.ports:
                try:
                    listener = _open(Path(message.namespace), port)
                except OSError as error:
                    if error.errno != errno.EPROTONOSUPPORT:
                        raise
                    skipped.append(port)
                    continue
                opened.append(await _serve(listener, message.name))
        except (OSError, KernelError) as error:
            self.remove(message.name)
            return Reply(error=f"listen for {message.name}: {error}")
        return Reply(skipped=tuple(skipped))

    def remove(self, name: str) -> Reply:
        """Close all sockets of *name*."""
        for close in self._close.pop(name, ()):
            close()
        return Reply()

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Do what one client of the control socket says, until it hangs up."""
        try:
            while line := await reader.readline():
                try:
                    message = msgspec.json.decode(line, type=Message)
                except msgspec.DecodeError as error:
                    reply = Reply(error=f"not a message: {error}")
                else:
                    match message:
                        case Add():
                            reply = await self.add(message)
                        case Remove(name):
                            reply = self.remove(name)
                writer.write(msgspec.json.encode(reply) + b"\n")
                await writer.drain()
        finally:
            writer.close()


def _open(namespace: Path, port: Port) -> socket.socket:
    """Return a socket bound to *port* in *namespace*, for both families where there are both."""
    kind = socket.SOCK_DGRAM if port.protocol == "UDP" else socket.SOCK_STREAM
    with entered(namespace):
        try:
            listener = socket.socket(socket.AF_INET6, kind, port.number)
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            anywhere = "::"
        except OSError as error:
            if error.errno != errno.EAFNOSUPPORT:
                raise
            listener = socket.socket(socket.AF_INET, kind, port.number)
            anywhere = "0.0.0.0"  # noqa: S104  inside a namespace of the lab
    try:
        listener.setblocking(False)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((anywhere, port.port))
        if kind is socket.SOCK_STREAM:
            listener.listen(_BACKLOG)
        elif listener.family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    except OSError:
        listener.close()
        raise
    return listener


async def _serve(listener: socket.socket, name: str) -> Callable[[], None]:
    """Answer for *name* on *listener*; return what stops it."""
    loop = asyncio.get_running_loop()
    if listener.type == socket.SOCK_DGRAM:
        loop.add_reader(listener, _answer_datagrams, listener, name)

        def stop() -> None:
            loop.remove_reader(listener)
            listener.close()

        return stop

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A client that goes away is its own affair.
        try:
            with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, ValueError):
                await _answer_stream(reader, writer, name)
        finally:
            writer.close()

    server = await asyncio.start_server(converse, sock=listener, backlog=_BACKLOG)
    return server.close


async def _answer_stream(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str
) -> None:
    """Answer one request on a stream, then hang up."""
    async with asyncio.timeout(_IDLE_S):
        line = await reader.readline()
        size = echo.requested_size(line)
        if size is None:
            writer.write(f"{name}\n".encode() + line)
        else:
            await reader.readexactly(size - len(line))
            writer.write(echo.answer(name, size))
        await writer.drain()


def _answer_datagrams(listener: socket.socket, name: str) -> None:
    """Answer what has arrived, each from the very address it was sent to.

    A host has several addresses; the kernel's choice for an answer may be another one, which the
    asking side takes for a stranger (RFC 1122 section 4.1.3.5).
    """
    while True:
        try:
            data, control, _, peer = listener.recvmsg(65535, socket.CMSG_SPACE(20))
        except BlockingIOError:
            return
        except OSError:
            # An ICMP error for an earlier answer; the next datagram is no worse for it.
            continue
        size = echo.requested_size(data)
        reply = f"{name}\n".encode() + data if size is None else echo.answer(name, len(data))
        with suppress(OSError):
            listener.sendmsg([reply], [_from_same(item) for item in control], 0, peer)


def _from_same(item: tuple[int, int, bytes]) -> tuple[int, int, bytes]:
    """Return the in6_pktinfo that sends from where *item* was received, by any interface."""
    level, kind, packed = item
    return (level, kind, packed[:16] + struct.pack("@i", 0))


async def serve(control: Path) -> None:
    """Answer for pods until the process is told to end; say ``ready`` when it listens."""
    listeners = Listeners()
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    server = await asyncio.start_unix_server(listeners.converse, str(control))
    print("ready", flush=True)  # noqa: T201  read by the lab, which waits for it
    await stopped.wait()
    server.close()


def main() -> None:
    """Run the process."""
    parser = argparse.ArgumentParser(prog="python -m chita.lab.pods", description=__doc__)
    parser.add_argument("--control", type=Path, required=True, help="path of the unix socket")
    control: Path = parser.parse_args().control
    control.unlink(missing_ok=True)  # of an earlier process that was killed
    os.umask(0o077)  # the socket is root's alone
    try:
        asyncio.run(serve(control))
    finally:
        control.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
