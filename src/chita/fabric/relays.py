"""Which gateways forward to a node that is not reached itself, or not any more.

::

    those of its own location, else of ours, else of a third that both ends dial
          │
    of these: whose hop and transit are not down; none is: all of them
          │
    the best few share the flows: by rendezvous hash; third ones by round trip
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import IntEnum
from functools import partial

import msgspec

from chita.desired.paths import PathKind, Rung, RungState
from chita.desired.tunnels import TRANSIT_OVERHEAD
from chita.fabric.gateways import gateways, rank
from chita.fabric.health import Health, Transit, Verdict, WayHealth
from chita.fabric.ladder import Near
from chita.fabric.offers import Offer
from chita.fabric.promises import Promise
from chita.model.cluster import ClusterState
from chita.model.node import FabricNode
from chita.model.remembered import Remembered, RememberedEach

_UNWRAPPED = (PathKind.ROUTED, PathKind.VXLAN)
"""A relay hands on to its neighbours as to any pod."""


class _Class(IntEnum):
    """Where gateways stand, those to be asked first first."""

    FAR = 1
    OURS = 2
    THIRD = 3


class Relays:
    """The gateways as one node sees them."""

    def __init__(  # noqa: PLR0913 - all that a choice of relays follows from
        self,
        cluster: ClusterState,
        here: FabricNode,
        near: Mapping[str, Near],
        health: Health,
        promise: Callable[[FabricNode, FabricNode], Promise],
        *,
        said: tuple[object, ...],
    ) -> None:
        """Take *promise*, and what its answers follow from besides the two records: *said*."""
        self._cluster = cluster
        self._here = here
        self._promise = promise
        self._with_ipv4 = _WITH_IPV4.of("", (cluster.nodes,), lambda: _with_ipv4(cluster))
        self._said = (self._with_ipv4, *said)
        self._transits = _TRANSITS.of(here.name, (health,), lambda: _transits(health))
        offering = gateways(cluster.fabric_nodes)
        candidates = _CANDIDATES.of(
            here.name,
            (self._with_ipv4,),
            (offering, near),
            lambda name: self._candidate(offering.get(name), near.get(name)),
        )
        self._by_location: dict[str, list[_Candidate]] = {}
        for candidate in candidates.values():
            self._by_location.setdefault(candidate.node.location, []).append(candidate)
        self._rungs: dict[Rung, Rung] = {}

    def rungs(self) -> dict[str, Rung]:
        """Return the rung through gateways to each node, with those that share its flows."""
        here, nodes = self._here.name, self._cluster.fabric_nodes
        places = _PLACES.of("", (), (nodes,), lambda name: nodes[name].location)
        left = {name: place for name, place in places.items() if name != here}
        found: dict[str, Rung] = {}
        classes: list[Mapping[str, _Members]] = []
        for kind in _Class:
            members = self._members(kind, left)
            make = partial(self._through, members)
            through = _THROUGH.of((here, kind), self._said, (nodes, members), make)
            found = found | through if found else through
            left = {name: place for name, place in left.items() if name not in through}
            if not left:
                return found
            classes.append(members)
        make = partial(self._without, classes, left)
        return found | _WITHOUT.of(here, self._said, (nodes, *classes), make)

    def _through(self, members: Mapping[str, _Members], name: str) -> Rung | None:
        """Return the rung to *name* through healthy ones of its *members*, if it has such."""
        there = self._cluster.fabric_nodes[name]
        healthy = self._able((it for it in members.get(name, ()) if not it.why_not), there)
        return self._rung(healthy, RungState.READY) if healthy else None

    def _without(
        self, classes: Sequence[Mapping[str, _Members]], left: Mapping[str, str], name: str
    ) -> Rung | None:
        """Return the rung to *name* where no gateway is healthy: the first that are promised."""
        if name not in left:
            return None
        there = self._cluster.fabric_nodes[name]
        for members in classes:
            all_bad = self._able(members[name], there)
            if all_bad:
                return self._rung(all_bad, RungState.FAILED)
        return Rung(
            kind=PathKind.RELAYED,
            state=RungState.REFUSED,
            reason=f"no gateway reaches both {self._here.name} and {name}",
        )

    def _members(self, kind: _Class, places: Mapping[str, str]) -> dict[str, _Members]:
        """Return the gateways of *kind* for each node of *places*, best first."""
        ranked = {place: self._ranked(kind, place) for place in set(places.values())}
        return _MEMBERS.of(
            (self._here.name, kind),
            (places, ranked),
            lambda: {name: ranked[place] for name, place in places.items()},
        )

    def _ranked(self, kind: _Class, location: str) -> _Members:
        """Return the gateways of *kind* for *location*, best first."""
        ours, transits = self._here.location, self._transits.get(location, {})
        match kind:
            case _Class.FAR:
                members = self._by_location.get(location, [])
            case _Class.OURS:
                members = self._by_location.get(ours, []) if ours != location else []
            case _Class.THIRD:
                members = [
                    candidate
                    for place, candidates in self._by_location.items()
                    if place not in (location, ours)
                    for candidate in candidates
                ]
        return _RANKED.of(
            (self._here.name, kind, location),
            (members, transits),
            lambda: _ranked(self._here.name, kind, location, members, transits),
        )

    def _rung(self, chosen: Sequence[_Hops], state: RungState) -> Rung:
        """Return the rung through *chosen*; nodes behind the same ones share it."""
        reason = _words(chosen)
        if state is RungState.FAILED:
            why = "; ".join(f"{it.relay.node.name}: {it.relay.why_not}" for it in chosen)
            reason = f"every gateway fails ({why})"
        rung = Rung(
            kind=PathKind.RELAYED,
            state=state,
            reason=reason,
            since_s=max(it.relay.since_s for it in chosen),
            mtu_bytes=min([it.mtu_bytes for it in chosen]),
            relays=tuple([it.relay.node.name for it in chosen]),
        )
        return self._rungs.setdefault(rung, rung)

    def _able(self, candidates: Iterable[_Candidate], there: FabricNode) -> list[_Hops]:
        """Return the best few that reach *there* themselves, as the records have it."""
        able: list[_Hops] = []
        for candidate in candidates:
            second = self._second_hop(candidate.node, there)
            if second is not None:
                behind = second.mtu_bytes
                if second.kind not in _UNWRAPPED:
                    behind -= self._wrapping(candidate.node.name, there.name)
                size = min(candidate.mtu_bytes, behind)
                able.append(_Hops(candidate, size))
                if len(able) == self._cluster.setting.active_gateways:
                    break
        return able

    def _candidate(self, node: FabricNode | None, near: Near | None) -> _Candidate | None:
        """Return the gateway *node*, which is reached by *near*, as far as its hop goes."""
        if node is None or near is None:
            return None
        hop, why_not = near.best, ""
        if hop is None:
            hop = near.promised
            if hop is None:
                return None
            why_not = f"it is not reached, {hop.reason}"
        size = hop.mtu_bytes - self._wrapping(self._here.name, node.name)
        return _Candidate(node=node, why_not=why_not, mtu_bytes=size)

    def _wrapping(self, one: str, other: str) -> int:
        """Return what a packet is wrapped in between two nodes, bytes: IPv4 if both have it."""
        return TRANSIT_OVERHEAD[4 if one in self._with_ipv4 and other in self._with_ipv4 else 6]

    def _second_hop(self, relay: FabricNode, there: FabricNode) -> Offer | None:
        """Return how *relay* reaches *there* itself, as the records have it."""
        return self._promise(relay, there).first if relay.name != there.name else None


class _Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway that may relay to a location."""

    node: FabricNode
    why_not: str
    """Empty: it forwards, as far as is known."""
    mtu_bytes: int
    """The largest inner packet of our half."""
    rtt_s: float | None = None
    since_s: float = 0.0

    def over(self, transit: WayHealth) -> _Candidate:
        """Return it as what probes found of its *transit* to a location has it."""
        why_not, size = self.why_not, self.mtu_bytes
        if not why_not and transit.verdict is Verdict.DOWN:
            why_not = f"it does not forward, {transit.reason}"
        if transit.mtu_bytes is not None:
            size = min(size, transit.mtu_bytes)
        return _Candidate(
            node=self.node,
            why_not=why_not,
            mtu_bytes=size,
            rtt_s=transit.rtt_s,
            since_s=transit.since_s,
        )


_Members = tuple[_Candidate, ...]
"""Gateways of one class, best first."""

_Transits = dict[str, dict[str, WayHealth]]
"""What probes found, by the location that a gateway is to forward to and by the gateway."""


class _Hops(msgspec.Struct, frozen=True):
    """Both halves of a way through a gateway."""

    relay: _Candidate
    mtu_bytes: int


def _with_ipv4(cluster: ClusterState) -> frozenset[str]:
    """Return the nodes whose mesh address is one of IPv4."""
    return frozenset([name for name, node in cluster.nodes.items() if node.mesh(4) is not None])


def _transits(health: Health) -> _Transits:
    found: _Transits = {}
    for way, known in health.ways.items():
        if isinstance(way, Transit):
            found.setdefault(way.location, {})[way.relay] = known
    return found


def _ranked(
    here: str,
    kind: _Class,
    location: str,
    members: Iterable[_Candidate],
    transits: Mapping[str, WayHealth],
) -> _Members:
    """Return *members* best first for what *here* sends to *location*."""
    candidates = {it.node.name: it for it in members}
    ranked = [candidates[node.name] for node in rank((it.node for it in members), here, location)]
    probed = [it.over(transits[it.node.name]) if it.node.name in transits else it for it in ranked]
    return tuple(sorted(probed, key=_round_trip) if kind is _Class.THIRD else probed)


def _round_trip(candidate: _Candidate) -> float:
    return candidate.rtt_s if candidate.rtt_s is not None else float("inf")


def _words(chosen: Sequence[_Hops]) -> str:
    """Return who relays, and where if that is one place."""
    nodes = [it.relay.node for it in chosen]
    names = " and ".join(node.name for node in nodes)
    places = {node.location for node in nodes}
    where = f" in {places.pop()}" if len(places) == 1 else ""
    return f"{names}{where} {'relays' if len(nodes) == 1 else 'relay'}"


_WITH_IPV4: Remembered[frozenset[str]] = Remembered()
_TRANSITS: Remembered[_Transits] = Remembered()
_CANDIDATES: RememberedEach[_Candidate] = RememberedEach()
_PLACES: RememberedEach[str] = RememberedEach()
_RANKED: Remembered[_Members] = Remembered()
_MEMBERS: Remembered[dict[str, _Members]] = Remembered()
_THROUGH: RememberedEach[Rung] = RememberedEach()
_WITHOUT: RememberedEach[Rung] = RememberedEach()
