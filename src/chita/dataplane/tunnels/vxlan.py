"""The VXLAN device of a node and its static entries (RFC 7348): nothing is learned or flooded.

The device is ours by its name and kind. Each remote node is one forwarding entry (its MAC to its
outer address) and one permanent neighbour for each of its inner addresses; IPv4 and IPv6 ride
inside whatever family the outer address has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress

from chita.dataplane.netlink.links import InterfaceAddress, Link, Links, VxlanParameters
from chita.dataplane.netlink.neighbours import ForwardingEntries, Neighbours
from chita.dataplane.netlink.offload import TxChecksum, put_tx_checksum
from chita.dataplane.netlink.socket import NetlinkSocket
from chita.dataplane.plan import apply, plan, sync
from chita.desired.tunnels import Vxlan
from chita.errors import KernelError, UnsupportedError
from chita.model.net import Address


def vtep_mac(node: str) -> str:
    """Return the MAC of *node*'s VXLAN device: it follows from the name, so a restart keeps it.

    Locally administered unicast (IEEE 802c): the lowest bits of the first byte are 10.
    """
    return f"02:{hashlib.sha256(node.encode()).digest()[:5].hex(':')}"


def sync_vxlan(
    desired: Vxlan,
    socket: NetlinkSocket,
    *,
    tx_checksum: TxChecksum = TxChecksum.KERNEL,
) -> dict[str, KernelError]:
    """Make the device and its entries exactly as *desired*; return what the kernel refused.

    A device of other parameters (VNI, port, local address) is made again, since they can't change;
    MTU, MAC, addresses and entries change in place. Blocking.

    Raises:
        KernelError: the device itself can't be made or read.
    """
    links = Links(socket)
    link = _put_device(desired, links)
    with suppress(UnsupportedError):  # a device that leaves no choice
        put_tx_checksum(desired.device, tx_checksum, namespace=socket.namespace)
    refused = sync_addresses(desired.addresses, links, link.index)
    # Forwarding first: a neighbour whose frames go nowhere would drop what it attracts.
    entries = sync(_outer(desired), ForwardingEntries(socket, link.index))
    neighbours = sync(_inner(desired), Neighbours(socket, link.index))
    return refused | _by_text(entries, neighbours)


def change_vteps(desired: Vxlan, known: Vxlan, socket: NetlinkSocket) -> dict[str, KernelError]:
    """Make the entries *desired* on a device that was made *known*, and is otherwise the same.

    Nothing is read: what others did stays until the next `sync_vxlan`.

    Raises:
        NotFoundError: the device is gone.
    """
    index = Links(socket).index(desired.device)
    forwarding, permanent = ForwardingEntries(socket, index), Neighbours(socket, index)
    changes = plan(_outer(desired), _outer(known))
    entries = apply(changes, forwarding.put, forwarding.remove)
    attracted = plan(_inner(desired), _inner(known))
    return _by_text(entries, apply(attracted, permanent.put, permanent.remove))


def _outer(desired: Vxlan) -> dict[str, Address]:
    """Return where frames for each MAC go; the device's outer packets have one family."""
    vteps = desired.vteps.values()
    return {it.mac: it.outer for it in vteps if it.outer.family == desired.local.family}


def _inner(desired: Vxlan) -> dict[Address, str]:
    return {address: it.mac for it in desired.vteps.values() for address in it.inner}


def _by_text(
    entries: Mapping[str, KernelError], neighbours: Mapping[Address, KernelError]
) -> dict[str, KernelError]:
    refused = {f"forwarding entry {mac}": error for mac, error in entries.items()}
    return refused | {f"neighbour {it}": error for it, error in neighbours.items()}


def remove_vxlan(device: str, socket: NetlinkSocket) -> None:
    """Remove the device if it is there and a VXLAN; its routes and entries go with it."""
    links = Links(socket)
    link = links.get(device)
    if link is not None and link.kind == "vxlan":
        links.remove(device)


def sync_addresses(desired: Iterable[Address], links: Links, index: int) -> dict[str, KernelError]:
    """Make the addresses of a tunnel device exactly *desired*, each alone (/32, /128)."""
    wanted = {InterfaceAddress(it, it.bits): None for it in desired}
    actual = dict.fromkeys(links.read_addresses(index))
    refused = apply(
        plan(wanted, actual),
        lambda address, _: links.put_address(index, address),
        lambda address: links.remove_address(index, address),
    )
    return {f"address {it}": error for it, error in refused.items()}


def _put_device(desired: Vxlan, links: Links) -> Link:
    parameters = VxlanParameters(vni=desired.vni, port=desired.port, local=desired.local)
    link = links.get(desired.device)
    if link is not None and link.vxlan != parameters:
        links.remove(desired.device)
        link = None
    if link is None:
        links.add_vxlan(desired.device, parameters, mac=desired.mac, mtu_bytes=desired.mtu_bytes)
        index = links.index(desired.device)
        links.disable_link_local(index)
        links.set_up(index)
        return _put_device(desired, links)
    if link.mac != desired.mac:
        links.set_mac(link.index, desired.mac)
    if link.mtu_bytes != desired.mtu_bytes:
        links.set_mtu(link.index, desired.mtu_bytes)
    if not link.is_up:
        links.set_up(link.index)
    return link
