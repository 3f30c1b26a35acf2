"""Where the kinds that Chita reads and writes are in the Kubernetes API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from chita.errors import NotFoundError


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """One resource of the API: its group, version, kind and place in URLs."""

    group: str
    """Empty for the core group."""
    version: str
    kind: str
    plural: str
    is_namespaced: bool

    @property
    def api_version(self) -> str:
        """What objects of it have in ``apiVersion``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Return the URL path of the collection, one object or a part of it.

        With an empty *namespace* a namespaced collection means all namespaces.
        """
        parts = [f"/apis/{self.group}" if self.group else "/api", self.version]
        if self.is_namespaced and namespace:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/".join(parts)


def _table(group: str, version: str, *rows: str) -> dict[str, Resource]:
    """Return resources by ``Kind``; a row is ``Kind plural`` and ``ns`` when namespaced."""
    found: dict[str, Resource] = {}
    for row in rows:
        kind, plural, *rest = row.split()
        found[kind] = Resource(
            group=group, version=version, kind=kind, plural=plural, is_namespaced=rest == ["ns"]
        )
    return found


CORE = _table(
    "", "v1",
    "Namespace namespaces",
    "ServiceAccount serviceaccounts ns",
    "Node nodes",
    "Pod pods ns",
    "Service services ns",
    "Event events ns",
)  # fmt: skip
DISCOVERY = _table("discovery.k8s.io", "v1", "EndpointSlice endpointslices ns")
NETWORKING = _table("networking.k8s.io", "v1", "NetworkPolicy networkpolicies ns")
CLUSTER_POLICY = _table(
    "policy.networking.k8s.io", "v1alpha2", "ClusterNetworkPolicy clusternetworkpolicies"
)
CALICO = _table(
    "projectcalico.org", "v3",
    "NetworkPolicy networkpolicies ns",
    "GlobalNetworkPolicy globalnetworkpolicies",
    "StagedNetworkPolicy stagednetworkpolicies ns",
    "StagedGlobalNetworkPolicy stagedglobalnetworkpolicies",
    "StagedKubernetesNetworkPolicy stagedkubernetesnetworkpolicies ns",
    "Tier tiers",
    "NetworkSet networksets ns",
    "GlobalNetworkSet globalnetworksets",
    "HostEndpoint hostendpoints",
    "Profile profiles",
    "IPPool ippools",
    "IPReservation ipreservations",
    "IPAMConfiguration ipamconfigurations",
    "IPAMBlock ipamblocks",
    "IPAMHandle ipamhandles",
    "BlockAffinity blockaffinities",
    "FelixConfiguration felixconfigurations",
)  # fmt: skip
CHITA = _table(
    "chita.dev", "v1alpha1",
    "FabricConfiguration fabricconfigurations",
    "Location locations",
    "FabricNode fabricnodes",
)  # fmt: skip

RESOURCES: dict[tuple[str, str], Resource] = {
    (resource.api_version, resource.kind): resource
    for table in (CORE, DISCOVERY, NETWORKING, CLUSTER_POLICY, CALICO, CHITA)
    for resource in table.values()
}
"""All of them, by ``apiVersion`` and ``kind``."""

WATCHED: tuple[Resource, ...] = (
    *(CORE[kind] for kind in ("Namespace", "ServiceAccount", "Node", "Pod", "Service")),
    DISCOVERY["EndpointSlice"],
    NETWORKING["NetworkPolicy"],
    CLUSTER_POLICY["ClusterNetworkPolicy"],
    *(
        resource
        for kind, resource in CALICO.items()
        if kind not in ("IPAMConfiguration", "IPAMHandle", "BlockAffinity")
    ),
    *CHITA.values(),
)
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
