"""Every kind of object that Chita knows, in one table: names, scope, status, selectable fields.

The client, the server's REST interface and the lab read their lists from here, so that they can't
disagree; what fields a kind has is in `chita.model.schemas`.
The order matters: ``kubectl get networkpolicies`` takes the first group that has the plural.
"""

from __future__ import annotations

from enum import Enum, StrEnum
from functools import partial

import msgspec


class Scope(StrEnum):
    """Whether objects of a kind live in namespaces; the values are those of a CRD."""

    NAMESPACED = "Namespaced"
    CLUSTER = "Cluster"


class StatusPart(Enum):
    """How a kind's ``status`` is written."""

    NONE = "none"  # no subresource: status is a field like any other
    SPLIT = "split"  # only through .../status
    SPLIT_AFTER_CREATE = "split-after-create"  # a create may set it: a node registers itself


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of one group and version, and its place in URLs."""

    group: str
    """Empty for the core group."""
    version: str
    kind: str
    plural: str
    scope: Scope
    short_names: tuple[str, ...] = ()
    status: StatusPart = StatusPart.NONE
    fields: tuple[str, ...] = ()
    """Selectable fields, beside ``metadata.name`` and ``metadata.namespace``."""
    only_name: str = ""
    """What its one object is named; empty: there may be many."""

    @property
    def api_version(self) -> str:
        """The ``apiVersion`` of its objects."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """The plural with its group, as errors name it and the store's keys begin."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def singular(self) -> str:
        """The lower-case kind."""
        return self.kind.lower()

    @property
    def is_namespaced(self) -> bool:
        """Whether its objects live in namespaces."""
        return self.scope is Scope.NAMESPACED

    @property
    def has_status(self) -> bool:
        """Whether there is a status subresource."""
        return self.status is not StatusPart.NONE

    @property
    def root(self) -> str:
        """The URL path of its group and version."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Return the URL path of the collection, one object or a part of it.

        With an empty *namespace* a namespaced collection means all namespaces.
        """
        parts = [self.root]
        if self.is_namespaced and namespace:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/".join(parts)


def _kind(  # noqa: PLR0913 - the columns of the table below
    kind: str,
    plural: str,
    *short_names: str,
    group: str,
    version: str,
    scope: Scope,
    status: StatusPart = StatusPart.NONE,
    fields: tuple[str, ...] = (),
    only_name: str = "",
) -> Kind:
    return Kind(
        group=group,
        version=version,
        kind=kind,
        plural=plural,
        scope=scope,
        short_names=short_names,
        status=status,
        fields=fields,
        only_name=only_name,
    )


_NAMESPACED = Scope.NAMESPACED
_CLUSTER = Scope.CLUSTER
_SPLIT = StatusPart.SPLIT

_core = partial(_kind, group="", version="v1", scope=_NAMESPACED)
_cluster_policy = partial(_kind, group="policy.networking.k8s.io", scope=_CLUSTER, status=_SPLIT)
_calico = partial(_kind, group="projectcalico.org", version="v3", scope=_CLUSTER)
_chita = partial(_kind, group="chita.dev", version="v1alpha1", scope=_CLUSTER)

_TIER = ("spec.tier",)
_NODE = ("spec.node",)
_DEFAULT = "default"

KINDS: tuple[Kind, ...] = (
    _core("Namespace", "namespaces", "ns", scope=_CLUSTER, status=_SPLIT, fields=("status.phase",)),
    _core(
        "Node",
        "nodes",
        "no",
        scope=_CLUSTER,
        status=StatusPart.SPLIT_AFTER_CREATE,
        fields=("spec.unschedulable",),
    ),
    _core(
        "Pod",
        "pods",
        "po",
        status=_SPLIT,
        fields=(
            "spec.nodeName",
            "spec.serviceAccountName",
            "status.phase",
            "status.podIP",
        ),
    ),
    _core("Service", "services", "svc", status=_SPLIT, fields=("spec.clusterIP", "spec.type")),
    _core("ServiceAccount", "serviceaccounts", "sa"),
    _core(
        "Event",
        "events",
        "ev",
        fields=(
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.fieldPath",
            "reason",
            "source",
            "type",
        ),
    ),
    _core("Lease", "leases", group="coordination.k8s.io"),
    _core("EndpointSlice", "endpointslices", group="discovery.k8s.io"),
    _core("NetworkPolicy", "networkpolicies", "netpol", group="networking.k8s.io"),
    _cluster_policy(
        "ClusterNetworkPolicy", "clusternetworkpolicies", "kcnp", version="v1alpha2", fields=_TIER
    ),
    # What it replaced, for the clusters that still have them.
    _cluster_policy("AdminNetworkPolicy", "adminnetworkpolicies", "anp", version="v1alpha1"),
    _cluster_policy(
        "BaselineAdminNetworkPolicy",
        "baselineadminnetworkpolicies",
        "banp",
        version="v1alpha1",
        only_name=_DEFAULT,
    ),
    _calico(
        "NetworkPolicy",
        "networkpolicies",
        "cnp",
        "caliconetworkpolicy",
        scope=_NAMESPACED,
        status=_SPLIT,
        fields=_TIER,
    ),
    _calico(
        "GlobalNetworkPolicy", "globalnetworkpolicies", "gnp", "cgnp", status=_SPLIT, fields=_TIER
    ),
    _calico(
        "StagedNetworkPolicy",
        "stagednetworkpolicies",
        "snp",
        "scnp",
        scope=_NAMESPACED,
        fields=_TIER,
    ),
    _calico("StagedGlobalNetworkPolicy", "stagedglobalnetworkpolicies", "sgnp", fields=_TIER),
    _calico(
        "StagedKubernetesNetworkPolicy",
        "stagedkubernetesnetworkpolicies",
        "sknp",
        scope=_NAMESPACED,
    ),
    _calico("Tier", "tiers", status=_SPLIT),
    _calico("NetworkSet", "networksets", "netset", scope=_NAMESPACED),
    _calico("GlobalNetworkSet", "globalnetworksets", "gns"),
    _calico("HostEndpoint", "hostendpoints", "hep", "heps", fields=_NODE),
    _calico("Profile", "profiles"),
    _calico("WorkloadEndpoint", "workloadendpoints", "wep", scope=_NAMESPACED, fields=_NODE),
    _calico("IPPool", "ippools", "ipp", "pool"),
    _calico("IPReservation", "ipreservations"),
    _calico(
        "IPAMConfiguration",
        "ipamconfigurations",
        "ipamconfig",
        "ipamconfigs",
        only_name=_DEFAULT,
    ),
    _calico("IPAMBlock", "ipamblocks"),
    _calico("IPAMHandle", "ipamhandles"),
    _calico("BlockAffinity", "blockaffinities", "affinity", "affinities", fields=_NODE),
    _calico("BGPConfiguration", "bgpconfigurations", "bgpconfig", "bgpconfigs"),
    _calico("BGPPeer", "bgppeers", fields=_NODE),
    _calico("BGPFilter", "bgpfilters"),
    _calico("FelixConfiguration", "felixconfigurations"),
    _calico(
        "KubeControllersConfiguration",
        "kubecontrollersconfigurations",
        "kcc",
        "kccs",
        status=_SPLIT,
        only_name=_DEFAULT,
    ),
    _calico(
        "ClusterInformation",
        "clusterinformations",
        "clusterinfo",
        "clusterinfos",
        only_name=_DEFAULT,
    ),
    _calico("CalicoNodeStatus", "caliconodestatuses", status=_SPLIT),
    _calico("Node", "nodes"),
    _chita(
        "FabricConfiguration",
        "fabricconfigurations",
        "fabric",
        status=_SPLIT,
        only_name=_DEFAULT,
    ),
    _chita("Location", "locations", "loc", status=_SPLIT),
    # One writer, one write: the node sets spec and status of its own record together.
    _chita("FabricNode", "fabricnodes", "fn", status=StatusPart.NONE),
    _chita("StaticPeer", "staticpeers", "sp", status=StatusPart.NONE),
    _chita("Underlay", "underlays", status=StatusPart.NONE),
)

_BY_NAME: dict[tuple[str, str], Kind] = {(kind.api_version, kind.kind): kind for kind in KINDS}


def find_kind(api_version: str, kind: str) -> Kind | None:
    """Return the kind of objects that say so of themselves, or None."""
    return _BY_NAME.get((api_version, kind))


def known_kind(api_version: str, kind: str) -> Kind:
    """Return a kind that the table has.

    Raises:
        KeyError: it has not.
    """
    return _BY_NAME[api_version, kind]
