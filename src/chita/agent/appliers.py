"""NodeApplier: a NodeState into the kernel, part by part, in an order that never widens.

Policy stands before traffic can flow; devices stand before routes over them. A part that did not
change since it was last applied is not touched, unless the kernel is to be read again.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from chita.agent.connections import Connections, Enforced
from chita.agent.reconcile import Applied, Part, Refusal
from chita.compute.routes import VXLAN_DEVICE, WIREGUARD_DEVICE
from chita.dataplane.netlink.links import Links
from chita.dataplane.netlink.routes import RouteTable
from chita.dataplane.netlink.rules import OURS, Rules, our_rules, sync_rules
from chita.dataplane.netlink.socket import NetlinkSocket
from chita.dataplane.nftables.applier import NftApplier, Outcome
from chita.dataplane.nftables.table import KernelTable
from chita.dataplane.plan import Plan, apply, plan
from chita.dataplane.sysctl import sync_sysctls
from chita.dataplane.tunnels.backend import wireguard_backend
from chita.dataplane.tunnels.vxlan import remove_vxlan, sync_vxlan
from chita.dataplane.tunnels.wireguard import DeviceState, WireguardTunnel
from chita.desired.node_state import NodeState
from chita.desired.policy import PolicyState
from chita.desired.routes import OnDevice, Route
from chita.desired.tunnels import Vxlan, Wireguard
from chita.errors import ChitaError, KernelError
from chita.model.net import Address, Cidr

NODE_SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv6/conf/all/forwarding": "1",
    # A reply may come in by another device than the one a packet left by (a relay, a moved pod).
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
}
"""What a node that forwards for its pods needs; paths below /proc/sys."""

POD_PREFIX = "cali"

_TRAFFIC = (Part.NODE, Part.VXLAN, Part.WIREGUARD, Part.ROUTE)
"""Parts by which packets flow."""

K = TypeVar("K")

Refused = dict[str, KernelError]
"""What the kernel refused, by what it was."""


class NodeApplier:
    """All of one node's kernel state that is ours. Blocking; one thread at a time."""

    def __init__(
        self,
        socket: NetlinkSocket,
        connections: Connections,
        engine_dir: Path,
        wireguard_private_key: str,
    ) -> None:
        self._private_key = wireguard_private_key
        self._socket = socket
        self._links = Links(self._socket)
        self._table = RouteTable(self._socket, self._links)
        table = KernelTable()
        self.nft_port = table.port
        """The netlink port of our own nftables commits, for those who listen to others'."""
        self._nft = NftApplier(table)
        self._connections = connections
        self._engine_dir = engine_dir
        self._wireguard: WireguardTunnel | None = None
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
            if part in _TRAFFIC and not self._is_policy_held:
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
        if last is None:
            yield Part.NODE, self._sync_node
        if last is None or last.vxlan != state.vxlan:
            yield Part.VXLAN, lambda: self._sync_vxlan(state.vxlan)
        if last is None or last.wireguard != state.wireguard:
            yield Part.WIREGUARD, lambda: self._sync_wireguard(state.wireguard)
        if last is None or last.routes != state.routes:
            known = last.routes if last is not None else None
            yield Part.ROUTE, lambda: self._sync_routes(state.routes, known)

    def wireguard(self) -> DeviceState | None:
        """Return what the WireGuard device holds, None while there is none."""
        return self._wireguard.read() if self._wireguard is not None else None

    def _own_addresses(self) -> frozenset[Address]:
        """Return the addresses of this node's own interfaces, as they are now."""
        return frozenset(
            held.address
            for link in self._links.read().values()
            if not link.name.startswith(POD_PREFIX)
            for held in self._links.read_addresses(link.index)
        )

    def _sync_node(self) -> Refused:
        sync_sysctls(NODE_SYSCTLS)
        return _by_text(sync_rules(our_rules(OURS), Rules(self._socket)))

    def _sync_policy(self, desired: PolicyState) -> Refused:
        applied = self._nft.apply(desired)
        self._is_policy_held = True
        ruleset = self._nft.ruleset
        if ruleset is not None:
            self._connections.reconsider(Enforced(desired, ruleset, self._own))
        self._policy_writes += applied.outcome not in (Outcome.ADOPTED, Outcome.UNCHANGED)
        return {}

    def _sync_vxlan(self, desired: Vxlan | None) -> Refused:
        if desired is None:
            remove_vxlan(VXLAN_DEVICE, self._socket)
            return {}
        return sync_vxlan(desired, self._socket)

    def _sync_wireguard(self, desired: Wireguard | None) -> Refused:
        if self._wireguard is None:
            if desired is None and self._links.get(WIREGUARD_DEVICE) is None:
                return {}
            backend = wireguard_backend(WIREGUARD_DEVICE, self._socket, directory=self._engine_dir)
            self._wireguard = WireguardTunnel(backend, self._socket)
        if desired is None:
            self._wireguard.remove()
            self._wireguard = None
            return {}
        return self._wireguard.sync(desired, self._private_key, now_s=time.time())

    def _sync_routes(
        self, desired: Mapping[Cidr, Route], known: Mapping[Cidr, Route] | None
    ) -> Refused:
        actual = self._table.read() if known is None else known
        changes: Plan[Cidr, Route] = plan(desired, actual)
        return _by_text(apply(changes, lambda _, route: self._put(route), self._table.remove))

    def _put(self, route: Route) -> None:
        """Put a route; that a pod's interface is not there (yet) is no refusal: ADD puts it."""
        try:
            self._table.put(route)
        except KernelError as error:
            is_pod = isinstance(route, OnDevice) and route.device.startswith(POD_PREFIX)
            if not is_pod or error.errno not in (errno.ENODEV, errno.ENETDOWN):
                raise


def _by_text(refused: Mapping[K, KernelError]) -> Refused:
    return {str(what): error for what, error in refused.items()}
