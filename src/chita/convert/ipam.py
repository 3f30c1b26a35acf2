"""Address pools and the blocks that nodes have of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chita.convert.fields import Field, Metadata
from chita.convert.rules import endpoint_selector
from chita.model.ippool import Block, Encap, IPPool, PoolUse
from chita.model.net import Address
from chita.model.selector import all_

DEFAULT_BLOCK_SIZE = {4: 26, 6: 122}
_BLOCK_SIZES = {4: (20, 32), 6: (116, 128)}
_HOST_AFFINITY = "host:"


def ippool(obj: Field) -> IPPool:
    """Return a pool.

    ``ipipMode`` is taken as the same ``vxlanMode``: between nodes of one location there is one
    encapsulation, and IP-in-IP does not pass in every cloud (Azure drops protocol 4).

    A disabled pool may be smaller than one block: nothing is handed out of it, and its addresses
    are the cluster's all the same (upstream's validateIPPoolSpec).
    """
    metadata, spec = Metadata(obj), obj["spec"]
    cidr = spec["cidr"].cidr()
    low, high = _BLOCK_SIZES[cidr.family]
    size = spec["blockSize"]
    block_size = size.integer(DEFAULT_BLOCK_SIZE[cidr.family], low=low, high=high)
    disabled = spec["disabled"].flag()
    if block_size < cidr.prefix and not disabled:
        raise size.error(f"a block of /{block_size} is larger than the pool {cidr}")
    vxlan = spec["vxlanMode"].one_of(Encap, Encap.NEVER)
    ipip = spec["ipipMode"].one_of(Encap, Encap.NEVER)
    if Encap.NEVER not in {vxlan, ipip}:
        raise spec["ipipMode"].error("only one of ipipMode and vxlanMode may be other than Never")
    uses = frozenset([item.one_of(PoolUse) for item in spec["allowedUses"].items()])
    selector = endpoint_selector(spec["nodeSelector"])
    return IPPool(
        name=metadata.name,
        cidr=cidr,
        block_size=block_size,
        encap=ipip if vxlan is Encap.NEVER else vxlan,
        nat_outgoing=spec["natOutgoing"].flag(),
        disabled=disabled,
        manual=spec["assignmentMode"].one_of({"Automatic": False, "Manual": True}, default=False),
        node_selector=all_() if selector is None else selector,
        namespace_selector=endpoint_selector(spec["namespaceSelector"]),
        allowed_uses=uses or frozenset({PoolUse.WORKLOAD, PoolUse.TUNNEL}),
    )


def uses_ipip(obj: Mapping[str, Any]) -> bool:
    """Whether a pool asks for IP-in-IP, and so gets VXLAN."""
    return Field(obj)["spec"]["ipipMode"].one_of(Encap, Encap.NEVER) is not Encap.NEVER


def block(obj: Field) -> Block | None:
    """Return who has the addresses of an IPAMBlock; None for one that is being deleted.

    ``allocations[i]`` is an index into ``attributes`` or null; an allocation whose attributes name
    another node than the owner is borrowed.
    """
    spec = obj["spec"]
    if spec["deleted"].flag():
        return None
    cidr = spec["cidr"].cidr()
    affinity = spec["affinity"].text()
    owner = affinity.removeprefix(_HOST_AFFINITY) if affinity.startswith(_HOST_AFFINITY) else None
    nodes = [_node(attribute) for attribute in spec["attributes"].items()]
    borrowed: dict[Address, str] = {}
    for ordinal, item in enumerate(spec["allocations"].items()):
        if not item.is_set:
            continue
        user = nodes[item.integer(0, low=0, high=len(nodes) - 1)]
        if user and user != owner:
            borrowed[cidr.address + ordinal] = user
    return Block(cidr=cidr, node=owner, borrowed=borrowed)


def _node(attribute: Field) -> str:
    """Return the node that an allocation is used on, under either of upstream's spellings."""
    owner = attribute["secondary"]
    if not owner.is_set:
        owner = attribute["activeOwnerAttrs"]
    return owner["node"].text()
