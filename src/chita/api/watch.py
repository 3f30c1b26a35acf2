"""follow(): a collection as one endless stream of batches, across reconnects and relists.

Client-go calls this a reflector. A broken watch resumes from the last version it saw; only when the
server has forgotten that version (410) is everything listed again. A batch says what it is, so that
a consumer needs no second channel to know when it is in sync.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import msgspec

from chita.api.client import ApiClient, Object, ObjectList, WatchEvent
from chita.api.kinds import Resource
from chita.errors import ApiError, ExpiredError, NotFoundError

FIRST_RETRY_S = 0.2
LAST_RETRY_S = 10.0


class Listed(msgspec.Struct, frozen=True):
    """All there is now; what an earlier batch had and this has not is gone."""

    resource: Resource
    items: list[Object]


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


async def follow(client: ApiClient, resource: Resource) -> AsyncIterator[Batch]:
    """Yield a collection's state, then its changes, for ever.

    A kind the server does not serve is an empty collection, asked for again from time to time.
    """
    version = ""
    retry_s = FIRST_RETRY_S
    is_interrupted = False
    while True:
        try:
            if not version:
                listed: ObjectList = await client.list(resource)
                version = listed.resource_version
                yield Listed(resource, listed.items)
            async with client.watch(resource, version) as events:
                if is_interrupted:
                    yield Resumed(resource)
                is_interrupted = False
                async for event in events:
                    retry_s = FIRST_RETRY_S
                    version = event.object["metadata"]["resourceVersion"]
                    if event.type != "BOOKMARK":
                        yield _batch(resource, event)
        except ExpiredError:
            version = ""
        except NotFoundError:
            # The server does not have the kind (yet): as good as none of it.
            yield Listed(resource, [])
            version = ""
            await asyncio.sleep(LAST_RETRY_S)
        except ApiError as error:
            is_interrupted = True
            yield Interrupted(resource, str(error))
            # Full jitter: a thousand agents must not come back in one wave.
            await asyncio.sleep(random.uniform(retry_s / 2, retry_s))
            retry_s = min(retry_s * 2, LAST_RETRY_S)


def _batch(resource: Resource, event: WatchEvent) -> Batch:
    event.object.setdefault("apiVersion", resource.api_version)
    event.object.setdefault("kind", resource.kind)
    if event.type == "DELETED":
        return Deleted(resource, event.object)
    return Changed(resource, event.object)
