"""What becomes of address pools: encapsulation, size of packets, leaving the cluster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum

import msgspec

from chita.convert.documents import Object
from chita.migrate.export import Export
from chita.migrate.finding import Effect, Finding, finding
from chita.migrate.raw import part


class Carriage(StrEnum):
    """How Calico carries packets of a pool between nodes."""

    IPIP = "IP-in-IP"
    VXLAN = "VXLAN"
    ROUTED = "none"


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """A pool, as the report lists it."""

    name: str
    cidr: str
    block_size: int | None
    carriage: Carriage
    mode: str
    """``Always`` or ``CrossSubnet``; ``Never`` without encapsulation."""
    nat_outgoing: bool
    disabled: bool


def pools(objects: Iterable[Object]) -> list[Pool]:
    """Return the pools among *objects*; what a field should hold and does not is as absent."""
    return [_pool(obj) for obj in objects if obj.get("kind") == "IPPool"]


def _pool(obj: Object) -> Pool:
    spec = part(obj, "spec")
    ipip, vxlan = (str(spec.get(field) or "Never") for field in ("ipipMode", "vxlanMode"))
    carriage, mode = Carriage.ROUTED, "Never"
    if ipip != "Never":
        carriage, mode = Carriage.IPIP, ipip
    elif vxlan != "Never":
        carriage, mode = Carriage.VXLAN, vxlan
    size = spec.get("blockSize")
    return Pool(
        name=str(part(obj, "metadata").get("name", "")),
        cidr=str(spec.get("cidr", "")),
        block_size=size if isinstance(size, int) else None,
        carriage=carriage,
        mode=mode,
        nat_outgoing=spec.get("natOutgoing") is True,
        disabled=spec.get("disabled") is True,
    )


def pool_changes(export: Export) -> Iterator[Finding]:
    """Yield what will be otherwise with each pool."""
    for entry in export.of("IPPool"):
        pool = _pool(entry.raw)
        match pool.carriage:
            case Carriage.IPIP:
                message = (
                    f"is read as vxlanMode: {pool.mode}. IP-in-IP (protocol 4) is not used: Azure "
                    "drops it, and so may other clouds. Within a location packets go by VXLAN, "
                    "between locations by WireGuard; each is 30 or 40 bytes longer than with "
                    "IP-in-IP, so pods get an MTU that is smaller by as much"
                )
                yield finding(Effect.CHANGES, entry, "spec.ipipMode", message)
            case Carriage.VXLAN:
                message = (
                    "stays VXLAN within a location; between locations packets go by WireGuard, "
                    "encrypted, and pods get an MTU that is smaller by 10 bytes over IPv4"
                )
                yield finding(Effect.CHANGES, entry, "spec.vxlanMode", message)
            case Carriage.ROUTED:
                message = (
                    "no encapsulation: within a location packets go to the node's own address "
                    "as they are, which works where nodes are on one link. Routers outside the "
                    "cluster learn nothing, since nobody here speaks BGP; write vxlanMode: Always "
                    "where the network between nodes does not know pods"
                )
                yield finding(Effect.CHANGES, entry, "spec.vxlanMode", message)
        if part(entry.raw, "spec").get("allowedUses") == ["LoadBalancer"]:
            message = "addresses of LoadBalancer services are not handed out here yet"
            yield finding(Effect.CHANGES, entry, "spec.allowedUses", message)
        if pool.nat_outgoing:
            message = "pods leave the cluster under their node's address, as now"
            yield finding(Effect.KEPT, entry, "spec.natOutgoing", message)
