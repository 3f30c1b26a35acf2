"""What NATs do: turn random, restart with another address, forget idle flows."""

from __future__ import annotations

from chita.errors import EngineError
from chita.lab.faults import NatRestarted, NatSwitched, ServerStopped
from chita.lab.faulty import mend_lab
from chita.lab.probe import Allowed, Expectation, Flow, run_flows
from chita.lab.scenarios.bench import Bench, gap_since, plan_of
from chita.lab.scenarios.figures import Figure, Mark
from chita.lab.scenarios.pairs import PORT
from chita.lab.streams import Traffic
from chita.lab.underlay import NatKind
from chita.model.net import UDP

HERE, THERE = "gcp-2", "azure-2"
"""Behind NATs of their own, each."""

_CLOUDS = ("gcp", "azure")
_WINDOW_S = 8.0
_PUNCHED_S = 60.0
_BRIEF_S = 10
_IDLE_TIMERS = 2.2
"""How many of the NAT's idle times nothing is sent."""


def both_random(bench: Bench, times: int) -> list[Figure]:
    """Let two NATs keep ports until the pair talks directly, then take random ones again."""
    direct, gaps = [], []
    for _ in range(times):
        kept = [NatSwitched(cloud=cloud, kind=NatKind.ENDPOINT_INDEPENDENT) for cloud in _CLOUDS]
        for fault in kept:
            bench.broken(fault)
        try:
            direct.append(bench.until("punched", lambda: _is_punched(bench), s=_PUNCHED_S))
        except EngineError as error:
            bench.notes.append(f"with NATs that keep ports: {error}")
        with Traffic(plan_of(bench.both_ways(HERE, THERE, flows=4))) as traffic:
            for fault in kept:
                mend_lab(bench.lab, fault)
            bench.watch(_WINDOW_S)
            results = traffic.stop()
        gaps.append(results.longest_gap_s)
        bench.settle()
    return [
        Figure(
            what="longest gap when both turn random",
            unit="s",
            values=tuple(gaps),
            mark=Mark(worst_at_most=3),
        ),
        Figure(
            what="direct after both keep ports",
            unit="s",
            values=tuple(direct),
            mark=Mark(worst_at_most=_PUNCHED_S),
        ),
    ]


def _is_punched(bench: Bench) -> bool:
    kinds = {bench.path(HERE, THERE)["kind"], bench.path(THERE, HERE)["kind"]}
    return kinds == {"punched"}


def restarted(bench: Bench, times: int) -> list[Figure]:
    """Give a NAT another public address and no memory while the API server is stopped."""
    gaps = []
    for turn in range(1, times + 1):
        bench.broken(ServerStopped())
        # Inwards only: no packet of the pods themselves tells anybody the new address.
        streams = [
            bench.stream(other, "gcp-2", family=family)
            for other in ("aws-1", "azure-1", "openstack-1")
            for family in (4, 6)
        ]
        with Traffic(plan_of(streams)) as traffic:
            at_s = bench.broken(NatRestarted("gcp", turn))
            bench.watch(_WINDOW_S)
            results = traffic.stop()
        gaps.append(gap_since(results, at_s))
        bench.settle()
    mark = Mark(worst_at_most=5)
    return [Figure(what="longest gap, server stopped", unit="s", values=tuple(gaps), mark=mark)]


def idle(bench: Bench, times: int) -> list[Figure]:
    """Send nothing for over two idle times of GCP's NAT (30 s), then a packet inwards from each."""
    timer_s = bench.lab.topology.cloud("gcp").nat.udp_stream_seconds
    return [_idle(bench, times, timer_s)]


def idle_briefly(bench: Bench, times: int) -> list[Figure]:
    """Do the same with a NAT that forgets after ten seconds, sooner than any keepalive."""
    bench.broken(
        NatSwitched(cloud="gcp", kind=NatKind.ENDPOINT_DEPENDENT, udp_idle_seconds=_BRIEF_S)
    )
    return [_idle(bench, times, _BRIEF_S)]


def _idle(bench: Bench, times: int, timer_s: float) -> Figure:
    """Return how many first packets are lost: each is sent once, and must be answered."""
    flows = [
        Flow(
            namespace=bench.end(node, "a").namespace,
            destination=bench.end("gcp-2", "b").addresses[family],
            protocol=UDP,
            port=PORT,
            expected=Expectation.ANSWER,
        )
        for node in bench.nodes
        if node != "gcp-2"
        for family in (4, 6)
    ]
    lost = []
    for _ in range(times):
        bench.watch(timer_s * _IDLE_TIMERS)
        outcomes = run_flows(flows, attempts=1, timeout_s=2.0)
        lost.append(float(sum(not isinstance(outcome, Allowed) for outcome in outcomes)))
    silence_s = timer_s * _IDLE_TIMERS
    return Figure(
        what=f"of {len(flows)} first packets lost after {silence_s:.0f} s of silence",
        unit="packets",
        values=tuple(lost),
        mark=Mark(worst_at_most=0),
    )
