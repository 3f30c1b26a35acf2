"""Ends what the kernel remembers of connections, beside the path of changes.

Looking through the kernel's connections takes milliseconds whatever there is to find (all hash
buckets are visited), so no change and no CNI call waits for it. An address is given out again only
after all others of its block (oldest first), long after this is done.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from chita.dataplane.conntrack import Conntrack
from chita.desired.policy import PolicyState
from chita.errors import KernelError
from chita.model.net import Address
from chita.telemetry.log import logger

_LOG = logger("connections")


class Connections:
    """The kernel's connections of one node, in a thread of their own."""

    def __init__(self, conntrack: Conntrack) -> None:
        self._conntrack = conntrack
        self._thread = ThreadPoolExecutor(1, "connections")

    def forget_gone(self, before: PolicyState, after: PolicyState) -> Future[int] | None:
        """Have the connections of addresses forgotten that no pod here has any more.

        The next pod that gets one must not inherit what was allowed to another. Returns what tells
        when that is done and how many there were; None when no address is gone.
        """
        gone = {address for _, address in held(before) - held(after)}
        return self._thread.submit(self._forget, gone) if gone else None

    def close(self) -> None:
        """Wait for what is under way."""
        self._thread.shutdown()

    def _forget(self, addresses: Iterable[Address]) -> int:
        ended = 0
        for address in addresses:
            try:
                ended += self._conntrack.forget(address)
            except KernelError as error:
                _LOG.warning("connections not forgotten", address=address, why=error)
        return ended


def held(policy: PolicyState) -> set[tuple[str, Address]]:
    """Return which interface has which address."""
    return {
        (endpoint.interface, address)
        for endpoint in policy.endpoints.values()
        for address in endpoint.addresses
    }
