"""The kinds of ``chita.dev``: what joins the locations to one cluster.

What people write is closed, so that a misspelled setting is not a setting left out. A FabricNode is
written by its node. Which fields of an Underlay go together is checked by the lab, which reads it.
"""

from __future__ import annotations

from typing import Final

from chita.model.kinds import known_kind
from chita.model.schema import Flag, Format, KindSchema, ListOf, Record, Schema, Text, Whole
from chita.model.schemas.settings import HOST_SETTINGS, PORT

CHITA: Final = "chita.dev/v1alpha1"

_ADDRESS = Text(format=Format.ADDRESS)
# RFC 791: each host takes 576 bytes; the field of the IP header ends at 65,535.
_MTU = Whole(minimum=576, maximum=65535)
# NFLOG: a field of 16 bits (linux/netfilter/nfnetlink_log.h); 0 is the kernel's own default.
_GROUP = Whole(minimum=1, maximum=65535)

_EPOCH = Whole(minimum=0, maximum=2**31 - 1)
_TUNNEL_END: dict[str, Schema] = {
    "publicKey": Text(),
    "port": Whole(minimum=0, maximum=65535),
    "epoch": _EPOCH,
    "presharedKeyFingerprint": Text(),
}

_CONFIGURATION = Record(
    fields={
        **HOST_SETTINGS,
        "encryption": Text(choices=("BetweenLocations", "All", "None")),
        "deniedFlows": Text(choices=("End", "Keep")),
        "flowLogGroups": Record(fields={"ingress": _GROUP, "egress": _GROUP}),
        "wireguardPort": PORT,
        "tcpRelayPort": Whole(minimum=0, maximum=65535),
        "keyEpoch": _EPOCH,
        "keyRotationHours": Whole(minimum=0, maximum=87_600),
        "activeGateways": Whole(minimum=1, maximum=8),
        "fullMeshNodes": Whole(minimum=0, maximum=100_000),
        "keepaliveSeconds": Whole(minimum=1, maximum=65535),
        "meshCIDRs": ListOf(item=Text(format=Format.CIDR), min_items=1, unique=True),
    },
    hints={"wireguardListeningPort": "write wireguardPort", "meshCIDR": "write meshCIDRs"},
)
_LOCATION = Record(
    fields={
        "encapsulation": Text(choices=("Never", "CrossSubnet", "Always")),
        "wireMTU": _MTU,
        "peers": ListOf(item=Text(), unique=True),
    },
    hints={"mtu": "write wireMTU", "encap": "write encapsulation"},
)
_NODE = Record(
    fields={
        "location": Text(),
        "interfaces": ListOf(
            item=Record(
                fields={
                    "address": _ADDRESS,
                    "subnet": Text(format=Format.CIDR),
                    "device": Text(),
                },
                required=("address", "subnet"),
                open=True,
            ),
        ),
        "endpoints": ListOf(item=_ADDRESS),
        "candidates": ListOf(
            item=Record(
                fields={
                    "kind": Text(choices=("host", "public", "mapped", "reflexive")),
                    "address": _ADDRESS,
                    "port": PORT,
                },
                required=("kind", "address", "port"),
                open=True,
            ),
        ),
        "nat": Text(
            choices=(
                "unknown",
                "none",
                "one-to-one",
                "endpoint-independent",
                "endpoint-dependent",
            ),
        ),
        "udpPasses": Flag(),
        "tcpRelayPort": Whole(minimum=0, maximum=65535),
        "wireguard": Record(
            fields={
                **_TUNNEL_END,
                "previous": Record(fields=_TUNNEL_END, open=True),
                "static": Record(
                    fields={"publicKey": Text(), "port": Whole(minimum=0, maximum=65535)},
                    open=True,
                ),
            },
            open=True,
        ),
        "vtepMAC": Text(format=Format.MAC),
        "wireMTU": _MTU,
        "gatewayWeight": Whole(minimum=0, maximum=1000),
    },
    required=("location",),
    open=True,
)
_STATIC_PEER = Record(
    fields={
        "publicKey": Text(format=Format.WIREGUARD_KEY),
        "addresses": ListOf(item=_ADDRESS, min_items=1, max_items=2, unique=True),
        "networks": ListOf(item=Text(format=Format.CIDR), unique=True),
        "gateway": Text(format=Format.DNS_SUBDOMAIN),
        "keepaliveSeconds": Whole(minimum=0, maximum=65535),
    },
    required=("publicKey", "addresses", "gateway"),
    hints={
        "address": "write addresses, a list",
        "gateways": "write gateway, one node: WireGuard has no second one for the same addresses",
        "location": "write gateway, the node that it dials",
        "allowedIPs": "write addresses for its own, networks for what it routes",
        "privateKey": "never store it: it stays on the machine",
        "presharedKey": "never store it: whoever reads objects would have it",
        "persistentKeepalive": "write keepaliveSeconds",
    },
)
_ADDRESSES = ListOf(item=_ADDRESS)
_UNDERLAY = Record(
    fields={
        "provider": Text(choices=("aws", "gcp", "azure", "openstack", "baremetal", "branch")),
        "region": Text(),
        "privateCIDRs": ListOf(item=Text(format=Format.CIDR_OR_ADDRESS), max_items=2),
        "publicCIDR": Text(format=Format.CIDR_OR_ADDRESS),
        # RFC 8200 section 5: IPv6 needs 1280.
        "mtu": Whole(minimum=1280, maximum=65535),
        "wanMTU": Whole(minimum=1280, maximum=1500),
        "peers": ListOf(item=Text(), unique=True),
        "nat": Record(
            fields={
                "kind": Text(choices=("endpoint-independent", "endpoint-dependent", "none")),
                "udpIdleSeconds": Whole(),
                "udpStreamSeconds": Whole(),
            },
        ),
        "dropProtocols": ListOf(item=Whole(minimum=0, maximum=255)),
        "silentDropOver": Whole(),
        "sourceDestinationCheck": Flag(),
        "canIPForward": Flag(),
        "portSecurity": Flag(),
        "allowedAddresses": ListOf(item=Text(format=Format.CIDR_OR_ADDRESS)),
        "metadata": Flag(),
        "nodes": ListOf(
            item=Record(
                fields={
                    "name": Text(),
                    "privateAddresses": _ADDRESSES,
                    "publicAddresses": _ADDRESSES,
                },
                required=("name",),
            ),
        ),
        "externalHosts": ListOf(
            item=Record(
                fields={
                    "name": Text(format=Format.DNS_SUBDOMAIN),
                    "addresses": _ADDRESSES,
                    "ports": ListOf(
                        item=Record(
                            fields={
                                "port": PORT,
                                "protocol": Text(choices=("TCP", "UDP", "SCTP")),
                            },
                            required=("port",),
                        ),
                    ),
                },
                required=("name", "addresses"),
            ),
        ),
    },
    hints={"cidr": "write privateCIDRs or publicCIDR", "wanMtu": "write wanMTU"},
)


def _kind(kind: str, spec: Record) -> KindSchema:
    return KindSchema(
        of=known_kind(CHITA, kind),
        fields={"spec": spec, "status": Record(open=True)},
    )


KINDS = (
    _kind("FabricConfiguration", _CONFIGURATION),
    _kind("Location", _LOCATION),
    _kind("FabricNode", _NODE),
    _kind("StaticPeer", _STATIC_PEER),
    _kind("Underlay", _UNDERLAY),
)
