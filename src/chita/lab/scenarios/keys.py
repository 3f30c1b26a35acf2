"""New keys for everybody while everybody talks."""

from __future__ import annotations

from chita.lab.scenarios.bench import Bench, plan_of
from chita.lab.scenarios.figures import Figure, Mark
from chita.lab.scenarios.processes import everywhere
from chita.lab.streams import Traffic

_PATIENCE_S = 60.0


def rotated(bench: Bench, times: int) -> list[Figure]:
    """Rotate the keys of all nodes under 1,000 packets a second over all pairs."""
    lost, took = [], []
    for _ in range(times):
        before = _keys(bench)
        with Traffic(plan_of(everywhere(bench))) as traffic:
            bench.chita("fabric", "rotate-keys")
            took.append(
                bench.until(
                    "new keys everywhere",
                    lambda before=before: all(  # type: ignore[misc]
                        key != before[node] for node, key in _keys(bench).items()
                    ),
                    s=_PATIENCE_S,
                )
            )
            bench.watch(5.0)
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
        Figure(what="until all nodes have published new keys", unit="s", values=tuple(took)),
    ]


def _keys(bench: Bench) -> dict[str, object]:
    """Return what of each node's record is about keys."""
    records = bench.records()
    return {name: record["spec"].get("wireguard") for name, record in records.items()}
