"""The transit device: relayed packets in an overlay of their own (docs/adr/0015).

IP in VXLAN-GPE, without Ethernet: 36 bytes less a packet over IPv4. The device has no addresses and
no entries: the route of each packet says which node unwraps it.
"""

from __future__ import annotations

from contextlib import suppress

from chita.dataplane.netlink.links import Links, VxlanParameters
from chita.dataplane.netlink.socket import NetlinkSocket
from chita.dataplane.sysctl import sync_sysctls
from chita.desired.tunnels import Transit
from chita.errors import UnsupportedError

MTU_BYTES = 65_000
"""What fits is said by each route: the device serves relays behind wires of any size."""

_SYSCTLS = {
    "net/ipv4/fib_multipath_hash_policy": "1",
    "net/ipv6/fib_multipath_hash_policy": "1",
}
"""Flows are spread over relays by their five-tuple, not by their addresses alone."""

_QUIET = {"net/ipv4/nexthop_compat_mode": "0"}
"""Who reads routes is told the number of a nexthop and not what it holds, for both families.

Else the kernel tells of each route when a group is replaced: 12 ms for 5,000 of them, not 0.1.
"""


def sync_transit(desired: Transit, socket: NetlinkSocket) -> None:
    """Make the device as *desired*; one on another port is made again. Blocking.

    Raises:
        UnsupportedError: the kernel has no VXLAN, or no routes with several ways.
        KernelError: the device can't be made or read.
    """
    links = Links(socket)
    parameters = VxlanParameters(vni=0, port=desired.port, local=None, is_transit=True)
    link = links.get(desired.device)
    if link is not None and link.vxlan != parameters:
        links.remove(desired.device)
        link = None
    if link is None:
        links.add_vxlan(desired.device, parameters, mac="", mtu_bytes=MTU_BYTES)
        index = links.index(desired.device)
        links.disable_link_local(index)
        links.set_up(index)
    elif not link.is_up:
        links.set_up(link.index)
    sync_sysctls(_SYSCTLS, namespace=socket.namespace)
    with suppress(UnsupportedError):  # before Linux 5.8
        sync_sysctls(_QUIET, namespace=socket.namespace)
