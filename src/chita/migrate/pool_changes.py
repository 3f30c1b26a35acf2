"""What becomes of address pools: encapsulation, size of packets, leaving the cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum

import msgspec

from chita.convert.documents import Entry
from chita.migrate.export import Export
from chita.migrate.finding import Effect, Finding, finding


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


def pools(export: Export) -> list[Pool]:
    """Return the pools of *export*; what a field should hold and does not is taken as absent."""
    return [_pool(entry) for entry in export.of("IPPool")]


def _pool(entry: Entry) -> Pool:
    spec = _spec(entry)
    ipip, vxlan = (str(spec.get(field) or "Never") for field in ("ipipMode", "vxlanMode"))
    carriage, mode = Carriage.ROUTED, "Never"
    if ipip != "Never":
        carriage, mode = Carriage.IPIP, ipip
    elif vxlan != "Never":
        carriage, mode = Carriage.VXLAN, vxlan
    size = spec.get("blockSize")
    return Pool(
        name=entry.name,
        cidr=str(spec.get("cidr", "")),
        block_size=size if isinstance(size, int) else None,
        carriage=carriage,
        mode=mode,
        nat_outgoing=spec.get("natOutgoing") is True,
        disabled=spec.get("disabled") is True,
    )


def _spec(entry: Entry) -> Mapping[str, object]:
    spec = entry.raw.get("spec")
    return spec if isinstance(spec, Mapping) else {}


def pool_changes(export: Export) -> Iterator[Finding]:
    """Yield what will be otherwise with each pool."""
    for entry in export.of("IPPool"):
        pool = _pool(entry)
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
        if _spec(entry).get("allowedUses") == ["LoadBalancer"]:
            message = "addresses of LoadBalancer services are not handed out here yet"
            yield finding(Effect.CHANGES, entry, "spec.allowedUses", message)
        if pool.nat_outgoing:
            message = "pods leave the cluster under their node's address, as now"
            yield finding(Effect.KEPT, entry, "spec.natOutgoing", message)
