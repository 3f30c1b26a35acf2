"""Datagrams in a stream: each after its length in two bytes, big endian (RFC 4571 section 2)."""

from __future__ import annotations

import struct
from collections.abc import Iterable

_LENGTH = struct.Struct("!H")

MAX_DATAGRAM_BYTES = 0xFFFF


def framed(datagrams: Iterable[bytes]) -> bytes:
    """Return *datagrams* as they stand in the stream; each has at most 65,535 bytes."""
    parts: list[bytes] = []
    for datagram in datagrams:
        parts += (_LENGTH.pack(len(datagram)), datagram)
    return b"".join(parts)


class Unframer:
    """The receiving end of one stream."""

    def __init__(self) -> None:
        self._rest = b""

    def datagrams(self, received: bytes) -> list[bytes]:
        """Return the datagrams that *received* completes; empty ones (keepalives) are left out."""
        data = self._rest + received if self._rest else received
        found: list[bytes] = []
        start, end = 0, len(data)
        while start + 2 <= end:
            length = _LENGTH.unpack_from(data, start)[0]
            if start + 2 + length > end:
                break
            if length:
                found.append(data[start + 2 : start + 2 + length])
            start += 2 + length
        self._rest = data[start:]
        return found
