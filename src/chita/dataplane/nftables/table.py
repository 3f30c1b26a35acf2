"""The kernel's table as the applier sees it: read, commit, generation.

It works in the network namespace of the calling thread.
"""

from __future__ import annotations

from typing import Protocol

from chita.dataplane.nftables.libnft import Libnft
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


class KernelTable:
    """The table in the kernel."""

    def __init__(self) -> None:
        self._nft = Libnft()
        self._netlink = Nfnetlink()

    def read(self) -> Outline | None:
        """Return what the table holds, or None when there is none."""
        tables = self._nft.query("list tables inet")
        if not any(item["table"]["name"] == TABLE for item in tables):
            return None
        return read_outline(self._nft.query(f"list table inet {TABLE}"))

    def commit(self, transaction: Transaction) -> None:
        """Make all of *transaction* take effect at once."""
        self._netlink.commit(transaction)

    def close(self) -> None:
        """Close the doors to the kernel; the table stays."""
        self._nft.close()
        self._netlink.close()
