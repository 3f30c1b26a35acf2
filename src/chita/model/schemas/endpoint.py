"""Endpoints and network sets of ``projectcalico.org/v3``: what policy applies to and speaks of."""

from __future__ import annotations

from chita.model.kinds import known_kind
from chita.model.schema import (
    Cel,
    Format,
    KindSchema,
    ListOf,
    Pattern,
    Record,
    Schema,
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
_QOS = Record(
    fields={
        **{
            f"{direction}{limit}": Whole(minimum=0)
            for direction in ("ingress", "egress")
            for limit in (
                "Bandwidth", "Burst", "Peakrate", "Minburst", "PacketRate", "PacketBurst",
                "MaxConnections",
            )
        },
        "dscp": WholeOrText(Format.DSCP),
    },
)  # fmt: skip

KINDS = (
    KindSchema(
        of=known_kind(V3, "NetworkSet"),
        fields={"spec": _SETS},
    ),
    KindSchema(
        of=known_kind(V3, "GlobalNetworkSet"),
        fields={"spec": _SETS},
    ),
    KindSchema(
        of=known_kind(V3, "HostEndpoint"),
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
                rules=(
                    Cel(
                        "(has(self.interfaceName) && self.interfaceName != '')"
                        " || (has(self.expectedIPs) && size(self.expectedIPs) > 0)",
                        "needs interfaceName ('*' for all interfaces) or expectedIPs",
                    ),
                ),
            ),
        },
        required=("spec",),
    ),
    KindSchema(
        of=known_kind(V3, "WorkloadEndpoint"),
        fields={
            "spec": Record(
                fields={
                    "orchestrator": Text(),
                    "workload": Text(),
                    "node": _NAME,
                    "containerID": Text(
                        pattern=Pattern(r"[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?", "2f5ae1f3")
                    ),
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
                    "qosControls": _QOS,
                },
                required=("node",),
            ),
        },
        required=("spec",),
    ),
)
