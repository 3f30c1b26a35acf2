"""Self-healing: what others change in the kernel is put right at once, not at the resync."""

from __future__ import annotations

import asyncio
from typing import NoReturn

from chita.agent.facts import OUR_DEVICES
from chita.agent.reconcile import Reconciler
from chita.agent.record import OwnRecord
from chita.dataplane.netlink.monitor import Change, Monitor, Subject
from chita.errors import KernelError
from chita.telemetry.log import logger

PAUSE_S = 0.25
"""What comes within this is one occasion: a device that goes takes its routes with it."""

_LOG = logger("healing")


async def keep_healed(monitor: Monitor, reconciler: Reconciler, record: OwnRecord) -> NoReturn:
    """Have the kernel compared with what it should hold when others change it, for ever.

    A change of the node's own interfaces also makes its record new.
    """
    async for changes in monitor.changes():
        if any(_is_underlay(change) for change in changes):
            try:
                record.read_interfaces()
            except KernelError as error:
                # Every cable pulled: what was published stays until there is something to say.
                _LOG.warning("interfaces not read", why=str(error))
            reconciler.recheck()
        elif any(_is_ours(change) for change in changes):
            reconciler.recheck()
        await asyncio.sleep(PAUSE_S)
    raise AssertionError("the monitor never ends")


def _is_underlay(change: Change) -> bool:
    """Whether *change* may be of an interface that leads out of the node."""
    match change.subject:
        case Subject.LINK:
            return not change.device.startswith(OUR_DEVICES)
        case Subject.ADDRESS | Subject.OVERRUN:
            return True
        case _:
            return False


def _is_ours(change: Change) -> bool:
    """Whether *change* may be of something we put there.

    Pods' own interfaces come and go by CNI calls; their routes are told apart by port.
    """
    match change.subject:
        case Subject.LINK:
            return change.device.startswith("chita-")
        case Subject.ROUTE | Subject.RULE | Subject.NEIGHBOUR:
            return True
        case _:
            return False
