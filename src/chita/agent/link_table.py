"""Links: how this node reaches each other one, with what its probes measured on that very way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from chita.agent.way_status import WayStatus
from chita.desired.paths import Path, PathKind
from chita.fabric.health import Direct, Local, Transit, Way


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """One direction between two nodes."""

    source: str = msgspec.field(name="from")
    destination: str = msgspec.field(name="to")
    kind: PathKind
    relays: tuple[str, ...] = ()
    mtu_bytes: int = msgspec.field(name="mtu", default=0)
    """The largest inner packet."""
    rtt_p50_ms: float | None = msgspec.field(name="rttP50Ms", default=None)
    """Of the last minute; None: nothing was answered, or the way is not probed."""
    rtt_p99_ms: float | None = msgspec.field(name="rttP99Ms", default=None)
    loss_percent: float | None = msgspec.field(name="lossPercent", default=None)
    """Probes of the last minute that were not answered."""
    since_s: float | None = msgspec.field(name="since", default=None)
    """When the way became what it is, seconds since the epoch."""
    reason: str = ""


def links(node: str, paths: Mapping[str, Path], ways: Iterable[WayStatus]) -> list[Link]:
    """Return the links of *node*, by the names of the others.

    Of a relayed one the measurement is that through its first relay, to wherever it was probed.
    """
    measured = {status.way: status for status in ways}
    places: dict[str, str] = {}
    for way, status in measured.items():
        match way:
            case Local(node=there) | Direct(node=there):
                places[there] = status.location
            case Transit():
                pass
    return [
        _link(node, path, _measured(path, places.get(name, ""), measured))
        for name, path in sorted(paths.items())
    ]


def _measured(path: Path, location: str, measured: Mapping[Way, WayStatus]) -> WayStatus | None:
    match path.kind:
        case PathKind.NONE:
            return None
        case PathKind.ROUTED | PathKind.VXLAN:
            return measured.get(Local(path.node))
        case PathKind.RELAYED:
            through = (measured.get(Transit(relay, location)) for relay in path.relays)
            return next((it for it in through if it is not None), None)
        case _:
            return measured.get(Direct(path.node, path.epoch))


def _link(node: str, path: Path, way: WayStatus | None) -> Link:
    used = next((rung for rung in path.rungs if rung.kind is path.kind), None)
    since_s = used.since_s if used is not None and used.since_s else None
    return Link(
        source=node,
        destination=path.node,
        kind=path.kind,
        relays=path.relays,
        mtu_bytes=path.mtu_bytes,
        rtt_p50_ms=way.rtt_p50_ms if way is not None else None,
        rtt_p99_ms=way.rtt_p99_ms if way is not None else None,
        loss_percent=round(100 * way.lost / way.sent, 1) if way is not None and way.sent else None,
        since_s=since_s or (way.since_s if way is not None else None),
        reason=path.reason,
    )
