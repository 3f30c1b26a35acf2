"""Nodes of several locations around one simulated internet: a bridge that joins their namespaces.

Node number n, from 1, has 192.0.2.n; those whose names begin with ``r`` are gateways.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from chita.dataplane.netlink.links import InterfaceAddress, Links, VethEnd
from chita.dataplane.netlink.socket import NetlinkSocket
from chita.model.net import Address
from chita.model.node import FabricNode
from hybrid import fabric_node
from network_namespace import fresh_namespaces, run_inside


@contextmanager
def joined(names: list[str]) -> Iterator[dict[str, Path]]:
    """Yield a namespace for each node, with its address on ``eth0``."""
    with (
        fresh_namespaces(len(names) + 1) as (wan, *spaces),
        NetlinkSocket(namespace=wan) as middle,
    ):
        run_inside(wan, "ip", "link", "add", "br0", "up", "type", "bridge")
        for number, (name, space) in enumerate(zip(names, spaces, strict=True), 1):
            Links(middle).add_veth(
                VethEnd(name=f"p-{name}", mac=f"02:00:00:00:01:0{number}"),
                VethEnd(name="eth0", mac=f"02:00:00:00:02:0{number}", namespace=space),
                mtu_bytes=1500,
            )
            run_inside(wan, "ip", "link", "set", f"p-{name}", "master", "br0", "up")
            with NetlinkSocket(namespace=space) as own:
                links = Links(own)
                index = links.index("eth0")
                links.set_up(index)
                links.put_address(index, InterfaceAddress(_address(number), 24))
        yield dict(zip(names, spaces, strict=True))


def records(places: Mapping[str, str], keys: Mapping[str, str]) -> list[FabricNode]:
    """Return the records of nodes, by their locations and their public keys."""
    found = []
    for number, (name, place) in enumerate(places.items(), 1):
        own = str(_address(number))
        node = fabric_node(name, place, own, public=own if name.startswith("r") else "")
        mac = f"66:00:00:00:00:0{number}"
        found.append(msgspec.structs.replace(node, wireguard_key=keys[name], vtep_mac=mac))
    return found


def key_pair() -> tuple[str, str]:
    """Return a private WireGuard key and its public one."""
    key = X25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    return base64.b64encode(key.private_bytes_raw()).decode(), base64.b64encode(public).decode()


def _address(number: int) -> Address:
    return Address.parse(f"192.0.2.{number}")
