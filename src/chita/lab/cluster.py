"""A whole cluster on one machine: underlay, API server, agents, pods, in the order they depend.

Everything that runs is the product itself: a real `chita server` over the simulated internet, a
real `chita agent` for each node, pods attached by the real CNI binary. Only the clouds and what
runs inside pods are simulated.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import msgspec

from chita.api.auth import read_kubeconfig
from chita.api.client import ApiClient
from chita.api.kinds import resource_of
from chita.cni.install import install
from chita.errors import (
    ApiError,
    ChitaError,
    EngineError,
    NotFoundError,
)
from chita.lab.attach import attach_pods, attached_pods, pod_key
from chita.lab.builder import build_underlay
from chita.lab.layout import Layout
from chita.lab.machine import check_machine
from chita.lab.matrix import pod_ports
from chita.lab.metadata import answering, metadata_services
from chita.lab.netns import netns_path
from chita.lab.objects import load_world, put_slices
from chita.lab.places import NodePlace
from chita.lab.pods import Add, tell
from chita.lab.processes import Processes
from chita.lab.removal import remove_everything
from chita.lab.settled import other_than, promised
from chita.lab.state import State, StateFile
from chita.lab.topology import Topology, topology
from chita.lab.underlay import Port
from chita.lab.world import World
from chita.mirror.snapshot import read_cluster
from chita.model.cluster import ClusterState
from chita.model.net import PROTOCOL_NAMES
from chita.rpc.client import ask
from chita.rpc.messages import StatusRequest

API_PORT = 6443


class Progress(Protocol):
    """Hears what the lab is doing."""

    def started(self, step: str) -> None:
        """A step begins."""

    def finished(self, step: str, detail: str, seconds: float) -> None:
        """It is done."""


SETTLE_S = 30.0
"""How long paths may take to be what they should be before a lab counts as it is."""
SETTLE_POLL_S = 0.2


class Lab:
    """The lab whose files are in one directory."""

    def __init__(self, world: World, layout: Layout, progress: Progress) -> None:
        self.world = world
        self.layout = layout
        self.topology: Topology = topology(world, prefix=layout.prefix)
        self.state = StateFile(layout.directory)
        self.processes = Processes(self.state)
        self.refused: list[str] = []
        """Objects of the world that the API server refused, and why."""
        self._progress = progress

    def up(self, world_files: Sequence[str]) -> None:
        """Bring everything up, after removing what an earlier lab left.

        Raises:
            UnsupportedError: the machine lacks something; the message says how to mend it.
            EngineError: a process of the lab ended or did not get ready.
        """
        check_machine()
        with self._step("clean") as done:
            removal = remove_everything(self.state, prefix=self.layout.prefix)
            done(f"{len(removal.namespaces)} namespaces of an earlier lab removed")
        self.state.write(State(prefix=self.layout.prefix, worlds=tuple(world_files)))
        with self._step("underlay") as done:
            build_underlay(self.topology, self.state)
            self.start_metadata()
            done(f"{len(self.topology.clouds)} clouds, {len(self.topology.nodes)} nodes")
        with self._step("API server") as done:
            self.start_server()
            done(f"https://127.0.0.1:{self.layout.api_port}")
        with self._step("objects") as done:
            loaded = asyncio.run(load_world(self.client(), self.world, self.topology))
            self.refused = loaded.refused
            done(f"{loaded.count} objects, {len(loaded.refused)} refused")
        with self._step("agents") as done:
            self.wait_for_metadata()
            for node in self.topology.nodes:
                self.start_agent(node)
            self.wait_for_agents()
            done(f"{len(self.topology.nodes)} in sync")
        with self._step("pods") as done:
            done(f"{self.start_pods()} attached")
        with self._step("fabric") as done:
            self.wait_for_fabric()
            others = self.wait_for_paths()
            what = f"{len(others)} paths worse than promised" if others else "a way to every node"
            done(f"every node knows every pod and {what}")

    def down(self) -> None:
        """Remove every trace."""
        remove_everything(self.state, prefix=self.layout.prefix)

    def start_metadata(self) -> None:
        """Start the process that tells nodes who they are, if any cloud does."""
        services = metadata_services(self.world, self.topology)
        if services:
            file = self.layout.metadata_file
            file.write_bytes(msgspec.json.encode(services))
            self.processes.start(
                "metadata", [sys.executable, "-m", "chita.lab.metadata_server", str(file)]
            )

    def wait_for_metadata(self) -> None:
        """Return when the clouds' metadata services answer; the last is opened last.

        Raises:
            EngineError: their process ended.
        """
        for cloud in [cloud for cloud in self.topology.clouds if cloud.has_metadata][-1:]:
            path = netns_path(cloud.namespace)
            self.wait("the clouds' metadata", "metadata", lambda path=path: answering(path))  # type: ignore[misc]

    def start_server(self) -> None:
        """Start the API server; return when it is ready.

        It listens on the simulated internet, and on a loopback socket of the machine that is opened
        here, before the process enters its own namespace.
        """
        token = self.layout.join_token
        if not token.exists():
            token.parent.mkdir(parents=True, exist_ok=True)
            token.touch(mode=0o600)
            token.write_text(secrets.token_urlsafe(24))
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", self.layout.api_port))
            listener.listen(128)
            self.processes.start(
                "server",
                [
                    *_chita("server"),
                    "--data-dir", str(self.layout.server_data),
                    "--listen", f"{self.topology.control_addresses[0]}:{API_PORT}",
                    "--listen-fd", str(listener.fileno()),
                    "--kubeconfig", str(self.layout.kubeconfig),
                    "--join-token-file", str(token),
                ],
                namespace=netns_path(self.topology.control_namespace),
                pass_fds=[listener.fileno()],
            )  # fmt: skip
        self.wait("the API server", "server", self._server_answers)

    def start_agent(self, node: NodePlace, *, engines: Path | None = None) -> None:
        """Start the agent of *node*, with the engines of a directory if one is given.

        See `wait_for_agents`.
        """
        path = os.environ.get("PATH", os.defpath)
        home = self.layout.node(node.name)
        self.processes.start(
            f"agent-{node.name}",
            [
                *_chita("agent"),
                "--node", node.name,
                "--server", f"https://{self.topology.control_addresses[0]}:{API_PORT}",
                "--ca-file", str(self.layout.ca_file),
                "--state-dir", str(home.state),
                "--run-dir", str(home.run),
            ],
            namespace=netns_path(node.namespace),
            environment={
                "CHITA_JOIN_TOKEN": self.layout.join_token.read_text(),
                "PATH": f"{engines}:{path}" if engines else path,
            },
        )  # fmt: skip

    def wait_for_agents(self, names: Sequence[str] | None = None) -> None:
        """Return when the agents (of the nodes *names*, or all) hold what they should."""
        for node in self.topology.nodes:
            if names is None or node.name in names:
                self.wait(
                    f"the agent of {node.name}",
                    f"agent-{node.name}",
                    lambda node=node: bool(self.status(node.name).get("in_sync")),  # type: ignore[misc]
                )

    def start_pods(self) -> int:
        """Attach every pod, listen for each, and tell the API of services' endpoints."""
        pods = attached_pods(self.world.of_kind("Pod"))
        for node in self.topology.nodes:
            home = self.layout.node(node.name)
            install(home.cni_bin, home.cni_conf, socket=home.socket)
        attach_pods(pods, self.layout, self.topology, self.state)
        self.start_listeners()
        asyncio.run(put_slices(self.client(), self.world))
        return len(pods)

    def start_listeners(self) -> None:
        """Start the process that listens for all pods and for the hosts outside."""
        control = self.layout.pods_socket
        self.processes.start(
            "pods", [sys.executable, "-m", "chita.lab.pods", "--control", str(control)]
        )
        # Connected to, for its socket is there a moment before it listens.
        self.wait("the lab's pods", "pods", lambda: not tell(control, []))
        messages = [
            Add(
                name=pod_key(pod),
                namespace=str(netns_path(self.topology.pod_namespace(pod))),
                ports=tuple(
                    Port(port=port, protocol=PROTOCOL_NAMES[protocol])
                    for protocol, port in pod_ports(pod)
                ),
            )
            for pod in attached_pods(self.world.of_kind("Pod"))
        ]
        messages += [
            Add(
                name=place.host.name,
                namespace=str(netns_path(place.namespace)),
                ports=place.host.ports,
            )
            for place in self.topology.hosts
        ]
        for reply in tell(control, messages):
            if reply.error:
                raise EngineError(reply.error)

    def wait_for_fabric(self) -> None:
        """Return when every agent knows every pod's addresses and every node's record."""
        pods = len(attached_pods(self.world.of_kind("Pod")))
        names = {node.name for node in self.topology.nodes}

        def is_complete(node: str) -> bool:
            status = self.status(node)
            joined = {
                name
                for name, path in status["paths"].items()
                if "has not joined" not in path["reason"]
            }
            return status["workloads"] >= pods and joined >= names - {node}

        for node in sorted(names):
            self.wait(
                f"the view of {node}",
                f"agent-{node}",
                lambda node=node: is_complete(node),  # type: ignore[misc]
            )

    def wait_for_paths(self) -> list[str]:
        """Return when paths are what the records promise, or after a while what they are instead.

        In a world that holds less than its records say they never are; then it is as it is.
        """
        wanted = promised(asyncio.run(self.cluster()), [it.name for it in self.topology.nodes])
        deadline = time.monotonic() + SETTLE_S
        while (others := other_than(wanted, self.status)) and time.monotonic() < deadline:
            time.sleep(SETTLE_POLL_S)
        return others

    async def cluster(self) -> ClusterState:
        """Return the cluster as the API has it, by the same conversion as the agents'."""
        async with self.client() as client:
            return await read_cluster(client)

    def status(self, node: str) -> dict[str, Any]:
        """Return what a node's agent says of itself.

        Raises:
            ApiError: it does not answer.
        """
        answer: dict[str, Any] = ask(self.layout.node(node).socket, StatusRequest())
        return answer

    def wait(self, what: str, process: str, is_ready: Callable[[], bool], *, s: float = 30) -> None:
        """Return when *is_ready* says so.

        Raises:
            EngineError: *process* ended meanwhile, or *s* seconds were not enough.
        """
        deadline = time.monotonic() + s
        last: Exception | None = None
        while True:
            self.processes.check(process)
            try:
                if is_ready():
                    return
            except (ChitaError, OSError) as error:
                last = error
            if time.monotonic() > deadline:
                log = self.processes.log(process)
                raise EngineError(f"{what} is not ready after {s:g} s ({last}); see {log}")
            time.sleep(0.02)

    def netns_of(self, place: str) -> str:
        """Return the network namespace of a node, a cloud's router, a host or a pod.

        Raises:
            NotFoundError: there is no such place; the message has the names there are.
        """
        known = {node.name: node.namespace for node in self.topology.nodes}
        known |= {cloud.name: cloud.namespace for cloud in self.topology.clouds}
        known |= {host.host.name: host.namespace for host in self.topology.hosts}
        known |= {"wan": self.topology.wan_namespace, "control": self.topology.control_namespace}
        known |= {
            pod_key(pod): self.topology.pod_namespace(pod) for pod in self.world.of_kind("Pod")
        }
        if place not in known:
            raise NotFoundError(f"the lab has no '{place}'; it has {', '.join(known)}")
        return known[place]

    def describe(self) -> dict[str, Any]:
        """Return which processes run, how each agent is, and which faults are made."""
        clouds = any(cloud.has_metadata for cloud in self.topology.clouds)
        services = ["metadata"] if clouds else []
        names = [
            "server",
            *services,
            "pods",
            *(f"agent-{node.name}" for node in self.topology.nodes),
        ]
        running = {
            name: "running" if self.processes.find(name) else "not running" for name in names
        }
        state = self.state.read()
        agents: dict[str, Any] = {}
        for node in self.topology.nodes:
            try:
                agents[node.name] = self.status(node.name)
            except ApiError as error:
                agents[node.name] = {"error": str(error)}
        return {
            "world": list(state.worlds) if state else [],
            "processes": running,
            "agents": agents,
            "faults": [str(fault) for fault in state.faults] if state else [],
        }

    def client(self) -> ApiClient:
        """Return a client of the API server with all rights."""
        return ApiClient(read_kubeconfig(self.layout.kubeconfig))

    def _server_answers(self) -> bool:
        if not self.layout.kubeconfig.exists():
            return False

        async def ready() -> bool:
            async with self.client() as client:
                await client.list(resource_of({"apiVersion": "v1", "kind": "Namespace"}))
                return True

        return asyncio.run(ready())

    @contextmanager
    def _step(self, name: str) -> Iterator[Callable[[str], None]]:
        started = time.perf_counter()
        detail: list[str] = []
        self._progress.started(name)
        yield detail.append
        self._progress.finished(name, " ".join(detail), time.perf_counter() - started)


def _chita(command: str) -> list[str]:
    return [sys.executable, "-m", "chita", command]
