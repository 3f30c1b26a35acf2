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
import errno
import json
import os
import select
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from chita.agent.appliers import NODE_SYSCTLS
from chita.dataplane.netlink.namespace import inside
from chita.dataplane.netlink.rules import OURS, Rules, our_rules, sync_rules
from chita.dataplane.netlink.socket import NetlinkSocket
from chita.dataplane.nftables.applier import NftApplier
from chita.dataplane.nftables.ruleset import policy_ruleset
from chita.dataplane.nftables.table import KernelTable
from chita.dataplane.pod_interface import PodInterface, PodInterfaces
from chita.dataplane.sysctl import sync_sysctls
from chita.desired.policy import (
    AddressSet,
    EndpointPolicy,
    Match,
    PolicyRules,
    PolicyState,
    Rule,
    TierPolicies,
)
from chita.model.net import TCP, Address, Cidr, PortRange
from chita.model.policy import Action

POLICIES, PODS, SELECTORS, LARGE = 1_000, 110, 500, 20_000
BIG = "s:big"
"""20,000 addresses and 20,000 networks; other selectors are 20 addresses each."""
CLIENT, SERVER = 1, 2
"""Which pods of the state are measured."""
IPERF_PORT = 5201
PORTS = range(5001, 5009)
"""Of connections: eight, so that a pair of ports hardly comes twice while it is remembered."""
IN_FLIGHT = 64
THROUGHPUT_BYTES, CONNECTIONS_S = 300_000_000, 0.25
"""Short turns, so that both of a pair meet the same load of the machine."""
MTU_BYTES = 1500
RESET = (1).to_bytes(4, sys.byteorder) + bytes(4)
"""struct linger: a close resets. The client sees the end at once; neither side keeps TIME_WAIT."""
STATEFUL = """table inet stateful {
    chain forward {
        type filter hook forward priority 0; policy accept;
        ct state established,related accept
    }
}
"""


class Case(StrEnum):
    """What a node's kernel holds."""

    NONE = "none"
    CONNTRACK = "conntrack"
    EMPTY = "empty"
    POLICIES = "policies"


PEERS = {
    "ratio": Case.NONE,
    "ratio_to_empty_policy": Case.EMPTY,
    "ratio_to_conntrack": Case.CONNTRACK,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--accept", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--connect", metavar="ADDRESS", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.accept:
        accept_connections()
    elif options.connect:
        for line in sys.stdin:
            print(count_connections(options.connect, float(line)), flush=True)
    else:
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


# What stands in the kernel.


def policy(number: int) -> PolicyRules:
    """Return a policy of five ingress rules, none of which allows what is measured."""
    rules = [
        Rule(
            action=Action.ALLOW,
            protocol=TCP,
            source=Match(sets=(f"s:{(number + i) % SELECTORS}",)),
            destination=Match(ports=(PortRange(80 + i, 80 + i), PortRange(443, 443))),
        )
        for i in range(4)
    ]
    return PolicyRules(ingress=(*rules, Rule(action=Action.ALLOW, source=Match(sets=(BIG,)))))


def node_state() -> PolicyState:
    """Return a node of 110 pods, a hundred of which have ten policies each."""
    keys = [f"NetworkPolicy/shop/p{number}" for number in range(POLICIES)]
    each = POLICIES // PODS + 1
    endpoints = {}
    for pod in range(PODS):
        mine = tuple(keys[pod * each : (pod + 1) * each])
        tier = TierPolicies(tier="default", policies=mine, end=Action.DENY)
        endpoints[interface(pod)] = EndpointPolicy(
            interface=interface(pod),
            endpoint=f"shop/pod-{pod}",
            addresses=(Address(4, 0x0AF40000 + pod),),
            ingress=(tier,) if mine else (),
            profiles=("kns.shop",),
        )
    sets = {
        f"s:{n}": AddressSet(
            addresses=frozenset(Address(4, 0x0A000000 + n * 64 + i) for i in range(20))
        )
        for n in range(SELECTORS)
    }
    sets[BIG] = AddressSet(
        addresses=frozenset(Address(4, 0x0B000000 + i) for i in range(LARGE)),
        networks=frozenset(Cidr(4, 0x0C000000 + i * 512, 24) for i in range(LARGE)),
    )
    return PolicyState(
        endpoints=endpoints,
        policies={key: policy(number) for number, key in enumerate(keys)},
        profiles={
            "kns.shop": PolicyRules(
                ingress=(Rule(action=Action.ALLOW),), egress=(Rule(action=Action.ALLOW),)
            )
        },
        address_sets=sets,
    )


def policies_state() -> PolicyState:
    """Return the node's state; its two measured pods may talk by their last rules."""

    base = node_state()
    client, server = (base.endpoints[interface(pod)] for pod in (CLIENT, SERVER))
    ports = (PortRange(PORTS[0], PORTS[-1]), PortRange(IPERF_PORT, IPERF_PORT))
    policies = dict(base.policies)
    for key in client.ingress[0].policies:
        rules = policies[key].ingress
        outward = tuple(
            msgspec.structs.replace(
                rule,
                source=Match(),
                destination=Match(sets=rule.source.sets, ports=rule.destination.ports),
            )
            for rule in rules
        )
        policies[key] = PolicyRules(ingress=rules, egress=outward)
    last = client.ingress[0].policies[-1]
    allow_out = Rule(
        action=Action.ALLOW, protocol=TCP, destination=Match(sets=("s:server",), ports=ports)
    )
    policies[last] = msgspec.structs.replace(
        policies[last], egress=(*policies[last].egress[:-1], allow_out)
    )
    last = server.ingress[0].policies[-1]
    allow_in = Rule(
        action=Action.ALLOW,
        protocol=TCP,
        source=Match(sets=("s:client",)),
        destination=Match(ports=ports),
    )
    policies[last] = PolicyRules(ingress=(*policies[last].ingress[:-1], allow_in))
    return msgspec.structs.replace(
        base,
        endpoints=base.endpoints
        | {client.interface: msgspec.structs.replace(client, egress=client.ingress)},
        policies=policies,
        address_sets=base.address_sets
        | {
            "s:client": AddressSet(addresses=frozenset(client.addresses)),
            "s:server": AddressSet(addresses=frozenset(server.addresses)),
        },
    )


def without_policies(state: PolicyState) -> PolicyState:
    """Return *state* with its pods, profiles and nothing else."""

    endpoints = {
        name: msgspec.structs.replace(endpoint, ingress=(), egress=())
        for name, endpoint in state.endpoints.items()
    }
    return msgspec.structs.replace(state, endpoints=endpoints, policies={}, address_sets={})


def interface(pod: int) -> str:
    return f"cali{pod:011x}"


def pod_address(state: PolicyState, pod: int) -> Address:
    return state.endpoints[interface(pod)].addresses[0]


def connect_pods(node: Path, state: PolicyState, pods: Mapping[int, Path]) -> None:
    """Attach *pods* to the *node* as its agent does."""

    sync_sysctls(NODE_SYSCTLS)
    with NetlinkSocket(namespace=node) as netlink:
        sync_rules(our_rules(OURS), Rules(netlink))
        interfaces = PodInterfaces(netlink)
        for pod, namespace in pods.items():
            interfaces.attach(
                PodInterface(
                    host_interface=interface(pod),
                    namespace=namespace,
                    addresses=(pod_address(state, pod),),
                    mtu_bytes=MTU_BYTES,
                )
            )
            sync_sysctls({"net/ipv4/ip_local_port_range": "10000 65535"}, namespace=namespace)


def load(case: Case, state: PolicyState) -> None:
    """Put *case* into the kernel of the calling thread's namespace."""

    match case:
        case Case.NONE:
            return
        case Case.CONNTRACK:
            subprocess.run(["nft", "-f", "-"], input=STATEFUL, text=True, check=True)
        case Case.EMPTY | Case.POLICIES:
            table = KernelTable()
            NftApplier(table).apply(state if case is Case.POLICIES else without_policies(state))
            table.close()


# The traffic.


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

    this = (sys.executable, __file__)
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
        acceptor = stack.enter_context(ended(start(server, 1, *this, "--accept")))
        iperf = ("iperf3", "-s", "-p", str(IPERF_PORT), "--forceflush")
        for process in (acceptor, stack.enter_context(ended(start(server, 1, *iperf)))):
            assert process.stdout
            while "listening" not in (line := process.stdout.readline()):
                if not line:
                    raise SystemExit("a server does not listen")
        connector = stack.enter_context(ended(start(client, 0, *this, "--connect", address)))
        yield Pods(client, address, connector, acceptor.pid)


@contextmanager
def namespace(role: str) -> Iterator[Path]:
    """Yield the path of a new namespace; remove it whatever happens."""
    # As kernel tests name theirs: the sweep of `chita lab down` leaves them alone.
    name = f"chita-tbench{os.getpid()}-{role}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        yield Path("/run/netns") / name
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=False)


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


def accept_connections() -> None:
    """Accept on PORTS and reset each connection at once."""
    poll = select.epoll()
    listeners: dict[int, socket.socket] = {}
    for port in PORTS:
        listener = socket.create_server(("", port), backlog=1024)
        listener.setblocking(False)
        # Accepted sockets inherit it.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        listeners[listener.fileno()] = listener
        poll.register(listener, select.EPOLLIN)
    print("listening", flush=True)
    while True:
        for descriptor, _ in poll.poll():
            listener = listeners[descriptor]
            try:
                while True:
                    listener.accept()[0].close()
            except BlockingIOError:
                pass


def count_connections(address: str, seconds: float) -> int:
    """Return how many connections were made and reset by the other side within *seconds*."""
    poll = select.epoll()
    live: dict[int, socket.socket] = {}
    opened = done = 0

    def connect() -> None:
        nonlocal opened
        fresh = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        fresh.connect_ex((address, PORTS[opened % len(PORTS)]))
        live[fresh.fileno()] = fresh
        # Nothing asked for: the end of a connection is always told, its beginning is not.
        poll.register(fresh, 0)
        opened += 1

    for _ in range(IN_FLIGHT):
        connect()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for descriptor, _ in poll.poll(0.1):
            with live.pop(descriptor) as ended_:
                why = ended_.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if why != errno.ECONNRESET:
                raise SystemExit(f"connection to {address}: {os.strerror(why)}")
            done += 1
            connect()
    for left in live.values():
        left.close()
    poll.close()
    return done


if __name__ == "__main__":
    main()
