"""Read, diff, apply: makes the kernel's table what a PolicyState asks for."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from chita.dataplane.nftables.diff import create, diff, is_convertible, replace
from chita.dataplane.nftables.objects import Ruleset
from chita.dataplane.nftables.outline import as_ruleset, outline
from chita.dataplane.nftables.ruleset import RulesetBuilder
from chita.dataplane.nftables.table import Table
from chita.dataplane.nftables.transaction import AddTable, DeleteTable, Transaction
from chita.desired.policy import PolicyState
from chita.errors import KernelError


class Outcome(StrEnum):
    """How the table came to be what it should."""

    ADOPTED = "adopted"
    """Found right, by an agent that had not written it; nothing was written."""
    UNCHANGED = "unchanged"
    CREATED = "created"
    UPDATED = "updated"
    """From what was asked for last."""
    REPAIRED = "repaired"
    """From what was found: an earlier agent's table, or one that others changed."""
    REPLACED = "replaced"
    """As a whole: what was found could not be read or changed."""


class Applied(msgspec.Struct, frozen=True):
    """What one apply did."""

    outcome: Outcome
    operations: int = 0


class NftApplier:
    """Keeps one table at what it was last asked for. Not for two threads at once."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._builder = RulesetBuilder()
        self._last: Ruleset | None = None
        """What the table holds, as far as we know; None: we do not."""

    def apply(self, state: PolicyState) -> Applied:
        """Make the table enforce *state*, in one transaction or none.

        What others did to the table since is undone too.

        Raises:
            KernelError: refused; the table is as before. The next call reads it, changes what
                differs, and where that is refused replaces all of it.
        """
        desired = self._builder.build(state)
        last = self._last
        # Forgotten until all is well: after a refusal the kernel is asked again.
        self._last = None
        if last is None or not self._holds(last):
            applied = self._first(desired)
        else:
            applied = self._next(last, desired)
        self._last = desired
        return applied

    def _holds(self, last: Ruleset) -> bool:
        """Return whether the table is as we left it."""
        if not self._table.is_touched():
            return True
        try:
            return self._table.read() == outline(last)
        except KernelError:
            return False

    def _first(self, desired: Ruleset) -> Applied:
        """Make the table *desired* from whatever it holds."""
        try:
            found = self._table.read()
            if found is None:
                return self._commit(Outcome.CREATED, create(desired))
            actual = as_ruleset(found, desired)
            if is_convertible(actual, desired):
                steps = diff(actual, desired)
                return self._commit(Outcome.REPAIRED if steps else Outcome.ADOPTED, steps)
        except KernelError:
            # Not a form of ours, or it changed meanwhile. The table's name is ours: it goes.
            pass
        return self._commit(Outcome.REPLACED, replace(desired))

    def _next(self, last: Ruleset, desired: Ruleset) -> Applied:
        steps = diff(last, desired, self._builder.changes)
        return self._commit(Outcome.UPDATED if steps else Outcome.UNCHANGED, steps)

    def _commit(self, outcome: Outcome, transaction: Transaction) -> Applied:
        if transaction:
            self._table.commit(transaction)
        return Applied(outcome, len(transaction))

    def remove(self) -> None:
        """Remove the table, if there is one: nothing is enforced any more.

        Raises:
            KernelError: refused.
        """
        self._last = None
        self._table.commit((AddTable(), DeleteTable()))
