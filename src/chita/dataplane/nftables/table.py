"""The table as the applier sees it: read, commit, and whether others meddled.

It works in the network namespace of the thread that makes it, and is not for two threads at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from chita.dataplane.nftables.monitor import Monitor
from chita.dataplane.nftables.nfnetlink import Nfnetlink
from chita.dataplane.nftables.objects import Ruleset
from chita.dataplane.nftables.outline import Outline
from chita.dataplane.nftables.parts import Part, Touched
from chita.dataplane.nftables.table_reader import TableReader
from chita.dataplane.nftables.transaction import Transaction


class Table(Protocol):
    """Our nftables table, in the kernel or in memory."""

    def read(self) -> Outline | None:
        """Return what the table holds, or None when there is none.

        Raises:
            KernelError: it cannot be read, or holds what we never write.
        """

    def read_part(self, part: Part) -> Outline:
        """Return what the table holds of *part*.

        Raises:
            KernelError: it holds what we never write.
        """

    def verify(self, part: Part, expected: Ruleset) -> Iterator[bool]:
        """Yield, a millisecond or two apart, whether *part* is so far what *expected* has.

        Raises:
            KernelError: EINTR: something was committed meanwhile. Else: it holds what we never
                write.
        """

    def commit(self, transaction: Transaction) -> None:
        """Make all of *transaction* take effect at once.

        Raises:
            KernelError: refused; nothing of it is in effect.
        """

    def take_touched(self) -> Touched:
        """Return what others may have changed since we last asked, read all or committed."""


class KernelTable:
    """The table in the kernel."""

    def __init__(self) -> None:
        """Open the doors to the calling thread's network namespace.

        Raises:
            UnsupportedError: the kernel's nf_tables is missing.
        """
        self._netlink = Nfnetlink()
        self._reader = TableReader(self._netlink)
        # Of its own: other requests must not wait until it has told a large set to the end.
        self._verifying = Nfnetlink()
        self._verifier = TableReader(self._verifying)
        self._monitor = Monitor()
        self._generation = -1
        """Of the last commit that we know of; -1: none."""
        self._touched: Touched = frozenset()

    @property
    def port(self) -> int:
        """The netlink port that our commits come from."""
        return self._netlink.port

    def read(self) -> Outline | None:
        """Return what the table holds, or None when there is none."""
        # What is announced from here on may have come after the reading.
        self._generation = self._netlink.read_generation()
        self._monitor.forget()
        self._touched = frozenset()
        return self._reader.whole()

    def read_part(self, part: Part) -> Outline:
        """Return what the table holds of *part*."""
        return self._reader.part(part)

    def verify(self, part: Part, expected: Ruleset) -> Iterator[bool]:
        """Yield, a millisecond or two apart, whether *part* is so far what *expected* has."""
        return self._verifier.verify(part, expected)

    def commit(self, transaction: Transaction) -> None:
        """Make all of *transaction* take effect at once."""
        self._listen()
        before = self._generation
        self._netlink.commit(transaction)
        self._generation = self._netlink.read_generation()
        # Our own commit is announced too. If it was the only one, all the news is ours.
        if self._generation == before + 1:
            self._monitor.forget()
        else:
            self._touched |= self._monitor.touched_parts()

    def take_touched(self) -> Touched:
        """Return what others may have changed since we last asked, read all or committed."""
        self._listen()
        touched, self._touched = self._touched, frozenset()
        return touched

    def _listen(self) -> None:
        generation = self._netlink.read_generation()
        if generation != self._generation:
            self._touched = self._touched | self._monitor.touched_parts()
            self._generation = generation

    def close(self) -> None:
        """Close the doors to the kernel; the table stays."""
        self._netlink.close()
        self._verifying.close()
        self._monitor.close()
