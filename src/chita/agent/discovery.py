"""Discovery again and again: public addresses come and go while a machine runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn

from chita.agent.record import OwnRecord
from chita.cloud.facts import CloudFacts, Source, combined
from chita.telemetry.log import logger

REDISCOVERY_S = 60.0
"""How often the metadata service is asked again, seconds: eleven small requests to the next hop."""

_LOG = logger("discovery")


async def keep_discovered(
    record: OwnRecord,
    discover: Callable[[], Awaitable[CloudFacts]],
    changed: Callable[[], None],
    *,
    interval_s: float = REDISCOVERY_S,
) -> NoReturn:
    """Have *record* say what the cloud says now, for ever; call *changed* when that is news."""
    last = record.discovered
    while True:
        await asyncio.sleep(interval_s)
        now = await discover()
        facts, last = current(record.discovered, last, now), now
        if facts != record.discovered:
            _LOG.info("metadata changed", location=facts.location)
            record.discovered = facts
            changed()


def current(before: CloudFacts, last: CloudFacts, now: CloudFacts) -> CloudFacts:
    """Return what holds, after *before*, when *last* and then *now* were heard.

    A service that is silent takes nothing back. One that answers and leaves something out does, the
    second time: the public address was given up, and it was not one request that failed.
    """
    provider = now.provider
    if provider is None or provider.source is not Source.METADATA:
        return combined(before, now)
    return now if now == last else combined(now, before)
