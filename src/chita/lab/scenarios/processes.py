"""Processes killed in the middle: agents, the API server, an ordinary node's WireGuard engine."""

from __future__ import annotations

from chita.lab.faults import AgentKilled, EngineKilled, Fault, ServerStopped
from chita.lab.faulty import mend_lab
from chita.lab.scenarios.bench import Bench, gap_since, plan_of
from chita.lab.scenarios.figures import Figure, Mark
from chita.lab.streams import Results, Stream, Traffic

_NODE = "azure-2"
_TOTAL_PER_SECOND = 1000.0
_LOSSLESS = Mark(worst_at_most=0)


def everywhere(bench: Bench, per_second: float = _TOTAL_PER_SECOND) -> list[Stream]:
    """Return a stream for every ordered pair of nodes, *per_second* in all, families in turn."""
    pairs = bench.pairs()
    return [
        bench.stream(here, there, family=(4, 6)[index % 2], per_second=per_second / len(pairs))
        for index, (here, there) in enumerate(pairs)
    ]


def agent_killed(bench: Bench, times: int) -> list[Figure]:
    """Kill agents, an ordinary node's and a gateway's in turn, and start each again."""
    victims = (_NODE, "aws-1")
    lost = [
        float(_around(bench, AgentKilled(victims[turn % len(victims)])).lost)
        for turn in range(times)
    ]
    what = "lost of 1000/s over all pairs"
    return [Figure(what=what, unit="packets", values=tuple(lost), mark=_LOSSLESS)]


def server_killed(bench: Bench, times: int) -> list[Figure]:
    """Kill the API server and start it again."""
    lost = [float(_around(bench, ServerStopped()).lost) for _ in range(times)]
    what = "lost of 1000/s over all pairs"
    return [Figure(what=what, unit="packets", values=tuple(lost), mark=_LOSSLESS)]


def _around(bench: Bench, fault: Fault) -> Results:
    """Return what came of traffic over all pairs while *fault* came and went."""
    with Traffic(plan_of(everywhere(bench))) as traffic:
        bench.broken(fault)
        bench.watch(2.0)
        mend_lab(bench.lab, fault)
        bench.watch(2.0)
        results = traffic.stop()
    bench.settle()
    if results.lost:
        losers = sorted(results.streams, key=lambda it: -it.lost)[:3]
        bench.notes.append(
            f"{fault}: " + "; ".join(f"{it.lost} of {it.sent} {it.name}" for it in losers)
        )
    return results


def engine_killed(bench: Bench, times: int) -> list[Figure]:
    """Kill the WireGuard engine of an ordinary node; its agent starts it again."""
    gaps = []
    for _ in range(times):
        streams = [
            stream
            for other in ("aws-1", "gcp-1", "openstack-1")
            for stream in bench.both_ways(_NODE, other, flows=2)
        ]
        with Traffic(plan_of(streams)) as traffic:
            at_s = bench.broken(EngineKilled(_NODE))
            bench.watch(6.0)
            results = traffic.stop()
        gaps.append(gap_since(results, at_s))
        bench.settle()
    mark = Mark(median_at_most=1, worst_at_most=2)
    return [Figure(what="longest gap", unit="s", values=tuple(gaps), mark=mark)]
