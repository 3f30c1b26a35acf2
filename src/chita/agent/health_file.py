"""Keeps what probes found over a restart of the agent: its ways must not be found out anew.

A way that is down would else be used again until three probes were lost. The file is in the run
directory, so that a machine that was restarted starts with nothing; so does one whose agent was
away for long. Packet sizes are not kept: they are found again at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import msgspec

from chita.fabric.health import UNPROBED, Health, Verdict, Way, WayHealth
from chita.telemetry.log import logger

LASTS_S = 120.0
"""How long what was found is worth something, seconds."""

LOOK_S = 0.5
"""How soon a change is written down."""

_LOG = logger("health")


class _Known(msgspec.Struct, frozen=True, kw_only=True):
    way: Way
    verdict: Verdict
    reason: str
    since_s: float


class _Kept(msgspec.Struct, frozen=True):
    at_s: float
    ways: list[_Known]


def remembered(file: Path) -> Health:
    """Return what an earlier run found; nothing where that is too old, damaged or not there."""
    try:
        kept = msgspec.json.decode(file.read_bytes(), type=_Kept)
    except (OSError, msgspec.MsgspecError):
        return UNPROBED
    if not 0 <= time.time() - kept.at_s <= LASTS_S:
        return UNPROBED
    return Health(
        {
            it.way: WayHealth(verdict=it.verdict, reason=it.reason, since_s=it.since_s)
            for it in kept.ways
        }
    )


async def keep_remembered(file: Path, health: Callable[[], Health]) -> NoReturn:
    """Write down the health when it changed, and now and then, for ever."""
    written, due_s = UNPROBED, 0.0
    while True:
        await asyncio.sleep(LOOK_S)
        now = health()
        if now is not written or time.monotonic() >= due_s:
            remember(file, now)
            written, due_s = now, time.monotonic() + LASTS_S / 4


def remember(file: Path, health: Health) -> None:
    """Write down *health*, whole or not at all. Blocking, briefly; a full disk is only told."""
    kept = _Kept(
        time.time(),
        [
            _Known(way=way, verdict=known.verdict, reason=known.reason, since_s=known.since_s)
            for way, known in health.ways.items()
        ],
    )
    temporary = file.with_suffix(".new")
    try:
        temporary.write_bytes(msgspec.json.encode(kept))
        temporary.replace(file)
    except OSError as error:
        _LOG.warning("not remembered", file=str(file), why=str(error))
