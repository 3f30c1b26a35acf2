"""A real agent process in a namespace, with its server there too, and a neighbour in each rung."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from chita.dataplane.netlink.rules import OURS
from chita.errors import ApiError
from chita.lab.netns import entered, start_in
from chita.rpc.client import ask
from chita.rpc.messages import NodeStateRequest, StatusRequest
from network_namespace import fresh_namespaces, run_inside
from server_process import TOKEN, ServerProcess, running_server

PATIENCE_S = 20.0
NODE = "n1"
PROTOCOL = str(OURS.protocol)


class AgentProcess:
    """The agent of node ``n1``, which may be killed and started again."""

    def __init__(self, space: Path, server: ServerProcess, directory: Path) -> None:
        self.space = space
        self.server = server
        self.directory = directory
        self.socket = directory / "run" / "agent.sock"
        self.log = directory / "agent.log"
        self.process: subprocess.Popen[str] | None = None

    def start(self, *arguments: str) -> None:
        """Start the agent; see `wait_in_sync`."""
        with self.log.open("ab") as output:
            self.process = start_in(
                self.space,
                [
                    sys.executable, "-m", "chita", "agent",
                    "--node", NODE,
                    "--server", self.server.url,
                    "--ca-file", str(self.server.authority),
                    "--state-dir", str(self.directory / "state"),
                    "--run-dir", str(self.directory / "run"),
                    *arguments,
                ],
                env={**os.environ, "CHITA_JOIN_TOKEN": TOKEN},
                stdout=output,
                stderr=output,
            )  # fmt: skip

    def wait_in_sync(self) -> dict[str, Any]:
        """Return the status once the agent says that it is in sync."""
        wait_until(lambda: self.status_or_none().get("in_sync"), self.log)
        return self.status()

    def status_or_none(self) -> dict[str, Any]:
        """Return the status; empty while the agent does not answer yet."""
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.status()
        except ApiError:
            return {}

    def status(self) -> dict[str, Any]:
        """Return what the agent says of itself."""
        answer: dict[str, Any] = ask(self.socket, StatusRequest())
        return answer

    def state(self) -> dict[str, Any]:
        """Return what the agent holds the kernel to."""
        answer: dict[str, Any] = ask(self.socket, NodeStateRequest())
        return answer

    def end(self, number: signal.Signals) -> float:
        """End the agent by a signal; return how long it took, seconds."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(PATIENCE_S)
        return time.monotonic() - began

    def kernel(self) -> dict[str, str]:
        """Return all that is ours in the kernel, as the tools print it."""
        return {
            "nft": run_inside(self.space, "nft", "list", "table", "inet", "chita"),
            "routes": run_inside(
                self.space, "ip", "route", "show", "table", "all", "proto", PROTOCOL
            ),
            "rules": run_inside(self.space, "ip", "rule"),
            "links": run_inside(self.space, "ip", "-br", "link"),
        }


def as_admin(space: Path, server: ServerProcess, method: str, path: str, body: Any = None) -> Any:
    """Send one request from inside *space*; it must succeed."""
    with entered(space):
        answer = server.as_admin(method, path, body)
    assert answer.status < 300, answer.body
    return answer.body


def wait_until(is_so: Callable[[], Any], log: Path | None = None) -> float:
    """Return how long it took, seconds, until *is_so*."""
    began = time.monotonic()
    while not is_so():
        said = log.read_text() if log is not None else ""
        assert time.monotonic() - began < PATIENCE_S, f"not within {PATIENCE_S:g} s\n{said}"
        time.sleep(0.005)
    return time.monotonic() - began


@contextmanager
def node_with_neighbours(directory: Path) -> Iterator[AgentProcess]:
    """Yield an agent (not started) whose cluster needs VXLAN, WireGuard and routes."""
    with ExitStack() as stack:
        (space,) = stack.enter_context(fresh_namespaces(1))
        run_inside(space, "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "far0")
        for device in ("eth0", "far0"):
            run_inside(space, "ip", "link", "set", device, "up")
        run_inside(space, "ip", "address", "add", "192.0.2.1/24", "dev", "eth0")
        with entered(space):
            server = stack.enter_context(running_server(directory))
        for path, obj in _objects():
            as_admin(space, server, "POST", path, obj)
        agent = AgentProcess(space, server, directory)
        stack.callback(end_agent, agent)
        yield agent


def end_agent(agent: AgentProcess) -> None:
    if agent.process is not None and agent.process.poll() is None:
        agent.end(signal.SIGKILL)
    # wireguard-go outlives its agent on purpose.
    for pid_file in (agent.directory / "run").glob("*.pid"):
        with suppress(ProcessLookupError, ValueError):
            os.kill(json.loads(pid_file.read_text())["pid"], signal.SIGTERM)


def _objects() -> Iterator[tuple[str, dict[str, Any]]]:
    places = [
        (NODE, "here", "192.0.2.1", "192.0.2.1"),
        ("n2", "here", "192.0.2.2", ""),
        ("n3", "there", "10.0.0.3", "192.0.2.3"),
    ]
    yield (
        "/apis/projectcalico.org/v3/ippools",
        {
            "apiVersion": "projectcalico.org/v3",
            "kind": "IPPool",
            "metadata": {"name": "pods"},
            "spec": {"cidr": "10.244.0.0/16", "vxlanMode": "Always"},
        },
    )
    for number, (name, location, private, public) in enumerate(places, 1):
        addresses = [{"type": "InternalIP", "address": private}]
        addresses += [{"type": "ExternalIP", "address": public}] if public else []
        yield (
            "/api/v1/nodes",
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {
                    "name": name,
                    "labels": {"chita.dev/location": location},
                    "annotations": {"chita.dev/mesh-ipv4": f"100.64.0.{number}"},
                },
                "status": {"addresses": addresses},
            },
        )
        yield "/apis/projectcalico.org/v3/ipamblocks", _block(number, name)
        if name != NODE:
            yield (
                "/apis/chita.dev/v1alpha1/fabricnodes",
                _record(number, name, location, private, public),
            )


def _block(number: int, node: str) -> dict[str, Any]:
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "IPAMBlock",
        "metadata": {"name": f"10-244-{number}-0-26"},
        "spec": {
            "cidr": f"10.244.{number}.0/26",
            "affinity": f"host:{node}",
            "allocations": [None] * 64,
            "unallocated": list(range(64)),
            "attributes": [],
        },
    }


def _record(number: int, name: str, location: str, private: str, public: str) -> dict[str, Any]:
    key = X25519PrivateKey.generate().public_key().public_bytes_raw()
    return {
        "apiVersion": "chita.dev/v1alpha1",
        "kind": "FabricNode",
        "metadata": {"name": name},
        "spec": {
            "location": location,
            "interfaces": [{"address": private, "subnet": f"{private.rpartition('.')[0]}.0/24"}],
            "endpoints": [public] if public else [],
            "wireguard": {"publicKey": base64.b64encode(key).decode(), "port": 51820},
            "vtepMAC": f"02:00:00:00:00:0{number}",
            "wireMTU": 1500,
            "gatewayWeight": 1 if public else 0,
        },
    }
