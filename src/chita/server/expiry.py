"""Events grow old: they are kept for an hour, as kube-apiserver does (``--event-ttl``)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NoReturn

from chita.errors import ChitaError
from chita.server.registry import Options, Preconditions
from chita.server.status import RefusedError
from chita.telemetry.log import logger

if TYPE_CHECKING:
    from chita.model.kinds import Kind
    from chita.server.registry import Registry
    from chita.store.store import Stored

KEPT = timedelta(hours=1)
SWEEP_EVERY_S = 300.0
log = logger("server")
FIELDS = ("lastTimestamp", "eventTime", "firstTimestamp")


async def expire_events(registry: Registry, kind: Kind) -> NoReturn:
    """Delete events whose last occurrence is longer ago than `KEPT`, now and then, for ever."""
    while True:
        await sweep(registry, kind, datetime.now(UTC) - KEPT)
        await asyncio.sleep(SWEEP_EVERY_S)


async def sweep(registry: Registry, kind: Kind, before: datetime) -> None:
    """Delete the events that last occurred earlier than *before*."""
    for stored in registry.store.list(kind.resource).items:
        if _last_seen(stored) >= before:
            continue
        asked = Preconditions(resource_version=str(stored.revision))
        try:
            key = stored.key
            await registry.delete(kind, key.namespace, key.name, asked, Options())
        except RefusedError:  # it occurred again meanwhile, or somebody deleted it
            continue
        except ChitaError as error:  # the disk is full: the next sweep tries again
            log.warning("events not expired", why=str(error))
            return


def _last_seen(stored: Stored) -> datetime:
    """Return when an event last occurred; one without a readable time is as old as its object."""
    event = stored.object
    for text in (*(event.get(field) for field in FIELDS), event["metadata"]["creationTimestamp"]):
        try:
            return datetime.fromisoformat(text).astimezone(UTC)
        except (TypeError, ValueError):
            continue
    return datetime.min.replace(tzinfo=UTC)
