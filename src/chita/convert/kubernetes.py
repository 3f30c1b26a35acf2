"""Kubernetes' own objects: pods, namespaces, service accounts, nodes, services."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from sys import intern

from chita.convert.fields import Field, Metadata
from chita.convert.rules import allow_all
from chita.model.endpoint import NamedPort, Profile, WorkloadEndpoint, interface_name
from chita.model.labels import (
    NAME,
    NAMESPACE,
    NAMESPACE_PREFIX,
    ORCHESTRATOR,
    SERVICE_ACCOUNT,
    SERVICE_ACCOUNT_PREFIX,
    namespace_profile,
    service_account_profile,
)
from chita.model.net import SCTP, TCP, UDP, Address
from chita.model.node import Node
from chita.model.service import EndpointSlice, Service, ServicePort, SliceEndpoint

POD_IP = "cni.projectcalico.org/podIP"
POD_IPS = "cni.projectcalico.org/podIPs"
REGION = "topology.kubernetes.io/region"
LOCATION = "chita.dev/location"
ENDPOINT = "chita.dev/endpoint"
MESH = ("chita.dev/mesh-ipv4", "chita.dev/mesh-ipv6")
SERVICE_NAME = "kubernetes.io/service-name"
DEFAULT_SERVICE_ACCOUNT = "default"
"""What Kubernetes' admission gives a pod that names none."""

FINISHED_PHASES = frozenset({"Succeeded", "Failed"})
"""Of a pod whose containers have ended for good: its network is gone."""
_PROTOCOLS = {"TCP": TCP, "UDP": UDP, "SCTP": SCTP}
_LABEL_VALUE_LIMIT = 63
_CLOUDS = {"gce": "gcp"}
"""Provider id schemes that are not the cloud's name."""


def pod(obj: Field) -> WorkloadEndpoint | None:
    """Return the endpoint of a pod; None for one without a network of its own on a node.

    That is: not on a node yet, on the host's network, or finished (its addresses may be another
    pod's by now). Labels that would pass for those of its namespace or service account
    (``pcns.``, ``pcsa.``) are left out.
    """
    metadata = Metadata(obj)
    namespace, spec, status = metadata.in_namespace, obj["spec"], obj["status"]
    node = intern(spec["nodeName"].text())
    if not node or spec["hostNetwork"].flag() or status["phase"].text() in FINISHED_PHASES:
        return None
    account = spec["serviceAccountName"].text() or spec["serviceAccount"].text()
    account = intern(account or DEFAULT_SERVICE_ACCOUNT)
    return WorkloadEndpoint(
        namespace=namespace,
        name=metadata.name,
        node=node,
        interface=interface_name(namespace, metadata.name),
        labels=pod_labels(metadata.labels, namespace, account),
        addresses=pod_addresses(obj),
        profiles=_pod_profiles(namespace, account),
        ports=named_ports(spec),
    )


@lru_cache(maxsize=4096)
def _pod_profiles(namespace: str, account: str) -> tuple[str, str]:
    """Return the profiles of a pod; all pods of an account have one tuple."""
    return namespace_profile(namespace), service_account_profile(namespace, account)


def pod_labels(own: Mapping[str, str], namespace: str, account: str) -> dict[str, str]:
    """Return a pod's labels with those that policy reads besides (calico 2.9)."""
    labels = {
        key: value
        for key, value in own.items()
        if not key.startswith((NAMESPACE_PREFIX, SERVICE_ACCOUNT_PREFIX))
    }
    labels[NAMESPACE] = namespace
    labels[ORCHESTRATOR] = "k8s"
    labels.pop(SERVICE_ACCOUNT, None)
    if len(account) <= _LABEL_VALUE_LIMIT:  # a name may be longer than a label's value
        labels[SERVICE_ACCOUNT] = account
    return labels


def pod_addresses(obj: Field) -> tuple[Address, ...]:
    """Return a pod's addresses: from its status, else from the annotations of the CNI plugin.

    A pod that is being deleted and whose ``podIP`` annotation is empty has none any more.
    """
    annotations = obj["metadata"]["annotations"]
    if obj["metadata"]["deletionTimestamp"].is_set and annotations[POD_IP].value == "":
        return ()
    status = obj["status"]
    texts = [item["ip"] for item in status["podIPs"].items()]
    if not texts and status["podIP"].text():
        texts = [status["podIP"]]
    if not texts:
        listed = annotations[POD_IPS].text() or annotations[POD_IP].text()
        path = f"metadata.annotations[{POD_IPS}]"
        texts = [Field(part.strip(), path) for part in listed.split(",") if part.strip()]
    return tuple([_host(text) for text in texts])


def _host(field: Field) -> Address:
    """Return an address that may be written with its full prefix length."""
    net = field.cidr()
    if not net.is_host:
        raise field.error(f"'{field.value}' is a network, not an address")
    return net.address


def named_ports(spec: Field) -> tuple[NamedPort, ...]:
    """Return the named ports of a pod's containers and of its sidecars.

    A sidecar is an init container that keeps running (``restartPolicy: Always``, KEP-753).
    """
    ports = [
        NamedPort(
            port["name"].text(),
            port["protocol"].one_of(_PROTOCOLS, TCP),
            port["containerPort"].integer(0, low=1, high=65535),
        )
        for port in _ports(spec)
    ]
    return tuple([port for port in ports if port.name])


def container_ports(spec: Field) -> tuple[tuple[int, int], ...]:
    """Return protocol and number of each port that a pod's containers and sidecars declare."""
    ports = [
        (
            port["protocol"].one_of(_PROTOCOLS, TCP),
            port["containerPort"].integer(0, low=1, high=65535),
        )
        for port in _ports(spec)
    ]
    return tuple(sorted(set(ports)))


def _ports(spec: Field) -> Iterator[Field]:
    for container in spec["containers"].items():
        yield from container["ports"].items()
    for container in spec["initContainers"].items():
        if container["restartPolicy"].text() == "Always":
            yield from container["ports"].items()


def namespace_profile_of(obj: Field) -> Profile:
    """Return the profile of a namespace: its labels, and everything allowed (calico 2.8)."""
    metadata = Metadata(obj)
    labels = {NAMESPACE_PREFIX + key: value for key, value in metadata.labels.items()}
    labels[NAMESPACE_PREFIX + NAME] = metadata.name
    return Profile(
        name=namespace_profile(metadata.name),
        labels_to_apply=labels,
        ingress=allow_all(),
        egress=allow_all(),
    )


def service_account_profile_of(obj: Field) -> Profile:
    """Return the profile of a service account: its labels, no rules (calico 2.8)."""
    metadata = Metadata(obj)
    labels = {SERVICE_ACCOUNT_PREFIX + key: value for key, value in metadata.labels.items()}
    labels[SERVICE_ACCOUNT_PREFIX + NAME] = metadata.name
    name = service_account_profile(metadata.in_namespace, metadata.name)
    return Profile(name=name, labels_to_apply=labels)


def node(obj: Field) -> Node:
    """Return a node with its location (docs/reference/fabric-kinds.md, section Location)."""
    metadata = Metadata(obj)
    addresses: dict[str, list[Address]] = {"InternalIP": [], "ExternalIP": []}
    for item in obj["status"]["addresses"].items():
        if (kind := item["type"].text()) in addresses:
            addresses[kind].append(item["address"].address())
    provider_id = obj["spec"]["providerID"].text()
    annotations = obj["metadata"]["annotations"]
    return Node(
        name=metadata.name,
        labels=metadata.labels,
        provider_id=provider_id,
        location=location_of(metadata.name, provider_id, metadata.labels),
        internal_addresses=tuple(addresses["InternalIP"]),
        external_addresses=tuple(addresses["ExternalIP"]),
        mesh_addresses=tuple(
            [annotations[key].address() for key in MESH if annotations[key].text()]
        ),
        endpoint=annotations[ENDPOINT].text(),
    )


def location_of(name: str, provider_id: str, labels: Mapping[str, str]) -> str:
    """Return a node's location: as its label says, else of its cloud and region, else its own.

    A node of which nothing is known is alone in its location: two such nodes may use the same
    private addresses, and must never take each other's for reachable.
    """
    if location := labels.get(LOCATION):
        return location
    scheme, separator, _ = provider_id.partition("://")
    region = labels.get(REGION)
    if separator and scheme and region:
        return f"{_CLOUDS.get(scheme, scheme)}-{region}"
    return f"site-{name}"


def service(obj: Field) -> Service:
    """Return a Service; one without cluster address (headless, ExternalName) has none."""
    metadata, spec = Metadata(obj), obj["spec"]
    texts = list(spec["clusterIPs"].items()) or [spec["clusterIP"]]
    return Service(
        namespace=metadata.in_namespace,
        name=metadata.name,
        selector=spec["selector"].texts_by_key(),
        cluster_addresses=tuple(
            [text.address() for text in texts if text.text() not in {"", "None"}]
        ),
        ports=tuple([_service_port(port) for port in spec["ports"].items()]),
    )


def _service_port(port: Field) -> ServicePort:
    number = port["port"].integer(0, low=1, high=65535)
    target = port["targetPort"]
    if not isinstance(target.value, str | int | None):
        raise target.error("must be a port number or the name of a container port")
    return ServicePort(
        name=port["name"].text(),
        protocol=port["protocol"].one_of(_PROTOCOLS, TCP),
        port=number,
        target=target.value or number,
    )


def endpoint_slice(obj: Field) -> EndpointSlice | None:
    """Return an EndpointSlice; None for one that belongs to no Service."""
    metadata = Metadata(obj)
    owner = metadata.labels.get(SERVICE_NAME)
    if not owner:
        return None
    ports = [
        (port["protocol"].one_of(_PROTOCOLS, TCP), port["port"].integer(0, low=1, high=65535))
        for port in obj["ports"].items()
        if port["port"].is_set
    ]
    is_named = obj["addressType"].text() == "FQDN"
    addresses = [
        address.address()
        for endpoint in obj["endpoints"].items()
        for address in endpoint["addresses"].items()
        if not is_named
    ]
    return EndpointSlice(
        namespace=metadata.in_namespace,
        name=metadata.name,
        service=owner,
        endpoints=tuple(
            [
                SliceEndpoint(address=address, protocol=protocol, port=number)
                for address in addresses
                for protocol, number in ports
            ]
        ),
    )
