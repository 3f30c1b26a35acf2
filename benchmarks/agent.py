"""A whole agent on World G: from an object written to the API until the kernel has committed.

    sudo .venv/bin/python benchmarks/agent.py [--pods 10000 --local 200 --policies 1000]

A real `chita server` and a real `chita agent` in a network namespace of their own, with the agent's
periodic work running. World G (benchmarks/world_g.py) is loaded as Namespaces, Pods and v3
policies. A change is over when the kernel announces the commit of a new ruleset generation
(NFT_MSG_NEWGEN); pods of the measured node have no interfaces here, so theirs is the time until
their policy stands, what a CNI ADD waits for. Kinds of change take turns, with a pause after each.
Modules are compiled beforehand, as installing a package does; where Python is told to write no
bytecode, each process would compile a few hundred of them for itself, 1.2 s of a core.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import json
import os
import select
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from world_g import NODE, WorldG, policy

from chita.api.auth import read_kubeconfig
from chita.api.client import ApiClient, Object
from chita.api.kinds import CALICO, CORE
from chita.errors import ChitaError
from chita.rpc.client import ask_async
from chita.rpc.messages import StatusRequest

NAMESPACE = f"chita-bench-agent{os.getpid()}"
TOKEN = "benchmark-token-of-no-consequence"  # noqa: S105 - of a server that lives for minutes
PARALLEL = 24
PAUSE_S = 0.05
TIMEOUT_S = 10.0

Change = Callable[[int], Awaitable[object]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pods", type=int, default=10_000)
    parser.add_argument("--local", type=int, default=200)
    parser.add_argument("--policies", type=int, default=1_000)
    parser.add_argument("--changes", type=int, default=100)
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        world = WorldG(options.pods, options.local, options.policies)
        print(json.dumps(asyncio.run(measure(world, options.inside, options.changes)), indent=2))
        return 0
    return in_namespace()


def in_namespace() -> int:
    """Run this again inside a fresh namespace with one interface; remove it whatever happens."""
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    try:
        lines = [
            "link set lo up",
            "link add eth0 type veth peer name peer0",
            "address add 10.0.0.1/24 dev eth0",
            "link set eth0 up",
            "link set peer0 up",
        ]
        for line in lines:
            subprocess.run(["ip", "-n", NAMESPACE, *line.split()], check=True)
        with tempfile.TemporaryDirectory(prefix="chita-bench-") as directory:
            return subprocess.call(
                ["nsenter", f"--net=/run/netns/{NAMESPACE}", sys.executable, *sys.argv,
                 "--inside", directory]
            )  # fmt: skip
    finally:
        subprocess.run(["ip", "netns", "delete", NAMESPACE], check=True)


async def measure(world: WorldG, directory: Path, changes: int) -> dict[str, Any]:
    kubeconfig = directory / "kubeconfig"
    token = directory / "token"
    token.write_text(TOKEN)
    compile_modules(directory)
    serving = start(
        directory / "server.log",
        "server", "--data-dir", str(directory / "data"), "--listen", "127.0.0.1:6443",
        "--kubeconfig", str(kubeconfig), "--join-token-file", str(token),
    )  # fmt: skip
    try:
        await until("the server", kubeconfig.exists)
        async with ApiClient(read_kubeconfig(kubeconfig), timeout_s=60) as client:
            loading = time.perf_counter()
            await load(client, world)
            loaded_s = time.perf_counter() - loading
            async with running_agent(directory) as agent:
                return {
                    "pods": world.pods,
                    "policies": world.policies,
                    "load_s": round(loaded_s, 1),
                    **await agent.figures(client, world, changes),
                }
    finally:
        stop(serving)


class Agent:
    """A running agent, heard through the kernel's announcements and its own socket."""

    def __init__(self, process: subprocess.Popen[bytes], path: Path, started: float) -> None:
        self._process = process
        self._path = path
        self._started = started
        self._commits = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
        self._commits.bind((0, 1 << 6))  # NFNLGRP_NFTABLES
        self._commits.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE
        self._commits.setblocking(False)

    async def figures(self, client: ApiClient, world: WorldG, changes: int) -> dict[str, Any]:
        await until("in sync", self._in_sync, s=40)
        start_s = time.perf_counter() - self._started
        await asyncio.sleep(2)  # its one collection of garbage is over
        idle = await self._idle_cpu(5.0)
        kinds = change_kinds(client, world)
        delays: dict[str, list[float]] = {name: [] for name in kinds}
        for number in range(changes):
            for name, change in kinds.items():
                delays[name].append(await self._timed(change, number))
        status = await self.status()
        return {
            "start_to_programmed_s": round(start_s, 2),
            "idle_cpu_percent": idle,
            "changes_ms": {name: quantiles(values) for name, values in delays.items()},
            "rss_mb": round(status["rss_bytes"] / 1e6, 1),
        }

    async def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = await ask_async(self._path, StatusRequest())
        return answer

    async def _in_sync(self) -> bool:
        try:
            status = await self.status()
        except ChitaError:
            return False
        return bool(status["in_sync"] and status["endpoints"])

    async def _timed(self, change: Change, number: int) -> float:
        """Return milliseconds from before the write until the kernel's commit."""
        self._drain()
        started = time.perf_counter()
        await change(number)
        await asyncio.to_thread(self._wait)
        elapsed = (time.perf_counter() - started) * 1000
        await asyncio.sleep(PAUSE_S)
        return elapsed

    def _wait(self) -> None:
        ready, _, _ = select.select([self._commits], [], [], TIMEOUT_S)
        if not ready:
            raise TimeoutError(f"no commit within {TIMEOUT_S:g} s")

    def _drain(self) -> None:
        while True:
            try:
                self._commits.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:  # the first load is more than it can hold
                    raise

    async def _idle_cpu(self, seconds: float) -> float:
        """Return the agent's share of one core while nothing happens, percent."""
        before = self._cpu_s()
        await asyncio.sleep(seconds)
        return round((self._cpu_s() - before) / seconds * 100, 2)

    def _cpu_s(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def change_kinds(client: ApiClient, world: WorldG) -> dict[str, Change]:
    """Return what is changed, by name; each change alters the ruleset of the measured node."""
    local = [number for number in range(world.pods) if world.is_local(number)]
    remote = [number for number in range(world.pods) if not world.is_local(number)]
    kind = CALICO["GlobalNetworkPolicy"]

    async def policy_changed(turn: int) -> object:
        body = policy(5, port_offset=1 + turn % 2)
        return await client.patch(kind, body["metadata"]["name"], {"spec": body["spec"]})

    async def policy_added(turn: int) -> object:
        body = policy(world.policies + turn)
        return await client.create(body)

    async def remote_added(turn: int) -> object:
        return await client.create(extra_pod(world, world.pods + turn, "node-001"))

    async def remote_relabelled(turn: int) -> object:
        name = f"extra-{world.pods + turn}"
        body = {"metadata": {"labels": {"app": f"app-{(turn + 50) % 100}"}}}
        return await client.patch(CORE["Pod"], name, body, namespace="ns-000")

    async def remote_removed(turn: int) -> object:
        await client.delete(CORE["Pod"], f"extra-{world.pods + turn}", "ns-000")
        return None

    async def local_added(turn: int) -> object:
        return await client.create(extra_pod(world, 2 * world.pods + turn, NODE))

    async def namespace_relabelled(turn: int) -> object:
        body = {"metadata": {"labels": {"team": f"team-{6 - turn % 2}"}}}
        return await client.patch(CORE["Namespace"], "ns-005", body)

    assert local
    assert remote
    return {
        "policy_changed": policy_changed,
        "policy_added": policy_added,
        "remote_pod_added": remote_added,
        "remote_pod_relabelled": remote_relabelled,
        "remote_pod_removed": remote_removed,
        "local_pod_added": local_added,
        "namespace_relabelled": namespace_relabelled,
    }


def extra_pod(world: WorldG, number: int, node: str) -> Object:
    # A frontend of any application is in some policy's set: every change of it is one here.
    obj = pod_object(world.pod(number, tier="frontend"))
    obj["metadata"] |= {"name": f"extra-{number}", "namespace": "ns-000"}
    address = f"10.99.{number // 250 % 250}.{number % 250 + 1}"
    obj["metadata"]["annotations"] = {"cni.projectcalico.org/podIP": f"{address}/32"}
    obj["spec"]["nodeName"] = node
    return obj


def pod_object(endpoint: Object) -> Object:
    """Return the Pod of a workload endpoint of the world."""
    metadata, spec = endpoint["metadata"], endpoint["spec"]
    labels = {
        key: value
        for key, value in metadata["labels"].items()
        if not key.startswith("projectcalico.org/")
    }
    annotations = {"cni.projectcalico.org/podIP": spec["ipNetworks"][0]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": spec["pod"],
            "namespace": metadata["namespace"],
            "labels": labels,
            "annotations": annotations,
        },
        "spec": {"nodeName": spec["node"], "containers": [{"name": "main", "image": "main"}]},
    }


def namespace_object(profile: Object) -> Object:
    labels = {
        key.removeprefix("pcns."): value
        for key, value in profile["spec"]["labelsToApply"].items()
        if not key.startswith("pcns.projectcalico.org/")
    }
    name = profile["metadata"]["name"].removeprefix("kns.")
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


async def load(client: ApiClient, world: WorldG) -> None:
    """Create the whole world, many writes at a time."""
    groups: dict[str, list[Object]] = {
        "Profile": [],
        "GlobalNetworkPolicy": [],
        "WorkloadEndpoint": [],
    }
    for resource in world.resources():
        groups[resource["kind"]].append(resource)
    turnstile = asyncio.Semaphore(PARALLEL)

    async def create(obj: Object) -> None:
        async with turnstile:
            await client.create(obj)

    for objects in (
        [namespace_object(each) for each in groups["Profile"]],
        groups["GlobalNetworkPolicy"],
        [pod_object(each) for each in groups["WorkloadEndpoint"]],
    ):
        await asyncio.gather(*(create(obj) for obj in objects))


@asynccontextmanager
async def running_agent(directory: Path) -> AsyncIterator[Agent]:
    started = time.perf_counter()
    process = start(
        directory / "agent.log",
        "agent", "--node", NODE, "--server", "https://127.0.0.1:6443",
        "--ca-file", str(directory / "data" / "ca.crt"), "--token", TOKEN,
        "--state-dir", str(directory / "state"), "--run-dir", str(directory / "run"),
    )  # fmt: skip
    try:
        yield Agent(process, directory / "run" / "agent.sock", started)
    except BaseException:
        print((directory / "agent.log").read_text()[-3000:], file=sys.stderr)
        raise
    finally:
        stop(process)


def start(log: Path, *arguments: str) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "chita", *arguments],
            stdout=output, stderr=output, env=environment(log.parent),
        )  # fmt: skip


def compile_modules(directory: Path) -> None:
    code = "import chita.agent.main, chita.cli.commands.agent, chita.server.main"
    subprocess.run([sys.executable, "-c", code], check=True, env=environment(directory))


def environment(directory: Path) -> dict[str, str]:
    """Return an environment in which bytecode is kept, in *directory*."""
    kept = {key: each for key, each in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": str(directory / "bytecode")}


def stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


async def until(
    what: str, is_so: Callable[[], bool] | Callable[[], Awaitable[bool]], *, s: float = 30
) -> None:
    deadline = time.monotonic() + s
    while True:
        answer = is_so()
        if await answer if isinstance(answer, Awaitable) else answer:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} is not ready after {s:g} s")
        await asyncio.sleep(0.02)


def quantiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "p50": round(statistics.median(ordered), 1),
        "p99": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], 1),
        "max": round(ordered[-1], 1),
    }


if __name__ == "__main__":
    sys.exit(main())
