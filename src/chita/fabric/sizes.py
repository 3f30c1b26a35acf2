"""The largest packet that a way carries whole: found, watched, and found again (hybrid 5.7).

::

    a packet of the present size now and then ── answered ──▶ nothing to do
          │ lost, while small ones pass
          ▼
    one burst of all sizes, the present one twice ──▶ the largest answered is the new size
          │ now and then, more rarely each time in vain
          ▼
    one burst of the larger sizes ── answered twice ──▶ the new size

All sizes at once, not one after the other: what is in between is lost, for as long as it takes. A
TCP connection that lost its packets tries again 0.2, 0.6, 1.4 and 3.0 s later (RFC 6298), so that
what is known within 1.4 s costs half of what is known later.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from chita.desired.tunnels import TRANSIT_OVERHEAD
from chita.fabric.mtu import vxlan_mtu, wireguard_mtu
from chita.fabric.timing import DEFAULT, Timing

WIRES = (1280, 1400, 1442, 1450, 1460, 1492, 1500, 8500, 8896, 9001)
"""What networks carry (hybrid reference 2.6): IPv6's least, Azure, the tunnels of OpenStack, GCP,
PPPoE, Ethernet, peering between regions, GCP's and AWS's largest."""
_LEAST = (1200, 1280)
"""What a tunnel over a poor wire still carries, and the least with IPv6."""
_BURST_S = 2.0
"""A burst of which some probes were never told of ends after this."""


def bare_sizes() -> tuple[int, ...]:
    """Return the sizes to try over a network itself, ascending."""
    return WIRES


def vxlan_sizes() -> tuple[int, ...]:
    """Return the sizes to try through VXLAN, ascending."""
    return _ascending(vxlan_mtu(wire, outer_family=family) for wire in WIRES for family in (4, 6))


def wireguard_sizes() -> tuple[int, ...]:
    """Return the sizes to try through WireGuard, ascending: multiples of 16, its padding."""
    return _ascending(
        wireguard_mtu(wire, outer_family=family) for wire in WIRES for family in (4, 6)
    )


def transit_sizes(hops: Iterable[int]) -> tuple[int, ...]:
    """Return the sizes to try through a relay, ascending; *hops* are those of both its hops."""
    return tuple(sorted(size - TRANSIT_OVERHEAD[4] for size in hops))


def _ascending(sizes: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted({*_LEAST, *(size for size in sizes if size >= min(_LEAST))}))


class _Purpose(StrEnum):
    """What a burst is to find out."""

    FIND = "find"
    """What passes, now that the present size does not."""
    LARGER = "larger"
    PROVE = "prove"
    """Whether what passed once does so again."""


class SizeSearch:
    """The search on one way. Times are seconds of one monotonic clock; sizes are of IP packets."""

    __slots__ = (
        "_burst", "_burst_ends_s", "_is_sent", "_larger_s", "_larger_wait_s", "_passed",
        "_purpose", "_sizes", "_timing", "blackholes", "due_s", "mtu_bytes", "promised_bytes",
    )  # fmt: skip

    def __init__(
        self, promised_bytes: int, sizes: Iterable[int], now_s: float, timing: Timing = DEFAULT
    ) -> None:
        self._timing = timing
        self._sizes = tuple(sizes)
        self.promised_bytes = promised_bytes
        """What the records say, and the most that is tried."""
        self.mtu_bytes: int | None = None
        """The largest that came through; None: nothing did yet."""
        self.blackholes = 0
        """How often the way became narrower in silence."""
        self.due_s = now_s
        self._burst: list[int] = []
        """What is being tried at once, as far as nothing came of it yet; empty: nothing is."""
        self._is_sent = False
        self._passed: set[int] = set()
        """What of the burst was answered."""
        self._burst_ends_s = now_s
        self._purpose = _Purpose.FIND
        self._larger_s = now_s
        self._larger_wait_s = timing.larger_s

    @property
    def size_bytes(self) -> int:
        """The size that is relied on now."""
        return self.promised_bytes if self.mtu_bytes is None else self.mtu_bytes

    def promise(self, promised_bytes: int, now_s: float) -> bool:
        """Take what the records say now, as of another rung; return whether that is news.

        Our own finding is none, which comes back in what a relay is said to carry.
        """
        if promised_bytes in (self.promised_bytes, self.mtu_bytes):
            return False
        self.promised_bytes = promised_bytes
        self._burst = []
        self._larger_s = self.due_s = now_s
        self._larger_wait_s = self._timing.larger_s
        if self.mtu_bytes is not None and promised_bytes < self.mtu_bytes:
            self.mtu_bytes = None
        return True

    def due(self, now_s: float, *, every_s: float) -> list[int]:
        """Return the sizes to send now, and next *every_s* later unless something is lost."""
        if self._burst and not self._is_sent:
            return self._send()
        if self._burst and now_s < self._burst_ends_s:
            return []
        self._burst = []
        if self.mtu_bytes is not None and self._larger_s <= now_s:
            larger = [size for size in self._up_to(self.promised_bytes) if size > self.size_bytes]
            if larger:
                self._larger_s = now_s + self._larger_wait_s
                self._larger_wait_s = min(2 * self._larger_wait_s, self._timing.last_larger_s)
                self._start(larger, now_s, _Purpose.LARGER)
                return self._send()
        self.due_s = now_s + every_s
        return [self.size_bytes]

    def answer(self, size_bytes: int, now_s: float) -> bool:
        """Take it that a packet came through; return whether the size changed."""
        if size_bytes in self._burst:
            self._passed.add(size_bytes)
            return self._tick_off(size_bytes, now_s)
        if size_bytes == self.size_bytes and self.mtu_bytes is None:
            self.mtu_bytes = size_bytes
            return True
        return False

    def lose(self, size_bytes: int, now_s: float, *, small_pass: bool) -> bool:
        """Take it that a packet was lost; return whether the size changed.

        Args:
            size_bytes: its size.
            now_s: now.
            small_pass: whether small ones were answered since; otherwise it says nothing of sizes.
        """
        if size_bytes in self._burst:
            return self._tick_off(size_bytes, now_s)
        if size_bytes != self.size_bytes:
            return False
        if not small_pass:
            self.due_s = now_s + self._timing.confirm_s
            return False
        self._start([*self._up_to(size_bytes), size_bytes], now_s, _Purpose.FIND)
        self.due_s = now_s
        return False

    def refuse(self, size_bytes: int, now_s: float) -> bool:
        """Take it that our own device does not take the size; return whether the size changed."""
        return self.lose(size_bytes, now_s, small_pass=True)

    def _up_to(self, size_bytes: int) -> list[int]:
        return [*(size for size in self._sizes if size < size_bytes), size_bytes]

    def _start(self, sizes: Iterable[int], now_s: float, purpose: _Purpose) -> None:
        self._burst, self._passed = list(sizes), set()
        self._is_sent = False
        self._burst_ends_s = now_s + _BURST_S
        self._purpose = purpose

    def _send(self) -> list[int]:
        self._is_sent = True
        self.due_s = self._burst_ends_s
        return list(self._burst)

    def _tick_off(self, size_bytes: int, now_s: float) -> bool:
        """Conclude once nothing of the burst is open; return whether the size changed."""
        self._burst.remove(size_bytes)
        if self._burst:
            return False
        self.due_s = now_s
        largest = max(self._passed, default=0)
        match self._purpose:
            case _Purpose.FIND:
                return self._shrink(largest, now_s)
            case _Purpose.LARGER:
                if largest:
                    self._start([largest], now_s, _Purpose.PROVE)
                return False
            case _Purpose.PROVE:
                if largest:
                    self.mtu_bytes = largest
                    self._larger_wait_s = self._timing.larger_s
                return bool(largest)

    def _shrink(self, size_bytes: int, now_s: float) -> bool:
        if not size_bytes or size_bytes == self.size_bytes:
            self.due_s = now_s + self._timing.size_used_s
            return False
        if self.mtu_bytes is not None:
            self.blackholes += 1
        self.mtu_bytes = size_bytes
        self._larger_wait_s = self._timing.larger_s
        self._larger_s = now_s + self._larger_wait_s
        return True
