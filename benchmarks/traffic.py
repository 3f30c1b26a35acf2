"""Pod-to-pod traffic on one node under 1,000 policies, beside the same traffic under none.

    sudo .venv/bin/python benchmarks/traffic.py [--rounds 7] [--seconds 2] > result.json

Two pods, attached as CNI attaches them, in namespaces of their own. A round measures TCP
throughput (iperf3) and new connections per second (connect, accept, reset: 64 in flight) under
each case in turn, the next round in the opposite order; a ratio is the median over rounds of what
the pairs of one round gave. The cases:

    none        no table in the kernel, so no connection tracking either
    conntrack   the least a stateful firewall does: a table that accepts what is established
    empty       our table; 110 pods that their profile allows everything
    policies    our table; 1,000 policies of five rules, ten of them for each pod

Under ``policies`` a first packet walks all rules of the client's ten policies (egress), then of
the server's ten (ingress): the last rule of the last one allows it.
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
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chita.dataplane.nftables.applier import NftApplier
    from chita.desired.policy import PolicyState
    from chita.model.net import Address

sys.path.insert(0, str(Path(__file__).parent.parent))

CLIENT, SERVER = 1, 2
"""Which pods of the state are measured."""
IPERF_PORT = 5201
PORTS = range(5001, 5009)
"""Of connections: eight, so that in two seconds hardly any port pair comes twice."""
IN_FLIGHT = 64
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
    """What stands in the node's kernel while traffic is measured."""

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
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=2, help="of each measurement")
    parser.add_argument("--accept", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--connect", metavar="ADDRESS", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.accept:
        accept_connections()
    elif options.connect:
        for line in sys.stdin:
            print(count_connections(options.connect, float(line)), flush=True)
    else:
        from chita.dataplane.netlink.namespace import inside  # not in the pods' processes

        with namespaces("node", "client", "server") as (node, client, server):
            figures = inside(
                node, lambda: measure(node, client, server, options.rounds, options.seconds)
            )
        print(json.dumps(figures, indent=2))


@contextmanager
def namespaces(*roles: str) -> Iterator[list[Path]]:
    """Yield the paths of new namespaces, removed whatever happens."""
    names = [f"chita-bench-{os.getpid()}-{role}" for role in roles]
    made: list[str] = []
    try:
        for name in names:
            subprocess.run(["ip", "netns", "add", name], check=True)
            made.append(name)
            subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        yield [Path("/run/netns") / name for name in names]
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "delete", name], check=False)


def measure(node: Path, client: Path, server: Path, rounds: int, seconds: int) -> dict[str, Any]:
    """Return all figures; the calling thread is inside *node*."""
    from chita.dataplane.nftables.applier import NftApplier
    from chita.dataplane.nftables.ruleset import policy_ruleset
    from chita.dataplane.nftables.table import KernelTable

    with_policies = policies_state()
    connect_pods(node, with_policies, {CLIENT: client, SERVER: server})
    table = KernelTable()
    enter: dict[Case, Callable[[], None]] = cases(NftApplier(table), with_policies)
    samples: dict[str, dict[Case, list[float]]] = {
        what: {case: [] for case in Case} for what in ("throughput", "connections")
    }
    with ExitStack() as stack:
        pods = stack.enter_context(traffic(client, server, pod_address(with_policies, SERVER)))
        stack.callback(table.close)
        for number in range(rounds + 1):
            for case in Case if number % 2 else reversed(Case):
                enter[case]()
                throughput, connections = pods.throughput(seconds), pods.connections(seconds)
                if number:  # the first round warms up
                    samples["throughput"][case].append(throughput)
                    samples["connections"][case].append(connections)
    ruleset = policy_ruleset(with_policies)
    return {
        "benchmark": "traffic",
        "rounds": rounds,
        "seconds": seconds,
        "ruleset": {
            "policies": len(with_policies.policies),
            "endpoints": len(with_policies.endpoints),
            "chains": len(ruleset.chains),
            "rules": sum(len(chain.rules) for chain in ruleset.chains.values()),
            "sets": len(ruleset.sets),
            "elements": sum(len(each.elements) for each in ruleset.sets.values()),
        },
        "throughput": {"unit": "Gbit/s"} | figures(samples["throughput"], digits=2),
        "connections": {"unit": "1/s"} | figures(samples["connections"], digits=0),
    }


def figures(samples: Mapping[Case, list[float]], *, digits: int) -> dict[str, Any]:
    """Return medians of each case, and of the ratios of each round's pairs."""
    found: dict[str, Any] = {
        case: round(statistics.median(values), digits) for case, values in samples.items()
    }
    for name, peer in PEERS.items():
        pairs = [
            ours / theirs
            for ours, theirs in zip(samples[Case.POLICIES], samples[peer], strict=True)
        ]
        found[name] = round(statistics.median(pairs), 3)
        found[f"{name}_range"] = [round(min(pairs), 3), round(max(pairs), 3)]
    return found


# What stands in the kernel.


def policies_state() -> PolicyState:
    """Return the node of benchmarks/nftables.py, whose two pods may talk by their last rules."""
    import msgspec
    from benchmarks.nftables import state

    from chita.desired.policy import AddressSet, Match, PolicyRules, Rule
    from chita.model.net import TCP, PortRange
    from chita.model.policy import Action

    base = state()
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
    import msgspec

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
    from chita.agent.appliers import NODE_SYSCTLS
    from chita.dataplane.netlink.rules import OURS, Rules, our_rules, sync_rules
    from chita.dataplane.netlink.socket import NetlinkSocket
    from chita.dataplane.pod_interface import PodInterface, PodInterfaces
    from chita.dataplane.sysctl import sync_sysctls

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


def cases(applier: NftApplier, with_policies: PolicyState) -> dict[Case, Callable[[], None]]:
    """Return what puts each case into the kernel, whatever stands there."""
    empty = without_policies(with_policies)

    def none() -> None:
        applier.remove()
        nft("add table inet stateful; delete table inet stateful")
        # No run meets connections that an earlier one left.
        subprocess.run(["conntrack", "-F"], check=True, capture_output=True)

    def stateful() -> None:
        none()
        nft(STATEFUL)

    def ours(state: PolicyState) -> None:
        none()
        applier.apply(state)

    return {
        Case.NONE: none,
        Case.CONNTRACK: stateful,
        Case.EMPTY: lambda: ours(empty),
        Case.POLICIES: lambda: ours(with_policies),
    }


def nft(text: str) -> None:
    subprocess.run(["nft", "-f", "-"], input=text, text=True, check=True)


# The traffic.


class Traffic:
    """A client and a server process of each kind, each in its pod and on its own processor."""

    def __init__(self, client: Path, address: Address, connector: subprocess.Popen[str]) -> None:
        self._client = client
        self._address = str(address)
        self._connector = connector

    def throughput(self, seconds: int) -> float:
        """Return Gbit/s of one TCP connection."""
        process = start(
            self._client, 0,
            "iperf3", "-J", "-c", self._address, "-p", str(IPERF_PORT), "-t", str(seconds),
            "--connect-timeout", "3000",
        )  # fmt: skip
        text, _ = process.communicate(timeout=seconds + 20)
        result = json.loads(text)
        if "error" in result:
            raise SystemExit(f"iperf3 to {self._address}: {result['error']}")
        received: float = result["end"]["sum_received"]["bits_per_second"]
        return received / 1e9

    def connections(self, seconds: int) -> float:
        """Return connections per second, each made, accepted and reset."""
        assert self._connector.stdin
        assert self._connector.stdout
        self._connector.stdin.write(f"{seconds}\n")
        self._connector.stdin.flush()
        count = int(self._connector.stdout.readline() or 0)
        if not count:
            raise SystemExit(f"no connection to {self._address} succeeded")
        return count / seconds


@contextmanager
def traffic(client: Path, server: Path, address: Address) -> Iterator[Traffic]:
    """Yield clients of running servers; end all of them whatever happens."""
    this = (sys.executable, __file__)
    with ExitStack() as stack:
        for command in (
            (*this, "--accept"),
            ("iperf3", "-s", "-p", str(IPERF_PORT), "--forceflush"),
        ):
            listening = stack.enter_context(ended(start(server, 1, *command)))
            assert listening.stdout
            while "listening" not in (line := listening.stdout.readline()):
                if not line:
                    raise SystemExit(f"{command[0]} does not listen")
        connector = stack.enter_context(ended(start(client, 0, *this, "--connect", str(address))))
        yield Traffic(client, address, connector)


def start(namespace: Path, processor: int, *command: str) -> subprocess.Popen[str]:
    """Start *command* in *namespace* on one processor: clients and servers never share one."""
    from chita.dataplane.netlink.namespace import inside

    usable = sorted(os.sched_getaffinity(0))
    pinned = ("taskset", "-c", str(usable[processor % len(usable)]), *command)
    pipe = subprocess.PIPE
    return inside(namespace, lambda: subprocess.Popen(pinned, stdin=pipe, stdout=pipe, text=True))


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
