"""The largest packet that a way carries whole: found, watched, and found again (hybrid 5.7).

::

    a packet of the present size now and then ── answered ──▶ nothing to do
          │ two lost, while small ones pass
          ▼
    one burst of all sizes ──▶ the largest answered is the new size, and watched from then on
          │ now and then, more rarely each time in vain
          ▼
    one burst of the larger sizes ── answered twice ──▶ the new size

All sizes at once, not one after the other: what is in between is lost, for as long as it takes.
"""

from __future__ import annotations

from collections.abc import Iterable

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


class SizeSearch:
    """The search on one way. Times are seconds of one monotonic clock; sizes are of IP packets."""

    __slots__ = (
        "_burst", "_burst_ends_s", "_is_raising", "_larger_s", "_larger_wait_s", "_lost", "_sizes",
        "_timing", "blackholes", "due_s", "mtu_bytes", "promised_bytes",
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
        self._lost = 0
        self._burst: dict[int, bool | None] | None = None
        """What is being tried at once: whether it was answered, None while that is open."""
        self._burst_ends_s = now_s
        self._is_raising = False
        self._larger_s = now_s
        self._larger_wait_s = timing.larger_s

    @property
    def size_bytes(self) -> int:
        """The size that is relied on now."""
        return self.promised_bytes if self.mtu_bytes is None else self.mtu_bytes

    def promise(self, promised_bytes: int, now_s: float) -> None:
        """Take what the records say now; our own finding, come back through them, is no news."""
        if promised_bytes in (self.promised_bytes, self.mtu_bytes):
            return
        self.promised_bytes = promised_bytes
        self._burst = None
        self._larger_s = self.due_s = now_s
        self._larger_wait_s = self._timing.larger_s
        if self.mtu_bytes is not None and promised_bytes < self.mtu_bytes:
            self.mtu_bytes = None

    def due(self, now_s: float, *, every_s: float) -> list[int]:
        """Return the sizes to send now, and next *every_s* later unless something is lost."""
        if self._burst is not None and now_s < self._burst_ends_s:
            if all(passed is None for passed in self._burst.values()) and self.due_s <= now_s:
                self.due_s = self._burst_ends_s
                return list(self._burst)
            return []
        self._burst = None
        if self.mtu_bytes is not None and self._larger_s <= now_s:
            larger = [size for size in self._up_to(self.promised_bytes) if size > self.size_bytes]
            if larger:
                self._larger_s = now_s + self._larger_wait_s
                self._larger_wait_s = min(2 * self._larger_wait_s, self._timing.last_larger_s)
                self._start(larger, now_s, is_raising=True)
                self.due_s = self._burst_ends_s
                return larger
        self.due_s = now_s + every_s
        return [self.size_bytes]

    def answer(self, size_bytes: int, now_s: float) -> bool:
        """Take it that a packet came through; return whether the size changed."""
        if self._burst is not None and size_bytes in self._burst:
            self._burst[size_bytes] = True
            return self._finish(now_s)
        if size_bytes == self.size_bytes:
            self._lost = 0
            if self.mtu_bytes is None:
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
        if self._burst is not None and size_bytes in self._burst:
            self._burst[size_bytes] = False
            return self._finish(now_s)
        if size_bytes != self.size_bytes:
            return False
        self._lost += 1
        if not small_pass:
            self.due_s = now_s + self._timing.confirm_s
            return False
        self.due_s = now_s
        if self._lost >= self._timing.size_losses:
            self._start(self._up_to(size_bytes), now_s, is_raising=False)
        return False

    def refuse(self, size_bytes: int, now_s: float) -> bool:
        """Take it that our own device does not take the size; return whether the size changed."""
        self._lost = self._timing.size_losses
        return self.lose(size_bytes, now_s, small_pass=True)

    def _up_to(self, size_bytes: int) -> list[int]:
        return [*(size for size in self._sizes if size < size_bytes), size_bytes]

    def _start(self, sizes: Iterable[int], now_s: float, *, is_raising: bool) -> None:
        self._burst = dict.fromkeys(sizes)
        self._burst_ends_s = now_s + _BURST_S
        self._is_raising = is_raising

    def _finish(self, now_s: float) -> bool:
        """Draw the conclusion once nothing of the burst is open."""
        assert self._burst is not None
        if None in self._burst.values():
            return False
        passed = [size for size, came in self._burst.items() if came]
        is_proof = len(self._burst) == 1
        self._burst, self._lost = None, 0
        self.due_s = now_s
        if not self._is_raising:
            return self._shrink(max(passed, default=0), now_s)
        if passed and not is_proof:
            self._start([max(passed)], now_s, is_raising=True)
        elif passed:
            self.mtu_bytes = passed[0]
            self._larger_wait_s = self._timing.larger_s
            return True
        return False

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
