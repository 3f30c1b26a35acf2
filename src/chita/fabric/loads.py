"""How much we send to each node, from counters of the networks that live there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from chita.model.net import Address, Cidr


class Places:
    """On which node an address lives, by the networks of all; the longest network counts."""

    def __init__(self, networks: Mapping[str, Sequence[Cidr]]) -> None:
        self._nodes = {net: name for name, nets in networks.items() for net in nets}
        self._prefixes = {
            family: sorted({net.prefix for net in self._nodes if net.family == family})[::-1]
            for family in (4, 6)
        }

    def node(self, address: Address) -> str | None:
        """Return the node; None: nobody says that it has the address."""
        for prefix in self._prefixes[address.family]:
            found = self._nodes.get(Cidr(address.family, address.value, prefix))
            if found is not None:
                return found
        return None


class Loads:
    """Follows counters. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._counters: Mapping[Address, int] = {}
        self._at_s: float | None = None

    def restart(self) -> None:
        """Forget: the counters begin at nothing."""
        self._counters, self._at_s = {}, None

    def rates(
        self, counters: Mapping[Address, int], places: Places, now_s: float
    ) -> dict[str, float]:
        """Return bytes a second since the last call, by node; after the first: none.

        A counter that went back was forgotten by the kernel, and counts from nothing.
        """
        before, then_s = self._counters, self._at_s
        self._counters, self._at_s = counters, now_s
        rates: dict[str, float] = defaultdict(float)
        if then_s is None or now_s <= then_s:
            return rates
        for address, count in counters.items():
            known = before.get(address, 0)
            more = count - known if count >= known else count
            node = places.node(address) if more else None
            if node is not None:
                rates[node] += more / (now_s - then_s)
        return rates
