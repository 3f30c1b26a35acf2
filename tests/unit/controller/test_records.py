"""Records of deleted nodes go, and nothing else does."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from chita.api.kinds import Resource
from chita.controller.records import NodeRecords
from chita.errors import ApiError, ConflictError


class Listed(msgspec.Struct):
    items: list[dict[str, Any]]


class Cluster:
    """An API with nodes and records; *joining* has both between the two lists of a scan."""

    def __init__(self, nodes: set[str], records: dict[str, str], joining: str = "") -> None:
        self.nodes = nodes
        self.records = records
        self.rewritten: set[str] = set()
        self._joining = joining

    async def list(self, resource: Resource) -> Listed:
        if resource.kind == "Node":
            return Listed([{"metadata": {"name": name}} for name in self.nodes])
        found = [
            {"metadata": {"name": name, "resourceVersion": version}}
            for name, version in self.records.items()
        ]
        if self._joining:
            self.nodes.add(self._joining)
            self.records[self._joining] = "9"
        return Listed(found)

    async def delete(self, resource: Resource, name: str, *, resource_version: str = "") -> None:
        assert resource.kind == "FabricNode"
        if name in self.rewritten:
            raise ConflictError(f"{name} is not at {resource_version}")
        assert self.records.pop(name) == resource_version


class Unreachable(Cluster):
    async def list(self, resource: Resource) -> Listed:
        if resource.kind == "Node":
            raise ApiError("no answer")
        return await super().list(resource)


@pytest.mark.parametrize(
    ("cluster", "left"),
    [
        pytest.param(Cluster({"a"}, {"a": "1", "b": "2"}), {"a"}, id="deleted-node"),
        pytest.param(Cluster({"a", "b"}, {"a": "1"}), {"a"}, id="node-without-record"),
        pytest.param(Cluster({"a"}, {"a": "1"}, joining="b"), {"a", "b"}, id="joins-meanwhile"),
        pytest.param(Cluster(set(), {"a": "1"}, joining="a"), {"a"}, id="joins-again-meanwhile"),
    ],
)
def test_scan(cluster: Cluster, left: set[str]) -> None:
    asyncio.run(NodeRecords(cluster).scan())

    assert left == cluster.records.keys()


def test_a_record_written_meanwhile_stays_and_stops_nothing() -> None:
    cluster = Cluster(set(), {"a": "1", "b": "2"})
    cluster.rewritten = {"a"}

    asyncio.run(NodeRecords(cluster).scan())

    assert cluster.records.keys() == {"a"}


def test_an_api_that_does_not_answer_is_no_proof_of_death() -> None:
    cluster = Unreachable(set(), {"a": "1"})

    with pytest.raises(ApiError):
        asyncio.run(NodeRecords(cluster).scan())
    assert cluster.records.keys() == {"a"}
