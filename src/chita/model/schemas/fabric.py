"""The kinds of ``chita.dev``: what joins the locations to one cluster.

What people write is closed, so that a misspelled setting is not a setting left out. A FabricNode is
written by its node, and an Underlay is read by the lab, which checks the rest of it.
"""

from __future__ import annotations

from typing import Final

from chita.model.schema import Format, KindSchema, ListOf, Record, Scope, Text, Whole
from chita.model.schemas.settings import HOST_SETTINGS, PORT

CHITA: Final = "chita.dev/v1alpha1"

_ADDRESS = Text(format=Format.ADDRESS)
# RFC 791: each host takes 576 bytes; the field of the IP header ends at 65,535.
_MTU = Whole(minimum=576, maximum=65535)

_CONFIGURATION = Record(
    fields={
        **HOST_SETTINGS,
        "encryption": Text(choices=("BetweenLocations", "All", "None")),
        "wireguardPort": PORT,
        "keepaliveSeconds": Whole(minimum=1, maximum=65535),
        "meshCIDRs": ListOf(item=Text(format=Format.CIDR), min_items=1, unique=True),
    },
    hints={"wireguardListeningPort": "write wireguardPort", "meshCIDR": "write meshCIDRs"},
)
_LOCATION = Record(
    fields={
        "encapsulation": Text(choices=("Never", "CrossSubnet", "Always")),
        "wireMTU": _MTU,
    },
    hints={"mtu": "write wireMTU", "encap": "write encapsulation"},
)
_NODE = Record(
    fields={
        "location": Text(),
        "interfaces": ListOf(
            item=Record(
                fields={"address": _ADDRESS, "subnet": Text(format=Format.CIDR)},
                required=("address", "subnet"),
                open=True,
            ),
        ),
        "endpoints": ListOf(item=_ADDRESS),
        "wireguard": Record(
            fields={"publicKey": Text(), "port": Whole(minimum=0, maximum=65535)}, open=True
        ),
        "vtepMAC": Text(format=Format.MAC),
        "wireMTU": _MTU,
        "gatewayWeight": Whole(minimum=0, maximum=1000),
    },
    required=("location",),
    open=True,
)


def _kind(kind: str, spec: Record) -> KindSchema:
    return KindSchema(
        api_version=CHITA,
        kind=kind,
        scope=Scope.CLUSTER,
        fields={"spec": spec, "status": Record(open=True)},
    )


KINDS = (
    _kind("FabricConfiguration", _CONFIGURATION),
    _kind("Location", _LOCATION),
    _kind("FabricNode", _NODE),
    _kind("Underlay", Record(open=True)),
)
