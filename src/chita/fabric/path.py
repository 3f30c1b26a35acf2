"""Which way each other node is reached: the path ladder, from published records and from probes.

::

    same location?  ─ its own network: routed, or VXLAN ......... routed, vxlan
          │           all encrypted, or that network is down .... private-wireguard
          │
    two locations that are peered, and an answer proved it ...... private-wireguard
          │
    either end can be dialled ................................... wireguard
          │
    both NATs keep their mapping, and an answer proved it ....... punched
          │
    gateways of either location, else of a third ................ relayed
          │
    none ........................................................ none

Whatever is best and not down is used. Where all is down, the best that the records promise is: a
prober that errs must not cut off what works.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from chita.desired.paths import IPV6_MINIMUM_MTU, Path, PathKind, Rung, RungState, Session
from chita.fabric.claims import claims
from chita.fabric.detours import detour_offer
from chita.fabric.health import (
    UNPROBED,
    Direct,
    Health,
    Local,
    Shortcut,
    Transit,
    Verdict,
    WayHealth,
)
from chita.fabric.ladder import Near, local_rungs, tunnel_rungs
from chita.fabric.mesh import as_shortcut, mesh
from chita.fabric.promises import Promise, Promises
from chita.fabric.relays import Relays
from chita.model.cluster import ClusterState
from chita.model.node import FabricNode
from chita.model.remembered import Remembered, RememberedEach


def paths(cluster: ClusterState, local: str, health: Health = UNPROBED) -> dict[str, Path]:
    """Return how *local* reaches every other node, by node name and in their order.

    A node that has published nothing yet is there too, with kind NONE. Output depends on the
    records and on *health* alone, never on the order in which they came.
    """
    records = cluster.fabric_nodes
    here = records.get(local)
    if here is None:
        names = sorted((cluster.nodes.keys() | records.keys()) - {local})
        return {name: _no_path(name, f"{local} has not joined the fabric yet") for name in names}
    claimed = claims(records)
    meshed = mesh(cluster)
    said = (cluster.settings, cluster.locations, cluster.pools, claimed, meshed)
    cuts = {
        name: cut
        for name in health.shortcuts.keys() & records.keys()
        if (cut := meshed.shortcut(here, records[name], health.shortcuts)) is not None
    }

    def promise(one: FabricNode, other: FabricNode) -> Promise:
        cut = cuts.get(other.name) if one is here else None
        return _PAIRS.of(cluster, one, other, claimed, meshed.refused(one, other, cut))

    promised = _PROMISED.of(
        local,
        (here, *said),
        (records, cuts),
        lambda name: promise(here, records[name]) if name != local else None,
    )
    known = _KNOWN.of(local, (health,), lambda: _known(health))
    near = _NEAR.of(
        local, (), (promised, known, cuts), lambda name: _near(name, promised, known, cuts)
    )
    relays = Relays(cluster, here, near, health, promise, said=said)
    relayed = relays.rungs()
    found = _PATHS.of(
        local,
        (),
        (near, relayed),
        lambda name: _path(name, near[name], relayed[name]) if name in near else None,
    )
    silent = cluster.nodes.keys() - records.keys()
    if silent:
        why = "has not joined the fabric yet"
        found = found | {name: _no_path(name, f"{name} {why}") for name in silent}
        return {name: found[name] for name in sorted(found)}
    return found


class _Known(msgspec.Struct, frozen=True):
    """What probes found out of the ways to one node."""

    local: WayHealth = WayHealth()
    direct: Mapping[int, WayHealth] = {}
    """By epoch of the keys."""
    detour: int | None = None
    """The port of loopback that leads to it in a stream."""


_UNKNOWN = _Known()


def _known(health: Health) -> dict[str, _Known]:
    """Return what *health* has about ways on which nobody forwards, by the node they lead to."""
    found: dict[str, dict[str, Any]] = {
        name: {"detour": port} for name, port in health.detours.items()
    }
    for way, known in health.ways.items():
        match way:
            case Local(node):
                found.setdefault(node, {})["local"] = known
            case Direct(node, epoch):
                found.setdefault(node, {}).setdefault("direct", {})[epoch] = known
            case Transit():
                pass
    return {name: _Known(**it) for name, it in found.items()}


def _near(
    there: str,
    promised: Mapping[str, Promise],
    found: Mapping[str, _Known],
    cuts: Mapping[str, Shortcut],
) -> Near | None:
    """Return what is promised to *there*, judged; None: it published nothing."""
    promise, known = promised.get(there), found.get(there, _UNKNOWN)
    if promise is None:
        return None
    direct = {epoch: known.direct.get(epoch, WayHealth()) for epoch in promise.tunnels}
    tunnels = {
        epoch: tunnel_rungs(
            ratings
            if known.detour is None
            else (*ratings, detour_offer(there, known.detour, epoch)),
            direct[epoch],
        )
        for epoch, ratings in promise.tunnels.items()
    }
    used = _epoch(direct)
    return Near(
        rungs=(
            *local_rungs(promise.local, known.local),
            *as_shortcut(tunnels[used][0], cuts.get(there)),
        ),
        sessions=tuple([Session(epoch, dial) for epoch, (_, dial) in tunnels.items()]),
        epoch=used,
    )


def _epoch(direct: Mapping[int, WayHealth]) -> int:
    """Return the newest epoch that was proven; the oldest, which was before, if none is."""
    *_, oldest = direct
    return next((it for it, known in direct.items() if known.verdict is Verdict.UP), oldest)


def _path(there: str, near: Near, relayed: Rung) -> Path:
    used = near.best
    if used is None and relayed.state is RungState.READY:
        used = relayed
    why = ""
    if used is None:
        used = near.promised or (relayed if relayed.state is RungState.FAILED else None)
        why = "nothing answers, and the best way stays in use: "
    if used is None:
        rungs = (*near.rungs, relayed)
        reasons = [rung.reason for rung in rungs if rung.state is not RungState.USED]
        return _no_path(there, "; ".join(dict.fromkeys(reasons)), rungs, near)
    rungs = tuple(
        msgspec.structs.replace(rung, state=RungState.USED) if rung is used else rung
        for rung in (*near.rungs, relayed)
    )
    why += _why_not_better(near, used) + used.reason
    if used.mtu_bytes < IPV6_MINIMUM_MTU:
        why += f"; IPv6 needs {IPV6_MINIMUM_MTU} bytes and {used.mtu_bytes} are left: not carried"
    return Path(
        node=there,
        kind=used.kind,
        reason=why,
        relays=used.relays,
        outer=used.outer,
        sessions=near.sessions,
        epoch=near.epoch,
        mtu_bytes=used.mtu_bytes,
        rungs=rungs,
    )


def _why_not_better(near: Near, used: Rung) -> str:
    """Return why no rung above *used* is: what failed, and for a relay what stands in the way."""
    above: list[str] = []
    for rung in near.rungs:
        if rung is used:
            break
        if rung.state is RungState.FAILED or (
            used.kind is PathKind.RELAYED and rung.kind is PathKind.WIREGUARD
        ):
            above.append(rung.reason)
    return "".join(f"{reason}; " for reason in dict.fromkeys(above))


def _no_path(
    node: str, reason: str, rungs: tuple[Rung, ...] = (), near: Near | None = None
) -> Path:
    return Path(
        node=node,
        kind=PathKind.NONE,
        reason=reason,
        rungs=rungs,
        sessions=near.sessions if near is not None else (),
        epoch=near.epoch if near is not None else 0,
    )


_PAIRS = Promises()
_PROMISED: RememberedEach[Promise] = RememberedEach()
_KNOWN: Remembered[dict[str, _Known]] = Remembered()
_NEAR: RememberedEach[Near] = RememberedEach()
_PATHS: RememberedEach[Path] = RememberedEach()
