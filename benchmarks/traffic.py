"""Pod-to-pod traffic on one node under 1,000 policies, beside the same traffic under none.

    sudo .venv/bin/python benchmarks/traffic.py [--rounds 11] > result.json

Four nodes, each a network namespace with two pods attached as CNI attaches them, differ in what
their kernel holds:

    none        no table, so no connection tracking either
    conntrack   the least a stateful firewall does: a table that accepts what is established
    empty       our table; 110 pods that their profile allows everything
    policies    our table; 1,000 policies of five rules, ten of them for each pod

Under ``policies`` a first packet walks all rules of the client's ten policies (egress), then of
the server's ten (ingress): the last rule of the last one allows it.

A round measures, in four short turns of each node, new connections per second (64 in flight; each
is made, accepted and reset) and TCP throughput (iperf3, 300 MB). Turns go through the nodes there
and back, so that what else the machine does meets all alike; a ratio is the median over the pairs
of turns. ``cpu_us`` is processor time of client and server for a connection, or for a megabyte,
with what the kernel does for them on their own processors: it hardly depends on what else runs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
from policy_node import (
    CLIENT,
    IPERF_PORT,
    SERVER,
    Case,
    connect_pods,
    load,
    namespace,
    pod_address,
    policies_state,
)

from chita.dataplane.netlink.namespace import inside
from chita.dataplane.nftables.ruleset import policy_ruleset
from chita.desired.policy import PolicyState

CONNECTIONS = Path(__file__).with_name("connections.py")
THROUGHPUT_BYTES, CONNECTIONS_S = 300_000_000, 0.25
"""Short turns, so that both of a pair meet the same load of the machine."""
PEERS = {
    "ratio": Case.NONE,
    "ratio_to_empty_policy": Case.EMPTY,
    "ratio_to_conntrack": Case.CONNTRACK,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    with_policies = policies_state()
    with ExitStack() as stack:
        pairs = {case: stack.enter_context(pods_of_node(case, with_policies)) for case in Case}
        samples = measure(pairs, options.rounds)
    print(json.dumps(report(samples, options.rounds, with_policies), indent=2))


class Sample(msgspec.Struct, frozen=True):
    """What one turn gave."""

    rate: float
    cpu_us: float
    """Processor time for one connection, or for a megabyte."""


Samples = dict[str, dict[Case, list[Sample]]]


def measure(pairs: Mapping[Case, Pods], rounds: int) -> Samples:
    """Return the samples of both figures, after a round that warms up."""
    throughput: dict[Case, list[Sample]] = {case: [] for case in pairs}
    connections: dict[Case, list[Sample]] = {case: [] for case in pairs}
    cases = list(pairs)
    for number in range(rounds + 1):
        for into, run in (
            (connections, Pods.connections),
            (throughput, Pods.throughput),
        ):
            for case in [*cases, *reversed(cases)] * 2:
                sample = run(pairs[case])
                if number:
                    into[case].append(sample)
    return {"throughput": throughput, "connections": connections}


def report(samples: Samples, rounds: int, state: PolicyState) -> dict[str, Any]:
    ruleset = policy_ruleset(state)
    return {
        "benchmark": "traffic",
        "rounds": rounds,
        "ruleset": {
            "policies": len(state.policies),
            "endpoints": len(state.endpoints),
            "chains": len(ruleset.chains),
            "rules": sum(len(chain.rules) for chain in ruleset.chains.values()),
            "sets": len(ruleset.sets),
            "elements": sum(len(each.elements) for each in ruleset.sets.values()),
        },
        "throughput": {"unit": "Gbit/s"} | figures(samples["throughput"]),
        "connections": {"unit": "1/s"} | figures(samples["connections"]),
    }


def figures(samples: Mapping[Case, list[Sample]]) -> dict[str, Any]:
    """Return medians of each case, and of the ratios of each pair of turns."""
    found: dict[str, Any] = {"pairs": len(samples[Case.NONE])}
    for case, values in samples.items():
        found[case] = float(f"{statistics.median(each.rate for each in values):.4g}")
    found["cpu_us"] = {
        case: round(statistics.median(each.cpu_us for each in values), 2)
        for case, values in samples.items()
    }
    for name, peer in PEERS.items():
        ratios = [
            ours.rate / theirs.rate
            for ours, theirs in zip(samples[Case.POLICIES], samples[peer], strict=True)
        ]
        low, middle, high = statistics.quantiles(ratios, n=4)
        found[name] = round(middle, 3)
        found[f"{name}_quartiles"] = [round(low, 3), round(high, 3)]
    return found


class Pods:
    """Two pods of one node: a client and a server of each kind, each on its own processor."""

    def __init__(
        self, client: Path, address: str, connector: subprocess.Popen[str], acceptor_pid: int
    ) -> None:
        self._client = client
        self._address = address
        self._connector = connector
        self._acceptor_pid = acceptor_pid

    def throughput(self) -> Sample:
        """Return Gbit/s of one TCP connection."""
        process = start(
            self._client, 0,
            "iperf3", "-J", "-c", self._address, "-p", str(IPERF_PORT), "-n", str(THROUGHPUT_BYTES),
            "--connect-timeout", "3000",
        )  # fmt: skip
        text, _ = process.communicate(timeout=60)
        result = json.loads(text)
        if "error" in result:
            raise SystemExit(f"iperf3 to {self._address}: {result['error']}")
        received, cpu = result["end"]["sum_received"], result["end"]["cpu_utilization_percent"]
        cpu_s = (cpu["host_total"] + cpu["remote_total"]) / 100 * received["seconds"]
        return Sample(received["bits_per_second"] / 1e9, cpu_s * 1e12 / received["bytes"])

    def connections(self) -> Sample:
        """Return connections per second, each made, accepted and reset."""
        assert self._connector.stdin
        assert self._connector.stdout
        before = self._cpu_ns()
        self._connector.stdin.write(f"{CONNECTIONS_S}\n")
        self._connector.stdin.flush()
        count = int(self._connector.stdout.readline() or 0)
        if not count:
            raise SystemExit(f"no connection to {self._address} succeeded")
        return Sample(count / CONNECTIONS_S, (self._cpu_ns() - before) / count / 1e3)

    def _cpu_ns(self) -> int:
        pids = (self._connector.pid, self._acceptor_pid)
        return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in pids)


@contextmanager
def pods_of_node(case: Case, state: PolicyState) -> Iterator[Pods]:
    """Yield two pods of a new node that holds *case*; remove it whatever happens."""

    this = (sys.executable, str(CONNECTIONS))
    address = str(pod_address(state, SERVER))
    with ExitStack() as stack:
        node, client, server = (
            stack.enter_context(namespace(f"{case}-{role}"))
            for role in ("node", "client", "server")
        )

        def set_up() -> None:
            connect_pods(node, state, {CLIENT: client, SERVER: server})
            load(case, state)

        inside(node, set_up)
        acceptor = stack.enter_context(ended(start(server, 1, *this, "accept")))
        iperf = ("iperf3", "-s", "-p", str(IPERF_PORT), "--forceflush")
        for process in (acceptor, stack.enter_context(ended(start(server, 1, *iperf)))):
            assert process.stdout
            while "listening" not in (line := process.stdout.readline()):
                if not line:
                    raise SystemExit("a server does not listen")
        connector = stack.enter_context(ended(start(client, 0, *this, "connect", address)))
        yield Pods(client, address, connector, acceptor.pid)


def start(namespace: Path, processor: int, *command: str) -> subprocess.Popen[str]:
    """Start *command* in *namespace* on one processor: clients and servers never share one."""

    usable = sorted(os.sched_getaffinity(0))
    pinned = ("taskset", "-c", str(usable[processor % len(usable)]), *command)
    pipe = subprocess.PIPE
    return inside(
        namespace, lambda: subprocess.Popen(pinned, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    )


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """Yield *process* and end it."""
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


if __name__ == "__main__":
    main()
