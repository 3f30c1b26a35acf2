"""Whatever JSON a client sends, the answer is a refusal or an object: never an internal error."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chita.model.kinds import KINDS, Kind
from chita.model.validate.objects import validate
from chita.server import patching
from chita.server.apply import Apply, Force
from chita.server.columns import columns_of
from chita.server.kinds import Patching, patching_of
from chita.server.ownership import Operation
from chita.server.registry import Options, Registry
from chita.server.request import Part
from chita.server.service_address import ServiceAddresses, ServiceRange
from chita.server.status import RefusedError
from chita.store.memory import MemoryStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FIELDS = st.sampled_from(
    [
        "name",
        "labels",
        "annotations",
        "finalizers",
        "ownerReferences",
        "managedFields",
        "spec",
        "status",
        "metadata",
        "containers",
        "ports",
        "port",
        "clusterIP",
        "clusterIPs",
        "type",
        "ipFamilies",
        "ipFamilyPolicy",
        "selector",
        "tier",
        "types",
        "ingress",
        "conditions",
        "$patch",
        "$retainKeys",
        "$setElementOrder/ports",
        "$deleteFromPrimitiveList/finalizers",
    ]
)
SCALARS = st.sampled_from([None, True, 0, -1, 1.5, "", "x", "delete", "10.96.0.1", "IPv4", "None"])
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(FIELDS, JSON, max_size=4)
# Those with code of their own in the server.
CHOSEN = [
    kind
    for kind in KINDS
    if patching_of(kind) is Patching.BUILT_IN or kind.kind in {"Tier", "NetworkPolicy", "IPAMBlock"}
]


async def registry_with(kind: Kind) -> Registry:
    registry = Registry(MemoryStore(), validate, ServiceAddresses(ServiceRange()))
    await registry.create_built_in()
    if kind.kind == "Service":
        spec: dict[str, Any] = {"ports": [{"port": 80}]}
        await registry.create(kind, "default", whole(kind, {"spec": spec}), Options())
    elif kind.kind == "Pod":
        spec = {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]}
        await registry.create(kind, "default", whole(kind, {"spec": spec}), Options())
    return registry


def whole(kind: Kind, value: dict[str, Any]) -> dict[str, Any]:
    metadata = value.get("metadata", {})
    if isinstance(metadata, dict):
        metadata = {"name": "x", **metadata}
    return {**value, "apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}


@pytest.mark.slow
@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.resource) for kind in CHOSEN])
@settings(max_examples=60, deadline=None)
@given(value=OBJECTS, manager=st.sampled_from(["one", "kubectl"]))
def test_bodies(kind: Kind, value: dict[str, Any], manager: str) -> None:
    namespace = "default" if kind.is_namespaced else ""

    async def body() -> None:
        registry = await registry_with(kind)
        copies = [msgspec.json.encode(value) for _ in range(4)]
        sent = [whole(kind, msgspec.json.decode(copy)) for copy in copies]
        with contextlib.suppress(RefusedError):
            stored = await registry.create(kind, namespace, sent[0], Options())
            for column in columns_of(kind):
                column.text(stored.object, NOW)
        with contextlib.suppress(RefusedError):
            await registry.change(kind, namespace, "x", lambda _: sent[1], Options())
        with contextlib.suppress(RefusedError):
            patch = patching.MergePatch(sent[2])
            await registry.change(kind, namespace, "x", patch.applied, Options())
        if patching_of(kind) is Patching.BUILT_IN:
            with contextlib.suppress(RefusedError):
                strategic = patching.StrategicPatch(kind, sent[2])
                await registry.change(kind, namespace, "x", strategic.applied, Options())
        wish = Apply(kind=kind, config=sent[3], manager=manager, force=Force.YES, part=Part.OBJECT)
        with contextlib.suppress(RefusedError):
            options = Options(operation=Operation.APPLY, manager=manager)
            await registry.apply(namespace, "x", wish, options)
            await registry.apply(namespace, "x", wish, options)

    asyncio.run(body())
