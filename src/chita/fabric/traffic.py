"""Which nodes we have traffic with, from the byte counters of our tunnels."""

from __future__ import annotations

from collections.abc import Mapping

BUSY_BYTES_S = 50_000.0
"""From this on a pair has traffic: several times what both ends' own probes make."""
_CALM_SHARE = 0.5
"""It has none any more below this share of it, so that it does not come and go."""


class Traffic:
    """Follows the counters of sessions. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._counters: dict[str, tuple[float, int]] = {}
        """When it was read last, and what it said, by session."""
        self._busy: frozenset[str] = frozenset()

    def busy(
        self, counters: Mapping[str, int], nodes: Mapping[str, str], now_s: float
    ) -> frozenset[str]:
        """Return the nodes with traffic.

        Args:
            counters: bytes of each session, both ways, since it began.
            nodes: whose session each is.
            now_s: now.
        """
        rates: dict[str, float] = {}
        for session, count in counters.items():
            node = nodes.get(session)
            then_s, before = self._counters.get(session, (now_s, count))
            if node is not None and now_s > then_s and count >= before:
                rate = (count - before) / (now_s - then_s)
                rates[node] = rates.get(node, 0.0) + rate
        self._counters = {session: (now_s, count) for session, count in counters.items()}
        self._busy = frozenset(
            node
            for node, rate in rates.items()
            if rate >= BUSY_BYTES_S * (_CALM_SHARE if node in self._busy else 1)
        )
        return self._busy
