"""Pod interfaces off the event loop: made in one thread, taken away in another.

Taking a device away makes the kernel wait (15 to 40 ms), so a pod is first cut off, which is
quick, and its device removed in the background. A device goes by its pod's name, not by its
sandbox's: making one waits until the one before is gone.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from chita.agent.cni_ports import Interfaces
from chita.dataplane.pod_interface import PodInterface
from chita.errors import KernelError
from chita.telemetry.log import logger

_LOG = logger("cni")


class PodLinks:
    """The interfaces of a node's pods, for tasks."""

    def __init__(self, interfaces: Interfaces, removal: Interfaces) -> None:
        """Take two of the same kind, each with a netlink socket of its own."""
        self._interfaces = interfaces
        self._removal = removal
        self._making = ThreadPoolExecutor(1, "pod-interfaces")
        self._removing = ThreadPoolExecutor(1, "pod-interface-removal")
        self._removals: dict[str, asyncio.Future[None]] = {}

    async def attach(self, pod: PodInterface) -> None:
        """Make the interface; one that is as it should be is left alone.

        Raises:
            KernelError: the kernel refused; nothing is left.
        """
        if earlier := self._removals.get(pod.host_interface):
            await asyncio.wait([earlier])
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._making, self._interfaces.attach, pod)

    async def check(self, pod: PodInterface) -> str | None:
        """Return the first difference between *pod* and what there is; None when all is well."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._making, self._interfaces.check, pod)

    async def remove(self, host_interface: str) -> None:
        """Cut the pod off; return then, and remove the device in the background."""
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._making, self._interfaces.withdraw, host_interface)
        except KernelError as error:
            _LOG.warning("interface not withdrawn", interface=host_interface, why=str(error))
        # ensure_future: removals outlive the call, and `close` waits for them.
        self._removals[host_interface] = asyncio.ensure_future(self._detach(host_interface))

    async def close(self) -> None:
        """Wait for removals under way and stop the threads."""
        if self._removals:
            await asyncio.wait(self._removals.values())
        self._making.shutdown()
        self._removing.shutdown()

    async def _detach(self, host_interface: str) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._removing, self._removal.detach, host_interface)
        except KernelError as error:
            _LOG.warning("interface not removed", interface=host_interface, why=str(error))
        finally:
            if self._removals.get(host_interface) is asyncio.current_task():
                del self._removals[host_interface]
