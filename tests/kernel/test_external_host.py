"""A host without Kubernetes joins by one command: it reaches pods, is reached, policy applies."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from agent_process import NODE, AgentProcess, as_admin, end_agent, wait_until
from chita.lab.netns import entered, start_in
from network_namespace import fresh_namespaces, needs_root, ping, run_inside
from server_process import running_server

pytestmark = [pytest.mark.kernel, pytest.mark.slow, needs_root]

HOST = "vm-1"
POD, CIDR = "10.244.1.5", "10.244.1.0/26"
PORT = 8080
LISTEN = (
    "import socket;s=socket.socket();s.setsockopt(1,2,1);s.bind(('0.0.0.0',8080));s.listen(9)\n"
    "while True: s.accept()[0].close()"
)
CONNECT = "import socket,sys;socket.create_connection((sys.argv[1],8080),float(sys.argv[2]))"
POOL = {
    "apiVersion": "projectcalico.org/v3",
    "kind": "IPPool",
    "metadata": {"name": "pods"},
    "spec": {"cidr": "10.244.0.0/16", "vxlanMode": "Always"},
}
BLOCK = {
    "apiVersion": "projectcalico.org/v3",
    "kind": "IPAMBlock",
    "metadata": {"name": "10-244-1-0-26"},
    "spec": {
        "cidr": CIDR,
        "affinity": f"host:{NODE}",
        "allocations": [None] * 64,
        "unallocated": list(range(64)),
        "attributes": [],
    },
}
NODE_OBJECT = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": NODE, "labels": {"chita.dev/location": "aws"}},
    "status": {
        "addresses": [
            {"type": "InternalIP", "address": "192.0.2.1"},
            {"type": "ExternalIP", "address": "192.0.2.1"},
        ]
    },
}
POLICY = {
    "apiVersion": "projectcalico.org/v3",
    "kind": "GlobalNetworkPolicy",
    "metadata": {"name": "databases"},
    "spec": {
        "selector": "chita.dev/host == 'external'",
        "types": ["Ingress"],
        "ingress": [{"action": "Deny", "protocol": "TCP", "destination": {"ports": [PORT]}}],
    },
}


class Host(AgentProcess):
    """The agent of a host that joined: it is told nothing but its directories."""

    def start(self, *arguments: str) -> None:
        with self.log.open("ab") as output:
            self.process = start_in(
                self.space,
                [
                    sys.executable, "-m", "chita", "agent",
                    "--state-dir", str(self.directory / "state"),
                    "--run-dir", str(self.directory / "run"),
                    *arguments,
                ],
                env=dict(os.environ),
                stdout=output,
                stderr=output,
            )  # fmt: skip


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[AgentProcess, Host]]:
    """A node with a pod's address, and a host in another place, over one wire."""
    directory = tmp_path_factory.mktemp("node")
    with ExitStack() as stack:
        near, far = stack.enter_context(fresh_namespaces(2))
        run_inside(near, "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0",
                   "netns", far.name)  # fmt: skip
        for number, space in enumerate((near, far), 1):
            run_inside(space, "ip", "link", "set", "eth0", "up")
            run_inside(space, "ip", "address", "add", f"192.0.2.{number}/24", "dev", "eth0")
        run_inside(near, "ip", "link", "set", "lo", "up")
        run_inside(near, "ip", "address", "add", f"{POD}/32", "dev", "lo")
        with entered(near):
            server = stack.enter_context(running_server(directory, "--listen", "192.0.2.1:6443"))
        for path, obj in (
            ("/apis/projectcalico.org/v3/ippools", POOL),
            ("/api/v1/nodes", NODE_OBJECT),
            ("/apis/projectcalico.org/v3/ipamblocks", BLOCK),
        ):
            as_admin(near, server, "POST", path, obj)
        node = AgentProcess(near, server, directory)
        host = Host(far, server, tmp_path_factory.mktemp("host"))
        stack.callback(end_agent, node)
        stack.callback(end_agent, host)
        node.start()
        printed = run_inside(
            near, sys.executable, "-m", "chita", "node", "token",
            "--server", "https://192.0.2.1:6443", "--kubeconfig", str(server.kubeconfig),
        )  # fmt: skip
        _, *command = shlex.split(printed)
        run_inside(
            far, sys.executable, "-m", "chita", *command,
            "--name", HOST, "--state-dir", str(host.directory / "state"),
        )  # fmt: skip
        host.start()
        host.wait_in_sync()
        # The first handshake may come before the node knows whose it is: WireGuard repeats it.
        wait_until(lambda: _answers(far, _mesh(node, NODE)), host.log)
        yield node, host


def _answers(space: Path, address: str) -> bool:
    command = ["ping", "-q", "-c", "1", "-W", "1", address]
    with subprocess.Popen(
        ["ip", "netns", "exec", space.name, *command], stdout=subprocess.DEVNULL
    ) as process:
        return process.wait() == 0


def _endpoint(node: AgentProcess) -> dict[str, Any] | None:
    path = "/apis/projectcalico.org/v3/hostendpoints"
    items = as_admin(node.space, node.server, "GET", path)["items"]
    return next((item for item in items if item["spec"]["node"] == HOST), None)


def _mesh(agent: AgentProcess, name: str) -> str:
    node = as_admin(agent.space, agent.server, "GET", f"/api/v1/nodes/{name}")
    found: str = node["metadata"]["annotations"]["chita.dev/mesh-ipv4"]
    return found


def _connects(space: Path, address: str, timeout_s: float) -> bool:
    command = [sys.executable, "-c", CONNECT, address, str(timeout_s)]
    with subprocess.Popen(
        ["ip", "netns", "exec", space.name, *command], stderr=subprocess.DEVNULL
    ) as process:
        return process.wait() == 0


def test_it_reaches_pods_and_is_reached(pair: tuple[AgentProcess, Host]) -> None:
    """Over the tunnel, both ways; it runs no pods and needs no CNI for it."""
    node, host = pair
    wait_until(lambda: CIDR in host.state()["routes"], host.log)

    ping(host.space, POD, count=5)
    ping(host.space, _mesh(node, NODE))
    ping(node.space, _mesh(node, HOST))
    assert HOST == host.status()["node"]


def test_policy_selects_it_by_its_label(pair: tuple[AgentProcess, Host]) -> None:
    """Its own endpoint is made for it; what nobody asked for stays open."""
    node, host = pair
    wait_until(lambda: _endpoint(node), host.log)
    endpoint = _endpoint(node)
    assert endpoint is not None
    assert "external" == endpoint["metadata"]["labels"]["chita.dev/host"]
    mesh = _mesh(node, HOST)
    listener = start_in(host.space, [sys.executable, "-c", LISTEN], env=dict(os.environ))
    try:
        wait_until(lambda: _connects(node.space, mesh, 1.0))
        as_admin(node.space, node.server, "POST",
                 "/apis/projectcalico.org/v3/globalnetworkpolicies", POLICY)  # fmt: skip
        wait_until(lambda: not _connects(node.space, mesh, 0.3))
        as_admin(node.space, node.server, "DELETE",
                 "/apis/projectcalico.org/v3/globalnetworkpolicies/databases")  # fmt: skip
        wait_until(lambda: _connects(node.space, mesh, 1.0))
    finally:
        listener.send_signal(signal.SIGKILL)
        listener.wait()


@pytest.mark.skipif(shutil.which("wg-quick") is None, reason="needs wg-quick")
def test_a_machine_without_an_agent_comes_in_too(
    pair: tuple[AgentProcess, Host], tmp_path: Path
) -> None:
    """One command and wg-quick: it reaches pods, and hosts behind its gateway, whose agent acts."""
    node, host = pair
    with fresh_namespaces(1) as (space,), ExitStack() as stack:
        run_inside(node.space, "ip", "link", "add", "eth9", "type", "veth", "peer", "name", "eth0",
                   "netns", space.name)  # fmt: skip
        for number, (each, device) in enumerate(((node.space, "eth9"), (space, "eth0")), 1):
            run_inside(each, "ip", "link", "set", device, "up")
            run_inside(each, "ip", "address", "add", f"198.51.100.{number}/24", "dev", device)
        run_inside(space, "ip", "route", "add", "192.0.2.1", "via", "198.51.100.1")
        file = tmp_path / f"ct{os.getpid()}.conf"
        run_inside(
            node.space, sys.executable, "-m", "chita", "node", "export-peer", "phone",
            "--gateway", NODE, "--output", str(file), "--kubeconfig", str(node.server.kubeconfig),
        )  # fmt: skip
        run_inside(space, "wg-quick", "up", str(file))
        stack.callback(run_inside, space, "wg-quick", "down", str(file))

        wait_until(lambda: _answers(space, POD), node.log)
        wait_until(lambda: _answers(space, _mesh(node, HOST)), host.log)
        sessions = [peer["node"] for peer in node.status()["peers"]]
        assert "StaticPeer phone" in sessions
