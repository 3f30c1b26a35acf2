"""Sessions with peers: what the devices hold of each, read when needed; and those not yet open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import NoReturn

from chita.dataplane.tunnels.wireguard import DeviceState, PeerState
from chita.errors import ChitaError
from chita.telemetry.log import logger

KNOCK_S = 0.2
"""How often it is looked whether a peer is to be dialled anew, seconds."""

_LOG = logger("sessions")


class Sessions:
    """Peers of all devices by public key.

    Args:
        read: returns the devices by name; blocking.
        kernel: the thread that may call it.
    """

    def __init__(self, read: Callable[[], Mapping[str, DeviceState]], kernel: Executor) -> None:
        self._read = read
        self._kernel = kernel
        self._peers: dict[str, PeerState] = {}
        self._read_at_s = float("-inf")
        self._reading = asyncio.Lock()

    async def peers(self, *, max_age_s: float) -> Mapping[str, PeerState]:
        """Return the peers as they were at most *max_age_s* ago.

        A device that cannot be read (wireguard-go died) leaves the last known ones.
        """
        loop = asyncio.get_running_loop()
        async with self._reading:
            if loop.time() - self._read_at_s > max_age_s:
                try:
                    devices = await loop.run_in_executor(self._kernel, self._read)
                except ChitaError as error:
                    _LOG.warning("sessions not read", why=str(error))
                else:
                    self._peers = {
                        key: peer
                        for device in devices.values()
                        for key, peer in device.peers.items()
                    }
                self._read_at_s = loop.time()
        return self._peers


async def keep_knocking(knock: Callable[[], None], kernel: Executor) -> NoReturn:
    """Dial peers anew that never answered, for ever.

    Args:
        knock: blocking.
        kernel: the thread that may call it.
    """
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(KNOCK_S)
        try:
            await loop.run_in_executor(kernel, knock)
        except ChitaError as error:
            _LOG.warning("peers not dialled anew", why=str(error))
