"""Kubernetes' own kinds: only the fields that networking reads; all others are ignored."""

from __future__ import annotations

from chita.model.kinds import known_kind
from chita.model.schema import (
    Flag,
    Format,
    KindSchema,
    ListOf,
    MapOf,
    Record,
    Schema,
    Text,
    Whole,
    WholeOrText,
)

_PORT = Whole(minimum=1, maximum=65535)
_PROTOCOL = Text(choices=("TCP", "UDP", "SCTP"))
_ADDRESS = Text(format=Format.ADDRESS)
_SUBDOMAIN = Text(format=Format.DNS_SUBDOMAIN)

_CONTAINER = Record(
    open=True,
    fields={
        "name": Text(format=Format.DNS_LABEL),
        "ports": ListOf(
            item=Record(
                open=True,
                fields={
                    "name": Text(format=Format.PORT_NAME),
                    "containerPort": _PORT,
                    "hostPort": Whole(minimum=0, maximum=65535),
                    "hostIP": _ADDRESS,
                    "protocol": _PROTOCOL,
                },
                required=("containerPort",),
            ),
        ),
    },
)
_POD_SPEC = Record(
    open=True,
    fields={
        "nodeName": _SUBDOMAIN,
        "serviceAccountName": _SUBDOMAIN,
        "hostNetwork": Flag(),
        "containers": ListOf(item=_CONTAINER),
        "initContainers": ListOf(item=_CONTAINER),
    },
)
_POD_STATUS = Record(
    open=True,
    fields={
        "phase": Text(choices=("Pending", "Running", "Succeeded", "Failed", "Unknown")),
        "podIP": _ADDRESS,
        "podIPs": ListOf(item=Record(open=True, fields={"ip": _ADDRESS}, required=("ip",))),
    },
)
_NODE_SPEC = Record(
    open=True,
    fields={
        "providerID": Text(),
        "podCIDR": Text(format=Format.CIDR),
        "podCIDRs": ListOf(item=Text(format=Format.CIDR)),
    },
)
_NODE_STATUS = Record(
    open=True,
    fields={
        "addresses": ListOf(
            item=Record(
                open=True,
                fields={"type": Text(), "address": Text()},
                required=("type", "address"),
            ),
        ),
    },
)
_FAMILY = Text(choices=("IPv4", "IPv6"))
_SERVICE_SPEC = Record(
    open=True,
    fields={
        "type": Text(choices=("ClusterIP", "NodePort", "LoadBalancer", "ExternalName")),
        "selector": MapOf(key=Format.LABEL_KEY, value=Text(format=Format.LABEL_VALUE)),
        "clusterIP": Text(format=Format.CLUSTER_IP),
        "clusterIPs": ListOf(item=Text(format=Format.CLUSTER_IP), max_items=2),
        "externalIPs": ListOf(item=_ADDRESS),
        "loadBalancerIP": Text(),
        "ipFamilies": ListOf(item=_FAMILY, max_items=2, unique=True),
        "ipFamilyPolicy": Text(choices=("SingleStack", "PreferDualStack", "RequireDualStack")),
        "sessionAffinity": Text(choices=("None", "ClientIP")),
        "externalTrafficPolicy": Text(choices=("Cluster", "Local")),
        "internalTrafficPolicy": Text(choices=("Cluster", "Local")),
        "ports": ListOf(
            item=Record(
                open=True,
                fields={
                    "name": Text(format=Format.DNS_LABEL),
                    "protocol": _PROTOCOL,
                    "port": _PORT,
                    "targetPort": WholeOrText(Format.KUBERNETES_PORT),
                    "nodePort": Whole(minimum=0, maximum=65535),
                },
                required=("port",),
            ),
        ),
    },
)
_ENDPOINT = Record(
    open=True,
    fields={
        # An FQDN slice has names here; which of the two is checked where they are read.
        "addresses": ListOf(item=Text(), max_items=100),
        "conditions": Record(
            open=True, fields={"ready": Flag(), "serving": Flag(), "terminating": Flag()}
        ),
        "nodeName": _SUBDOMAIN,
    },
    required=("addresses",),
)
_SLICE: dict[str, Schema] = {
    "addressType": Text(choices=("IPv4", "IPv6", "FQDN")),
    "endpoints": ListOf(item=_ENDPOINT, max_items=1000),
    "ports": ListOf(
        item=Record(open=True, fields={"name": Text(), "protocol": _PROTOCOL, "port": _PORT})
    ),
}


def _core(kind: str, name: Format, **fields: Schema) -> KindSchema:
    return KindSchema(of=known_kind("v1", kind), name=name, fields=fields, open=True)


KINDS = (
    _core("Namespace", Format.DNS_LABEL),
    _core("ServiceAccount", Format.DNS_SUBDOMAIN),
    _core("Node", Format.DNS_SUBDOMAIN, spec=_NODE_SPEC, status=_NODE_STATUS),
    _core("Pod", Format.DNS_SUBDOMAIN, spec=_POD_SPEC, status=_POD_STATUS),
    # RFC 1035 labels are checked with the other rules of services.
    _core("Service", Format.DNS_LABEL, spec=_SERVICE_SPEC),
    KindSchema(
        of=known_kind("discovery.k8s.io/v1", "EndpointSlice"),
        fields=_SLICE,
        # An EndpointSlice of a service without endpoints has "endpoints: null".
        required=("addressType",),
        open=True,
    ),
)
