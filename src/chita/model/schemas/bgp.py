"""BGP's kinds of ``projectcalico.org/v3``, with the limits of upstream's CRDs (v3.34)."""

from __future__ import annotations

from typing import Final

from chita.model.kinds import known_kind
from chita.model.schema import (
    Flag,
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
from chita.model.schemas.policy import SELECTOR, V3

LOG_LEVELS: Final = ("Trace", "Debug", "Info", "Warning", "Error", "Fatal")
ENABLED: Final = Text(choices=("Enabled", "Disabled"))
ROUTE_PRIORITY: Final = Whole(minimum=1, maximum=2147483646)
DURATION: Final = Text(format=Format.DURATION)
AS_NUMBER: Final = WholeOrText(Format.AS_NUMBER)
CLUSTER_ROUTES: Final = ("Enabled", "Disabled", "EnabledIPIPOnly", "EnabledNoEncapOnly")

_NAME = Text(format=Format.DNS_SUBDOMAIN)
_ADDRESS = Text(format=Format.ADDRESS, max_length=64)
_PASSWORD = Record(
    fields={
        "secretKeyRef": Record(
            fields={"name": Text(), "key": Text(), "optional": Flag()}, required=("key",)
        ),
    },
)
_BLOCKS = ListOf(item=Record(fields={"cidr": Text(format=Format.CIDR_OR_ADDRESS)}))
_WILDCARD = r"[a-zA-Z0-9_.*-]{1,15}"

_CONFIGURATION = Record(
    fields={
        "logSeverityScreen": Text(choices=LOG_LEVELS),
        "nodeToNodeMeshEnabled": Flag(),
        "asNumber": AS_NUMBER,
        "serviceLoadBalancerIPs": _BLOCKS,
        "serviceExternalIPs": _BLOCKS,
        "serviceClusterIPs": _BLOCKS,
        "serviceLoadBalancerAggregation": ENABLED,
        "communities": ListOf(
            item=Record(
                fields={"name": _NAME, "value": Text(format=Format.COMMUNITY)},
                required=("name", "value"),
            ),
            max_items=500,
        ),
        "prefixAdvertisements": ListOf(
            item=Record(
                fields={
                    "cidr": Text(format=Format.CIDR_OR_ADDRESS),
                    # Values, or names of spec.communities: which of them exist is checked apart.
                    "communities": ListOf(item=Text(), min_items=1),
                },
                required=("cidr", "communities"),
            ),
            max_items=500,
        ),
        "listenPort": Whole(minimum=1, maximum=65535),
        "nodeMeshPassword": _PASSWORD,
        "nodeMeshMaxRestartTime": DURATION,
        "bindMode": Text(choices=("None", "NodeIP")),
        "ignoredInterfaces": ListOf(
            # All interfaces at once (validateIgnoredInterface) would leave BGP none.
            item=Text(pattern=Pattern(r"[a-zA-Z0-9_.*-]{2,15}|[a-zA-Z0-9_.-]", "docker*")),
            unique=True,
        ),
        "localWorkloadPeeringIPV4": Text(format=Format.ADDRESS4),
        "localWorkloadPeeringIPV6": Text(format=Format.ADDRESS6),
        "programClusterRoutes": Text(choices=CLUSTER_ROUTES),
        "ipv4NormalRoutePriority": ROUTE_PRIORITY,
        "ipv6NormalRoutePriority": ROUTE_PRIORITY,
    },
    defaults={
        "logSeverityScreen": "Info",
        "serviceLoadBalancerAggregation": "Enabled",
        "programClusterRoutes": "EnabledNoEncapOnly",
    },
)

_PEER = Record(
    fields={
        "node": Text(format=Format.DNS_SUBDOMAIN, max_length=253),
        "nodeSelector": SELECTOR,
        "peerIP": Text(format=Format.PEER_ADDRESS, max_length=64),
        "asNumber": AS_NUMBER,
        "localASNumber": AS_NUMBER,
        "peerSelector": SELECTOR,
        "keepOriginalNextHop": Flag(),
        "nextHopMode": Text(choices=("Auto", "Self", "Keep")),
        "password": _PASSWORD,
        "sourceAddress": Text(choices=("UseNodeIP", "None")),
        "maxRestartTime": DURATION,
        "keepaliveTime": DURATION,
        "numAllowedLocalASNumbers": Whole(minimum=0, maximum=2147483647),
        # RFC 5082: the most that a TTL can count.
        "ttlSecurity": Whole(minimum=0, maximum=255),
        "reachableBy": _ADDRESS,
        "filters": ListOf(item=_NAME),
        "localWorkloadSelector": SELECTOR,
        "reversePeering": Text(choices=("Auto", "Manual")),
    },
    hints={"peerIPs": "a peer has one peerIP; write one BGPPeer for each"},
)


def _rule(network: Format, bits: int) -> Record:
    length = Whole(minimum=0, maximum=bits)
    operations: dict[str, Schema] = {
        "addCommunity": Record(
            fields={"value": Text(format=Format.COMMUNITY, max_length=32)}, required=("value",)
        ),
        "prependASPath": Record(
            fields={"prefix": ListOf(item=AS_NUMBER, min_items=1, max_items=10)},
            required=("prefix",),
        ),
        "setPriority": Record(fields={"value": ROUTE_PRIORITY}, required=("value",)),
    }
    return Record(
        fields={
            "cidr": Text(format=network),
            "prefixLength": Record(fields={"min": length, "max": length}),
            "matchOperator": Text(choices=("Equal", "NotEqual", "In", "NotIn")),
            "source": Text(choices=("RemotePeers",)),
            "interface": Text(pattern=Pattern(_WILDCARD, "cali*")),
            "peerType": Text(choices=("eBGP", "iBGP")),
            "communities": Record(
                fields={
                    "values": ListOf(
                        item=Text(format=Format.COMMUNITY, max_length=32), min_items=1, max_items=1
                    )
                },
                required=("values",),
            ),
            "asPathPrefix": ListOf(item=AS_NUMBER),
            "priority": ROUTE_PRIORITY,
            "action": Text(choices=("Accept", "Reject")),
            "operations": ListOf(item=Record(fields=operations), min_items=1, max_items=10),
        },
        required=("action",),
        hints={"bgpCommunities": "write communities"},
    )


_RULES4, _RULES6 = ListOf(item=_rule(Format.CIDR4, 32)), ListOf(item=_rule(Format.CIDR6, 128))
_FILTER = Record(
    fields={"exportV4": _RULES4, "importV4": _RULES4, "exportV6": _RULES6, "importV6": _RULES6},
    hints={"export": "write exportV4 and exportV6", "import": "write importV4 and importV6"},
)


def _kind(kind: str, spec: Record) -> KindSchema:
    return KindSchema(of=known_kind(V3, kind), fields={"spec": spec})


KINDS = (
    _kind("BGPConfiguration", _CONFIGURATION),
    _kind("BGPPeer", _PEER),
    _kind("BGPFilter", _FILTER),
)
