"""The network as Kubernetes' users have it: pods, services, policies, logs, over four clouds."""

from __future__ import annotations

import concurrent.futures
import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from chita.lab.kubernetes.cluster import MASTER, KubernetesLab

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(1800)]

WEB = """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      tolerations: [{operator: Exists}]
      terminationGracePeriodSeconds: 1
      containers:
        - name: web
          image: chita-test:1
          imagePullPolicy: Never
          command: [sh, -c, "hostname > /www/index.html; exec httpd -f -p 8080 -h /www"]
          ports: [{containerPort: 8080, name: http}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
"""
DENIED = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: nobody, namespace: shop}
spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}
"""
ALLOWED = """
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: from-web, namespace: shop}
spec:
  selector: app == 'web'
  types: [Ingress]
  ingress:
    - action: Allow
      protocol: TCP
      source: {selector: app == 'web'}
      destination: {ports: [8080]}
"""


def fetch(lab: KubernetesLab, pod: str, where: str, *, s: int = 3) -> str:
    """Return what a pod gets from an HTTP server; empty when it gets nothing."""
    # Not wget's own time-out: in Debian's static busybox it crashes.
    command = ["timeout", str(s), "wget", "-q", "-O", "-", f"http://{where}/"]
    done = lab.try_kubectl("-n", "shop", "exec", pod, "--", *command, s=s + 20)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def pods(cluster: KubernetesLab) -> Iterator[dict[str, dict[str, Any]]]:
    """The web pod of each node."""
    cluster.kubectl("apply", "-f", "-", stdin=WEB)
    cluster.kubectl("-n", "shop", "rollout", "status", "ds/web", "--timeout=120s", s=130)
    found = cluster.get("pods", "-n", "shop", "-l", "app=web")["items"]
    yield {pod["spec"]["nodeName"]: pod for pod in found}
    cluster.kubectl("delete", "namespace", "shop", "--timeout=60s", s=70)


def name(pod: dict[str, Any]) -> str:
    found: str = pod["metadata"]["name"]
    return found


def address(pod: dict[str, Any]) -> str:
    found: str = pod["status"]["podIP"]
    return found


def test_every_pod_reaches_every_pod_over_all_clouds(
    cluster: KubernetesLab, pods: dict[str, dict[str, Any]]
) -> None:
    pairs = [(one, other) for one in pods.values() for other in pods.values()]
    assert set(cluster.machines) == set(pods)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(lambda it: fetch(cluster, name(it[0]), f"{address(it[1])}:8080"), pairs)
        )

    wrong = [
        f"{name(one)} to {name(other)}: {answer!r}"
        for (one, other), answer in zip(pairs, answers, strict=True)
        if answer != name(other)
    ]
    assert [] == wrong


def test_a_service_is_reached_from_every_node(
    cluster: KubernetesLab, pods: dict[str, dict[str, Any]]
) -> None:
    service = cluster.get("service", "web", "-n", "shop")["spec"]["clusterIP"]
    names = {name(pod) for pod in pods.values()}

    assert all(fetch(cluster, name(pod), service) in names for pod in pods.values())


def test_logs_exec_and_port_forward_reach_nodes_with_equal_private_addresses(
    cluster: KubernetesLab, pods: dict[str, dict[str, Any]]
) -> None:
    internal = [
        [it["address"] for it in node["status"]["addresses"] if it["type"] == "InternalIP"]
        for node in cluster.get("nodes")["items"]
        if node["metadata"]["name"] in ("aws-1", "gcp-1")
    ]
    assert internal[0] == internal[1]

    for node, pod in pods.items():
        said = cluster.kubectl("-n", "shop", "exec", name(pod), "--", "hostname")
        assert name(pod) == said.strip(), node
    for pod in cluster.get(
        "pods", "-n", "chita-system", "-l", "app.kubernetes.io/name=chita-agent"
    )["items"]:
        log = cluster.kubectl("-n", "chita-system", "logs", name(pod), "-c", "agent")
        assert f"node={pod['spec']['nodeName']}" in log


def test_policies_of_kubernetes_and_of_calico_are_enforced(
    cluster: KubernetesLab, pods: dict[str, dict[str, Any]]
) -> None:
    there = f"{address(pods['gcp-1'])}:8080"

    def reached() -> bool:
        return fetch(cluster, name(pods["aws-1"]), there, s=1) == name(pods["gcp-1"])

    assert reached()
    cluster.kubectl("apply", "-f", "-", stdin=DENIED)
    cluster.wait("nobody is let in", lambda: not reached(), s=20)
    cluster.kubectl("apply", "-f", "-", stdin=ALLOWED)
    cluster.wait("the Calico policy lets in", reached, s=20)
    cluster.kubectl("delete", "-f", "-", stdin=ALLOWED)
    cluster.wait("nobody is let in again", lambda: not reached(), s=20)
    cluster.kubectl("delete", "-f", "-", stdin=DENIED)
    cluster.wait("all are let in", reached, s=20)


def test_an_invalid_policy_is_refused_with_its_field(
    cluster: KubernetesLab, pods: dict[str, dict[str, Any]]
) -> None:
    assert pods
    broken = ALLOWED.replace("action: Allow", "action: Perhaps")

    done = cluster.try_kubectl("apply", "-f", "-", stdin=broken)

    assert done.returncode != 0
    assert re.search(r"spec\.ingress\[0\]\.action", done.stderr), done.stderr


def test_kubelet_and_containerd_restart_and_pods_go_on(
    cluster: KubernetesLab, pods: dict[str, dict[str, Any]]
) -> None:
    before = name(pods["azure-1"])

    cluster.stop("azure-1", "kubelet")
    cluster.stop("azure-1", "containerd")
    assert fetch_from_node(cluster, "aws-1", f"{address(pods['azure-1'])}:8080") == before
    cluster.start_containerd("azure-1")
    cluster.start_kubelet("azure-1")

    cluster.kubectl("-n", "shop", "delete", "pod", before, "--timeout=60s", s=70)
    cluster.kubectl("-n", "shop", "rollout", "status", "ds/web", "--timeout=60s", s=70)
    found = cluster.get(
        "pods", "-n", "shop", "-l", "app=web", "--field-selector=spec.nodeName=azure-1"
    )
    pods["azure-1"] = found["items"][0]
    assert before != name(pods["azure-1"])
    answer = fetch(cluster, name(pods["aws-1"]), f"{address(pods['azure-1'])}:8080")
    assert answer == name(pods["azure-1"])


def fetch_from_node(lab: KubernetesLab, node: str, where: str) -> str:
    """Return what a node itself gets from an HTTP server."""
    command = lab.on(node, ["timeout", "3", "busybox", "wget", "-q", "-O", "-", f"http://{where}/"])
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def test_agents_are_restarted_and_the_network_stays(
    cluster: KubernetesLab, pods: dict[str, dict[str, Any]]
) -> None:
    """What is on the node itself loses nothing.

    A user-space WireGuard engine lives in the agent's container and ends with it: where the kernel
    has none, the tunnels are away for a moment.
    """
    near, far = pods["aws-1"], pods["gcp-1"]
    cluster.kubectl("-n", "chita-system", "rollout", "restart", "ds/chita-agent")

    answers: list[str] = []

    def is_rolled_out() -> bool:
        answers.append(fetch_from_node(cluster, "aws-1", f"{address(near)}:8080"))
        found = cluster.get("ds", "chita-agent", "-n", "chita-system")
        state = found["status"]
        updated, available = state.get("updatedNumberScheduled"), state.get("numberAvailable")
        return (
            bool(state["observedGeneration"] == found["metadata"]["generation"])
            and updated == available == state["desiredNumberScheduled"]
        )

    cluster.wait("all agents are new", is_rolled_out)

    assert {name(near)} == set(answers), answers
    assert len(answers) > 5
    cluster.wait(
        "the other cloud is reached",
        lambda: fetch_from_node(cluster, "aws-1", f"{address(far)}:8080") == name(far),
        s=20,
    )


def test_traffic_goes_on_while_the_api_server_is_away(
    cluster: KubernetesLab, pods: dict[str, dict[str, Any]]
) -> None:
    there = f"{address(pods['openstack-1'])}:8080"
    cluster.stop(MASTER, "apiserver")

    answers = {
        fetch_from_node(cluster, node, there) for node in ("aws-1", "gcp-1") for _ in range(20)
    }
    cluster.start_api_server()

    assert {name(pods["openstack-1"])} == answers
    assert fetch(cluster, name(pods["aws-1"]), there) == name(pods["openstack-1"])


def test_what_a_deleted_node_had_goes(
    cluster: KubernetesLab, pods: dict[str, dict[str, Any]]
) -> None:
    assert pods
    records = {it["metadata"]["name"] for it in cluster.get("fabricnodes")["items"]}
    assert set(cluster.machines) == records

    cluster.stop("openstack-1", "kubelet")
    cluster.kubectl("delete", "node", "openstack-1", "--wait=false")

    def is_gone() -> bool:
        found = {it["metadata"]["name"] for it in cluster.get("fabricnodes")["items"]}
        blocks = json.dumps(cluster.get("blockaffinities.projectcalico.org")["items"])
        return "openstack-1" not in found and "openstack-1" not in blocks

    cluster.wait("record and blocks of the node are gone", is_gone, s=60)
