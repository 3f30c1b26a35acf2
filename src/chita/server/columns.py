"""The columns of ``kubectl get``, per kind: name, whether only ``-o wide`` shows it, and the cell.

Built-in kinds have the columns of kube-apiserver (pkg/printers/internalversion); those of the
others are `chita.model.columns`, as kube-apiserver has them from our CustomResourceDefinitions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from chita.model import columns

if TYPE_CHECKING:
    from chita.model.kinds import Kind
    from chita.store.store import Object

Cell = Callable[["Object", datetime], Any]
NONE = "<none>"


class Column(msgspec.Struct, frozen=True):
    """A column; priority 0 is always shown, 1 only in the wide form."""

    name: str
    cell: Cell
    priority: int = 0

    def text(self, value: Object, now: datetime) -> Any:
        """Return the cell; one odd object must not cost the whole table."""
        try:
            return self.cell(value, now)
        except (AttributeError, KeyError, TypeError, ValueError):
            return "<invalid>"


def columns_of(kind: Kind) -> tuple[Column, ...]:
    """Return a kind's columns, the name first and the age last of the always shown ones."""
    own = _COLUMNS.get(kind.resource) or tuple(_modelled(kind))
    always = [column for column in own if column.priority == 0]
    wide = [column for column in own if column.priority > 0]
    return (Column("Name", _at("metadata.name")), *always, Column("Age", _age), *wide)


def _modelled(kind: Kind) -> Iterator[Column]:
    for column in columns.columns_of(kind):
        yield Column(column.name, _at(column.path, column.absent), column.shown.value)


def duration(seconds: float) -> str:  # noqa: PLR0911 - one return per range
    """Return a span as kubectl prints ages (k8s.io/apimachinery duration.HumanDuration)."""
    s = max(int(seconds), 0)
    m, h, d = s // 60, s // 3600, s // 86400
    if s < 120:
        return f"{s}s"
    if m < 10:
        return f"{m}m{s % 60}s" if s % 60 else f"{m}m"
    if m < 180:
        return f"{m}m"
    if h < 8:
        return f"{h}h{m % 60}m" if m % 60 else f"{h}h"
    if h < 48:
        return f"{h}h"
    if d < 8:
        return f"{d}d{h % 24}h" if h % 24 else f"{d}d"
    return f"{d}d" if d < 730 else f"{d // 365}y"


def _lookup(value: Any, path: str) -> Any:
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _at(path: str, default: Any = NONE) -> Cell:
    def cell(value: Object, _: datetime) -> Any:
        found = _lookup(value, path)
        if isinstance(found, list):
            return ",".join(map(str, found)) or default
        return default if found is None or found == "" else found

    return cell


def _count(path: str) -> Cell:
    def cell(value: Object, _: datetime) -> Any:
        found = _lookup(value, path)
        return len(found) if isinstance(found, list) else 0

    return cell


def _age(value: Object, now: datetime) -> str:
    text = _lookup(value, "metadata.creationTimestamp")
    try:
        then = datetime.strptime(text or "", "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return "<unknown>"
    return duration((now - then).total_seconds())


def _node_status(value: Object, _: datetime) -> str:
    conditions = _lookup(value, "status.conditions") or []
    ready = next((c.get("status") for c in conditions if c.get("type") == "Ready"), "Unknown")
    text = {"True": "Ready", "False": "NotReady"}.get(ready, "Unknown")
    return text + (",SchedulingDisabled" if _lookup(value, "spec.unschedulable") else "")


def _node_roles(value: Object, _: datetime) -> str:
    prefix = "node-role.kubernetes.io/"
    labels = _lookup(value, "metadata.labels") or {}
    roles = sorted(key.removeprefix(prefix) for key in labels if key.startswith(prefix))
    return ",".join(roles) or NONE


def _node_address(type_: str) -> Cell:
    def cell(value: Object, _: datetime) -> str:
        addresses = _lookup(value, "status.addresses") or []
        return next((a.get("address", "") for a in addresses if a.get("type") == type_), NONE)

    return cell


def _pod_ready(value: Object, _: datetime) -> str:
    states = _lookup(value, "status.containerStatuses") or []
    total = len(_lookup(value, "spec.containers") or [])
    return f"{sum(1 for s in states if s.get('ready'))}/{total}"


def _pod_status(value: Object, _: datetime) -> str:
    if _lookup(value, "metadata.deletionTimestamp"):
        return "Terminating"
    return str(_lookup(value, "status.reason") or _lookup(value, "status.phase") or "Unknown")


def _pod_restarts(value: Object, _: datetime) -> int:
    states = _lookup(value, "status.containerStatuses") or []
    return sum(int(s.get("restartCount", 0)) for s in states)


def _service_ports(value: Object, _: datetime) -> str:
    ports = []
    for port in _lookup(value, "spec.ports") or []:
        node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
        ports.append(f"{port.get('port')}{node_port}/{port.get('protocol', 'TCP')}")
    return ",".join(ports) or NONE


def _service_external(value: Object, _: datetime) -> str:
    given = _lookup(value, "status.loadBalancer.ingress") or []
    addresses = [i.get("ip") or i.get("hostname") or "" for i in given]
    addresses += _lookup(value, "spec.externalIPs") or []
    if addresses:
        return ",".join(addresses)
    return "<pending>" if _lookup(value, "spec.type") == "LoadBalancer" else NONE


def _labels(path: str) -> Cell:
    def cell(value: Object, _: datetime) -> str:
        found = _lookup(value, path) or {}
        return ",".join(f"{k}={v}" for k, v in sorted(found.items())) or NONE

    return cell


def _endpoints(value: Object, _: datetime) -> str:
    found = [a for e in _lookup(value, "endpoints") or [] for a in e.get("addresses") or []]
    more = f" + {len(found) - 3} more..." if len(found) > 3 else ""
    return ",".join(found[:3]) + more if found else "<unset>"


def _slice_ports(value: Object, _: datetime) -> str:
    return ",".join(str(p.get("port")) for p in _lookup(value, "ports") or []) or "<unset>"


def _event_object(value: Object, _: datetime) -> str:
    involved = value.get("involvedObject") or {}
    return f"{str(involved.get('kind', '')).lower()}/{involved.get('name', '')}"


_COLUMNS: dict[str, tuple[Column, ...]] = {
    "namespaces": (Column("Status", _at("status.phase")),),
    "nodes": (
        Column("Status", _node_status),
        Column("Roles", _node_roles),
        Column("Version", _at("status.nodeInfo.kubeletVersion", "")),
        Column("Internal-IP", _node_address("InternalIP"), 1),
        Column("External-IP", _node_address("ExternalIP"), 1),
        Column("OS-Image", _at("status.nodeInfo.osImage", "<unknown>"), 1),
        Column("Mesh-IP", lambda v, _: _mesh_address(v), 1),
    ),
    "pods": (
        Column("Ready", _pod_ready),
        Column("Status", _pod_status),
        Column("Restarts", _pod_restarts),
        Column("IP", _at("status.podIP"), 1),
        Column("Node", _at("spec.nodeName"), 1),
    ),
    "services": (
        Column("Type", _at("spec.type")),
        Column("Cluster-IP", _at("spec.clusterIP")),
        Column("External-IP", _service_external),
        Column("Port(s)", _service_ports),
        Column("Selector", _labels("spec.selector"), 1),
    ),
    "events": (
        Column("Type", _at("type", "")),
        Column("Reason", _at("reason", "")),
        Column("Object", _event_object),
        Column("Message", _at("message", "")),
    ),
    "leases.coordination.k8s.io": (Column("Holder", _at("spec.holderIdentity")),),
    "endpointslices.discovery.k8s.io": (
        Column("AddressType", _at("addressType")),
        Column("Ports", _slice_ports),
        Column("Endpoints", _endpoints),
    ),
    "networkpolicies.networking.k8s.io": (
        Column("Pod-Selector", _labels("spec.podSelector.matchLabels")),
    ),
    "clusternetworkpolicies.policy.networking.k8s.io": (
        Column("Tier", _at("spec.tier")),
        Column("Priority", _at("spec.priority")),
    ),
}


def _mesh_address(value: Object) -> Any:
    annotations = _lookup(value, "metadata.annotations") or {}
    return annotations.get("chita.dev/mesh-ipv4", NONE)
