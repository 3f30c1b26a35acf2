"""Endpoints and network sets of ``projectcalico.org/v3``: what policy applies to and speaks of."""

from __future__ import annotations

from chita.model.schema import (
    Anything,
    Format,
    KindSchema,
    ListOf,
    Record,
    Schema,
    Scope,
    Text,
    Whole,
    WholeOrText,
)
from chita.model.schemas.policy import V3

_ADDRESS = Text(format=Format.ADDRESS)
_NAME = Text(format=Format.DNS_SUBDOMAIN)
_PORT_FIELDS: dict[str, Schema] = {
    "name": Text(format=Format.PORT_NAME),
    "protocol": WholeOrText(Format.PROTOCOL),
    "port": Whole(minimum=1, maximum=65535),
}
_HOST_PORTS = ListOf(item=Record(fields=_PORT_FIELDS, required=("name", "protocol", "port")))
_WORKLOAD_PORTS = ListOf(
    item=Record(
        fields=_PORT_FIELDS | {"hostPort": Whole(minimum=0, maximum=65535), "hostIP": _ADDRESS},
        required=("protocol", "port"),
    ),
)
_SETS = Record(
    fields={"nets": ListOf(item=Text(format=Format.CIDR_OR_ADDRESS_LOOSE), unique=True)},
    hints={
        "domains": "network sets have no domain names",
        "allowedEgressDomains": "network sets have no domain names",
        "labels": "labels stand in metadata",
    },
)

KINDS = (
    KindSchema(
        api_version=V3,
        kind="NetworkSet",
        scope=Scope.NAMESPACED,
        fields={"spec": _SETS},
    ),
    KindSchema(
        api_version=V3,
        kind="GlobalNetworkSet",
        scope=Scope.CLUSTER,
        fields={"spec": _SETS},
    ),
    KindSchema(
        api_version=V3,
        kind="HostEndpoint",
        scope=Scope.CLUSTER,
        fields={
            "spec": Record(
                fields={
                    "node": _NAME,
                    "interfaceName": Text(format=Format.INTERFACE),
                    "expectedIPs": ListOf(item=_ADDRESS, unique=True),
                    "profiles": ListOf(item=_NAME, unique=True),
                    "ports": _HOST_PORTS,
                },
                required=("node",),
            ),
        },
        required=("spec",),
    ),
    KindSchema(
        api_version=V3,
        kind="WorkloadEndpoint",
        scope=Scope.NAMESPACED,
        fields={
            "spec": Record(
                fields={
                    "orchestrator": Text(),
                    "workload": Text(),
                    "node": _NAME,
                    "containerID": Text(),
                    "pod": _NAME,
                    "endpoint": Text(),
                    "serviceAccountName": _NAME,
                    "ipNetworks": ListOf(item=Text(format=Format.CIDR_OR_ADDRESS), unique=True),
                    "ipNATs": ListOf(
                        item=Record(
                            fields={"internalIP": _ADDRESS, "externalIP": _ADDRESS},
                            required=("internalIP", "externalIP"),
                        ),
                    ),
                    "ipv4Gateway": _ADDRESS,
                    "ipv6Gateway": _ADDRESS,
                    "profiles": ListOf(item=_NAME, unique=True),
                    "interfaceName": Text(format=Format.INTERFACE),
                    "mac": Text(format=Format.MAC),
                    "ports": _WORKLOAD_PORTS,
                    "allowSpoofedSourcePrefixes": ListOf(
                        item=Text(format=Format.CIDR_OR_ADDRESS), unique=True
                    ),
                    "qosControls": Anything(),
                },
                required=("node",),
            ),
        },
        required=("spec",),
    ),
)
