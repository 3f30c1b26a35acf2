"""A machine without an agent, set up by wg-quick with what export-peer prints, is in the fabric.

::

    phone ── internet ── r1 (its gateway) ── internet ── a (behind NAT, has a pod)
"""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
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
from chita.desired.tunnels import STATIC_EPOCH
from chita.fabric.path import paths
from chita.fabric.static_peers import configuration, exported, gateway_failure
from chita.model.cluster import ClusterState
from chita.model.ippool import IPPool
from chita.model.net import Address, Cidr
from chita.model.selector import all_
from chita.model.static_peer import StaticPeer
from hybrid import hybrid
from internet import joined, key_pair, records
from network_namespace import needs_root, run_inside

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.slow,
    needs_root,
    pytest.mark.skipif(shutil.which("wireguard-go") is None, reason="needs wireguard-go"),
    pytest.mark.skipif(shutil.which("wg-quick") is None, reason="needs wg-quick"),
]

PLACES = {"a": "here", "r1": "there"}
POD = {4: "10.244.0.5", 6: "fd00:10:244::5"}
OWN = {4: "100.65.0.1", 6: "fd00:100:65::1"}
HOME, AT_HOME = "192.168.7.0/24", "192.168.7.1"
POOLS = {"pods": "10.244.0.0/16", "pods6": "fd00:10:244::/56"}
BLOCKS = [("10.244.0.0/26", "a"), ("fd00:10:244::/122", "a")]
PORT = 51822

Keys = Mapping[int, tuple[str, str]]
"""Private and public key by epoch."""


class Node:
    """What holds the ways of one node."""

    def __init__(self, name: str, space: Path, directory: Path, keys: Keys) -> None:
        self.name = name
        self.space = space
        self.socket = NetlinkSocket(namespace=space)
        self._ways = Ways(self.socket, directory, lambda epoch: Secrets(keys[epoch][0]))
        self._state: NodeState | None = None

    def apply(self, cluster: ClusterState) -> None:
        """Make the kernel hold what this node should."""
        state = desired_node_state(cluster, self.name, paths(cluster, self.name))
        for _, step in self._ways.steps(state, self._state):
            assert step() == {}
        self._state = state

    def close(self) -> None:
        """Take everything away again."""
        for _, step in self._ways.steps(NodeState(node=self.name), None):
            step()
        self.socket.close()


class World:
    """Two nodes, and a machine on which nothing of ours runs."""

    def __init__(self, spaces: Mapping[str, Path], directory: Path, stack: ExitStack) -> None:
        self._epochs = dict.fromkeys(PLACES, 0)
        self._keys: dict[str, dict[int, tuple[str, str]]] = {
            name: {epoch: key_pair() for epoch in (STATIC_EPOCH, 0, 1)} for name in PLACES
        }
        self.phone = spaces["phone"]
        self.nodes: dict[str, Node] = {}
        for name in PLACES:
            (directory / name).mkdir()
            node = Node(name, spaces[name], directory / name, self._keys[name])
            stack.callback(node.close)
            self.nodes[name] = node
        own = Links(self.nodes["a"].socket)
        for address in map(Address.parse, POD.values()):
            own.put_address(own.index("lo"), InterfaceAddress(address, address.bits))
        self.private, public = key_pair()
        self.peer = StaticPeer(
            name="phone",
            public_key=public,
            addresses=tuple(map(Address.parse, OWN.values())),
            networks=(Cidr.parse(HOME),),
            gateway="r1",
            keepalive_s=1,
        )

    def cluster(self, epoch: int) -> ClusterState:
        """Return what there is while all keys are those of *epoch*."""
        found = records(PLACES, {name: keys[epoch][1] for name, keys in self._keys.items()})
        nodes = [
            msgspec.structs.replace(
                it,
                wireguard_epoch=epoch,
                wireguard_port=51820 + epoch,
                static_key=self._keys[it.name][STATIC_EPOCH][1],
                static_port=PORT,
            )
            for it in found
        ]
        return msgspec.structs.replace(
            hybrid(*nodes, blocks=BLOCKS),
            pools={
                name: IPPool(name=name, cidr=Cidr.parse(cidr), block_size=26, node_selector=all_())
                for name, cidr in POOLS.items()
            },
            static_peers={"phone": self.peer},
        )

    def apply(self, epoch: int) -> ClusterState:
        """Make all nodes hold it, the gateway first: it is dialled."""
        cluster = self.cluster(epoch)
        for name in ("r1", "a"):
            self.nodes[name].apply(cluster)
        return cluster


@contextmanager
def world(directory: Path) -> Iterator[World]:
    """Yield the nodes with their ways, and the machine with the printed configuration."""
    with joined([*PLACES, "phone"]) as spaces, ExitStack() as stack:
        made = World(spaces, directory, stack)
        cluster = made.apply(0)
        assert gateway_failure(cluster, made.peer) is None
        said = exported(cluster, made.peer)
        # The device has the file's name; wireguard-go's socket has it too, beside those of others.
        file = directory / f"{made.phone.name[-15:].strip('-')}.conf"
        file.write_text(configuration(cluster, made.peer, said, made.private), encoding="ascii")
        file.chmod(0o600)
        run_inside(made.phone, "ip", "link", "set", "lo", "up")
        run_inside(made.phone, "ip", "address", "add", f"{AT_HOME}/24", "dev", "lo")
        run_inside(made.phone, "wg-quick", "up", str(file))
        stack.callback(_down, made.phone, file)
        yield made


def _down(space: Path, file: Path) -> None:
    """End wireguard-go with its device, which a test may have taken away."""
    with suppress(AssertionError):
        run_inside(space, "wg-quick", "down", str(file))


def ping(space: Path, source: str, target: str, size_bytes: int = 84) -> None:
    headers = 28 if ":" not in target else 48
    run_inside(
        space, "ping", "-q", "-c", "3", "-i", "0.2", "-W", "5", "-M", "do",
        "-s", str(size_bytes - headers), "-I", source, target,
    )  # fmt: skip


def test_it_reaches_pods_and_is_reached_whatever_the_keys_of_nodes_are(tmp_path: Path) -> None:
    """Both families, and the network behind it; what it was told outlives a change of all keys."""
    with world(tmp_path) as made:
        a = made.nodes["a"].space
        for family in (4, 6):
            ping(made.phone, OWN[family], POD[family])
            ping(a, POD[family], OWN[family])
        ping(made.phone, OWN[4], POD[4], size_bytes=1408)
        ping(a, POD[4], AT_HOME)
        ping(made.phone, OWN[4], "100.64.0.1")
        ping(made.nodes["r1"].space, "100.64.0.2", OWN[4])

        made.apply(1)
        for family in (4, 6):
            ping(made.phone, OWN[family], POD[family])
        ping(a, POD[4], AT_HOME)


def test_it_gets_nowhere_but_into_the_fabric(tmp_path: Path) -> None:
    """Its gateway is no way out to its own network, whatever the machine believes."""
    with world(tmp_path) as made:
        ping(made.phone, OWN[4], POD[4])
        gate, a = made.nodes["r1"].space, made.nodes["a"].space
        run_inside(gate, "ip", "route", "add", "198.51.100.0/24", "via", "192.0.2.1")
        run_inside(a, "ip", "address", "add", "198.51.100.1/32", "dev", "lo")
        (device,) = [name for name in _devices(made.phone) if name not in {"lo", "eth0"}]
        run_inside(made.phone, "ip", "route", "add", "198.51.100.0/24", "dev", device)
        run_inside(
            made.phone, "wg", "set", device, "peer",
            made.cluster(0).fabric_nodes["r1"].static_key, "allowed-ips", "0.0.0.0/0",
        )  # fmt: skip
        with _receiver(a) as held, _sender(made.phone) as sending:
            for _ in range(5):
                sending.sendto(b"out", ("198.51.100.1", 5000))
            sending.sendto(b"in", (POD[4], 5000))
            data, (source, _) = held.recvfrom(100)

        assert (b"in", OWN[4]) == (data, source)


def _devices(space: Path) -> list[str]:
    return run_inside(space, "ls", "/sys/class/net").split()


def _receiver(space: Path) -> socket.socket:
    return inside(space, lambda: _bound("0.0.0.0", 5000))


def _sender(space: Path) -> socket.socket:
    return inside(space, lambda: _bound(OWN[4], 0))


def _bound(host: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((host, port))
    made.settimeout(5)
    return made
