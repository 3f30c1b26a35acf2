"""IPAM values as ``projectcalico.org/v3`` objects, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from chita.errors import ConvertError, ParseError
from chita.ipam.affinity import AffinityState, BlockAffinity, node_label
from chita.ipam.block import Allocation, IPAMBlock
from chita.ipam.handle import IPAMHandle
from chita.model.net import Cidr

API_VERSION = "projectcalico.org/v3"
NODE_LABEL = "ipam.chita.dev/node"
"""On a BlockAffinity: `node_label` of its node, so that a node lists only its own."""

Object = dict[str, Any]
"""An API object as JSON gives it."""

IPAMValue = IPAMBlock | BlockAffinity | IPAMHandle

T = TypeVar("T", bound=IPAMValue)


def encode(value: IPAMValue) -> Object:
    """Return *value* as the API object that stores it, without resource version."""
    labels: dict[str, str] = {}
    match value:
        case IPAMBlock():
            spec = _block_spec(value)
        case BlockAffinity(node=node, cidr=cidr, state=state):
            labels = {NODE_LABEL: node_label(node)}
            spec = {
                "node": node, "cidr": str(cidr), "state": str(state),
                "type": "host", "deleted": False,
            }  # fmt: skip
        case IPAMHandle(handle=handle, blocks=blocks):
            counts = {str(cidr): count for cidr, count in blocks.items()}
            spec = {"handleID": handle, "block": counts, "deleted": False}
    metadata: Object = {"name": value.name}
    if labels:
        metadata["labels"] = labels
    return {
        "apiVersion": API_VERSION,
        "kind": type(value).__name__,
        "metadata": metadata,
        "spec": spec,
    }


def decode(kind: type[T], item: Mapping[str, Any]) -> T:
    """Return the value that *item*, an object of *kind*, stores.

    Raises:
        ConvertError: a field is missing or contradicts another; the message names the object.
    """
    name = item.get("metadata", {}).get("name", "?")
    try:
        spec = item["spec"]
        return cast("T", _DECODERS[kind.__name__](spec))
    except (KeyError, ValueError, TypeError, IndexError, ParseError) as error:
        raise ConvertError(
            f"{kind.__name__} {name} cannot be read: {error!r}", field="spec"
        ) from error


def _block_spec(block: IPAMBlock) -> Object:
    """Return the v3 spec: allocations as indexes into a list of distinct attributes."""
    attributes: list[Object] = []
    indexes: dict[tuple[str, tuple[tuple[str, str], ...]], int] = {}
    allocations: list[int | None] = [None] * block.cidr.size
    sequences: dict[str, int] = {}
    for ordinal, held in sorted(block.allocations.items()):
        key = (held.handle, tuple(sorted(held.attributes.items())))
        if key not in indexes:
            indexes[key] = len(attributes)
            attributes.append({"handle_id": held.handle, "secondary": held.attributes})
        allocations[ordinal] = indexes[key]
        sequences[str(ordinal)] = held.sequence
    spec: Object = {
        "cidr": str(block.cidr),
        "allocations": allocations,
        "unallocated": list(block.unallocated),
        "attributes": attributes,
        "sequenceNumber": block.sequence,
        "sequenceNumberForAllocation": sequences,
        "deleted": False,
        "strictAffinity": False,
    }
    if block.affinity is not None:
        spec["affinity"] = block.affinity
    return spec


def _block(spec: Mapping[str, Any]) -> IPAMBlock:
    cidr = Cidr.parse(spec["cidr"])
    sequences = spec.get("sequenceNumberForAllocation") or {}
    attributes = spec["attributes"]
    allocations = {
        ordinal: Allocation(
            handle=attributes[index].get("handle_id") or "",
            attributes=attributes[index].get("secondary") or {},
            sequence=sequences.get(str(ordinal), 0),
        )
        for ordinal, index in enumerate(spec["allocations"])
        if index is not None
    }
    unallocated = tuple(spec["unallocated"])
    if sorted([*unallocated, *allocations]) != list(range(cidr.size)):
        raise ValueError("allocations and unallocated do not name each ordinal once")
    return IPAMBlock(
        cidr=cidr,
        affinity=spec.get("affinity"),
        allocations=allocations,
        unallocated=unallocated,
        sequence=spec.get("sequenceNumber", 0),
    )


def _affinity(spec: Mapping[str, Any]) -> BlockAffinity:
    return BlockAffinity(
        node=spec["node"], cidr=Cidr.parse(spec["cidr"]), state=AffinityState(spec["state"])
    )


def _handle(spec: Mapping[str, Any]) -> IPAMHandle:
    counts = {Cidr.parse(cidr): count for cidr, count in spec["block"].items()}
    return IPAMHandle(handle=spec["handleID"], blocks=counts)


_DECODERS: dict[str, Callable[[Mapping[str, Any]], IPAMValue]] = {
    "IPAMBlock": _block,
    "BlockAffinity": _affinity,
    "IPAMHandle": _handle,
}
