"""Address management kinds of ``projectcalico.org/v3``."""

from __future__ import annotations

from chita.model.schema import Flag, Format, KindSchema, ListOf, Record, Scope, Text, Whole
from chita.model.schemas.policy import SELECTOR, V3

_ENCAPSULATION = Text(choices=("Never", "Always", "CrossSubnet"))

_POOL = Record(
    fields={
        "cidr": Text(format=Format.CIDR),
        "blockSize": Whole(minimum=20, maximum=128),
        "ipipMode": _ENCAPSULATION,
        "vxlanMode": _ENCAPSULATION,
        "natOutgoing": Flag(),
        "disabled": Flag(),
        "disableBGPExport": Flag(),
        "nodeSelector": SELECTOR,
        "namespaceSelector": SELECTOR,
        "allowedUses": ListOf(
            item=Text(choices=("Workload", "Tunnel", "LoadBalancer")), unique=True
        ),
        "assignmentMode": Text(choices=("Automatic", "Manual")),
    },
    required=("cidr",),
    # blockSize depends on the family: chita.model.defaults.
    defaults={
        "ipipMode": "Never",
        "vxlanMode": "Never",
        "nodeSelector": "all()",
        "allowedUses": ["Workload", "Tunnel"],
        "assignmentMode": "Automatic",
    },
    hints={
        "nat-outgoing": "write natOutgoing",
        "ipip": "write ipipMode",
        "vxlan": "write vxlanMode",
        "cidrs": "a pool has one cidr; write one pool for each",
    },
)

_RESERVATION = Record(
    fields={"reservedCIDRs": ListOf(item=Text(format=Format.CIDR_OR_ADDRESS_LOOSE), unique=True)},
)

_CONFIGURATION = Record(
    fields={
        "strictAffinity": Flag(),
        "autoAllocateBlocks": Flag(),
        "maxBlocksPerHost": Whole(minimum=0, maximum=1_000_000),
        "kubeVirtVMAddressPersistence": Text(choices=("Enabled", "Disabled")),
        "ipCooldownSeconds": Whole(minimum=0, maximum=1200),
    },
    defaults={"strictAffinity": False, "autoAllocateBlocks": True, "maxBlocksPerHost": 0},
)


def _state(kind: str) -> KindSchema:
    """Return the schema of what only the allocator writes: its own decoding is the check."""
    return KindSchema(
        api_version=V3,
        kind=kind,
        scope=Scope.CLUSTER,
        fields={"spec": Record(open=True)},
        required=("spec",),
    )


KINDS = (
    KindSchema(
        api_version=V3,
        kind="IPPool",
        scope=Scope.CLUSTER,
        fields={"spec": _POOL, "status": Record(open=True)},
        required=("spec",),
    ),
    KindSchema(
        api_version=V3, kind="IPReservation", scope=Scope.CLUSTER, fields={"spec": _RESERVATION}
    ),
    KindSchema(
        api_version=V3,
        kind="IPAMConfiguration",
        scope=Scope.CLUSTER,
        fields={"spec": _CONFIGURATION},
    ),
    _state("IPAMBlock"),
    _state("IPAMHandle"),
    _state("BlockAffinity"),
)
