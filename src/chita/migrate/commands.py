"""The commands that steps name, each written once; NODE, IMAGE and KUBECONFIG are filled in."""

from __future__ import annotations

import json
from typing import Any, Final

LABEL: Final = "chita.dev/managed"
MOVING: Final = "moving"
"""Value of the label while neither network's daemon runs on a node."""
MANAGED: Final = "true"
RUN: Final = (
    "kubectl debug node/NODE -it --profile=sysadmin --image=IMAGE -- chita migrate node NODE "
    "--root /host"
)
"""Runs on a node with nothing installed there; IMAGE is that of the agent."""
DRAIN: Final = "kubectl drain NODE --ignore-daemonsets --delete-emptydir-data"
INSTALL: Final = (
    "chita install > chita.yaml",
    "cp examples/migrate/kustomization.yaml .",
    "kubectl kustomize . | kubectl apply --server-side -f -",
    "chita migrate convert --kubeconfig KUBECONFIG > chita-objects.yaml",
    "kubectl apply --server-side -f chita-objects.yaml",
)
UNINSTALL: Final = "kubectl kustomize . | kubectl delete -f -"
REPORT: Final = "chita migrate report --kubeconfig KUBECONFIG"
SYNC: Final = (
    "chita migrate convert --kubeconfig KUBECONFIG --node NODE "
    "| kubectl apply --server-side --force-conflicts -f -"
)
"""Writes who has the addresses of a node's blocks now over what was converted before."""


def label(value: str) -> str:
    """Return what labels the node; an empty *value* takes the label away."""
    return f"kubectl label node NODE {LABEL}" + (f"={value} --overwrite" if value else "-")


def scale(namespace: str, deployment: str, replicas: int) -> str:
    """Return what stops or starts a deployment."""
    return f"kubectl -n {namespace} scale deployment {deployment} --replicas={replicas}"


def patch(what: str, body: dict[str, Any]) -> str:
    """Return what merges *body* into an object."""
    return f"kubectl patch {what} --type merge -p '{json.dumps(body)}'"


def gone(namespace: str, app: str) -> str:
    """Return what waits until the pod labelled *app* has left the node."""
    return _wait(namespace, app, "delete", 60)


def ready(namespace: str, app: str) -> str:
    """Return what waits until the pod labelled *app* is ready on the node."""
    return _wait(namespace, app, "condition=Ready", 120)


def _wait(namespace: str, app: str, what: str, timeout_s: int) -> str:
    where = "--field-selector spec.nodeName=NODE"
    return f"kubectl -n {namespace} wait pod -l {app} {where} --for={what} --timeout={timeout_s}s"


def leaves_moved(namespace: str, daemon_set: str) -> str:
    """Return what keeps a daemon set off nodes that are moved or have moved."""
    away = [{"key": LABEL, "operator": "NotIn", "values": [MOVING, MANAGED]}]
    required = {"nodeSelectorTerms": [{"matchExpressions": away}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    return _affinity(namespace, daemon_set, affinity)


def stays(namespace: str, daemon_set: str) -> str:
    """Return what lets a daemon set run on all nodes again."""
    return _affinity(namespace, daemon_set, None)


def _affinity(namespace: str, daemon_set: str, affinity: Any) -> str:
    body = {"spec": {"template": {"spec": {"affinity": affinity}}}}
    return patch(f"-n {namespace} daemonset {daemon_set}", body)
