"""A machine that joins: from the start of its agent until its first pod has an answer from afar."""

from __future__ import annotations

import asyncio
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

from chita.api.kinds import resource_of
from chita.cni.install import install
from chita.convert.documents import Object
from chita.errors import ChitaError, EngineError, NotFoundError
from chita.lab.attach import attach_pods, attached_pods, call_cni, pod_key
from chita.lab.builder import rebuild_node
from chita.lab.faults_node import engine_pids
from chita.lab.netns import ip_batch, netns_path, write_sysctls
from chita.lab.ping import ping
from chita.lab.removal import end_processes
from chita.lab.scenarios.bench import Bench
from chita.lab.scenarios.figures import Figure, Mark
from chita.model.net import Address

NODES, FAR = ("gcp-2", "azure-1"), "aws-1"
"""One behind a NAT, one that can be dialled; and whom the first pod talks to."""

_PATIENCE_S = 30.0
_FABRIC_NODE = {"apiVersion": "chita.dev/v1alpha1", "kind": "FabricNode"}


def joined(bench: Bench, times: int) -> list[Figure]:
    """Replace a node by a fresh machine: no keys, no kernel state, no record; time its first ping.

    Its pod is added as a kubelet does it: tried until the agent accepts it.
    """
    totals, added = [], []
    for turn in range(times):
        node = NODES[turn % len(NODES)]
        pods = [
            pod
            for pod in attached_pods(bench.lab.world.of_kind("Pod"))
            if pod["spec"]["nodeName"] == node
        ]
        _retire(bench, node, pods)
        first = next(pod for pod in pods if pod["metadata"]["namespace"] == "measure-a")
        far = bench.end(FAR, "b").addresses[4]
        total_s, added_s = _first_answer(bench, node, first, far)
        totals.append(total_s)
        added.append(added_s)
        rest = [pod for pod in pods if pod is not first]
        attach_pods(rest, bench.lab.layout, bench.lab.topology, bench.lab.state)
        bench.lab.processes.stop("pods")
        bench.lab.layout.pods_socket.unlink(missing_ok=True)
        bench.lab.start_listeners()
        bench.lab.wait_for_fabric()
        bench.settle()
    return [
        Figure(
            what="agent start to first ping of a pod in another cloud",
            unit="s",
            values=tuple(totals),
            mark=Mark(worst_at_most=2),
        ),
        Figure(what="of it until the pod was attached", unit="s", values=tuple(added)),
    ]


def _retire(bench: Bench, node: str, pods: list[Object]) -> None:
    """Take a node out of the cluster as its administrator would, and put a new machine there."""
    lab, home = bench.lab, bench.lab.layout.node(node)
    for pod in pods:
        call_cni("DEL", pod, lab.layout, lab.topology)
    ip_batch(None, [f"netns delete {lab.topology.pod_namespace(pod)}" for pod in pods])
    engines = engine_pids(home.run)
    lab.processes.stop(f"agent-{node}", signal.SIGTERM)
    end_processes(engines)

    async def forget() -> None:
        async with lab.client() as client:
            with suppress(NotFoundError):
                await client.delete(resource_of(_FABRIC_NODE), node)

    asyncio.run(forget())
    for directory in (home.state, home.run):
        shutil.rmtree(directory, ignore_errors=True)
    rebuild_node(lab.topology, node)


def _first_answer(bench: Bench, node: str, pod: Object, far: Address) -> tuple[float, float]:
    """Return seconds from the agent's start to the pod's first answer, and to its attachment.

    Raises:
        EngineError: no answer came.
    """
    lab, home = bench.lab, bench.lab.layout.node(node)
    namespace = lab.topology.pod_namespace(pod)
    ip_batch(None, [f"netns add {namespace}"])
    write_sysctls(netns_path(namespace), (("net/ipv4/ping_group_range", "0 2147483647"),))
    install(home.cni_bin, home.cni_conf, socket=home.socket)
    started = time.monotonic()
    lab.start_agent(lab.topology.node(node))
    bench.until(f"{pod_key(pod)} attached", lambda: _is_added(bench, pod, home.socket))
    added_s = time.monotonic() - started
    path = netns_path(namespace)
    while time.monotonic() - started < _PATIENCE_S:
        result = asyncio.run(ping(path, far, count=1, timeout_s=0.05))
        if result.received:
            return time.monotonic() - started, added_s
    raise EngineError(f"{pod_key(pod)} on {node} has no answer from {far} ({result.error})")


def _is_added(bench: Bench, pod: Object, agent: Path) -> bool:
    """Try ADD once; a runtime tries again when the plugin says it is too early."""
    if not agent.exists():
        return False
    try:
        call_cni("ADD", pod, bench.lab.layout, bench.lab.topology)
    except ChitaError:
        return False
    return True
