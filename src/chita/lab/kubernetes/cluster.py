"""A real Kubernetes on the lab's underlay: control plane in one place, kubelets in many clouds.

    make test-kubernetes

etcd, kube-apiserver, kube-controller-manager and kube-scheduler run where the lab's API server
would; containerd, kubelet and kube-proxy run on each machine; Chita comes by its own manifest.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from chita.errors import EngineError
from chita.lab.builder import build_underlay
from chita.lab.cluster import API_PORT, Progress
from chita.lab.kubernetes.credentials import Credentials
from chita.lab.kubernetes.leftovers import descendants, remove_control_groups
from chita.lab.kubernetes.machine import CONTAINERD_SOCKET, Machine, entering
from chita.lab.kubernetes.programs import (
    AUDIT_POLICY,
    CONTAINERD,
    SERVICE_ADDRESS,
    Programs,
    ProxyMode,
)
from chita.lab.layout import Layout
from chita.lab.metadata import metadata_services
from chita.lab.processes import Processes
from chita.lab.removal import end_processes, remove_everything
from chita.lab.state import State, StateFile
from chita.lab.topology import topology
from chita.lab.world import World, read_world

WORLD = Path(__file__).with_name("world.yaml")
LAYOUT = Layout(directory=Path("/run/chita-kubernetes"), prefix="chita-tk-")
"""The prefix is one that a user's lab spares when it sweeps."""
MASTER = "master-1"
WAIT_S = 120.0
_POLL_S = 0.2
_TAIL = 12


class KubernetesLab:
    """The cluster whose files are in one directory."""

    def __init__(self, programs: Path, progress: Progress, layout: Layout = LAYOUT) -> None:
        """*programs*: the folder of Kubernetes' own, from `binaries`."""
        self.layout = layout
        self.state = StateFile(layout.directory)
        self.processes = Processes(self.state)
        self._progress = progress
        self.world: World = read_world([WORLD])
        self.topology = topology(self.world, prefix=layout.prefix)
        self.address = str(self.topology.control_addresses[0])
        self.credentials = Credentials(
            layout.directory / "pki", f"https://{self.address}:{API_PORT}"
        )
        self.programs = Programs(programs, self.credentials, self.address)
        self.machines: dict[str, Machine] = {it.name: it for it in self._machines()}
        self.audit_log = layout.directory / "audit.log"

    def up(self, images: Sequence[Path], *, proxy: ProxyMode = ProxyMode.NFTABLES) -> None:
        """Bring the cluster up with *images* on every machine, after removing an earlier one.

        Raises:
            EngineError: something did not get ready; the message ends with its log's last lines.
        """
        self.down()
        self.state.write(State(prefix=self.layout.prefix, worlds=(str(WORLD),)))
        self._step("underlay", self._build)
        self._step("control plane", self.start_control_plane)
        self._step("machines", lambda: self._start_machines(images))
        self._step("kubelets", lambda: self._start_kubelets(proxy))

    def down(self) -> None:
        """Remove every trace: processes, containers, namespaces, mounts, control groups, files."""
        recorded = self.state.read() if self.state.is_ours() else None
        # First who would start anew what is ended.
        for machine in self.machines:
            for program in ("kubelet", "containerd") if recorded else ():
                self.stop(machine, program)
        roots = [process.pid for process in recorded.processes] if recorded else []
        # Containers are in namespaces of their own: only who started them leads to them.
        below = descendants(roots, self.layout.directory)
        end_processes(below)
        remove_everything(self.state, prefix=self.layout.prefix)
        remove_control_groups()

    def kubectl(self, *arguments: str, stdin: str = "", s: float = 60) -> str:
        """Run kubectl as an administrator on the control plane's machine; return its output.

        Raises:
            EngineError: it failed, or took longer than *s* seconds.
        """
        done = self.try_kubectl(*arguments, stdin=stdin, s=s)
        if done.returncode != 0:
            raise EngineError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def try_kubectl(
        self, *arguments: str, stdin: str = "", s: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl; return how it ended.

        Raises:
            EngineError: it took longer than *s* seconds.
        """
        kubectl = shutil.which("kubectl", path=f"{Path(sys.executable).parent}:{os.defpath}")
        config = f"--kubeconfig={self.credentials.kubeconfig('admin')}"
        command = self.on(MASTER, [kubectl or "kubectl", config, *arguments])
        try:
            return subprocess.run(
                command, input=stdin, capture_output=True, text=True, check=False, timeout=s
            )
        except subprocess.TimeoutExpired as error:
            raise EngineError(f"kubectl {' '.join(arguments)} took over {s:g} s") from error

    def get(self, *what: str) -> Any:
        """Return objects as kubectl has them."""
        return json.loads(self.kubectl("get", "-o", "json", *what))

    def on(self, machine: str, command: Sequence[str]) -> list[str]:
        """Return *command* as it runs on a machine.

        Raises:
            EngineError: the machine is not up.
        """
        first = self.processes.find(f"machine-{machine}")
        if first is None:
            raise EngineError(f"the machine {machine} is not up")
        return entering(first, command)

    def start(self, machine: str, program: str, command: Sequence[str]) -> None:
        """Start a program on a machine, under a name of its own."""
        self.processes.start(f"{program}-{machine}", self.on(machine, command))

    def stop(self, machine: str, program: str) -> None:
        """End a program of a machine."""
        self.processes.stop(f"{program}-{machine}")

    def wait(
        self, what: str, is_so: Callable[[], bool], *, process: str = "", s: float = WAIT_S
    ) -> None:
        """Return when *is_so* says so.

        Raises:
            EngineError: *process* ended meanwhile, or *s* seconds were not enough.
        """
        deadline = time.monotonic() + s
        last: Exception | None = None
        while True:
            if process:
                self.processes.check(process)
            try:
                if is_so():
                    return
            except (EngineError, OSError, KeyError) as error:
                last = error
            if time.monotonic() > deadline:
                tail = self._tail(process) if process else ""
                raise EngineError(f"{what}: not so after {s:g} s ({last}){tail}")
            time.sleep(_POLL_S)

    def start_control_plane(self) -> None:
        """Start what the API consists of; return when it answers."""
        self.start(MASTER, "etcd", self.programs.etcd(self.layout.directory / "etcd"))
        self.start_api_server()
        # These end when the roles that let them read their own configuration are not there yet.
        self.start(MASTER, "controllers", self.programs.controllers())
        self.start(MASTER, "scheduler", self.programs.scheduler())

    def start_api_server(self) -> None:
        """Start kube-apiserver; return when it is ready."""
        self.audit_log.with_name("audit-policy.json").write_text(AUDIT_POLICY)
        self.start(MASTER, "apiserver", self.programs.api_server(self.audit_log))
        self.wait(
            "the API server is ready",
            lambda: self.try_kubectl("get", "--raw", "/readyz").returncode == 0,
            process=f"apiserver-{MASTER}",
        )

    def name_machines(self) -> None:
        """Let the control plane know where each node is: at its mesh address."""
        lines = ["127.0.0.1 localhost"]
        for node in self.get("nodes")["items"]:
            annotations = node["metadata"].get("annotations", {})
            if address := annotations.get("chita.dev/mesh-ipv4"):
                lines.append(f"{address} {node['metadata']['name']}")
        # Written in place: another file under its name would not be the one that is mounted.
        self.machines[MASTER].path("/etc/hosts").write_text("\n".join([*lines, ""]))

    def _machines(self) -> list[Machine]:
        nodes = {node["metadata"]["name"]: node for node in self.world.of_kind("Node")}
        home = self.layout.directory / "machines"
        found = [
            Machine(
                name=MASTER,
                namespace=self.topology.control_namespace,
                directory=home / MASTER,
                addresses=tuple(map(str, self.topology.control_addresses)),
                is_control_plane=True,
            )
        ]
        for place in self.topology.nodes:
            node = nodes[place.name]
            found.append(
                Machine(
                    name=place.name,
                    namespace=place.namespace,
                    directory=home / place.name,
                    addresses=tuple(it["address"] for it in node["status"]["addresses"]),
                    provider_id=node["spec"]["providerID"],
                    labels=tuple(node["metadata"]["labels"].items()),
                )
            )
        return found

    def _build(self) -> None:
        build_underlay(self.topology, self.state)
        services = metadata_services(self.world, self.topology)
        self.layout.metadata_file.write_bytes(msgspec.json.encode(services))
        self.processes.start(
            "metadata",
            [sys.executable, "-m", "chita.lab.metadata_server", str(self.layout.metadata_file)],
        )
        addresses: list[str] = [SERVICE_ADDRESS, self.address, "127.0.0.1"]
        self.credentials.make(addresses, list(self.machines))
        for machine in self.machines.values():
            machine.boot(self.processes)
        for machine in self.machines.values():
            self.wait(
                f"{machine.name} is up",
                lambda machine=machine: machine.is_up,  # type: ignore[misc]
                process=f"machine-{machine.name}",
            )

    def _start_machines(self, images: Sequence[Path]) -> None:
        for machine in self.machines.values():
            machine.path("containerd.toml").write_text(CONTAINERD)
            self.start_containerd(machine.name)
        for machine in self.machines.values():
            self.load(machine.name, images)

    def start_containerd(self, machine: str) -> None:
        """Start a machine's container runtime."""
        settings = self.machines[machine].path("containerd.toml")
        self.start(machine, "containerd", ["containerd", "--config", str(settings)])

    def load(self, machine: str, images: Sequence[Path]) -> None:
        """Import *images* on a machine, as soon as its runtime answers."""
        socket = self.machines[machine].path(CONTAINERD_SOCKET)
        self.wait(f"containerd of {machine}", socket.exists, process=f"containerd-{machine}")
        for image in images:
            command = ["ctr", "-n", "k8s.io", "images", "import", str(image)]
            self.wait(
                f"{image.name} on {machine}",
                lambda command=command: self._succeeds(machine, command),  # type: ignore[misc]
                process=f"containerd-{machine}",
            )

    def _succeeds(self, machine: str, command: Sequence[str]) -> bool:
        done = subprocess.run(
            self.on(machine, command), capture_output=True, text=True, check=False, timeout=WAIT_S
        )
        if done.returncode != 0:
            raise EngineError(f"{' '.join(command)} on {machine}: {done.stderr.strip()}")
        return True

    def _start_kubelets(self, proxy: ProxyMode) -> None:
        for machine in self.machines.values():
            configuration = self.programs.kubelet_configuration(machine)
            machine.path("kubelet.json").write_text(configuration)
            self.start_kubelet(machine.name)
            self.start(machine.name, "proxy", self.programs.proxy(machine, proxy))
        self.wait("all nodes are there", lambda: set(self.machines) <= self.node_names())

    def start_kubelet(self, machine: str) -> None:
        """Start a machine's kubelet; return when it is healthy.

        It ends while containerd is not quite ready; then it is started again, as systemd would.
        """
        command = self.programs.kubelet(self.machines[machine])
        health = ["busybox", "wget", "-q", "-O", "-", "http://127.0.0.1:10248/healthz"]

        def is_healthy() -> bool:
            if self.processes.find(f"kubelet-{machine}") is None:
                self.start(machine, "kubelet", command)
            return self._succeeds(machine, health)

        self.wait(f"kubelet of {machine}", is_healthy)

    def node_names(self) -> set[str]:
        """Return the names of the nodes that the API has."""
        return {node["metadata"]["name"] for node in self.get("nodes")["items"]}

    def _step(self, name: str, action: Callable[[], None]) -> None:
        started = time.perf_counter()
        self._progress.started(name)
        action()
        self._progress.finished(name, "", time.perf_counter() - started)

    def _tail(self, process: str) -> str:
        with suppress(OSError):
            lines = self.processes.log(process).read_text(errors="replace").splitlines()
            return "; its log ends:\n" + "\n".join(lines[-_TAIL:])
        return ""
