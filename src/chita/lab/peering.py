"""Clouds whose private networks are joined: VPC peering, a VPN, a leased line.

Pure. A peering is a link between two routers, apart from the internet: each sends what is for the
other's private ranges there, untranslated. As with every provider it joins two networks and no
third one behind them, and networks with a range in common can't be joined.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from chita.convert.documents import WorldProblem
from chita.lab.names import short_name
from chita.lab.places import Cloud, Peer
from chita.lab.world import World


def with_peers(world: World, clouds: Sequence[Cloud]) -> tuple[list[Cloud], list[WorldProblem]]:
    """Return *clouds* joined as their Underlays say, either of two, and what can't be joined."""
    by_name = {cloud.name: cloud for cloud in clouds}
    joined: dict[str, dict[str, Peer]] = {name: {} for name in by_name}
    problems: list[WorldProblem] = []
    for underlay in world.underlays:
        cloud = by_name.get(underlay.name)
        for index, name in enumerate(underlay.peers if cloud else ()):
            assert cloud is not None
            message = _mismatch(cloud, name, by_name)
            if message:
                entry = world.entry("Underlay", underlay.name)
                problems.append(entry.problem(f"spec.peers[{index}]", message))
                continue
            other = by_name[name]
            joined[cloud.name][other.name] = _peer(other)
            joined[other.name][cloud.name] = _peer(cloud)
    made = [
        msgspec.structs.replace(cloud, peers=tuple(joined[cloud.name].values())) for cloud in clouds
    ]
    return made, problems


def _mismatch(cloud: Cloud, name: str, by_name: dict[str, Cloud]) -> str:
    """Return why *cloud* can't be joined to the one called *name*; empty: it can."""
    other = by_name.get(name)
    if other is None or other is cloud:
        others = ", ".join(sorted(by_name.keys() - {cloud.name})) or "none"
        return f"there is no other cloud network '{name}'; there are: {others}"
    for ours in cloud.private_cidrs:
        for theirs in other.private_cidrs:
            if ours.overlaps(theirs):
                return f"{ours} is in {name} too ({theirs}); give one of them another range"
    return ""


def _peer(cloud: Cloud) -> Peer:
    """Return *cloud* as its peers' routers reach it."""
    return Peer(
        cloud=cloud.name,
        port=short_name("x-", cloud.name),
        cidrs=cloud.private_cidrs,
        gateways=cloud.gateways,
    )
