"""The flow tester: tries flows on the wire, from where they start, many at once in one process.

A flow is *answered* or it is not: what a policy allows reaches a listener, which says its name;
what it denies gets no answer, or an error. Each is tried from a socket opened inside the source's
namespace. A result the caller did not expect is tried again with more patience before it is
believed, because a lost packet on a busy machine looks like a denial.
"""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import socket
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

import msgspec

from chita.dataplane.probes.icmp import never_fragment
from chita.errors import InputError
from chita.lab import echo
from chita.lab.netns import entered
from chita.lab.ping import Echo
from chita.model.net import SCTP, Address, protocol_name

_IN_FLIGHT = 1500
"""Sockets open at once; a denied flow holds its own for as long as the patience lasts."""

_OTHER_FILES = 64
"""Open files beside the sockets of flows."""

_SMALL_ECHO_BYTES = 84
"""An IP packet as ping(8) sends it."""


class Expectation(StrEnum):
    """What the caller thinks will come of a flow."""

    ANSWER = "answer"
    """It reaches a listener."""
    REFUSAL = "refusal"
    """It reaches a host on which nothing listens there."""
    CONTACT = "contact"
    """It reaches a host, whether something listens there or not."""
    SILENCE = "silence"
    """It is dropped on the way."""
    UNKNOWN = "unknown"


class Asking(StrEnum):
    """What is wanted of the listener of a stream."""

    NAME = "name"
    """That it says who it is, as those of the lab do."""
    NOTHING = "nothing"
    """That it takes the connection: it is not the lab's, and speaks some protocol of its own."""


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """One flow to try."""

    namespace: str
    """Path of the source's network namespace."""
    destination: Address
    protocol: int
    """IANA number: TCP, UDP, SCTP, ICMP or ICMPv6; the two last are echo requests."""
    port: int = 0
    source: Address | None = None
    """The source's address; None: the kernel chooses."""
    size_bytes: int = 0
    """Of the payload, both ways, or of an echo's IP packet; 0: small. Datagrams of a size asked for
    are not fragmented: they pass whole or not."""
    expected: Expectation = Expectation.UNKNOWN
    asks: Asking = Asking.NAME


class Allowed(msgspec.Struct, frozen=True, tag="allowed"):
    """An answer came."""

    by: str
    """Who answered; empty for an echo reply, which the kernel sends."""
    rtt_ms: float
    """From the first packet to the answer, for TCP with the connection's set-up."""


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """The destination said no: TCP reset, or ICMP port unreachable."""


class TimedOut(msgspec.Struct, frozen=True, tag="timed-out"):
    """Nothing came."""


class Unreachable(msgspec.Struct, frozen=True, tag="unreachable"):
    """The kernel or a router said that there is no way."""

    reason: str


Outcome = Allowed | Refused | TimedOut | Unreachable


def run_flows(
    flows: Sequence[Flow],
    *,
    in_flight: int = _IN_FLIGHT,
    timeout_s: float = 1.0,
    attempts: int = 3,
) -> list[Outcome]:
    """Return what came of each of *flows*, in order; see `try_flows`.

    Raises the process's limit of open files for *in_flight* sockets, as far as it may.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = in_flight + _OTHER_FILES
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
        in_flight = min(in_flight, hard - _OTHER_FILES)
    return asyncio.run(
        try_flows(flows, in_flight=in_flight, timeout_s=timeout_s, attempts=attempts)
    )


async def try_flows(
    flows: Sequence[Flow],
    *,
    in_flight: int = _IN_FLIGHT,
    timeout_s: float = 1.0,
    attempts: int = 3,
) -> list[Outcome]:
    """Return what came of each of *flows*, in order.

    At most *in_flight* run at once. One that is not as expected is tried *attempts* times in all,
    each time with *timeout_s* more patience; the last result counts.

    Raises:
        InputError: a flow's protocol is none that can be tried.
        KernelError: a source's namespace does not exist.
    """
    turnstile = asyncio.Semaphore(in_flight)

    async def settle(flow: Flow) -> Outcome:
        async with turnstile:
            for attempt in range(1, attempts + 1):
                outcome = await _try_once(flow, timeout_s * attempt)
                if is_expected(flow.expected, outcome):
                    break
            return outcome

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(settle(flow), name=f"flow {flow}") for flow in flows]
    return [task.result() for task in tasks]


def is_expected(expected: Expectation, outcome: Outcome) -> bool:
    """Whether *outcome* is what was *expected*."""
    match expected:
        case Expectation.ANSWER:
            return isinstance(outcome, Allowed)
        case Expectation.REFUSAL:
            return isinstance(outcome, Refused)
        case Expectation.CONTACT:
            return isinstance(outcome, Allowed | Refused)
        case Expectation.SILENCE:
            return isinstance(outcome, TimedOut | Unreachable)
        case Expectation.UNKNOWN:
            return True


def lacking_protocols() -> frozenset[int]:
    """Return the protocols of pods' ports that this kernel has no sockets for.

    Only SCTP can be missing: it is a module that many kernels come without (CONFIG_IP_SCTP).
    """
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, SCTP).close()
    except OSError as error:
        if error.errno != errno.EPROTONOSUPPORT:
            raise
        return frozenset({SCTP})
    return frozenset()


async def _try_once(flow: Flow, timeout_s: float) -> Outcome:
    """Return what comes of *flow* within *timeout_s*."""
    started = time.perf_counter()
    try:
        async with asyncio.timeout(timeout_s):
            match flow.protocol:
                case 6 | 132:  # TCP, SCTP
                    by = await _over_stream(flow)
                case 17:  # UDP
                    by = await _over_datagrams(flow)
                case 1 | 58:  # ICMP, ICMPv6
                    by = await _over_echo(flow, timeout_s)
                case _:
                    name = protocol_name(flow.protocol)
                    message = f"flow to {flow.destination}: {name} can't be tried; use one of TCP, "
                    raise InputError(message + "UDP, SCTP, ICMP, ICMPv6")
    except TimeoutError:
        return TimedOut()
    except ConnectionError:
        return Refused()
    except OSError as error:
        return Unreachable(os.strerror(error.errno or 0))
    return Allowed(by, (time.perf_counter() - started) * 1000)


async def _over_stream(flow: Flow) -> str:
    """Connect, ask, and return who answered."""
    loop = asyncio.get_running_loop()
    with _open(flow, socket.SOCK_STREAM) as sock:
        await loop.sock_connect(sock, (str(flow.destination), flow.port))
        if flow.asks is Asking.NOTHING:
            return ""
        message = echo.request(flow.size_bytes)
        await loop.sock_sendall(sock, message)
        data = bytearray()
        while len(data) < len(message):
            part = await loop.sock_recv(sock, 65536)
            if not part:
                break
            data += part
        if not data:
            raise ConnectionResetError
        return echo.answering_name(bytes(data))


async def _over_datagrams(flow: Flow) -> str:
    """Send one datagram, and return who answered."""
    loop = asyncio.get_running_loop()
    with _open(flow, socket.SOCK_DGRAM) as sock:
        if flow.size_bytes:
            never_fragment(sock, flow.destination.family)
        sock.connect((str(flow.destination), flow.port))
        sock.send(echo.request(flow.size_bytes))
        return echo.answering_name(await loop.sock_recv(sock, 65536))


async def _over_echo(flow: Flow, timeout_s: float) -> str:
    """Send one echo request; nobody has a name there."""
    sock = Echo(Path(flow.namespace), flow.destination, flow.source)
    try:
        size = flow.size_bytes or _SMALL_ECHO_BYTES
        await sock.round_trip_ms(size_bytes=size, timeout_s=timeout_s)
    finally:
        sock.close()
    return ""


def _open(flow: Flow, kind: socket.SocketKind) -> socket.socket:
    """Return a socket of the source of *flow*."""
    family = socket.AF_INET if flow.destination.family == 4 else socket.AF_INET6
    with entered(Path(flow.namespace)):
        sock = socket.socket(family, kind, flow.protocol)
    try:
        sock.setblocking(False)
        if flow.source is not None:
            sock.bind((str(flow.source), 0))
    except OSError:
        sock.close()
        raise
    return sock
