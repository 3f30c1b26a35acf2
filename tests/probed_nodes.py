"""Nodes on real kernels around one simulated internet, and the prober of one of them.

::

    a (behind NAT) ──┐            ┌── r1 (gateway, third location)
                     ├─ internet ─┤
    b1, b2 (behind) ─┘            └── r2 (gateway, third location)
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from chita.agent.prober import TICK_S, Plan, Prober
from chita.agent.ways import Ways
from chita.compute.node import desired_node_state
from chita.dataplane.netlink.links import Links
from chita.dataplane.netlink.socket import NetlinkSocket
from chita.dataplane.probes.sockets import EchoSockets
from chita.dataplane.tunnels.wireguard import Secrets
from chita.desired.node_state import NodeState
from chita.fabric.health import Health, Way, WayHealth
from chita.fabric.path import paths
from chita.model.cluster import ClusterState
from hybrid import hybrid
from internet import joined, key_pair, records
from network_namespace import run_inside

PLACES = {"a": "here", "b1": "there", "b2": "there", "r1": "third", "r2": "third"}
PATIENCE_S = 20.0


class Probed:
    """One node: its namespace, what holds its ways, and its prober, which a test drives."""

    def __init__(self, name: str, space: Path, directory: Path, private_key: str) -> None:
        self.name = name
        self.space = space
        self._socket = NetlinkSocket(namespace=space)
        self.ways = Ways(self._socket, directory, lambda _: Secrets(private_key))
        self.links = Links(self._socket)
        self._state: NodeState | None = None
        self._cluster = ClusterState()
        self._sockets = EchoSockets(space)
        self.prober = Prober(name, self._plan, self._decide, sockets=self._sockets)
        self._is_open = False

    def apply(self, cluster: ClusterState) -> None:
        """Make the kernel hold what the node should, given what its probes have found."""
        self._cluster = cluster
        self._decide(self.prober.health)

    def restore(self) -> None:
        """Make the kernel hold what it should once more, whatever was done to it."""
        self._state = None
        self._decide(self.prober.health)

    def _decide(self, health: Health) -> None:
        cluster = self._cluster
        state = desired_node_state(cluster, self.name, paths(cluster, self.name, health))
        for _, step in self.ways.steps(state, self._state):
            assert step() == {}
        self._state = state

    def _plan(self) -> Plan | None:
        return Plan(self._cluster, self._state) if self._state is not None else None

    def known(self, way: Way) -> WayHealth:
        """Return what is known of *way*."""
        return self.prober.health.of(way)

    def probe_until(self, is_so: Callable[[], bool], *, within_s: float = PATIENCE_S) -> float:
        """Probe until *is_so*; return how long it took, seconds."""
        if not self._is_open:
            self._sockets.open()
            self._is_open = True
        pause, began = threading.Event(), time.monotonic()
        while True:
            self.prober.tick()
            took_s = time.monotonic() - began
            if is_so():
                return took_s
            assert took_s < within_s, f"not within {within_s} s: {self.prober.health}"
            pause.wait(TICK_S)

    def run(self, *command: str) -> None:
        """Run a command inside."""
        run_inside(self.space, *command)

    def close(self) -> None:
        """Take everything away again."""
        self._sockets.close()
        for _, step in self.ways.steps(NodeState(node=self.name), None):
            step()
        self._socket.close()


@contextmanager
def internet(directory: Path) -> Iterator[dict[str, Probed]]:
    """Yield the nodes by name, all in step with each other's records."""
    keys = {name: key_pair() for name in PLACES}
    with joined(list(PLACES)) as spaces, ExitStack() as stack:
        nodes: dict[str, Probed] = {}
        for name, space in spaces.items():
            (directory / name).mkdir()
            nodes[name] = Probed(name, space, directory / name, keys[name][0])
            stack.callback(nodes[name].close)
        cluster = hybrid(*records(PLACES, {name: public for name, (_, public) in keys.items()}))
        for name in reversed(PLACES):
            nodes[name].apply(cluster)
        yield nodes
