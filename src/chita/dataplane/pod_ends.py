"""Which network namespace each pod's interface leads to, for pods that another plugin attached."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from chita.dataplane.netlink.links import Links
from chita.dataplane.netlink.namespace import inside
from chita.dataplane.netlink.socket import NetlinkSocket
from chita.dataplane.pod_interface import PodInterface, PodInterfaces
from chita.errors import KernelError
from chita.model.net import Address


class PodEnd(msgspec.Struct, frozen=True, kw_only=True):
    """The inner end of a pod's veth pair."""

    namespace: Path
    interface: str
    host_interface: str
    addresses: tuple[Address, ...]
    """IPv4 first, without link-local ones."""
    mtu_bytes: int


def pod_ends(
    namespaces: Iterable[Path], *, interface: str = "eth0", node: Path | None = None
) -> list[PodEnd]:
    """Return the ends called *interface* in *namespaces* whose other end is on the node.

    The peer's number tells (IFLA_LINK). A namespace that cannot be entered any more is left out.

    Args:
        namespaces: network namespaces of pods.
        interface: what the pods' ends are called.
        node: the network namespace of the node; None is our own.
    """
    with NetlinkSocket(namespace=node) as socket:
        names = {link.index: link.name for link in Links(socket).read().values()}
    found: list[PodEnd] = []
    for namespace in namespaces:

        def read(namespace: Path = namespace) -> PodEnd | None:
            with NetlinkSocket() as socket:
                links = Links(socket)
                link = links.get(interface)
                if link is None or link.kind != "veth" or link.peer_index not in names:
                    return None
                held = sorted(it.address for it in links.read_addresses(link.index))
                return PodEnd(
                    namespace=namespace,
                    interface=interface,
                    host_interface=names[link.peer_index],
                    addresses=tuple(held),
                    mtu_bytes=link.mtu_bytes,
                )

        try:
            end = inside(namespace, read)
        except KernelError:
            continue
        if end is not None:
            found.append(end)
    return found


def adopt_pods(pods: Iterable[PodInterface], *, node: Path | None = None) -> dict[str, KernelError]:
    """Adopt each of *pods*; return what was refused, by the node's end.

    One that was refused stays as it was, and keeps no other from being adopted.
    """
    refused: dict[str, KernelError] = {}
    with NetlinkSocket(namespace=node) as socket:
        interfaces = PodInterfaces(socket)
        for pod in pods:
            try:
                interfaces.adopt(pod)
            except KernelError as error:
                refused[pod.host_interface] = error
    return refused
