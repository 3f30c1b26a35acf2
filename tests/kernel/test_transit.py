"""Relayed packets on real kernels: two nodes that cannot dial each other, and two gateways.

::

    a (behind NAT) ──┐            ┌── r1 (gateway, third location)
                     ├─ internet ─┤
    b (behind NAT) ──┘            └── r2 (gateway, third location)
"""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest

from chita.agent.ways import Ways
from chita.compute.node import desired_node_state
from chita.dataplane.netlink.links import InterfaceAddress, Links
from chita.dataplane.netlink.namespace import inside
from chita.dataplane.netlink.socket import NetlinkSocket
from chita.dataplane.tunnels.wireguard import Secrets
from chita.desired.node_state import NodeState
from chita.desired.paths import PathKind
from chita.fabric.health import UNPROBED, Direct, Health, Transit, Verdict, Way, WayHealth
from chita.fabric.path import paths
from chita.model.cluster import ClusterState
from chita.model.net import Address
from hybrid import fabric_node, hybrid
from internet import joined, key_pair, records
from network_namespace import fresh_namespaces, needs_root, ping, run_inside

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.slow,
    needs_root,
    pytest.mark.skipif(shutil.which("wireguard-go") is None, reason="needs wireguard-go"),
]

PLACES = {"a": "here", "b": "there", "r1": "third", "r2": "third"}
NAMES = list(PLACES)
PODS = {
    "a": {4: "10.244.0.5", 6: "fd00:10:244::5"},
    "b": {4: "10.244.1.5", 6: "fd00:10:244::45"},
}
BLOCKS = [
    ("10.244.0.0/26", "a"),
    ("fd00:10:244::/122", "a"),
    ("10.244.1.0/26", "b"),
    ("fd00:10:244::40/122", "b"),
]
MTU = 1440 - 36
PORT = 5000
_AF = {4: socket.AF_INET, 6: socket.AF_INET6}


def down(*ways: Way) -> Health:
    return Health({way: WayHealth(verdict=Verdict.DOWN, reason="lost") for way in ways})


class Machine:
    """A node: its namespace and what holds its ways."""

    def __init__(self, name: str, space: Path, directory: Path, private_key: str) -> None:
        self.name = name
        self.space = space
        self.socket = NetlinkSocket(namespace=space)
        self._directory = directory
        self._private_key = private_key
        self.ways = Ways(self.socket, directory, lambda _: Secrets(private_key))
        self.state: NodeState | None = None

    def apply(self, cluster: ClusterState, health: Health = UNPROBED) -> int:
        """Make the kernel hold what this node should; return the writes it took."""
        state = desired_node_state(cluster, self.name, paths(cluster, self.name, health))
        before = self.socket.writes
        for _, step in self.ways.steps(state, self.state):
            assert step() == {}
        self.state = state
        return self.socket.writes - before

    def restart(self) -> None:
        """Forget everything, as a new process."""
        self.socket.close()
        self.socket = NetlinkSocket(namespace=self.space)
        self.ways = Ways(self.socket, self._directory, lambda _: Secrets(self._private_key))
        self.state = None

    def transit_packets(self) -> tuple[int, int]:
        """Return how many packets the transit device has received and sent."""
        directory = "/sys/class/net/chita-transit/statistics"
        found = run_inside(self.space, "cat", f"{directory}/rx_packets", f"{directory}/tx_packets")
        received, sent = map(int, found.split())
        return received, sent

    def opened(self, host: str, port: int = 0) -> socket.socket:
        """Return a UDP socket in this node."""

        def make() -> socket.socket:
            kind = socket.AF_INET6 if ":" in host else socket.AF_INET
            made = socket.socket(kind, socket.SOCK_DGRAM)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            made.bind((host, port))
            made.settimeout(5)
            return made

        return inside(self.space, make)

    def close(self) -> None:
        """Take everything away again."""
        empty = NodeState(node=self.name)
        for _, step in self.ways.steps(empty, None):
            step()
        self.socket.close()


@contextmanager
def internet(tmp_path: Path) -> Iterator[tuple[dict[str, Machine], ClusterState]]:
    """Yield the four nodes on one bridge, their ways not made yet, and the cluster."""
    keys = {name: key_pair() for name in PLACES}
    with joined(NAMES) as spaces, ExitStack() as stack:
        machines: dict[str, Machine] = {}
        for name, space in spaces.items():
            directory = tmp_path / name
            directory.mkdir()
            machine = Machine(name, space, directory, keys[name][0])
            stack.callback(machine.close)
            own = Links(machine.socket)
            for pod in PODS.get(name, {}).values():
                held = Address.parse(pod)
                own.put_address(own.index("lo"), InterfaceAddress(held, held.bits))
            machines[name] = machine
        nodes = records(PLACES, {name: public for name, (_, public) in keys.items()})
        yield machines, hybrid(*nodes, blocks=BLOCKS)


def ping_pod(source: Machine, target: str, family: int, size_bytes: int) -> None:
    headers = 28 if family == 4 else 48
    run_inside(
        source.space, "ping", "-q", "-c", "3", "-i", "0.05", "-W", "5", "-M", "do",
        "-s", str(size_bytes - headers), "-I", PODS[source.name][family], PODS[target][family],
    )  # fmt: skip


def flows(source: Machine, target: Machine, count: int) -> set[str]:
    """Send one packet for each of *count* flows; return the sources that *target* saw."""
    seen: set[str] = set()
    with target.opened(PODS[target.name][4], PORT) as receiver, ExitStack() as stack:
        for start in range(0, count, 100):
            for _ in range(min(100, count - start)):
                sender = stack.enter_context(source.opened(PODS[source.name][4]))
                sender.sendto(b"flow", (PODS[target.name][4], PORT))
            seen |= {receiver.recvfrom(100)[1][0] for _ in range(min(100, count - start))}
    return seen


def transfer(source: Machine, target: Machine, family: int, size_bytes: int) -> float:
    """Send *size_bytes* over one TCP connection; return the seconds until all has arrived."""
    host = PODS[target.name][family]
    listener = inside(target.space, lambda: socket.create_server((host, PORT), family=_AF[family]))
    with listener:
        origin = (PODS[source.name][family], 0)
        began = time.perf_counter()
        sender = inside(
            source.space,
            lambda: socket.create_connection((host, PORT), timeout=10, source_address=origin),
        )
        receiver, _ = listener.accept()
        receiver.settimeout(10)
        with sender, receiver:
            thread = threading.Thread(target=lambda: sender.sendall(bytes(size_bytes)))
            thread.start()
            left = size_bytes
            while left:
                part = receiver.recv(1 << 20)
                assert part
                left -= len(part)
            thread.join()
        return time.perf_counter() - began


def test_relays_carry_share_and_may_differ_each_way(tmp_path: Path) -> None:
    """Both families, whole packets, own source addresses; each end chooses for what it sends."""
    with internet(tmp_path) as (machines, cluster):
        a, b, r1, r2 = (machines[name] for name in NAMES)
        for machine in (r1, r2, a, b):
            machine.apply(cluster)
        assert a.state is not None
        assert (PathKind.RELAYED, {"r1", "r2"}) == (
            a.state.paths["b"].kind,
            set(a.state.paths["b"].relays),
        )
        for family in (4, 6):
            ping_pod(a, "b", family, MTU)
            ping_pod(b, "a", family, MTU)
            transfer(a, b, family, 10_000_000)
        ping(a.space, "100.64.0.2")

        before = [relay.transit_packets()[0] for relay in (r1, r2)]
        assert flows(a, b, 1000) == {PODS["a"][4]}
        shares = [
            relay.transit_packets()[0] - count
            for relay, count in zip((r1, r2), before, strict=True)
        ]
        assert sum(shares) == 1000
        assert 400 <= shares[0] <= 600

        a.apply(cluster, down(Transit("r1", "there")))
        b.apply(cluster, down(Transit("r2", "here")))
        before = [relay.transit_packets()[0] for relay in (r1, r2)]
        ping_pod(a, "b", 4, MTU)
        ping_pod(a, "b", 6, MTU)
        assert [6, 6] == [
            relay.transit_packets()[0] - count
            for relay, count in zip((r1, r2), before, strict=True)
        ]

        for machine in machines.values():
            machine.restart()
        assert machines["r1"].apply(cluster) == 0
        assert machines["r2"].apply(cluster) == 0
        assert a.apply(cluster, down(Transit("r1", "there"))) == 0
        assert b.apply(cluster, down(Transit("r2", "here"))) == 0


def test_mesh_addresses_of_ipv6_alone_carry_both_families(tmp_path: Path) -> None:
    """The outer header is 20 bytes longer then, and its UDP has a checksum."""
    with internet(tmp_path) as (machines, cluster):
        nodes = {
            name: msgspec.structs.replace(node, mesh_addresses=node.mesh_addresses[1:])
            for name, node in cluster.nodes.items()
        }
        other = msgspec.structs.replace(cluster, nodes=nodes)
        for name in reversed(NAMES):
            machines[name].apply(other)

        for family in (4, 6):
            ping_pod(machines["a"], "b", family, MTU - 20)


def test_never_two_relays_in_a_row(tmp_path: Path) -> None:
    """A relay that lost its own way to the end drops, though it would ask a relay for itself."""
    with internet(tmp_path) as (machines, cluster):
        a, _, r1, r2 = (machines[name] for name in NAMES)
        for relay in (r1, r2):
            relay.apply(cluster, down(Direct("b")))
            assert relay.state is not None
            assert relay.state.paths["b"].kind is PathKind.RELAYED
        a.apply(cluster)
        ping(a.space, "100.64.0.3")
        ping(a.space, "100.64.0.4")

        with a.opened(PODS["a"][4]) as sender:
            for _ in range(50):
                sender.sendto(b"lost", (PODS["b"][4], PORT))
        deadline = time.monotonic() + 5
        while sum(relay.transit_packets()[0] for relay in (r1, r2)) < 50:
            assert time.monotonic() < deadline

        assert [0, 0] == [relay.transit_packets()[1] for relay in (r1, r2)]
        assert sum(relay.transit_packets()[0] for relay in (r1, r2)) == 50


def test_a_bound_socket_goes_straight_whichever_way_is_in_force(tmp_path: Path) -> None:
    """SO_BINDTODEVICE: a probe of a way that is not used travels that way, in both families."""
    with internet(tmp_path) as (machines, cluster):
        a, _, r1, r2 = (machines[name] for name in NAMES)
        for machine in (r1, r2):
            machine.apply(cluster)
        a.apply(cluster, down(Direct("r1")))
        assert a.state is not None
        assert ("r2",) == a.state.paths["r1"].relays
        (device,) = a.state.wireguards

        for address in ("100.64.0.3", "fd00:100:64::3"):
            before = r2.transit_packets()[0]
            ping(a.space, address)
            assert r2.transit_packets()[0] == before + 1
            run_inside(a.space, "ping", "-q", "-c", "1", "-W", "5", "-I", device, address)
            assert r2.transit_packets()[0] == before + 1


def test_nothing_is_lost_while_relays_are_exchanged(tmp_path: Path) -> None:
    """1,000 packets a second while the group is replaced, both relays forwarding."""
    with internet(tmp_path) as (machines, cluster):
        a, b, *_ = (machines[name] for name in NAMES)
        for name in reversed(NAMES):
            machines[name].apply(cluster)
        ping_pod(a, "b", 4, MTU)
        packets, period_s = 3000, 0.001
        numbers: list[int] = []
        with a.opened(PODS["a"][4]) as sender, b.opened(PODS["b"][4], PORT) as receiver:

            def send() -> None:
                began = time.perf_counter()
                pause = threading.Event()
                for number in range(packets):
                    sender.sendto(number.to_bytes(4), (PODS["b"][4], PORT))
                    pause.wait(max(0.0, began + (number + 1) * period_s - time.perf_counter()))

            thread = threading.Thread(target=send)
            thread.start()
            replaced = 0
            while thread.is_alive():
                for health in (down(Transit("r1", "there")), down(Transit("r2", "there"))):
                    replaced += a.apply(cluster, health)
                thread.join(0.02)
            while len(numbers) < packets:
                numbers.append(int.from_bytes(receiver.recv(100)))

        assert replaced > 50
        assert set(range(packets)) == set(numbers)


def test_leaving_a_relay_is_one_write_for_each_family(tmp_path: Path) -> None:
    """However many nodes and networks are behind it."""
    behind = [fabric_node(f"n{i}", "there", f"10.0.{i}.1") for i in range(50)]
    relays = [fabric_node(f"r{i}", "third", f"10.9.0.{i}", public=f"192.0.2.{i}") for i in (1, 2)]
    blocks = [(f"10.244.{i}.0/26", node.name) for i, node in enumerate(behind)]
    blocks += [(f"fd00:10:244:{i:x}::/122", node.name) for i, node in enumerate(behind)]
    private, public = key_pair()
    here = msgspec.structs.replace(fabric_node("a", "here", "10.0.0.1"), wireguard_key=public)
    others = [msgspec.structs.replace(it, wireguard_key=key_pair()[1]) for it in relays + behind]
    cluster = hybrid(here, *others, blocks=blocks)
    with fresh_namespaces(1) as (space,):
        machine = Machine("a", space, tmp_path, private)
        try:
            assert machine.apply(cluster) > 200
            assert machine.apply(cluster, down(Transit("r1", "there"))) == 2
            assert machine.apply(cluster) == 2
        finally:
            machine.close()
