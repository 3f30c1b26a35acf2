"""Every kind the server keeps: names, scope, subresource and selectable fields, as one table.

The order matters: ``kubectl get networkpolicies`` takes the first group that has the plural.
"""

from __future__ import annotations

from enum import Enum

import msgspec


class Patching(Enum):
    """Which patch types a kind takes; apiserver draws the line between built-in and CRD."""

    BUILT_IN = "built-in"  # strategic merge patch too
    CUSTOM = "custom"  # JSON patch, merge patch and apply


class StatusPart(Enum):
    """How a kind's ``status`` is written."""

    NONE = "none"  # no subresource: status is a field like any other
    SPLIT = "split"  # only through .../status
    SPLIT_AFTER_CREATE = "split-after-create"  # a create may set it: a node registers itself


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of one group and version."""

    group: str  # empty: the core group
    version: str
    kind: str
    plural: str
    namespaced: bool
    short_names: tuple[str, ...] = ()
    status: StatusPart = StatusPart.NONE
    patching: Patching = Patching.CUSTOM
    fields: tuple[str, ...] = ()  # selectable, beside metadata.name and metadata.namespace

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
    def path(self) -> str:
        """The URL path of its group and version."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    @property
    def categories(self) -> tuple[str, ...]:
        """The words for several kinds at once: ``kubectl get all``."""
        return ("all",) if self.resource in {"pods", "services"} else ()

    @property
    def has_status(self) -> bool:
        """Whether there is a status subresource."""
        return self.status is not StatusPart.NONE


def _core(  # noqa: PLR0913 - the columns of the table below
    kind: str,
    plural: str,
    *short_names: str,
    group: str = "",
    namespaced: bool = True,
    status: StatusPart = StatusPart.NONE,
    fields: tuple[str, ...] = (),
) -> Kind:
    return Kind(
        group=group,
        version="v1",
        kind=kind,
        plural=plural,
        namespaced=namespaced,
        short_names=short_names,
        status=status,
        patching=Patching.BUILT_IN,
        fields=fields,
    )


def _calico(
    kind: str,
    plural: str,
    *short_names: str,
    namespaced: bool = False,
    status: StatusPart = StatusPart.NONE,
    fields: tuple[str, ...] = (),
) -> Kind:
    return Kind(
        group="projectcalico.org",
        version="v3",
        kind=kind,
        plural=plural,
        namespaced=namespaced,
        short_names=short_names,
        status=status,
        fields=fields,
    )


def _chita(kind: str, plural: str, *short_names: str, status: StatusPart) -> Kind:
    return Kind(
        group="chita.dev",
        version="v1alpha1",
        kind=kind,
        plural=plural,
        namespaced=False,
        short_names=short_names,
        status=status,
    )


_TIER = ("spec.tier",)
_NODE = ("spec.node",)
_SPLIT = StatusPart.SPLIT

KINDS: tuple[Kind, ...] = (
    _core(
        "Namespace", "namespaces", "ns", namespaced=False, status=_SPLIT, fields=("status.phase",)
    ),
    _core(
        "Node",
        "nodes",
        "no",
        namespaced=False,
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
    Kind(
        group="policy.networking.k8s.io",
        version="v1alpha2",
        kind="ClusterNetworkPolicy",
        plural="clusternetworkpolicies",
        namespaced=False,
        short_names=("kcnp",),
        status=_SPLIT,
        fields=_TIER,
    ),
    _calico(
        "NetworkPolicy",
        "networkpolicies",
        "cnp",
        "caliconetworkpolicy",
        namespaced=True,
        fields=_TIER,
    ),
    _calico("GlobalNetworkPolicy", "globalnetworkpolicies", "gnp", "cgnp", fields=_TIER),
    _calico(
        "StagedNetworkPolicy",
        "stagednetworkpolicies",
        "snp",
        "scnp",
        namespaced=True,
        fields=_TIER,
    ),
    _calico("StagedGlobalNetworkPolicy", "stagedglobalnetworkpolicies", "sgnp", fields=_TIER),
    _calico(
        "StagedKubernetesNetworkPolicy",
        "stagedkubernetesnetworkpolicies",
        "sknp",
        namespaced=True,
    ),
    _calico("Tier", "tiers", status=_SPLIT),
    _calico("NetworkSet", "networksets", "netset", namespaced=True),
    _calico("GlobalNetworkSet", "globalnetworksets", "gns"),
    _calico("HostEndpoint", "hostendpoints", "hep", "heps", fields=_NODE),
    _calico("Profile", "profiles"),
    _calico("WorkloadEndpoint", "workloadendpoints", "wep", namespaced=True, fields=_NODE),
    _calico("IPPool", "ippools", "ipp", "pool"),
    _calico("IPReservation", "ipreservations"),
    _calico("IPAMConfiguration", "ipamconfigurations", "ipamconfig", "ipamconfigs"),
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
    ),
    _calico("ClusterInformation", "clusterinformations", "clusterinfo", "clusterinfos"),
    _calico("CalicoNodeStatus", "caliconodestatuses", status=_SPLIT),
    _calico("Node", "nodes"),
    _chita("FabricConfiguration", "fabricconfigurations", "fabric", status=_SPLIT),
    _chita("Location", "locations", "loc", status=_SPLIT),
    # One writer, one write: the node sets spec and status of its own record together.
    _chita("FabricNode", "fabricnodes", "fn", status=StatusPart.NONE),
    _chita("Underlay", "underlays", status=StatusPart.NONE),
)

_BY_PATH: dict[tuple[str, str, str], Kind] = {(k.group, k.version, k.plural): k for k in KINDS}
_BY_KIND: dict[tuple[str, str], Kind] = {(k.api_version, k.kind): k for k in KINDS}


def kind_at(group: str, version: str, plural: str) -> Kind | None:
    """Return the kind that a URL names, or None."""
    return _BY_PATH.get((group, version, plural))


def known_kind(api_version: str, kind: str) -> Kind:
    """Return a kind that the table has.

    Raises:
        KeyError: it has not.
    """
    return _BY_KIND[api_version, kind]


def group_versions() -> list[tuple[str, str]]:
    """Return each group with its version, the core group first."""
    return list(dict.fromkeys((kind.group, kind.version) for kind in KINDS))
