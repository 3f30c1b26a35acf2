"""Address management kinds of ``projectcalico.org/v3``."""

from __future__ import annotations

from chita.model.kinds import known_kind
from chita.model.schema import (
    Anything,
    Cel,
    Flag,
    Format,
    KindSchema,
    ListOf,
    MapOf,
    Pattern,
    Record,
    Text,
    Whole,
)
from chita.model.schemas.policy import SELECTOR, V3

_COUNT = Whole(minimum=0)
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
    # blockSize depends on the family, allowedUses on namespaceSelector: chita.model.defaults.
    defaults={
        "ipipMode": "Never",
        "vxlanMode": "Never",
        "nodeSelector": "all()",
        "assignmentMode": "Automatic",
    },
    rules=(
        Cel(
            "!has(self.ipipMode) || self.ipipMode == 'Never'"
            " || !has(self.vxlanMode) || self.vxlanMode == 'Never'",
            "vxlanMode does not go with ipipMode; write Never for one of them",
        ),
        Cel(
            "!has(self.allowedUses) || size(self.allowedUses) < 2"
            " || !('LoadBalancer' in self.allowedUses)",
            "allowedUses: LoadBalancer goes with no other use; make two pools",
        ),
        Cel(
            "!has(self.namespaceSelector) || self.namespaceSelector == ''"
            " || !has(self.allowedUses) || !('Tunnel' in self.allowedUses)",
            "namespaceSelector does not go with allowed use Tunnel, whose addresses are in no "
            "namespace; remove either",
        ),
    ),
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
    rules=(
        Cel(
            "!has(self.autoAllocateBlocks) || self.autoAllocateBlocks"
            " || (has(self.strictAffinity) && self.strictAffinity)",
            "autoAllocateBlocks: false needs strictAffinity: true; without either, nodes would "
            "borrow from each other and never get blocks",
        ),
        Cel(
            "!has(self.maxBlocksPerHost) || self.maxBlocksPerHost == 0"
            " || (has(self.strictAffinity) && self.strictAffinity)",
            "maxBlocksPerHost needs strictAffinity: true; without it a node borrows beyond its "
            "blocks",
        ),
    ),
)


# What the allocator writes; a later version of it may write more, so these are open.
_BLOCK = Record(
    fields={
        "cidr": Text(format=Format.CIDR),
        "affinity": Text(pattern=Pattern(r"(host|virtual):[a-zA-Z0-9.\-_]+", "host:node-1")),
        "strictAffinity": Flag(),
        # null is a free address, so an item may be empty.
        "allocations": ListOf(item=_COUNT, nullable=True),
        "unallocated": ListOf(item=_COUNT, unique=True),
        "attributes": ListOf(
            item=Record(fields={"handle_id": Text(), "secondary": MapOf(value=Text())}, open=True),
        ),
        "sequenceNumber": _COUNT,
        "sequenceNumberForAllocation": MapOf(value=_COUNT),
        "deleted": Flag(),
    },
    required=("cidr", "allocations", "unallocated", "attributes"),
    open=True,
)
_HANDLE = Record(
    fields={
        "handleID": Text(),
        "block": MapOf(key=Format.CIDR, value=_COUNT),
        "deleted": Flag(),
    },
    required=("handleID", "block"),
    open=True,
)
_AFFINITY = Record(
    fields={
        "node": Text(format=Format.DNS_SUBDOMAIN),
        "cidr": Text(format=Format.CIDR),
        "state": Text(choices=("confirmed", "pending", "pendingDeletion")),
        "type": Text(choices=("host", "virtual")),
        # A text in crd.projectcalico.org/v1: which values there are is checked apart.
        "deleted": Anything(),
    },
    required=("node", "cidr", "state"),
    open=True,
)


def _state(kind: str, spec: Record) -> KindSchema:
    return KindSchema(
        of=known_kind(V3, kind),
        fields={"spec": spec},
        required=("spec",),
    )


KINDS = (
    KindSchema(
        of=known_kind(V3, "IPPool"),
        fields={"spec": _POOL, "status": Record(open=True)},
        required=("spec",),
    ),
    KindSchema(of=known_kind(V3, "IPReservation"), fields={"spec": _RESERVATION}),
    KindSchema(
        of=known_kind(V3, "IPAMConfiguration"),
        fields={"spec": _CONFIGURATION},
    ),
    _state("IPAMBlock", _BLOCK),
    _state("IPAMHandle", _HANDLE),
    _state("BlockAffinity", _AFFINITY),
)
