"""Rules over several fields of pools and address management settings.

That pools don't overlap, and that ``cidr`` and ``blockSize`` never change, needs other objects
than the one at hand: the API server checks it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from chita.model.defaults import BLOCK_SIZE
from chita.model.net import Cidr, Family
from chita.model.problem import Problem
from chita.model.selector import all_, parse_selector

Raw = Mapping[str, Any]

_BLOCK_SIZES: Final[dict[Family, tuple[int, int]]] = {4: (20, 32), 6: (116, 128)}
_LINK_LOCAL: Final = (Cidr.parse("169.254.0.0/16"), Cidr.parse("fe80::/10"))


def pool_problems(obj: Raw) -> Iterator[Problem]:
    """Yield what is wrong with an IPPool."""
    spec = obj["spec"]
    yield from _range_problems(spec)
    yield from _use_problems(spec)


def settings_problems(obj: Raw) -> Iterator[Problem]:
    """Yield what is wrong with an IPAMConfiguration."""
    spec = obj.get("spec") or {}
    strict = spec.get("strictAffinity") or False
    if spec.get("autoAllocateBlocks") is False and not strict:
        yield Problem(
            "spec.autoAllocateBlocks",
            "false needs strictAffinity: true; without either, nodes would borrow from each other "
            "and never get blocks",
        )
    if spec.get("maxBlocksPerHost") and not strict:
        yield Problem(
            "spec.maxBlocksPerHost",
            f"{spec['maxBlocksPerHost']} needs strictAffinity: true; without it a node borrows "
            "beyond its blocks",
        )


def affinity_problems(obj: Raw) -> Iterator[Problem]:
    """Yield what is wrong with a BlockAffinity: upstream never stores one that is deleted."""
    deleted = obj["spec"].get("deleted")
    if deleted in (True, "true"):
        yield Problem("spec.deleted", "is true; delete the object instead")
    elif deleted not in (None, False, "", "false"):
        yield Problem("spec.deleted", f"{deleted!r} is not true or false")


def _range_problems(spec: Raw) -> Iterator[Problem]:
    cidr = Cidr.parse(spec["cidr"])
    low, high = _BLOCK_SIZES[cidr.family]
    size = spec.get("blockSize")
    if size is None:
        size = BLOCK_SIZE[cidr.family]
    if not low <= size <= high:
        yield Problem(
            "spec.blockSize",
            f"{size} is not a block size of IPv{cidr.family}; write {low} to {high}",
        )
    elif cidr.prefix > size and not spec.get("disabled"):
        yield Problem(
            "spec.cidr",
            f"{cidr} is smaller than one block of /{size}; write a larger pool, or blockSize: "
            f"{cidr.prefix}",
        )
    for network in _LINK_LOCAL:
        if cidr.overlaps(network):
            yield Problem("spec.cidr", f"{cidr} overlaps the link-local range {network}")
    if cidr.family == 6 and _is_on(spec, "ipipMode"):
        yield Problem("spec.ipipMode", f"{spec['ipipMode']} is for IPv4 only; write Never")
    if _is_on(spec, "ipipMode") and _is_on(spec, "vxlanMode"):
        yield Problem("spec.vxlanMode", "does not go with ipipMode; write Never for one of them")


def _use_problems(spec: Raw) -> Iterator[Problem]:
    uses = spec.get("allowedUses") or []
    if spec.get("namespaceSelector") and "Tunnel" in uses:
        yield Problem(
            "spec.namespaceSelector",
            "does not go with allowed use Tunnel, whose addresses are in no namespace; remove "
            "either",
        )
    if "LoadBalancer" not in uses:
        return
    if len(uses) > 1:
        yield Problem("spec.allowedUses", "LoadBalancer goes with no other use; make two pools")
    for field in ("ipipMode", "vxlanMode"):
        if _is_on(spec, field):
            yield Problem(f"spec.{field}", "must be Never in a LoadBalancer pool")
    if spec.get("disableBGPExport"):
        yield Problem("spec.disableBGPExport", "must be false in a LoadBalancer pool")
    if parse_selector(spec.get("nodeSelector") or "") != all_():
        yield Problem("spec.nodeSelector", "must be all() in a LoadBalancer pool")


def _is_on(spec: Raw, field: str) -> bool:
    return spec.get(field) not in (None, "Never")
