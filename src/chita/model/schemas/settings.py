"""Settings, BGP and node kinds of ``projectcalico.org/v3``.

A FelixConfiguration may have any field of upstream's; those that mean something here are checked.
Of the other kinds only metadata and the type of ``spec`` are.
"""

from __future__ import annotations

from typing import Final

from chita.model.schema import KindSchema, Record, Schema, Scope, Text, Whole
from chita.model.schemas.policy import V3

PORT: Final = Whole(minimum=1, maximum=65535)

HOST_SETTINGS: Final[dict[str, Schema]] = {
    "vxlanPort": PORT,
    # RFC 7348 section 5: 24 bits.
    "vxlanVNI": Whole(minimum=1, maximum=(1 << 24) - 1),
    "defaultEndpointToHostAction": Text(choices=("Drop", "Accept", "Return")),
    "logPrefix": Text(),
}
"""What FelixConfiguration and FabricConfiguration both have."""

_FELIX: Final = Record(fields={**HOST_SETTINGS, "wireguardListeningPort": PORT}, open=True)


def _kind(kind: str, spec: Record) -> KindSchema:
    return KindSchema(
        api_version=V3,
        kind=kind,
        scope=Scope.CLUSTER,
        fields={"spec": spec, "status": Record(open=True)},
    )


KINDS = (
    _kind("FelixConfiguration", _FELIX),
    _kind("BGPConfiguration", Record(open=True)),
    _kind("BGPPeer", Record(open=True)),
    _kind("BGPFilter", Record(open=True)),
    _kind("KubeControllersConfiguration", Record(open=True)),
    _kind("ClusterInformation", Record(open=True)),
    _kind("CalicoNodeStatus", Record(open=True)),
    _kind("Node", Record(open=True)),
)
