"""Replicas that look after one Secret and one configuration."""

from __future__ import annotations

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chita.errors import NotFoundError
from chita.install.options import NAMESPACE
from chita.install.webhook import CONFIGURATION, NAME, SECRET, objects, server_name
from chita.model.kinds import Kind
from chita.webhook.memory import MemoryObjects, Object
from chita.webhook.upkeep import Upkeep, bundle_of

START = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = (server_name(),)


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


class Slow:
    """Lets others run before each answer."""

    def __init__(self, held: MemoryObjects) -> None:
        self._held = held

    async def get(self, resource: Kind, name: str, namespace: str = "") -> Object:
        found = await self._held.get(resource, name, namespace)
        await asyncio.sleep(0)
        return found

    async def patch(self, resource: Kind, name: str, body: Any, *, namespace: str = "") -> Object:
        await asyncio.sleep(0)
        return await self._held.patch(resource, name, body, namespace=namespace)


def installed() -> MemoryObjects:
    held = MemoryObjects()
    for obj in objects("chita-controller"):
        held.put(obj)
    held.writes = 100
    return held


def bundle(held: MemoryObjects) -> bytes:
    return bundle_of(asyncio.run(held.get(CONFIGURATION, NAME)))


def test_a_look_makes_and_tells_once() -> None:
    held, clock = installed(), Clock()
    first = asyncio.run(Upkeep(held, NAMES, clock).look())
    writes = held.writes
    second = asyncio.run(Upkeep(held, NAMES, clock).look())

    assert first == second
    assert bundle(held) == first.bundle
    assert held.writes == writes


def test_ten_replicas_that_start_at_once_agree() -> None:
    """Between reading and writing each lets all others run: nine lose the race, and read again."""
    held, clock = installed(), Clock()

    async def look_all() -> set[bytes]:
        found = await asyncio.gather(*(Upkeep(Slow(held), NAMES, clock).look() for _ in range(10)))
        return {each.serving.certificate for each in found}

    assert len(asyncio.run(look_all())) == 1
    assert held.writes == 100 + 2


def test_renewal_reaches_the_other_replica() -> None:
    held, clock = installed(), Clock()
    one, other = Upkeep(held, NAMES, clock), Upkeep(held, NAMES, clock)
    before = asyncio.run(one.look())
    clock.now = START + timedelta(days=300)
    renewed = asyncio.run(one.look())

    assert renewed.serving != before.serving
    assert asyncio.run(other.look()) == renewed
    assert bundle(held) == before.bundle


def test_what_somebody_broke_is_mended() -> None:
    """A bundle that was emptied, and a Secret whose parts do not go together any more."""
    held, clock = installed(), Clock()
    upkeep = Upkeep(held, NAMES, clock)
    before = asyncio.run(upkeep.look())
    for obj in objects("chita-controller"):
        if obj["kind"] == CONFIGURATION.kind:
            held.put(obj)
    assert bundle(held) == b""
    assert asyncio.run(upkeep.look()) == before
    assert bundle(held) == before.bundle

    text = base64.b64encode(b"x").decode()
    body = {"data": {"ca.crt": text}}
    asyncio.run(held.patch(SECRET, NAME, body, namespace=NAMESPACE))
    after = asyncio.run(upkeep.look())
    assert after.authority != before.authority
    assert bundle(held) == after.bundle


def test_other_webhooks_of_the_configuration_stay() -> None:
    held, clock = installed(), Clock()
    configuration = asyncio.run(held.get(CONFIGURATION, NAME))
    other = {"name": "other.example.com", "clientConfig": {"url": "https://192.0.2.1"}}
    configuration["webhooks"].append(other)
    held.put(configuration)
    asyncio.run(Upkeep(held, NAMES, clock).look())

    after = asyncio.run(held.get(CONFIGURATION, NAME))["webhooks"]
    assert after[1] == other
    assert (
        after[0]["clientConfig"]["service"]
        == configuration["webhooks"][0]["clientConfig"]["service"]
    )


def test_what_is_missing_is_named() -> None:
    with pytest.raises(NotFoundError, match="Secret chita-webhook is missing; apply the manifest"):
        asyncio.run(Upkeep(MemoryObjects(), NAMES).look())
