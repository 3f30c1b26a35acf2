"""Which gateways forward to a node that is not reached itself, or not any more.

::

    those of its own location, else of ours, else of a third that both ends dial
          │
    of these: whose hop and transit are not down; none is: all of them
          │
    the best few share the flows: by rendezvous hash; third ones by round trip
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import msgspec

from chita.desired.paths import PathKind, Rung, RungState
from chita.desired.tunnels import TRANSIT_OVERHEAD
from chita.fabric.gateways import is_gateway, rank
from chita.fabric.health import Health, Transit, Verdict, WayHealth
from chita.fabric.ladder import Near
from chita.fabric.offers import Offer
from chita.fabric.promises import Promise
from chita.model.cluster import ClusterState
from chita.model.node import FabricNode
from chita.model.remembered import Remembered

T = TypeVar("T", bound=tuple[object, ...])

_UNWRAPPED = (PathKind.ROUTED, PathKind.VXLAN)
"""A relay hands on to its neighbours as to any pod."""


class Relays:
    """The gateways as one node sees them, for each location asked about once."""

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
        self._near = near
        self._promise = promise
        self._gateways: dict[str, list[FabricNode]] = {}
        for node in cluster.fabric_nodes.values():
            if is_gateway(node) and node.name != here.name:
                self._gateways.setdefault(node.location, []).append(node)
        self._transits = {
            (way.relay, way.location): known
            for way, known in health.ways.items()
            if isinstance(way, Transit)
        }
        self._unprobed: dict[str, _Candidate | None] = {}
        self._classes: dict[str, _Classes] = {}
        self._firsts: dict[str, tuple[_Candidate, ...]] = {}
        self._with_ipv4 = _WITH_IPV4.of("", (cluster.nodes,), lambda: _with_ipv4(cluster))
        self._said = _same(_SAID, here.name, (here, self._with_ipv4, *said))
        self._rungs: dict[tuple[RungState, tuple[str, ...], int], Rung] = {}

    def rung(self, there: FabricNode) -> Rung:
        """Return the rung through gateways to *there*, with those that share its flows."""
        nearest = self._nearest(there.location)
        inputs = (self._said, there, nearest)
        names = (self._here.name, there.name)
        found = _NEAREST.of(names, inputs, lambda: self._through(nearest, there))
        return found if found is not None else self._farther(there)

    def _through(self, members: Iterable[_Candidate], there: FabricNode) -> Rung | None:
        """Return the rung through healthy ones of *members*; None: no such one reaches *there*."""
        healthy = self._able((it for it in members if not it.why_not), there)
        return self._rung(healthy, RungState.READY) if healthy else None

    def _farther(self, there: FabricNode) -> Rung:
        """Return the rung where none of the nearest class is healthy."""
        all_bad: list[_Hops] = []
        for members in self._classes_for(there.location):
            healthy = self._through(members, there)
            if healthy is not None:
                return healthy
            all_bad = all_bad or self._able(members, there)
        if all_bad:
            return self._rung(all_bad, RungState.FAILED)
        return Rung(
            kind=PathKind.RELAYED,
            state=RungState.REFUSED,
            reason=f"no gateway reaches both {self._here.name} and {there.name}",
        )

    def _rung(self, chosen: Sequence[_Hops], state: RungState) -> Rung:
        """Return the rung through *chosen*; nodes behind the same ones share it."""
        names = tuple([it.relay.node.name for it in chosen])
        size = min([it.mtu_bytes for it in chosen])
        known = self._rungs.get((state, names, size))
        if known is not None:
            return known
        reason = _words(chosen)
        if state is RungState.FAILED:
            why = "; ".join(f"{it.relay.node.name}: {it.relay.why_not}" for it in chosen)
            reason = f"every gateway fails ({why})"
        rung = Rung(
            kind=PathKind.RELAYED,
            state=state,
            reason=reason,
            since_s=max(it.relay.since_s for it in chosen),
            mtu_bytes=size,
            relays=names,
        )
        self._rungs[state, names, size] = rung
        return rung

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

    def _nearest(self, location: str) -> tuple[_Candidate, ...]:
        """Return the first class of gateways for *location*: the same object while it is equal."""
        found = self._firsts.get(location)
        if found is None:
            members = tuple(next(self._classes_for(location)))
            found = _same(_MEMBERS, (self._here.name, location), members)
            self._firsts[location] = found
        return found

    def _classes_for(self, location: str) -> Iterator[list[_Candidate]]:
        """Yield the gateways for *location*, classes and their members best first."""
        classes = self._classes.get(location)
        if classes is None:
            classes = self._classes[location] = _Classes(self._made(location))
        return classes.members()

    def _made(self, location: str) -> Iterator[list[_Candidate]]:
        ours = self._here.location
        yield self._ranked(self._gateways.get(location, []), location)
        if ours != location:
            yield self._ranked(self._gateways.get(ours, []), location)
        third = [
            node
            for place, nodes in self._gateways.items()
            if place not in (location, ours)
            for node in nodes
        ]
        yield sorted(self._ranked(third, location), key=_round_trip)

    def _ranked(self, nodes: Sequence[FabricNode], location: str) -> list[_Candidate]:
        ranked = rank(nodes, self._here.name, location)
        return [it for node in ranked if (it := self._candidate(node, location)) is not None]

    def _candidate(self, node: FabricNode, location: str) -> _Candidate | None:
        transit = self._transits.get((node.name, location))
        if transit is not None:
            return self._probed(node, transit)
        # What was never probed is the same towards every location.
        if node.name not in self._unprobed:
            self._unprobed[node.name] = self._probed(node, WayHealth())
        return self._unprobed[node.name]

    def _probed(self, node: FabricNode, transit: WayHealth) -> _Candidate | None:
        near = self._near[node.name]
        hop = near.best
        why_not = ""
        if hop is None:
            hop = near.promised
            if hop is None:
                return None
            why_not = f"it is not reached, {hop.reason}"
        elif transit.verdict is Verdict.DOWN:
            why_not = f"it does not forward, {transit.reason}"
        sizes = [hop.mtu_bytes - self._wrapping(self._here.name, node.name)]
        if transit.mtu_bytes is not None:
            sizes.append(transit.mtu_bytes)
        return _Candidate(
            node=node,
            why_not=why_not,
            mtu_bytes=min(sizes),
            rtt_s=transit.rtt_s,
            since_s=transit.since_s,
        )

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
    rtt_s: float | None
    since_s: float


class _Classes:
    """Classes of gateways, each made when the ones before are not enough, and once."""

    def __init__(self, made: Iterator[list[_Candidate]]) -> None:
        self._made = made
        self._known: list[list[_Candidate]] = []

    def members(self) -> Iterator[list[_Candidate]]:
        """Yield the members of each class, best first."""
        yield from self._known
        for members in self._made:
            self._known.append(members)
            yield members


class _Hops(msgspec.Struct, frozen=True):
    """Both halves of a way through a gateway."""

    relay: _Candidate
    mtu_bytes: int


def _with_ipv4(cluster: ClusterState) -> frozenset[str]:
    """Return the nodes whose mesh address is one of IPv4."""
    return frozenset([name for name, node in cluster.nodes.items() if node.mesh(4) is not None])


def _same(memory: Remembered[T], key: Hashable, value: T) -> T:
    """Return the value that *memory* has under *key* if it equals *value*, which else it keeps.

    What is compared a thousand times is so compared by identity.
    """
    return memory.of(key, value, lambda: value)


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
_SAID: Remembered[tuple[object, ...]] = Remembered()
_MEMBERS: Remembered[tuple[_Candidate, ...]] = Remembered()
_NEAREST: Remembered[Rung | None] = Remembered()
