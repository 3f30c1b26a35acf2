"""Tells the prober which nodes we have traffic with, while it can't probe all of them often."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NoReturn

from chita.agent.prober import Prober
from chita.agent.sessions import Sessions
from chita.fabric.traffic import Traffic
from chita.model.cluster import ClusterState
from chita.model.epochs import epochs_of, in_epoch

LOOK_S = 5.0


async def keep_traffic_known(
    prober: Prober, sessions: Sessions, known: Callable[[], ClusterState]
) -> NoReturn:
    """Look at the tunnels' counters now and then, for ever; where all is probed often, never."""
    loop = asyncio.get_running_loop()
    traffic = Traffic()
    while True:
        await asyncio.sleep(LOOK_S)
        if not prober.is_stretched:
            prober.busy = frozenset()
            continue
        peers = await sessions.peers(max_age_s=LOOK_S / 2)
        counters = {key: it.received_bytes + it.sent_bytes for key, it in peers.items()}
        nodes = {
            in_epoch(node, epoch).wireguard_key: node.name
            for node in known().fabric_nodes.values()
            for epoch in epochs_of(node)
        }
        prober.busy = traffic.busy(counters, nodes, loop.time())
