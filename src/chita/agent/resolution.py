"""The host name of an endpoint that a user states for this node, resolved again and again."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import NoReturn

import msgspec

from chita.agent.record import OwnRecord
from chita.errors import ParseError
from chita.fabric.candidates import split_endpoint
from chita.model.cluster import ClusterState
from chita.model.net import Address
from chita.telemetry.log import logger

RESOLUTION_S = 60.0
"""How often a name is resolved again, seconds: a home line's address changes once a day."""
RETRY_S = 10.0
TIMEOUT_S = 5.0

_LOG = logger("resolution")

Resolve = Callable[[str], Awaitable[tuple[Address, ...]]]


async def resolve(host: str) -> tuple[Address, ...]:
    """Return the addresses of *host* in the resolver's order, each once.

    Raises:
        OSError: the resolver does not know it, or nothing answers (socket.gaierror, TimeoutError).
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(TIMEOUT_S):
        found = await loop.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
    texts = [str(address[0]) for *_, address in found]
    return tuple([Address.parse(text) for text in dict.fromkeys(texts) if "%" not in text])


def host_to_resolve(cluster: ClusterState, node: str) -> str:
    """Return the host name in the endpoint of *node*; empty: none, or an address already."""
    held = cluster.nodes.get(node)
    if held is None or not held.endpoint:
        return ""
    try:
        host, _ = split_endpoint(held.endpoint, cluster.setting.wireguard_port)
    except ParseError:
        return ""
    try:
        Address.parse(host)
    except ParseError:
        return host
    return ""


async def keep_resolved(
    record: OwnRecord,
    cluster: Callable[[], ClusterState],
    changed: Callable[[], None],
    *,
    look_up: Resolve = resolve,
    interval_s: float = RETRY_S,
) -> NoReturn:
    """Have *record* say what the name resolves to, for ever; call *changed* when that is news.

    A name that stops resolving keeps its last addresses: the resolver may be what fails.
    """
    loop = asyncio.get_running_loop()
    asked, last_s = "", -RESOLUTION_S
    while True:
        host = host_to_resolve(cluster(), record.node)
        is_due = loop.time() - last_s >= RESOLUTION_S or host not in record.observed.resolved
        if host and (host != asked or is_due):
            asked = host
            try:
                addresses = await look_up(host)
            except (OSError, TimeoutError) as error:
                _LOG.warning("endpoint does not resolve", host=host, why=str(error))
            else:
                last_s = loop.time()
                if record.observed.resolved != {host: addresses}:
                    _LOG.info("endpoint resolved", host=host, addresses=[str(a) for a in addresses])
                    record.observed = msgspec.structs.replace(
                        record.observed, resolved={host: addresses}
                    )
                    changed()
        await asyncio.sleep(interval_s)
