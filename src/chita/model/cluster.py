"""ClusterState: one immutable snapshot of all that was asked for, and how changes fold into it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from chita.model.endpoint import HostEndpoint, NetworkSet, Profile, WorkloadEndpoint
from chita.model.ippool import Block, IPPool
from chita.model.location import Location
from chita.model.node import FabricNode, Node
from chita.model.policy import BUILT_IN_TIERS, Policy, Tier
from chita.model.service import EndpointSlice, Service
from chita.model.settings import Settings

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

    workloads: dict[str, WorkloadEndpoint] = {}
    host_endpoints: dict[str, HostEndpoint] = {}
    network_sets: dict[str, NetworkSet] = {}
    profiles: dict[str, Profile] = {}
    tiers: dict[str, Tier] = msgspec.field(default_factory=built_in_tiers)
    policies: dict[str, Policy] = {}
    nodes: dict[str, Node] = {}
    fabric_nodes: dict[str, FabricNode] = {}
    locations: dict[str, Location] = {}
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
    IPPool: "pools",
    Block: "blocks",
    Service: "services",
    EndpointSlice: "endpoint_slices",
    Settings: "settings",
}
"""The field of ClusterState that holds each type."""


class Put(msgspec.Struct, frozen=True):
    """*entity* exists now, whatever was under its key before."""

    entity: Entity


class Remove(msgspec.Struct, frozen=True):
    """Nothing of *type* is under *key* any more."""

    type: type
    key: str


Change = Put | Remove


def fold(state: ClusterState, changes: Iterable[Change]) -> ClusterState:
    """Return *state* after *changes*, in order; what they do not touch is shared, not copied.

    Removing what is not there changes nothing. A built-in tier that is removed is back at once
    with its defaults (v3 2.6: they cannot be deleted).
    """
    touched: dict[str, dict[str, Any]] = {}
    for change in changes:
        type_ = change.type if isinstance(change, Remove) else type(change.entity)
        name = COLLECTIONS[type_]
        if name not in touched:
            touched[name] = dict(getattr(state, name))
        match change:
            case Put(entity):
                touched[name][entity.key] = entity
            case Remove(_, key):
                touched[name].pop(key, None)
    if "tiers" in touched:
        touched["tiers"] = built_in_tiers() | touched["tiers"]
    return msgspec.structs.replace(state, **touched) if touched else state


def news(state: ClusterState, changes: Iterable[Change]) -> list[Change]:
    """Return what of *changes* makes *state* another one: the last word on each key, if it is new.

    An API object changes far more often than what it means to us: who has which address of a
    block, a pod's conditions, a node's heartbeat.
    """
    last: dict[tuple[type, str], Change] = {}
    for change in changes:
        match change:
            case Put(entity):
                last[type(entity), entity.key] = change
            case Remove(type_, key):
                last[type_, key] = change
    found: list[Change] = []
    for (type_, key), change in last.items():
        held = getattr(state, COLLECTIONS[type_]).get(key)
        if held != (change.entity if isinstance(change, Put) else None):
            found.append(change)
    return found
