"""What the server fills in where a writer left a field out. All of it changes the given object.

Sources: Calico v3 API (policy types and tier), Kubernetes core/v1 defaults.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from chita.model.kinds import Kind
    from chita.store.store import Object

TIER_LABEL = "projectcalico.org/tier"
NAMESPACE_LABEL = "kubernetes.io/metadata.name"


def fill(kind: Kind, value: Object) -> None:
    """Fill in what *value* leaves open."""
    default = _DEFAULTS.get(kind.resource)
    if default is not None:
        default(value)


def _part(value: Object, field: str) -> dict[str, Any]:
    """Return the object in *field*, made if absent; what is no object is left to validation."""
    if value.get(field) is None:
        value[field] = {}
    part = value[field]
    return part if isinstance(part, dict) else {}


def _spec(value: Object) -> dict[str, Any]:
    return _part(value, "spec")


def _policy(value: Object) -> None:
    """Default tier and types, and keep the tier's label equal to the field."""
    spec = _spec(value)
    tier = spec.get("tier") or "default"
    spec["tier"] = tier
    labels = value["metadata"].get("labels") or {}
    if isinstance(labels, dict) and isinstance(tier, str):
        value["metadata"]["labels"] = {**labels, TIER_LABEL: tier}
    if not spec.get("types"):
        # Only egress rules: Egress. No rules at all: Ingress, which then drops.
        has_ingress, has_egress = bool(spec.get("ingress")), bool(spec.get("egress"))
        types = ["Ingress"] if has_ingress or not has_egress else []
        spec["types"] = [*types, "Egress"] if has_egress else types


def _staged(value: Object) -> None:
    spec = _spec(value)
    action = spec.setdefault("stagedAction", "Set")
    if action == "Delete":  # every other field but the tier stays empty
        spec["tier"] = spec.get("tier") or "default"
        return
    _policy(value)


def _kubernetes_policy(value: Object) -> None:
    """Default the policy types: Ingress always, Egress if it has rules (networking/v1)."""
    spec = _spec(value)
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


def _tier(value: Object) -> None:
    _spec(value).setdefault("defaultAction", "Deny")


def _namespace(value: Object) -> None:
    metadata = value["metadata"]
    labels = metadata.get("labels") or {}
    if isinstance(labels, dict) and "name" in metadata:
        metadata["labels"] = {**labels, NAMESPACE_LABEL: metadata["name"]}
    _part(value, "status").setdefault("phase", "Active")


def _pod(value: Object) -> None:
    spec = _spec(value)
    spec.setdefault("serviceAccountName", "default")
    spec.setdefault("restartPolicy", "Always")
    for container in _items(spec, "containers"):
        for port in _items(container, "ports"):
            port.setdefault("protocol", "TCP")
    _part(value, "status").setdefault("phase", "Pending")


def _service(value: Object) -> None:
    spec = _spec(value)
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    for port in _items(spec, "ports"):
        port.setdefault("protocol", "TCP")
        if "port" in port:
            port.setdefault("targetPort", port["port"])


def _items(value: dict[str, Any], field: str) -> list[dict[str, Any]]:
    items = value.get(field)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


_DEFAULTS: dict[str, Callable[[Object], None]] = {
    "networkpolicies.projectcalico.org": _policy,
    "globalnetworkpolicies.projectcalico.org": _policy,
    "stagednetworkpolicies.projectcalico.org": _staged,
    "stagedglobalnetworkpolicies.projectcalico.org": _staged,
    "networkpolicies.networking.k8s.io": _kubernetes_policy,
    "tiers.projectcalico.org": _tier,
    "namespaces": _namespace,
    "pods": _pod,
    "services": _service,
}
