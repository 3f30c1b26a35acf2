"""The end of a change of keys: the old one goes when nobody needs it any more.

Until then both devices receive, so nothing is lost whoever hears of the change first. A node that
is not reached in either epoch holds nobody up: it hears of the change from the API when it is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NoReturn

from chita.agent.key_ring import KeyRing
from chita.fabric.health import Direct, Health, Verdict
from chita.model.cluster import ClusterState
from chita.model.epochs import is_previous_needed
from chita.telemetry.log import logger

EVERY_S = 1.0
DRAIN_S = 10.0
"""How long the old device still receives after nobody needs it: packets and news are under way."""

_LOG = logger("keys")


async def keep_turned_over(
    keys: KeyRing,
    node: str,
    known: Callable[[], ClusterState],
    health: Callable[[], Health],
    retired: Callable[[], None],
) -> NoReturn:
    """Forget *node*'s old key once it is not needed, for ever; *retired* is told each time."""
    loop = asyncio.get_running_loop()
    unneeded_since_s: float | None = None
    while True:
        await asyncio.sleep(EVERY_S)
        if len(keys.epochs) < 2 or is_needed(node, known(), health()):
            unneeded_since_s = None
            continue
        if unneeded_since_s is None:
            unneeded_since_s = loop.time()
        elif loop.time() - unneeded_since_s >= DRAIN_S:
            _LOG.info("old key retired", epoch=keys.epochs[1])
            keys.retire()
            retired()
            unneeded_since_s = None


def is_needed(node: str, cluster: ClusterState, health: Health) -> bool:
    """Whether *node*'s old key is still needed, by what it has published and what probes say."""
    here = cluster.fabric_nodes.get(node)
    if here is None or here.wireguard_previous is None:
        return True  # the new key is not even published
    previous, epoch = here.wireguard_previous, here.wireguard_epoch
    # With others we have no session, or none that answers.
    others = [
        it
        for it in cluster.fabric_nodes.values()
        if it.name != node and health.of(Direct(it.name, previous.epoch)).verdict is Verdict.UP
    ]
    proven = [it.name for it in others if health.of(Direct(it.name, epoch)).verdict is Verdict.UP]
    return is_previous_needed(others, previous, epoch, proven)
