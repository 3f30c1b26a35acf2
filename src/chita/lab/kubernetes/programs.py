"""How each program of a cluster is started: command lines and configuration files, nothing else.

Sources: the programs' reference pages; for kubelet on cgroup v1 the KubeletConfiguration
(kubelet.config.k8s.io/v1beta1). Tests run etcd without fsync: it does not outlive the machine.
"""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path

import msgspec

from chita.image.build import PAUSE
from chita.lab.kubernetes.credentials import Credentials
from chita.lab.kubernetes.machine import CONTAINERD_SOCKET, Machine

SERVICE_RANGE = "10.96.0.0/16"
SERVICE_ADDRESS = "10.96.0.1"
"""Of the service ``kubernetes``: the first of the range."""
MAX_PODS = 200

_ETCD = "http://127.0.0.1:2379"
_ETCD_PEER = "http://127.0.0.1:2380"


class ProxyMode(StrEnum):
    """How kube-proxy translates services."""

    NFTABLES = "nftables"
    IPTABLES = "iptables"


class Programs(msgspec.Struct, frozen=True):
    """The command lines of one cluster."""

    folder: Path
    """Where Kubernetes' programs are."""
    credentials: Credentials
    address: str
    """Where the API server is reached by all."""

    def etcd(self, data: Path) -> list[str]:
        """Return how etcd is started."""
        return [
            "etcd", "--data-dir", str(data), "--unsafe-no-fsync",
            "--listen-client-urls", _ETCD, "--advertise-client-urls", _ETCD,
            "--listen-peer-urls", _ETCD_PEER, "--initial-advertise-peer-urls", _ETCD_PEER,
            "--initial-cluster", f"default={_ETCD_PEER}", "--log-level", "warn",
        ]  # fmt: skip

    def api_server(self, audit_log: Path) -> list[str]:
        """Return how kube-apiserver is started.

        It reaches kubelets by the names of their nodes, which the machine's own hosts file leads to
        mesh addresses: two clouds may use one private range, so an InternalIP may name two nodes.
        """
        keys = self.credentials
        serving, to_kubelets = keys.pair("apiserver"), keys.pair("to-kubelets")
        policy = audit_log.with_name("audit-policy.json")
        return [
            str(self.folder / "kube-apiserver"),
            f"--etcd-servers={_ETCD}",
            f"--advertise-address={self.address}",
            f"--tls-cert-file={serving[0]}",
            f"--tls-private-key-file={serving[1]}",
            f"--client-ca-file={keys.authority}",
            f"--kubelet-client-certificate={to_kubelets[0]}",
            f"--kubelet-client-key={to_kubelets[1]}",
            "--kubelet-preferred-address-types=Hostname,InternalIP",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={keys.accounts_public_key}",
            f"--service-account-signing-key-file={keys.accounts_key}",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            # No kube-proxy beside it: a webhook is called at its endpoints.
            "--enable-aggregator-routing=true",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            f"--audit-policy-file={policy}",
            f"--audit-log-path={audit_log}",
        ]

    def controllers(self) -> list[str]:
        """Return how kube-controller-manager is started."""
        config = self.credentials.kubeconfig("controllers")
        return [
            str(self.folder / "kube-controller-manager"),
            f"--kubeconfig={config}",
            f"--authentication-kubeconfig={config}",
            f"--authorization-kubeconfig={config}",
            f"--service-account-private-key-file={self.credentials.accounts_key}",
            f"--root-ca-file={self.credentials.authority}",
            "--use-service-account-credentials",
            "--leader-elect=false",
            # A node that is silent is told so within seconds, not in most of a minute.
            "--node-monitor-grace-period=20s",
        ]

    def scheduler(self) -> list[str]:
        """Return how kube-scheduler is started."""
        config = self.credentials.kubeconfig("scheduler")
        return [
            str(self.folder / "kube-scheduler"),
            f"--kubeconfig={config}",
            f"--authentication-kubeconfig={config}",
            f"--authorization-kubeconfig={config}",
            "--leader-elect=false",
        ]

    def kubelet(self, machine: Machine) -> list[str]:
        """Return how kubelet is started on *machine*."""
        labels = ",".join(f"{key}={value}" for key, value in machine.labels)
        return [
            str(self.folder / "kubelet"),
            f"--config={machine.path('kubelet.json')}",
            f"--kubeconfig={self.credentials.kubeconfig(f'kubelet-{machine.name}')}",
            "--root-dir=/var/lib/kubelet",
            f"--cert-dir={machine.path('kubelet-pki')}",
            f"--hostname-override={machine.name}",
            *([f"--node-labels={labels}"] if labels else []),
        ]

    def proxy(self, machine: Machine, mode: ProxyMode) -> list[str]:
        """Return how kube-proxy is started on *machine*."""
        return [
            str(self.folder / "kube-proxy"),
            f"--kubeconfig={self.credentials.kubeconfig('proxy')}",
            f"--hostname-override={machine.name}",
            f"--proxy-mode={mode}",
            # The limit of tracked connections is the machine's, and not a namespace's to set.
            "--conntrack-max-per-core=0",
        ]

    def kubelet_configuration(self, machine: Machine) -> str:
        """Return a KubeletConfiguration (JSON) that works on cgroup v1 and with swap."""
        configuration = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "x509": {"clientCAFile": str(self.credentials.authority)},
                "anonymous": {"enabled": False},
                "webhook": {"enabled": False},
            },
            # Who has a certificate of the authority is the API server or an administrator.
            "authorization": {"mode": "AlwaysAllow"},
            "address": "0.0.0.0",  # noqa: S104  inside its own namespace
            "cgroupDriver": "cgroupfs",
            "cgroupsPerQOS": False,
            "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
            "enforceNodeAllocatable": [],
            "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%"},
            "failCgroupV1": False,
            "failSwapOn": False,
            "imageGCHighThresholdPercent": 100,
            "localStorageCapacityIsolation": False,
            "maxPods": MAX_PODS,
            "providerID": machine.provider_id,
            "resolvConf": "",
            "serializeImagePulls": False,
        }
        if machine.is_control_plane:
            taint = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}
            configuration["registerWithTaints"] = [taint]
        return json.dumps(configuration, indent=2)


AUDIT_POLICY = json.dumps(
    {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "Metadata", "users": [f"system:serviceaccount:chita-system:{name}"]}
            for name in ("chita-agent", "chita-controller")
        ]
        + [{"level": "None"}],
    }
)
"""Only what Chita asks is noted: the figure of requests in steady state is counted from it."""

CONTAINERD = f"""\
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "{CONTAINERD_SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
"""
