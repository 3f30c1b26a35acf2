"""What can be broken in a lab, and how each is broken and mended in the underlay.

A fault is a value, kept in the state file, so that `lab heal` knows in another process what to
mend. Breaking twice and mending twice is once.
"""

from __future__ import annotations

import msgspec

from chita.errors import NotFoundError
from chita.lab.names import short_name
from chita.lab.netns import ip_batch, netns_path, run_in
from chita.lab.topology import Topology


class LinkDown(msgspec.Struct, frozen=True, tag="link-down"):
    """A node's cable is pulled."""

    node: str

    def __str__(self) -> str:
        return f"link of {self.node} down"


class CloudCutOff(msgspec.Struct, frozen=True, tag="cloud-cut-off"):
    """A cloud's way to the internet is cut; inside it all works."""

    cloud: str

    def __str__(self) -> str:
        return f"cloud {self.cloud} cut off"


class PacketLoss(msgspec.Struct, frozen=True, tag="packet-loss"):
    """A share of the packets between a cloud and the internet vanishes, both ways."""

    cloud: str
    percent: float

    def __str__(self) -> str:
        return f"{self.percent:g} % loss at {self.cloud}"


class AgentKilled(msgspec.Struct, frozen=True, tag="agent-killed"):
    """A node's agent is killed; the kernel keeps forwarding."""

    node: str

    def __str__(self) -> str:
        return f"agent of {self.node} killed"


class ServerStopped(msgspec.Struct, frozen=True, tag="server-stopped"):
    """The API server is stopped."""

    def __str__(self) -> str:
        return "API server stopped"


UnderlayFault = LinkDown | CloudCutOff | PacketLoss
"""Faults of the network, which this module makes."""

ProcessFault = AgentKilled | ServerStopped
"""Faults of processes, which lab.cluster makes."""

Fault = UnderlayFault | ProcessFault

_LOSS_TABLE = "inet chita-loss"


def break_underlay(fault: UnderlayFault, topology: Topology) -> None:
    """Make *fault* happen.

    Raises:
        NotFoundError: there is no such node or cloud.
        KernelError: the kernel refused.
    """
    match fault:
        case LinkDown(node):
            _set_port(fault, topology, node, "down")
        case CloudCutOff(cloud):
            _set_uplink(fault, topology, cloud, "down")
        case PacketLoss(cloud, percent):
            _require(fault, cloud, [c.name for c in topology.clouds])
            script = _loss_script(percent)
            run_in(netns_path(topology.cloud(cloud).namespace), ["nft", "-f", "-"], text=script)


def mend_underlay(fault: UnderlayFault, topology: Topology) -> None:
    """Undo *fault*.

    Raises:
        NotFoundError: there is no such node or cloud.
        KernelError: the kernel refused.
    """
    match fault:
        case LinkDown(node):
            _set_port(fault, topology, node, "up")
        case CloudCutOff(cloud):
            _set_uplink(fault, topology, cloud, "up")
        case PacketLoss(cloud, _):
            _require(fault, cloud, [c.name for c in topology.clouds])
            script = f"table {_LOSS_TABLE}\ndelete table {_LOSS_TABLE}\n"
            run_in(netns_path(topology.cloud(cloud).namespace), ["nft", "-f", "-"], text=script)


def _set_port(fault: Fault, topology: Topology, node: str, state: str) -> None:
    """Take the router's end of a node's link down or up: the node sees its carrier go.

    The router's end, because the node's own would lose its IPv6 addresses and routes with it.
    """
    _require(fault, node, [place.name for place in topology.nodes])
    place = topology.node(node)
    router = netns_path(topology.cloud(place.cloud).namespace)
    ip_batch(router, [f"link set {place.port} {state}"])


def _set_uplink(fault: Fault, topology: Topology, cloud: str, state: str) -> None:
    """Take the internet's end of a cloud's link down or up, for the same reason."""
    _require(fault, cloud, [c.name for c in topology.clouds])
    port = short_name("w-", cloud)
    ip_batch(netns_path(topology.wan_namespace), [f"link set {port} {state}"])


def _loss_script(percent: float) -> str:
    """Return the nftables script that drops *percent* of what the router forwards to the WAN.

    Replaces what an earlier loss left. Before every other chain, so that conntrack's answers count
    too; in steps of 0.01 %.
    """
    share = max(0, min(10_000, round(percent * 100)))
    # nft refuses "mod 10000 < 10000" as always true: compare with the last number that is lost.
    lose = f"numgen random mod 10000 <= {share - 1} counter drop" if share else "accept"
    return (
        f"table {_LOSS_TABLE}\ndelete table {_LOSS_TABLE}\n"
        f"table {_LOSS_TABLE} {{ chain forward {{\n"
        "  type filter hook forward priority -300; policy accept;\n"
        f'  oifname "wan0" {lose}\n'
        f'  iifname "wan0" {lose}\n'
        "}\n}\n"
    )


def _require(fault: Fault, name: str, known: list[str]) -> None:
    if name not in known:
        raise NotFoundError(f"{fault}: there is no '{name}'; write one of {', '.join(known)}")
