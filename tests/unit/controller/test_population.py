"""Pods and nodes of the API as garbage collection sees them."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from chita.api.kinds import Resource
from chita.controller.population import ApiPopulation, live_pod
from chita.ipam.garbage import Live, LivePod
from chita.model.net import Address


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        pytest.param({}, LivePod(node=""), id="bare"),
        pytest.param({"spec": {"nodeName": "node-1"}}, LivePod(node="node-1"), id="starting"),
        pytest.param(
            {"status": {"podIPs": [{"ip": "10.244.0.5"}, {"ip": "fd00:10:244::5"}]}},
            LivePod(
                node="",
                addresses=frozenset(map(Address.parse, ("10.244.0.5", "fd00:10:244::5"))),
            ),
            id="running",
        ),
        pytest.param({"status": {"podIPs": [{"ip": "?"}]}}, LivePod(node=""), id="unreadable"),
    ],
)
def test_live_pod(pod: dict[str, Any], expected: LivePod) -> None:
    assert live_pod(pod) == expected


class Listed(msgspec.Struct):
    items: list[dict[str, Any]]


class Objects:
    """An API with one node and one pod."""

    async def list(self, resource: Resource) -> Listed:
        return Listed([{"metadata": {"name": resource.kind.lower(), "namespace": "shop"}}])


def test_live() -> None:
    expected = Live(nodes=frozenset({"node"}), pods={"shop/pod": LivePod(node="")})

    assert asyncio.run(ApiPopulation(Objects()).live()) == expected
