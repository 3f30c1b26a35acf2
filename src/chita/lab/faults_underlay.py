"""Faults of the network: made and mended in the routers, on the simulated internet, in a node.

Breaking twice and mending twice is once. What drops packets does so without a word, as the broken
thing would: no ICMP error, no reset.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Iterable

import msgspec

from chita.errors import KernelError, NotFoundError
from chita.lab.clouds import cloud_rules
from chita.lab.faults import (
    CloudCutOff,
    Fault,
    ForwardingBroken,
    LinkDown,
    NatRestarted,
    NatSwitched,
    PacketLoss,
    UdpBlocked,
    UnderlayFault,
    WanMtu,
)
from chita.lab.names import short_name
from chita.lab.netns import entered, ip_batch, netns_path, run_in
from chita.lab.places import Cloud
from chita.lab.topology import Topology
from chita.model.net import Address

_LOSS = "inet chita-loss"
_BLOCKED = "inet chita-blocked"
_FORWARDING = "inet lab-forwarding"
"""In a node's namespace, so its name must not look like the product's."""

_PASSING_TCP = "{ 443, 6443 }"
"""Destination ports that the strictest firewall lets out: HTTPS, and the API server."""

_NEW_ADDRESS = 200
"""How far from the usual address the first other one is: nodes' addresses are not there."""


def break_underlay(fault: UnderlayFault, topology: Topology, others: Iterable[Fault] = ()) -> None:
    """Make *fault* happen, where *others* are made already.

    Raises:
        NotFoundError: there is no such node or cloud.
        KernelError: the kernel refused.
    """
    check_place(fault, topology)
    match fault:
        case LinkDown(node):
            _set_port(topology, node, "down")
        case CloudCutOff(cloud):
            _set_uplink(topology, cloud, "down")
        case PacketLoss(cloud, percent):
            _nft(topology.cloud(cloud).namespace, _LOSS, _loss_rules(percent))
        case ForwardingBroken(node):
            _nft(topology.node(node).namespace, _FORWARDING, _NO_FORWARDING)
        case WanMtu(cloud, longest):
            port = short_name("w-", cloud)
            _nft(topology.wan_namespace, _mtu_table(topology, cloud), _mtu_rules(port, longest))
        case UdpBlocked(cloud):
            _nft(topology.cloud(cloud).namespace, _BLOCKED, _BLOCKED_RULES)
        case NatRestarted(cloud) | NatSwitched(cloud=cloud):
            _restart_router(topology.cloud(cloud), [*others, fault])


def mend_underlay(fault: UnderlayFault, topology: Topology, others: Iterable[Fault] = ()) -> None:
    """Undo *fault*, while *others* stay.

    Raises:
        NotFoundError: there is no such node or cloud.
        KernelError: the kernel refused.
    """
    check_place(fault, topology)
    match fault:
        case LinkDown(node):
            _set_port(topology, node, "up")
        case CloudCutOff(cloud):
            _set_uplink(topology, cloud, "up")
        case PacketLoss(cloud, _):
            _nft(topology.cloud(cloud).namespace, _LOSS)
        case ForwardingBroken(node):
            _nft(topology.node(node).namespace, _FORWARDING)
        case WanMtu(cloud, _):
            _nft(topology.wan_namespace, _mtu_table(topology, cloud))
        case UdpBlocked(cloud):
            _nft(topology.cloud(cloud).namespace, _BLOCKED)
        case NatRestarted(cloud) | NatSwitched(cloud=cloud):
            _restart_router(topology.cloud(cloud), [other for other in others if other != fault])


def check_place(fault: Fault, topology: Topology) -> None:
    """Raise when the node or cloud that *fault* is to break does not exist.

    Raises:
        NotFoundError: the message has the names there are.
    """
    for field, known in (
        ("node", [node.name for node in topology.nodes]),
        ("cloud", [cloud.name for cloud in topology.clouds]),
    ):
        name = getattr(fault, field, None)
        if name is not None and name not in known:
            raise NotFoundError(f"{fault}: there is no '{name}'; write one of {', '.join(known)}")


def altered(cloud: Cloud, faults: Iterable[Fault]) -> Cloud:
    """Return *cloud* as *faults* leave it: the NAT's kind, timers and public addresses."""
    for fault in faults:
        match fault:
            case NatRestarted(name, turn) if name == cloud.name:
                moved = tuple(_other_address(cloud, usual, turn) for usual in cloud.wan_addresses)
                cloud = msgspec.structs.replace(cloud, wan_addresses=moved)
            case NatSwitched(cloud=name, kind=kind, udp_idle_seconds=idle) if name == cloud.name:
                nat = msgspec.structs.replace(
                    cloud.nat, kind=kind, udp_idle_seconds=idle, udp_stream_seconds=idle
                )
                cloud = msgspec.structs.replace(cloud, nat=nat)
            case _:
                pass
    return cloud


def _other_address(cloud: Cloud, usual: Address, turn: int) -> Address:
    """Return the *turn*-th other address of the NAT, none of a node's."""
    nodes = {address for node in cloud.nodes for address in node.public_addresses}
    candidate = usual + _NEW_ADDRESS
    for _ in range(turn):
        candidate += 1
        while candidate in nodes:
            candidate += 1
    return candidate


def _restart_router(cloud: Cloud, faults: Iterable[Fault]) -> None:
    """Give the router of *cloud* the rules and addresses that *faults* leave it, and no memory."""
    changed = altered(cloud, faults)
    path = netns_path(cloud.namespace)
    wanted = {str(address) for address in changed.wan_addresses}
    nodes = {str(address) for node in cloud.nodes for address in node.public_addresses}
    present = _addresses(cloud)
    lines = [f"address add {address} dev wan0" for address in sorted(wanted - present)]
    lines += [f"address del {text} dev wan0" for text in sorted(present - wanted - nodes)]
    table = "table inet chita-cloud"
    script = f"{table}\ndelete {table}\n" + "\n".join(cloud_rules(changed)) + "\n"
    # Addresses first: what is translated to one must be answered for.
    ip_batch(path, [_host_prefix(line) for line in lines])
    run_in(path, ["nft", "-f", "-"], text=script)
    with entered(path):
        forget_connections()


def _host_prefix(line: str) -> str:
    verb, action, address, *rest = line.split()
    bits = 128 if ":" in address else 32
    nodad = " nodad" if bits == 128 and action == "add" else ""
    return f"{verb} {action} {address}/{bits} {' '.join(rest)}{nodad}"


def _addresses(cloud: Cloud) -> set[str]:
    """Return the addresses of the router on the internet, without link-local ones."""
    shown = json.loads(run_in(netns_path(cloud.namespace), ["ip", "-j", "address", "show", "wan0"]))
    found = {item["local"] for item in shown[0]["addr_info"] if item["scope"] == "global"}
    return {str(Address.parse(text)) for text in found}


def forget_connections() -> None:
    """Empty the table of tracked connections of this thread's network namespace.

    IPCTNL_MSG_CT_DELETE without a tuple (linux/netfilter/nfnetlink_conntrack.h), as conntrack(8)
    does it for ``conntrack -F``, which need not be installed.

    Raises:
        KernelError: the kernel refused.
    """
    # nlmsghdr: length, type (subsystem 1, message 2), NLM_F_REQUEST | NLM_F_ACK; then nfgenmsg.
    request = struct.pack("=IHHIIBBH", 20, 1 << 8 | 2, 5, 1, 0, socket.AF_UNSPEC, 0, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as netlink:  # NETLINK_NETFILTER
        netlink.send(request)
        (code,) = struct.unpack_from("=i", netlink.recv(4096), 16)
    if code:
        message = f"forget tracked connections: {os.strerror(-code)}"
        raise KernelError(message, errno=-code)


def _set_port(topology: Topology, node: str, state: str) -> None:
    """Take the router's end of a node's link down or up: the node sees its carrier go.

    The router's end, because the node's own would lose its IPv6 addresses and routes with it.
    """
    place = topology.node(node)
    router = netns_path(topology.cloud(place.cloud).namespace)
    ip_batch(router, [f"link set {place.port} {state}"])


def _set_uplink(topology: Topology, cloud: str, state: str) -> None:
    """Take the internet's end of a cloud's link down or up, for the same reason."""
    port = short_name("w-", cloud)
    ip_batch(netns_path(topology.wan_namespace), [f"link set {port} {state}"])


def _nft(namespace: str, table: str, body: str = "") -> None:
    """Replace *table* in *namespace*; without a body it is gone."""
    script = f"table {table}\ndelete table {table}\n"
    if body:
        script += f"table {table} {{\n{body}}}\n"
    run_in(netns_path(namespace), ["nft", "-f", "-"], text=script)


def _loss_rules(percent: float) -> str:
    """Drop *percent* of what the router forwards to and from the WAN, in steps of 0.01 %.

    Before every other chain, so that conntrack's answers count too.
    """
    share = max(0, min(10_000, round(percent * 100)))
    # nft refuses "mod 10000 < 10000" as always true: compare with the last number that is lost.
    lose = f"numgen random mod 10000 <= {share - 1} counter drop" if share else "accept"
    return (
        "chain forward {\n"
        "  type filter hook forward priority -300; policy accept;\n"
        f'  oifname "wan0" {lose}\n'
        f'  iifname "wan0" {lose}\n'
        "}\n"
    )


_NO_FORWARDING = """chain forward {
  type filter hook forward priority -300; policy accept;
  counter drop
}
"""

_BLOCKED_RULES = f"""chain forward {{
  type filter hook forward priority -300; policy accept;
  oifname "wan0" tcp dport {_PASSING_TCP} accept
  iifname "wan0" tcp sport {_PASSING_TCP} accept
  oifname "wan0" counter drop
  iifname "wan0" counter drop
}}
"""
"""In every other chain too: to accept here is only not to drop."""


def _mtu_table(topology: Topology, cloud: str) -> str:
    """Return the name of the table on the internet's switch for the way to *cloud*."""
    return f"bridge chita-mtu-{topology.cloud(cloud).name.replace('.', '-')}"


def _mtu_rules(port: str, longest: int) -> str:
    """Drop longer packets on the segment outside, where none is joined segments any more."""
    tests = (f"ip length > {longest}", f"ip6 length > {longest - 40}")
    lines = [
        "chain out-of-cloud {",
        "  type filter hook prerouting priority 0; policy accept;",
        *(f'  iifname "{port}" {test} counter drop' for test in tests),
        "}",
        "chain into-cloud {",
        "  type filter hook postrouting priority 0; policy accept;",
        *(f'  oifname "{port}" {test} counter drop' for test in tests),
        "}",
    ]
    return "\n".join(lines) + "\n"
