"""Which addresses came into sets and went out of them, told member by member.

A set of 10,000 addresses that one pod joins is not gathered from 10,000 members again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from collections.abc import Set as AbstractSet

import msgspec

from chita.compute.endpoints import OtherPeer, Peer
from chita.desired.policy import AddressSet
from chita.model.net import Address


class Standing(msgspec.Struct, frozen=True):
    """A member and the selectors that select it; without a member, none do."""

    peer: Peer | None
    selectors: AbstractSet[str]

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The member's addresses."""
        return () if self.peer is None else self.peer.addresses

    @property
    def has_networks(self) -> bool:
        """Whether it has networks, which are merged with those of others."""
        return isinstance(self.peer, OtherPeer) and bool(self.peer.networks)


class Moves:
    """What happened to the address sets of selectors since the last `forget`."""

    def __init__(self) -> None:
        self._holders: Counter[Address] = Counter()
        self._moves: dict[str, Counter[Address]] = {}
        self._vague: set[str] = set()

    def record(self, before: Standing, after: Standing) -> None:
        """A member stands as *after* that stood as *before*."""
        left, joined = before.selectors, after.selectors
        if before.has_networks or after.has_networks:
            self._vague |= left | joined
        if before.addresses != after.addresses or left != joined:
            for address in before.addresses:
                if self._holders[address] > 1:
                    # Another member keeps it in the sets that it is in.
                    self._vague |= left
                self._count(left, address, -1)
            for address in after.addresses:
                self._count(joined, address, 1)
        self.hold(before.addresses, after.addresses)

    def hold(self, before: Iterable[Address], after: Iterable[Address]) -> None:
        """A member has *after* that had *before*, and its sets are gathered anew anyway."""
        holders = self._holders
        for address in before:
            holders[address] -= 1
            if not holders[address]:
                del holders[address]
        for address in after:
            holders[address] = holders.get(address, 0) + 1

    def _count(self, selectors: AbstractSet[str], address: Address, step: int) -> None:
        for name in selectors:
            self._moves.setdefault(name, Counter())[address] += step

    def applied(self, name: str, held: AddressSet) -> AddressSet | None:
        """Return what *held*, the set of selector *name* at the last `forget`, is now.

        The same object when nothing moved. None: that cannot be told from moves.
        """
        if name in self._vague:
            return None
        moved: Counter[Address] = self._moves.get(name, Counter())
        gone = [address for address, count in moved.items() if count < 0]
        come = [address for address, count in moved.items() if count > 0]
        if not gone and not come:
            return held
        addresses = held.addresses.difference(gone) if gone else held.addresses
        return AddressSet(
            addresses=addresses.union(come) if come else addresses, networks=held.networks
        )

    def forget(self) -> None:
        """Begin anew."""
        self._moves.clear()
        self._vague.clear()
