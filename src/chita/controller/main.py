"""What runs once in a cluster, beside its API: what nobody needs goes, policies get a status.

In a cluster without Kubernetes it is a part of ``chita server``'s process and speaks to it as any
client does, so that it can move to a process of its own.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any, NoReturn

from chita.api.auth import ApiConfig
from chita.api.client import ApiClient
from chita.api.kinds import CORE
from chita.api.watch import Deleted, Listed, follow
from chita.controller.host_endpoints import keep_automatic
from chita.controller.initial import create_missing
from chita.controller.ipam import IpamCollector
from chita.controller.mesh import keep_allotted
from chita.controller.policies import POLICIES, keep_told
from chita.controller.population import ApiPopulation
from chita.controller.records import NodeRecords
from chita.controller.rotation import keep_rotated
from chita.errors import ChitaError
from chita.ipam.garbage import DEFAULT_GRACE_S
from chita.mirror.block_store import ApiBlockStore
from chita.telemetry.log import logger

_LOG = logger("controller")


async def control(config: ApiConfig, *, ipam_grace_s: float = DEFAULT_GRACE_S) -> NoReturn:
    """Run the controller with the rights that *config* gives, an administrator's.

    What belonged to a deleted node goes at once, other garbage of IPAM after *ipam_grace_s*.
    """
    _LOG.info("controller runs", server=config.server, ipam_grace_s=ipam_grace_s)
    node_gone = asyncio.Event()
    async with ApiClient(config) as client, asyncio.TaskGroup() as tasks:
        collector = IpamCollector(
            ApiBlockStore(client),
            ApiPopulation(client),
            clock=time.monotonic,
            grace_s=ipam_grace_s,
        )
        records = NodeRecords(client)

        async def scan() -> None:
            await records.scan()
            await collector.collect()

        tasks.create_task(keep_rotated(client), name="key rotation")
        tasks.create_task(keep_automatic(client), name="host endpoints")
        for resource in POLICIES:
            tasks.create_task(keep_told(client, resource), name=f"status of {resource.plural}")
        tasks.create_task(_tell_deletions(client, node_gone), name="node-deletions")
        tasks.create_task(
            _keep_scanning(scan, node_gone, period_s=ipam_grace_s / 2), name="garbage"
        )
    raise AssertionError  # all run until they are cancelled


Beside = tuple[str, Callable[[ApiConfig], Coroutine[None, None, NoReturn]]]
"""What else runs in the controller's process: its name, and how it starts."""


async def run(
    config: ApiConfig,
    initial: Sequence[Mapping[str, Any]] = (),
    beside: Sequence[Beside] = (),
) -> None:
    """Run the controller as a process of its own until SIGTERM; *initial* is made if missing.

    What is *beside* it runs in every replica, whether it leads or not.
    """
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with ApiClient(config) as client, asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(create_missing(client, initial), name="initial objects"),
            tasks.create_task(control(config), name="control"),
            # `chita server` gives them to who joins, so it has no part of this.
            tasks.create_task(keep_allotted(client), name="mesh addresses"),
            *(tasks.create_task(start(config), name=name) for name, start in beside),
        ]
        await stopped.wait()
        for task in running:
            task.cancel()
    _LOG.info("controller stopped")


async def _tell_deletions(client: ApiClient, node_gone: asyncio.Event) -> NoReturn:
    """Set *node_gone* when a Node is deleted, or may have been while the watch was broken."""
    while True:
        async with aclosing(follow(client, CORE["Node"])) as batches:
            async for batch in batches:
                if isinstance(batch, Listed | Deleted):
                    node_gone.set()


async def _keep_scanning(
    scan: Callable[[], Awaitable[None]], wake: asyncio.Event, *, period_s: float
) -> NoReturn:
    """Call *scan* when woken, else every *period_s*; one that fails is only a scan less."""
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(period_s):
                await wake.wait()
        wake.clear()
        try:
            await scan()
        except ChitaError as error:
            _LOG.warning("garbage not collected", why=str(error))
