"""Which ways are probed, to whom and how often: a pure function of records and paths.

What carries traffic now is asked five times a second, what would carry it next once, and all of it
together never more often than the budget allows: with a thousand nodes each is asked less often,
and the relays in use as often as ever.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum

import msgspec

from chita.desired.paths import Path, PathKind, Rung, RungState
from chita.desired.tunnels import TRANSIT_OVERHEAD
from chita.fabric.gateways import is_gateway, rank
from chita.fabric.health import Direct, Local, Transit, Way
from chita.fabric.neighbours import shared_subnet
from chita.fabric.sizes import bare_sizes, transit_sizes, vxlan_sizes, wireguard_sizes
from chita.fabric.timing import DEFAULT, Timing
from chita.model.cluster import ClusterState
from chita.model.net import Address
from chita.model.node import FabricNode, Node

RELAYS_A_PLACE = 2
"""Relays probed of each place (ours, theirs, elsewhere) besides those in use."""
ENDS = 8
"""Nodes of a location that take turns to answer probes through a relay."""
_URGENT_SHARE = 0.6
"""Of the budget, for relays in use and pairs with traffic."""

_TUNNELS = (PathKind.PRIVATE, PathKind.WIREGUARD, PathKind.PUNCHED, PathKind.TCP)
_NETWORK = (PathKind.ROUTED, PathKind.VXLAN)
_LIKELY = (RungState.USED, RungState.READY, RungState.FAILED, RungState.UNPROVEN, RungState.REFUSED)
"""States of a rung, those first over which a probe is most likely to go."""


class Egress(StrEnum):
    """What a probe leaves through."""

    WIREGUARD = "wireguard"
    VXLAN = "vxlan"
    NETWORK = "network"
    """The location's own network, bare."""


class Use(StrEnum):
    """What a way is needed for."""

    URGENT = "urgent"
    """A relay in use, or a pair with traffic."""
    USED = "used"
    STANDBY = "standby"


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A way to probe."""

    way: Way
    location: str
    """Where it leads."""
    ends: tuple[Address, ...]
    """Who answers: one address, or for a Transit those that take turns."""
    via: Address | None = None
    """The relay's mesh address, for a Transit."""
    egress: Egress
    device: str = ""
    """Ours, over which a mesh address is probed bare; empty: a private address is."""
    epoch: int = 0
    """Of the tunnel's keys, for WireGuard."""
    use: Use
    every_s: float
    """Between small probes."""
    size_every_s: float
    """Between those of full size."""
    mtu_bytes: int
    """The largest inner packet that the records promise; through a relay, that came through."""


def targets(
    cluster: ClusterState,
    local: str,
    paths: Mapping[str, Path],
    *,
    timing: Timing = DEFAULT,
    busy: frozenset[str] = frozenset(),
) -> dict[Way, Target]:
    """Return what *local* probes, given the *paths* it uses; *busy* are nodes with traffic."""
    here = cluster.nodes.get(local)
    if here is None:
        return {}
    relays = {name for path in paths.values() for name in _relays_in_use(path)}
    found: dict[Way, Target] = {}
    for name, path in paths.items():
        for target in _to_node(cluster, here, name, path, timing):
            urgent = name in relays or (name in busy and target.use is Use.USED)
            found[target.way] = (
                msgspec.structs.replace(
                    target, use=Use.URGENT, every_s=timing.used_s, size_every_s=timing.size_used_s
                )
                if urgent
                else target
            )
    found |= {it.way: it for it in _transits(cluster, here, paths, found, timing)}
    return _within_budget(found, timing)


def rungs(path: Path) -> tuple[Rung, ...]:
    """Return the ladder of *path*; while none is known, the rung it uses."""
    if path.rungs or path.kind is PathKind.NONE:
        return path.rungs
    return (
        Rung(
            kind=path.kind,
            state=RungState.USED,
            reason=path.reason,
            mtu_bytes=path.mtu_bytes,
            outer=path.outer,
            relays=_relays_in_use(path),
        ),
    )


def _relays_in_use(path: Path) -> tuple[str, ...]:
    if path.kind is not PathKind.RELAYED:
        return ()
    return path.relays


def _to_node(
    cluster: ClusterState, here: Node, name: str, path: Path, timing: Timing
) -> Iterator[Target]:
    """Yield the ways that lead to a node without a relay: its network, our tunnel with it."""
    there, node = cluster.fabric_nodes.get(name), cluster.nodes.get(name)
    if there is None or node is None:
        return
    mesh = common_mesh(here, node)
    open_rungs = [it for it in rungs(path) if it.state is not RungState.REFUSED]
    tunnel = _first(open_rungs, _TUNNELS)
    network = _first(open_rungs, _NETWORK)
    ways: list[tuple[Rung | None, Local | Direct]] = [(network, Local(name))]
    ways += [(tunnel, Direct(name, session.epoch)) for session in path.sessions]
    for rung, way in ways:
        if rung is None:
            continue
        epoch = way.epoch if isinstance(way, Direct) else path.epoch
        egress = _egress(rung.kind)
        device = _bare_device(cluster, here.name, there, mesh) if egress is Egress.NETWORK else ""
        end = rung.outer if egress is Egress.NETWORK and not device else mesh
        if end is None:
            continue
        is_used = path.kind is rung.kind and epoch == path.epoch
        yield Target(
            way=way,
            location=there.location,
            ends=(end,),
            egress=egress,
            device=device,
            epoch=epoch,
            use=Use.USED if is_used else Use.STANDBY,
            every_s=timing.used_s if is_used else timing.standby_s,
            size_every_s=timing.size_used_s if is_used else timing.size_standby_s,
            mtu_bytes=rung.promised_mtu_bytes or rung.mtu_bytes,
        )


def _bare_device(cluster: ClusterState, local: str, there: FabricNode, mesh: Address | None) -> str:
    """Return our device over which the mesh address *mesh* of *there* is probed bare.

    Empty: they share no subnet of its family; its private address is asked, which others may have.
    """
    here = cluster.fabric_nodes.get(local)
    if here is None or mesh is None:
        return ""
    shared = shared_subnet(here, there, mesh.family)
    return shared[0] if shared is not None and shared[0] in here.bare_devices else ""


def sizes(target: Target) -> tuple[int, ...]:
    """Return the packet sizes worth trying over *target*, ascending."""
    if target.via is not None:
        return transit_sizes({*bare_sizes(), *vxlan_sizes(), *wireguard_sizes()})
    match target.egress:
        case Egress.NETWORK:
            return bare_sizes()
        case Egress.VXLAN:
            return vxlan_sizes()
        case Egress.WIREGUARD:
            return wireguard_sizes()


def _first(held: Iterable[Rung], kinds: tuple[PathKind, ...]) -> Rung | None:
    """Return the rung of *kinds* that packets take: the one used, else the best that may carry."""
    found = [rung for rung in held if rung.kind in kinds]
    return min(found, key=lambda rung: _LIKELY.index(rung.state), default=None)


def _egress(kind: PathKind) -> Egress:
    match kind:
        case PathKind.ROUTED:
            return Egress.NETWORK
        case PathKind.VXLAN:
            return Egress.VXLAN
        case _:
            return Egress.WIREGUARD


def common_mesh(here: Node, there: Node) -> Address | None:
    """Return *there*'s mesh address of a family that both have, IPv4 first."""
    for family in (4, 6):
        address = there.mesh(family)
        if address is not None and here.mesh(family) is not None:
            return address
    return None


def _transits(
    cluster: ClusterState,
    here: Node,
    paths: Mapping[str, Path],
    hops: Mapping[Way, Target],
    timing: Timing,
) -> Iterator[Target]:
    """Yield the ways through relays to each location that needs one, or might."""
    gateways = [
        node
        for node in cluster.fabric_nodes.values()
        if is_gateway(node) and _hop(paths, hops, node.name) is not None
    ]
    for location, behind in _behind_relays(cluster, paths).items():
        in_use = {name for node in behind for name in _relays_in_use(paths[node])}
        listed = _listed([paths[node] for node in behind])
        asked = _asked(cluster, here, paths, behind)
        for place, name in enumerate(_candidates(gateways, here, location, in_use, list(listed))):
            ends = _ends(asked, name)
            relay = cluster.nodes.get(name)
            via = common_mesh(here, relay) if relay is not None else None
            if not ends or via is None or via.family != ends[0].family:
                continue
            hop = _hop(paths, hops, name)
            assert hop is not None
            used = name in in_use
            idle_s = timing.standby_s if place < RELAYS_A_PLACE else timing.idle_transit_s
            yield Target(
                way=Transit(name, location),
                location=location,
                ends=ends,
                via=via,
                egress=hop.egress,
                device=hop.device,
                epoch=hop.epoch,
                use=Use.URGENT if used else Use.STANDBY,
                every_s=timing.transit_s if used else idle_s,
                size_every_s=timing.size_used_s if used else timing.size_standby_s,
                mtu_bytes=min(hop.mtu_bytes - TRANSIT_OVERHEAD[4], listed.get(name, hop.mtu_bytes)),
            )


def _hop(paths: Mapping[str, Path], hops: Mapping[Way, Target], relay: str) -> Target | None:
    """Return how a relay itself is probed by the way its packets take."""
    epoch = paths[relay].epoch if relay in paths else 0
    return hops.get(Local(relay)) or hops.get(Direct(relay, epoch))


def _is_relayed(rung: Rung) -> bool:
    return rung.kind is PathKind.RELAYED and rung.state is not RungState.REFUSED


def _listed(behind: Iterable[Path]) -> dict[str, int]:
    """Return the relays that paths name, in their order, and how large a packet each may take."""
    found: dict[str, int] = {}
    for path in behind:
        for rung in rungs(path):
            if _is_relayed(rung):
                for relay in rung.relays:
                    found[relay] = max(found.get(relay, 0), rung.mtu_bytes)
    return found


def _behind_relays(cluster: ClusterState, paths: Mapping[str, Path]) -> dict[str, list[str]]:
    """Return the nodes that a relay might forward to, by location; those that need it first."""
    found: dict[str, list[str]] = {}
    for name in sorted(paths, key=lambda name: (paths[name].kind is not PathKind.RELAYED, name)):
        there = cluster.fabric_nodes.get(name)
        if there is not None and any(_is_relayed(rung) for rung in rungs(paths[name])):
            found.setdefault(there.location, []).append(name)
    return found


def _candidates(
    gateways: Iterable[FabricNode],
    here: Node,
    location: str,
    in_use: set[str],
    listed: list[str],
) -> list[str]:
    """Return the relays worth probing: those in use, then the best few of each place."""
    places: dict[str, list[FabricNode]] = {"ours": [], "theirs": [], "elsewhere": []}
    for node in gateways:
        place = "ours" if node.location == here.location else "elsewhere"
        places["theirs" if node.location == location else place].append(node)
    best = [
        node.name
        for nodes in places.values()
        for node in rank(nodes, here.name, location)[:RELAYS_A_PLACE]
    ]
    known = {node.name for nodes in places.values() for node in nodes}
    wanted = dict.fromkeys([*sorted(in_use), *listed[:RELAYS_A_PLACE], *best])
    return [name for name in wanted if name in known]


def _asked(
    cluster: ClusterState, here: Node, paths: Mapping[str, Path], behind: Sequence[str]
) -> dict[str, Address]:
    """Return who may be asked to answer through relays, of one family: a few, each node others.

    Those that need a relay come first: what concerns them is found out.
    """
    needy = [name for name in behind if paths[name].kind is PathKind.RELAYED]
    found: dict[str, Address] = {}
    for name in (*_from_own_place(needy, here), *_from_own_place(behind, here)):
        node = cluster.nodes.get(name)
        mesh = common_mesh(here, node) if node is not None else None
        if mesh is not None and all(mesh.family == it.family for it in found.values()):
            found[name] = mesh
        if len(found) > ENDS:
            break
    return found


def _from_own_place(names: Sequence[str], here: Node) -> Sequence[str]:
    """Return *names*, each node from another place on, so that not all ask the same few."""
    start = zlib.crc32(here.name.encode()) % max(1, len(names))
    return (*names[start:], *names[:start])


def _ends(asked: Mapping[str, Address], relay: str) -> tuple[Address, ...]:
    """Return who is to answer through *relay*: not itself."""
    return tuple([mesh for name, mesh in asked.items() if name != relay][:ENDS])


def _within_budget(wanted: Mapping[Way, Target], timing: Timing) -> dict[Way, Target]:
    """Return *wanted* with intervals so long that all together keep to the budget."""
    demand = {Use.URGENT: 0.0, Use.USED: 0.0, Use.STANDBY: 0.0}
    for it in wanted.values():
        demand[it.use] += 1 / it.every_s + 1 / it.size_every_s
    urgent, rest = demand[Use.URGENT], demand[Use.USED] + demand[Use.STANDBY]
    allowed = min(urgent, timing.budget * _URGENT_SHARE)
    stretch = dict.fromkeys(Use, max(1.0, rest / (timing.budget - allowed)))
    stretch[Use.URGENT] = urgent / allowed if urgent else 1.0
    return {
        way: it
        if stretch[it.use] == 1
        else msgspec.structs.replace(
            it,
            every_s=it.every_s * stretch[it.use],
            size_every_s=it.size_every_s * stretch[it.use],
        )
        for way, it in wanted.items()
    }
