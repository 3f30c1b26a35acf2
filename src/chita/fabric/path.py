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
    Verdict,
    WayHealth,
)
from chita.fabric.ladder import Near, local_rungs, tunnel_rungs
from chita.fabric.mesh import as_shortcut, mesh
from chita.fabric.promises import REMEMBERED, Promise, Promises
from chita.fabric.relays import Relays
from chita.model.cluster import ClusterState
from chita.model.node import FabricNode


def paths(cluster: ClusterState, local: str, health: Health = UNPROBED) -> dict[str, Path]:
    """Return how *local* reaches every other node, by node name.

    A node that has published nothing yet is there too, with kind NONE. Output depends on the
    records and on *health* alone, never on the order in which they came.
    """
    here = cluster.fabric_nodes.get(local)
    names = sorted((cluster.nodes.keys() | cluster.fabric_nodes.keys()) - {local})
    if here is None:
        return {name: _no_path(name, f"{local} has not joined the fabric yet") for name in names}
    claimed = claims(cluster.fabric_nodes)
    meshed = mesh(cluster)

    def promise(one: FabricNode, other: FabricNode) -> Promise:
        cut = health.shortcuts.get(other.name) if one is here else None
        return _REMEMBERED.of(cluster, one, other, claimed, meshed.refused(one, other, cut))

    near = {
        name: _DECIDED.near(
            (local, name),
            promise(here, there),
            health,
            meshed.shortcut(here, there, health.shortcuts),
        )
        for name in names
        if (there := cluster.fabric_nodes.get(name)) is not None
    }
    said = (cluster.settings, cluster.locations, cluster.pools, claimed, meshed)
    relays = Relays(cluster, here, near, health, promise, said=said)
    found: dict[str, Path] = {}
    for name in names:
        there = cluster.fabric_nodes.get(name)
        if there is None:
            found[name] = _no_path(name, f"{name} has not joined the fabric yet")
        else:
            found[name] = _DECIDED.path(local, name, near[name], relays.rung(there))
    return found


class _Known(msgspec.Struct, frozen=True):
    """What probes found out of the ways to one node."""

    local: WayHealth
    direct: tuple[WayHealth, ...]
    """By epoch of the keys, newest first."""
    detour: int | None
    """The port of loopback that leads to it in a stream."""
    shortcut: Shortcut | None


class _Decisions:
    """Remembers what was decided for each pair, as long as nothing it follows from is another.

    One probe's news or one record changes the ways to few nodes; those to all are asked for.
    """

    def __init__(self) -> None:
        self._near: dict[tuple[str, str], tuple[Promise, _Known, Near]] = {}
        self._paths: dict[tuple[str, str], tuple[Near, Rung, Path]] = {}

    def near(
        self, pair: tuple[str, str], promise: Promise, health: Health, shortcut: Shortcut | None
    ) -> Near:
        """Return the rungs from one to the other of *pair* on which no third forwards."""
        _, there = pair
        known = _Known(
            health.of(Local(there)),
            tuple([health.of(Direct(there, epoch)) for epoch in promise.tunnels]),
            health.detours.get(there),
            shortcut,
        )
        held = self._near.get(pair)
        if held is not None and held[0] is promise and held[1] == known:
            return held[2]
        if len(self._near) > REMEMBERED:
            self._near, self._paths = {}, {}
        near = _near(promise, there, known)
        self._near[pair] = (promise, known, near)
        return near

    def path(self, local: str, there: str, near: Near, relayed: Rung) -> Path:
        """Return the path to *there*."""
        pair = (local, there)
        held = self._paths.get(pair)
        if held is not None and held[0] is near and held[1] == relayed:
            return held[2]
        path = _path(there, near, relayed)
        self._paths[pair] = (near, relayed, path)
        return path


def _near(promise: Promise, there: str, known: _Known) -> Near:
    """Return *promise* judged."""
    direct = dict(zip(promise.tunnels, known.direct, strict=True))
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
            *as_shortcut(tunnels[used][0], known.shortcut),
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


_REMEMBERED = Promises()
_DECIDED = _Decisions()
