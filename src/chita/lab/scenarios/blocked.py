"""A network that lets no UDP out: the fabric goes on over TCP 443."""

from __future__ import annotations

from chita.errors import EngineError
from chita.lab.faults import UdpBlocked
from chita.lab.scenarios.bench import Bench, plan_of
from chita.lab.scenarios.figures import Figure, Mark
from chita.lab.streams import Traffic

CLOUD, INSIDE, OUTSIDE = "openstack", "openstack-1", "aws-1"
FAR = "aws-"
_MEASURE_S = 4.0
_PATIENCE_S = 60.0
_SETTLE_S = 20.0


def udp_blocked(bench: Bench, times: int) -> list[Figure]:
    """Block UDP at a cloud; time until traffic passes again, then compare the throughput."""
    recovered, shares = [], []
    for _ in range(times):
        usual = _throughput(bench)
        bench.broken(UdpBlocked(CLOUD))
        recovered.append(_until_flowing(bench))
        _until_settled(bench)
        over_tcp = _throughput(bench)
        shares.append(100 * over_tcp / usual)
        bench.notes.append(
            f"{usual / 1e6:.0f} Mbit/s over UDP, {over_tcp / 1e6:.0f} over TCP 443; "
            f"{INSIDE} says: {bench.path(INSIDE, OUTSIDE)['reason']}"
        )
        bench.settle()
    return [
        Figure(
            what="throughput of the UDP path's",
            unit="%",
            values=tuple(shares),
            mark=Mark(worst_at_least=50),
        ),
        Figure(what="until traffic passes", unit="s", values=tuple(recovered)),
    ]


def _until_settled(bench: Bench) -> None:
    """Wait until traffic goes straight to its location: what passed first is no throughput yet."""
    far = {node.name for node in bench.lab.topology.nodes if node.name.startswith(FAR)}

    def is_straight() -> bool:
        path = bench.path(INSIDE, OUTSIDE)
        return path["kind"] == "tcp" or bool(path["relays"] and far >= set(path["relays"]))

    try:
        bench.until("a stream to the location is used", is_straight, s=_SETTLE_S)
    except EngineError as error:
        bench.notes.append(str(error))


def _throughput(bench: Bench) -> float:
    """Return bits a second of one TCP connection, the mean of both directions."""
    rates = []
    for here, there in ((INSIDE, OUTSIDE), (OUTSIDE, INSIDE)):
        with Traffic(plan_of(transfers=[bench.transfer(here, there)])) as traffic:
            bench.watch(_MEASURE_S)
            rates.append(traffic.stop().transfers[0].bits_per_second)
    return sum(rates) / len(rates)


def _until_flowing(bench: Bench) -> float:
    """Return how long nothing passed: the longest gap of flows that go on all the while.

    Raises:
        EngineError: nothing passes after a minute.
    """
    streams = bench.both_ways(INSIDE, OUTSIDE, flows=2, per_second=20)
    started = bench.now()
    try:
        with Traffic(plan_of(streams), patience_s=_PATIENCE_S) as traffic:
            took = bench.now() - started
            traffic.stop()
    except EngineError as error:
        said = bench.path(INSIDE, OUTSIDE)
        message = f"UDP blocked: {error}; {INSIDE} says {said['kind']}: {said['reason']}"
        raise EngineError(message) from error
    return took
