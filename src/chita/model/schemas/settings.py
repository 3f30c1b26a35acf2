"""Settings, BGP and node kinds of ``projectcalico.org/v3``, and the kinds of ``chita.dev``.

Only their metadata and the type of ``spec`` are checked here; each part that reads one of them
adds its structure.
"""

from __future__ import annotations

from typing import Final

from chita.model.schema import KindSchema, Record, Scope
from chita.model.schemas.policy import V3

CHITA: Final = "chita.dev/v1alpha1"


def _open(api_version: str, kind: str) -> KindSchema:
    return KindSchema(
        api_version=api_version,
        kind=kind,
        scope=Scope.CLUSTER,
        fields={"spec": Record(open=True), "status": Record(open=True)},
    )


KINDS = (
    _open(V3, "BGPConfiguration"),
    _open(V3, "BGPPeer"),
    _open(V3, "BGPFilter"),
    _open(V3, "FelixConfiguration"),
    _open(V3, "KubeControllersConfiguration"),
    _open(V3, "ClusterInformation"),
    _open(V3, "CalicoNodeStatus"),
    _open(V3, "Node"),
    _open(CHITA, "FabricConfiguration"),
    _open(CHITA, "Location"),
    _open(CHITA, "FabricNode"),
    _open(CHITA, "Underlay"),
)
