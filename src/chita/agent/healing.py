"""Self-healing: what others change in the kernel is put right at once, not at the resync."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from typing import NoReturn, Protocol

from chita.agent.facts import is_way_out
from chita.agent.reconcile import Reconciler
from chita.agent.record import OwnRecord
from chita.dataplane.netlink.monitor import Change, Monitor, Subject
from chita.errors import KernelError
from chita.telemetry.log import logger

PAUSE_S = 0.25
"""What comes within this is one occasion: a device that goes takes its routes with it."""

VERIFY_S = 0.002
"""How long our table is read at a time."""
VERIFY_PAUSE_S = 1.0
"""How long between; a table of 1,000 policies takes minutes, and 0.2 % of a core."""

_LOG = logger("healing")


class Touches(Protocol):
    """What is needed of `chita.dataplane.nftables.monitor.Monitor`."""

    def touches(self) -> AsyncIterator[None]:
        """Yield as soon as others have touched our table, each time."""


async def keep_healed(monitor: Monitor, reconciler: Reconciler, record: OwnRecord) -> NoReturn:
    """Have the kernel compared with what it should hold when others change it, for ever.

    A change of the node's own interfaces also makes its record new.
    """
    async for changes in monitor.changes():
        if any(_may_be_way_out(change) for change in changes):
            before = record.interfaces
            try:
                record.read_interfaces()
            except KernelError as error:
                # Every cable pulled: what was published stays until there is something to say.
                _LOG.warning("interfaces not read", why=str(error))
            if record.interfaces != before:
                reconciler.recheck()
        if any(_is_ours(change, record.device) for change in changes):
            reconciler.recheck()
        await asyncio.sleep(PAUSE_S)
    raise AssertionError("the monitor never ends")


async def keep_ruleset_healed(monitor: Touches, reconciler: Reconciler) -> NoReturn:
    """Have our table put right as soon as others change or delete it, for ever.

    Without it nothing is enforced, so the first touch is acted on at once; somebody who touches it
    again and again gets an answer every pause.
    """
    async for _ in monitor.touches():
        _LOG.warning("ruleset changed by others")
        reconciler.recheck()
        await asyncio.sleep(PAUSE_S)
    raise AssertionError("the monitor never ends")


async def keep_ruleset_verified(
    verify_some: Callable[[float], bool], reconciler: Reconciler, kernel: Executor
) -> NoReturn:
    """Read our table little by little, and have it put right where it is not as written, for ever.

    What others do is announced, and `keep_ruleset_healed` acts on that; this finds what no
    announcement told of. *verify_some* is `NftApplier.verify_some`: in *kernel*, where changes are
    applied, it holds up one for `VERIFY_S` and a few milliseconds at most.
    """
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(VERIFY_PAUSE_S)
        if not reconciler.queue.empty():
            continue
        try:
            is_right = await loop.run_in_executor(kernel, verify_some, VERIFY_S)
        except KernelError as error:
            _LOG.warning("ruleset not verified", why=str(error))
            continue
        if not is_right:
            _LOG.warning("ruleset found changed")
            reconciler.recheck()


def _may_be_way_out(change: Change) -> bool:
    """Whether *change* may be of an interface that leads out of the node."""
    match change.subject:
        case Subject.LINK:
            return is_way_out(change.device)
        case Subject.ADDRESS | Subject.OVERRUN:
            return True
        case _:
            return False


def _is_ours(change: Change, device_of: Callable[[int], str]) -> bool:
    """Whether *change* may be of something we put there.

    Pods' own interfaces come and go by CNI calls, and containers of others with theirs: neither is
    a reason to read the kernel. A link that is a way out may have taken our routes with it.
    """
    match change.subject:
        case Subject.LINK:
            return change.device.startswith("chita-") or is_way_out(change.device)
        case Subject.ADDRESS:
            return device_of(change.index).startswith("chita-")
        case Subject.ROUTE | Subject.RULE | Subject.NEIGHBOUR | Subject.OVERRUN:
            return True
