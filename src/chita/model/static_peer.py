"""Static peers: machines that cannot run the agent and are plain WireGuard peers of one gateway.

They take no part in epochs of keys: who carries a configuration to a router does so once. So each
node has one more key for them, which never changes, and a device of its own for it where somebody
uses it (docs/adr/0020-static-peers.md).
"""

from __future__ import annotations

import msgspec

from chita.model.net import Address, Cidr

STATIC_RANGES = (Cidr(4, 0x64410000, 16), Cidr.parse("fd00:100:65::/64"))
"""Where their addresses come from unless somebody says otherwise: after those of the mesh."""

PORT_SHIFT = 2
"""Epochs take turns on a node's port and the next one (`chita.model.epochs.port_in`)."""


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """What a machine was told of the fabric when its configuration was last made."""

    gateway_key: str
    endpoint: str
    """``HOST:PORT`` or ``[IPv6]:PORT``."""
    allowed: tuple[Cidr, ...]
    """What it sends to its gateway."""


class StaticPeer(msgspec.Struct, frozen=True, kw_only=True):
    """A machine that enters the fabric by one gateway, and what lives on it."""

    name: str
    public_key: str
    """Of WireGuard, base64."""
    addresses: tuple[Address, ...]
    """Its own in the fabric, at most one of each family."""
    networks: tuple[Cidr, ...] = ()
    """What it routes: the network behind a router."""
    gateway: str
    """The node that it dials."""
    keepalive_s: int = 25
    """What its configuration says; 0: none. The gateway sends none, for it never dials."""
    exported: Exported | None = None
    """None: nobody noted it."""

    @property
    def key(self) -> str:
        """Its name."""
        return self.name

    @property
    def allowed(self) -> tuple[Cidr, ...]:
        """What it may send from, and what is sent to it."""
        return (*map(Cidr.of, self.addresses), *self.networks)


def static_port(base: int) -> int:
    """Return the UDP port for static peers of a node whose devices' base port is *base*."""
    return base + PORT_SHIFT if base + PORT_SHIFT <= 65535 else base - PORT_SHIFT
