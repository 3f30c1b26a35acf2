"""Calico's IPAM state as ours: whoever has an address keeps it, and nobody else gets it.

Blocks, affinities and handles go through `chita.ipam`'s own values, so that what is printed is what
the allocator reads. What the two spell differently is put right on the way: the owner's attributes
under either of upstream's names, the older ``hostAffinity``, addresses that were freed and cool
down, objects that wait to be deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from chita.convert.documents import Entry, Object
from chita.errors import ConvertError
from chita.ipam.affinity import BlockAffinity
from chita.ipam.block import IPAMBlock
from chita.ipam.handle import IPAMHandle
from chita.ipam.objects import IPAMValue, decode, encode
from chita.migrate.export import Export
from chita.migrate.finding import Effect, Finding, finding
from chita.model.net import Address, Cidr

TUNNEL_TYPES: Final = frozenset(
    {
        "ipipTunnelAddress", "vxlanTunnelAddress", "vxlanV6TunnelAddress",
        "wireguardTunnelAddress", "wireguardV6TunnelAddress",
    }
)  # fmt: skip
"""Values of the attribute ``type`` of an address that a node has for one of Calico's devices."""


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """One address in use, and by whom."""

    address: Address
    block: Cidr
    node: str
    """Where it is used; the block may be another node's."""
    handle: str
    pod: str = ""
    """``namespace/name``; empty when a node has it, or a service."""
    use: str = ""
    """Calico's ``type``, for an address that is no pod's."""


class AddressState(msgspec.Struct, frozen=True, kw_only=True):
    """Who has which block and address."""

    blocks: tuple[IPAMBlock, ...] = ()
    affinities: tuple[BlockAffinity, ...] = ()
    handles: tuple[IPAMHandle, ...] = ()
    findings: tuple[Finding, ...] = ()
    """What of the state is left out, or mended."""

    def held(self) -> Iterator[Held]:
        """Yield every address in use, in order."""
        for block in sorted(self.blocks, key=lambda each: each.cidr):
            for ordinal, allocation in sorted(block.allocations.items()):
                owner = allocation.attributes
                pod = "/".join(part for part in (owner.get("namespace"), owner.get("pod")) if part)
                yield Held(
                    address=block.cidr.address + ordinal,
                    block=block.cidr,
                    node=owner.get("node") or block.node or "",
                    handle=allocation.handle,
                    pod=pod if owner.get("pod") else "",
                    use=owner.get("type", ""),
                )

    def objects(self) -> list[Object]:
        """Return what to apply: handles first, so that whatever is taken is found by its handle."""
        values: list[IPAMValue] = [*self.handles, *self.blocks, *self.affinities]
        return [encode(value) for value in values]


def address_state(export: Export) -> AddressState:
    """Return the IPAM state of *export*, as it will be."""
    findings: list[Finding] = []
    blocks = [
        decode(IPAMBlock, _block(entry.raw)) for entry in _live(export, "IPAMBlock", findings)
    ]
    affinities = [
        decode(BlockAffinity, entry.raw)
        for entry in _live(export, "BlockAffinity", findings)
        if not _is_virtual(entry, findings)
    ]
    handles = [decode(IPAMHandle, entry.raw) for entry in _live(export, "IPAMHandle", findings)]
    return AddressState(
        blocks=tuple(blocks),
        affinities=tuple(affinities),
        handles=_complete(handles, blocks),
        findings=tuple(findings),
    )


_TYPES: Final[dict[str, type[IPAMBlock | BlockAffinity | IPAMHandle]]] = {
    "IPAMBlock": IPAMBlock,
    "BlockAffinity": BlockAffinity,
    "IPAMHandle": IPAMHandle,
}


def _live(export: Export, kind: str, findings: list[Finding]) -> Iterator[Entry]:
    """Yield the objects of *kind* that can be read and do not wait to be deleted.

    The CRDs of v1 have ``deleted`` as a text in BlockAffinity.
    """
    for entry in export.of(kind):
        spec = entry.raw.get("spec")
        if isinstance(spec, Mapping) and spec.get("deleted") in (True, "true"):
            continue
        raw = _block(entry.raw) if kind == "IPAMBlock" else entry.raw
        try:
            decode(_TYPES[kind], raw)
        except ConvertError as error:
            message = f"{error.message}; run calicoctl ipam check, mend it, and export again"
            findings.append(finding(Effect.REFUSED, entry, error.field, message))
        else:
            yield entry


def _block(raw: Object) -> Object:
    """Return a block as `decode` reads it, with what cools down free again, last in the queue."""
    spec = raw.get("spec")
    if not isinstance(spec, Mapping):
        return raw
    found: dict[str, Any] = {**spec}
    attributes = [dict(item) for item in spec.get("attributes") or () if isinstance(item, Mapping)]
    for item in attributes:
        item["secondary"] = item.get("secondary") or item.get("activeOwnerAttrs") or {}
    released = {index for index, item in enumerate(attributes) if item.get("releasedAt")}
    allocations = list(spec.get("allocations") or ())
    cooling = [ordinal for ordinal, index in enumerate(allocations) if index in released]
    for ordinal in cooling:
        allocations[ordinal] = None
    free = [ordinal for ordinal in spec.get("unallocated") or () if ordinal not in cooling]
    found |= {
        "attributes": attributes,
        "allocations": allocations,
        "unallocated": [*free, *cooling],
    }
    if found.get("affinity") is None and isinstance(spec.get("hostAffinity"), str):
        found["affinity"] = f"host:{spec['hostAffinity']}"
    return {**raw, "spec": found}


def _is_virtual(entry: Entry, findings: list[Finding]) -> bool:
    if entry.raw["spec"].get("type") != "virtual":
        return False
    message = (
        "a block of addresses of LoadBalancer services: nobody here hands them out; the block is "
        "kept, so that nobody else gets them"
    )
    findings.append(finding(Effect.CHANGES, entry, "spec.type", message))
    return True


def _complete(handles: Iterable[IPAMHandle], blocks: Iterable[IPAMBlock]) -> tuple[IPAMHandle, ...]:
    """Return *handles*, and one for each allocation that none of them promises.

    Calico counts addresses by handle and may leak a count; here whatever is taken must be found.
    """
    found = {handle.handle: dict(handle.blocks) for handle in handles}
    for block in blocks:
        counts: dict[str, int] = {}
        for allocation in block.allocations.values():
            if allocation.handle:
                counts[allocation.handle] = counts.get(allocation.handle, 0) + 1
        for handle, count in counts.items():
            promised = found.setdefault(handle, {})
            promised[block.cidr] = max(promised.get(block.cidr, 0), count)
    return tuple([IPAMHandle(handle=name, blocks=counts) for name, counts in found.items()])
