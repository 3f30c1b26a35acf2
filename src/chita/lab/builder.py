"""The underlay made in the kernel.

Links are made inside one of the lab's namespaces and moved to two others, so that the machine's own
namespace never has one, not even for a moment.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from chita.lab.clouds import router_rules
from chita.lab.netns import (
    ip_batch,
    netns_path,
    run_in,
    write_sysctls,
)
from chita.lab.state import StateFile
from chita.lab.topology import End, Link, Topology

_SYSCTLS = (
    # Addresses are given out by hand and unique: no waiting for duplicate detection.
    ("net/ipv6/conf/all/disable_ipv6", "0"),
    ("net/ipv6/conf/default/disable_ipv6", "0"),
    ("net/ipv6/conf/all/accept_dad", "0"),
    ("net/ipv6/conf/default/accept_dad", "0"),
    ("net/ipv6/conf/all/accept_ra", "0"),
    ("net/ipv6/conf/default/accept_ra", "0"),
)

_ROUTER_SYSCTLS = (
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv6/conf/all/forwarding", "1"),
    ("net/ipv4/conf/all/rp_filter", "0"),
    ("net/ipv4/conf/default/rp_filter", "0"),
    # Answer only for addresses of the interface asked: the private gateway is not on the WAN.
    ("net/ipv4/conf/all/arp_ignore", "1"),
    ("net/ipv4/conf/all/send_redirects", "0"),
    ("net/ipv4/conf/default/send_redirects", "0"),
    # Where br_netfilter is loaded, frames inside the switch must not meet the router's rules.
    ("net/bridge/bridge-nf-call-iptables", "0"),
    ("net/bridge/bridge-nf-call-ip6tables", "0"),
    ("net/bridge/bridge-nf-call-arptables", "0"),
)


def build_underlay(topology: Topology, state: StateFile) -> None:
    """Make everything of *topology*; its names are recorded in *state* first.

    Raises:
        KernelError: the kernel refused something, or a namespace of that name exists.
        UnsupportedError: ``ip`` or ``nft`` is not installed.
    """
    state.add_namespaces(topology.namespaces)
    ip_batch(None, [f"netns add {name}" for name in topology.namespaces])
    routers = {cloud.namespace for cloud in topology.clouds}
    for name in topology.namespaces:
        extra = _ROUTER_SYSCTLS if name in routers else ()
        write_sysctls(netns_path(name), (*_SYSCTLS, *extra))
    # The loopback of every namespace comes up in its own batch below.
    ip_batch(netns_path(topology.wan_namespace), [_link_line(link) for link in topology.links])
    lines = _interface_lines(topology)
    steps: list[Callable[[], object]] = [
        partial(ip_batch, netns_path(name), lines[name]) for name in topology.namespaces
    ]
    # Rules stand before the links come up: no packet ever passes an open router.
    for cloud in topology.clouds:
        path = netns_path(cloud.namespace)
        run_in(path, ["nft", "-f", "-"], text=router_rules(cloud))
    with ThreadPoolExecutor(max_workers=4) as pool:
        for step in [pool.submit(step) for step in steps]:
            step.result()


def rebuild_node(topology: Topology, name: str) -> None:
    """Replace a node's namespace by a fresh one at the same place, as a new machine would be.

    Whatever lives in the old one must have been ended.

    Raises:
        KernelError: the kernel refused something.
        KeyError: there is no such node.
    """
    place = topology.node(name)
    path, router = netns_path(place.namespace), topology.cloud(place.cloud).namespace
    # Deleted first: its end of the link is gone when the last reference to the namespace is.
    ip_batch(netns_path(router), [f"link delete {place.port}"])
    ip_batch(None, [f"netns delete {place.namespace}", f"netns add {place.namespace}"])
    write_sysctls(path, _SYSCTLS)
    (link,) = [link for link in topology.links if link.left.namespace == place.namespace]
    ip_batch(netns_path(topology.wan_namespace), [_link_line(link)])
    ip_batch(path, _interface_lines(topology)[place.namespace])
    ip_batch(netns_path(router), [f"link set {place.port} master {link.right.bridge} up"])


def _link_line(link: Link) -> str:
    """Return the batch line that makes both ends of *link* where they belong."""
    segments = f" gso_max_segs {link.gso_max_segments}" if link.gso_max_segments else ""
    left, right = link.left, link.right
    return f"link add name {_end(left)}{segments} type veth peer name {_end(right)}{segments}"


def _end(end: End) -> str:
    mac = f" address {end.mac}" if end.mac else ""
    return f"{end.name} netns {end.namespace} mtu {end.mtu_bytes}{mac}"


def _interface_lines(topology: Topology) -> dict[str, list[str]]:
    """Return, for each namespace, the batch lines for all inside it."""
    lines: dict[str, list[str]] = {name: ["link set lo up"] for name in topology.namespaces}
    for bridge in topology.bridges:
        lines[bridge.namespace].append(
            f"link add name {bridge.name} mtu {bridge.mtu_bytes} address {bridge.mac} "
            "type bridge forward_delay 0 stp_state 0 mcast_snooping 0"
        )
        lines[bridge.namespace].append(f"link set {bridge.name} up")
    for link in topology.links:
        for end in (link.left, link.right):
            master = f" master {end.bridge}" if end.bridge else ""
            lines[end.namespace].append(f"link set {end.name}{master} up")
    for assigned in topology.addresses:
        nodad = " nodad" if assigned.address.family == 6 else ""
        lines[assigned.namespace].append(
            f"address add {assigned.address}/{assigned.prefix} dev {assigned.interface}{nodad}"
        )
    for route in topology.routes:
        anywhere = "::/0" if route.family == 6 else "0.0.0.0/0"
        where = route.destination or anywhere
        # The other end of a peering has an address of its own network only.
        onlink = " onlink" if route.destination else ""
        via = f" via {route.via}" if route.via else ""
        mtu = f" mtu {route.mtu_bytes}" if route.mtu_bytes else ""
        lines[route.namespace].append(f"route add {where}{via} dev {route.interface}{onlink}{mtu}")
    return lines
