"""Clusters whose nodes hand out their ``spec.podCIDRs`` by themselves: flannel and kubenet.

Neither keeps a record of addresses. What there is: the network of each node, and the addresses that
pods say they have. From these come pools, a block for each node, and an allocation for each pod, so
that no address in use is given away again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from chita.convert.documents import Entry
from chita.convert.kubernetes import FINISHED_PHASES
from chita.errors import InputError, ParseError
from chita.ipam.affinity import AffinityState, BlockAffinity
from chita.ipam.block import IPAMBlock, assign_address, host_affinity, new_block
from chita.ipam.handle import IPAMHandle
from chita.migrate.addresses import AddressState
from chita.migrate.export import Export
from chita.migrate.finding import Effect, Finding, finding
from chita.migrate.raw import items, part
from chita.model.defaults import BLOCK_SIZE
from chita.model.net import Address, Cidr, Family

_CONFIG_MAP: Final = "net-conf.json"
_ANNOTATION: Final = "flannel.alpha.coreos.com/"
_BLOCK_SIZES: Final[dict[Family, range]] = {4: range(20, 33), 6: range(116, 129)}
_FIRST: Final = 2
"""Ordinals that come last: the network's own, which is flannel.1's, and the bridge's."""
_MOST_BLOCKS_BITS: Final = 8
"""A node's network is at most 256 blocks; of a larger one it gets those that are in use."""


class Source(StrEnum):
    """Which network runs now."""

    CALICO = "calico"
    FLANNEL = "flannel"
    KUBENET = "kubenet"


class Flannel(msgspec.Struct, frozen=True, kw_only=True):
    """What the ConfigMap of flannel says."""

    networks: tuple[Cidr, ...] = ()
    backend: str = ""
    """``vxlan``, ``host-gw``, ``wireguard``, ...; empty: not in the export."""


def source(export: Export) -> Source:
    """Return which network the objects of *export* are of.

    Calico has objects of its own. Flannel annotates its Nodes and has a ConfigMap; kubenet leaves
    no trace but the Nodes' networks.

    Raises:
        InputError: nothing in it says.
    """
    if any(True for _ in export.calico):
        return Source.CALICO
    nodes = list(export.of("Node", "v1"))
    if _config(export) is not None or any(_is_flannels(node) for node in nodes):
        return Source.FLANNEL
    if any(_pod_cidrs(node) for node in nodes):
        return Source.KUBENET
    raise InputError(
        "the export names neither objects of Calico nor Nodes with spec.podCIDRs; export them: "
        "kubectl get nodes,pods,configmaps -A -o yaml"
    )


def flannel(export: Export) -> Flannel:
    """Return what flannel was told; nothing where the export does not say."""
    entry = _config(export)
    if entry is None:
        return Flannel()
    try:
        told = json.loads(entry.raw["data"][_CONFIG_MAP])
        texts = [told.get(field) for field in ("Network", "IPv6Network")]
        networks = tuple([Cidr.parse_loose(text) for text in texts if text])
        return Flannel(networks=networks, backend=str(told["Backend"]["Type"]).lower())
    except (KeyError, TypeError, AttributeError, ValueError, ParseError) as error:
        raise InputError(f"ConfigMap {entry.name}: {_CONFIG_MAP} can't be read: {error}") from error


def node_networks(export: Export) -> dict[str, tuple[Cidr, ...]]:
    """Return the networks of each node.

    Raises:
        InputError: a ``podCIDR`` is no network.
    """
    return {node.name: _pod_cidrs(node) for node in export.of("Node", "v1")}


def pool_cidrs(export: Export, asked: Sequence[Cidr]) -> tuple[Cidr, ...]:
    """Return the networks of the pools: those *asked* for, else flannel's, else what nodes have.

    The last is the smallest network of each family with all of its nodes', which may be less than
    what controller-manager gives nodes of (``--cluster-cidr``).

    Raises:
        InputError: a node's network is outside of them.
    """
    nets = [net for nets in node_networks(export).values() for net in nets]
    found = tuple(asked) or flannel(export).networks
    if not found:
        families: tuple[Family, ...] = (4, 6)
        found = tuple(
            [
                _covering([net for net in nets if net.family == family])
                for family in families
                if any(net.family == family for net in nets)
            ]
        )
    for net in nets:
        if not any(net in cidr for cidr in found):
            known = ", ".join(map(str, found))
            raise InputError(
                f"a node's podCIDR {net} is in none of the pools {known}; name the cluster's pod "
                f"networks (controller-manager's --cluster-cidr) with --pod-cidr"
            )
    return found


def block_sizes(export: Export, cidrs: Sequence[Cidr]) -> dict[Cidr, int]:
    """Return the prefix length of the blocks of each pool: a node's whole network, if it may be.

    An IPv6 network of a node, a /64 as a rule, is more than a block may be: it is many.
    """
    found: dict[Cidr, int] = {}
    for cidr in cidrs:
        nets = [net for each in node_networks(export).values() for net in each if net in cidr]
        prefixes = {net.prefix for net in nets}
        family = cidr.family
        one = prefixes.pop() if len(prefixes) == 1 else BLOCK_SIZE[family]
        found[cidr] = one if one in _BLOCK_SIZES[family] else BLOCK_SIZE[family]
    return found


def pod_address_state(export: Export, sizes: Mapping[Cidr, int]) -> AddressState:
    """Return who has which block and address of the pools whose blocks are of *sizes*."""
    keeping = _Keeping(node_networks(export), sizes)
    for entry, node, addresses in _pods(export):
        keeping.keep(entry, node, addresses)
    affinities = [
        BlockAffinity(node=block.node, cidr=cidr, state=AffinityState.CONFIRMED)
        for cidr, block in keeping.blocks.items()
        if block.node is not None
    ]
    return AddressState(
        blocks=tuple(keeping.blocks.values()),
        affinities=tuple(affinities),
        handles=tuple(keeping.handles),
        findings=tuple(keeping.findings),
    )


class _Keeping:
    """Blocks while pods' addresses are put into them."""

    def __init__(self, networks: Mapping[str, Sequence[Cidr]], sizes: Mapping[Cidr, int]) -> None:
        self._networks = networks
        self._sizes = sizes
        self.blocks: dict[Cidr, IPAMBlock] = {}
        self.handles: list[IPAMHandle] = []
        self.findings: list[Finding] = []
        for node, nets in networks.items():
            for net in nets:
                # All of them: until the node is moved, it gives out addresses of all.
                if 0 <= self._size(net) - net.prefix <= _MOST_BLOCKS_BITS:
                    self.blocks |= {
                        cidr: _unused(cidr, net, node) for cidr in net.subnets(self._size(net))
                    }

    def keep(self, pod: Entry, node: str, addresses: Sequence[Address]) -> None:
        """Let *pod* have its *addresses*; tell of those that it can't have."""
        handle = f"{pod.namespace or 'default'}.{pod.name}"
        attributes = {"pod": pod.name, "namespace": pod.namespace or "default", "node": node}
        taken: dict[Cidr, int] = {}
        for address in addresses:
            net = next((n for n in self._networks.get(node, ()) if address in n), None)
            if net is None:
                self._tell(pod, f"has {address}, of no podCIDR of node {node}: it is not kept")
                continue
            cidr = Cidr(address.family, address.value, max(self._size(net), net.prefix))
            known = self.blocks.get(cidr) or _unused(cidr, net, node)
            block = assign_address(known, address, handle, attributes)
            if block is None:
                self._tell(pod, f"has {address}, and so has another pod: restart one of them")
                continue
            self.blocks[cidr] = block
            taken[cidr] = taken.get(cidr, 0) + 1
        if taken:
            self.handles.append(IPAMHandle(handle=handle, blocks=taken))

    def _size(self, net: Cidr) -> int:
        return next((size for cidr, size in self._sizes.items() if net in cidr), net.prefix)

    def _tell(self, pod: Entry, message: str) -> None:
        self.findings.append(finding(Effect.CHANGES, pod, "status.podIP", message))


def _unused(cidr: Cidr, net: Cidr, node: str) -> IPAMBlock:
    """Return a block of *node* in which the addresses of the bridge of *net* come last.

    The bridge may be there when the first pods of ours start.
    """
    block = new_block(cidr, host_affinity(node))
    if cidr.first != net.first:
        return block
    own = min(_FIRST, cidr.size)
    late = (*block.unallocated[own:], *block.unallocated[:own])
    return msgspec.structs.replace(block, unallocated=late)


def _pods(export: Export) -> Iterator[tuple[Entry, str, list[Address]]]:
    """Yield the pods with addresses of their own, each with its node."""
    for entry in export.of("Pod", "v1"):
        spec, status = part(entry.raw, "spec"), part(entry.raw, "status")
        node = spec.get("nodeName")
        if not isinstance(node, str) or spec.get("hostNetwork") is True:
            continue
        if status.get("phase") in FINISHED_PHASES:
            continue
        texts = [item.get("ip") for item in items(status, "podIPs")] or [status.get("podIP")]
        addresses: list[Address] = []
        for text in texts:
            try:
                addresses.append(Address.parse(str(text)))
            except ParseError:
                continue  # not given one yet
        if addresses:
            yield entry, node, addresses


def _pod_cidrs(node: Entry) -> tuple[Cidr, ...]:
    spec = part(node.raw, "spec")
    texts = spec.get("podCIDRs") or [spec.get("podCIDR")]
    try:
        return tuple([Cidr.parse(text) for text in texts if isinstance(text, str) and text])
    except ParseError as error:
        raise InputError(f"Node {node.name}: spec.podCIDRs: {error}") from error


def _is_flannels(node: Entry) -> bool:
    annotations = part(node.raw, "metadata", "annotations")
    return any(str(key).startswith(_ANNOTATION) for key in annotations)


def _config(export: Export) -> Entry | None:
    """Return flannel's ConfigMap: whatever its name, it holds ``net-conf.json``."""
    return next(
        (it for it in export.of("ConfigMap", "v1") if _CONFIG_MAP in part(it.raw, "data")), None
    )


def _covering(nets: Sequence[Cidr]) -> Cidr:
    """Return the smallest network that holds all of *nets*, which are of one family."""
    prefix = min(net.prefix for net in nets)
    first = min(net.first for net in nets)
    last = max(net.last for net in nets)
    bits = nets[0].bits
    while first >> (bits - prefix) != last >> (bits - prefix):
        prefix -= 1
    return Cidr(nets[0].family, first, prefix)
