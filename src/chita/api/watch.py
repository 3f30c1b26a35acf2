"""follow(): a collection as one endless stream of batches, across reconnects and relists.

Client-go calls this a reflector. A broken watch resumes from the last version it saw; only when the
server has forgotten that version (410) is everything listed again. A batch says what it is, so that
a consumer needs no second channel to know when it is in sync.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from enum import StrEnum

import msgspec

from chita.api.client import ApiClient, Object, WatchEvent
from chita.api.kinds import Resource
from chita.errors import ApiError, ConflictError, ExpiredError, NotFoundError

FIRST_RETRY_S = 0.2
LAST_RETRY_S = 10.0
SHORT_WATCH_S = 1.0
"""A watch that ends sooner counts as failed for the pace of attempts; client-go says the same."""


class Part(StrEnum):
    """Which part of a list a batch is; a large list comes in several."""

    ONLY = "only"
    FIRST = "first"
    MIDDLE = "middle"
    LAST = "last"

    @property
    def begins(self) -> bool:
        """Whether a list begins with it."""
        return self in (Part.ONLY, Part.FIRST)

    @property
    def ends(self) -> bool:
        """Whether it completes a list."""
        return self in (Part.ONLY, Part.LAST)


class Listed(msgspec.Struct, frozen=True):
    """What there is now; what no part of a complete list has is gone.

    A list that breaks off is begun again.
    """

    resource: Resource
    items: list[Object]
    part: Part = Part.ONLY


class Changed(msgspec.Struct, frozen=True):
    """One object is new or different."""

    resource: Resource
    object: Object


class Deleted(msgspec.Struct, frozen=True):
    """One object is gone; this is its last state."""

    resource: Resource
    object: Object


class Interrupted(msgspec.Struct, frozen=True):
    """The server cannot be heard at the moment; what is known stays in force."""

    resource: Resource
    reason: str


class Resumed(msgspec.Struct, frozen=True):
    """The server is heard again, from where it was interrupted: nothing was missed."""

    resource: Resource


Batch = Listed | Changed | Deleted | Interrupted | Resumed


async def follow(client: ApiClient, resource: Resource) -> AsyncGenerator[Batch, None]:
    """Yield a collection's state, then its changes, for ever. Close it (`aclosing`) when done.

    A kind that the server never served is an empty collection, asked for again from time to time.
    One that it served once and now does not know is an interruption: while an API server starts it
    answers 404 for custom resources, and policies that are lost for that long would be traffic let
    through. If the kind is removed for good, its watch has told so, object by object.
    """
    reading = _Reading(client, resource)
    backoff = Backoff(FIRST_RETRY_S, LAST_RETRY_S)
    while True:
        began = time.monotonic()
        has_failed = True
        try:
            async with aclosing(reading.batches()) as batches:
                async for batch in batches:
                    yield batch
                    del batch
            has_failed = False  # the server ends each watch after a while
        except ExpiredError:
            reading.version, has_failed = "", False
        except NotFoundError as error:
            if not reading.is_known:
                yield Listed(resource, [])
                await asyncio.sleep(LAST_RETRY_S)
                continue
            yield reading.interrupted(error)
        except (ApiError, ConflictError) as error:
            yield reading.interrupted(error)
        # A server that ends each watch at once, or forgets each version, is not asked in a loop.
        was_short = time.monotonic() - began < SHORT_WATCH_S
        if not was_short:
            backoff.reset()
        if was_short or has_failed:
            await asyncio.sleep(backoff.next_s())


class _Reading:
    """One collection and how far it was read."""

    def __init__(self, client: ApiClient, resource: Resource) -> None:
        self._client = client
        self._resource = resource
        self._is_interrupted = False
        self.version = ""
        """Where to watch on from; empty: list first."""
        self.is_known = False
        """Whether the server has ever served this kind."""

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """Yield what there is if it must be listed, then what changes, until the watch ends."""
        if not self.version:
            part = Part.FIRST
            async with aclosing(self._client.pages(self._resource)) as pages:
                async for page in pages:
                    if page.is_last:
                        part = Part.ONLY if part is Part.FIRST else Part.LAST
                        # Set before the consumer has it: it may never ask for the next batch.
                        self.version, self.is_known = page.resource_version, True
                    yield Listed(self._resource, page.items, part)
                    part = Part.MIDDLE
                    del page  # or the last one stays as long as nothing happens
        async with self._client.watch(self._resource, self.version) as events:
            if self._is_interrupted:
                yield Resumed(self._resource)
            self._is_interrupted = False
            async for event in events:
                self.version = event.object["metadata"]["resourceVersion"]
                if event.type != "BOOKMARK":
                    yield _batch(self._resource, event)

    def interrupted(self, error: Exception) -> Interrupted:
        """Note that the server cannot be heard, and return that news."""
        self._is_interrupted = True
        return Interrupted(self._resource, str(error))


class Backoff:
    """How long to wait before the next attempt: twice as long each time, up to a limit."""

    def __init__(self, first_s: float, last_s: float) -> None:
        self._first_s = first_s
        self._last_s = last_s
        self._next_s = first_s

    def next_s(self) -> float:
        """Return the next wait, half to all of what is due: a thousand agents make no wave."""
        due = self._next_s
        self._next_s = min(due * 2, self._last_s)
        return random.uniform(due / 2, due)

    def reset(self) -> None:
        """Begin anew: an attempt went well."""
        self._next_s = self._first_s


def _batch(resource: Resource, event: WatchEvent) -> Batch:
    event.object.setdefault("apiVersion", resource.api_version)
    event.object.setdefault("kind", resource.kind)
    if event.type == "DELETED":
        return Deleted(resource, event.object)
    return Changed(resource, event.object)
