"""Asking the agent over its unix socket: for commands (waiting) and for event loops (async)."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

from chita.errors import ApiError
from chita.rpc.messages import (
    MAX_LINE_BYTES,
    Answer,
    CniAnswer,
    CniRequest,
    Question,
    Refusal,
    decode_cni,
    decode_reply,
    encode_request,
)

DEFAULT_SOCKET = Path("/run/chita/agent.sock")


def ask(path: Path, question: Question, *, timeout_s: float = 10) -> Any:
    """Return the agent's answer as plain JSON values.

    Raises:
        ApiError: no agent answers at *path* in time, or it refuses.
    """
    return _value(path, decode_reply(_exchange(path, encode_request(question), timeout_s)))


def call_cni(path: Path, request: CniRequest, *, timeout_s: float = 90) -> CniAnswer:
    """Return what the shim would print for *request*.

    Raises:
        ApiError: no agent answers at *path* in time.
    """
    return decode_cni(_exchange(path, encode_request(request), timeout_s))


async def ask_async(path: Path, question: Question, *, timeout_s: float = 10) -> Any:
    """As `ask`, without blocking the event loop."""
    line = await _exchange_async(path, encode_request(question), timeout_s)
    return _value(path, decode_reply(line))


async def call_cni_async(path: Path, request: CniRequest, *, timeout_s: float = 90) -> CniAnswer:
    """As `call_cni`, without blocking the event loop."""
    return decode_cni(await _exchange_async(path, encode_request(request), timeout_s))


def _exchange(path: Path, line: bytes, timeout_s: float) -> bytes:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
            peer.settimeout(timeout_s)
            peer.connect(str(path))
            peer.sendall(line)
            with peer.makefile("rb") as stream:
                return _whole(path, stream.readline(MAX_LINE_BYTES))
    except OSError as error:
        raise _unreachable(path, error) from error


async def _exchange_async(path: Path, line: bytes, timeout_s: float) -> bytes:
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_unix_connection(path, limit=MAX_LINE_BYTES)
            try:
                writer.write(line)
                return _whole(path, await reader.readline())
            finally:
                writer.close()
    except OSError as error:
        raise _unreachable(path, error) from error


def _whole(path: Path, line: bytes) -> bytes:
    if not line.endswith(b"\n"):
        raise ApiError(f"ask the agent at {path}: it closed the connection without an answer")
    return line


def _unreachable(path: Path, error: OSError) -> ApiError:
    answer = str(error) or "no answer in time"
    return ApiError(f"ask the agent at {path}: {answer}; is `chita agent` running on this node?")


def _value(path: Path, reply: Answer | Refusal) -> Any:
    match reply:
        case Answer(value):
            return value
        case Refusal(message):
            raise ApiError(f"the agent at {path} refuses: {message}")
