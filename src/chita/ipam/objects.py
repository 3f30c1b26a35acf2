"""IPAM values as ``projectcalico.org/v3`` objects, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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


def kind_name(kind: type[IPAMValue]) -> str:
    """Return the API's name of a kind."""
    return kind.__name__


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
        "kind": kind_name(type(value)),
        "metadata": metadata,
        "spec": spec,
    }


def decode(kind: type[IPAMValue], item: Mapping[str, Any]) -> IPAMValue:
    """Return the value that *item*, an object of *kind*, stores.

    Raises:
        ConvertError: a field is missing or contradicts another; the message names the object.
    """
    name = item.get("metadata", {}).get("name", "?")
    try:
        spec = item["spec"]
        if kind is IPAMBlock:
            return _block(spec)
        if kind is BlockAffinity:
            return BlockAffinity(
                node=spec["node"], cidr=Cidr.parse(spec["cidr"]), state=AffinityState(spec["state"])
            )
        counts = {Cidr.parse(cidr): count for cidr, count in spec["block"].items()}
        return IPAMHandle(handle=spec["handleID"], blocks=counts)
    except (KeyError, ValueError, TypeError, IndexError, ParseError) as error:
        raise ConvertError(
            f"{kind_name(kind)} {name} cannot be read: {error!r}", field="spec"
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
