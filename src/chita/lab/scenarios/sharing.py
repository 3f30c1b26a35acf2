"""How gateways share flows: counted in the kernel of each."""

from __future__ import annotations

import itertools
import json

from chita.errors import EngineError
from chita.lab.netns import netns_path, run_in
from chita.lab.scenarios.bench import Bench, plan_of
from chita.lab.scenarios.figures import Figure, Mark
from chita.lab.scenarios.gateways import NEAR, SHARED_FAR
from chita.lab.streams import Traffic

FLOWS = 256
"""So many that fair coins leave 40 to 60 % 999 times in 1,000; of 64, one run in ten would not."""

_TRANSIT = "chita-transit"
_PER_SECOND = 4.0


def shared(bench: Bench, times: int) -> list[Figure]:
    """Send many flows from a node to one that it reaches by two gateways; count what each carries.

    Each flow sends as much as any other, so shares of packets are shares of flows.
    """
    shares = []
    for _ in range(times):
        relays = bench.relays(NEAR, SHARED_FAR)
        streams = [
            bench.stream(NEAR, SHARED_FAR, family=family, per_second=_PER_SECOND)
            for family in itertools.islice(itertools.cycle((4, 6)), FLOWS)
        ]
        before = {relay: _arrived(bench, relay) for relay in relays}
        with Traffic(plan_of(streams)) as traffic:
            bench.watch(3.0)
            traffic.stop()
        carried = {relay: _arrived(bench, relay) - before[relay] for relay in relays}
        total = sum(carried.values())
        if len(relays) < 2 or not total:
            raise EngineError(f"{NEAR} uses {', '.join(relays)} to {SHARED_FAR}: nothing is shared")
        # Of equal shares; with two gateways 100 % of it is half of the flows.
        shares += [100.0 * count / total * len(relays) / 2 for count in carried.values()]
        bench.notes.append(
            ", ".join(f"{relay} carried {100 * n / total:.0f} %" for relay, n in carried.items())
        )
    mark = Mark(worst_at_least=40, worst_at_most=60)
    what = f"share of a gateway of {FLOWS} flows (scaled to two gateways)"
    return [Figure(what=what, unit="%", values=tuple(shares), mark=mark)]


def _arrived(bench: Bench, node: str) -> int:
    """Return how many relayed packets *node* has unwrapped."""
    path = netns_path(bench.lab.topology.node(node).namespace)
    shown = json.loads(run_in(path, ["ip", "-s", "-j", "link", "show", _TRANSIT]))
    packets: int = shown[0]["stats64"]["rx"]["packets"]
    return packets
