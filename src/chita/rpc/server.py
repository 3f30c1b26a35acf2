"""The agent's end of its unix socket. Only root may connect, whatever the file's mode becomes."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from chita.errors import ChitaError, InputError
from chita.rpc.messages import (
    MAX_LINE_BYTES,
    Refusal,
    Reply,
    Request,
    decode_request,
    encode_reply,
)

Answering = Callable[[Request], Awaitable[Reply]]
"""Answers one request. A ChitaError becomes a refusal; a CNI call answers its own errors."""

_UCRED = struct.Struct("3i")
"""``struct ucred`` of linux/socket.h: pid, uid, gid."""


@asynccontextmanager
async def serving(path: Path, answer: Answering) -> AsyncIterator[None]:
    """Answer requests at *path* while the context lasts.

    A socket file left by an earlier agent is replaced; the directory is made if needed.

    Raises:
        InputError: *path* is too long for a unix socket, or can't be made there.
    """
    listener, inode = _listen(path)
    connections: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            await _converse(reader, writer, answer)
        finally:
            connections.discard(task)

    server = await asyncio.start_unix_server(accept, sock=listener, limit=MAX_LINE_BYTES)
    try:
        yield
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        _unlink(path, inode)


def _listen(path: Path) -> tuple[socket.socket, int]:
    """Return a listener at *path* and its inode.

    It is bound under another name and renamed once it listens, so that a client meets either the
    old agent or the new one, never a socket that refuses.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    bound = path.with_name(f"{path.name}.{os.getpid()}")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.unlink(missing_ok=True)
        listener.bind(str(bound))
        bound.chmod(0o600)
        listener.listen(128)
        inode = bound.stat().st_ino
        bound.rename(path)
    except OSError as error:
        listener.close()
        raise InputError(
            f"listen on unix socket {path}: {error}; choose another path (at most 100 bytes)"
        ) from error
    return listener, inode


def _unlink(path: Path, inode: int) -> None:
    """Remove the socket file, unless a successor has put its own there."""
    with suppress(FileNotFoundError):
        if path.stat().st_ino == inode:
            path.unlink()


async def _converse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answering
) -> None:
    """Answer the lines of one connection, in order, until it ends."""
    try:
        if _peer_uid(writer) not in (0, os.geteuid()):
            writer.write(encode_reply(Refusal("only root may ask the agent")))
            await writer.drain()
            return
        while line := await reader.readline():
            try:
                reply = await answer(decode_request(line))
            except ChitaError as error:
                reply = Refusal(str(error))
            writer.write(encode_reply(reply))
            await writer.drain()
    except (ConnectionError, ValueError):
        pass  # the client is gone, or sent a line beyond every limit
    finally:
        writer.close()


def _peer_uid(writer: asyncio.StreamWriter) -> int:
    """Return who connected, as the kernel knows it (unix(7), SO_PEERCRED)."""
    peer: socket.socket = writer.get_extra_info("socket")
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    uid: int = _UCRED.unpack(credentials)[1]
    return uid
