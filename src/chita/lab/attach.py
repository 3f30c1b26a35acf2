"""Pods of the lab: a namespace each, attached by the real CNI binary as a runtime would call it."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from chita.convert.kubernetes import FINISHED_PHASES
from chita.errors import EngineError
from chita.lab.layout import Layout
from chita.lab.netns import ip_batch, netns_path, start_in, write_sysctls
from chita.lab.state import StateFile
from chita.lab.topology import Topology

Object = dict[str, Any]

ATTACH_TIMEOUT_S = 60
_PARALLEL = 6
"""Calls under way at once: kubelets of nine nodes would not wait for each other either."""

_POD_SYSCTLS = (("net/ipv4/ping_group_range", "0 2147483647"),)


def attached_pods(pods: list[Object]) -> list[Object]:
    """Return those of *pods* that get an interface: not on the host's network, not finished."""
    return [
        pod
        for pod in pods
        if not (pod.get("spec") or {}).get("hostNetwork")
        and (pod.get("status") or {}).get("phase") not in FINISHED_PHASES
    ]


def attach_pods(
    pods: list[Object], layout: Layout, topology: Topology, state: StateFile
) -> dict[str, Object]:
    """Make and attach *pods*; return the CNI result of each by ``namespace/name``.

    Raises:
        EngineError: an ADD failed; the message is the plugin's.
    """
    names = {pod_key(pod): topology.pod_namespace(pod) for pod in pods}
    state.add_namespaces(tuple(names.values()))
    ip_batch(None, [f"netns add {name}" for name in names.values()])
    for name in names.values():
        write_sysctls(netns_path(name), _POD_SYSCTLS)

    def attach(pod: Object) -> Object:
        return call_cni("ADD", pod, layout, topology)

    with ThreadPoolExecutor(_PARALLEL) as pool:
        return dict(zip(names, pool.map(attach, pods), strict=True))


def call_cni(command: str, pod: Object, layout: Layout, topology: Topology) -> Object:
    """Run the node's CNI binary for *pod* and return what it prints.

    Raises:
        EngineError: it failed; the message is the plugin's.
    """
    node = pod["spec"]["nodeName"]
    home = layout.node(node)
    namespace, name = pod["metadata"].get("namespace", "default"), pod["metadata"]["name"]
    conflist = json.loads((home.cni_conf / "10-chita.conflist").read_text(encoding="utf-8"))
    config = {
        **conflist["plugins"][0],
        "cniVersion": conflist["cniVersion"],
        "name": conflist["name"],
    }
    environment = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": container_id(pod),
        "CNI_NETNS": str(netns_path(topology.pod_namespace(pod))),
        "CNI_IFNAME": "eth0",
        "CNI_PATH": str(home.cni_bin),
        "CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={name}",
    }
    plugin = start_in(
        netns_path(topology.node(node).namespace),
        [str(home.cni_bin / "chita-cni")],
        env=environment,
        stdin=-1,
        stdout=-1,
        stderr=-1,
    )
    output, errors = plugin.communicate(json.dumps(config), timeout=ATTACH_TIMEOUT_S)
    if plugin.returncode:
        raise EngineError(f"CNI {command} of {pod_key(pod)} on {node}: {output or errors}")
    result: Object = json.loads(output) if output.strip() else {}
    return result


def pod_key(pod: Object) -> str:
    """Return ``namespace/name``."""
    metadata = pod["metadata"]
    return f"{metadata.get('namespace', 'default')}/{metadata['name']}"


def container_id(pod: Object) -> str:
    """Return the id of a pod's sandbox: it follows from its name, so DEL needs no memory."""
    return hashlib.sha256(pod_key(pod).encode()).hexdigest()
