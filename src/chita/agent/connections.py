"""Ends what the kernel remembers of connections, beside the path of changes.

Looking through the kernel's connections takes milliseconds whatever there is to find (all hash
buckets are visited), so no change and no CNI call waits for it. An address is given out again only
after all others of its block (oldest first), long after this is done.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event

import msgspec

from chita.dataplane.conntrack import Conntrack
from chita.dataplane.flows import end_denied
from chita.dataplane.nftables.objects import Ruleset
from chita.desired.policy import PolicyState
from chita.errors import KernelError
from chita.model.net import Address
from chita.telemetry.log import logger

PAUSE_S = 0.3
"""Between two looks through the connections: changes that come meanwhile are one."""

_LOG = logger("connections")


class Enforced(msgspec.Struct, frozen=True):
    """What the kernel enforces at one moment."""

    policy: PolicyState
    ruleset: Ruleset
    own: frozenset[Address]
    """The node's own addresses: it may always talk to its pods."""


class Connections:
    """The kernel's connections of one node, in a thread of their own."""

    def __init__(self, conntrack: Conntrack) -> None:
        self._conntrack = conntrack
        self._thread = ThreadPoolExecutor(1, "connections")
        self._closing = Event()
        self._enforced: Enforced | None = None
        """What is enforced now."""
        self._asked: PolicyState | None = None
        """What was enforced when connections were last asked about."""

    def reconsider(self, enforced: Enforced) -> Future[int]:
        """Have established connections ended that *enforced* denies and what was before allowed.

        Several changes in a row are one occasion. The first state an agent enforces ends nothing:
        what was in force before it is not known, and an adopted table did not change.
        """
        self._enforced = enforced
        return self._thread.submit(self._end_denied)

    def forget_gone(self, before: PolicyState, after: PolicyState) -> Future[int] | None:
        """Have the connections of addresses forgotten that no pod here has any more.

        The next pod that gets one must not inherit what was allowed to another. Returns what tells
        when that is done and how many there were; None when no address is gone.
        """
        gone = {address for _, address in held(before) - held(after)}
        return self._thread.submit(self._forget, gone) if gone else None

    def close(self) -> None:
        """Wait for what is under way."""
        self._closing.set()
        self._thread.shutdown()

    def _end_denied(self) -> int:
        now, before = self._enforced, self._asked
        if now is None or now.policy is before:
            return 0
        self._asked = now.policy
        if before is None:
            return 0
        try:
            ended = end_denied(before, now.policy, now.ruleset, now.own, self._conntrack.end)
        except KernelError as error:
            _LOG.warning("denied connections not ended", why=error)
            return 0
        if ended:
            _LOG.info("denied connections ended", count=ended)
        self._closing.wait(PAUSE_S)
        return ended

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
