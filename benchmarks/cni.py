"""CNI ADD and DEL as a container runtime sees them, beside the Go reference plugins.

    sudo .venv/bin/python benchmarks/cni.py [--rounds 100] [--out results.json]

Ours: the installed shim, a service process with real pod interfaces, and addresses from a block
store in memory; with ``--server`` from a ``chita server`` of its own; with ``--agent`` all of it: a
real agent that knows the pod, programs its policy and reports its status before ADD ends. Theirs:
``ptp`` with ``host-local`` (Debian containernetworking-plugins). Both in one run, in turns, within
a network namespace made for it, each pod a namespace of its own. A round is ADD then DEL; figures
are milliseconds of wall time until the process that the runtime started ends.

We assign both families, they IPv4 alone: with IPv6 ``ptp`` waits for duplicate address detection,
which makes its ADD 1.8 s.

Our DEL ends when the pod is cut off and its addresses are free; the kernel takes the device away
meanwhile. Theirs waits for it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from typing import Any

BUDGET = 1.5
"""Times the reference plugins' median ADD+DEL."""
SHIM_BUDGET_MS = 25.0
POD_NAMESPACES = 8
PLUGINS = Path("/usr/lib/cni")
POOLS = {"v4": "10.244.0.0/16", "v6": "fd00:10:244::/64"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--server", action="store_true", help="keep blocks in a chita server")
    parser.add_argument("--agent", action="store_true", help="measure a real agent and server")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(options.serve))
        return 0
    if options.inside:
        with ExitStack() as running:
            if options.server or options.agent:
                running.enter_context(api_server(options.inside))
            if options.agent:
                running.enter_context(agent(options.inside, options.rounds))
            else:
                running.enter_context(service(options.inside))
            result = measure(options.inside, options.rounds)
        result["with"] = [name for name in ("server", "agent") if getattr(options, name)]
        text = json.dumps(result, indent=2)
        print(text)
        if options.out:
            options.out.write_text(text + "\n")
        return 0 if result["ratio"] <= BUDGET else 1
    return in_namespaces()


def in_namespaces() -> int:
    """Run this again inside a fresh namespace; remove all namespaces whatever happens."""
    names = [f"chita-tbench{os.getpid()}"]
    names += [f"{names[0]}-{index}" for index in range(POD_NAMESPACES)]
    made: list[str] = []
    try:
        for name in names:
            subprocess.run(["ip", "netns", "add", name], check=True)
            made.append(name)
        subprocess.run(["ip", "-n", names[0], "link", "set", "lo", "up"], check=True)
        with tempfile.TemporaryDirectory(prefix="chita-bench") as directory:
            (Path(directory) / "pods").write_text("\n".join(names[1:]))
            command = [sys.executable, __file__, *sys.argv[1:], "--inside", directory]
            return subprocess.run(
                ["ip", "netns", "exec", names[0], *command], check=False
            ).returncode
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "delete", name], check=False)


def measure(directory: Path, rounds: int) -> dict[str, Any]:
    from chita.cni.install import BINARY, install  # not in the outer process's start

    socket = directory / "agent.sock"
    install(directory / "bin", directory / "net.d", socket=socket)
    pods = [f"/run/netns/{name}" for name in (directory / "pods").read_text().split()]
    ours = Plugin(
        directory / "bin" / BINARY,
        {"cniVersion": "1.1.0", "name": "bench", "type": BINARY},
    )
    theirs = Plugin(
        PLUGINS / "ptp",
        {
            "cniVersion": "1.0.0",
            "name": "bench-ptp",
            "type": "ptp",
            "ipam": {
                "type": "host-local",
                "dataDir": str(directory / "ipam"),
                "ranges": [[{"subnet": "10.9.0.0/16"}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        },
    )
    wait_for(lambda: ours.run("STATUS", 0, "").returncode == 0)
    for number in range(rounds + POD_NAMESPACES):
        # Far apart: our device may still be going when the next pod comes.
        places = {ours: pods[number % len(pods)], theirs: pods[(number + 4) % len(pods)]}
        for plugin in (ours, theirs) if number % 2 else (theirs, ours):
            plugin.round(number, places[plugin])
    for plugin in (ours, theirs):
        del plugin.add_ms[:POD_NAMESPACES], plugin.del_ms[:POD_NAMESPACES]  # warm-up
    figures = {"chita": ours.figures(), "ptp+host-local": theirs.figures()}
    ratio = figures["chita"]["round_ms_p50"] / figures["ptp+host-local"]["round_ms_p50"]
    return {
        "benchmark": "cni",
        "rounds": rounds,
        "families": {"chita": [4, 6], "ptp+host-local": [4]},
        "figures": figures,
        "ratio": round(ratio, 3),
        "budget": BUDGET,
        "shim_start_ms_p50": round(shim_start(ours), 2),
        "shim_budget_ms": SHIM_BUDGET_MS,
    }


class Plugin:
    """A CNI plugin and how long its calls took."""

    def __init__(self, binary: Path, config: dict[str, object] | None) -> None:
        self.binary = binary
        self.config = json.dumps(config).encode() if config else b""
        self.add_ms: list[float] = []
        self.del_ms: list[float] = []

    def round(self, number: int, namespace: str) -> None:
        self.add_ms.append(self.call("ADD", number, namespace))
        self.del_ms.append(self.call("DEL", number, namespace))

    def call(self, command: str, number: int, namespace: str) -> float:
        """Return how long a call took that must succeed."""
        begin = time.perf_counter()
        done = self.run(command, number, namespace)
        took_ms = (time.perf_counter() - begin) * 1000
        if done.returncode:
            raise SystemExit(f"{self.binary.name} {command}: {done.stdout!r} {done.stderr!r}")
        return took_ms

    def run(self, command: str, number: int, namespace: str) -> subprocess.CompletedProcess[bytes]:
        environment = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": f"bench{number}",
            "CNI_NETNS": namespace,
            "CNI_IFNAME": "eth0",
            "CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=pod-{number}",
            "CNI_PATH": str(PLUGINS),
        }
        return subprocess.run(
            [str(self.binary)], input=self.config, env=environment, capture_output=True, check=False
        )

    def figures(self) -> dict[str, float]:
        rounds = [a + b for a, b in zip(self.add_ms, self.del_ms, strict=True)]
        return {
            "add_ms_p50": round(statistics.median(self.add_ms), 2),
            "del_ms_p50": round(statistics.median(self.del_ms), 2),
            "round_ms_p50": round(statistics.median(rounds), 2),
            "round_ms_p99": round(statistics.quantiles(rounds, n=100)[98], 2),
        }


def shim_start(shim: Plugin) -> float:
    """Return the median time of a bare VERSION: the shim's start and end and nothing else."""
    bare = Plugin(shim.binary, None)
    return statistics.median(bare.call("VERSION", 0, "") for _ in range(20))


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("the service did not come up")
        time.sleep(0.01)


@contextmanager
def api_server(directory: Path) -> Iterator[None]:
    """Run a server whose kubeconfig is in *directory*."""
    main_ = "from chita.cli.commands.server import server; server()"
    token, kubeconfig = directory / "token", directory / "kubeconfig"
    token.write_text("benchmark-0123456789")
    places = ["--data-dir", str(directory / "data"), "--kubeconfig", str(kubeconfig)]
    listen = ["--listen", "127.0.0.1:0", "--join-token-file", str(token)]
    with process("-c", main_, *places, *listen):
        wait_for(kubeconfig.exists)
        yield


@contextmanager
def service(directory: Path) -> Iterator[None]:
    """Run the CNI service alone, in a process of its own."""
    with process(__file__, "--serve", str(directory)):
        wait_for((directory / "agent.sock").exists)
        yield


@contextmanager
def agent(directory: Path, rounds: int) -> Iterator[None]:
    """Run a real agent for node ``bench`` of the server in *directory*, with pods to be."""
    for command in (
        "link add up0 type veth peer name up1",
        "addr add 192.0.2.1/24 dev up0",
        "link set up0 up",
        "link set up1 up",
    ):
        subprocess.run(["ip", *command.split()], check=True)
    asyncio.run(populate(directory, rounds))
    main_ = "from chita.cli.commands.agent import agent; agent()"
    kubeconfig = directory / "kubeconfig"
    places = ["--state-dir", str(directory / "state"), "--run-dir", str(directory)]
    how = ["--node", "bench", "--kubeconfig", str(kubeconfig), "--log-level", "warning"]
    with process("-c", main_, *places, *how):
        wait_for((directory / "agent.sock").exists)
        yield


async def populate(directory: Path, rounds: int) -> None:
    """Create the node, the pools, and a pod for each round."""
    from chita.api.auth import read_kubeconfig
    from chita.api.client import ApiClient

    def pod(number: int) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"pod-{number}", "namespace": "default", "labels": {"app": "x"}},
            "spec": {"nodeName": "bench", "containers": [{"name": "x", "image": "x"}]},
        }

    async with ApiClient(read_kubeconfig(directory / "kubeconfig")) as client:
        addresses = [{"type": "InternalIP", "address": "192.0.2.1"}]
        await client.create(
            {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "bench"},
             "status": {"addresses": addresses}}
        )  # fmt: skip
        for name, cidr in POOLS.items():
            await client.create(
                {"apiVersion": "projectcalico.org/v3", "kind": "IPPool",
                 "metadata": {"name": name}, "spec": {"cidr": cidr}}
            )  # fmt: skip
        for number in range(rounds + POD_NAMESPACES):
            await client.create(pod(number))


@contextmanager
def process(*arguments: str) -> Iterator[None]:
    """Run Python with *arguments* while the context lasts."""
    running = subprocess.Popen([sys.executable, *arguments])
    try:
        yield
    finally:
        running.terminate()
        running.wait(15)


async def serve(directory: Path) -> None:
    """Answer CNI calls as the agent does, endpoints in memory."""
    from chita.agent.attachments import Attachments
    from chita.agent.cni_memory import MemoryEndpoints, MemoryFacts
    from chita.agent.cni_ports import PodFacts
    from chita.agent.cni_server import CniService, CniSettings
    from chita.agent.pod_links import PodLinks
    from chita.api.auth import read_kubeconfig
    from chita.api.client import ApiClient
    from chita.dataplane.netlink.socket import NetlinkSocket
    from chita.dataplane.pod_interface import PodInterfaces
    from chita.ipam.allocator import Allocator
    from chita.ipam.memory import MemoryBlockStore
    from chita.ipam.store import BlockStore
    from chita.mirror.block_store import ApiBlockStore
    from chita.model.ippool import IPPool
    from chita.model.net import Cidr
    from chita.model.selector import all_
    from chita.rpc.messages import CniRequest, Refusal, Reply, Request
    from chita.rpc.server import serving
    from chita.telemetry.log import LogFormat, configure

    configure(format_=LogFormat.JSON, level="warning")
    pools = [
        IPPool(name=name, cidr=Cidr.parse(cidr), block_size=size, node_selector=all_())
        for (name, cidr), size in zip(POOLS.items(), (26, 122), strict=True)
    ]
    facts = MemoryFacts(pools)
    facts.pods = {f"default/pod-{number}": PodFacts() for number in range(10_000)}
    resources = AsyncExitStack()
    store: BlockStore = MemoryBlockStore()
    if (kubeconfig := directory / "kubeconfig").exists():
        client = ApiClient(read_kubeconfig(kubeconfig))
        store = ApiBlockStore(await resources.enter_async_context(client))
    cni = CniService(
        CniSettings(node="bench"),
        attachments=Attachments(directory / "attachments"),
        addresses=Allocator(store, "bench"),
        cluster=facts,
        endpoints=MemoryEndpoints(),
        links=PodLinks(PodInterfaces(NetlinkSocket()), PodInterfaces(NetlinkSocket())),
    )

    async def answer(request: Request) -> Reply:
        if isinstance(request, CniRequest):
            return await cni.answer(request)
        return Refusal("only CNI is served here")

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with resources, serving(directory / "agent.sock", answer):
        await stop.wait()


if __name__ == "__main__":
    sys.exit(main())
