"""The kinds that Chita reads and writes through the Kubernetes API, by group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chita.errors import NotFoundError
from chita.model.kinds import KINDS, Kind

Resource = Kind
"""One resource of the API: its group, version, kind and place in URLs."""


def _of(group: str) -> dict[str, Resource]:
    """Return the resources of a group by kind."""
    return {kind.kind: kind for kind in KINDS if kind.group == group}


CORE = _of("")
COORDINATION = _of("coordination.k8s.io")
DISCOVERY = _of("discovery.k8s.io")
NETWORKING = _of("networking.k8s.io")
CLUSTER_POLICY = _of("policy.networking.k8s.io")
# Calico's own Node is kept for those who bring one along; nothing here asks for it, and
# `chita get nodes` means Kubernetes'.
CALICO = {kind: resource for kind, resource in _of("projectcalico.org").items() if kind != "Node"}
CHITA = _of("chita.dev")

RESOURCES: dict[tuple[str, str], Resource] = {
    (resource.api_version, resource.kind): resource
    for table in (CORE, COORDINATION, DISCOVERY, NETWORKING, CLUSTER_POLICY, CALICO, CHITA)
    for resource in table.values()
}
"""All of them, by ``apiVersion`` and ``kind``."""

WATCHED: tuple[Resource, ...] = (
    *(CORE[kind] for kind in ("Namespace", "ServiceAccount", "Node", "Pod", "Service")),
    DISCOVERY["EndpointSlice"],
    NETWORKING["NetworkPolicy"],
    *CLUSTER_POLICY.values(),
    *(
        CALICO[kind]
        for kind in (
            "NetworkPolicy", "GlobalNetworkPolicy", "StagedNetworkPolicy",
            "StagedGlobalNetworkPolicy", "StagedKubernetesNetworkPolicy", "Tier", "NetworkSet",
            "GlobalNetworkSet", "HostEndpoint", "Profile", "IPPool", "IPReservation", "IPAMBlock",
            "FelixConfiguration",
        )
    ),
    *(CHITA[kind] for kind in ("FabricConfiguration", "Location", "FabricNode", "StaticPeer")),
)  # fmt: skip
"""What an agent folds into its ClusterState. IPAM's bookkeeping is read when it is needed."""


def resource_of(obj: Mapping[str, Any]) -> Resource:
    """Return the resource of an API object.

    Raises:
        NotFoundError: its ``apiVersion`` and ``kind`` are not among those Chita uses.
    """
    key = (str(obj.get("apiVersion", "")), str(obj.get("kind", "")))
    try:
        return RESOURCES[key]
    except KeyError:
        raise NotFoundError(f"no resource for apiVersion {key[0]}, kind {key[1]}") from None
