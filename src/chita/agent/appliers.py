"""NodeApplier: a NodeState into the kernel, part by part, in an order that never widens.

Policy stands before traffic can flow; devices stand before routes over them. A part that did not
change since it was last applied is not touched, unless the kernel is to be read again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from chita.agent.connections import Connections, Enforced
from chita.agent.reconcile import Applied, Part, Refusal
from chita.agent.ways import POD_PREFIX, Refused, Ways
from chita.dataplane.netlink.links import Links
from chita.dataplane.netlink.socket import NetlinkSocket
from chita.dataplane.nftables.applier import NftApplier, Outcome
from chita.dataplane.nftables.table import KernelTable
from chita.dataplane.tunnels.wireguard import DeviceState, Secrets
from chita.desired.node_state import NodeState
from chita.desired.policy import PolicyState
from chita.errors import ChitaError, KernelError
from chita.model.net import Address


class NodeApplier:
    """All of one node's kernel state that is ours. Blocking; one thread at a time."""

    def __init__(
        self,
        socket: NetlinkSocket,
        connections: Connections,
        engine_dir: Path,
        secrets: Callable[[int], Secrets],
    ) -> None:
        self._socket = socket
        self._links = Links(self._socket)
        self._ways = Ways(socket, engine_dir, secrets)
        table = KernelTable()
        self.nft_port = table.port
        """The netlink port of our own nftables commits, for those who listen to others'."""
        self._nft = NftApplier(table)
        self._connections = connections
        self._last: NodeState | None = None
        self._policy: PolicyState | None = None
        """What was asked for last, held or not."""
        self._own: frozenset[Address] = frozenset()
        self._policy_writes = 0
        self._is_policy_held = False
        """Whether the kernel has ever taken our policy: before that, no way is opened."""

    def apply(self, state: NodeState, *, reread: bool) -> Applied:
        """Make the kernel hold *state*; with *reread*, compare with what it really holds."""
        last = None if reread else self._last
        if reread:
            self._own = self._own_addresses()
        before = self._socket.writes + self._policy_writes
        refused: dict[Refusal, KernelError] = {}
        for part, step in self._steps(state, last):
            if part is not Part.POLICY and not self._is_policy_held:
                continue
            try:
                found = step()
                refused |= {Refusal(part, what): error for what, error in found.items()}
            except KernelError as error:
                refused[Refusal(part)] = error
            except ChitaError as error:  # an engine that is missing or died
                refused[Refusal(part)] = KernelError(str(error))
        # Whatever was refused or reread: addresses that were held here and are no more.
        if self._policy is not None and self._policy.endpoints is not state.policy.endpoints:
            self._connections.forget_gone(self._policy, state.policy)
        self._policy = state.policy
        # A part that was refused is compared with the kernel next time, not with a memory.
        self._last = None if refused else state
        return Applied(writes=self._socket.writes + self._policy_writes - before, refused=refused)

    def verify_some(self, budget_s: float) -> bool:
        """Return whether the next bit of the ruleset is as it was written, see `NftApplier`.

        Raises:
            KernelError: the kernel does not answer.
        """
        return self._nft.verify_some(budget_s)

    def _steps(
        self, state: NodeState, last: NodeState | None
    ) -> Iterator[tuple[Part, Callable[[], Refused]]]:
        """Yield the parts that differ from *last*, in the order in which they are to be applied."""
        if last is None or last.policy is not state.policy:
            yield Part.POLICY, lambda: self._sync_policy(state.policy)
        yield from self._ways.steps(state, last)

    def wireguards(self) -> dict[str, DeviceState]:
        """Return what the WireGuard devices hold, by name.

        Raises:
            EngineError: the process behind one of them died.
        """
        return self._ways.wireguards()

    def knock(self) -> None:
        """Dial peers anew that never answered.

        Raises:
            EngineError: the process behind a device died.
            KernelError: a device refuses.
        """
        try:
            self._ways.knock()
        except ChitaError:
            self._last = None  # a peer may be missing: compared with the device at the next sync
            raise

    def _own_addresses(self) -> frozenset[Address]:
        """Return the addresses of this node's own interfaces, as they are now."""
        return frozenset(
            held.address
            for link in self._links.read().values()
            if not link.name.startswith(POD_PREFIX)
            for held in self._links.read_addresses(link.index)
        )

    def _sync_policy(self, desired: PolicyState) -> Refused:
        applied = self._nft.apply(desired)
        self._is_policy_held = True
        ruleset = self._nft.ruleset
        if ruleset is not None:
            self._connections.reconsider(Enforced(desired, ruleset, self._own))
        self._policy_writes += applied.outcome not in (Outcome.ADOPTED, Outcome.UNCHANGED)
        return {}
