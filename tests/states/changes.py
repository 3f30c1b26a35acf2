"""The changes that lead from one cluster state to another."""

from __future__ import annotations

from collections.abc import Iterator

from chita.model.cluster import COLLECTIONS, Change, ClusterState, Put, Remove


def steps(old: ClusterState, new: ClusterState) -> Iterator[Change]:
    """Yield the changes that lead from *old* to *new*."""
    for type_, name in COLLECTIONS.items():
        before, after = getattr(old, name), getattr(new, name)
        for key in before.keys() - after.keys():
            yield Remove(type_, key)
        for key, entity in after.items():
            if before.get(key) != entity:
                yield Put(entity)
