"""Kinds of ``projectcalico.org/v3`` about the cluster itself and its nodes."""

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
)
from chita.model.schemas.bgp import AS_NUMBER, DURATION, ENABLED, LOG_LEVELS
from chita.model.schemas.metadata import LABELS
from chita.model.schemas.policy import SELECTOR, V3

_PORT = Whole(minimum=0, maximum=65535)
_NAME = Text(format=Format.DNS_SUBDOMAIN)
_RECONCILED = Record(fields={"reconcilerPeriod": DURATION})

_TEMPLATE = Record(
    fields={
        "generateName": Text(format=Format.DNS_SUBDOMAIN, max_length=253),
        "interfaceCIDRs": ListOf(item=Text(format=Format.CIDR_OR_ADDRESS_LOOSE), unique=True),
        "interfacePattern": Text(format=Format.REGEX),
        "nodeSelector": SELECTOR,
        "labels": LABELS,
        "annotations": MapOf(key=Format.ANNOTATION_KEY, value=Text()),
    },
)
_CONTROLLERS = Record(
    fields={
        "node": Record(
            fields={
                "reconcilerPeriod": DURATION,
                "syncLabels": ENABLED,
                "leakGracePeriod": DURATION,
                "hostEndpoint": Record(
                    fields={
                        "autoCreate": ENABLED,
                        "createDefaultHostEndpoint": ENABLED,
                        "templates": ListOf(item=_TEMPLATE),
                    },
                ),
            },
        ),
        "policy": _RECONCILED,
        "workloadEndpoint": _RECONCILED,
        "serviceAccount": _RECONCILED,
        "namespace": _RECONCILED,
        "loadBalancer": Record(
            fields={"assignIPs": Text(choices=("AllServices", "RequestedServicesOnly"))}
        ),
        # Two names of one controller, of two versions.
        "migration": Record(fields={"policyNameMigrator": ENABLED}),
        "policyMigration": Record(fields={"enabled": ENABLED}),
    },
)
_KUBE_CONTROLLERS = Record(
    fields={
        # None and Panic until v3.33, Trace since.
        "logSeverityScreen": Text(choices=(*LOG_LEVELS, "None", "Panic")),
        "healthChecks": ENABLED,
        "etcdV3CompactionPeriod": DURATION,
        "prometheusMetricsPort": _PORT,
        "controllers": _CONTROLLERS,
        "debugProfilePort": _PORT,
    },
    defaults={"healthChecks": "Enabled", "prometheusMetricsPort": 9094},
)
_INFORMATION = Record(
    fields={
        "clusterGUID": Text(),
        "clusterType": Text(),
        "calicoVersion": Text(),
        "datastoreReady": Flag(),
        "variant": Text(),
    },
)
_STATUS = Record(
    fields={
        "node": _NAME,
        "classes": ListOf(item=Text(choices=("Agent", "BGP", "Routes")), unique=True),
        "updatePeriodSeconds": Whole(minimum=0, maximum=86400),
    },
)

_ADDRESS4, _ADDRESS6 = Text(format=Format.ADDRESS4), Text(format=Format.ADDRESS6)
_KEY = Text(format=Format.WIREGUARD_KEY)
_NODE = Record(
    fields={
        "bgp": Record(
            fields={
                "asNumber": AS_NUMBER,
                "ipv4Address": Text(format=Format.HOST_NETWORK4),
                "ipv6Address": Text(format=Format.HOST_NETWORK6),
                "ipv4IPIPTunnelAddr": _ADDRESS4,
                "routeReflectorClusterID": _ADDRESS4,
            },
        ),
        "ipv4VXLANTunnelAddr": _ADDRESS4,
        "ipv6VXLANTunnelAddr": _ADDRESS6,
        "vxlanTunnelMACAddr": Text(format=Format.MAC),
        "vxlanTunnelMACAddrV6": Text(format=Format.MAC),
        "wireguard": Record(
            fields={"interfaceIPv4Address": _ADDRESS4, "interfaceIPv6Address": _ADDRESS6},
        ),
        "orchRefs": ListOf(
            item=Record(
                fields={"nodeName": Text(), "orchestrator": Text()}, required=("orchestrator",)
            ),
        ),
        "addresses": ListOf(
            item=Record(
                fields={
                    "address": Text(format=Format.CIDR_OR_ADDRESS),
                    "type": Text(choices=("CalicoNodeIP", "InternalIP", "ExternalIP")),
                },
                required=("address",),
            ),
        ),
        "interfaces": ListOf(
            item=Record(fields={"name": Text(), "addresses": ListOf(item=Text())}),
        ),
    },
)
_NODE_STATUS = Record(
    fields={
        "wireguardPublicKey": _KEY,
        "wireguardPublicKeyV6": _KEY,
        "podCIDRs": ListOf(item=Text()),
    },
)


def _kind(kind: str, spec: Schema, status: Schema | None = None) -> KindSchema:
    fields = {"spec": spec, "status": status or Record(open=True)}
    return KindSchema(of=known_kind(V3, kind), fields=fields)


KINDS = (
    _kind("KubeControllersConfiguration", _KUBE_CONTROLLERS),
    _kind("ClusterInformation", _INFORMATION),
    _kind("CalicoNodeStatus", _STATUS),
    _kind("Node", _NODE, _NODE_STATUS),
)
