"""Host endpoints: base chains for the stages that any of them has, and which chain each meets.

::

    prerouting   -300 host-untracked-in    rules of doNotTrack
                 -150 host-prednat         rules of preDNAT
    input           0 host-input           policy of what is for the host
    forward        -1 host-forward-in      policy with applyOnForward, by the interface it came by
                    2 host-forward-out     and by the one it leaves by
    output       -300 host-untracked-out
                    0 host-output          policy of what the host sends
    postrouting  -150 host-translated-out  the same, for what was given another destination

On a node without host endpoints none of them exists; on others only those with any policy, but
input and output, which nothing passes that no policy or profile allows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import TypeVar

import msgspec

from chita.dataplane.nftables.failsafe import (
    ECHO,
    FAILSAFE,
    REPLIES,
    failsafe_chains,
    node_sets,
)
from chita.dataplane.nftables.host import ANY_WORKLOAD, ESTABLISHED, FILTER, MANGLE, RAW
from chita.dataplane.nftables.objects import (
    Accept,
    Chain,
    ChainType,
    Compare,
    DestinationTranslated,
    Field,
    Goto,
    Hook,
    Jump,
    MarkIs,
    Rule,
    Sense,
    Set,
    SetMark,
    VerdictLookup,
    VerdictMap,
)
from chita.dataplane.nftables.overlay import Overlay
from chita.dataplane.nftables.policy import ALLOWED_EARLY, EndpointClass, Mode
from chita.dataplane.nftables.stages import StageClass
from chita.desired.policy import HostEndpointPolicy, HostState
from chita.desired.tunnels import TRANSIT_DEVICE
from chita.model.policy import Direction

OTHERS = "*"
"""Stands for the interfaces that no other endpoint governs."""
ASK_TRANSLATED = 0x02000000
"""The bit of a packet's mark that has host-translated-out ask policy, and not the output hook: the
interface it leaves by may be another than the one it was first sent to."""
TRANSLATED = "host-translated-out"

_IN, _OUT = Direction.INGRESS, Direction.EGRESS


class Stage(Enum):
    """Where host endpoints have a base chain; the value is its name, and that of its map."""

    UNTRACKED_IN = "host-untracked-in"
    PRE_DNAT = "host-prednat"
    INPUT = "host-input"
    FORWARD_IN = "host-forward-in"
    FORWARD_OUT = "host-forward-out"
    UNTRACKED_OUT = "host-untracked-out"
    OUTPUT = "host-output"

    @property
    def is_tracked(self) -> bool:
        """Whether connection tracking comes before it."""
        return self not in {Stage.UNTRACKED_IN, Stage.UNTRACKED_OUT}


class _Place(msgspec.Struct, frozen=True):
    hook: Hook
    direction: Direction
    open: str
    """The chain of what no policy closes there."""
    earlier: tuple[Stage, ...] = ()
    """Stages that may have allowed the packet for good."""

    @property
    def field(self) -> Field:
        """The interface that is governed."""
        return Field.IIFNAME if self.direction is _IN else Field.OIFNAME


def _hook(name: str, priority: int) -> Hook:
    return Hook(ChainType.FILTER, name, priority)


_EARLY = (Stage.UNTRACKED_IN, Stage.PRE_DNAT)
_PLACES = {
    Stage.UNTRACKED_IN: _Place(_hook("prerouting", RAW), _IN, REPLIES[_IN]),
    Stage.PRE_DNAT: _Place(_hook("prerouting", MANGLE), _IN, FAILSAFE[_IN], _EARLY[:1]),
    Stage.INPUT: _Place(_hook("input", FILTER), _IN, FAILSAFE[_IN], _EARLY),
    Stage.FORWARD_IN: _Place(_hook("forward", FILTER - 1), _IN, ECHO[_IN], _EARLY),
    Stage.FORWARD_OUT: _Place(_hook("forward", FILTER + 2), _OUT, ECHO[_OUT]),
    Stage.UNTRACKED_OUT: _Place(_hook("output", RAW), _OUT, REPLIES[_OUT]),
    Stage.OUTPUT: _Place(
        _hook("output", FILTER), _OUT, FAILSAFE[_OUT], (Stage.UNTRACKED_OUT,)
    ),
}  # fmt: skip


def stage_class(stage: Stage, endpoint: HostEndpointPolicy) -> EndpointClass | StageClass:  # noqa: PLR0911 - one line a stage
    """Return what *endpoint* shares at *stage* with those of the same policy."""
    match stage:
        case Stage.UNTRACKED_IN:
            return StageClass(Mode.UNTRACKED, _IN, endpoint.untracked_ingress)
        case Stage.UNTRACKED_OUT:
            return StageClass(Mode.UNTRACKED, _OUT, endpoint.untracked_egress)
        case Stage.PRE_DNAT:
            return StageClass(Mode.PRE_DNAT, _IN, endpoint.pre_dnat)
        case Stage.INPUT:
            return EndpointClass(_IN, endpoint.ingress, endpoint.profiles)
        case Stage.OUTPUT:
            return EndpointClass(_OUT, endpoint.egress, endpoint.profiles)
        case Stage.FORWARD_IN:
            return StageClass(Mode.ENFORCED, _IN, endpoint.forward_ingress)
        case Stage.FORWARD_OUT:
            return StageClass(Mode.ENFORCED, _OUT, endpoint.forward_egress)


class StageChange(msgspec.Struct, frozen=True):
    """The classes that endpoints joined and left, once for each endpoint and stage."""

    come: tuple[EndpointClass | StageClass, ...] = ()
    gone: tuple[EndpointClass | StageClass, ...] = ()


class HostDispatch:
    """The base chains of host endpoints, with what they look up and jump to.

    Attributes:
        maps: by name; another mapping whenever one of them is another.
        sets: likewise.
        chains: likewise.
    """

    def __init__(self) -> None:
        self.maps: Mapping[str, VerdictMap] = {}
        self.sets: Mapping[str, Set] = {}
        self.chains: Mapping[str, Chain] = {}
        self._host = HostState()
        self._classes: tuple[EndpointClass | StageClass, ...] = ()

    def refresh(self, host: HostState) -> StageChange:
        """Hold *host*; return which classes that takes and which no longer."""
        if host is self._host:
            return StageChange()
        self._host = host
        endpoints = host.endpoints.values()
        stages = [stage for stage in Stage if any(_asks(stage, each) for each in endpoints)]
        gone = self._classes
        self._classes = tuple(
            [
                stage_class(stage, each)
                for stage in stages
                for each in endpoints
                if each.interface != OTHERS or _asks(stage, each)
            ]
        )
        self.maps = _renewed(self.maps, {stage.value: _map(stage, host) for stage in stages})
        sets = node_sets(host) if stages else []
        self.sets = _renewed(self.sets, {item.name: item for item in sets})
        chains = [*failsafe_chains(host), *_base_chains(stages, host)] if stages else []
        self.chains = _renewed(self.chains, {chain.name: chain for chain in chains})
        return StageChange(self._classes, gone)


_T = TypeVar("_T")


def _renewed(held: Mapping[str, _T], news: Mapping[str, _T]) -> Mapping[str, _T]:
    """Return *news*; what is equal to what was *held* is the same object."""
    items: Overlay[_T] = Overlay(held)
    for name in held.keys() - news.keys():
        items.put(name, None)
    for name, item in news.items():
        items.renew(name, item)
    return items.result()


def _asks(stage: Stage, endpoint: HostEndpointPolicy) -> bool:
    """Return whether *endpoint* decides anything at *stage*."""
    # What the host receives and sends is denied where nothing allows it.
    return stage in {Stage.INPUT, Stage.OUTPUT} or bool(stage_class(stage, endpoint).tiers)


def _map(stage: Stage, host: HostState) -> VerdictMap:
    """Return the map by interface; one without policy at *stage* must not meet that of ``*``."""
    named = {name: each for name, each in host.endpoints.items() if name != OTHERS}
    return VerdictMap(
        stage.value, {name: Goto(stage_class(stage, each).chain) for name, each in named.items()}
    )


_HANDED_ON = Rule(
    (
        Compare(Field.IIFNAME, TRANSIT_DEVICE),
        Compare(Field.OIFNAME, ANY_WORKLOAD, Sense.IS_NOT),
        Accept(),
    ),
    "handed on between nodes: asked about at both ends, whichever relay it takes",
)


def _base_chains(stages: list[Stage], host: HostState) -> Iterator[Chain]:
    for stage in stages:
        place = _PLACES[stage]
        rules = [Rule((ESTABLISHED, Accept()))] if stage.is_tracked else []
        if any(earlier in stages for earlier in place.earlier):
            rules.append(Rule((MarkIs(ALLOWED_EARLY), Accept()), "an earlier stage allowed it"))
        if stage is Stage.OUTPUT:
            later = (DestinationTranslated(), SetMark(ASK_TRANSLATED), Accept())
            rules.append(Rule(later, "asked after translation"))
        if stage in {Stage.FORWARD_IN, Stage.FORWARD_OUT}:
            rules.append(_HANDED_ON)
        asked = tuple(_asked(stage, host))
        yield Chain(stage.value, (*rules, *asked), place.hook)
        if stage is Stage.OUTPUT:
            others = Rule((MarkIs(ASK_TRANSLATED, Sense.IS_NOT), Accept()))
            yield Chain(TRANSLATED, (others, *asked), _hook("postrouting", MANGLE))


def _asked(stage: Stage, host: HostState) -> Iterator[Rule]:
    """Yield what asks policy, after what no policy closes."""
    place = _PLACES[stage]
    yield Rule((Jump(place.open),))
    yield Rule((VerdictLookup(place.field, stage.value),))
    others = host.endpoints.get(OTHERS)
    if others is not None and _asks(stage, others):
        # What the host and its workloads send each other crosses no interface of a host endpoint.
        yield Rule((Compare(place.field, ANY_WORKLOAD), Accept()))
        yield Rule((Compare(place.field, "lo"), Accept()))
        yield Rule((Goto(stage_class(stage, others).chain),))
