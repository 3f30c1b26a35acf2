"""New keys for everybody while everybody talks."""

from __future__ import annotations

from functools import partial

from chita.lab.scenarios.bench import Bench, plan_of
from chita.lab.scenarios.figures import Figure, Mark
from chita.lab.scenarios.processes import everywhere
from chita.lab.streams import Traffic

_PATIENCE_S = 60.0
_AFTERWARDS_S = 3.0
"""Traffic goes on for so long when all have moved."""


def rotated(bench: Bench, times: int) -> list[Figure]:
    """Rotate the keys of all nodes under 1,000 packets a second over all pairs."""
    lost, took = [], []
    for _ in range(times):
        before = max(_epochs(bench))
        with Traffic(plan_of(everywhere(bench))) as traffic:
            bench.chita("fabric", "rotate-keys")
            took.append(
                bench.until(
                    "every tunnel on the new keys",
                    partial(_has_moved, bench, before + 1),
                    s=_PATIENCE_S,
                )
            )
            bench.watch(_AFTERWARDS_S)
            results = traffic.stop()
        lost.append(float(results.lost))
        if results.lost:
            losers = sorted(results.streams, key=lambda it: -it.lost)[:3]
            bench.notes.append("; ".join(f"{it.lost} of {it.sent} {it.name}" for it in losers))
        bench.settle()
    return [
        Figure(
            what="lost of 1000/s over all pairs",
            unit="packets",
            values=tuple(lost),
            mark=Mark(worst_at_most=0),
        ),
        Figure(what="until every tunnel is on the new keys", unit="s", values=tuple(took)),
    ]


def _epochs(bench: Bench) -> list[int]:
    """Return the epoch of each node's newest key."""
    return [record["spec"]["wireguard"].get("epoch", 0) for record in bench.records().values()]


def _has_moved(bench: Bench, epoch: int) -> bool:
    """Whether every node sends with the keys of *epoch* to all it has a tunnel with."""
    return all(
        path["epoch"] >= epoch
        for node in bench.nodes
        for path in bench.status(node)["paths"].values()
        if path["sessions"]
    )
