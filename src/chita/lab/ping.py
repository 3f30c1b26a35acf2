"""ICMP echo from inside a namespace: round trips, and the largest packet that gets through."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import socket
import struct
import time
from pathlib import Path

import msgspec

from chita.dataplane.probes.icmp import (
    ECHO_REPLY,
    HEADERS,
    echo_request,
    hear_replies_to,
    never_fragment,
)
from chita.lab.netns import entered
from chita.model.net import Address

_identifiers = itertools.count(os.getpid())


class PingResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of some echo requests."""

    sent: int
    rtts_ms: tuple[float, ...] = ()
    """One for each answer, in order."""
    error: str = ""
    """What the kernel or a router said instead of an answer, the last of it."""

    @property
    def received(self) -> int:
        """How many were answered."""
        return len(self.rtts_ms)

    @property
    def median_ms(self) -> float | None:
        """The median round trip; None without an answer."""
        return sorted(self.rtts_ms)[len(self.rtts_ms) // 2] if self.rtts_ms else None


class Echo:
    """A raw ICMP socket in a namespace, for one destination."""

    def __init__(self, namespace: Path, destination: Address, source: Address | None) -> None:
        self._family = destination.family
        family = socket.AF_INET if self._family == 4 else socket.AF_INET6
        protocol = socket.IPPROTO_ICMP if self._family == 4 else socket.IPPROTO_ICMPV6
        self._identifier = next(_identifiers) & 0xFFFF
        with entered(namespace):
            self.socket = socket.socket(family, socket.SOCK_RAW, protocol)
        try:
            self.socket.setblocking(False)
            hear_replies_to(self.socket, self._family, self._identifier)
            never_fragment(self.socket, self._family)
            if source is not None:
                self.socket.bind((str(source), 0))
            # Connected, it hears only this destination and gets routers' errors as its own.
            self.socket.connect((str(destination), 0))
        except OSError:
            self.socket.close()
            raise
        self._sequence = 0

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()

    async def round_trip_ms(self, *, size_bytes: int, timeout_s: float) -> float:
        """Send one request, an IP packet of *size_bytes*, and wait for its answer.

        Raises:
            TimeoutError: none came.
            OSError: the kernel refused, or a router sent an error.
        """
        loop = asyncio.get_running_loop()
        self._sequence = (self._sequence + 1) & 0xFFFF
        # Before sending: over veth pairs the answer is there when send() returns.
        started = time.perf_counter()
        self.socket.send(self._request(size_bytes))
        async with asyncio.timeout(timeout_s):
            while True:
                data = await loop.sock_recv(self.socket, 65535)
                if self._is_answer(data):
                    return (time.perf_counter() - started) * 1000

    def _request(self, size_bytes: int) -> bytes:
        """Return an echo request whose IP packet is *size_bytes* long, at least its headers."""
        filler = bytes(max(0, size_bytes - HEADERS[self._family]))
        return echo_request(self._family, self._identifier, self._sequence, filler)

    def _is_answer(self, data: bytes) -> bool:
        """Whether *data* answers the last request; IPv4's raw sockets show the IP header too."""
        icmp = data[(data[0] & 0xF) * 4 :] if self._family == 4 else data
        if len(icmp) < 8:
            return False
        kind, _, _, identifier, sequence = struct.unpack("!BBHHH", icmp[:8])
        expected = (ECHO_REPLY[self._family], self._identifier, self._sequence)
        return (kind, identifier, sequence) == expected


async def ping(
    namespace: Path,
    destination: Address,
    *,
    size_bytes: int = 84,
    count: int = 3,
    timeout_s: float = 1.0,
) -> PingResult:
    """Return the round trips of *count* echoes, IP packets of *size_bytes* with DF set.

    One after the other, each as soon as the one before was answered or given up.

    Raises:
        KernelError: there is no such namespace.
    """
    try:
        sock = Echo(namespace, destination, None)
    except OSError as error:
        return PingResult(sent=0, error=os.strerror(error.errno or 0))
    rtts: list[float] = []
    refusal = ""
    try:
        for _ in range(count):
            try:
                rtt = await sock.round_trip_ms(size_bytes=size_bytes, timeout_s=timeout_s)
                rtts.append(rtt)
            except TimeoutError:
                refusal = "no answer"
            except OSError as error:
                refusal = os.strerror(error.errno or 0)
    finally:
        sock.close()
    return PingResult(sent=count, rtts_ms=tuple(rtts), error=refusal)


async def path_mtu(
    namespace: Path,
    destination: Address,
    *,
    smallest: int = 1200,
    largest: int = 1500,
    timeout_s: float = 0.3,
) -> int | None:
    """Return the size of the largest IP packet that is answered whole, or None: not even small.

    By halving between *smallest* and *largest*; a size counts as too large when two are lost, so a
    router that drops silently is found as well as one that says so.

    Raises:
        KernelError: there is no such namespace.
    """

    async def passes(size: int) -> bool:
        result = await ping(namespace, destination, size_bytes=size, count=1, timeout_s=timeout_s)
        if not result.received and result.error != os.strerror(errno.EMSGSIZE):
            result = await ping(
                namespace, destination, size_bytes=size, count=1, timeout_s=timeout_s
            )
        return result.received > 0

    if await passes(largest):
        return largest
    if not await passes(smallest):
        return None
    low, high = smallest, largest
    while high - low > 1:
        middle = (low + high) // 2
        if await passes(middle):
            low = middle
        else:
            high = middle
    return low
