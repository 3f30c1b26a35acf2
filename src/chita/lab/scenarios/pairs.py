"""Every pair of nodes, and the pairs that share a private range."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from chita.lab.probe import Allowed, Expectation, Flow, Outcome, run_flows
from chita.lab.scenarios.bench import Bench
from chita.lab.scenarios.figures import Figure, Mark, percent
from chita.model.net import ICMP, ICMPV6, TCP, UDP

PORT = 7000
_ECHO = {4: ICMP, 6: ICMPV6}
_UDP_HEADERS = {4: 28, 6: 48}
_SHOWN = 6
_BULK_BYTES = 64_000
"""Of a TCP exchange that consists of full segments."""


def every_pair(bench: Bench, times: int) -> list[Figure]:
    """Try TCP, UDP and ICMP over both families, small and as large as the path says it carries."""
    flows: dict[str, Flow] = {}
    for here, there in bench.pairs():
        mtu = _mtu(bench, here, there)
        for family in (4, 6):
            for name, protocol, size in (
                ("TCP", TCP, 0),
                ("TCP full segments", TCP, _BULK_BYTES),
                ("UDP", UDP, 0),
                (f"UDP {mtu}", UDP, mtu - _UDP_HEADERS[family]),
                ("ICMP", _ECHO[family], 0),
                (f"ICMP {mtu}", _ECHO[family], mtu),
            ):
                flows[f"{here} to {there} {name} IPv{family}"] = Flow(
                    namespace=bench.end(here, "a").namespace,
                    destination=bench.end(there, "b").addresses[family],
                    protocol=protocol,
                    port=0 if protocol in _ECHO.values() else PORT,
                    size_bytes=size,
                    expected=Expectation.ANSWER,
                )
    shares = []
    for _ in range(times):
        outcomes = dict(zip(flows, run_flows(list(flows.values()), in_flight=64), strict=True))
        failed = {name: it for name, it in outcomes.items() if not isinstance(it, Allowed)}
        shares.append(percent(len(flows) - len(failed), len(flows)))
        _note_failures(bench, failed)
    what = f"of {len(flows)} flows answered"
    mark = Mark(worst_at_least=100)
    return [Figure(what=what, unit="%", values=tuple(shares), mark=mark)]


def _mtu(bench: Bench, here: str, there: str) -> int:
    """Return the largest packet for the pair: answers are as large, and pods' interfaces limit."""
    paths: list[int] = [
        path["mtu_bytes"] for path in (bench.path(here, there), bench.path(there, here))
    ]
    return min(*paths, bench.end(here, "a").mtu_bytes, bench.end(there, "b").mtu_bytes)


def _note_failures(bench: Bench, failed: Mapping[str, Outcome]) -> None:
    if failed:
        shown = "; ".join(
            f"{name}: {type(it).__name__}" for name, it in itertools.islice(failed.items(), _SHOWN)
        )
        bench.notes.append(f"{len(failed)} flows failed: {shown}")


def equal_ranges(bench: Bench, times: int) -> list[Figure]:
    """Ask nodes of equal private addresses from everywhere; each must answer under its own name."""
    twins = _twins(bench)
    strangers, silent, asked = [], [], 0
    for _ in range(times):
        wanted = {
            (here, twin): Flow(
                namespace=bench.end(here, "a").namespace,
                destination=bench.end(twin, "b").addresses[4],
                protocol=UDP,
                port=PORT,
                expected=Expectation.ANSWER,
            )
            for here in bench.nodes
            for twin in twins
            if here != twin
        }
        asked = len(wanted)
        outcomes = dict(zip(wanted, run_flows(list(wanted.values())), strict=True))
        strangers.append(
            float(
                sum(
                    isinstance(it, Allowed) and it.by != bench.end(twin, "b").name
                    for (_, twin), it in outcomes.items()
                )
            )
        )
        silent.append(float(sum(not isinstance(it, Allowed) for it in outcomes.values())))
    bench.notes.append(f"nodes that share addresses: {', '.join(twins)}")
    return [
        Figure(
            what=f"of {asked} flows answered by another",
            unit="flows",
            values=tuple(strangers),
            mark=Mark(worst_at_most=0),
        ),
        Figure(
            what=f"of {asked} flows not answered",
            unit="flows",
            values=tuple(silent),
            mark=Mark(worst_at_most=0),
        ),
    ]


def _twins(bench: Bench) -> list[str]:
    """Return the nodes whose private address another node has too."""
    places = bench.lab.topology.nodes
    return [
        place.name
        for place in places
        if any(
            set(place.private_addresses) & set(other.private_addresses)
            for other in places
            if other is not place
        )
    ]
