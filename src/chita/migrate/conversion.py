"""The objects to apply: what Calico was told, as ours, with the same meaning for every flow.

Nothing is weakened on the way: an object that is not valid here is left out only if leaving it out
is said (`Conversion.findings`), and what is left out because somebody else makes it (profiles of
namespaces, Calico's own Nodes) is made by that somebody here too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from chita.convert.documents import Entry, Object
from chita.migrate.addresses import AddressState, address_state
from chita.migrate.cluster_changes import NOT_CARRIED
from chita.migrate.export import Export
from chita.migrate.finding import Effect, Finding, finding
from chita.migrate.pod_cidr import (
    Source,
    block_sizes,
    node_networks,
    pod_address_state,
    pool_cidrs,
    source,
)
from chita.migrate.pod_cidr_changes import pod_cidr_changes, pool_objects
from chita.migrate.policy_names import key_of, short_names
from chita.migrate.raw import part
from chita.model.defaults import apply_defaults
from chita.model.net import Cidr
from chita.model.validate.objects import validate

_ADDRESS_KINDS: Final = frozenset({"IPAMBlock", "BlockAffinity", "IPAMHandle"})
_ORDER: Final = (
    "Tier", "IPPool", "IPReservation", "IPAMConfiguration", "FelixConfiguration",
    "KubeControllersConfiguration", "BGPConfiguration", "BGPFilter", "BGPPeer", "Profile",
    "GlobalNetworkSet", "NetworkSet", "HostEndpoint",
)  # fmt: skip
"""What others refer to comes first: policies name tiers, host endpoints profiles."""


class Conversion(msgspec.Struct, frozen=True, kw_only=True):
    """What to apply, and what of the export is not in it."""

    objects: tuple[Object, ...]
    addresses: AddressState
    findings: tuple[Finding, ...] = ()


def conversion(export: Export, pod_cidrs: Sequence[Cidr] = ()) -> Conversion:
    """Return the objects that do here what those of *export* did.

    *pod_cidrs* are the cluster's pod networks, where the export does not say (kubenet).

    Raises:
        InputError: the export is of no network that is known, or its addresses contradict.
    """
    if source(export) is Source.CALICO:
        return _of_calico(export, pod_cidrs)
    cidrs = pool_cidrs(export, pod_cidrs)
    sizes = block_sizes(export, cidrs)
    addresses = pod_address_state(export, sizes)
    return Conversion(
        objects=(*pool_objects(export, sizes), *addresses.objects()),
        addresses=addresses,
        findings=(*pod_cidr_changes(export, source(export), cidrs), *addresses.findings),
    )


def of_node(converted: Conversion, node: str) -> tuple[Object, ...]:
    """Return what of *converted* says who has the addresses of *node*'s blocks, as of now."""
    state = converted.addresses
    blocks = tuple([block for block in state.blocks if block.node == node])
    own = {block.cidr for block in blocks}
    part_of = AddressState(
        blocks=blocks,
        affinities=tuple([it for it in state.affinities if it.node == node]),
        handles=tuple([it for it in state.handles if not own.isdisjoint(it.blocks)]),
    )
    return tuple(part_of.objects())


def _of_calico(export: Export, pod_cidrs: Sequence[Cidr]) -> Conversion:
    findings: list[Finding] = []
    names = short_names(export.entries)
    objects: list[Object] = []
    for entry in sorted(export.calico, key=_rank):
        if entry.kind in _ADDRESS_KINDS:
            continue
        if left := list(_left_out(entry)):
            findings += left
            continue
        raw = entry.raw
        if (short := names.get(key_of(entry))) is not None:
            raw = {**raw, "metadata": {**raw["metadata"], "name": short}}
            message = f"is called {short} here, as it was written"
            findings.append(finding(Effect.KEPT, entry, "metadata.name", message))
        objects.append(raw)
    addresses = address_state(export)
    if _is_host_local(export):
        sizes = _sizes(export) or block_sizes(export, pool_cidrs(export, pod_cidrs))
        if not _sizes(export):
            objects = [*pool_objects(export, sizes), *objects]
        addresses = pod_address_state(export, sizes)
    return Conversion(
        objects=(*objects, *addresses.objects()),
        addresses=addresses,
        findings=(*findings, *addresses.findings),
    )


def _is_host_local(export: Export) -> bool:
    """Whether Calico does policy alone and nodes give out their podCIDRs (canal, ``host-local``).

    Calico's own IPAM has a block as soon as there is a pod.
    """
    return not any(True for _ in export.of("IPAMBlock")) and any(node_networks(export).values())


def _sizes(export: Export) -> dict[Cidr, int]:
    """Return the block size of each pool that was written."""
    found: dict[Cidr, int] = {}
    for entry in export.of("IPPool"):
        if not validate(entry.raw):
            spec = apply_defaults(entry.raw)["spec"]
            found[Cidr.parse(spec["cidr"])] = spec["blockSize"]
    return found


def _rank(entry: Entry) -> int:
    return _ORDER.index(entry.kind) if entry.kind in _ORDER else len(_ORDER)


def _left_out(entry: Entry) -> Iterator[Finding]:
    """Yield why *entry* is not carried over; nothing for one that is."""
    if (reason := NOT_CARRIED.get(entry.kind)) is not None:
        yield finding(Effect.IGNORED, entry, "", reason)
    elif _is_derived(entry):
        reason = "is made of its namespace, service account or pod, here as there"
        yield finding(Effect.KEPT, entry, "", reason)
    else:
        for problem in validate(entry.raw):
            yield finding(Effect.REFUSED, entry, problem.field, problem.message)


def _is_derived(entry: Entry) -> bool:
    """Whether Calico's API shows *entry* without anybody having written it."""
    match entry.kind:
        case "Profile":
            return (
                entry.name.startswith(("kns.", "ksa."))
                or entry.name == "projectcalico-default-allow"
            )
        case "WorkloadEndpoint":
            return part(entry.raw, "spec").get("orchestrator") == "k8s"
        case "NetworkPolicy":
            # Calico lists Kubernetes' policies among its own, by names that nobody else may use.
            return entry.name.startswith("knp.default.")
        case _:
            return False
