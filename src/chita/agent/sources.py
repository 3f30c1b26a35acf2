"""Sources: every watched collection of the API, each followed by a task of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import aclosing

from chita.api.client import ApiClient
from chita.api.kinds import Resource
from chita.api.watch import Batch, Interrupted, follow
from chita.telemetry.log import logger

_LOG = logger("sources")


async def follow_all(
    client: ApiClient, resources: Iterable[Resource], queue: asyncio.Queue[Batch]
) -> None:
    """Put every batch of every resource into *queue*, for ever.

    The queue is bounded: a consumer that is behind slows the watches down, never loses a batch.
    """
    async with asyncio.TaskGroup() as tasks:
        for resource in resources:
            tasks.create_task(_feed(client, resource, queue), name=f"follow {resource.plural}")


async def _feed(client: ApiClient, resource: Resource, queue: asyncio.Queue[Batch]) -> None:
    was_interrupted = False
    # Closed at once when this task is cancelled, not when somebody collects it.
    async with aclosing(follow(client, resource)) as batches:
        async for batch in batches:
            if isinstance(batch, Interrupted) and not was_interrupted:
                _LOG.warning("watch interrupted", resource=resource.plural, reason=batch.reason)
            was_interrupted = isinstance(batch, Interrupted)
            await queue.put(batch)
            del batch  # or the last page of its list stays as long as nothing happens
