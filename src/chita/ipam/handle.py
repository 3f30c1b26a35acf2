"""The handle: what finds all addresses of one container again, whatever blocks they are in."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

import msgspec

from chita.model.net import Cidr

_NAME_LIMIT = 253
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


class IPAMHandle(msgspec.Struct, frozen=True, kw_only=True):
    """A v3 IPAMHandle: how many addresses *handle* has in each block.

    It is written before the block and deleted after it, so it may promise more than the blocks
    hold, never less: releasing by handle finds everything.
    """

    handle: str
    blocks: dict[Cidr, int]

    @property
    def name(self) -> str:
        """The stored object's name."""
        return handle_name(self.handle)


def handle_name(handle: str) -> str:
    """Return the object name of *handle*: itself, as Calico has it.

    A container id may hold letters that an object name (RFC 1123 subdomain) may not: then they
    are replaced, and a hash keeps two such handles apart.
    """
    if len(handle) <= _NAME_LIMIT and _NAME.fullmatch(handle):
        return handle
    digest = hashlib.sha256(handle.encode()).hexdigest()[:16]
    plain = re.sub("[^a-z0-9]+", "-", handle.lower()).strip("-")
    return f"{plain[: _NAME_LIMIT - 17]}-{digest}"


def pod_handle(network: str, container: str, interface: str) -> str:
    """Return the handle of one interface of a container.

    Calico's ``<network>.<container id>`` for ``eth0``; further interfaces of the same container
    carry their name, so that the DEL of one leaves the other's addresses.
    """
    handle = f"{network}.{container}"
    return handle if interface == "eth0" else f"{handle}.{interface}"


def covering(handle: IPAMHandle, blocks: Iterable[Cidr]) -> IPAMHandle:
    """Return *handle* with at least one address promised in each of *blocks*."""
    return msgspec.structs.replace(handle, blocks={**dict.fromkeys(blocks, 1), **handle.blocks})
