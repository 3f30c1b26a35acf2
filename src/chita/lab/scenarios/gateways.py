"""What befalls gateways: killed, cut off, silently broken, drained; and how they share.

The pair that is watched cannot dial each other: whatever passes between them is relayed. Eight
flows each way, so that some use whichever gateway is hit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chita.lab.faults import EngineKilled, Fault, ForwardingBroken, LinkDown, ServerStopped
from chita.lab.scenarios.bench import Bench, gap_since, plan_of
from chita.lab.scenarios.figures import Figure, Mark
from chita.lab.streams import Traffic

NEAR = "openstack-1"
SHARED_FAR, LONE_FAR = "aws-3", "gcp-2"
"""Behind NATs that take a random port for each destination, as NEAR is. The first has two gateways
in its location, which share; the second has one, and when that is lost, one elsewhere."""

WINDOW_S = 4.0
"""How long after a fault a recovery is looked for: a longer gap is at least this."""

_TOLD_S = 1.5
"""A longer gap is told with the flow that had it."""

_FAILOVER = Mark(median_at_most=1.0, worst_at_most=2.0)


def engine_killed(bench: Bench, times: int) -> list[Figure]:
    """Kill the WireGuard engine of the gateway in use."""
    return [_failover(bench, times, EngineKilled, "longest gap, engine killed", _FAILOVER)]


def link_dropped(bench: Bench, times: int) -> list[Figure]:
    """Pull the cable of the gateway in use."""
    return [_failover(bench, times, LinkDown, "longest gap, link dropped", _FAILOVER)]


def silently_broken(bench: Bench, times: int) -> list[Figure]:
    """Let the gateway in use answer for itself and forward nothing."""
    mark = Mark(worst_at_most=2.0)
    return [_failover(bench, times, ForwardingBroken, "longest gap, not forwarding", mark)]


def killed_without_server(bench: Bench, times: int) -> list[Figure]:
    """Pull the cable of the gateway in use while the API server is stopped."""
    mark = Mark(worst_at_most=2.0)
    gaps = [
        _one_failover(bench, turn, LinkDown, before=(ServerStopped(),)) for turn in range(times)
    ]
    return [Figure(what="longest gap, server stopped", unit="s", values=tuple(gaps), mark=mark)]


def _failover(
    bench: Bench, times: int, fault: Callable[[str], Fault], what: str, mark: Mark
) -> Figure:
    gaps = [_one_failover(bench, turn, fault) for turn in range(times)]
    return Figure(what=what, unit="s", values=tuple(gaps), mark=mark)


def _one_failover(
    bench: Bench, turn: int, fault: Callable[[str], Fault], before: Sequence[Fault] = ()
) -> float:
    """Return the longest gap of any flow when a gateway in use is hit; they take turns.

    Only the pair need be as usual first: while one pair is watched, the other's gateway has time to
    be trusted again.
    """
    far = (SHARED_FAR, LONE_FAR)[turn % 2]
    bench.ready(NEAR, far)
    for other in before:
        bench.broken(other)
    relays = bench.relays(NEAR, far)
    gateway = relays[turn // 2 % len(relays)]
    with Traffic(plan_of(bench.both_ways(NEAR, far, flows=8))) as traffic:
        made = fault(gateway)
        at_s = bench.broken(made)
        bench.watch(WINDOW_S)
        results = traffic.stop()
    gap_s = gap_since(results, at_s)
    if gap_s > _TOLD_S:
        worst = max(results.streams, key=lambda it: it.longest_gap_s)
        bench.notes.append(f"{made}: {gap_s:.2f} s, {worst.name}, {worst.lost} lost")
    return gap_s


def drained(bench: Bench, times: int) -> list[Figure]:
    """Drain each gateway in use while 100 packets a second pass in each direction."""
    lost = []
    for turn in range(times):
        far = (SHARED_FAR, LONE_FAR)[turn % 2]
        gateway = bench.relays(NEAR, far)[0]
        with Traffic(plan_of(bench.both_ways(NEAR, far, flows=4))) as traffic:
            bench.chita("fabric", "drain", gateway)
            try:
                bench.until(
                    f"off {gateway}",
                    lambda gateway=gateway, far=far: (  # type: ignore[misc]
                        gateway not in bench.relays(NEAR, far)
                        and gateway not in bench.relays(far, NEAR)
                    ),
                )
                bench.watch(1.0)
            finally:
                bench.chita("fabric", "drain", gateway, "--undo")
            bench.watch(2.0)
            results = traffic.stop()
        lost.append(float(results.lost))
        bench.settle()
    mark = Mark(worst_at_most=0)
    return [Figure(what="lost of 8 flows at 100/s", unit="packets", values=tuple(lost), mark=mark)]
