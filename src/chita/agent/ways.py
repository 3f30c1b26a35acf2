"""Ways: the devices, nexthops, routing tables and rules by which a node's packets travel.

What refers comes after what it refers to: devices, nexthops, routes; and goes before it.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from chita.agent.reconcile import Part
from chita.compute.routes import VXLAN_DEVICE
from chita.compute.tunnels import TRANSIT_VNI
from chita.dataplane.netlink.links import Links
from chita.dataplane.netlink.nexthops import NexthopTable
from chita.dataplane.netlink.routes import RouteTable
from chita.dataplane.netlink.rules import OURS, Rule, Rules, our_rules, sync_rules
from chita.dataplane.netlink.socket import NetlinkSocket
from chita.dataplane.plan import apply, plan
from chita.dataplane.sysctl import sync_sysctls
from chita.dataplane.tunnels.backend import wireguard_backend
from chita.dataplane.tunnels.transit import sync_transit
from chita.dataplane.tunnels.vxlan import change_vteps, remove_vxlan, sync_vxlan
from chita.dataplane.tunnels.wireguard import DeviceState, Secrets, WireguardTunnel
from chita.desired.node_state import NodeState
from chita.desired.routes import OnDevice, Route
from chita.desired.tunnels import STATIC_DEVICE, TRANSIT_DEVICE, Wireguard
from chita.errors import KernelError
from chita.model.net import Cidr

NODE_SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv6/conf/all/forwarding": "1",
    # A reply may come in by another device than the one a packet left by (a relay, a moved pod).
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
}
"""What a node that forwards for its pods needs; paths below /proc/sys."""

POD_PREFIX = "cali"
_WIREGUARD_PREFIX = "chita-wg"
_WIREGUARD_KINDS = ("wireguard", "tun")
_NO_ROUTES: Mapping[Cidr, Route] = {}

K = TypeVar("K")

Refused = dict[str, KernelError]
"""What the kernel refused, by what it was."""

Step = tuple[Part, Callable[[], Refused]]


class Ways:
    """A node's devices, nexthops, tables and rules. Blocking; one thread at a time.

    Args:
        socket: of the node's namespace.
        engine_dir: where wireguard-go has its socket, pid file and log.
        secrets: the keys of the WireGuard device of an epoch.
    """

    def __init__(
        self, socket: NetlinkSocket, engine_dir: Path, secrets: Callable[[int], Secrets]
    ) -> None:
        self._socket = socket
        self._links = Links(socket)
        self._engine_dir = engine_dir
        self._secrets = secrets
        self._nexthops = NexthopTable(socket, self._links, TRANSIT_VNI)
        self._tables = {
            number: RouteTable(socket, self._links, msgspec.structs.replace(OURS, table=number))
            for number in range(OURS.table, OURS.table + OURS.further_tables + 1)
        }
        self._tunnels: dict[str, WireguardTunnel] = {}
        """By device."""

    def steps(self, state: NodeState, last: NodeState | None) -> Iterator[Step]:
        """Yield what makes the kernel hold *state*, in order.

        Args:
            state: what is asked for.
            last: what it holds; None: read it.
        """
        if last is None or _rules(last) != _rules(state):
            yield Part.NODE, lambda: self._sync_node(state)
        if last is None or last.vxlan != state.vxlan:
            yield Part.VXLAN, lambda: self._put_vxlan(state, last)
        if last is None or last.wireguards != state.wireguards:
            yield Part.WIREGUARD, lambda: self._put_wireguards(state, last)
        if last is None or last.transit != state.transit:
            yield Part.TRANSIT, lambda: self._put_transit(state)
        if last is None or last.nexthops != state.nexthops:
            yield Part.NEXTHOP, lambda: self._put_nexthops(state, last)
        for number in self._tables:
            if last is None or _routes(last, number) != _routes(state, number):
                yield Part.ROUTE, partial(self._sync_routes, number, state, last)
        yield from self._removals(state, last)

    def _removals(self, state: NodeState, last: NodeState | None) -> Iterator[Step]:
        """Yield what takes away devices and nexthops that nothing names any more."""
        if last is None or last.nexthops.keys() - state.nexthops.keys():
            yield Part.NEXTHOP, lambda: self._remove_nexthops(state, last)
        if state.transit is None and (last is None or last.transit is not None):
            yield Part.TRANSIT, lambda: self._remove_vxlan(TRANSIT_DEVICE)
        if last is None or last.wireguards.keys() - state.wireguards.keys():
            yield Part.WIREGUARD, lambda: self._remove_wireguards(state)
        if state.vxlan is None and (last is None or last.vxlan is not None):
            yield Part.VXLAN, lambda: self._remove_vxlan(VXLAN_DEVICE)

    def wireguards(self) -> dict[str, DeviceState]:
        """Return what the WireGuard devices hold, by name.

        Raises:
            EngineError: the process behind one of them died.
        """
        return {device: tunnel.read() for device, tunnel in self._tunnels.items()}

    def knock(self) -> None:
        """Dial peers anew that never answered, see `WireguardTunnel.knock`."""
        for tunnel in self._tunnels.values():
            tunnel.knock()

    def _sync_node(self, state: NodeState) -> Refused:
        sync_sysctls(NODE_SYSCTLS, namespace=self._socket.namespace)
        return by_text(sync_rules(_rules(state), Rules(self._socket)))

    def _put_vxlan(self, state: NodeState, last: NodeState | None) -> Refused:
        desired, known = state.vxlan, last.vxlan if last is not None else None
        if desired is None:
            return {}
        if known is not None and msgspec.structs.replace(known, vteps=desired.vteps) == desired:
            return change_vteps(desired, known, self._socket)
        return sync_vxlan(desired, self._socket)

    def _remove_vxlan(self, device: str) -> Refused:
        remove_vxlan(device, self._socket)
        return {}

    def _put_transit(self, state: NodeState) -> Refused:
        if state.transit is not None:
            sync_transit(state.transit, self._socket)
        return {}

    def _put_wireguards(self, state: NodeState, last: NodeState | None) -> Refused:
        refused: Refused = {}
        for device, desired in state.wireguards.items():
            known = last.wireguards.get(device) if last is not None else None
            refused |= self._put_wireguard(desired, known)
        return refused

    def _put_wireguard(self, desired: Wireguard, known: Wireguard | None) -> Refused:
        tunnel = self._tunnels.get(desired.device) or self._tunnel(desired.device)
        self._tunnels[desired.device] = tunnel
        secrets = self._secrets(desired.epoch)
        if known is not None and msgspec.structs.replace(known, peers=desired.peers) == desired:
            return tunnel.change_peers(desired.peers, known.peers, secrets.preshared_key)
        return tunnel.sync(desired, secrets, now_s=time.time())

    def _remove_wireguards(self, state: NodeState) -> Refused:
        held = {
            link.name
            for link in self._links.read().values()
            if link.name.startswith(_WIREGUARD_PREFIX) and link.kind in _WIREGUARD_KINDS
        }
        for device in (held | self._tunnels.keys()) - state.wireguards.keys():
            tunnel = self._tunnels.pop(device, None) or self._tunnel(device)
            tunnel.remove()
        return {}

    def _tunnel(self, device: str) -> WireguardTunnel:
        backend = wireguard_backend(device, self._socket, directory=self._engine_dir)
        return WireguardTunnel(backend, self._socket)

    def _put_nexthops(self, state: NodeState, last: NodeState | None) -> Refused:
        changes = plan(state.nexthops, self._nexthops.read() if last is None else last.nexthops)
        # Members before the groups that name them: that is their order in the state.
        put = msgspec.structs.replace(changes, remove=())
        return by_text(apply(put, self._nexthops.put, self._nexthops.remove))

    def _sync_routes(self, number: int, state: NodeState, last: NodeState | None) -> Refused:
        table = self._tables[number]

        def put(_: Cidr, route: Route) -> None:
            """Put a route; that a pod's interface is not there (yet) is no refusal: ADD puts it."""
            try:
                table.put(route)
            except KernelError as error:
                is_pod = isinstance(route, OnDevice) and route.device.startswith(POD_PREFIX)
                if not is_pod or error.errno not in (errno.ENODEV, errno.ENETDOWN):
                    raise

        known = table.read() if last is None else _routes(last, number)
        return by_text(apply(plan(_routes(state, number), known), put, table.remove))

    def _remove_nexthops(self, state: NodeState, last: NodeState | None) -> Refused:
        changes = plan(state.nexthops, self._nexthops.read() if last is None else last.nexthops)
        remove = msgspec.structs.replace(changes, put={})
        return by_text(apply(remove, self._nexthops.put, self._nexthops.remove))


def _rules(state: NodeState) -> set[Rule]:
    inward = (STATIC_DEVICE,) if STATIC_DEVICE in state.wireguards else ()
    return our_rules(OURS, state.tables, state.transit, inward=inward)


def _routes(state: NodeState, number: int) -> Mapping[Cidr, Route]:
    if number == OURS.table:
        return state.routes
    table = state.tables.get(number)
    return table.routes if table is not None else _NO_ROUTES


def by_text(refused: Mapping[K, KernelError]) -> Refused:
    """Return *refused* with each key as text."""
    return {str(what): error for what, error in refused.items()}
