"""What becomes of the other kinds: BGP, host endpoints, controllers, policies, and annotations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from chita.convert.documents import Entry
from chita.migrate.export import Export
from chita.migrate.finding import Effect, Finding, finding
from chita.migrate.raw import items, part
from chita.model.validate.enforcement import unenforced
from chita.model.validate.warnings import warnings

_POLICY_KINDS: Final = frozenset(
    {
        "NetworkPolicy", "GlobalNetworkPolicy", "StagedNetworkPolicy", "StagedGlobalNetworkPolicy",
        "Profile",
    }
)  # fmt: skip
NOT_CARRIED: Final = {
    "Node": "Kubernetes' Node says what it says; nothing here reads Calico's",
    "ClusterInformation": "it describes the installation of Calico",
    "CalicoNodeStatus": "it asks Calico's daemon how it is; here: chita status",
}
"""Kinds that are not carried over, and why."""
_TOLD_ELSEWHERE: Final = frozenset({"FelixConfiguration", "IPPool"})
_BGP: Final = {
    "BGPConfiguration": "nobody here speaks BGP: routes between nodes are the fabric's own, and "
    "nothing outside the cluster is told of pods or services",
    "BGPPeer": "is no longer told of pods and services, nor heard; whoever routed to them by it "
    "needs another way in, such as a LoadBalancer, a StaticPeer or chita node join",
    "BGPFilter": "has nothing to filter",
}
_POD_ANNOTATIONS: Final = {
    "cni.projectcalico.org/ipAddrsNoIpam": "addresses without IPAM are not given here",
    "cni.projectcalico.org/floatingIPs": "there are no floating addresses here",
    "cni.projectcalico.org/allowedSourcePrefixes": "a pod sends from its own addresses only",
    "cni.projectcalico.org/hwAddr": "a pod's MAC follows from its name here",
    "kubernetes.io/ingress-bandwidth": "bandwidth is not limited here",
    "kubernetes.io/egress-bandwidth": "bandwidth is not limited here",
}
"""Annotations of pods without effect here; so are all of ``qos.projectcalico.org``."""
_QOS: Final = "qos.projectcalico.org/"
_SERVICE_ANNOTATIONS: Final = (
    "projectcalico.org/loadBalancerIPs",
    "projectcalico.org/ipv4pools",
    "projectcalico.org/ipv6pools",
    "lb.projectcalico.org/external-traffic-strategy",
)
_AGGREGATED: Final = "v3.projectcalico.org"


def cluster_changes(export: Export) -> Iterator[Finding]:
    """Yield what will be otherwise with everything but pools and FelixConfiguration."""
    for entry in export.calico:
        if entry.kind in _BGP:
            yield finding(Effect.CHANGES, entry, "", _BGP[entry.kind])
        elif entry.kind in _POLICY_KINDS:
            yield from _policy(entry)
        elif entry.kind == "HostEndpoint":
            message = (
                "governs its interface as now; fail-safe ports and the fabric's tunnels stay open"
            )
            yield finding(Effect.KEPT, entry, "", message)
        elif entry.kind == "KubeControllersConfiguration":
            yield from _controllers(entry)
        elif entry.kind not in _TOLD_ELSEWHERE | NOT_CARRIED.keys():
            for warning in warnings(entry.raw):
                yield finding(Effect.IGNORED, entry, warning.field, warning.message)
    yield from _kubernetes(export)


def _policy(entry: Entry) -> Iterator[Finding]:
    less = {problem.field: problem.message for problem in unenforced(entry.raw)}
    for warning in warnings(entry.raw):
        effect = Effect.CHANGES if warning.field in less else Effect.IGNORED
        yield finding(effect, entry, warning.field, warning.message)


def _controllers(entry: Entry) -> Iterator[Finding]:
    controllers = part(entry.raw, "spec", "controllers")
    if part(controllers, "node", "hostEndpoint").get("autoCreate") == "Enabled":
        field = "spec.controllers.node.hostEndpoint.autoCreate"
        yield finding(Effect.KEPT, entry, field, "chita controller makes these host endpoints")
    if part(controllers, "loadBalancer"):
        message = "addresses of LoadBalancer services are not handed out here yet"
        yield finding(Effect.CHANGES, entry, "spec.controllers.loadBalancer", message)
    for warning in warnings(entry.raw):
        if warning.field != "spec.controllers.loadBalancer":
            yield finding(Effect.IGNORED, entry, warning.field, warning.message)


def _kubernetes(export: Export) -> Iterator[Finding]:
    """Yield what objects of Kubernetes ask of Calico."""
    for entry in export.entries:
        annotations = part(entry.raw, "metadata", "annotations")
        match entry.api_version, entry.kind:
            case "v1", "Pod":
                yield from _annotated(entry, annotations, _pod_annotation)
                yield from host_ports(entry)
            case "v1", "Service":
                yield from _annotated(entry, annotations, _service_annotation)
            case "v1", "Node":
                yield from _node(entry, annotations)
            case "apiregistration.k8s.io/v1", "APIService":
                yield from _aggregated(entry)


def _annotated(
    entry: Entry, annotations: Mapping[str, Any], told: Callable[[str], str]
) -> Iterator[Finding]:
    for key in annotations:
        if message := told(key):
            yield finding(Effect.CHANGES, entry, f"metadata.annotations[{key}]", message)


def host_ports(pod: Entry) -> Iterator[Finding]:
    """Yield the ports of the node that a pod on its own network asks for."""
    if part(pod.raw, "spec").get("hostNetwork") is True:
        return
    for index, container in enumerate(items(pod.raw, "spec", "containers")):
        if any(port.get("hostPort") for port in items(container, "ports")):
            field = f"spec.containers[{index}].ports"
            message = "hostPort: ports of the node are not mapped to pods here yet"
            yield finding(Effect.CHANGES, pod, field, message)


def _pod_annotation(key: str) -> str:
    """Return what becomes of an annotation of a pod; empty: nothing to tell."""
    if key.startswith(_QOS):
        return "rates, connections and DSCP are not limited or set here"
    return _POD_ANNOTATIONS.get(key, "")


def _service_annotation(key: str) -> str:
    return (
        "addresses of services are not handed out here yet" if key in _SERVICE_ANNOTATIONS else ""
    )


def _aggregated(entry: Entry) -> Iterator[Finding]:
    """Yield that Calico's API server stands before definitions of the same group.

    The aggregator asks the service of an APIService; one without a service is a definition's own.
    """
    if entry.name == _AGGREGATED and part(entry.raw, "spec", "service"):
        message = (
            "Calico's API server serves projectcalico.org/v3 from its own store: delete it and "
            "this APIService before chita.yaml is applied, else the definitions of that group "
            "have no effect"
        )
        yield finding(Effect.CHANGES, entry, "spec.service", message)


def _node(entry: Entry, annotations: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield where Calico reached a node at another address than Kubernetes does."""
    own = {str(item.get("address")) for item in items(entry.raw, "status", "addresses")}
    for family in ("IPv4", "IPv6"):
        key = f"projectcalico.org/{family}Address"
        address = str(annotations.get(key) or "").partition("/")[0]
        if address and own and address not in own:
            message = (
                f"Calico reaches the node at {address}, which is no address of its status; here "
                f"the first of those counts: write the annotation chita.dev/endpoint if it is "
                f"reached at {address} only"
            )
            yield finding(Effect.CHANGES, entry, f"metadata.annotations[{key}]", message)
