"""AdminNetworkPolicy and BaselineAdminNetworkPolicy (policy.networking.k8s.io/v1alpha1).

ClusterNetworkPolicy replaced them: its tiers Admin and Baseline are what they were, so they become
what such a policy becomes, with the same rules for what means nothing. They differ in words: Allow
for Accept, ``ports`` for ``protocols``, and a baseline policy has neither Pass nor a priority.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from chita.convert.cluster_network_policy import (
    TIERS,
    Dialect,
    converted,
    count_set,
    priority_of,
)
from chita.convert.fields import Field
from chita.convert.network_policy import V3Policy
from chita.convert.ports import ANY_PROTOCOL, PortsByProtocol, V3Port, port_name, port_range

_PROTOCOLS: Final = {"TCP": "TCP", "UDP": "UDP", "SCTP": "SCTP"}
_PORTS: Final = ("portNumber", "portRange", "namedPort")
BASELINE_ORDER: Final = 1000
"""There is one baseline policy, and it yields to all ClusterNetworkPolicies of its tier."""


def admin_network_policy(obj: Mapping[str, Any]) -> V3Policy:
    """Return the v3 GlobalNetworkPolicy that an AdminNetworkPolicy becomes."""
    return converted(obj, _ADMIN)


def baseline_admin_network_policy(obj: Mapping[str, Any]) -> V3Policy:
    """Return the v3 GlobalNetworkPolicy that a BaselineAdminNetworkPolicy becomes."""
    return converted(obj, _BASELINE)


def _admin(spec: Field) -> dict[str, Any]:
    return {"tier": TIERS["Admin"], "order": priority_of(spec["priority"])}


def _baseline(spec: Field) -> dict[str, Any]:
    del spec
    return {"tier": TIERS["Baseline"], "order": BASELINE_ORDER}


def _ports(ports: Field) -> list[tuple[str, list[V3Port]]]:
    """Return ports by protocol; a named one is of whichever protocol its pod declares."""
    collected = PortsByProtocol()
    for entry in ports.items():
        entry.only(*_PORTS)
        if count_set(entry) != 1:
            raise entry.error(f"must have exactly one of {', '.join(_PORTS)}")
        if entry["namedPort"].is_set:
            collected.add(ANY_PROTOCOL, port_name(entry["namedPort"]))
        elif entry["portNumber"].is_set:
            number = entry["portNumber"]
            number.only("protocol", "port")
            collected.add(_protocol(number), port_range(_required(number["port"]), Field(None)))
        else:
            span = entry["portRange"]
            span.only("protocol", "start", "end")
            collected.add(
                _protocol(span), port_range(_required(span["start"]), _required(span["end"]))
            )
    return collected.sorted()


def _protocol(port: Field) -> str:
    return port["protocol"].one_of(_PROTOCOLS, "TCP")


def _required(port: Field) -> Field:
    if not port.is_set:
        raise port.error("must be set, 1 to 65535")
    return port


_ADMIN: Final = Dialect(
    fields=("priority", "subject", "ingress", "egress"),
    head=_admin,
    actions={"Allow": "Allow", "Deny": "Deny", "Pass": "Pass"},
    ports_field="ports",
    ports=_ports,
)
_BASELINE: Final = Dialect(
    fields=("subject", "ingress", "egress"),
    head=_baseline,
    actions={"Allow": "Allow", "Deny": "Deny"},
    ports_field="ports",
    ports=_ports,
)
