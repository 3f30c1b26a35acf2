"""Nobody on the underlay puts packets past policy by VXLAN: the kernel unwraps for neighbours."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from chita.compute.flow import Flow
from chita.dataplane.netlink.links import InterfaceAddress, Links, VethEnd
from chita.dataplane.netlink.namespace import inside
from chita.dataplane.netlink.socket import NetlinkSocket
from chita.dataplane.nftables.applier import NftApplier, Outcome
from chita.dataplane.nftables.table import KernelTable
from chita.dataplane.tunnels.vxlan import sync_vxlan, vtep_mac
from chita.desired.policy import PolicyState, VxlanGuard
from chita.desired.tunnels import Vtep, Vxlan
from chita.model.net import UDP, Address
from network_namespace import fresh_namespaces, needs_root
from nftables_world import build_packet

pytestmark = [pytest.mark.kernel, needs_root]

VNI, VXLAN_PORT, PORT = 4096, 4789, 5000
NODE, NEIGHBOUR, STRANGER = 1, 2, 3
OUTER = {
    4: {number: Address.parse(f"192.0.2.{number}") for number in (NODE, NEIGHBOUR, STRANGER)},
    6: {number: Address.parse(f"2001:db8::{number}") for number in (NODE, NEIGHBOUR, STRANGER)},
}
MESH, POD = Address.parse("fd00:100:64::1"), Address.parse("fd00:10:244::7")
MAC = vtep_mac("node-1")


class Wire:
    """A node with a VXLAN device that knows one neighbour, and what is sent to it."""

    def __init__(self, family: int, beyond: Path, receiver: socket.socket) -> None:
        self.outer = OUTER[family]
        self._beyond = beyond
        self._receiver = receiver

    def send(self, sender: int, number: int) -> None:
        """Send packet *number*, wrapped, from the underlay address of *sender*."""
        flow = Flow(
            source=POD, destination=MESH, protocol=UDP, source_port=40000, destination_port=PORT
        )
        # RFC 7348 section 5: flags, VNI; the frame inside is of IPv6.
        header = struct.pack("!II", 1 << 27, VNI << 8)
        frame = bytes.fromhex(MAC.replace(":", "")) + bytes(6) + b"\x86\xdd"
        wrapped = header + frame + build_packet(flow, number)

        def to_node() -> None:
            of = socket.AF_INET if self.outer[NODE].family == 4 else socket.AF_INET6
            with socket.socket(of, socket.SOCK_DGRAM) as opened:
                opened.bind((str(self.outer[sender]), 0))
                opened.sendto(wrapped, (str(self.outer[NODE]), VXLAN_PORT))

        inside(self._beyond, to_node)

    def received(self) -> int:
        """Return the number of the next packet that was unwrapped: the wire keeps the order."""
        return int.from_bytes(self._receiver.recv(100)[-4:])


@contextmanager
def wire(family: int) -> Iterator[tuple[Wire, NftApplier]]:
    """Yield the node, and what enforces its policy."""
    with fresh_namespaces(2) as (node, beyond), NetlinkSocket(namespace=node) as opened:
        with NetlinkSocket(namespace=beyond) as other:
            ends = [VethEnd(name="eth0", mac=f"02:00:00:00:01:0{i}") for i in (1, 2)]
            far = msgspec.structs.replace(ends[1], namespace=beyond)
            Links(opened).add_veth(ends[0], far, mtu_bytes=1500)
            for netlink, numbers in ((opened, [NODE]), (other, [NEIGHBOUR, STRANGER])):
                links = Links(netlink)
                index = links.index("eth0")
                links.set_up(index)
                for number in numbers:
                    prefix = 24 if family == 4 else 64
                    links.put_address(index, InterfaceAddress(OUTER[family][number], prefix))
        assert sync_vxlan(_device(OUTER[family]), opened) == {}
        receiver = inside(node, lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
        table = inside(node, KernelTable)
        with receiver:
            receiver.settimeout(5)
            receiver.bind((str(MESH), PORT))
            yield Wire(family, beyond, receiver), NftApplier(table)
        table.close()


def _device(outer: dict[int, Address]) -> Vxlan:
    vtep = Vtep(node="node-2", mac=vtep_mac("node-2"), outer=outer[NEIGHBOUR], inner=())
    return Vxlan(
        device="chita-vxlan",
        vni=VNI,
        port=VXLAN_PORT,
        local=outer[NODE],
        mac=MAC,
        mtu_bytes=1400,
        addresses=(MESH,),
        vteps={vtep.node: vtep},
    )


@pytest.mark.parametrize("family", [pytest.param(4, id="ipv4"), pytest.param(6, id="ipv6")])
def test_packets_are_unwrapped_for_neighbours_alone(family: int) -> None:
    """Without the guard what a stranger wraps arrives; a node that joins need not wait."""
    with wire(family) as (node, applier):
        applier.apply(PolicyState())
        node.send(STRANGER, 1)
        assert node.received() == 1

        guard = VxlanGuard(VXLAN_PORT, frozenset({node.outer[NEIGHBOUR]}))
        applier.apply(PolicyState(vxlan=guard))
        node.send(STRANGER, 2)
        node.send(NEIGHBOUR, 3)
        assert node.received() == 3

        joined = msgspec.structs.replace(guard, ends=guard.ends | {node.outer[STRANGER]})
        assert applier.apply(PolicyState(vxlan=joined)).outcome is Outcome.UPDATED
        node.send(STRANGER, 4)
        assert node.received() == 4

        applier.apply(PolicyState(vxlan=guard))
        node.send(STRANGER, 5)
        applier.apply(PolicyState())
        node.send(STRANGER, 6)
        assert node.received() == 6
