"""The table as the applier sees it: read, commit, and whether others meddled.

It works in the network namespace of the thread that makes it, and is not for two threads at once.
"""

from __future__ import annotations

from typing import Protocol

from chita.dataplane.nftables.libnft import Libnft
from chita.dataplane.nftables.monitor import Monitor
from chita.dataplane.nftables.nfnetlink import Nfnetlink
from chita.dataplane.nftables.objects import TABLE
from chita.dataplane.nftables.outline import Outline
from chita.dataplane.nftables.read import read_outline
from chita.dataplane.nftables.transaction import Transaction


class Table(Protocol):
    """Our nftables table, in the kernel or in memory."""

    def read(self) -> Outline | None:
        """Return what the table holds, or None when there is none.

        Raises:
            KernelError: it cannot be read, or holds what we never write.
        """

    def commit(self, transaction: Transaction) -> None:
        """Make all of *transaction* take effect at once.

        Raises:
            KernelError: refused; nothing of it is in effect.
        """

    def is_touched(self) -> bool:
        """Return whether others may have changed the table since our last read or commit."""


class KernelTable:
    """The table in the kernel."""

    def __init__(self) -> None:
        """Open the doors to the calling thread's network namespace.

        Raises:
            UnsupportedError: libnftables or the kernel's nf_tables is missing.
        """
        self._nft = Libnft()
        self._netlink = Nfnetlink()
        self._monitor = Monitor()
        self._generation = -1
        """Of the last commit that we know of; -1: none."""
        self._touched = False

    @property
    def port(self) -> int:
        """The netlink port that our commits come from."""
        return self._netlink.port

    def read(self) -> Outline | None:
        """Return what the table holds, or None when there is none."""
        # What is announced from here on may have come after the reading.
        self._generation = self._netlink.read_generation()
        self._monitor.touched()
        self._touched = False
        tables = self._nft.query("list tables inet")
        if not any(item["table"]["name"] == TABLE for item in tables):
            return None
        return read_outline(self._nft.query(f"list table inet {TABLE}"))

    def commit(self, transaction: Transaction) -> None:
        """Make all of *transaction* take effect at once."""
        touched = self.is_touched()
        before = self._generation
        self._netlink.commit(transaction)
        self._generation = self._netlink.read_generation()
        # Our own commit is announced too. If it was the only one, all the news is ours.
        announced = self._monitor.touched()
        self._touched = touched or (announced and self._generation != before + 1)

    def is_touched(self) -> bool:
        """Return whether others may have changed the table since our last read or commit."""
        generation = self._netlink.read_generation()
        if generation != self._generation:
            self._touched |= self._monitor.touched()
            self._generation = generation
        return self._touched

    def close(self) -> None:
        """Close the doors to the kernel; the table stays."""
        self._nft.close()
        self._netlink.close()
        self._monitor.close()
