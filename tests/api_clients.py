"""The product's own API client against a server process of a test."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import closing

from chita.api.auth import read_kubeconfig
from chita.api.client import ApiClient
from chita.api.watch import Batch
from server_process import ServerProcess

PATIENCE_S = 10.0
"""How long a test waits for what must come."""


def admin(server: ServerProcess) -> ApiClient:
    """Return the administrator's client; enter it."""
    return ApiClient(read_kubeconfig(server.kubeconfig))


async def next_batch(
    batches: AsyncGenerator[Batch, None], wanted: type[Batch] | None = None
) -> Batch:
    """Return the next batch, or the next that is a *wanted*."""
    async with asyncio.timeout(PATIENCE_S):
        async for batch in batches:
            if wanted is None or isinstance(batch, wanted):
                return batch
    raise AssertionError("the batches never end")


async def until(is_so: Callable[[], bool], *, what: str = "") -> None:
    """Return once *is_so* says so; fail the test when it does not."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not is_so():  # noqa: ASYNC110 - other processes and the kernel set no event
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"not within {PATIENCE_S:g} s: {what or is_so}") from None


def free_port() -> int:
    """Return a TCP port of the loopback on which nobody listens at the moment."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
