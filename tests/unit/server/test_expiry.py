"""Old events go, recent ones and those of no readable time by their object's age."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from chita.model.kinds import known_kind
from chita.model.validate.objects import validate
from chita.server.expiry import sweep
from chita.server.registry import Options, Registry
from chita.server.service_address import ServiceAddresses, ServiceRange
from chita.store.memory import MemoryStore

EVENT = known_kind("v1", "Event")
NOW = datetime.now(UTC)


def event(name: str, **times: str | None) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Event", "metadata": {"name": name}, **times}


def test_sweep() -> None:
    async def body() -> list[str]:
        registry = Registry(MemoryStore(), validate, ServiceAddresses(ServiceRange(())))
        await registry.create_built_in()
        old, recent = "2020-01-01T00:00:00Z", NOW.isoformat()
        for value in (
            event("old", lastTimestamp=old),
            event("seen-again", firstTimestamp=old, lastTimestamp=recent),
            event("micro", eventTime="2020-01-01T00:00:00.123456Z", lastTimestamp=None),
            event("no-time"),
            event("odd-time", lastTimestamp="yesterday"),
        ):
            await registry.create(EVENT, "default", value, Options())
        await sweep(registry, EVENT, NOW - timedelta(hours=1))
        return [stored.key.name for stored in registry.store.list("events").items]

    assert asyncio.run(body()) == ["no-time", "odd-time", "seen-again"]
