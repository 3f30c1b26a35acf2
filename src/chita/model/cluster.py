"""ClusterState: one immutable snapshot of all that was asked for, and how changes fold into it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from chita.model.amended import amended, copied
from chita.model.endpoint import HostEndpoint, NetworkSet, Profile, WorkloadEndpoint
from chita.model.ippool import Block, IPPool
from chita.model.location import Location
from chita.model.node import FabricNode, Node
from chita.model.policy import BUILT_IN_TIERS, Policy, Tier
from chita.model.service import EndpointSlice, Service
from chita.model.settings import Settings
from chita.model.static_peer import StaticPeer

Entity = (
    WorkloadEndpoint
    | HostEndpoint
    | NetworkSet
    | Profile
    | Tier
    | Policy
    | Node
    | FabricNode
    | Location
    | StaticPeer
    | IPPool
    | Block
    | Service
    | EndpointSlice
    | Settings
)
"""Anything a ClusterState holds; each has a ``key`` that is unique among its type."""


def built_in_tiers() -> dict[str, Tier]:
    """Return the tiers that always exist, by name."""
    return {tier.key: tier for tier in BUILT_IN_TIERS}


class ClusterState(msgspec.Struct, frozen=True, kw_only=True):
    """All of one cluster, each collection by key. Treat the dicts as frozen too."""

    workloads: Mapping[str, WorkloadEndpoint] = {}
    """A Mapping: there are so many that a change does not copy them (`chita.model.amended`)."""
    host_endpoints: dict[str, HostEndpoint] = {}
    network_sets: dict[str, NetworkSet] = {}
    profiles: dict[str, Profile] = {}
    tiers: dict[str, Tier] = msgspec.field(default_factory=built_in_tiers)
    policies: dict[str, Policy] = {}
    nodes: dict[str, Node] = {}
    fabric_nodes: dict[str, FabricNode] = {}
    locations: dict[str, Location] = {}
    static_peers: dict[str, StaticPeer] = {}
    pools: dict[str, IPPool] = {}
    blocks: dict[str, Block] = {}
    services: dict[str, Service] = {}
    endpoint_slices: dict[str, EndpointSlice] = {}
    settings: dict[str, Settings] = {}

    @property
    def setting(self) -> Settings:
        """The settings in force: the one named ``default``, or all defaults."""
        return self.settings.get("default") or _DEFAULT_SETTINGS


_DEFAULT_SETTINGS = Settings()

COLLECTIONS: dict[type, str] = {
    WorkloadEndpoint: "workloads",
    HostEndpoint: "host_endpoints",
    NetworkSet: "network_sets",
    Profile: "profiles",
    Tier: "tiers",
    Policy: "policies",
    Node: "nodes",
    FabricNode: "fabric_nodes",
    Location: "locations",
    StaticPeer: "static_peers",
    IPPool: "pools",
    Block: "blocks",
    Service: "services",
    EndpointSlice: "endpoint_slices",
    Settings: "settings",
}
"""The field of ClusterState that holds each type."""


class Put(msgspec.Struct, frozen=True, gc=False):
    """*entity* exists now, whatever was under its key before."""

    entity: Entity


class Remove(msgspec.Struct, frozen=True, gc=False):
    """Nothing of *type* is under *key* any more."""

    type: type
    key: str


Change = Put | Remove


def latest(changes: Iterable[Change]) -> dict[type, dict[str, Any]]:
    """Return what *changes*, in order, leave under each key of each type; None: nothing."""
    found: dict[type, dict[str, Any]] = {}
    for change in changes:
        if isinstance(change, Put):
            entity = change.entity
            type_ = type(entity)
            if type_ not in found:
                found[type_] = {}
            found[type_][entity.key] = entity
        else:
            found.setdefault(change.type, {})[change.key] = None
    return found


def fold(state: ClusterState, changes: Iterable[Change]) -> ClusterState:
    """Return *state* after *changes*, in order; what they do not touch is shared, not copied.

    Removing what is not there changes nothing. A built-in tier that is removed is back at once
    with its defaults (v3 2.6: they cannot be deleted).
    """
    return with_latest(state, latest(changes))


def with_latest(state: ClusterState, found: Mapping[type, dict[str, Any]]) -> ClusterState:
    """Return *state* after changes that left what `latest` *found* of them."""
    touched: dict[str, Any] = {}
    for type_, news_of in found.items():
        name = COLLECTIONS[type_]
        held = getattr(state, name)
        touched[name] = amended(held, news_of) if name == "workloads" else copied(held, news_of)
    if "tiers" in touched:
        touched["tiers"] = built_in_tiers() | touched["tiers"]
    return msgspec.structs.replace(state, **touched) if touched else state


def news(state: ClusterState, changes: Iterable[Change]) -> list[Change]:
    """Return what of *changes* makes *state* another one: the last word on each key, if it is new.

    An API object changes far more often than what it means to us: who has which address of a
    block, a pod's conditions, a node's heartbeat.
    """
    return [
        Remove(type_, key) if new is None else Put(new)
        for type_, found in latest(changes).items()
        for key, new in found.items()
        if getattr(state, COLLECTIONS[type_]).get(key) != new
    ]
