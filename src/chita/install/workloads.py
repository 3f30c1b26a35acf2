"""The agent on every node and the controller beside them, as Kubernetes runs them."""

from __future__ import annotations

from typing import Any, Final

from chita.cni.install import DEFAULT_SOCKET
from chita.install import webhook
from chita.install.options import NAMESPACE, Options
from chita.install.rbac import AGENT, CONTROLLER

Object = dict[str, Any]

KUBECONFIG: Final = "/run/chita/kubeconfig"
SETTINGS: Final = "chita-initial"
"""The ConfigMap of the objects that the controller makes once."""
_INITIAL: Final = "/etc/chita/initial.yaml"
_SOCKET: Final = str(DEFAULT_SOCKET)
_ALIVE: Final = f"import socket; socket.socket(socket.AF_UNIX).connect('{_SOCKET}')"
"""Asks no more than that the agent's loop takes a connection: 20 ms, against 300 of a command."""
_LINUX: Final = {"kubernetes.io/os": "linux"}


def daemon_set(options: Options) -> Object:
    """Return the agent: one on each node, whatever its taints."""
    arguments = ["agent", "--node", "$(NODE_NAME)", "--kubeconfig", KUBECONFIG]
    if options.pod_mtu_bytes is not None:
        arguments += ["--pod-mtu", str(options.pod_mtu_bytes)]
    pod = {
        "serviceAccountName": AGENT.name,
        "priorityClassName": "system-node-critical",
        # The node's own network is what it makes: it has to be there before any pod's.
        "hostNetwork": True,
        "dnsPolicy": "Default",
        "nodeSelector": _LINUX,
        "tolerations": [{"operator": "Exists"}],
        # Established connections don't notice; the next agent adopts what the kernel holds.
        "terminationGracePeriodSeconds": 10,
        "initContainers": [_install(options)],
        "containers": [
            {
                "name": "agent",
                "image": options.image,
                "args": arguments,
                "env": [_node_name()],
                "resources": {"requests": {"cpu": "50m", "memory": "100Mi"}},
                # /proc/sys, namespaces of pods and /dev/net/tun: no capability gives all three.
                "securityContext": {"privileged": True},
                "startupProbe": _probe(["python3", "-ISc", _ALIVE], period_s=2, failures=60),
                "livenessProbe": _probe(["python3", "-ISc", _ALIVE], period_s=10, failures=6),
                "readinessProbe": _probe(
                    ["chita", "status", "--socket", _SOCKET], period_s=30, failures=1
                ),
                "volumeMounts": [
                    _mount("run", "/run/chita"),
                    _mount("state", "/var/lib/chita"),
                    {**_mount("netns", "/run/netns"), "mountPropagation": "HostToContainer"},
                ],
            }
        ],
        "volumes": [
            _host("run", "/run/chita"),
            _host("state", "/var/lib/chita"),
            _host("netns", "/run/netns"),
            _host("cni-bin", "/opt/cni/bin"),
            _host("cni-conf", "/etc/cni/net.d"),
        ],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": _metadata(AGENT.name),
        "spec": {
            "selector": {"matchLabels": _labels(AGENT.name)},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
            "template": {"metadata": {"labels": _labels(AGENT.name)}, "spec": pod},
        },
    }


def deployment(options: Options) -> Object:
    """Return the controller: one at a time, and nothing of the data path waits for it."""
    pod = {
        "serviceAccountName": CONTROLLER.name,
        "priorityClassName": "system-cluster-critical",
        # So that it also runs before there are pod networks: it makes the first pool.
        "hostNetwork": True,
        "dnsPolicy": "Default",
        "nodeSelector": _LINUX,
        "tolerations": [
            {"key": "CriticalAddonsOnly", "operator": "Exists"},
            {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"},
            {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"},
            {"key": "node.kubernetes.io/network-unavailable", "effect": "NoSchedule"},
        ],
        "terminationGracePeriodSeconds": 10,
        "containers": [
            {
                "name": "controller",
                "image": options.image,
                "args": ["controller", "--initial", _INITIAL, "--webhook", f":{webhook.PORT}"],
                # In the node's network, so that no two replicas go to one node.
                "ports": [{"name": "webhook", "containerPort": webhook.PORT}],
                "resources": {"requests": {"cpu": "20m", "memory": "80Mi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                    "readOnlyRootFilesystem": True,
                    "runAsNonRoot": True,
                    "runAsUser": 65532,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "volumeMounts": [
                    {**_mount("initial", "/etc/chita"), "readOnly": True},
                    _mount("tmp", "/tmp"),  # noqa: S108 - an empty volume of this pod alone
                ],
            }
        ],
        "volumes": [
            {"name": "initial", "configMap": {"name": SETTINGS}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(CONTROLLER.name),
        "spec": {
            "replicas": 1,
            # Never two: the old one is gone before the new one starts.
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": _labels(CONTROLLER.name)},
            "template": {"metadata": {"labels": _labels(CONTROLLER.name)}, "spec": pod},
        },
    }


def _install(options: Options) -> Object:
    return {
        "name": "install",
        "image": options.image,
        "args": [
            "install-node", "--cni-bin", "/host/cni-bin", "--cni-conf", "/host/cni-conf",
            "--kubeconfig", KUBECONFIG,
        ],
        "resources": {"requests": {"cpu": "20m", "memory": "40Mi"}},
        # Root of the node's directories, and nothing more.
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"], "add": ["DAC_OVERRIDE"]},
            "runAsUser": 0,
        },
        "volumeMounts": [
            _mount("run", "/run/chita"),
            _mount("cni-bin", "/host/cni-bin"),
            _mount("cni-conf", "/host/cni-conf"),
        ],
    }  # fmt: skip


def _metadata(name: str) -> Object:
    return {"name": name, "namespace": NAMESPACE, "labels": _labels(name)}


def _labels(name: str) -> dict[str, str]:
    return {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "chita"}


def _node_name() -> Object:
    return {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}


def _probe(command: list[str], *, period_s: int, failures: int) -> Object:
    return {
        "exec": {"command": command},
        "periodSeconds": period_s,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _mount(name: str, path: str) -> Object:
    return {"name": name, "mountPath": path}


def _host(name: str, path: str) -> Object:
    return {"name": name, "hostPath": {"path": path, "type": "DirectoryOrCreate"}}
