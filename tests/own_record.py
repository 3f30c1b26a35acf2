"""A node's own record over a fake interface, for tests of what keeps it current."""

from __future__ import annotations

from chita.agent.identity import Identity
from chita.agent.record import OwnRecord
from chita.dataplane.netlink.fake import FakeLinks
from chita.dataplane.netlink.links import InterfaceAddress, VethEnd
from chita.model.net import Address


def own_record(node: str) -> OwnRecord:
    """Return the record of *node*, whose eth0 has 192.0.2.1/24."""
    links = FakeLinks()
    far = VethEnd(name="far", mac="", namespace=None)
    links.add_veth(VethEnd(name="eth0", mac=""), far, mtu_bytes=1500)
    links.set_up(links.index("eth0"))
    links.put_address(links.index("eth0"), InterfaceAddress(Address.parse("192.0.2.1"), 24))
    identity = Identity(node=node, wireguard_public_key="k" * 43 + "=", vtep_mac="")
    return OwnRecord(node, lambda _epoch: identity, links)
