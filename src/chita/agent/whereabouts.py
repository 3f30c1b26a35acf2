"""Tells the reconciler of what probes found, with the address at which each tunnel stands."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from chita.agent.sessions import Sessions
from chita.fabric.health import UNPROBED, Health
from chita.fabric.located import located
from chita.model.cluster import ClusterState
from chita.model.net import Address

LOOK_S = 5.0
"""How often it is looked where tunnels stand though no verdict changed: the other end may move."""
FRESH_S = 0.5


class Whereabouts:
    """Where our tunnels stand; between the prober and the reconciler."""

    def __init__(
        self,
        sessions: Sessions,
        cluster: Callable[[], ClusterState],
        heed: Callable[[Health], None],
        remembered: Health = UNPROBED,
    ) -> None:
        self._sessions = sessions
        self._cluster = cluster
        self._heed = heed
        self._probed = remembered
        self._told = remembered
        self._outers: dict[str, Address] = {}
        self._changed = asyncio.Event()

    def changed(self, health: Health) -> None:
        """Take what the prober found; a way that went down is told of without delay."""
        self._probed = health
        self._tell()
        self._changed.set()

    async def run(self) -> NoReturn:
        """Look where the tunnels stand, for ever."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._changed.wait()
            self._changed.clear()
            peers = await self._sessions.peers(max_age_s=FRESH_S)
            self._outers = {
                key: peer.endpoint.address for key, peer in peers.items() if peer.endpoint
            }
            self._tell()

    def _tell(self) -> None:
        health = located(self._probed, self._cluster(), self._outers, time.time())
        if health != self._told:
            self._told = health
            self._heed(health)
