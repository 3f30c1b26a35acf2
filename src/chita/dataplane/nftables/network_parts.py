"""Which nftables sets hold the networks of one selector.

A look-up in an interval set of 20,000 networks costs a packet 0.35 us and each commit to it 4 ms;
in a hash set it is 0.04 us and no more than for an address. So networks of a length of which there
are many stand in a hash set by their first address, where the packet's address is looked up by as
many leading bits; networks of all other lengths share one interval set per family. Since the
networks of a selector do not overlap, an address is in one of them at most.

benchmarks/first_packet.py measures it: with seven lengths it is still no worse than intervals.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from chita.model.net import Cidr, Family

MANY = 64
"""Networks of one length; fewer are found as fast among intervals, and need no set more."""
SHARE = 8
"""A length must have this part of its family's networks: more look-ups would cost more than one."""


class Part(msgspec.Struct, frozen=True, order=True, gc=False):
    """The networks of one family with *prefix*; of 0: all those whose lengths are rare."""

    family: Family
    prefix: int


class PartChange(msgspec.Struct, frozen=True):
    """Networks that came into a part and that went from it."""

    come: frozenset[Cidr]
    gone: frozenset[Cidr]


class NetworkParts:
    """The lengths of one selector's networks."""

    def __init__(self) -> None:
        self._counts: Counter[Part] = Counter()

    def change(
        self, networks: frozenset[Cidr], come: frozenset[Cidr], gone: frozenset[Cidr]
    ) -> dict[Part, PartChange]:
        """Return what changes when the networks are *networks*, with *come* and without *gone*."""
        before = self._many()
        self._counts.update(map(_length, come))
        self._counts.subtract(map(_length, gone))
        self._counts += Counter[Part]()
        after = self._many()
        moved = before ^ after
        moving = [n for n in networks if _length(n) in moved and n not in come] if moved else []
        into, out_of = _by_part((*come, *moving), after), _by_part((*gone, *moving), before)
        return {
            part: PartChange(frozenset(into.get(part, ())), frozenset(out_of.get(part, ())))
            for part in into.keys() | out_of.keys()
        }

    def parts(self, family: Family) -> list[Part]:
        """Return those of *family*, the fastest to ask first."""
        lengths = self._many()
        there = {_part(length, lengths) for length in self._counts if length.family == family}
        return sorted(there, key=lambda part: (not part.prefix, part))

    def _many(self) -> frozenset[Part]:
        total: Counter[Family] = Counter()
        for length, count in self._counts.items():
            total[length.family] += count
        return frozenset(
            length
            for length, count in self._counts.items()
            if count >= MANY and count * SHARE >= total[length.family]
        )


def _length(network: Cidr) -> Part:
    return Part(network.family, network.prefix)


def _part(length: Part, many: frozenset[Part]) -> Part:
    return length if length in many else Part(length.family, 0)


def _by_part(networks: Iterable[Cidr], many: frozenset[Part]) -> dict[Part, list[Cidr]]:
    parts: dict[Part, list[Cidr]] = {}
    for network in networks:
        parts.setdefault(_part(_length(network), many), []).append(network)
    return parts
