"""MemoryApplier: a kernel that only remembers, for tests and dry runs of the agent's loop."""

from __future__ import annotations

import threading

from chita.agent.reconcile import Applied, Refusal
from chita.desired.node_state import NodeState
from chita.errors import KernelError


class MemoryApplier:
    """An `Applier` that holds the last state and refuses what it is told to."""

    def __init__(self) -> None:
        self.states: list[NodeState] = []
        """What was asked for, in order."""
        self.rereads = 0
        """How often it was to trust nothing that it remembers."""
        self.refusing: dict[Refusal, KernelError] = {}
        """What it refuses from now on."""
        self.breaking: Exception | None = None
        """What it raises from now on: a defect of a real applier."""
        self.open = threading.Event()
        """While it is cleared, `apply` waits: a kernel that is slow."""
        self.open.set()

    def apply(self, state: NodeState, *, reread: bool) -> Applied:
        """Hold *state*; a write if it is another than the one before."""
        self.open.wait(10)
        changed = not self.states or self.states[-1] != state
        self.states.append(state)
        self.rereads += reread
        if self.breaking is not None:
            raise self.breaking
        return Applied(writes=int(changed), refused=dict(self.refusing))
