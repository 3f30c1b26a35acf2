"""A way that becomes narrower without a word, while TCP connections are full of long packets."""

from __future__ import annotations

from chita.lab.faults import WanMtu
from chita.lab.scenarios.bench import Bench, plan_of
from chita.lab.scenarios.figures import Figure, Mark
from chita.lab.streams import Traffic

CLOUD, LONGEST_BYTES = "gcp", 1400
_PAIRS = (("gcp-1", "aws-2"), ("gcp-2", "openstack-1"))
"""Across its border: one directly, one by a gateway."""

_RATE = 8e6
"""Bits a second of each connection: hundreds of full packets, and time left for everything else."""

_WINDOW_S = 8.0
_TOLD_S = 2.5


def narrowed(bench: Bench, times: int) -> list[Figure]:
    """Drop packets over 1400 bytes at a cloud while TCP connections cross its border."""
    stalls, broken = [], 0
    for _ in range(times):
        transfers = [
            bench.transfer(*ends, family=family, bits_per_second=_RATE)
            for pair in _PAIRS
            for ends in (pair, pair[::-1])
            for family in (4, 6)
        ]
        with Traffic(plan_of(transfers=transfers)) as traffic:
            at_s = bench.broken(WanMtu(CLOUD, LONGEST_BYTES))
            bench.watch(_WINDOW_S)
            results = traffic.stop()
        after = [it for it in results.transfers if it.stall_at_s + it.longest_stall_s > at_s]
        worst = max(after, key=lambda it: it.longest_stall_s)
        slow = [it for it in results.transfers if it.longest_stall_s > _TOLD_S]
        if slow:
            shown = ", ".join(f"{it.name} {it.longest_stall_s:.2f} s" for it in slow)
            bench.notes.append(f"stalls: {shown}")
        stalls.append(worst.longest_stall_s)
        broken += sum(bool(it.broken) for it in results.transfers)
        bench.settle()
    return [
        Figure(
            what=f"longest stall of {len(transfers)} TCP connections",
            unit="s",
            values=tuple(stalls),
            mark=Mark(worst_at_most=3),
        ),
        Figure(
            what="connections that broke",
            unit="connections",
            values=(float(broken),),
            mark=Mark(worst_at_most=0),
        ),
    ]
