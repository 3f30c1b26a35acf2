"""What the lab's listeners and its flow tester say to each other: the size asked for, a name back.

A request is ``chita <size>`` and a newline, filled up with zeros to *size* bytes; the answer is the
listener's name and a newline, filled up to the same size, so that a large one tries the path's MTU
in both directions. Anything else is answered with the name and what was sent, for people with nc.
"""

from __future__ import annotations

SMALLEST = 64
"""Bytes of a request or an answer unless a larger size is asked for."""

LARGEST = 1 << 20
"""Bytes; what a listener is willing to send back."""


def request(size_bytes: int = SMALLEST) -> bytes:
    """Return a request that asks for an answer of its own size."""
    size = max(SMALLEST, min(LARGEST, size_bytes))
    return f"chita {size}\n".encode().ljust(size, b"\0")


def requested_size(line: bytes) -> int | None:
    """Return the size that the first line of a request asks for; None: it is not one of ours."""
    word, _, number = line.partition(b"\n")[0].partition(b" ")
    if word != b"chita" or not number.isdigit():
        return None
    return max(SMALLEST, min(LARGEST, int(number)))


def answer(name: str, size_bytes: int) -> bytes:
    """Return the answer of *name*, *size_bytes* long."""
    return f"{name}\n".encode().ljust(size_bytes, b"\0")


def answering_name(data: bytes) -> str:
    """Return who answered."""
    return data.partition(b"\n")[0].decode(errors="replace")
