"""A pod's interface: a veth pair, one end on the node, the other ``eth0`` inside the pod.

Nothing here waits for ARP or neighbour discovery: both ends know each other by permanent
neighbours, addresses are /32 and /128 without duplicate address detection, and the pod's default
routes go to link-local gateways that no interface needs to have::

    pod namespace                                  node namespace
    eth0  10.244.0.5/32                            cali0123456789a  ee:ee:ee:ee:ee:ee
    default via 169.254.1.1 dev eth0               10.244.0.5 dev cali... table 24482 proto 252
    169.254.1.1 lladdr ee:ee:ee:ee:ee:ee PERMANENT 10.244.0.5 lladdr 02:... PERMANENT

A restarted agent needs no memory of it: the name of the node's end follows from the endpoint, its
kind is veth, and `PodInterfaces.check` says whether all of it is as it should be.
"""

from __future__ import annotations

import errno
import hashlib
from pathlib import Path

import msgspec

from chita.dataplane.netlink.links import InterfaceAddress, Link, Links, VethEnd
from chita.dataplane.netlink.namespace import inside
from chita.dataplane.netlink.neighbours import Neighbours
from chita.dataplane.netlink.routes import RouteTable, describe
from chita.dataplane.netlink.rules import OURS, RoutingIdentity
from chita.dataplane.netlink.socket import NetlinkSocket
from chita.dataplane.sysctl import read_sysctl, sync_sysctls
from chita.desired.routes import OnDevice, Route, Via
from chita.errors import KernelError, UnsupportedError
from chita.model.net import Address, Cidr, Family

HOST_MAC = "ee:ee:ee:ee:ee:ee"
"""Of every node's end, as Calico's; a pod that moves to another node keeps its neighbour."""
GATEWAYS: dict[Family, Address] = {
    4: Address.parse("169.254.1.1"),
    6: Address.parse("fe80::ecee:eeff:feee:eeee"),  # what EUI-64 makes of HOST_MAC
}
_IPV6_MIN_MTU = 1280
_POD_IDENTITY = RoutingIdentity(table=254)  # main: the pod has no other


class PodInterface(msgspec.Struct, frozen=True, kw_only=True):
    """What a pod's interface is to be."""

    host_interface: str
    """``cali`` and 11 hexadecimal digits."""
    namespace: Path
    """The pod's, such as ``/run/netns/...`` or ``/proc/<pid>/ns/net`` (CNI_NETNS)."""
    addresses: tuple[Address, ...]
    mtu_bytes: int
    pod_interface: str = "eth0"
    """CNI_IFNAME."""

    @property
    def pod_mac(self) -> str:
        """A locally administered address that follows from the name: a re-made pair keeps it."""
        return f"02:{hashlib.sha256(self.host_interface.encode()).digest()[:5].hex(':')}"

    @property
    def families(self) -> list[Family]:
        """The families it has addresses of."""
        return sorted({address.family for address in self.addresses})


class PodInterfaces:
    """Attach, detach and check pod interfaces of one node. Blocking; one thread at a time."""

    def __init__(self, socket: NetlinkSocket, identity: RoutingIdentity = OURS) -> None:
        self._socket = socket
        self._links = Links(socket)
        self._routes = RouteTable(socket, self._links, identity)

    def attach(self, pod: PodInterface) -> None:
        """Make the interface of *pod* as asked for; one that is so already is left alone.

        A pair of the same name that differs is made again. After an error nothing is left.

        Raises:
            KernelError: the namespace is gone, its interface name is taken (EEXIST), the MTU is
                too small for IPv6, or the kernel refused a step.
        """
        if 6 in pod.families and pod.mtu_bytes < _IPV6_MIN_MTU:
            raise KernelError(
                f"attach {pod.host_interface}: MTU {pod.mtu_bytes} is below {_IPV6_MIN_MTU}, which "
                "IPv6 needs (RFC 8200 section 5); raise it, or give the pod no IPv6 address",
                errno=errno.EINVAL,
            )
        if self._links.get(pod.host_interface) is not None:
            if self.check(pod) is None:
                return
            self.detach(pod.host_interface)
        self._links.add_veth(
            VethEnd(name=pod.host_interface, mac=HOST_MAC),
            VethEnd(name=pod.pod_interface, mac=pod.pod_mac, namespace=pod.namespace),
            mtu_bytes=pod.mtu_bytes,
        )
        try:
            sync_sysctls(_host_sysctls(pod), namespace=self._socket.namespace)
            index = self._links.index(pod.host_interface)
            self._links.set_up(index)
            inside(pod.namespace, lambda: _set_up_pod(pod))
            neighbours = Neighbours(self._socket, index)
            for address in pod.addresses:
                neighbours.put(address, pod.pod_mac)
            for route in pod_routes(pod):
                self._routes.put(route)
        except BaseException:
            self._links.remove(pod.host_interface)
            raise

    def adopt(self, pod: PodInterface) -> None:
        """Make what `attach` would have made of an interface that another plugin attached.

        It stays the same pair, up all the time, with the addresses that it has: connections of the
        pod go on. `check` then finds no difference.

        Raises:
            KernelError: there is no such pair, it is not of this pod, or the pod has other
                addresses, and nothing was changed; or the kernel refused a step.
        """
        host = self._links.get(pod.host_interface)
        if host is None or host.kind != "veth":
            what = "does not exist" if host is None else f"is of kind {host.kind}, not veth"
            raise KernelError(f"adopt {pod.host_interface}: it {what}", errno=errno.ENODEV)
        inside(pod.namespace, lambda: _check_adoptable(pod, host.index))
        sync_sysctls(_host_sysctls(pod) | _undone_sysctls(pod), namespace=self._socket.namespace)
        _change_link(self._links, host, HOST_MAC, pod.mtu_bytes)
        inside(pod.namespace, lambda: _adopt_pod(pod))
        neighbours = Neighbours(self._socket, host.index)
        for address in pod.addresses:
            neighbours.put(address, pod.pod_mac)
        for route in pod_routes(pod):
            self._routes.put(route)

    def read(self, prefix: str = "cali") -> set[str]:
        """Return the names of the veth devices that begin with *prefix*: attached or withdrawn."""
        links = self._links.read().values()
        return {it.name for it in links if it.kind == "veth" and it.name.startswith(prefix)}

    def withdraw(self, host_interface: str) -> None:
        """Cut the pod off at once: its end goes down, and with it its routes.

        For a quick DEL: `detach` then follows from another thread with a socket of its own. One
        that is gone is withdrawn already.
        """
        link = self._links.get(host_interface)
        if link is not None:
            self._links.set_down(link.index)

    def detach(self, host_interface: str) -> None:
        """Remove the pair, with its routes and neighbours; one that is gone is removed already.

        The pod's namespace need not exist any more. Takes 15 to 40 ms, all in the kernel: it
        waits until no CPU can still be looking at the device (rcu_barrier in netdev_run_todo).
        """
        self._links.remove(host_interface)

    def check(self, pod: PodInterface) -> str | None:
        """Return the first difference between *pod* and what there is; None when all is well.

        Raises:
            KernelError: the pod's namespace is gone.
        """
        host = self._links.get(pod.host_interface)
        if host is None:
            return f"interface {pod.host_interface} does not exist"
        found = _link_difference(host, HOST_MAC, pod.mtu_bytes)
        found = found or _sysctl_difference(_host_sysctls(pod), self._socket.namespace)
        if found:
            return found
        known = Neighbours(self._socket, host.index).read()
        for address in pod.addresses:
            if known.get(address) != pod.pod_mac:
                return f"{host.name} has no permanent neighbour {address} at {pod.pod_mac}"
        missing = _missing_route(pod_routes(pod), self._routes)
        return missing or inside(pod.namespace, lambda: _pod_difference(pod, host.index))


def pod_routes(pod: PodInterface) -> list[Route]:
    """Return the node's routes to *pod*; they are part of the node's desired routes too."""
    return [OnDevice(dst=Cidr.of(it), device=pod.host_interface) for it in pod.addresses]


def _gateway_routes(pod: PodInterface) -> list[Route]:
    """Return the pod's own routes, referents first."""
    routes: list[Route] = []
    for family in pod.families:
        gateway, device = GATEWAYS[family], pod.pod_interface
        if family == 4:  # an IPv6 gateway is on the link by its scope
            routes.append(OnDevice(dst=Cidr.of(gateway), device=device))
        routes.append(Via(dst=Cidr(family, 0, 0), gateway=gateway, device=device))
    return routes


def _host_sysctls(pod: PodInterface) -> dict[str, str]:
    """Return the settings of the node's end, before it comes up.

    The pod is not trusted: strict reverse path (the policy's anti-spoofing stands beside it), no
    redirects, no router advertisements from it.
    """
    v4, v6 = (f"net/ipv{family}/conf/{pod.host_interface}" for family in (4, 6))
    settings = {
        f"{v4}/rp_filter": "1",
        f"{v4}/forwarding": "1",
        f"{v4}/accept_redirects": "0",
        f"{v4}/send_redirects": "0",
    }
    if 6 in pod.families:
        settings |= {
            f"{v6}/disable_ipv6": "0",
            f"{v6}/accept_dad": "0",
            f"{v6}/accept_ra": "0",
            f"{v6}/accept_redirects": "0",
            f"{v6}/forwarding": "1",
        }
    return settings


def _pod_sysctls(pod: PodInterface) -> dict[str, str]:
    """Return the settings of the pod's end; some runtimes turn IPv6 off in new namespaces."""
    if 6 not in pod.families:
        return {}
    conf = f"net/ipv6/conf/{pod.pod_interface}"
    return {f"{conf}/disable_ipv6": "0", f"{conf}/accept_dad": "0", f"{conf}/accept_ra": "0"}


def _set_up_pod(pod: PodInterface) -> None:
    """Do the pod's part, within its namespace."""
    with NetlinkSocket() as socket:
        links = Links(socket)
        sync_sysctls(_pod_sysctls(pod))
        index = links.index(pod.pod_interface)
        links.set_up(links.index("lo"))
        links.set_up(index)
        for address in pod.addresses:
            links.put_address(index, InterfaceAddress(address, address.bits))
        neighbours = Neighbours(socket, index)
        for family in pod.families:
            neighbours.put(GATEWAYS[family], HOST_MAC)
        routes = RouteTable(socket, links, _POD_IDENTITY)
        for route in _gateway_routes(pod):
            routes.put(route)


def _undone_sysctls(pod: PodInterface) -> dict[str, str]:
    """Return what Calico sets on the node's end and nothing here needs.

    It answers the pod's ARP by proxy, and lets packets to 127.0.0.0/8 in.
    """
    conf = f"net/ipv4/conf/{pod.host_interface}"
    return {f"{conf}/proxy_arp": "0", f"{conf}/route_localnet": "0"}


def _check_adoptable(pod: PodInterface, host_index: int) -> None:
    """Raise unless the pod's end is the peer and has its addresses, within its namespace."""
    with NetlinkSocket() as socket:
        links = Links(socket)
        link = links.get(pod.pod_interface)
        if link is None or link.peer_index != host_index:
            raise KernelError(
                f"adopt {pod.host_interface}: {pod.pod_interface} in {pod.namespace} is not its "
                "peer",
                errno=errno.ENODEV,
            )
        present = {held.address for held in links.read_addresses(link.index)}
        if present != set(pod.addresses):
            has = ", ".join(map(str, sorted(present))) or "no address"
            wanted = ", ".join(map(str, pod.addresses))
            raise KernelError(
                f"adopt {pod.host_interface}: the pod has {has}, not {wanted}",
                errno=errno.EADDRNOTAVAIL,
            )


def _adopt_pod(pod: PodInterface) -> None:
    """Do the pod's part, within its namespace; addresses with a wider prefix become hosts."""
    with NetlinkSocket() as socket:
        links = Links(socket)
        if (link := links.get(pod.pod_interface)) is not None:
            _change_link(links, link, pod.pod_mac, pod.mtu_bytes)
    _set_up_pod(pod)
    with NetlinkSocket() as socket:
        links = Links(socket)
        index = links.index(pod.pod_interface)
        for held in links.read_addresses(index):
            if held.prefix != held.address.bits:
                links.remove_address(index, held)


def _change_link(links: Links, link: Link, mac: str, mtu_bytes: int) -> None:
    if link.mac != mac:
        links.set_mac(link.index, mac)
    if link.mtu_bytes != mtu_bytes:
        links.set_mtu(link.index, mtu_bytes)
    links.set_up(link.index)


def _pod_difference(pod: PodInterface, host_index: int) -> str | None:
    """Return the first difference inside the pod, within its namespace."""
    with NetlinkSocket() as socket:
        links = Links(socket)
        link = links.get(pod.pod_interface)
        if link is None or link.peer_index != host_index:
            return f"{pod.pod_interface} in the pod is not the peer of {pod.host_interface}"
        if not links.read()["lo"].is_up:
            return "lo in the pod is down"
        found = _link_difference(link, pod.pod_mac, pod.mtu_bytes)
        found = found or _sysctl_difference(_pod_sysctls(pod), None)
        if found:
            return f"in the pod: {found}"
        present = links.read_addresses(link.index)
        wanted = {InterfaceAddress(address, address.bits) for address in pod.addresses}
        if present != wanted:
            return f"{link.name} in the pod has {_listed(present)}, not {_listed(wanted)}"
        known = Neighbours(socket, link.index).read()
        for family in pod.families:
            if known.get(GATEWAYS[family]) != HOST_MAC:
                return f"the pod has no permanent neighbour {GATEWAYS[family]} at {HOST_MAC}"
        missing = _missing_route(_gateway_routes(pod), RouteTable(socket, links, _POD_IDENTITY))
        return f"in the pod: {missing}" if missing else None


def _link_difference(link: Link, mac: str, mtu_bytes: int) -> str | None:
    for what, actual, wanted in (
        ("kind", link.kind, "veth"),
        ("hardware address", link.mac, mac),
        ("MTU", link.mtu_bytes, mtu_bytes),
        ("state", "up" if link.is_up else "down", "up"),
    ):
        if actual != wanted:
            return f"{link.name} has {what} {actual}, not {wanted}"
    return None


def _sysctl_difference(wanted: dict[str, str], namespace: Path | None) -> str | None:
    def compare() -> str | None:
        for key, value in wanted.items():
            try:
                actual = read_sysctl(key)
            except UnsupportedError as error:
                return str(error)
            if actual != value:
                return f"sysctl {key} is {actual}, not {value}"
        return None

    return inside(namespace, compare)


def _missing_route(wanted: list[Route], table: RouteTable) -> str | None:
    actual = table.read()
    for route in wanted:
        if actual.get(route.dst) != route:
            return f"route {describe(route)} is missing or different"
    return None


def _listed(addresses: set[InterfaceAddress]) -> str:
    return ", ".join(map(str, sorted(addresses))) or "no address"
