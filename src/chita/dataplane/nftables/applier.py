"""Read, diff, apply: makes the kernel's table what a PolicyState asks for."""

from __future__ import annotations

import errno
import time
from collections import deque
from collections.abc import Iterator
from enum import StrEnum

import msgspec

from chita.dataplane.nftables.diff import create, diff, is_convertible, replace
from chita.dataplane.nftables.objects import Ruleset
from chita.dataplane.nftables.outline import as_ruleset
from chita.dataplane.nftables.parts import Part, TablePart, part_outline, parts, with_part
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
        self._suspects: set[Part | TablePart] = set()
        """What may be another than in the last one."""
        self._to_verify: deque[Part] = deque()
        self._verifying: tuple[Part, Iterator[bool]] | None = None

    @property
    def ruleset(self) -> Ruleset | None:
        """What the table holds, as far as we know; None: we do not. It never changes."""
        return self._last

    def apply(self, state: PolicyState) -> Applied:
        """Make the table enforce *state*, in one transaction or none.

        What others did to the table since is undone too; only what the kernel announced that they
        touched is read for it.

        Raises:
            KernelError: refused; the table is as before. The next call reads it, changes what
                differs, and where that is refused replaces all of it.
        """
        desired = self._builder.build(state)
        last = self._last
        # Forgotten until all is well: after a refusal the kernel is asked again.
        self._last = None
        self._suspects |= self._table.take_touched()
        if last is None or TablePart() in self._suspects:
            applied = self._first(desired)
        elif self._suspects:
            applied = self._repair(last, desired)
        else:
            applied = self._next(last, desired)
        self._suspects.clear()
        self._last = desired
        return applied

    def verify_some(self, budget_s: float) -> bool:
        """Read a little more of the table and return whether it is what it should be so far.

        Takes *budget_s* and at most a few milliseconds more; the next call continues, and starts
        again after the last part. When it returns False, the next `apply` repairs what was found.

        Raises:
            KernelError: the kernel does not answer.
        """
        deadline = time.perf_counter() + budget_s
        self._suspects |= self._table.take_touched()
        while self._last is not None and not self._suspects and time.perf_counter() < deadline:
            if not self._to_verify:
                self._to_verify.extend(parts(self._last))
            self._verify_step(self._last)
        return not self._suspects

    def _verify_step(self, last: Ruleset) -> None:
        """Read the next millisecond's worth of what is to be verified."""
        if self._verifying is None:
            part = self._to_verify.popleft()
            self._verifying = part, self._table.verify(part, last)
        part, verdicts = self._verifying
        try:
            verdict = next(verdicts, None)
        except KernelError as error:
            self._verifying = None
            # Where something was committed meanwhile, this part's turn comes again.
            if error.errno != errno.EINTR:
                self._suspects.add(TablePart())
            return
        if verdict is not True:
            self._verifying = None
            if verdict is False:
                self._suspects.add(part)

    def _repair(self, last: Ruleset, desired: Ruleset) -> Applied:
        """Make the table *desired*, given that all but the suspects is as in *last*."""
        actual = last
        try:
            for part in self._suspects:
                assert not isinstance(part, TablePart)
                found = self._table.read_part(part)
                if found != part_outline(last, part):
                    actual = with_part(actual, part, found)
            if actual is last:
                return self._next(last, desired)
            if is_convertible(actual, desired):
                return self._commit(Outcome.REPAIRED, diff(actual, desired))
        except KernelError:
            # Found in a state that this cannot mend, or it changed again.
            pass
        return self._first(desired)

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
