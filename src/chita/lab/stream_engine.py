"""The process behind `lab.streams`: sends on time, receives with the kernel's stamps.

    python -m chita.lab.stream_engine SECONDS < plan

Reads one line, a Plan; prints ``"flowing"`` when something of everything has arrived, or why not
after SECONDS; goes on until its input ends, then prints the Results.
"""

from __future__ import annotations

import heapq
import os
import select
import socket
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from chita.lab.netns import entered
from chita.lab.streams import (
    Arrival,
    Plan,
    Results,
    Stream,
    StreamResult,
    Transfer,
    TransferResult,
    stream_result,
)

_HEADER = struct.Struct("!QQQ")  # number, time sent, stream
_SO_RCVBUFFORCE, _SO_TIMESTAMPNS = (
    33,
    35,
)  # asm-generic/socket.h; the ancillary message has the same number
_TIMESPEC = struct.Struct("=qq")
_BUFFER_BYTES = 4 << 20
_CHUNK = b"\0" * 65536
_PORTIONS = 100
"""How often a second a transfer with a rate sends."""

_QUIET_S, _DRAIN_S = 0.2, 1.0
"""What is under way has arrived when nothing came for so long; waited for at most so long."""


class _Flow:
    """One stream: its two sockets and what came of them."""

    def __init__(self, stream: Stream, index: int) -> None:
        self.stream = stream
        self.index = index
        family = socket.AF_INET6 if ":" in stream.destination else socket.AF_INET
        with entered(Path(stream.destination_namespace)):
            self.receiver = socket.socket(family, socket.SOCK_DGRAM)
        self.receiver.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        self.receiver.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self.receiver.bind(("", stream.port))
        self.receiver.setblocking(False)
        with entered(Path(stream.source_namespace)):
            self.sender = socket.socket(family, socket.SOCK_DGRAM)
        self.sender.setblocking(False)
        self.sender.connect((stream.destination, stream.port))
        self.sent_ns: list[int] = []
        self.arrivals: list[Arrival] = []
        self.refused = ""
        self._warm_up = 0
        self._filler = b"\0" * max(0, stream.size_bytes - _HEADER.size)

    def send(self) -> None:
        """Send the next datagram; what the kernel refuses is lost like any other."""
        now = time.time_ns()
        packet = _HEADER.pack(len(self.sent_ns), now, self.index) + self._filler
        self.sent_ns.append(now)
        try:
            self.sender.send(packet)
        except OSError as error:
            # Also an ICMP error for an earlier one, which then has kept this one from going out.
            self.refused = os.strerror(error.errno or 0)
            with suppress(OSError):
                self.sender.send(packet)

    def receive(self) -> None:
        """Take all that has arrived."""
        with suppress(BlockingIOError):
            while True:
                data, ancillary, _, _ = self.receiver.recvmsg(65536, 64)
                number, _, index = _HEADER.unpack_from(data)
                if index == self.index and ancillary:
                    seconds, nanoseconds = _TIMESPEC.unpack_from(ancillary[0][2])
                    self.arrivals.append(Arrival(number, seconds * 10**9 + nanoseconds))

    def start_counting(self) -> None:
        """Leave out what was sent before: it opened sessions on the way."""
        self._warm_up = len(self.sent_ns)
        self.refused = ""

    def result(self) -> StreamResult:
        """Return what came of it."""
        first = self._warm_up
        arrivals = [
            Arrival(arrival.number - first, arrival.at_ns)
            for arrival in self.arrivals
            if arrival.number >= first
        ]
        return stream_result(self.stream.name, self.sent_ns[first:], arrivals, refused=self.refused)


class _Pipe:
    """One TCP connection, kept full or offered so much a second."""

    def __init__(self, transfer: Transfer) -> None:
        self.transfer = transfer
        rate = transfer.bits_per_second
        self._portion = _CHUNK if rate is None else b"\0" * max(1, int(rate / 8 / _PORTIONS))
        self.received = 0
        self.first_s = self.last_s = 0.0
        self.stall_s, self.stall_at_s = 0.0, 0.0
        self.broken = ""
        family = socket.AF_INET6 if ":" in transfer.destination else socket.AF_INET
        with entered(Path(transfer.destination_namespace)):
            self._listener = socket.socket(family, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("", transfer.port))
        self._listener.listen(1)
        with entered(Path(transfer.source_namespace)):
            self.sender = socket.socket(family, socket.SOCK_STREAM)

    def open(self, timeout_s: float) -> None:
        """Connect.

        Raises:
            OSError: nobody answered in time.
        """
        self.sender.settimeout(timeout_s)
        self.sender.connect((self.transfer.destination, self.transfer.port))
        self.receiver, _ = self._listener.accept()
        self.sender.setblocking(False)
        self.receiver.setblocking(False)

    def write(self) -> None:
        """Offer a portion; a full buffer takes none or a part of it."""
        try:
            self.sender.send(self._portion)
        except BlockingIOError:
            pass
        except OSError as error:
            self.broken = os.strerror(error.errno or 0)

    def read(self) -> None:
        """Take what has arrived."""
        try:
            count = len(self.receiver.recv(1 << 18))
        except BlockingIOError:
            return
        except OSError as error:
            self.broken = os.strerror(error.errno or 0)
            return
        self.note(time.time())
        self.received += count

    def note(self, now: float) -> None:
        """Remember the time since the last byte, if it is the longest."""
        self.first_s = self.first_s or now
        if self.last_s and now - self.last_s > self.stall_s:
            self.stall_s, self.stall_at_s = now - self.last_s, self.last_s
        self.last_s = now

    def result(self, ended_s: float) -> TransferResult:
        """Return what came of it; silence until the end counts."""
        last = self.last_s
        self.note(ended_s)
        return TransferResult(
            name=self.transfer.name,
            received_bytes=self.received,
            seconds=max(0.0, last - self.first_s),
            longest_stall_s=self.stall_s,
            stall_at_s=self.stall_at_s,
            broken=self.broken,
        )


def main() -> int:
    """Do what standard input says."""
    patience_s = float(sys.argv[1])
    plan = msgspec.json.decode(sys.stdin.buffer.readline(), type=Plan)
    # On time whatever else runs here; where that is not allowed, gaps leave out our own pauses.
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    if plan.transfers:
        with suppress(OSError):  # a full pipe must not starve what carries it
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    flows = [_Flow(stream, index) for index, stream in enumerate(plan.streams)]
    pipes = [_Pipe(transfer) for transfer in plan.transfers]
    for pipe in pipes:
        try:
            pipe.open(patience_s)
        except OSError as error:
            _say(f"{pipe.transfer.name}: no connection: {error}")
            return 1
    return _Loop(flows, pipes).run(patience_s)


class _Loop:
    """Sends what is due, takes what has arrived, until the input ends."""

    def __init__(self, flows: list[_Flow], pipes: list[_Pipe]) -> None:
        self._flows = flows
        self._pipes = pipes
        self._poll = select.epoll()
        self._readers = {flow.receiver.fileno(): flow.receive for flow in flows}
        self._readers |= {pipe.receiver.fileno(): pipe.read for pipe in pipes}
        full = [pipe for pipe in pipes if pipe.transfer.bits_per_second is None]
        self._writers = {pipe.sender.fileno(): pipe.write for pipe in full}
        for descriptor in self._readers:
            self._poll.register(descriptor, select.EPOLLIN)
        for descriptor in self._writers:
            self._poll.register(descriptor, select.EPOLLOUT)
        self._poll.register(0, select.EPOLLIN)
        paced = [pipe for pipe in pipes if pipe.transfer.bits_per_second is not None]
        self._senders = [
            *((flow.send, 1 / flow.stream.per_second) for flow in flows),
            *((pipe.write, 1 / _PORTIONS) for pipe in paced),
        ]
        started = time.monotonic()
        # Not all at once: spread over one interval.
        self._due = [
            (started + number / len(self._senders) * interval_s, number)
            for number, (_, interval_s) in enumerate(self._senders)
        ]
        heapq.heapify(self._due)

    def run(self, patience_s: float) -> int:
        """Return the exit status."""
        give_up = time.monotonic() + patience_s
        is_flowing = False
        while True:
            now = time.monotonic()
            self._send(now)
            wait = self._due[0][0] - time.monotonic() if self._due else 0.1
            if self._serve(max(0.0, min(wait, 0.1))):
                break
            if not is_flowing:
                missing = self._missing()
                if not missing:
                    is_flowing = True
                    for flow in self._flows:
                        flow.start_counting()
                    _say("flowing")
                elif now > give_up:
                    _say(f"nothing arrived of {', '.join(missing)}")
                    return 1
        ended_s = time.time()
        for descriptor in self._writers:
            self._poll.unregister(descriptor)
        self._drain()
        results = Results(
            streams=tuple(flow.result() for flow in self._flows),
            transfers=tuple(pipe.result(ended_s) for pipe in self._pipes),
        )
        sys.stdout.buffer.write(msgspec.json.encode(results))
        return 0

    def _send(self, now: float) -> None:
        while self._due and self._due[0][0] <= now:
            due, number = self._due[0]
            send, interval_s = self._senders[number]
            send()
            # After a pause the rate goes on; what was missed is not sent in a burst.
            heapq.heapreplace(self._due, (max(due, now - interval_s) + interval_s, number))

    def _serve(self, timeout_s: float) -> bool:
        """Take what is there; return whether the input has ended."""
        for descriptor, _ in self._poll.poll(timeout_s):
            if descriptor == 0:
                return True
            if descriptor in self._readers:
                self._readers[descriptor]()
            if descriptor in self._writers:
                self._writers[descriptor]()
        return False

    def _drain(self) -> None:
        """Wait for what is under way."""
        self._poll.unregister(0)
        deadline = time.monotonic() + _DRAIN_S
        while time.monotonic() < deadline:
            ready = self._poll.poll(_QUIET_S)
            if not ready:
                return
            for descriptor, _ in ready:
                self._readers[descriptor]()

    def _missing(self) -> list[str]:
        silent = [flow.stream.name for flow in self._flows if not flow.arrivals]
        return silent + [pipe.transfer.name for pipe in self._pipes if not pipe.received]


def _say(text: str) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(text) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
