"""What the server fills in where a writer left a field out.

The v3 kinds' defaults are the model's; here stand those of Kubernetes' own kinds (core/v1 and
networking/v1 defaults.go) and the labels that the server keeps equal to a field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chita.model.defaults import apply_defaults
from chita.model.labels import TIER
from chita.server.builtin import TIERED

if TYPE_CHECKING:
    from collections.abc import Callable

    from chita.model.kinds import Kind
    from chita.store.store import Object

NAMESPACE_LABEL = "kubernetes.io/metadata.name"


def filled(kind: Kind, value: Object) -> Object:
    """Return *value* with what it leaves open. *value* itself is used up."""
    result = apply_defaults(value)
    default = _DEFAULTS.get(kind.resource)
    if default is not None:
        default(result)
    return result


def _part(value: Object, field: str) -> dict[str, Any]:
    """Return the object in *field*, made if absent; what is no object is left to validation."""
    if value.get(field) is None:
        value[field] = {}
    part = value[field]
    return part if isinstance(part, dict) else {}


def _spec(value: Object) -> dict[str, Any]:
    return _part(value, "spec")


def _policy(value: Object) -> None:
    """Keep the tier's label equal to the field; a staged deletion has no label."""
    spec = _spec(value)
    labels, tier = value["metadata"].get("labels") or {}, spec.get("tier")
    if spec.get("stagedAction") != "Delete" and isinstance(labels, dict) and isinstance(tier, str):
        value["metadata"]["labels"] = {**labels, TIER: tier}


def _kubernetes_policy(value: Object) -> None:
    """Default the policy types: Ingress always, Egress if it has rules (networking/v1)."""
    spec = _spec(value)
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


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
    **dict.fromkeys(TIERED, _policy),
    "networkpolicies.networking.k8s.io": _kubernetes_policy,
    "namespaces": _namespace,
    "pods": _pod,
    "services": _service,
}
