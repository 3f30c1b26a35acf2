"""Continuous traffic between pods while something is done to the network: what was lost, and when.

A process of its own (`lab.stream_engine`) sends numbered datagrams at a steady rate and fills TCP
connections, so that whatever the measuring program does meanwhile costs the traffic nothing.
Arrivals are stamped by the kernel.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from types import TracebackType
from typing import IO, Self

import msgspec

from chita.errors import EngineError

_READY_S = 20.0
_RESULT_S = 20.0


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """Datagrams from one place to another."""

    name: str
    source_namespace: str
    """Path of the sender's network namespace."""
    destination_namespace: str
    destination: str
    """Address."""
    port: int
    """At the destination; each stream has its own."""
    per_second: float = 100.0
    size_bytes: int = 64
    """Of the payload, at least the 24 of its header."""


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """A TCP connection that carries data in one direction."""

    name: str
    source_namespace: str
    destination_namespace: str
    destination: str
    port: int
    bits_per_second: float | None = None
    """How much is offered; None: as much as it takes."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What the process is to do."""

    streams: tuple[Stream, ...] = ()
    transfers: tuple[Transfer, ...] = ()


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """A time in which nothing arrived that was sent."""

    at_s: float
    """When the last datagram before it arrived, seconds since the epoch."""
    seconds: float
    lost: int
    """Datagrams that never came."""


class StreamResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a stream."""

    name: str
    sent: int
    received: int
    """Without duplicates."""
    duplicates: int
    reordered: int
    """Datagrams that came after one that was sent later."""
    gaps: tuple[Gap, ...]
    """The longest ones first."""
    refused: str = ""
    """What the kernel said when it would not send, the last of it."""

    @property
    def lost(self) -> int:
        """How many never came."""
        return self.sent - self.received

    @property
    def longest_gap_s(self) -> float:
        """The longest time without an arrival."""
        return self.gaps[0].seconds if self.gaps else 0.0


class TransferResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a TCP connection."""

    name: str
    received_bytes: int
    seconds: float
    """From the first byte to the last."""
    longest_stall_s: float
    """The longest time without a byte, until the end of the measurement."""
    stall_at_s: float
    """When it began, seconds since the epoch."""
    broken: str = ""
    """What ended the connection before its time."""

    @property
    def bits_per_second(self) -> float:
        """The mean rate."""
        return self.received_bytes * 8 / self.seconds if self.seconds else 0.0


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """What came of all of a plan."""

    streams: tuple[StreamResult, ...] = ()
    transfers: tuple[TransferResult, ...] = ()

    @property
    def lost(self) -> int:
        """Datagrams that never came, of all streams."""
        return sum(stream.lost for stream in self.streams)

    @property
    def sent(self) -> int:
        """Datagrams of all streams."""
        return sum(stream.sent for stream in self.streams)

    @property
    def longest_gap_s(self) -> float:
        """The longest gap of any stream."""
        return max((stream.longest_gap_s for stream in self.streams), default=0.0)


class Traffic:
    """A plan under way: a context; `stop` ends it and has the results."""

    def __init__(self, plan: Plan, *, patience_s: float = _READY_S) -> None:
        self._plan = plan
        self._patience_s = patience_s
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start sending; return when something of every stream and transfer has arrived.

        Raises:
            EngineError: something does not arrive at all.
        """
        self._process = subprocess.Popen(
            [sys.executable, "-m", "chita.lab.stream_engine", str(self._patience_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._stdin.write(msgspec.json.encode(self._plan) + b"\n")
        self._stdin.flush()
        answer = self._stdout.readline()
        if answer != b'"flowing"\n':
            self._kill()
            raise EngineError(f"start traffic: {answer.decode().strip() or 'the engine ended'}")
        return self

    def stop(self) -> Results:
        """Stop sending, wait for what is under way, and return what came of everything.

        Raises:
            EngineError: the process ended without an answer.
        """
        assert self._process is not None, "stop() is called inside the context"
        output, _ = self._process.communicate(timeout=_RESULT_S)
        try:
            return msgspec.json.decode(output, type=Results)
        except msgspec.DecodeError as error:
            raise EngineError(f"measure traffic: the engine said {output[:200]!r}") from error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._kill()

    def _kill(self) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process is not None
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def _stdout(self) -> IO[bytes]:
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout


class Arrival(msgspec.Struct, frozen=True):
    """One datagram that came."""

    number: int
    at_ns: int
    """When the kernel got it, nanoseconds since the epoch."""


def stream_result(
    name: str, sent_ns: Sequence[int], arrivals: Sequence[Arrival], *, refused: str = ""
) -> StreamResult:
    """Return what came of a stream.

    A gap is the time between two arrivals, less what the sender itself paused meanwhile beyond its
    rate: a busy machine is no fault of the network. Loss at the very beginning is a gap since the
    first datagram was sent, loss at the very end one until the last was.

    Args:
        name: of the stream.
        sent_ns: when each was sent, by number, nanoseconds since the epoch.
        arrivals: in the order they came.
        refused: what the kernel said when it would not send.
    """
    seen: set[int] = set()
    in_order: list[Arrival] = []
    highest, reordered = -1, 0
    for arrival in arrivals:
        if arrival.number in seen:
            continue
        seen.add(arrival.number)
        if arrival.number < highest:
            reordered += 1
            continue
        highest = arrival.number
        in_order.append(arrival)
    interval_ns = (sent_ns[-1] - sent_ns[0]) // (len(sent_ns) - 1) if len(sent_ns) > 1 else 0
    if sent_ns and 0 not in seen:
        in_order.insert(0, Arrival(0, sent_ns[0]))
    if in_order and in_order[-1].number < len(sent_ns) - 1:
        in_order.append(Arrival(len(sent_ns) - 1, max(sent_ns[-1], in_order[-1].at_ns)))
    gaps = [
        _gap(before, after, sent_ns, interval_ns, seen)
        for before, after in pairwise(in_order)
        if after.at_ns - before.at_ns > 2 * interval_ns or after.number - before.number > 1
    ]
    gaps.sort(key=lambda gap: -gap.seconds)
    return StreamResult(
        name=name,
        sent=len(sent_ns),
        received=len(seen),
        duplicates=len(arrivals) - len(seen),
        reordered=reordered,
        gaps=tuple(gaps[:_KEPT_GAPS]),
        refused=refused,
    )


_KEPT_GAPS = 20


def _gap(
    before: Arrival, after: Arrival, sent_ns: Sequence[int], interval_ns: int, seen: set[int]
) -> Gap:
    numbers = range(before.number, after.number)
    paused = sum(max(0, sent_ns[n + 1] - sent_ns[n] - 2 * interval_ns) for n in numbers)
    return Gap(
        at_s=before.at_ns / 1e9,
        seconds=max(0, after.at_ns - before.at_ns - paused) / 1e9,
        lost=sum(number not in seen for number in (*numbers, after.number)),
    )
